"""The reliability of sources: how much of what they should have told us did a reading have to find?

of_window(at=…, days=…) -> League      every living system, worst first; as many queries for one as for three hundred

All of it is counted from rows: exchanges by ranges of their keys, which an index holds in order; differences by their
findings, each once, however many readings showed it. What nobody measured is None, never zero: without a complete reading
there may have been repairs to make, and where the ledger was archived there were events that are not here any more.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any
from uuid import UUID

from django.db.models import Case, Count, IntegerField, Max, OuterRef, QuerySet, Subquery, Value, When
from django.db.models.functions import Coalesce

from accounts.models.finding import Attribution, Finding
from accounts.models.system import System
from audit.keys import uuid7_floor, uuid7_of_tomorrow
from governance.freshness import DIFFERENCES
from provisioning.changes import Outcome
from provisioning.models.erasure import Archive
from provisioning.models.exchange import Exchange
from provisioning.models.run import Run, RunState

WINDOWS = (7, 30, 90)
WEEKS = 13
_WEEK = timedelta(days=7)

Counts = dict[tuple[UUID, int], int]


@dataclass(frozen=True)
class Source:
    """One system in the window.

    `events` came; `refused` of them were refused. `repairs` are the differences that readings found, `why` by attribution,
    the most first. `rate` is repairs for each 1,000 events. `readings` were complete. `trend` is the rate of each week,
    the oldest first.
    """

    system: UUID
    name: str
    events: int | None
    refused: int | None
    readings: int
    repairs: int | None
    why: tuple[tuple[Attribution, int], ...]
    rate: float | None
    trend: tuple[float | None, ...]

    def _by(self, word: Attribution) -> int | None:
        return None if self.repairs is None else dict(self.why).get(word, 0)

    @property
    def lost(self) -> int | None:
        """Repairs of what no event ever told."""
        return self._by(Attribution.LOST_EVENT)

    @property
    def late(self) -> int | None:
        """Repairs of what an event told late, or out of turn."""
        return self._by(Attribution.LATE_EVENT)


@dataclass(frozen=True)
class League:
    """The sources, worst first, and the days at which the weeks of their trends end."""

    sources: tuple[Source, ...]
    weeks: tuple[datetime, ...]
    since: datetime
    events_known_since: datetime | None
    """Where the ledger was archived: from when on it is whole."""


@dataclass(frozen=True)
class _Spans:
    """The stretches of time in which rows are counted: their bounds, the oldest first; the last one is open."""

    bounds: tuple[datetime, ...]

    def by_key(self) -> list[tuple[int, UUID, UUID]]:
        """Each stretch by its number, as a range of keys, which begin with the time."""
        keys = [*(_key(bound) for bound in self.bounds), uuid7_of_tomorrow()]
        return [(number, low, high) for number, (low, high) in enumerate(pairwise(keys))]

    def by_time(self, name: str) -> Case:
        """The stretch of a row by one of its instants."""
        cases = [When(**{f"{name}__lt": bound}, then=Value(n)) for n, bound in enumerate(self.bounds[1:])]
        return Case(*cases, default=Value(len(self.bounds) - 1), output_field=IntegerField())

    def since(self, at: datetime) -> range:
        """The stretches from one bound on."""
        return range(self.bounds.index(at), len(self.bounds))

    def between(self, start: datetime, end: datetime | None) -> range:
        """The stretches from one bound to another, or to the end."""
        return range(self.bounds.index(start), len(self.bounds) if end is None else self.bounds.index(end))


@dataclass
class _Tally:
    """What was counted, for each system and stretch."""

    events: Counts = field(default_factory=dict)
    refused: Counts = field(default_factory=dict)
    readings: Counts = field(default_factory=dict)
    repairs: dict[tuple[UUID, str], Counts] = field(default_factory=dict)


def _key(at: datetime) -> UUID:
    return uuid7_floor(int(at.timestamp() * 1000))


def of_window(*, at: datetime, days: int) -> League:
    """Every living system in the last so many days, worst first. Six queries."""
    since = at - timedelta(days=days)
    weeks = [at - _WEEK * n for n in range(WEEKS, 0, -1)]
    spans = _Spans(tuple(sorted({since, *weeks})))
    known_since = Archive.objects.aggregate(since=Max("kept_since"))["since"]
    tally = _tally(spans)
    sources = [
        _source(system, tally, spans, since=since, weeks=weeks, known_since=known_since)
        for system in System.objects.filter(ended_at__isnull=True).order_by("name")
    ]
    return League(
        sources=tuple(sorted(sources, key=_worst_first)),
        weeks=tuple(week + _WEEK for week in weeks),
        since=since,
        events_known_since=known_since,
    )


def _worst_first(source: Source) -> tuple[int, float, str]:
    """What is wrong by its measure, then what is not measured, then what is right."""
    if source.repairs and source.rate is None:
        return 0, -source.repairs, source.name
    if source.rate:
        return 1, -source.rate, source.name
    return (2 if source.repairs is None else 3), 0.0, source.name


def _counted(rows: QuerySet[Any], span: Case) -> Counts:
    found = rows.order_by().annotate(span=span).values_list("system_id", "span").annotate(n=Count("*"))
    return {(system, number): n for system, number, n in found}


def _came(rows: QuerySet[Exchange], spans: _Spans) -> Counts:
    """How many of these exchanges came, for each living system and stretch. One query.

    Each count is a range of one index, which holds the keys of a system in order. Grouping the rows instead reads the
    whole table, and took three times as long at a million exchanges.
    """

    def counted(low: UUID, high: UUID) -> Coalesce:
        of_system = rows.filter(system=OuterRef("pk"), id__gte=low, id__lt=high).order_by()
        return Coalesce(Subquery(of_system.values("system").annotate(n=Count("*")).values("n")), 0)

    names = {f"span_{number}": counted(low, high) for number, low, high in spans.by_key()}
    living = System.objects.filter(ended_at__isnull=True).order_by().annotate(**names)
    return {
        (system, number): n for system, *counts in living.values_list("pk", *names) for number, n in enumerate(counts)
    }


def _tally(spans: _Spans) -> _Tally:
    first = spans.bounds[0]
    ended = Run.objects.filter(state=RunState.CLOSED, started_at__gte=first)
    tally = _Tally(
        events=_came(Exchange.objects.all(), spans),
        refused=_came(Exchange.objects.filter(outcome=Outcome.REJECTED), spans),
        readings=_counted(ended, spans.by_time("started_at")),
    )
    differ = Finding.objects.filter(kind__in=DIFFERENCES, system__isnull=False, first_seen_at__gte=first)
    rows = (
        differ.exclude(attribution=Attribution.NONE)
        .order_by()
        .annotate(span=spans.by_time("first_seen_at"))
        .values_list("system_id", "attribution", "span")
        .annotate(n=Count("*"))
    )
    for system, word, span, n in rows:
        tally.repairs.setdefault((system, word), {})[system, span] = n
    return tally


def _sum(counts: Mapping[tuple[UUID, int], int], system: UUID, spans: Iterable[int]) -> int:
    return sum(counts.get((system, span), 0) for span in spans)


def _rate(repairs: int | None, events: int | None) -> float | None:
    return None if repairs is None or not events else round(1000 * repairs / events, 1)


def _source(
    system: System,
    tally: _Tally,
    spans: _Spans,
    *,
    since: datetime,
    weeks: Sequence[datetime],
    known_since: datetime | None,
) -> Source:
    def repairs(within: range) -> dict[Attribution, int] | None:
        if not _sum(tally.readings, system.pk, within):
            return None
        words = ((word, tally.repairs.get((system.pk, word), {})) for word in Attribution)
        return {word: n for word, counts in words if (n := _sum(counts, system.pk, within))}

    def events(start: datetime, within: range) -> int | None:
        is_whole = known_since is None or start >= known_since
        return _sum(tally.events, system.pk, within) if is_whole else None

    def week(start: datetime, end: datetime | None) -> float | None:
        within = spans.between(start, end)
        why = repairs(within)
        return _rate(None if why is None else sum(why.values()), events(start, within))

    window = spans.since(since)
    why, came = repairs(window), events(since, window)
    found = None if why is None else sum(why.values())
    return Source(
        system=system.pk,
        name=system.name,
        events=came,
        refused=None if came is None else _sum(tally.refused, system.pk, window),
        readings=_sum(tally.readings, system.pk, window),
        repairs=found,
        why=tuple(sorted((why or {}).items(), key=lambda one: (-one[1], one[0]))),
        rate=_rate(found, came),
        trend=tuple(week(start, end) for start, end in zip(weeks, [*weeks[1:], None], strict=True)),
    )
