"""The frozen words that go between the rooms of `provisioning`: what a system asked for, without how it said it.

Standard library only. SCIM's spelling ends in `provisioning.scim`; feeds, file imports and LDAP build the same values,
so that `intake`, `authority` and `comparison` never see a wire format.
"""

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Literal
from uuid import UUID

MEMBERS = "members"
ACTIVE = "active"

# The kinds of resources by what stands behind them: an account, a group, or nothing but what the system said.
ACCOUNT_TYPES = ("User", "Agent")
GROUP_TYPE = "Group"
CATALOGUE_TYPES = ("AgenticApplication", "Role", "Entitlement")


class Intent(StrEnum):
    """What a request wants, computed from the change it asks for and not from its verb."""

    CREATE = "create"
    UPDATE = "update"
    DISABLE = "disable"
    ENABLE = "enable"
    DELETE = "delete"
    MEMBER_ADD = "member_add"
    MEMBER_REMOVE = "member_remove"
    MEMBER_REPLACE = "member_replace"
    BULK = "bulk"
    """Several operations, each of which has an intent and a row of its own."""
    UNKNOWN = "unknown"
    """Refused before its meaning could be read."""


class Outcome(StrEnum):
    """How a request or an event ended in the ledger (`domain.md`, Exchange)."""

    APPLIED = "applied"
    SAME = "same"
    SUPERSEDED = "superseded"
    DUPLICATE = "duplicate"
    HELD = "held"
    REJECTED = "rejected"
    PARKED = "parked"


# The rule under which the ledger keeps, among coercions, what intake noted.
NOTE = "note"


@dataclass(frozen=True, kw_only=True, slots=True)
class Coercion:
    """One departure from plain SCIM that was tolerated, and how it was read.

    `attribute` is a path, `rule` the name of a rule of the sender's dialect (or `""`). Both values are short texts
    for a person to read; a password is never among them.
    """

    attribute: str
    sent: str
    read_as: str
    rule: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class AccountChange:
    """One account as a system wants it, complete: the result of a create, a replacement or a patch.

    `resource_type` is one of `ACCOUNT_TYPES`; `user_name` is what the resource is called, whatever its attribute.
    `document` is the canonical remainder that a later patch starts from: everything the system may write except what
    is not its word to keep (`id`, `meta`, `groups`, `password`, `schemas`, `active`, our read-only attributes).
    `said` names the top-level attributes that this request touched, extension attributes as `urn:…:name`; a patch of
    `title` says `{"title"}` although every field is filled. `active` and `owners` are None when the request did not
    say them (or unassigned `active`, which `said` then has), so that silence can never enable, disable or disown.
    """

    user_name: str
    external_id: str | None
    display_name: str | None
    active: bool | None
    document: Mapping[str, Any]
    kind: str | None
    purpose: str | None
    environment: str | None
    expires_at: datetime | None
    owners: tuple[UUID, ...] | None
    employee_number: str | None
    email: str | None
    said: frozenset[str]
    resource_type: str = "User"


MemberOp = Literal["add", "remove", "replace", "remove_all"]


@dataclass(frozen=True, kw_only=True, slots=True)
class MemberStep:
    """One change of a group's membership; steps apply in order, and `values` are SCIM ids without repeats.

    `remove_all` has no values. `replace` with no values empties the group: the system listed nobody.
    """

    op: MemberOp
    values: tuple[UUID, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class GroupChange:
    """One group as a system wants it. Members are steps, never a list that had to be read first."""

    display_name: str
    external_id: str | None
    document: Mapping[str, Any]
    said: frozenset[str]
    member_steps: tuple[MemberStep, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class CatalogueChange:
    """One entry of a system's catalogue as it wants it: a role, an entitlement, an application. Nobody is in it."""

    resource_type: str
    name: str
    external_id: str | None
    display_name: str | None
    document: Mapping[str, Any]


# What nobody sees in a name and Unicode calls format or default-ignorable: two names that differ in it look the same.
_UNSEEN = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2065\u3164\ufe00-\ufe0f\uffa0\U000e0000-\U000e0fff]"
)


def fold(text: str) -> str:
    """The form in which two spellings of one name are equal: NFKC, case-folded, without what nobody sees. Idempotent;
    keeps blanks.
    """
    seen = _UNSEEN.sub("", "".join(c for c in text if unicodedata.category(c) != "Cf") if not text.isascii() else text)
    folded = unicodedata.normalize("NFKC", seen)
    # Case folding can undo composition, and composition can bring back something foldable: two rounds are a fixed
    # point for all of Unicode (Unicode 15, section 3.13, definition D147).
    for _ in range(2):
        folded = unicodedata.normalize("NFKC", folded.casefold())
    return folded


def user_name_key(text: str) -> str:
    """The look-up form of a user name: `fold`, without surrounding blanks. Unique per system among the living."""
    return fold(text).strip()
