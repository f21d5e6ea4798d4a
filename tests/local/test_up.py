"""`python -m local up` from nothing to its end, with stand-ins for the product in a tree of its own."""

from __future__ import annotations

import json
import os
import signal
import stat
import urllib.request
from contextlib import closing
from socket import create_server
from typing import TYPE_CHECKING

import pytest

from local import ports, processes, servers
from local.ports import LOOPBACK
from local.supervisor import Supervisor
from tests.local.conftest import all_gone, descendants, family_tree, until

if TYPE_CHECKING:
    from pathlib import Path

    from local.state import State
    from tests.local.conftest import Product, RunningUp

pytestmark = pytest.mark.local

ENDS = "Ctrl-C stops everything."


def web_environment(product: Product) -> dict[str, str]:
    """What the web process was given; it answers with it."""
    with urllib.request.urlopen(f"http://{LOOPBACK}:{product.port}/readyz", timeout=10) as answer:
        found: dict[str, str] = json.load(answer)["environment"]
    return found


def own_child(running: RunningUp, words: str) -> int | None:
    """The pid of the supervisor's own child whose command line has these words."""
    children = family_tree().get(running.process.pid, [])
    return next((pid for pid in children if words in processes.command_line(pid)), None)


def test_from_nothing_to_a_running_rollcall_and_to_its_end(product: Product) -> None:
    first = product.up()
    assert first.says(ENDS), first.text()

    assert f"Rollcall runs at http://127.0.0.1:{product.port}\n" in first.text()
    assert "  role      user name  password\n  security  sam        password-of-sam\n" in first.text()
    assert f"SCIM base URL  http://127.0.0.1:{product.port}/scim/v2\n" in first.text()
    assert "SCIM token     token-of-the-sandbox  (system Sandbox of sandbox)\n" in first.text()
    assert "demo     | loaded after 1 migrations: [('rollcall_owner', 'owner')]\n" in first.text()
    assert (product.state.static / "collected").exists()

    # a second one on the same tree is refused, and so is a reset
    for arguments in (("up",), ("reset", "--yes")):
        second = product.local(*arguments)
        assert second.returncode == 1
        assert second.stderr == f"rollcall: Rollcall already runs here (pid {first.process.pid}), stop it first.\n"

    family = descendants(first.process.pid)
    assert first.end() == 0
    assert first.text().endswith("Stopped.\n")
    assert all_gone(family)
    ports_before = product.state.kept_ports()

    # the second start keeps data and addresses
    again = product.up()
    assert again.says(ENDS), again.text()
    assert "demo     | loaded after 2 migrations: [('rollcall_owner', 'owner')]\n" in again.text()
    assert product.state.kept_ports() == ports_before
    assert again.end(signal.SIGTERM) == 0


def test_the_product_gets_the_environment_that_was_agreed(product: Product) -> None:
    running = product.up(ROLLCALL_TEST="1", ROLLCALL_ROLE="owner")
    assert running.says(ENDS), running.text()

    kept, secrets = product.state.kept_ports(), product.state.secrets()
    given = web_environment(product)
    root = product.root.resolve()
    database = f"127.0.0.1:{kept['postgres']}/rollcall"
    expected = {
        "DATABASE_URL": f"postgresql://rollcall_app:{secrets.app_password}@{database}",
        "DATABASE_OWNER_URL": f"postgresql://rollcall_owner:{secrets.owner_password}@{database}",
        "DATABASE_ERASER_URL": f"postgresql://rollcall_eraser:{secrets.eraser_password}@{database}",
        "REDIS_URL": f"redis://:{secrets.redis_password}@127.0.0.1:{kept['valkey']}/0",
        "SECRET_KEY": secrets.secret_key,
        "ROLLCALL_TOKEN_KEY": secrets.token_key,
        "ROLLCALL_FIELD_KEYS": secrets.field_keys,
        "ROLLCALL_STATE_DIR": str(root / ".rollcall"),
        "ROLLCALL_MAIL_DIR": str(root / ".rollcall" / "mail"),
        "ROLLCALL_STATIC_ROOT": str(root / ".rollcall" / "static"),
        "ROLLCALL_PUBLIC_URL": f"http://127.0.0.1:{product.port}",
        "ROLLCALL_BIND": f"127.0.0.1:{product.port}",
        "ROLLCALL_BOUND_TO": f"127.0.0.1:{product.port}",  # said by gunicorn
        "ROLLCALL_DEMO_DIRECTORY_URL": f"http://127.0.0.1:{kept['directory']}",
        "ROLLCALL_POOL": "1",
        "DJANGO_SETTINGS_MODULE": "governance.settings",
    }
    assert {name: given.get(name) for name in expected} == expected
    assert {"ROLLCALL_TEST", "ROLLCALL_ROLE"}.isdisjoint(given)

    # and whoever calls manage.py through us gets the same
    shown = product.local("manage", "environment")
    assert shown.returncode == 0, shown.stderr
    shown_environment = json.loads(shown.stdout)
    only_web = {"ROLLCALL_BOUND_TO", "ROLLCALL_POOL"}
    assert {name: shown_environment.get(name) for name in expected.keys() - only_web} == {
        name: value for name, value in expected.items() if name not in only_web
    }


