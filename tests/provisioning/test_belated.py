"""What was thought lost for a reading and comes after all was late; the law of the channel tells it with a directory."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

import pytest
from django.db import connection as database
from django.test.utils import CaptureQueriesContext

from accounts import lifecycle
from accounts.findings import Wrong, open_or_raise
from accounts.models import Finding, Membership
from accounts.models.finding import Attribution, FindingKind, Severity
from audit.scope import scope
from provisioning import belated, differences, plans
from provisioning.models import PlannedChange, Run, Shadow, Snapshot
from provisioning.models.plan import ChangeAct, PlanKind
from provisioning.plans import Wanted
from tests.conftest import a_cause
from tests.factories.scim import connect

if TYPE_CHECKING:
    from accounts.models import Tenant
    from tests.factories.scim import Idp

pytestmark = pytest.mark.django_db

OFF = {"op": "replace", "path": "active", "value": False}
LOST = Attribution.LOST_EVENT


@pytest.fixture
def idp(tenant: Tenant) -> Idp:
    return connect(tenant)


def now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


def repaired(idp: Idp, ids: list[str], *, ago: dt.timedelta = dt.timedelta()) -> None:
    """A reading wanted these ended, since it had heard nothing of it, and had its way; each with its finding."""
    at = now() - ago
    with scope(tenant=idp.tenant.pk, cause=a_cause()):
        accounts = [idp.shadow(pk).account for pk in ids]
        wanted = [
            Wanted(act=ChangeAct.DEPROVISION, label=one.user_name, account=one.pk, attribution=LOST)
            for one in accounts if one
        ]  # fmt: skip
        plans.freeze(kind=PlanKind.READING, system=idp.system, wanted=wanted, at=at, asked_by="reading of Entra")
        wrongs = [
            Wrong(
                kind=FindingKind.STATUS_DIFFERS, key=differences.status_key(idp.system.pk, one.pk), title="differs",
                severity=Severity.HIGH, system=idp.system.pk, account=one.pk,
            )
            for one in accounts if one
        ]  # fmt: skip
        open_or_raise(wrongs, at=at)
        Finding.objects.update(attribution=LOST)
        lifecycle.deprovision(accounts=[one.pk for one in accounts if one], reason="a reading", at=at)
        # As carrying out a plan does: that is what its system wants.
        Shadow.objects.filter(pk__in=ids).update(wants_active=False)


def caught_up(idp: Idp) -> int:
    """What the next complete reading does."""
    at = now()
    with scope(tenant=idp.tenant.pk, cause=a_cause()):
        run = Run.objects.create(
            tenant=idp.tenant, system=idp.system, state="closed", started_by="x", started_at=at, ended_at=at
        )
        reading = Snapshot.objects.create(
            tenant=idp.tenant, run=run, system=idp.system, state="complete", started_at=at
        )
        return belated.catch_up(snapshot=reading, at=at)


def words(idp: Idp) -> list[tuple[str, str]]:
    """Of each repair the word, and the exchange that it names."""
    with scope(tenant=idp.tenant.pk):
        return [
            (one.attribution, one.attributed_by.get("id", "")) for one in PlannedChange.objects.order_by("position")
        ]


@pytest.mark.parametrize("count", [1, 3])
def test_an_event_that_comes_after_the_repair_was_late_and_is_named(idp: Idp, count: int) -> None:
    ids = [idp.user(f"u{n}") for n in range(count)]
    repaired(idp, ids)
    assert caught_up(idp) == 0
    assert words(idp) == [(LOST, "")] * count
    late = []
    for pk in ids:
        assert idp.patch(f"/Users/{pk}", OFF).status == 200
        late.append(str(idp.last().pk))
    # A finding and its repair are one difference.
    assert caught_up(idp) == count
    assert words(idp) == [(Attribution.LATE_EVENT, pk) for pk in late]
    with scope(tenant=idp.tenant.pk):
        found = {(one.attribution, one.attributed_by["id"]) for one in Finding.objects.all()}
    assert found == {(Attribution.LATE_EVENT, pk) for pk in late}
    # Said once.
    assert caught_up(idp) == 0


def test_the_end_of_a_resource_is_a_late_word_about_its_account_too(idp: Idp) -> None:
    user = idp.user("ann")
    repaired(idp, [user])
    assert idp.delete(f"/Users/{user}").status == 204
    caught_up(idp)
    assert words(idp) == [(Attribution.LATE_EVENT, str(idp.last().pk))]


def test_a_word_about_something_else_was_not_the_one_that_was_missed(idp: Idp) -> None:
    user = idp.user("ann")
    repaired(idp, [user])
    idp.patch(f"/Users/{user}", {"op": "replace", "path": "title", "value": "Countess"})
    assert caught_up(idp) == 0
    assert words(idp) == [(LOST, "")]


def test_what_comes_more_than_a_week_later_is_a_new_event(idp: Idp) -> None:
    user = idp.user("ann")
    repaired(idp, [user], ago=belated.ON_ITS_WAY + dt.timedelta(minutes=1))
    idp.patch(f"/Users/{user}", OFF)
    caught_up(idp)
    assert words(idp) == [(LOST, "")]


def test_a_member_who_was_taken_out_and_is_asked_out_after_all(idp: Idp) -> None:
    user = idp.user("ann")
    group = idp.group("web", user)
    with scope(tenant=idp.tenant.pk, cause=a_cause()):
        member = Membership.objects.get()
        wanted = Wanted(
            act=ChangeAct.REMOVE_MEMBER, label="ann from web", account=member.account_id, group=member.group_id,
            member_ref=member.origin_ref, attribution=LOST,
        )  # fmt: skip
        plans.freeze(kind=PlanKind.READING, system=idp.system, wanted=[wanted], at=now(), asked_by="reading of Entra")
        Membership.objects.filter(pk=member.pk).update(ended_at=now())
    assert idp.patch(f"/Groups/{group}", {"op": "remove", "path": f'members[value eq "{user}"]'}).status < 300
    assert caught_up(idp) == 1
    assert words(idp) == [(Attribution.LATE_EVENT, str(idp.last().pk))]


def test_three_cost_the_queries_of_one(tenant: Tenant) -> None:
    counted = []
    for name, count in (("One", 1), ("Three", 3)):
        idp = connect(tenant, name)
        ids = [idp.user(f"{name.lower()}{n}") for n in range(count)]
        repaired(idp, ids)
        for pk in ids:
            idp.patch(f"/Users/{pk}", OFF)
        with CaptureQueriesContext(database) as asked:
            assert caught_up(idp) == count
        counted.append(len(asked))
    assert counted[0] == counted[1]
