"""The schemas of Users and Groups as data: RFC 7643 sections 3.1, 4.1 to 4.3 and 8.7.1, and our NHI extension.

Lengths are in characters; the database columns of what is kept in columns are as long.
"""

from dataclasses import replace

from provisioning.scim.metadata.builders import flag, link, plural, read_only, text
from provisioning.scim.metadata.schema import Attribute, ResourceType, Schema

USER_NAME_LENGTH = 320
DISPLAY_NAME_LENGTH = 400
EXTERNAL_ID_LENGTH = 400
EMAIL_LENGTH = 320
EMPLOYEE_NUMBER_LENGTH = 100
LONG_TEXT_LENGTH = 4096
BINARY_LENGTH = 65536

USER_URN = "urn:ietf:params:scim:schemas:core:2.0:User"
GROUP_URN = "urn:ietf:params:scim:schemas:core:2.0:Group"
ENTERPRISE_URN = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"
NHI_URN = "urn:rollcall:scim:schemas:extension:nhi:1.0:User"

ENVIRONMENTS = ("production", "staging", "development")
ACCOUNT_KINDS = ("person", "service", "workload", "agent", "shared")


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

NAME = Attribute(
    name="name",
    kind="complex",
    description="The parts of the name of a person.",
    subs=(
        text("formatted", "The whole name as it is shown."),
        text("familyName", "The family name."),
        text("givenName", "The given name."),
        text("middleName", "The middle names."),
        text("honorificPrefix", "What stands before the name, such as a title."),
        text("honorificSuffix", "What stands after the name."),
    ),
)

ADDRESSES = Attribute(
    name="addresses",
    kind="complex",
    multi_valued=True,
    description="Postal addresses.",
    subs=(
        text("formatted", "The whole address as on a label.", max_length=LONG_TEXT_LENGTH, multi_line=True),
        text("streetAddress", "Street, number, apartment.", max_length=LONG_TEXT_LENGTH, multi_line=True),
        text("locality", "City or locality."),
        text("region", "State or region."),
        text("postalCode", "Postal code."),
        text("country", "Country, as a code of ISO 3166-1 where known."),
        Attribute(name="type", description="What the address is for.", canonical_values=("work", "home", "other")),
        flag("primary", "Whether this is the preferred address; true at most once."),
    ),
)

GROUPS = read_only(
    Attribute(
        name="groups",
        kind="complex",
        multi_valued=True,
        description="The groups of this system that the user is a member of.",
        stored=False,
        subs=(
            Attribute(name="value", case_exact=True, description="The id of the group."),
            link("$ref", "The address of the group.", "Group"),
            text("display", "The name of the group."),
            Attribute(name="type", description="How the user is a member.", canonical_values=("direct", "indirect")),
        ),
    )
)

USER_SCHEMA = Schema(
    id=USER_URN,
    name="User",
    description="An account: of a person, or non-human with the extension beside it.",
    attributes=(
        Attribute(
            name="userName",
            required=True,
            uniqueness="server",
            max_length=USER_NAME_LENGTH,
            keyed=True,
            description="The name to sign in with; unique within the connection whatever its case.",
        ),
        NAME,
        replace(text("displayName", "The name shown to people.", max_length=DISPLAY_NAME_LENGTH), keyed=True),
        text("nickName", "What the person is called casually."),
        link("profileUrl", "The address of the person's profile.", "external"),
        text("title", "The job title."),
        text("userType", "The relation to the organisation, such as Employee."),
        text("preferredLanguage", "Preferred languages, as in Accept-Language."),
        text("locale", "The locale for dates, numbers and currency, such as en-GB."),
        text("timezone", "The time zone, as in the IANA database."),
        Attribute(
            name="active",
            kind="boolean",
            description="Whether the account may be used. False takes effect at once; back to true may need an approval.",
            stored=False,
        ),
        Attribute(
            name="password",
            case_exact=True,
            mutability="writeOnly",
            returned="never",
            description="Accepted and dropped: no password is kept here.",
            stored=False,
        ),
        plural(
            "emails",
            "E-mail addresses.",
            "work",
            "home",
            "other",
            value=replace(text("value", "The address.", max_length=EMAIL_LENGTH), keyed=True),
        ),
        plural("phoneNumbers", "Telephone numbers.", "work", "home", "mobile", "fax", "pager", "other"),
        plural("ims", "Instant messaging addresses.", "aim", "gtalk", "icq", "xmpp", "msn", "skype", "qq", "yahoo"),
        plural(
            "photos",
            "Addresses of pictures.",
            "photo",
            "thumbnail",
            value=link("value", "The address of the picture.", "external"),
        ),
        ADDRESSES,
        GROUPS,
        plural("entitlements", "What the user is entitled to, in the client's words."),
        plural("roles", "Roles, in the client's words."),
        plural(
            "x509Certificates",
            "Certificates, each in DER and base64.",
            value=Attribute(
                name="value", kind="binary", case_exact=True, max_length=BINARY_LENGTH, description="One certificate."
            ),
        ),
    ),
)

