"""Which source can be relied on: counted from rows, each difference once, worst first; unknown is never zero."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest

from accounts.models import FindingKind, RoleName
from accounts.models.finding import Attribution
from audit.keys import uuid7, uuid7_floor
from audit.scope import scope
from governance import league
from tests.conftest import a_cause
from tests.factories.governance import a_finding, a_system, now
from tests.governance.shell import a_user, enter
from tests.governance.world import text_of
from tests.house import rows

if TYPE_CHECKING:
    from django.test import Client

    from accounts.models import System, Tenant

pytestmark = [pytest.mark.face, pytest.mark.django_db]

DAY = dt.timedelta(days=1)
PAGE = "/t/acme/admin/league/"


def key_at(at: dt.datetime) -> UUID:
    """A key as it would have been made then."""
    return UUID(int=uuid7_floor(int(at.timestamp() * 1000)).int | uuid7().int & ((1 << 80) - 1))


def events(system: System, count: int, *, ago: dt.timedelta = DAY, **values: Any) -> None:
    for _each in range(count):
        rows.exchange(system=system, id=key_at(now() - ago), **values)


def reading(system: System, *, ago: dt.timedelta = DAY, state: str = "closed") -> None:
    at = now() - ago
    rows.run(system=system, state=state, started_at=at, ended_at=at)


def repair(
    system: System, word: Attribution, *, ago: dt.timedelta = DAY, kind: FindingKind = FindingKind.FIELD_DIFFERS
) -> None:
    a_finding(kind, f"{kind}:{uuid7()}", at=now() - ago, system=system.pk, attribution=word)


def told(days: int = 30) -> dict[str, league.Source]:
    return {source.name: source for source in league.of_window(at=now(), days=days).sources}


@pytest.mark.usefixtures("because")
def test_a_source_is_counted_by_its_rows_in_the_window(tenant: Tenant) -> None:
    okta = a_system(tenant, "Okta", at=now())
    events(okta, 3)
    events(okta, 1, outcome="rejected", status=400)
    events(okta, 5, ago=40 * DAY)
    reading(okta)
    for word in (Attribution.LOST_EVENT, Attribution.LOST_EVENT, Attribution.LATE_EVENT, Attribution.LOCAL_CHANGE):
        repair(okta, word)
    repair(okta, Attribution.LOST_EVENT, ago=40 * DAY)
    # No reading has found these: one nobody looked into, one that is no difference.
    repair(okta, Attribution.NONE)
    a_finding(FindingKind.NO_OWNER, "ownerless", at=now(), system=okta.pk)
    (source,) = told().values()
    assert (source.events, source.refused, source.readings, source.repairs) == (4, 1, 1, 4)
    assert (source.lost, source.late, source.rate) == (2, 1, 1000.0)
    assert source.why == ((Attribution.LOST_EVENT, 2), (Attribution.LATE_EVENT, 1), (Attribution.LOCAL_CHANGE, 1))
    assert (told(90)["Okta"].events, told(90)["Okta"].repairs) == (9, 5)
    assert told(7)["Okta"].events == 4


@pytest.mark.usefixtures("because")
def test_without_a_complete_reading_repairs_are_unknown_and_without_events_the_rate_is(tenant: Tenant) -> None:
    unread, silent = a_system(tenant, "Unread", at=now()), a_system(tenant, "Silent", at=now())
    events(unread, 2)
    reading(unread, state="incomplete")
    reading(silent)
    found = told()
    assert (found["Unread"].events, found["Unread"].repairs, found["Unread"].lost, found["Unread"].rate) == (
        2, None, None, None,
    )  # fmt: skip
    assert (found["Silent"].events, found["Silent"].repairs, found["Silent"].lost, found["Silent"].rate) == (
        0, 0, 0, None,
    )  # fmt: skip


@pytest.mark.usefixtures("because")
def test_the_worst_comes_first_and_what_is_unknown_before_what_is_right(tenant: Tenant) -> None:
    made = {name: a_system(tenant, name, at=now()) for name in ("A right", "B unknown", "C half", "D whole", "E mute")}
    for name in ("A right", "C half", "D whole", "E mute"):
        reading(made[name])
    for name, came in (("A right", 4), ("C half", 4), ("D whole", 2)):
        events(made[name], came)
    for name in ("C half", "D whole", "E mute"):
        repair(made[name], Attribution.LOST_EVENT)
    assert list(told()) == ["E mute", "D whole", "C half", "B unknown", "A right"]


@pytest.mark.usefixtures("because")
def test_a_week_without_a_reading_or_an_event_is_a_gap(tenant: Tenant) -> None:
    okta = a_system(tenant, "Okta", at=now())
    for weeks in (0, 2):
        events(okta, 2, ago=7 * weeks * DAY + DAY)
    events(okta, 2, ago=8 * DAY)
    reading(okta, ago=DAY)
    reading(okta, ago=15 * DAY)
    repair(okta, Attribution.LOST_EVENT, ago=15 * DAY)
    found = league.of_window(at=now(), days=30)
    assert found.sources[0].trend == (*[None] * 10, 500.0, None, 0.0)
    assert len(found.weeks) == league.WEEKS


@pytest.mark.usefixtures("because")
def test_events_from_before_an_archive_are_unknown(tenant: Tenant) -> None:
    okta = a_system(tenant, "Okta", at=now())
    events(okta, 2)
    reading(okta)
    rows.archive(kept_since=now() - 10 * DAY)
    assert (told(30)["Okta"].events, told(30)["Okta"].refused, told(30)["Okta"].rate) == (None, None, None)
    assert (told(7)["Okta"].events, told(7)["Okta"].rate) == (2, 0.0)


def test_the_page_shows_the_worst_with_its_reasons_and_says_what_is_unknown(client: Client, tenant: Tenant) -> None:
    with scope(tenant=tenant.pk, cause=a_cause()):
        okta = a_system(tenant, "Okta", at=now())
        a_system(tenant, "Old CRM", at=now())
        events(okta, 4)
        reading(okta)
        repair(okta, Attribution.LOST_EVENT)
    enter(client, a_user("auditor", RoleName.AUDITOR, tenant=tenant))
    shown = text_of(client.get(PAGE))
    assert "Okta needed the most: 1 repair; 1 source is not measured." in shown
    assert "Okta 4 0 1 1 250.0 1 0" in shown
    assert "Old CRM 0 0 0 not measured - - -" in shown
    assert "Okta never said: 1" in shown
    assert "As a table" in shown
    assert 'aria-current="true">30 days' in client.get(f"{PAGE}?days=31").content.decode()
    assert 'aria-current="true">7 days' in client.get(f"{PAGE}?days=7").content.decode()


def test_the_page_says_so_where_nothing_is_known_or_nothing_was_wrong(client: Client, tenant: Tenant) -> None:
    enter(client, a_user("auditor", RoleName.AUDITOR, tenant=tenant))
    assert "No system yet, so nothing is measured." in text_of(client.get(PAGE))
    with scope(tenant=tenant.pk, cause=a_cause()):
        okta = a_system(tenant, "Okta", at=now())
    assert "No source was read completely in this time: nothing is known." in text_of(client.get(PAGE))
    with scope(tenant=tenant.pk, cause=a_cause()):
        reading(okta)
    shown = text_of(client.get(PAGE))
    assert "Every reading agreed with what was told." in shown
    assert "In no week of the last 13 was there a complete reading and an event." in shown


def test_one_source_and_three_cost_the_same_queries(
    client: Client, tenant: Tenant, django_assert_max_num_queries: Any
) -> None:
    enter(client, a_user("auditor", RoleName.AUDITOR, tenant=tenant))

    def asked() -> int:
        with django_assert_max_num_queries(40) as counted:
            client.get(PAGE)
        return len(counted)

    def a_source(name: str) -> None:
        with scope(tenant=tenant.pk, cause=a_cause()):
            made = a_system(tenant, name, at=now())
            events(made, 1)
            reading(made)
            repair(made, Attribution.LATE_EVENT)

    a_source("One")
    one = asked()
    a_source("Two")
    a_source("Three")
    assert asked() == one
