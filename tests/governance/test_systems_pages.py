"""Systems on pages: who may what, how one is connected without a shell, what a token's page keeps to itself."""

from __future__ import annotations

import datetime as dt
import json
import re
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode
from uuid import uuid4

import pytest
from django.db import connection as database
from django.forms.models import model_to_dict
from django.test.utils import CaptureQueriesContext

from accounts import exceptions
from accounts.models import RoleName, Tenant, User
from accounts.models.exception import ExceptionKind
from accounts.models.system import ReactivationPolicy, System, SystemKind
from accounts.rules import ROLES, Word
from audit.models import JournalEntry
from audit.scope import scope
from provisioning import connections, systems, tokens
from provisioning.models.authority import Authority, Direction, FieldAuthority, StatusSource
from provisioning.models.connection import Connection, ReadRecord, RefusedToken, SystemToken
from provisioning.models.exchange import Exchange, OutcomeWord
from provisioning.models.run import Run
from provisioning.tokens import Refused, TokenMay
from tests.conftest import a_cause, as_setup
from tests.factories.governance import a_connection, a_reading, a_system, now
from tests.factories.scim import Idp
from tests.factories.scim import a_user as a_scim_user
from tests.governance.shell import a_user, enter
from tests.governance.world import World, make_world, text_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.http import HttpResponse
    from django.test import Client

pytestmark = [pytest.mark.face, pytest.mark.django_db]

TOKEN = re.compile(r"rc_[0-9a-f]{32}_[A-Za-z0-9_-]{20,100}")
READS = ("systems", "system", "system-live", "system-test-live", "system-transcript")
MANAGES = (
    "system-new", "system-connection", "system-files", "system-token", "system-token-rotate", "system-token-end", "system-policy",
    "system-pause", "system-resume", "system-end", "system-rule-new", "system-administrator-new", "system-exception-new",
    "system-strictness",
)  # fmt: skip


def refreshed(world: World) -> World:
    with scope(tenant=world.tenant.pk):
        return world._replace(
            system=System.objects.get(pk=world.system.pk),
            connection=Connection.objects.get(pk=world.connection.pk),
            token=SystemToken.objects.get(pk=world.token.pk),
        )


def connection_form(**changed: Any) -> dict[str, Any]:
    return {
        "base_url": "https://directory.example/scim/v2", "secret": "", "canary_user_name": "canary",
        "cadence_minutes": 15, "freshness_minutes": 60, "shrink_percent": 10, "page_size": 100, "reason": "CHG-114",
    } | changed  # fmt: skip


def token_form(after: object = "", **changed: Any) -> dict[str, Any]:
    until = (now() + dt.timedelta(days=90)).date().isoformat()
    return {
        "label": "tab",
        "may": "read write",
        "until": until,
        "reason": "CHG-114",
        "after": str(after),
    } | changed


# -- who may


@pytest.mark.parametrize("role", list(RoleName))
def test_each_role_sees_exactly_the_pages_of_its_words(client: Client, world: World, role: RoleName) -> None:
    enter(client, a_user("somebody", role, tenant=world.tenant))
    words = dict.fromkeys(READS, Word.ROLL_READ) | dict.fromkeys(MANAGES, Word.SYSTEM_MANAGE)
    seen = {name: client.get(world.url(name)).status_code for name in words}
    assert seen == {name: 200 if word in ROLES[role] else 403 for name, word in words.items()}


@pytest.mark.parametrize("role", list(RoleName))
def test_each_role_does_exactly_the_verbs_of_its_words(client: Client, world: World, role: RoleName) -> None:
    enter(client, a_user("somebody", role, tenant=world.tenant))
    # An empty form: who may is told what is missing, who may not is refused before it is looked at.
    answers = {name: client.post(world.url(name)).status_code for name in MANAGES}
    assert answers == dict.fromkeys(MANAGES, 422 if Word.SYSTEM_MANAGE in ROLES[role] else 403)
    answer = client.post(world.url("system-read"))
    with scope(tenant=world.tenant.pk):
        runs = Run.objects.filter(system=world.system).count()
    assert (answer.status_code, runs) == ((302, 1) if Word.RUN_START in ROLES[role] else (403, 0))


