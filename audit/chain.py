"""The seals of a tenant in their order, with what they say of their rows, and in batches that one statement can answer."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING

from audit import sealing
from audit.layouts import Layout, Shape, layouts
from audit.leaves import NEVER, Batch

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from uuid import UUID

    from audit.models import Seal

# Of one batch: enough that a statement is worth its round trip, few enough to be held in memory.
_SEALS, _ROWS = 200, 200_000


@dataclass(frozen=True)
class Link:
    """One seal with its shape, where that can be read, and the last cause that it can cover."""

    seal: Seal
    shape: Shape | None
    upto: int

    @cached_property
    def leaves(self) -> bytes | None:
        """The list of its leaves, if it is as long as the shape says."""
        leaves = bytes(self.seal.leaves)
        return leaves if self.shape is not None and self.shape.size == len(leaves) else None

    @cached_property
    def parts(self) -> dict[str, bytes]:
        """Its leaves by table; nothing where they can't be told apart."""
        leaves = self.leaves
        return self.shape.parts(leaves) if self.shape is not None and leaves is not None else {}


def links(tenant: UUID | None) -> Iterator[Link]:
    """Every seal of a tenant, the oldest first."""
    places = sorted(set(sealing.seals(tenant).order_by().values_list("after_id", flat=True)))
    # Causes that were counted from a place on go as far as the next: the database counted its transactions anew there.
    bounds = dict(pairwise(places))
    for seal in sealing.seals(tenant).order_by("number").iterator(chunk_size=20):
        try:
            shape = Shape.parse(seal.shape)
        except ValueError:
            shape = None
        yield Link(seal, shape, bounds.get(seal.after_id, NEVER))


@dataclass
class Run:
    """Links that follow each other without a gap and hash the same columns."""

    links: list[Link]
    layouts: dict[str, Layout]
    rows: int = 0

    @property
    def batch(self) -> Batch:
        """Where their rows are."""
        first, last = self.links[0], self.links[-1]
        starts = tuple(one.seal.from_xid for one in self.links)
        return Batch(first.seal.tenant_id, starts, last.seal.to_xid, after=first.seal.after_id, upto=first.upto)

    def layout(self, table: str) -> Layout:
        """The columns that were hashed of a table; of one that has no row in them, those of today."""
        return self.layouts.get(table) or layouts()[table]

    def takes(self, link: Link, described: dict[str, Layout]) -> bool:
        """Whether the link can be asked for together with these."""
        last = self.links[-1].seal
        goes_on = (link.seal.after_id, link.seal.from_xid) == (last.after_id, last.to_xid)
        fits = all(self.layouts.get(table, layout) == layout for table, layout in described.items())
        return goes_on and fits and len(self.links) < _SEALS and self.rows + link.seal.rows <= _ROWS


def runs(found: Iterable[Link]) -> Iterator[Run]:
    """The links, put together as far as they fit."""
    run: Run | None = None
    for link in found:
        described = {table: layout for table, (layout, _) in link.shape.tables.items()} if link.shape else {}
        if run is not None and run.takes(link, described):
            run.links.append(link)
            run.layouts |= described
        else:
            if run is not None:
                yield run
            run = Run([link], dict(described))
        run.rows += link.seal.rows
    if run is not None:
        yield run
