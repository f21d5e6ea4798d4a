"""The freshness screen can't be fooled: each source of evidence is removed in turn, and what it fed turns grey."""

from __future__ import annotations

import datetime as dt
import re
from html import unescape
from typing import TYPE_CHECKING, Any

import pytest

from accounts import lifecycle, sweeps
from accounts.models import Account, Finding, FindingKind, RoleName, Sweep, SweepName
from audit.scope import scope
from governance import dashboard, dimensions
from provisioning.models.connection import Connection
from provisioning.models.rebuild import Rebuild
from provisioning.models.snapshot import Snapshot
from tests.conftest import a_cause
from tests.factories.governance import (
    a_connection,
    a_finding,
    a_person,
    a_reading,
    a_service,
    a_shadow,
    a_system,
    looked,
    now,
)
from tests.governance.shell import a_user, enter
from tests.house import rows

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.test import Client

    from accounts.models import Tenant
    from accounts.models.system import System
    from audit.models import Cause

pytestmark = pytest.mark.django_db

MINUTE, HOUR = dt.timedelta(minutes=1), dt.timedelta(hours=1)
READ = frozenset({"existence", "status", "attributes", "memberships"})
ALL = READ | {"ownership", "expiry"}


class Scene:
    """Okta and GitHub, each measured and equal in every dimension; ada lives in Okta."""

    def __init__(self, tenant: Tenant, at: dt.datetime) -> None:
        self.tenant, self.at = tenant, at
        self.okta, self.github = (self.made(name) for name in ("Okta", "GitHub"))
        self.ada = a_person(tenant, "ada", at=at)
        a_shadow(self.okta, self.ada, at=at)
        looked(tenant, at=at)

    def made(self, name: str) -> System:
        system = a_system(self.tenant, name, at=self.at - dt.timedelta(days=2))
        a_connection(system, read_at=self.at - 12 * MINUTE)
        a_reading(system, at=self.at - 12 * MINUTE)
        return system

    def matrix(self, at: dt.datetime | None = None) -> dimensions.Matrix:
        return dimensions.matrix(at=at or self.at)

    def shapes(self, system: System, at: dt.datetime | None = None) -> dict[str, str]:
        """The shape of each dimension of one, credentials left out: they are grey everywhere."""
        (row,) = [one for one in self.matrix(at).rows if one.measured.system == system.pk]
        assert row.cells[-1].dimension == "credentials"
        assert row.cells[-1].shape == "?"
        return {str(cell.dimension): cell.shape for cell in row.cells if cell.is_summed}

    def grey(self, system: System, at: dt.datetime | None = None) -> set[str]:
        return {name for name, shape in self.shapes(system, at).items() if shape == "?"}

    def front(self, at: dt.datetime | None = None) -> tuple[bool, str]:
        found = dashboard.front(tenant=self.tenant, at=at or self.at)
        return found.is_complete, found.sentence


@pytest.fixture
def scene(tenant: Tenant, because: Cause) -> Scene:
    return Scene(tenant, now())


def test_all_is_green_while_everything_was_looked_at(scene: Scene) -> None:
    for system in (scene.okta, scene.github):
        assert scene.shapes(system) == dict.fromkeys(sorted(ALL), "=")
    assert scene.matrix().shape == "="
    assert scene.front() == (True, "Yes: all 2 systems are measured; nothing differs.")


# -- each source of evidence, removed


def never_read(scene: Scene) -> None:
    Connection.objects.filter(system=scene.okta).update(last_complete_at=None)


def an_old_reading(scene: Scene) -> None:
    Connection.objects.filter(system=scene.okta).update(last_complete_at=scene.at - 2 * HOUR)


def no_connection(scene: Scene) -> None:
    Connection.objects.filter(system=scene.okta).update(connector="none")


def reads(**words: tuple[str, str]) -> Callable[[Scene], None]:
    def act(scene: Scene) -> None:
        a_reading(scene.okta, at=scene.at - MINUTE, **words)

    return act


