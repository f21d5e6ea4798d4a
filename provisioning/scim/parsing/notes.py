"""Writing down what was tolerated: each departure from plain SCIM becomes one `Coercion`."""

import json
from typing import Any, TypeAlias

from provisioning.changes import Coercion

MAX_SHOWN = 80

Notes: TypeAlias = list[Coercion]


def shown(value: Any) -> str:
    """A short text of a value for a person: scalars as they are, the rest by its kind."""
    if isinstance(value, str):
        return value if len(value) <= MAX_SHOWN else f"{value[: MAX_SHOWN - 1]}…"
    if isinstance(value, dict | list):
        return "an object" if isinstance(value, dict) else "a list"
    return json.dumps(value)


def note(notes: Notes, rule: str, *, at: str, sent: str, read_as: str) -> None:
    """Append one coercion. `sent` and `read_as` are shortened; a password never comes here."""
    notes.append(Coercion(rule=rule, attribute=at, sent=shown(sent), read_as=shown(read_as)))
