"""Whose word counts: splits what a system says into what takes effect, what is noted, and what status it means.

Without rules, a directory is authoritative for everything that it says of its own resources. Whatever the rules, an
ended account comes back only by a permit: that is not a field's authority but `accounts.lifecycle`.
"""

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from operator import itemgetter
from typing import Any
from uuid import UUID

from django.db import IntegrityError, models, transaction
from django.db.models import Q
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts.models.account import AccountState
from accounts.models.system import System
from audit.cause import current_tenant
from audit.keys import uuid7_floor
from provisioning import systems
from provisioning.changes import ACCOUNT_TYPES, fold
from provisioning.models.authority import Authority, Direction, FieldAuthority, StatusSource
from provisioning.models.shadow import Shadow
from provisioning.states import Event

# RFC 7643 section 2.1: the name of an attribute, its sub-attribute, and before it the URN of an extension.
_PATH = re.compile(r"(urn:[A-Za-z0-9][\w.:-]*:)?[A-Za-z$][\w$-]*(\.[A-Za-z$][\w$-]*)?", re.ASCII)
_LONGEST_PATH = FieldAuthority._meta.get_field("field").max_length
MOST_VALUES = 100
LONGEST_VALUE = 256


class RuleKind(models.TextChoices):
    """What a rule that is made for a system says.

    None says that `active: false` counts for nothing: a system that may not end accounts is given a token that reads.
    """

    ATTRIBUTE_ENDS = "attribute_ends", gettext_lazy("a value of an attribute ends the account")
    GROUP_ENDS = "group_ends", gettext_lazy("leaving a group ends the account")
    ACTIVE_NOTED = "active_noted", gettext_lazy("“active: true” is noted, and gives nothing")
    MEMBERS_NOTED = "members_noted", gettext_lazy("new members of groups are noted, and given nothing")


_ACTS: Mapping[str, Mapping[str, str]] = {
    RuleKind.ATTRIBUTE_ENDS: {
        "direction": Direction.REDUCES, "authority": Authority.AUTHORITATIVE, "status_from": StatusSource.ATTRIBUTE,
    },
    RuleKind.GROUP_ENDS: {
        "resource_type": "Group", "field": "members", "direction": Direction.REDUCES,
        "authority": Authority.AUTHORITATIVE, "status_from": StatusSource.GROUP,
    },
    RuleKind.ACTIVE_NOTED: {"field": "active", "direction": Direction.EXPANDS, "authority": Authority.ADVISORY},
    RuleKind.MEMBERS_NOTED: {
        "resource_type": "Group", "field": "members", "direction": Direction.EXPANDS, "authority": Authority.ADVISORY,
    },
}  # fmt: skip
# What has an end of its own: the status is `active`'s, and nobody ends by the name they are known by.
NOT_BY_VALUE = frozenset({"active", "id", "schemas", "meta", "members", "groups", "password", "username", "externalid"})


@dataclass(frozen=True)
class BuiltIn:
    """What counts where no rule speaks; `field` is empty for every field that is not named."""

    resource_type: str
    field: str
    direction: Direction
    authority: Authority
    because: Any


# As the code below has it without rules; `test_rulebook` holds each line against what then happens.
BUILT_IN = (
    BuiltIn(
        "User", "active", Direction.REDUCES, Authority.AUTHORITATIVE,
        gettext_lazy("“active: false” ends the account in the request that says it; no rule weakens that"),
    ),
    BuiltIn(
        "User", "active", Direction.EXPANDS, Authority.AUTHORITATIVE,
        gettext_lazy("“active: true” makes a pending account active; an ended one comes back by approval, whatever the rules"),
    ),
    BuiltIn(
        "User", "", Direction.REDUCES, Authority.AUTHORITATIVE,
        gettext_lazy("a directory has the last word about what it says of its own; no value of it ends an account"),
    ),
    BuiltIn(
        "User", "", Direction.EXPANDS, Authority.AUTHORITATIVE,
        gettext_lazy("a directory has the last word about what it says of its own"),
    ),
    BuiltIn(
        "Group", "members", Direction.REDUCES, Authority.AUTHORITATIVE,
        gettext_lazy("whoever a directory takes out of a group is out of it at once; leaving a group ends no account"),
    ),
    BuiltIn(
        "Group", "members", Direction.EXPANDS, Authority.AUTHORITATIVE,
        gettext_lazy("whoever a directory puts into a group of its own is in it"),
    ),
)  # fmt: skip


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
    every_or_its = Q(system__in=systems) | Q(system__isnull=True)
    found = list(FieldAuthority.objects.filter(every_or_its, ended_at__isnull=True))
    return {system: _most_specific(found, system=system) for system in systems}


