"""One value against its attribute: its type, its characters, its length (RFC 7643 section 2.3)."""

import base64
import binascii
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from provisioning.changes import fold
from provisioning.scim.errors import invalid_syntax, invalid_value, quoted
from provisioning.scim.metadata.schema import Attribute

MAX_VALUES = 1000
# How clients spell booleans as texts (Entra, Keycloak); any other text is none.
BOOLEAN_TEXTS = {"True": True, "true": True, "False": False, "false": False}
_DATE_TIME = re.compile(
    r"(?P<whole>\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2})(?:\.(?P<fraction>\d{1,12}))?(?P<zone>Z|[+-]\d{2}:\d{2})?", re.ASCII
)
# C0, DEL and C1; the bidirectional overrides, isolates and marks; the separators that break a line in a log.
_BIDI = "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"
_REFUSED = re.compile(rf"[\x00-\x1f\x7f-\x9f\u2028\u2029{_BIDI}]")
_REFUSED_IN_LINES = re.compile(rf"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f{_BIDI}]")


def read_instant(text: str, *, default_zone: str | None = None) -> datetime | None:
    """The instant of an xsd:dateTime, or None if it is none; a finer fraction than microseconds is cut off.

    Without a zone it is None too, unless `default_zone` (such as `+00:00`) is given.
    """
    match = _DATE_TIME.fullmatch(text)
    zone = (match["zone"] or default_zone) if match else None
    if match is None or zone is None:
        return None
    fraction = (match["fraction"] or "0")[:6].ljust(6, "0")
    offset = "+00:00" if zone == "Z" else zone
    try:
        return datetime.fromisoformat(f"{match['whole']}.{fraction}{offset}").astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def is_blank(value: Any) -> bool:
    """Whether it counts as unassigned: null, an empty list, an empty object (RFC 7643 section 2.5)."""
    return value is None or value in ([], {})


def read_value(attribute: Attribute, value: Any, *, at: str) -> Any:
    """The canonical form of a value of the attribute; None if it is unassigned.

    `at` is the path that an error names. Raises invalidValue for a wrong type, length or character, invalidSyntax for
    an unknown sub-attribute.
    """
    if is_blank(value):
        return None
    if not attribute.multi_valued:
        return read_item(attribute, value, at=at)
    if not isinstance(value, list):
        raise invalid_value(f"{at} must be a list.")
    if len(value) > MAX_VALUES:
        raise invalid_value(f"{at} has more than {MAX_VALUES} values.")
    items = [read_item(attribute, item, at=at) for item in value if not is_blank(item)]
    items = [item for item in items if not is_blank(item)]
    check_one_primary(items, at=at)
    return items or None


def check_one_primary(items: list[Any], *, at: str) -> None:
    """Raise invalidValue if more than one value is the primary one (RFC 7643 section 2.4)."""
    if sum(1 for item in items if isinstance(item, dict) and item.get("primary") is True) > 1:
        raise invalid_value(f"{at} has more than one primary value.")


def read_item(attribute: Attribute, value: Any, *, at: str) -> Any:
    """The canonical form of one single value, also of a multi-valued attribute."""
    return _READERS[attribute.kind](attribute, value, at)


def _string(attribute: Attribute, value: Any, at: str) -> str:
    text = _text(attribute, value, at)
    if not attribute.closed:
        return text
    for word in attribute.canonical_values:
        if word == text.lower():
            return word
    raise invalid_value(f"{at} must be one of {', '.join(attribute.canonical_values)}.")


def _text(attribute: Attribute, value: Any, at: str) -> str:
    if not isinstance(value, str):
        raise invalid_value(f"{at} must be a string.")
    refused = _REFUSED_IN_LINES if attribute.multi_line else _REFUSED
    if refused.search(value):
        raise invalid_value(f"{at} has a control character or a bidirectional override.")
    if attribute.required and not value.strip():
        raise invalid_value(f"{at} must not be blank.")
    if len(value) > attribute.max_length or (attribute.keyed and len(fold(value)) > attribute.max_length):
        raise invalid_value(f"{at} is longer than {attribute.max_length} characters.")
    return value


def _boolean(_attribute: Attribute, value: Any, at: str) -> bool:
    if not isinstance(value, bool):
        raise invalid_value(f"{at} must be true or false.")
    return value


def _integer(_attribute: Attribute, value: Any, at: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise invalid_value(f"{at} must be a whole number.")
    return value


def _decimal(_attribute: Attribute, value: Any, at: str) -> int | float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise invalid_value(f"{at} must be a number.")
    return value


def _date_time(attribute: Attribute, value: Any, at: str) -> str:
    text = _text(attribute, value, at)
    if read_instant(text) is None:
        raise invalid_value(f"{at} must be a date and time with a zone, such as 2030-01-31T12:00:00Z.")
    return text


def _reference(attribute: Attribute, value: Any, at: str) -> str:
    text = _text(attribute, value, at)
    if any(character.isspace() for character in text):
        raise invalid_value(f"{at} must be a reference without blanks.")
    return text


def _binary(attribute: Attribute, value: Any, at: str) -> str:
    text = _text(attribute, value, at)
    try:
        # RFC 7643 section 2.3.6 allows the URL-safe alphabet, and omitted padding, as well.
        padded = text.translate(str.maketrans("-_", "+/")) + "=" * (-len(text) % 4)
        base64.b64decode(padded, validate=True)
    except (binascii.Error, ValueError):
        raise invalid_value(f"{at} must be base64.") from None
    return text


def by_name(value: Mapping[str, Any]) -> dict[str, Any]:
    """The object with lower-case names. Raises invalidSyntax for one name in two spellings (RFC 7643 section 2.1)."""
    lowered = {name.lower(): inner for name, inner in value.items()}
    if len(lowered) != len(value):
        raise invalid_syntax("An attribute is given twice, in different case.")
    return lowered


def demand_message(schemas: Any, urn: str) -> None:
    """Raise invalidSyntax unless the `schemas` of a message are a list with its URN, in any case."""
    named = schemas if isinstance(schemas, list) else []
    if not any(isinstance(one, str) and one.lower() == urn.lower() for one in named):
        raise invalid_syntax(f"schemas must have {urn}.")


def _complex(attribute: Attribute, value: Any, at: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise invalid_value(f"{at} must be an object.")
    given = by_name(value)
    unknown = [name for name in value if attribute.sub(name) is None]
    if unknown:
        raise invalid_syntax(
            f"{at} has no sub-attribute {quoted(unknown[0])}.", record=f"{at} has an unknown sub-attribute."
        )
    read: dict[str, Any] = {}
    for sub in attribute.subs:
        inner = None if sub.read_only else read_value(sub, given.get(sub.name.lower()), at=f"{at}.{sub.name}")
        if inner is not None:
            read[sub.name] = inner
        elif sub.required:
            raise invalid_value(f"{at}.{sub.name} is required.")
    return read


_READERS: dict[str, Callable[[Attribute, Any, str], Any]] = {
    "string": _string,
    "boolean": _boolean,
    "integer": _integer,
    "decimal": _decimal,
    "dateTime": _date_time,
    "reference": _reference,
    "binary": _binary,
    "complex": _complex,
}
