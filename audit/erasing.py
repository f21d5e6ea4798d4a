"""Takes out of rows what tells of a person, and leaves what proves that they were there.

Under the eraser's role alone (`audit.grants`). A leaf of a seal holds a salted digest of a row's personal columns: for a
sealed row that digest is kept in an `ErasedValue`, the columns are blanked and the salt goes with them. Then the leaf still
verifies (`audit.erased`), and nobody can try values against it. What is blanked says so, for people.
"""

from __future__ import annotations

from collections import defaultdict
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from django.apps import apps
from django.contrib.postgres.fields import ArrayField
from django.db import connection, models

from audit.cause import current
from audit.layouts import Layout, Shape, layout_of, sealed_models
from audit.leaves import cause_column
from audit.models import (
    ErasedValue,
    JournalEntry,
    JournalSubject,
    Seal,
    history_of,
    is_global,
    is_history,
    personal_columns,
    tracked,
)
from audit.rows import read

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence
    from uuid import UUID

BLANK = "[erased]"
_AT_ONCE = 1_000
_WORD = "rollcall.erasure"


class NotErasable(TypeError):
    """A personal column of a kind that nobody has said how to blank."""


@contextmanager
def unlocked() -> Iterator[None]:
    """Inside, evidence may be blanked and taken out; what the role has no right to is refused all the same."""
    _say("1")
    try:
        yield
    finally:
        # A failed transaction takes no more statements, and takes this one back by itself.
        if not connection.needs_rollback:
            _say("")


