"""Reading a SCIM server: what it must answer, how patiently it is asked, and a real one."""

import json
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import httpx
import pytest

from provisioning.connectors.egress import ForeignReference, RedirectedError
from provisioning.connectors.scim import BadAnswer, BusyError, Directory, GroupReading, Reading

pytestmark = pytest.mark.unit

LIST = "urn:ietf:params:scim:api:messages:2.0:ListResponse"
ERROR = "urn:ietf:params:scim:api:messages:2.0:Error"
USER_URN = "urn:ietf:params:scim:schemas:core:2.0:User"


def listing(resources, *, total, **more):
    return {"schemas": [LIST], "totalResults": total, "Resources": resources, **more}


def users(*numbers):
    return [{"id": f"u{number}", "userName": f"user{number}"} for number in numbers]


def roll(peer, population):
    """Let the peer serve a list of resources as the RFC says."""

    def answer(exchange):
        start, count = int(exchange.call.query["startIndex"]), int(exchange.call.query["count"])
        part = population[start - 1 : start - 1 + count]
        exchange.json(listing(part, total=len(population), startIndex=start, itemsPerPage=len(part)))

    peer.answer = answer


@pytest.fixture
def waits() -> list[float]:
    return []


@pytest.fixture
def directory(peer, connect, waits) -> Directory:
    return Directory(connect(f"{peer.url}/v2"), sleep=waits.append)


def ids(pages) -> list[list[str]]:
    return [[resource["id"] for resource in page.resources] for page in pages]


def asked(peer) -> list[tuple[int, int]]:
    return [(int(call.query["startIndex"]), int(call.query["count"])) for call in peer.calls]


def test_pages_are_read_until_the_list_is_drained(peer, directory):
    roll(peer, users(1, 2, 3, 4, 5))
    pages = list(directory.pages("Users", count=2))
    assert ids(pages) == [["u1", "u2"], ["u3", "u4"], ["u5"]]
    assert [(page.start_index, page.items_per_page, page.total_results) for page in pages] == [
        (1, 2, 5), (3, 2, 5), (5, 1, 5),
    ]  # fmt: skip
    assert asked(peer) == [(1, 2), (3, 2), (5, 2)]
    assert [call.path for call in peer.calls] == ["/v2/Users"] * 3


@pytest.mark.parametrize(("size", "calls"), [(0, 1), (1, 1), (2, 1), (4, 2)])
def test_no_page_is_asked_for_beyond_the_end(peer, directory, size, calls):
    roll(peer, users(*range(size)))
    assert sum(len(page) for page in ids(directory.pages("Users", count=2))) == size
    assert len(peer.calls) == calls


def test_a_reading_can_be_resumed_in_the_middle_and_after_the_end(peer, directory):
    roll(peer, users(1, 2, 3, 4, 5))
    assert ids(directory.pages("Users", count=2, start_index=4)) == [["u4", "u5"]]
    assert ids(directory.pages("Users", count=2, start_index=6)) == [[]]
    assert ids(directory.pages("Users", count=2, start_index=60)) == [[]]


def test_pages_are_asked_for_one_by_one_as_they_are_taken(peer, directory):
    roll(peer, users(1, 2, 3, 4, 5))
    pages = directory.pages("Groups", count=2)
    assert peer.calls == []
    next(pages)
    assert len(peer.calls) == 1
    next(pages)
    assert [call.path for call in peer.calls] == ["/v2/Groups"] * 2


def test_a_server_that_gives_fewer_than_asked_is_read_on_from_what_it_gave(peer, directory):
    population = users(1, 2, 3, 4, 5)

    def answer(exchange):
        start = int(exchange.call.query["startIndex"])
        exchange.json(listing(population[start - 1 : start + 1], total=5, startIndex=start, itemsPerPage=100))

    peer.answer = answer
    assert ids(directory.pages("Users", count=100)) == [["u1", "u2"], ["u3", "u4"], ["u5"]]


def test_a_total_that_changes_between_pages_is_shown_on_each_page_and_obeyed(peer, directory):
    population = users(1, 2, 3, 4)
    roll(peer, population)
    grown = directory.pages("Users", count=2)
    assert next(grown).total_results == 4
    population.extend(users(5))
    assert [page.total_results for page in grown] == [5, 5]
    shrunk = directory.pages("Users", count=2)
    assert next(shrunk).total_results == 5
    del population[2:]
    assert [(page.total_results, page.resources) for page in shrunk] == [(2, ())]


