"""The probes of whoever runs us."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

import pytest
from django.db import OperationalError, connection
from redis.exceptions import ConnectionError as RedisConnectionError

from audit import sealing
from audit.scope import scope
from governance.api import health
from tests.conftest import a_cause, as_owner
from tests.house import rows

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.test import Client

    from accounts.models import Tenant

pytestmark = [pytest.mark.face, pytest.mark.urls("tests.governance.shell")]


def test_healthz_needs_no_database(client: Client) -> None:
    # No `db` fixture: pytest-django refuses any query.
    answer = client.get("/healthz")
    assert (answer.status_code, answer.content) == (200, b"alive\n")


def test_readyz_is_ready_with_everything_there(client: Client, db: None) -> None:
    answer = client.get("/readyz")
    assert answer.status_code == 200
    assert {k: v for k, v in answer.json().items() if k != "at"} == {
        "ready": True, "checks": {"database": "ok", "migrations": "ok", "redis": "ok"}, "warnings": {},
    }  # fmt: skip


def test_readyz_refuses_the_owner_of_the_tables(client: Client, db: None) -> None:
    with connection.cursor() as cursor:
        cursor.execute("RESET ROLE")
        answer = client.get("/readyz")
        cursor.execute("SET ROLE rollcall_app")
    assert answer.status_code == 503
    assert "run the product as rollcall_app" in answer.json()["checks"]["database"]


def test_readyz_names_each_reason_and_no_address(client: Client, db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_database() -> None:
        raise OperationalError("connection to 10.0.0.5 refused for user rollcall_app")

    def no_redis(*_: Any) -> None:
        raise RedisConnectionError("10.0.0.6 refused")

    monkeypatch.setattr(health, "refuse_wrong_role", no_database)
    monkeypatch.setattr(health.cache, "get", no_redis, raising=False)
    monkeypatch.setattr(health.MigrationExecutor, "migration_plan", lambda *_: [("accounts", "0009")])
    answer = client.get("/readyz")
    assert answer.status_code == 503
    # Who waits for a database that is away waits once.
    assert answer.json()["checks"] == {
        "database": "the database does not answer (OperationalError)",
        "migrations": "not asked: the database comes first",
        "redis": "Redis does not answer (ConnectionError)",
    }
    assert answer.json()["warnings"] == {}
    assert "10.0.0" not in answer.content.decode()


def test_readyz_says_what_is_left_to_migrate(client: Client, db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health.MigrationExecutor, "migration_plan", lambda *_: [("accounts", "0009")])
    answer = client.get("/readyz")
    assert answer.status_code == 503
    assert answer.json()["checks"] == {
        "database": "ok", "migrations": "1 not applied: run manage.py migrate", "redis": "ok",
    }  # fmt: skip


def test_readyz_warns_of_months_that_run_out_and_stays_ready(client: Client, db: None) -> None:
    with connection.cursor() as cursor:
        cursor.execute("RESET ROLE")
        cursor.execute(
            "SELECT format('DROP TABLE %I', relname) FROM pg_class WHERE relispartition AND relkind = 'r'"
            " AND relname ~ '^audit_journalentry_20'"
        )
        for (statement,) in cursor.fetchall():
            cursor.execute(statement)
        cursor.execute("SET ROLE rollcall_app")
    answer = client.get("/readyz")
    assert answer.status_code == 200
    assert answer.json()["ready"] is True
    assert answer.json()["warnings"] == {
        "months": "months ahead run out (audit_journalentry has 0):"
        " do scheduler and worker run? audit.tasks.make_months makes them"
    }


def test_readyz_warns_of_what_was_acknowledged_and_waits_in_any_tenant(
    client: Client, make_tenant: Callable[..., Tenant]
) -> None:
    now = dt.datetime.now(dt.UTC)
    for slug, minutes in (("one", 1), ("two", 4), ("three", 0)):
        with scope(tenant=make_tenant(slug).pk, cause=a_cause()):
            rows.received(received_at=now - dt.timedelta(minutes=minutes))
            rows.received(received_at=now - dt.timedelta(days=1), state="applied", ended_at=now)
    assert client.get("/readyz").json()["warnings"] == {}
    with scope(tenant=make_tenant("four").pk, cause=a_cause()):
        rows.received(received_at=now - dt.timedelta(minutes=7))
        stuck = rows.received(received_at=now - dt.timedelta(days=1), state="parked", error="x")
        rows.received(received_at=now - dt.timedelta(hours=1), system=stuck.system, lane=stuck.lane)
    answer = client.get("/readyz")
    assert (answer.status_code, answer.json()["ready"]) == (200, True)
    assert answer.json()["warnings"] == {
        "received": "what was acknowledged waits since 7 minutes to be applied: do scheduler and worker run?"
    }
    assert current_setting() == ""


def current_setting() -> str:
    """The tenant that the connection sees."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT coalesce(current_setting('rollcall.tenant', true), '')")
        return str(cursor.fetchone()[0])


def test_readyz_warns_of_what_waits_too_long_for_its_seal_and_stays_ready(client: Client, db: None) -> None:
    with scope(cause=a_cause()) as cause:
        since = cause.at - 2 * sealing.PATIENCE
    with as_owner(), connection.cursor() as cursor:
        cursor.execute("ALTER TABLE audit_cause DISABLE TRIGGER USER")
        cursor.execute("UPDATE audit_cause SET at = %s", [since])
    answer = client.get("/readyz")
    assert answer.status_code == 200
    assert answer.json()["ready"] is True
    assert answer.json()["warnings"] == {
        "seals": f"not sealed since {since:%Y-%m-%d %H:%M} UTC: do scheduler and worker run, and has the worker a key"
        " (ROLLCALL_SEAL_KEY_FILE)?"
    }


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
def test_probes_are_read_and_never_cached(client: Client, db: None, path: str) -> None:
    assert client.post(path).status_code == 405
    assert "no-store" in client.get(path)["Cache-Control"]
