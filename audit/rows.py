"""A few sealed rows by their keys, with the texts that their leaves hash (`audit.leaves` reads whole batches)."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from django.db import connection

from audit.leaves import SEND, fix_texts

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from audit.layouts import Layout


@dataclass(frozen=True)
class Row:
    """One row by its key, with the texts that its leaf hashes, and those of its personal columns one by one."""

    key: Any
    raw: bytes
    salt: str | None
    seen: bytes
    hidden: bytes
    personal: tuple[str | None, ...]

    @property
    def personal_digest(self) -> bytes:
        """What stands in its leaf for the personal columns."""
        return sha256((self.salt or "").encode() + self.hidden).digest()

    def leaf(self, layout: Layout, personal: bytes) -> bytes:
        """The leaf that it gives with this digest of the personal columns."""
        return sha256(b"\x00" + layout.table.encode() + b"\n" + self.seen + personal).digest()


def read(layout: Layout, keys: Sequence[Any]) -> Iterator[Row]:
    """These rows, as far as they are there."""
    seen, hidden = (
        ", ".join(f"({text})::text" for text in layout.selected(columns)) for columns in (layout.open, layout.personal)
    )
    table, key = connection.ops.quote_name(layout.table), connection.ops.quote_name(layout.key)
    fix_texts()
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT r.{key}, {SEND[layout.kind]}(r.{key}), r.salt::text, ARRAY[{seen}]::text[], ARRAY[{hidden}]::text[]"  # noqa: S608  sound names
            f" FROM {table} r WHERE r.{key} = ANY(%s)",
            [list(keys)],
        )
        for k, raw, salt, open_texts, personal in cursor.fetchall():
            shown, blanked = layout.written(layout.open, open_texts), layout.written(layout.personal, personal)
            yield Row(k, bytes(raw), salt, shown, blanked, tuple(personal))
