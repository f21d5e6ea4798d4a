"""What the database itself refuses, for every model of the product.

* tenant isolation: row-level security on every table with a tenant, forced upon its owner too;
* references within the tenant: composite foreign keys for every `TenantForeignKey`;
* history: three statement triggers per tracked table, which also demand the cause;
* facts: columns that a model names as `frozen` never change once the row is there;
* evidence: append-only triggers; and the rights of the application's role, table by table;
* functions: none can be deceived by a session's temporary tables.

Made by the operation `Guard` in migrations, and repeated idempotently after every migrate by `install`.
"""

# ruff: noqa: ARG002  the signatures of Django's operations, and its `_meta`
from __future__ import annotations

from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from django.apps import apps
from django.db import connections, models
from django.db.migrations.operations.base import Operation

from audit.fields import TenantForeignKey
from audit.grants import APP_ROLE, APPEND_ONLY, grant, rights_of
from audit.models import history_of, is_global, is_history, tracked

if TYPE_CHECKING:
    from collections.abc import Iterator

    from django.db.backends.base.schema import BaseDatabaseSchemaEditor
    from django.db.backends.utils import CursorWrapper

SEARCH_PATH = "pg_catalog, public, pg_temp"
FACTS = "audit_keep_facts"
SETTING = "nullif(current_setting('rollcall.tenant', true), '')::uuid"


def functions() -> str:
    """The SQL of all functions, as installed."""
    return Path(__file__).with_name("functions.sql").read_text()


def tenant_field(model: type[models.Model]) -> models.Field[Any, Any] | None:
    """The column that says whose row it is, where there is one and the model is not global by declaration."""
    if is_global(model):
        return None
    return next((f for f in model._meta.local_fields if f.column == "tenant_id"), None)


def _policy(model: type[models.Model], table: str) -> Iterator[str]:
    field = tenant_field(model)
    if field is None:
        return
    same = f"tenant_id = {SETTING}"
    if field.null and not is_history(model):
        # What has no tenant (setup, roles, sign-in) is seen and written in a scope without one.
        same = f"({same} OR (tenant_id IS NULL AND {SETTING} IS NULL))"
    yield f'ALTER TABLE "{table}" ENABLE ROW LEVEL SECURITY'
    yield f'ALTER TABLE "{table}" FORCE ROW LEVEL SECURITY'
    yield f'CREATE POLICY rollcall_tenant ON "{table}" USING ({same}) WITH CHECK ({same})'


def key_name(table: str) -> str:
    """The name of the unique key that references within the tenant point at."""
    return f"{table[:50]}_in_tenant"


def reference_name(table: str, column: str) -> str:
    """The name of a reference that can't leave its tenant (PostgreSQL keeps 63 bytes of a name)."""
    return f"{table[:30]}_{column[:24]}_same"


def references(model: type[models.Model]) -> Iterator[tuple[str, str, str]]:
    """Name, column and target table of every reference that must stay within the tenant."""
    if is_history(model):
        return
    for field in model._meta.local_fields:
        if isinstance(field, TenantForeignKey):
            target = field.related_model
            if isinstance(target, str):
                raise TypeError(f"{model.__name__}.{field.name} refers to an unknown model {target}")
            table = model._meta.db_table
            yield reference_name(table, field.column), field.column, target._meta.db_table


def _execute(cursor: CursorWrapper, statement: str) -> None:
    # Without parameters, psycopg leaves the percent signs of a function's body alone.
    cursor.execute(statement, None)


