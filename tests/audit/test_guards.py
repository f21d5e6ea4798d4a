"""What the database refuses to the application, and to its own owner."""

from __future__ import annotations

import os
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from django.contrib.auth.models import Permission
from django.contrib.sessions.models import Session
from django.db import DatabaseError, connection, transaction
from django.db.migrations.state import ProjectState

from accounts.models import Group
from audit import grants, guards, journal
from audit.guards import Guard, InstallFunctions, WrongRole, refuse_wrong_role
from audit.models import Cause, JournalEntry, Rights
from audit.scope import scope
from tests.conftest import AT, a_cause, as_owner

if TYPE_CHECKING:
    from collections.abc import Iterator

# Tables of evidence: one that is plain, one that is partitioned, one of a partition's own name (see `a_partition`).
EVIDENCE = ("audit_cause", "audit_journalentry", "audit_journalsubject", "provisioning_exchange", "governance_answer")
NOT_ALLOWED = "42501"


def refused(statement: str, *values: Any) -> str:
    """The SQLSTATE with which a statement is refused."""
    with pytest.raises(DatabaseError) as caught, transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(statement, values)
    return str(caught.value.__cause__.sqlstate)


def a_partition(table: str) -> str:
    with connection.cursor() as cursor:
        cursor.execute("SELECT min(inhrelid::regclass::text) FROM pg_inherits WHERE inhparent = %s::regclass", [table])
        return str(cursor.fetchone()[0])


@pytest.mark.parametrize(
    "statement",
    [
        "ALTER TABLE accounts_group DISABLE TRIGGER audit_update",
        "ALTER TABLE accounts_group DISABLE TRIGGER ALL",
        "DROP TRIGGER audit_update ON accounts_group",
        "ALTER TABLE accounts_group DISABLE ROW LEVEL SECURITY",
        "DROP POLICY rollcall_tenant ON accounts_group",
        "SET session_replication_role = replica",
        "SET LOCAL session_replication_role = replica",
        "TRUNCATE accounts_group CASCADE",
        "TRUNCATE accounts_historicalgroup",
        "DELETE FROM accounts_group",
        "DELETE FROM accounts_account",
        "INSERT INTO accounts_historicalgroup (history_id) VALUES (1)",
        "UPDATE accounts_historicalgroup SET history_change_reason = 'another'",
        "DELETE FROM accounts_historicalgroup",
        "UPDATE audit_cause SET reason = 'another'",
        "DELETE FROM audit_cause",
        "UPDATE audit_journalentry SET sentence = 'another'",
        "DELETE FROM audit_journalentry",
        "TRUNCATE audit_journalentry",
        "CREATE TABLE mine (id int)",
        "CREATE OR REPLACE FUNCTION audit_append_only() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'",
        "INSERT INTO django_migrations (app, name, applied) VALUES ('audit', '0009', now())",
    ],
)
def test_the_application_may_not(tenant, because, statement):
    Group.objects.create(tenant=tenant, display_name="web", display_name_key="web", made_at=AT)
    assert refused(statement) == NOT_ALLOWED
    assert Group.history.count() == 1


def test_the_applications_role_can_become_no_other(db):
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT rolsuper, rolbypassrls, rolcreaterole, rolcreatedb, rolreplication,"
            " (SELECT count(*) FROM pg_auth_members WHERE member = r.oid) FROM pg_roles r WHERE rolname = current_user"
        )
        assert cursor.fetchone() == (False, False, False, False, False, 0)
        cursor.execute("SELECT has_schema_privilege(current_user, 'public', 'CREATE')")
        assert cursor.fetchone() == (False,)


def test_the_application_can_not_read_a_partition_by_its_name(db):
    assert refused(f'SELECT * FROM "{a_partition("audit_journalentry")}"') == NOT_ALLOWED


@pytest.mark.parametrize("table", EVIDENCE)
@pytest.mark.parametrize(
    "statement", ["UPDATE {} SET tenant_id = tenant_id", "DELETE FROM {}", "TRUNCATE {} CASCADE"], ids=lambda s: s[:6]
)
def test_evidence_is_append_only_for_the_owner_of_its_table_too(tenant, because, table, statement):
    with as_owner():
        assert refused(statement.format(table)) == "RC005"


@pytest.mark.parametrize("table", ["audit_journalentry", "provisioning_exchange"])
@pytest.mark.parametrize(
    "statement", ["UPDATE {} SET tenant_id = tenant_id", "DELETE FROM {}", "TRUNCATE {}"], ids=lambda s: s[:6]
)
def test_a_partition_named_directly_is_append_only_too(tenant, because, table, statement):
    with as_owner():
        assert refused(statement.format(a_partition(table))) == "RC005"


