"""What every test stands on: the real database as the application's own role, a tenant, a cause."""

from __future__ import annotations

import datetime as dt
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from django.apps import apps
from django.contrib.contenttypes.management import create_contenttypes
from django.contrib.contenttypes.models import ContentType
from django.db import connection, connections, transaction
from django.db.backends.signals import connection_created

from accounts.models import Tenant, TenantKind
from audit import sealing
from audit.grants import APP_ROLE, ERASER_ROLE
from audit.models import Cause, CauseKind
from audit.scope import scope

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from django.db.models import Model

AT = dt.datetime(2026, 11, 23, 12, 0, tzinfo=dt.UTC)


def pytest_addoption(parser: pytest.Parser) -> None:
    """What `make screenshots` and `make drill` ask for."""
    group = parser.getgroup("rollcall")
    group.addoption("--screenshots", action="store_true", help="make the screenshots of the README in docs/screenshots")
    group.addoption("--drill", type=int, default=0, metavar="KILLS", help="kill web and worker this many times")
    group.addoption("--drill-seed", type=int, default=None, metavar="SEED", help="the seed of the drill's first round")


def _become_app(*, connection: Any, **_: Any) -> None:
    with connection.cursor() as cursor:
        cursor.execute(f"SET ROLE {APP_ROLE}")


def _flush_as_owner(handle: Any) -> Any:
    """The flush after a transactional test truncates evidence too: it is the owner, and says that it erases."""

    def flush(self: Any, **options: Any) -> None:
        with connection.cursor() as cursor:
            cursor.execute("RESET ROLE; SET rollcall.erasure = '1'")
            try:
                handle(self, **{**options, "inhibit_post_migrate": True})
                # As the owner: the application may read content types, and nothing more.
                ContentType.objects.clear_cache()
                for config in apps.get_app_configs():
                    create_contenttypes(config, verbosity=0)
            finally:
                cursor.execute(f"RESET rollcall.erasure; SET ROLE {APP_ROLE}")

    return flush


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None, django_db_blocker: Any) -> Iterator[None]:
    """Migrated by the owner, guards and all; every later connection is the application's role."""
    from django.core.management.commands import flush  # noqa: PLC0415

    flush.Command.handle = _flush_as_owner(flush.Command.handle)  # type: ignore[method-assign]
    connection_created.connect(_become_app, dispatch_uid="rollcall.tests.role")
    with django_db_blocker.unblock():
        connections.close_all()
    yield
    connection_created.disconnect(dispatch_uid="rollcall.tests.role")
    with django_db_blocker.unblock():
        connections.close_all()
        # A live server's thread may still hold its connection; the database could not be dropped then.
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
                # Nobody but a superuser may stop the server's own workers; they don't keep a database from its end.
                " AND backend_type = 'client backend'"
            )
        connections.close_all()


_HORIZON = """
SELECT least(pg_snapshot_xmax(pg_current_snapshot())::text::bigint,
  (SELECT min(l.transactionid::text::bigint) FROM pg_locks l JOIN pg_stat_activity a USING (pid)
   WHERE l.locktype = 'transactionid' AND l.mode = 'ExclusiveLock' AND a.datname = current_database()))
"""


def _horizon_here() -> int:
    """Every transaction of this database with a smaller number has ended. The numbers are the whole cluster's."""
    with connection.cursor() as cursor:
        cursor.execute(_HORIZON)
        return int(cursor.fetchone()[0])


@pytest.fixture(scope="session", autouse=True)
def seals_wait_for_nobody_else() -> Iterator[None]:
    """Another worker of the tests has a database of its own on this cluster: its transactions would hold up sealing."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sealing, "_horizon", _horizon_here)
        yield


@contextmanager
def as_owner() -> Iterator[None]:
    """The tables' owner, for what the application may not do. The owner too sees one tenant at a time."""
    with connection.cursor() as cursor:
        cursor.execute("RESET ROLE")
        try:
            yield
        finally:
            cursor.execute(f"SET ROLE {APP_ROLE}")


@contextmanager
def as_setup() -> Iterator[None]:
    """Rows with a past, or that no second person asked for: only the tables' owner writes them."""
    # Whatever fails in it is rolled back, and who writes with it.
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("RESET ROLE")
        yield
        cursor.execute(f"SET ROLE {APP_ROLE}")


def take_rules_away(model: type[Model]) -> None:
    """What only the tables' owner can do, for the rest of the test: the rules of a table's rows are gone."""
    with as_setup(), connection.cursor() as cursor:
        # A table with checks that still wait can't be altered.
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE; SET CONSTRAINTS ALL DEFERRED")
        table = model._meta.db_table
        cursor.execute(
            "SELECT tgname FROM pg_trigger WHERE tgrelid = %s::regclass AND NOT tgisinternal"
            " AND (tgname LIKE 'audit_keep_facts%%' OR tgname LIKE '%%_rules')",
            [table],
        )
        for (name,) in cursor.fetchall():
            cursor.execute(f'ALTER TABLE "{table}" DISABLE TRIGGER "{name}"')


def drop_connection() -> None:
    """The server ends this process's connection, as when it is shut down. Raises what whoever asks something then gets."""
    with connection.cursor() as cursor:
        cursor.execute("RESET ROLE")
        cursor.execute("SELECT pg_terminate_backend(pg_backend_pid())")


@pytest.fixture
def at() -> dt.datetime:
    """The instant at which tests happen."""
    return AT


def a_cause(**values: Any) -> Cause:
    """A cause for a test's own writes."""
    return Cause(**({"kind": CauseKind.TEST, "actor": "a test", "reason": "because"} | values))


@pytest.fixture
def make_tenant(db: None) -> Callable[..., Tenant]:
    """Makes tenants, each in a scope of its own."""

    def make(slug: str = "acme", **values: Any) -> Tenant:
        with scope(cause=a_cause()):
            tenant: Tenant = Tenant.objects.create(
                **({"slug": slug, "name": slug.title(), "kind": TenantKind.ORGANISATION, "made_at": AT} | values)
            )
        return tenant

    return make


@pytest.fixture
def tenant(make_tenant: Callable[..., Tenant]) -> Tenant:
    """One tenant, not in scope yet."""
    return make_tenant()


@pytest.fixture
def because(tenant: Tenant) -> Iterator[Cause]:
    """Inside that tenant, with a cause: what follows may write."""
    with scope(tenant=tenant.pk, cause=a_cause()) as cause:
        yield cause


@contextmanager
def as_eraser() -> Iterator[None]:
    """The role of recorded erasure and retention, with its own rights and no others."""
    # Whatever fails in it is rolled back, and the role with it.
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(f"SET ROLE {ERASER_ROLE}")
        yield
        cursor.execute(f"SET ROLE {APP_ROLE}")
