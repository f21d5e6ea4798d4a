"""Lists in the database: which resources a filter means, in which order, and in how many queries."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from accounts.models import Account, Group
from accounts.models.group import Membership
from audit.scope import scope
from provisioning.models.shadow import Shadow
from provisioning.scim.metadata.catalogue import ENTERPRISE_URN, NHI_URN
from tests.conftest import a_cause, as_owner
from tests.factories.scim import SEARCH_URN, connect

if TYPE_CHECKING:
    from collections.abc import Callable

    from accounts.models import Tenant
    from tests.factories.scim import Idp

pytestmark = pytest.mark.face

NOW = dt.datetime(2026, 11, 1, tzinfo=dt.UTC)


@pytest.fixture
def people(idp: Idp) -> dict[str, str]:
    """Five users by name, with something different about each."""
    return {
        "Alice": idp.user(
            "Alice",
            externalId="E-1",
            displayName="Ålice Liddell",
            title="Boss",
            name={"familyName": "Liddell"},
            emails=[{"value": "Alice@Work.example", "type": "work"}, {"value": "al@home.example", "type": "home"}],
            roles=[{"value": "admin", "primary": True}],
            **{ENTERPRISE_URN: {"employeeNumber": "10", "department": "Tea"}},
        ),
        "bob": idp.user("bob", externalId="e-1", displayName="Bob", name={"familyName": "Zimmer"}, active=False),
        "carol%": idp.user("carol%", emails=[{"value": "carol@work.example", "type": "home"}]),
        "dan_x": idp.user("dan_x", title='He said "hi" \\ there', nickName="true"),
        "eve": idp.user("eve", **{NHI_URN: {"kind": "service", "purpose": "x", "expiresAt": "2028-01-01T00:00:00Z"}}),
    }


def found(idp: Idp, wanted: str) -> list[str]:
    """The names that a filter finds, in order."""
    answer = idp.get(f"/Users?filter={wanted.replace('%', '%25').replace('&', '%26').replace('+', '%2B')}")
    assert answer.status == 200, answer
    assert answer["totalResults"] == len(answer["Resources"])
    return [one["userName"] for one in answer["Resources"]]


EVERY = ["Alice", "bob", "carol%", "dan_x", "eve"]


@pytest.mark.usefixtures("people")
@pytest.mark.parametrize(
    ("wanted", "names"),
    [
        ('userName eq "ALICE"', ["Alice"]),
        ('USERNAME EQ "alice"', ["Alice"]),
        ('urn:ietf:params:scim:schemas:core:2.0:User:userName eq "alice"', ["Alice"]),
        ('userName ne "alice"', EVERY[1:]),
        # Brackets bind tightest, then not, and, or.
        ('userName eq "alice" or userName eq "bob" and active eq true', ["Alice"]),
        ('(userName eq "alice" or userName eq "bob") and active eq false', ["bob"]),
        ('not (userName eq "alice") and userName sw "a"', []),
        ('externalId eq "E-1"', ["Alice"]),
        ('externalId eq "e-1"', ["bob"]),
        ("externalId pr", ["Alice", "bob"]),
        ("not (externalId pr)", EVERY[2:]),
        ("externalId eq null", EVERY[2:]),
        ('displayName eq "åLICE liddell"', ["Alice"]),
        ('displayName co "OB"', ["bob"]),
        ("active eq true", ["Alice", "carol%", "dan_x"]),
        ('active eq "True"', ["Alice", "carol%", "dan_x"]),
        ("active ne true", ["bob", "eve"]),
        ("active pr", EVERY),
        # What is special to LIKE and to patterns is an ordinary character.
        ('userName sw "%"', []),
        ('userName ew "%"', ["carol%"]),
        ('userName co "_"', ["dan_x"]),
        ('title co "."', []),
        ('title eq "He said \\"hi\\" \\\\ there"', ["dan_x"]),
        ('title eq "BOSS"', ["Alice"]),
        ("title pr", ["Alice", "dan_x"]),
        ("title eq null", ["bob", "carol%", "eve"]),
        ('nickName eq "true"', ["dan_x"]),
        ('emails eq "alice@work.example"', ["Alice"]),
        ('emails.value co "WORK.example"', ["Alice", "carol%"]),
        ('emails[type eq "work" and value eq "alice@work.example"]', ["Alice"]),
        ('emails[type eq "home"].value eq "alice@work.example"', []),
        ('emails.type eq "work"', ["Alice"]),
        ('not (emails[type eq "home"])', ["bob", "dan_x", "eve"]),
        ('name.familyName eq "liddell"', ["Alice"]),
        ('roles[primary eq "True"]', ["Alice"]),
        (f'{ENTERPRISE_URN}:department eq "TEA"', ["Alice"]),
        ('department eq "tea" and employeeNumber eq "10"', ["Alice"]),
        (f'{NHI_URN}:kind eq "SERVICE"', ["eve"]),
        (f'{NHI_URN}:kind eq "person"', EVERY[:4]),
        (f'{NHI_URN}:expiresAt gt "2027-12-01T00:00:00Z"', ["eve"]),
        ('meta.created gt "2001-01-01T00:00:00Z"', EVERY),
        ('meta.lastModified lt "0001-01-01T00:00:00Z"', []),
        ('meta.lastmodified ge "2021-09-23T19:35:41.8420572Z"', EVERY),
        ('meta.resourceType eq "User"', EVERY),
        ('id eq "nobody"', []),
        ('id eq "0193b0c4-0000-7000-8000-000000000001"', []),
        ("id pr", EVERY),
        ('id sw "0"', EVERY),
        ('id gt "z"', []),
        # Ids are compared as texts, in the order of code points.
        ('id le "Z" or id ew "nobody"', EVERY),
        ("meta pr and meta.location pr and meta.version pr", EVERY),
        ('meta[resourceType eq "User" and not (created lt "2001-01-01T00:00:00Z")]', EVERY),
        ("meta.created eq null", []),
        ("schemas pr", EVERY),
        (f'schemas eq "{ENTERPRISE_URN}"', ["Alice"]),
        (f'schemas[value eq "{NHI_URN}"]', ["eve"]),
        ('schemas co "extension" and not (schemas sw "urn:rollcall")', ["Alice"]),
        (f'schemas ne "{ENTERPRISE_URN}"', EVERY[1:]),
        # What folds to more than one letter, in the document and in a key.
        ('title gt "b" and title lt "c"', ["Alice"]),
        ('title ge "BOSS" and title le "boss"', ["Alice"]),
        ('displayName sw "Å"', ["Alice"]),
        ('emails.value gt "ALICE@"', ["Alice", "carol%"]),
        ('emails[value lt "B" and not (type eq "WORK")]', ["Alice"]),
        (
            'emails[type eq "work" and value eq "ALICE@work.example" or value eq "carol@work.example"]',
            ["Alice", "carol%"],
        ),
        ('emails ne "alice@work.example"', EVERY[1:]),
        ("roles[primary eq true]", ["Alice"]),
        ("roles.primary ne true", EVERY[1:]),
        ('name[familyName sw "Z"]', ["bob"]),
        ('manager.displayName ne "x"', EVERY),
        (f"{ENTERPRISE_URN}:manager.displayName pr", []),
        (f"{NHI_URN}:pending pr", ["eve"]),
        (f'{NHI_URN}:kind sw "SERV"', ["eve"]),
        (f'{NHI_URN}:expiresAt eq "2028-01-01T01:00:00.0000000+01:00"', ["eve"]),
        ('userName eq "a" or ' * 63 + 'userName eq "bob"', ["bob"]),
    ],
)
def test_a_filter_finds_exactly_whom_it_means(idp: Idp, wanted: str, names: list[str]) -> None:
    assert found(idp, wanted) == names


@pytest.mark.parametrize(
    "wanted",
    [
        "", " ", "userName", 'userName eq "a', 'userName xx "a"', 'favouriteColour eq "red"', "userName eq",
        'userName eq "alice" and favouriteColour eq "red"', 'userName eq "alice" or favouriteColour eq "red"',
        "active gt true", "active eq 1", 'userName eq 7', 'meta.created gt "yesterday"', "(userName pr", "userName pr)",
        "((" * 2000, "not " * 500, 'password eq "x"', "emails[", 'emails[type eq "a"', 'userName eq "a\\"',
        'userName eq "' + "a" * 5000 + '"', 'meta.version eq "x"', 'groups.$ref eq "x"', 'meta.location sw "h"',
        'userName eq "\x00"', "name eq 1", 'emails eq "a" "b"',
    ],
)  # fmt: skip
def test_a_filter_that_can_not_be_decided_is_refused_and_never_ignored(idp: Idp, wanted: str) -> None:
    idp.user("alice")
    for answer in (
        idp.get(f"/Users?filter={wanted}".replace("\x00", "%00")),
        idp.post("/Users/.search", {"schemas": [SEARCH_URN], "filter": wanted}),
    ):
        assert answer.status == 400, answer
        assert answer["scimType"] in {"invalidFilter", "invalidSyntax", "invalidValue"}


def test_too_many_terms_are_too_many(idp: Idp) -> None:
    wanted = " or ".join(["userName pr"] * 65)
    answer = idp.get(f"/Users?filter={wanted}")
    assert (answer.status, answer["scimType"]) == (400, "tooMany")


def test_groups_and_users_are_found_by_each_other(idp: Idp) -> None:
    ada, eva = idp.user("ada"), idp.user("eva")
    staff, empty = idp.group("Staff", ada, externalId="g1"), idp.group("Empty")

    def groups(wanted: str) -> set[str]:
        return {one["id"] for one in idp.get(f"/Groups?filter={wanted}")["Resources"]}

    def users(wanted: str) -> set[str]:
        return {one["id"] for one in idp.get(f"/Users?filter={wanted}")["Resources"]}

    assert groups(f'members.value eq "{ada}"') == groups(f'members[value eq "{ada}"]') == {staff}
    assert groups(f'members eq "{eva}"') == groups('members.value eq "x"') == set()
    assert groups("members pr") == {staff}
    assert groups("not (members pr)") == {empty}
    assert groups('externalId eq "g1" and displayName eq "STAFF"') == {staff}
    assert groups(f'id eq "{staff}" and members[value eq "{ada}"]') == {staff}
    assert users(f'groups.value eq "{staff}"') == users("groups pr") == {ada}
    assert users(f'not (groups eq "{staff}")') == {eva}
    idp.delete(f"/Groups/{staff}")
    assert users(f'groups.value eq "{staff}"') == set()


def test_a_member_and_a_group_are_filtered_by_all_that_is_answered_of_them(idp: Idp) -> None:
    ada, eva = idp.user("ada"), idp.user("eva")
    inner = idp.group("Inner", ada)
    outer, empty = idp.group("Straße", inner, eva), idp.group("Empty")

    def groups(wanted: str) -> set[str]:
        return {one["id"] for one in idp.get(f"/Groups?filter={wanted}")["Resources"]}

    def users(wanted: str) -> set[str]:
        return {one["id"] for one in idp.get(f"/Users?filter={wanted}")["Resources"]}

    assert groups(f'members[value eq "{inner}" and type eq "group"]') == {outer}
    assert groups(f'members[value eq "{inner}" and type eq "User"]') == set()
    assert groups('members.type eq "USER"') == {inner, outer}
    assert groups('members[not (type eq "User")]') == groups('members[type ne "User"]') == {outer}
    assert groups(f'members ne "{eva}"') == {inner, empty}
    assert groups(f'members[value eq "{ada}" or value eq "{eva}"]') == {inner, outer}
    assert groups(f'members.value sw "{eva[:30]}" and members.value eq "{eva}"') == {outer}
    assert groups(f'members.value eq "{eva.upper()}"') == set()
    assert groups("members eq null") == {empty}
    assert groups('displayName eq "STRASSE"') == groups('displayName sw "stras"') == {outer}
    assert users('groups[display eq "INNER" and type eq "direct"]') == {ada}
    assert users('groups.display co "SS"') == {eva}
    assert users(f'groups[not (value eq "{inner}")]') == {eva}
    assert users('groups.type ne "direct"') == users("groups eq null") == set()


def test_an_instant_is_compared_as_it_is_answered(idp: Idp) -> None:
    changed = idp.get(f"/Users/{idp.user('ada')}")["meta"]["lastModified"]
    assert len(found(idp, f'meta.lastModified eq "{changed}"')) == 1
    assert found(idp, f'meta.lastModified gt "{changed}"') == found(idp, f'meta.lastModified lt "{changed}"') == []
    assert len(found(idp, f'meta.lastModified ge "{changed}" and meta.lastModified le "{changed}"')) == 1
    assert found(idp, f'meta.lastModified ne "{changed}"') == []
    finer = changed.replace("Z", "0001Z")
    assert len(found(idp, f'meta.lastModified lt "{changed.replace("Z", "1Z")}"')) == 1
    assert found(idp, f'meta.lastModified ge "{changed.replace("Z", "1Z")}"') == []
    # Finer than a microsecond nothing is compared.
    assert len(found(idp, f'meta.lastModified eq "{finer}"')) == 1
    assert len(found(idp, 'meta.lastModified lt "9999-12-31T23:59:59.9999999Z"')) == 1
    assert found(idp, 'meta.lastModified gt "9999-12-31T23:59:59.9999999Z"') == []


def test_letters_that_fold_to_several_are_found_wherever_they_stand(idp: Idp) -> None:
    idp.user("ada", name={"familyName": "Straße"}, emails=[{"value": "Müller@ι.example"}, {"value": "ﬁn@x.example"}])
    for wanted in (
        'name.familyName eq "STRASSE"', 'name.familyName co "ASSE"', 'name.familyName sw "strass"',
        'name.familyName ew "sse"', 'emails eq "MÜLLER@Ι.example"', 'emails[value eq "FIN@x.example"]',
    ):  # fmt: skip
        assert found(idp, wanted) == ["ada"], wanted


def test_a_filter_with_or_does_not_leave_the_system(idp: Idp, other: Idp) -> None:
    idp.user("ada")
    other.user("eva", displayName="x")
    assert found(other, 'userName eq "ada" or displayName pr or userName pr') == ["eva"]


@pytest.mark.usefixtures("people")
@pytest.mark.parametrize(
    ("sort", "names"),
    [
        ("sortBy=userName", EVERY),
        ("sortBy=USERNAME&sortOrder=descending", EVERY[::-1]),
        ("sortBy=name.familyName", ["Alice", "bob", "carol%", "dan_x", "eve"]),
        ("sortBy=name.familyName&sortOrder=descending", ["carol%", "dan_x", "eve", "bob", "Alice"]),
        ("sortBy=emails", ["Alice", "carol%", "bob", "dan_x", "eve"]),
        ("sortBy=externalId&sortOrder=Descending", ["carol%", "dan_x", "eve", "bob", "Alice"]),
        ("sortBy=meta.created&sortOrder=descending", EVERY[::-1]),
        ("sortBy=roles", ["Alice", "bob", "carol%", "dan_x", "eve"]),
        (f"sortBy={NHI_URN}:expiresAt", ["eve", *EVERY[:4]]),
    ],
)
def test_a_list_is_sorted_as_asked_with_absent_values_last(idp: Idp, sort: str, names: list[str]) -> None:
    assert [one["userName"] for one in idp.get(f"/Users?{sort}")["Resources"]] == names


@pytest.mark.parametrize("sort", ["sortBy=nothing", "sortBy=name", "sortBy=password", "sortBy=userName&sortOrder=up"])
def test_a_sort_that_can_not_be_is_refused(idp: Idp, sort: str) -> None:
    answer = idp.get(f"/Users?{sort}")
    assert (answer.status, answer["scimType"]) == (400, "invalidValue")


@pytest.mark.usefixtures("people")
@pytest.mark.parametrize(
    ("query", "start", "names"),
    [
        ("", 1, EVERY),
        ("startIndex=2&count=2", 2, ["bob", "carol%"]),
        ("startIndex=0&count=1", 1, ["Alice"]),
        ("startIndex=-7&count=1", 1, ["Alice"]),
        ("startindex=5", 5, ["eve"]),
        ("startIndex=6", 6, []),
        ("count=0", 1, []),
        ("count=-5", 1, []),
        ("count=5000", 1, EVERY),
        ("startIndex=999999999999999999", 2**31 - 1, []),
    ],
)
def test_a_page_is_what_was_asked_for_and_the_total_is_of_all(
    idp: Idp, query: str, start: int, names: list[str]
) -> None:
    answer = idp.get(f"/Users?{query}")
    assert [one["userName"] for one in answer["Resources"]] == names
    assert (answer["totalResults"], answer["itemsPerPage"], answer["startIndex"]) == (5, len(names), start)


@pytest.mark.parametrize("query", ["count=x", "startIndex=1.5", "count=", "count=1&count=2", "startIndex=９"])
def test_a_page_that_is_no_number_is_refused(idp: Idp, query: str) -> None:
    answer = idp.get(f"/Users?{query}")
    assert (answer.status, answer["scimType"]) == (400, "invalidValue")


@pytest.mark.usefixtures("people")
def test_a_search_reads_everything_from_its_body(idp: Idp) -> None:
    body = {
        "schemas": [SEARCH_URN],
        "filter": "active eq true",
        "startIndex": 2,
        "count": 1,
        "attributes": ["userName"],
        "sortBy": "userName",
        "sortOrder": "descending",
    }
    answer = idp.post("/Users/.search?count=0", body)
    assert answer["totalResults"] == 3
    assert [one["userName"] for one in answer["Resources"]] == ["carol%"]
    assert answer["Resources"][0].keys() == {"schemas", "id", "userName"}
    assert idp.post("/Users/.search", {"schemas": [SEARCH_URN]})["totalResults"] == 5
    assert idp.post("/Users/.search", {"schemas": []}).status == 400
    assert idp.exchanges()[-1].method == "POST"
    assert len(idp.exchanges()) == 5


def fill(idp: Idp, number: int) -> None:
    """Many users, each in one group, without the way over HTTP."""
    with scope(tenant=idp.tenant.pk, cause=a_cause()):
        common: dict[str, Any] = {"tenant_id": idp.tenant.pk}
        accounts = Account.objects.bulk_create(
            Account(**common, state="active", was_active=True, state_since=NOW, user_name=f"u{one}",
                    user_name_key=f"u{one}", made_at=NOW)
            for one in range(number)
        )  # fmt: skip
        groups = Group.objects.bulk_create(
            Group(**common, display_name=f"g{one}", display_name_key=f"g{one}", made_at=NOW) for one in range(number)
        )
        of: dict[str, Any] = {**common, "system": idp.system, "made_at": NOW, "changed_at": NOW}
        users = Shadow.objects.bulk_create(
            Shadow(**of, resource_type="User", account=one, name=one.user_name, name_key=one.user_name_key,
                   document={"userName": one.user_name, "title": "x"})
            for one in accounts
        )  # fmt: skip
        Shadow.objects.bulk_create(
            Shadow(**of, resource_type="Group", group=one, name=one.display_name, name_key=one.display_name_key,
                   display_name_key=one.display_name_key, document={"displayName": one.display_name})
            for one in groups
        )  # fmt: skip
        Membership.objects.bulk_create(
            Membership(**common, group=group, account_id=user.account_id, origin="system", system=idp.system,
                       origin_ref=user.pk, since=NOW)
            for group, user in zip(groups, users, strict=True)
        )  # fmt: skip
        with as_owner(), connection.cursor() as cursor:
            cursor.execute("ANALYZE provisioning_shadow, accounts_account, accounts_group, accounts_membership")


LISTS = [
    "/Users?count=1000",
    "/Groups?count=1000",
    '/Users?count=1000&filter=title eq "x" and active eq true&sortBy=title',
    "/Groups?count=1000&filter=members pr&excludedAttributes=members",
]


def test_a_list_of_3_and_of_3000_takes_the_same_queries(tenant: Tenant, make_tenant: Callable[..., Tenant]) -> None:
    few, many = connect(tenant), connect(make_tenant("globex"))
    fill(few, 3)
    fill(many, 3000)
    for path in LISTS:
        counts = []
        for idp, number in ((few, 3), (many, 3000)):
            with CaptureQueriesContext(connection) as queries:
                answer = idp.get(path)
            assert (answer["totalResults"], answer["itemsPerPage"]) == (number, min(number, 1000))
            counts.append(len(queries))
        # A list that fits on its page needs nobody to say how long it is.
        assert counts[1] == counts[0] + 1, path


def test_members_that_are_not_asked_for_are_not_read(idp: Idp) -> None:
    group = idp.group("Staff", idp.user("ada"))
    for path in (f"/Groups/{group}?excludedAttributes=members", "/Groups?attributes=displayName"):
        with CaptureQueriesContext(connection) as queries:
            assert idp.get(path).status == 200
        assert not any("accounts_membership" in one["sql"] for one in queries.captured_queries)