def test_each_child_that_is_killed_lives_again(product: Product) -> None:
    running = product.up()
    assert running.says(ENDS), running.text()
    words = {"web": "gunicorn", "worker": "governance worker", "beat": "governance beat", "directory": "demo.directory"}
    killed = {name: own_child(running, said) for name, said in words.items()}

    for pid in killed.values():
        assert pid is not None
        os.kill(pid, signal.SIGKILL)

    for name in words:
        assert running.says(f"{name:<9}| was killed by SIGKILL; starting it again in 0.5 s", seconds=10), running.text()
    assert until(lambda: ports.answers_ok(product.port, "/readyz", host=LOOPBACK, called="127.0.0.1"))
    assert until(lambda: all(own_child(running, said) not in {None, killed[name]} for name, said in words.items()))
    family = descendants(running.process.pid)
    assert running.end() == 0
    assert all_gone(family)


def test_a_killed_supervisor_leaves_nothing_and_the_next_start_waits_for_that(product: Product) -> None:
    running = product.up()
    assert running.says(ENDS), running.text()
    family = descendants(running.process.pid)
    assert len(family) >= 10

    running.process.kill()
    running.process.wait()
    again = product.up()

    assert again.says(ENDS), again.text()
    assert "demo     | loaded after 2 migrations" in again.text()
    assert all_gone(family)


def test_a_closed_terminal_stops_everything(product: Product) -> None:
    running = product.up()
    assert running.says("Listening at"), running.text()
    family = descendants(running.process.pid)

    assert running.end(signal.SIGHUP) == 0  # while it is still starting
    assert all_gone(family)


def test_a_busy_port_is_said_in_one_line(product: Product) -> None:
    with closing(create_server((LOOPBACK, product.port))):
        refused = product.local("up")

    assert refused.returncode == 1
    assert refused.stdout == ""
    assert refused.stderr.startswith(
        f"rollcall: Port {product.port} is taken by another program, or not allowed: choose one, PORT=",
    )
    assert refused.stderr.endswith(" make run.\n")
    assert refused.stderr.count("\n") == 1
    assert not (product.state.path / "pg").exists()


@pytest.mark.parametrize("port", ["0", "65536", "http", "-1", "8_000"])
def test_a_port_that_is_none_is_said_in_one_line(product: Product, port: str) -> None:
    refused = product.local("up", PORT=port)

    assert refused.returncode == 1
    assert refused.stderr == f"rollcall: PORT must be a number from 1 to 65535, not {port!r}.\n"


def test_a_demo_that_cannot_be_loaded_stops_everything(product: Product) -> None:
    running = product.up(PRODUCT_FAILS="load")

    assert running.process.wait(timeout=60) == 1
    assert "demo     | the demo could not be loaded\n" in running.text()
    assert running.text().endswith("rollcall: `manage.py demo load` failed; the lines above say why.\n")
    assert all_gone(descendants(running.process.pid))


def test_facts_that_the_demo_did_not_write_whole_are_an_error(product: Product) -> None:
    script = product.root / "manage.py"
    script.write_text(script.read_text(encoding="utf-8").replace('"logins"', '"people"'), encoding="utf-8")
    running = product.up()

    assert running.process.wait(timeout=60) == 1
    assert running.text().endswith(
        f"rollcall: {product.state.demo_file.resolve()} is not what `manage.py demo prepare` writes: KeyError('logins')\n",
    )


