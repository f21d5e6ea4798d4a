"""The words of a filter. Errors name a position and never repeat the text, which may hold personal data."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from provisioning.scim.errors import ScimError, invalid_filter
from provisioning.scim.filters.nodes import Scalar

MAX_BYTES = 4096

TokenKind = Literal["open", "close", "open_value", "close_value", "string", "number", "sub", "word", "end"]

_TOKENS = re.compile(
    r"""
    (?P<blank>[ \t\r\n]+)
  | (?P<open>\() | (?P<close>\)) | (?P<open_value>\[) | (?P<close_value>\])
  | (?P<string>"(?:[^"\\\x00-\x1f]|\\.)*")
  | (?P<number>-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?(?![\w.]))
  | (?P<sub>\.[A-Za-z$][A-Za-z0-9_$-]*)
  | (?P<word>[A-Za-z$][A-Za-z0-9_$.:-]*)
    """,
    re.VERBOSE | re.ASCII,
)
_MAX_NUMBER_LENGTH = 40
_WORDS: dict[str, Scalar] = {"true": True, "false": False, "null": None}


@dataclass(frozen=True)
class Token:
    """One word with its position, counted from 1."""

    kind: TokenKind
    text: str
    at: int


def malformed(at: int, expected: str) -> ScimError:
    """The error for a filter that is no filter."""
    return invalid_filter(f"The filter is malformed at character {at}: {expected}.")


def tokens(text: str) -> Iterator[Token]:
    """The tokens of a text, then one of kind `end`. Raises invalidFilter over 4 KiB and for any unknown character."""
    # Half a surrogate pair can't be encoded; it is refused as a character below.
    if len(text.encode("utf-8", "replace")) > MAX_BYTES:
        raise invalid_filter(f"The filter is longer than {MAX_BYTES} bytes.")
    position = 0
    while position < len(text):
        match = _TOKENS.match(text, position)
        if match is None:
            raise malformed(position + 1, "this character has no meaning here")
        kind = match.lastgroup
        if kind != "blank":
            yield Token(kind, match.group(), position + 1)  # type: ignore[arg-type]  # the group names are the kinds
        position = match.end()
    yield Token("end", "", position + 1)


def literal(token: Token) -> Scalar:
    """The value that a token stands for (RFC 7644 figure 1: JSON literals). Raises invalidFilter if it is none."""
    if token.kind == "string":
        return _string(token)
    if token.kind == "number":
        return _number(token)
    if token.kind == "word" and token.text.lower() in _WORDS:
        return _WORDS[token.text.lower()]
    raise malformed(token.at, "a value is expected, a string in double quotation marks")


def _string(token: Token) -> str:
    try:
        text = json.loads(token.text)
    except json.JSONDecodeError:
        raise malformed(token.at, "the string has a wrong escape") from None
    if not isinstance(text, str) or "\x00" in text or any("\ud800" <= character <= "\udfff" for character in text):
        raise malformed(token.at, "the string has a character that no value can have")
    return text


def _number(token: Token) -> int | float:
    if len(token.text) > _MAX_NUMBER_LENGTH:
        raise malformed(token.at, "the number is too long")
    if token.text.lstrip("-").isdigit():
        return int(token.text)
    number = float(token.text)
    if number in {float("inf"), float("-inf")}:
        raise malformed(token.at, "the number is out of range")
    return number
