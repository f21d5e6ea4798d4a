"""The database and twenty lines of the standard library make the same leaf of any row; what can't be sealed is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC
from hashlib import sha256
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest
from django.apps import apps
from django.db import connection
from hypothesis import given
from hypothesis import strategies as st

from accounts.models import Account
from audit import merkle
from audit.layouts import CantSeal, Layout, Shape, entries, form_of, key_text, layout_of, layouts, sealed_models
from audit.leaves import NEVER, Batch, digests, reach_of, texts
from audit.models import Cause, JournalEntry, history_of, is_history, personal_columns, tracked
from audit.scope import scope
from audit.standalone import verify_export
from governance.models import Answer, ReviewDecision
from provisioning.models import ExchangeKey
from tests.conftest import a_cause
from tests.factories.seals import first_format
from tests.laws.world import law

if TYPE_CHECKING:
    from accounts.models import Tenant

# All that PostgreSQL takes as text.
TEXT = st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), max_size=30)
FLOORS = ("audit", "accounts", "provisioning", "governance")


def test_every_history_and_every_evidence_that_names_its_cause_is_sealed():
    histories = {history_of(m) for f in FLOORS for m in apps.get_app_config(f).get_models() if tracked(m)}
    evidence = {m for m in sealed_models() if not is_history(m)}
    assert len(histories) > 25
    assert histories == {m for m in sealed_models() if is_history(m)}
    assert {m.__name__ for m in evidence} == {
        "Answer", "Archive", "Archived", "Cause", "Certificate", "ErasedValue", "Erasure", "Exchange", "JournalEntry", "JournalSubject",
        "ReviewDecision",
    }  # fmt: skip
    # A key points at its exchange, which is sealed, and proves nothing by itself.
    assert ExchangeKey not in sealed_models()


def test_every_column_of_what_is_sealed_is_hashed_but_the_salt():
    for model in sealed_models():
        layout = layout_of(model)
        hashed = {name for name, _ in (*layout.open, *layout.personal)}
        assert hashed == {f.column for f in model._meta.local_fields} - {"salt"}, model
        assert "salt" in {f.column for f in model._meta.local_fields}, model
        # PostgreSQL hands at most 100 arguments to a function, and a row as JSON has two for each column.
        assert len(hashed) <= 49, model


def test_what_tells_of_a_person_stands_behind_the_salted_digest():
    assert personal_columns(Cause) == {"actor", "subject", "reason"}
    assert personal_columns(Answer) == {"reason"}
    assert personal_columns(ReviewDecision) == {"reason", "actor"}
    assert "user_name" in personal_columns(history_of(Account))
    assert "history_change_reason" in personal_columns(history_of(Account))
    assert {"tenant_id", "id", "state"} & personal_columns(history_of(Account)) == set()


@pytest.mark.parametrize(
    ("db_type", "form"),
    [
        ("varchar(400)", "text"),
        ("uuid[]", "text"),
        ("uuid", "uuid"),
        ("varchar(80)[]", "text"),
        ("timestamp with time zone", "instant"),
        ("bytea", "hex"),
        ("boolean", "word"),
        ("jsonb", "text"),
    ],
)
def test_every_type_has_one_form(db_type, form):
    assert form_of(db_type) == form


@pytest.mark.parametrize(
    "db_type", ["double precision", "date", "interval", "timestamp with time zone[]", "numeric(3, 1)"]
)
def test_a_type_whose_text_depends_on_settings_is_refused(db_type):
    with pytest.raises(CantSeal, match="has no fixed text"):
        form_of(db_type)


@pytest.mark.parametrize(
    "said",
    [
        "[]",
        "1",
        "{",
        '{"t": {}}',
        '{"t": {"key": {"column": "id", "kind": "text"}, "open": {}, "personal": {}, "rows": 1}}',
        '{"t": {"key": {"column": "id", "kind": "uuid"}, "open": {}, "personal": {}, "rows": -1}}',
        '{"t": {"key": {"column": "id", "kind": "uuid"}, "open": {"a": "now"}, "personal": {}, "rows": 1}}',
        '{"t": {"key": {"column": "id", "kind": "uuid"}, "open": {"a\'b": "text"}, "personal": {}, "rows": 1}}',
        '{"t": {"key": {"column": "i%d", "kind": "uuid"}, "open": {}, "personal": {}, "rows": 1}}',
        '{"t": {"key": {"column": "id", "kind": "uuid"}, "open": {}, "personal": {}, "rows": 1, "format": 3}}',
        '{"t; --": {"key": {"column": "id", "kind": "uuid"}, "open": {}, "personal": {}, "rows": 1}}',
    ],
)
def test_a_shape_that_no_seal_says_is_refused_before_its_words_reach_a_statement(said):
    with pytest.raises(ValueError):  # noqa: PT011  JSON's own error is one
        Shape.parse(said)


def test_a_shape_is_read_as_it_was_written():
    shape = Shape({table: (layout, place) for place, (table, layout) in enumerate(layouts().items())})
    assert Shape.parse(str(shape)) == shape
    assert shape.size == sum(rows * (48 if layout.kind == "uuid" else 40) for layout, rows in shape.tables.values())


def test_a_key_is_written_as_people_write_it():
    key = UUID("01a22dd7-0c9d-73e9-8d83-8a3808f1d41e")
    for kind, raw, text in (("uuid", key.bytes, str(key)), ("bigint", (7).to_bytes(8, "big"), "7")):
        assert key_text(raw, kind) == verify_export.key_text(raw, kind) == text
    assert key_text((-1).to_bytes(8, "big", signed=True), "bigint") == "-1"


# ── the law ─────────────────────────────────────────────────────────────────────────────────────────────────────

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**20), 10**20)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=8,
)


def both(
    model: Any, tenant: Tenant, causes: list[int], layout: Layout | None = None
) -> tuple[list[bytes], list[bytes]]:
    """The leaves of a tenant's rows of a table, as the database makes them, and as the script does from an export."""
    layout = layout or layout_of(model)
    reach = reach_of(Batch(tenant.pk, (0,), NEVER, after=min(causes) - 1))
    ours = [leaf for _, leaf in entries(digests(model, layout, reach).get(1, b""), layout.kind)]
    statement, values = texts(model, layout, reach)
    shape = layout.described(0)
    theirs = []
    with connection.cursor() as cursor:
        cursor.execute(statement, values)
        for _, _, salt, cells, _ in cursor.fetchall():
            theirs.append(verify_export.leaf(layout.table, shape, {"salt": salt, "cells": json.loads(cells)}))
    return ours, theirs


