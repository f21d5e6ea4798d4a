"""Statements that stand in an SQL file beside the module that asks them, each under its name.

    -- name: matched
    -- name: status over matched

One that is "over" another begins with that one's table expression.
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from django.db import connection

_SECTION = re.compile(r"^-- name: (\w+)(?: over (\w+))?$", re.MULTILINE)
_AT_ONCE = 1_000


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