class _Present:
    """What the catalogue already has, so that a repeated installation takes no lock."""

    def __init__(self, cursor: CursorWrapper) -> None:
        cursor.execute("SELECT schemaname, tablename, policyname FROM pg_policies WHERE schemaname = 'public'")
        self.policies = {row[1] for row in cursor.fetchall()}
        cursor.execute("SELECT conname FROM pg_constraint WHERE connamespace = 'public'::regnamespace")
        self.constraints = {row[0] for row in cursor.fetchall()}
        cursor.execute(
            "SELECT c.relname, t.tgname FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid"
            " WHERE NOT t.tgisinternal AND c.relnamespace = 'public'::regnamespace"
        )
        self.triggers = {(row[0], row[1]) for row in cursor.fetchall()}
        cursor.execute("SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace")
        self.relations = {row[0] for row in cursor.fetchall()}
        cursor.execute(
            "SELECT p.relname, c.relname FROM pg_inherits i JOIN pg_class p ON p.oid = i.inhparent"
            " JOIN pg_class c ON c.oid = i.inhrelid"
            " WHERE p.relkind = 'p' AND c.relnamespace = 'public'::regnamespace"
        )
        self.partitions: dict[str, list[str]] = {}
        for parent, partition in cursor.fetchall():
            self.partitions.setdefault(parent, []).append(partition)

    def tables(self, table: str) -> list[str]:
        """The table and its partitions: whoever names a partition meets neither policy nor trigger of its parent."""
        return [table, *sorted(self.partitions.get(table, []))]


def _tenant_guards(cursor: CursorWrapper, model: type[models.Model], present: _Present) -> None:
    for table in present.tables(model._meta.db_table):
        if table not in present.policies:
            for statement in _policy(model, table):
                _execute(cursor, statement)


def _needs_key(model: type[models.Model]) -> bool:
    field = tenant_field(model)
    return field is not None and not field.null and not is_history(model) and model._meta.pk.column == "id"


def _keys(cursor: CursorWrapper, model: type[models.Model], present: _Present) -> None:
    table = model._meta.db_table
    name = key_name(table)
    if _needs_key(model) and name not in present.constraints:
        _execute(cursor, f'ALTER TABLE "{table}" ADD CONSTRAINT "{name}" UNIQUE (tenant_id, id)')


def _references(cursor: CursorWrapper, model: type[models.Model], present: _Present) -> None:
    table = model._meta.db_table
    for name, column, target in references(model):
        if name not in present.constraints:
            _execute(
                cursor,
                f'ALTER TABLE "{table}" ADD CONSTRAINT "{name}" FOREIGN KEY (tenant_id, "{column}")'
                f' REFERENCES "{target}" (tenant_id, id) DEFERRABLE INITIALLY DEFERRED',
            )


def _history_triggers_of(model: type[models.Model], history: str) -> dict[str, str]:
    key = model._meta.pk.column
    if key is None:
        raise TypeError(f"{model.__name__} has a primary key of several columns: its history needs one")
    return history_triggers(model._meta.db_table, history, key)


def history_triggers(table: str, history: str, key: str) -> dict[str, str]:
    """The triggers of one tracked table, by name."""
    call = f"FOR EACH STATEMENT EXECUTE FUNCTION audit_track('{history}', '{key}')"
    return {
        "audit_insert": f'CREATE TRIGGER audit_insert AFTER INSERT ON "{table}" REFERENCING NEW TABLE AS new_rows {call}',
        "audit_update": f'CREATE TRIGGER audit_update AFTER UPDATE ON "{table}"'
        f" REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows {call}",
        "audit_delete": f'CREATE TRIGGER audit_delete AFTER DELETE ON "{table}" REFERENCING OLD TABLE AS old_rows {call}',
        "audit_keep_key": f'CREATE TRIGGER audit_keep_key BEFORE UPDATE OF "{key}" ON "{table}" FOR EACH ROW'
        f' WHEN (OLD."{key}" IS DISTINCT FROM NEW."{key}") EXECUTE FUNCTION audit_keep_key()',
    }


def _triggers(cursor: CursorWrapper, table: str, statements: dict[str, str], present: _Present) -> None:
    for name, statement in statements.items():
        if (table, name) not in present.triggers:
            _execute(cursor, statement)