def nobody_looked_at_dimensions(scene: Scene) -> None:
    Snapshot.objects.filter(system=scene.okta).update(dimensions={})


def found(kind: FindingKind) -> Callable[[Scene], None]:
    return lambda scene: a_finding(kind, f"{kind}:1", system=scene.okta.pk, at=scene.at) and None


def excepted(kind: FindingKind) -> Callable[[Scene], None]:
    def act(scene: Scene) -> None:
        a_finding(kind, f"{kind}:1", system=scene.okta.pk, at=scene.at)
        Finding.objects.update(state="excepted")

    return act


def an_ending_is_not_read_back(scene: Scene) -> None:
    lifecycle.deprovision(accounts=[scene.ada.pk], reason="left", at=scene.at - HOUR)


def something_is_parked(scene: Scene) -> None:
    rows.exchange(system=scene.okta, outcome="parked", at=scene.at)


def past_its_end(scene: Scene) -> None:
    boss = a_person(scene.tenant, "boss", at=scene.at)
    svc = a_service(scene.tenant, "svc", at=scene.at, owner=boss)
    a_shadow(scene.okta, svc, at=scene.at)
    Account.objects.filter(pk=svc.pk).update(expires_at=scene.at - 6 * MINUTE)


@pytest.mark.parametrize(
    ("remove", "fed", "why"),
    [
        (never_read, READ, "never read completely"),
        (an_old_reading, READ, "no complete reading within its goal"),
        (no_connection, READ, "no connection reads it"),
        (nobody_looked_at_dimensions, READ, "the last complete reading did not look at it yet"),
        (reads(existence=("unreadable", "canary_missing")), {"existence"}, "the canary was not listed"),
        (reads(status=("unreadable", "canary_inactive")), {"status"}, "the canary was read as inactive"),
        (reads(status=("unreadable", "no_status")), {"status"}, "no account shows whether it is active"),
        (reads(memberships=("unreadable", "no_groups")), {"memberships"}, "groups can't be read there"),
        (reads(memberships=("unreadable", "no_members")), {"memberships"}, "none of its groups shows a member"),
        (an_ending_is_not_read_back, {"status"}, "1 ending is due to be read back, and is not"),
        (found(FindingKind.NOT_READ_BACK), {"status"}, "an ending could not be read back"),
        (found(FindingKind.FEED_SILENT), READ, "its feed does not answer"),
        (found(FindingKind.FEED_GAP), READ, "its feed has a gap"),
        (found(FindingKind.NOT_APPLIED), READ, "what it sent was acknowledged and is not applied"),
        (excepted(FindingKind.FEED_SILENT), READ, "its feed does not answer"),
        (something_is_parked, READ, "a request of it is parked, and no complete reading has begun since"),
        (past_its_end, {"expiry"}, "the expiry sweep is late"),
    ],
)  # fmt: skip
def test_what_a_source_of_evidence_fed_turns_grey_with_it(
    scene: Scene, remove: Callable[[Scene], None], fed: set[str], why: str
) -> None:
    remove(scene)
    assert scene.grey(scene.okta) == fed
    # And nothing of its neighbour.
    assert scene.grey(scene.github) == set()
    assert scene.matrix().shape == "?"
    (row,) = [one for one in scene.matrix().rows if one.measured.system == scene.okta.pk]
    assert row.shape == "?"
    assert all(cell.because.startswith(why) for cell in row.grey)
    is_complete, sentence = scene.front()
    assert not is_complete
    assert sentence.startswith("No: ")
    assert why in sentence
    # The worst stands first.
    assert scene.matrix().rows[0].measured.name == "Okta"


