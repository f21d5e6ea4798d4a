"""Named places where a test can make the process die, as a power cut would.

`ROLLCALL_CRASH_AT=name` arms one of them; `ROLLCALL_CRASH_MARK=path` lets it trip only once over all processes
and restarts: whoever makes that file dies. Without the first variable a crash point costs one comparison.
"""

import os
import signal
from pathlib import Path

POINTS: dict[str, str] = {}
_ARMED = os.environ.get("ROLLCALL_CRASH_AT", "")
_MARK = os.environ.get("ROLLCALL_CRASH_MARK", "")


def point(name: str, *, where: str) -> str:
    """Name a place. Returns the name, to be kept in a constant and handed to `here`."""
    if name in POINTS:
        raise ValueError(f"crash point {name} is named twice")
    POINTS[name] = where
    return name


def here(name: str) -> None:
    """Die now by SIGKILL if this point is armed and has not tripped yet."""
    if name != _ARMED:
        return
    if _MARK:
        try:
            Path(_MARK).touch(exist_ok=False)
        except FileExistsError:
            return
    os.kill(os.getpid(), signal.SIGKILL)
