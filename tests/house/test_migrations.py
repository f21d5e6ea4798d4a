"""The migrations are complete, in one line, and lead back to nothing and forward again to the same database."""

from __future__ import annotations

import os
import subprocess
import sys
import uuid
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from django.apps import apps
from django.core.management import call_command
from django.db.migrations.autodetector import MigrationAutodetector
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.state import ProjectState
from psycopg import sql

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.house

ROOT = Path(__file__).parents[2]
FLOORS = ("audit", "accounts", "provisioning", "governance")


@pytest.fixture(scope="module")
def loader() -> MigrationLoader:
    """The migrations on disk, without a database."""
    return MigrationLoader(None)


def test_the_models_hold_nothing_that_no_migration_makes(loader):
    changes = MigrationAutodetector(loader.project_state(), ProjectState.from_apps(apps)).changes(graph=loader.graph)
    assert {app: [m.operations for m in found] for app, found in changes.items()} == {}


@pytest.mark.django_db
def test_the_command_finds_nothing_to_make_either(capsys):
    call_command("makemigrations", "--check", "--dry-run")
    assert "No changes detected" in capsys.readouterr().out


@pytest.mark.parametrize("floor", FLOORS)
def test_the_migrations_of_a_floor_are_one_line(loader, floor):
    own = sorted(key for key in loader.disk_migrations if key[0] == floor)
    assert [name[:4] for _, name in own] == [f"{number:04}" for number in range(1, len(own) + 1)]
    for before, after in pairwise(own):
        assert {node.key for node in loader.graph.node_map[after].parents if node.key[0] == floor} == {before}
    assert loader.graph.leaf_nodes(floor) == [own[-1]]
    assert loader.detect_conflicts() == {}


@pytest.mark.parametrize("floor", FLOORS)
def test_a_migration_depends_on_its_own_floor_and_those_below(loader, floor):
    below = set(FLOORS[: FLOORS.index(floor) + 1])
    for (app, name), migration in loader.disk_migrations.items():
        if app == floor:
            assert {dependency[0] for dependency in migration.dependencies} & set(FLOORS) <= below, name


@pytest.mark.parametrize("floor", FLOORS)
def test_every_migration_can_be_undone_and_has_a_name_that_says_what_it_does(loader, floor):
    for (app, name), migration in loader.disk_migrations.items():
        if app == floor:
            assert "auto" not in name
            assert len(name.split("_")) >= 2
            assert all(operation.reversible for operation in migration.operations), name


# ── forward, back, forward ──────────────────────────────────────────────────────────────────────────────────────

EVERYTHING = """
SELECT 'column', table_name || '.' || column_name, data_type || ' ' || is_nullable || ' ' || coalesce(column_default, '')
  FROM information_schema.columns WHERE table_schema = 'public'
UNION ALL SELECT 'constraint', conrelid::regclass || '.' || conname, pg_get_constraintdef(oid)
  FROM pg_constraint WHERE connamespace = 'public'::regnamespace AND contype <> 'n'
UNION ALL SELECT 'index', indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'
UNION ALL SELECT 'trigger', tgrelid::regclass || '.' || tgname, pg_get_triggerdef(t.oid)
  FROM pg_trigger t WHERE NOT tgisinternal
UNION ALL SELECT 'policy', tablename || '.' || policyname, qual || ' / ' || with_check FROM pg_policies
UNION ALL SELECT 'function', proname, md5(prosrc) FROM pg_proc WHERE pronamespace = 'public'::regnamespace
UNION ALL SELECT 'table', relname, relrowsecurity || ' ' || relforcerowsecurity || ' ' || coalesce(relacl::text, '')
  FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p')
ORDER BY 1, 2, 3
"""


@pytest.fixture
def throw_away() -> Iterator[str]:
    """The address of a new, empty database, and its end."""
    server = os.environ["DATABASE_OWNER_URL"].rpartition("/")[0]
    name = sql.Identifier(made := f"test_rollcall_migrations_{uuid.uuid4().hex[:12]}")
    with psycopg.connect(f"{server}/postgres", autocommit=True) as admin:
        admin.execute(sql.SQL("CREATE DATABASE {}").format(name))
        try:
            yield f"{server}/{made}"
        finally:
            admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(name))


def migrate(url: str, *arguments: str) -> None:
    process = subprocess.run(
        [sys.executable, "manage.py", "migrate", "--verbosity", "0", *arguments],
        cwd=ROOT,
        env={**os.environ, "DATABASE_OWNER_URL": url, "ROLLCALL_ROLE": "owner"},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert process.returncode == 0, process.stdout + process.stderr


def catalogue(url: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(url) as database:
        return database.execute(EVERYTHING).fetchall()


def test_forward_back_to_nothing_and_forward_again_gives_the_same_database(throw_away):
    migrate(throw_away)
    first = catalogue(throw_away)
    assert len(first) > 1500
    for floor in reversed(FLOORS):
        migrate(throw_away, floor, "zero")
        assert [row for row in catalogue(throw_away) if row[0] == "table" and row[1].startswith(f"{floor}_")] == []
    # The ground floor's functions stay: they are installed once for all, and replaced at every migrate.
    left = {row[1] for row in catalogue(throw_away) if row[0] == "function"}
    assert left == {
        "audit_track", "audit_keep_key", "audit_keep_facts", "audit_owns", "audit_erases", "audit_append_only",
        "audit_add_months",
    }  # fmt: skip
    migrate(throw_away)
    assert catalogue(throw_away) == first
