"""Testing a connection: each thing is ticked by its request, told by what became of it, and followed to what is left."""

from __future__ import annotations

import datetime as dt
import re
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import pytest
from django.db import connection as database
from django.test.utils import CaptureQueriesContext

from accounts.models import RoleName
from audit.scope import scope
from governance.admin.guide_texts import GUIDES
from governance.admin.guides import STEPS, guessed
from provisioning.models.exchange import Exchange
from tests.factories.scim import PATCH_URN, Idp, a_group, a_user, connect
from tests.governance.shell import a_user as a_person
from tests.governance.shell import enter
from tests.governance.world import text_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.test import Client

    from accounts.models import Tenant

pytestmark = [pytest.mark.face, pytest.mark.django_db]

NAME = re.compile(r"rollcall-test-[a-z0-9]{5}")


@pytest.fixture
def idp(tenant: Tenant) -> Idp:
    return connect(tenant, "Okta prod")


class Test:
    """One test that somebody has begun: its page, its names, what its parts say."""

    __test__ = False

    def __init__(self, client: Client, idp: Idp, *, idp_key: str = "other", ago: int = 5) -> None:
        self.client, self.idp = client, idp
        self.page = f"/t/{idp.tenant.slug}/admin/systems/{idp.system.pk}/test/"
        since = int(dt.datetime.now(dt.UTC).timestamp()) - ago
        self.query = f"?idp={idp_key}&since={since}"

    def shows(self) -> str:
        return text_of(self.client.get(f"{self.page}live/{self.query}"))

    def html(self) -> str:
        return self.client.get(f"{self.page}live/{self.query}").content.decode()

    def words(self) -> dict[str, str]:
        """Shape and word of each step, by its name."""
        rows = re.findall(
            r'<th scope="row"><div>\d+\. ([^<]+)<.*?<span class="state state-(\w+)">.*?</svg>([^<]+)</span>',
            self.html(), re.DOTALL,
        )  # fmt: skip
        return {name: f"{tone} {words}" for name, tone, words in rows}

    @property
    def name(self) -> str:
        found = NAME.search(self.html())
        assert found is not None
        return found[0]


def test_an_address_without_a_beginning_leads_to_one_that_begins_now(admin: Client, idp: Idp) -> None:
    page = f"/t/acme/admin/systems/{idp.system.pk}/test/"
    for query in ("", "?since=soon", "?since=9999999999", "?idp=nobody&since=1"):
        answer = admin.get(page + query)
        assert answer.status_code == 302, query
        asked = parse_qs(urlsplit(answer.headers["Location"]).query)
        # A system is taken for the provider that it is named after.
        assert asked["idp"] == ["okta"], query
        assert abs(int(asked["since"][0]) - dt.datetime.now(dt.UTC).timestamp()) < 60, query
        assert admin.get(answer.headers["Location"]).status_code == 200


def test_before_anything_arrives_each_thing_is_unknown_and_what_is_never_sent_is_said(admin: Client, idp: Idp) -> None:
    test = Test(admin, idp, idp_key="okta")
    names = (
        "connect", "create", "change", "make a group", "add a member", "remove a member", "delete a group", "disable",
        "come back",
    )  # fmt: skip
    assert test.words() == dict.fromkeys(names, "unknown not yet") | {"delete": "over not sent by it"}
    shown = test.shows()
    assert "Nothing has arrived yet: begin with the first click." in shown
    assert "Click, and see it arrive 0 of 9" in shown
    assert "Okta does not delete people elsewhere: what it sends last is the disable." in shown
    assert "Provisioning > Integration > Test Connector Configuration." in shown
    assert "Nothing: no account of that name has arrived." in shown
    whole = text_of(admin.get(test.page + test.query))
    assert "Nothing has arrived yet: begin with the first click." in whole


