"""People on pages: who may what, how somebody gets in, and that a role needs two."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest
from django.db import connection as database
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from accounts import people
from accounts.models import RoleName, Tenant, User
from accounts.models.account import Account
from accounts.models.user import Invitation, Role
from accounts.rules import ROLES, Word
from audit.models import JournalEntry
from audit.scope import scope
from governance.models.approval import Approval, ApprovalState
from tests.conftest import a_cause
from tests.factories.governance import a_person, a_role, now
from tests.governance.shell import PASSWORD, a_user, enter
from tests.governance.world import text_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from uuid import UUID

    from django.http import HttpResponse

pytestmark = [pytest.mark.face, pytest.mark.django_db]

LINK = re.compile(r"/welcome/(rc_link_[A-Za-z0-9_-]+)/")
READS = ("people", "person")
ASKS = ("person-invite", "person-role", "role-end", "person-deactivate")
WHO = {"username": "k.osei", "display_name": "Kofi Osei", "email": "", "account": "", "reason": "joins on Monday"}


@pytest.fixture
def subject(tenant: Tenant) -> User:
    """Somebody with one role, about whom the pages are."""
    return a_user("a.ruiz", RoleName.AUDITOR, tenant=tenant)


def url_of(name: str, user: User, *, slug: str = "acme") -> str:
    """The address of a page about somebody."""
    arguments: dict[str, Any] = {} if name in {"people", "person-invite"} else {"pk": user.pk}
    if name == "role-end":
        arguments["role"] = user.roles.order_by("since")[0].pk
    return f"/t/{slug}{reverse(name, kwargs=arguments)}"


def rows_of(answer: HttpResponse) -> list[str]:
    """The sign-in names of a list."""
    return re.findall(r'<br><span class="quiet">([^<]*)</span></div></th>', answer.content.decode())


def link_of(answer: HttpResponse) -> str:
    (token,) = set(LINK.findall(answer.content.decode()))
    return token


# -- who may


@pytest.mark.parametrize("role", list(RoleName))
def test_each_role_sees_and_does_exactly_what_its_words_allow(
    client: Client, tenant: Tenant, subject: User, role: RoleName
) -> None:
    enter(client, a_user("somebody", role, tenant=tenant))
    words = dict.fromkeys(READS, Word.ROLL_READ) | dict.fromkeys(ASKS, Word.ROLE_ASK)
    seen = {name: client.get(url_of(name, subject)).status_code for name in words}
    assert seen == {name: 200 if word in ROLES[role] else 403 for name, word in words.items()}
    # An empty form: who may is told what is missing, who may not is refused before it is looked at.
    done = {name: client.post(url_of(name, subject)).status_code for name in ASKS}
    assert done == dict.fromkeys(ASKS, 422 if Word.ROLE_ASK in ROLES[role] else 403)


def test_somebody_of_another_tenant_finds_nobody_of_this_one(
    client: Client, subject: User, make_tenant: Callable[..., Tenant]
) -> None:
    other = make_tenant("globex")
    enter(client, a_user("l.chen", RoleName.ADMINISTRATOR, tenant=other))
    for name in (*READS, *ASKS):
        assert client.get(url_of(name, subject)).status_code == 404, name
    for name in ("person", "person-role", "role-end", "person-deactivate", "person-reopen"):
        assert (
            client.post(url_of(name, subject, slug="globex"), {"reason": "because", "role": "owner"}).status_code == 404
        )
    assert rows_of(client.get("/t/globex/admin/people/")) == ["l.chen"]
    assert User.objects.get(pk=subject.pk).is_active


def test_an_auditor_sees_every_verb_off_with_its_reason(client: Client, tenant: Tenant, subject: User) -> None:
    enter(client, a_user("audra", RoleName.AUDITOR, tenant=tenant))
    html = client.get(url_of("person", subject)).content.decode()
    off = re.findall(r'<button type="button" disabled[^>]*>([^<]+)</button>', html)
    assert off == ["Ask for a role", "End sign-in", "End auditor"]
    assert "Asking for a role for somebody needs one of these roles here: administrator" in html


# -- getting in


def test_somebody_invited_sets_a_password_by_the_link_and_signs_in(admin: Client) -> None:
    answer = admin.post("/t/acme/admin/people/invite/", WHO)
    assert answer.status_code == 200
    assert answer.headers["Cache-Control"] == "no-store"
    token = link_of(answer)
    visitor = Client()
    form = {"new_password1": PASSWORD, "new_password2": PASSWORD}
    assert visitor.post(f"/welcome/{token}/", form).headers["Location"] == "/login/"
    assert visitor.post("/login/", {"username": "k.osei", "password": PASSWORD}).status_code == 302
    assert visitor.get("/t/acme/admin/").status_code == 404


def test_the_link_is_shown_once_and_kept_by_no_page_message_session_or_journal(admin: Client, tenant: Tenant) -> None:
    token = link_of(admin.post("/t/acme/admin/people/invite/", WHO))
    made = User.objects.get(username="k.osei")
    for name in (*READS, "person-invite", "person-role"):
        assert token not in admin.get(url_of(name, made)).content.decode()
    assert token not in json.dumps(dict(admin.session.items()))
    with scope(tenant=tenant.pk):
        assert not JournalEntry.objects.filter(sentence__contains=token).exists()
    assert [i.token_hash for i in Invitation.objects.filter(user=made)] == [people.digest(token)]


def test_somebody_invited_is_on_the_list_without_a_role_and_without_a_password(admin: Client) -> None:
    admin.post("/t/acme/admin/people/invite/", WHO)
    shown = admin.get("/t/acme/admin/people/")
    assert rows_of(shown) == ["k.osei", "m.ito"]
    assert "Kofi Osei k.osei – – has not set a password yet never" in text_of(shown)
    page = text_of(admin.get(url_of("person", User.objects.get(username="k.osei"))))
    assert "works once, until in 6 d" in page
    assert "No role here: they may do nothing." in page


def test_who_has_no_password_yet_gets_another_link_and_who_has_one_gets_none(admin: Client, subject: User) -> None:
    admin.post("/t/acme/admin/people/invite/", WHO)
    again = admin.post("/t/acme/admin/people/invite/", WHO | {"username": "K.Osei"})
    assert again.status_code == 200
    assert people.open_invitation(token=link_of(again), at=now()).user.username == "k.osei"
    assert User.objects.filter(username_key="k.osei").count() == 1
    before = Invitation.objects.filter(user=subject).count()
    refused = admin.post("/t/acme/admin/people/invite/", WHO | {"username": "a.ruiz"})
    assert refused.status_code == 409
    assert "a.ruiz signs in already. A forgotten password: they ask for a link on the sign-in page." in text_of(refused)
    assert Invitation.objects.filter(user=subject).count() == before


def test_the_account_named_ties_both_to_one_person(admin: Client, tenant: Tenant) -> None:
    with scope(tenant=tenant.pk, cause=a_cause()):
        with_identity = a_person(tenant, "kofi", at=now())
        without = a_person(tenant, "yaa", at=now(), identity_id=None)
    admin.post("/t/acme/admin/people/invite/", WHO | {"account": "Kofi"})
    admin.post("/t/acme/admin/people/invite/", WHO | {"username": "y.osei", "account": "yaa"})
    with scope(tenant=tenant.pk):
        assert User.objects.get(username="k.osei").identity_id == with_identity.identity_id
        assert User.objects.get(username="y.osei").identity_id == Account.objects.get(pk=without.pk).identity_id
    shown = text_of(admin.get(url_of("person", User.objects.get(username="y.osei"))))
    assert "Accounts here yaa active" in shown


@pytest.mark.parametrize(
    ("changed", "status", "said"),
    [
        ({"username": ""}, 422, "This field is required."),
        ({"username": "k\u202eosei"}, 422, "Take out the invisible character U+202E."),
        ({"username": "k" * 151}, 422, "at most 150 characters"),
        ({"username": "k\x00osei"}, 422, "Null characters are not allowed."),
        ({"email": "not a mail"}, 422, "Enter a valid email address."),
        ({"account": "nobody"}, 422, "No person has that user name here."),
        ({"reason": "x"}, 422, "at least 3 characters"),
    ],
)
def test_a_bad_invitation_says_what_to_do_and_invites_nobody(
    admin: Client, changed: dict[str, str], status: int, said: str
) -> None:
    answer = admin.post("/t/acme/admin/people/invite/", WHO | changed)
    assert answer.status_code == status
    assert said in text_of(answer)
    assert sorted(User.objects.values_list("username", flat=True)) == ["m.ito"]


def test_a_name_of_another_tenant_is_refused_without_saying_more(
    admin: Client, make_tenant: Callable[..., Tenant]
) -> None:
    a_user("k.osei", RoleName.OWNER, tenant=make_tenant("globex"), display_name="Secret Name")
    answer = admin.post("/t/acme/admin/people/invite/", WHO)
    assert answer.status_code == 409
    assert "somebody signs in as “k.osei” already: choose another" in text_of(answer)
    assert "Secret Name" not in answer.content.decode()
    assert rows_of(admin.get("/t/acme/admin/people/")) == ["m.ito"]


def test_an_administrator_of_all_tenants_finds_somebody_of_another_to_ask_a_role_for(
    client: Client, tenant: Tenant, make_tenant: Callable[..., Tenant]
) -> None:
    elsewhere = a_user("k.osei", RoleName.OWNER, tenant=make_tenant("globex"))
    enter(client, a_user("root", RoleName.ADMINISTRATOR))
    answer = client.post("/t/acme/admin/people/invite/", WHO)
    assert answer.headers["Location"] == url_of("person", elsewhere)
    assert client.get(url_of("person-role", elsewhere)).status_code == 200


# -- roles


def asked_role(admin: Client, subject: User, name: RoleName, tenant: Tenant) -> Approval:
    answer = admin.post(url_of("person-role", subject), {"role": name.value, "reason": "CHG-400"})
    with scope(tenant=tenant.pk):
        made = Approval.objects.get(user=subject, role_name=name)
    assert answer.headers["Location"] == f"/t/acme/admin/approvals/{made.pk}/"
    return made


def names(user: User, tenant: Tenant) -> set[str]:
    live = Role.objects.filter(user=user, tenant=tenant, until__isnull=True)
    return set(live.values_list("name", flat=True))


def test_a_role_is_asked_for_by_one_and_granted_by_another(admin: Client, tenant: Tenant, subject: User) -> None:
    second = enter(Client(), a_user("l.chen", RoleName.SECURITY, tenant=tenant))
    made = asked_role(admin, subject, RoleName.SECURITY, tenant)
    assert names(subject, tenant) == {"auditor"}
    page = f"/t/acme/admin/approvals/{made.pk}/yes/"
    for asker in (admin, enter(Client(), subject)):
        assert asker.post(page, {"reason": "I say so", "seen": str(made.pk)}).status_code == 403
    assert names(subject, tenant) == {"auditor"}
    assert second.post(page, {"reason": "CHG-400 holds", "seen": str(made.pk)}).status_code == 302
    assert names(subject, tenant) == {"auditor", "security"}
    shown = text_of(admin.get(url_of("person", subject)))
    assert "security (Acme) live since" in shown
    assert "m.ito l.chen End security" in shown
    assert "approved May a.ruiz be security?" in shown


@pytest.mark.parametrize(
    ("role", "refusal"),
    [
        ("auditor", (409, "has that role already")),
        ("king", (422, "Select a valid choice.")),
        ("", (422, "is required")),
    ],
)
def test_a_role_that_can_not_be_asked_for_is_refused_by_the_form(
    admin: Client, tenant: Tenant, subject: User, role: str, refusal: tuple[int, str]
) -> None:
    answer = admin.post(url_of("person-role", subject), {"role": role, "reason": "CHG-400"})
    assert answer.status_code == refusal[0]
    assert refusal[1] in text_of(answer)
    with scope(tenant=tenant.pk):
        assert not Approval.objects.exists()


def test_an_open_question_is_said_on_the_list(admin: Client, tenant: Tenant, subject: User) -> None:
    asked_role(admin, subject, RoleName.SECURITY, tenant)
    assert "1 role is asked for" in text_of(admin.get("/t/acme/admin/people/"))


def test_a_role_ends_at_once_and_says_who_has_it_still(admin: Client, tenant: Tenant, subject: User) -> None:
    page = url_of("role-end", subject)
    assert "Nobody else is auditor (Acme): what only they may do waits" in text_of(admin.get(page))
    a_user("audra", RoleName.AUDITOR, tenant=tenant)
    assert "1 other person is auditor (Acme) still." in text_of(admin.get(page))
    assert admin.post(page, {"reason": "moved to sales"}).headers["Location"] == url_of("person", subject)
    assert names(subject, tenant) == set()
    assert enter(Client(), subject).get("/t/acme/admin/people/").status_code == 404
    assert admin.post(page, {"reason": "moved to sales"}).status_code == 403
    assert "auditor (Acme) ended" in text_of(admin.get(url_of("person", subject)))


def test_a_role_in_all_tenants_is_ended_only_by_somebody_who_has_one(admin: Client, client: Client) -> None:
    root, other = a_user("root", RoleName.ADMINISTRATOR), a_user("other", RoleName.ADMINISTRATOR)
    page = url_of("role-end", root)
    answer = admin.post(page, {"reason": "no longer"})
    assert answer.status_code == 403
    assert "it is for all tenants; an administrator of all tenants ends it" in text_of(answer)
    assert "disabled" in admin.get(url_of("person", root)).content.decode()
    assert enter(client, other).post(page, {"reason": "no longer"}).status_code == 302
    assert not Role.objects.filter(user=root, until__isnull=True).exists()


def test_a_role_of_another_tenant_is_not_found_here(
    admin: Client, subject: User, make_tenant: Callable[..., Tenant]
) -> None:
    with scope(cause=a_cause(kind="setup")):
        role = a_role(subject, RoleName.OWNER, make_tenant("globex"), since=now())
    assert admin.post(f"{url_of('person', subject)}roles/{role.pk}/end/", {"reason": "because"}).status_code == 404
    assert "Globex" not in text_of(admin.get(url_of("person", subject)))


# -- ending a sign-in


def test_ending_a_sign_in_ends_sessions_under_every_name_of_the_person(
    admin: Client, tenant: Tenant, subject: User
) -> None:
    second_name = a_user("a.ruiz.2", RoleName.OWNER, tenant=tenant, identity=subject.identity)
    sessions = [enter(Client(), user) for user in (subject, second_name)]
    page = url_of("person-deactivate", subject)
    assert "Signs in as a.ruiz, a.ruiz.2" in text_of(admin.get(page))
    assert admin.post(page, {"reason": "left"}).status_code == 302
    assert set(User.objects.filter(is_active=False)) == {subject, second_name}
    assert [s.get("/t/acme/admin/people/").headers["Location"][:7] for s in sessions] == ["/login/", "/login/"]
    assert "can't sign in any more" in text_of(admin.get(url_of("person", subject)))
    assert admin.post(page, {"reason": "left"}).status_code == 403
    answer = admin.post(url_of("person-role", subject), {"role": "owner", "reason": "back again"})
    assert (answer.status_code, "reopen that first" in text_of(answer)) == (409, True)


def test_an_ended_sign_in_is_reopened_without_the_roles_that_it_had(
    client: Client, admin: Client, tenant: Tenant, subject: User
) -> None:
    page = url_of("person-reopen", subject)
    assert admin.get(page).status_code == 403
    admin.post(url_of("person-deactivate", subject), {"reason": "left"})
    assert "Reopen sign-in" in text_of(admin.get(url_of("person", subject)))
    answer = admin.post(page, {"reason": "came back"})
    assert answer.status_code == 409
    assert "has roles still: end them first, each comes back by two people" in text_of(answer)
    admin.post(url_of("role-end", subject), {"reason": "starts anew"})
    assert "can sign in again. Ask for a role next." in text_of(admin.post(page, {"reason": "came back"}, follow=True))
    assert User.objects.get(pk=subject.pk).is_active
    assert admin.post(page, {"reason": "twice"}).status_code == 403
    for role in (RoleName.SECURITY, RoleName.AUDITOR, RoleName.OWNER):
        assert enter(Client(), a_user(f"some.{role}", role, tenant=tenant)).get(page).status_code == 403


def test_nobody_ends_their_own_sign_in(admin: Client, administrator: User) -> None:
    answer = admin.post(url_of("person-deactivate", administrator), {"reason": "a mistake"})
    assert answer.status_code == 403
    assert "it is yours; another administrator ends it" in text_of(answer)
    assert User.objects.get(pk=administrator.pk).is_active


def test_who_serves_another_tenant_too_is_ended_by_an_administrator_of_all(
    admin: Client, subject: User, make_tenant: Callable[..., Tenant]
) -> None:
    with scope(cause=a_cause(kind="setup")):
        a_role(subject, RoleName.OWNER, make_tenant("globex"), since=now())
    page = url_of("person-deactivate", subject)
    answer = admin.post(page, {"reason": "left"})
    assert answer.status_code == 403
    assert "they serve more than this tenant" in text_of(answer)
    root = enter(Client(), a_user("root", RoleName.ADMINISTRATOR))
    assert root.post(page, {"reason": "left"}).status_code == 302
    assert not User.objects.get(pk=subject.pk).is_active


# -- the list


def test_the_list_is_searched_by_beginning_of_name_and_by_role(admin: Client, tenant: Tenant, subject: User) -> None:
    a_user("root", RoleName.ADMINISTRATOR)
    page = "/t/acme/admin/people/"
    found = {query: rows_of(admin.get(page, dict([query]))) for query in [("q", "A.R"), ("q", "ruiz"), ("q", "\x00")]}
    assert found == {("q", "A.R"): ["a.ruiz"], ("q", "ruiz"): [], ("q", "\x00"): ["a.ruiz", "m.ito", "root"]}
    assert rows_of(admin.get(page, {"role": "administrator"})) == ["m.ito", "root"]
    assert rows_of(admin.get(page, {"role": "security"})) == []
    assert "administrator all tenants" in text_of(admin.get(page))


def test_pages_ask_the_database_the_same_for_few_and_for_many(admin: Client, tenant: Tenant, subject: User) -> None:
    def queries(url: str) -> int:
        with CaptureQueriesContext(database) as caught:
            assert admin.get(url).status_code == 200
        return len(caught)

    urls = [url_of(name, subject) for name in READS]
    before = [queries(url) for url in urls]
    ids: list[UUID] = []
    with scope(tenant=tenant.pk, cause=a_cause(kind="setup")):
        for number in range(60):
            account = a_person(tenant, f"p{number:02}", at=now())
            user = people.make_user(username=f"p{number:02}", identity=account.identity, at=now())
            a_role(user, RoleName.OWNER, tenant, since=now())
            ids.append(user.pk)
        a_role(subject, RoleName.OWNER, tenant, since=now())
    assert [queries(url) for url in urls] == before
    assert len(rows_of(admin.get(urls[0]))) == 50
    assert len(rows_of(admin.get(f"{urls[0]}?page=2"))) == 12


def test_open_questions_about_roles_elsewhere_are_not_counted_here(
    admin: Client, subject: User, make_tenant: Callable[..., Tenant]
) -> None:
    other = make_tenant("globex")
    with scope(tenant=other.pk, cause=a_cause()):
        Approval.objects.create(
            tenant=other, kind="role", user=subject, role_name="owner", title="May a.ruiz be owner?", needs=1,
            asked_by="x", asked_at=now(), until=now(), state=ApprovalState.OPEN,
        )  # fmt: skip
    assert "asked for" not in text_of(admin.get("/t/acme/admin/people/"))
    assert "May a.ruiz be owner?" not in text_of(admin.get(url_of("person", subject)))