def test_an_id_that_comes_twice_is_handed_on_for_the_proofs_to_see(peer, directory):
    population = users(1, 2, 3, 4)
    roll(peer, population)
    pages = directory.pages("Users", count=2)
    first = next(pages)
    # Someone sorted before everyone else arrives: what was second is third now.
    population.insert(0, users(0)[0])
    rest = list(pages)
    assert ids([first, *rest]) == [["u1", "u2"], ["u2", "u3"], ["u4"]]


def test_only_the_attributes_that_were_asked_for_are_requested(peer, directory):
    roll(peer, users(1))
    list(directory.pages("Users", attributes=("userName", "active")))
    assert peer.calls[0].query == {"startIndex": "1", "count": "100", "attributes": "userName,active"}


@pytest.mark.parametrize("numbers", [{"count": 0}, {"count": -1}, {"start_index": 0}])
def test_a_page_that_cannot_be_asked_for_is_refused_at_once(directory, numbers):
    with pytest.raises(ValueError, match="begin at 1"):
        next(directory.pages("Users", **numbers))


def test_names_in_a_list_are_read_in_any_case_and_nulls_as_absent(peer, directory):
    peer.answer = lambda exchange: exchange.json(
        {"SCHEMAS": [LIST.upper()], "totalresults": 1, "resources": [{"ID": "u1"}], "startIndex": None}
    )
    (page,) = directory.pages("Users")
    assert page.resources == ({"ID": "u1"},)
    peer.answer = lambda exchange: exchange.json({"schemas": [LIST], "totalResults": 0})
    assert ids(directory.pages("Users")) == [[]]


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ([], "not a JSON object"),
        ("text", "not a JSON object"),
        (None, "not a JSON object"),
        ({"totalResults": 0}, "does not name the schema"),
        ({"schemas": LIST, "totalResults": 0}, "does not name the schema"),
        ({"schemas": [ERROR], "totalResults": 0}, "does not name the schema"),
        ({"schemas": [7], "totalResults": 0}, "does not name the schema"),
        ({"schemas": [LIST]}, "no totalResults"),
        (listing([], total="0"), "totalResults is not a whole number"),
        (listing([], total=-1), "totalResults is not a whole number"),
        (listing([], total=0.0), "totalResults is not a whole number"),
        (listing([], total=False), "totalResults is not a whole number"),
        (listing([], total=0, itemsPerPage="0"), "itemsPerPage is not a whole number"),
        (listing(users(1), total=1, startIndex="1"), "startIndex is not a whole number"),
        (listing(users(1), total=1, startIndex=2), "begins at another startIndex"),
        (listing(users(1), total=1, startIndex=0), "begins at another startIndex"),
        (listing({"id": "u1"}, total=1), "Resources are not a list"),
        (listing("u1", total=1), "Resources are not a list"),
        (listing(["u1"], total=1), "resource is not an object"),
        (listing([None], total=1), "resource is not an object"),
        (listing([{}], total=1), "no id that is a string"),
        (listing([{"id": 7}], total=1), "no id that is a string"),
        (listing([{"id": ""}], total=1), "no id that is a string"),
        (listing([{"id": "a", "ID": "b"}], total=1), "id twice"),
        (listing(users(1, 2, 3), total=9), "3 resources where at most 2 were asked for"),
        (listing([], total=1), "empty at 1, before its end"),
        ({"schemas": [LIST], "totalResults": 1}, "empty at 1, before its end"),
        (listing(users(1, 2), total=1), "more resources than its totalResults of 1"),
        (listing(users(1), total=0), "more resources than its totalResults of 0"),
    ],
)
def test_a_list_that_is_not_what_the_rfc_asks_for_ends_the_reading(peer, directory, document, words):
    peer.answer = lambda exchange: exchange.json(document)
    with pytest.raises(BadAnswer, match=words):
        list(directory.pages("Users", count=2))
    assert len(peer.calls) == 1


def test_a_later_page_that_is_empty_before_the_end_is_no_end(peer, directory):
    def answer(exchange):
        start = int(exchange.call.query["startIndex"])
        exchange.json(listing(users(1, 2) if start == 1 else [], total=4))

    peer.answer = answer
    pages = directory.pages("Users", count=2)
    assert ids([next(pages)]) == [["u1", "u2"]]
    with pytest.raises(BadAnswer, match="A list of 4 resources is empty at 3, before its end"):
        next(pages)


