"""What never enters a row, a log line or a page."""

import logging
import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

MASK = "***"
# Names, not values: whatever is called like a secret is one, wherever it stands.
_SECRETS_WORD = (
    r"(?:pass(?:word|wd|phrase|code)|pwd|secret|token|(?:api|access|private|session)[-_]?key|credential|authorization"
    r"|cookie|bearer|otp)"
)
_SECRET_NAME = re.compile(_SECRETS_WORD + r"|pin$", re.IGNORECASE)
# Values that look like credentials of ours or of others, for free text and query strings.
_SECRET_VALUE = re.compile(
    r"rc_[A-Za-z0-9-]+_[A-Za-z0-9_-]{16,}|eyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*|(?i:bearer|basic)\s+[\w+/=.~-]{6,}"
    r"|-----BEGIN[^-]+PRIVATE KEY-----[\s\S]*?(?:-----END[^-]+-----|\Z)"
)
# A secret's name and its value in free text: a query string, a form, a filter, or JSON too broken to be read.
_SECRET_PAIR = re.compile(
    rf"({_SECRETS_WORD}[\w.\-]{{0,40}}(?:\\?[\"'])?\s{{0,8}}(?:[=:]|\b(?:eq|ne|co|sw|ew)\b)[\s\[]{{0,8}})"
    r"(?:\\?\"(?:[^\"\\]|\\.)*\\?\"?|'[^']*'?|[^\s&;,\"'}\]]+)",
    re.IGNORECASE,
)
# Ids and numbers: nothing above can be spelled with these characters, and lists of thousands are made of them.
_PLAIN = re.compile(r"[0-9A-Fa-f-]{0,64}")
_USER_INFO = re.compile(r"(://[^\s/:@]{1,200}:)[^\s/@]{1,200}(?=@)")
# Parts of an address that are ours, or a key of a row: words, a page's number, a uuid. Below /scim/, those of RFC 7644.
_OURS = re.compile(
    r"[A-Za-z][A-Za-z_.-]{0,39}|v[0-9]|[0-9]{1,19}|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|", re.IGNORECASE
)
_SCIM = re.compile(
    r"scim|v2|Users|Groups|Agents|AgenticApplications|Roles|Entitlements|Bulk|Me|Schemas|ResourceTypes|"
    r"ServiceProviderConfig|Received|\.search|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|",
    re.IGNORECASE,
)
# Where every part is ours: names of files with their digests, and the short name of a tenant.
_WHOLE = re.compile(r"/static/")
_TENANT = re.compile(r"/t/[A-Za-z0-9_-]{1,60}(?=/|$)")
# Members that say of which attribute their sibling `value` is: a PATCH operation's path, a pair's name.
_NAMING = ("path", "name", "key", "attribute")


def is_secret_name(name: str) -> bool:
    """Whether an attribute, header or parameter of that name must never be kept."""
    return bool(_SECRET_NAME.search(name))


def redact_text(text: str) -> str:
    """The text without anything that looks like a credential, or is called one: `password=…`, `"token": "…"`."""
    if _PLAIN.fullmatch(text):
        return text
    text = _SECRET_VALUE.sub(MASK, text)
    text = _SECRET_PAIR.sub(lambda found: found.group(1) + MASK, text)
    return _USER_INFO.sub(lambda found: found.group(1) + MASK, text)


def redact_path(path: str) -> str:
    """An address without the parts that are neither ours nor a key of a row: one-use links, what was pasted by mistake."""
    if _WHOLE.match(path):
        return redact_text(path)
    tenant = _TENANT.match(path)
    head = tenant.group() if tenant else ""
    ours = _SCIM if path.startswith("/scim/") else _OURS
    parts = path.removeprefix(head).split("/")
    # What follows the door of a one-use link is the link, whatever it looks like.
    after_door = ["", *parts[:-1]]
    kept = [
        p if ours.fullmatch(p) and (door != "welcome" or not p) else MASK
        for door, p in zip(after_door, parts, strict=True)
    ]
    return redact_text(head + "/".join(kept))


class WithoutPaths(logging.Filter):
    """Redacts the addresses in what Django logs of a request by itself ("Not Found: …")."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Always true: the line stays."""
        if record.name.startswith("django.") and isinstance(record.args, tuple):
            record.args = tuple(redact_path(a) if isinstance(a, str) and a.startswith("/") else a for a in record.args)
        return True


@lru_cache(maxsize=512)
def _judged(name: str) -> tuple[str, bool]:
    """The name of a member as it may be kept, and whether it is that of a secret. Lists repeat a few names."""
    return redact_text(name), is_secret_name(name)


def _is_pair_of_secret(value: Mapping[Any, Any]) -> bool:
    return any(isinstance(value[word], str) and is_secret_name(value[word]) for word in _NAMING if word in value)


def redact(value: Any) -> Any:
    """A copy of a JSON value without secrets: by name of the member, and by the look of a string.

    In `{"path": "password", "value": …}` the value is the secret: a sibling names it.
    """
    if isinstance(value, str):
        return redact_text(value)
    if isinstance(value, Mapping):
        named = _is_pair_of_secret(value)
        return {
            shown: MASK if v is not None and (is_secret or (named and str(k).casefold() == "value")) else redact(v)
            for k, v in value.items()
            for shown, is_secret in (_judged(str(k)),)
        }
    if isinstance(value, Sequence) and not isinstance(value, bytes | bytearray):
        return [redact(item) for item in value]
    return value
