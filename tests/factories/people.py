"""People who sign in by the page, with a name and a password, as people do."""

from __future__ import annotations

from typing import TYPE_CHECKING

from accounts import lifecycle, people
from accounts.models.user import User
from tests.factories.governance import LONG_AGO, a_role

if TYPE_CHECKING:
    import datetime as dt

    from accounts.models import Account
    from accounts.models.user import RoleName

PASSWORD = "quiet harbour lamp 41"


def a_login(
    account: Account, *names: RoleName, at: dt.datetime, display_name: str = "", since: dt.timedelta = LONG_AGO
) -> User:
    """A sign-in with `PASSWORD` for the person behind an account, with roles in its tenant since long ago.

    Needs a scope of that tenant with a cause. The account is linked to the identity of the sign-in.
    """
    user = people.make_user(
        username=account.user_name.partition("@")[0],
        display_name=display_name or account.display_name,
        email=account.email,
        identity=account.identity,
        at=at,
    )
    if account.identity_id != user.identity_id:
        lifecycle.change(account=account, fields={"identity_id": user.identity_id})
    people.accept_invitation(token=people.invite(user=user, at=at), password=PASSWORD, at=at)
    for name in names:
        a_role(user, name, account.tenant, since=at - since)
    return User.objects.get(pk=user.pk)
