"""Whose word counts: splits what a system says into what takes effect, what is noted, and what status it means.

Without rules, a directory is authoritative for everything that it says of its own resources. Whatever the rules, an
ended account comes back only by a permit: that is not a field's authority but `accounts.lifecycle`.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db.models import Q

from accounts.models.system import System
from provisioning.changes import fold
from provisioning.models.authority import Authority, Direction, FieldAuthority, StatusSource


@dataclass(frozen=True)
class StatusWord:
    """What a system's word means for the status: `active` (None: nothing that counts), and because of which field.

    `needs_approval`: the word may not make an account active by itself. (An ended one comes back only so, anyway.)
    """

    active: bool | None
    because: str
    needs_approval: bool = False


def rules_for(system: System) -> list[FieldAuthority]:
    """The rules of a system and those for every system, its own first."""
    return rules_by_system([system.pk])[system.pk]


def rules_by_system(systems: Collection[UUID]) -> dict[UUID, list[FieldAuthority]]:
    """The rules of each of these systems, as `rules_for`. One query, however many there are."""
    found = list(FieldAuthority.objects.filter(Q(system__in=systems) | Q(system__isnull=True)))
    every = [rule for rule in found if rule.system_id is None]
    return {system: [*(rule for rule in found if rule.system_id == system), *every] for system in systems}


def value_at(document: Mapping[str, Any], path: str) -> Any:
    """The value at a path such as `title` or `urn:…:2.0:User:department`, names in any case (RFC 7643, 2.1)."""
    value: Any = document
    if path.lower().startswith("urn:"):
        schema, _, path = path.rpartition(":")
        value = _named(document, schema)
    for part in path.split("."):
        value = _named(value, part)
    return value


def _named(value: Any, name: str) -> Any:
    if not isinstance(value, Mapping):
        return None
    if name in value:
        return value[name]
    return next((one for key, one in value.items() if key.casefold() == name.casefold()), None)


def _plain(value: Any) -> str:
    return fold(str(value)).strip()


def _ended_by_attribute(rules: Iterable[FieldAuthority], document: Mapping[str, Any]) -> str:
    for rule in rules:
        if rule.status_from != StatusSource.ATTRIBUTE or rule.authority != Authority.AUTHORITATIVE:
            continue
        value = value_at(document, rule.field)
        if isinstance(value, str | bool | int) and _plain(value) in {_plain(v) for v in rule.status_values}:
            return f"{rule.field} is {value}"
    return ""


def status(*, active: bool | None, document: Mapping[str, Any], rules: Iterable[FieldAuthority]) -> StatusWord:
    """What a request asks for, or a reading shows, says about the status. A field that means "ended" wins over
    `active: true`.
    """
    rules = list(rules)
    if because := _ended_by_attribute(rules, document):
        return StatusWord(active=False, because=because)
    if active is None:
        return StatusWord(active=None, because="")
    direction = Direction.EXPANDS if active else Direction.REDUCES
    word = next((r.authority for r in rules if r.field == "active" and r.direction == direction), None)
    if word == Authority.ADVISORY:
        return StatusWord(active=None, because="active is advisory here")
    # A reduction that is stated about one object takes effect, whatever a rule says about who must approve.
    needs_approval = active and word == Authority.NEEDS_APPROVAL
    return StatusWord(active=active, because=f"active is {str(active).lower()}", needs_approval=needs_approval)


def status_groups(*, system: System) -> frozenset[str]:
    """Names (normalised) of the groups whose loss means that the account has ended, for a system."""
    names: set[str] = set()
    for rule in rules_for(system):
        if rule.status_from == StatusSource.GROUP and rule.authority == Authority.AUTHORITATIVE:
            names.update(_plain(value) for value in rule.status_values)
    return frozenset(names)


def ends_members_of(*, system: System, group_key: str) -> bool:
    """Whether losing membership of that group of a system means that the account has ended."""
    return group_key in status_groups(system=system)


def expanding_members_allowed(*, system: System) -> bool:
    """Whether a system may put members into groups by its own word."""
    rules = rules_for(system)
    rule = next((r for r in rules if r.field == "members" and r.direction == Direction.EXPANDS), None)
    if rule is None:
        return True
    return rule.authority == Authority.AUTHORITATIVE
