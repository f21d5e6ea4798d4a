"""Runs on pages: each proof, each step, each count with its list; what was not judged is never zero."""

from __future__ import annotations

import datetime as dt
import re
from html import unescape
from typing import TYPE_CHECKING, Any

import pytest

from accounts.models import RoleName
from audit.scope import scope
from governance.admin.runs import PROOFS, STEPS, differences
from governance.admin.system_seen import reads
from provisioning import reconciliation
from provisioning.models.connection import Connection
from provisioning.models.run import Run, RunState
from tests.conftest import a_cause
from tests.factories.governance import a_system, now
from tests.factories.systems import Place, a_place, read
from tests.fakes.directories import FakeDirectory, serving
from tests.governance.shell import a_user, enter

if TYPE_CHECKING:
    from collections.abc import Iterator

    from django.http import HttpResponse
    from django.test import Client

    from accounts.models import Tenant

pytestmark = [pytest.mark.face, pytest.mark.django_db]


@pytest.fixture
def security(client: Client, tenant: Tenant) -> Client:
    return enter(client, a_user("l.chen", RoleName.SECURITY, tenant=tenant))


@pytest.fixture
def directory() -> Iterator[FakeDirectory]:
    with serving() as one:
        yield one


@pytest.fixture
def place(tenant: Tenant, directory: FakeDirectory) -> Place:
    """A directory with a canary and three people, two of whom it changes without telling us."""
    found = a_place(tenant, "Okta", directory, canary="canary", shrink_percent=100)
    for name in ("canary", "ada", "bob", "eve"):
        remote = found.remote[name] = directory.user(name, displayName=name)
        if name != "eve":
            found.idp.user(name, externalId=remote, displayName=name)
        if name == "ada":
            directory.change(remote, active=False)
    return found


def text_of(answer: HttpResponse) -> str:
    """What a page says, without its tags."""
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", answer.content.decode())).split())


def page_of(client: Client, run: Run, query: str = "") -> HttpResponse:
    answer = client.get(f"/t/acme/admin/runs/{run.pk}/{query}")
    assert answer.status_code == 200
    return answer


def a_run(tenant: Tenant, state: RunState, **values: Any) -> Run:
    at = now()
    with scope(tenant=tenant.pk, cause=a_cause()):
        run: Run = Run.objects.create(
            **{
                "tenant": tenant, "system": a_system(tenant, at=at), "started_by": "sweep", "started_at": at,
                "state": state, "ended_at": None if state == RunState.RUNNING else at, **values,
            }
        )  # fmt: skip
    return run


def test_a_whole_reading_shows_each_proof_in_order_and_the_steps_done(security: Client, place: Place) -> None:
    run = read(place)
    page = text_of(page_of(security, run))
    assert "Reading Okta closed" in page
    assert "The reading was whole: 4 accounts and 0 groups." in page
    names = [str(name) for word, name in PROOFS if word != "absent"]
    assert [page.index(f"holds {name}") for name in names] == sorted(page.index(f"holds {name}") for name in names)
    assert "canary seen canary was seen" in page
    assert "0 errors of ours" in page
    assert " ".join(f"{label} done" for _name, label in STEPS) in page


def test_each_count_of_a_run_leads_to_a_list_of_as_many(security: Client, place: Place) -> None:
    run = read(place)
    html = page_of(security, run).content.decode()
    links = re.findall(r'<a href="([^"]*run=[^"]*)"><b><span class="number">(\d+)</span></b> ([^<]*)</a>', html)
    assert {(label.strip(), int(count)) for _url, count, label in links} == {
        ("status differs", 1), ("there, unknown here", 1), ("findings opened", 2),
    }  # fmt: skip
    for url, count, _label in links:
        listed = security.get(unescape(url)).content.decode()
        assert listed.count('<th scope="row">') == int(count), url
    assert "0 here, missing there" in text_of(page_of(security, run))