def append_only_triggers(table: str) -> dict[str, str]:
    """The triggers that keep evidence as it is."""
    return {
        "audit_append_only": f'CREATE TRIGGER audit_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON "{table}"'
        " FOR EACH STATEMENT EXECUTE FUNCTION audit_append_only()"
    }


def frozen_columns(model: type[models.Model]) -> list[str]:
    """The columns of what a model names as `frozen`. Raises `FieldDoesNotExist` for a name that is no field."""
    names: tuple[str, ...] = () if is_history(model) else getattr(model, "frozen", ())
    return [str(model._meta.get_field(name).column) for name in names]  # type: ignore[union-attr]


def facts_name(columns: list[str]) -> str:
    """The name of the trigger that keeps these columns."""
    return f"{FACTS}_{sha256(','.join(columns).encode()).hexdigest()[:8]}" if columns else ""


def _facts(cursor: CursorWrapper, model: type[models.Model], present: _Present) -> None:
    """One trigger for the columns that never change; named after them, so that another list makes another."""
    table, columns = model._meta.db_table, frozen_columns(model)
    wanted = facts_name(columns)
    for other, name in sorted(present.triggers):
        if other == table and name.startswith(FACTS) and name != wanted:
            _execute(cursor, f'DROP TRIGGER "{name}" ON "{table}"')
    if wanted and (table, wanted) not in present.triggers:
        old, new = (", ".join(f'{row}."{c}"' for c in columns) for row in ("OLD", "NEW"))
        _execute(
            cursor,
            f'CREATE TRIGGER "{wanted}" BEFORE UPDATE ON "{table}" FOR EACH ROW'
            f" WHEN (ROW({old}) IS DISTINCT FROM ROW({new}))"
            f" EXECUTE FUNCTION audit_keep_facts({', '.join(repr(c) for c in columns)})",
        )


def _close_functions(cursor: CursorWrapper) -> None:
    """Whoever may make a temporary table may neither slip it under our functions nor hang our triggers upon it."""
    ours = (
        "SELECT p.oid::regprocedure::text FROM pg_proc p WHERE p.pronamespace = 'public'::regnamespace"
        " AND p.proowner = current_user::regrole AND NOT EXISTS ("
        "   SELECT 1 FROM pg_depend d WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e')"
    )
    # Temporary tables are looked at first unless a function says otherwise: an accounts_permit would open the way back.
    cursor.execute(f"{ours} AND p.proconfig IS DISTINCT FROM ARRAY['search_path=' || %s]", [SEARCH_PATH])
    for (function,) in cursor.fetchall():
        _execute(cursor, f"ALTER FUNCTION {function} SET search_path = {SEARCH_PATH}")
    # Asked for when a trigger is made, not when it runs: audit_track() on a temporary table would forge history.
    cursor.execute(
        f"{ours} AND p.prorettype = 'trigger'::regtype AND has_function_privilege(%s, p.oid, 'EXECUTE')", [APP_ROLE]
    )
    for (function,) in cursor.fetchall():
        _execute(cursor, f"REVOKE EXECUTE ON FUNCTION {function} FROM PUBLIC, {APP_ROLE}")


def _guard(cursor: CursorWrapper, all_models: list[type[models.Model]]) -> None:
    present = _Present(cursor)
    there = [m for m in all_models if m._meta.db_table in present.relations and not m._meta.proxy]
    for model in there:
        _tenant_guards(cursor, model, present)
        _keys(cursor, model, present)
    for model in there:
        _references(cursor, model, present)


def install(*, using: str = "default") -> None:
    """Everything above for every model, where it is missing. Run as the owner of the tables."""
    connection = connections[using]
    every = [m for m in apps.get_models(include_auto_created=True) if m._meta.managed and not m._meta.proxy]
    with connection.cursor() as cursor:
        _execute(cursor, functions())
        _close_functions(cursor)
        _guard(cursor, [m for m in every if not m._meta.auto_created])
        present = _Present(cursor)
        for model in every:
            table = model._meta.db_table
            if table not in present.relations:
                continue
            if tracked(model) and history_of(model)._meta.db_table in present.relations:
                _triggers(cursor, table, _history_triggers_of(model, history_of(model)._meta.db_table), present)
            _facts(cursor, model, present)
            if rights_of(model) in APPEND_ONLY:
                for part in present.tables(table):
                    _triggers(cursor, part, append_only_triggers(part), present)
        grant(cursor, [m for m in every if m._meta.db_table in present.relations])


