"""The demo as a newcomer starts it, in a tree of its own, and again a day later: what it finds, and that it stays so.

One start, one stop and a second start, watched once; each test then looks at one thing.
"""

from __future__ import annotations

import datetime as dt
import json
import signal
import stat
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from demo import story
from demo.client import Client, Endpoint
from demo.company import build_company
from demo.directory import write_tokens
from demo.push import directory_endpoints
from tests.local.conftest import all_gone, copy_of_the_tree, descendants, running_in, until
from tests.local.visitor import Visitor

if TYPE_CHECKING:
    from collections.abc import Iterator

    from demo.nouns import Company
    from tests.local.conftest import Product, RunningUp

pytestmark = pytest.mark.local

FACTS = Path(__file__).with_name("demo_facts.py")
ENDS = "Ctrl-C stops everything."
# A reading tick each second instead of each 15: as settings allow, so that the story takes no longer than it must.
QUICK = {"ROLLCALL_SWEEP_SECONDS": "1"}
# For a machine with two cores that does something else as well; an ordinary one needs a tenth of it.
PATIENCE = 900.0
MEASURED = {"workforce": "halyard", "cloud": "halyard", "labs": "halyard-labs"}
TENANTS = ("halyard", "halyard-labs", "sandbox")


@dataclass
class Watched:
    """What was seen, in this order."""

    company: Company
    demo_file: dict[str, Any]
    demo_file_mode: int
    state_files: dict[str, int]
    said: str
    findings: dict[str, list[dict[str, Any]]]
    front_page: str
    signed_in: list[str]
    first: dict[str, Any]
    directories_before: dict[str, dict[str, str]]
    exit_code: int
    left_over: bool
    said_at_the_end: str
    said_again: str
    second: dict[str, Any]
    directories_after: dict[str, dict[str, str]]
    readings_after: dict[str, str]
    seconds: dict[str, float] = field(default_factory=dict)


class Clock:
    """How long each part took."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._since = time.monotonic()

    def note(self, part: str) -> None:
        now = time.monotonic()
        self.seconds[part], self._since = round(now - self._since, 1), now


def facts(product: Product) -> dict[str, Any]:
    """Everything that the database holds and the front page says, by the documented way into a running product."""
    done = product.local("manage", "shell", "-v0", "-c", FACTS.read_text(encoding="utf-8"))
    assert done.returncode == 0, done.stderr[-4000:]
    line = next(line for line in done.stdout.splitlines() if line.startswith("FACTS "))
    found: dict[str, Any] = json.loads(line.removeprefix("FACTS "))
    return found


def login(product: Product, role: str) -> tuple[str, str]:
    kept = json.loads(product.state.demo_file.read_text(encoding="utf-8"))
    (found,) = [one for one in kept["logins"] if one["role"] == role]
    return found["username"], found["password"]


def visitor(product: Product, role: str) -> Visitor:
    made = Visitor(f"http://127.0.0.1:{product.port}")
    assert made.sign_in(*login(product, role)), role
    return made


def company_of(product: Product) -> Company:
    """As the demo made it: what is due hangs on the day on which it was born."""
    born = json.loads((product.state.path / "demo-born.json").read_text(encoding="utf-8"))["at"]
    return build_company(now=dt.datetime.fromisoformat(born))


def directories(product: Product, company: Company) -> dict[str, dict[str, str]]:
    """Who stands in each of the demo's directories: ids by name, asked over SCIM."""
    origin = f"http://127.0.0.1:{product.state.kept_ports()['directory']}"
    tokens = write_tokens(data=product.state.path / "directory", slugs=[d.slug for d in company.directories])
    endpoints = directory_endpoints(company=company, origin=origin, tokens=tokens)
    return {slug: _contents(endpoints[slug]) for slug in MEASURED}


def _contents(endpoint: Endpoint) -> dict[str, str]:
    with Client(endpoint) as client:
        people = {f"user {one['userName']} {one['active']}": str(one["id"]) for one in client.all("Users")}
        groups = {f"group {one['displayName']}": str(one["id"]) for one in client.all("Groups")}
    return people | groups


