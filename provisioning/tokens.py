"""Tokens, by which a system reaches us, and the rings of what was read and refused: the only writer of SystemToken.

A token is shown once; only a keyed digest is kept. Looking one up takes the same work whether or not it is known.
"""

import hashlib
import hmac
import re
import secrets
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import connection as database
from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils.translation import gettext as _

from accounts.models.system import System, SystemAdministrator
from audit.cause import current
from audit.keys import uuid7
from audit.scope import at_once
from provisioning import systems
from provisioning.models.connection import RefusedToken, SystemToken
from provisioning.states import Event
from provisioning.systems import BadSystem

Because = SystemAdministrator.Because

LIVE_TOKENS = 2
READS_KEPT = 200
REFUSED_KEPT = 1_000
_TOKEN = re.compile(r"rc_([0-9a-f]{32})_[A-Za-z0-9_-]{20,100}")
_NOBODY = UUID(int=0)
# Written out because every request of every directory begins with it.
_BY_ID = "SELECT * FROM provisioning_systemtoken WHERE id = %s"


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
    UNSIGNED = "a file that is not signed"


@dataclass(frozen=True)
class Refused:
    """A token that is not accepted. `token_id` is the id that it named, whether or not there is such a token."""

    why: Refusal
    token_id: UUID | None = None


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
        found = systems.living(system)
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
        systems.administered(found, because=Because.MADE_TOKEN, who=made_by, at=at)
        systems.note(found, event=Event.TOKEN_MADE, sentence=f"token {token} made, until {expires_at:%Y-%m-%d}")
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
        systems.administered(found.system, because=Because.ADMINISTERS, who=None, at=at, until=at)
        systems.note(
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
    found = next(iter(SystemToken.objects.raw(_BY_ID, [token_id or _NOBODY])), None)
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

_TRIM_READS = (
    "DELETE FROM provisioning_readrecord WHERE id IN ("
    "SELECT id FROM provisioning_readrecord WHERE system_id = %s AND id <= ("
    "SELECT id FROM provisioning_readrecord WHERE system_id = %s ORDER BY id DESC OFFSET %s LIMIT 1)"
    " FOR UPDATE SKIP LOCKED)"
)
_RECORD_READ = (  # fixed texts, all of them
    "SET LOCAL synchronous_commit = off;"  # noqa: S608
    " INSERT INTO provisioning_readrecord (id, tenant_id, token_id, system_id, method, path, status, note)"
    " VALUES (%s, %s, %s, %s, %s, %s, %s, %s);"
    f" {_TRIM_READS}"
)


def record_read(*, token: SystemToken, method: str, path: str, status: int, note: str = "") -> None:
    """Keep one request that changed nothing, and forget the oldest past 200 of its system.

    Nobody waits for the disk: what a crash can take is the last moment of a list of reads, and no evidence.
    """
    at_once(
        (
            _RECORD_READ,
            [
                uuid7(), token.tenant_id, token.pk, token.system_id, method[:8], path[:300], status, note[:300],
                token.system_id, token.system_id, READS_KEPT,
            ],
        ),
        tenant=token.tenant_id,
    )  # fmt: skip


def record_refused(*, refused: Refused, method: str, path: str, remote: str) -> None:
    """Keep one request whose token is not accepted, and forget the oldest past 1,000. Never the token itself."""
    RefusedToken.objects.create(
        token_id=refused.token_id, because=refused.why.value, method=method[:8], path=path[:300], remote=remote[:64]
    )
    trim_refused()


def refused_at(system: System) -> QuerySet[RefusedToken]:
    """Refused requests that named one of this system's tokens, newest first: for the connection's page."""
    return RefusedToken.objects.filter(token_id__in=SystemToken.objects.filter(system=system).values("pk"))


def trim_reads() -> int:
    """Forget the oldest reads of every system of the tenant. Returns how many."""
    systems = System.objects.values_list("pk", flat=True)
    return sum(_trim(_TRIM_READS, [system, system, READS_KEPT]) for system in systems)


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