class Event(StrEnum):
    """An event that only this test knows."""

    HAPPENED = "test.happened"


def test_recorded_erasure_passes_with_the_setting_and_under_the_role(tenant, because):
    entry = journal.record(event=Event.HAPPENED, sentence="To be erased.")
    with as_owner(), connection.cursor() as cursor:
        # The tests' owner is a member of rollcall_eraser, as an erasing job's role is.
        assert refused("DELETE FROM audit_journalentry WHERE id = %s", entry.pk) == "RC005"
        for value in ("0", "", "true"):
            cursor.execute("SELECT set_config('rollcall.erasure', %s, true)", [value])
            assert refused("DELETE FROM audit_journalentry WHERE id = %s", entry.pk) == "RC005"
        cursor.execute("SELECT set_config('rollcall.erasure', '1', true)")
        cursor.execute("DELETE FROM audit_journalentry WHERE id = %s", [entry.pk])
        assert cursor.rowcount == 1
    assert not JournalEntry.objects.filter(pk=entry.pk).exists()


@pytest.fixture
def as_application_with_too_many_rights(make_tenant: Any) -> Iterator[tuple[Any, psycopg.Connection]]:
    """A connection that is the application's role from its first byte, and may for once delete causes."""
    tenant = make_tenant("overgranted")
    with scope(tenant=tenant.pk, cause=a_cause()) as cause:
        pass
    with as_owner(), connection.cursor() as cursor:
        cursor.execute("GRANT DELETE ON audit_cause TO rollcall_app")
    url = os.environ["DATABASE_URL"].rpartition("/")[0]
    try:
        with psycopg.connect(f"{url}/{connection.settings_dict['NAME']}") as other:
            yield cause, other
    finally:
        with as_owner(), connection.cursor() as cursor:
            cursor.execute("REVOKE DELETE ON audit_cause FROM rollcall_app")


@pytest.mark.django_db(transaction=True)
def test_the_setting_alone_erases_nothing(as_application_with_too_many_rights):
    cause, other = as_application_with_too_many_rights
    other.execute(
        "SELECT set_config('rollcall.erasure', '1', true), set_config('rollcall.tenant', %s, true)",
        [str(cause.tenant_id)],
    )
    with pytest.raises(psycopg.DatabaseError) as caught:
        other.execute("DELETE FROM audit_cause WHERE id = %s", [cause.pk])
    assert caught.value.sqlstate == "RC005"
    other.rollback()
    with scope(tenant=cause.tenant_id):
        assert Cause.objects.filter(pk=cause.pk).exists()


def test_a_process_that_runs_as_the_application_starts(db):
    refuse_wrong_role()


def test_a_process_that_runs_as_the_owner_of_the_tables_is_refused(db):
    with as_owner(), pytest.raises(WrongRole, match="rollcall_owner is a superuser, bypasses row-level security or"):
        refuse_wrong_role()


def test_installing_again_changes_nothing(db):
    def everything() -> list[Any]:
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT relname, relrowsecurity, relforcerowsecurity, relacl::text FROM pg_class"
                " WHERE relnamespace = 'public'::regnamespace"
                " UNION ALL SELECT tgname || tgrelid::regclass, true, true, pg_get_triggerdef(oid) FROM pg_trigger"
                " UNION ALL SELECT conname, true, true, pg_get_constraintdef(oid) FROM pg_constraint"
                " UNION ALL SELECT policyname || tablename, true, true, qual || with_check FROM pg_policies ORDER BY 1"
            )
            return list(cursor.fetchall())

    before = everything()
    assert len(before) > 500
    with as_owner():
        guards.install()
    assert everything() == before


def test_installing_mends_a_missing_trigger_policy_and_grant(tenant):
    with as_owner(), connection.cursor() as cursor:
        cursor.execute("DROP TRIGGER audit_update ON accounts_group")
        cursor.execute("DROP TRIGGER audit_append_only ON audit_cause")
        cursor.execute("DROP POLICY rollcall_tenant ON accounts_group")
        cursor.execute("GRANT DELETE ON accounts_group TO rollcall_app")
        guards.install()
    with scope(tenant=tenant.pk, cause=a_cause()):
        group = Group.objects.create(tenant=tenant, display_name="web", display_name_key="web", made_at=AT)
        Group.objects.update(display_name="new")
        assert [h.history_type for h in group.history.all()] == ["~", "+"]
        assert refused("DELETE FROM accounts_group") == NOT_ALLOWED
        with as_owner():
            assert refused("DELETE FROM audit_cause") == "RC005"


