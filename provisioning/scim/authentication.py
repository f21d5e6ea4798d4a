"""Who asks: `Authorization: Bearer rc_…` says which token, and the token which system and tenant (RFC 6750).

A token that is not accepted leaves one row in a bounded ring and no Exchange. A token, the presented one or any that
looks like ours, belongs into that one header: anywhere else the request is refused and nothing of it is kept.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Any, TypeVar
from urllib.parse import unquote_plus

from django.http import HttpRequest

from accounts.models.system import System
from accounts.models.tenant import Tenant
from audit.fields import columns_of, from_row
from audit.scope import at_once, scope
from provisioning import tokens
from provisioning.models.authority import FieldAuthority
from provisioning.models.connection import SystemToken
from provisioning.scim.errors import ScimError, forbidden, unauthorized
from provisioning.tokens import Refusal, Refused, TokenMay

View = TypeVar("View", bound=Callable[..., Any])

# Our tokens, signed tokens of anybody, and private keys: what no attribute of an account has a use for.
_CREDENTIAL = re.compile(
    r"rc_[A-Za-z0-9-]{8,64}_[A-Za-z0-9_-]{16,}|eyJ[\w-]{8,}\.eyJ[\w-]{8,}\.[\w-]*|-----BEGIN [A-Z ]*PRIVATE KEY-----"
)
_ESCAPE = re.compile(r"\\u([0-9a-fA-F]{4})")
_LEAST_SECRET = 8
HOLDS_CREDENTIAL = "holds a credential"
_SYSTEM = (
    f"SELECT {columns_of(System, 's')}, {columns_of(Tenant, 't')}"  # noqa: S608  the models' own columns
    " FROM accounts_system s JOIN accounts_tenant t ON t.id = s.tenant_id WHERE s.id = %s"
)

# What it sent ahead: whether any of it is open, and whether any waits to be applied.
_AHEAD = (
    "SELECT EXISTS (SELECT FROM provisioning_received WHERE system_id = %s AND state IN ('parked', 'waiting')),"
    " EXISTS (SELECT FROM provisioning_received WHERE system_id = %s AND state = 'waiting')"
)
_RULES = (
    f"SELECT {columns_of(FieldAuthority, 'r')} FROM provisioning_fieldauthority r"  # noqa: S608  the model's own columns
    " WHERE (r.system_id = %s OR r.system_id IS NULL) AND r.ended_at IS NULL ORDER BY r.system_id NULLS LAST"
)


def pass_through(view: View) -> View:
    """What the frame puts around its dispatch (`AUTH_CHECK_MIDDLEWARE`): nothing, since ours asks for the token."""
    return view


@dataclass(frozen=True, kw_only=True)
class Caller:
    """A token that is accepted, and its secret for as long as the request lasts."""

    token: SystemToken
    secret: str = field(repr=False)

    @cached_property
    def _known(self) -> tuple[System, tuple[FieldAuthority, ...], tuple[bool, bool]]:
        system = self.token.system_id
        (columns,), rules, (ahead,) = at_once(
            (_SYSTEM, [system]), (_RULES, [system]), (_AHEAD, [system, system]), tenant=self.token.tenant_id
        )
        size = len(System._meta.concrete_fields)
        found = from_row(System, columns[:size])
        found.tenant = from_row(Tenant, columns[size:])
        return found, tuple(from_row(FieldAuthority, row) for row in rules), (bool(ahead[0]), bool(ahead[1]))

    @property
    def system(self) -> System:
        """The token's system with its tenant, read when it is asked for."""
        return self._known[0]

    @property
    def rules(self) -> tuple[FieldAuthority, ...]:
        """Whose word counts there, as `authority.rules_for`; read together with the system."""
        return self._known[1]

    @property
    def has_sent_ahead(self) -> bool:
        """Whether something of its system was acknowledged and is not applied; read together with the system."""
        return self._known[2][0]

    @property
    def is_waited_for(self) -> bool:
        """Whether some of that is to be applied without anybody's doing, so that somebody is at it, or will be."""
        return self._known[2][1]

    def demand(self, word: TokenMay) -> None:
        """Raise 403 unless the token may do that."""
        if word.value not in self.token.may:
            raise forbidden(f"This token may not {word.value}.")


def authenticate(request: HttpRequest, *, at: datetime, path: str) -> Caller:
    """The caller. Raises 401, after one row in the ring; `path` is what may be kept of the address."""
    scheme, _, presented = request.headers.get("Authorization", "").strip().partition(" ")
    presented = presented.strip()
    if scheme.lower() != "bearer":
        presented = ""
    # Tokens have no tenant: one statement finds them, and needs no scope.
    found = tokens.find_token(presented, at=at) if presented.isascii() else Refused(Refusal.MALFORMED)
    if isinstance(found, Refused):
        with scope():
            tokens.record_refused(refused=found, method=request.method or "", path=path, remote=remote(request))
        raise unauthorized()
    return Caller(token=found, secret=presented.split("_", 2)[2])


def remote(request: HttpRequest) -> str:
    """The address that the request came from, as the web server saw it."""
    return str(request.META.get("REMOTE_ADDR", ""))[:64]


def refuse_credentials(request: HttpRequest, caller: Caller, body: bytes = b"") -> None:
    """Raise invalidValue if path, query, a header or the body holds a credential."""
    if any(_holds(text, caller.secret) for text in _texts(request, body)):
        raise ScimError(
            400, "invalidValue", "The request holds a credential outside of Authorization.", record=HOLDS_CREDENTIAL
        )


def _holds(text: str, secret: str) -> bool:
    return bool(_CREDENTIAL.search(text)) or (len(secret) >= _LEAST_SECRET and secret in text)


def _texts(request: HttpRequest, body: bytes) -> Iterator[str]:
    yield request.path
    for name, value in request.headers.items():
        if name.lower() != "authorization":
            yield from _readings(value)
    yield from _readings(str(request.META.get("QUERY_STRING", "")))
    if body:
        text = body.decode("utf-8", "replace")
        yield text
        if "\\u" in text:
            yield _ESCAPE.sub(lambda found: chr(int(found[1], 16)), text)


def _readings(text: str) -> Iterator[str]:
    yield text
    yield unquote_plus(text)
