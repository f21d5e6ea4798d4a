"""The product on servers of somebody else, made by exactly the statements that it prints, to its first administrator."""

from __future__ import annotations

import json
import re
import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import psycopg
import pytest

from local import ports, postgres, servers, valkey
from local.ports import LOOPBACK
from local.supervisor import Supervisor
from tests.local.conftest import all_gone, copy_of_the_tree, descendants, running_in
from tests.local.visitor import Visitor

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from local.state import State
    from tests.local.conftest import Product, RunningUp

pytestmark = pytest.mark.local

ENDS = "Ctrl-C stops everything."
PATIENCE = 600.0
NEEDS = "PostgreSQL 15 or newer needs these roles and this database, made once by its administrator:\n"
NEW_PASSWORD = "a horse, a battery and a staple"


@dataclass
class Servers:
    """A PostgreSQL that nobody prepared, and a Redis-compatible server; and where the product is to find them."""

    postgres_port: int
    redis_url: str
    superuser_password: str
    passwords: dict[str, str] = field(default_factory=lambda: {
        name: secrets.token_urlsafe(12) for name in ("rollcall_owner", "rollcall_app", "rollcall_eraser")
    })  # fmt: skip

    @property
    def environment(self) -> dict[str, str]:
        variables = {"DATABASE_OWNER_URL": "owner", "DATABASE_URL": "app", "DATABASE_ERASER_URL": "eraser"}
        return {"REDIS_URL": self.redis_url} | {
            name: f"postgresql://rollcall_{role}:{self.passwords[f'rollcall_{role}']}"
            f"@{LOOPBACK}:{self.postgres_port}/rollcall?sslmode=prefer&connect_timeout=7"
            for name, role in variables.items()
        }

    def make(self, statements: str) -> None:
        """Run statements as the administrator of the server, with a password in place of each `...`."""
        with psycopg.connect(
            host=LOOPBACK, port=self.postgres_port, user=postgres.SUPERUSER, password=self.superuser_password,
            dbname="postgres", autocommit=True,
        ) as administrator:  # fmt: skip
            for line in statements.splitlines():
                role = re.search(r"CREATE ROLE (\w+)", line)
                administrator.execute(line.replace("'...'", f"'{self.passwords[role[1]]}'") if role else line)


@pytest.fixture
def there(state: State) -> Iterator[Servers]:
    """Servers as somebody else would run them: the operating system's PostgreSQL where there is one."""
    binaries = postgres.system_binaries() or postgres.find_binaries()
    place = servers._place(state)
    cluster = postgres.Cluster(
        data=place / "pg",
        binaries=postgres.reachable_binaries(binaries, place=place),
        port=ports.pick(),
        throwaway=True,
    )
    password = secrets.token_hex(12)
    store = valkey.Valkey(data=state.path / "valkey", port=ports.pick(), password=password, throwaway=True)
    cluster.create(password=password)
    store.create()
    with Supervisor(logs=state.logs, quiet=True).running() as supervisor:
        supervisor.start(cluster.service())
        supervisor.start(store.service())
        supervisor.wait_for(cluster.says_ready, what="PostgreSQL", seconds=120)
        supervisor.wait_for(store.is_ready, what="Valkey", seconds=120)
        yield Servers(cluster.port, valkey.url(password=password, port=store.port), password)


def start(product: Product, *, says: str = ENDS, **values: str) -> RunningUp:
    running = product.up(**values)
    assert running.says(says, seconds=PATIENCE), running.text()[-4000:]
    return running


def stop(running: RunningUp) -> None:
    family = descendants(running.process.pid)
    assert running.end(seconds=60) == 0
    assert all_gone(family)


def manage(product: Product, *arguments: str, **values: str) -> str:
    done = product.local("manage", *arguments, **values)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def test_from_the_printed_statements_to_the_first_administrator_and_a_demo_only_where_nobody_lives(
    tmp_path: Path, there: Servers
) -> None:
    with running_in(copy_of_the_tree(tmp_path / "tree")) as product:
        refused_without_roles(product, there)
        running = start(product, **there.environment)
        says_how_to_begin(product, running)
        the_first_administrator_comes_in(product, there)
        stop(running)

        the_demo_is_made_in_a_database_without_tenants(product, there)
        # Another installation, whose state is empty: the tenants that the demo made are those of somebody else to it.
        beside = {**there.environment, "DEMO": "1", "ROLLCALL_STATE_DIR": str(tmp_path / "beside")}
        running = start(product, **beside)
        assert (
            "demo     | CommandError: this database holds tenants already: no demo is loaded into it\n"
            in running.text()
        )
        assert "  manage.py invite_administrator NAME\n" in running.text()
        assert not (tmp_path / "beside" / "demo.json").exists()
        stop(running)


