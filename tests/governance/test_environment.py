"""What the settings make of the environment, and what they say of what is wrong in it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.core.exceptions import ImproperlyConfigured
from django.db import connection
from django.db.backends.postgresql.base import DatabaseWrapper

from governance import environment

ROOT = Path(__file__).parents[2]
SHAPE = "DATABASE_URL must look like postgres://user:password@host:port/database"
ESCAPED = f"{SHAPE}, with what is special in a password as %40 and the like"


def read(monkeypatch: pytest.MonkeyPatch, url: str) -> dict[str, Any]:
    monkeypatch.setenv("DATABASE_URL", url)
    return environment.database("DATABASE_URL")


def test_a_plain_address_has_our_options(monkeypatch):
    assert read(monkeypatch, "postgres://ada:s%40crets@db.example:5433/roll%20call") == {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": "roll call",
        "USER": "ada",
        "PASSWORD": "s@crets",
        "HOST": "db.example",
        "PORT": "5433",
        "CONN_MAX_AGE": 0,
        "CONN_HEALTH_CHECKS": True,
        "OPTIONS": {"connect_timeout": 10, "application_name": "rollcall", "options": "-c lock_timeout=30s"},
    }


def test_parameters_reach_libpq_and_win_over_ours(monkeypatch):
    found = read(
        monkeypatch,
        "postgresql://ada:x@db.example/rollcall?sslmode=verify-full&sslrootcert=/etc/ca.pem&connect_timeout=3"
        "&options=-c%20statement_timeout%3D5s%20-c%20lock_timeout%3D9s",
    )
    assert (found["HOST"], found["PORT"], found["NAME"]) == ("db.example", "5432", "rollcall")
    assert found["OPTIONS"] == {
        "connect_timeout": "3",
        "application_name": "rollcall",
        "sslmode": "verify-full",
        "sslrootcert": "/etc/ca.pem",
        "options": "-c lock_timeout=30s -c statement_timeout=5s -c lock_timeout=9s",
    }


@pytest.mark.parametrize(
    ("url", "host", "port"),
    [
        ("postgres://ada@/rollcall?host=/run/postgresql", "/run/postgresql", "5432"),
        ("postgres://ada@%2Frun%2Fpostgresql:5433/rollcall", "/run/postgresql", "5433"),
        ("postgres://ada:x@[::1]:5433/rollcall", "::1", "5433"),
        ("postgres://ada:x@a.example:1,b.example:2/rollcall?target_session_attrs=read-write",
         "a.example,b.example", "1,2"),
    ],
)  # fmt: skip
def test_sockets_and_several_hosts_are_read_as_libpq_reads_them(monkeypatch, url, host, port):
    found = read(monkeypatch, url)
    assert (found["HOST"], found["PORT"], found["USER"], found["NAME"]) == (host, port, "ada", "rollcall")


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("sslmod=require", 'invalid URI query parameter: "sslmod"'),
        ("pool=4", 'invalid URI query parameter: "pool"'),
        ("sslmode", 'missing key/value separator "=" in URI query parameter: "sslmode"'),
    ],
)
def test_a_parameter_that_libpq_does_not_know_is_named(monkeypatch, query, said):
    with pytest.raises(ImproperlyConfigured) as caught:
        read(monkeypatch, f"postgres://ada:hidden@db.example/rollcall?{query}")
    assert str(caught.value) == f"DATABASE_URL: {said}"


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("host=db.example dbname=rollcall user=ada", SHAPE),
        ("mysql://ada:hidden@db.example/rollcall", SHAPE),
        ("postgres://db.example/rollcall", SHAPE),
        ("postgres://ada:hidden@db.example/", SHAPE),
        ("postgres://ada:hid/den@db.example/rollcall", ESCAPED),
        ("postgres://ada:hid/den?parts=of@db.example/rollcall", ESCAPED),
        ("postgres://ada:hid@den@db.example/rollcall", ESCAPED),
        ("postgres://ada:hid%zzden@db.example/rollcall", ESCAPED),
        ("postgres://ada:hidden@db.example:port/rollcall", ESCAPED),
        ("postgres://ada:x@db.example/rollcall?port=many", SHAPE),
        ("postgres://ada:x@db.example/rollcall?a%20b=hidden", ESCAPED),
    ],
)
def test_an_address_that_is_none_is_refused_without_being_repeated(monkeypatch, url, said):
    with pytest.raises(ImproperlyConfigured) as caught:
        read(monkeypatch, url)
    assert str(caught.value) == said


def test_a_missing_address_says_why_it_is_needed(monkeypatch):
    with pytest.raises(ImproperlyConfigured, match=r"^DATABASE_URL is not set: it says where PostgreSQL is"):
        read(monkeypatch, " ")


def as_django_connects(found: dict[str, Any]) -> psycopg.Connection:
    """A connection with exactly what Django would pass on."""
    settings = connection.settings_dict | found | {"NAME": connection.settings_dict["NAME"]}
    wrapper = DatabaseWrapper(settings, alias="tried")
    return wrapper.get_new_connection(wrapper.get_connection_params())


def test_parameters_are_honoured_by_a_real_connection(monkeypatch, db):
    url = os.environ["DATABASE_URL"]
    found = read(monkeypatch, f"{url}?application_name=tried&sslmode=disable&options=-c%20statement_timeout%3D4s")
    with as_django_connects(found) as tried:
        shown = tried.execute(
            "SELECT current_setting('application_name'), current_setting('statement_timeout'),"
            " current_setting('lock_timeout')"
        ).fetchone()
    assert shown == ("tried", "4s", "30s")
    # The servers of the tests have no TLS: whoever demands it is refused.
    with pytest.raises(psycopg.OperationalError, match="SSL"):
        as_django_connects(read(monkeypatch, f"{url}?sslmode=require"))


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("DATABASE_URL", "postgres://ada:hidden@h/d?sslmod=1", 'DATABASE_URL: invalid URI query parameter: "sslmod"'),
        ("ROLLCALL_SWEEP_SECONDS", "0", "ROLLCALL_SWEEP_SECONDS is '0': it must be a whole number from 1 to 3600"),
        ("ROLLCALL_PUBLIC_URL", "rollcall.example",
         "ROLLCALL_PUBLIC_URL is 'rollcall.example': it must be like https://rollcall.example"),
        ("ROLLCALL_ALLOWED_NETWORKS", "10.1.0.1/16",
         "ROLLCALL_ALLOWED_NETWORKS: 10.1.0.1/16 has host bits set; write networks such as 10.1.0.0/16"),
        ("ROLLCALL_TRUSTED_PROXIES", "the-proxy",
         "ROLLCALL_TRUSTED_PROXIES: 'the-proxy' does not appear to be an IPv4 or IPv6 network; write networks"),
        ("ROLLCALL_BEHIND_PROXY", "1",
         "ROLLCALL_BEHIND_PROXY is gone: name the proxies' addresses in ROLLCALL_TRUSTED_PROXIES instead"),
        ("SECRET_KEY", "", "SECRET_KEY is not set: it signs sessions and one-use links. `make run` sets it by itself."),
    ],
)  # fmt: skip
def test_a_broken_setting_stops_the_start_with_one_readable_line(name, value, said):
    environ = {**os.environ, "ROLLCALL_TEST": "", name: value}
    done = subprocess.run(
        [sys.executable, "manage.py", "check"],
        cwd=ROOT,
        env=environ,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 1
    assert said in done.stderr
    assert done.stderr.count("\n") == 1
    assert "Traceback" not in done.stderr
    assert "hidden" not in done.stderr
