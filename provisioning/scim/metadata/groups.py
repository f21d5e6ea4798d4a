"""The schema of Groups (RFC 7643 sections 4.2 and 8.7.1)."""

from dataclasses import replace

from provisioning.scim.metadata.builders import link
from provisioning.scim.metadata.common import DISPLAY_NAME_LENGTH
from provisioning.scim.metadata.schema import Attribute, Schema

GROUP_URN = "urn:ietf:params:scim:schemas:core:2.0:Group"

MEMBER_TYPES = ("User", "Group", "Agent")

GROUP_SCHEMA = Schema(
    id=GROUP_URN,
    name="Group",
    description="A group of accounts.",
    attributes=(
        Attribute(
            name="displayName",
            required=True,
            max_length=DISPLAY_NAME_LENGTH,
            keyed=True,
            description="The name shown to people.",
        ),
        Attribute(
            name="members",
            kind="complex",
            multi_valued=True,
            description="The members that this connection put into the group.",
            stored=False,
            subs=(
                Attribute(name="value", mutability="immutable", case_exact=True, description="The id of the member."),
                replace(link("$ref", "The address of the member.", *MEMBER_TYPES), mutability="immutable"),
                Attribute(
                    name="type",
                    mutability="immutable",
                    description="The kind of member.",
                    canonical_values=MEMBER_TYPES,
                ),
            ),
        ),
    ),
)