@pytest.mark.parametrize(
    "body",
    [
        b"", b"<html>", b"{", b'{"a": NaN}', b'{"a": Infinity}', b'\xff\xfe\x00', b'{"a": "\xff"}',
        b"[" * 100_000, b'{"totalResults": ' + b"9" * 5000 + b"}",
        b'{"schemas": ["' + LIST.encode() + b'"], "totalResults": 1, "totalResults": 0}',
    ],
    ids=["empty", "html", "cut", "nan", "infinity", "utf16", "latin", "deep", "long number", "a name twice"],
)  # fmt: skip
def test_a_body_that_is_no_honest_json_object_is_refused(peer, directory, body):
    peer.answer = lambda exchange: exchange.reply(body)
    with pytest.raises(BadAnswer, match=r"is not a JSON object \(status 200\)"):
        list(directory.pages("Users"))


@pytest.mark.parametrize(
    ("status", "words"),
    [(401, "the token is not accepted"), (403, "may not read"), (404, "no such endpoint"), (500, "500"), (201, "201")],
)
def test_a_status_that_is_no_success_is_said_with_what_it_means(peer, directory, status, words):
    peer.answer = lambda exchange: exchange.json({"planted": "value"}, status=status)
    with pytest.raises(BadAnswer, match=words) as caught:
        list(directory.pages("Users"))
    assert caught.value.status == status
    assert "planted" not in caught.value.reason


def foreign_resources(url):
    return [
        {"id": "u1", "meta": {"location": f"{url}/v2/Users/u1"}},
        {"id": "g1", "members": [{"value": "u1", "$ref": f"{url}/v2/Users/u1"}]},
        {"id": "u1", "urn:x": {"manager": {"$ref": f"{url}/v2/Users/u2"}}},
    ]


@pytest.mark.parametrize("number", range(3))
def test_a_resource_that_lives_elsewhere_is_an_error_and_is_not_looked_for(peer, other_peer, directory, number):
    resource = foreign_resources(other_peer.url)[number]
    peer.answer = lambda exchange: exchange.json(listing([resource], total=1))
    with pytest.raises(ForeignReference):
        list(directory.pages("Users"))
    peer.answer = lambda exchange: exchange.json(resource)
    with pytest.raises(ForeignReference):
        directory.get("Users", resource["id"])
    assert other_peer.calls == []


@pytest.mark.parametrize("number", range(3))
def test_a_resource_that_names_its_own_server_is_read(peer, directory, number):
    resource = foreign_resources(peer.url)[number]
    peer.answer = lambda exchange: exchange.json(listing([resource], total=1))
    assert [page.resources for page in directory.pages("Users")] == [(resource,)]


def test_a_redirect_in_the_midst_of_a_reading_ends_it(peer, other_peer, directory):
    roll(peer, users(1, 2, 3))
    pages = directory.pages("Users", count=2)
    next(pages)
    peer.answer = lambda exchange: exchange.reply(status=307, headers={"Location": f"{other_peer.url}/v2/Users"})
    with pytest.raises(RedirectedError):
        next(pages)
    assert other_peer.calls == []


def test_one_resource_is_read_by_its_id_percent_encoded(peer, directory):
    peer.answer = lambda exchange: exchange.json({"id": "a/b?c#d ä", "userName": "x"})
    assert directory.get("Users", "a/b?c#d ä") == {"id": "a/b?c#d ä", "userName": "x"}
    assert peer.calls[0].path == "/v2/Users/a%2Fb%3Fc%23d%20%C3%A4"


def test_a_404_with_a_scim_error_means_absent(peer, directory):
    peer.answer = lambda exchange: exchange.json({"schemas": [ERROR], "status": "404"}, status=404)
    assert directory.get("Users", "gone") is None


@pytest.mark.parametrize("body", [b"", b"default backend - 404", b"{}", b'{"schemas": []}', b"[]"])
def test_a_404_that_no_scim_server_sent_proves_no_absence(peer, directory, body):
    peer.answer = lambda exchange: exchange.reply(body, status=404)
    with pytest.raises(BadAnswer, match="404"):
        directory.get("Users", "u1")


@pytest.mark.parametrize("document", [{"id": "u2"}, {"id": "U1"}])
def test_another_resource_than_the_one_asked_for_is_refused(peer, directory, document):
    peer.answer = lambda exchange: exchange.json(document)
    with pytest.raises(BadAnswer, match="another resource"):
        directory.get("Users", "u1")


