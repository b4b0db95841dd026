"""The parts of models/fetch. Standard library only: it runs before anything is installed."""
