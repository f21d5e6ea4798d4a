"""What the database's roles may do, table by table: the application's, and that of recorded erasure and retention.

The application's role has what a model declares as its `rights`. The eraser's reads history and what can tell of a person, may
blank what a model calls `personal` and its salt, and beyond that has only what a model declares in `for_eraser`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from audit.models import Rights, history_of, is_global, is_history, personal_columns, tracked

if TYPE_CHECKING:
    from collections.abc import Iterable

    from django.db import models
    from django.db.backends.utils import CursorWrapper

APP_ROLE = "rollcall_app"
ERASER_ROLE = "rollcall_eraser"
# Evidence: what is there is never changed and never deleted, but by the eraser.
APPEND_ONLY = frozenset({Rights.EVIDENCE, Rights.ERASURE})

# Tables of the framework, which have no model class of ours to carry their rights.
FRAMEWORK: dict[str, Rights] = {
    "django_session": Rights.BOUNDED,
    "django_content_type": Rights.READ,
    "django_migrations": Rights.READ,
    "auth_permission": Rights.READ,
    "auth_group": Rights.READ,
    "auth_group_permissions": Rights.READ,
    "django_admin_log": Rights.READ,
}
_MIGRATIONS = "django_migrations"


def rights_of(model: type[models.Model]) -> Rights:
    """What the application's role may do with the model's table."""
    if is_history(model):
        return Rights.READ
    declared = getattr(model, "rights", None)
    if declared is not None:
        return Rights(declared)
    return FRAMEWORK.get(model._meta.db_table, Rights.READ)


def for_eraser(model: type[models.Model]) -> frozenset[str]:
    """What the eraser's role may do with it, as `GRANT` says it: `SELECT`, `UPDATE (salt)`.

    It reads history, which has no secrets, and what can tell of a person in a tenant; it blanks that and its salt. The rest is
    what the model declares.
    """
    declared = frozenset({"SELECT"}) if is_history(model) else frozenset(getattr(model, "for_eraser", ()))
    columns = personal_columns(model)
    if not columns or is_global(model):
        return declared
    salt = {f.column for f in model._meta.local_fields} & {"salt"}
    return declared | _seen(model) | {f"UPDATE ({column})" for column in columns | salt}


def _seen(model: type[models.Model]) -> frozenset[str]:
    """The whole table, or where it has columns that no history keeps, since they are secrets, the others."""
    columns = {f.column for f in model._meta.local_fields}
    if tracked(model):
        kept = columns & {f.column for f in history_of(model)._meta.local_fields}
        if kept != columns:
            return frozenset(f"SELECT ({column})" for column in kept)
    return frozenset({"SELECT"})


def grant(cursor: CursorWrapper, models_there: Iterable[type[models.Model]]) -> None:
    """Give both roles what is theirs and nothing else; where they have just that already, no statement is run."""
    found = list(models_there)
    of_app = {model._meta.db_table: frozenset(rights_of(model).label.split(", ")) for model in found}
    _give(cursor, APP_ROLE, {**of_app, _MIGRATIONS: frozenset({"SELECT"})})
    of_eraser = {model._meta.db_table: for_eraser(model) for model in found}
    _give(cursor, ERASER_ROLE, {**of_eraser, _MIGRATIONS: frozenset({"SELECT"})})
    # Identity columns need no right on their sequence; nothing in this schema may be made at run time.
    cursor.execute(f"GRANT USAGE ON SCHEMA public TO {APP_ROLE}, {ERASER_ROLE}", None)


def _give(cursor: CursorWrapper, role: str, wanted: dict[str, frozenset[str]]) -> None:
    held = _held(cursor, role)
    for table, rights in wanted.items():
        if held.get(table, set()) == rights:
            continue
        cursor.execute(f'REVOKE ALL ON "{table}" FROM {role}', None)
        if rights:
            cursor.execute(f'GRANT {", ".join(sorted(rights))} ON "{table}" TO {role}', None)


def _held(cursor: CursorWrapper, role: str) -> dict[str, set[str]]:
    """By table; what is given for a column alone with its name, as `GRANT` says it."""
    found: dict[str, set[str]] = {}
    cursor.execute(
        "SELECT c.relname, a.privilege_type FROM pg_class c, aclexplode(c.relacl) a"
        " WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND a.grantee = %s::regrole"
        " UNION ALL SELECT c.relname, format('%%s (%%s)', x.privilege_type, a.attname)"
        " FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid, aclexplode(a.attacl) x"
        " WHERE c.relnamespace = 'public'::regnamespace AND NOT a.attisdropped AND x.grantee = %s::regrole",
        [role, role],
    )
    rows: list[tuple[Any, ...]] = cursor.fetchall()
    for table, right in rows:
        found.setdefault(str(table), set()).add(str(right))
    return found