@pytest.mark.parametrize(
    ("name", "fed"), [(SweepName.EXPIRY, {"expiry"}), (SweepName.WATCH, READ)]
)  # fmt: skip
def test_a_sweep_that_did_not_look_feeds_nothing(scene: Scene, name: SweepName, fed: set[str]) -> None:
    for remove in (
        lambda: Sweep.objects.filter(name=name).update(done_at=scene.at - 6 * MINUTE),
        Sweep.objects.filter(name=name).delete,
    ):
        remove()
        for system in (scene.okta, scene.github):
            assert scene.grey(system) == fed
        is_complete, sentence = scene.front()
        assert (
            is_complete,
            sentence.startswith("No: every system is read, and what that rests on is not measured: "),
        ) == (False, True)
    sweeps.done(name, tenant=scene.tenant.pk, at=scene.at)
    assert scene.front()[0] is True


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"differing": 2}, "2 resources differ"),
        ({"compared_at": dt.timedelta(hours=-37)}, "not measured since"),
        ({"equal": 0, "left_out": {"newer": 3}}, "no resource could be judged"),
        (None, "not yet measured"),
    ],
)
def test_a_ledger_that_does_not_give_the_roll_makes_the_answer_no(
    scene: Scene, change: dict[str, Any] | None, why: str
) -> None:
    if change is None:
        Rebuild.objects.all().delete()
    else:
        values = {k: scene.at + v if isinstance(v, dt.timedelta) else v for k, v in change.items()}
        Rebuild.objects.update(**values)
    assert scene.matrix().shape == "?"
    assert scene.matrix().rests[-1].because.startswith(why)
    is_complete, sentence = scene.front()
    assert (is_complete, f"gives today's roll, {why}" in sentence) == (False, True)


def test_time_alone_turns_everything_that_is_read_grey(scene: Scene) -> None:
    later = scene.at + HOUR
    assert scene.grey(scene.okta, later) == READ | {"expiry"}
    assert scene.front(later)[0] is False


def test_what_was_parked_before_the_last_complete_reading_began_has_been_judged_by_it(scene: Scene) -> None:
    rows.exchange(system=scene.okta, outcome="parked", at=scene.at - 20 * MINUTE)
    assert scene.grey(scene.okta) == set()
    rows.exchange(system=scene.okta, outcome="parked", at=scene.at - MINUTE)
    assert scene.grey(scene.okta) == READ
    a_reading(scene.okta, at=scene.at)
    assert scene.grey(scene.okta) == set()


# -- what differs


@pytest.mark.parametrize(("kind", "dimension"), list(dimensions.WRONG.items()))
def test_each_difference_stands_in_its_dimension_and_is_counted(
    scene: Scene, kind: FindingKind, dimension: str
) -> None:
    for n in range(2):
        a_finding(kind, f"{kind}:{n}", system=scene.okta.pk, at=scene.at, due_at=scene.at + HOUR)
    assert scene.shapes(scene.okta) == dict.fromkeys(sorted(ALL), "=") | {str(dimension): "!"}
    (row,) = [one for one in scene.matrix().rows if one.measured.system == scene.okta.pk]
    (cell,) = [one for one in row.cells if one.findings]
    assert [(one.kind, one.count, one.by_system) for one in cell.findings] == [(str(kind), 2, True)]
    assert scene.shapes(scene.okta, scene.at + 2 * MINUTE)[str(dimension)] == "!"
    Finding.objects.filter(dedupe_key=f"{kind}:0").update(due_at=scene.at - MINUTE)
    assert scene.shapes(scene.okta)[str(dimension)] == "x"
    Finding.objects.update(state="excepted")
    assert scene.shapes(scene.okta)[str(dimension)] == "#"
    Finding.objects.update(state="resolved", resolved_at=scene.at)
    assert scene.shapes(scene.okta)[str(dimension)] == "="


def test_a_finding_of_an_account_alone_is_of_each_system_that_it_lives_in(scene: Scene) -> None:
    a_finding(FindingKind.NO_OWNER, "no_owner:1", account=scene.ada.pk, at=scene.at)
    assert scene.shapes(scene.okta)["ownership"] == "!"
    assert scene.shapes(scene.github)["ownership"] == "="
    a_shadow(scene.github, scene.ada, at=scene.at)
    assert scene.shapes(scene.github)["ownership"] == "!"
    shadow = scene.ada.shadows.get(system=scene.okta)
    shadow.ended_at = scene.at
    shadow.save()
    assert scene.shapes(scene.okta)["ownership"] == "="
    assert scene.shapes(scene.github)["ownership"] == "!"


