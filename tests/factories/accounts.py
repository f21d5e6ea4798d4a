"""Accounts as a directory brings them: made there and here, over SCIM on both sides."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from accounts import ownership
from audit.models import CauseKind
from audit.scope import scope
from provisioning.models import Shadow
from provisioning.scim.metadata.catalogue import NHI_URN
from tests.conftest import a_cause

if TYPE_CHECKING:
    import datetime as dt

    from accounts.models import Account
    from tests.factories.systems import Place


def a_person(place: Place, name: str, **attributes: Any) -> str:
    """A person whom the directory holds and has told us of. `name` is "Given Family"; returns the SCIM id here."""
    given, _, family = name.partition(" ")
    user_name = f"{given[0]}.{family}".lower() + f"@{place.domain}"
    said = {
        "displayName": name,
        "name": {"givenName": given, "familyName": family},
        "emails": [{"value": user_name, "type": "work", "primary": True}],
        **attributes,
    }
    return _both(place, user_name, said)


def a_service(
    place: Place,
    name: str,
    *,
    purpose: str,
    expires_at: dt.datetime,
    environment: str = "production",
    **attributes: Any,
) -> str:
    """A service account made by the directory, pending until its owner accepts. Returns the SCIM id here."""
    nhi = {
        "kind": "service",
        "purpose": purpose,
        "environment": environment,
        "expiresAt": expires_at.isoformat(timespec="seconds"),
    }
    return _both(place, name, {"displayName": name, **attributes}, here={NHI_URN: nhi})


def _both(place: Place, user_name: str, said: dict[str, Any], *, here: dict[str, Any] | None = None) -> str:
    remote = place.directory.user(user_name, **said)
    place.remote[user_name] = remote
    place.here[user_name] = place.idp.user(user_name, externalId=remote, **said, **(here or {}))
    return place.here[user_name]


def a_group(place: Place, name: str, *members: str) -> str:
    """A group of these user names, on both sides. Returns its SCIM id here."""
    remote = place.directory.group(name, *[place.remote[one] for one in members])
    return place.idp.group(name, *[place.here[one] for one in members], externalId=remote)


def account_of(place: Place, scim_id: str) -> Account:
    """The account behind a resource of that system."""
    with scope(tenant=place.idp.tenant.pk):
        account: Account | None = (
            Shadow.objects.select_related("account__tenant", "account__identity").get(pk=scim_id).account
        )
    assert account is not None
    return account


def answer_for(account: Account, owner: Account, *, at: dt.datetime, reason: str = "mine") -> None:
    """Somebody is offered an account and accepts it, as themselves."""
    with scope(tenant=account.tenant_id, cause=a_cause(kind=CauseKind.PAGE, actor=owner.user_name, reason=reason)):
        ownership.accept(ownership=ownership.offer(account=account, owner=owner, at=at), at=at, reason=reason)
