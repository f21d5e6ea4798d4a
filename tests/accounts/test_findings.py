"""What is wrong: opened once, raised when it gets worse, closed by evidence, handled by people."""

from __future__ import annotations

import datetime as dt
import re
from typing import TYPE_CHECKING, Any

import pytest

from accounts import findings, people
from accounts.findings import CONTROLS, Opened, Wrong
from accounts.models import Finding, FindingKind, Severity
from accounts.models.finding import FindingState
from audit.models import history_of
from audit.scope import scope
from tests.conftest import AT, a_cause
from tests.factories import governance as make
from tests.factories.words import written_from_here

if TYPE_CHECKING:
    from accounts.models import Tenant
    from audit.models import Cause

LATER = AT + dt.timedelta(hours=1)


def a_wrong(key: str = "k", **values: Any) -> Wrong:
    return Wrong(**{"kind": FindingKind.EXPIRES, "key": key, "title": "ends soon", "severity": Severity.LOW, **values})


def rows() -> int:
    return history_of(Finding).objects.count()


def the_one() -> Finding:
    return Finding.objects.get()


def test_every_kind_of_finding_names_its_controls_of_today() -> None:
    assert set(CONTROLS) == set(FindingKind)
    known = r"^(NHI\d+:2025 .+|(PR|DE|ID|GV)\.[A-Z]{2}-\d{2})$"
    assert [c for controls in CONTROLS.values() for c in controls if not re.match(known, c)] == []
    assert all(controls for controls in CONTROLS.values())


def test_what_is_wrong_is_opened_once_with_its_controls(because: Cause) -> None:
    due = AT + dt.timedelta(days=1)
    assert findings.open_or_raise([a_wrong(due_at=due), a_wrong("other")], at=AT) == Opened(new=2, raised=0)
    finding = Finding.objects.get(dedupe_key="k")
    assert (finding.state, finding.first_seen_at, finding.last_seen_at, finding.due_at) == ("open", AT, AT, due)
    assert finding.controls == ["NHI1:2025 Improper Offboarding", "NHI7:2025 Long-Lived Secrets", "ID.AM-08"]
    assert findings.open_or_raise([a_wrong(), a_wrong("other")], at=AT) == Opened(new=0, raised=0)
    assert (Finding.objects.count(), rows()) == (2, 2)
    assert findings.open_or_raise([], at=AT) == Opened(new=0, raised=0)


def test_a_sighting_within_the_hour_writes_no_row_and_a_later_one_writes_one(because: Cause) -> None:
    findings.open_or_raise([a_wrong()], at=AT)
    findings.open_or_raise([a_wrong()], at=LATER - dt.timedelta(seconds=1))
    assert (rows(), the_one().last_seen_at) == (1, AT)
    findings.open_or_raise([a_wrong()], at=LATER)
    assert (rows(), the_one().last_seen_at, the_one().first_seen_at) == (2, LATER, AT)


def test_what_gets_worse_is_raised_at_once_and_never_becomes_milder(because: Cause) -> None:
    findings.open_or_raise([a_wrong(stage="30")], at=AT)
    worse = a_wrong(stage="14", severity=Severity.MEDIUM, title="ends very soon", evidence={"days": 14})
    assert findings.open_or_raise([worse], at=AT) == Opened(new=0, raised=1)
    finding = the_one()
    assert (finding.stage, finding.severity, finding.title) == ("14", 2, "ends very soon")
    assert finding.evidence == {"days": 14}
    assert findings.open_or_raise([a_wrong()], at=LATER) == Opened(new=0, raised=0)
    assert (the_one().severity, the_one().stage) == (2, "14")


def test_what_evidence_shows_to_be_right_is_closed_once_and_a_new_sighting_opens_another(because: Cause) -> None:
    findings.open_or_raise([a_wrong(), a_wrong("other")], at=AT)
    assert findings.resolve(["k", "unknown"], because="renewed", at=LATER) == 1
    closed = Finding.objects.get(dedupe_key="k")
    assert (closed.state, closed.resolved_at, closed.resolution) == ("resolved", LATER, "renewed")
    assert findings.resolve(["k"], because="again", at=LATER) == 0
    assert findings.resolve([], because="none", at=LATER) == 0
    findings.open_or_raise([a_wrong()], at=LATER)
    assert sorted(Finding.objects.filter(dedupe_key="k").values_list("state", flat=True)) == ["open", "resolved"]