def test_names_of_keys_and_references_fit_into_what_postgresql_keeps():
    assert guards.key_name("x" * 63) == "x" * 50 + "_in_tenant"
    assert len(guards.reference_name("x" * 63, "y" * 63)) <= 63


def test_the_operations_can_be_written_into_migrations_and_change_no_model():
    guard = Guard("Group", tenant=False)
    assert guard.deconstruct() == ("Guard", ["Group"], {"tenant": False})
    state = ProjectState()
    for operation in (guard, InstallFunctions()):
        operation.state_forwards("accounts", state)
        assert operation.reversible
        assert not operation.reduces_to_sql
    assert state.models == {}
    assert (guard.describe(), InstallFunctions().describe()) == (
        "Guard Group in the database",
        "Install the database's own functions",
    )


def test_a_framework_table_that_nobody_spoke_of_is_read_only():
    assert grants.rights_of(Session) == Rights.BOUNDED
    assert grants.rights_of(Permission) == Rights.READ
    assert grants.rights_of(Group.history.model) == Rights.READ


# ── temporary tables ────────────────────────────────────────────────────────────────────────────────────────────
# PostgreSQL looks for a table among the session's temporary ones first, unless a function says otherwise: a session
# could give the triggers its own audit_cause, its own history or its own permits to look at.


def shadow(table: str) -> None:
    """A temporary table of the same name and columns, as whoever has the application's password can make one."""
    with connection.cursor() as cursor:
        cursor.execute(f"CREATE TEMPORARY TABLE {table} (LIKE public.{table} INCLUDING ALL) ON COMMIT DROP")


def test_a_temporary_table_of_causes_excuses_nothing(tenant):
    with scope(tenant=tenant.pk):
        shadow("audit_cause")
        with connection.cursor() as cursor:
            cursor.execute(
                "INSERT INTO pg_temp.audit_cause (id, xid, kind, actor, subject, reason, at) VALUES"
                " (77, pg_current_xact_id()::text::bigint, 'test', 'nobody', '', '', now())"
            )
            cursor.execute("SELECT set_config('rollcall.cause', '77', true)")
        assert (
            refused(
                "INSERT INTO accounts_group (id, tenant_id, display_name, display_name_key, is_privileged, document, made_at)"
                " VALUES (gen_random_uuid(), %s, 'forged', 'forged', false, '{}', now())",
                tenant.pk,
            )
            == "RC002"
        )


def test_a_temporary_table_of_history_takes_no_history_away(tenant, because):
    shadow("accounts_historicalgroup")
    group = Group.objects.create(tenant=tenant, display_name="web", display_name_key="web", made_at=AT)
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM public.accounts_historicalgroup WHERE id = %s", [group.pk])
        assert cursor.fetchone() == (1,)


def test_every_function_looks_at_the_sessions_temporary_tables_last(db):
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT proname, proconfig FROM pg_proc p WHERE pronamespace = 'public'::regnamespace AND NOT EXISTS ("
            " SELECT 1 FROM pg_depend d WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e')"
        )
        found = dict(cursor.fetchall())
    assert {"audit_track", "accounts_account_rules", "governance_permit_is_answered"} <= set(found)
    assert {name for name, config in found.items() if config != [f"search_path={guards.SEARCH_PATH}"]} == set()


def test_a_temporary_table_with_our_trigger_forges_no_history(tenant, because):
    with connection.cursor() as cursor:
        cursor.execute("CREATE TEMPORARY TABLE forgery (LIKE public.accounts_group) ON COMMIT DROP")
    for history in ("accounts_historicalgroup", "accounts_historicalaccount"):
        assert (
            refused(
                "CREATE TRIGGER forge AFTER INSERT ON forgery REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT"
                f" EXECUTE FUNCTION public.audit_track('{history}', 'id')"
            )
            == NOT_ALLOWED
        )


def test_no_function_that_a_trigger_runs_can_be_hung_upon_another_table(db):
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT proname, has_function_privilege(current_user, oid, 'EXECUTE') FROM pg_proc"
            " WHERE pronamespace = 'public'::regnamespace AND prorettype = 'trigger'::regtype"
        )
        found = dict(cursor.fetchall())
    assert len(found) > 6
    assert set(found.values()) == {False}
