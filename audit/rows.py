"""A few sealed rows by their keys, with the texts that their leaves hash (`audit.leaves` reads whole batches)."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from django.db import connection

from audit.leaves import SEND, lines_of, texts_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from audit.leaves import Layout


@dataclass(frozen=True)
class Row:
    """One row by its key, with the texts that its leaf hashes, and those of its personal columns one by one."""

    key: Any
    raw: bytes
    salt: str | None
    seen: str
    hidden: str
    personal: tuple[str | None, ...]

    @property
    def personal_digest(self) -> bytes:
        """What stands in its leaf for the personal columns."""
        return sha256(f"{self.salt or ''}{self.hidden}".encode()).digest()

    def leaf(self, layout: Layout, personal: bytes) -> bytes:
        """The leaf that it gives with this digest of the personal columns."""
        return sha256(b"\x00" + f"{layout.table}\n{self.seen}".encode() + personal).digest()


def read(layout: Layout, keys: Sequence[Any]) -> Iterator[Row]:
    """These rows, as far as they are there."""
    listed, open_cells, personal_cells = texts_of(layout)
    table, key = connection.ops.quote_name(layout.table), connection.ops.quote_name(layout.key)
    single = ", ".join(f"x{len(layout.open) + at}" for at in range(len(layout.personal)))
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT k, {SEND[layout.kind]}(k), s, {lines_of(open_cells)}, {lines_of(personal_cells)},"  # noqa: S608  sound names
            f" ARRAY[{single}]::text[] FROM (SELECT r.{key} AS k, r.salt::text AS s, {listed}"
            f" FROM {table} r WHERE r.{key} = ANY(%s) OFFSET 0) x",
            [list(keys)],
        )
        for k, raw, salt, seen, hidden, personal in cursor.fetchall():
            yield Row(k, bytes(raw), salt, seen, hidden, tuple(personal))
