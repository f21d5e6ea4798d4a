"""What the ledger keeps of requests and answers: encrypted under a key of their subject, which can be destroyed.

A subject is a resource of a system; what is about none (a request that was refused before there was anybody) belongs to
the day on which it came. A subject's key is random, and stands wrapped under a key of its tenant; that one is derived from
ROLLCALL_FIELD_KEYS and stands nowhere. Whoever destroys the subject's row makes unreadable all that was ever sent
and answered about it, in every backup too; the ciphertext stays, so that seals over it still verify.
"""

import base64
import json
import os
import zlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any
from uuid import UUID, uuid5

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings
from django.utils.translation import gettext as _

from audit.keys import milliseconds_of, uuid7
from provisioning.models.exchange import BodyKey, Exchange

_NONCE = 12
_KEY_BITS = 256
# The first byte of what is encrypted says how.
_FORM = b"\x01"
_DAY = 86_400_000


class BodyUnreadable(RuntimeError):
    """A body was encrypted under a key that is no longer configured, or is not what was written."""


@dataclass(frozen=True)
class Key:
    """A key by its id; `wrapped` is set where it is new, and has no row yet."""

    id: UUID
    subject: UUID
    secret: bytes
    wrapped: bytes | None = None


@dataclass(frozen=True)
class Bodies:
    """What was sent and what was answered, as far as it is kept. `is_gone`: their key was destroyed."""

    request: Any = None
    answer: Any = None
    is_gone: bool = False
    problem: str = ""
    """Why nothing can be shown, for people."""


@lru_cache(maxsize=256)
def _of_tenant(tenant: UUID, field_key: str) -> AESGCM:
    derived = HKDF(algorithm=SHA256(), length=_KEY_BITS // 8, salt=tenant.bytes, info=b"rollcall exchange bodies")
    return AESGCM(derived.derive(base64.urlsafe_b64decode(field_key)))


def of_day(*, tenant: UUID, exchange_id: UUID) -> UUID:
    """The subject of what is about no resource: the day (UTC) on which it came."""
    return uuid5(tenant, f"day {milliseconds_of(exchange_id) // _DAY}")


def made(*, tenant: UUID, subject: UUID) -> Key:
    """A new key, wrapped for its row, which is to be written with what it encrypts."""
    secret = AESGCM.generate_key(_KEY_BITS)
    return Key(uuid7(), subject, secret, _wrap(secret, tenant=tenant, subject=subject))


def _wrap(secret: bytes, *, tenant: UUID, subject: UUID) -> bytes:
    nonce = os.urandom(_NONCE)
    wrapping = _of_tenant(tenant, settings.ROLLCALL_FIELD_KEYS[0])
    return _FORM + nonce + wrapping.encrypt(nonce, secret, subject.bytes)


def standing(subject: UUID) -> Key | None:
    """The key of a subject, if it has one. Raises `BodyUnreadable`."""
    found = BodyKey.objects.filter(subject_id=subject).first()
    return None if found is None else Key(found.pk, subject, unwrapped(found))


def key_of_day(*, tenant: UUID, exchange_id: UUID) -> Key:
    """The key of the exchange's day; several may want to make it at once, and all use the one that was first."""
    subject = of_day(tenant=tenant, exchange_id=exchange_id)
    found = standing(subject)
    if found is None:
        key = made(tenant=tenant, subject=subject)
        row = BodyKey(pk=key.id, tenant_id=tenant, subject_id=subject, wrapped=key.wrapped)
        BodyKey.objects.bulk_create([row], ignore_conflicts=True)
        found = standing(subject)
    if found is None:
        raise BodyUnreadable(_("The key of the day was destroyed while it was asked for."))
    return found


def unwrapped(row: BodyKey) -> bytes:
    """The key that stands in a row. Raises `BodyUnreadable`."""
    for field_key in settings.ROLLCALL_FIELD_KEYS:
        try:
            return _of_tenant(row.tenant_id, field_key).decrypt(*_parts(row.wrapped), row.subject_id.bytes)
        except InvalidTag:
            continue
    raise BodyUnreadable(_("Its key can't be unwrapped: put what wrapped it back into ROLLCALL_FIELD_KEYS."))


def wrapped_anew(row: BodyKey) -> bytes | None:
    """The same key under the newest field key; nothing, where that wraps it already. Raises `BodyUnreadable`."""
    newest = _of_tenant(row.tenant_id, settings.ROLLCALL_FIELD_KEYS[0])
    try:
        newest.decrypt(*_parts(row.wrapped), row.subject_id.bytes)
    except InvalidTag:
        return _wrap(unwrapped(row), tenant=row.tenant_id, subject=row.subject_id)
    return None


def _parts(sealed: bytes | memoryview) -> tuple[bytes, bytes]:
    sealed = bytes(sealed)
    if sealed[:1] != _FORM:
        raise BodyUnreadable(_("What is kept of it has no form that is known here."))
    return sealed[1 : 1 + _NONCE], sealed[1 + _NONCE :]


def closed(key: Key, *, exchange_id: UUID, request: Any, answer: Any) -> bytes:
    """The bodies of one exchange, encrypted; the same bytes under another exchange's id are not readable."""
    text = json.dumps([request, answer], separators=(",", ":"), ensure_ascii=False)
    # What is encrypted can't be compressed any more.
    packed = zlib.compress(text.encode("utf-8", "surrogatepass"), level=1)
    nonce = os.urandom(_NONCE)
    return _FORM + nonce + AESGCM(key.secret).encrypt(nonce, packed, exchange_id.bytes)


def opened(exchange: Exchange) -> Bodies:
    """What was sent and answered. Raises `BodyUnreadable`."""
    return _opened(exchange, _keys([exchange]))


def opener(exchanges: Iterable[Exchange]) -> Callable[[Exchange], Bodies]:
    """What opens each of these, at the cost of one look-up for all; it raises `BodyUnreadable`."""
    keys = _keys(exchanges)
    return lambda one: _opened(one, keys)


def shown(exchange: Exchange) -> Bodies:
    """The same for people: what can't be read says why."""
    return shown_all([exchange])[exchange.pk]


def shown_all(exchanges: Iterable[Exchange]) -> dict[UUID, Bodies]:
    """The same for several, by their ids, at the cost of one look-up."""
    rows = list(exchanges)
    keys = _keys(rows)
    return {one.pk: _shown(one, keys) for one in rows}


def _shown(one: Exchange, keys: Mapping[UUID, BodyKey]) -> Bodies:
    try:
        return _opened(one, keys)
    except BodyUnreadable as error:
        return Bodies(problem=str(error))


def _keys(rows: Iterable[Exchange]) -> Mapping[UUID, BodyKey]:
    ids = {one.body_key_id for one in rows if one.body is not None and one.body_key_id is not None}
    return BodyKey.objects.in_bulk(ids) if ids else {}


def _opened(one: Exchange, keys: Mapping[UUID, BodyKey]) -> Bodies:
    if one.body is None or one.body_key_id is None:  # nothing was sent and answered, or before bodies were encrypted
        return Bodies(one.request, one.answer)
    if one.body_key_id not in keys:
        return Bodies(is_gone=True, problem=_("The key of what was sent and answered was destroyed."))
    secret = unwrapped(keys[one.body_key_id])
    try:
        packed = AESGCM(secret).decrypt(*_parts(one.body), one.pk.bytes)
    except InvalidTag:
        raise BodyUnreadable(_("It is not what was written: its bytes or its key were changed.")) from None
    request, answer = json.loads(zlib.decompress(packed).decode("utf-8", "surrogatepass"))
    return Bodies(request, answer)
