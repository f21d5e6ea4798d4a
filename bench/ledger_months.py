"""A ledger that has grown for two years: `python -m bench.within ledger_months SMALL LARGE`, as application and as owner.

The rows are copies of one exchange, spread over 23 past months and the present one, about a hundred thousand resources.
What is asked of them is asked when there are few, and again when there are many.
"""

from __future__ import annotations

import os
import secrets
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, cast

import psycopg
from django.db import transaction
from django.test import RequestFactory

from accounts.models.system import System
from accounts.models.tenant import Tenant
from audit.models import Cause, CauseKind
from audit.partitions import month_start, months
from audit.scope import scope
from bench.company import account_id
from bench.measuring import Summary
from governance.pages import window
from provisioning.models.exchange import BODIES, Exchange, OutcomeWord
from provisioning.scim import recording

if TYPE_CHECKING:
    from collections.abc import Callable
    from uuid import UUID

    from django.db.models import QuerySet

TABLE = "provisioning_exchange"
MONTHS = 24
RESOURCES = 100_000
_BODY, _TIMES = 500, 200
_PREFIX = str(account_id(0))[:24]
# In steps that no resource shares with the one before it, so that neighbours lie apart.
_STEP = 7_919
_FILL = """
INSERT INTO provisioning_exchange (id, tenant_id, system_id, token_id, cause_id, method, path, resource_type, resource_id,
  resource_label, intent, outcome, body, body_key_id, request_digest, request_bytes, coercions, status, error, remote,
  milliseconds)
SELECT (lpad(to_hex(%(first)s + (%(span)s * n / %(count)s)), 12, '0') || '7' || substr(md5(n::text), 1, 3)
    || '8' || substr(md5(n::text), 4, 15))::uuid,
  r.tenant_id, r.system_id, r.token_id, r.cause_id, r.method, r.path, r.resource_type,
  (%(prefix)s || lpad(to_hex((n * %(step)s) %% %(resources)s), 12, '0'))::uuid,
  r.resource_label, r.intent, CASE WHEN n %% 50 = 0 THEN 'rejected' ELSE r.outcome END, r.body, r.body_key_id,
  r.request_digest, r.request_bytes, r.coercions, r.status, r.error, r.remote, r.milliseconds
FROM (SELECT * FROM provisioning_exchange WHERE id = %(like)s) r, generate_series(1::bigint, %(count)s) n
"""


def main(small: str, large: str) -> dict[str, Any]:
    """What was found with few and with many, in seconds unless the name says otherwise."""
    ledger = _Ledger()
    return {"small": ledger.grown_to(int(small)), "large": ledger.grown_to(int(large))}