def place_of(rule: FieldAuthority) -> tuple[str, str, str]:
    """What a rule is about, wherever it counts. A name is one in any case (RFC 7643, section 2.1)."""
    return rule.resource_type, rule.field.casefold(), rule.direction


def _most_specific(rules: Iterable[FieldAuthority], *, system: UUID) -> list[FieldAuthority]:
    """The rules of a system, and of those for every system the ones in whose place it has none of its own."""
    given = [rule for rule in rules if rule.system_id in {None, system}]
    own = [rule for rule in given if rule.system_id is not None]
    taken = {place_of(rule) for rule in own}
    return [*own, *(rule for rule in given if rule.system_id is None and place_of(rule) not in taken)]


def rules_ever(systems: Collection[UUID]) -> list[FieldAuthority]:
    """Every rule that there ever was for these systems, or for all. One query."""
    return list(FieldAuthority.objects.filter(Q(system__in=systems) | Q(system__isnull=True)).order_by("id"))


def rules_of(system: UUID, *, at: datetime) -> list[FieldAuthority]:
    """The rules of a system that counted at an instant, its own first."""
    return in_force(rules_ever([system]), system=system, at=at)


def in_force(rules: Iterable[FieldAuthority], *, system: UUID, at: datetime) -> list[FieldAuthority]:
    """Those of these rules that counted for a system at an instant. A rule's key says when it was made."""
    before = _made_before(at)
    return _most_specific(
        (one for one in rules if one.pk < before and (one.ended_at is None or one.ended_at > at)), system=system
    )


def _made_before(at: datetime) -> UUID:
    return uuid7_floor(int(at.timestamp() * 1000) + 1)


def counted_at(at: datetime) -> Q:
    """The same as a condition of rows: made by an instant, and not ended by then."""
    return made_by(at) & (Q(ended_at__isnull=True) | Q(ended_at__gt=at))


def made_by(at: datetime) -> Q:
    """Rules that were made by an instant, whether they have ended since or not."""
    return Q(pk__lt=_made_before(at))


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


def _is_one_of(document: Mapping[str, Any], path: str, values: Collection[str]) -> bool:
    value = value_at(document, path)
    return isinstance(value, str | bool | int) and _plain(value) in values


def _ended_by_attribute(rules: Iterable[FieldAuthority], document: Mapping[str, Any]) -> str:
    for rule in rules:
        if rule.status_from != StatusSource.ATTRIBUTE or rule.authority != Authority.AUTHORITATIVE:
            continue
        if _is_one_of(document, rule.field, {_plain(v) for v in rule.status_values}):
            return f"{rule.field} is {value_at(document, rule.field)}"
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
    return members_may_come(rules_for(system))


def members_may_come(rules: Iterable[FieldAuthority]) -> bool:
    """Whether by these rules a system puts members into groups by its own word."""
    rule = next((r for r in rules if r.field == "members" and r.direction == Direction.EXPANDS), None)
    return rule is None or rule.authority == Authority.AUTHORITATIVE


# -- the verbs


def ended_by(*, system: System | None, field: str, values: Iterable[str]) -> int:
    """How many accounts that are on have, by this system's last word, one of these values in that attribute.

    Without a system: by the word of any that has no rule of its own for that attribute.
    """
    wanted = {_plain(value) for value in values}
    said = Shadow.objects.filter(
        resource_type__in=ACCOUNT_TYPES, ended_at__isnull=True, account__state=AccountState.ACTIVE
    )
    if system is not None:
        said = said.filter(system=system)
    else:
        ends = {"resource_type": "User", "field__iexact": field, "direction": Direction.REDUCES}
        own = FieldAuthority.objects.filter(ended_at__isnull=True, system__isnull=False, **ends)
        said = said.filter(system__ended_at__isnull=True).exclude(system__in=own.values("system"))
    documents = said.order_by("account_id").values_list("account_id", "document")
    # Whoever two systems know is one account.
    ending = groupby(documents.iterator(chunk_size=1_000), key=itemgetter(0))
    return sum(any(_is_one_of(document, field, wanted) for _account, document in known) for _one, known in ending)


def _checked_field(field: str) -> str:
    if len(field) > (_LONGEST_PATH or 0) or not _PATH.fullmatch(field):
        raise systems.BadSystem(
            _("%(field)s is no path of an attribute: write employmentStatus, or urn:…:User:department.")
            % {"field": field[:80]}
        )
    if field.casefold() in NOT_BY_VALUE:
        raise systems.BadSystem(_("Nobody can end by a value of %(field)s.") % {"field": field})
    return field


