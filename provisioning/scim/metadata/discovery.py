"""The JSON of the discovery endpoints, given the base URL (RFC 7644 section 4, RFC 7643 sections 5 to 7).

Paging, sorting and projection have no effect on these; a `filter` is answered with 403 by the view.
"""

from collections.abc import Collection, Sequence
from typing import Any

from provisioning.scim.errors import not_found
from provisioning.scim.metadata.catalogue import RESOURCE_SCHEMAS, RESOURCE_TYPES
from provisioning.scim.metadata.protocol import (
    PROTOCOL_SCHEMAS,
    RESOURCE_TYPE_URN,
    SCHEMA_URN,
    SERVICE_PROVIDER_CONFIG_URN,
)
from provisioning.scim.metadata.schema import ResourceType, Schema

LIST_RESPONSE_URN = "urn:ietf:params:scim:api:messages:2.0:ListResponse"

MAX_BODY_BYTES = 16 * 1024 * 1024
MAX_OPERATIONS = 1000
MAX_PAGE = 1000
DEFAULT_PAGE = 100

SCHEMAS = (*RESOURCE_SCHEMAS, *PROTOCOL_SCHEMAS)


def list_response(resources: Sequence[dict[str, Any]], *, total: int | None = None, start: int = 1) -> dict[str, Any]:
    """A ListResponse (RFC 7644 section 3.4.2); `total` is how many match, by default how many are given."""
    return {
        "schemas": [LIST_RESPONSE_URN],
        "totalResults": len(resources) if total is None else total,
        "startIndex": start,
        "itemsPerPage": len(resources),
        "Resources": list(resources),
    }


def _schema_json(schema: Schema, base_url: str) -> dict[str, Any]:
    return {
        "schemas": [SCHEMA_URN],
        "id": schema.id,
        "name": schema.name,
        "description": schema.description,
        "attributes": [attribute.to_json() for attribute in schema.attributes],
        "meta": {"resourceType": "Schema", "location": f"{base_url.rstrip('/')}/Schemas/{schema.id}"},
    }


def _resource_type_json(resource_type: ResourceType, base_url: str) -> dict[str, Any]:
    body: dict[str, Any] = {
        "schemas": [RESOURCE_TYPE_URN],
        "id": resource_type.name,
        "name": resource_type.name,
        "description": resource_type.description,
        "endpoint": resource_type.endpoint,
        "schema": resource_type.schema.id,
        "meta": {
            "resourceType": "ResourceType",
            "location": f"{base_url.rstrip('/')}/ResourceTypes/{resource_type.name}",
        },
    }
    if resource_type.extensions:
        body["schemaExtensions"] = [
            {"schema": extension.id, "required": False} for extension in resource_type.extensions
        ]
    return body


def schemas_json(base_url: str) -> dict[str, Any]:
    """GET /Schemas; `base_url` is absolute and may end in a slash."""
    return list_response([_schema_json(schema, base_url) for schema in SCHEMAS])


def schema_json(urn: str, base_url: str) -> dict[str, Any]:
    """GET /Schemas/{urn} in any case. Raises the 404 error for an unknown URN."""
    for schema in SCHEMAS:
        if schema.id.lower() == urn.lower():
            return _schema_json(schema, base_url)
    raise not_found("There is no such schema.")


def resource_types_json(base_url: str) -> dict[str, Any]:
    """GET /ResourceTypes."""
    return list_response([_resource_type_json(resource_type, base_url) for resource_type in RESOURCE_TYPES])


def resource_type_json(name: str, base_url: str) -> dict[str, Any]:
    """GET /ResourceTypes/{name}. Raises the 404 error for an unknown name; the name is case-sensitive, as an id is."""
    for resource_type in RESOURCE_TYPES:
        if resource_type.name == name:
            return _resource_type_json(resource_type, base_url)
    raise not_found("There is no such resource type.")


def _assignable(several: str) -> dict[str, bool]:
    """What users' own `roles` or `entitlements` can say (draft-ietf-scim-roles-entitlements-01)."""
    return {"supported": True, several: True, "primarySupported": True, "typeSupported": True}


# What drafts and later RFCs add. Clients that know RFC 7643 alone, and read strictly, refuse a configuration with it: so
# it is returned on request. RFC 9967 has no word for that of its own: what it adds is told to who asks by that name.
_ON_REQUEST: dict[str, dict[str, Any]] = {
    "securityEvents": {"asyncRequest": "request", "eventUris": []},
    "agentExtension": {"supported": True, "agentsSupported": True, "agenticApplicationsSupported": True},
    "RolesAndEntitlements": {
        "roles": _assignable("multipleRolesSupported"),
        "entitlements": _assignable("multipleEntitlementsSupported"),
    },
}


def service_provider_config_json(
    base_url: str,
    *,
    etag: bool = False,
    sort: bool = False,
    documentation_url: str | None = None,
    is_strict: bool = False,
    asked: Collection[str] = (),
) -> dict[str, Any]:
    """GET /ServiceProviderConfig: what is supported, with every member that strict clients read.

    `asked` are names of attributes, in any case, of which some are returned on request only. Only a strict connection
    conforms to draft-zollner-scim-interop-profile-02 (section 4), and says so: the others tolerate more.
    """
    wanted = {name.lower() for name in asked}
    body: dict[str, Any] = {
        "schemas": [SERVICE_PROVIDER_CONFIG_URN],
        "patch": {"supported": True},
        "bulk": {"supported": True, "maxOperations": MAX_OPERATIONS, "maxPayloadSize": MAX_BODY_BYTES},
        "filter": {"supported": True, "maxResults": MAX_PAGE},
        "changePassword": {"supported": False},
        "sort": {"supported": sort},
        "etag": {"supported": etag},
        "pagination": {
            "cursor": True,
            "index": True,
            "defaultPaginationMethod": "index",
            "defaultPageSize": DEFAULT_PAGE,
            "maxPageSize": MAX_PAGE,
        },
        **{name: value for name, value in _ON_REQUEST.items() if name.lower() in wanted},
        "authenticationSchemes": [
            {
                "type": "oauthbearertoken",
                "name": "OAuth Bearer Token",
                "description": "A bearer token made on the page of the connection (RFC 6750).",
                "specUri": "https://www.rfc-editor.org/info/rfc6750",
                "primary": True,
            }
        ],
        **({"interopProfileConformant": is_strict} if is_strict or "interopprofileconformant" in wanted else {}),
        "meta": {
            "resourceType": "ServiceProviderConfig",
            "location": f"{base_url.rstrip('/')}/ServiceProviderConfig",
        },
    }
    if documentation_url is not None:
        body["documentationUri"] = documentation_url
    return body
