"""Texts that hold JSON: some clients write an object as one, others the items of a list."""

from typing import Any

from provisioning.scim.errors import ScimError
from provisioning.scim.parsing.body import load_text
from provisioning.scim.parsing.notes import Notes, note, shown


def looks_like_json(value: Any) -> bool:
    """Whether it is a text that begins like an object or a list."""
    return isinstance(value, str) and value.strip()[:1] in {"{", "["}


def from_json_text(value: Any, *, at: str, notes: Notes) -> Any:
    """The object or list that a text holds, if it does; otherwise the value itself."""
    if not looks_like_json(value):
        return value
    try:
        found = load_text(f'{{"value": {value}}}')
    except ScimError:
        return value
    if found.keys() != {"value"}:
        return value
    note(notes, "json_text", at=at, sent="JSON in a text", read_as=shown(found["value"]))
    return found["value"]


def read_json_text(value: Any, *, notes: Notes) -> Any:
    """The object in a text, for a PATCH value without a path; see the rule `json_text`."""
    return from_json_text(value, at="value", notes=notes)