def test_a_client_that_sends_everything_gets_every_tick_and_leaves_nothing_active(admin: Client, idp: Idp) -> None:
    test = Test(admin, idp)
    name = f"{test.name}@example.com"
    idp.get('/Users?filter=userName eq "nobody@example.com"&startIndex=1&count=100')
    user = idp.user(name, title="Staff")
    idp.patch(f"/Users/{user}", {"op": "replace", "path": "title", "value": "Lead"})
    group = idp.group(test.name)
    idp.patch(f"/Groups/{group}", {"op": "add", "path": "members", "value": [{"value": user}]})
    idp.patch(f"/Groups/{group}", {"op": "remove", "path": f'members[value eq "{user}"]'})
    idp.delete(f"/Groups/{group}")
    idp.call(
        "PATCH", f"/Users/{user}",
        {"schemas": [PATCH_URN], "Operations": [{"op": "Replace", "path": "active", "value": "False"}]},
    )  # fmt: skip
    idp.get(f"/Users/{user}")
    idp.patch(f"/Users/{user}", {"op": "replace", "path": "active", "value": True})
    idp.delete(f"/Users/{user}")

    assert test.words() == {
        "connect": "equal answered", "create": "equal applied", "change": "equal applied", "make a group": "equal applied",
        "add a member": "equal applied", "remove a member": "equal applied", "delete a group": "equal applied",
        "disable": "equal applied", "come back": "equal held, as it should be", "delete": "equal applied",
    }  # fmt: skip
    shown = test.shows()
    assert "All of it has arrived and was taken in." in shown
    # What was tolerated on the way stands where it was.
    assert "active False › false" in shown or 'active "False" › false' in shown
    _, _, account = shown.partition("The test account")
    assert re.sub(r" \d+ s ago \([^)]*\)| now \([^)]*\)", "", account.partition("What is left")[0]) == (
        f" {test.name} applied made the exchange : made applied disabled the exchange : disabled read read back , it was"
        " told what stands here held, as it should be came back the exchange : came back applied removed the exchange"
        " : removed "
    )
    assert "Nothing active is left of it. Its record stays here, as history." in account
    assert f"The group {test.name} has ended." in account
    assert "All of it has arrived and was taken in." in text_of(admin.get(test.page + test.query))


def test_what_was_refused_says_why_what_to_do_and_leads_to_its_exchange(admin: Client, idp: Idp) -> None:
    test = Test(admin, idp)
    user = idp.user("ada@example.com")
    refused = [
        ("change", idp.patch(f"/Users/{user}", {"op": "replace", "path": "shoeSize", "value": 42})),
        (
            "disable",
            idp.patch("/Users/01930000-0000-7000-8000-000000000000", {"op": "replace", "value": {"active": False}}),
        ),
        ("make a group", idp.post("/Groups", {"schemas": [], "displayName": ""})),
        ("create", idp.post("/Users", a_user("ADA@example.com"))),
    ]
    assert [reply.status for _name, reply in refused] == [400, 404, 400, 409]
    words = test.words()
    assert {name: words[name] for name, _reply in refused} == dict.fromkeys(
        (name for name, _reply in refused), "differs refused"
    )
    html, shown = test.html(), test.shows()
    for exchange in idp.exchanges()[1:]:
        assert f'/t/acme/admin/ledger/{exchange.pk}/"' in html
        assert exchange.error in shown
    assert "Correct the mapping of what the message names, then send it again." in shown
    assert "The client asks for an id that this connection never gave" in shown
    assert "let the client match it instead of making it." in shown
    assert "1 of 10 have arrived and were taken in." in shown
    assert "Refused: create, change, make a group, disable." in text_of(admin.get(test.page + test.query))


def test_what_was_refused_and_is_none_of_the_steps_is_listed_all_the_same(admin: Client, idp: Idp) -> None:
    test = Test(admin, idp)
    group = idp.group("Staff")
    assert "Refused as well" not in test.shows()
    assert idp.patch(f"/Groups/{group}", {"op": "remove", "path": "shoes", "value": "x"}).status == 400
    assert f"Refused as well, and none of these refused PATCH /Groups/{group[:8]}" in test.shows()
    assert idp.last().error in test.shows()


def test_a_refused_test_account_is_seen_and_leaves_nothing(admin: Client, idp: Idp) -> None:
    test = Test(admin, idp)
    idp.post("/Users", a_user(f"{test.name}@example.com", environment="x", emails=7))
    assert idp.last().outcome == "rejected"
    shown = test.shows()
    assert "refused made" in shown
    assert "Nothing: it was asked for, and refused." in shown


def test_the_test_account_alone_is_followed_and_is_said_to_be_active_while_it_is(admin: Client, idp: Idp) -> None:
    test = Test(admin, idp)
    other = idp.user("ada@example.com")
    idp.patch(f"/Users/{other}", {"op": "replace", "path": "active", "value": False})
    idp.user(f"{test.name}@another.example")
    idp.group(test.name)
    assert test.words()["disable"] == "equal applied"
    account = test.shows().partition("The test account")[2]
    assert "applied made" in account
    assert "not yet disabled" in account
    assert "Last: make a group, applied." in test.shows()
    assert "It is still active here: disable it in the client, or end it on its page." in account
    assert f"The group {test.name} is still here" in account
    with scope(tenant=idp.tenant.pk):
        assert f"{test.name}@another.example" in account


def test_a_return_that_waits_for_people_is_left_and_leads_to_the_question(admin: Client, idp: Idp) -> None:
    test = Test(admin, idp)
    user = idp.user(test.name)
    for active in (False, True):
        idp.patch(f"/Users/{user}", {"op": "replace", "path": "active", "value": active})
    account = test.shows().partition("The test account")[2]
    assert "a question waits Its return waits for people: reject it, or let it lapse." in account
    assert "held, as it should be came back" in account


