"""The whole story of one service account, from the first request to the evidence.

The directory speaks over HTTP on both sides: it sends to our endpoint, and is read back by our own client.
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

import pytest

from accounts import ownership
from accounts.models import Account, AccountKind, Finding, Ownership, RoleName
from accounts.rules import Refused
from audit.journal import timeline
from audit.models import Cause, CauseKind, history_of
from audit.scope import scope
from governance import approvals, campaigns, reviews, settling
from governance.lines import Query
from governance.models.approval import Approval
from governance.models.campaign import Campaign, Review, Silence
from provisioning import execution, readback, reconciliation, systems
from provisioning.models.plan import Plan
from provisioning.scim.metadata.catalogue import NHI_URN
from tests.conftest import a_cause
from tests.factories import governance as make
from tests.factories.people import a_login
from tests.factories.systems import Place, a_place, read
from tests.fakes.directories import serving

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager

    from accounts.models import Tenant, User
    from tests.factories.scim import Reply

pytestmark = pytest.mark.flow
BOT = "deploy-bot"
MINUTE = dt.timedelta(minutes=1)


class Company:
    """One tenant with a directory, and the people of the story."""

    def __init__(self, tenant: Tenant, place: Place) -> None:
        self.tenant, self.place, self.idp = tenant, place, place.idp
        self.bot_id = ""
        with self.acting("setup"):
            now = make.now()
            staff = {
                "sam": [RoleName.SECURITY], "sue": [RoleName.SECURITY], "audrey": [RoleName.AUDITOR],
                "root": [RoleName.SECURITY, RoleName.ADMINISTRATOR],
            }  # fmt: skip
            self.users = {name: make.staff(tenant, name, *roles, at=now) for name, roles in staff.items()}
            systems.add_administrator(system=self.idp.system, identity=self.users["root"].identity_id, at=now)

    def acting(self, actor: str, kind: CauseKind = CauseKind.PAGE) -> AbstractContextManager[Any]:
        """In the tenant, as somebody."""
        return scope(tenant=self.tenant.pk, cause=a_cause(actor=actor, kind=kind, reason="the story"))

    def reading(self) -> AbstractContextManager[Any]:
        """In the tenant, only looking."""
        return scope(tenant=self.tenant.pk)

    def bot(self) -> Account:
        """The service account as it is."""
        with self.reading():
            return Account.objects.get(user_name=BOT)

    def seen(self) -> tuple[bool, dict[str, Any] | None]:
        """What the directory is told of `active`, and of what waits."""
        answer = self.idp.get(f"/Users/{self.bot_id}")
        return answer["active"], answer[NHI_URN].get("pending")

    def findings(self) -> set[str]:
        """The kinds of findings about the account that are open."""
        with self.reading():
            return set(Finding.objects.filter(account__user_name=BOT, state="open").values_list("kind", flat=True))

    def answer(self, name: str, *, is_yes: bool = True) -> Approval:
        """One person's answer to the question that is open."""
        with self.acting(name):
            question = Approval.objects.get(state="open")
            return approvals.answer(
                approval=question, user=self.users[name], is_yes=is_yes, reason="CHG-7", at=make.now()
            )

    def carry_out(self) -> None:
        """What the sweep does with plans that wait for nobody."""
        with self.acting("sweep", CauseKind.TASK):
            for plan in Plan.objects.filter(state="cleared"):
                reconciliation.after_plan(plan=execution.execute(plan_id=plan.pk, at=make.now()), at=make.now())

    def read_back(self, at: dt.datetime) -> int:
        """What the sweep does about endings that are due to be read."""
        return readback.read_due(tenant=self.tenant.pk, clock=lambda: at, go_on=lambda: False)

    def settle(self, at: dt.datetime) -> None:
        """What the sweep does about a campaign."""
        with self.acting("sweep", CauseKind.TASK):
            settling.settle(campaign=Campaign.objects.get(), at=at)

    def line(self) -> Review:
        """The account's line in the campaign."""
        with self.reading():
            return Review.objects.select_related("campaign", "reviewer").get()


@pytest.fixture
def company(tenant: Tenant) -> Iterator[Company]:
    with serving() as directory:
        place = a_place(tenant, "Okta", directory, canary="canary")
        yield Company(tenant, place)


