"""Feeds on pages: their state in words, the verbs by role, past values, and a rewind with its effect shown first."""

from __future__ import annotations

import datetime as dt
import re
from html import unescape
from typing import TYPE_CHECKING, Any

import pytest
from django.db import connection as database
from django.test.utils import CaptureQueriesContext
from django.utils.html import escape

from accounts.models import RoleName
from accounts.rules import ROLES, Word
from audit.scope import scope
from governance.models.approval import Approval
from provisioning import cursors, systems
from provisioning.models import Connection, Cursor, Listening, Run, Snapshot
from tests.conftest import a_cause
from tests.factories.governance import a_system, now
from tests.governance.shell import a_user, enter
from tests.governance.test_rewinds import a_received, position
from tests.governance.world import World, text_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.test import Client

    from accounts.models import Tenant

pytestmark = [pytest.mark.face, pytest.mark.django_db]

USERS, GROUPS = "scim-delta/Users", "scim-delta/Groups"
MINUTE, HOUR, DAY = dt.timedelta(minutes=1), dt.timedelta(hours=1), dt.timedelta(days=1)


@pytest.fixture
def at() -> dt.datetime:
    return now().replace(microsecond=0)


def follow(world: World, at: dt.datetime, *, stream: str = USERS) -> Cursor:
    """A stream that is followed, with everything heard up to `at`."""
    with scope(tenant=world.tenant.pk, cause=a_cause(actor="k.osei", reason="CHG-7")):
        made = cursors.follow(system=world.system, stream=stream, cadence_minutes=5, at=at)
    with scope(tenant=world.tenant.pk, cause=a_cause(actor="feed", reason="is a complete reading there?")):
        run = Run.objects.create(tenant=world.tenant, system=world.system, started_by="a test", started_at=at,
                                 state="closed", ended_at=at)  # fmt: skip
        read = Snapshot.objects.create(
            tenant=world.tenant, run=run, system=world.system, state="complete", started_at=at
        )
        cursors.go_on(made, position=position(at), reading=read, at=at)
    return made


def move(world: World, cursor: Cursor, *, to: dt.datetime) -> None:
    with scope(tenant=world.tenant.pk, cause=a_cause(actor="feed", reason="a feed said something")):
        cursors.move(Cursor.objects.get(pk=cursor.pk), to=position(to), forget_before=None, at=to)


def page_of(world: World, cursor: Cursor, more: str = "") -> str:
    return f"{world.url('system')}feeds/{cursor.pk}/{more}"


def only(world: World) -> tuple[Cursor, Listening]:
    with scope(tenant=world.tenant.pk):
        return Cursor.objects.get(), Listening.objects.get()


def queries(client: Client, url: str) -> int:
    with CaptureQueriesContext(database) as caught:
        assert client.get(url).status_code == 200
    return len(caught)


def test_what_nobody_follows_is_said_and_can_be_followed_by_whoever_manages_systems(
    admin: Client, world: World
) -> None:
    shown = text_of(admin.get(world.url("system")))
    assert "A list of changes shows no deletions: those are found by complete readings." in shown
    assert "changes of accounts not followed Follow changes of accounts" in shown
    assert "changes of groups not followed Follow changes of groups" in shown
    ask = f"{world.url('system')}feeds/?stream={GROUPS}"
    assert f'<option value="{GROUPS}" selected>' in admin.get(ask).content.decode()
    done = admin.post(ask, {"stream": GROUPS, "cadence_minutes": 7, "reason": "CHG-7"}, follow=True)
    assert "Okta: changes of groups are followed every 7 minutes. A complete reading is due first." in text_of(done)
    cursor, look = only(world)
    assert (cursor.stream, cursor.state, cursor.cadence_minutes, look.heard_at) == (GROUPS, "waiting", 7, None)
    shown = text_of(admin.get(world.url("system")))
    assert (
        "changes of groups waits for a complete reading It waits because it has not been followed before now" in shown
    )
    again = admin.post(ask, {"stream": GROUPS, "cadence_minutes": 9, "reason": "CHG-8"}, follow=True)
    assert "are followed already, every 7 minutes: nothing was changed" in text_of(again)
    with scope(tenant=world.tenant.pk):
        assert len(systems.requesters(system=world.system, at=now())) == 1


