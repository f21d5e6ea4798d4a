"""The page of a plan: what people read before they answer, who may not, and what a return is given."""

from __future__ import annotations

import csv
import datetime as dt
import io
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from accounts import lifecycle, memberships
from accounts.models import Account, RoleName, Tenant, User
from accounts.models.account import AccountState
from accounts.models.group import Group, Membership, Origin
from audit.keys import uuid7
from audit.scope import scope
from governance import approvals
from governance.admin import plan_facts
from governance.models.approval import Answer, Approval
from provisioning import plans
from provisioning.models.plan import ChangeAct, Plan, PlanKind, PlannedChange
from provisioning.models.run import Run, RunState
from tests.conftest import a_cause
from tests.factories.governance import a_connection, a_person, a_service, a_system, asked_back, now, tripped
from tests.governance.shell import a_user, enter
from tests.governance.world import text_of

if TYPE_CHECKING:
    from django.test import Client

    from accounts.models import System

pytestmark = [pytest.mark.face, pytest.mark.django_db]

DAY = dt.timedelta(days=1)
STOPPED_QUERIES = 26


@dataclass
class World:
    """An ended account that Okta asks back, its question, and who answers."""

    tenant: Tenant
    system: System
    account: Account
    plan: Plan
    question: Approval
    chen: User
    ito: User

    @property
    def page(self) -> str:
        """The page of the plan."""
        return f"/t/{self.tenant.slug}/admin/plans/{self.plan.pk}/"

    @property
    def yes(self) -> str:
        """The page on which one says yes."""
        return f"/t/{self.tenant.slug}/admin/approvals/{self.question.pk}/yes/"


def make_world(tenant: Tenant, *, person: bool = False) -> World:
    at = now()
    chen, ito = (a_user(name, RoleName.SECURITY, tenant=tenant) for name in ("l.chen", "m.ito"))
    with scope(tenant=tenant.pk, cause=a_cause()):
        system = a_system(tenant, at=at)
        owner = a_person(tenant, "a.ruiz", at=at)
        account = a_person(tenant, "b.bo", at=at) if person else a_service(tenant, "svc-deploy", at=at, owner=owner)
        for name, is_privileged in (("repo-admin", True), ("readers", False)):
            group = Group.objects.create(
                tenant=tenant, display_name=name, display_name_key=name, is_privileged=is_privileged, made_at=at - DAY
            )
            Membership.objects.create(tenant=tenant, group=group, account=account, origin=Origin.LOCAL, since=at - DAY)
        plan = asked_back(account, system, at=at)
        approvals.open_for_plans(at=at)
        question = Approval.objects.get()
    return World(tenant, system, account, plan, question, chen, ito)


@pytest.fixture
def world(tenant: Tenant) -> World:
    return make_world(tenant)


def days_on(days: int) -> str:
    return (now() + days * DAY).date().isoformat()


def test_the_question_says_who_asked_what_ended_it_and_what_comes_back(client: Client, world: World) -> None:
    shown = text_of(enter(client, world.chen).get(world.page))
    for sentence in (
        "silence means no. Yes 0 of 2.",
        "System Okta",
        "Account svc-deploy service account",
        "Endings so far 1",
        "Since then Nothing that we know",
        "Its name nobody else has it",
        "Last use unknown: nothing tells us",
        "nothing more: a.ruiz answers for it",
        "readers repo-admin privileged",
        "Stays gone sessions from before its end",
        "Can't answer, since they asked or are concerned: a.ruiz.",
    ):
        assert sentence in shown
    assert "asked by identity" not in shown
    assert "hash" not in shown.lower()


def test_before_the_question_is_put_the_facts_are_those_of_now(client: Client, tenant: Tenant) -> None:
    at = now()
    with scope(tenant=tenant.pk, cause=a_cause()):
        plan = asked_back(a_service(tenant, "svc-etl", at=at), a_system(tenant, at=at), at=at)
    shown = text_of(
        enter(client, a_user("l.chen", RoleName.SECURITY, tenant=tenant)).get(f"/t/acme/admin/plans/{plan.pk}/")
    )
    assert "The question is put to people within a minute." in shown
    assert "an owner who accepts, before it is active" in shown


