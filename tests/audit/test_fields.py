"""A reference within a tenant leaves the constraint to the guards, in migrations too; the clock is the database's."""

from __future__ import annotations

import pytest
from django.db import connection, models

from accounts.models import Account
from audit.fields import ClockTimestamp, CurrentTransaction, TenantForeignKey
from audit.models import Cause


@pytest.mark.unit
def test_a_reference_within_a_tenant_has_no_plain_constraint_whatever_one_asks():
    field = TenantForeignKey("accounts.Account", db_constraint=True)
    assert field.db_constraint is False
    assert field.remote_field.on_delete is models.PROTECT


@pytest.mark.unit
def test_a_migration_writes_it_as_it_was_declared():
    field = TenantForeignKey("accounts.Account", null=True, related_name="+")
    _, path, args, kwargs = field.deconstruct()
    assert path == "audit.fields.TenantForeignKey"
    assert "db_constraint" not in kwargs
    again = TenantForeignKey(*args, **kwargs)
    assert again.deconstruct()[1:] == field.deconstruct()[1:]
    assert again.db_constraint is False


@pytest.mark.django_db
def test_the_clock_of_the_database_moves_within_a_transaction(because):
    clock = Cause.objects.annotate(now=ClockTimestamp()).values_list("now", flat=True)
    first, second = clock.get(pk=because.pk), clock.get(pk=because.pk)
    assert second > first


@pytest.mark.django_db
def test_the_number_of_the_transaction_is_the_one_that_the_triggers_compare(because):
    assert Cause.objects.filter(pk=because.pk, xid=CurrentTransaction()).exists()
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_current_xact_id()::text::bigint")
        assert Cause.objects.get(pk=because.pk).xid == cursor.fetchone()[0]


@pytest.mark.django_db
def test_the_database_has_no_plain_foreign_key_where_the_field_is():
    columns = {f.column for f in Account._meta.fields if isinstance(f, TenantForeignKey)}
    assert columns == {"permit_id"}
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE contype = 'f'"
            " AND conrelid = 'accounts_account'::regclass AND confrelid = 'accounts_permit'::regclass"
        )
        assert [row[0] for row in cursor.fetchall()] == [
            "FOREIGN KEY (tenant_id, permit_id) REFERENCES accounts_permit(tenant_id, id) DEFERRABLE INITIALLY DEFERRED"
        ]
