"""The schemas of Roles and Entitlements: what can be given (draft-ietf-scim-roles-entitlements-01).

Okta has schemas of its own for the same (`displayName` and `description`): they are read as these.
"""

from provisioning.scim.metadata.builders import flag, text
from provisioning.scim.metadata.common import CATALOGUE_NAME_LENGTH, DISPLAY_NAME_LENGTH, LONG_TEXT_LENGTH
from provisioning.scim.metadata.schema import Attribute, OtherSchema, Schema

ROLE_URN = "urn:ietf:params:scim:schemas:core:2.0:Role"
ENTITLEMENT_URN = "urn:ietf:params:scim:schemas:core:2.0:Entitlement"


def _schema(urn: str, noun: str, description: str) -> Schema:
    return Schema(
        id=urn,
        name=noun,
        description=description,
        attributes=(
            Attribute(
                name="value",
                required=True,
                uniqueness="server",
                max_length=CATALOGUE_NAME_LENGTH,
                keyed=True,
                description="What users have in their own attribute; unique within the connection whatever its case.",
            ),
            Attribute(
                name="display", max_length=DISPLAY_NAME_LENGTH, keyed=True, description="The name shown to people."
            ),
            text("description", "What it allows.", max_length=LONG_TEXT_LENGTH, multi_line=True),
            text("type", "What sort it is."),
            flag("primary", "Whether it is the preferred one."),
            flag("supported", "Whether it can be used."),
            flag("limitedAssignmentsPermitted", "Whether only some may have it."),
            _count("totalAssignmentsPermitted", "How many may have it."),
            _count("totalAssignmentsUsed", "How many have it."),
            Attribute(name="contains", multi_valued=True, description="Those whose rights it gives too."),
            Attribute(name="containedBy", multi_valued=True, description="Those that give its rights too."),
        ),
    )


def _count(name: str, description: str) -> Attribute:
    return Attribute(name=name, kind="integer", description=description)


def _okta(noun: str) -> OtherSchema:
    return OtherSchema(
        id=f"urn:okta:scim:schemas:core:1.0:{noun}",
        names=(("displayName", "display"),),
        fills=(("value", "display"),),
    )


ROLE_SCHEMA = _schema(ROLE_URN, "Role", "A role that users can have.")
ENTITLEMENT_SCHEMA = _schema(ENTITLEMENT_URN, "Entitlement", "Something that users can be entitled to.")
OKTA_ROLE, OKTA_ENTITLEMENT = _okta("Role"), _okta("Entitlement")