def test_what_a_return_needs_and_loses_is_said(client: Client, world: World) -> None:
    with scope(tenant=world.tenant.pk, cause=a_cause()):
        group = Group.objects.get(display_name="readers")
        memberships.end_group(group=group, at=now())
        lifecycle.deprovision(accounts=[Account.objects.get(user_name="a.ruiz").pk], reason="left", at=now())
        facts = plan_facts.facts.of_return(world.plan, Account.objects.get(pk=world.account.pk))
        world.question.facts = facts
        back = plan_facts.of_return(Plan.objects.get(pk=world.plan.pk), world.question)
    assert back["since"] == ["its owner a.ruiz is gone", "the group readers has ended"]
    assert [one["group"] for one in back["comes_back"]] == ["repo-admin"]
    assert back["stays_gone"] == ["readers"]


def test_a_service_account_comes_back_with_the_nearer_end_of_two(client: Client, world: World) -> None:
    form = text_of(enter(client, world.chen).get(world.yes))
    assert "It is in these groups again: readers, repo-admin." in form
    assert "2 people must say yes; you answer once." in form
    assert client.post(world.yes, {"reason": "restore drill", "expires": days_on(20)}).status_code == 302
    page = client.get(world.page).content.decode()
    assert re.search(r"<button[^>]* disabled[^>]*>Waiting for a second person", page)
    enter(client, world.ito)
    assert "Approve as the second person" in text_of(client.get(world.page))
    assert client.post(world.yes, {"reason": "seen with chen", "expires": days_on(9)}).status_code == 302
    with scope(tenant=world.tenant.pk):
        account = Account.objects.get(pk=world.account.pk)
        ends = {a.expires_at for a in Answer.objects.all()}
    assert account.state == AccountState.ACTIVE
    assert account.expires_at == min(end for end in ends if end is not None)
    assert account.expires_at is not None
    assert 9 * DAY < account.expires_at - now() < 10 * DAY + dt.timedelta(hours=1)


@pytest.mark.parametrize(
    ("expires", "problem"),
    [
        ("", "This field is required."),
        (-2, "Choose a day that lies ahead."),
        (900, "Choose an earlier day"),
        ("soon", "Enter a valid date."),
    ],
)
def test_a_service_account_needs_an_end_that_is_ahead_and_not_too_far(
    client: Client, world: World, expires: str | int, problem: str
) -> None:
    typed = days_on(expires) if isinstance(expires, int) else expires
    answer = enter(client, world.chen).post(world.yes, {"reason": "restore drill", "expires": typed})
    assert answer.status_code == 422
    assert problem in text_of(answer)
    with scope(tenant=world.tenant.pk):
        assert not Answer.objects.exists()


def test_the_last_day_that_is_allowed_is_the_longest_end(client: Client, world: World) -> None:
    page = enter(client, world.chen).get(world.yes).content.decode()
    (last,) = re.findall(r"At the latest (\d{4}-\d\d-\d\d)\.", page)
    (usual,) = re.findall(r'name="expires" value="([^"]+)"', page)
    assert usual == last
    assert client.post(world.yes, {"reason": "restore drill", "expires": last}).status_code == 302


def test_a_person_comes_back_without_an_end_unless_one_is_set(client: Client, tenant: Tenant) -> None:
    world = make_world(tenant, person=True)
    assert "Empty: a person has no end." in text_of(enter(client, world.chen).get(world.yes))
    assert client.post(world.yes, {"reason": "back from leave", "expires": ""}).status_code == 302
    with scope(tenant=tenant.pk):
        account = Account.objects.get(pk=world.account.pk)
    assert (account.state, account.expires_at) == ("active", None)


# -- a plan that the brake stopped


@dataclass
class Stopped:
    """A reading that wanted three endings and one removal, stopped."""

    tenant: Tenant
    plan: Plan

    @property
    def page(self) -> str:
        """The page of the plan."""
        return f"/t/{self.tenant.slug}/admin/plans/{self.plan.pk}/"


