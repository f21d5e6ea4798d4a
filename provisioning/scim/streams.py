"""Answers too long to be held: their members are written by the database, some thousand at a time, and sent at once.

A body is made as always, with a mark where the members of each group belong; the text between the marks is sent as it
is. All of it is read in one scope of its own that sees one moment: the members are those of the version beside them.
What fails on the way leaves the text without its end, and the connection broken: it is never a shorter list.
"""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db import connection

from accounts.models.system import System
from audit.scope import scope
from provisioning.changes import MEMBERS
from provisioning.scim.metadata.catalogue import RESOURCE_TYPES
from provisioning.scim.metadata.schema import ResourceType
from provisioning.scim.projection import Projection

# How many members a body may have that is made at once; and how many are written and sent in one piece.
MOST_AT_ONCE = 1_000
PIECE = 8_000
# Stands for the id in the text of a member; JSON never has it as it is.
_ID = "\x00"
# An index has all that it reads, but for members of whom nobody said of which type they are.
_PIECE = """
SELECT string_agg(CASE type {texts} END, ', '), count(*), max(ref COLLATE "C")
  FROM (SELECT m.origin_ref::text AS ref,
               CASE WHEN m.origin_type <> '' THEN m.origin_type ELSE (
                 SELECT CASE WHEN o.member_group_id IS NULL THEN 'User' ELSE 'Group' END FROM accounts_membership o
                  WHERE o.group_id = m.group_id AND o.system_id = m.system_id AND o.origin = 'system'
                    AND o.ended_at IS NULL AND o.origin_ref = m.origin_ref) END AS type
          FROM accounts_membership m
         WHERE m.group_id = %s AND m.system_id = %s AND m.origin = 'system' AND m.ended_at IS NULL
           AND m.origin_ref > %s
         ORDER BY m.origin_ref LIMIT %s) AS piece
"""


def member(ref: str, kind: ResourceType, *, base: str) -> dict[str, str]:
    """A member as RFC 7643 section 8.7.1 has it: by id. Its name would cost as much again."""
    return {"value": ref, "$ref": f"{base}{kind.endpoint}/{ref}", "type": kind.name}


def place_of(group: UUID, *, seal: str) -> str:
    """What stands in a body, last, where the members of a group belong. Nobody knows the seal: no value looks like it."""
    return f"{seal}:{group}"


def members_digest(groups: Iterable[UUID], *, system: System) -> str:
    """A digest of who is in these groups by the word of a system, for whoever keeps no list of them."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT encode(sha256(convert_to(coalesce(string_agg("
            "m.group_id::text || m.origin_ref::text, ',' ORDER BY m.group_id, m.origin_ref), ''), 'UTF8')), 'hex')"
            " FROM accounts_membership m"
            " WHERE m.group_id = ANY(%s) AND m.system_id = %s AND m.origin = 'system' AND m.ended_at IS NULL",
            [list(groups), system.pk],
        )
        return str(cursor.fetchone()[0])


@dataclass(frozen=True, kw_only=True)
class Stream:
    """The text of one body. `make` reads what it is about, and builds it with the places that `seal` marks."""

    system: System
    base: str
    projection: Projection
    seal: str
    make: Callable[[], Mapping[str, Any]]

    def __call__(self) -> Iterator[bytes]:
        """The text from its beginning, piece by piece."""
        with scope(tenant=self.system.tenant_id, steady=True):
            text = json.dumps(self.make(), ensure_ascii=False)
            # Together with its name: a group without members has no such attribute, as in any answer.
            between = re.split(f', "{MEMBERS}": "{self.seal}:([0-9a-f-]{{36}})"', text)
            yield between[0].encode()
            for group, rest in zip(between[1::2], between[2::2], strict=True):
                yield from self._members(UUID(group))
                yield rest.encode()

    def _members(self, group: UUID) -> Iterator[bytes]:
        texts = [self._texts(kind) for kind in RESOURCE_TYPES]
        cases = " ".join(f"WHEN %s THEN {' || ref || '.join(['%s'] * len(around))}" for around in texts)
        said = [value for kind, around in zip(RESOURCE_TYPES, texts, strict=True) for value in (kind.name, *around)]
        last, before = str(UUID(int=0)), f', "{MEMBERS}": ['
        while True:
            with connection.cursor() as cursor:
                cursor.execute(_PIECE.format(texts=cases), [*said, group, self.system.pk, last, PIECE])
                text, count, last = cursor.fetchone()
            if count:
                yield f"{before}{text}".encode()
                before = ", "
            if count < PIECE:
                break
        if before == ", ":
            yield b"]"

    def _texts(self, kind: ResourceType) -> list[str]:
        """The text of a member of a type around its id."""
        names = self.projection.parts(MEMBERS)
        shown = {name: value for name, value in member(_ID, kind, base=self.base).items() if name in names}
        return json.dumps(shown, ensure_ascii=False).split(json.dumps(_ID)[1:-1])