# ── what the story says ─────────────────────────────────────────────────────────────────────────────────────────


def expected_findings(company: Company) -> dict[str, set[tuple[str, str, str]]]:
    """System, title and state of everything that the readings must find, by its kind: exactly what was lost."""
    status: set[tuple[str, str, str]] = set()
    members: set[tuple[str, str, str]] = set()
    for slug in MEASURED:
        directory, losses = company.directory(slug), story.LOSSES[slug]
        name = directory.name
        ended = story.choose_ended(company, directory, losses)
        # What is below the brake is repaired at once; the one larger set waits for people.
        done = "open" if slug == "cloud" else "resolved"
        status |= {(name, f"{user}: inactive at {name}, active here", done) for user in ended}
        for group, user, change in story.choose_memberships(company, directory, losses, ended=ended):
            if change == "removed":
                members.add((name, f"{user} is still in {group} here; {name} no longer shows it", "resolved"))
            else:
                members.add((name, f"{user} is not in {group} here; {name} shows it there", "open"))
    return {"status_differs": status, "membership_differs": members}


def found(rows: dict[str, list[dict[str, Any]]], kind: str) -> set[tuple[str, str, str]]:
    return {
        (row["system"]["name"] if row["system"] else "", row["title"], row["state"])
        for tenant in rows.values()
        for row in tenant
        if row["kind"] == kind
    }


def names(rows: dict[str, list[dict[str, Any]]], kind: str) -> set[str]:
    """The accounts with an open finding of this kind."""
    return {
        row["account"]["user_name"]
        for tenant in rows.values()
        for row in tenant
        if row["kind"] == kind and row["state"] == "open"
    }


def due(company: Company) -> set[str]:
    return {machine.user_name for machine in company.machines if machine.is_due}


def past(company: Company) -> set[str]:
    now = dt.datetime.now(dt.UTC)
    return {machine.user_name for machine in company.machines if machine.expires_at <= now}


# ── watching ────────────────────────────────────────────────────────────────────────────────────────────────────


def all_findings(auditor: Visitor) -> dict[str, list[dict[str, Any]]]:
    return {slug: auditor.rows(f"/t/{slug}/api/v1/findings/?page_size=500") for slug in TENANTS}


def is_found(auditor: Visitor, company: Company) -> bool:
    """Whether the schedule has found, by itself, what was lost, and dealt with what is below the brake."""
    rows = all_findings(auditor)
    return all(found(rows, kind) == wanted for kind, wanted in expected_findings(company).items())


def start(product: Product) -> RunningUp:
    running = product.up(**QUICK)
    assert running.says(ENDS, seconds=PATIENCE), running.text()[-4000:]
    return running


def read_now(product: Product, since: dt.datetime) -> dict[str, str]:
    """Press "read now" for each system that can be measured; how its first reading since then ended."""
    company = company_of(product)
    ended: dict[str, str] = {}
    with visitor(product, "administrator") as administrator:
        for slug, tenant in MEASURED.items():
            name = company.directory(slug).name
            runs = administrator.rows(f"/t/{tenant}/api/v1/runs/?page_size=500")
            pk = next(run["system"]["id"] for run in runs if run["system"]["name"] == name)
            page = f"/t/{tenant}/admin/systems/{pk}/"
            assert administrator.send(page, to=f"{page}read/").status_code == 302

            def first_since(tenant: str = tenant, name: str = name) -> str:
                newer = [
                    run["state"]
                    for run in administrator.rows(f"/t/{tenant}/api/v1/runs/?page_size=500")
                    if run["system"]["name"] == name and dt.datetime.fromisoformat(run["started_at"]) > since
                ]
                return str(newer[-1]) if newer else "none"

            until(lambda: first_since() not in {"none", "running"}, seconds=PATIENCE)
            ended[slug] = first_since()
    return ended


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    """Start, look, stop, start again, look again."""
    root = copy_of_the_tree(tmp_path_factory.mktemp("demo") / "tree")
    with running_in(root) as product:
        yield watch(product)


