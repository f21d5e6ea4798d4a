"""The tolerance layer: what identity providers really send becomes plain SCIM here, and each departure is noted.

The rules are named data (`RULES`), shown on the exchange and in the documentation; a strict connection can refuse a
request by the names in its coercions. What is not understood is left as it is, so that `parsing` or `patch` refuses
it with a precise error: nothing is guessed.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from provisioning.changes import MEMBERS, Coercion
from provisioning.scim.errors import ScimError, invalid_value
from provisioning.scim.metadata.schema import Attribute, Ref, ResourceType, Schema
from provisioning.scim.parsing.body import load_text
from provisioning.scim.parsing.notes import Notes, note, shown
from provisioning.scim.parsing.others import in_our_words
from provisioning.scim.parsing.values import BOOLEAN_TEXTS


@dataclass(frozen=True, kw_only=True)
class Rule:
    """One quirk: who sends it, what it looks like, how it is read."""

    name: str
    clients: str
    sent: str
    read_as: str


RULES = {
    rule.name: rule
    for rule in (
        Rule(name="op_case", clients="Entra", sent='"op": "Replace"', read_as="replace"),
        Rule(name="boolean_text", clients="Entra, Keycloak", sent='"active": "False"', read_as="false"),
        Rule(name="boolean_in_filter", clients="Entra", sent='roles[primary eq "True"]', read_as="primary eq true"),
        Rule(name="object_for_list", clients="OneLogin", sent='"emails": {…}', read_as="a list of that one"),
        Rule(name="list_for_object", clients="Entra", sent='"manager": [{…}]', read_as="that one object"),
        Rule(name="bare_reference", clients="Entra", sent='"manager": "<id>"', read_as='{"value": "<id>"}'),
        Rule(name="empty_reference", clients="Entra", sent='"manager": "" or {"value": ""}', read_as="unassigned"),
        Rule(name="json_text", clients="scim-for-keycloak", sent='"value": "{…}"', read_as="the object in the text"),
        Rule(name="blank_text", clients="authentik, JumpCloud", sent='"familyName": " "', read_as="unassigned"),
        Rule(name="unknown_schema", clients="Entra", sent="the ADSCIM URI in schemas", read_as="ignored"),
        Rule(name="schemas_missing", clients="Okta", sent="no schemas", read_as="the schema of the endpoint"),
        Rule(name="schemas_in_value", clients="scim2-client", sent='"urn:…:User": {"schemas": …}', read_as="ignored"),
        Rule(name="other_schema", clients="Okta", sent="urn:okta:…:Role", read_as="urn:ietf:…:Role"),
        Rule(name="other_name", clients="Okta", sent='"displayName": … of a Role', read_as="display"),
        Rule(name="no_path", clients="Okta, Entra", sent='"value": {"name.givenName": …}', read_as="a path for each"),
        Rule(name="dotted_name", clients="Okta, Entra", sent='"urn:…:User:department": …', read_as="the attribute"),
        Rule(name="read_only_in_value", clients="Okta", sent='"value": {"id": …}', read_as="ignored"),
        Rule(name="unprefixed", clients="Entra", sent='"path": "manager"', read_as="urn:…:enterprise:2.0:User:manager"),
        Rule(name="remove_by_value", clients="Entra, JumpCloud", sent="remove with a value list", read_as="only those"),
        Rule(name="create_from_filter", clients="Entra", sent='emails[type eq "work"].value', read_as="a new value"),
        Rule(
            name="unknown_member", clients="scripts", sent='add "members": [{"value": "ada"}]', read_as="left out, held"
        ),
        Rule(name="null_members", clients="JumpCloud", sent='"members": null', read_as="not said"),
        Rule(name="password_dropped", clients="Okta, Entra", sent='"password": …', read_as="dropped"),
    )
}

_OBJECTS = "{["


def coerce_resource(
    document: Mapping[str, Any], resource_type: ResourceType
) -> tuple[dict[str, Any], tuple[Coercion, ...]]:
    """The body of a POST or PUT as plain SCIM, with what was tolerated. The input is not changed.

    Names stay in the case they were sent in, and unknown ones stay: `parsing.normal.normalise` judges them.
    """
    notes: Notes = []
    plain: dict[str, Any] = {}
    document = in_our_words(document, resource_type, notes)
    # What has a path as its name goes last, so that it is put beside what stands there under its own name.
    for name, value in sorted(document.items(), key=lambda item: _is_path(item[0], resource_type)):
        ref = resource_type.resolve(name)
        extension = resource_type.extension(name)
        if extension is not None:
            plain[name] = coerce_extension(extension, value, notes)
        elif ref is None or ref.attribute is None or name.lower() == "schemas":
            plain[name] = value
        elif not _is_path(name, resource_type):
            # An unprefixed extension attribute is unknown in a body; only paths and filters find it.
            known = ref.extension is None
            plain[name] = coerce_value(ref.attribute, value, at=ref.path, notes=notes) if known else value
        else:
            _put(plain, ref, value, notes=notes)
    return plain, tuple(notes)


def coerce_extension(schema: Schema, value: Any, notes: Notes) -> Any:
    """The object of an extension with each of its attributes coerced."""
    value = _from_json_text(value, at=schema.id, notes=notes)
    if not isinstance(value, dict):
        return value
    coerced: dict[str, Any] = {}
    for name, inner in value.items():
        attribute = schema.find(name)
        if attribute is not None:
            coerced[name] = coerce_value(attribute, inner, at=f"{schema.id}:{attribute.name}", notes=notes)
        elif name.lower() == "schemas":
            note(notes, "schemas_in_value", at=schema.id, sent="schemas", read_as="ignored")
        else:
            coerced[name] = inner
    return coerced


def coerce_value(attribute: Attribute, value: Any, *, at: str, notes: Notes, one: bool = False) -> Any:
    """The value as the attribute's type wants it, where a rule knows how. `one`: a single value of a list is wanted."""
    if value is None or attribute.mutability == "writeOnly":
        return value
    if attribute.kind == "complex":
        return _coerce_complex(attribute, value, at=at, notes=notes, one=one)
    if attribute.multi_valued and not one:
        return value
    return _coerce_simple(attribute, value, at=at, notes=notes)


