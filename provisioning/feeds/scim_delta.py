"""SCIM by `meta.lastModified`: what a server says that has changed since a time (RFC 7643, 3.1; RFC 7644, 3.4.2.2).

What such a list can't be trusted with, and what is done about it:

* Several resources share a time, and one that was written earlier may be shown later: every pass begins `OVERLAP` before
  the position, and what came before is known by its key.
* Pages shift while a resource moves to their end: the position moves only after a pass in which every page told the same
  total and as many different resources came as it said.
* A server that does not know the filter may answer with everything: each resource is checked against it.
* Deletions are in no such list: a complete reading finds them, as it finds whatever else was lost.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from provisioning.connectors.readings import BadAnswer, attribute
from provisioning.connectors.scim import Directory, ResourceType
from provisioning.feeds.contract import Batch, Event, Gap, Position

OVERLAP = timedelta(minutes=2)
# More than that since the last time is read sooner and better by a complete reading.
MOST = 50_000


@dataclass(frozen=True)
class ScimDelta:
    """The changes of one kind of resources of one server, `count` to a page."""

    directory: Directory
    resource_type: ResourceType
    count: int = 100

    def begins_at(self, moment: datetime) -> Position:
        """Their clock may be behind ours by as much as the overlap."""
        return {"modified": (moment - OVERLAP).astimezone(UTC).isoformat()}

    def batches(self, position: Position) -> Iterator[Batch]:
        """One pass. Its last batch has the new position, where the pass was steady."""
        newest = _time(position.get("modified"))
        if newest is None:
            raise Gap("The position of this feed is not one of its own.")
        since = newest - OVERLAP
        since = since.replace(microsecond=since.microsecond // 1000 * 1000)
        ids: set[int] = set()
        totals: set[int] = set()
        for page in self.directory.changes(self.resource_type, since=since, count=self.count):
            if page.total_results > MOST:
                raise Gap(f"{page.total_results} resources have changed since: a complete reading is due instead.")
            totals.add(page.total_results)
            events = tuple(self._event(resource, since) for resource in page.resources)
            ids.update(hash(event.remote_id) for event in events)
            newest = max([newest, *(event.modified for event in events)])
            yield Batch(events=events)
        if len(totals) == 1 and totals == {len(ids)}:
            position = {"modified": newest.astimezone(UTC).isoformat()}
            # With the milliseconds that a filter cuts off.
            yield Batch(position=position, forget_before=newest - OVERLAP - timedelta(seconds=1))

    def _event(self, resource: Mapping[str, Any], since: datetime) -> Event:
        meta = attribute(resource, "meta")
        modified = _time(attribute(meta, "lastModified")) if isinstance(meta, Mapping) else None
        if modified is None:
            raise BadAnswer("A resource has no meta.lastModified that is a time: its changes can't be followed.")
        if modified < since:
            raise BadAnswer("The directory ignored the filter on meta.lastModified: a result is older.")
        document = {name: value for name, value in resource.items() if name.casefold() != "password"}
        remote_id = str(attribute(resource, "id"))
        kind = "User" if self.resource_type == "Users" else "Group"
        return Event(resource_type=kind, remote_id=remote_id, modified=modified, document=document)


def _time(value: object) -> datetime | None:
    """An xsd:dateTime with its zone (RFC 7643, 2.3.5)."""
    if not isinstance(value, str):
        return None
    try:
        found = datetime.fromisoformat(value)
    except ValueError:
        return None
    return found if found.tzinfo is not None else None