@given(
    rows=st.lists(
        st.tuples(TEXT.filter(bool), TEXT, st.dictionaries(TEXT, JSON, max_size=3), st.booleans()),
        min_size=1,
        max_size=3,
    )
)
@law(60)
def test_the_database_and_the_script_make_the_same_leaves_and_root_of_any_row(tenant, rows):
    causes = []
    for actor, sentence, facts, has_salt in rows:
        with scope(tenant=tenant.pk, cause=a_cause(actor=actor[:200], reason=sentence)) as cause:
            JournalEntry.objects.create(
                tenant_id=tenant.pk, cause_id=cause.pk, event="x", sentence=sentence, facts=facts,
                **({} if has_salt else {"salt": None}),
            )  # fmt: skip
            causes.append(cause.pk)
    with scope(tenant=tenant.pk):
        for model, layout in ((m, layout) for m in (Cause, JournalEntry) for layout in (None, first_format(m))):
            ours, theirs = both(model, tenant, causes, layout)
            assert len(ours) == len(rows)
            assert ours == theirs
            assert merkle.root_of(ours) == verify_export.root(theirs)


def test_a_leaf_does_not_depend_on_the_settings_of_whoever_asks(tenant):
    with scope(tenant=tenant.pk, cause=a_cause()) as cause:
        JournalEntry.objects.create(tenant_id=tenant.pk, cause_id=cause.pk, event="x", sentence="ä", facts={"a": [1.5]})
    found = []
    with scope(tenant=tenant.pk), connection.cursor() as cursor:
        for zone, style, output in (("UTC", "ISO, MDY", "hex"), ("Asia/Tokyo", "German", "escape")):
            cursor.execute(
                "SELECT set_config('TimeZone', %s, true), set_config('DateStyle', %s, true),"
                " set_config('bytea_output', %s, true)",
                [zone, style, output],
            )
            found.append(
                [both(m, tenant, [cause.pk], f) for m in (Cause, JournalEntry) for f in (None, first_format(m))]
            )
    assert found[0] == found[1]
    assert all(ours == theirs for ours, theirs in found[0])


def test_a_column_without_a_value_changed_no_leaf_of_the_first_format(tenant):
    with scope(tenant=tenant.pk, cause=a_cause()) as cause:
        pass
    before = first_format(Cause)
    without = replace(before, open=tuple(one for one in before.open if one[0] != "parent_id"))
    with scope(tenant=tenant.pk):
        reach = reach_of(Batch(tenant.pk, (0,), NEVER, after=cause.pk - 1))
        assert digests(Cause, before, reach) == digests(Cause, without, reach) != {}


def test_a_line_is_what_the_documents_say_word_by_word(tenant):
    with scope(tenant=tenant.pk, cause=a_cause(actor="a\tb\\", reason="one\ntwo \\N \v\r\f\b")) as cause:
        pass
    with scope(tenant=tenant.pk):
        row = Cause.objects.get(pk=cause.pk)
        at = row.at.astimezone(UTC)
        fraction = f"{at:.%f}".rstrip("0").rstrip(".")
        open_line = "\t".join(
            {
                "at": f"{at:%Y-%m-%d %H:%M:%S}{fraction}+00", "id": str(row.pk), "kind": row.kind, "parent_id": "\\N",
                "tenant_id": str(tenant.pk), "user_id": "\\N", "xid": str(row.xid), "identity_id": "\\N",
            }[name]
            for name, _ in layout_of(Cause).open
        )  # fmt: skip
        hidden = f"{row.salt}a\\tb\\\\\tone\\ntwo \\\\N \\v\\r\\f\\b\t{row.subject}"
        leaf = sha256(b"\x00audit_cause\n" + open_line.encode() + sha256(hidden.encode()).digest()).digest()
        ours, _ = both(Cause, tenant, [cause.pk])
    assert ours == [leaf]


def test_bytes_are_hashed_as_hexadecimal_and_a_text_that_looks_so_is_another(tenant):
    with scope(tenant=tenant.pk, cause=a_cause(actor="\\xff")) as cause:
        pass
    said = {"actor": "\\xff"}
    assert verify_export.cells({"actor": "text"}, said) == b"actor:4:\\xff\n"
    assert verify_export.line({"actor": "text", "none": "text"}, said) == b"\\\\xff\t\\N"
    with scope(tenant=tenant.pk):
        ours, theirs = both(Cause, tenant, [cause.pk])
    assert ours == theirs
