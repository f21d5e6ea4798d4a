"""Systems, how they reach us and how we reach them: the only writer of System, Connection and SystemToken.

Whoever makes a system, touches its connection, makes its token or changes its policy is written down with it: for 30
days they count as having asked for what that system asks for, and can't approve it. Tokens are shown once; only a
keyed digest is kept. What authenticates us to another system is encrypted, and read back by `reader` alone.
"""

import hashlib
import hmac
import re
import secrets
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from ipaddress import ip_network
from typing import Any, Final
from uuid import UUID

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings
from django.db import connection as database
from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils.translation import gettext as _

from accounts import exceptions
from accounts.models.exception import ExceptionKind
from accounts.models.system import ReactivationPolicy, System, SystemAdministrator, SystemKind
from audit.cause import current
from audit.journal import Subject, record
from provisioning.connectors.egress import Client, EgressError, Origin, Policy
from provisioning.models.connection import Connection, Connector, ReadRecord, RefusedToken, SystemToken
from provisioning.states import Event

Because = SystemAdministrator.Because

# How long somebody counts as a requester after they administered a system (`domain.md`, invariant 6).
COUNTS_FOR = timedelta(days=30)
LIVE_TOKENS = 2
READS_KEPT = 200
REFUSED_KEPT = 1_000
MOST_GRACE = 720  # hours
_TOKEN = re.compile(r"rc_([0-9a-f]{32})_[A-Za-z0-9_-]{20,100}")
_NOBODY = UUID(int=0)
_CHANGEABLE = frozenset({
    "base_url", "secret", "canary_user_name", "cadence_minutes", "freshness_minutes", "shrink_percent", "page_size",
})  # fmt: skip


class BadSystem(ValueError):
    """What was asked for a system, connection or token can't be so; the message says what to do."""


class SecretUnreadable(RuntimeError):
    """A stored secret was encrypted under a key that is no longer configured."""


class TokenMay(StrEnum):
    """What a token may be used for."""

    READ = "read"
    WRITE = "write"


class Refusal(StrEnum):
    """Why a token is not accepted: for our own tables. The sender hears one sentence for all of them."""

    MALFORMED = "not a token of ours"
    UNKNOWN = "no such token"
    WRONG = "wrong secret"
    ENDED = "ended"
    EXPIRED = "past its end"


@dataclass(frozen=True)
class Refused:
    """A token that is not accepted. `token_id` is the id that it named, whether or not there is such a token."""

    why: Refusal
    token_id: UUID | None = None


# -- systems, and who administers them


def _subject(system: System) -> Subject:
    return Subject("system", str(system.pk), system.name)


def _note(system: System, *, event: Event, sentence: str, facts: dict[str, Any] | None = None) -> None:
    record(
        event=event, sentence=f"{current().actor}: {system.name}: {sentence}", subjects=[_subject(system)], facts=facts
    )


def _count(system: System, *, because: Because, who: UUID | None, at: datetime, until: datetime | None = None) -> None:
    """Write down who administered. Setup has no identity, and can't approve anything either."""
    identity = who or current().identity_id
    if identity is not None:
        SystemAdministrator.objects.create(
            tenant_id=system.tenant_id, system=system, identity_id=identity, because=because, since=at, until=until
        )


def make_system(
    *,
    tenant_id: UUID,
    name: str,
    kind: SystemKind,
    made_by: UUID | None,
    at: datetime,
    policy: ReactivationPolicy = ReactivationPolicy.APPROVAL,
    grace_hours: int = 24,
) -> System:
    """A new system; `made_by` administers it. A policy other than `approval` takes effect only with an exception."""
    name = name.strip()
    if not name:
        raise BadSystem(_("A system needs a name."))
    _check_grace(grace_hours)
    with transaction.atomic():
        if System.objects.filter(name=name).exists():
            raise BadSystem(_("There is a system %(name)s already: choose another name.") % {"name": name})
        made: System = System.objects.create(
            tenant_id=tenant_id, name=name, kind=kind, reactivation_policy=policy, grace_hours=grace_hours, made_at=at
        )
        _count(made, because=Because.ADMINISTERS, who=made_by, at=at)
        _note(made, event=Event.SYSTEM_MADE, sentence=f"made, {made.get_kind_display()}")
    return made