def _checked_values(values: Iterable[str]) -> list[str]:
    given = list(dict.fromkeys(value.strip() for value in values if value.strip()))
    if not given:
        raise systems.BadSystem(_("Say at least one value (or the name of one group)."))
    if len(given) > MOST_VALUES or any(len(value) > LONGEST_VALUE for value in given):
        raise systems.BadSystem(
            _("At most %(most)d values, each of at most %(longest)d characters.")
            % {"most": MOST_VALUES, "longest": LONGEST_VALUE}
        )
    return given


def in_words(rule: FieldAuthority) -> str:
    """What a rule says, as the journal and the pages say it."""
    values = ", ".join(str(value) for value in rule.status_values)
    if rule.status_from == StatusSource.ATTRIBUTE:
        return _("an account ends when %(field)s is one of: %(values)s") % {"field": rule.field, "values": values}
    if rule.status_from == StatusSource.GROUP:
        return _("an account ends when it leaves one of: %(values)s") % {"values": values}
    same = (kind for kind, acts in _ACTS.items() if all(getattr(rule, name) == value for name, value in acts.items()))
    kind = next(same, None)
    return str(rule) if kind is None else str(RuleKind(kind).label)


def make_rule(
    *, system: System | None, kind: RuleKind, reason: str, at: datetime, field: str = "", values: Sequence[str] = ()
) -> FieldAuthority:
    """A rule for one system, or without one for all, in the place of the one for the same field and direction.

    It counts for what arrives and is read from now on; where a system has a rule of its own, that one counts there.
    Raises `BadSystem`.
    """
    acts = dict(_ACTS[kind])
    if kind == RuleKind.ATTRIBUTE_ENDS:
        acts["field"] = _checked_field(field.strip())
    says = _checked_values(values) if "status_from" in acts else []
    with transaction.atomic():
        found = None if system is None else systems.living(system)
        made = FieldAuthority(tenant_id=_tenant(), system=found, status_values=says, **acts)
        # A name is one in any case (RFC 7643 section 2.1).
        same = {"resource_type": made.resource_type, "field__iexact": made.field, "direction": made.direction}
        of = Q(system__isnull=True) if found is None else Q(system=found)
        before = FieldAuthority.objects.filter(of, ended_at__isnull=True, **same).first()
        was = "" if before is None else in_words(before)
        if before is not None:
            if in_words(made) == was:
                return before
            _end(before, at=at)
        _save(made)
        _changed(found, event=Event.RULE_MADE, sentence=f"rule: {in_words(made)}", was=was, reason=reason, at=at)
    return made


def _tenant() -> UUID:
    tenant = current_tenant()
    if tenant is None:
        raise LookupError("a rule is made inside of a tenant")
    return tenant


def _save(rule: FieldAuthority) -> None:
    """Two rules that are equally specific would be a tie: the database refuses the second, and so do we."""
    try:
        with transaction.atomic():
            rule.save(force_insert=True)
    except IntegrityError as error:
        raise systems.BadSystem(
            _("Somebody made a rule for %(field)s and the same direction just now: read it, then decide again.")
            % {"field": rule.field}
        ) from error


def end_rule(*, system: System | None, rule: FieldAuthority, reason: str, at: datetime) -> None:
    """A rule of this system, or of all, counts no longer. Its history stays.

    Raises `BadSystem` where the system has ended.
    """
    with transaction.atomic():
        found = None if system is None else systems.living(system)
        of = Q(system__isnull=True) if found is None else Q(system=found)
        held = FieldAuthority.objects.select_for_update().filter(of, pk=rule.pk, ended_at__isnull=True).first()
        if held is not None:
            _end(held, at=at)
            sentence = f"no rule any more: {in_words(held)}"
            _changed(found, event=Event.RULE_ENDED, sentence=sentence, reason=reason, at=at)


def _end(rule: FieldAuthority, *, at: datetime) -> None:
    rule.ended_at = at
    rule.save(update_fields=["ended_at"])


def _changed(system: System | None, *, event: Event, sentence: str, reason: str, at: datetime, was: str = "") -> None:
    """What a system's word is worth is part of its policy: whoever changes it counts as having asked, for 30 days."""
    before = f" (before: {was})" if was else ""
    said = f"{sentence}{before}. {reason}"
    if system is not None:
        systems.administered(system, because=systems.Because.CHANGED_POLICY, who=None, at=at)
        systems.note(system, event=event, sentence=said)
    else:
        systems.every_administered(because=systems.Because.CHANGED_POLICY, at=at, event=event, sentence=said)