def test_somebody_of_another_tenant_finds_no_page_of_this_one(
    client: Client, world: World, make_tenant: Callable[..., Tenant]
) -> None:
    other = make_tenant("globex")
    enter(client, a_user("k.osei", RoleName.ADMINISTRATOR, tenant=other))
    for name in (*READS, *MANAGES, "system-read"):
        assert client.get(world.url(name)).status_code == 404, name
        in_own = world.url(name).replace("/t/acme/", "/t/globex/")
        if world.arguments(name):
            assert client.post(in_own, connection_form()).status_code == 404, name
    assert "Okta" not in text_of(client.get("/t/globex/admin/systems/"))


def test_a_token_of_another_system_is_not_found_below_this_one(admin: Client, world: World) -> None:
    other = make_world(world.tenant, "GitHub")
    for name in ("system-token-rotate", "system-token-end"):
        assert admin.get(world._replace(token=other.token).url(name)).status_code == 404


def test_an_auditor_sees_every_verb_off_with_its_reason(client: Client, world: World) -> None:
    enter(client, a_user("audra", RoleName.AUDITOR, tenant=world.tenant))
    html = client.get(world.url("system")).content.decode()
    off = re.findall(r'<button type="button" disabled[^>]*>([^<]+)</button>', html)
    assert off == [
        "Read now", "Make a token", "Change how it is read", "Read its files instead", "Pause reading", "Change the policy", "End system",
        "Make a token", f"Rotate {world.token}", f"End {world.token}", "Follow changes of accounts",
        "Follow changes of groups", "Make a rule", "Make it strict", "Add an administrator",
    ]  # fmt: skip
    assert "Connecting or changing a system needs one of these roles here: administrator" in html


def files_form(**changed: Any) -> dict[str, Any]:
    return {name: value for name, value in connection_form().items() if name != "base_url"} | changed


SIGNS = "0123456789abcdef0123456789abcdef"


def test_a_system_is_read_from_its_files_with_a_secret_that_is_never_shown(admin: Client, tenant: Tenant) -> None:
    with scope(tenant=tenant.pk, cause=a_cause()):
        system = a_system(tenant, "Badges", at=now())
    url = f"/t/acme/admin/systems/{system.pk}/files/"
    for short in ("", "x" * 31):
        answer = admin.post(url, files_form(secret=short))
        assert (answer.status_code, "Take at least 32 characters, by chance." in text_of(answer)) == (422, True)
    with scope(tenant=tenant.pk):
        assert not Connection.objects.filter(system=system).exists()
    assert admin.post(url, files_form(secret=SIGNS)).status_code == 302
    with scope(tenant=tenant.pk):
        made = Connection.objects.get(system=system)
        assert (made.connector, made.base_url, connections.secret_of(made)) == ("file", "", SIGNS)
    shown = admin.get(f"/t/acme/admin/systems/{system.pk}/")
    assert f"/files/v1/acme/{system.pk}" in text_of(shown)
    assert "none has come yet" in text_of(shown)
    for page in (shown, admin.get(url)):
        assert SIGNS not in page.content.decode()
    # What is stored stays where nothing is typed.
    assert admin.post(url, files_form(cadence_minutes=30)).status_code == 302
    with scope(tenant=tenant.pk):
        made.refresh_from_db()
        assert (made.cadence_minutes, connections.secret_of(made)) == (30, SIGNS)


def test_the_two_ways_of_reading_take_each_others_place_and_share_no_secret(admin: Client, world: World) -> None:
    with scope(tenant=world.tenant.pk, cause=a_cause()):
        connections.change_connection(connection=world.connection, secret="towards-it", at=now())
    assert admin.post(world.url("system-files"), files_form()).status_code == 422
    assert admin.post(world.url("system-files"), files_form(secret=SIGNS)).status_code == 302
    changed = refreshed(world).connection
    assert (changed.connector, changed.base_url) == ("file", "")
    # Back again: what signs files is no token, and is sent nowhere.
    answer = admin.post(world.url("system-connection"), connection_form())
    assert answer.status_code == 422
    assert "Enter the token for the new address" in text_of(answer)
    assert admin.post(world.url("system-connection"), connection_form(forget="on")).status_code == 302
    back = refreshed(world).connection
    assert (back.connector, back.base_url, back.secret) == ("scim", "https://directory.example/scim/v2", "")


