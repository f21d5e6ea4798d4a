"""Getting in and out: sign-in, its brake, passwords, one-use links, the choice of a tenant, the first people."""

from __future__ import annotations

import datetime as dt
import re
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from django.core.management import CommandError, call_command
from django.test import Client
from redis.exceptions import ConnectionError as RedisConnectionError

from accounts import people
from accounts.models import Invitation, Role, RoleName, Tenant, User
from audit.models import Cause, CauseKind, JournalEntry
from audit.scope import scope
from governance.portal import throttle
from tests.conftest import a_cause, as_setup
from tests.governance.shell import PASSWORD, a_user, enter

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = [pytest.mark.face, pytest.mark.urls("tests.governance.shell"), pytest.mark.django_db]

NEW = "quite another secret"


@pytest.fixture
def client() -> Client:
    """From an address of its own: the counters in the cache outlive a test."""
    return Client(REMOTE_ADDR=f"test-{uuid4()}")


@pytest.fixture
def user(tenant: Tenant) -> User:
    return a_user("M.Ito", RoleName.SECURITY, tenant=tenant, email="m.ito@acme.example", display_name="Mika Ito")


def sign_in(client: Client, name: str = "m.ito", password: str = PASSWORD, next_page: str = "") -> Any:
    return client.post("/login/", {"username": name, "password": password, "next": next_page})


def text(answer: Any) -> str:
    return str(answer.content.decode())


def is_in(client: Client) -> bool:
    return client.get("/t/acme/admin/told/").status_code == 200


def test_sign_in_ignores_the_case_of_the_name_writes_the_last_sign_in_and_says_why(client: Client, user: User) -> None:
    answer = sign_in(client, " M.ITO")
    assert (answer.status_code, answer["Location"]) == (302, "/")
    user.refresh_from_db()
    assert user.last_login is not None
    (cause,) = Cause.objects.filter(kind=CauseKind.SIGN_IN)
    assert (cause.actor, cause.subject, cause.tenant_id) == ("somebody not signed in", "/login/", None)
    assert is_in(client)


def test_the_session_gets_a_new_key_at_sign_in(client: Client, user: User) -> None:
    client.get("/login/")
    session = client.session
    session["planted"] = "by somebody else"
    session.save()
    client.cookies["rollcall_session"] = before = session.session_key
    sign_in(client)
    assert client.cookies["rollcall_session"].value != before
    assert Client().get("/t/acme/admin/told/", headers={"Cookie": f"rollcall_session={before}"}).status_code == 302


@pytest.mark.parametrize(
    ("asked", "went"),
    [
        ("/t/acme/admin/told/?a=1", "/t/acme/admin/told/?a=1"),
        ("https://evil.example/", "/"),
        ("//evil.example/", "/"),
        ("javascript:alert(1)", "/"),
        ("/\\evil.example", "/"),
    ],
)
def test_next_leads_nowhere_but_to_us(client: Client, user: User, asked: str, went: str) -> None:
    assert sign_in(client, next_page=asked)["Location"] == went


def test_a_wrong_password_an_unknown_name_and_a_closed_user_read_the_same_and_leave_nothing(
    client: Client, user: User
) -> None:
    closed = a_user("gone")
    with scope(cause=a_cause()):
        people.deactivate_user(user=closed, reason="left", at=dt.datetime.now(dt.UTC))
    causes = Cause.objects.count()
    said = [
        re.findall(r"<li>(.*?)</li>", text(sign_in(client, *pair)))
        for pair in (("m.ito", "wrong"), ("nobody", PASSWORD), ("gone", PASSWORD), ("x\x00y", PASSWORD))
    ]
    assert said[0] == ["Name and password do not belong together, or this person may not sign in."]
    assert said[:3] == [said[0]] * 3
    assert "Null characters are not allowed." in str(said[3])
    assert Cause.objects.count() == causes
    assert not is_in(client)


def test_too_many_failures_are_told_when_to_come_back_and_lock_nobody_else_out(client: Client, user: User) -> None:
    a_user("l.chen")
    for _ in range(throttle.PAIR.times):
        assert "do not belong together" in text(sign_in(client, password="wrong"))
    refused = text(sign_in(client))
    assert re.search(r"Too many tries failed from here\. Try again at \d\d:\d\d:\d\d UTC", refused)
    assert not is_in(client)
    assert sign_in(client, "l.chen").status_code == 302  # another name from there
    assert sign_in(Client(REMOTE_ADDR=f"test-{uuid4()}")).status_code == 302  # the same name from elsewhere


def test_the_brake_is_let_go_by_a_success(client: Client, user: User) -> None:
    for _ in range(2):
        for _ in range(throttle.PAIR.times - 1):
            sign_in(client, password="wrong")
        assert sign_in(client).status_code == 302


