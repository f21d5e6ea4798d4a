"""The one door through which any system's word reaches accounts.

It knows no wire format. A reduction takes effect here and now; what expands access takes effect only where nothing is
missing, and otherwise becomes a wish that waits for people. What is already so writes nothing.
"""

import hashlib
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import IntegrityError, transaction
from django.db.models import Model

from accounts import lifecycle, memberships, ownership
from accounts.findings import Wrong, open_or_raise
from accounts.models.account import Account, AccountKind, AccountState, Environment
from accounts.models.finding import FindingKind, Severity
from accounts.models.group import Group
from accounts.models.hold import HoldKind
from accounts.models.system import System
from accounts.states import Event
from audit.journal import Subject, record
from provisioning import authority, correlation, plans
from provisioning.changes import AccountChange, Intent, Outcome, fold, user_name_key
from provisioning.models.plan import Plan, PlanKind, PlanState
from provisioning.models.shadow import Shadow
from provisioning.states import PLAN_LIVE


class Conflict(ValueError):
    """Another living resource of the system has that name or externalId."""

    def __init__(self, name: str) -> None:
        super().__init__(f"another resource has this {name}")
        self.field = name


class BadValue(ValueError):
    """A value that can't be taken; nothing was written."""

    def __init__(self, attribute: str, detail: str) -> None:
        super().__init__(f"{attribute}: {detail}")
        self.attribute = attribute
        self.detail = detail


class Immutable(ValueError):
    """An attribute that is given once was sent with another value."""

    def __init__(self, attribute: str) -> None:
        super().__init__(f"{attribute} can't be changed")
        self.attribute = attribute


@dataclass(frozen=True, kw_only=True)
class Sender:
    """Who speaks: a system, by one exchange; `requesters` are the people who count as having asked."""

    system: System
    asked_by: str
    exchange_id: UUID
    requesters: frozenset[UUID] = frozenset()


@dataclass(frozen=True, kw_only=True)
class Taken:
    """What became of a system's word."""

    shadow: Shadow
    outcome: Outcome
    intent: Intent
    plan: Plan | None = None
    held_by: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    created: bool = False


@dataclass
class _Effect:
    """What the status part of a change did."""

    changed: bool = False
    plan: Plan | None = None
    held_by: tuple[str, ...] = ()
    intent: Intent | None = None
    notes: list[str] = field(default_factory=list)


def lock_shadow(*, system: System, resource_type: str, id: UUID) -> Shadow | None:  # noqa: A002  SCIM's word
    """A living resource of the system, locked together with its account or group; None if it has none of that id."""
    living = Shadow.objects.filter(pk=id, system=system, resource_type=resource_type, ended_at__isnull=True)
    # The order of everybody who moves one account: the account, its shadow, its plan.
    Account.objects.select_for_update(of=("self",)).filter(pk__in=living.values("account_id")).first()
    Group.objects.select_for_update(of=("self",)).filter(pk__in=living.values("group_id")).first()
    return living.select_for_update(of=("self",)).select_related("account", "group").first()


def seen_active(shadow: Shadow, at: datetime) -> bool:
    """What the resource's `active` answers: the truth about its account, and not what the system wished."""
    return shadow.account is not None and shadow.account.is_active(at=at)


def waiting_plan(shadow: Shadow) -> Plan | None:
    """The wish that waits for people, if there is one."""
    return Plan.objects.filter(kind=PlanKind.REACTIVATION, account=shadow.account_id, state__in=PLAN_LIVE).first()