def test_a_reading_is_not_started_by_a_link(admin: Client, world: World) -> None:
    assert admin.get(world.url("system-read")).status_code == 405
    with scope(tenant=world.tenant.pk):
        assert not Run.objects.exists()


# -- the whole way, without a shell


def test_a_second_identity_provider_is_connected_on_pages_alone(admin: Client, administrator: User) -> None:
    made = admin.post("/t/acme/admin/systems/new/", {"name": "Entra", "kind": "directory", "reason": "CHG-200"})
    page = made.headers["Location"]
    shown = admin.get(page)
    assert "http://" in text_of(shown)
    assert "/scim/v2" in text_of(shown)
    answer = admin.post(f"{page}token/", token_form())
    assert answer.status_code == 200
    (text,) = set(TOKEN.findall(answer.content.decode()))

    with scope(tenant=administrator.roles.get().tenant_id):
        system = System.objects.get(name="Entra")
        tenant = system.tenant
    idp = Idp(tenant=tenant, system=system, token=text)
    assert idp.post("/Users", a_scim_user("ada@example.com")).status == 201

    live = text_of(admin.get(f"{page}live/"))
    assert "POST" in live
    assert "applied" in live


def test_whoever_makes_a_system_administers_it_and_counts_as_asking(admin: Client, administrator: User) -> None:
    made = admin.post("/t/acme/admin/systems/new/", {"name": "Entra", "kind": "directory", "reason": "CHG-200"})
    shown = text_of(admin.get(made.headers["Location"]))
    with scope(tenant=administrator.roles.get().tenant_id):
        system = System.objects.get(name="Entra")
        assert systems.requesters(system=system, at=now()) == {administrator.identity_id}
        assert (system.kind, system.reactivation_policy) == (SystemKind.DIRECTORY, ReactivationPolicy.APPROVAL)
    assert "Who administers it m.ito since" in shown
    assert "in the last 30 days: m.ito." in shown


def test_a_name_in_use_is_refused_by_the_form_with_what_was_typed_kept(admin: Client, world: World) -> None:
    answer = admin.post(world.url("system-new"), {"name": "Okta", "kind": "both", "reason": "CHG-200"})
    assert answer.status_code == 409
    assert "There is a system Okta already: choose another name." in text_of(answer)
    assert "CHG-200" in answer.content.decode()
    with scope(tenant=world.tenant.pk):
        assert System.objects.count() == 1


# -- tokens


def test_a_token_is_shown_once_and_kept_by_no_page_message_or_session(admin: Client, world: World) -> None:
    answer = admin.post(world.url("system-token"), token_form(world.token.pk))
    (text,) = set(TOKEN.findall(answer.content.decode()))
    assert answer.headers["Cache-Control"] == "no-store"
    secret = text.split("_", 2)[2]
    for name in (*READS, "system-token"):
        assert secret not in admin.get(world.url(name)).content.decode()
    assert secret not in json.dumps(dict(admin.session.items()))
    with scope(tenant=world.tenant.pk):
        assert not JournalEntry.objects.filter(sentence__contains=secret).exists()
        found = tokens.find_token(text, at=now())
        assert isinstance(found, SystemToken)
        assert (found.system_id, found.label, found.may) == (world.system.pk, "tab", ["read", "write"])


def test_a_form_sent_twice_makes_one_token(admin: Client, world: World) -> None:
    form = token_form(world.token.pk)
    assert admin.post(world.url("system-token"), form).status_code == 200
    again = admin.post(world.url("system-token"), form)
    assert again.status_code == 409
    assert "A token was made since this form was shown." in text_of(again)
    with scope(tenant=world.tenant.pk):
        assert SystemToken.objects.filter(system=world.system).count() == 2


