"""Writes `docs/states.md` from the state tables of all floors; `--check` only compares."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from django.apps import apps
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from audit.checks import FLOORS

if TYPE_CHECKING:
    from argparse import ArgumentParser

    from audit.transitions import Table

HEAD = """\
# States

Drawn from the tables in `*/states.py` by `manage.py draw_states`; a test compares the two. A state changes only along
an arrow of its table, by `audit.transitions.move`.
"""


def tables() -> dict[str, tuple[Table, ...]]:
    """The state tables of each floor that has some, from the ground up, as they stand in its `states` module."""
    found: dict[str, tuple[Table, ...]] = {}
    for floor in FLOORS:
        name = f"{apps.get_app_config(floor).name}.states"
        if find_spec(name) is not None:
            found[floor] = tuple(import_module(name).ALL)
    return found


def text() -> str:
    """The whole document."""
    parts = [HEAD]
    for floor, drawn in tables().items():
        parts.append(f"\n## {floor}\n")
        parts += [f"\n### {table.name}\n\n```mermaid\n{table.draw()}\n```\n" for table in drawn]
    return "".join(parts)


def document() -> Path:
    """Where it is kept."""
    return Path(settings.BASE_DIR) / "docs" / "states.md"


class Command(BaseCommand):
    """`manage.py draw_states [--check]`."""

    help = "Write docs/states.md from the state tables of all floors."
    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        """`--check` writes nothing and fails where the document differs."""
        parser.add_argument("--check", action="store_true", help="write nothing; fail if the document differs")

    def handle(self, *_: Any, **options: Any) -> None:
        """Write, or compare. Raises `CommandError` where `--check` finds a difference."""
        wanted, path = text(), document()
        if options["check"]:
            if not path.exists() or path.read_text(encoding="utf-8") != wanted:
                raise CommandError("docs/states.md is not what the state tables say: run manage.py draw_states")
            return
        path.parent.mkdir(exist_ok=True)
        path.write_text(wanted, encoding="utf-8")
        self.stdout.write("docs/states.md written")
