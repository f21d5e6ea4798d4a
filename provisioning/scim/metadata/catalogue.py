"""The kinds of resources that this server has, each with its schemas. What they consist of stands in its family's module."""

from provisioning.scim.metadata.agents import AGENT_SCHEMA, AGENT_URN, APPLICATION_SCHEMA, APPLICATION_URN
from provisioning.scim.metadata.common import COMMON
from provisioning.scim.metadata.entitlements import (
    ENTITLEMENT_SCHEMA,
    ENTITLEMENT_URN,
    OKTA_ENTITLEMENT,
    OKTA_ROLE,
    ROLE_SCHEMA,
    ROLE_URN,
)
from provisioning.scim.metadata.groups import GROUP_SCHEMA, GROUP_URN
from provisioning.scim.metadata.nhi import NHI_SCHEMA, NHI_URN
from provisioning.scim.metadata.schema import ResourceType
from provisioning.scim.metadata.users import ENTERPRISE_SCHEMA, ENTERPRISE_URN, USER_SCHEMA, USER_URN

__all__ = [
    "AGENT",
    "AGENT_URN",
    "APPLICATION",
    "APPLICATION_URN",
    "BY_NAME",
    "ENTERPRISE_SCHEMA",
    "ENTERPRISE_URN",
    "ENTITLEMENT",
    "ENTITLEMENT_URN",
    "GROUP",
    "GROUP_URN",
    "NHI_URN",
    "RESOURCE_SCHEMAS",
    "RESOURCE_TYPES",
    "ROLE",
    "ROLE_URN",
    "USER",
    "USER_URN",
]

USER = ResourceType(
    name="User",
    endpoint="/Users",
    description="User account",
    schema=USER_SCHEMA,
    extensions=(ENTERPRISE_SCHEMA, NHI_SCHEMA),
    common=COMMON,
    family="account",
    handles=("userName",),
)
GROUP = ResourceType(
    name="Group",
    endpoint="/Groups",
    description="Group",
    schema=GROUP_SCHEMA,
    common=COMMON,
    family="group",
    handles=("displayName",),
)
AGENT = ResourceType(
    name="Agent",
    endpoint="/Agents",
    description="AI agent with an account",
    schema=AGENT_SCHEMA,
    extensions=(NHI_SCHEMA,),
    common=COMMON,
    family="account",
    handles=("name", "agentUserName"),
)
APPLICATION = ResourceType(
    name="AgenticApplication",
    endpoint="/AgenticApplications",
    description="Application that hosts agents",
    schema=APPLICATION_SCHEMA,
    common=COMMON,
    family="catalogue",
    handles=("name",),
)
ROLE = ResourceType(
    name="Role",
    endpoint="/Roles",
    description="Role that users can have",
    schema=ROLE_SCHEMA,
    common=COMMON,
    family="catalogue",
    handles=("value",),
    others=(OKTA_ROLE,),
)
ENTITLEMENT = ResourceType(
    name="Entitlement",
    endpoint="/Entitlements",
    description="Something that users can be entitled to",
    schema=ENTITLEMENT_SCHEMA,
    common=COMMON,
    family="catalogue",
    handles=("value",),
    others=(OKTA_ENTITLEMENT,),
)
RESOURCE_TYPES = (USER, GROUP, AGENT, APPLICATION, ROLE, ENTITLEMENT)
BY_NAME = {one.name: one for one in RESOURCE_TYPES}
# Each schema once: an extension may belong to several kinds.
RESOURCE_SCHEMAS = tuple(dict.fromkeys(schema for one in RESOURCE_TYPES for schema in (one.schema, *one.extensions)))
