"""Coverage: of all that should be known of accounts at systems, how much was measured and found equal?

of_systems(measured) -> Coverage       three queries, however many systems there are

Counted are accounts at systems: one that lives at two systems counts twice, and what a reading found there and nobody
knows here counts too. Equal is what stands in a system that is measured, and about which no difference is known. What
is excepted, by a decision of people that ends, is counted apart: it is known, and it is not equal. What is not measured
is never equal, whatever it was.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db.models import Count, Q

from accounts.models.finding import Finding, FindingKind, FindingState
from accounts.states import FINDING_LIVE
from governance.freshness import Measured, no_equality


@dataclass(frozen=True)
class Coverage:
    """Sums over systems; `total` of zero has no percentage."""

    total: int = 0
    equal: int = 0
    differing: int = 0
    excepted: int = 0
    unmeasured: int = 0

    @property
    def ratio(self) -> float | None:
        """From 0 to 1; None where there is nothing to measure."""
        return self.equal / self.total if self.total else None

    @property
    def percent(self) -> float | None:
        """In percent, cut to one decimal: it says 100 only where everything is equal."""
        return None if self.ratio is None else int(self.equal * 1000 / self.total) / 10

    def __add__(self, other: "Coverage") -> "Coverage":
        return Coverage(
            self.total + other.total,
            self.equal + other.equal,
            self.differing + other.differing,
            self.excepted + other.excepted,
            self.unmeasured + other.unmeasured,
        )


def of_systems(measured: Iterable[Measured]) -> Coverage:
    """The coverage of these systems together. What is unknown there and has no account here adds to the whole."""
    found = _counted()
    return sum((_of(one, found.get(one.system, {})) for one in measured), Coverage())


def _counted() -> dict[UUID, Mapping[str, Any]]:
    """How many accounts of each system have a difference that is open, or excepted and nothing else; and strangers."""
    live = Finding.objects.filter(no_equality(), state__in=FINDING_LIVE, system__isnull=False).order_by()
    is_open, is_stranger = ~Q(state=FindingState.EXCEPTED), Q(kind=FindingKind.UNKNOWN_HERE)
    # Several differences of one account are one account; a difference of nobody's stands for one.
    nobodys = Q(account__isnull=True)
    rows = live.values("system_id").annotate(
        accounts=Count("account", distinct=True),
        accounts_open=Count("account", distinct=True, filter=is_open),
        nobodys=Count("id", filter=nobodys),
        nobodys_open=Count("id", filter=nobodys & is_open),
        strangers=Count("id", filter=is_stranger & nobodys),
    )
    return {row["system_id"]: row for row in rows}


def _of(measured: Measured, counted: Mapping[str, Any]) -> Coverage:
    total = measured.accounts + counted.get("strangers", 0)
    if not measured.is_measured:
        return Coverage(total=total, unmeasured=total)
    unequal = min(total, counted.get("accounts", 0) + counted.get("nobodys", 0))
    differing = min(unequal, counted.get("accounts_open", 0) + counted.get("nobodys_open", 0))
    return Coverage(total, total - unequal, differing, unequal - differing)