class _Ledger:
    """One tenant's ledger."""

    def __init__(self) -> None:
        self.now = datetime.now(UTC)
        self.rows = 0
        self.months = [
            month_start(year=self.now.year, month=self.now.month, ahead=ahead) for ahead in range(1 - MONTHS, 1)
        ]
        cause = Cause(kind=CauseKind.COMMAND, actor="bench", reason="a ledger to measure")
        with scope(cause=cause):
            self.tenant: UUID = Tenant.objects.create(slug="months", name="Months", made_at=self.now).pk
        with self._writing():
            made = System.objects.create(tenant_id=self.tenant, name="Entra", kind="directory", made_at=self.now)
            self.system: UUID = made.pk
            self.like = self._insert(made.pk)
        self.owner = psycopg.connect(os.environ["DATABASE_OWNER_URL"], autocommit=True)
        self.owner.execute("SELECT set_config('rollcall.tenant', %s, false)", [str(self.tenant)])
        for statement in months(TABLE, first=self.months[0], count=MONTHS):
            self.owner.execute(statement)

    def _writing(self) -> Any:
        return scope(tenant=self.tenant, cause=Cause(kind=CauseKind.EXCHANGE, actor="Entra", reason="to measure"))

    def _insert(self, system: UUID) -> UUID:
        """One more row, about some resource."""
        attempt = recording.Attempt(caller=cast("Any", None), method="PATCH", path="", remote="")
        Exchange.objects.create(
            id=attempt.id, tenant_id=self.tenant, system_id=system, token_id=system, cause_id=1, method="PATCH",
            path=f"/Users/{system}", resource_type="User", resource_id=account_id(1), resource_label="ada@example.com",
            intent="update", outcome=OutcomeWord.APPLIED, body=secrets.token_bytes(_BODY), body_key_id=system,
            request_digest="0" * 64, request_bytes=700, status=200, remote="127.0.0.1", milliseconds=12,
        )  # fmt: skip
        return attempt.id

    def grown_to(self, rows: int) -> dict[str, Any]:
        """Filled up to so many rows, then measured; the oldest month is detached at last."""
        started = time.perf_counter()
        here = self.months
        for month in here:
            self._fill(month, (rows - self.rows) // len(here))
        self.owner.execute(f"ANALYZE {TABLE}")
        self.rows = rows
        filled = time.perf_counter() - started
        return {
            "fill": filled,
            "insert": self._times(self._one_insert),
            "look_up": self._times(self._look_up),
            "page": self._times(lambda: self._page(Exchange.objects.all())),
            "page_of_refused": self._times(lambda: self._page(Exchange.objects.filter(outcome="rejected"))),
            "page_of_resource": self._times(
                lambda: self._page(Exchange.objects.filter(resource_id=account_id(secrets.randbelow(RESOURCES))))
            ),
            "bytes_per_row": self._bytes(),
            "detach": self._detach(),
        }

    def _fill(self, month: datetime, count: int) -> None:
        """More rows of that month, in the order of their keys; of the present one, up to now."""
        until = min(month_start(year=month.year, month=month.month, ahead=1), self.now)
        first = int(month.timestamp() * 1000)
        values = {
            "first": first, "span": int(until.timestamp() * 1000) - first - 1, "count": count, "prefix": _PREFIX,
            "step": _STEP, "resources": RESOURCES, "like": self.like,
        }  # fmt: skip
        self.owner.execute(_FILL, values)

    def _times(self, act: Callable[[], float]) -> float:
        for _ in range(_TIMES // 10):
            act()
        return Summary.of([act() for _ in range(_TIMES)]).median

    def _one_insert(self) -> float:
        with self._writing():
            started = time.perf_counter()
            self._insert(self.system)
            seconds = time.perf_counter() - started
            transaction.set_rollback(True)
        return seconds

    def _look_up(self) -> float:
        """The last accepted exchange about a resource, as a request that may be a repeat asks for it."""
        who = account_id(secrets.randbelow(RESOURCES))
        attempt = recording.Attempt(caller=cast("Any", None), method="PATCH", path="", remote="", resource_id=who)
        attempt.digest = "0" * 64
        with scope(tenant=self.tenant):
            started = time.perf_counter()
            recording.last_accepted(attempt)
            return time.perf_counter() - started

    def _page(self, rows: QuerySet[Exchange]) -> float:
        """The newest page of the ledger, as its list asks for it."""
        request = RequestFactory().get("/")
        with scope(tenant=self.tenant):
            started = time.perf_counter()
            window(request, rows.select_related("system").defer(*BODIES).order_by("-id"))
            return time.perf_counter() - started

    def _bytes(self) -> float:
        size = self.owner.execute(
            "SELECT sum(pg_total_relation_size(inhrelid)) FROM pg_inherits WHERE inhparent = %s::regclass", [TABLE]
        ).fetchone()
        return float(size[0]) / self.rows if size else 0.0

    def _detach(self) -> float:
        oldest = self.months.pop(0)
        started = time.perf_counter()
        self.owner.execute(f"ALTER TABLE {TABLE} DETACH PARTITION {TABLE}_{oldest:%Y_%m}")
        return time.perf_counter() - started
