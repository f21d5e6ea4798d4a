"""Figures for a monitoring system: counted from rows, for whoever has the token, unknown is left out; and the alerts about them."""

from __future__ import annotations

import datetime as dt
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from django.core.exceptions import ImproperlyConfigured
from django.db import OperationalError

from accounts.models import FindingKind
from accounts.models.finding import Severity
from audit.scope import scope
from governance import coverage, environment, figures, freshness
from governance.api import metrics
from governance.figures import HELP, Figure
from tests.conftest import a_cause
from tests.factories.governance import a_connection, a_finding, a_service, a_shadow, a_system, now
from tests.house import rows

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.test import Client
    from pytest_django.fixtures import SettingsWrapper

    from accounts.models import System, Tenant

pytestmark = [pytest.mark.face, pytest.mark.django_db]

TOKEN = "0123456789abcdef0123456789abcdef"
ROOT = Path(__file__).parents[2]
RULES = yaml.safe_load((ROOT / "docs/alerts/rollcall.rules.yml").read_text(encoding="utf-8"))
LINE = re.compile(r'(?P<name>[a-z_]+)\{(?P<labels>(?:[a-z]+="(?:[^"\\]|\\["\\n])*",?)*)\} (?P<value>[-0-9.e+]+)')


@pytest.fixture
def scraper(client: Client, settings: SettingsWrapper) -> Client:
    settings.ROLLCALL_METRICS_TOKEN = TOKEN
    client.defaults["HTTP_AUTHORIZATION"] = f"Bearer {TOKEN}"
    return client


def scraped(client: Client) -> dict[str, float]:
    """Every line of the text, read back: the figure with its labels, and its value."""
    answer = client.get("/metrics")
    assert (answer.status_code, answer["Content-Type"]) == (200, "text/plain; version=0.0.4; charset=utf-8")
    found = {}
    for line in answer.content.decode().splitlines():
        if line.startswith("#"):
            assert re.fullmatch(r"# (HELP rollcall_[a-z_]+ \S.*|TYPE rollcall_[a-z_]+ gauge)", line)
            continue
        read = LINE.fullmatch(line)
        assert read is not None, line
        found[f"{read['name']}{{{read['labels']}}}"] = float(read["value"])
    return found


def filled(tenant: Tenant, name: str = "Okta") -> System:
    """A system that is measured and differs, with something of everything that is counted."""
    at = now()
    system = a_system(tenant, name, at=at)
    a_connection(system, read_at=at - dt.timedelta(minutes=5))
    for each in range(4):
        a_shadow(system, a_service(tenant, f"svc-{name}-{each}", at=at), at=at)
    rows.run(system=system, state="failed", started_at=at, ended_at=at)
    rows.received(system=system)
    return system


# -- who may


def test_without_a_token_in_the_environment_there_is_nothing(client: Client, settings: SettingsWrapper) -> None:
    settings.ROLLCALL_METRICS_TOKEN = ""
    for header in ({}, {"HTTP_AUTHORIZATION": "Bearer "}):
        assert client.get("/metrics", **header).status_code == 404


@pytest.mark.parametrize(
    "given",
    ["", "Bearer", f"Bearer {TOKEN}x", f"Bearer {TOKEN[:-1]}", f"Basic {TOKEN}", TOKEN, "Bearer \udcff", "Bearer é"],
)
def test_without_the_right_token_nothing_is_told(client: Client, settings: SettingsWrapper, given: str) -> None:
    settings.ROLLCALL_METRICS_TOKEN = TOKEN
    answer = client.get("/metrics", HTTP_AUTHORIZATION=given)
    assert (answer.status_code, answer["WWW-Authenticate"]) == (401, 'Bearer realm="Rollcall metrics"')
    assert b"rollcall_" not in answer.content


def test_figures_are_read_and_nothing_else(scraper: Client) -> None:
    assert scraper.post("/metrics").status_code == 405
    assert scraper.get("/metrics")["Cache-Control"] == "max-age=0, no-cache, no-store, must-revalidate, private"


