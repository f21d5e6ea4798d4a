"""The comparison itself: set-based, with a few examples, and two queries at most."""

from __future__ import annotations

import datetime as dt

import pytest

from audit.scope import scope
from provisioning import rebuilt
from tests.conftest import a_cause
from tests.factories import governance as make
from tests.factories.rebuilds import rebuild
from tests.factories.replays import now
from tests.factories.scim import connect

pytestmark = pytest.mark.django_db


def compared(tenant):
    with scope(tenant=tenant.pk):
        return rebuilt.compared(until=now() + dt.timedelta(seconds=2))


def test_a_roll_that_is_the_ledgers_is_equal(tenant):
    idp = connect(tenant)
    idp.group("Staff", idp.user("ada"))
    rebuild(tenant)
    found = compared(tenant)
    assert (found.equal, found.differing, found.words, found.left_out, found.examples) == (2, 0, {}, {}, ())


def test_of_what_differs_a_few_are_named(tenant, monkeypatch):
    monkeypatch.setattr(rebuilt, "EXAMPLES", 2)
    system = connect(tenant).system
    with scope(tenant=tenant.pk, cause=a_cause()):
        for number in range(3):
            make.a_shadow(system, make.a_person(tenant, f"ghost{number}", at=now()), at=now())
    found = compared(tenant)
    assert (found.equal, found.differing, found.words) == (0, 3, {"not in the ledger": 3})
    assert [(one.label, one.word) for one in found.examples] == [
        ("ghost0", "not in the ledger"), ("ghost1", "not in the ledger"),
    ]  # fmt: skip


def test_another_tenants_resources_are_not_compared(tenant, make_tenant):
    other = make_tenant("other")
    connect(other).user("ada")
    assert compared(tenant).equal == 0
    assert compared(tenant).differing == 0
    assert compared(other).words == {"not in the ledger": 1}


@pytest.mark.parametrize("count", [1, 3])
def test_it_takes_one_query_and_two_where_something_differs(tenant, count, django_assert_num_queries):
    idp = connect(tenant)
    for number in range(count):
        idp.user(f"u{number}@example.com")
    rebuild(tenant)
    with scope(tenant=tenant.pk), django_assert_num_queries(1):
        assert rebuilt.compared(until=now() + dt.timedelta(seconds=2)).equal == count
    with scope(tenant=tenant.pk, cause=a_cause()):
        make.a_shadow(idp.system, make.a_person(tenant, "ghost", at=now()), at=now())
    with scope(tenant=tenant.pk), django_assert_num_queries(2):
        assert rebuilt.compared(until=now() + dt.timedelta(seconds=2)).differing == 1
