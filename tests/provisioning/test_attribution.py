"""Each difference gets the word that the ledger and history decide, with the row that decided it."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

import pytest
from django.db import connection as database
from django.test.utils import CaptureQueriesContext

from accounts import lifecycle
from accounts.models import Account, Finding
from accounts.models.hold import HoldKind
from audit.scope import scope
from provisioning import comparison
from provisioning.models import Run, Snapshot, StagedResource
from tests.conftest import a_cause
from tests.factories.scim import connect

if TYPE_CHECKING:
    from accounts.models import Tenant
    from tests.factories.scim import Idp

pytestmark = pytest.mark.django_db
HOUR = dt.timedelta(hours=1)


def words(idp: Idp, shown: dict[str, bool]) -> dict[str, tuple[str, str]]:
    """A complete reading in an hour that shows these users: attribution and kind of evidence, by what it is about."""
    at = dt.datetime.now(dt.UTC) + HOUR
    with scope(tenant=idp.tenant.pk, cause=a_cause()):
        run = Run.objects.create(
            tenant=idp.tenant, system=idp.system, state="closed", started_by="x", started_at=at, ended_at=at
        )
        reading = Snapshot.objects.create(
            tenant=idp.tenant, run=run, system=idp.system, state="complete", started_at=at
        )
        for name, active in shown.items():
            StagedResource.objects.create(
                tenant=idp.tenant, snapshot=reading, resource_type="User", name=name, name_key=name,
                remote_id=f"r-{name}", digest="", active=active, means_active=active, document={},
            )  # fmt: skip
        comparison.compare(snapshot=reading, at=at)
        found = list(Finding.objects.filter(system=idp.system).exclude(attribution="").select_related("account"))
    return {
        one.account.user_name if one.account else one.evidence["name"]: (
            one.attribution, one.attributed_by.get("kind", "")
        )
        for one in found
    }  # fmt: skip


def read_once(idp: Idp) -> None:
    """A complete reading that showed no difference, as of now."""
    now = dt.datetime.now(dt.UTC)
    with scope(tenant=idp.tenant.pk, cause=a_cause()):
        Run.objects.create(
            tenant=idp.tenant, system=idp.system, state="closed", started_by="x", started_at=now, ended_at=now
        )


@pytest.fixture(params=[1, 3])
def names(request: pytest.FixtureRequest) -> list[str]:
    return ["ann", "bob", "eve"][: request.param]


@pytest.fixture
def idp(tenant: Tenant) -> Idp:
    return connect(tenant)


def made(idp: Idp, names: list[str]) -> dict[str, str]:
    return {name: idp.user(name, externalId=f"r-{name}") for name in names}


ACTIVE = {"op": "replace", "path": "active"}


def test_what_was_never_said_is_lost(idp: Idp, names: list[str]) -> None:
    made(idp, names)
    assert words(idp, dict.fromkeys(names, False)) == dict.fromkeys(names, ("lost_event", ""))


def test_what_is_there_no_more_and_was_never_said_is_lost(idp: Idp, names: list[str]) -> None:
    made(idp, names)
    assert words(idp, {}) == dict.fromkeys(names, ("lost_event", ""))


def test_what_was_refused_since_names_its_exchange(idp: Idp, names: list[str]) -> None:
    for pk in made(idp, names).values():
        sent = idp.patch(f"/Users/{pk}", {**ACTIVE, "value": False}, If_Match='W/"another"')
        assert sent.status == 412
    assert words(idp, dict.fromkeys(names, False)) == dict.fromkeys(names, ("refused", "exchange"))


def test_what_is_asked_back_and_waits_for_people_is_held(idp: Idp, names: list[str]) -> None:
    for pk in made(idp, names).values():
        idp.patch(f"/Users/{pk}", {**ACTIVE, "value": False})
        idp.patch(f"/Users/{pk}", {**ACTIVE, "value": True})
    assert words(idp, dict.fromkeys(names, True)) == dict.fromkeys(names, ("held", "exchange"))


def test_an_older_word_that_came_after_a_newer_one_without_effect_is_out_of_turn(idp: Idp, names: list[str]) -> None:
    for pk in made(idp, names).values():
        idp.patch(f"/Users/{pk}", {**ACTIVE, "value": True})
        idp.patch(f"/Users/{pk}", {**ACTIVE, "value": False})
    assert words(idp, dict.fromkeys(names, True)) == dict.fromkeys(names, ("late_event", "exchange"))


def test_what_we_suspended_is_a_change_of_ours_and_names_its_cause(idp: Idp, names: list[str]) -> None:
    made(idp, names)
    with scope(tenant=idp.tenant.pk, cause=a_cause()):
        accounts = list(Account.objects.filter(user_name__in=names).values_list("pk", flat=True))
        lifecycle.suspend(accounts=accounts, kind=HoldKind.MANUAL, reason="x", at=dt.datetime.now(dt.UTC))
    assert words(idp, dict.fromkeys(names, True)) == dict.fromkeys(names, ("local_change", "cause"))


def test_a_system_that_said_gone_and_still_shows_it_contradicts_itself(idp: Idp, names: list[str]) -> None:
    for pk in made(idp, names).values():
        assert idp.delete(f"/Users/{pk}").status == 204
    assert words(idp, dict.fromkeys(names, True)) == dict.fromkeys(names, ("source_fault", "exchange"))


def test_strangers_of_the_first_reading_may_be_older_than_all_that_was_said(idp: Idp, names: list[str]) -> None:
    assert words(idp, dict.fromkeys(names, True)) == dict.fromkeys(names, ("unknown", ""))


def test_strangers_since_a_reading_without_them_were_kept_from_us(idp: Idp, names: list[str]) -> None:
    read_once(idp)
    assert words(idp, dict.fromkeys(names, True)) == dict.fromkeys(names, ("lost_event", ""))


def test_three_cost_the_queries_of_one(tenant: Tenant) -> None:
    counted = []
    for n, name in ((1, "One"), (3, "Three")):
        idp = connect(tenant, name)
        for number in range(n):
            pk = idp.user(f"{name.lower()}{number}", externalId=f"r-{name.lower()}{number}")
            idp.patch(f"/Users/{pk}", {**ACTIVE, "value": False}, If_Match='W/"another"')
        with CaptureQueriesContext(database) as asked:
            words(idp, {f"{name.lower()}{number}": False for number in range(n)})
        counted.append(len([q for q in asked.captured_queries if 'provisioning_stagedresource" (' not in q["sql"]]))
    assert counted[0] == counted[1]
