"""The parts of models/fetch. Standard library only: it runs before anything is installed."""

import sys

try:
    import tomllib  # noqa: F401
except ImportError:
    sys.exit("models/fetch: Python 3.11 or newer is needed, this is " + sys.version.split()[0])