def test_a_third_live_token_is_refused_with_what_to_do(admin: Client, world: World) -> None:
    admin.post(world.url("system-token"), token_form(world.token.pk))
    with scope(tenant=world.tenant.pk):
        newest = SystemToken.objects.order_by("-pk")[0].pk
    answer = admin.post(world.url("system-token"), token_form(newest))
    assert answer.status_code == 409
    assert "Okta has 2 live tokens: end the one that is no longer used" in text_of(answer)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"until": "2020-01-01"}, "Choose a day that lies ahead."),
        ({"until": "2999-01-01"}, "Choose a day within a year"),
        ({"until": "soon"}, "Enter a valid date."),
        ({"may": "delete"}, "Select a valid choice."),
        ({"may": ""}, "This field is required."),
        ({"label": "tab\u202e"}, "Take out the invisible character U+202E."),
        ({"label": ""}, "This field is required."),
        ({"reason": ""}, "This field is required."),
    ],
)
def test_a_bad_token_form_says_what_to_do_and_makes_nothing(
    admin: Client, world: World, changed: dict[str, Any], said: str
) -> None:
    answer = admin.post(world.url("system-token"), token_form(world.token.pk, **changed))
    assert answer.status_code == 422
    assert said in text_of(answer)
    with scope(tenant=world.tenant.pk):
        assert SystemToken.objects.get().pk == world.token.pk


def test_a_token_ends_at_the_end_of_its_day_in_the_time_zone_of_the_tenant(
    client: Client, make_tenant: Callable[..., Tenant]
) -> None:
    world = make_world(make_tenant("nippon", time_zone="Asia/Tokyo"))
    enter(client, a_user("m.ito", RoleName.ADMINISTRATOR, tenant=world.tenant))
    day = (now() + dt.timedelta(days=30)).date()
    client.post(world.url("system-token"), token_form(world.token.pk, until=day.isoformat()))
    with scope(tenant=world.tenant.pk):
        made = SystemToken.objects.order_by("-pk")[0]
    assert made.expires_at == dt.datetime.combine(day, dt.time(15), tzinfo=dt.UTC)


def test_rotating_leaves_both_good_for_the_hours_typed(admin: Client, world: World) -> None:
    form = token_form(world.token.pk, overlap=6)
    answer = admin.post(world.url("system-token-rotate"), form)
    (text,) = set(TOKEN.findall(answer.content.decode()))
    assert answer.headers["Cache-Control"] == "no-store"
    at = now()
    assert isinstance(tokens.find_token(text, at=at), SystemToken)
    assert isinstance(tokens.find_token(world.text, at=at + dt.timedelta(hours=5)), SystemToken)
    late = tokens.find_token(world.text, at=at + dt.timedelta(hours=7))
    assert isinstance(late, Refused)
    assert late.why == "ended"


def test_ending_the_last_token_says_that_the_system_stops(admin: Client, world: World) -> None:
    asked = text_of(admin.get(world.url("system-token-end")))
    assert "It is the last: Okta stops now, and its endings no longer arrive here." in asked
    answer = admin.post(world.url("system-token-end"), {"reason": "leaked in a ticket"})
    assert answer.status_code == 302
    assert isinstance(tokens.find_token(world.text, at=now() + dt.timedelta(seconds=1)), Refused)
    again = admin.get(world.url("system-token-end"))
    assert again.status_code == 403
    assert f"Token {world.token} has ended already: make a new one." in text_of(again)


def test_ending_one_of_two_tokens_says_that_another_stays(admin: Client, world: World) -> None:
    admin.post(world.url("system-token"), token_form(world.token.pk))
    assert "Other live tokens of Okta: 1. They stay good." in text_of(admin.get(world.url("system-token-end")))


def test_the_page_says_of_each_token_whether_it_lives_who_made_it_and_what_it_may(admin: Client, world: World) -> None:
    admin.post(world.url("system-token-end"), {"reason": "rotated by hand"})
    admin.post(world.url("system-token"), token_form(world.token.pk, may=TokenMay.READ.value))
    with scope(tenant=world.tenant.pk):
        made = SystemToken.objects.order_by("-pk")[0]
    shown = text_of(admin.get(world.url("system")))
    assert f"{made} tab live 90 d left" in shown
    assert f"Rotate {made} End {made}" in shown
    assert f"{world.token} provisioning tab ended" in shown
    assert f"Rotate {world.token}" not in shown
    assert "read, write" in shown


