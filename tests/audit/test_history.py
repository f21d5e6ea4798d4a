"""The database writes the history, whoever writes the row."""

import pytest
from django.db import DatabaseError, connection

from accounts.models import Group
from tests.conftest import AT


def history_of(group: Group) -> list[tuple[str, str]]:
    return [(h.history_type, h.display_name) for h in Group.history.filter(id=group.pk).order_by("history_id")]


def make(tenant, name="web"):
    return Group.objects.create(tenant=tenant, display_name=name, display_name_key=name, made_at=AT)


def test_a_saved_row_has_one_history_row_with_its_cause(tenant, because):
    group = make(tenant)
    assert history_of(group) == [("+", "web")]
    row = Group.history.get(id=group.pk)
    assert (row.cause_id, row.history_change_reason) == (because.pk, "because")


def test_an_update_that_changes_nothing_leaves_no_history(tenant, because):
    group = make(tenant)
    group.save()
    Group.objects.filter(pk=group.pk).update(display_name="web")
    assert history_of(group) == [("+", "web")]


def test_a_write_without_a_cause_fails_in_the_database(tenant):
    from audit.cause import reading

    with pytest.raises(DatabaseError) as caught, reading(tenant.pk):
        make(tenant)
    assert caught.value.__cause__.sqlstate == "RC001"


def test_the_application_can_neither_delete_a_noun_nor_forge_history(tenant, because):
    group = make(tenant)
    from django.db import transaction

    for statement in ("DELETE FROM accounts_group", "DELETE FROM accounts_historicalgroup", "UPDATE audit_cause SET reason = ''"):
        with pytest.raises(DatabaseError), transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(statement)
    assert history_of(group) == [("+", "web")]


@pytest.mark.django_db(transaction=True)
def test_a_cause_is_accepted_only_in_its_own_transaction(make_tenant):
    from django.db import transaction

    from audit.scope import scope
    from tests.conftest import a_cause

    tenant = make_tenant("stale")
    with scope(tenant=tenant.pk, cause=a_cause()) as cause:
        make(tenant)
    with pytest.raises(DatabaseError) as caught, transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(
            "SELECT set_config('rollcall.tenant', %s, true), set_config('rollcall.cause', %s, true)",
            [str(tenant.pk), str(cause.pk)],
        )
        make(tenant, "second")
    assert caught.value.__cause__.sqlstate == "RC002"