def made_on_both_sides(company: Company, user_name: str, **ours: Any) -> Reply:
    """The directory makes somebody, and tells us."""
    remote = company.place.directory.user(user_name)
    company.place.remote[user_name] = remote
    body = {"schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"], "userName": user_name, "active": True}
    return company.idp.post("/Users", {**body, "externalId": remote, **ours})


def test_a_service_account_from_its_first_request_to_its_evidence(company: Company) -> None:
    grace = it_is_made_and_waits_for_its_owner(company)
    its_owner_accepts(company)
    a_lost_deactivation_is_found_and_carried_out(company)
    the_directory_asks_for_it_back(company)
    only_two_others_bring_it_back(company, grace)
    its_owner_revokes_it_in_a_campaign(company, grace)
    every_step_has_its_cause(company)


def it_is_made_and_waits_for_its_owner(company: Company) -> User:
    made_on_both_sides(company, "canary")
    owner = made_on_both_sides(company, "grace")
    assert owner.status == 201
    with company.acting("setup"):
        account = Account.objects.select_related("tenant", "identity").get(user_name="grace")
        grace = a_login(account, RoleName.OWNER, RoleName.SECURITY, at=make.now())
    company.users["grace"] = grace
    extension = {
        "kind": "service", "purpose": "deploys the shop", "environment": "production",
        "owners": [{"value": owner["id"]}],
    }  # fmt: skip
    answer = made_on_both_sides(company, BOT, **{NHI_URN: extension})
    company.bot_id = answer["id"]
    assert (answer.status, answer["active"]) == (201, False)
    assert answer[NHI_URN]["pending"]["heldBy"] == ["an owner who accepts"]
    assert company.idp.last().outcome == "held"
    assert company.bot().state == "pending"
    assert company.findings() == {"no_owner"}
    return grace


def its_owner_accepts(company: Company) -> None:
    with company.acting("grace"):
        ownership.accept(ownership=Ownership.objects.get(account__user_name=BOT), reason="mine", at=make.now())
    assert company.seen() == (True, None)
    assert company.findings() == set()


def a_lost_deactivation_is_found_and_carried_out(company: Company) -> None:
    company.place.directory.change(company.place.remote[BOT], active=False)
    assert company.seen() == (True, None)
    run = read(company.place)
    assert (run.state, run.counts["wanted"]) == ("closed", 1)
    assert company.findings() == {"status_differs"}
    with company.reading():
        plan = Plan.objects.get()
        assert (plan.kind, plan.state, [c.label for c in plan.changes.all()]) == ("reading", "cleared", [BOT])
    company.carry_out()
    bot = company.bot()
    assert (bot.state, bot.epoch, bot.cutoff_at is not None) == ("deprovisioned", 1, True)
    assert company.seen() == (False, None)
    assert company.findings() == set()
    assert company.read_back(make.now() + 6 * MINUTE) == 1
    assert company.bot().read_due_at is None


def the_directory_asks_for_it_back(company: Company) -> None:
    company.place.directory.change(company.place.remote[BOT], active=True)
    for repeats in range(2):
        answer = company.idp.patch(f"/Users/{company.bot_id}", {"op": "replace", "path": "active", "value": True})
        assert (answer.status, answer["active"]) == (200, False)
        with company.reading():
            plan = Plan.objects.get(kind="reactivation")
        assert (plan.state, plan.repeats) == ("waiting", repeats)
        pending = answer[NHI_URN]["pending"]
        assert (pending["id"], pending["state"], pending["heldBy"]) == (str(plan.pk), "waiting", ["approval"])
        exchange = company.idp.last()
        assert (exchange.outcome, exchange.intent, exchange.plan_id) == ("held", "enable", plan.pk)
    replaced = company.idp.get(f"/Users/{company.bot_id}").body
    again = company.idp.put(f"/Users/{company.bot_id}", {**replaced, "active": True})
    assert (again.status, again["active"], company.bot().state) == (200, False, "deprovisioned")