def end_system(*, system: System, reason: str, at: datetime) -> System:
    """Nothing is taken from it nor read in it any more: its tokens end, and its connection pauses."""
    with transaction.atomic():
        found = _locked(system)
        if found.ended_at is not None:
            return found
        found.ended_at = at
        found.save(update_fields=["ended_at"])
        _live_tokens(found, at=at).update(ended_at=at)
        Connection.objects.filter(system=found, paused_at__isnull=True).update(paused_at=at)
        _count(found, because=Because.ADMINISTERS, who=None, at=at, until=at)
        _note(found, event=Event.SYSTEM_ENDED, sentence=f"ended with its tokens. {reason}")
    return found


def add_administrator(*, system: System, identity: UUID, at: datetime) -> None:
    """Somebody administers it from now on. Who does already is left as they are."""
    with transaction.atomic():
        found = _locked(system)
        live = SystemAdministrator.objects.filter(
            system=found, identity=identity, because=Because.ADMINISTERS, until__isnull=True
        )
        if not live.exists():
            _count(found, because=Because.ADMINISTERS, who=identity, at=at)
            _note(found, event=Event.ADMINISTRATORS_CHANGED, sentence="one more administers it")


def end_administrator(*, system: System, identity: UUID, at: datetime) -> None:
    """Somebody administers it no longer; for 30 days they still count."""
    with transaction.atomic():
        ended = SystemAdministrator.objects.filter(
            system=_locked(system), identity=identity, because=Because.ADMINISTERS, until__isnull=True
        ).update(until=at)
        if ended:
            _note(system, event=Event.ADMINISTRATORS_CHANGED, sentence="one less administers it")


def change_policy(
    *, system: System, policy: ReactivationPolicy, reason: str, at: datetime, grace_hours: int | None = None
) -> System:
    """Say what a wish to come back needs. `grace` and `automatic` take effect only while an exception is live."""
    if grace_hours is not None:
        _check_grace(grace_hours)
    with transaction.atomic():
        found = _locked(system)
        hours = found.grace_hours if grace_hours is None else grace_hours
        if (found.reactivation_policy, found.grace_hours) == (policy, hours):
            return found
        found.reactivation_policy, found.grace_hours = policy, hours
        found.save(update_fields=["reactivation_policy", "grace_hours"])
        _count(found, because=Because.CHANGED_POLICY, who=None, at=at)
        excused = exceptions.live(kind=ExceptionKind.REACTIVATION, system=found.pk, at=at)
        effect = "" if policy == ReactivationPolicy.APPROVAL or excused else " (no effect: no exception is live)"
        label = found.get_reactivation_policy_display()
        _note(found, event=Event.POLICY_CHANGED, sentence=f"policy is now “{label}”{effect}. {reason}")
    return found


def requesters(*, system: System, at: datetime) -> set[UUID]:
    """The identities that count as having asked for what this system asks for, and so can't approve it.

    Who administers it, and who administered it, made its token or changed its policy in the last 30 days.
    """
    since = at - COUNTS_FOR
    lately = Q(until__gt=since) | Q(until__isnull=True, since__gt=since)
    rows = SystemAdministrator.objects.filter(
        Q(because=Because.ADMINISTERS, until__isnull=True) | lately, system=system, since__lte=at
    )
    return set(rows.values_list("identity", flat=True))


def _locked(system: System) -> System:
    return System.objects.select_for_update().get(pk=system.pk)


def _check_grace(hours: int) -> None:
    if not 1 <= hours <= MOST_GRACE:
        raise BadSystem(_("The hours of grace must be from 1 to %(most)s.") % {"most": MOST_GRACE})


def still_active_key(system: UUID, account: UUID) -> str:
    """The dedupe key of "off here, still active there": a whole reading and a targeted one mean the same finding."""
    return f"still_active:{system}:{account}"


# -- connections: how a system is read


def egress_policy() -> Policy:
    """Where the outbound client may go. The one place that turns settings into it."""
    return Policy(
        allow_loopback=settings.ROLLCALL_ALLOW_LOOPBACK,
        allowed_networks=tuple(ip_network(text) for text in settings.ROLLCALL_ALLOWED_NETWORKS),
    )


def _vault() -> MultiFernet:
    # The first key encrypts, every key decrypts: a new one is put first, and old ones stay until they are unused.
    return MultiFernet([Fernet(key) for key in settings.ROLLCALL_FIELD_KEYS])