def test_an_id_that_is_a_way_up_is_never_requested(peer, directory):
    for hostile in ("..", ".", "../Groups", "%2e%2e"):
        with pytest.raises(ForeignReference):
            directory.get("Users", hostile)
    with pytest.raises(ValueError, match="whole list"):
        directory.get("Users", "")
    assert peer.calls == []


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("ada", 'userName eq "ada"'),
        ('a"b', 'userName eq "a\\"b"'),
        ('x" or userName pr or userName eq "y', 'userName eq "x\\" or userName pr or userName eq \\"y"'),
        ("a\\", 'userName eq "a\\\\"'),
        ("a\nb\tc", 'userName eq "a\\nb\\tc"'),
        ("a&b=c+d%20#", 'userName eq "a&b=c+d%20#"'),
        ("Ädä 😀", 'userName eq "Ädä 😀"'),
        ("", 'userName eq ""'),
    ],
)
def test_a_filter_holds_its_value_as_a_json_string(peer, directory, value, written):
    peer.answer = lambda exchange: exchange.json(listing([], total=0))
    assert directory.find("Users", "userName", value) == ()
    assert peer.calls[0].query == {"startIndex": "1", "count": "100", "filter": written}
    assert json.loads(written.removeprefix("userName eq ")) == value


@pytest.mark.parametrize(
    "name", ["", "user name", 'userName eq "x" or id', "emails.value", "emails[type eq 1]", "1a", "é"]
)
def test_a_filter_on_something_that_is_no_plain_attribute_is_refused(directory, name):
    with pytest.raises(ValueError, match="plain name"):
        directory.find("Users", name, "x")


def test_a_found_resource_must_have_the_value_that_was_asked_for(peer, directory):
    peer.answer = lambda exchange: exchange.json(listing([{"id": "u1", "USERNAME": "ADA", "externalId": "e"}], total=1))
    assert [user["id"] for user in directory.find("Users", "userName", "ada")] == ["u1"]
    assert [user["id"] for user in directory.find("Users", "externalId", "e")] == ["u1"]
    for name, value in (("userName", "bob"), ("externalId", "E"), ("displayName", "ada")):
        with pytest.raises(BadAnswer, match=f"ignored the filter on {name}"):
            directory.find("Users", name, value)


def test_more_answers_than_one_page_to_a_filter_are_refused(peer, directory):
    peer.answer = lambda exchange: exchange.json(listing([{"id": "u1", "userName": "ada"}], total=2))
    with pytest.raises(BadAnswer, match="More than 1 resources"):
        directory.find("Users", "userName", "ada")


def busy(peer, *headers, status=429):
    """Answer busy once per given header set, then an empty list."""
    left = list(headers)

    def answer(exchange):
        if left:
            exchange.reply(status=status, headers=left.pop(0))
        else:
            exchange.json(listing([], total=0))

    peer.answer = answer


@pytest.mark.parametrize("status", [429, 503])
def test_retry_after_is_waited_for_as_asked(peer, directory, waits, status):
    busy(peer, {"Retry-After": "7"}, {"Retry-After": "3"}, status=status)
    assert ids(directory.pages("Users")) == [[]]
    assert (waits, len(peer.calls)) == ([7.0, 3.0], 3)


def test_without_retry_after_the_waits_grow(peer, directory, waits):
    busy(peer, {}, {"Retry-After": "soon"}, {"Retry-After": "-1"}, {"Retry-After": "1.5"})
    list(directory.pages("Users"))
    assert waits == [1.0, 2.0, 4.0, 8.0]


def test_a_date_is_measured_on_the_clock_of_the_server(peer, directory, waits):
    long_ago = datetime(2001, 1, 1, tzinfo=UTC)
    head = (
        f"HTTP/1.1 503 Busy\r\nDate: {format_datetime(long_ago, usegmt=True)}\r\n"
        f"Retry-After: {format_datetime(long_ago + timedelta(seconds=9), usegmt=True)}\r\nContent-Length: 0\r\n\r\n"
    )
    left = [head.encode()]
    peer.answer = lambda exchange: exchange.raw(left.pop()) if left else exchange.json(listing([], total=0))
    list(directory.pages("Users"))
    assert waits == [9.0]


def test_a_zero_is_read_as_a_second_and_the_tries_are_counted(peer, directory, waits):
    busy(peer, *[{"Retry-After": "0"}] * 50)
    with pytest.raises(BusyError) as caught:
        list(directory.pages("Users"))
    assert (waits, len(peer.calls), caught.value.retry_after) == ([1.0] * 5, 6, 1.0)


def test_a_wait_beyond_the_bound_is_not_begun_and_is_handed_to_the_caller(peer, connect, waits):
    directory = Directory(connect(peer.url), sleep=waits.append, max_wait_seconds=10)
    busy(peer, {"Retry-After": "6"}, {"Retry-After": "5"})
    with pytest.raises(BusyError, match="asks to be left alone for 5 seconds") as caught:
        list(directory.pages("Users"))
    assert (waits, caught.value.retry_after) == ([6.0], 5.0)
    busy(peer, {"Retry-After": "9" * 400})
    with pytest.raises(BusyError) as caught:
        directory.get("Users", "u1")
    assert caught.value.retry_after == 86_400.0


