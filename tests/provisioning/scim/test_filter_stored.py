"""What the database makes of texts and instants in a document is what the server makes of them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from django.db import connection
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from provisioning.scim.filters.evaluate import matches
from provisioning.scim.filters.grammar import parse_filter
from provisioning.scim.filters.stored import _Writer
from provisioning.scim.metadata.catalogue import NHI_URN, USER
from provisioning.scim.metadata.schema import Attribute, ResourceType, Schema
from provisioning.scim.parsing.values import read_instant

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.face, pytest.mark.django_db]


def ask(statement: str, *parameters: Any) -> Any:
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        return cursor.fetchone()[0]


def letters() -> Iterator[str]:
    """All characters that a text can have, in pieces."""
    every = [chr(one) for one in (*range(0x20, 0xD800), *range(0xE000, 0x110000))]
    for start in range(0, len(every), 8192):
        yield "".join(every[start : start + 8192])


def test_the_database_folds_every_letter_as_the_server_does() -> None:
    for piece in letters():
        assert ask("SELECT provisioning_casefold(%s)", piece) == piece.casefold()


@pytest.mark.parametrize(
    "text",
    [
        "2028-01-01T00:00:00Z", "2028-01-01T00:00:00.8420579999Z", "2028-01-01T00:00:00.5+23:59", "0001-01-01T00:00:00Z",
        "9999-12-31T23:59:59.999999Z", "2028-01-01T00:30:00-15:59", "2028-02-30T00:00:00Z", "2028-01-01T24:00:00Z", "soon", "",
        "2028-01-01", "2028-01-01T00:00:60Z", "2028-01-01T00:00:00.Z", "2028-13-01T00:00:00Z",
    ],
)  # fmt: skip
def test_the_database_reads_an_instant_as_the_server_does_and_breaks_at_none(text: str) -> None:
    expected = read_instant(text, default_zone="+00:00")
    found = ask("SELECT provisioning_instant(%s)", text)
    assert found == (expected.replace(tzinfo=None) if expected else None)


# A type with numbers and instants in its document, which no user has.
THING = ResourceType(
    name="Thing",
    endpoint="/Things",
    family="catalogue",
    handles=("title",),
    description="",
    schema=Schema(
        id="urn:x:Thing",
        name="Thing",
        description="",
        attributes=(
            Attribute(name="title"),
            Attribute(name="code", case_exact=True),
            Attribute(name="size", kind="integer"),
            Attribute(name="weight", kind="decimal"),
            Attribute(name="since", kind="dateTime"),
            Attribute(name="on", kind="boolean"),
            Attribute(
                name="parts",
                kind="complex",
                multi_valued=True,
                subs=(
                    Attribute(name="value"),
                    Attribute(name="size", kind="integer"),
                    Attribute(name="since", kind="dateTime"),
                    Attribute(name="primary", kind="boolean"),
                ),
            ),
        ),
    ),
)

texts = st.sampled_from(
    ["a", "A", "ß", "SS", "é", "ı", "ǆ", "%", "'", "\\", '"', "日", "ﬃ", "a b", "\U0001f600", "\uffff"]
)
instants = st.sampled_from(["2028-01-01T00:00:00Z", "2028-01-01T01:00:00.0000005+01:00", "2027-12-31T23:59:59.999999Z"])
numbers = st.integers(-2, 2) | st.sampled_from([0.5, -1.5, 1e300, 2**63, 1e-7, 1.0])
parts = st.fixed_dictionaries(
    {}, optional={"value": texts, "size": numbers, "since": instants, "primary": st.booleans()}
).filter(bool)
things = st.fixed_dictionaries(
    {},
    optional={
        "title": texts, "code": texts, "size": numbers, "weight": numbers, "since": instants, "on": st.booleans(),
        "parts": st.lists(parts, min_size=1, max_size=3),
    },
)  # fmt: skip
KINDS = {
    "title": texts, "code": texts, "size": numbers, "weight": numbers, "since": instants, "on": st.booleans(), "value": texts,
    "primary": st.booleans(),
}  # fmt: skip


@st.composite
def comparisons(draw: st.DrawFn, names: tuple[str, ...], prefix: str = "") -> str:
    name = draw(st.sampled_from(names))
    if draw(st.integers(0, 9)) == 0:
        return f"{prefix}{name} {draw(st.sampled_from(['pr', 'eq null', 'ne null']))}"
    operators = ["eq", "ne"] if name in {"on", "primary"} else ["eq", "ne", "gt", "ge", "lt", "le"]
    operators += ["co", "sw", "ew"] if name in {"title", "code", "value"} else []
    return f"{prefix}{name} {draw(st.sampled_from(operators))} {json.dumps(draw(KINDS[name]), ensure_ascii=False)}"


INNER = ("value", "size", "since", "primary")
inside = comparisons(INNER) | st.builds(
    "({} {} not ({}))".format, comparisons(INNER), st.sampled_from(["and", "or"]), comparisons(INNER)
)
leaves = (
    comparisons(("title", "code", "size", "weight", "since", "on"))
    | comparisons(INNER, "parts.")
    | st.builds("parts[{}]".format, inside)
)
filters = st.recursive(
    leaves,
    lambda one: (
        st.builds("({} and {})".format, one, one)
        | st.builds("({} or {})".format, one, one)
        | st.builds("not ({})".format, one)
    ),
    max_leaves=5,
)


@settings(
    max_examples=150, deadline=None, derandomize=True, database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)  # fmt: skip
@given(filters, st.lists(things, min_size=1, max_size=6))
def test_the_database_decides_about_documents_as_the_server_does(
    db: None, written: str, documents: list[dict[str, Any]]
) -> None:
    node = parse_filter(written, THING)
    writer = _Writer()
    condition = writer.condition(node, "one.document", depth=0)
    rows = ", ".join(["(%s::jsonb)"] * len(documents))
    statement = f"SELECT {condition} FROM (VALUES {rows}) AS one(document)"
    with connection.cursor() as cursor:
        cursor.execute(statement, [*writer.parameters, *map(json.dumps, documents)])
        found = [row[0] for row in cursor.fetchall()]
    assert found == [matches(node, one) for one in documents], (written, documents)


def test_a_path_into_an_extension_is_a_name_and_nothing_more(db: None) -> None:
    writer = _Writer()
    condition = writer.condition(
        parse_filter(f'{NHI_URN}:purpose eq "x" and not (name.givenName pr)', USER), "one.document", depth=0
    )
    document = json.dumps({NHI_URN: {"purpose": "X"}})
    assert ask(f"SELECT {condition} FROM (VALUES (%s::jsonb)) AS one(document)", *writer.parameters, document) is True
