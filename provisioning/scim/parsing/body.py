"""From bytes to one JSON object, strictly: whatever is wrong with the bytes is a SCIM error and never another one."""

import json
from collections.abc import Iterator
from typing import Any, NoReturn

from provisioning.scim.errors import ScimError, invalid_syntax, too_large, unsupported_media_type
from provisioning.scim.metadata.discovery import MAX_BODY_BYTES

MAX_DEPTH = 32
MAX_INTEGER = 2**63 - 1
MAX_NUMBER_LENGTH = 40
MEDIA_TYPES = frozenset({"application/scim+json", "application/json"})
_FIRST_SURROGATE, _LAST_SURROGATE = "\ud800", "\udfff"


def check_media_type(content_type: str | None) -> None:
    """Raise 415 unless it is application/scim+json or application/json in UTF-8; none at all counts as the first.

    RFC 7644 section 3.8 and 8.1.
    """
    if not content_type or not content_type.strip():
        return
    media_type, *parameters = (part.strip().lower() for part in content_type.split(";"))
    if media_type not in MEDIA_TYPES:
        raise unsupported_media_type("Send application/scim+json.")
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "charset" and value.strip().strip('"') not in {"utf-8", "utf8"}:
            raise unsupported_media_type("Send UTF-8.")


def load(raw: bytes, *, content_type: str | None) -> dict[str, Any]:
    """The JSON object of a request body.

    Raises 415 for another media type, 413 over 16 MiB, and otherwise 400 invalidSyntax: no UTF-8, no JSON, no object,
    a name twice, more than 32 levels, NaN, a number out of range, NUL or half a surrogate pair anywhere. A byte order
    mark is tolerated (RFC 8259 section 8.1 allows that).
    """
    check_media_type(content_type)
    if len(raw) > MAX_BODY_BYTES:
        raise too_large(f"The body is larger than {MAX_BODY_BYTES} bytes.")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise invalid_syntax(f"The body is not UTF-8: byte {error.start} is wrong.") from None
    return load_text(text)


def load_text(text: str) -> dict[str, Any]:
    """The JSON object in a text, by the same rules as `load`."""
    try:
        value = json.loads(
            text,
            object_pairs_hook=_object,
            parse_int=_integer,
            parse_float=_decimal,
            parse_constant=_constant,
        )
    except json.JSONDecodeError as error:
        raise invalid_syntax(f"The body is not JSON: line {error.lineno}, column {error.colno} is wrong.") from None
    except RecursionError:
        raise _too_deep() from None
    if not isinstance(value, dict):
        raise invalid_syntax("The body must be one JSON object.")
    _check_depth(value)
    # Without an escape there is neither: raw NULs are no JSON, raw surrogates no UTF-8.
    if "\\u" in text:
        _check_characters(value)
    return value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise invalid_syntax("A JSON object has the same name twice.")
    return found


def _integer(digits: str) -> int:
    number = int(digits) if len(digits) <= MAX_NUMBER_LENGTH else MAX_INTEGER + 1
    if not -MAX_INTEGER - 1 <= number <= MAX_INTEGER:
        raise invalid_syntax("A number is larger than 64 bits.")
    return number


def _decimal(digits: str) -> float:
    number = float(digits)
    if number in {float("inf"), float("-inf")}:
        raise invalid_syntax("A number is out of range.")
    return number


def _constant(_name: str) -> NoReturn:
    raise invalid_syntax("NaN and Infinity are no JSON numbers.")


def _too_deep() -> ScimError:
    return invalid_syntax(f"The body is nested more than {MAX_DEPTH} levels deep.")


def _children(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        return iter(value.values())
    return iter(value)


def _check_depth(root: dict[str, Any]) -> None:
    level: list[Any] = [root]
    for _ in range(MAX_DEPTH):
        level = [child for value in level for child in _children(value) if isinstance(child, dict | list)]
        if not level:
            return
    raise _too_deep()


def _check_characters(root: dict[str, Any]) -> None:
    pending: list[Any] = [root]
    while pending:
        value = pending.pop()
        if isinstance(value, str):
            _check_text(value)
        elif isinstance(value, dict):
            pending.extend(value.keys())
            pending.extend(value.values())
        elif isinstance(value, list):
            pending.extend(value)


def _check_text(text: str) -> None:
    if "\x00" in text:
        raise invalid_syntax("The body has a NUL character.")
    if any(_FIRST_SURROGATE <= character <= _LAST_SURROGATE for character in text):
        raise invalid_syntax("The body has half of a surrogate pair.")
