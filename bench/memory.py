"""What a process weighs, as Linux tells it."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from bench.measuring import Unable, slope

_KIB = 1024
_RESET_PEAK = "5"  # proc(5), /proc/pid/clear_refs
MAY_GROW_BY = 0.05
"""Of a worker's weight between the middle and the end of a run: what the allocator keeps."""
MAY_CLIMB_BY = 0.5
"""Megabytes for each thousand requests of the same kind, at the end of a run."""


def _field(pid: int, file: str, name: str) -> float:
    try:
        text = Path(f"/proc/{pid}/{file}").read_text(encoding="ascii")
    except OSError as error:
        raise Unable(f"the weight of a process can't be read here: {error.strerror}") from error
    found = re.search(rf"^{name}:\s+(\d+) kB$", text, re.MULTILINE)
    if found is None:
        raise Unable(f"{file} does not say {name} here")
    return int(found[1]) / _KIB


def rss(pid: int) -> float:
    """Resident megabytes. Raises `Unable` where there is no /proc."""
    return _field(pid, "status", "VmRSS")


def pss(pid: int) -> float:
    """Resident megabytes, what is shared with others by its share."""
    return _field(pid, "smaps_rollup", "Pss")


def peak(pid: int) -> float:
    """The most resident megabytes since `forget_peak`."""
    return _field(pid, "status", "VmHWM")


def forget_peak(pid: int) -> None:
    """Begin to count the peak anew."""
    try:
        Path(f"/proc/{pid}/clear_refs").write_text(_RESET_PEAK, encoding="ascii")
    except OSError as error:
        raise Unable(f"the peak can't be counted anew here: {error.strerror}") from error


def worker_of(master: int) -> int:
    """The one worker of a gunicorn."""
    try:
        children = Path(f"/proc/{master}/task/{master}/children").read_text(encoding="ascii").split()
    except OSError as error:
        raise Unable(f"gunicorn's worker can't be found here: {error.strerror}") from error
    return int(children[0])


@dataclass(kw_only=True)
class Weight:
    """One worker over a whole run: requests answered so far, and megabytes."""

    pid: int
    points: list[tuple[float, float]] = field(default_factory=list)
    soak: list[tuple[float, float]] = field(default_factory=list)

    def look(self, requests: int, *, is_soak: bool = False) -> None:
        """Weigh it once."""
        (self.soak if is_soak else self.points).append((float(requests), rss(self.pid)))

    def start_middle_end(self) -> tuple[float, float, float]:
        """Megabytes at the start, from the middle on before the soak, and at the end (the median of the last three)."""
        everything = [*self.points, *self.soak]
        middle = everything[len(everything) // 2]
        return everything[0][1], middle[1], median(y for _, y in everything[-3:])

    def climb(self) -> float:
        """Megabytes for each thousand requests, over the second half of the soak."""
        return 1_000 * slope(self.soak[len(self.soak) // 2 :])

    def is_flat(self) -> bool:
        """Whether it neither grew since the middle of the run nor climbs at its end."""
        _, middle, end = self.start_middle_end()
        return end <= middle * (1 + MAY_GROW_BY) and self.climb() <= MAY_CLIMB_BY