def digest(document: Mapping[str, Any]) -> str:
    """The digest of a canonical document."""
    return hashlib.sha256(json.dumps(document, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def refuse_taken(
    *, system: System, resource_type: str, name_key: str, external_id: str, besides: UUID | None = None
) -> None:
    """Raise `Conflict` where another living resource of the system has the name or the externalId."""
    living = Shadow.objects.filter(system=system, resource_type=resource_type, ended_at__isnull=True)
    if besides is not None:
        living = living.exclude(pk=besides)
    if living.filter(name_key=name_key).exists():
        raise Conflict("userName" if resource_type == "User" else "displayName")
    if external_id and living.filter(external_id=external_id).exists():
        raise Conflict("externalId")


def save_shadow(shadow: Shadow, *, is_new: bool) -> None:
    """Write a shadow; a race for its name or externalId is a `Conflict`, not a database error."""
    try:
        with transaction.atomic():
            shadow.save(force_insert=is_new)
    except IntegrityError as error:
        message = str(error)
        if "external_id_once" in message:
            raise Conflict("externalId") from error
        if "name_once" in message or "one_per_account" in message:
            raise Conflict("userName" if shadow.resource_type == "User" else "displayName") from error
        raise


def _kind(change: AccountChange) -> AccountKind:
    word = change.kind or AccountKind.PERSON
    if word not in AccountKind.values:
        raise BadValue("kind", f"it must be one of {', '.join(AccountKind.values)}")
    return AccountKind(word)


def _environment(change: AccountChange) -> str:
    word = (change.environment or "").strip().lower()
    word = {"prod": "production", "dev": "development", "test": "staging"}.get(word, word)
    if word not in Environment.values:
        raise BadValue("environment", f"it must be one of {', '.join(v for v in Environment.values if v)}")
    return word


def _fields(change: AccountChange, *, kind: AccountKind, default_expiry: datetime) -> dict[str, Any]:
    """The account's columns as the change wants them. Raises `BadValue` for what they can't hold."""
    expires_at = change.expires_at
    if expires_at is None and kind != AccountKind.PERSON:
        expires_at = default_expiry
    fields = {
        "user_name": change.user_name,
        "user_name_key": user_name_key(change.user_name),
        "display_name": change.display_name or "",
        "display_name_key": fold(change.display_name or "")[:400],
        "email": change.email or "",
        "employee_number": change.employee_number or "",
        "purpose": change.purpose or "",
        "environment": _environment(change),
        "expires_at": expires_at,
    }
    check_lengths(Account, fields)
    check_lengths(Shadow, {"external_id": change.external_id or ""})
    if not fields["user_name_key"]:
        raise BadValue("userName", "it has no characters to be found by")
    return fields


# The columns that hold a sender's text, and what the sender calls them.
_WORDS = {
    "user_name": "userName", "user_name_key": "userName", "display_name": "displayName", "email": "emails",
    "employee_number": "employeeNumber", "external_id": "externalId",
}  # fmt: skip


def check_lengths(model: type[Model], fields: Mapping[str, Any]) -> None:
    """Raise `BadValue` for a text that its column can't hold."""
    for column in _WORDS.keys() & fields.keys():
        most = getattr(model._meta.get_field(column), "max_length", None)
        most = getattr(model._meta.get_field(column), "max_length", None)
        if most is not None and len(fields[column]) > most:
            raise BadValue(_WORDS[column], f"it is longer than {most} characters")


def _fill(shadow: Shadow, change: AccountChange) -> None:
    shadow.name = change.user_name
    shadow.name_key = user_name_key(change.user_name)
    shadow.external_id = change.external_id or ""
    shadow.display_name_key = fold(change.display_name or "")[:400]
    shadow.email_key = fold(change.email or "")[:320]
    shadow.document = dict(change.document)
    shadow.digest = digest(shadow.document)


@transaction.atomic
def create_account(*, sender: Sender, change: AccountChange, at: datetime) -> Taken:
    """A new resource, correlated with an account that exists or with a new one. Raises `Conflict`, `BadValue`."""
    system = sender.system
    kind = _kind(change)
    fields = _fields(change, kind=kind, default_expiry=plans.default_expiry(days=system.tenant.nhi_days, at=at))
    refuse_taken(
        system=system, resource_type="User", name_key=fields["user_name_key"], external_id=change.external_id or ""
    )
    match = correlation.find(change=change, system=system)
    # A resource that is made without a word about `active` is wanted active: that too is the system's word.
    spoken = change if change.active is not None else replace(change, active=True)
    word = authority.status(change=spoken, rules=authority.rules_for(system))
    wants_active = bool(word.active)
    notes: list[str] = []
    if match.account is None:
        may_begin = wants_active and not match.disputed and not word.needs_approval
        account = lifecycle.create(tenant_id=system.tenant_id, kind=kind, is_active=may_begin, at=at, **fields)
    else:
        account = match.account
        notes.append(f"linked to {account.user_name} by {match.evidence}")
        lifecycle.change(account=account, fields={n: v for n, v in fields.items() if v and not getattr(account, n)})
    shadow = Shadow(
        tenant_id=system.tenant_id, system=system, resource_type="User", account=account, wants_active=wants_active,
        made_at=at, changed_at=at,
    )  # fmt: skip
    _fill(shadow, change)
    save_shadow(shadow, is_new=True)
    if match.disputed:
        _dispute(account, system, match.disputed, at=at)
        notes.append(f"disputed: {match.disputed}")
    notes += _offer(account, change.owners, system, at=at)
    # What is made inactive is pending: only an account that was there before can end by it.
    is_new = match.account is None and not wants_active
    effect = _Effect() if is_new else _apply_status(sender, account, word, at=at, is_edge=True)
    shadow.account = Account.objects.get(pk=account.pk)
    held = effect.held_by or _held_back(spoken, word, shadow.account, at=at)
    return Taken(
        shadow=shadow, outcome=Outcome.HELD if held else Outcome.APPLIED, intent=Intent.CREATE, plan=effect.plan,
        held_by=held, notes=(*notes, *effect.notes), created=True,
    )  # fmt: skip


def _held_back(change: AccountChange, word: authority.StatusWord, account: Account, *, at: datetime) -> tuple[str, ...]:
    """The rule for which a wish to be active counts for nothing."""
    ignored = change.active and word.active is None and not account.is_active(at=at)
    return (word.because,) if ignored else ()


def _dispute(account: Account, system: System, why: str, *, at: datetime) -> None:
    lifecycle.suspend(accounts=[account.pk], kind=HoldKind.MANUAL, reason=f"belongs to whom? {why}", at=at)
    open_or_raise(
        [
            Wrong(
                kind=FindingKind.CORRELATION,
                key=f"correlation:{account.pk}",
                title=f"{account.user_name} at {system.name}: {why}",
                severity=Severity.HIGH,
                account=account.pk,
                system=system.pk,
                evidence={"because": why},
                due_at=at + timedelta(days=3),
            )
        ],
        at=at,
    )


def _offer(account: Account, owners: Collection[UUID] | None, system: System, *, at: datetime) -> list[str]:
    """Offer the account to whom the system named, by their ids there. An offer is never an acceptance."""
    if not owners or not account.is_nhi:
        return []
    known = Shadow.objects.filter(system=system, resource_type="User", ended_at__isnull=True, pk__in=owners)
    accounts = {s.pk: s.account_id for s in known}
    if missing := [str(o) for o in owners if o not in accounts]:
        raise BadValue("owners", f"this system has no resource {missing[0]}")
    return ownership.offers_said(account=account, owners=[a for a in accounts.values() if a is not None], at=at)


def _apply_status(
    sender: Sender, account: Account, word: authority.StatusWord, *, at: datetime, is_edge: bool
) -> _Effect:
    """What the word about the status does. `is_edge`: the system did not say the same before."""
    if word.active is None:
        return _Effect()
    account.refresh_from_db()
    if not word.active:
        return _reduce(sender, account, at=at)
    if word.needs_approval and account.state == AccountState.PENDING:
        return _Effect(held_by=("approval",), intent=Intent.ENABLE)
    return _expand(sender, account, at=at, is_edge=is_edge)


def _reduce(sender: Sender, account: Account, *, at: datetime) -> _Effect:
    for plan in Plan.objects.filter(kind=PlanKind.REACTIVATION, account=account, state__in=["waiting", "approved"]):
        plans.lapse(plan=plan, because=f"{sender.system.name} says inactive again", at=at)
    ended = lifecycle.deprovision(accounts=[account.pk], reason=f"{sender.system.name} says inactive", at=at)
    if ended:
        watch_mass_reduction(sender, ended=len(ended), at=at)
    return _Effect(changed=bool(ended), intent=Intent.DISABLE)


def _expand(sender: Sender, account: Account, *, at: datetime, is_edge: bool) -> _Effect:
    if lifecycle.never_began(account):
        account = lifecycle.wait_again(account=account, at=at)
        if security := lifecycle.live_holds(account):
            return _Effect(held_by=tuple(security), intent=Intent.ENABLE)
    if account.state == AccountState.PENDING:
        missing = lifecycle.activate(accounts=[account.pk], at=at)
        needs = tuple(n for m in missing for n in m.needs)
        return _Effect(changed=not missing, held_by=needs, intent=Intent.ENABLE)
    if account.state == AccountState.SUSPENDED:
        return _Effect(held_by=tuple(lifecycle.live_holds(account)), intent=Intent.ENABLE)
    if account.state == AccountState.DEPROVISIONED:
        return _ask_back(sender, account, at=at, is_edge=is_edge)
    if account.state == AccountState.ARCHIVED:
        return _Effect(held_by=("the account is archived",), intent=Intent.ENABLE)
    return _Effect(intent=Intent.ENABLE)


def _ask_back(sender: Sender, account: Account, *, at: datetime, is_edge: bool) -> _Effect:
    refused = Plan.objects.filter(
        kind=PlanKind.REACTIVATION, account=account, epoch=account.epoch, state__in=[PlanState.REJECTED]
    ).exists()
    if refused and not is_edge:
        # Full synchronisations repeat `active: true` all day; people have answered that question.
        return _Effect(held_by=("people said no",), intent=Intent.ENABLE)
    plan = plans.ask_return(
        account=account, system=sender.system, requesters=sender.requesters, asked_by=sender.asked_by,
        exchange_id=sender.exchange_id, at=at,
    )  # fmt: skip
    account.refresh_from_db()
    if account.is_active(at=at):
        return _Effect(changed=True, plan=plan, intent=Intent.ENABLE)
    return _Effect(plan=plan, held_by=tuple(plan.held_by) or ("approval",), intent=Intent.ENABLE)


def watch_mass_reduction(sender: Sender, *, ended: int, at: datetime) -> None:
    """Raise the alarm when explicit events pass the limits; `ended` are those of this request, which is in no ledger
    yet. They take effect all the same; what they hold back is that source's plans, which count them in.
    """
    rolling = plans.recent_reductions(system=sender.system, at=at)
    count = rolling + ended
    if count <= plans.LEAST_FOR_PERCENT:
        return
    total = Shadow.objects.filter(system=sender.system, resource_type="User", ended_at__isnull=True).count()
    if not plans.over_the_limits(count=ended, rolling=rolling, total=total):
        return
    open_or_raise(
        [
            Wrong(
                kind=FindingKind.MASS_REDUCTION,
                key=f"mass_reduction:{sender.system.pk}:{at:%Y-%m-%d}",
                title=f"{sender.system.name} ended {count} accounts within ten minutes",
                severity=Severity.CRITICAL,
                system=sender.system.pk,
                evidence={
                    "count": count,
                    "of": total,
                    "until": at.isoformat(),
                    "last_exchange": str(sender.exchange_id),
                },
                due_at=at + timedelta(hours=4),
                stage=str(count // plans.MOST),
            )
        ],
        at=at,
    )


def _intent(effect: _Effect, *, active: bool | None, was_active: bool) -> Intent:
    if active is False and was_active:
        return Intent.DISABLE
    if active is True and not was_active:
        return Intent.ENABLE
    if active is False and effect.changed:
        return Intent.DISABLE
    return Intent.UPDATE


@transaction.atomic
def change_account(*, sender: Sender, shadow: Shadow, change: AccountChange, at: datetime) -> Taken:
    """A resource as its system wants it now: replaced or patched. Raises `Conflict`, `BadValue`, `Immutable`."""
    account = shadow.account
    if account is None:
        raise BadValue("id", "the resource has no account")
    _same_kind(account, change)
    fields = _wanted_fields(account, change, shadow, at=at)
    refuse_taken(
        system=sender.system, resource_type="User", name_key=fields["user_name_key"],
        external_id=change.external_id or "", besides=shadow.pk,
    )  # fmt: skip
    was_active = account.is_active(at=at)
    word = authority.status(change=change, rules=authority.rules_for(sender.system))
    is_edge = word.active is not None and word.active != shadow.wants_active
    written = _write_shadow(shadow, change, word, at=at)
    notes = _offer(account, change.owners, sender.system, at=at)
    differing = _change_fields(account, fields, sender.system) if written else ()
    effect = _apply_status(sender, account, word, at=at, is_edge=is_edge)
    if effect.changed and not (written or is_edge):
        shadow.version += 1
        shadow.changed_at = at
        save_shadow(shadow, is_new=False)
    if differing:
        record(
            event=Event.ACCOUNT_CHANGED,
            sentence=f"{sender.asked_by}: {account.user_name}: {', '.join(differing)} changed",
            subjects=[Subject("account", str(account.pk), account.user_name)],
        )
    shadow.account = Account.objects.get(pk=account.pk)
    held = effect.held_by or _held_back(change, word, shadow.account, at=at)
    changed = written or is_edge or effect.changed
    outcome = Outcome.HELD if held else Outcome.APPLIED if changed else Outcome.SAME
    return Taken(
        shadow=shadow, outcome=outcome, plan=effect.plan, held_by=held, notes=(*notes, *effect.notes),
        intent=_intent(effect, active=word.active, was_active=was_active),
    )  # fmt: skip


def _same_kind(account: Account, change: AccountChange) -> None:
    if change.kind and _kind(change) != account.kind:
        raise Immutable("kind")


def _write_shadow(shadow: Shadow, change: AccountChange, word: authority.StatusWord, *, at: datetime) -> bool:
    """Whether the resource itself changed; what the system wants of `active` is written down beside it."""
    before = (shadow.digest, shadow.name, shadow.external_id)
    wanted = shadow.wants_active
    _fill(shadow, change)
    if word.active is not None:
        shadow.wants_active = word.active
    written = before != (shadow.digest, shadow.name, shadow.external_id)
    if written or wanted != shadow.wants_active:
        shadow.version += 1
        shadow.changed_at = at
        save_shadow(shadow, is_new=False)
    return written


def _said(change: AccountChange, name: str) -> str:
    """The path under which this request touched an attribute of our extension, or nothing."""
    return next((path for path in change.said if path.endswith(f":{name}")), "")


def _wanted_fields(account: Account, change: AccountChange, shadow: Shadow, *, at: datetime) -> dict[str, Any]:
    """The account's columns as the change wants them. Silence takes no purpose away and moves no expiry.

    Nor does the same word again: people may have set another expiry since it was said first.
    """
    kind = AccountKind(account.kind)
    fields = _fields(change, kind=kind, default_expiry=plans.default_expiry(days=shadow.system.tenant.nhi_days, at=at))
    path = _said(change, "expiresAt")
    if not path or authority.value_at(shadow.document, path) == authority.value_at(change.document, path):
        fields["expires_at"] = account.expires_at
    if account.is_nhi and not fields["purpose"]:
        if _said(change, "purpose") and account.state == AccountState.ACTIVE:
            raise BadValue("purpose", "an active account that is not a person's keeps one")
        fields["purpose"] = "" if _said(change, "purpose") else account.purpose
    return fields


def _change_fields(account: Account, fields: dict[str, Any], system: System) -> tuple[str, ...]:
    """The account's columns follow its system; where it lives in several, each only fills what is empty."""
    if Shadow.objects.filter(account=account, ended_at__isnull=True).exclude(system=system).exists():
        fields = {name: value for name, value in fields.items() if value and not getattr(account, name)}
    return lifecycle.change(account=account, fields=fields)


@transaction.atomic
def end_account(*, sender: Sender, shadow: Shadow, at: datetime) -> Taken:
    """The resource is gone: 404 from now on, its name is free, and the account ends."""
    account = shadow.account
    shadow.ended_at = shadow.changed_at = at
    shadow.wants_active = False
    shadow.version += 1
    save_shadow(shadow, is_new=False)
    if account is not None:
        memberships.end_of_accounts(accounts=[account.pk], system=sender.system, at=at)
        _reduce(sender, account, at=at)
    return Taken(shadow=shadow, outcome=Outcome.APPLIED, intent=Intent.DELETE)
