"""A task is an alarm clock: it takes names and ids by keyword, and never a thing."""

from __future__ import annotations

import inspect
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import pytest
from celery import Task, current_app
from django.conf import settings

pytestmark = pytest.mark.house

FLOORS = ("audit", "accounts", "provisioning", "governance")


def tasks() -> dict[str, Any]:
    """Every task of the floors, by its name."""
    for floor in FLOORS:
        if find_spec(f"{floor}.tasks") is not None:
            import_module(f"{floor}.tasks")
    current_app.finalize()
    return {name: task for name, task in current_app.tasks.items() if name.partition(".")[0] in FLOORS}


def test_every_task_takes_its_arguments_by_keyword_only():
    for name, task in tasks().items():
        assert isinstance(task, Task)
        positional = [
            p.name
            for p in inspect.signature(task.run).parameters.values()
            if p.kind is not inspect.Parameter.KEYWORD_ONLY and p.name != "self"
        ]
        assert positional == [], f"{name} takes {positional} by position"


def test_every_task_takes_words_and_ids_at_most():
    plain = {"str", "int", "bool", "str | None", "int | None", "UUID", "UUID | None"}
    for name, task in tasks().items():
        for parameter in inspect.signature(task.run).parameters.values():
            if parameter.name != "self":
                annotation = parameter.annotation
                spelled = (
                    annotation if isinstance(annotation, str) else getattr(annotation, "__name__", str(annotation))
                )
                assert spelled in plain, f"{name}: {parameter}"


def test_every_task_stands_in_a_tasks_module_and_is_called_after_it():
    for name, task in tasks().items():
        assert name == f"{task.run.__module__}.{task.run.__name__}"
        assert task.run.__module__.endswith(".tasks")


def test_the_schedule_wakes_only_tasks_that_exist_with_arguments_that_they_take():
    schedule = getattr(settings, "CELERY_BEAT_SCHEDULE", {})
    known = tasks()
    for entry in schedule.values():
        assert entry["task"] in known, entry
        assert not entry.get("args")
        inspect.signature(known[entry["task"]].run).bind(**entry.get("kwargs", {}))