def secret_of(connection: Connection) -> str:
    """The bearer token towards the system, in clear; empty where there is none. Raises `SecretUnreadable`."""
    if not connection.secret:
        return ""
    try:
        return _vault().decrypt(connection.secret.encode()).decode()
    except InvalidToken:
        problem = _("The stored token can't be decrypted: put its key back into ROLLCALL_FIELD_KEYS, or enter it anew.")
    raise SecretUnreadable(problem)


def reader(connection: Connection) -> Client:
    """A client for the connection's origin with its token. Resolves the name: never call it in a transaction.

    Raises an `EgressError` where it can't be reached, and `SecretUnreadable`.
    """
    return Client(connection.base_url, policy=egress_policy(), token=secret_of(connection))


def connect(
    *,
    system: System,
    base_url: str,
    secret: str,
    canary_user_name: str,
    at: datetime,
    cadence_minutes: int = 15,
    freshness_minutes: int = 60,
    page_size: int = 100,
    shrink_percent: int = 10,
) -> Connection:
    """Read a system over SCIM from now on. Raises `BadSystem` with what to write instead."""
    values = _checked({
        "base_url": base_url, "secret": secret, "canary_user_name": canary_user_name, "page_size": page_size,
        "cadence_minutes": cadence_minutes, "freshness_minutes": freshness_minutes, "shrink_percent": shrink_percent,
    })  # fmt: skip
    with transaction.atomic():
        found = _locked(system)
        if Connection.objects.filter(system=found).exists():
            raise BadSystem(_("%(system)s is connected already: change that connection.") % {"system": found.name})
        made: Connection = Connection.objects.create(
            tenant_id=found.tenant_id, system=found, connector=Connector.SCIM, due_at=at, **values
        )
        _count(found, because=Because.ADMINISTERS, who=None, at=at, until=at)
        _note(found, event=Event.CONNECTED, sentence=f"is read at {made.base_url} every {cadence_minutes} minutes")
    return made


def change_connection(*, connection: Connection, at: datetime, **changes: Any) -> Connection:
    """Change how a system is read: any of the arguments of `connect`. What is already so writes nothing."""
    if unknown := changes.keys() - _CHANGEABLE:
        raise BadSystem(_("A connection has no %(names)s.") % {"names": ", ".join(sorted(unknown))})
    values = _checked(changes)
    with transaction.atomic():
        found = _locked_connection(connection)
        if "secret" in changes and changes["secret"] == secret_of(found):
            del values["secret"]
        differing = sorted(name for name, value in values.items() if getattr(found, name) != value)
        if not differing:
            return found
        for name in differing:
            setattr(found, name, values[name])
        found.due_at = at
        found.save(update_fields=[*differing, "due_at"])
        _count(found.system, because=Because.ADMINISTERS, who=None, at=at, until=at)
        _note(found.system, event=Event.CONNECTION_CHANGED, sentence=f"{', '.join(differing)} changed")
    return found


def pause(*, connection: Connection, reason: str, at: datetime) -> Connection:
    """Stop reading a system. It counts as not measured when its last complete reading has become too old."""
    return _pause(connection, to=at, event=Event.CONNECTION_PAUSED, sentence=f"is not read any more. {reason}", at=at)


def resume(*, connection: Connection, at: datetime, reason: str = "") -> Connection:
    """Read a system again, at once."""
    return _pause(
        connection, to=None, event=Event.CONNECTION_RESUMED, sentence=f"is read again. {reason}".strip(), at=at
    )


def _pause(connection: Connection, *, to: datetime | None, event: Event, sentence: str, at: datetime) -> Connection:
    with transaction.atomic():
        found = _locked_connection(connection)
        if (found.paused_at is None) == (to is None):
            return found
        found.paused_at, found.due_at = to, at
        found.save(update_fields=["paused_at", "due_at"])
        _count(found.system, because=Because.ADMINISTERS, who=None, at=at, until=at)
        _note(found.system, event=event, sentence=sentence)
    return found


def reading_begins(*, connection: Connection, at: datetime) -> None:
    """The next reading is due one cadence after this one began."""
    due = at + timedelta(minutes=connection.cadence_minutes)
    Connection.objects.filter(pk=connection.pk).update(due_at=due)


