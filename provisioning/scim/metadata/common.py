"""What several schemas have alike: lengths, the common attributes, and what people and agents both have.

RFC 7643 sections 3.1, 4.1.2 and 8.7.1. Lengths are in characters; the columns of what is kept in columns are as long.
"""

from provisioning.scim.metadata.builders import link, plural, read_only, text
from provisioning.scim.metadata.schema import Attribute

USER_NAME_LENGTH = 320
DISPLAY_NAME_LENGTH = 400
EXTERNAL_ID_LENGTH = 400
EMAIL_LENGTH = 320
EMPLOYEE_NUMBER_LENGTH = 100
CATALOGUE_NAME_LENGTH = 400
LONG_TEXT_LENGTH = 4096
BINARY_LENGTH = 65536

META = read_only(
    Attribute(
        name="meta",
        kind="complex",
        description="What the server knows about the resource.",
        stored=False,
        subs=(
            Attribute(name="resourceType", case_exact=True, description="The name of the resource type."),
            Attribute(name="created", kind="dateTime", description="When it was made here."),
            Attribute(name="lastModified", kind="dateTime", description="When it last changed here."),
            link("location", "The address of the resource.", "uri"),
            Attribute(name="version", case_exact=True, description="The entity tag of this state."),
        ),
    )
)

COMMON = (
    Attribute(
        name="schemas",
        kind="reference",
        multi_valued=True,
        required=True,
        case_exact=True,
        returned="always",
        reference_types=("uri",),
        description="The URNs of the schemas with data in this resource.",
        stored=False,
    ),
    Attribute(
        name="id",
        mutability="readOnly",
        case_exact=True,
        returned="always",
        uniqueness="global",
        description="The identifier that the server gave; never used again for another resource.",
        stored=False,
    ),
    Attribute(
        name="externalId",
        case_exact=True,
        max_length=EXTERNAL_ID_LENGTH,
        description="The identifier that the client gave; unique within its connection.",
    ),
    META,
)

GROUPS = read_only(
    Attribute(
        name="groups",
        kind="complex",
        multi_valued=True,
        description="The groups of this system that it is a member of.",
        stored=False,
        subs=(
            Attribute(name="value", case_exact=True, description="The id of the group."),
            link("$ref", "The address of the group.", "Group"),
            text("display", "The name of the group."),
            Attribute(name="type", description="How it is a member.", canonical_values=("direct", "indirect")),
        ),
    )
)

ACTIVE = Attribute(
    name="active",
    kind="boolean",
    description="Whether the account may be used. False takes effect at once; back to true may need an approval.",
    stored=False,
)

ENTITLEMENTS = plural("entitlements", "What it is entitled to, in the client's words.")
ROLES = plural("roles", "Roles, in the client's words.")
CERTIFICATES = plural(
    "x509Certificates",
    "Certificates, each in DER and base64.",
    value=Attribute(
        name="value", kind="binary", case_exact=True, max_length=BINARY_LENGTH, description="One certificate."
    ),
)
