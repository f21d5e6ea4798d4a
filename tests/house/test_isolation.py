"""The catalogue of the database, walked: every table isolates its tenants, or stands here with a reason."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from django.apps import apps
from django.db import DatabaseError, connection, models, transaction

from audit.fields import TenantForeignKey
from audit.grants import APPEND_ONLY, for_eraser, rights_of
from audit.guards import FACTS, facts_name, frozen_columns, reference_name, tenant_field
from audit.layouts import sealed_models
from audit.models import Rights, history_of, is_history, personal_columns, tracked
from tests.conftest import as_owner

if TYPE_CHECKING:
    from accounts.models import Tenant

pytestmark = [pytest.mark.house, pytest.mark.django_db]

FLOORS = ("audit", "accounts", "provisioning", "governance")

# Tables without row-level security, each with its reason.
GLOBAL = {
    "accounts_tenant": "it is the boundary itself",
    "accounts_identity": "it links accounts of several tenants, and has no attribute",
    "accounts_user": "a person may serve several tenants",
    "accounts_role": "sign-in asks for the roles before a tenant is chosen",
    "accounts_invitation": "sign-in begins before a tenant is chosen",
    "provisioning_systemtoken": "it says which tenant a request is for, before a tenant is known",
    "provisioning_refusedtoken": "an unknown token belongs to no tenant",
    "accounts_historicaltenant": "history of a global table",
    "accounts_historicalidentity": "history of a global table",
    "accounts_historicaluser": "history of a global table",
    "accounts_historicalrole": "history of a global table",
    "accounts_historicalinvitation": "history of a global table",
    "provisioning_historicalsystemtoken": "history of a global table",
    "django_migrations": "the framework's own",
    "django_content_type": "the framework's own",
    "django_admin_log": "the framework's own, and empty: the application may not write it",
    "django_session": "the framework's own: a session is opened before a tenant is chosen",
    "auth_permission": "the framework's own, and empty of meaning here",
    "auth_group": "the framework's own, and empty of meaning here",
    "auth_group_permissions": "the framework's own, and empty of meaning here",
}
# Plain references to a table that has tenants, each with its reason. None.
PLAIN_REFERENCES: dict[str, str] = {}
# What the application may delete: bounded rings, staging, and sessions.
MAY_DELETE = {
    "provisioning_feedevent",
    "provisioning_listening",
    "django_session",
    "provisioning_readrecord",
    "accounts_sweep",
    "provisioning_rebuild",
    "provisioning_rebuilt",
    "provisioning_rebuiltmember",
    "provisioning_shadowcount",
    "provisioning_refusedtoken",
    "provisioning_stagedmember",
    "provisioning_stagedresource",
    "provisioning_uploadpiece",
}


def rows(statement: str, *values: Any) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(statement, values)
        return list(cursor.fetchall())


def names(statement: str, *values: Any) -> set[str]:
    return {row[0] for row in rows(statement, *values)}


TABLES = "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p')"
PARTITIONS = f"{TABLES} AND relispartition"


def models_of_the_floors() -> list[type[models.Model]]:
    return [m for floor in FLOORS for m in apps.get_app_config(floor).get_models()]


def of_tenants() -> list[type[models.Model]]:
    return [m for m in models_of_the_floors() if tenant_field(m) is not None]


def references() -> list[tuple[type[models.Model], TenantForeignKey]]:
    return [
        (m, f)
        for m in models_of_the_floors()
        if not is_history(m)
        for f in m._meta.local_fields
        if isinstance(f, TenantForeignKey)
    ]


# ── what the catalogue says ─────────────────────────────────────────────────────────────────────────────────────


def test_every_table_forces_row_level_security_upon_its_owner_too_or_says_why_not():
    unforced = names(f"{TABLES} AND NOT (relrowsecurity AND relforcerowsecurity)")
    assert unforced == set(GLOBAL)


def test_every_isolated_table_has_exactly_the_one_policy():
    found: dict[str, list[tuple[Any, ...]]] = {}
    for table, *policy in rows(
        "SELECT tablename, policyname, permissive, roles::text, cmd, qual, with_check FROM pg_policies"
        " WHERE schemaname = 'public'"
    ):
        found.setdefault(table, []).append(tuple(policy))
    assert set(found) == names(TABLES) - set(GLOBAL)
    for table, policies in found.items():
        assert len(policies) == 1, table
        name, permissive, roles, command, using, check = policies[0]
        assert (name, permissive, roles, command) == ("rollcall_tenant", "PERMISSIVE", "{public}", "ALL"), table
        assert using == check, table
        assert "tenant_id = (NULLIF(current_setting('rollcall.tenant'::text, true), ''::text))::uuid" in using, table
        # Nobody's rows are seen in nobody's scope only, and only where a row may be nobody's.
        assert (" OR " in using) == table.startswith(
            ("audit_cause", "audit_journal", "audit_seal", "audit_witnessed")
        ), table


def test_a_model_is_isolated_exactly_when_it_does_not_say_that_it_is_global():
    isolated = {m._meta.db_table for m in of_tenants()}
    assert isolated == names(f"{TABLES} AND relrowsecurity AND NOT relispartition")


def test_what_is_global_says_so_in_the_model_with_the_reason_that_stands_here():
    said = {
        m._meta.db_table: m.global_because
        for m in models_of_the_floors()
        if getattr(m, "global_because", None) and not is_history(m)
    }
    assert said == {t: why for t, why in GLOBAL.items() if not why.startswith(("the framework's own", "history of"))}


def test_every_noun_of_a_tenant_has_a_key_that_references_within_the_tenant_can_name():
    keyed = names(
        "SELECT c.conrelid::regclass::text FROM pg_constraint c WHERE c.contype IN ('u', 'p')"
        " AND pg_get_constraintdef(c.oid) = 'UNIQUE (tenant_id, id)'"
    )
    nouns = {m._meta.db_table for m in of_tenants() if not is_history(m) and not tenant_field(m).null}
    assert {t for t in keyed if t not in names(PARTITIONS)} == nouns


def test_every_reference_to_a_table_of_tenants_is_composite_within_the_tenant():
    isolated = {m._meta.db_table for m in of_tenants()}
    plain, composite = set(), set()
    for name, source, target, columns, target_columns, deferred in rows(
        "SELECT c.conname, c.conrelid::regclass::text, c.confrelid::regclass::text,"
        " (SELECT array_agg(a.attname ORDER BY k.n) FROM unnest(c.conkey) WITH ORDINALITY k(num, n)"
        "   JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = k.num),"
        " (SELECT array_agg(a.attname ORDER BY k.n) FROM unnest(c.confkey) WITH ORDINALITY k(num, n)"
        "   JOIN pg_attribute a ON a.attrelid = c.confrelid AND a.attnum = k.num), c.condeferrable AND c.condeferred"
        " FROM pg_constraint c WHERE c.contype = 'f' AND c.connamespace = 'public'::regnamespace"
        " AND NOT (SELECT relispartition FROM pg_class WHERE oid = c.conrelid)"
    ):
        if target not in isolated:
            continue
        if len(columns) == 2 and columns[0] == "tenant_id" and target_columns == ["tenant_id", "id"] and deferred:
            composite.add((name, source, columns[1], target))
        else:
            plain.add(f"{source}.{'+'.join(columns)}")
    assert plain == set(PLAIN_REFERENCES)
    declared = {
        (reference_name(m._meta.db_table, f.column), m._meta.db_table, f.column, f.related_model._meta.db_table)
        for m, f in references()
    }
    assert composite == declared
    assert len(composite) > 30


def test_no_model_refers_to_a_tenants_noun_by_a_plain_foreign_key():
    plain = {
        f"{m.__name__}.{f.name}"
        for m in models_of_the_floors()
        if not is_history(m)
        for f in m._meta.local_fields
        if isinstance(f, models.ForeignKey)
        and not isinstance(f, TenantForeignKey)
        and tenant_field(f.related_model) is not None
    }
    assert plain == set(PLAIN_REFERENCES)


def _first_of(rule: models.UniqueConstraint) -> str:
    """The name of its first column, whether it is one of columns or of expressions."""
    return next(iter([*rule.fields, *(getattr(one, "name", "") for one in rule.expressions)]))


def test_every_unique_rule_of_a_tenants_noun_begins_with_the_tenant():
    wrong = [
        f"{m.__name__}: {c.name}"
        for m in of_tenants()
        if not is_history(m)
        for c in m._meta.constraints
        if isinstance(c, models.UniqueConstraint) and _first_of(c) not in {"tenant", "tenant_id"}
    ]
    wrong += [
        f"{m.__name__}.{f.name}"
        for m in of_tenants()
        for f in m._meta.local_fields
        if f.unique and not f.primary_key and not is_history(m)
    ]
    assert wrong == []


# ── what the application may do ─────────────────────────────────────────────────────────────────────────────────


def test_the_grants_are_exactly_the_declared_rights():
    every = apps.get_models(include_auto_created=True)
    wanted = {m._meta.db_table: set(rights_of(m).label.split(", ")) for m in every if m._meta.managed}
    wanted["django_migrations"] = {"SELECT"}
    of_eraser = {m._meta.db_table: for_eraser(m) for m in every if m._meta.managed}
    whole = {table: {right for right in rights if "(" not in right} for table, rights in of_eraser.items()}
    held: dict[str, set[str]] = {}
    for table, grantee, privilege in rows(
        "SELECT c.relname, coalesce(r.rolname, 'PUBLIC'), g.privilege_type FROM pg_class c"
        " CROSS JOIN aclexplode(c.relacl) g LEFT JOIN pg_roles r ON r.oid = g.grantee"
        " WHERE c.relnamespace = 'public'::regnamespace AND g.grantee <> c.relowner"
    ):
        if grantee == "rollcall_eraser":
            assert privilege in whole.get(table, {"SELECT"}), table
            continue
        assert grantee == "rollcall_app", table
        held.setdefault(table, set()).add(privilege)
    assert held == {table: rights for table, rights in wanted.items() if table in names(TABLES)}
    assert {table for table, rights in held.items() if "DELETE" in rights} == MAY_DELETE
    assert not any("TRUNCATE" in rights or "TRIGGER" in rights or "REFERENCES" in rights for rights in held.values())


def test_no_partition_no_sequence_and_no_column_has_a_grant_of_its_own():
    assert (
        rows(
            "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relacl IS NOT NULL"
            " AND (relispartition OR relkind = 'S') AND relacl::text LIKE '%%rollcall_app%%'"
        )
        == []
    )
    assert (
        rows(
            "SELECT attrelid::regclass, attname FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid"
            " WHERE a.attacl IS NOT NULL AND c.relnamespace = 'public'::regnamespace"
            " AND a.attacl::text LIKE '%%rollcall_app%%'"
        )
        == []
    )


def test_the_eraser_reads_everything_that_is_sealed_and_takes_out_only_the_ledger_and_its_keys():
    assert {m for m in sealed_models() if "SELECT" not in for_eraser(m)} == set()
    every = [m for m in apps.get_models() if m._meta.managed]
    assert {m.__name__ for m in every if "DELETE" in for_eraser(m)} == {"BodyKey", "Exchange", "ExchangeKey", "Rebuilt"}
    assert {m.__name__ for m in every if "INSERT" in for_eraser(m)} == {
        "Archive", "Archived", "Cause", "ErasedValue", "Erasure", "JournalEntry", "JournalSubject",
    }  # fmt: skip
    others = {"Account": {"state", "state_since"}, "BodyKey": {"wrapped"}}
    for model in every:
        columns = {r[8:-1] for r in for_eraser(model) if r.startswith("UPDATE (")}
        assert columns <= personal_columns(model) | {"salt"} | others.get(model.__name__, set()), model
        assert "UPDATE" not in for_eraser(model), model


def test_what_may_be_deleted_is_untracked_with_a_reason():
    for model in models_of_the_floors():
        if rights_of(model) == Rights.BOUNDED:
            assert "bounded" in model.untracked or "staging" in model.untracked, model
        if rights_of(model) in APPEND_ONLY:
            assert not tracked(model), model


# ── triggers ────────────────────────────────────────────────────────────────────────────────────────────────────


def test_every_tracked_table_has_its_enabled_triggers_and_a_history_with_the_same_columns():
    held: dict[str, set[str]] = {}
    for table, trigger, enabled, arguments in rows(
        "SELECT tgrelid::regclass::text, tgname, tgenabled, encode(tgargs, 'escape') FROM pg_trigger"
        " WHERE NOT tgisinternal AND tgname LIKE 'audit\\_%%'"
    ):
        assert enabled == "O", (table, trigger)
        first, *others = [word.removeprefix("000") for word in arguments.split(chr(92))][:-1] or [""]
        words = [first, *others] if trigger.startswith(FACTS) else [first]
        held.setdefault(table, set()).add(" ".join([trigger, *words]).strip())
    partitions = names(PARTITIONS)
    for model in models_of_the_floors():
        table = model._meta.db_table
        if tracked(model):
            history = history_of(model)._meta.db_table
            wanted = {f"audit_{verb} {history}" for verb in ("insert", "update", "delete")} | {"audit_keep_key"}
            columns = {f.column: f.db_type(connection) for f in model._meta.local_fields}
            kept = {f.column: f.db_type(connection) for f in history_of(model)._meta.local_fields}
            excluded = set(columns) - set(kept)
            assert excluded <= {"password", "last_login", "secret", "sealed", "digest", "token_hash"}, table
            assert {c: t for c, t in columns.items() if c not in excluded}.items() <= kept.items(), table
        elif rights_of(model) in APPEND_ONLY:
            wanted = {"audit_append_only"}
        else:
            wanted = set()
        if frozen := frozen_columns(model):
            wanted |= {" ".join([facts_name(frozen), *frozen])}
        assert held.pop(table, set()) == wanted, table
    assert held == {name: {"audit_append_only"} for name in partitions}


# ── the same, tried ─────────────────────────────────────────────────────────────────────────────────────────────
# With the row's own rules taken away (not null, checks, triggers), so that one row can be made in any table: what is
# left is what is tried, isolation and references. Everything is rolled back with the test.


def strip(*tables: str) -> None:
    """Take the rows' own rules from tables; only as their owner, and only in a test's transaction."""
    for table in tables:
        for (constraint,) in rows(
            "SELECT conname FROM pg_constraint WHERE conrelid = %s::regclass AND contype = 'c'", table
        ):
            execute(f'ALTER TABLE "{table}" DROP CONSTRAINT IF EXISTS "{constraint}"')
        for (column,) in rows(
            "SELECT attname FROM pg_attribute WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped"
            " AND attnotnull AND attidentity = '' AND attname <> 'tenant_id' AND attnum <> ALL ("
            "   SELECT unnest(conkey) FROM pg_constraint WHERE conrelid = %s::regclass AND contype = 'p')",
            table,
            table,
        ):
            execute(f'ALTER TABLE "{table}" ALTER COLUMN "{column}" DROP NOT NULL')
        execute(f'ALTER TABLE "{table}" DISABLE TRIGGER USER')


def execute(statement: str, *values: Any) -> int:
    with connection.cursor() as cursor:
        cursor.execute(statement, values)
        return int(cursor.rowcount)


def enter(tenant: Tenant | None) -> None:
    execute("SELECT set_config('rollcall.tenant', %s, true)", str(tenant.pk) if tenant else "")


def insert(model: type[models.Model], *, tenant: Tenant, **columns: Any) -> Any:
    """One row with nothing but a key and a tenant. Returns its key."""
    key = model._meta.pk
    values = {"tenant_id": tenant.pk, **columns}
    if isinstance(key, models.UUIDField):
        values[key.column] = key.get_default()
    listed = ", ".join(f'"{c}"' for c in values)
    marks = ", ".join(["%s"] * len(values))
    returned = rows(
        f'INSERT INTO "{model._meta.db_table}" ({listed}) VALUES ({marks}) RETURNING "{key.column}"', *values.values()
    )
    return returned[0][0]


def sqlstate(caught: pytest.ExceptionInfo[DatabaseError]) -> str:
    return str(caught.value.__cause__.sqlstate)


@pytest.mark.parametrize("model", of_tenants(), ids=lambda m: m._meta.db_table)
def test_another_tenants_row_is_neither_seen_nor_changed_nor_made_nor_given_away(make_tenant, model):
    ours, theirs = make_tenant("ours"), make_tenant("theirs")
    table = f'"{model._meta.db_table}"'
    # As the owner: what the application may not do at all is refused earlier, and would show nothing.
    with as_owner():
        strip(model._meta.db_table)
        enter(theirs)
        execute(f"DELETE FROM {table}")
        insert(model, tenant=theirs)
        assert rows(f"SELECT count(*) FROM {table}") == [(1,)]
        enter(ours)
        assert rows(f"SELECT count(*) FROM {table}") == [(0,)]
        assert execute(f"UPDATE {table} SET tenant_id = %s", ours.pk) == 0
        assert execute(f"DELETE FROM {table}") == 0
        with pytest.raises(DatabaseError) as caught, transaction.atomic():
            insert(model, tenant=theirs)
        assert sqlstate(caught) == "42501"
        insert(model, tenant=ours)
        with pytest.raises(DatabaseError) as caught, transaction.atomic():
            execute(f"UPDATE {table} SET tenant_id = %s", theirs.pk)
        assert sqlstate(caught) == "42501"
        enter(None)
        assert rows(f"SELECT count(*) FROM {table} WHERE tenant_id IS NOT NULL") == [(0,)]
        with pytest.raises(DatabaseError) as caught, transaction.atomic():
            insert(model, tenant=ours)
        assert sqlstate(caught) == "42501"
        enter(theirs)
        assert rows(f"SELECT count(*) FROM {table} WHERE tenant_id = %s", theirs.pk) == [(1,)]


@pytest.mark.parametrize(("model", "field"), references(), ids=lambda x: getattr(x, "column", None) or x._meta.db_table)
def test_a_reference_into_another_tenant_is_refused(make_tenant, model, field):
    ours, theirs = make_tenant("ours"), make_tenant("theirs")
    target = field.related_model
    with as_owner():
        strip(model._meta.db_table, target._meta.db_table)
        enter(theirs)
        foreign = insert(target, tenant=theirs)
        enter(ours)
        own = insert(target, tenant=ours)
        execute("SET CONSTRAINTS ALL IMMEDIATE")
        insert(model, tenant=ours, **{field.column: own})
        with pytest.raises(DatabaseError) as caught, transaction.atomic():
            insert(model, tenant=ours, **{field.column: foreign})
    assert sqlstate(caught) == "23503"
    assert caught.value.__cause__.diag.constraint_name == reference_name(model._meta.db_table, field.column)