def reading_ended(*, system: System, complete_at: datetime | None, problem: str) -> None:
    """What the last reading came to. `complete_at` is since when a complete one holds; None leaves the last one."""
    values: dict[str, Any] = {"last_problem": problem}
    if complete_at is not None:
        values["last_complete_at"] = complete_at
    Connection.objects.filter(system=system).update(**values)


def _locked_connection(connection: Connection) -> Connection:
    return Connection.objects.select_for_update(of=("self",)).select_related("system").get(pk=connection.pk)


_BOUNDS: Final = {
    "cadence_minutes": (1, 1_440),
    "freshness_minutes": (1, 43_200),
    "page_size": (1, 1_000),
    "shrink_percent": (0, 100),
}


def _checked(values: dict[str, Any]) -> dict[str, Any]:
    """The columns of these arguments. Raises `BadSystem`; nothing is resolved and nothing is sent."""
    columns = dict(values)
    for name, (least, most) in _BOUNDS.items():
        if name in columns and not least <= columns[name] <= most:
            raise BadSystem(
                _("%(name)s must be from %(least)s to %(most)s.") % {"name": name, "least": least, "most": most}
            )
    if "base_url" in columns:
        try:
            columns["base_url"] = Origin.parse(columns["base_url"].strip(), policy=egress_policy()).url
        except EgressError as error:
            raise BadSystem(error.reason) from error
    if "canary_user_name" in columns:
        columns["canary_user_name"] = columns["canary_user_name"].strip()
        if not columns["canary_user_name"]:
            raise BadSystem(_("Name an account that every reading must show, as proof that it is whole."))
    if "secret" in columns:
        columns["secret"] = _vault().encrypt(columns["secret"].encode()).decode() if columns["secret"] else ""
    return columns


# -- tokens: how a system reaches us


def _digest(text: str) -> str:
    return hmac.new(settings.ROLLCALL_TOKEN_KEY.encode(), text.encode(), hashlib.sha256).hexdigest()


def _live_tokens(system: System, *, at: datetime) -> QuerySet[SystemToken]:
    return SystemToken.objects.filter(Q(ended_at__isnull=True) | Q(ended_at__gt=at), system=system, expires_at__gt=at)


def make_token(
    *, system: System, label: str, may: Collection[str], expires_at: datetime, made_by: UUID | None, at: datetime
) -> tuple[SystemToken, str]:
    """A new bearer token, and its text, which is shown once and kept nowhere. Raises `BadSystem`."""
    words = sorted({TokenMay(word).value for word in may if word in {*TokenMay}})
    if not words or len(words) != len(set(may)):
        raise BadSystem(_("A token may be used to %(words)s.") % {"words": ", ".join(TokenMay)})
    if expires_at <= at:
        raise BadSystem(_("The end of a token must lie ahead."))
    with transaction.atomic():
        found = _locked(system)
        if found.ended_at is not None:
            raise BadSystem(_("%(system)s has ended.") % {"system": found.name})
        if _live_tokens(found, at=at).count() >= LIVE_TOKENS:
            raise BadSystem(
                _("%(system)s has %(most)s live tokens: end the one that is no longer used, then make a new one.")
                % {"system": found.name, "most": LIVE_TOKENS}
            )
        token = SystemToken(
            tenant_id=found.tenant_id, system=found, label=label.strip()[:100], may=words,
            made_at=at, made_by_id=made_by or current().identity_id, expires_at=expires_at,
        )  # fmt: skip
        text = f"rc_{token.pk.hex}_{secrets.token_urlsafe(32)}"
        token.digest = _digest(text)
        token.save(force_insert=True)
        _count(found, because=Because.MADE_TOKEN, who=made_by, at=at)
        _note(found, event=Event.TOKEN_MADE, sentence=f"token {token} made, until {expires_at:%Y-%m-%d}")
    return token, text


def end_token(*, token: SystemToken, reason: str, at: datetime) -> SystemToken:
    """From now on it is refused."""
    return _end_token(token, ends_at=at, reason=reason, at=at)


def rotate_token(
    *, token: SystemToken, expires_at: datetime, ends_in: timedelta, made_by: UUID | None, at: datetime
) -> tuple[SystemToken, str]:
    """A new token in the place of one that goes on for a while, so that nothing is cut off. Raises `BadSystem`."""
    if ends_in < timedelta(0):
        raise BadSystem(_("The old token can't end in the past."))
    with transaction.atomic():
        made = make_token(
            system=token.system, label=token.label, may=token.may, expires_at=expires_at, made_by=made_by, at=at
        )
        _end_token(token, ends_at=at + ends_in, reason="rotated", at=at)
    return made


