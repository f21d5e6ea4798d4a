"""The guides that are hosted by their vendor, and all of them by key."""

from collections.abc import Mapping

from django.utils.translation import gettext_lazy as _

from governance.admin.guide_texts_own import AUTHENTIK, KEYCLOAK, OTHER
from governance.admin.guides import Guide

OKTA = Guide(
    key="okta",
    name="Okta",
    words=("okta",),
    where=_(
        "Applications > Applications > your app (made with Create App Integration, SAML 2.0 or SWA) > General > App "
        "Settings > Edit: Provisioning is SCIM. Save. Then Provisioning > Integration > Edit."
    ),
    url=_("SCIM connector base URL"),
    token=_("HTTP Header > Authorization (the token alone, without the word Bearer)"),
    also=(
        _("Unique identifier field for users: userName"),
        _("Supported provisioning actions: Push New Users, Push Profile Updates, Push Groups"),
        _("Authentication Mode: HTTP Header"),
    ),
    clicks={
        "connect": _("Provisioning > Integration > Test Connector Configuration."),
        "create": _(
            "Once: Provisioning > To App > Edit, enable Create Users, Update User Attributes and Deactivate Users, Save. "
            "Then Directory > People > Add person, the test user name; in the app Assignments > Assign > Assign to People."
        ),
        "update": _("Directory > People > the test account > Profile > Edit: another Title. Save."),
        "group_create": _(
            "Directory > Groups > Add group, the test group's name. In the app Push Groups > Push Groups > Find groups by "
            "name: that group, Save."
        ),
        "member_add": _("Directory > Groups > the test group > Assign people: the test account."),
        "member_remove": _("Directory > Groups > the test group > People: remove the test account."),
        "group_delete": _(
            "Push Groups > the group's status > Unlink pushed group: delete the group in the target app. Unlink."
        ),
        "disable": _("Assignments: the cross beside the test account."),
        "enable": _("Assignments > Assign > Assign to People: the test account again."),
    },
    never={"delete": _("Okta does not delete people elsewhere: what it sends last is the disable.")},
    scope=_(
        "Assignments: the groups whose people Rollcall is to govern. Push Groups: the groups that give access. Use "
        "different groups for the two, as Okta asks for."
    ),
    go=_(
        "Assign the groups. Whoever was assigned before provisioning was enabled is sent by Assignments > Provision User."
    ),
    worth=(
        _("Assigning somebody again asks for the account back: people decide that here, and the answer says so."),
        _("Operations come without a path, and sometimes with an id inside: both are understood and noted."),
    ),
)

ENTRA = Guide(
    key="entra",
    name="Microsoft Entra ID",
    words=("entra", "azure", "microsoft"),
    where=_(
        "Entra ID > Enterprise apps > New application > Create your own application (integrate any other application you "
        "don't find in the gallery). In it: Provisioning > New configuration; where a Provisioning Mode is asked for, "
        "Automatic."
    ),
    url=_("Tenant URL"),
    token=_("Secret token"),
    clicks={
        "connect": _("Provisioning > Connectivity (before: Admin Credentials) > Test connection."),
        "create": _(
            "Users > New user, the test user name. In the app Users and groups > Add user/group: the test account. Then "
            "Provision on demand: pick it, Provision. A fresh assignment takes some minutes to be seen there."
        ),
        "update": _("Users > the test account > Edit properties: another Job title. Provision on demand again."),
        "group_create": _(
            "Groups > New group, Security, the test group's name. In the app Users and groups > Add user/group: that "
            "group. Provision on demand: the group."
        ),
        "member_add": _(
            "Groups > the test group > Members > Add members: the test account. Provision on demand: the group, and the "
            "test account as the member."
        ),
        "member_remove": _(
            "Groups > the test group > Members > Remove. It comes with the next cycle, within about 40 minutes."
        ),
        "group_delete": _("Groups > the test group > Delete. It comes with the next cycle."),
        "disable": _("Users and groups: tick the test account, Remove. Then Provision on demand: the test account."),
        "enable": _(
            "Users and groups > Add user/group: the test account. Let the next cycle send it: provisioned on demand, Entra "
            "can make a second account instead."
        ),
        "delete": _(
            "Users > the test account > Delete, then Deleted users > Delete permanently. It comes with the next cycle."
        ),
    },
    scope=_(
        "Provisioning > Settings > Scope: Sync only assigned users and groups. Then Users and groups: whose accounts "
        "Rollcall is to govern. Members of nested groups are not sent."
    ),
    go=_(
        "Provisioning > Overview > Start provisioning (before: Provisioning Status On). Later cycles are 40 minutes apart."
    ),
    worth=(
        _('It sends "False" as text and operations in capitals: both are understood and noted.'),
        _("A removed assignment is a disable; a DELETE comes 30 days after somebody was deleted, or when for good."),
        _("Many refusals put the job in quarantine: it then tries less and less often. Look at its provisioning logs."),
    ),
)

