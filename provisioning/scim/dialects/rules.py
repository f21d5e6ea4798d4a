"""The table of what is tolerated: each rule by name, who is known to send it, how it is read, and how it is refused.

Shown on the exchange, counted on the page of the system and named in `docs/identity-providers`.
"""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Rule:
    """One quirk. `scim_type` is the word of RFC 7644 table 9 by which a strict connection refuses it."""

    name: str
    clients: str
    sent: str
    read_as: str
    scim_type: str = "invalidSyntax"


RULES = {
    rule.name: rule
    for rule in (
        # How a request is put together.
        Rule(name="op_case", clients="Entra", sent='"op": "Replace"', read_as="replace"),
        Rule(name="schemas_missing", clients="Okta, WSO2", sent="no schemas", read_as="the schema of the endpoint"),
        Rule(name="schemas_text", clients="small clients", sent='"schemas": "urn:…"', read_as="a list of that one"),
        Rule(name="schemas_in_value", clients="scim2-client", sent='"urn:…:User": {"schemas": …}', read_as="ignored"),
        Rule(name="unknown_schema", clients="Entra", sent="the ADSCIM URI in schemas", read_as="ignored"),
        Rule(name="read_only_in_value", clients="Okta", sent='"value": {"id": …}', read_as="ignored"),
        Rule(name="password_dropped", clients="Okta, Entra", sent='"password": …', read_as="dropped"),
        # How an attribute is named.
        Rule(
            name="no_path", clients="Okta, Entra", sent='"value": {"name.givenName": …}', read_as="a path for each",
            scim_type="invalidPath",
        ),
        Rule(name="dotted_name", clients="Okta, Entra", sent='"urn:…:User:department": …', read_as="the attribute"),
        Rule(name="core_urn_object", clients="small clients", sent='"urn:…:core:2.0:User": {…}', read_as="its content"),
        Rule(
            name="dot_after_urn", clients="Entra", sent='"path": "urn:…:User.manager"', read_as="urn:…:User:manager",
            scim_type="invalidPath",
        ),
        Rule(
            name="unprefixed", clients="Entra", sent='"path": "manager"', read_as="urn:…:enterprise:2.0:User:manager",
            scim_type="invalidPath",
        ),
        Rule(name="other_schema", clients="Okta", sent="urn:okta:…:Role", read_as="urn:ietf:…:Role"),
        Rule(name="other_name", clients="Okta", sent='"displayName": … of a Role', read_as="display"),
        # What a value looks like.
        Rule(
            name="boolean_text", clients="Entra, Keycloak", sent='"active": "False"', read_as="false",
            scim_type="invalidValue",
        ),
        Rule(
            name="boolean_in_filter", clients="Entra", sent='roles[primary eq "True"]', read_as="primary eq true",
            scim_type="invalidFilter",
        ),
        Rule(
            name="object_for_list", clients="OneLogin", sent='"emails": {…}', read_as="a list of that one",
            scim_type="invalidValue",
        ),
        Rule(
            name="list_for_object", clients="Entra", sent='"manager": [{…}]', read_as="that one object",
            scim_type="invalidValue",
        ),
        Rule(
            name="value_object", clients="Entra", sent='"displayName": [{"value": …}]', read_as="that value",
            scim_type="invalidValue",
        ),
        Rule(
            name="bare_value", clients="Okta, Entra", sent='"roles": ["admin"]', read_as='[{"value": "admin"}]',
            scim_type="invalidValue",
        ),
        Rule(
            name="bare_reference", clients="Entra", sent='"manager": "<id>"', read_as='{"value": "<id>"}',
            scim_type="invalidValue",
        ),
        Rule(
            name="empty_reference", clients="Entra", sent='"manager": "" or {"value": ""}', read_as="unassigned",
            scim_type="invalidValue",
        ),
        Rule(
            name="json_text", clients="scim-for-keycloak", sent='"value": "{…}"', read_as="the object in the text",
            scim_type="invalidValue",
        ),
        Rule(
            name="blank_text", clients="authentik, JumpCloud", sent='"familyName": " " or ""', read_as="unassigned",
            scim_type="invalidValue",
        ),
        # Who is in a group, and which value is meant.
        Rule(
            name="label_in_member", clients="Entra", sent='"members": [{"value": "<id>", "displayName": …}]',
            read_as="the id alone",
        ),
        Rule(
            name="ref_for_value", clients="WSO2", sent='"members": [{"$ref": "…/Users/<id>"}]', read_as="that id",
            scim_type="invalidValue",
        ),
        Rule(
            name="unknown_member", clients="scripts", sent='add "members": [{"value": "ada"}]', read_as="left out, held",
            scim_type="invalidValue",
        ),
        Rule(
            name="null_members", clients="JumpCloud", sent='"members": null', read_as="not said",
            scim_type="invalidValue",
        ),
        Rule(name="remove_by_value", clients="Entra, JumpCloud", sent="remove with a value list", read_as="only those"),
        Rule(
            name="create_from_filter", clients="Entra", sent='emails[type eq "work"].value', read_as="a new value",
            scim_type="noTarget",
        ),
    )
}  # fmt: skip
