"""Public incidents of mass disabling, each begun here as it began there: it is stopped, and by which control.

A directory answers over HTTP what it answered then; our side reads it, and ends nobody whom it should not.
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

import pytest

from accounts import lifecycle
from accounts.models import Account, Finding, RoleName
from audit.scope import scope
from governance import approvals
from provisioning import execution, readback, reconciliation, wishes
from provisioning.models import Connection, Plan, Run, Shadow, SnapshotProof
from tests.conftest import AT, a_cause
from tests.factories import governance as make
from tests.fakes.directories import FakeDirectory, a_system, known, serving
from tests.governance.shell import a_user, enter
from tests.governance.world import text_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from django.test import Client

    from accounts.models import System, Tenant

pytestmark = [pytest.mark.flow, pytest.mark.django_db]

BEFORE = AT - dt.timedelta(days=1)
MINUTE, HOUR = dt.timedelta(minutes=1), dt.timedelta(hours=1)
PEOPLE = [f"p{n:02}" for n in range(29)]


class Company:
    """Thirty people, the canary among them, of whom one directory tells; it was read whole yesterday."""

    def __init__(self, tenant: Tenant, directory: FakeDirectory) -> None:
        self.tenant, self.directory = tenant, directory
        with self.acting():
            self.system = a_system(tenant, at=BEFORE, directory=directory, page_size=10, shrink_percent=10)
            self.ids = {name: directory.user(name) for name in ("canary", *PEOPLE)}
            for name, remote in self.ids.items():
                known(self.system, name, at=BEFORE, remote_id=remote)
            Run.objects.create(
                tenant=tenant, system=self.system, state="closed", step="closed", started_by="sweep",
                started_at=BEFORE, ended_at=BEFORE, counts={"users": 30, "wanted": 0},
            )  # fmt: skip

    def acting(self) -> Any:
        """In the tenant, as a test."""
        return scope(tenant=self.tenant.pk, cause=a_cause())

    def believed_less(self, percent: int) -> None:
        """An administrator has said that a reading may be so much smaller than the last."""
        with self.acting():
            Connection.objects.filter(system=self.system).update(shrink_percent=percent)

    def read(self, at: dt.datetime = AT, *, system: System | None = None) -> Run:
        """A reading from its first page to its end; what may be carried out is."""
        moments = (at + n * dt.timedelta(seconds=1) for n in range(10_000))
        with self.acting():
            run = reconciliation.start(system=system or self.system, started_by="sweep", at=at)
        while not reconciliation.advance(tenant=self.tenant.pk, run_id=run.pk, clock=lambda: next(moments)):
            pass
        with self.acting():
            cleared = list(Plan.objects.filter(run=run, state="cleared").values_list("pk", flat=True))
        for plan in cleared:
            execution.advance(
                tenant=self.tenant.pk, plan_id=plan, clock=lambda: next(moments), go_on=lambda: True,
                then=reconciliation.after_plan,
            )  # fmt: skip
        with self.acting():
            run.refresh_from_db()
        return run

    def broken(self, run: Run) -> set[str]:
        """The proofs of a reading that do not hold."""
        with self.acting():
            return set(SnapshotProof.objects.filter(snapshot__run=run, holds=False).values_list("word", flat=True))

    def ended(self) -> list[str]:
        """Who has ended here."""
        with self.acting():
            return sorted(Account.objects.filter(state="deprovisioned").values_list("user_name", flat=True))

    def plan(self) -> Plan:
        """The only plan that waits."""
        with self.acting():
            return Plan.objects.get(state="tripped")

    def nothing_followed(self) -> bool:
        """Nobody has ended, and nothing is even wanted."""
        with self.acting():
            return self.ended() == [] and not Plan.objects.exists()


@pytest.fixture
def company(tenant: Tenant) -> Iterator[Company]:
    """Acme, whose directory does what it is told."""
    with serving() as directory:
        yield Company(tenant, directory)


def listing(change: Callable[[list[Any]], list[Any]]) -> Callable[[Any, dict[str, Any]], Any]:
    """An answer whose pages of accounts are changed; everything else is as it is."""

    def bend(asked: Any, document: dict[str, Any]) -> Any:
        is_page = asked.path.endswith("/Users") and "startIndex" in asked.query and "filter" not in asked.query
        if not is_page:
            return document
        kept = change(document["Resources"])
        return document | {"Resources": kept, "itemsPerPage": len(kept)}

    return bend


def of_all(*names: str) -> Callable[[Any, dict[str, Any]], Any]:
    """A listing that knows only these, says so in its total, and answers 200."""

    def bend(asked: Any, document: dict[str, Any]) -> Any:
        if not (asked.path.endswith("/Users") and "startIndex" in asked.query and "filter" not in asked.query):
            return document
        start = asked.start - 1
        every = [{"schemas": document["schemas"], "id": f"id-{n}", "userName": n, "active": True} for n in names]
        page = every[start : start + 10]
        return document | {"Resources": page, "itemsPerPage": len(page), "totalResults": len(names)}

    return bend


def test_an_empty_listing_with_200_is_stopped_by_the_canary_and_the_shrink(company: Company) -> None:
    company.directory.bend = of_all()
    run = company.read()
    assert (run.state, company.broken(run)) == ("incomplete", {"canary", "shrink"})
    assert company.nothing_followed()


def test_an_empty_listing_is_stopped_even_where_any_shrink_is_believed(company: Company) -> None:
    company.believed_less(100)
    company.directory.bend = of_all()
    run = company.read()
    assert company.broken(run) == {"canary", "shrink"}
    assert company.nothing_followed()


def test_half_a_listing_is_stopped_by_the_shrink_though_every_page_agrees(company: Company) -> None:
    for name in PEOPLE[15:]:
        company.directory.delete(company.ids[name])
    run = company.read()
    assert (run.state, company.broken(run)) == ("incomplete", {"shrink"})
    assert company.nothing_followed()


def test_half_a_listing_where_any_shrink_is_believed_is_stopped_by_asking_for_the_missing(company: Company) -> None:
    company.believed_less(100)
    with company.acting():
        Connection.objects.update(page_size=100)
    company.directory.bend = _without(set(PEOPLE[15:]))
    run = company.read()
    assert (run.state, company.broken(run)) == ("incomplete", {"absent"})
    assert company.nothing_followed()
    with company.acting():
        assert Finding.objects.get(kind="not_measured", state="open").title == (
            "Okta: its listing leaves out 14 accounts that are there: p15, p16, p17, p18, p19 and 9 more"
        )


def _without(names: set[str]) -> Callable[[Any, dict[str, Any]], Any]:
    """A listing in one go that leaves these out, and says in its total that they are not there."""

    def bend(asked: Any, document: dict[str, Any]) -> Any:
        if not (asked.path.endswith("/Users") and "startIndex" in asked.query and "filter" not in asked.query):
            return document
        kept = [one for one in document["Resources"] if one["userName"] not in names]
        return document | {"Resources": kept, "itemsPerPage": len(kept), "totalResults": len(kept)}

    return bend


def test_a_token_that_lost_a_scope_is_stopped_since_what_it_can_not_ask_for_is_not_absent(company: Company) -> None:
    hidden = {company.ids[name] for name in PEOPLE[:2]}

    def bend(asked: Any, document: dict[str, Any]) -> Any:
        if asked.path.rpartition("/")[2] in hidden:
            return 403, {}
        return _without(set(PEOPLE[:2]))(asked, document)

    company.directory.bend = bend
    with company.acting():
        Connection.objects.update(page_size=100)
    run = company.read()
    with company.acting():
        assert (run.state, run.counts["could_not_be_asked"], run.counts["wanted"]) == ("closed", 2, 0)
        assert Finding.objects.filter(kind="missing_there", state="open").count() == 2
    assert company.nothing_followed()


def test_a_page_that_is_repeated_is_stopped_since_an_id_came_twice(company: Company) -> None:
    first: list[Any] = []

    def again(page: list[Any]) -> list[Any]:
        first[:] = first or page
        return first

    company.directory.bend = listing(again)
    run = company.read()
    assert run.state == "incomplete"
    assert "unique" in company.broken(run)
    assert company.nothing_followed()


def test_a_page_that_is_lost_while_reading_is_stopped_since_the_total_moved(company: Company) -> None:
    told = []

    def leave(asked: Any) -> None:
        # Between the first page and the second somebody is deleted: the rest moves up by one, and one is never shown.
        if asked.path.endswith("/Users") and asked.start == 11 and not told:
            told.append(1)
            company.directory.delete(company.ids[PEOPLE[0]])

    company.directory.before = leave
    run = company.read()
    assert (run.state, told, "total" in company.broken(run)) == ("incomplete", [1], True)
    assert company.nothing_followed()


def test_a_directory_restored_from_a_backup_brings_nobody_back_and_ends_nobody_by_itself(company: Company) -> None:
    company.believed_less(100)
    for name in PEOPLE[:3]:
        company.directory.change(company.ids[name], active=False)
    company.read()
    assert company.ended() == PEOPLE[:3]
    with company.acting():
        for n in range(25):
            known(company.system, f"new{n:02}", at=AT, remote_id=f"lost-{n}")
    # The backup is older: the three are on again, and the twenty-five who came since are not there.
    for name in PEOPLE[:3]:
        company.directory.change(company.ids[name], active=True)
    run = company.read(AT + HOUR)
    assert (run.state, run.counts["unasked"], company.ended()) == ("closed", 25, PEOPLE[:3])
    plan = company.plan()
    assert plan.brake["because"][0] == "25 accounts are missing there, too many to ask for one by one"
    with company.acting():
        assert Finding.objects.filter(kind="still_active", state="open").count() == 3


def test_two_masters_that_fight_move_an_account_once_and_the_way_back_waits_for_people(company: Company) -> None:
    with serving() as other:
        other.user("canary")
        other.user("p00", active=False)
        with company.acting():
            second = a_system(company.tenant, at=BEFORE, name="Entra", directory=other, shrink_percent=100)
            make.a_shadow(second, Account.objects.get(user_name="p00"), at=BEFORE)
        for turn in range(3):
            company.read(AT + turn * HOUR, system=second)
            company.read(AT + turn * HOUR + 20 * MINUTE)
            # What Okta shows is no word of its own; and a word of its own asks, each time the same question.
            with company.acting():
                wishes.ask_return(
                    account=Account.objects.get(user_name="p00"), system=company.system, requesters=[],
                    asked_by="Okta", exchange_id=None, at=AT + turn * HOUR + 30 * MINUTE,
                )  # fmt: skip
    assert company.ended() == ["p00"]
    with company.acting():
        assert Account.objects.get(user_name="p00").epoch == 1
        wish = Plan.objects.get(kind="reactivation")
        assert (wish.state, wish.repeats) == ("waiting", 2)
        assert Finding.objects.get(kind="still_active", state="open").title.startswith(
            "p00: ended here, still active at Okta"
        )


def test_a_reader_whose_clock_is_behind_judges_nothing_that_was_said_since(company: Company) -> None:
    company.directory.change(company.ids["p00"], active=False)
    company.directory.delete(company.ids["p01"])
    with company.acting():
        # Both were said to be there after the clock of the reader, which is two hours late.
        Shadow.objects.filter(name__in=["p00", "p01"]).update(changed_at=AT - HOUR)
    run = company.read(AT - 2 * HOUR)
    assert (run.state, run.counts["wanted"]) == ("closed", 0)
    assert company.nothing_followed()
    run = company.read(AT)
    assert (run.counts["wanted"], company.ended()) == (2, ["p00", "p01"])


def test_a_target_that_answers_200_and_does_nothing_is_found_by_reading_back(company: Company) -> None:
    with company.acting():
        gone = Account.objects.get(user_name="p00")
        lifecycle.deprovision(accounts=[gone.pk], reason="left", at=AT)
    # Whoever was asked to end it there said 200; it is still on.
    readback.read_due(tenant=company.tenant.pk, clock=lambda: AT + 6 * MINUTE, go_on=lambda: True)
    with company.acting():
        found = Finding.objects.get(kind="still_active", state="open")
        assert found.title == "p00: ended here, still active at Okta"
        assert found.due_at == AT + dt.timedelta(days=1)
        gone.refresh_from_db()
        assert gone.read_due_at is not None


def test_a_renamed_key_that_makes_everybody_new_is_stopped_by_the_brake(company: Company) -> None:
    for name in PEOPLE:
        company.directory.delete(company.ids[name])
        company.directory.user(name)
    run = company.read()
    assert (run.state, run.counts["missing_there"], run.counts["unknown_here"]) == ("closed", 29, 29)
    assert company.ended() == []
    assert company.plan().brake["because"][0] == "29 accounts are missing there, too many to ask for one by one"


def test_a_renamed_key_of_a_few_is_stopped_since_they_are_there_under_another_id(company: Company) -> None:
    for name in PEOPLE[:3]:
        company.directory.delete(company.ids[name])
        company.directory.user(name)
    run = company.read()
    assert (run.state, run.counts["asked"], run.counts["proved_absent"]) == ("closed", 3, 0)
    assert company.nothing_followed()


MANY = 2_000


def test_thousands_that_vanish_trip_the_brake_and_one_page_says_all_that_is_to_be_known(
    company: Company, client: Client
) -> None:
    company.believed_less(100)
    with company.acting():
        in_the_hundreds = Run.objects.get()
        in_the_hundreds.counts = {"users": MANY + 30, "wanted": 0}
        in_the_hundreds.save()
        seed(company.system, MANY)
    run = company.read(AT)
    assert (run.state, run.counts["missing"], run.counts["wanted"], company.ended()) == ("closed", MANY, MANY, [])
    plan = company.plan()
    with company.acting():
        approvals.open_for_plans(at=plan.asked_at)
    enter(client, a_user("l.chen", RoleName.SECURITY, tenant=company.tenant))
    shown = text_of(client.get(f"/t/{company.tenant.slug}/admin/plans/{plan.pk}/"))
    for sentence in (
        # What would happen, and to whom.
        "Okta: 2000 reductions wanted",
        "The brake stopped them. Nothing has been written.",
        "end the account: not there any more",
        "v0001",
        # Why we doubt it.
        "2000 accounts are missing there, too many to ask for one by one",
        "2000 changes are more than 20",
        "98.5 % of 2030 is more than 2 %",
        "not proven absence asked about",
        "2000 are missing, too many to ask for one by one: people look at them",
        # What to check.
        "What to check Look for v0001, v0002, v0003 at Okta yourself: are they gone there?",
        "Compare how many accounts Okta says it has with the 30 of the reading.",
        "Take a new reading: one that shows otherwise takes this plan back.",
    ):
        assert sentence in shown


def seed(system: System, many: int) -> None:
    """So many people whom the system knew, and does not show any more; set against set."""
    accounts = [
        Account(
            tenant_id=system.tenant_id, kind="person", state="active", was_active=True, state_since=BEFORE,
            user_name=f"v{n:04}", user_name_key=f"v{n:04}", made_at=BEFORE,
        ) for n in range(1, many + 1)
    ]  # fmt: skip
    Account.objects.bulk_create(accounts, batch_size=5_000)
    Shadow.objects.bulk_create(
        (
            Shadow(
                tenant_id=system.tenant_id, system=system, resource_type="User", account=account,
                name=account.user_name, name_key=account.user_name, external_id=f"gone-{account.user_name}",
                made_at=BEFORE, changed_at=BEFORE,
            ) for account in accounts
        ), batch_size=5_000,
    )  # fmt: skip
