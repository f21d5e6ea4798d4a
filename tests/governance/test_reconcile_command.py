"""`manage.py reconcile`: it begins or joins a run, says how far it is and what it came to, and ends with a code."""

from __future__ import annotations

import os
import re
import signal
from io import StringIO
from typing import TYPE_CHECKING, Any

import pytest
from django.core.management import CommandError, call_command

from accounts.models import Finding, RoleName
from accounts.models.system import System
from audit.models import Cause, JournalEntry
from audit.scope import scope
from governance.management.commands import reconcile
from provisioning import reconciliation, snapshot
from provisioning.models import Plan, Run
from tests.conftest import a_cause
from tests.factories.governance import a_system, now, staff
from tests.factories.systems import Place, a_place, read
from tests.fakes.directories import FakeDirectory, serving

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from accounts.models import Tenant

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def directory() -> Iterator[FakeDirectory]:
    with serving() as one:
        yield one


@pytest.fixture
def place(tenant: Tenant, directory: FakeDirectory, monkeypatch: pytest.MonkeyPatch) -> Place:
    """A directory that ended ada and made eve without telling us; two accounts on a page."""
    monkeypatch.setattr(reconcile, "WAIT", 0.01)
    found = a_place(tenant, "Okta Prod", directory, canary="canary", shrink_percent=100, page_size=2)
    for name in ("canary", "ada", "bob", "eve"):
        remote = found.remote[name] = directory.user(name, displayName=name)
        if name != "eve":
            found.idp.user(name, externalId=remote, displayName=name)
        if name == "ada":
            directory.change(remote, active=False)
    return found


def run(*args: str, **options: Any) -> tuple[str, int]:
    """What the command says on both streams, and the code that it ends with."""
    out = StringIO()
    try:
        call_command("reconcile", *args, stdout=out, stderr=out, **options)
    except CommandError as error:
        return f"{out.getvalue()}{error}", error.returncode
    return out.getvalue(), 0


def the_run(tenant: Tenant) -> Run:
    with scope(tenant=tenant.pk):
        return Run.objects.select_related("system").latest("started_at")


def test_a_system_is_read_and_what_follows_is_said(place: Place, tenant: Tenant) -> None:
    text, code = run("okta-prod")
    found = the_run(tenant)
    assert code == 0
    said = re.sub(r"in [\d.]+ s", "in 1 s", text)
    assert said.splitlines() == [
        f"Run {found.pk} of Okta Prod.",
        "Read in 1 s: 3 pages, 4 accounts, 0 groups, 0 memberships.",
        "It showed: 1 status differs, 1 there, unknown here.",
        "1 changes wanted, below the brake: the worker carries them out.",
    ]
    assert (found.state, found.started_by) == ("closed", "the command line")
    with scope(tenant=tenant.pk):
        assert (
            Cause.objects.filter(kind="command", actor="reconcile", reason="asked for on the command line").count() == 1
        )
        assert Plan.objects.get().run_id == found.pk


def test_a_second_reading_that_finds_nothing_says_so(place: Place, tenant: Tenant) -> None:
    place.directory.change(place.remote["ada"], active=True)
    place.directory.delete(place.remote["eve"])
    text, code = run("Okta Prod", tenant="acme")
    assert code == 0
    assert text.endswith("It showed: no difference.\n0 changes wanted, there is nothing to carry out.\n")


def test_who_asks_is_named_and_needs_the_right(place: Place, tenant: Tenant) -> None:
    with scope(tenant=tenant.pk, cause=a_cause()):
        staff(tenant, "l.chen", RoleName.SECURITY, at=now())
        staff(tenant, "an.auditor", RoleName.AUDITOR, at=now())
    text, code = run("okta-prod", by="an.auditor")
    assert code == 1
    assert text.startswith("Starting or stopping a reading needs one of these roles here: ")
    assert run("okta-prod", by="L.Chen", reason="INC-7")[1] == 0
    assert the_run(tenant).started_by == "l.chen"
    with scope(tenant=tenant.pk):
        cause = Cause.objects.get(subject="manage.py reconcile")
        assert (cause.actor, cause.reason, cause.user_id is None) == ("l.chen", "INC-7", False)


