"""A filter as a Django Q: its shape. What the database makes of it is tested with the views."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from django.db.models import Q

from provisioning.changes import user_name_key
from provisioning.scim.errors import ScimError
from provisioning.scim.filters.columns import Column, Rows, Stored, Words, key_column
from provisioning.scim.filters.grammar import parse_filter
from provisioning.scim.filters.query import to_q
from provisioning.scim.filters.stored import StoredCondition
from provisioning.scim.metadata.catalogue import ENTERPRISE_URN, GROUP, NHI_URN, USER

pytestmark = pytest.mark.unit
ONE = "0193b0c4-0000-7000-8000-000000000001"


def active(operator: str, value: Any) -> Q:
    return Q(state="active") if (operator, value) == ("eq", True) else Q(asked=(operator, value))


COLUMNS = {
    "id": Column(lookup="id", kind="uuid"),
    "username": key_column("name_key"),
    "externalid": Column(lookup="external_id"),
    "displayname": Column(lookup="display_name"),
    "active": Column(lookup="active", kind="boolean", custom=active),
    "meta.lastmodified": Column(lookup="changed_at", kind="dateTime"),
    f"{ENTERPRISE_URN}:employeeNumber".lower(): Column(lookup="account__employee_number"),
    f"{NHI_URN}:expiresAt".lower(): Column(lookup="account__expires_at", kind="dateTime"),
}
PRESENT = Q(external_id__isnull=False) & ~Q(external_id="")


def query(written: str) -> Q:
    return to_q(parse_filter(written, USER), COLUMNS)


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ('userName eq " ALICE "', Q(name_key__exact="alice")),
        ('userName ne "Alice"', ~Q(name_key__exact="alice")),
        ('externalId eq "X"', Q(external_id__exact="X")),
        ('externalId eq ""', Q(external_id__in=[])),
        ('externalId ne ""', ~Q(external_id__in=[])),
        ("externalId pr", PRESENT),
        ("externalId eq null", ~PRESENT),
        ("externalId ne null", PRESENT),
        (f'id eq "{ONE}"', Q(id__exact=UUID(ONE))),
        (f'id ne "{ONE}"', ~Q(id__exact=UUID(ONE))),
        ('id eq "7"', Q(id__in=[])),
        ("id pr", Q(id__isnull=False)),
        ("active eq true", Q(state="active")),
        ("active ne false", Q(asked=("ne", False))),
        ("active pr", Q(asked=("pr", None))),
        (
            'meta.lastModified ge "2021-09-23T19:35:41.8420572Z"',
            Q(changed_at__gte=datetime(2021, 9, 23, 19, 35, 41, 842057, tzinfo=UTC)),
        ),
        (
            f'{NHI_URN}:expiresAt lt "2030-01-01T00:00:00Z"',
            Q(account__expires_at__lt=datetime(2030, 1, 1, tzinfo=UTC)),
        ),
        (
            'userName eq "a" or userName eq "b" and userName eq "c"',
            Q(name_key__exact="a") | Q(name_key__exact="b") & Q(name_key__exact="c"),
        ),
        ('not (userName eq "a" or externalId eq "b")', ~(Q(name_key__exact="a") | Q(external_id__exact="b"))),
    ],
)
def test_an_attribute_with_a_column_becomes_a_look_up(written: str, expected: Q) -> None:
    assert query(written) == expected


def stored(written: str, field: str = "document") -> Q:
    return Q(StoredCondition(parse_filter(written, USER), field))


@pytest.mark.parametrize(
    "written",
    [
        "title pr", 'title gt "a"', "title eq null", 'emails[type eq "work" and not (value co "x")]',
        'emails[value ge "a"]', f'{ENTERPRISE_URN}:manager.value eq "M"', 'name[givenName eq "x"]',
    ],
)  # fmt: skip
def test_an_attribute_of_the_document_becomes_a_condition_on_it(written: str) -> None:
    assert query(written) == stored(written)


def test_columns_and_document_can_stand_in_one_filter() -> None:
    expected = Q(name_key__exact="a") & stored("title pr")
    assert query('userName eq "a" and title pr') == expected


def test_the_document_can_be_in_another_row() -> None:
    node = parse_filter("title pr", USER)
    assert to_q(node, {}, json_field="account__document") == stored("title pr", "account__document")


MEMBERS = Rows(
    having=lambda one: Q(pk__in=("rows", one)),
    inner={"members.value": Column(lookup="origin_ref", kind="uuid", narrow=lambda ref: Q(owner=ref))},
)


def test_what_rows_of_another_table_hold_is_asked_of_one_and_the_same_row() -> None:
    is_one = Q(origin_ref__exact=UUID(ONE))
    narrowed = is_one & Q(owner=UUID(ONE))
    for written, expected in {
        f'members[value eq "{ONE}"]': MEMBERS.having(narrowed),
        f'members.value eq "{ONE}"': MEMBERS.having(narrowed),
        f'members eq "{ONE}"': MEMBERS.having(narrowed),
        f'members ne "{ONE}"': ~MEMBERS.having(narrowed),
        f'members[value ne "{ONE}"]': MEMBERS.having(~is_one),
        f'members[not (value eq "{ONE}")]': MEMBERS.having(~narrowed),
        "members pr": MEMBERS.having(Q()),
        "members eq null": ~MEMBERS.having(Q(origin_ref__isnull=False)),
    }.items():
        assert to_q(parse_filter(written, GROUP), {"members": MEMBERS}) == expected, written


def test_a_few_known_words_are_there_under_their_conditions() -> None:
    words = Words(present={"urn:a": Q(a=1), "urn:b": Q(b=1)})

    def about(written: str) -> Q:
        return to_q(parse_filter(written, USER), {"schemas": words})

    none = Q(pk__in=[])
    assert about('schemas eq "urn:a"') == none | Q(a=1)
    assert about('schemas sw "urn:"') == about("schemas pr") == none | Q(a=1) | Q(b=1)
    assert about('schemas ne "urn:b"') == ~(none | Q(b=1))
    assert about('schemas[value gt "urn:a"]') == none | Q(b=1)
    assert about('schemas eq "URN:A"') == none


def test_an_index_narrows_what_the_document_decides() -> None:
    places = {"emails.value": Stored(narrow=lambda value: Q(key=value) if value != "ι" else None)}

    def about(written: str) -> Q:
        return to_q(parse_filter(written, USER), places)

    for written, narrower in {
        'emails eq "a"': Q(key="a"),
        'emails[type eq "work" and value eq "a"]': Q(key="a"),
        'emails[value eq "a" or value eq "b"]': Q(key="a") | Q(key="b"),
        'emails[type eq "work"].value eq "a"': Q(key="a"),
    }.items():
        assert about(written) == narrower & stored(written), written
    for written in (
        'emails[value eq "a" or type eq "b"]',
        'emails ne "a"',
        'emails[not (value eq "a")]',
        'emails eq "ι"',
    ):
        assert about(written) == stored(written), written


def test_without_a_document_only_columns_are_known() -> None:
    with pytest.raises(ScimError) as caught:
        to_q(parse_filter("title pr", USER), COLUMNS, json_field=None)
    assert caught.value.scim_type == "invalidFilter"


def test_the_key_column_holds_the_keys_that_names_are_unique_by() -> None:
    assert key_column("name_key").normalise is user_name_key