class InstallFunctions(Operation):
    """The functions of `functions.sql`, before the first trigger needs them."""

    reduces_to_sql = False
    reversible = True

    def state_forwards(self, app_label: str, state: Any) -> None:
        """No model changes."""

    def database_forwards(
        self, app_label: str, schema_editor: BaseDatabaseSchemaEditor, from_state: Any, to_state: Any
    ) -> None:
        """Install or replace them."""
        schema_editor.execute(functions(), params=None)

    def database_backwards(
        self, app_label: str, schema_editor: BaseDatabaseSchemaEditor, from_state: Any, to_state: Any
    ) -> None:
        """They stay: tables of other migrations may still need them."""

    def describe(self) -> str:
        """One line for `migrate`'s output."""
        return "Install the database's own functions"


class Guard(Operation):
    """Tenant policies, composite keys and history triggers for the named models of this app.

    `tenant=False` is for the global ones: history triggers alone.
    """

    reduces_to_sql = False
    reversible = True

    def __init__(self, *names: str, tenant: bool = True) -> None:
        self.names = names
        self.tenant = tenant

    def deconstruct(self) -> tuple[str, list[Any], dict[str, Any]]:
        """For Django's writer of migrations."""
        return self.__class__.__name__, list(self.names), {"tenant": self.tenant}

    def state_forwards(self, app_label: str, state: Any) -> None:
        """No model changes."""

    def database_forwards(
        self, app_label: str, schema_editor: BaseDatabaseSchemaEditor, from_state: Any, to_state: Any
    ) -> None:
        """Install what is missing."""
        found = [to_state.apps.get_model(app_label, name) for name in self.names]
        # Deferred constraints of rows that this migration wrote would refuse ALTER TABLE.
        schema_editor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        with schema_editor.connection.cursor() as cursor:
            if self.tenant:
                _guard(cursor, found)
            present = _Present(cursor)
            for model in found:
                history = f"{app_label}_historical{model._meta.model_name}"
                if history in present.relations:
                    _triggers(cursor, model._meta.db_table, _history_triggers_of(model, history), present)
        schema_editor.execute("SET CONSTRAINTS ALL DEFERRED")

    def database_backwards(
        self, app_label: str, schema_editor: BaseDatabaseSchemaEditor, from_state: Any, to_state: Any
    ) -> None:
        """Dropped with their tables."""

    def describe(self) -> str:
        """One line for `migrate`'s output."""
        return f"Guard {', '.join(self.names)} in the database"


class WrongRole(RuntimeError):
    """The process runs with a database role that row-level security does not bind."""


def refuse_wrong_role(*, using: str = "default") -> None:
    """Raise `WrongRole` unless the runtime role is an ordinary one: no superuser, no bypass, owner of nothing."""
    with connections[using].cursor() as cursor:
        cursor.execute(
            "SELECT rolname, rolsuper OR rolbypassrls,"
            " EXISTS (SELECT 1 FROM pg_class c WHERE c.relnamespace = 'public'::regnamespace"
            "   AND pg_has_role(r.oid, c.relowner, 'USAGE'))"
            " FROM pg_roles r WHERE rolname = current_user"
        )
        name, unbound, owner = cursor.fetchone()
    if unbound or owner:
        raise WrongRole(
            f"the database role {name} is a superuser, bypasses row-level security or owns the tables:"
            " run the product as rollcall_app (DATABASE_URL), and migrate as rollcall_owner (DATABASE_OWNER_URL)"
        )