def watch(product: Product) -> Watched:
    clock = Clock()
    running = start(product)
    clock.note("first start")
    company = company_of(product)
    with visitor(product, "auditor") as auditor:
        until(lambda: is_found(auditor, company), seconds=PATIENCE)
        clock.note("what was lost is found")
        # The rest has its time once a minute: now, so that nothing is new later only because it was not looked for yet.
        facts(product)
        read_now(product, dt.datetime.now(dt.UTC))
        first = facts(product)
        findings = all_findings(auditor)
        front_page = auditor.get("/t/halyard/").text
    kept = json.loads(product.state.demo_file.read_text(encoding="utf-8"))
    signed_in = []
    for one in kept["logins"]:
        with Visitor(kept["address"]) as somebody:
            if somebody.sign_in(one["username"], one["password"]):
                signed_in.append(one["role"])
    before = directories(product, company)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in product.state.path.glob("*.json")}
    clock.note("first look")

    family = descendants(running.process.pid)
    exit_code = running.end(signal.SIGINT, seconds=60)
    clock.note("stop")
    left_over = not all_gone(family)

    restarted = dt.datetime.now(dt.UTC)
    again = start(product)
    clock.note("second start")
    readings = read_now(product, restarted)
    clock.note("read again")
    second, after = facts(product), directories(product, company)
    clock.note("second look")
    again.end(signal.SIGINT, seconds=60)
    clock.note("second stop")
    print(f"\nThe demo, in seconds: {clock.seconds}")
    return Watched(
        company=company,
        demo_file=kept,
        demo_file_mode=modes["demo.json"],
        state_files=modes,
        said=running.text(),
        findings=findings,
        front_page=front_page,
        signed_in=signed_in,
        first=first,
        directories_before=before,
        exit_code=exit_code,
        left_over=left_over,
        said_at_the_end=running.text(),
        said_again=again.text(),
        second=second,
        directories_after=after,
        readings_after=readings,
        seconds=clock.seconds,
    )


# ── the first start ─────────────────────────────────────────────────────────────────────────────────────────────


def test_the_scheduled_readings_find_exactly_what_the_story_lost(watched: Watched) -> None:
    wanted = expected_findings(watched.company)
    assert len(wanted["status_differs"]) == 5 + 26 + 3
    assert len(wanted["membership_differs"]) == 3 + 2
    for kind, expected in wanted.items():
        assert found(watched.findings, kind) == expected
    for kind in ("missing_there", "unknown_here", "field_differs", "mass_reduction", "sweep_failed"):
        assert found(watched.findings, kind) == set()


def test_what_expires_was_ended_or_is_asked_back_is_found_and_nothing_else_of_that(watched: Watched) -> None:
    company = watched.company
    assert names(watched.findings, "expires") == due(company)
    (revoked,) = watched.first["halyard"]["revoked"]
    assert names(watched.findings, "still_active") == {*past(company), *company.asked_back, revoked}


def test_what_is_below_the_brake_is_carried_out_and_the_larger_set_waits_for_people(watched: Watched) -> None:
    company = watched.company
    plans = {(name, kind, state) for tenant in TENANTS for _, name, kind, state in watched.first[tenant]["plans"]}
    assert plans == {
        ("Workforce", "reading", "done"),
        ("Labs directory", "reading", "done"),
        ("Cloud platform", "reading", "tripped"),
        ("Cloud platform", "reactivation", "waiting"),
    }
    states = {user: state for tenant in MEASURED.values() for _, user, state in watched.first[tenant]["accounts"]}
    for slug in MEASURED:
        ended = story.choose_ended(company, company.directory(slug), story.LOSSES[slug])
        assert {states[user] for user in ended} == ({"active"} if slug == "cloud" else {"deprovisioned"})


