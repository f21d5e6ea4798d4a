"""What every feed promises, so that whoever follows one needs to know nothing else about it.

A feed is a generator of batches from a position on. Each batch holds events that are whole and in an order in which each
resource's own order is kept; an event may come again, under the same key. `position` is where a later call may begin
without missing anything that was ever said before it; it is None as long as nothing certain can be said, and then the
next call begins where this one did. A feed that can't go on from a position says `Gap`, and never begins elsewhere.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from provisioning.connectors.addresses import EgressError

Position = Mapping[str, Any]


class Gap(EgressError):
    """What came between a position and now is not to be had from the feed any more; `reason` is for people."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One resource as its system showed it at one moment; `modified` is that system's own time.

    `document` is the whole resource as it was sent, without its password. `jti` is the sender's own id of the event, where it
    has one (RFC 8417, section 2.2): then that alone says whether it is the same.
    """

    resource_type: str
    remote_id: str
    modified: datetime
    document: Mapping[str, Any] = field(default_factory=dict)
    jti: str = ""

    @property
    def key(self) -> str:
        """By which it is known when it comes again: its `jti`, or the same resource with the same content at the same time."""
        parts = (
            ["jti", self.jti]
            if self.jti
            else [self.resource_type, self.remote_id, self.modified.isoformat(), self.document]
        )
        text = json.dumps(parts, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
        return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Some events, and the position after them, if it is certain."""

    events: tuple[Event, ...] = ()
    position: Position | None = None
    forget_before: datetime | None = None
    """From the position on nothing is shown again that is older than that."""


class Feed(Protocol):
    """One stream of one system."""

    def batches(self, position: Position) -> Iterator[Batch]:
        """What was said since. Waits for the network: never call it in a transaction. Raises `Gap` and `EgressError`s."""
        ...

    def begins_at(self, moment: datetime) -> Position:
        """The position from which nothing is missed that was said at or after that moment of our clock."""
        ...
