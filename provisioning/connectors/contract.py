"""What every connector for reading promises, so that whoever reads a system needs to know nothing else about it.

Resources are SCIM documents (RFC 7643, 4.1 and 4.2), whatever the system itself speaks: a translation stands in its
connector. A listing is a chain of pages of one kind; the position after a page is opaque text of the connector's own. A
connector that `resumes` takes it from any process at any later time; the positions of another are good only for the
reader that gave them, and whoever comes back begins its listing anew.

Every call waits for the network or for rows: never make it in a transaction. What goes wrong is an `EgressError` with a
sentence for people, in which no secret stands and no value that the other system sent.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, Protocol, TypeAlias

Kind = Literal["User", "Group"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Some resources of one kind, and where the next page begins; None where this one is the last.

    `total` is how many of the kind the system says there are, None where it says nothing. `as_of` is since when what it
    shows is so, where that is earlier than the asking.
    """

    resources: tuple[Mapping[str, Any], ...]
    position: str | None
    total: int | None = None
    as_of: datetime | None = None


@dataclass(frozen=True, slots=True)
class Unreadable:
    """There is nothing of this kind to be read there, and why: nothing follows about it."""

    reason: str


@dataclass(frozen=True, slots=True)
class Found:
    """The one resource that was asked for."""

    document: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Absent:
    """The system itself says that there is no such resource: a proof, never a guess."""


@dataclass(frozen=True, slots=True)
class Unknown:
    """Nothing was proved in either direction, and why."""

    reason: str


Answer: TypeAlias = Found | Absent | Unknown


class Reader(Protocol):
    """One system, opened for reading. All methods raise `EgressError`s where it can't be reached at all."""

    @property
    def resumes(self) -> bool:
        """Whether a position is good for another reader of the same system too."""
        ...

    def page(self, kind: Kind, *, position: str, count: int) -> Page | Unreadable:
        """The page at a position of a listing, `""` being its beginning, with at most `count` resources.

        What is not as the system's protocol asks is a `BadAnswer`, in the middle of a listing as at its beginning:
        it never ends a listing as if it were whole. `Unreadable` is only answered at the beginning.
        """
        ...

    def get(self, kind: Kind, remote_id: str) -> Answer:
        """One resource by its id, which is not empty."""
        ...

    def named(self, kind: Kind, name: str) -> Answer:
        """One resource by its userName or displayName. Two that answer to it are `Unknown`."""
        ...