def _say(word: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT set_config(%s, %s, true)", [_WORD, word])


def about(row: models.Model) -> dict[type[models.Model], set[Any]]:
    """The keys of all rows that are about this one: itself, what refers to it, and what refers to that.

    What has nothing to erase is left out, and what refers to it alone with it.
    """
    found: dict[type[models.Model], set[Any]] = {type(row): {row.pk}}
    waiting: list[Any] = [type(row)]
    while waiting:
        target = waiting.pop()
        for model, field in _references(target):
            keys = model.objects.filter(**{f"{field.name}__in": found[target]}).values_list("pk", flat=True)
            new = set(keys) - found.get(model, set())
            if new and model is not type(row):
                found.setdefault(model, set()).update(new)
                waiting.append(model)
    return found


def _references(target: type[models.Model]) -> Iterator[tuple[Any, models.ForeignKey[Any, Any]]]:
    for model in apps.get_models():
        if hasattr(model, "rights") and not is_history(model) and not model._meta.proxy:
            for field in model._meta.local_fields:
                if isinstance(field, models.ForeignKey) and field.related_model is target and _leads_on(model):
                    yield model, field


def _leads_on(model: type[models.Model]) -> bool:
    return bool(personal_columns(model)) and not is_global(model)


def with_history(
    rows: dict[type[models.Model], set[Any]], *, besides: Collection[int] = ()
) -> Iterator[tuple[type[models.Model], list[Any]]]:
    """The same with the history of each, but what these causes wrote: an erasure's own, which tells of nobody.

    History comes first: blanking a noun writes one more row of it.
    """
    for model, keys in rows.items():
        if tracked(model):
            history = history_of(model)
            column = str(model._meta.pk.attname)
            of_them = history.objects.filter(**{f"{column}__in": keys}).exclude(cause_id__in=besides)
            yield history, sorted(of_them.values_list("pk", flat=True))
    for model, keys in rows.items():
        yield model, sorted(keys)


def entries_about(
    subjects: Collection[str], *, kinds: Collection[str], besides: Collection[int] = ()
) -> tuple[list[Any], list[Any]]:
    """The keys of the journal's entries that speak of these, and of the labels by which they call them; `besides` as above."""
    named = JournalSubject.objects.filter(kind__in=sorted(kinds), subject_id__in=sorted(subjects))
    pairs = list(named.order_by("pk").values_list("pk", "entry_id"))
    of_them = JournalEntry.objects.filter(pk__in={entry for _, entry in pairs}).exclude(cause_id__in=besides)
    entries = set(of_them.values_list("pk", flat=True))
    return sorted(entries), [pk for pk, entry in pairs if entry in entries]


def erase(model: type[models.Model], keys: Sequence[Any]) -> int:
    """Blank the personal columns of these rows, inside `unlocked`. Returns how many were not blank before.

    Raises `NotErasable`.
    """
    columns = _blanks(model)
    if not columns:
        return 0
    done = 0
    for start in range(0, len(keys), _AT_ONCE):
        some = keys[start : start + _AT_ONCE]
        if model not in sealed_models():
            done += _blank(model, columns, some, salted=False)
            continue
        for layout, rows in _keep_digests(model, some).items():
            # What a seal hashed openly stays as it is, though it is called personal today: the seal could not verify.
            hidden = {name for name, _ in layout.personal}
            fitting = {column: blank for column, blank in columns.items() if column in hidden}
            done += _blank(model, fitting, rows, salted=True)
    return done


def _blanks(model: type[models.Model]) -> dict[str, str]:
    """By column, the SQL of what stands there afterwards."""
    personal = personal_columns(model)
    return {str(f.column): _blank_of(model, f) for f in model._meta.local_fields if f.column in personal}


def _blank_of(model: type[models.Model], field: models.Field[Any, Any]) -> str:
    if field.null:
        return "NULL"
    if isinstance(field, models.JSONField):
        return "'[]'::jsonb" if field.default is list else "'{}'::jsonb"
    if isinstance(field, ArrayField):
        return "'{}'"
    if isinstance(field, models.CharField | models.TextField):
        # What must be unique stays so.
        return f"'{BLANK} ' || \"{model._meta.pk.column}\"" if field.name in _unique(model) else f"'{BLANK}'"
    raise NotErasable(f"{model.__name__}.{field.name}: say in audit.erasing how it is blanked")


def _unique(model: type[models.Model]) -> set[str]:
    rules = (rule for rule in model._meta.constraints if isinstance(rule, models.UniqueConstraint))
    return {name for rule in rules for name in rule.fields}


def _blank(model: type[models.Model], columns: dict[str, str], keys: Sequence[Any], *, salted: bool) -> int:
    if not keys:
        return 0
    table, key = model._meta.db_table, model._meta.pk.column
    settings = [f'"{column}" = {blank}' for column, blank in columns.items()] + (["salt = NULL"] if salted else [])
    # A second time changes nothing, and a noun's history has nothing to tell of it.
    same = " OR ".join(f'"{column}" IS DISTINCT FROM {blank}' for column, blank in columns.items())
    with connection.cursor() as cursor:
        cursor.execute(
            f'UPDATE "{table}" SET {", ".join(settings)}'  # noqa: S608  names of our models
            f' WHERE "{key}" = ANY(%s){"" if salted else f" AND ({same})"}',
            [list(keys)],
        )
        return int(cursor.rowcount)


def _keep_digests(model: type[models.Model], keys: Sequence[Any]) -> dict[Layout, list[Any]]:
    """Note the digest of what is to be blanked, as its seal has it. Returns the rows that were not erased yet, by layout."""
    table, cause = model._meta.db_table, current()
    if cause.tenant_id is None:
        raise ValueError("an erasure belongs to a tenant: open its scope first")
    gone = set(
        ErasedValue.objects.filter(table_name=table, row_key__in=[str(key) for key in keys]).values_list(
            "row_key", flat=True
        )
    )
    todo = _by_layout(model, [key for key in keys if str(key) not in gone])
    rows = [
        ErasedValue(
            tenant_id=cause.tenant_id,
            cause_id=cause.pk,
            table_name=table,
            row_key=str(row.key),
            digest=row.personal_digest.hex(),
        )
        for layout, some in todo.items()
        for row in read(layout, some)
    ]
    ErasedValue.objects.bulk_create(rows, batch_size=_AT_ONCE)
    return todo


def _by_layout(model: type[models.Model], keys: Sequence[Any]) -> dict[Layout, list[Any]]:
    """The rows by the columns that their seals hashed; what is not sealed yet will be sealed blank."""
    if not keys:
        return {}
    sealed = _seals(model, keys)
    shapes = dict(Seal.objects.filter(pk__in={seal for seal in sealed.values() if seal}).values_list("pk", "shape"))
    layouts = {pk: Shape.parse(shape).tables for pk, shape in shapes.items()}
    table, today = model._meta.db_table, layout_of(model)
    found: dict[Layout, list[Any]] = defaultdict(list)
    for key in keys:
        seal = sealed.get(key)
        tables = layouts[seal] if seal else {}
        found[tables[table][0] if table in tables else today].append(key)
    return found


def _seals(model: type[models.Model], keys: Sequence[Any]) -> dict[Any, UUID | None]:
    """By row, the seal that covers its cause."""
    table, key = model._meta.db_table, model._meta.pk.column
    if model is JournalSubject:
        join = f"JOIN {JournalEntry._meta.db_table} e ON e.id = r.entry_id JOIN audit_cause c ON c.id = e.cause_id"
    else:
        join = f"JOIN audit_cause c ON c.id = r.{cause_column(model)}"
    with connection.cursor() as cursor:
        cursor.execute(
            f'SELECT r."{key}", (SELECT s.id FROM audit_seal s WHERE s.tenant_id = c.tenant_id'  # noqa: S608  names of our models
            " AND s.from_xid <= c.xid AND c.xid < s.to_xid AND s.after_id < c.id ORDER BY s.after_id DESC LIMIT 1)"
            f' FROM "{table}" r {join} WHERE r."{key}" = ANY(%s)',
            [list(keys)],
        )
        return dict(cursor.fetchall())
