"""Which rights follow from what a model says; that the database has them: `tests/house/test_isolation.py`."""

from __future__ import annotations

import pytest
from django.db import connection

from accounts.models import Account, Membership, Tenant, User
from audit import grants
from audit.grants import for_eraser
from audit.models import Cause, ErasedValue, Rights, Seal, history_of
from provisioning.models import Connection, Exchange
from tests.conftest import as_owner


def test_evidence_and_what_the_eraser_adds_are_append_only():
    assert {Rights.EVIDENCE, Rights.ERASURE} == grants.APPEND_ONLY
    assert grants.rights_of(ErasedValue).label == "SELECT"
    assert grants.rights_of(history_of(Account)) == Rights.READ


def test_the_eraser_may_blank_what_is_personal_and_its_salt():
    assert for_eraser(Cause) == {
        "SELECT", "INSERT", "UPDATE (actor)", "UPDATE (reason)", "UPDATE (salt)", "UPDATE (subject)",
    }  # fmt: skip
    assert {"SELECT", "UPDATE (user_name)", "UPDATE (state)", "UPDATE (state_since)"} <= for_eraser(Account)
    assert "UPDATE (salt)" not in for_eraser(Account)
    assert {"UPDATE (history_change_reason)", "UPDATE (salt)"} <= for_eraser(history_of(Account))


def test_the_eraser_sees_no_secret_and_nothing_that_it_does_not_need():
    assert "SELECT" not in for_eraser(Connection)
    assert "SELECT (secret)" not in for_eraser(Connection)
    assert "SELECT (base_url)" in for_eraser(Connection)
    assert {right for right in for_eraser(User) if "password" in right or right.startswith("UPDATE")} == set()
    assert for_eraser(Membership) == set()
    # Histories hold no secret: exports read all of them.
    assert for_eraser(history_of(Membership)) >= {"SELECT"}
    assert for_eraser(history_of(User)) == {"SELECT"}


def test_only_what_is_declared_may_be_deleted_or_added():
    assert "DELETE" in for_eraser(Exchange)
    assert for_eraser(Seal) == for_eraser(Tenant) == {"SELECT"}


@pytest.mark.django_db
def test_a_right_too_many_or_too_few_of_either_role_is_put_right_and_nothing_else_is_touched():
    with as_owner(), connection.cursor() as cursor:
        before = {role: grants._held(cursor, role) for role in (grants.APP_ROLE, grants.ERASER_ROLE)}
        cursor.execute("GRANT UPDATE (status) ON provisioning_exchange TO rollcall_eraser")
        cursor.execute("REVOKE SELECT ON accounts_account FROM rollcall_eraser")
        cursor.execute("GRANT DELETE ON accounts_account TO rollcall_app")
        assert grants._held(cursor, grants.ERASER_ROLE) != before[grants.ERASER_ROLE]
        grants.grant(cursor, [Exchange, Account])
        assert {role: grants._held(cursor, role) for role in before} == before
