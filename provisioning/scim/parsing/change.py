"""From a canonical document to the frozen words of `provisioning.changes`: the wire's words end here."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from provisioning.changes import ACTIVE, AccountChange, CatalogueChange, GroupChange, MemberStep
from provisioning.scim.metadata.catalogue import AGENT, ENTERPRISE_URN, GROUP, NHI_URN, USER
from provisioning.scim.metadata.schema import ResourceType
from provisioning.scim.parsing.members import read_id
from provisioning.scim.parsing.normal import check_required
from provisioning.scim.parsing.values import read_instant

OWNERS = f"{NHI_URN}:owners"
# An agent has them in its own schema too.
AGENT_OWNERS = "owners"


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


def account_change(
    document: Mapping[str, Any], *, said: frozenset[str], resource_type: ResourceType = USER
) -> AccountChange:
    """The account that the canonical document of a User or an Agent wants; `said` is what this request touched.

    Raises invalidValue if it is called nothing, or an owner is no id.
    """
    check_required(document, resource_type)
    nhi: Mapping[str, Any] = document.get(NHI_URN, {})
    enterprise: Mapping[str, Any] = document.get(ENTERPRISE_URN, {})
    expires = nhi.get("expiresAt")
    return AccountChange(
        resource_type=resource_type.name,
        user_name=resource_type.handle(document) or "",
        external_id=document.get("externalId"),
        display_name=document.get("displayName"),
        active=document.get(ACTIVE) if ACTIVE in said else None,
        document=kept_document(document, resource_type),
        kind=nhi.get("kind"),
        purpose=nhi.get("purpose") or (document.get("description") if resource_type is AGENT else None),
        environment=nhi.get("environment"),
        expires_at=read_instant(expires) if expires else None,
        owners=_owners(document, resource_type) if said & {OWNERS, AGENT_OWNERS} else None,
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


def catalogue_change(document: Mapping[str, Any], *, resource_type: ResourceType) -> CatalogueChange:
    """The entry that a canonical document of a role, an entitlement or an application wants.

    Raises invalidValue if it is called nothing.
    """
    check_required(document, resource_type)
    return CatalogueChange(
        resource_type=resource_type.name,
        name=resource_type.handle(document) or "",
        external_id=document.get("externalId"),
        display_name=document.get("displayName") or document.get("display"),
        document=kept_document(document, resource_type),
    )


def _owners(document: Mapping[str, Any], resource_type: ResourceType) -> tuple[UUID, ...]:
    named = [(OWNERS, owner) for owner in document.get(NHI_URN, {}).get("owners", ())]
    if resource_type is AGENT:
        named += [(AGENT_OWNERS, owner) for owner in document.get("owners", ())]
    return tuple(dict.fromkeys(read_id(owner.get("value"), at=f"{at}.value") for at, owner in named))


def _email(emails: list[dict[str, Any]]) -> str | None:
    """The primary address, otherwise the one for work, otherwise the first."""
    with_value = [email for email in emails if email.get("value")]
    ranked = sorted(
        with_value, key=lambda email: (email.get("primary") is not True, email.get("type", "").lower() != "work")
    )
    return ranked[0]["value"] if ranked else None
