"""The one error that a person running `python -m local` sees."""


class CannotRun(Exception):  # noqa: N818 - it is a refusal with a reason, printed as it is
    """Rollcall cannot do what was asked; the text says why and what to do, and is printed without a traceback."""


class StopRequested(Exception):  # noqa: N818 - it is a wish, no error
    """SIGINT, SIGTERM or SIGHUP arrived while something else was going on; everything is to be stopped in order."""
