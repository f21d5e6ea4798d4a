"""What the ledger gives, beside the roll: which resources differ, which are equal, and which can't be judged.

Set-based: two passes over the tenant's resources and members, whatever their number.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import connection

from audit.keys import uuid7_floor, uuid7_of_tomorrow

EXAMPLES = 20
# What is left out, with the reason: it was spoken of since, its person was erased, what it was told went into an archive,
# it can't be told, people or a reading decided about it.
LEFT_OUT = ("newer", "erased", "archived", "unclear", "decided")
EQUAL = "equal"


@dataclass(frozen=True, kw_only=True)
class Example:
    """One resource that differs, and in what."""

    id: UUID
    label: str
    word: str


@dataclass(frozen=True, kw_only=True)
class Compared:
    """How many resources are equal and how many differ, in what, with examples; and how many were left out, and why."""

    equal: int
    differing: int
    words: Mapping[str, int]
    left_out: Mapping[str, int]
    examples: tuple[Example, ...] = ()


# A plan changes what a system is taken to want; a word of the system after it counts again.
_JUDGED = """
WITH fresh AS (
  SELECT DISTINCT resource_id FROM provisioning_exchange
  WHERE id >= %(since)s AND id < %(tomorrow)s AND resource_id IS NOT NULL),
decided AS (
  SELECT p.system_id, c.account_id, max(c.done_at) AS at
  FROM provisioning_plannedchange c JOIN provisioning_plan p ON p.id = c.plan_id
  WHERE c.act IN ('deprovision', 'reactivate') AND c.result IN ('done', 'same') GROUP BY 1, 2),
planned AS (
  SELECT DISTINCT c.group_id, c.member_ref FROM provisioning_plannedchange c
  WHERE c.act IN ('add_member', 'remove_member') AND c.result = 'done'),
ours AS (
  SELECT g.id AS group_ref, m.origin_ref AS member_ref
  FROM accounts_membership m
  JOIN provisioning_shadow g ON g.group_id = m.group_id AND g.system_id = m.system_id AND g.ended_at IS NULL
  WHERE m.origin = 'system' AND m.ended_at IS NULL),
theirs AS (
  SELECT r.group_ref, r.member_ref FROM provisioning_rebuiltmember r
  JOIN provisioning_rebuilt w ON w.resource_id = r.member_ref AND NOT w.is_ended),
apart AS (
  SELECT group_ref, bool_and(p.member_ref IS NOT NULL) AS by_plans FROM ours FULL JOIN theirs USING (group_ref, member_ref)
  JOIN provisioning_shadow g ON g.id = group_ref
  LEFT JOIN planned p USING (group_id, member_ref)
  WHERE (ours IS NULL OR theirs IS NULL) AND NOT EXISTS (SELECT FROM fresh f WHERE f.resource_id = member_ref)
  GROUP BY group_ref),
judged AS (
  SELECT coalesce(r.resource_id, s.id) AS id, coalesce(s.name, r.label) AS label,
    CASE
      WHEN f.resource_id IS NOT NULL THEN 'newer'
      WHEN e.account_id IS NOT NULL THEN 'erased'
      WHEN s.ended_at < (SELECT max(kept_since) FROM provisioning_archive) THEN 'archived'
      WHEN r.resource_id IS NULL THEN 'not in the ledger'
      WHEN s.id IS NULL THEN 'not in the roll'
      WHEN r.is_ended <> (s.ended_at IS NOT NULL) THEN 'ended'
      WHEN r.unclear <> '' OR r.members_unclear <> '' THEN 'unclear'
      WHEN r.digest <> s.digest THEN 'document'
      WHEN s.account_id IS NOT NULL AND r.wants_active <> s.wants_active THEN
        CASE WHEN d.at > r.said_at THEN 'decided' ELSE 'active' END
      WHEN a.group_ref IS NOT NULL THEN CASE WHEN a.by_plans THEN 'decided' ELSE 'members' END
      ELSE 'equal'
    END AS word
  FROM provisioning_rebuilt r
  FULL JOIN provisioning_shadow s ON s.id = r.resource_id
  LEFT JOIN (SELECT DISTINCT account_id FROM provisioning_erasure) e ON e.account_id = s.account_id
  LEFT JOIN fresh f ON f.resource_id = coalesce(r.resource_id, s.id)
  LEFT JOIN decided d ON d.system_id = s.system_id AND d.account_id = s.account_id
  LEFT JOIN apart a ON a.group_ref = s.id)
"""
_COUNTED = f"{_JUDGED} SELECT word, count(*) FROM judged GROUP BY word"  # noqa: S608  constants of ours
_OTHERS = "SELECT id, label, word FROM judged WHERE word <> ALL(%(not_these)s) ORDER BY id LIMIT %(most)s"
_NAMED = f"{_JUDGED} {_OTHERS}"


def compared(*, until: datetime) -> Compared:
    """The comparison, for a ledger that is folded until then. Two queries; one where nothing differs."""
    values: dict[str, Any] = {
        "since": uuid7_floor(int(until.timestamp() * 1000)),
        "tomorrow": uuid7_of_tomorrow(),
        "not_these": [EQUAL, *LEFT_OUT],
        "most": EXAMPLES,
    }
    with connection.cursor() as cursor:
        cursor.execute(_COUNTED, values)
        counts: dict[str, int] = dict(cursor.fetchall())
        words = {word: count for word, count in sorted(counts.items()) if word != EQUAL and word not in LEFT_OUT}
        examples: list[Example] = []
        if words:
            cursor.execute(_NAMED, values)
            examples = [Example(id=pk, label=label, word=word) for pk, label, word in cursor.fetchall()]
    return Compared(
        equal=counts.get(EQUAL, 0),
        differing=sum(words.values()),
        words=words,
        left_out={word: counts[word] for word in LEFT_OUT if word in counts},
        examples=tuple(examples),
    )
