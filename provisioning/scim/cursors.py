"""Pages by cursor (RFC 9865): where a page ended, as a word that fits only the list that it came from.

A cursor holds the id of the last resource and a keyed digest of it and of the list: whose, of which type, by which
filter and in which order. It is nothing to guess or to carry elsewhere, has no name of anybody in it, and never expires:
the server keeps nothing about it.
"""

import base64
import binascii
import hmac
from uuid import UUID

from django.conf import settings

from provisioning.scim.errors import invalid_cursor

_DIGEST = 12
_LENGTH = 16 + _DIGEST


def cursor_after(last: UUID, *, of: str) -> str:
    """The cursor of the page that follows a resource in the list `of`. Unreserved characters only (RFC 3986)."""
    return base64.urlsafe_b64encode(last.bytes + _digest(last.bytes, of)).decode().rstrip("=")


def read_cursor(text: str, *, of: str) -> UUID:
    """The id that a cursor of this list holds. Raises invalidCursor for every other text."""
    try:
        raw = base64.urlsafe_b64decode(text.encode("ascii") + b"=" * (-len(text) % 4))
    except (UnicodeEncodeError, binascii.Error, ValueError):
        raise invalid_cursor() from None
    last = raw[:16]
    if len(raw) != _LENGTH or not hmac.compare_digest(raw[16:], _digest(last, of)):
        raise invalid_cursor()
    return UUID(bytes=last)


def _digest(last: bytes, of: str) -> bytes:
    key = settings.ROLLCALL_TOKEN_KEY.encode()
    return hmac.digest(key, b"cursor\x00" + last + of.encode("utf-8", "surrogatepass"), "sha256")[:_DIGEST]
