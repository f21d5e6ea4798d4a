"""What of an older request is left to be taken, when all that is newer stands.

By attribute, by member and for the status: what a newer accepted request spoke of, or somebody decided since, is kept.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from django.utils.translation import gettext as _

from accounts import memberships
from accounts.memberships import Member
from accounts.models.account import AccountState
from accounts.models.group import Membership, Origin
from audit.cause import current
from provisioning import authority, systems, wishes
from provisioning.authority import StatusWord
from provisioning.changes import ACTIVE, MEMBERS, AccountChange, MemberStep
from provisioning.changes import fold as name_fold
from provisioning.models.authority import Authority, Direction, FieldAuthority
from provisioning.models.exchange import Exchange
from provisioning.models.plan import ChangeAct, Plan
from provisioning.models.shadow import Shadow
from provisioning.newer import By, Decided, Later, speaks
from provisioning.plans import Wanted
from provisioning.scim.effects import Change
from provisioning.scim.metadata.catalogue import BY_NAME
from provisioning.scim.spoken import joined, units
from provisioning.shadows import lock_members
from provisioning.steps import fold

_OFF = frozenset({AccountState.DEPROVISIONED, AccountState.ARCHIVED})
# The most members that one replay asks people for.
MOST_ASKED = 1_000


@dataclass(frozen=True, kw_only=True)
class Kept:
    """What is kept as it is, and whose newer word that is; `count` members, where it is about them."""

    name: str
    by: By
    count: int = 0


@dataclass(frozen=True, kw_only=True)
class Remains:
    """The document with what is left of the request, the names of what it changes, and what is kept.

    `says_active`: its word about `active` is left too, and would change something. `decides_status`: so is, and would,
    what an attribute means for the status.
    """

    document: Mapping[str, Any]
    names: frozenset[str]
    kept: tuple[Kept, ...] = ()
    says_active: bool = False
    decides_status: bool = True
    rules: str = ""


def of_document(
    now: Mapping[str, Any], wanted: Mapping[str, Any], *, later: Sequence[Later], decided: Decided
) -> Remains:
    """By attribute: what the request wants otherwise than it is, where nobody spoke of it since."""
    before, after = units(now), units(wanted)
    names, kept, merged = set(), [], dict(before)
    for name in sorted(before.keys() | after.keys()):
        if before.get(name) == after.get(name):
            continue
        if (by := speaks(later, name) or decided.names.get(name)) is not None:
            kept.append(Kept(name=name, by=by))
            continue
        names.add(name)
        merged.pop(name, None)
        if name in after:
            merged[name] = after[name]
    return Remains(document=joined(merged), names=frozenset(names), kept=tuple(kept))


def of_account(
    exchange: Exchange, shadow: Shadow, change: AccountChange, *, later: Sequence[Later], decided: Decided
) -> Remains:
    """The same for an account, whose status is decided about by more than its document."""
    left = of_document(shadow.document, change.document, later=later, decided=decided)
    is_stated = ACTIVE in change.said
    active = change.active if is_stated else None
    word = authority.status(active=active, document=left.document, rules=authority.rules_for(exchange.system))
    rules = _otherwise(exchange, word, active=active, document=left.document)
    differs = _differs(exchange, shadow, word)
    by = speaks(later, ACTIVE) if is_stated else None
    if by is None and differs:
        by = decided.off if word.active else decided.returned
    names = left.names | ({ACTIVE} if differs and by is None else frozenset())
    kept = left.kept + ((Kept(name=ACTIVE, by=by),) if differs and by is not None else ())
    return Remains(
        document=left.document, names=names, kept=kept, says_active=is_stated and differs and by is None,
        decides_status=differs and by is None, rules=rules,
    )  # fmt: skip


def _differs(exchange: Exchange, shadow: Shadow, word: StatusWord) -> bool:
    """Whether the word about the status is another than what is so."""
    if word.active is None or shadow.account is None:
        return False
    # What is made inactive is pending, and so is as it was asked for.
    off = _OFF | {AccountState.PENDING} if exchange.method == "POST" else _OFF
    is_so = shadow.account.state == AccountState.ACTIVE if word.active else shadow.account.state in off
    return not is_so or word.active != shadow.wants_active


# -- whose word counts


def cautious(rules: Sequence[FieldAuthority], *, exchange: Exchange) -> list[FieldAuthority]:
    """The rules of today, and before them that nobody comes to life by a replay alone."""
    said = next((r for r in rules if r.field == ACTIVE and r.direction == Direction.EXPANDS), None)
    if said is not None and said.authority == Authority.ADVISORY:
        return list(rules)
    waits = FieldAuthority(
        tenant_id=exchange.tenant_id, system_id=exchange.system_id, field=ACTIVE, direction=Direction.EXPANDS,
        authority=Authority.NEEDS_APPROVAL,
    )  # fmt: skip
    return [waits, *rules]


def _otherwise(
    exchange: Exchange,
    word: StatusWord,
    *,
    active: bool | None,
    document: Mapping[str, Any],
) -> str:
    """Where the rules of then gave the same word another meaning."""
    then = authority.status(
        active=active, document=document, rules=authority.rules_of(exchange.system_id, at=exchange.at)
    )
    if (then.active, then.needs_approval) == (word.active, word.needs_approval):
        return ""
    return _("by the rules of then: %(then)s; by those of today: %(now)s") % {
        "then": _meaning(then), "now": _meaning(word),
    }  # fmt: skip


def _meaning(word: StatusWord) -> str:
    if word.active is None:
        return word.because or _("nothing about the status")
    approval = _(", with approval") if word.needs_approval else ""
    return (_("active") if word.active else _("ended")) + approval + f" ({word.because})"


def requesters(exchange: Exchange, *, at: datetime) -> frozenset[UUID]:
    """Who counts as having asked: who replays, who asks for its system now, and who did when it was sent."""
    asked = systems.requesters(system=exchange.system, at=at) | systems.requesters(
        system=exchange.system, at=exchange.at
    )
    first = Plan.objects.filter(pk=exchange.plan_id).first() if exchange.plan_id is not None else None
    who = current().identity_id
    return frozenset({*asked, *(first.requesters if first else ()), *([who] if who is not None else [])})


def made_since(exchange: Exchange, change: Change) -> By | None:
    """Who was called so since, or is still, at the same system: a request that made nothing makes no second one."""
    key = name_fold(BY_NAME[exchange.resource_type].handle(change.document) or "").strip()
    same = Shadow.objects.filter(system=exchange.system_id, resource_type=exchange.resource_type, name_key=key)
    one = (
        same.filter(made_at__gt=exchange.at).order_by("-made_at").first() or same.filter(ended_at__isnull=True).first()
    )
    if one is None:
        return None
    last = Exchange.objects.filter(resource_id=one.pk).order_by("-id").values_list("pk", flat=True).first()
    return By(exchange=last, who=exchange.system.name)


# -- members


@dataclass(frozen=True, kw_only=True)
class Moved:
    """Who leaves, who would join, and who is kept as they are, by whose word."""

    steps: tuple[MemberStep, ...] = ()
    joining: tuple[Member, ...] = ()
    kept: tuple[Kept, ...] = ()
    notes: tuple[str, ...] = ()
    is_held: bool = False

    @property
    def out(self) -> int:
        """How many leave."""
        return sum(len(step.values) for step in self.steps)

    def __bool__(self) -> bool:
        return bool(self.steps or self.joining or self.is_held)


@dataclass
class _Newest:
    """Whose word about each member is the newest."""

    named: dict[UUID, By] = field(default_factory=dict)
    everybody: By | None = None

    @classmethod
    def of(cls, later: Sequence[Later]) -> "_Newest":
        found = cls()
        for one in reversed(later):
            if one.spoken.members is None:
                found.everybody = one.by
                break
            for ref in one.spoken.members:
                found.named.setdefault(ref, one.by)
        return found

    def about(self, ref: UUID) -> By | None:
        return self.named.get(ref, self.everybody)


def of_members(exchange: Exchange, shadow: Shadow, steps: Sequence[MemberStep], *, later: Sequence[Later]) -> Moved:
    """By member: who is to leave or to join, where nobody said or did otherwise since."""
    group, system = shadow.group, exchange.system
    if not steps or group is None:
        return Moved()
    net = fold(steps, may_add=True)
    live = memberships.of_system(group=group, system=system)
    if net.stays is None:
        live = live.filter(origin_ref__in=net.leaves | net.joins)
    inside = {ref: began for ref, began in live.values_list("origin_ref", "since") if ref is not None}
    leaving = net.leaves if net.stays is None else inside.keys() - net.stays
    joining = net.joins - inside.keys()
    ended = Membership.objects.filter(
        group=group, system=system, origin=Origin.SYSTEM, origin_ref__in=joining, ended_at__gt=exchange.at
    ).values_list("origin_ref", flat=True)
    since = {ref for ref in leaving if ref in inside and inside[ref] > exchange.at}
    since |= {ref for ref in ended if ref is not None}
    newest, kept = _Newest.of(later), dict[By, int]()
    for ref in [*leaving, *joining]:
        by = newest.about(ref) or (By(exchange=None, who=_("a decision since")) if ref in since else None)
        if by is None:
            continue
        since.add(ref)
        if ref in joining or ref in inside:  # who is out already is as the older word says, too
            kept[by] = kept.get(by, 0) + 1
    leaves = tuple(sorted(ref for ref in leaving if ref not in since))
    wanted = sorted(ref for ref in joining if ref not in since)
    return _moved(exchange, leaves, wanted, tuple(Kept(name=MEMBERS, by=by, count=n) for by, n in kept.items()))


def _moved(exchange: Exchange, leaves: tuple[UUID, ...], wanted: Sequence[UUID], kept: tuple[Kept, ...]) -> Moved:
    found = lock_members(system=exchange.system, refs=wanted)
    notes = []
    if lost := len(wanted) - len(found):
        notes.append(_("%(n)d members are no resources of it any more") % {"n": lost})
    may_add = not found or authority.expanding_members_allowed(system=exchange.system)
    if not may_add:
        notes.append(_("by the rules of today its new members are given nothing"))
    if len(found) > MOST_ASKED:
        notes.append(_("more than %(n)d members are not asked for at once") % {"n": MOST_ASKED})
    return Moved(
        steps=(MemberStep(op="remove", values=leaves),) if leaves else (),
        joining=tuple(found) if may_add and len(found) <= MOST_ASKED else (),
        kept=kept, notes=tuple(notes), is_held=bool(found) and (not may_add or len(found) > MOST_ASKED),
    )  # fmt: skip


def ask(exchange: Exchange, shadow: Shadow, moved: Moved, *, exchange_id: UUID, asked_by: str, at: datetime) -> Plan:
    """The wish that these members be put in: it waits for people."""
    named = Shadow.objects.select_related("account").in_bulk([one.ref for one in moved.joining])
    wanted = [
        Wanted(
            act=ChangeAct.ADD_MEMBER, label=named[one.ref].name, account=one.account, group=shadow.group_id,
            member_ref=one.ref, is_privileged=_is_privileged(named[one.ref]),
        )
        for one in moved.joining
    ]  # fmt: skip
    return wishes.ask_members(
        system=exchange.system, wanted=wanted, requesters=requesters(exchange, at=at), asked_by=asked_by,
        exchange_id=exchange_id, at=at,
    )  # fmt: skip


def _is_privileged(shadow: Shadow) -> bool:
    return shadow.account is not None and shadow.account.is_privileged
