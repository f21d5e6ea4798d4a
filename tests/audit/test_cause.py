"""Who acts is said once, holds exactly as long as its scope, and never leaks into the next."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import DatabaseError, IntegrityError, connection, transaction
from django.test.utils import CaptureQueriesContext

from accounts.models import Group, Identity
from audit.cause import NoCause, acting, current, current_or_none, current_tenant, reading
from audit.models import Cause, CauseKind
from audit.scope import scope, together
from tests.conftest import AT, a_cause


def in_database() -> tuple[str, str]:
    """The tenant and the cause that the database knows of."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_setting('rollcall.tenant', true), current_setting('rollcall.cause', true)")
        tenant, cause = cursor.fetchone()
    return tenant or "", cause or ""


def expected(cause: Cause | None, tenant: Any = None) -> tuple[str, str]:
    return str(tenant or ""), str(cause.pk) if cause else ""


def make(tenant: Any, name: str = "web") -> Group:
    return Group.objects.create(tenant_id=tenant, display_name=name, display_name_key=name, made_at=AT)


def code(caught: pytest.ExceptionInfo[DatabaseError]) -> str:
    return str(caught.value.__cause__.sqlstate)


def test_inside_both_python_and_the_database_know_cause_and_tenant(tenant):
    with scope(tenant=tenant.pk, cause=a_cause()) as cause:
        assert (current(), current_or_none(), current_tenant()) == (cause, cause, tenant.pk)
        assert in_database() == expected(cause, tenant.pk)
    assert (current_or_none(), current_tenant()) == (None, None)


def test_what_is_done_together_makes_no_savepoint_and_falls_with_what_is_around_it(tenant):
    with scope(tenant=tenant.pk, cause=a_cause()):
        make(tenant.pk, "before")
        with pytest.raises(LookupError), transaction.atomic():
            make(tenant.pk, "around")
            with CaptureQueriesContext(connection) as asked, together():
                make(tenant.pk, "inside")
                raise LookupError
        assert not any("SAVEPOINT" in one["sql"] for one in asked.captured_queries)
        assert [one.display_name for one in Group.objects.all()] == ["before"]


def test_nobody_goes_on_after_an_error_in_what_is_done_together(tenant):
    with scope(tenant=tenant.pk, cause=a_cause()):
        with pytest.raises(LookupError), together():
            raise LookupError
        with pytest.raises(transaction.TransactionManagementError):
            make(tenant.pk)
        transaction.set_rollback(True)


def test_outside_asking_who_acts_is_an_error(db):
    with pytest.raises(NoCause, match="open audit"):
        current()


def test_the_row_says_who_by_what_why_and_in_which_transaction(tenant):
    identity, user = (f"0190000{n}-0000-7000-8000-000000000000" for n in (1, 2))
    cause = a_cause(
        kind=CauseKind.PAGE, actor="l.chen", reason="drill", subject="account x", user_id=user, identity_id=identity
    )
    with scope(tenant=tenant.pk, cause=cause):
        row = Cause.objects.get(pk=cause.pk)
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_current_xact_id()::text::bigint, clock_timestamp()")
            xid, now = cursor.fetchone()
        assert (row.kind, row.actor, row.reason, row.subject) == ("page", "l.chen", "drill", "account x")
        assert (str(row.user_id), str(row.identity_id), row.tenant_id) == (user, identity, tenant.pk)
        assert (row.xid, row.parent_id, row.at) == (xid, None, cause.at)
        assert 0 <= (now - row.at).total_seconds() < 5


@pytest.mark.parametrize(
    ("values", "constraint"),
    [({"kind": "gossip"}, "audit_cause_kind_is_known"), ({"actor": ""}, "audit_cause_names_its_actor")],
)
def test_a_cause_without_an_actor_or_of_an_unknown_kind_is_refused(db, values, constraint):
    with pytest.raises(IntegrityError) as caught, scope(cause=a_cause(**values)):
        pytest.fail("a scope opened under a cause that can't be")
    assert caught.value.__cause__.diag.constraint_name == constraint


def test_a_nested_cause_knows_its_parent_and_the_outer_one_holds_again_after_it(make_tenant):
    outer_tenant, inner_tenant = make_tenant("outer"), make_tenant("inner")
    with scope(tenant=outer_tenant.pk, cause=a_cause()) as outer:
        with scope(tenant=inner_tenant.pk, cause=a_cause()) as inner:
            make(inner_tenant.pk)
            assert inner.parent_id == outer.pk
            assert in_database() == expected(inner, inner_tenant.pk)
        assert (current(), current_tenant()) == (outer, outer_tenant.pk)
        assert in_database() == expected(outer, outer_tenant.pk)
        make(outer_tenant.pk)
        assert list(Group.history.values_list("cause_id", flat=True)) == [outer.pk]


