"""The people and groups that every contestant holds: the same for all, computed and never drawn by chance.

Person `n`, counted from 1, has the same names and addresses everywhere. What a contestant calls it is its own affair.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any
from uuid import UUID

USER_URN = "urn:ietf:params:scim:schemas:core:2.0:User"
GROUP_URN = "urn:ietf:params:scim:schemas:core:2.0:Group"
PATCH_URN = "urn:ietf:params:scim:api:messages:2.0:PatchOp"

SPARE = 240
"""People beyond the number asked for, who are in no group: they are put into groups while the bench runs."""
BLOCK = 1_000
"""Everybody is in one group of this many, so that a page of any size of company shows as many memberships."""
BIG = (10_000, 100_000)
"""Groups beside those, wherever there are enough people."""

_VERSION, _VARIANT = 0x7 << 76, 0x2 << 62
_GIVEN = (
    "Ada",
    "Grace",
    "Alan",
    "Edsger",
    "Barbara",
    "Donald",
    "Radia",
    "Niklaus",
    "Frances",
    "Tony",
    "Jean",
    "Leslie",
)
_FAMILY = ("Lovelace", "Hopper", "Turing", "Liskov", "Knuth", "Perlman", "Kay", "Allen", "Hoare", "Bartik", "Lamport")


@dataclass(frozen=True, kw_only=True)
class Person:
    """One person."""

    n: int

    @property
    def user_name(self) -> str:
        """What they sign in with."""
        return f"user{self.n:07d}@example.com"

    @property
    def external_id(self) -> str:
        """What the identity provider calls them."""
        return f"00u{self.n:017x}"

    @property
    def email(self) -> str:
        """Their address, which is not their user name."""
        return f"mail{self.n:07d}@people.example.com"

    @property
    def given(self) -> str:
        """Their first name."""
        return _GIVEN[self.n % len(_GIVEN)]

    @property
    def family(self) -> str:
        """Their last name."""
        return _FAMILY[self.n % len(_FAMILY)]

    @property
    def display_name(self) -> str:
        """Both."""
        return f"{self.given} {self.family}"

    @property
    def said(self) -> dict[str, Any]:
        """What an identity provider says of them beside `active`: no more than every contestant can store."""
        return {
            "userName": self.user_name,
            "externalId": self.external_id,
            "name": {"givenName": self.given, "familyName": self.family},
            "displayName": self.display_name,
            "emails": [{"value": self.email, "type": "work", "primary": True}],
        }

    @property
    def body(self) -> dict[str, Any]:
        """The body that makes them."""
        return {"schemas": [USER_URN], **self.said, "active": True}


@dataclass(frozen=True, kw_only=True)
class Team:
    """One group: `count` people from `first` on, every `step`-th."""

    name: str
    first: int
    step: int
    count: int

    @property
    def members(self) -> range:
        """The numbers of its people."""
        return range(self.first, self.first + self.step * self.count, self.step)


@dataclass(frozen=True, kw_only=True)
class Company:
    """So many people, and the groups they are in."""

    people: int

    @property
    def everybody(self) -> range:
        """The numbers of all, also of those who are in no group."""
        return range(1, self.people + SPARE + 1)

    @property
    def spare(self) -> range:
        """The numbers of those who are in no group yet."""
        return range(self.people + 1, self.people + SPARE + 1)

    @property
    def teams(self) -> list[Team]:
        """All groups. The members of a big one are spread over the whole company."""
        blocks = [
            Team(name=f"Block {number:04d}", first=1 + number * BLOCK, step=1, count=BLOCK)
            for number in range(self.people // BLOCK)
        ]
        sizes = [size for size in BIG if size <= self.people]
        big = [Team(name=f"All {size}", first=1, step=self.people // size, count=size) for size in sizes]
        return blocks + big

    def team(self, size: int) -> Team | None:
        """The group of that size that is measured; None where the company is too small for it."""
        return next((team for team in self.teams if team.count == size), None)


def named_uuid(kind: str, key: object) -> UUID:
    """A random-looking key, the same in every run; PostgreSQL computes it as `md5(kind || key)::uuid`."""
    return UUID(hashlib.md5(f"{kind}{key}".encode(), usedforsecurity=False).hexdigest())


def _key(n: int, *, epoch: int) -> UUID:
    """A uuid7 of the past: in the order of `n`, as a directory's first push makes them."""
    return UUID(int=(epoch << 80) | _VERSION | _VARIANT | n)


def user_id(n: int) -> UUID:
    """The SCIM id of person `n`."""
    return _key(n, epoch=0x0190_0000_0000)


def account_id(n: int) -> UUID:
    """The key of the account of person `n`."""
    return _key(n, epoch=0x0190_0000_0001)
