"""The one door through which any system's word reaches accounts.

It knows no wire format. What is already so writes nothing. What the word about the status does stands in `status`, what
is said about groups in `group_intake`.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from accounts import lifecycle, memberships, ownership, rules
from accounts.findings import Wrong, open_or_raise
from accounts.models.account import Account, AccountKind, AccountState, Environment
from accounts.models.finding import FindingKind, Severity
from accounts.models.hold import HoldKind
from accounts.models.system import System
from accounts.states import Event
from audit.journal import Subject, record
from audit.scope import together
from provisioning import authority, correlation, status
from provisioning.changes import ACTIVE, AccountChange, Intent, Outcome, fold, user_name_key
from provisioning.expiries import default_expiry, longest_expiry
from provisioning.models.authority import FieldAuthority
from provisioning.models.shadow import Shadow
from provisioning.shadows import (
    HANDLES,
    BadValue,
    Immutable,
    Sender,
    Taken,
    check_lengths,
    digest,
    end_shadow,
    refuse_taken,
    save_shadow,
    touch_groups_of,
)


def _kind(change: AccountChange) -> AccountKind:
    default = correlation.kind_of(change)
    word = change.kind or default
    if word not in AccountKind.values:
        raise BadValue("kind", f"it must be one of {', '.join(AccountKind.values)}")
    if default == AccountKind.AGENT and word != default:
        raise BadValue("kind", f"an Agent is of the kind {default}")
    return AccountKind(word)


def _environment(change: AccountChange) -> str:
    word = (change.environment or "").strip().lower()
    word = {"prod": "production", "dev": "development", "test": "staging"}.get(word, word)
    if word not in Environment.values:
        raise BadValue("environment", f"it must be one of {', '.join(v for v in Environment.values if v)}")
    return word


def _fields(change: AccountChange, *, kind: AccountKind, default_end: datetime, at: datetime) -> dict[str, Any]:
    """The account's columns as the change wants them. Raises `BadValue` for what they can't hold."""
    expires_at = change.expires_at
    if expires_at is None and kind != AccountKind.PERSON:
        expires_at = default_end
    if expires_at is not None:
        expires_at = min(expires_at, longest_expiry(at=at))
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
        raise BadValue(HANDLES[change.resource_type], "it has no characters to be found by")
    return fields


def _emails(document: Mapping[str, Any]) -> list[str]:
    """Every address of a canonical document (RFC 7643, 4.1.2)."""
    return [email["value"] for email in document.get("emails", []) if email.get("value")]


def _fill(shadow: Shadow, change: AccountChange) -> None:
    shadow.name = change.user_name
    shadow.name_key = user_name_key(change.user_name)
    shadow.external_id = change.external_id or ""
    shadow.display_name_key = fold(change.display_name or "")[:400]
    shadow.email_key = fold(change.email or "")[:320]
    shadow.more_emails = any(fold(email) != shadow.email_key for email in _emails(change.document))
    shadow.document = dict(change.document)
    shadow.digest = digest(shadow.document)


def _rules(sender: Sender) -> Sequence[FieldAuthority]:
    """Whose word counts: as it was read on the way in, together with the system, or read now."""
    return authority.rules_for(sender.system) if sender.rules is None else sender.rules


@together()
def create_account(*, sender: Sender, change: AccountChange, at: datetime) -> Taken:
    """A new resource, correlated with an account that exists or with a new one. Raises `Conflict`, `BadValue`."""
    system = sender.system
    kind = _kind(change)
    fields = _fields(change, kind=kind, default_end=default_expiry(days=system.tenant.nhi_days, at=at), at=at)
    refuse_taken(
        system=system, resource_type=change.resource_type, name_key=fields["user_name_key"],
        external_id=change.external_id or "",
    )  # fmt: skip
    match = correlation.find(change=change, system=system)
    # A resource that is made without a word about `active` is wanted active: that too is the system's word.
    active = True if change.active is None else change.active
    word = authority.status(active=active, document=change.document, rules=_rules(sender))
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
        tenant_id=system.tenant_id, system=system, resource_type=change.resource_type, account=account,
        wants_active=wants_active, made_at=at, changed_at=at,
    )  # fmt: skip
    _fill(shadow, change)
    save_shadow(shadow, is_new=True)
    if match.disputed:
        sender = _dispute(sender, account, match, at=at)
        notes.append(f"disputed: {match.disputed}")
    notes += _offer(account, change.owners, system, at=at)
    # What is made inactive is pending: only an account that was there before can end by it. What is made active is so.
    is_so = not wants_active or (not match.disputed and account.state == AccountState.ACTIVE)
    effect = status.Effect()
    if match.account is not None or not is_so:
        account.refresh_from_db()
        effect = status.apply(sender, account, word, at=at, is_edge=True)
    is_untouched = match.account is None and is_so and not match.disputed
    shadow.account = account if is_untouched else Account.objects.get(pk=account.pk)
    held = effect.held_by or _held_back(active, word, shadow.account, at=at)
    return Taken(
        shadow=shadow, outcome=Outcome.HELD if held else Outcome.APPLIED, intent=Intent.CREATE, plan=effect.plan,
        held_by=held, notes=tuple(notes), created=True,
    )  # fmt: skip


def _held_back(
    active: bool | None,  # noqa: FBT001  it is SCIM's word
    word: authority.StatusWord,
    account: Account,
    *,
    at: datetime,
) -> tuple[str, ...]:
    """The rule for which a wish to be active counts for nothing."""
    ignored = active and word.active is None and not account.is_active(at=at)
    return (word.because,) if ignored else ()


def _dispute(sender: Sender, account: Account, match: correlation.Match, *, at: datetime) -> Sender:
    """Nobody knows yet whose it is: a person looks.

    Where it may be somebody who is off it is off like them, and comes to life as they would: by a plan of one. Who
    could not answer for them counts as having asked.
    """
    reason = f"belongs to whom? {match.disputed}"
    lifecycle.suspend(accounts=[account.pk], kind=HoldKind.MANUAL, reason=reason, at=at)
    if match.perhaps is not None:
        lifecycle.deprovision(accounts=[account.pk], reason=reason, at=at)
        sender = replace(sender, requesters=frozenset({*sender.requesters, *rules.people_of([match.perhaps])}))
    _report(account, sender.system, match.disputed, at=at)
    return sender


def _report(account: Account, system: System, why: str, *, at: datetime) -> None:
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
    known = {s.pk: s for s in Shadow.objects.filter(system=system, ended_at__isnull=True, pk__in=owners)}
    if missing := [str(o) for o in owners if o not in known]:
        raise BadValue("owners", f"this system has no resource {missing[0]}")
    accounts = [s.account_id for s in known.values() if s.account_id is not None]
    nobody = [f"{s.name} is a {s.resource_type}: only a person can answer" for s in known.values() if not s.account_id]
    return [*nobody, *ownership.offers_said(account=account, owners=accounts, at=at)]


def _intent(effect: status.Effect, *, active: bool | None, was_active: bool) -> Intent:
    if active is False and was_active:
        return Intent.DISABLE
    if active is True and not was_active:
        return Intent.ENABLE
    if active is False and effect.changed:
        return Intent.DISABLE
    return Intent.UPDATE


@together()
def change_account(*, sender: Sender, shadow: Shadow, change: AccountChange, at: datetime) -> Taken:
    """A resource as its system wants it now: replaced or patched. Raises `Conflict`, `BadValue`, `Immutable`."""
    account = shadow.account
    if account is None:
        raise BadValue("id", "the resource has no account")
    _same_kind(account, change)
    fields = _wanted_fields(account, change, shadow, at=at)
    refuse_taken(
        system=sender.system, resource_type=shadow.resource_type, name_key=fields["user_name_key"],
        external_id=change.external_id or "", besides=shadow,
    )  # fmt: skip
    was_active = account.is_active(at=at)
    known_by = _known_by(shadow, account)
    word = authority.status(active=change.active, document=change.document, rules=_rules(sender))
    is_edge = word.active is not None and word.active != shadow.wants_active
    written = _write_shadow(shadow, change, word, at=at)
    notes = _offer(account, change.owners, sender.system, at=at)
    differing = _change_fields(account, fields, sender.system) if written else ()
    effect = status.apply(sender, account, word, at=at, is_edge=is_edge)
    if effect.changed and not (written or is_edge):
        shadow.version += 1
        shadow.changed_at = at
        save_shadow(shadow, is_new=False)
    if known_by != _known_by(shadow, account):
        _, because = correlation.off_like(change=change, system=sender.system, besides=account.pk)
        if because:
            _report(account, sender.system, f"it took another name: {because}", at=at)
            notes.append(f"looked at by a person: {because}")
    if differing:
        record(
            event=Event.ACCOUNT_CHANGED,
            sentence=f"{sender.asked_by}: {account.user_name}: {', '.join(differing)} changed",
            subjects=[Subject("account", str(account.pk), account.user_name)],
        )
    shadow.account = Account.objects.get(pk=account.pk) if effect.changed or effect.held_by else account
    held = effect.held_by or _held_back(change.active, word, shadow.account, at=at)
    changed = written or is_edge or effect.changed
    outcome = Outcome.HELD if held else Outcome.APPLIED if changed else Outcome.SAME
    return Taken(
        shadow=shadow, outcome=outcome, plan=effect.plan, held_by=held, notes=tuple(notes),
        intent=_intent(effect, active=word.active, was_active=was_active),
    )  # fmt: skip


def _known_by(shadow: Shadow, account: Account) -> tuple[str, ...]:
    """What a resource is told from others by."""
    return shadow.name_key, shadow.external_id, shadow.email_key, account.employee_number


def _same_kind(account: Account, change: AccountChange) -> None:
    if change.kind and _kind(change) != account.kind:
        raise Immutable("kind")


def _write_shadow(shadow: Shadow, change: AccountChange, word: authority.StatusWord, *, at: datetime) -> bool:
    """Whether the resource itself changed; what the system wants of `active` is written down beside it."""
    before = (shadow.digest, shadow.name, shadow.external_id, shadow.took_active_back)
    wanted = shadow.wants_active
    _fill(shadow, change)
    if word.active is not None:
        shadow.wants_active = word.active
    if ACTIVE in change.said:
        shadow.took_active_back = change.active is None
    written = before != (shadow.digest, shadow.name, shadow.external_id, shadow.took_active_back)
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
    fields = _fields(change, kind=kind, default_end=default_expiry(days=shadow.system.tenant.nhi_days, at=at), at=at)
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


@together()
def end_account(*, sender: Sender, shadow: Shadow, at: datetime) -> Taken:
    """The resource is gone: 404 from now on, its name is free, and the account ends."""
    account = shadow.account
    shadow.wants_active = False
    end_shadow(shadow, at=at)
    if account is not None:
        touch_groups_of(shadow, system=sender.system, at=at)
        memberships.end_of_accounts(accounts=[account.pk], system=sender.system, at=at)
        status.reduce(sender, account, at=at)
    return Taken(shadow=shadow, outcome=Outcome.APPLIED, intent=Intent.DELETE)
