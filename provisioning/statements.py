"""Statements that stand in an SQL file beside the module that asks them, each under its name.

    -- name: matched
    -- name: status over matched

One that is "over" another begins with that one's table expression.
"""

import re
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

from django.db import connection

_SECTION = re.compile(r"^-- name: (\w+)(?: over (\w+))?$", re.MULTILINE)
_AT_ONCE = 1_000


@contextmanager
def planned(**settings: str) -> Iterator[None]:
    """What the planner is told about the statements within, for tables whose statistics can't be believed yet: those that
    were filled just now, in this transaction or before anybody has analysed them. Afterwards it is as it was.
    """
    names = list(settings)
    with connection.cursor() as cursor:
        # Two statements, since one would read some after it had set them.
        cursor.execute(
            "SELECT array_agg(current_setting(name) ORDER BY at) FROM unnest(%s::text[]) WITH ORDINALITY AS s (name, at)",
            [names],
        )
        before = cursor.fetchone()[0]
        _set(names, list(settings.values()))
    yield
    _set(names, before)


def set_against_set() -> AbstractContextManager[None]:
    """Hash joins only. Fresh rows have no statistics: expecting one, the planner would compare each with each, by a nested
    loop, or by a merge over the resource type alone with the id as a filter (47 s instead of .1 s for 20,000).

    With what is turned off costed as forbidden, PostgreSQL before 18 takes every plan for dear enough to be compiled:
    seconds for what then runs for milliseconds.
    """
    return planned(enable_nestloop="off", enable_mergejoin="off", jit="off")


def _set(names: list[str], values: list[str]) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT set_config(name, value, true) FROM unnest(%s::text[], %s::text[]) AS s (name, value)",
            [names, values],
        )


class Statements:
    """Those of the file beside one module (its `__file__`)."""

    def __init__(self, module: str) -> None:
        parts = _SECTION.split(Path(module).with_suffix(".sql").read_text())[1:]
        named = {name: (over, text) for name, over, text in zip(parts[::3], parts[1::3], parts[2::3], strict=True)}
        self._texts = {name: (named[over][1] if over else "") + text for name, (over, text) in named.items()}

    def __getitem__(self, name: str) -> str:
        return self._texts[name]

    def rows(self, name: str, parameters: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        """What one of them answers, by the names of its columns; a thousand rows at a time are made into these."""
        with connection.cursor() as cursor:
            cursor.execute(self[name], parameters)
            columns = [column.name for column in cursor.description or ()]
            while rows := cursor.fetchmany(_AT_ONCE):
                yield from (dict(zip(columns, row, strict=True)) for row in rows)
