"""What was said and decided after a request: exchanges by what they speak of, and people's decisions."""

from __future__ import annotations

import pytest

from accounts import lifecycle
from accounts.models.account import Account
from accounts.models.hold import HoldKind
from audit.scope import scope
from provisioning import newer
from provisioning.models.exchange import Exchange
from tests.conftest import a_cause
from tests.factories.replays import a_patch, active, apply, now, parked, title
from tests.factories.scim import Idp, a_user, connect

pytestmark = pytest.mark.django_db


@pytest.fixture
def idp(tenant) -> Idp:
    return connect(tenant, "Okta")


def said_since(idp, exchange):
    with scope(tenant=idp.tenant.pk):
        return newer.said_since(Exchange.objects.get(pk=exchange.pk))


def decided_since(idp, user, exchange):
    with scope(tenant=idp.tenant.pk):
        account = Account.objects.get(pk=idp.shadow(user).account_id)
        return newer.decided_since(account, Exchange.objects.get(pk=exchange.pk))


def test_only_what_was_accepted_of_the_same_resource_is_newer(idp):
    user = idp.user()
    made = idp.last()
    idp.patch(f"/Users/{user}", title("SRE"))
    spoke = idp.last()
    idp.patch(f"/Users/{user}", {"op": "replace", "path": "nickName", "value": 7})
    parked(idp, "PATCH", f"/Users/{user}", a_patch(title("Lead")))
    idp.user("bob@example.com")
    assert [one.by.exchange for one in said_since(idp, made)] == [spoke.pk]
    assert said_since(idp, spoke) == []


def test_the_newest_word_about_an_attribute_is_named(idp):
    user = idp.user()
    made = idp.last()
    idp.patch(f"/Users/{user}", title("SRE"))
    idp.patch(f"/Users/{user}", active(True))
    last = idp.last()
    later = said_since(idp, made)
    assert newer.speaks(later, "active").exchange == last.pk
    assert newer.speaks(later, "title").exchange != last.pk
    assert newer.speaks(later, "displayName") is None
    idp.put(f"/Users/{user}", a_user())
    assert newer.speaks(said_since(idp, made), "displayName").exchange == idp.last().pk


def test_a_replay_is_as_old_as_its_original(idp):
    user = idp.user()
    older = parked(idp, "PATCH", f"/Users/{user}", a_patch(title("A")))
    middle = parked(idp, "PATCH", f"/Users/{user}", a_patch(title("B")))
    newest = parked(idp, "PATCH", f"/Users/{user}", a_patch(title("C")))
    replayed, _ = apply(idp, middle)
    assert [one.by.exchange for one in said_since(idp, older)] == [replayed.pk]
    assert said_since(idp, middle) == []
    assert said_since(idp, newest) == []


def test_more_than_is_looked_at_is_too_much(idp, monkeypatch):
    user = idp.user()
    made = idp.last()
    monkeypatch.setattr(newer, "MOST_NEWER", 1)
    idp.patch(f"/Users/{user}", title("A"))
    assert len(said_since(idp, made)) == 1
    idp.patch(f"/Users/{user}", title("B"))
    with pytest.raises(newer.TooMuch, match="more than 1 requests were accepted after it"):
        said_since(idp, made)


def test_what_people_decided_is_told_by_attribute_and_what_systems_said_is_not(idp, tenant):
    user = idp.user(displayName="Ada")
    made = idp.last()
    idp.patch(f"/Users/{user}", {"op": "replace", "path": "displayName", "value": "A. L."})
    assert decided_since(idp, user, made) == newer.Decided()
    with scope(tenant=tenant.pk, cause=a_cause(kind="page", actor="l.chen")):
        lifecycle.change(account=Account.objects.get(pk=idp.shadow(user).account_id), fields={"purpose": "shop"})
    decided = decided_since(idp, user, made)
    assert {name.rpartition(":")[2]: by.who for name, by in decided.names.items()} == {"purpose": "l.chen"}
    assert (decided.returned, decided.off) == (None, None)


def test_what_a_replay_did_is_nobodys_decision(idp):
    user = idp.user()
    made = idp.last()
    older = parked(idp, "PATCH", f"/Users/{user}", a_patch(active(False)))
    apply(idp, older, kind="page", actor="l.chen")
    assert decided_since(idp, user, made) == newer.Decided()


def test_an_account_that_people_held_or_ended_is_off_by_them(idp, tenant):
    user = idp.user()
    made = idp.last()
    account = idp.shadow(user).account_id
    with scope(tenant=tenant.pk, cause=a_cause(kind="page", actor="l.chen")):
        lifecycle.suspend(accounts=[account], kind=HoldKind.MANUAL, reason="odd", at=now())
    assert decided_since(idp, user, made).off.who == "l.chen"
    idp.patch(f"/Users/{user}", active(False))
    off = decided_since(idp, user, made).off
    assert (off.who, off.exchange) == ("Okta", idp.last().pk)


@pytest.mark.parametrize("count", [1, 3])
def test_it_costs_the_same_however_much_is_newer(idp, tenant, count, django_assert_num_queries):
    user = idp.user()
    made = idp.last()
    for number in range(count):
        idp.patch(f"/Users/{user}", title(f"{number}"))
    with scope(tenant=tenant.pk):
        one = Exchange.objects.select_related("system").get(pk=made.pk)
        with django_assert_num_queries(2):
            assert len(newer.said_since(one)) == count