def test_what_a_run_closed_is_listed_apart_from_what_it_saw(
    security: Client, place: Place, directory: FakeDirectory
) -> None:
    read(place)
    directory.change(place.remote["ada"], active=True)
    second = read(place)
    html = page_of(security, second).content.decode()
    (closed,) = re.findall(r'<a href="([^"]*what=closed)"><b><span class="number">1</span></b> findings closed', html)
    assert "ada: inactive at Okta, active here" in text_of(security.get(unescape(closed)))
    seen = text_of(security.get(unescape(closed).replace("closed", "seen")))
    assert "eve at Okta is unknown here" in seen


def test_an_incomplete_reading_names_the_proof_and_infers_nothing_from_absence(
    security: Client, place: Place, directory: FakeDirectory
) -> None:
    directory.delete(place.remote["canary"])
    run = read(place)
    assert run.state == RunState.INCOMPLETE
    page = text_of(page_of(security, run))
    assert "Not whole, a proof does not hold: canary seen. Nothing was concluded from absence." in page
    assert "does not hold canary seen canary was not seen" in page
    assert "– here, missing there" in page
    assert "– membership differs" in page
    assert "– findings closed" in page


@pytest.mark.parametrize(
    ("state", "step", "complete", "judged"),
    [
        (RunState.RUNNING, "listing", False, 0),
        (RunState.RUNNING, "planning", True, 6),
        (RunState.CLOSED, "closed", True, 6),
        (RunState.INCOMPLETE, "closed", False, 4),
        (RunState.FAILED, "closed", False, 0),
        (RunState.STOPPED, "closed", False, 0),
    ],
)
def test_what_was_not_judged_is_unknown_and_never_zero(state: RunState, step: str, complete: bool, judged: int) -> None:
    counts = [one.count for one in differences(Run(state=state, step=step), complete=complete)]
    assert (counts.count(0), counts.count(None)) == (judged, 6 - judged)


def test_a_running_one_says_so_far_and_gives_its_body_alone_for_renewal(security: Client, tenant: Tenant) -> None:
    run = a_run(tenant, RunState.RUNNING)
    page = page_of(security, run)
    assert "Listing: 0 pages so far, of a number nobody knows yet." in text_of(page)
    assert "not proven pages drained" in text_of(page)
    assert f'data-live-url="/t/acme/admin/runs/{run.pk}/?part=body" data-live-seconds="10"' in page.content.decode()
    body = page_of(security, run, "?part=body").content.decode()
    assert "<html" not in body
    assert "This reading has ended" not in body
    with scope(tenant=tenant.pk, cause=a_cause()):
        Run.objects.filter(pk=run.pk).update(state="stopped", step="closed", ended_at=now())
    assert "This reading has ended." in text_of(page_of(security, run, "?part=body"))
    assert "data-live-url" not in page_of(security, run).content.decode()


def test_stopping_says_so_and_is_refused_to_a_run_that_has_ended(security: Client, tenant: Tenant) -> None:
    run = a_run(tenant, RunState.RUNNING)
    url = f"/t/acme/admin/runs/{run.pk}/stop/"
    assert "Its counts are thrown away" in text_of(security.get(url))
    assert security.post(url, {"reason": "wrong directory"}).status_code == 302
    assert "Stop after this page : it stops after the page that it reads now" in text_of(page_of(security, run))
    with scope(tenant=tenant.pk, cause=a_cause()):
        Run.objects.filter(pk=run.pk).update(state="stopped", ended_at=now())
    again = security.post(url, {"reason": "wrong directory"})
    assert (again.status_code, "It has ended: there is nothing to stop." in text_of(again)) == (403, True)


def test_the_list_is_narrowed_by_system_and_state_and_says_when_nothing_was_ever_read(
    security: Client, tenant: Tenant
) -> None:
    assert "Never read. A system is read once it has a connection." in text_of(security.get("/t/acme/admin/runs/"))
    closed = a_run(tenant, RunState.CLOSED, counts={"users": 3, "opened": 2})
    with scope(tenant=tenant.pk, cause=a_cause()):
        other = a_system(tenant, "GitHub", at=now())
        Run.objects.create(
            tenant=tenant, system=other, started_by="x", started_at=now() - dt.timedelta(hours=1), state="failed",
            ended_at=now(), problem="page 14: no answer",
        )  # fmt: skip

    def listed(query: str) -> list[str]:
        html = security.get(f"/t/acme/admin/runs/?{query}").content.decode()
        return re.findall(r'<th scope="row"><a [^>]*>([^<]+)</a>', html)

    assert listed("") == ["Okta", "GitHub"]
    assert listed(f"system={closed.system_id}") == ["Okta"]
    assert listed("state=failed") == ["GitHub"]
    assert listed("state=%00&system=x") == ["Okta", "GitHub"]
    assert "No reading in this filter." in text_of(security.get("/t/acme/admin/runs/?state=running"))
    page = text_of(security.get("/t/acme/admin/runs/"))
    assert "3 2 0 –" in page
    assert "– – – page 14: no answer" in page