def only_two_others_bring_it_back(company: Company, grace: User) -> None:
    with company.acting("sweep", CauseKind.TASK):
        assert approvals.open_for_plans(at=make.now()) == 1
        assert approvals.open_for_plans(at=make.now()) == 0
        question = Approval.objects.get()
    assert (question.needs, question.kind) == (2, "reactivation")
    with company.acting("setup"):
        company.users["young"] = make.staff(
            company.tenant, "young", RoleName.SECURITY, at=make.now(), since=dt.timedelta(0)
        )
    for name, rule in {
        "audrey": "needs one of these roles", "root": "Okta asked, and you administer it", "grace": "you answer for",
        "young": "your role is younger than the question",
    }.items():  # fmt: skip
        with pytest.raises(Refused, match=rule):
            company.answer(name)
    assert company.answer("sam").state == "open"
    assert company.bot().state == "deprovisioned"
    with pytest.raises(Refused, match="you have answered"):
        company.answer("sam")
    assert company.answer("sue").state == "approved"
    bot = company.bot()
    assert (bot.state, bot.epoch, bot.permit_id is not None) == ("active", 1, True)
    with company.reading():
        permit = bot.permit
        assert permit is not None
        assert set(permit.answered_by) == {company.users[name].identity_id for name in ("sam", "sue")}
        assert {grace.identity_id, company.users["root"].identity_id} <= set(permit.barred)
        assert permit.used_at is not None
    assert company.seen() == (True, None)
    company.carry_out()
    assert (company.bot().state_since, company.bot().permit_id) == (bot.state_since, bot.permit_id)


def its_owner_revokes_it_in_a_campaign(company: Company, grace: User) -> None:
    sam, now = company.users["sam"], make.now()
    with company.acting("sam"):
        draft = campaigns.draft(
            tenant=company.tenant, user=sam, name="Q4", query=Query(kinds=(AccountKind.SERVICE,)), silence=Silence.SUSPEND,
            deadline=now + dt.timedelta(days=14), at=now,
        )  # fmt: skip
        campaigns.launch(campaign=draft, user=sam, at=now)
    assert company.line().reviewer.user_name == "grace"
    with company.acting("grace"):
        reviews.revoke(review=Review.objects.get(), user=grace, reason="the shop is closed", at=make.now())
    assert (company.bot().state, company.seen()[0]) == ("suspended", False)
    # Still active there: the line stays open, with a finding, until the directory shows it off.
    later = make.now() + 6 * MINUTE
    assert company.read_back(later) == 1
    company.settle(later)
    assert (company.line().state, company.line().campaign.state) == ("revoked", "running")
    assert company.findings() == {"still_active"}
    company.place.directory.change(company.place.remote[BOT], active=False)
    answer = company.idp.patch(f"/Users/{company.bot_id}", {"op": "replace", "path": "active", "value": False})
    assert (answer.status, company.bot().state) == (200, "deprovisioned")
    later += 60 * MINUTE
    assert company.read_back(later) == 1
    company.settle(later)
    assert (company.line().state, company.line().campaign.state) == ("verified_off", "running")
    assert company.findings() == set()
    company.settle(now + dt.timedelta(days=15))
    assert company.line().campaign.state == "closed"


def every_step_has_its_cause(company: Company) -> None:
    bot = company.bot()
    with company.reading():
        rows = list(history_of(Account).objects.filter(id=bot.pk).order_by("history_id"))
        causes = Cause.objects.in_bulk({row.cause_id for row in rows})
        steps: list[tuple[str, str, str]] = []
        for row in rows:
            cause = causes[row.cause_id]
            step = (row.state, str(cause.kind), cause.actor)
            if not steps or steps[-1][0] != step[0]:
                steps.append(step)
        events = list(timeline(kind="account", subject_id=str(bot.pk)).values_list("event", "cause_id"))[::-1]
        said = {str(c.kind) for c in Cause.objects.filter(pk__in={cause for _, cause in events})}
    assert steps == [
        ("pending", "exchange", "Okta"),
        ("active", "page", "grace"),
        ("deprovisioned", "task", "sweep"),
        ("active", "page", "sue"),
        ("suspended", "page", "grace"),
        ("deprovisioned", "exchange", "Okta"),
    ]
    states = {
        "account.made", "account.activated", "account.ended", "account.reactivated", "account.suspended",
        "ownership.offered", "ownership.answered", "plan.asked", "plan.approved", "permit.granted",
    }  # fmt: skip
    assert states <= {event for event, _ in events}
    assert [event for event, _ in events if event.startswith("account.")] == [
        "account.made", "account.activated", "account.ended", "account.reactivated", "account.suspended",
        "account.ended",
    ]  # fmt: skip
    assert said == {"exchange", "page", "task"}
