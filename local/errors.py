"""The one error that a person running `python -m local` sees."""


class CannotRun(Exception):
    """Rollcall cannot do what was asked; the text says why and what to do, and is printed without a traceback."""


class StopRequested(Exception):
    """SIGINT, SIGTERM or SIGHUP arrived while something else was going on; everything is to be stopped in order."""
