"""What verifiers must know of what is gone by right: values that were erased, and rows that went into an archive.

Neither is believed because it is said. An erased row still has to give the leaf that was sealed, from the columns that are
left and the digest that was kept, and what was erased must be blank. An archive takes out whole rows, by their keys.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from audit.erasing import BLANK
from audit.layouts import KEY_SIZES, key_value
from audit.models import Archived, ErasedValue
from audit.rows import read

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from audit.layouts import Layout

_BLANK = re.compile(rf"{re.escape(BLANK)}( [0-9a-f-]{{1,36}})?|\{{\}}|\[\]")
_AT_ONCE = 1_000


def leaves(layout: Layout, keys: Sequence[bytes]) -> dict[bytes, bytes]:
    """Of those of these rows that were erased, and are blank: the leaf that they give with the digest that was kept."""
    found: dict[bytes, bytes] = {}
    for start in range(0, len(keys), _AT_ONCE):
        some = [key_value(key, layout.kind) for key in keys[start : start + _AT_ONCE]]
        of_table = ErasedValue.objects.filter(table_name=layout.table, row_key__in=[str(key) for key in some])
        kept = dict(of_table.values_list("row_key", "digest"))
        if not kept:
            continue
        for row in read(layout, some):
            digest = kept.get(str(row.key))
            if digest is not None and row.salt is None and all(is_blank(text) for text in row.personal):
                found[row.raw] = row.leaf(layout, bytes.fromhex(digest))
    return found


def is_blank(text: str | None) -> bool:
    """Whether that is what stands where something was erased."""
    return text is None or _BLANK.fullmatch(text) is not None


def archived(number: int, layout: Layout) -> set[bytes]:
    """The keys of a seal's rows of this table that went into an archive."""
    return {key for table, keys in archived_of(number) if table == layout.table for key in split(keys, layout.kind)}


def archived_of(number: int) -> Iterator[tuple[str, bytes]]:
    """By table, the keys of a seal's rows that went into archives, one after the other. A table may come more than once."""
    # The scope in force has one tenant, and row-level security shows no other.
    for table, keys in Archived.objects.filter(number=number).values_list("table_name", "keys"):
        yield str(table), bytes(keys)


def split(keys: bytes, kind: str) -> list[bytes]:
    """Keys that were kept one after the other."""
    size = KEY_SIZES[kind]
    return [keys[at : at + size] for at in range(0, len(keys), size)]