ENTERPRISE_SCHEMA = Schema(
    id=ENTERPRISE_URN,
    name="EnterpriseUser",
    description="What an organisation knows about its people.",
    attributes=(
        text("employeeNumber", "The number that the organisation gave.", max_length=EMPLOYEE_NUMBER_LENGTH),
        text("costCenter", "The cost centre."),
        text("organization", "The organisation."),
        text("division", "The division."),
        text("department", "The department."),
        Attribute(
            name="manager",
            kind="complex",
            description="The manager, another user of the same connection.",
            subs=(
                Attribute(name="value", case_exact=True, description="The id of the manager."),
                link("$ref", "The address of the manager.", "User"),
                read_only(text("displayName", "The name of the manager.")),
            ),
        ),
    ),
)

NHI_SCHEMA = Schema(
    id=NHI_URN,
    name="NonHumanIdentity",
    description="What an account that is no person needs: what it is, what for, who answers for it, until when.",
    attributes=(
        Attribute(
            name="kind",
            mutability="immutable",
            canonical_values=ACCOUNT_KINDS,
            closed=True,
            description="What the account is; person when absent.",
        ),
        text("purpose", "What the account is for.", max_length=LONG_TEXT_LENGTH),
        Attribute(
            name="environment",
            canonical_values=ENVIRONMENTS,
            closed=True,
            description="Where the account is used.",
        ),
        Attribute(
            name="expiresAt",
            kind="dateTime",
            description="When it ends unless extended; the tenant's default when absent.",
        ),
        Attribute(
            name="owners",
            kind="complex",
            multi_valued=True,
            description="Who is offered to answer for the account; each must accept.",
            subs=(
                Attribute(name="value", required=True, case_exact=True, description="The id of the user."),
                link("$ref", "The address of the user.", "User"),
                Attribute(name="type", description="The kind of resource.", canonical_values=("User",)),
            ),
        ),
        read_only(
            Attribute(
                name="pending",
                kind="complex",
                description="What was asked for and waits for people.",
                stored=False,
                subs=(
                    Attribute(name="id", case_exact=True, description="The plan that waits."),
                    Attribute(name="state", description="The state of that plan."),
                    Attribute(name="askedAt", kind="dateTime", description="When it was asked for."),
                    Attribute(name="heldBy", multi_valued=True, description="What holds the account back."),
                ),
            )
        ),
    ),
)

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
                replace(link("$ref", "The address of the member.", "User", "Group"), mutability="immutable"),
                Attribute(
                    name="type",
                    mutability="immutable",
                    description="The kind of member.",
                    canonical_values=("User", "Group"),
                ),
            ),
        ),
    ),
)

USER = ResourceType(
    name="User",
    endpoint="/Users",
    description="User account",
    schema=USER_SCHEMA,
    extensions=(ENTERPRISE_SCHEMA, NHI_SCHEMA),
    common=COMMON,
)
GROUP = ResourceType(name="Group", endpoint="/Groups", description="Group", schema=GROUP_SCHEMA, common=COMMON)
RESOURCE_TYPES = (USER, GROUP)