# -- how it is read


def test_a_system_is_connected_for_reading_and_its_secret_is_never_shown(admin: Client, tenant: Tenant) -> None:
    with scope(tenant=tenant.pk, cause=a_cause()):
        system = a_system(tenant, "Entra", at=now())
    url = f"/t/acme/admin/systems/{system.pk}/connection/"
    answer = admin.post(url, connection_form(secret="a-bearer-secret"))
    assert answer.headers["Location"] == f"/t/acme/admin/systems/{system.pk}/"
    with scope(tenant=tenant.pk):
        made = Connection.objects.get(system=system)
        assert (made.base_url, made.canary_user_name) == ("https://directory.example/scim/v2", "canary")
        assert connections.secret_of(made) == "a-bearer-secret"
    for shown in (admin.get(url), admin.get(answer.headers["Location"])):
        assert "a-bearer-secret" not in shown.content.decode()
        assert made.secret not in shown.content.decode()


@pytest.mark.parametrize(
    ("changed", "status", "said"),
    [
        ({"base_url": "ftp://directory.example/"}, 409, "The base URL must begin with https://."),
        ({"base_url": "https://a:b@directory.example/"}, 409, "must not contain a user name or password"),
        ({"base_url": "http://192.0.2.7/"}, 409, "The base URL must begin with https://"),
        ({"canary_user_name": ""}, 422, "This field is required."),
        ({"cadence_minutes": 0}, 422, "greater than or equal to 1"),
        ({"page_size": 100_000}, 422, "less than or equal to 1000"),
        ({"shrink_percent": "many"}, 422, "Enter a whole number."),
        ({"secret": "two words"}, 422, "characters other than visible ASCII"),
        ({"canary_user_name": "can\u200bary"}, 422, "Take out the invisible character U+200B."),
    ],
)
def test_a_bad_connection_is_refused_by_the_form_and_changes_nothing(
    admin: Client, world: World, changed: dict[str, Any], status: int, said: str
) -> None:
    before = model_to_dict(refreshed(world).connection)
    answer = admin.post(world.url("system-connection"), connection_form(**({"freshness_minutes": 77} | changed)))
    assert answer.status_code == status
    assert said in text_of(answer)
    assert "two words" not in answer.content.decode()
    assert model_to_dict(refreshed(world).connection) == before


def stored_secret(world: World) -> str:
    with scope(tenant=world.tenant.pk):
        return connections.secret_of(Connection.objects.get(pk=world.connection.pk))


@pytest.fixture
def secretive(world: World) -> World:
    with scope(tenant=world.tenant.pk, cause=a_cause()):
        connections.change_connection(
            connection=world.connection, at=now(), secret="a-bearer-secret", base_url="https://directory.example/v2"
        )
    return refreshed(world)


def test_an_empty_secret_keeps_the_stored_one(admin: Client, secretive: World) -> None:
    answer = admin.post(
        secretive.url("system-connection"), connection_form(base_url="https://directory.example/v3", page_size=50)
    )
    assert answer.status_code == 302
    found = refreshed(secretive).connection
    assert (found.base_url, found.page_size) == ("https://directory.example/v3", 50)
    assert stored_secret(secretive) == "a-bearer-secret"


def test_a_stored_secret_does_not_go_to_another_origin(admin: Client, secretive: World) -> None:
    elsewhere = connection_form(base_url="https://elsewhere.example/v2")
    answer = admin.post(secretive.url("system-connection"), elsewhere)
    assert answer.status_code == 422
    assert "Enter the token for the new address: the stored one goes to its own alone." in text_of(answer)
    assert refreshed(secretive).connection.base_url == "https://directory.example/v2"
    assert admin.post(secretive.url("system-connection"), elsewhere | {"secret": "another"}).status_code == 302
    assert stored_secret(secretive) == "another"