def test_the_front_page_says_what_waits_for_people(watched: Watched) -> None:
    front = watched.first["halyard"]["front"]
    assert front["is_complete"] is False
    assert front["sentence"].startswith("No: 1 of 3 systems is not measured; ")
    assert "Old CRM" in front["sentence"]
    assert front["sentence"].partition(";")[0] in watched.front_page
    assert front["systems"] == {"Old CRM": False, "Workforce": True, "Cloud platform": True}
    assert front["banners"] == []
    asked = {f"May {name} come back?" for name in watched.company.asked_back}
    assert asked < set(front["waits"])
    assert len(front["waits"]) == len(asked) + 1  # and the tripped plan
    assert front["no_owner"] > 0
    assert front["ends"] > 0
    ((name, total, waiting),) = front["campaigns"]
    assert name == "Q4 service accounts"
    assert total // 2 - 1 <= waiting <= total // 2 + 1


def test_the_facts_are_in_a_private_file_of_the_documented_shape(watched: Watched) -> None:
    kept = watched.demo_file
    assert watched.demo_file_mode == 0o600
    assert set(watched.state_files.values()) == {0o600}
    assert set(kept) == {"address", "scim_base_url", "systems", "logins"}
    assert kept["scim_base_url"] == f"{kept['address']}/scim/v2"
    assert [(one["name"], one["tenant"]) for one in kept["systems"]] == [
        ("Sandbox", "sandbox"),
        ("Workforce", "halyard"),
        ("Cloud platform", "halyard"),
        ("Labs directory", "halyard-labs"),
        ("Old CRM", "halyard"),
    ]
    assert all(set(one) == {"name", "tenant", "token"} for one in kept["systems"])
    assert all(set(one) == {"role", "username", "password"} for one in kept["logins"])
    assert watched.signed_in == ["security", "second security", "owner", "auditor", "administrator"]
    for secret in (*(one["token"] for one in kept["systems"]), *(one["password"] for one in kept["logins"])):
        assert len(secret) >= 16


def test_what_is_printed_is_what_the_file_says(watched: Watched) -> None:
    kept = watched.demo_file
    assert f"Rollcall runs at {kept['address']}\n" in watched.said
    assert f"SCIM token     {kept['systems'][0]['token']}  (system Sandbox of sandbox)\n" in watched.said
    for one in kept["logins"]:
        assert one["username"] in watched.said
        assert one["password"] in watched.said


# ── the stop, and the second start ──────────────────────────────────────────────────────────────────────────────


def test_it_stops_in_seconds_and_leaves_no_process(watched: Watched) -> None:
    assert watched.exit_code == 0
    assert not watched.left_over
    assert watched.said_at_the_end.endswith("Stopped.\n")
    assert watched.seconds["stop"] < 30


def test_the_second_start_tells_no_story_and_prints_the_same_facts(watched: Watched) -> None:
    assert "demo     | The demo's story has been told already.\n" in watched.said_again
    block = watched.said[watched.said.index("Rollcall runs at") : watched.said.index(ENDS)]
    assert block in watched.said_again


def test_the_directories_hold_the_same_resources_under_the_same_ids(watched: Watched) -> None:
    assert {slug: len(ids) for slug, ids in watched.directories_before.items()} == {
        "workforce": 352 + 47, "cloud": 104 + 10, "labs": 96 + 9,
    }  # fmt: skip
    assert watched.directories_after == watched.directories_before


def test_every_measurable_system_was_read_completely_after_the_second_start(watched: Watched) -> None:
    assert watched.readings_after == dict.fromkeys(MEASURED, "closed")


@pytest.mark.parametrize("noun", ["findings", "plans", "approvals", "accounts", "resources", "revoked"])
def test_after_the_second_start_there_is_nothing_new(watched: Watched, noun: str) -> None:
    for tenant in TENANTS:
        assert watched.second[tenant][noun] == watched.first[tenant][noun]


def test_the_front_page_says_the_same_after_the_second_start(watched: Watched) -> None:
    for tenant in TENANTS:
        before, after = watched.first[tenant]["front"], watched.second[tenant]["front"]
        assert {**after, "sentence": ""} == {**before, "sentence": ""}
