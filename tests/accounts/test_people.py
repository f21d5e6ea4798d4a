"""The people who sign in: made, invited, given roles by two others, and shut out when they leave."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

import pytest
from django.db import IntegrityError, transaction

from accounts import people
from accounts.models import Account, Invitation, Role, RoleName, Tenant, User
from audit.models import CauseKind, JournalEntry
from audit.scope import scope
from tests.conftest import a_cause
from tests.factories.governance import a_role

if TYPE_CHECKING:
    from collections.abc import Iterator

    from accounts.models import Identity

# The database lets a role begin when it is given, by its own clock.
AT = dt.datetime.now(dt.UTC)


@pytest.fixture(autouse=True)
def just_now(monkeypatch: pytest.MonkeyPatch) -> None:
    """This file may have been read long before its turn comes: then it is no longer now."""
    monkeypatch.setitem(globals(), "AT", dt.datetime.now(dt.UTC))


@pytest.fixture
def globally(db: None) -> Iterator[None]:
    """In no tenant, with a cause, as a command is."""
    with scope(cause=a_cause(kind=CauseKind.COMMAND)):
        yield


@pytest.fixture
def user(globally: None) -> User:
    return people.make_user(username="M.Ito", display_name="Mika Ito", email="m.ito@acme.example", at=AT)


@pytest.fixture
def asker(globally: None) -> Identity:
    return people.identity_for(at=AT)


@pytest.fixture
def granter(globally: None) -> Identity:
    return people.identity_for(at=AT)


def events() -> list[str]:
    return list(JournalEntry.objects.order_by("id").values_list("event", flat=True))


def test_a_made_user_has_an_identity_and_neither_password_nor_role(user: User) -> None:
    user.refresh_from_db()
    assert (user.username, user.username_key, user.is_active) == ("M.Ito", "m.ito", True)
    assert user.identity.made_at == AT
    assert not user.has_usable_password()
    assert not user.roles.exists()
    assert events() == ["user.made"]


def test_a_name_in_use_in_another_case_is_refused_and_nothing_is_written(user: User) -> None:
    with pytest.raises(people.BadPerson, match=r"somebody signs in as “m\.ITO” already"), transaction.atomic():
        people.make_user(username=" m.ITO ", at=AT)
    assert User.objects.count() == 1
    assert events() == ["user.made"]


@pytest.mark.parametrize("name", ["", "   ", "a" * 151, "eve\x00", "e\u202eve", "e\nve"])
def test_an_unreadable_name_is_refused(globally: None, name: str) -> None:
    with pytest.raises(people.BadPerson):
        people.make_user(username=name, at=AT)
    assert not User.objects.exists()


def test_the_identity_of_an_account_that_has_one_is_reused(because: Any, tenant: Tenant) -> None:
    known = people.identity_for(at=AT)
    account = Account(tenant=tenant, identity=known)
    assert people.identity_for(account=account, at=AT) == known
    assert people.identity_for(account=Account(tenant=tenant), at=AT) != known


def test_only_the_digest_of_an_invitation_is_kept(user: User) -> None:
    token = people.invite(user=user, at=AT)
    (kept,) = Invitation.objects.all()
    assert token.startswith("rc_link_")
    assert kept.token_hash == people.digest(token)
    assert kept.until == AT + dt.timedelta(days=7)
    assert not any(token in str(value) for value in vars(kept).values())
    assert all(token not in entry.sentence for entry in JournalEntry.objects.all())


def test_an_invitation_sets_a_password_once_and_uses_up_every_open_link(user: User) -> None:
    first, second = people.invite(user=user, at=AT), people.invite(user=user, at=AT)
    later = AT + dt.timedelta(hours=1)
    people.accept_invitation(token=second, password="a long enough secret", at=later)
    user.refresh_from_db()
    assert user.check_password("a long enough secret")
    assert user.session_epoch == 1
    assert set(Invitation.objects.values_list("used_at", flat=True)) == {later}
    for token in (first, second):
        with pytest.raises(people.BadLink, match="was used"):
            people.accept_invitation(token=token, password="another long secret", at=later)
    user.refresh_from_db()
    assert user.check_password("a long enough secret")


def test_an_invitation_ends_at_its_end_and_not_before(user: User) -> None:
    token = people.invite(user=user, at=AT, lasts=people.RESET_FOR)
    end = AT + dt.timedelta(hours=1)
    assert people.open_invitation(token=token, at=end - dt.timedelta(microseconds=1)).user == user
    with pytest.raises(people.BadLink, match=f"ended on {end:%Y-%m-%d %H:%M} UTC"):
        people.open_invitation(token=token, at=end)


def test_an_unknown_token_opens_nothing(user: User) -> None:
    people.invite(user=user, at=AT)
    with pytest.raises(people.BadLink, match="not one of ours"):
        people.open_invitation(token="rc_link_made-up", at=AT)


def test_a_changed_password_ends_other_sessions(user: User) -> None:
    people.accept_invitation(token=people.invite(user=user, at=AT), password="a long enough secret", at=AT)
    user.refresh_from_db()
    before = user.get_session_auth_hash()
    changed = people.change_password(user=user, password="another long secret")
    assert changed.get_session_auth_hash() != before
    assert changed.check_password("another long secret")


def test_a_role_is_asked_for_by_one_and_granted_by_another(
    user: User, asker: Identity, granter: Identity, make_tenant: Any
) -> None:
    tenant = make_tenant()
    role = people.grant_role(
        user=user, name=RoleName.SECURITY, tenant=tenant, asked_by=asker.pk, granted_by=granter.pk, at=AT
    )
    assert (role.asked_by_id, role.granted_by_id, role.made_by_setup, role.since) == (asker.pk, granter.pk, False, AT)
    assert events()[-1] == "role.granted"


def test_a_role_by_one_person_alone_is_refused_by_verb_and_database(
    user: User, asker: Identity, make_tenant: Any
) -> None:
    tenant = make_tenant()
    for pair in ((asker.pk, asker.pk), (asker.pk, None), (None, asker.pk), (None, None)):
        with pytest.raises(people.CantGrant):
            people.grant_role(
                user=user, name=RoleName.OWNER, tenant=tenant, asked_by=pair[0], granted_by=pair[1], at=AT
            )
    with pytest.raises(IntegrityError, match="accounts_role_granted_by_another"), transaction.atomic():
        Role.objects.create(user=user, name=RoleName.OWNER, tenant=tenant, asked_by=asker, granted_by=asker, since=AT)
    assert not Role.objects.exists()


@pytest.mark.parametrize("kind", [CauseKind.PAGE, CauseKind.API, CauseKind.EXCHANGE, CauseKind.SIGN_IN])
def test_nothing_that_a_network_reaches_grants_a_role_by_setup(db: None, kind: CauseKind) -> None:
    with scope(cause=a_cause(kind=kind)):
        user = people.make_user(username="eve", at=AT)
        with pytest.raises(people.CantGrant, match="only the command line"):
            people.grant_role(user=user, name=RoleName.ADMINISTRATOR, tenant=None, by_setup=True, at=AT)


def test_a_role_that_is_held_already_is_left_as_it_is(
    user: User, asker: Identity, granter: Identity, make_tenant: Any
) -> None:
    values: dict[str, Any] = {
        "user": user, "name": RoleName.OWNER, "tenant": make_tenant(), "asked_by": asker.pk, "granted_by": granter.pk,
    }  # fmt: skip
    first = people.grant_role(**values, at=AT)
    told = events()
    assert people.grant_role(**values, at=AT + dt.timedelta(days=1)) == first
    assert Role.objects.count() == 1
    assert events() == told


def test_only_an_administrator_has_a_role_without_a_tenant(user: User) -> None:
    with pytest.raises(people.CantGrant, match="only an administrator"):
        people.grant_role(user=user, name=RoleName.SECURITY, tenant=None, by_setup=True, at=AT)


def test_an_ended_role_stays_ended_and_can_be_granted_anew(user: User) -> None:
    role = people.grant_role(user=user, name=RoleName.ADMINISTRATOR, tenant=None, by_setup=True, at=AT)
    ended = people.end_role(role=role, reason="left the team", at=AT + dt.timedelta(days=1))
    assert people.living_administrators(at=AT + dt.timedelta(days=1)) == []
    again = people.end_role(role=role, reason="twice", at=AT + dt.timedelta(days=2))
    assert again.until == ended.until == AT + dt.timedelta(days=1)
    assert events().count("role.ended") == 1
    later = AT + dt.timedelta(days=3)
    assert people.grant_role(user=user, name=RoleName.ADMINISTRATOR, tenant=None, by_setup=True, at=later) != role


def test_ending_sessions_changes_what_sessions_are_checked_by_and_leaves_others_alone(user: User) -> None:
    other = people.make_user(username="l.chen", at=AT)
    before, others = user.get_session_auth_hash(), other.get_session_auth_hash()
    assert people.end_sessions(identity=user.identity_id, sign_in_too=False, reason="suspended", at=AT) == [user]
    user.refresh_from_db()
    other.refresh_from_db()
    assert user.is_active
    assert user.get_session_auth_hash() != before
    assert other.get_session_auth_hash() == others
    assert events()[-1] == "user.sessions_ended"


def test_a_deactivated_user_has_no_sign_in_and_no_open_link_until_reopened(user: User) -> None:
    token = people.invite(user=user, at=AT)
    people.deactivate_user(user=user, reason="left", at=AT)
    user.refresh_from_db()
    assert not user.is_active
    with pytest.raises(people.BadLink):
        people.open_invitation(token=token, at=AT)
    with pytest.raises(people.BadPerson, match="may not sign in"):
        people.invite(user=user, at=AT)
    assert people.end_sessions(identity=user.identity_id, sign_in_too=True, reason="again", at=AT) == []
    assert people.reopen_user(user=user, reason="came back", at=AT).is_active
    people.reopen_user(user=user, reason="twice", at=AT)
    assert [e for e in events() if e.startswith("user.sign_in")] == ["user.sign_in_ended", "user.sign_in_reopened"]


def test_whoever_has_a_role_still_is_not_reopened_with_it(user: User, tenant: Tenant) -> None:
    role = a_role(user, RoleName.OWNER, tenant, since=AT)
    people.deactivate_user(user=user, reason="left", at=AT)
    with pytest.raises(people.BadPerson, match="has roles still: end them first, each comes back by two people"):
        people.reopen_user(user=user, reason="came back", at=AT)
    people.end_role(role=role, reason="starts anew", at=AT)
    assert people.reopen_user(user=user, reason="came back", at=AT).is_active


def test_every_change_of_a_person_is_in_the_history_with_its_cause(user: User) -> None:
    people.end_sessions(identity=user.identity_id, sign_in_too=True, reason="left", at=AT)
    rows = User.history.filter(id=user.pk).order_by("history_id")
    assert [(r.history_type, r.session_epoch, r.is_active) for r in rows] == [
        ("+", 0, True), ("~", 1, True), ("~", 1, False),
    ]  # fmt: skip
    assert all(r.cause_id is not None for r in rows)
    assert not hasattr(rows[0], "password")


def test_who_forgot_a_password_is_found_by_name_before_mail(user: User) -> None:
    people.make_user(username="second", email="M.ITO@acme.example", at=AT)
    assert people.by_name_or_mail(" M.ITO ") == [user]
    assert [u.username for u in people.by_name_or_mail("m.ito@ACME.example")] == ["M.Ito", "second"]
    assert people.by_name_or_mail("nobody\x00") == []