@pytest.fixture
def stopped(tenant: Tenant) -> Stopped:
    at = now()
    with scope(tenant=tenant.pk, cause=a_cause()):
        system = a_system(tenant, "GitHub", at=at)
        a_connection(system, read_at=at)
        for wanted in (0, 6, 2):
            Run.objects.create(
                tenant=tenant, system=system, state=RunState.CLOSED, step="closed", started_by="sweep",
                started_at=at - DAY, ended_at=at - DAY, counts={"wanted": wanted},
            )  # fmt: skip
        people = [a_person(tenant, name, at=at) for name in ("=cmd|' /C calc'!A0", "bo", "cy")]
        plan = tripped(system, people, at=at)
        Plan.objects.filter(pk=plan.pk).update(brake={
            "count": 3, "of": 12, "percent": 25.0, "just_before": 1, "privileged": 2, "owners_losing_all": 1,
            "limits": {"changes": 20, "percent": 2.0, "least": 5}, "because": ["25 % of 12 is more than 2 %"],
        })  # fmt: skip
        approvals.open_for_plans(at=at)
    return Stopped(tenant, plan)


def test_the_page_of_a_stopped_plan_says_why_and_who_shrank(client: Client, stopped: Stopped) -> None:
    shown = text_of(enter(client, a_user("l.chen", RoleName.SECURITY, tenant=stopped.tenant)).get(stopped.page))
    for sentence in (
        "GitHub: 3 reductions wanted",
        "The brake stopped them. Nothing has been written. Yes 0 of 2.",
        "Why the brake stopped it 25 % of 12 is more than 2 %",
        "Wanted 3 of 12, 25.0 % with 1 just before",
        "Limits 20 changes, or 2.0 % where it is more than 5",
        "Privileged 2",
        "Owners who lose all 1",
        "Who shrank 3 ",
        f"Frozen as {stopped.plan.digest}",
        "all 3 as CSV",
    ):
        assert sentence in shown


def test_what_was_read_before_says_what_is_usual(stopped: Stopped) -> None:
    with scope(tenant=stopped.tenant.pk, cause=a_cause()):
        *proofs, usual = plan_facts.smell(stopped.plan)
        assert [(p.shape, p.name) for p in proofs][:2] == [("?", "pages drained"), ("?", "total agrees")]
        assert (usual.shape, usual.name, usual.detail) == (
            "=",
            "the 3 readings before it",
            "wanted 0 to 6 changes each",
        )
        before = Run.objects.exclude(pk=stopped.plan.run_id)
        before.update(counts={"wanted": 4})
        assert plan_facts.smell(stopped.plan)[-1].detail == "wanted 4 changes each"
        before.update(state=RunState.FAILED)
        assert plan_facts.smell(stopped.plan)[-1].shape == "?"


def test_a_part_of_the_changes_is_shown_by_itself(client: Client, stopped: Stopped) -> None:
    with scope(tenant=stopped.tenant.pk):
        first = stopped.plan.changes.order_by("position").first()
        (part,) = plan_facts.parts(stopped.plan, chosen=(ChangeAct.DEPROVISION, None))
    assert first is not None
    assert (part.label, part.count, part.is_chosen) == (str(ChangeAct.DEPROVISION.label), 3, True)
    enter(client, a_user("audra", RoleName.AUDITOR, tenant=stopped.tenant))
    assert first.label in text_of(client.get(f"{stopped.page}?act=deprovision"))
    none = text_of(client.get(f"{stopped.page}?act=remove_member"))
    assert "No change is in this part." in none
    assert "A part of them. Show all" in none
    assert first.label in text_of(client.get(f"{stopped.page}?act=nonsense&result=planned"))


