"""The schemas of Users (RFC 7643 sections 4.1, 4.3 and 8.7.1)."""

from dataclasses import replace

from provisioning.scim.metadata.builders import flag, link, plural, read_only, text
from provisioning.scim.metadata.common import (
    ACTIVE,
    CERTIFICATES,
    DISPLAY_NAME_LENGTH,
    EMAIL_LENGTH,
    EMPLOYEE_NUMBER_LENGTH,
    ENTITLEMENTS,
    GROUPS,
    LONG_TEXT_LENGTH,
    ROLES,
    USER_NAME_LENGTH,
)
from provisioning.scim.metadata.schema import Attribute, Schema

USER_URN = "urn:ietf:params:scim:schemas:core:2.0:User"
ENTERPRISE_URN = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"

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
        ACTIVE,
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
        ENTITLEMENTS,
        ROLES,
        CERTIFICATES,
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