def test_a_stored_secret_is_forgotten_only_when_that_is_ticked_alone(admin: Client, secretive: World) -> None:
    both = connection_form(forget="on", secret="another")
    answer = admin.post(secretive.url("system-connection"), both)
    assert "Either enter a new token or forget the stored one." in text_of(answer)
    assert stored_secret(secretive) == "a-bearer-secret"
    assert admin.post(secretive.url("system-connection"), both | {"secret": ""}).status_code == 302
    assert stored_secret(secretive) == ""


def test_pausing_and_resuming_need_a_reason_and_are_said_on_the_page(admin: Client, world: World) -> None:
    assert admin.post(world.url("system-pause"), {"reason": ""}).status_code == 422
    assert refreshed(world).connection.paused_at is None
    assert admin.post(world.url("system-pause"), {"reason": "maintenance there"}).status_code == 302
    assert refreshed(world).connection.paused_at is not None
    shown = text_of(admin.get(world.url("system")))
    assert "Resume reading" in shown
    assert "reading is paused" in shown
    assert admin.post(world.url("system-resume"), {"reason": "maintenance over"}).status_code == 302
    assert refreshed(world).connection.paused_at is None


def test_reading_now_leads_to_its_run_and_a_paused_system_is_not_read(admin: Client, world: World) -> None:
    answer = admin.post(world.url("system-read"))
    with scope(tenant=world.tenant.pk):
        run = Run.objects.get(system=world.system)
    assert answer.headers["Location"] == f"/t/acme/admin/runs/{run.pk}/"
    assert run.started_by == "m.ito"
    paused = make_world(world.tenant, "GitHub")
    admin.post(paused.url("system-pause"), {"reason": "maintenance there"})
    answer = admin.post(paused.url("system-read"))
    assert answer.headers["Location"] == paused.url("system")
    assert "Nothing was begun: GitHub is paused" in text_of(admin.get(paused.url("system")))
    with scope(tenant=world.tenant.pk):
        assert list(Run.objects.all()) == [run]


# -- policy, end


def test_a_policy_without_an_exception_is_kept_and_said_to_have_no_effect(admin: Client, world: World) -> None:
    form = {"policy": "automatic", "grace_hours": 24, "reason": "CHG-300"}
    assert "No exception is live" in text_of(admin.get(world.url("system-policy")))
    assert admin.post(world.url("system-policy"), form).status_code == 302
    assert refreshed(world).system.reactivation_policy == ReactivationPolicy.AUTOMATIC
    assert "no exception is live, so people approve each return" in text_of(admin.get(world.url("system")))
    bad = admin.post(world.url("system-policy"), form | {"grace_hours": 9_999})
    assert bad.status_code == 422


def test_a_live_exception_is_shown_with_its_end(admin: Client, world: World) -> None:
    until = now() + dt.timedelta(days=3)
    with scope(tenant=world.tenant.pk, cause=a_cause()):
        systems.change_policy(system=world.system, policy=ReactivationPolicy.AUTOMATIC, reason="a sandbox", at=now())
        with as_setup():
            exceptions.make_for_setup(
                kind=ExceptionKind.REACTIVATION, system=world.system, reason="a sandbox", until=until, at=now()
            )
    shown = text_of(admin.get(world.url("system")))
    assert "excepted Ended accounts come back from it without people: a sandbox 2 d left" in shown
    assert f"An exception is live until {until:%Y-%m-%d %H:%M} UTC" in text_of(admin.get(world.url("system-policy")))


def test_a_system_ends_only_by_its_name_and_then_nothing_can_be_done_with_it(admin: Client, world: World) -> None:
    assert admin.post(world.url("system-end"), {"typed": "okta", "reason": "gone"}).status_code == 422
    assert refreshed(world).system.ended_at is None
    assert admin.post(world.url("system-end"), {"typed": "Okta", "reason": "gone"}).status_code == 302
    after = refreshed(world)
    assert after.system.ended_at is not None
    assert after.token.ended_at is not None
    assert after.connection.paused_at is not None
    for name in set(MANAGES) - {"system-new"}:
        assert admin.post(world.url(name), connection_form()).status_code == 403, name
    assert admin.post(world.url("system-read")).status_code == 403
    assert "Okta has ended" in text_of(admin.get(world.url("system-policy")))
    shown = admin.get(world.url("system")).content.decode()
    assert len(re.findall(r'<button type="button" disabled', shown)) == 13
    assert "Okta" not in text_of(admin.get(world.url("systems")))
    assert "Okta" in text_of(admin.get(f"{world.url('systems')}?show=ended"))


