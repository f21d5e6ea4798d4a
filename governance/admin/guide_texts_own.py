"""The guides of what people run themselves, and of any other client."""

from django.utils.translation import gettext_lazy as _

from governance.admin.guides import Guide

KEYCLOAK = Guide(
    key="keycloak",
    name="Keycloak",
    words=("keycloak",),
    where=_(
        "Keycloak sends SCIM by an extension. With keycloak-scim: its jar in providers/, then Realm settings > Events > "
        "Event listeners: scim, Save; User federation > Add provider: scim. With scim-for-keycloak: its SCIM console > "
        "Remote SCIM providers."
    ),
    url=_("SCIM 2.0 endpoint (scim-for-keycloak: Base URL)"),
    token=_("Auth mode BEARER > Auth password/token (scim-for-keycloak: a bearer token)"),
    also=(
        _("Endpoint content type: application/scim+json"),
        _("User and group propagation: on. Import during sync: off, or it makes accounts in Keycloak"),
    ),
    clicks={
        "connect": _(
            "User federation > the provider > Action > Sync all users. Without it, the first create connects."
        ),
        "create": _("Users > Add user, the test user name. Create."),
        "update": _("Users > the test account > Details: another Last name. Save."),
        "group_create": _("Groups > Create group, the test group's name."),
        "member_add": _("Users > the test account > Groups > Join Group: the test group."),
        "member_remove": _("Users > the test account > Groups > Leave."),
        "group_delete": _("Groups > the test group > Delete."),
        "disable": _("Users > the test account: Enabled off."),
        "enable": _("Users > the test account: Enabled on."),
        "delete": _("Users > the test account > Action > Delete."),
    },
    scope=_("A realm is sent whole: choose the realm. scim-for-keycloak can be told which users and groups."),
    go=_("Sync all users once; from then on each change is sent as it is made."),
    worth=(
        _("What fails is not always sent again: a periodic full sync in the provider's settings makes up for it."),
        _("Some send JSON within texts, or members as a whole list: both are understood and noted."),
    ),
)

AUTHENTIK = Guide(
    key="authentik",
    name="authentik",
    words=("authentik",),
    where=_(
        "Applications > Applications > New Application: Provider Type SCIM. An application that has a provider for "
        "sign-in already: its Backchannel providers > +: the SCIM provider."
    ),
    url=_("URL"),
    token=_("Token"),
    clicks={
        "connect": _("Applications > Providers > the provider > Overview: run the sync again."),
        "create": _("Directory > Users > New User, the test user name. It must be in the provider's group filter."),
        "update": _("Directory > Users > the test account > Edit: another Name."),
        "group_create": _("Directory > Groups > New Group, the test group's name."),
        "member_add": _("Directory > Groups > the test group > Users > Add existing user."),
        "member_remove": _("Directory > Groups > the test group > Users > Remove."),
        "group_delete": _("Directory > Groups > the test group: Delete."),
        "disable": _("Directory > Users > the test account > Deactivate."),
        "enable": _("Directory > Users > the test account > Activate."),
        "delete": _("Directory > Users > the test account: Delete."),
    },
    scope=_("The provider's User filtering: Group, and Exclude service accounts as you want them governed."),
    go=_("Nothing more: it sends each change as it is made, and everything once in a while."),
    worth=(
        _("It reads ServiceProviderConfig first, and does what is said there."),
        _("A name can come as a blank: read as not said, and noted."),
    ),
)

OTHER = Guide(
    key="other",
    name=_("Another client"),
    where=_("Where it asks for a SCIM 2.0 endpoint. Any client with a bearer token will do."),
    url=_("SCIM base URL, base address or tenant URL"),
    token=_("Bearer token: the header is Authorization: Bearer …"),
    clicks={
        "connect": _("Its connection test; or GET /ServiceProviderConfig, or /Users?count=1."),
        "create": _("Make the test account, and put it into the scope of this connection."),
        "update": _("Change its title or its family name."),
        "group_create": _("Make the test group, and put it into the scope."),
        "member_add": _("Add the test account to the test group."),
        "member_remove": _("Take it out again."),
        "group_delete": _("Delete the test group, or stop pushing it."),
        "disable": _("Disable the test account, or take it out of the scope."),
        "enable": _("Enable it again, or put it back."),
        "delete": _("Delete it for good."),
    },
    scope=_("Whose accounts Rollcall is to govern: begin with few, and add the rest when the test is done."),
    go=_("Turn its provisioning on."),
    worth=(_("What it sends that is not plain SCIM is listed as coerced, with the rule that reads it."),),
)