def test_one_address_that_tries_many_names_is_stopped(user: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(throttle, "ADDRESS", throttle.Limit("address", 3, dt.timedelta(minutes=15)))
    client = Client(REMOTE_ADDR=f"test-{uuid4()}")
    for number in range(3):
        sign_in(client, f"nobody{number}", "wrong")
    assert "Too many tries" in text(sign_in(client, "nobody4", "wrong"))


def test_without_the_cache_people_still_get_in(client: Client, user: User, monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(*_: Any, **__: Any) -> None:
        raise RedisConnectionError("gone")

    monkeypatch.setattr(throttle, "_count", gone)
    monkeypatch.setattr(throttle.cache, "delete_many", gone, raising=False)
    assert sign_in(client).status_code == 302


def test_the_counters_name_nobody(client: Client, user: User) -> None:
    key = throttle._key(throttle.PAIR, ("m.ito", "10.0.0.1"))
    assert "ito" not in key
    assert "10.0.0.1" not in key


def test_behind_a_proxy_the_address_that_it_saw_is_braked_and_not_the_proxy(user: User, settings: Any) -> None:
    settings.ROLLCALL_TRUSTED_PROXIES = ["10.0.0.9"]
    proxy = Client(REMOTE_ADDR="10.0.0.9")
    here, there = (f"2001:db8::{uuid4().hex[:4]}:{uuid4().hex[:4]}" for _ in range(2))

    def try_from(address: str, password: str = PASSWORD) -> str:
        return text(
            proxy.post(
                "/login/",
                {"username": "m.ito", "password": password},
                headers={"X-Forwarded-For": f"6.6.6.6, {address}"},
            )
        )

    for _ in range(throttle.PAIR.times):
        assert "do not belong together" in try_from(here, "wrong")
    assert "Too many tries" in try_from(here)
    assert "Too many tries" not in try_from(there)


def test_sign_out_is_a_post_and_ends_the_session(client: Client, user: User) -> None:
    sign_in(client)
    assert client.get("/logout/").status_code == 405
    assert is_in(client)
    assert client.post("/logout/")["Location"] == "/login/"
    assert not is_in(client)


def test_a_changed_password_keeps_this_session_and_ends_the_others(client: Client, user: User) -> None:
    sign_in(client)
    other = enter(Client(), User.objects.get(pk=user.pk))
    assert is_in(other)
    answer = client.post("/password/change/", {"old_password": PASSWORD, "new_password1": NEW, "new_password2": NEW})
    assert answer.status_code == 302
    assert is_in(client)
    assert not is_in(other)
    assert JournalEntry.objects.filter(event="user.password_set", sentence="Mika Ito set a password.").count() == 2


def test_a_weak_or_wrong_password_changes_nothing_and_is_said_at_its_field(client: Client, user: User) -> None:
    sign_in(client)
    answer = client.post(
        "/password/change/", {"old_password": "wrong", "new_password1": "short", "new_password2": "short"}
    )
    assert answer.status_code == 422
    assert 'href="#id_old_password"' in text(answer)
    assert 'aria-invalid="true"' in text(answer)
    assert User.objects.get(pk=user.pk).check_password(PASSWORD)


def test_ended_sessions_are_over_at_the_next_request(client: Client, user: User) -> None:
    sign_in(client)
    with scope(cause=a_cause()):
        people.end_sessions(identity=user.identity_id, sign_in_too=False, reason="", at=dt.datetime.now(dt.UTC))
    assert not is_in(client)


def link_of(mail: Any) -> str:
    found = re.search(r"http://[^/]+(/welcome/\S+)", mail.body)
    assert found is not None
    return found.group(1)


def test_a_forgotten_password_is_set_by_a_mailed_link_once(client: Client, user: User, mailoutbox: list[Any]) -> None:
    answer = client.post("/password/reset/", {"who": "M.ITO@acme.example"})
    assert answer["Location"] == "/password/reset/sent/"
    (mail,) = mailoutbox
    assert mail.to == ["m.ito@acme.example"]
    link = link_of(mail)
    assert "M.Ito" in text(client.get(link))
    assert client.get(link).status_code == 200  # looking uses nothing up
    answer = client.post(link, {"new_password1": NEW, "new_password2": NEW})
    assert answer["Location"] == "/login/"
    again = client.post(link, {"new_password1": PASSWORD, "new_password2": PASSWORD})
    assert again.status_code == 410
    assert "This link was used" in text(again)
    assert User.objects.get(pk=user.pk).check_password(NEW)


def test_a_link_for_nobody_reads_and_leads_the_same_and_sends_nothing(
    client: Client, user: User, mailoutbox: list[Any]
) -> None:
    known, unknown = (client.post("/password/reset/", {"who": who}) for who in ("m.ito", "nobody"))
    assert (known.status_code, known["Location"]) == (unknown.status_code, unknown["Location"])
    assert [m.to for m in mailoutbox] == [["m.ito@acme.example"]]


def test_links_by_mail_are_limited(client: Client, user: User, mailoutbox: list[Any]) -> None:
    for _ in range(throttle.RESET_PAIR.times):
        client.post("/password/reset/", {"who": "m.ito"})
    answer = client.post("/password/reset/", {"who": "m.ito"})
    assert answer.status_code == 422
    assert "Too many links were asked for from here. Try again at" in text(answer)
    assert len(mailoutbox) == throttle.RESET_PAIR.times


def test_a_link_past_its_end_says_so(client: Client, user: User) -> None:
    with scope(cause=a_cause()):
        token = people.invite(user=user, at=dt.datetime.now(dt.UTC) - dt.timedelta(days=8))
    answer = client.get(f"/welcome/{token}/")
    assert answer.status_code == 410
    assert "This link ended on" in text(answer)
    assert "no-store" in answer["Cache-Control"]


def test_two_different_passwords_use_no_link_up(client: Client, user: User) -> None:
    with scope(cause=a_cause()):
        token = people.invite(user=user, at=dt.datetime.now(dt.UTC))
    answer = client.post(f"/welcome/{token}/", {"new_password1": NEW, "new_password2": "something else here"})
    assert answer.status_code == 422
    assert Invitation.objects.filter(token_hash=people.digest(token), used_at__isnull=True).exists()


def test_somebody_with_one_tenant_starts_there(client: Client, user: User) -> None:
    enter(client, user)
    assert client.get("/")["Location"] == "/t/acme/admin/"
    assert client.get("/?choose").status_code == 200


def test_an_owner_starts_with_their_own_accounts(client: Client, tenant: Tenant) -> None:
    enter(client, a_user("k.osei", RoleName.OWNER, tenant=tenant))
    assert client.get("/")["Location"] == "/t/acme/my/"


def test_somebody_with_several_tenants_chooses_among_theirs(
    client: Client, user: User, make_tenant: Callable[..., Tenant]
) -> None:
    make_tenant("secret")
    second = make_tenant("beta")
    with scope(cause=a_cause(kind=CauseKind.SETUP)), as_setup():
        people.grant_role(
            user=user, name=RoleName.OWNER, tenant=second, by_setup=True, at=dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
        )
    page = text(enter(client, user).get("/"))
    assert re.findall(r'href="(/t/[^"]+)"', page) == ["/t/acme/admin/", "/t/beta/my/"]


def test_somebody_without_a_role_reads_whom_to_ask(client: Client, db: None) -> None:
    page = text(enter(client, a_user("new.here")).get("/"))
    assert "nobody has given you a role" in page
    assert "Ask an administrator of your organisation" in page


def test_the_first_administrator_is_told_that_no_tenant_exists(client: Client, db: None) -> None:
    assert "no tenant exists" in text(enter(client, a_user("root", RoleName.ADMINISTRATOR)).get("/"))


def invited(capsys: pytest.CaptureFixture[str], name: str, *options: str) -> str:
    call_command("invite_administrator", name, *options)
    (link,) = re.findall(r"(/welcome/\S+)", capsys.readouterr().out)
    return str(link)


def test_the_first_two_administrators_come_from_the_command_line_and_no_third(
    client: Client, db: None, capsys: pytest.CaptureFixture[str]
) -> None:
    first = invited(capsys, "root", "--email=root@acme.example")
    assert client.post(first, {"new_password1": NEW, "new_password2": NEW})["Location"] == "/login/"
    assert sign_in(client, "root", NEW).status_code == 302
    invited(capsys, "second")
    with pytest.raises(CommandError, match=r"two administrators live already \(root and second\).*People page"):
        call_command("invite_administrator", "third")
    assert set(Role.objects.values_list("user__username", "name", "made_by_setup", "tenant")) == {
        ("root", "administrator", True, None), ("second", "administrator", True, None),
    }  # fmt: skip
    assert not User.objects.filter(username="third").exists()


def test_an_administrator_who_lost_the_first_link_gets_another_and_one_with_a_password_does_not(
    client: Client, db: None, capsys: pytest.CaptureFixture[str]
) -> None:
    first, link = invited(capsys, "root"), invited(capsys, "ROOT")
    assert first != link
    client.post(link, {"new_password1": NEW, "new_password2": NEW})
    with pytest.raises(CommandError, match="root is an administrator already"):
        call_command("invite_administrator", "root")
    assert Role.objects.count() == 1


def test_a_bad_mail_address_or_name_invites_nobody(db: None) -> None:
    with pytest.raises(CommandError, match="is no mail address"):
        call_command("invite_administrator", "root", "--email=nonsense")
    with pytest.raises(CommandError, match="1 to 150 characters"):
        call_command("invite_administrator", " ")
    assert not User.objects.exists()