def test_simulated_it_names_what_would_be_and_keeps_only_the_run(place: Place, tenant: Tenant) -> None:
    text, code = run("okta-prod", simulate=True)
    found = the_run(tenant)
    assert code == 0
    assert text.splitlines()[2:] == [
        "It showed: 1 status differs, 1 there, unknown here.",
        "  would be found: ada: inactive at Okta Prod, active here",
        "  would be found: account eve at Okta Prod is unknown here",
        "  would be wanted: end the account: ada",
        f"1 changes would be wanted, below the brake. Nothing of it was kept but run {found.pk} with its counts.",
    ]
    with scope(tenant=tenant.pk):
        assert (found.state, Finding.objects.count(), Plan.objects.count()) == ("simulated", 0, 0)


def test_what_is_not_complete_ends_with_two_and_names_the_proof(place: Place, tenant: Tenant) -> None:
    place.directory.delete(place.remote["canary"])
    text, code = run("okta-prod", simulate=True)
    assert (code, "It would not be complete: not proven that the canary was seen: canary was not seen." in text) == (
        2,
        True,
    )
    text, code = run("okta-prod")
    assert code == 2
    assert text.endswith(
        "Incomplete: not proven that the canary was seen: canary was not seen. Nothing was concluded from absence."
    )
    place.directory.bend = lambda asked, document: (500, {})
    text, code = run("okta-prod")
    assert (code, "Failed: page 1: " in text, "It showed" in text) == (2, True, False)


def test_what_the_brake_stops_ends_with_three_and_its_reasons(place: Place, tenant: Tenant) -> None:
    for number in range(21):
        remote = place.directory.user(f"many{number}")
        place.idp.user(f"many{number}", externalId=remote)
        place.directory.change(remote, active=False)
    text, code = run("okta-prod", simulate=True)
    assert (code, "The brake would stop 22 changes: 22 changes are more than 20" in text) == (3, True)
    text, code = run("okta-prod")
    assert (code, "The brake stops it: 22 changes are more than 20" in text) == (3, True)
    with scope(tenant=tenant.pk):
        assert Plan.objects.get().state == "tripped"


def test_ctrl_c_leaves_a_run_that_the_next_command_goes_on_with(
    place: Place, tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reconcile, "SLICE", 0.0)

    def once(asked: Any) -> None:
        if asked.start == 3:
            place.directory.before = lambda asked: None
            os.kill(os.getpid(), signal.SIGINT)

    place.directory.before = once
    before = signal.getsignal(signal.SIGINT)
    text, code = run("okta-prod")
    left = the_run(tenant)
    assert (code, left.state) == (130, "running")
    assert "listing: page 1, 2 of 4 accounts, 50 %, " in text
    assert "It leaves after the page at hand; Ctrl-C again leaves at once." in text
    assert f"Left at its last page: run {left.pk} is not lost." in text
    assert f"--stop, or /t/acme/admin/runs/{left.pk}/" in text
    assert signal.getsignal(signal.SIGINT) == before
    text, code = run("okta-prod", reason="again")
    assert (code, text.splitlines()[0].endswith("by the command line: joined.")) == (0, True)
    assert (the_run(tenant).pk, the_run(tenant).state) == (left.pk, "closed")
    # The pages that were read are not read again.
    assert place.directory.pages() == [("Users", 1), ("Users", 3), ("Groups", 1)]


