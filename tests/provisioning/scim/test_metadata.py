"""Schemas as data, the look-up of paths, and the discovery endpoints."""

from collections.abc import Iterator
from typing import Any

import pytest
from scim2_models import ResourceType, ScimProvider, ServiceProviderConfig
from scim2_models import Schema as PeerSchema

from provisioning.scim.errors import ScimError
from provisioning.scim.metadata.catalogue import (
    AGENT,
    ENTERPRISE_URN,
    GROUP,
    GROUP_URN,
    NHI_URN,
    RESOURCE_TYPES,
    USER,
    USER_URN,
)
from provisioning.scim.metadata.discovery import (
    resource_type_json,
    resource_types_json,
    schema_json,
    schemas_json,
    service_provider_config_json,
)

pytestmark = pytest.mark.unit
BASE = "https://rollcall.example/scim/v2"


def nested(value: Any) -> Iterator[Any]:
    yield value
    children = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    for child in children:
        yield from nested(child)


@pytest.mark.parametrize(
    ("written", "path"),
    [
        ("userName", "userName"),
        ("USERNAME", "userName"),
        ("name.FamilyName", "name.familyName"),
        (f"{USER_URN}:userName", "userName"),
        (f"{USER_URN.upper()}:NAME.givenname", "name.givenName"),
        (f"{ENTERPRISE_URN}:manager.value", f"{ENTERPRISE_URN}:manager.value"),
        (f"{ENTERPRISE_URN.lower()}:DEPARTMENT", f"{ENTERPRISE_URN}:department"),
        (ENTERPRISE_URN, ENTERPRISE_URN),
        ("manager", f"{ENTERPRISE_URN}:manager"),
        ("manager.displayname", f"{ENTERPRISE_URN}:manager.displayName"),
        ("kind", f"{NHI_URN}:kind"),
        ("externalid", "externalId"),
        ("meta.lastmodified", "meta.lastModified"),
        ("members.$REF", None),
        ("emails.$ref", None),
        ("name.", None),
        ("name.familyName.x", None),
        ("", None),
        (USER_URN, None),
        (f"{USER_URN}:manager", None),
        (f"{USER_URN}:", None),
        ("urn:x:y:userName", None),
        ("favouriteColour", None),
    ],
)
def test_a_path_is_found_in_any_case_and_notation(written: str, path: str | None) -> None:
    ref = USER.resolve(written)
    assert (ref.path if ref else None) == path


def test_a_group_knows_its_members_and_no_extension() -> None:
    ref = GROUP.resolve("MEMBERS.$ref")
    assert ref is not None
    assert (ref.path, ref.top) == ("members.$ref", "members")
    assert GROUP.resolve("manager") is None


def test_no_two_schemas_of_a_resource_share_an_unprefixed_name() -> None:
    for resource_type in RESOURCE_TYPES:
        names = [attribute.name.lower() for attribute in resource_type.core]
        names += [one.name.lower() for extension in resource_type.extensions for one in extension.attributes]
        # An agent's owners are its own schema's; those of our extension have its URN before them.
        shared = {"owners"} if resource_type is AGENT else set()
        assert {name for name in names if names.count(name) > 1} == shared
    owners = AGENT.resolve("owners")
    assert owners is not None
    assert owners.extension is None


def test_a_kind_of_resource_is_called_by_attributes_that_it_has() -> None:
    for resource_type in RESOURCE_TYPES:
        found = [resource_type.find(name) for name in resource_type.handles]
        assert all(one is not None and one.keyed and one.stored for one in found)
        assert found[0] is not None
        assert found[0].required


def test_what_drafts_add_to_the_configuration_is_returned_on_request() -> None:
    strict = service_provider_config_json(BASE)
    assert strict.keys().isdisjoint({"agentExtension", "RolesAndEntitlements", "securityEvents"})
    wanted = ["agentextension", "rolesAndEntitlements", "securityEvents", "else"]
    asked = service_provider_config_json(BASE, asked=wanted)
    assert asked["securityEvents"] == {"asyncRequest": "request", "eventUris": []}
    assert asked["agentExtension"] == {"supported": True, "agentsSupported": True, "agenticApplicationsSupported": True}
    assert asked["RolesAndEntitlements"]["roles"] == {
        "supported": True, "multipleRolesSupported": True, "primarySupported": True, "typeSupported": True,
    }  # fmt: skip
    assert asked["RolesAndEntitlements"]["entitlements"]["multipleEntitlementsSupported"] is True
    assert strict == {name: value for name, value in asked.items() if name in strict}
    schema = schema_json("urn:ietf:params:scim:schemas:core:2.0:ServiceProviderConfig", BASE)
    returned = {one["name"]: one["returned"] for one in schema["attributes"]}
    assert {name for name, when in returned.items() if when == "request"} == asked.keys() - strict.keys()


