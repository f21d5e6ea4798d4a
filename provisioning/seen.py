"""What was tolerated in a system's requests lately, by rule. Bounded: the newest requests of one system are looked at."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db import connection

from accounts.models.system import System
from provisioning.changes import NOTE

# So many of the newest requests of a system are looked at, however many there are.
LOOKED_AT = 1_000


@dataclass(frozen=True, kw_only=True)
class CoercionSeen:
    """One rule: how often it was applied, when last, and the latest exchange that shows it."""

    rule: str
    count: int
    last_at: datetime
    exchange: UUID


_SQL = """
SELECT noted.one->>'rule', count(*), max(newest.at), (array_agg(newest.id ORDER BY newest.id DESC))[1]
FROM (
  SELECT id, at, coercions FROM provisioning_exchange
  WHERE tenant_id = %(tenant)s AND system_id = %(system)s
  ORDER BY id DESC LIMIT %(most)s
) newest
CROSS JOIN LATERAL jsonb_array_elements(newest.coercions) noted(one)
WHERE newest.at >= %(since)s AND coalesce(noted.one->>'rule', '') NOT IN ('', %(note)s)
GROUP BY 1
ORDER BY 2 DESC, 1
"""


def coercions_seen(system: System, since: datetime | None) -> list[CoercionSeen]:
    """The rules that were applied in its newest requests, those since an instant if one is given; most often first.

    One query, over at most 1,000 exchanges.
    """
    values: dict[str, str | int | UUID] = {
        "tenant": system.tenant_id, "system": system.pk, "most": LOOKED_AT, "note": NOTE,
        "since": since.isoformat() if since is not None else "-infinity",
    }  # fmt: skip
    with connection.cursor() as cursor:
        cursor.execute(_SQL, values)
        rows = cursor.fetchall()
    return [CoercionSeen(rule=rule, count=count, last_at=at, exchange=exchange) for rule, count, at, exchange in rows]