@pytest.mark.parametrize(
    ("changed", "problem"),
    [
        ({"cadence_minutes": 0}, "greater than or equal to 1"),
        ({"cadence_minutes": 10_081}, "less than or equal to 10080"),
        ({"stream": "scim-delta/Pets"}, "is not one of the available choices"),
        ({"reason": ""}, "This field is required"),
    ],
)
def test_a_bad_form_is_refused_with_nothing_followed(
    admin: Client, world: World, changed: dict[str, Any], problem: str
) -> None:
    form = {"stream": USERS, "cadence_minutes": 5, "reason": "CHG-7"} | changed
    answer = admin.post(f"{world.url('system')}feeds/", form)
    assert (answer.status_code, problem in text_of(answer)) == (422, True)
    with scope(tenant=world.tenant.pk):
        assert not Cursor.objects.exists()


def test_what_is_not_connected_has_the_verb_off_with_its_reason(admin: Client, tenant: Tenant, at: dt.datetime) -> None:
    with scope(tenant=tenant.pk, cause=a_cause()):
        bare = a_system(tenant, "Bare", at=at)
    page = f"/t/acme/admin/systems/{bare.pk}/"
    assert text_of(admin.get(page)).count("Bare is not connected: say where it is read first.") == 1
    refused = admin.post(f"{page}feeds/", {"stream": USERS, "cadence_minutes": 5, "reason": "CHG-7"})
    assert (refused.status_code, "Bare is not connected" in text_of(refused)) == (403, True)


def test_a_followed_feed_says_how_far_it_was_heard_and_what_it_answered(
    admin: Client, world: World, at: dt.datetime
) -> None:
    cursor = follow(world, at - HOUR)
    with scope(tenant=world.tenant.pk, cause=a_cause()):
        for _ in range(3):
            a_received(cursor)
        a_received(cursor, source="respond-async")
        Listening.objects.update(heard_at=at - MINUTE, problem="401: the token is bad")
    shown = text_of(admin.get(world.url("system")))
    assert "changes of accounts following Without a gap since" in shown
    assert "after a complete reading Everything was heard up to 1 h ago" in shown
    assert "then 401: the token is bad" in shown
    assert "It is listened to every 5 min Events in the last day 3 Epoch 1" in shown
    with scope(tenant=world.tenant.pk, cause=a_cause()):
        cursors.rewind(cursor=cursor, to=position(at - DAY), reason="a bug", at=at)
    assert "after a rewind Everything was heard up to 24 h ago" in text_of(admin.get(world.url("system")))


@pytest.mark.parametrize("role", list(RoleName))
def test_each_role_sees_and_does_by_its_words(client: Client, world: World, at: dt.datetime, role: RoleName) -> None:
    cursor = follow(world, at - HOUR)
    enter(client, a_user("somebody", role, tenant=world.tenant))
    reads, manages = Word.ROLL_READ in ROLES[role], Word.SYSTEM_MANAGE in ROLES[role]
    assert client.get(page_of(world, cursor)).status_code == (200 if reads else 403)
    to = f"rewind/?to={at - DAY:%Y-%m-%dT%H:%M}"
    for url in (f"{world.url('system')}feeds/", *(page_of(world, cursor, one) for one in ("stop/", "cadence/", to))):
        assert client.get(url).status_code == (200 if manages else 403), url
        assert client.post(url).status_code == (422 if manages else 403), url
    if reads and not manages:
        shown = text_of(client.get(page_of(world, cursor)))
        assert "Rewind to here" not in shown
        assert "It can't be rewound: Connecting or changing a system needs" in shown