def test_after_a_nested_scope_failed_the_outer_one_holds_and_the_inner_cause_is_gone(make_tenant):
    outer_tenant, inner_tenant = make_tenant("outer"), make_tenant("inner")
    with scope(tenant=outer_tenant.pk, cause=a_cause()) as outer:
        inner = a_cause()
        with pytest.raises(ZeroDivisionError), scope(tenant=inner_tenant.pk, cause=inner):
            make(inner_tenant.pk)
            raise ZeroDivisionError
        assert (current(), current_tenant()) == (outer, outer_tenant.pk)
        assert in_database() == expected(outer, outer_tenant.pk)
        assert not Cause.objects.filter(pk=inner.pk).exists()
        make(outer_tenant.pk)


def test_after_a_nested_scope_was_marked_for_rollback_the_outer_one_holds(make_tenant):
    outer_tenant, inner_tenant = make_tenant("outer"), make_tenant("inner")
    with scope(tenant=outer_tenant.pk, cause=a_cause()) as outer:
        with scope(tenant=inner_tenant.pk, cause=a_cause()):
            make(inner_tenant.pk)
            transaction.set_rollback(True)
        assert in_database() == expected(outer, outer_tenant.pk)
    with scope(tenant=inner_tenant.pk):
        assert Group.objects.count() == 0


def test_after_a_savepoint_was_rolled_back_inside_the_cause_still_holds(tenant, because):
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        make(tenant.pk, "lost")
        raise ZeroDivisionError
    assert in_database() == expected(because, tenant.pk)
    make(tenant.pk, "kept")
    assert [g.display_name for g in Group.objects.all()] == ["kept"]


def test_reading_inside_acting_can_not_write_and_gives_the_cause_back(tenant, because):
    with reading(tenant.pk):
        assert (current_or_none(), current_tenant()) == (None, tenant.pk)
        with pytest.raises(DatabaseError) as caught, transaction.atomic():
            make(tenant.pk)
        assert code(caught) == "RC001"
    assert in_database() == expected(because, tenant.pk)
    make(tenant.pk)


def test_a_scope_in_a_plain_transaction_leaves_no_cause_and_no_tenant_behind(tenant):
    with transaction.atomic():
        with scope(tenant=tenant.pk, cause=a_cause()):
            make(tenant.pk)
        assert in_database() == ("", "")
        assert Group.objects.count() == 0
        with pytest.raises(DatabaseError) as caught, transaction.atomic():
            Identity.objects.create(made_at=AT)
        assert code(caught) == "RC001"


def test_reading_in_a_plain_transaction_leaves_no_tenant_behind(tenant):
    with transaction.atomic():
        with scope(tenant=tenant.pk, cause=a_cause()):
            make(tenant.pk)
        with scope(tenant=tenant.pk):
            assert Group.objects.count() == 1
        assert Group.objects.count() == 0


def test_the_tenant_of_the_scope_is_the_tenant_of_its_cause(make_tenant):
    one, other = make_tenant("one"), make_tenant("other")
    with scope(tenant=one.pk, cause=a_cause(tenant_id=other.pk)) as cause:
        assert cause.tenant_id == one.pk
    with acting(a_cause(tenant_id=other.pk)):
        assert current_tenant() == other.pk


def test_a_nested_scope_costs_a_savepoint_and_two_statements(tenant, django_assert_num_queries):
    for cause in (a_cause(), None):
        with django_assert_num_queries(4), scope(tenant=tenant.pk, cause=cause):
            pass


@pytest.mark.django_db(transaction=True)
def test_after_the_commit_nothing_is_left_on_the_connection(make_tenant):
    tenant = make_tenant("kept")
    with scope(tenant=tenant.pk, cause=a_cause()):
        make(tenant.pk)
    assert in_database() == ("", "")
    assert Group.objects.count() == 0
    with scope(tenant=tenant.pk):
        assert Group.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_an_outermost_scope_costs_one_statement_beside_its_transaction(make_tenant, django_assert_num_queries):
    tenant = make_tenant("counted")
    with django_assert_num_queries(3) as queries, scope(tenant=tenant.pk, cause=a_cause()):
        pass
    assert [q["sql"].split()[0] for q in queries.captured_queries] == ["BEGIN", "WITH", "COMMIT"]


@pytest.mark.django_db(transaction=True)
def test_what_runs_after_the_commit_has_no_cause(make_tenant):
    tenant = make_tenant("late")
    seen: list[tuple[str, str]] = []

    def late() -> None:
        seen.append(in_database())
        Identity.objects.create(made_at=AT)

    with pytest.raises(DatabaseError) as caught, scope(tenant=tenant.pk, cause=a_cause()):
        make(tenant.pk)
        transaction.on_commit(late)
    assert code(caught) == "RC001"
    assert seen == [("", "")]
    with scope(tenant=tenant.pk):
        assert Group.objects.count() == 1
    assert not Identity.objects.exists()
