"""How quickly drift is seen and healed; time that nobody measured is never equal."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

import pytest

from accounts.models import Finding, FindingKind
from governance import drift
from tests.factories.governance import a_connection, a_finding, a_reading, a_system, now

if TYPE_CHECKING:
    from accounts.models import Tenant
    from accounts.models.system import System
    from audit.models import Cause

pytestmark = pytest.mark.django_db
HOUR = dt.timedelta(hours=1)


@pytest.fixture
def at() -> dt.datetime:
    return now().replace(microsecond=0)


@pytest.fixture
def system(tenant: Tenant, because: Cause, at: dt.datetime) -> System:
    """Made ten hours ago; read at hours 0, 1, 4 and 9, each reading good for an hour: measured 4 of 10."""
    made = a_system(tenant, at=at - 10 * HOUR)
    a_connection(made, read_at=None)
    for hour in (0, 1, 4, 9):
        a_reading(made, at=at - 10 * HOUR + hour * HOUR)
    return made


def of(system: System, at: dt.datetime) -> drift.Drift:
    return drift.of_systems([system.pk], at=at)[system.pk]


def differs(
    system: System, at: dt.datetime, *, first: float, resolved: float | None, read: float, key: str = "d"
) -> None:
    """Seen and resolved so many hours after the system was made, by the reading of that hour."""
    began = at - 10 * HOUR
    a_finding(
        FindingKind.STATUS_DIFFERS, key, system=system.pk, at=began + first * HOUR,
        evidence={"read_since": (began + read * HOUR).isoformat()},
    )  # fmt: skip
    if resolved is not None:
        Finding.objects.filter(dedupe_key=key).update(state="resolved", resolved_at=began + resolved * HOUR)


def test_time_that_nobody_measured_is_not_equal(system: System, at: dt.datetime) -> None:
    found = of(system, at)
    assert (found.measured_percent, found.equal_percent) == (pytest.approx(40), pytest.approx(40))
    assert found.is_within_budget is False
    assert (found.detect, found.detected, found.heal, found.healed) == (None, 0, None, 0)


def test_time_in_which_a_difference_was_open_is_measured_and_not_equal(system: System, at: dt.datetime) -> None:
    differs(system, at, first=1.5, resolved=3, read=1)
    differs(system, at, first=9.25, resolved=None, read=9, key="e")
    found = of(system, at)
    # Half of the second hour, and three quarters of the tenth.
    assert (found.measured_percent, found.equal_percent) == (pytest.approx(40), pytest.approx(27.5))


def test_seen_is_counted_from_the_last_complete_reading_that_did_not_show_it(system: System, at: dt.datetime) -> None:
    # The reading of hour 4 found it 15 minutes in; that of hour 1 had not shown it. The first reading has none before.
    differs(system, at, first=4.25, resolved=6.25, read=4)
    differs(system, at, first=0.5, resolved=1.5, read=0, key="e")
    found = of(system, at)
    assert (found.detect, found.detected) == (3.25 * HOUR, 1)
    assert (found.heal, found.healed) == (1.5 * HOUR, 2)


def test_what_was_a_mistake_or_of_another_kind_counts_nowhere(system: System, at: dt.datetime) -> None:
    a_finding(FindingKind.CORRELATION, "c", system=system.pk, at=at - 9 * HOUR)
    differs(system, at, first=1, resolved=9, read=1)
    Finding.objects.filter(dedupe_key="d").update(state="false_positive")
    found = of(system, at)
    assert (found.equal_percent, found.heal) == (pytest.approx(40), None)


def test_what_is_older_than_thirty_days_is_out_of_it(system: System, at: dt.datetime) -> None:
    differs(system, at, first=1, resolved=2, read=1)
    later = at + dt.timedelta(days=31)
    assert of(system, later) == drift.Drift(0.0, 0.0, None, 0, None, 0)


def test_a_system_that_nobody_reads_has_no_share_and_many_are_two_queries(
    system: System, tenant: Tenant, at: dt.datetime, django_assert_num_queries: Any
) -> None:
    other = a_system(tenant, "CRM", at=at - HOUR)
    with django_assert_num_queries(2):
        found = drift.of_systems([system.pk, other.pk], at=at)
    assert found[other.pk] == drift.Drift(None, None, None, 0, None, 0)
    assert found[other.pk].is_within_budget is None
    a_connection(other, read_at=None)
    a_reading(other, at=at - HOUR)
    assert of(other, at).is_within_budget is True
