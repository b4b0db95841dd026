"""How fetch talks to its user."""

import sys

BOLD, RED, PLAIN = ("\033[1m", "\033[31m", "\033[0m") if sys.stderr.isatty() else ("", "", "")


class Failure(Exception):
    """Something that stops the work: what was wrong, and lines that say what to do."""

    def __init__(self, what, *advice):
        super().__init__(what)
        self.advice = advice


def say(what, *more, failed=False):
    """One message on standard error, as scripts/common.sh prints them."""
    print(f"{RED}ai_audio: {what}{PLAIN}" if failed else f"{BOLD}ai_audio:{PLAIN} {what}", file=sys.stderr, flush=True)
    for line in more:
        print(f"  {line}", file=sys.stderr, flush=True)
