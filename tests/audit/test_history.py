"""The database writes the history, whoever writes the row: one row for each that changed, with its cause."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from django.db import DatabaseError, connection, transaction
from django.db.models import F, Value
from django.db.models.functions import Concat

from accounts.models import Group, Identity, User
from audit.cause import reading
from audit.keys import uuid7
from audit.models import Cause
from audit.scope import scope
from tests.conftest import AT, a_cause, as_owner

if TYPE_CHECKING:
    from collections.abc import Callable
    from uuid import UUID

    from accounts.models import Tenant

ROW = "(id, tenant_id, display_name, display_name_key, is_privileged, document, made_at)"
VALUES = "gen_random_uuid(), %s, %s, 'new', false, '{}', '2026-11-23T12:00Z'"


def build(tenant: UUID, name: str, **values: Any) -> Group:
    return Group(tenant_id=tenant, display_name=name, display_name_key=name, made_at=AT, **values)


def make(tenant: Tenant, name: str = "web") -> Group:
    return Group.objects.create(tenant=tenant, display_name=name, display_name_key=name, made_at=AT)


def history_of(group: Group) -> list[tuple[str, str]]:
    return [(h.history_type, h.display_name) for h in Group.history.filter(id=group.pk).order_by("history_id")]


def sql(statement: str, *values: Any) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement, values)


# ── every way to write ──────────────────────────────────────────────────────────────────────────────────────────
# Each gets ten groups named g0 … g9 and the tenant's id, and says what it leaves in history: type and name of each
# row, sorted. The same list is run without a cause, with a false one, and with nothing to change.


def by_save(groups: list[Group], _: UUID) -> None:
    groups[0].display_name = "new"
    groups[0].save()


def by_create(_: list[Group], tenant: UUID) -> None:
    build(tenant, "new").save()


def by_get_or_create(_: list[Group], tenant: UUID) -> None:
    for name in ("g0", "new"):
        values = {"display_name_key": name, "made_at": AT, "tenant_id": tenant}
        Group.objects.get_or_create(display_name=name, defaults=values)


def by_update_or_create(_: list[Group], tenant: UUID) -> None:
    values = {"display_name": "new", "display_name_key": "x", "made_at": AT, "tenant_id": tenant}
    for key in ("g3", "none"):
        Group.objects.update_or_create(display_name_key=key, defaults=values)


def by_update(_: list[Group], __: UUID) -> None:
    Group.objects.filter(display_name__in=["g0", "g1", "g2"]).update(display_name="new")


def by_expression(_: list[Group], __: UUID) -> None:
    Group.objects.filter(display_name__in=["g0", "g1"]).update(display_name=Concat(F("display_name"), Value("!")))


def by_bulk_create(_: list[Group], tenant: UUID) -> None:
    Group.objects.bulk_create([build(tenant, "new"), build(tenant, "newer")])


def by_bulk_update(groups: list[Group], _: UUID) -> None:
    for group in groups[:4]:
        group.display_name = "new"
    assert Group.objects.bulk_update(groups, ["display_name"]) == 10


def by_upsert(groups: list[Group], tenant: UUID) -> None:
    changed = [build(tenant, "new", id=group.pk) for group in groups[:2]]
    same = [build(tenant, group.display_name, id=group.pk) for group in groups[2:4]]
    Group.objects.bulk_create(
        [*changed, *same, build(tenant, "newer")],
        update_conflicts=True,
        unique_fields=["id"],
        update_fields=["display_name"],
    )


def by_update_from(_: list[Group], __: UUID) -> None:
    sql(
        "UPDATE accounts_group g SET display_name = v.after FROM (VALUES ('g0', 'new'), ('g1', 'g1')) v (before, after)"
        " WHERE g.display_name = v.before"
    )


def by_merge(_: list[Group], tenant: UUID) -> None:
    if connection.cursor().connection.info.server_version < 150000:
        pytest.skip("MERGE came with PostgreSQL 15")
    sql(
        "MERGE INTO accounts_group g USING (VALUES ('g0', 'new'), ('none', 'newer')) v (before, after)"
        " ON g.display_name = v.before WHEN MATCHED THEN UPDATE SET display_name = v.after"
        f" WHEN NOT MATCHED THEN INSERT {ROW} VALUES ({VALUES.replace('%s, %s', '%s, v.after')})",
        tenant,
    )


def by_one_statement_that_does_both(_: list[Group], tenant: UUID) -> None:
    sql(
        "WITH changed AS (UPDATE accounts_group SET display_name = 'new' WHERE display_name = 'g0' RETURNING id)"
        f" INSERT INTO accounts_group {ROW} SELECT {VALUES} FROM changed",
        tenant,
        "newer",
    )


def by_raw_insert(_: list[Group], tenant: UUID) -> None:
    sql(f"INSERT INTO accounts_group {ROW} VALUES ({VALUES})", tenant, "new")


@dataclass(frozen=True)
class Way:
    """One way to write, and what it must leave."""

    write: Callable[[list[Group], UUID], None]
    leaves: tuple[str, ...]


WAYS = {
    "save": Way(by_save, ("~new",)),
    "create": Way(by_create, ("+new",)),
    "get_or_create": Way(by_get_or_create, ("+new",)),
    "update_or_create": Way(by_update_or_create, ("+new", "~new")),
    "update()": Way(by_update, ("~new", "~new", "~new")),
    "F()": Way(by_expression, ("~g0!", "~g1!")),
    "bulk_create": Way(by_bulk_create, ("+new", "+newer")),
    "bulk_update, 10 written, 4 differ": Way(by_bulk_update, ("~new", "~new", "~new", "~new")),
    "upsert, 2 changed, 2 same, 1 new": Way(by_upsert, ("+newer", "~new", "~new")),
    "UPDATE FROM": Way(by_update_from, ("~new",)),
    "MERGE": Way(by_merge, ("+newer", "~new")),
    "WITH update INSERT": Way(by_one_statement_that_does_both, ("+newer", "~new")),
    "raw INSERT": Way(by_raw_insert, ("+new",)),
}
every_way = pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)


@pytest.fixture
def ten(tenant: Tenant) -> list[Group]:
    """Ten groups, made in a scope that is over."""
    with scope(tenant=tenant.pk, cause=a_cause()):
        return Group.objects.bulk_create(build(tenant.pk, f"g{i}") for i in range(10))


def everything(tenant: Tenant) -> tuple[list[Any], int]:
    with scope(tenant=tenant.pk):
        return list(Group.objects.order_by("id").values()), Group.history.count()


@every_way
def test_each_changed_row_has_one_history_row_with_its_cause(tenant, ten, way):
    with scope(tenant=tenant.pk, cause=a_cause(reason="the test of a way")) as cause:
        before = {group["id"]: group for group in Group.objects.values()}
        way.write(ten, tenant.pk)
        after = {group["id"]: group for group in Group.objects.values()}
        rows = Group.history.filter(cause_id=cause.pk)
        assert tuple(sorted(f"{r.history_type}{r.display_name}" for r in rows)) == way.leaves
        assert {r.history_change_reason for r in rows} == {"the test of a way"}
        # The law behind the list: history rows are exactly the rows that differ, and carry what they became.
        changed = {pk: row for pk, row in after.items() if before.get(pk) != row}
        columns = [f.attname for f in Group._meta.fields]
        assert {r.id: {c: getattr(r, c) for c in columns} for r in rows} == changed
        assert len(rows) == len(changed)


@every_way
def test_no_way_to_write_passes_without_a_cause(tenant, ten, way):
    before = everything(tenant)
    with pytest.raises(DatabaseError) as caught, reading(tenant.pk):
        way.write(ten, tenant.pk)
    assert caught.value.__cause__.sqlstate == "RC001"
    assert everything(tenant) == before


@every_way
def test_no_way_to_write_passes_with_a_cause_of_another_transaction(tenant, ten, way):
    before = everything(tenant)
    with pytest.raises(DatabaseError) as caught, reading(tenant.pk):
        stale = Cause.objects.create(tenant_id=tenant.pk, kind="test", actor="a test", xid=1)
        sql("SELECT set_config('rollcall.cause', %s, true)", str(stale.pk))
        way.write(ten, tenant.pk)
    assert caught.value.__cause__.sqlstate == "RC002"
    assert everything(tenant) == before


def test_an_invented_cause_is_refused(tenant, ten):
    with pytest.raises(DatabaseError) as caught, reading(tenant.pk):
        sql("SELECT set_config('rollcall.cause', '999999999999', true)")
        by_save(ten, tenant.pk)
    assert caught.value.__cause__.sqlstate == "RC002"


def test_a_cause_of_another_tenant_is_refused(make_tenant, ten, tenant):
    other = make_tenant("other")
    with scope(tenant=other.pk, cause=a_cause()) as foreign:
        sql("SELECT set_config('rollcall.tenant', %s, true)", str(tenant.pk))
        with pytest.raises(DatabaseError) as caught, transaction.atomic():
            by_save(ten, tenant.pk)
    assert foreign.pk is not None
    assert caught.value.__cause__.sqlstate == "RC002"


@pytest.mark.django_db(transaction=True)
def test_a_cause_is_accepted_only_in_its_own_transaction(make_tenant):
    tenant = make_tenant("stale")
    with scope(tenant=tenant.pk, cause=a_cause()) as cause:
        make(tenant)
    with pytest.raises(DatabaseError) as caught, transaction.atomic():
        sql(
            "SELECT set_config('rollcall.tenant', %s, true), set_config('rollcall.cause', %s, true)",
            str(tenant.pk),
            str(cause.pk),
        )
        make(tenant, "second")
    assert caught.value.__cause__.sqlstate == "RC002"


@pytest.mark.django_db(transaction=True)
def test_a_write_in_autocommit_fails(make_tenant):
    tenant = make_tenant("plain")
    for write in (Identity.objects.create, lambda made_at: Identity.objects.update(made_at=made_at)):
        with pytest.raises(DatabaseError) as caught:
            write(made_at=AT)
        assert caught.value.__cause__.sqlstate == "RC001"
    sql("SELECT set_config('rollcall.tenant', %s, false)", str(tenant.pk))
    try:
        with pytest.raises(DatabaseError) as caught:
            make(tenant)
    finally:
        sql("RESET rollcall.tenant")
    assert caught.value.__cause__.sqlstate == "RC001"


def test_an_update_that_touches_no_row_needs_a_cause_too(tenant):
    with pytest.raises(DatabaseError) as caught, reading(tenant.pk):
        Group.objects.filter(display_name="none").update(display_name="new")
    assert caught.value.__cause__.sqlstate == "RC001"


def test_the_error_tells_a_person_at_a_shell_what_to_do(tenant, ten):
    with pytest.raises(DatabaseError) as caught, reading(tenant.pk):
        by_save(ten, tenant.pk)
    assert caught.value.__cause__.diag.message_primary == "no cause: UPDATE on accounts_group needs one"
    assert "audit.cause.acting(Cause(" in caught.value.__cause__.diag.message_hint


def test_what_changes_nothing_leaves_no_history(tenant, because):
    groups = [make(tenant, f"g{i}") for i in range(3)]
    written = Group.history.count()
    groups[0].save()
    Group.objects.filter(pk=groups[0].pk).update(display_name="g0")
    Group.objects.update(display_name=F("display_name"))
    Group.objects.bulk_update(groups, ["display_name", "document"])
    Group.objects.bulk_create(
        [build(tenant.pk, g.display_name, id=g.pk) for g in groups],
        update_conflicts=True,
        unique_fields=["id"],
        update_fields=["display_name"],
    )
    assert Group.history.count() == written == 3


def test_a_member_that_moves_inside_json_is_a_change_and_an_equal_document_is_none(tenant, because):
    group = make(tenant)
    Group.objects.filter(pk=group.pk).update(document={"b": 1, "a": [1, 2]})
    Group.objects.filter(pk=group.pk).update(document={"a": [1, 2], "b": 1})
    Group.objects.filter(pk=group.pk).update(document={"a": [2, 1], "b": 1})
    documents = Group.history.filter(id=group.pk).order_by("history_id").values_list("document", flat=True)
    assert list(documents) == [{}, {"a": [1, 2], "b": 1}, {"a": [2, 1], "b": 1}]


def test_a_change_in_an_excluded_field_leaves_no_history_and_the_field_is_not_there(tenant, because):
    identity = Identity.objects.create(made_at=AT)
    user = User.objects.create(username="ada", username_key="ada", identity=identity, made_at=AT)
    user.set_password("a long pass phrase")
    user.save()
    assert [h.history_type for h in User.history.filter(id=user.pk)] == ["+"]
    assert {"password", "last_login"}.isdisjoint(f.column for f in User.history.model._meta.fields)


def test_a_row_deleted_by_the_owner_is_in_history_as_it_last_was(tenant, because):
    group = make(tenant)
    with as_owner():
        sql("DELETE FROM accounts_group WHERE id = %s", group.pk)
    assert history_of(group) == [("+", "web"), ("-", "web")]


def test_even_the_owner_of_the_tables_needs_a_cause(tenant, ten):
    for statement in ("UPDATE accounts_group SET display_name = 'x'", "DELETE FROM accounts_group"):
        with pytest.raises(DatabaseError) as caught, as_owner(), reading(tenant.pk):
            sql(statement)
        assert caught.value.__cause__.sqlstate == "RC001"


def test_a_primary_key_never_changes(tenant, because):
    group = make(tenant)
    with pytest.raises(DatabaseError) as caught, transaction.atomic():
        sql("UPDATE accounts_group SET id = %s WHERE id = %s", uuid7(), group.pk)
    assert caught.value.__cause__.sqlstate == "RC004"
    assert history_of(group) == [("+", "web")]


def test_a_key_that_is_written_as_it_was_is_no_change_of_it(tenant, because):
    group = make(tenant)
    sql("UPDATE accounts_group SET id = id, display_name = 'new' WHERE id = %s", group.pk)
    assert history_of(group) == [("+", "web"), ("~", "new")]


def test_a_rolled_back_write_leaves_no_history(tenant, because):
    group = make(tenant)
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        Group.objects.filter(pk=group.pk).update(display_name="lost")
        raise ZeroDivisionError
    assert history_of(group) == [("+", "web")]


# ── simple-history's own programming interface over these rows ──────────────────────────────────────────────────


@pytest.fixture
def renamed(tenant: Tenant, because: Cause) -> Group:
    """A group that had three names."""
    group = make(tenant, "first")
    for name in ("second", "third"):
        group.display_name = name
        group.save()
    return group


def test_history_all_lists_the_newest_first(renamed):
    assert [h.display_name for h in renamed.history.all()] == ["third", "second", "first"]
    assert renamed.history.first().get_history_type_display() == "Changed"


def test_neighbours_in_history_know_each_other(renamed):
    third, second, first = renamed.history.all()
    assert (first.next_record, second.next_record, third.next_record) == (second, third, None)
    assert (first.prev_record, second.prev_record, third.prev_record) == (None, first, second)


def test_two_records_can_be_compared(renamed):
    third, second, _ = renamed.history.all()
    delta = third.diff_against(second)
    assert [(c.field, c.old, c.new) for c in delta.changes] == [("display_name", "second", "third")]


def test_as_of_shows_a_row_and_a_table_as_they_were(tenant, renamed):
    third, second, first = renamed.history.all()
    make(tenant, "later")
    assert renamed.history.as_of(second.history_date).display_name == "second"
    assert [g.display_name for g in Group.history.as_of(first.history_date)] == ["first"]
    assert [g.display_name for g in Group.history.as_of(third.history_date)] == ["third"]
    before = first.history_date.replace(year=2000)
    assert list(Group.history.as_of(before)) == []
    with pytest.raises(Group.DoesNotExist):
        renamed.history.as_of(before)


def test_a_record_gives_back_the_row_as_an_instance(renamed):
    first = renamed.history.last()
    assert isinstance(first.instance, Group)
    assert (first.instance.pk, first.instance.display_name) == (renamed.pk, "first")
    assert renamed.history.most_recent().display_name == "third"
    assert Group.objects.get(pk=renamed.pk).display_name == "third"


def test_a_record_names_the_user_of_its_cause(tenant):
    with scope(cause=a_cause()):
        identity = Identity.objects.create(made_at=AT)
        user = User.objects.create(username="ada", username_key="ada", identity=identity, made_at=AT)
    with scope(tenant=tenant.pk, cause=a_cause(user_id=user.pk)):
        group = make(tenant)
        assert group.history.get().history_user == user


def test_every_record_of_one_row_is_later_than_the_one_before(tenant, because):
    group = make(tenant)
    for number in range(50):
        Group.objects.filter(pk=group.pk).update(display_name=f"name {number}")
    dates = list(Group.history.filter(id=group.pk).order_by("history_id").values_list("history_date", flat=True))
    assert len(dates) == 51
    assert dates == sorted(set(dates))


def test_a_large_change_after_a_small_one_is_not_planned_like_the_small_one(tenant, because):
    Group.objects.bulk_create(build(tenant.pk, f"g{i}") for i in range(3000))
    Group.objects.filter(display_name="g1").update(display_name="small")
    assert Group.objects.update(is_privileged=True) == 3000
    assert Group.history.filter(history_type="~").count() == 3001
