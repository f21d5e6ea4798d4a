"""From a canonical document to the frozen words of `provisioning.changes`: the wire's words end here."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from provisioning.changes import ACTIVE, AccountChange, GroupChange, MemberStep
from provisioning.scim.metadata.catalogue import ENTERPRISE_URN, GROUP, NHI_URN, USER
from provisioning.scim.metadata.schema import ResourceType
from provisioning.scim.parsing.members import read_id
from provisioning.scim.parsing.normal import check_required
from provisioning.scim.parsing.values import read_instant

OWNERS = f"{NHI_URN}:owners"


def kept_document(document: Mapping[str, Any], resource_type: ResourceType) -> dict[str, Any]:
    """The part of a canonical document that is stored: without `active`, members, and all that the server computes."""
    kept: dict[str, Any] = {}
    for name, value in document.items():
        attribute, extension = resource_type.find(name), resource_type.extension(name)
        if attribute is not None and attribute.stored:
            kept[attribute.name] = value
        elif extension is not None:
            inside = {
                known.name: value[known.name] for known in extension.attributes if known.stored and known.name in value
            }
            if inside:
                kept[extension.id] = inside
    return kept


def account_change(document: Mapping[str, Any], *, said: frozenset[str]) -> AccountChange:
    """The account that a canonical User document wants; `said` is what this request touched.

    Raises invalidValue if userName is missing, or an owner is no id.
    """
    check_required(document, USER)
    nhi: Mapping[str, Any] = document.get(NHI_URN, {})
    enterprise: Mapping[str, Any] = document.get(ENTERPRISE_URN, {})
    expires = nhi.get("expiresAt")
    return AccountChange(
        user_name=document["userName"],
        external_id=document.get("externalId"),
        display_name=document.get("displayName"),
        active=document.get(ACTIVE) if ACTIVE in said else None,
        document=kept_document(document, USER),
        kind=nhi.get("kind"),
        purpose=nhi.get("purpose"),
        environment=nhi.get("environment"),
        expires_at=read_instant(expires) if expires else None,
        owners=_owners(nhi) if OWNERS in said else None,
        employee_number=enterprise.get("employeeNumber"),
        email=_email(document.get("emails", [])),
        said=said,
    )


def group_change(
    document: Mapping[str, Any],
    *,
    said: frozenset[str],
    members: tuple[UUID, ...] | None = None,
    member_steps: tuple[MemberStep, ...] = (),
) -> GroupChange:
    """The group that a canonical Group document wants; `members` (of POST and PUT) replace whoever was in it.

    Raises invalidValue if displayName is missing.
    """
    check_required(document, GROUP)
    listed = () if members is None else (MemberStep(op="replace", values=members),)
    return GroupChange(
        display_name=document["displayName"],
        external_id=document.get("externalId"),
        document=kept_document(document, GROUP),
        said=said,
        member_steps=listed + member_steps,
    )


def _owners(nhi: Mapping[str, Any]) -> tuple[UUID, ...]:
    ids = (read_id(owner.get("value"), at=f"{OWNERS}.value") for owner in nhi.get("owners", ()))
    return tuple(dict.fromkeys(ids))


def _email(emails: list[dict[str, Any]]) -> str | None:
    """The primary address, otherwise the one for work, otherwise the first."""
    with_value = [email for email in emails if email.get("value")]
    ranked = sorted(
        with_value, key=lambda email: (email.get("primary") is not True, email.get("type", "").lower() != "work")
    )
    return ranked[0]["value"] if ranked else None
