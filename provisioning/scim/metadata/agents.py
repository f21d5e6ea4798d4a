"""The schemas of Agents and of the applications that host them.

Two drafts share one URN: draft-abbey-scim-agent-extension-00 calls an agent by `name`, draft-wzdk-scim-agent-resource-00
by `agentUserName`. Both are taken. What the first one's sample schema has as read-only and its text lets clients
provide (`owners`, `parent`, `protocols`, `subject`, `applications`) is written by clients here.
"""

from dataclasses import replace

from provisioning.scim.metadata.builders import flag, link, plural, text
from provisioning.scim.metadata.common import (
    ACTIVE,
    CATALOGUE_NAME_LENGTH,
    CERTIFICATES,
    DISPLAY_NAME_LENGTH,
    ENTITLEMENTS,
    GROUPS,
    LONG_TEXT_LENGTH,
    ROLES,
    USER_NAME_LENGTH,
)
from provisioning.scim.metadata.schema import Attribute, Schema

AGENT_URN = "urn:ietf:params:scim:schemas:core:2.0:Agent"
APPLICATION_URN = "urn:ietf:params:scim:schemas:core:2.0:AgenticApplication"

PROTOCOLS = ("A2A", "OpenAPI", "MCP-Server")
ADDRESS_TYPES = ("ssoEndpoint", "loginPage", "api", "homepage")
RELATIONS = ("owned", "authorized", "guest")

DESCRIPTION = text("description", "What it is for.", max_length=LONG_TEXT_LENGTH, multi_line=True)


def _references(name: str, description: str, *types: str) -> tuple[Attribute, ...]:
    """The id, the address and the name of another resource."""
    return (
        Attribute(name="value", case_exact=True, description=f"The id of {name}."),
        link("$ref", f"The address of {name}.", *types),
        text("display", description),
    )


AGENT_SCHEMA = Schema(
    id=AGENT_URN,
    name="Agent",
    description="An AI agent with an account: it needs a purpose, an owner who accepts, and an expiry.",
    attributes=(
        Attribute(
            name="name",
            required=True,
            uniqueness="server",
            max_length=USER_NAME_LENGTH,
            keyed=True,
            description="What the agent is called; unique within the connection whatever its case. An agent with an"
            " agentUserName needs none.",
        ),
        Attribute(
            name="agentUserName",
            max_length=USER_NAME_LENGTH,
            keyed=True,
            description="What the agent is called in draft-wzdk-scim-agent-resource: in the place of a name.",
        ),
        replace(text("displayName", "The name shown to people.", max_length=DISPLAY_NAME_LENGTH), keyed=True),
        replace(DESCRIPTION, description="What it is for: its purpose, where our extension says no other."),
        ACTIVE,
        text("agentType", "What sort of agent it is, such as Assistant."),
        text("subject", "The subject of the tokens that it comes with."),
        GROUPS,
        ENTITLEMENTS,
        ROLES,
        CERTIFICATES,
        Attribute(
            name="applications",
            kind="complex",
            multi_valued=True,
            description="The applications that it shares a boundary of trust with.",
            subs=(
                *_references("the application", "The name of the application.", "AgenticApplication"),
                text("type", "What the application is for."),
            ),
        ),
        Attribute(
            name="protocols",
            kind="complex",
            multi_valued=True,
            description="How it can be spoken to.",
            subs=(
                Attribute(name="type", description="The protocol.", canonical_values=PROTOCOLS),
                link("specificationUrl", "The address of what describes it.", "external"),
            ),
        ),
        Attribute(
            name="parent",
            kind="complex",
            description="The agent above it.",
            subs=_references("that agent", "The name of that agent.", "Agent"),
        ),
        Attribute(
            name="owners",
            kind="complex",
            multi_valued=True,
            description="Who is offered to answer for it; each must accept.",
            subs=(
                Attribute(name="value", required=True, case_exact=True, description="The id of the owner."),
                link("$ref", "The address of the owner.", "User", "Group"),
                text("display", "The name of the owner."),
            ),
        ),
    ),
)

APPLICATION_SCHEMA = Schema(
    id=APPLICATION_URN,
    name="AgenticApplication",
    description="An application that hosts agents, or gives access to them.",
    attributes=(
        Attribute(
            name="name",
            required=True,
            uniqueness="server",
            max_length=CATALOGUE_NAME_LENGTH,
            keyed=True,
            description="What the application is called; unique within the connection whatever its case.",
        ),
        replace(text("displayName", "The name shown to people.", max_length=DISPLAY_NAME_LENGTH), keyed=True),
        DESCRIPTION,
        flag("active", "Whether the application is in operation, in the client's words."),
        plural(
            "applicationUrls",
            "Its addresses.",
            *ADDRESS_TYPES,
            value=link("value", "The address.", "external"),
            more=(text("description", "What is there."),),
        ),
        Attribute(name="lastAccessed", kind="dateTime", description="When it was last used."),
        Attribute(
            name="oAuthConfiguration",
            kind="complex",
            multi_valued=True,
            description="Its connections by OAuth (RFC 6749). Never a secret.",
            subs=(
                Attribute(name="clientId", case_exact=True, description="The client identifier."),
                text("description", "What it is used for."),
                link("audienceUri", "The audience of its tokens.", "uri"),
                link("issuerUri", "The issuer of its tokens.", "uri"),
                replace(link("redirectUri", "Where it may be redirected to.", "uri"), multi_valued=True),
            ),
        ),
        Attribute(
            name="agents",
            kind="complex",
            multi_valued=True,
            description="The agents that belong to it.",
            subs=(
                *_references("the agent", "The name of the agent.", "Agent"),
                Attribute(name="type", description="How it belongs to it.", canonical_values=RELATIONS),
            ),
        ),
        Attribute(
            name="externalIdentifiers",
            kind="complex",
            multi_valued=True,
            description="What it is called elsewhere.",
            subs=(
                text("type", "What sort of identifier it is."),
                Attribute(name="value", case_exact=True, description="The identifier."),
                text("system", "Where it is called so."),
            ),
        ),
    ),
)