def test_another_systems_and_another_tenants_feed_is_not_found(
    admin: Client, world: World, at: dt.datetime, make_tenant: Callable[..., Tenant]
) -> None:
    cursor = follow(world, at)
    with scope(tenant=world.tenant.pk, cause=a_cause()):
        other = a_system(world.tenant, "Entra", at=at)
    assert admin.get(f"/t/acme/admin/systems/{other.pk}/feeds/{cursor.pk}/").status_code == 404
    make_tenant("other")
    assert admin.get(page_of(world, cursor).replace("/acme/", "/other/")).status_code == 404


def test_it_is_stopped_and_followed_again_and_listened_to_more_often(
    admin: Client, world: World, at: dt.datetime
) -> None:
    cursor = follow(world, at)
    answer = admin.post(page_of(world, cursor, "cadence/"), {"cadence_minutes": 2, "reason": "sooner"}, follow=True)
    assert "It is listened to every 2 minutes." in text_of(answer)
    assert only(world)[0].cadence_minutes == 2
    answer = admin.post(page_of(world, cursor, "stop/"), {"reason": "too much"}, follow=True)
    shown = text_of(answer)
    assert "Okta: changes of accounts are not followed any more." in shown
    assert "Okta: changes of accounts stopped" in shown
    assert "Follow it again" in shown
    assert "It can't be rewound: It is not followed now: there is no position to go back from." in shown
    refused = admin.post(page_of(world, cursor, "cadence/"), {"cadence_minutes": 3, "reason": "sooner"})
    assert (refused.status_code, "It is stopped: follow it again" in text_of(refused)) == (409, True)


def test_every_value_is_listed_with_its_cause_and_the_words_of_the_journal(
    admin: Client, world: World, at: dt.datetime
) -> None:
    cursor = follow(world, at - HOUR)
    move(world, cursor, to=at - MINUTE)
    page = admin.get(page_of(world, cursor)).content.decode()
    rows = [" ".join(unescape(re.sub(r"<[^>]+>", " ", row)).split()) for row in page.split("<tr>")[2:]]
    assert len(rows) == 3
    for row, words in zip(
        rows,
        (
            ("1 min ago", "following", "1 feed test a feed said something", "-"),
            ("1 h ago", "following", "goes on from the reading of", "Rewind to here…"),
            ("waits for a complete reading it has not been followed before now", "is followed every 5 minutes", "-"),
        ),
        strict=True,
    ):
        assert [one for one in words if one not in row] == [], row
    assert page.count("Rewind to here…") == 1
    with scope(tenant=world.tenant.pk):
        (past,) = cursor.history.filter(position=position(at - HOUR)).values_list("history_id", flat=True)
    assert f"?value={past}" in page


def test_a_rewind_is_asked_for_on_a_page_that_shows_its_effect_and_answered_by_another(
    client: Client, admin: Client, world: World, at: dt.datetime
) -> None:
    cursor = follow(world, at - DAY)
    move(world, cursor, to=at - MINUTE)
    with scope(tenant=world.tenant.pk, cause=a_cause()):
        a_received(cursor)
        (past,) = cursor.history.filter(position=position(at - DAY)).values_list("history_id", flat=True)
    page = page_of(world, cursor, f"rewind/?value={past}")
    shown = text_of(admin.get(page))
    for words in (
        "Ask that the changes of accounts of Okta be listened to once more?",
        "Since then we took in 0 exchanges of this system",
        "1 event came through this feed since: what is heard again as it was is known, and changes nothing.",
        "the newer word stands",
        "What would give access asks people first",
        "It is void when the feed begins anew before.",
    ):
        assert words in shown
    answer = admin.post(page, {"reason": "a bug of ours"}, follow=True)
    assert "Asked. One security person who does not administer Okta answers." in text_of(answer)
    with scope(tenant=world.tenant.pk):
        question = Approval.objects.get(kind="rewind")
    assert "A rewind is asked for" in text_of(admin.get(world.url("system")))
    assert "A rewind is asked for" in text_of(admin.get(page_of(world, cursor)))
    where = f"/t/acme/admin/approvals/{question.pk}/"
    shown = text_of(enter(client, a_user("l.chen", RoleName.SECURITY, tenant=world.tenant)).get(where))
    for words in ("reason a bug of ours", "stream scim-delta/Users", "events of the feed since then 1", "it stood at"):
        assert words in shown
    assert str(cursor.pk) not in shown
    assert "the newer word stands" in text_of(client.get(f"{where}yes/"))
    answer = client.post(f"{where}yes/", {"reason": "seen"}, follow=True)
    assert "Approved and carried out." in text_of(answer)
    assert (only(world)[0].position, only(world)[0].epoch) == (position(at - DAY), 2)


