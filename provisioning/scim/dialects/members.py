"""Who is named in a group, in the ways that clients name them: each becomes `{"value": "<id>"}`, or stays as it is.

Lists can be long: what all members have in common is noted once.
"""

import re
from typing import Any

from provisioning.scim.dialects.texts import from_json_text, looks_like_json
from provisioning.scim.parsing.notes import Notes, note

# Names of people beside their id; the reference collection of Entra sends `displayName`. An unknown name that might
# say what to do with the member (SCIM 1.1 had `operation`) is not among them.
_LABELS = frozenset({"displayname", "username", "name", "email", "ref"})
_PLAIN = frozenset({"value", "$ref", "type", "display"})
_LAST_PART = re.compile(r"/([^/?#]+)/?\Z")


def coerce_members(value: Any, *, at: str, notes: Notes) -> Any:
    """A list of members, or one id, with each member as an object; what is not understood stays as it was sent."""
    if isinstance(value, str):
        value = [value]
    if not isinstance(value, list):
        return value
    if all(isinstance(one, dict) and one.keys() <= _PLAIN and one.get("value") for one in value):
        return value
    found: dict[str, tuple[str, str]] = {}
    coerced = [_member(_opened(one, at=at, found=found), found) for one in value]
    for rule, (sent, read_as) in found.items():
        note(notes, rule, at=at, sent=sent, read_as=read_as)
    return coerced


def _opened(member: Any, *, at: str, found: dict[str, tuple[str, str]]) -> Any:
    if not looks_like_json(member):
        return member
    inner = from_json_text(member, at=at, notes=[])
    if inner is not member:
        found["json_text"] = ("JSON in a text", "the object in it")
    return inner


def _member(member: Any, found: dict[str, tuple[str, str]]) -> Any:
    if isinstance(member, str):
        found["bare_reference"] = (member, "the value of the reference")
        return {"value": member}
    if not isinstance(member, dict):
        return member
    kept = {name: inner for name, inner in member.items() if name.lower() not in _LABELS}
    if len(kept) != len(member):
        found["label_in_member"] = ("a name beside the id", "the id alone")
    return _with_value(kept, found)


def _with_value(member: dict[str, Any], found: dict[str, tuple[str, str]]) -> dict[str, Any]:
    lowered = {name.lower(): inner for name, inner in member.items()}
    ref = lowered.get("$ref")
    if lowered.get("value") or not isinstance(ref, str):
        return member
    last = _LAST_PART.search(ref)
    if last is None:
        return member
    found["ref_for_value"] = (ref, last[1])
    return {**{name: inner for name, inner in member.items() if name.lower() != "value"}, "value": last[1]}