def test_a_run_is_stopped_from_the_command_line_and_nothing_follows(place: Place, tenant: Tenant) -> None:
    assert run("okta-prod", stop=True) == ("Okta Prod is not being read: there is nothing to stop", 1)
    with scope(tenant=tenant.pk, cause=a_cause()):
        begun = reconciliation.start(system=place.idp.system, started_by="sweep", at=now())
    text, code = run("okta-prod", stop=True)
    assert (code, text) == (0, f"Run {begun.pk} of Okta Prod stops after its page; what it read so far is forgotten.\n")
    text, code = run("okta-prod")
    assert (code, "Stopped: stopped by hand; nothing follows from what was read." in text) == (2, True)
    with scope(tenant=tenant.pk):
        assert Finding.objects.filter(system=place.idp.system).count() == 0
        assert JournalEntry.objects.filter(event="run.stop_asked").count() == 1


def test_it_waits_for_whoever_works_on_the_run_and_says_what_that_came_to(
    place: Place, tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    with scope(tenant=tenant.pk, cause=a_cause()):
        begun = reconciliation.start(system=place.idp.system, started_by="sweep", at=now())
        lease = reconciliation.claim(run_id=begun.pk, at=now())
    waited = []

    def others_work(seconds: float) -> None:
        waited.append(seconds)
        with scope(tenant=tenant.pk, cause=a_cause()):
            Run.objects.filter(pk=begun.pk, lease=lease).update(leased_until=None)
        read(place)

    monkeypatch.setattr(reconcile.time, "sleep", others_work)
    text, code = run("okta-prod")
    assert (code, waited) == (0, [0.01])
    assert "by sweep: joined." in text.splitlines()[0]
    assert "1 changes wanted, below the brake" in text


@pytest.mark.parametrize(
    ("system", "options", "says"),
    [
        ("Nope", {}, "there is no system 'Nope' in this tenant"),
        ("01890000-0000-7000-8000-000000000000", {}, "there is no system '01890000-0000-7000-8000-000000000000'"),
        ("CRM", {}, "CRM is not connected: say where it is read first"),
        ("crm-2", {}, "'crm-2' is said of 'CRM (2)', 'CRM 2': say the whole name"),
        ("Okta Prod", {"tenant": "nowhere"}, "there is no tenant 'nowhere'"),
        ("Okta Prod", {"by": "nobody"}, "nobody signs in as 'nobody'"),
    ],
)
def test_what_can_not_be_done_is_said_in_a_line(
    place: Place, tenant: Tenant, system: str, options: dict[str, Any], says: str
) -> None:
    with scope(tenant=tenant.pk, cause=a_cause()):
        for name in ("CRM", "CRM 2", "CRM (2)"):
            a_system(tenant, name, at=now())
    text, code = run(system, **options)
    assert (code, says in text) == (1, True)
    with scope(tenant=tenant.pk):
        assert Run.objects.count() == 0


def test_of_several_tenants_one_is_named(place: Place, make_tenant: Callable[..., Tenant]) -> None:
    make_tenant("globex")
    assert run("Okta Prod") == ("say with --tenant whose: acme, globex", 1)
    assert run(str(place.idp.system.pk), tenant="globex") == (
        f"there is no system '{place.idp.system.pk}' in this tenant", 1,
    )  # fmt: skip
    assert run(str(place.idp.system.pk), tenant="acme")[1] == 0


def test_a_share_is_said_only_of_a_number_that_was_announced(tenant: Tenant) -> None:
    a_run = Run(system=System(name="Okta"), step="listing")
    far = snapshot.Progress(pages=14, accounts=6_900, groups=0, accounts_of=None, groups_of=None)
    assert reconcile.progress_line(a_run, far, rate=310.4, at=now()) == (
        "listing: page 14, 6,900 accounts so far, of a number nobody knows yet, 310/s"
    )
    far = snapshot.Progress(pages=90, accounts=8_000, groups=40, accounts_of=8_000, groups_of=80)
    assert reconcile.progress_line(a_run, far, rate=0, at=now()) == (
        "listing: page 90, 8,000 of 8,000 accounts, 100 %, 40 of 80 groups, 0/s"
    )
    a_run.step = "comparing"
    assert reconcile.progress_line(a_run, far, rate=0, at=now()) == "comparing: everything is listed"
