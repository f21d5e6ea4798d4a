"""Ends a supervisor's children when the supervisor itself was killed; run as a program of its own, in a session of its own.

It reads lines from its standard input, a pipe whose other end only the supervisor holds: `+ GROUP SIGNAL` for a child
that leads the process group GROUP and stops on SIGNAL, `- GROUP` for one that is gone. When the pipe ends, whatever is
left gets its signal, and after the seconds given as the only argument SIGKILL. On Linux the kernel also signals the children directly
(PDEATHSIG), but only once, and only the children: a worker that waits for its tasks, or a grandchild, would stay.

Only the standard library, and nothing of this package: it starts in a few milliseconds and keeps little memory.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


def _send(group: int, sign: int, *, whole_group: bool) -> bool:
    """Signal a group or its leader; False when there is nobody left."""
    try:
        (os.killpg if whole_group else os.kill)(group, sign)
    except (ProcessLookupError, PermissionError):
        return False
    return True


def read_groups(lines: Iterable[str]) -> dict[int, int]:
    """Follow the supervisor's words until the pipe ends; return the groups that are left, in order of their start."""
    groups: dict[int, int] = {}
    for line in lines:
        word, group, *rest = line.split()
        if word == "+":
            groups[int(group)] = int(rest[0])
        else:
            groups.pop(int(group), None)
    return groups


def end(groups: dict[int, int], *, grace: float) -> None:
    """Stop these groups, the youngest first, and kill what is left after `grace` seconds."""
    for group, sign in reversed(groups.items()):
        _send(group, sign, whole_group=False)
    deadline = time.monotonic() + grace
    while time.monotonic() < deadline and any(_send(group, 0, whole_group=True) for group in groups):
        time.sleep(0.1)
    for group in groups:
        _send(group, signal.SIGKILL, whole_group=True)


if __name__ == "__main__":
    for ignored in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)
    end(read_groups(sys.stdin), grace=float(sys.argv[1]))