def test_manage_needs_a_running_rollcall(product: Product) -> None:
    refused = product.local("manage", "environment")

    assert refused.returncode == 1
    assert refused.stderr == "rollcall: Rollcall does not run here: start it first (make run).\n"


def test_the_demo_file_and_logs_are_private(product: Product) -> None:
    running = product.up()
    assert running.says(ENDS), running.text()

    assert stat.S_IMODE(product.state.demo_file.stat().st_mode) == 0o600
    logs = {path.name: stat.S_IMODE(path.stat().st_mode) for path in product.state.logs.iterdir()}
    names = ("beat", "demo", "directory", "migrate", "postgres", "static", "valkey", "web", "worker")
    assert logs == {f"{name}.log": 0o600 for name in names}


# Servers of somebody else


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (
            {"DATABASE_URL": "postgresql://a@127.0.0.1/b", "REDIS_URL": "redis://127.0.0.1"},
            "DATABASE_OWNER_URL not set, but DATABASE_URL, REDIS_URL",
        ),
        ({"REDIS_URL": "redis://127.0.0.1"}, "DATABASE_URL and DATABASE_OWNER_URL not set, but REDIS_URL"),
        (
            {"DATABASE_URL": "postgresql://a@127.0.0.1/b", "DATABASE_OWNER_URL": "postgresql://c@127.0.0.1/b"},
            "REDIS_URL not set, but DATABASE_URL, DATABASE_OWNER_URL",
        ),
    ],
)
def test_only_some_of_the_servers_is_refused_in_one_line(product: Product, given: dict[str, str], said: str) -> None:
    refused = product.local("up", **given)

    assert refused.returncode == 1
    assert refused.stderr == f"rollcall: {said}: set all three, or none to use servers of our own.\n"


def test_roles_that_are_missing_are_said_with_the_statements_that_make_them(product: Product, state: State) -> None:
    with Supervisor(logs=state.logs, quiet=True).running() as supervisor:
        there = servers.start(supervisor, state, throwaway=True)
        there["DATABASE_OWNER_URL"] = there["DATABASE_OWNER_URL"].replace("rollcall_owner", "the-owner")
        refused = product.local("up", **there)

    assert refused.returncode == 1
    first, *rest = refused.stderr.splitlines()
    assert first.startswith("rollcall: DATABASE_OWNER_URL cannot be used: connection failed: ")
    assert 'password authentication failed for user "the-owner"' in first
    assert rest == [
        "PostgreSQL 15 or newer needs these roles and this database, made once by its administrator:",
        "  CREATE ROLE \"the-owner\" LOGIN NOSUPERUSER NOBYPASSRLS PASSWORD '...';",
        "  CREATE ROLE rollcall_app LOGIN NOSUPERUSER NOBYPASSRLS PASSWORD '...';",
        "  CREATE ROLE rollcall_eraser LOGIN NOSUPERUSER NOBYPASSRLS PASSWORD '...';",
        '  CREATE DATABASE rollcall OWNER "the-owner";',
    ]
    assert not any(secret in refused.stderr for secret in vars(state.secrets()).values())


def test_addresses_that_are_none_are_refused(product: Product, state: State) -> None:
    with Supervisor(logs=state.logs, quiet=True).running() as supervisor:
        there = servers.start(supervisor, state, throwaway=True)
        no_redis = product.local("up", **{**there, "REDIS_URL": "nowhere"})
        no_database = product.local("up", **{**there, "DATABASE_OWNER_URL": "nowhere"})

    assert no_redis.returncode == no_database.returncode == 1
    assert no_redis.stderr.startswith("rollcall: REDIS_URL cannot be used: Redis URL must specify")
    assert no_database.stderr == (
        "rollcall: DATABASE_OWNER_URL must look like postgres://user:password@host:port/database,"
        " with what is special in a password as %40 and the like.\n"
    )


@pytest.mark.parametrize("url", ["postgres://a:hid/den@127.0.0.1/b", "postgres://a:hid@den@127.0.0.1/b"])
def test_a_password_that_is_not_escaped_is_not_repeated(product: Product, url: str) -> None:
    given = dict.fromkeys(("DATABASE_URL", "DATABASE_OWNER_URL"), url)
    refused = product.local("up", **given, REDIS_URL="redis://127.0.0.1")

    assert refused.returncode == 1
    assert "DATABASE_OWNER_URL must look like" in refused.stderr
    assert "hid" not in refused.stderr
    assert "den" not in refused.stderr