def test_somebody_made_again_asks_to_come_back(admin: Client, idp: Idp) -> None:
    user = idp.user("ada@example.com", externalId="7")
    idp.delete(f"/Users/{user}")
    test = Test(admin, idp)
    idp.post("/Users", a_user("ada@example.com", externalId="7"))
    assert (idp.last().intent, idp.last().outcome) == ("create", "held")
    assert test.words()["come back"] == "equal held, as it should be"


def test_whole_lists_of_members_tick_the_adding_first_and_the_removing_next(admin: Client, idp: Idp) -> None:
    test = Test(admin, idp)
    ada, ben = idp.user("ada@example.com"), idp.user("ben@example.com")
    group = idp.group("Staff")
    idp.put(f"/Groups/{group}", a_group("Staff", ada, ben))
    words = test.words()
    assert (words["add a member"], words["remove a member"]) == ("equal applied", "unknown not yet")
    idp.put(f"/Groups/{group}", a_group("Staff", ada))
    assert test.words()["remove a member"] == "equal applied"
    assert "sent as the whole list of members" in test.shows()


def test_a_group_made_with_members_has_added_some(admin: Client, idp: Idp) -> None:
    test = Test(admin, idp)
    idp.group("Staff", idp.user("ada@example.com"))
    assert test.words()["add a member"] == "equal applied"


def test_a_bad_token_is_said_until_a_good_one_comes(admin: Client, idp: Idp) -> None:
    test = Test(admin, idp)
    wrong = f"{idp.token[:-1]}{'A' if idp.token[-1] != 'A' else 'B'}"
    idp.get("/Users", Authorization=f"Bearer {wrong}")
    assert test.words()["connect"] == "differs bad token"
    assert "wrong secret Copy the token again, whole" in test.shows()
    assert wrong not in test.html()
    idp.get("/ServiceProviderConfig")
    assert test.words()["connect"] == "equal answered"
    assert "GET /ServiceProviderConfig" in test.shows()


def test_what_came_before_the_test_ticks_nothing(admin: Client, idp: Idp) -> None:
    idp.user("ada@example.com")
    idp.get("/Users")
    test = Test(admin, idp, ago=0)
    with scope(tenant=idp.tenant.pk):
        late = Exchange.objects.get().at + dt.timedelta(seconds=2)
    test.query = f"?idp=other&since={int(late.timestamp())}"
    # The address names a time that lies ahead for a moment: it begins when it is asked.
    assert set(test.words().values()) == {"unknown not yet"}


def test_another_system_and_another_tenant_see_nothing_of_it(
    admin: Client, idp: Idp, make_tenant: Callable[..., Tenant]
) -> None:
    idp.user("ada@example.com")
    assert set(Test(admin, connect(idp.tenant, "GitHub")).words().values()) == {"unknown not yet"}
    other = make_tenant("globex")
    enter(admin, a_person("k.osei", RoleName.ADMINISTRATOR, tenant=other))
    for name in ("test/", "test/live/", "transcript.jsonl"):
        path = f"/admin/systems/{idp.system.pk}/{name}"
        assert admin.get(f"/t/acme{path}").status_code == 404
        assert admin.get(f"/t/globex{path}?since=1700000000").status_code == 404


@pytest.mark.parametrize("role", [RoleName.AUDITOR, RoleName.SECURITY])
def test_who_reads_the_roll_tests_a_connection_and_is_told_who_makes_tokens(
    client: Client, idp: Idp, role: RoleName
) -> None:
    enter(client, a_person("audra", role, tenant=idp.tenant))
    test = Test(client, idp)
    html = client.get(test.page + test.query).content.decode()
    assert re.findall(r'<button type="button" disabled[^>]*>([^<]+)</button>', html) == ["Make a token"]
    assert "Connecting or changing a system needs one of these roles here: administrator" in html


def test_an_owner_is_refused_and_looking_changes_nothing(client: Client, admin: Client, idp: Idp) -> None:
    test = Test(admin, idp)
    assert admin.post(test.page + test.query).status_code in {200, 405}
    enter(client, a_person("a.ruiz", RoleName.OWNER, tenant=idp.tenant))
    assert client.get(test.page + test.query).status_code == 403
    assert client.get(f"{test.page}live/{test.query}").status_code == 403


def test_the_part_that_renews_itself_is_never_cached_and_is_no_page(admin: Client, idp: Idp) -> None:
    answer = admin.get(f"{Test(admin, idp).page}live/{Test(admin, idp).query}")
    assert answer.headers["Cache-Control"] == "no-store"
    assert b"<html" not in answer.content
    assert answer.content.count(b"data-live-said") == 1