LIST = "urn:ietf:params:scim:api:messages:2.0:ListResponse"


def types(*endpoints, **more):
    return {
        "schemas": [LIST], "totalResults": len(endpoints), "Resources": [{"endpoint": one} for one in endpoints], **more,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("document", "groups"),
    [
        (types("/Users", "/Groups"), True),
        (types("/Users", "https://idp.example/scim/v2/Groups/"), True),
        (types("/Users"), False),
        (types("/Users", "/Groupsters", "/OldGroups"), False),
        (types(), False),
        # A page of more says nothing of what it leaves out, and what is no list says nothing at all.
        (types("/Users", totalResults=2), None),
        (types("/Users", Resources="Users"), None),
        (types("/Users", schemas=[]), None),
        ({"detail": "no"}, None),
    ],
)
def test_whether_a_type_is_offered_is_believed_only_from_a_whole_list(peer, directory, document, groups):
    peer.answer = lambda exchange: exchange.json(document)
    assert directory.offers("Groups") is groups
    assert peer.calls[0].path == "/v2/ResourceTypes"


def test_a_server_that_does_not_say_what_it_offers_says_nothing(peer, directory):
    peer.answer = lambda exchange: exchange.json({"status": "404"}, status=404)
    assert directory.offers("Groups") is None


@pytest.fixture
def real(scim_server, connect) -> Directory:
    return Directory(connect(scim_server))


@pytest.fixture
def admin(scim_server, token):
    """A client of the tests' own, to fill the real server."""
    with httpx.Client(base_url=scim_server, headers={"Authorization": f"Bearer {token}"}, trust_env=False) as client:
        yield client


def create(admin, kind, document) -> str:
    answer = admin.post(f"/{kind}", json=document, headers={"Content-Type": "application/scim+json"})
    assert answer.status_code == 201, answer.text
    return answer.json()["id"]


def test_a_real_server_is_read_whole(real, admin):
    made = {
        create(admin, "Users", {"schemas": [USER_URN], "userName": f"user{n}", "externalId": f"e{n}", "active": n != 3})
        for n in range(7)
    }
    pages = list(real.pages("Users", count=3))
    assert [(page.start_index, page.items_per_page, page.total_results) for page in pages] == [
        (1, 3, 7), (4, 3, 7), (7, 1, 7),
    ]  # fmt: skip
    readings = [Reading.of(resource) for page in pages for resource in page.resources]
    assert {reading.id for reading in readings} == made
    assert {(reading.user_name, reading.external_id, reading.active) for reading in readings} == {
        (f"user{n}", f"e{n}", n != 3) for n in range(7)
    }
    assert len({reading.digest for reading in readings}) == 7


def test_a_real_server_is_asked_for_one_and_says_what_is_absent(real, admin):
    made = create(admin, "Users", {"schemas": [USER_URN], "userName": 'odd"na\\me', "externalId": "e"})
    create(admin, "Users", {"schemas": [USER_URN], "userName": "other"})
    resource = real.get("Users", made)
    assert resource is not None
    assert Reading.of(resource).user_name == 'odd"na\\me'
    assert [found["id"] for found in real.find("Users", "userName", 'ODD"na\\me')] == [made]
    assert [found["id"] for found in real.find("Users", "externalId", "e")] == [made]
    assert real.find("Users", "userName", 'x" or userName pr or userName eq "y') == ()
    assert real.get("Users", "nobody") is None
    admin.delete(f"/Users/{made}").raise_for_status()
    assert real.get("Users", made) is None


def test_the_groups_of_a_real_server_are_read_with_their_members(real, admin):
    ada, bob = (create(admin, "Users", {"schemas": [USER_URN], "userName": name}) for name in ("ada", "bob"))
    group = create(
        admin,
        "Groups",
        {
            "schemas": ["urn:ietf:params:scim:schemas:core:2.0:Group"],
            "displayName": "Deployers",
            "members": [{"value": ada, "type": "User"}, {"value": bob, "type": "User"}],
        },
    )
    (page,) = real.pages("Groups")
    assert [GroupReading.of(resource) for resource in page.resources] == [
        GroupReading(id=group, external_id=None, display_name="Deployers", member_ids=tuple(sorted((ada, bob))))
    ]


def test_a_real_server_says_what_it_offers(real):
    assert (real.offers("Users"), real.offers("Groups")) == (True, True)


def test_a_real_server_refuses_another_token(scim_server, connect):
    with pytest.raises(BadAnswer, match="the token is not accepted") as caught:
        list(Directory(connect(scim_server, token="another")).pages("Users"))
    assert caught.value.status == 401