@pytest.mark.parametrize(
    ("query", "why"),
    [
        ("", "Choose one of its past values, or write a time."),
        ("?value=7", "Choose one of its past values, or write a time."),
        ("?value=99999999999999999999999", "Choose one of its past values, or write a time."),
        ("?value=²", "Choose one of its past values, or write a time."),
        ("?to=soon", "Choose one of its past values, or write a time."),
        ("?to=0001-01-01T00:00", "Choose one of its past values, or write a time."),
        ("?to=2999-01-01T00:00", "choose a time before that."),
    ],
)
def test_a_time_that_is_none_is_refused_in_a_sentence(
    admin: Client, world: World, at: dt.datetime, query: str, why: str
) -> None:
    cursor = follow(world, at)
    for answer in (
        admin.get(page_of(world, cursor, f"rewind/{query}"), follow=True),
        admin.post(page_of(world, cursor, f"rewind/{query}"), {"reason": "a bug"}, follow=True),
    ):
        assert "Nothing was asked:" in text_of(answer)
        assert escape(why) in answer.content.decode()
    with scope(tenant=world.tenant.pk):
        assert not Approval.objects.exists()


def test_a_typed_time_is_where_the_tenant_is(
    client: Client, make_tenant: Callable[..., Tenant], at: dt.datetime
) -> None:
    from tests.governance.world import make_world  # noqa: PLC0415

    world = make_world(make_tenant("there", time_zone="Asia/Tokyo"))
    enter(client, a_user("m.ito", RoleName.ADMINISTRATOR, tenant=world.tenant))
    cursor = follow(world, at)
    client.post(page_of(world, cursor, "rewind/?to=2026-11-01T09:00"), {"reason": "a bug"})
    with scope(tenant=world.tenant.pk):
        question = Approval.objects.get()
    # Two minutes before it: their clock may be behind ours.
    assert question.facts["to"] == {"modified": "2026-10-31T23:58:00+00:00"}


def test_pages_ask_the_database_the_same_for_one_and_for_three(admin: Client, world: World, at: dt.datetime) -> None:
    cursor = follow(world, at - DAY)
    move(world, cursor, to=at - HOUR)
    urls = [world.url("system"), page_of(world, cursor)]
    before = [queries(admin, url) for url in urls]
    follow(world, at - DAY, stream=GROUPS)
    for number in range(3):
        move(world, cursor, to=at - HOUR + number * MINUTE + MINUTE)
        with scope(tenant=world.tenant.pk, cause=a_cause()):
            a_received(cursor)
    assert [queries(admin, url) for url in urls] == before


def test_an_ended_systems_feed_has_every_verb_off(admin: Client, world: World, at: dt.datetime) -> None:
    cursor = follow(world, at)
    with scope(tenant=world.tenant.pk, cause=a_cause()):
        Connection.objects.update(last_complete_at=at)
        systems.end_system(system=world.system, reason="gone", at=at)
    assert "Okta has ended." in text_of(admin.get(page_of(world, cursor)))
    assert admin.get(page_of(world, cursor, "stop/")).status_code == 403