def test_the_pages_ask_the_database_the_same_for_one_request_and_for_many(admin: Client, idp: Idp) -> None:
    test = Test(admin, idp)
    pages = [test.page + test.query, f"{test.page}live/{test.query}", f"/t/acme/admin/systems/{idp.system.pk}/"]

    def asked() -> list[int]:
        counts = []
        for page in pages:
            with CaptureQueriesContext(database) as caught:
                assert admin.get(page).status_code == 200
            counts.append(len(caught))
        return counts

    def send(name: str) -> None:
        user = idp.user(name)
        idp.patch(f"/Users/{user}", {"op": "Replace", "path": "active", "value": "False"})
        idp.post("/Users", a_user(name))
        idp.get("/Users")

    send(test.name)
    before = asked()
    for number in range(3):
        send(f"user{number}@example.com")
    assert asked() == before


def test_the_time_of_the_tenant_stands_beside_the_beginning(client: Client, make_tenant: Callable[..., Tenant]) -> None:
    idp = connect(make_tenant("nippon", time_zone="Asia/Tokyo"))
    enter(client, a_person("m.ito", RoleName.ADMINISTRATOR, tenant=idp.tenant))
    test = Test(client, idp)
    shown = text_of(client.get(test.page + test.query))
    began = dt.datetime.fromtimestamp(int(test.query.rpartition("=")[2]), dt.UTC)
    assert f"What arrived since {began:%Y-%m-%d %H:%M} UTC · {began + dt.timedelta(hours=9):%H:%M} Asia/Tokyo" in shown


# -- what a connection has shown over all time


def proven(client: Client, idp: Idp) -> str:
    shown = text_of(client.get(f"/t/acme/admin/systems/{idp.system.pk}/"))
    return shown.partition("What it can do, as far as it has shown")[2].partition("What we can read in it")[0]


def test_what_a_client_never_sent_is_named_and_nothing_is_green_without_a_request(admin: Client, idp: Idp) -> None:
    before = proven(admin, idp)
    assert (
        "Never sent so far: create, change, make a group, add a member, remove a member, delete a group, disable, come back,"
        " delete, asks what we can do, looks up by a filter, reads a list, reads one, turns pages."
    ) in before
    assert "shown" not in before
    idp.user("ada@example.com")
    idp.get("/Users?startIndex=101&count=100")
    after = proven(admin, idp)
    assert "create shown" in after
    assert (
        "Never sent so far: change, make a group, add a member, remove a member, delete a group, disable, come back, delete,"
        " asks what we can do, looks up by a filter, reads one."
    ) in after
    idp.post("/Users", a_user("ada@example.com"))
    # Green says that the newest was taken in.
    assert "create refused" in proven(admin, idp)


def test_coercions_are_counted_by_rule_with_the_sentence_for_people(admin: Client, idp: Idp) -> None:
    user = idp.user("ada@example.com")
    assert "Nothing, in its last 1,000 exchanges: it was plain SCIM, or there was none." in proven(admin, idp)
    for active in ("False", "True"):
        idp.call(
            "PATCH", f"/Users/{user}",
            {"schemas": [PATCH_URN], "Operations": [{"op": "replace", "path": "active", "value": active}]},
        )  # fmt: skip
    shown = proven(admin, idp)
    assert '"active": "False" is read as false known from Entra, Keycloak 2 requests' in shown


# -- the guides


def test_every_guide_says_of_every_step_what_to_click_or_why_it_is_never_sent() -> None:
    assert list(GUIDES) == ["okta", "entra", "keycloak", "authentik", "jumpcloud", "onelogin", "google", "other"]
    for guide in GUIDES.values():
        said: dict[str, Any] = {**guide.clicks, **guide.never}
        assert set(said) == set(STEPS), guide.key
        assert set(guide.clicks).isdisjoint(guide.never), guide.key
        assert all(str(text).strip() for text in (*said.values(), guide.where, guide.url, guide.token, guide.scope))


@pytest.mark.parametrize(
    ("name", "key"),
    [("Okta prod", "okta"), ("AZURE AD", "entra"), ("our authentik", "authentik"), ("HR", "other"), ("", "other")],
)
def test_a_system_is_taken_for_the_provider_that_it_is_named_after(name: str, key: str) -> None:
    assert guessed(name, GUIDES, otherwise="other") == key


def test_each_guide_is_shown_on_the_page_with_the_names_of_its_fields(admin: Client, idp: Idp) -> None:
    for key in GUIDES:
        shown = text_of(admin.get(f"/t/acme/admin/systems/{idp.system.pk}/?idp={key}"))
        assert str(GUIDES[key].where) in shown
        assert str(GUIDES[key].url) in shown
        assert str(GUIDES[key].go) in shown
