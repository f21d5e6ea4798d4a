"""Accounts as a directory brings them: made there and here, over SCIM on both sides."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from accounts import ownership
from audit.scope import scope
from provisioning.models import Shadow
from provisioning.scim.metadata.catalogue import NHI_URN
from tests.conftest import a_cause

if TYPE_CHECKING:
    import datetime as dt

    from accounts.models import Account
    from tests.factories.systems import Place


def a_person(place: Place, name: str, *, there: bool = True, **attributes: Any) -> str:
    """A person whom the directory holds and has told us of. `name` is "Given Family"; returns the SCIM id here."""
    given, _, family = name.partition(" ")
    user_name = f"{given[0]}.{family}".lower() + f"@{place.domain}"
    said = {
        "displayName": name,
        "name": {"givenName": given, "familyName": family},
        "emails": [{"value": user_name, "type": "work", "primary": True}],
        **attributes,
    }
    return _both(place, user_name, said, there=there)


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


def _both(
    place: Place, user_name: str, said: dict[str, Any], *, here: dict[str, Any] | None = None, there: bool = True
) -> str:
    remote = place.directory.user(user_name, **said) if there else f"gone-{user_name}"
    place.remote[user_name] = remote
    return place.idp.user(user_name, externalId=remote, **said, **(here or {}))


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
    with scope(tenant=account.tenant_id, cause=a_cause(actor=owner.user_name)):
        ownership.accept(ownership=ownership.offer(account=account, owner=owner, at=at), at=at, reason=reason)
