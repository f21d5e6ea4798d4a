"""The schemas of the discovery resources themselves (RFC 7643 sections 5, 6, 7 and 8.7.2), as data."""

from dataclasses import replace

from provisioning.scim.metadata.builders import flag, link, read_only, text
from provisioning.scim.metadata.schema import Attribute, Schema

SERVICE_PROVIDER_CONFIG_URN = "urn:ietf:params:scim:schemas:core:2.0:ServiceProviderConfig"
RESOURCE_TYPE_URN = "urn:ietf:params:scim:schemas:core:2.0:ResourceType"
SCHEMA_URN = "urn:ietf:params:scim:schemas:core:2.0:Schema"


def _whole(name: str, description: str) -> Attribute:
    return Attribute(name=name, kind="integer", description=description, required=True)


def _required(attribute: Attribute) -> Attribute:
    return replace(attribute, required=True)


def _option(name: str, description: str, *more: Attribute) -> Attribute:
    supported = _required(flag("supported", "Whether the server does this."))
    return Attribute(name=name, kind="complex", description=description, required=True, subs=(supported, *more))


def _assignable(name: str, noun: str, several: str) -> Attribute:
    return Attribute(
        name=name,
        kind="complex",
        required=True,
        description=f"What is done with {noun}.",
        subs=(
            _required(flag("supported", f"Whether {noun} are resources here.")),
            flag(several, f"Whether a user can have several {noun}."),
            flag("primarySupported", "Whether one of them can be the primary one."),
            flag("typeSupported", "Whether they can have a type."),
            Attribute(name="types", multi_valued=True, description="The types that there are, where they are closed."),
        ),
    )


def _characteristics(*, depth: int) -> tuple[Attribute, ...]:
    """What describes one attribute; sub-attributes are described by the same words one level down."""
    words = (
        _required(text("name", "The name.")),
        _required(text("type", "The data type.")),
        _required(flag("multiValued", "Whether there can be several values.")),
        text("description", "What it is, for people."),
        flag("required", "Whether it must have a value."),
        Attribute(name="canonicalValues", multi_valued=True, description="Suggested values."),
        flag("caseExact", "Whether case matters."),
        text("mutability", "Whether and when it can be written."),
        text("returned", "Whether and when it is in an answer."),
        text("uniqueness", "Within what a value is unique."),
        Attribute(name="referenceTypes", multi_valued=True, description="What a reference can lead to."),
    )
    if depth == 0:
        return words
    nested = Attribute(
        name="subAttributes",
        kind="complex",
        multi_valued=True,
        description="The parts of a complex attribute.",
        subs=_characteristics(depth=depth - 1),
    )
    return (*words, nested)


def _schema(urn: str, name: str, description: str, *attributes: Attribute) -> Schema:
    return Schema(id=urn, name=name, description=description, attributes=tuple(map(read_only, attributes)))


SERVICE_PROVIDER_CONFIG_SCHEMA = _schema(
    SERVICE_PROVIDER_CONFIG_URN,
    "ServiceProviderConfig",
    "What this server does of the protocol.",
    link("documentationUri", "The address of the documentation.", "external"),
    _option("patch", "PATCH."),
    _option(
        "bulk",
        "Several operations in one request.",
        _whole("maxOperations", "How many operations at most."),
        _whole("maxPayloadSize", "How many bytes at most."),
    ),
    _option("filter", "Filters.", _whole("maxResults", "How many resources are in one answer at most.")),
    _option("changePassword", "Changing passwords."),
    _option("sort", "Sorted answers."),
    _option("etag", "Entity tags."),
    Attribute(
        name="pagination",
        kind="complex",
        description="How long lists are read in pages (RFC 9865).",
        subs=(
            _required(flag("cursor", "Pages by cursor.")),
            _required(flag("index", "Pages by start index.")),
            text("defaultPaginationMethod", "Which one is used when the client does not say."),
            Attribute(name="defaultPageSize", kind="integer", description="How many are on a page unless asked."),
            Attribute(name="maxPageSize", kind="integer", description="How many are on a page at most."),
            Attribute(name="cursorTimeout", kind="integer", description="How many seconds a cursor lives."),
        ),
    ),
    Attribute(
        name="securityEvents",
        kind="complex",
        returned="request",
        description="What is acknowledged first and done later, and which events are told (RFC 9967).",
        subs=(
            _required(
                Attribute(
                    name="asyncRequest",
                    canonical_values=("none", "long", "request"),
                    description="Whether a change is answered 202: never, when it takes long, or when it is asked for.",
                )
            ),
            Attribute(name="eventUris", multi_valued=True, description="The events that are told to others."),
        ),
    ),
    Attribute(
        name="agentExtension",
        kind="complex",
        returned="request",
        description="Agents as resources (draft-abbey-scim-agent-extension-00).",
        subs=(
            _required(flag("supported", "Whether any of it is done.")),
            flag("agentsSupported", "Whether agents are resources here."),
            flag("agenticApplicationsSupported", "Whether their applications are resources here."),
        ),
    ),
    Attribute(
        name="RolesAndEntitlements",
        kind="complex",
        returned="request",
        description="Roles and entitlements as resources (draft-ietf-scim-roles-entitlements-01).",
        subs=(
            _assignable("roles", "roles", "multipleRolesSupported"),
            _assignable("entitlements", "entitlements", "multipleEntitlementsSupported"),
        ),
    ),
    Attribute(
        name="authenticationSchemes",
        kind="complex",
        multi_valued=True,
        required=True,
        description="How clients say who they are.",
        subs=(
            _required(text("type", "The scheme.")),
            _required(text("name", "Its common name.")),
            _required(text("description", "What it is.")),
            link("specUri", "The address of its specification.", "external"),
            link("documentationUri", "The address of its documentation.", "external"),
            flag("primary", "Whether it is the preferred one."),
        ),
    ),
    flag("interopProfileConformant", "Whether this connection follows draft-zollner-scim-interop-profile."),
)

RESOURCE_TYPE_SCHEMA = _schema(
    RESOURCE_TYPE_URN,
    "ResourceType",
    "One kind of resource of this server.",
    _required(text("name", "The name.")),
    text("description", "What it is, for people."),
    _required(link("endpoint", "The address relative to the base.", "uri")),
    _required(link("schema", "The URN of its core schema.", "uri")),
    Attribute(
        name="schemaExtensions",
        kind="complex",
        multi_valued=True,
        description="The extensions that it can have.",
        subs=(
            _required(link("schema", "The URN of the extension.", "uri")),
            _required(flag("required", "Whether each resource must have it.")),
        ),
    ),
)

SCHEMA_SCHEMA = _schema(
    SCHEMA_URN,
    "Schema",
    "The description of a schema.",
    _required(text("name", "The name.")),
    text("description", "What it is, for people."),
    Attribute(
        name="attributes",
        kind="complex",
        multi_valued=True,
        required=True,
        description="The attributes of the schema.",
        subs=_characteristics(depth=1),
    ),
)

PROTOCOL_SCHEMAS = (SERVICE_PROVIDER_CONFIG_SCHEMA, RESOURCE_TYPE_SCHEMA, SCHEMA_SCHEMA)
