"""Users and groups that differ in everything, and our schemas as models of another implementation."""

from __future__ import annotations

from functools import reduce
from operator import or_
from typing import TYPE_CHECKING, Any

from hypothesis import HealthCheck, settings
from scim2_models import Context, Extension, Resource, Schema, ScimPolicy

from provisioning.scim.metadata.catalogue import ENTERPRISE_URN, NHI_URN

if TYPE_CHECKING:
    from tests.factories.scim import Idp

# Texts that are easily confused: in case, in order, in what is special to patterns, in what folds to two letters.
WORDS = [
    "a",
    "A",
    "ab",
    "B",
    "b%",
    "a_b",
    "Straße",
    "STRASSE",
    "é",
    "É",
    'q"\\',
    "(a|b)",
    "9",
    "Zoë",
    "ﬁn",
    "日本",
    "'",
    "a b",
]


def law(examples: int) -> settings:
    """The profile of a law that is tried on a database."""
    return settings(
        max_examples=examples, deadline=None, derandomize=True, database=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.filter_too_much],
    )  # fmt: skip


def fill(idp: Idp) -> None:
    """Nine users and four groups."""
    plain: dict[str, dict[str, Any]] = {
        "a": {},
        "ab": {"title": "Straße", "active": False, "name": {"familyName": "É", "givenName": "a"}},
        "B": {
            "title": "strasse",
            "displayName": "Straße",
            "externalId": "A",
            "emails": [{"value": "a", "type": "work"}],
        },
        "b%": {
            "externalId": "a",
            "displayName": "STRASSEN",
            "emails": [
                {"value": "A", "type": "home", "primary": True},
                {"value": "ab", "type": "WORK", "display": "é"},
            ],
            "photos": [{"value": "https://a.example/a", "type": "photo"}, {"value": "https://a.example/A"}],
        },
        "a_b": {
            "nickName": 'q"\\',
            "roles": [{"value": "(a|b)", "primary": True}, {"value": "b%", "primary": False, "type": "9"}],
            "addresses": [{"locality": "Zoë", "type": "work", "formatted": "a b"}, {"locality": "zoË", "region": "'"}],
            ENTERPRISE_URN: {"department": "ﬁn", "employeeNumber": "9", "manager": {"value": "A"}},
        },
        "q": {
            "x509Certificates": [{"value": "YQ=="}, {"value": "YWI=", "display": "a"}],
            "phoneNumbers": [{"value": "9", "primary": False}],
            "emails": [{"value": "ﬁn", "type": "work"}, {"value": "日本"}, {"display": "a_b"}],
            ENTERPRISE_URN: {"department": "FIN", "costCenter": "a_b"},
        },
        "straße": {"locale": "日本", "emails": [{"value": "STRASSE", "type": "work", "primary": True}]},
        "z1": {NHI_URN: {"kind": "service", "purpose": "a b", "expiresAt": "2028-01-01T00:00:00.5Z"}},
        "z2": {NHI_URN: {"kind": "agent", "environment": "staging", "expiresAt": "2028-01-01T02:00:00+01:00"}},
    }
    ids = [idp.user(name, **attributes) for name, attributes in plain.items()]
    inner = idp.group("B", ids[0], ids[1], externalId="a")
    idp.group("Straße", inner, ids[2], externalId="A")
    idp.group("ab", ids[0])
    idp.group("é")


POLICY = ScimPolicy(
    unknown=ScimPolicy.Unknown.ignore,
    remove_value_as_filter=ScimPolicy.RemoveValue.apply,
    unmatched_path_filter=ScimPolicy.UnmatchedPathFilter.create,
    # RFC 7643 leaves open how case is folded.
    comparison_key=lambda binding, value: value if binding.case_exact else value.casefold(),
)


def models(idp: Idp) -> dict[str, type[Resource[Any]]]:
    """A model of each resource type, made by the other implementation from what /Schemas and /ResourceTypes answer."""
    schemas = {one["id"]: Schema.model_validate(one) for one in idp.get("/Schemas")["Resources"]}
    found: dict[str, type[Resource[Any]]] = {}
    for kind in idp.get("/ResourceTypes")["Resources"]:
        model: Any = Resource.from_schema(schemas[kind["schema"]])
        extensions = [Extension.from_schema(schemas[one["schema"]]) for one in kind.get("schemaExtensions", [])]
        found[kind["name"]] = model[reduce(or_, extensions)] if extensions else model
    return found


def everything(idp: Idp, endpoint: str) -> list[dict[str, Any]]:
    """All resources of an endpoint as they are answered, in their order."""
    listed: list[dict[str, Any]] = idp.get(f"{endpoint}?count=1000")["Resources"]
    return listed


def as_model(model: type[Resource[Any]], resource: dict[str, Any]) -> Resource[Any]:
    """A resource as the other implementation reads it."""
    return model.model_validate(resource, scim_ctx=Context.RESOURCE_QUERY_RESPONSE, scim_policy=POLICY)