JUMPCLOUD = Guide(
    key="jumpcloud",
    name="JumpCloud",
    words=("jumpcloud",),
    where=_(
        "Access > SSO Applications > Add New Application > Custom Application: Export users to this app (Identity "
        "Management). In it: Identity Management, SCIM Version SCIM 2.0."
    ),
    url=_("Base URL"),
    token=_("Token Key"),
    also=(_("Test User Email: an address that nobody has; the test makes and removes an account of that name"),),
    clicks={
        "connect": _("Identity Management > Test Connection, then Activate and Save."),
        "create": _(
            "Users > Add, the test user name. Then a user group that has it: the group > Applications, tick this app, Save."
        ),
        "update": _("Users > the test account > Details: another Job Title. Save."),
        "group_create": _(
            "Once: Identity Management > Enable management of User Groups and Group Membership. Then tick a second group, "
            "with the test group's name, under User Groups of the app."
        ),
        "member_add": _("User Groups > the test group > Users: tick the test account. Save."),
        "member_remove": _("User Groups > the test group > Users: untick it. Save."),
        "group_delete": _("User Groups > the test group > Delete."),
        "disable": _("Take the test account out of every group that has the app, or suspend it."),
        "enable": _("Put it back into the group, or unsuspend it."),
    },
    never={"delete": _("JumpCloud disables in the app when somebody is deleted or leaves the group.")},
    scope=_("User Groups of the app: the groups whose people Rollcall is to govern."),
    go=_("Activate in Identity Management, and tick the groups. Changes come within minutes."),
    worth=(_("Members come as a plain list, and lists can come as null: both are understood and noted."),),
)

ONELOGIN = Guide(
    key="onelogin",
    name="OneLogin",
    words=("onelogin", "one login"),
    where=_("Applications > Add App > SCIM Provisioner with SAML (SCIM v2 Enterprise). In it: Configuration."),
    url=_("SCIM Base URL"),
    token=_("SCIM Bearer Token"),
    also=(
        _("SCIM JSON Template: userName, name, emails; its schemas are those of SCIM 2.0"),
        _("Provisioning > Enable provisioning; under Require admin approval untick Create, Delete and Update user"),
        _("Provisioning > when users are deleted, or access is removed: Suspend (Delete makes it send a DELETE)"),
    ),
    clicks={
        "connect": _("Configuration > API Connection > Enable."),
        "create": _("Users > New User, the test user name; its Applications > +: this app. Save."),
        "update": _("Users > the test account: another Title. Save User."),
        "group_create": _(
            "Once: Parameters > Groups: Include in User Provisioning. Then Rules > Add Rule: Set Groups to the test "
            "group's name for the test account; Users > Apply to all, or Reapply entitlement mappings."
        ),
        "member_add": _("It comes with the group: reapply the mappings of the test account."),
        "member_remove": _("Rules: take the rule away, and reapply the mappings of the test account."),
        "disable": _("Users > the test account > More Actions > Suspend (or take the app away)."),
        "enable": _("Users > the test account > More Actions > Activate (or give the app back)."),
        "delete": _("Set Provisioning > when users are deleted to Delete; then Users > the test account > Delete."),
    },
    never={"group_delete": _("OneLogin does not delete groups elsewhere: an empty group stays; delete it by hand.")},
    scope=_("Access > Roles, or Users > the app of each: whose accounts Rollcall is to govern."),
    go=_("Tick the roles under Access. What waits stands under Users > Provisioning of the app, with Approve."),
    worth=(_("emails can come as one object instead of a list: understood and noted."),),
)

GOOGLE = Guide(
    key="google",
    name="Google Workspace",
    words=("google", "workspace", "gsuite"),
    where=_(
        "Apps > Web and mobile apps > your custom SAML app > Autoprovisioning > Configure autoprovisioning. Not every "
        "edition offers it for custom apps."
    ),
    url=_("Endpoint URL"),
    token=_("Access token"),
    also=(_("Attribute mapping: userName is Primary email"),),
    clicks={
        "connect": _("Continue after the URL and the token: Google asks once whether they are good."),
        "create": _("Directory > Users > Add new user, the test user name; User access of the app is ON for it."),
        "update": _("Directory > Users > the test account > User information: another Job title."),
        "disable": _("Directory > Users > the test account > Suspend user. It comes after the delay that you chose."),
        "enable": _("Directory > Users > the test account > Reactivate."),
        "delete": _("Directory > Users > the test account > Delete user. It comes after the delay that you chose."),
    },
    never={
        key: _("Google Workspace sends people, and no groups.")
        for key in ("group_create", "member_add", "member_remove", "group_delete")
    },
    scope=_("Provisioning scope: the groups whose people Rollcall is to govern."),
    go=_("Turn autoprovisioning on. Set each delay of deprovisioning to the shortest: within 24 hours."),
    worth=(_("An ending can come a day late by Google's own delay: let Rollcall read as well, where it can."),),
)

GUIDES: Mapping[str, Guide] = {
    one.key: one for one in (OKTA, ENTRA, KEYCLOAK, AUTHENTIK, JUMPCLOUD, ONELOGIN, GOOGLE, OTHER)
}