def refused_without_roles(product: Product, there: Servers) -> None:
    """Nothing is there yet: it says what to do, and doing exactly that is enough."""
    refused = product.local("up", **there.environment)
    assert refused.returncode == 1
    said, _, statements = refused.stderr.partition(NEEDS)
    assert said.startswith("rollcall: DATABASE_OWNER_URL cannot be used: ")
    assert [line.split()[:3] for line in statements.splitlines()] == [
        ["CREATE", "ROLE", "rollcall_owner"],
        ["CREATE", "ROLE", "rollcall_app"],
        ["CREATE", "ROLE", "rollcall_eraser"],
        ["CREATE", "DATABASE", "rollcall"],
    ]
    assert not any(password in refused.stderr for password in there.passwords.values())
    there.make(statements)


def says_how_to_begin(product: Product, running: RunningUp) -> None:
    """No demo, no logins; the first administrator is explained."""
    block = running.text()[running.text().index("Rollcall runs at") :]
    assert f"Rollcall runs at http://127.0.0.1:{product.port}\n" in block
    assert "  manage.py invite_administrator NAME\n" in block
    assert block.count("  CREATE ROLE rollcall_") == 3
    assert "password" not in block
    assert "SCIM token" not in running.text()
    assert not product.state.demo_file.exists()
    assert not (product.state.path / "pg").exists()
    held = manage_facts(product, running)
    assert held == {"tenants": 0, "users": 0}


def manage_facts(product: Product, running: RunningUp) -> dict[str, int]:
    """What the database holds, asked in the environment that the operator has."""
    code = (
        "import json; from accounts.models import Tenant, User; from audit.scope import scope\n"
        "with scope(): print('HELD ' + json.dumps({'tenants': Tenant.objects.count(), 'users': User.objects.count()}))"
    )
    said = manage(product, "shell", "-v0", "-c", code, **running.values)
    found: dict[str, int] = json.loads(said.partition("HELD ")[2])
    return found


def the_first_administrator_comes_in(product: Product, there: Servers) -> None:
    """The link is looked at, used, and then opens nothing any more."""
    said = manage(product, "invite_administrator", "ada", "--email", "ada@example.org", **there.environment)
    (link,) = re.findall(rf"http://127\.0\.0\.1:{product.port}(/welcome/\S+/)", said)
    with Visitor(f"http://127.0.0.1:{product.port}") as ada:
        assert not ada.sign_in("ada", NEW_PASSWORD)
        assert [ada.get(link).status_code for _ in range(3)] == [200, 200, 200]
        short = ada.send(link, new_password1="short", new_password2="short")
        assert short.status_code == 422
        used = ada.send(link, new_password1=NEW_PASSWORD, new_password2=NEW_PASSWORD)
        assert (used.status_code, used.headers["Location"]) == (302, "/login/")
        again = ada.get(link)
        assert again.status_code == 410
        assert "This link opens nothing" in again.text
        assert ada.sign_in("ada", NEW_PASSWORD)
        assert ada.get("/").status_code == 200
    refused = product.local("manage", "invite_administrator", "Ada", **there.environment)
    assert refused.returncode == 1
    assert "ada is an administrator already" in refused.stderr


def the_demo_is_made_in_a_database_without_tenants(product: Product, there: Servers) -> None:
    """DEMO=1, and nobody lives there: the story begins. A stop in the middle of it takes seconds too."""
    running = start(product, says="Workforce: 50 of 352 accounts", **there.environment, DEMO="1")
    assert "demo     | The demo is prepared: 5 systems, 5 logins.\n" in running.text()
    assert product.state.demo_file.exists()
    assert not (product.state.path / "pg").exists()
    stop(running)