def test_a_complete_reading_closes_what_it_no_longer_shows_of_its_system_and_kinds(
    tenant: Tenant, because: Cause
) -> None:
    system, other = make.a_system(tenant, at=AT), make.a_system(tenant, "Entra", at=AT)
    shown, gone, elsewhere, kind = (
        a_wrong(key, system=place.pk, kind=of)
        for key, place, of in [
            ("shown", system, FindingKind.STATUS_DIFFERS), ("gone", system, FindingKind.STATUS_DIFFERS),
            ("elsewhere", other, FindingKind.STATUS_DIFFERS), ("kind", system, FindingKind.EXPIRES),
        ]
    )  # fmt: skip
    findings.open_or_raise([shown, gone, elsewhere, kind], at=AT)
    closed = findings.resolve_others(
        kinds=[FindingKind.STATUS_DIFFERS], system=system, still_wrong=["shown"], because="not shown", at=LATER
    )
    assert closed == 1
    assert set(Finding.objects.filter(state="resolved").values_list("dedupe_key", flat=True)) == {"gone"}


def test_a_title_of_any_length_is_kept_as_far_as_it_fits(because: Cause) -> None:
    findings.open_or_raise([a_wrong(title="x" * 900)], at=AT)
    assert the_one().title == "x" * 400
    findings.open_or_raise([a_wrong(title="y" * 900, severity=Severity.HIGH)], at=AT)
    assert the_one().title == "y" * 400


def test_outside_of_a_tenant_nothing_can_be_wrong(db: None) -> None:
    with scope(cause=a_cause()):
        assert findings.open_or_raise([], at=AT) == Opened(new=0, raised=0)
        with pytest.raises(ValueError, match="a finding belongs to a tenant"):
            findings.open_or_raise([a_wrong()], at=AT)


def test_people_acknowledge_and_call_false_with_an_entry_that_names_the_account(tenant: Tenant, because: Cause) -> None:
    account = make.a_person(tenant, "ada", at=AT)
    findings.open_or_raise([a_wrong(account=account.pk)], at=AT)
    written = written_from_here(Finding)
    assert findings.acknowledge(finding=the_one(), reason="on it", at=LATER).state == "acknowledged"
    false = findings.call_false(finding=the_one(), reason="a test account", at=LATER)
    assert (false.state, false.resolved_at, false.resolution) == ("false_positive", LATER, "a test account")
    assert written.history(Finding) == {"Finding": 2}
    assert written.sentences() == [
        "a test: ends soon is acknowledged. on it",
        "a test: ends soon is false positive. a test account",
    ]
    assert written.subjects("account") == {str(account.pk)}
    with pytest.raises(findings.CantHandle, match="the finding is false positive: it can't become acknowledged"):
        findings.acknowledge(finding=false, reason="x", at=LATER)
    assert written.entries() == ["finding.handled"] * 2


def test_only_what_no_reading_shows_is_settled_by_a_person(because: Cause) -> None:
    findings.open_or_raise([a_wrong(key="parked", kind=FindingKind.MEMBERS_UNRESOLVED), a_wrong(key="differs")], at=AT)
    parked, differs = (Finding.objects.get(dedupe_key=key) for key in ("parked", "differs"))
    settled = findings.settle(finding=parked, reason="put right", at=AT)
    assert (settled.state, settled.resolved_at, settled.resolution) == ("resolved", AT, "put right")
    with pytest.raises(findings.CantHandle, match="what was seen closes it"):
        findings.settle(finding=differs, reason="put right", at=AT)
    with pytest.raises(findings.CantHandle, match="the finding is resolved"):
        findings.settle(finding=parked, reason="again", at=AT)


def test_an_excepted_finding_is_still_the_same_finding(because: Cause) -> None:
    findings.open_or_raise([a_wrong()], at=AT)
    Finding.objects.update(state=FindingState.EXCEPTED)
    assert findings.open_or_raise([a_wrong()], at=LATER) == Opened(new=0, raised=0)
    assert the_one().state == "excepted"


def test_a_finding_is_given_to_somebody_once_and_taken_back(because: Cause) -> None:
    findings.open_or_raise([a_wrong()], at=AT)
    user = people.make_user(username="m.ito", at=AT)
    assert findings.assign(finding=the_one(), to=user).assigned_to == user
    findings.assign(finding=the_one(), to=user)
    assert rows() == 2
    assert findings.assign(finding=the_one(), to=None).assigned_to is None
    assert (rows(), the_one().assigned_to) == (3, None)
