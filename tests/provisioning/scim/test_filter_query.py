"""A filter as a Django Q: its shape. What the database makes of it is tested with the views."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from django.db.models import F, Q, Value

from provisioning.changes import user_name_key
from provisioning.scim.errors import ScimError
from provisioning.scim.filters.grammar import parse_filter
from provisioning.scim.filters.jsonpath import JsonPathExists
from provisioning.scim.filters.query import Column, key_column, to_q
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


def stored(path: str, field: str = "document") -> Q:
    return Q(JsonPathExists(F(field), Value(f"$ ? ({path})")))


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ('userName eq " ALICE "', Q(name_key__exact="alice")),
        ('userName ne "Alice"', ~Q(name_key__exact="alice")),
        ('userName co "L I"', Q(name_key__contains="l i")),
        ('userName sw " A"', Q(name_key__startswith=" a")),
        ('userName ew "E "', Q(name_key__endswith="e ")),
        ('userName sw "%_"', Q(name_key__startswith="%_")),
        ('userName gt "B"', Q(name_key__gt="b")),
        ('externalId eq "X"', Q(external_id__exact="X")),
        ('externalId co "X"', Q(external_id__contains="X")),
        ('externalId le "X"', Q(external_id__lte="X") & PRESENT),
        ('externalId sw ""', Q(external_id__startswith="") & PRESENT),
        ('externalId eq ""', Q(external_id__in=[])),
        ('externalId ne ""', ~Q(external_id__in=[])),
        ("externalId pr", PRESENT),
        ("externalId eq null", ~PRESENT),
        ("externalId ne null", PRESENT),
        ('displayName eq "A"', Q(display_name__iexact="A")),
        ('displayName ew "A"', Q(display_name__iendswith="A")),
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
        ('employeeNumber eq "7"', Q(account__employee_number__iexact="7")),
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


@pytest.mark.parametrize(
    ("written", "path"),
    [
        ('title eq "Boss"', '@."title" like_regex "^Boss$" flag "i"'),
        ('title ne "Boss"', '!(@."title" like_regex "^Boss$" flag "i")'),
        ('title co "a.b*(c)"', '@."title" like_regex "a\\\\.b\\\\*\\\\(c\\\\)" flag "i"'),
        ('title sw "é^"', '@."title" like_regex "^é\\\\^" flag "i"'),
        ('title ew "\\"\\\\"', '@."title" like_regex "\\\\\\"\\\\\\\\$" flag "i"'),
        ("title pr", 'exists(@."title")'),
        ("title eq null", '!exists(@."title")'),
        ("title ne null", 'exists(@."title")'),
        ('name.givenName eq "A b"', '@."name"."givenName" like_regex "^A b$" flag "i"'),
        ('emails.value eq "x"', '@."emails"."value" like_regex "^x$" flag "i"'),
        ("emails.primary eq true", '@."emails"."primary" == true'),
        (
            'emails[type eq "work" and not (value co "x" or primary ne false)]',
            (
                'exists(@."emails"[*] ? ((@."type" like_regex "^work$" flag "i") && '
                '(!((@."value" like_regex "x" flag "i") || (!(@."primary" == false))))))'
            ),
        ),
        (
            'emails[type eq "work"].value eq "x"',
            'exists(@."emails"[*] ? ((@."type" like_regex "^work$" flag "i") && (@."value" like_regex "^x$" flag "i")))',
        ),
        (f'{ENTERPRISE_URN}:manager.value eq "M"', f'@."{ENTERPRISE_URN}"."manager"."value" == "M"'),
        ('manager.value sw "M"', f'@."{ENTERPRISE_URN}"."manager"."value" like_regex "^M"'),
        ('manager.value gt "M"', f'@."{ENTERPRISE_URN}"."manager"."value" > "M"'),
    ],
)
def test_an_attribute_of_the_document_becomes_a_json_path(written: str, path: str) -> None:
    assert query(written) == stored(path)


def test_columns_and_document_can_stand_in_one_filter() -> None:
    expected = Q(name_key__exact="a") & stored('exists(@."title")')
    assert query('userName eq "a" and title pr') == expected


def test_the_document_can_be_in_another_row() -> None:
    node = parse_filter("title pr", USER)
    assert to_q(node, {}, json_field="account__document") == stored('exists(@."title")', "account__document")


def test_members_in_their_own_table_are_filtered_by_their_column() -> None:
    columns = {"members.value": Column(lookup="group__memberships__origin_ref", kind="uuid")}
    for written in (f'members[value eq "{ONE}"]', f'members.value eq "{ONE}"', f'members eq "{ONE}"'):
        node = parse_filter(written, GROUP)
        assert to_q(node, columns) == Q(group__memberships__origin_ref__exact=UUID(ONE))


@pytest.mark.parametrize(
    "written",
    [
        "groups.value pr",
        "meta.created pr",
        'meta.version eq "1"',
        'schemas eq "x"',
        f"{NHI_URN}:pending pr",
        'manager.displayName eq "x"',
        'title gt "a"',
        'emails[value ge "a"]',
        'id co "0"',
        f'id gt "{ONE}"',
        'userName eq "a" and groups pr',
        'userName eq "a" or not (meta.version pr)',
    ],
)
def test_what_can_not_be_decided_is_refused_and_never_left_out(written: str) -> None:
    with pytest.raises(ScimError) as caught:
        query(written)
    assert (caught.value.status, caught.value.scim_type) == (400, "invalidFilter")


@pytest.mark.parametrize("inner", ['not (value eq "x")', 'value ne "x"', "value eq null"])
def test_a_negative_condition_on_one_joined_row_is_refused(inner: str) -> None:
    columns = {"members.value": Column(lookup="members__id", kind="uuid")}
    with pytest.raises(ScimError) as caught:
        to_q(parse_filter(f"members[{inner}]", GROUP), columns)
    assert caught.value.scim_type == "invalidFilter"


def test_without_a_document_only_columns_are_known() -> None:
    with pytest.raises(ScimError) as caught:
        to_q(parse_filter("title pr", USER), COLUMNS, json_field=None)
    assert caught.value.scim_type == "invalidFilter"


def test_the_key_column_holds_the_keys_that_names_are_unique_by() -> None:
    assert key_column("name_key").normalise is user_name_key