# -- what arrived


def exchange(world: World, *, outcome: OutcomeWord, path: str, **values: Any) -> None:
    Exchange.objects.create(
        tenant=world.tenant, system=world.system, token_id=world.token.pk, cause_id=1, method="PATCH", path=path,
        intent="disable", outcome=outcome, request_digest="0" * 64, **({"status": 200} | values),
    )  # fmt: skip


@pytest.fixture
def busy(world: World) -> World:
    """One request of each kind."""
    with scope(tenant=world.tenant.pk, cause=a_cause()):
        coercion = {"attribute": "active", "sent": '"False"', "read_as": "false", "rule": "okta"}
        exchange(world, outcome=OutcomeWord.APPLIED, path="/Users/applied", coercions=[coercion])
        exchange(world, outcome=OutcomeWord.HELD, path="/Users/held", plan_id=uuid4())
        exchange(world, outcome=OutcomeWord.REJECTED, path="/Users/rejected", status=400, error="<b>no such path</b>")
        tokens.record_read(token=world.token, method="GET", path="/Users?count=1", status=200)
        tokens.record_read(token=world.token, method="GET", path="/Users?count=x", status=400, note="a bad number")
        for token in (world.token.pk, uuid4()):
            tokens.record_refused(
                refused=Refused(tokens.Refusal.WRONG, token), method="GET", path="/Groups", remote="192.0.2.7"
            )
    return world


@pytest.mark.parametrize(
    ("show", "paths"),
    [
        ("", ["GET /Groups", "GET /Users?count=x", "GET /Users?count=1", "PATCH /Users/rejected", "PATCH /Users/held", "PATCH /Users/applied"]),
        ("accepted", ["GET /Users?count=1", "PATCH /Users/held", "PATCH /Users/applied"]),
        ("refused", ["GET /Users?count=x", "PATCH /Users/rejected"]),
        ("bad-token", ["GET /Groups"]),
        ("nonsense", ["GET /Groups", "GET /Users?count=x", "GET /Users?count=1", "PATCH /Users/rejected", "PATCH /Users/held", "PATCH /Users/applied"]),
    ],
)  # fmt: skip
def test_the_live_list_shows_what_arrived_newest_first_by_filter(
    admin: Client, busy: World, show: str, paths: list[str]
) -> None:
    for name in ("system-live", "system"):
        html = admin.get(f"{busy.url(name)}?{urlencode({'show': show})}").content.decode()
        found = re.findall(r'<th scope="row"><div class="breaks">(?:<a[^>]*>)?((?:GET|PATCH) [^<]*)', html)
        assert found == paths


def test_the_live_list_says_coercions_errors_and_why_a_token_is_bad(admin: Client, busy: World) -> None:
    answer = admin.get(busy.url("system-live"))
    html = answer.content.decode()
    assert answer.headers["Cache-Control"] == "no-store"
    assert "<html" not in html
    assert "coerced active &quot;False&quot; › false" in unquoted(answer)
    assert "&lt;b&gt;no such path&lt;/b&gt;" in html
    assert f"token {busy.token}: wrong secret" in html
    assert "192.0.2.7" not in html
    assert "the question to people" in html


def unquoted(answer: HttpResponse) -> str:
    """What a page says, with its quotes as they are sent."""
    return text_of(answer).replace('"', "&quot;")


def test_the_live_list_is_twenty_long_and_says_when_it_is_empty(admin: Client, world: World) -> None:
    assert "Nothing arrived yet." in text_of(admin.get(world.url("system-live")))
    assert "No request in this filter." in text_of(admin.get(f"{world.url('system-live')}?show=refused"))
    with scope(tenant=world.tenant.pk, cause=a_cause()):
        for number in range(25):
            exchange(world, outcome=OutcomeWord.APPLIED, path=f"/Users/{number}")
    assert admin.get(world.url("system-live")).content.decode().count("/Users/") == 20


