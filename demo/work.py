"""A few at once, and how far they have come."""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from typing import TypeVar

THREADS = 4
_STEP = 50  # resources between two lines of progress

Progress = Callable[[str], None]
T = TypeVar("T")


class Counter:
    """Tells how far one kind of work has come, every 50 resources and at its end. Called from several threads."""

    def __init__(self, *, label: str, noun: str, total: int, progress: Progress) -> None:
        self._text = f"{label}: {{}} of {total} {noun}"
        self._total = total
        self._progress = progress
        self._lock = threading.Lock()
        self._done = 0

    def add(self, number: int = 1) -> None:
        """So many more are done."""
        with self._lock:
            before, self._done = self._done, self._done + number
            if number and (before // _STEP < self._done // _STEP or self._done == self._total):
                self._progress(self._text.format(self._done))


def each(work: Callable[[T], None], items: Sequence[T]) -> None:
    """Do the work for every item, a few at once. The first error stops what has not begun, and is raised."""
    with ThreadPoolExecutor(max_workers=THREADS) as pool:
        futures = [pool.submit(work, item) for item in items]
        done, rest = wait(futures, return_when=FIRST_EXCEPTION)
        for future in rest:
            future.cancel()
        for future in done:
            future.result()