def test_a_reading_can_be_started_from_the_front_page_by_who_may(security: Client, place: Place) -> None:
    html = security.get("/t/acme/admin/").content.decode()
    (url,) = re.findall(r'<form class="one-button" method="post" action="([^"]+/read/)">', html)
    answer = security.post(url)
    with scope(tenant=place.idp.tenant.pk):
        run = Run.objects.get()
    assert (answer.status_code, answer.headers["Location"]) == (302, f"/t/acme/admin/runs/{run.pk}/")
    assert (run.started_by, run.state) == ("l.chen", RunState.RUNNING)


def test_a_reading_without_groups_says_so_and_counts_no_membership(security: Client, place: Place) -> None:
    place.directory.bend = lambda asked, document: (404, {}) if asked.path.endswith("/Groups") else document
    run = read(place)
    page = text_of(page_of(security, run))
    assert "The reading of its accounts was whole: 4. Groups can't be read there" in page
    assert "– membership differs" in page
    assert {one.label: one.count for one in differences(run, complete=True)}["membership differs"] is None
    assert "memberships ? it does not show them" in " ".join(
        f"{one.name} {one.shape} {one.detail}" for one in reads(Connection(connector="scim"), [run])
    )


def test_a_reading_says_how_many_of_its_differences_no_event_had_told_of_and_why(
    security: Client, tenant: Tenant
) -> None:
    counts = {"missed": {"lost_event": 2, "refused": 5, "late_event": 2}}
    page = text_of(page_of(security, a_run(tenant, RunState.CLOSED, step="closed", counts=counts)))
    # The most first, and then by name of the word.
    assert "Why no event had said so 5 said, and refused here 2 said late, or out of turn 2 never said" in page


def test_a_reading_that_found_nothing_says_nothing_about_events(security: Client, tenant: Tenant) -> None:
    page = text_of(page_of(security, a_run(tenant, RunState.CLOSED, step="closed", counts={"missed": {}})))
    assert "Why no event had said so" not in page


def test_a_simulated_run_says_that_nothing_was_kept_and_leads_to_no_list(
    security: Client, place: Place, directory: FakeDirectory, tenant: Tenant
) -> None:
    def simulated() -> Run:
        with scope(tenant=tenant.pk, cause=a_cause()):
            run = reconciliation.start(system=place.idp.system, started_by="l.chen", at=now(), simulated=True)
        assert reconciliation.advance(tenant=tenant.pk, run_id=run.pk, clock=now)
        return run

    answer = page_of(security, simulated())
    page = text_of(answer)
    assert "Simulated: the reading would be whole, 4 accounts. Nothing of it was kept but these counts." in page
    assert "1 status differs" in page
    assert "holds canary seen" in page
    assert "?run=" not in answer.content.decode()
    directory.delete(place.remote["canary"])
    page = text_of(page_of(security, simulated()))
    assert "Simulated: it would not be whole, and nothing would be concluded from absence." in page
    assert "does not hold canary seen" in page
    assert "– here, missing there" in page


def test_a_running_one_counts_by_its_cursor(security: Client, place: Place, tenant: Tenant) -> None:
    with scope(tenant=tenant.pk, cause=a_cause()):
        Connection.objects.update(page_size=2)
        run = reconciliation.start(system=place.idp.system, started_by="l.chen", at=now())
    assert not reconciliation.advance(tenant=tenant.pk, run_id=run.pk, clock=now, seconds=0)
    page = text_of(page_of(security, run))
    assert "Listing: 1 pages so far, 2 of 4 accounts." in page
    assert "Read so far 1 pages 2 accounts unknown groups unknown memberships" in page
