"""The product with another time of day: settings for its processes, and the app that moves their clocks.

The product asks what time it is in few places: where a request arrives, where a task begins, and where a key is made.
All of them are moved here, by what a file says, for the process that is started with these settings and no other. The
clock of the database stays as it is.
"""

from __future__ import annotations

import datetime as dt
import os
import time
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace

from django.apps import AppConfig

from governance.settings import *  # noqa: F403
from governance.settings import INSTALLED_APPS as OURS

INSTALLED_APPS = [*OURS, "tests.flows.drill.moved.Clocks"]
FILE = "ROLLCALL_DRILL_CLOCK"
TASKS = ("accounts.tasks", "provisioning.tasks", "governance.tasks")


def seconds() -> float:
    """How far the clock is ahead of the time, or behind."""
    return float(Path(os.environ[FILE]).read_text(encoding="ascii"))


def now() -> dt.datetime:
    """What time it is, by that clock."""
    return dt.datetime.now(dt.UTC) + dt.timedelta(seconds=seconds())


class _Moved(dt.datetime):
    """`datetime` for a module that asks it what time it is."""

    @classmethod
    def now(cls, tz: dt.tzinfo | None = None) -> dt.datetime:  # type: ignore[override]
        return now().astimezone(tz)


class Clocks(AppConfig):
    """Moves them when all of the product is loaded."""

    name = "tests.flows.drill"
    label = "drill"

    def ready(self) -> None:
        for tasks in map(import_module, TASKS):
            tasks._now = now  # type: ignore[attr-defined]
        import_module("governance.middleware").datetime = _Moved  # type: ignore[attr-defined]
        keys = import_module("audit.keys")
        keys.time = SimpleNamespace(time_ns=lambda: time.time_ns() + int(seconds() * 1e9))  # type: ignore[attr-defined]