def test_another_systems_requests_are_not_shown(admin: Client, busy: World) -> None:
    other = make_world(busy.tenant, "GitHub")
    assert "Nothing arrived yet." in text_of(admin.get(other.url("system-live")))
    assert ReadRecord.objects.count() == 0  # outside of a scope a tenant's rows are not seen
    assert RefusedToken.objects.count() == 2


def test_the_rules_of_its_fields_are_listed(admin: Client, world: World) -> None:
    with scope(tenant=world.tenant.pk, cause=a_cause()):
        FieldAuthority.objects.create(
            tenant=world.tenant, system=world.system, field="employmentStatus", direction=Direction.REDUCES,
            authority=Authority.AUTHORITATIVE, status_from=StatusSource.ATTRIBUTE, status_values=["left", "retired"],
        )  # fmt: skip
        FieldAuthority.objects.create(
            tenant=world.tenant, field="title", direction=Direction.EXPANDS, authority=Authority.ADVISORY
        )
    shown = text_of(admin.get(world.url("system")))
    assert "an account ends when employmentStatus is one of: left, retired End the rule of employmentStatus" in shown
    assert "title expands access: is noted every system Make a rule" in shown


# -- lists


def test_the_list_says_worst_first_what_is_measured(admin: Client, world: World) -> None:
    with scope(tenant=world.tenant.pk, cause=a_cause()):
        a_system(world.tenant, "Zendesk", at=now())
    answer = admin.get(world.url("systems"))
    names = re.findall(r'<th scope="row"><div><a [^>]*>([^<]+)</a>', answer.content.decode())
    assert names == ["Zendesk", "Okta"]
    assert "2 systems: 1 not measured, 0 differing." in text_of(answer)
    assert "no connection reads it" in text_of(answer)
    assert "none: nothing can arrive" in text_of(answer)


def test_the_first_page_without_systems_says_what_to_do(admin: Client) -> None:
    assert "No system yet. Connect one" in text_of(admin.get("/t/acme/admin/systems/"))


def administers(world: World, name: str) -> None:
    somebody = a_user(name, tenant=world.tenant)
    with scope(tenant=world.tenant.pk, cause=a_cause()):
        systems.add_administrator(system=world.system, identity=somebody.identity_id, at=now())


def queries(client: Client, url: str) -> int:
    with CaptureQueriesContext(database) as caught:
        assert client.get(url).status_code == 200
    return len(caught)


def test_pages_ask_the_database_the_same_for_one_row_and_for_many(admin: Client, busy: World) -> None:
    urls = [busy.url(name) for name in READS]
    administers(busy, "somebody")
    before = [queries(admin, url) for url in urls]
    at = now()
    with scope(tenant=busy.tenant.pk, cause=a_cause()):
        for number in range(60):
            a_connection(a_system(busy.tenant, f"System {number}", at=at), read_at=at)
            exchange(busy, outcome=OutcomeWord.APPLIED, path=f"/Users/{number}")
    for number in range(3):
        administers(busy, f"somebody {number}")
    assert [queries(admin, url) for url in urls] == before
    names = re.findall(r'<th scope="row"><div><a ', admin.get(busy.url("systems")).content.decode())
    assert len(names) == 50


def test_what_can_be_read_of_each_dimension_stands_with_its_evidence(client: Client, world: World) -> None:
    enter(client, a_user("an.auditor", RoleName.AUDITOR, tenant=world.tenant))
    never = text_of(client.get(world.url("system")))
    assert "unreadable status never read completely" in never
    assert "unreadable credentials nothing reads credentials yet" in never
    with scope(tenant=world.tenant.pk, cause=a_cause()):
        a_reading(world.system, at=now(), memberships=("declared", "members_shown"), status=("unreadable", "no_status"))
    page = text_of(client.get(world.url("system")))
    assert "proved existence the canary was listed" in page
    assert "unreadable status no account shows whether it is active" in page
    assert "declared memberships members are shown; the canary is in no group" in page
    assert "proved expiry it lives here: a sweep looks each minute" in page
