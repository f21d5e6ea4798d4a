"""What is written about whose word counts: what is built in, which rules counted at an instant, and who made them.

It only reads. What a rule does stands in `authority`; here it is told to somebody who has to judge it.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from typing import Any
from uuid import UUID

from django.db.models import Count, Q, QuerySet
from django.db.models.functions import Lower
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from audit.models import Cause
from provisioning import authority
from provisioning.authority import BUILT_IN, BuiltIn
from provisioning.models.authority import FieldAuthority

_CHUNK = 500

Place = tuple[str, str, str]


@dataclass(frozen=True)
class Deed:
    """That somebody made or ended a rule: when, who, and why. An erased or imported cause leaves `who` empty."""

    at: datetime
    who: str
    why: str


@dataclass(frozen=True)
class Version:
    """One rule with its whole life: a rule never changes what it says, another is made in its place."""

    rule: FieldAuthority
    words: str
    made: Deed | None
    ended: Deed | None


@dataclass(frozen=True)
class Taken:
    """How many rules there are for each place: of systems, and whether there is one for all; and at one system."""

    own: Mapping[Place, int] = field(default_factory=dict)
    every: frozenset[Place] = frozenset()
    here: frozenset[Place] = frozenset()


def in_force(*, at: datetime, system: UUID | None = None) -> QuerySet[FieldAuthority]:
    """The rules that stood at an instant, of systems that lived then; of one system: its own and those for all."""
    found = FieldAuthority.objects.filter(authority.counted_at(at), _lived(at)).select_related("system")
    if system is not None:
        found = found.filter(Q(system=system) | Q(system__isnull=True))
    return found.order_by("resource_type", Lower("field"), "direction", "system__name", "id")


def ended(*, at: datetime, system: UUID | None = None) -> QuerySet[FieldAuthority]:
    """The rules that had ended by an instant, the last ended first."""
    found = FieldAuthority.objects.filter(authority.made_by(at), ended_at__lte=at).select_related("system")
    if system is not None:
        found = found.filter(Q(system=system) | Q(system__isnull=True))
    return found.order_by("-ended_at", "-id")


def _lived(at: datetime) -> Q:
    return Q(system__isnull=True) | Q(system__ended_at__isnull=True) | Q(system__ended_at__gt=at)


def taken(*, at: datetime, system: UUID | None = None) -> Taken:
    """Who has a rule for what, at an instant. One query; one row for each attribute that has any rule."""
    rules = FieldAuthority.objects.filter(authority.counted_at(at), _lived(at))
    counted = (
        rules.order_by()
        .values("resource_type", "direction", name=Lower("field"))
        .annotate(
            own=Count("id", filter=Q(system__isnull=False)),
            every=Count("id", filter=Q(system__isnull=True)),
            here=Count("id", filter=Q(system=system) if system else Q(pk__in=[])),
        )
    )
    rows = [((row["resource_type"], row["name"], row["direction"]), row) for row in counted]
    return Taken(
        own={place: row["own"] for place, row in rows if row["own"]},
        every=frozenset(place for place, row in rows if row["every"]),
        here=frozenset(place for place, row in rows if row["here"]),
    )


def of_rule(rule: FieldAuthority, taken: Taken) -> tuple[bool, str]:
    """Whether a rule counts where one looks, and why, by the one law: the most specific wins."""
    place = authority.place_of(rule)
    if rule.system_id is not None:
        if place in taken.every:
            return True, _("it is of this system, and so wins over the rule for every system")
        return True, _("it is of this system, in the place of what is built in")
    if place in taken.here:
        return False, _("the system has a rule of its own, which is more specific")
    if others := taken.own.get(place, 0):
        text = ngettext(
            "for every system but %(n)d, which has a rule of its own",
            "for every system but %(n)d, which have rules of their own",
            others,
        )
        return True, text % {"n": others}
    return True, _("for every system: none has a rule of its own")


def of_built_in(line: BuiltIn, taken: Taken) -> tuple[bool, str]:
    """Whether what is built in counts where one looks, and why."""
    place = (line.resource_type, line.field.casefold(), str(line.direction))
    if not line.field:
        return True, _("for every field and system without a rule")
    if place in taken.every:
        return False, _("there is a rule for every system")
    if place in taken.here:
        return False, _("the system has a rule of its own")
    if others := taken.own.get(place, 0):
        text = ngettext(
            "for every system but %(n)d, which has a rule", "for every system but %(n)d, which have rules", others
        )
        return True, text % {"n": others}
    return True, _("for every system: none has a rule")


def versions(rules: Iterable[FieldAuthority]) -> Iterator[Version]:
    """These rules with who made and who ended them: two queries for each five hundred."""
    stream = iter(rules)
    while some := list(islice(stream, _CHUNK)):
        yield from _with_deeds(some)


def _with_deeds(rules: list[FieldAuthority]) -> Iterator[Version]:
    history: Any = FieldAuthority.history
    made: dict[UUID, Any] = {}
    over: dict[UUID, Any] = {}
    for row in history.filter(id__in=[rule.pk for rule in rules]).order_by("history_id"):
        made.setdefault(row.id, row)
        if row.ended_at is not None:
            over.setdefault(row.id, row)
    causes = Cause.objects.in_bulk({row.cause_id for row in (*made.values(), *over.values()) if row.cause_id})
    for rule in rules:
        yield Version(
            rule, authority.in_words(rule), _deed(made.get(rule.pk), causes), _deed(over.get(rule.pk), causes)
        )


def _deed(row: Any, causes: Mapping[int, Cause]) -> Deed | None:
    if row is None:
        return None
    cause = causes.get(row.cause_id)
    return Deed(row.ended_at or row.history_date, cause.actor if cause else "", cause.reason if cause else "")


def built_in(taken: Taken) -> list[tuple[BuiltIn, bool, str]]:
    """What counts without any rule, each line with whether it counts where one looks, and why."""
    return [(line, *of_built_in(line, taken)) for line in BUILT_IN]