@pytest.mark.parametrize("text", ["short", "x" * 23, "a token with blanks in it, long enough", "x" * 501])
def test_a_token_that_could_be_guessed_stops_the_start(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("ROLLCALL_METRICS_TOKEN", text)
    with pytest.raises(ImproperlyConfigured, match="24 to 500 visible ASCII") as raised:
        environment.token("ROLLCALL_METRICS_TOKEN")
    assert text not in str(raised.value)


def test_no_token_and_a_good_one_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ROLLCALL_METRICS_TOKEN", raising=False)
    assert environment.token("ROLLCALL_METRICS_TOKEN") == ""
    monkeypatch.setenv("ROLLCALL_METRICS_TOKEN", f" {TOKEN} ")
    assert environment.token("ROLLCALL_METRICS_TOKEN") == TOKEN


def test_a_database_that_is_away_is_said_and_any_other_error_is_ours(
    scraper: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(**_: Any) -> None:
        raise OperationalError("connection to 10.0.0.5 refused")

    monkeypatch.setattr(metrics, "_all", away)
    answer = scraper.get("/metrics")
    assert (answer.status_code, answer.content, answer["Retry-After"]) == (503, b"the database is away\n", "5")

    def broken(**_: Any) -> None:
        raise ValueError("ours")

    monkeypatch.setattr(metrics, "_all", broken)
    with pytest.raises(ValueError, match="ours"):
        scraper.get("/metrics")


# -- what is told


def test_a_system_is_told_with_what_is_known_of_it(scraper: Client, tenant: Tenant) -> None:
    with scope(tenant=tenant.pk, cause=a_cause()):
        okta = filled(tenant)
        a_system(tenant, 'Old "CRM"\\', at=now())
        account = a_service(tenant, "svc-differs", at=now())
        a_shadow(okta, account, at=now())
        a_finding(
            FindingKind.STATUS_DIFFERS, "status:1", at=now(), system=okta.pk, account=account.pk,
            due_at=now() - dt.timedelta(hours=1),
        )  # fmt: skip
    found = scraped(scraper)
    of = '{tenant="acme",system="Okta"}'
    assert found[f"rollcall_system_measured{of}"] == 1
    assert found[f"rollcall_system_accounts{of}"] == 5
    assert found[f"rollcall_system_differing{of}"] == 1
    assert found[f"rollcall_system_goal_seconds{of}"] == 3600
    assert 300 <= found[f"rollcall_system_reading_age_seconds{of}"] < 400
    assert found['rollcall_findings_open{tenant="acme",kind="status_differs",severity="high"}'] == 1
    assert found['rollcall_findings_overdue{tenant="acme"}'] == 1
    assert found['rollcall_runs_ended{tenant="acme",system="Okta",state="failed"}'] == 1
    assert found['rollcall_runs_ended{tenant="acme",system="Okta",state="closed"}'] == 0
    assert found['rollcall_plans_waiting{tenant="acme",state="tripped"}'] == 0
    assert found['rollcall_received{tenant="acme",state="waiting"}'] == 1
    assert found['rollcall_received_age_seconds{tenant="acme",state="waiting"}'] >= 0
    assert 'rollcall_received_age_seconds{tenant="acme",state="parked"}' not in found
    assert found['rollcall_coverage_ratio{tenant="acme"}'] == 0.8
    assert found['rollcall_exceptions_live{tenant="acme"}'] == 0
    grey = '{tenant="acme",system="Old \\"CRM\\"\\\\"}'
    assert found[f"rollcall_system_measured{grey}"] == 0
    for name in ("reading_age_seconds", "goal_seconds", "differing"):
        assert f"rollcall_system_{name}{grey}" not in found


def test_a_late_sweep_is_told_by_what_waits_for_it(scraper: Client, tenant: Tenant) -> None:
    assert scraped(scraper)['rollcall_sweep_late_seconds{tenant="acme",sweep="expiry"}'] == 0
    with scope(tenant=tenant.pk, cause=a_cause()):
        rows.account(read_due_at=now() - dt.timedelta(minutes=20))
    found = scraped(scraper)
    assert 1200 <= found['rollcall_sweep_late_seconds{tenant="acme",sweep="read_back"}'] < 1300
    assert found['rollcall_sweep_late_seconds{tenant="acme",sweep="expiry"}'] == 0
    assert 0 <= found['rollcall_unsealed_age_seconds{tenant="acme"}'] < 300
    assert 0 <= found['rollcall_unsealed_age_seconds{tenant=""}'] < 300


def test_every_tenant_is_told_apart_and_no_account_is_named(
    scraper: Client, tenant: Tenant, make_tenant: Callable[..., Tenant]
) -> None:
    other = make_tenant("other")
    for one in (tenant, other):
        with scope(tenant=one.pk, cause=a_cause()):
            filled(one)
    found = scraped(scraper)
    for slug in ("acme", "other"):
        assert found[f'rollcall_system_accounts{{tenant="{slug}",system="Okta"}}'] == 4
    assert "svc-" not in scraper.get("/metrics").content.decode()


def test_one_system_and_three_cost_the_same_queries(tenant: Tenant, django_assert_max_num_queries: Any) -> None:
    def asked() -> int:
        with scope(tenant=tenant.pk), django_assert_max_num_queries(30) as counted:
            figures.of_tenant(tenant=tenant, at=now())
        return len(counted)

    with scope(tenant=tenant.pk, cause=a_cause()):
        filled(tenant)
    one = asked()
    with scope(tenant=tenant.pk, cause=a_cause()):
        filled(tenant, "GitHub")
        filled(tenant, "Entra")
    assert asked() == one


def test_each_figure_stands_once_below_its_words() -> None:
    text = list(metrics.lines([
        Figure("rollcall_findings_overdue", {"tenant": "b"}, 2), Figure("rollcall_received", {"tenant": "a"}, 1.5),
        Figure("rollcall_findings_overdue", {"tenant": "a\n\"\\"}, 1e9),
    ]))  # fmt: skip
    assert "".join(text) == (
        "# HELP rollcall_findings_overdue Open findings past their due date.\n# TYPE rollcall_findings_overdue gauge\n"
        'rollcall_findings_overdue{tenant="b"} 2\nrollcall_findings_overdue{tenant="a\\n\\"\\\\"} 1000000000\n'
        "# HELP rollcall_received Changes that were acknowledged and are not applied.\n# TYPE rollcall_received gauge\n"
        'rollcall_received{tenant="a"} 1.5\n'
    )


# -- coverage


@pytest.mark.usefixtures("because")
def test_coverage_counts_what_is_excepted_apart_and_what_is_not_measured_as_not_equal(tenant: Tenant) -> None:
    okta = filled(tenant)
    crm = a_system(tenant, "Old CRM", at=now())
    a_shadow(crm, a_service(tenant, "svc-crm", at=now()), at=now())
    account = a_service(tenant, "svc-x", at=now())
    a_shadow(okta, account, at=now())
    kinds = (FindingKind.STATUS_DIFFERS, FindingKind.FIELD_DIFFERS)
    first, second = (
        a_finding(kind, f"{kind}:x", at=now(), system=okta.pk, account=account.pk, severity=Severity.LOW)
        for kind in kinds
    )
    a_finding(FindingKind.UNKNOWN_HERE, "unknown:1", at=now(), system=okta.pk)
    found = coverage.of_systems(freshness.of_systems(at=now()))
    assert found == coverage.Coverage(total=7, equal=4, differing=2, excepted=0, unmeasured=1)
    assert found.percent == 57.1
    type(first).objects.filter(pk__in=[first.pk, second.pk]).update(state="excepted")
    found = coverage.of_systems(freshness.of_systems(at=now()))
    assert found == coverage.Coverage(total=7, equal=4, differing=1, excepted=1, unmeasured=1)


def test_nothing_has_no_percentage_and_almost_everything_is_not_all() -> None:
    assert coverage.Coverage().percent is None
    assert coverage.Coverage(total=100_000, equal=99_999).percent == 99.9
    assert coverage.Coverage(total=3, equal=3).percent == 100.0


# -- the alerts


def test_every_figure_that_an_alert_names_is_exported() -> None:
    rules = [rule for group in RULES["groups"] for rule in group["rules"]]
    assert len(rules) > 10
    assert len({rule["alert"] for rule in rules}) == len(rules)
    named = {name for rule in rules for name in re.findall(r"rollcall_[a-z_]+", rule["expr"])}
    assert named - set(HELP) == set()
    assert len(named) > 10


def test_every_alert_has_its_runbook_line() -> None:
    text = (ROOT / "docs/operating.md").read_text(encoding="utf-8")
    for rule in (rule for group in RULES["groups"] for rule in group["rules"]):
        anchor = rule["annotations"]["runbook"].removeprefix("docs/operating.md#")
        assert anchor == rule["alert"].lower()
        assert text.count(f'| <a id="{anchor}"></a>`{rule["alert"]}` | ') == 1
        assert rule["annotations"]["summary"]
        assert rule["labels"]["severity"] in {"critical", "warning", "info"}
    assert text.count('<a id="rollcall') == sum(len(group["rules"]) for group in RULES["groups"])