def _end_token(token: SystemToken, *, ends_at: datetime, reason: str, at: datetime) -> SystemToken:
    with transaction.atomic():
        found = SystemToken.objects.select_for_update(of=("self",)).select_related("system").get(pk=token.pk)
        # An end moves nearer, never away.
        if found.ended_at is not None and found.ended_at <= ends_at:
            return found
        found.ended_at = ends_at
        found.save(update_fields=["ended_at"])
        _count(found.system, because=Because.ADMINISTERS, who=None, at=at, until=at)
        _note(
            found.system, event=Event.TOKEN_ENDED, sentence=f"token {found} ends {ends_at:%Y-%m-%d %H:%M} UTC. {reason}"
        )
    return found


def find_token(text: str, *, at: datetime) -> SystemToken | Refused:
    """Whose token this is, or why it is not accepted. Needs no tenant: it says which tenant a request is for.

    One look-up by id, one keyed digest and one comparison in constant time, whatever the text: how long it takes says
    nothing about which ids there are. `system` of the result is readable only in the scope of its tenant.
    """
    parts = _TOKEN.fullmatch(text)
    token_id = UUID(parts[1]) if parts else None
    found = SystemToken.objects.filter(pk=token_id or _NOBODY).first()
    matches = hmac.compare_digest(_digest(text), found.digest if found else _digest(""))
    if parts is None:
        return Refused(Refusal.MALFORMED)
    if found is None:
        return Refused(Refusal.UNKNOWN, token_id)
    if not matches:
        return Refused(Refusal.WRONG, token_id)
    if found.ended_at is not None and found.ended_at <= at:
        return Refused(Refusal.ENDED, token_id)
    if found.expires_at <= at:
        return Refused(Refusal.EXPIRED, token_id)
    return found


# -- rings: what was read, and what was refused


def record_read(*, token: SystemToken, method: str, path: str, status: int, note: str = "") -> None:
    """Keep one request that changed nothing, and forget the oldest past 200 of its system."""
    ReadRecord.objects.create(
        tenant_id=token.tenant_id, token_id=token.pk, system_id=token.system_id, method=method[:8], path=path[:300],
        status=status, note=note[:300],
    )  # fmt: skip
    _trim_reads(token.system_id)


def record_refused(*, refused: Refused, method: str, path: str, remote: str) -> None:
    """Keep one request whose token is not accepted, and forget the oldest past 1,000. Never the token itself."""
    RefusedToken.objects.create(
        token_id=refused.token_id, because=refused.why.value, method=method[:8], path=path[:300], remote=remote[:64]
    )
    trim_refused()


def refused_at(system: System) -> QuerySet[RefusedToken]:
    """Refused requests that named one of this system's tokens, newest first: for the connection's page."""
    return RefusedToken.objects.filter(token_id__in=SystemToken.objects.filter(system=system).values("pk"))


def _trim_reads(system: UUID) -> int:
    return _trim(
        "DELETE FROM provisioning_readrecord WHERE id IN ("
        "SELECT id FROM provisioning_readrecord WHERE system_id = %s AND id <= ("
        "SELECT id FROM provisioning_readrecord WHERE system_id = %s ORDER BY id DESC OFFSET %s LIMIT 1)"
        " FOR UPDATE SKIP LOCKED)",
        [system, system, READS_KEPT],
    )


def trim_reads() -> int:
    """Forget the oldest reads of every system of the tenant. Returns how many."""
    return sum(_trim_reads(system) for system in System.objects.values_list("pk", flat=True))


def trim_refused() -> int:
    """Forget the oldest refused requests. Returns how many."""
    return _trim(
        "DELETE FROM provisioning_refusedtoken WHERE id IN (SELECT id FROM provisioning_refusedtoken WHERE id <= ("
        "SELECT id FROM provisioning_refusedtoken ORDER BY id DESC OFFSET %s LIMIT 1) FOR UPDATE SKIP LOCKED)",
        [REFUSED_KEPT],
    )


def _trim(statement: str, parameters: list[Any]) -> int:
    # Rows that another request is just forgetting are passed over: nobody waits for a ring.
    with database.cursor() as cursor:
        cursor.execute(statement, parameters)
        return int(cursor.rowcount)