def test_every_change_is_in_a_file_that_no_spreadsheet_runs(client: Client, stopped: Stopped) -> None:
    answer: Any = enter(client, a_user("audra", RoleName.AUDITOR, tenant=stopped.tenant)).get(
        f"{stopped.page}changes.csv"
    )
    assert answer.headers["Content-Type"] == "text/csv"
    assert answer.headers["Content-Disposition"] == f'attachment; filename="plan-{stopped.plan.pk}.csv"'
    rows = list(csv.DictReader(io.StringIO(b"".join(answer.streaming_content).decode())))
    assert [(r["position"], r["act"], r["what"], r["privileged"], r["result"]) for r in rows] == [
        ("1", "deprovision", "'=cmd|' /C calc'!A0", "no", "planned"),
        ("2", "deprovision", "bo", "no", "planned"),
        ("3", "deprovision", "cy", "no", "planned"),
    ]


@pytest.mark.parametrize("count", [1, 3])
def test_each_change_says_why_no_event_had_asked_for_it_at_the_same_cost(
    client: Client, stopped: Stopped, count: int, django_assert_num_queries: Any
) -> None:
    exchange = uuid7()
    with scope(tenant=stopped.tenant.pk, cause=a_cause()):
        changes = list(stopped.plan.changes.order_by("position")[:count])
        stopped.plan.changes.filter(pk__in=[one.pk for one in changes]).update(
            attribution="refused", attributed_by={"kind": "exchange", "id": str(exchange)}
        )
    enter(client, a_user("audra", RoleName.AUDITOR, tenant=stopped.tenant))
    shown = client.get(stopped.page)
    assert f"Why no event had said so {count} said, and refused here" in text_of(shown)
    assert shown.content.decode().count(f'/admin/ledger/{exchange}/">said, and refused here</a>') == count
    with django_assert_num_queries(STOPPED_QUERIES):
        client.get(stopped.page)
    answer: Any = client.get(f"{stopped.page}changes.csv")
    rows = list(csv.DictReader(io.StringIO(b"".join(answer.streaming_content).decode())))
    assert [row["attribution"] for row in rows] == ["refused"] * count + [""] * (3 - count)


def test_a_plan_without_a_word_about_events_has_no_column_for_it(client: Client, stopped: Stopped) -> None:
    shown = text_of(enter(client, a_user("audra", RoleName.AUDITOR, tenant=stopped.tenant)).get(stopped.page))
    assert "Why no event had said so" not in shown
    assert "Its event" not in shown


def test_somebody_of_another_tenant_gets_no_file(client: Client, stopped: Stopped, make_tenant: Any) -> None:
    other = make_tenant("globex")
    enter(client, a_user("k.osei", RoleName.AUDITOR, tenant=other))
    assert client.get(f"{stopped.page}changes.csv").status_code == 404
    assert client.get(f"{stopped.page}changes.csv".replace("/acme/", "/globex/")).status_code == 404


def test_a_plan_that_passed_says_so(client: Client, tenant: Tenant) -> None:
    at = now()
    with scope(tenant=tenant.pk, cause=a_cause()):
        system = a_system(tenant, at=at)
        wanted = [plans.Wanted(act=ChangeAct.DEPROVISION, label="bo", account=a_person(tenant, "bo", at=at).pk)]
        plan = plans.freeze(kind=PlanKind.READING, system=system, wanted=wanted, at=at, asked_by="reading of Okta")
        plan.brake = {
            "count": 1,
            "of": 90,
            "percent": 1.1,
            "limits": {"changes": 20, "percent": 2.0, "least": 5},
            "because": [],
        }
        plan.save()
        PlannedChange.objects.filter(plan=plan).update(result="done")
    shown = text_of(
        enter(client, a_user("audra", RoleName.AUDITOR, tenant=tenant)).get(f"/t/acme/admin/plans/{plan.pk}/")
    )
    assert "Why the brake let it pass below every limit" in shown
    assert "the one as CSV" in shown
    assert "all planned done already so void: something newer was decided failed rejected" in shown
    page = f"/t/acme/admin/plans/{plan.pk}/?result="
    assert "bo" in text_of(client.get(f"{page}done")).split()
    assert "No change is in this part." in text_of(client.get(f"{page}failed"))