def test_grey_outranks_a_difference_that_was_found_before_and_keeps_its_list(scene: Scene) -> None:
    a_finding(FindingKind.STATUS_DIFFERS, "s", system=scene.okta.pk, at=scene.at)
    an_old_reading(scene)
    (row,) = [one for one in scene.matrix().rows if one.measured.system == scene.okta.pk]
    (cell,) = [one for one in row.cells if one.dimension == "status"]
    assert (cell.shape, [one.count for one in cell.findings]) == ("?", [1])


def test_the_worst_of_a_row_wins_and_nothing_is_not_green() -> None:
    assert [dimensions.worst(shapes) for shapes in ("=?", "x?", "=#", "!~", "?!", "")] == ["?", "x", "#", "!", "?", "?"]
    assert dimensions.Matrix(at=now(), rows=(), rests=()).shape == "?"


def test_as_many_queries_for_one_system_as_for_many(scene: Scene, django_assert_num_queries: Any) -> None:
    with django_assert_num_queries(13) as first:
        scene.matrix()
    for n in range(3):
        system = scene.made(f"system {n}")
        a_finding(FindingKind.STATUS_DIFFERS, f"s{n}", system=system.pk, at=scene.at)
    with django_assert_num_queries(len(first.captured_queries)):
        scene.matrix()


# -- the page


def text_of(html: str) -> str:
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", html)).split())


def page(client: Client) -> tuple[str, str]:
    answer = client.get("/t/acme/admin/freshness/")
    assert answer.status_code == 200
    html = answer.content.decode()
    return html, text_of(html)


@pytest.mark.face
def test_the_page_says_what_is_measured_and_each_count_leads_to_its_list(client: Client, tenant: Tenant) -> None:
    enter(client, a_user("an.auditor", RoleName.AUDITOR, tenant=tenant))
    assert "No system is connected yet, so nothing is measured." in page(client)[1]
    with scope(tenant=tenant.pk, cause=a_cause()):
        scene = Scene(tenant, now())
    assert "All is measured, and nothing differs. Credentials are held for no account yet" in page(client)[1]
    with scope(tenant=tenant.pk, cause=a_cause()):
        a_finding(FindingKind.STATUS_DIFFERS, "s", system=scene.okta.pk, at=scene.at, title="ada differs")
    html, text = page(client)
    assert "All is measured; 1 system differs, and each difference is found." in text
    (url,) = re.findall(r'href="([^"]*kind=status_differs[^"]*)">1 status differs', html)
    assert "ada differs" in text_of(client.get(unescape(url)).content.decode())
    with scope(tenant=tenant.pk, cause=a_cause()):
        a_reading(scene.okta, at=scene.at, memberships=("unreadable", "no_groups"))
    html, text = page(client)
    assert "No: of 2 systems, 1 is not measured in every dimension." in text
    assert "not measured groups can't be read there, since" in text
    assert "proved: the canary was listed" in text
    with scope(tenant=tenant.pk, cause=a_cause()):
        Sweep.objects.filter(name=SweepName.WATCH).delete()
    assert "No: what every line rests on is not measured: the sweep that looks" in page(client)[1]


@pytest.mark.face
def test_the_front_page_leads_to_it(client: Client, tenant: Tenant) -> None:
    enter(client, a_user("an.auditor", RoleName.AUDITOR, tenant=tenant))
    html = client.get("/t/acme/admin/").content.decode()
    assert html.count('href="/t/acme/admin/freshness/"') == 3


def test_a_system_of_another_tenant_is_none_of_ours(scene: Scene, make_tenant: Callable[..., Tenant]) -> None:
    other = make_tenant("globex")
    with scope(tenant=other.pk):
        assert dimensions.matrix(at=scene.at).rows == ()