def test_characteristics_are_those_of_the_rfc() -> None:
    user_name, password, active = (USER.find(name) for name in ("username", "password", "active"))
    assert user_name is not None
    assert password is not None
    assert active is not None
    assert (user_name.required, user_name.uniqueness, user_name.case_exact) == (True, "server", False)
    assert (password.mutability, password.returned) == ("writeOnly", "never")
    assert (active.kind, active.required) == ("boolean", False)
    identifier, external = USER.find("id"), USER.find("externalId")
    assert identifier is not None
    assert external is not None
    assert (identifier.mutability, identifier.returned, identifier.case_exact) == ("readOnly", "always", True)
    assert external.case_exact is True


def test_the_nhi_extension_has_the_attributes_of_the_design() -> None:
    schema = USER.extension(NHI_URN.upper())
    assert schema is not None
    assert {attribute.name: attribute.mutability for attribute in schema.attributes} == {
        "kind": "immutable",
        "purpose": "readWrite",
        "environment": "readWrite",
        "expiresAt": "readWrite",
        "owners": "readWrite",
        "pending": "readOnly",
    }
    kind, pending = schema.find("kind"), schema.find("pending")
    assert kind is not None
    assert pending is not None
    assert kind.canonical_values == ("person", "service", "workload", "agent", "shared")
    assert [sub.name for sub in pending.subs] == ["id", "state", "askedAt", "heldBy"]


def test_discovery_has_schemas_and_locations_and_no_nulls() -> None:
    single = [service_provider_config_json(BASE)]
    for listing in (schemas_json(BASE), resource_types_json(BASE)):
        assert listing["totalResults"] == listing["itemsPerPage"] == len(listing["Resources"])
        assert (listing["startIndex"], listing["schemas"]) == (
            1,
            ["urn:ietf:params:scim:api:messages:2.0:ListResponse"],
        )
        single.extend(listing["Resources"])
    for resource in single:
        assert resource["schemas"]
        assert resource["meta"]["location"].startswith(f"{BASE}/")
        assert None not in list(nested(resource))


def test_each_location_leads_to_the_same_resource() -> None:
    for resource in schemas_json(BASE)["Resources"]:
        assert schema_json(resource["id"].upper(), f"{BASE}/") == resource
        assert resource["meta"]["location"] == f"{BASE}/Schemas/{resource['id']}"
    for resource in resource_types_json(BASE)["Resources"]:
        assert resource_type_json(resource["name"], BASE) == resource


@pytest.mark.parametrize("read", [schema_json, resource_type_json])
def test_an_unknown_schema_or_resource_type_is_not_found(read: Any) -> None:
    with pytest.raises(ScimError) as caught:
        read("nothing", BASE)
    assert caught.value.status == 404


def test_endpoints_are_relative_and_extensions_are_named() -> None:
    user, group, agent, *catalogue = resource_types_json(BASE)["Resources"]
    assert (user["endpoint"], group["endpoint"], agent["endpoint"]) == ("/Users", "/Groups", "/Agents")
    assert [one["endpoint"] for one in catalogue] == ["/AgenticApplications", "/Roles", "/Entitlements"]
    assert user["schemaExtensions"] == [
        {"schema": ENTERPRISE_URN, "required": False},
        {"schema": NHI_URN, "required": False},
    ]
    assert agent["schemaExtensions"] == [{"schema": NHI_URN, "required": False}]
    assert all("schemaExtensions" not in one for one in (group, *catalogue))


def test_the_configuration_has_what_strict_clients_read() -> None:
    config = service_provider_config_json(BASE, etag=True, sort=True, documentation_url="https://docs.example/")
    assert config["patch"] == {"supported": True}
    assert config["bulk"] == {"supported": True, "maxOperations": 1000, "maxPayloadSize": 16777216}
    assert config["filter"] == {"supported": True, "maxResults": 1000}
    assert (config["changePassword"], config["sort"], config["etag"]) == (
        {"supported": False},
        {"supported": True},
        {"supported": True},
    )
    assert config["pagination"]["index"] is True
    assert config["pagination"]["cursor"] is True
    assert [scheme["type"] for scheme in config["authenticationSchemes"]] == ["oauthbearertoken"]
    assert config["documentationUri"] == "https://docs.example/"
    assert service_provider_config_json(BASE)["etag"] == {"supported": False}
    assert "interopProfileConformant" not in config
    assert service_provider_config_json(BASE, is_strict=True)["interopProfileConformant"] is True


def test_a_peer_of_other_authors_reads_our_discovery() -> None:
    schemas = [PeerSchema.model_validate(resource) for resource in schemas_json(BASE)["Resources"]]
    types = [ResourceType.model_validate(resource) for resource in resource_types_json(BASE)["Resources"]]
    config = ServiceProviderConfig.model_validate(service_provider_config_json(BASE))
    provider = ScimProvider.from_discovery(schemas, types, config)
    assert {model.__schema__ for model in provider.models} >= {USER_URN, GROUP_URN}
