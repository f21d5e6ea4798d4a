"""What never enters a row, a log line or a page."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

MASK = "***"
# Names, not values: whatever is called like a secret is one, wherever it stands.
_SECRET_NAME = re.compile(
    r"pass(word|wd|phrase)|secret|token|api[-_]?key|private[-_]?key|credential|authorization|cookie|bearer|otp|pin$",
    re.IGNORECASE,
)
# Values that look like credentials of ours or of others, for free text and query strings.
_SECRET_VALUE = re.compile(
    r"rc_[A-Za-z0-9-]+_[A-Za-z0-9_-]{16,}|eyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*|(?i:bearer|basic)\s+[\w+/=.~-]{6,}"
    r"|-----BEGIN[^-]+PRIVATE KEY-----[\s\S]*?(?:-----END[^-]+-----|\Z)"
)


def is_secret_name(name: str) -> bool:
    """Whether an attribute, header or parameter of that name must never be kept."""
    return bool(_SECRET_NAME.search(name))


def redact_text(text: str) -> str:
    """The text without anything that looks like a credential."""
    return _SECRET_VALUE.sub(MASK, text)


def redact(value: Any) -> Any:
    """A copy of a JSON value without secrets: by name of the member, and by the look of a string."""
    if isinstance(value, str):
        return redact_text(value)
    if isinstance(value, Mapping):
        return {str(k): MASK if is_secret_name(str(k)) and v is not None else redact(v) for k, v in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, bytes | bytearray):
        return [redact(item) for item in value]
    return value