def test_on_servers_of_somebody_else_there_is_no_demo_and_the_first_administrator_is_explained(
    product: Product, state: State
) -> None:
    with Supervisor(logs=state.logs, quiet=True).running() as supervisor:
        there = servers.start(supervisor, state, throwaway=True)
        running = product.up(**there, SECRET_KEY="a key that the operator brought")
        assert running.says(ENDS), running.text()

        assert f"Rollcall runs at http://127.0.0.1:{product.port}\n" in running.text()
        assert "  manage.py invite_administrator NAME\n" in running.text()
        assert "  CREATE ROLE rollcall_owner LOGIN NOSUPERUSER NOBYPASSRLS PASSWORD '...';\n" in running.text()
        given = web_environment(product)
        assert {name: given[name] for name in there} == there
        assert given["SECRET_KEY"] == "a key that the operator brought"
        assert given["ROLLCALL_TOKEN_KEY"] == product.state.secrets().token_key
        assert "ROLLCALL_DEMO_DIRECTORY_URL" not in given
        assert not product.state.demo_file.exists()
        assert {path.name for path in product.state.path.iterdir()} == {
            "lock",
            "logs",
            "mail",
            "ports.json",
            "seal-key.pem",
            "secrets.json",
            "static",
        }
        assert running.end() == 0


def test_on_servers_of_somebody_else_the_demo_is_loaded_when_asked_for(product: Product, state: State) -> None:
    with Supervisor(logs=state.logs, quiet=True).running() as supervisor:
        there = servers.start(supervisor, state, throwaway=True)
        running = product.up(**there, DEMO="1")
        assert running.says(ENDS), running.text()

        assert "SCIM token     token-of-the-sandbox" in running.text()
        assert not (product.state.path / "pg").exists()
        assert running.end() == 0


def test_a_database_of_somebody_else_that_holds_tenants_gets_no_demo_and_no_way_to_loopback(
    product: Product, state: State
) -> None:
    with Supervisor(logs=state.logs, quiet=True).running() as supervisor:
        there = servers.start(supervisor, state, throwaway=True)
        running = product.up(**there, DEMO="1", PRODUCT_HOLDS_TENANTS="1")
        assert running.says(ENDS), running.text()

        assert "demo     | this database holds tenants already\n" in running.text()
        assert "  manage.py invite_administrator NAME\n" in running.text()
        assert "SCIM token" not in running.text()
        assert "ROLLCALL_DEMO_DIRECTORY_URL" not in web_environment(product)
        assert own_child(running, "demo.directory") is None
        assert running.end() == 0


def test_data_of_our_own_without_their_demo_are_refused_in_one_line(product: Product) -> None:
    running = product.up(PRODUCT_HOLDS_TENANTS="1")

    assert running.process.wait(timeout=60) == 1
    assert running.text().endswith(
        f"rollcall: {product.state.demo_file.resolve()} is not about these data:"
        " put it back, or start afresh (make reset).\n"
    )


def test_a_public_name_is_what_the_web_process_is_called_by(product: Product, state: State) -> None:
    script = product.root / "governance" / "wsgi.py"
    refuses_others = (
        '    if environ["HTTP_HOST"] != "rollcall.example.org":\n        raise ValueError(environ["HTTP_HOST"])\n'
    )
    before, answer, after = script.read_text(encoding="utf-8").partition('    start_response("200 OK"')
    script.write_text(before + refuses_others + answer + after, encoding="utf-8")
    with Supervisor(logs=state.logs, quiet=True).running() as supervisor:
        there = servers.start(supervisor, state, throwaway=True)
        other = ports.pick()
        running = product.up(
            **there,
            ROLLCALL_PUBLIC_URL="https://rollcall.example.org",
            ROLLCALL_BIND=f"127.0.0.1:{other}",
        )
        assert running.says(ENDS), running.text()

        assert "Rollcall runs at https://rollcall.example.org\n" in running.text()
        assert ports.accepts(other)
        assert not ports.accepts(product.port)
        assert running.end() == 0


def test_a_tree_that_was_moved_finds_its_data(product: Product, tmp_path: Path) -> None:
    running = product.up()
    assert running.says(ENDS), running.text()
    running.end()

    product.root = product.root.rename(tmp_path / "moved")
    again = product.up()

    assert again.says(ENDS), again.text()
    assert "demo     | loaded after 2 migrations" in again.text()