def _is_path(name: str, resource_type: ResourceType) -> bool:
    return (":" in name or "." in name) and resource_type.extension(name) is None


def _coerce_simple(attribute: Attribute, value: Any, *, at: str, notes: Notes) -> Any:
    if isinstance(value, list) and len(value) == 1:
        note(notes, "list_for_object", at=at, sent=shown(value), read_as="its only value")
        value = value[0]
    if not isinstance(value, str):
        return value
    if attribute.kind == "boolean" and value in BOOLEAN_TEXTS:
        note(notes, "boolean_text", at=at, sent=value, read_as=shown(BOOLEAN_TEXTS[value]))
        return BOOLEAN_TEXTS[value]
    if not value.strip() and not attribute.required:
        if value:
            note(notes, "blank_text", at=at, sent=value, read_as="unassigned")
        return None
    return value


def _coerce_complex(attribute: Attribute, value: Any, *, at: str, notes: Notes, one: bool) -> Any:
    value = _from_json_text(value, at=at, notes=notes)
    if attribute.multi_valued and not one:
        if isinstance(value, dict):
            note(notes, "object_for_list", at=at, sent=shown(value), read_as="a list of one")
            value = [value]
        if not isinstance(value, list) or attribute.name == MEMBERS:
            return value
        return [_coerce_item(attribute, item, at=at, notes=notes) for item in value]
    if isinstance(value, list) and len(value) <= 1:
        note(notes, "list_for_object", at=at, sent=shown(value), read_as="its only value")
        value = value[0] if value else None
    return _coerce_item(attribute, value, at=at, notes=notes)


def _coerce_item(attribute: Attribute, value: Any, *, at: str, notes: Notes) -> Any:
    """One complex value. Attributes that lead to a resource have a `$ref`: only their ids are ever sent bare."""
    value = _from_json_text(value, at=at, notes=notes)
    refers = attribute.sub("$ref") is not None
    if isinstance(value, str) and refers:
        rule = "bare_reference" if value.strip() else "empty_reference"
        note(notes, rule, at=at, sent=value, read_as="the value of the reference" if value.strip() else "unassigned")
        return {"value": value} if value.strip() else None
    if not isinstance(value, dict):
        return value
    coerced = {
        name: coerce_value(sub, inner, at=f"{at}.{sub.name}", notes=notes) if sub else inner
        for name, inner, sub in ((name, inner, attribute.sub(name)) for name, inner in value.items())
    }
    if refers and value and all(inner is None or inner == "" for inner in coerced.values()):
        note(notes, "empty_reference", at=at, sent="an empty reference", read_as="unassigned")
        return None
    return coerced


def _from_json_text(value: Any, *, at: str, notes: Notes) -> Any:
    """The object or list that a text holds, if it does; otherwise the value itself."""
    if not isinstance(value, str) or value.strip()[:1] not in tuple(_OBJECTS):
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
    return _from_json_text(value, at="value", notes=notes)


def _put(plain: dict[str, Any], ref: Ref, value: Any, *, notes: Notes) -> None:
    """Move `name.givenName` or `urn:…:User:department` to where it belongs, beside what is already there."""
    if ref.attribute is None or ref.leaf is None:
        return
    note(notes, "dotted_name", at=ref.path, sent=shown(value), read_as=ref.path)
    coerced = coerce_value(ref.leaf, value, at=ref.path, notes=notes)
    holder = _object_at(plain, ref.extension.id) if ref.extension else plain
    if ref.sub is not None:
        holder = _object_at(holder, ref.attribute.name)
    holder[ref.leaf.name] = coerced


def _object_at(holder: dict[str, Any], name: str) -> dict[str, Any]:
    """The object under a name in any case, made if there is none. Raises invalidValue if something else is there."""
    present = next((known for known in holder if known.lower() == name.lower()), name)
    found = holder.setdefault(present, {})
    if not isinstance(found, dict):
        raise invalid_value(f"{name} must be an object.")
    return found
