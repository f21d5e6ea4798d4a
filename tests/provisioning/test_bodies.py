"""What was sent and answered is kept encrypted, and is gone for ever with its subject's key."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from cryptography.fernet import Fernet
from django.db import DatabaseError, connection, transaction

from audit.keys import milliseconds_of, uuid7, uuid7_floor
from audit.scope import scope
from provisioning import bodies
from provisioning.bodies import Bodies, BodyUnreadable
from provisioning.models.exchange import BodyKey, Exchange
from tests.conftest import as_setup
from tests.factories.scim import a_user, connect

if TYPE_CHECKING:
    from collections.abc import Iterator
    from uuid import UUID

    from accounts.models import Tenant
    from tests.factories.scim import Idp

TITLE = "Keeper of the seals"


@pytest.fixture
def idp(tenant: Tenant) -> Idp:
    return connect(tenant)


@pytest.fixture
def inside(idp: Idp) -> Iterator[None]:
    """In the tenant's scope, for reading."""
    with scope(tenant=idp.tenant.pk):
        yield


def stored(idp: Idp) -> list[Exchange]:
    return list(Exchange.objects.filter(system=idp.system).order_by("id"))


def destroy(key: UUID | None) -> None:
    """What erasure does, under its own role."""
    with as_setup(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL rollcall.erasure = '1'")
        cursor.execute("DELETE FROM provisioning_bodykey WHERE id = %s", [key])


def overwrite(exchange: Exchange, **columns: Any) -> None:
    with as_setup(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL rollcall.erasure = '1'")
        for name, value in columns.items():
            cursor.execute(f"UPDATE provisioning_exchange SET {name} = %s WHERE id = %s", [value, exchange.pk])


def subjects(idp: Idp) -> list[str]:
    """Under whose key each exchange's body stands."""
    found = dict(BodyKey.objects.values_list("pk", "subject_id"))
    return [str(found[row.body_key_id]) for row in stored(idp) if row.body_key_id is not None]


def test_nothing_that_was_sent_or_answered_stands_in_the_row_in_clear(idp: Idp, inside: None) -> None:
    idp.post("/Users", a_user("ada", title=TITLE))
    (row,) = stored(idp)
    assert (row.request, row.answer) == (None, None)
    assert TITLE.encode() not in bytes(row.body or b"")
    kept = bodies.opened(row)
    assert (kept.request["title"], kept.answer["title"], kept.is_gone) == (TITLE, TITLE, False)


def test_all_that_is_said_of_a_resource_has_one_key_also_what_is_refused(idp: Idp, inside: None) -> None:
    ada, eve = idp.user("ada"), idp.user("eve")
    assert idp.patch(f"/Users/{ada}", {"op": "replace", "path": "title", "value": "Dr"}).status == 200
    assert idp.patch(f"/Users/{ada}", {"op": "replace", "path": "userName", "value": "eve"}).status == 409
    assert subjects(idp) == [ada, eve, ada, ada]
    assert BodyKey.objects.count() == 2


def test_what_is_about_no_resource_has_the_key_of_its_day_whoever_sent_it(idp: Idp, inside: None) -> None:
    for _ in range(2):
        assert idp.post("/Users", {"userName": 7}).status == 400
    nobody = uuid7()
    assert idp.patch(f"/Users/{nobody}", {"op": "replace", "path": "title", "value": "Dr"}).status == 404
    rows = stored(idp)
    day = bodies.of_day(tenant=idp.tenant.pk, exchange_id=rows[0].pk)
    assert subjects(idp) == [str(day)] * 3
    assert BodyKey.objects.count() == 1
    tomorrow = uuid7_floor(milliseconds_of(rows[0].pk) + 86_400_000)
    assert bodies.of_day(tenant=idp.tenant.pk, exchange_id=tomorrow) != day
    assert bodies.of_day(tenant=uuid7(), exchange_id=rows[0].pk) != day


def test_a_request_without_a_body_and_an_answer_needs_no_key(idp: Idp, inside: None) -> None:
    idp.delete(f"/Users/{idp.user('ada')}")
    row = stored(idp)[-1]
    assert (row.method, row.body, row.body_key_id) == ("DELETE", None, None)
    assert bodies.opened(row) == Bodies()


def test_with_its_key_all_that_was_said_of_a_resource_is_gone_and_nothing_else(idp: Idp, inside: None) -> None:
    ada = idp.user("ada", title=TITLE)
    idp.user("eve", title=TITLE)
    destroy(stored(idp)[0].body_key_id)
    (first, second) = stored(idp)
    assert (bodies.opened(first).is_gone, bodies.opened(first).request, bodies.opened(first).answer) == (
        True,
        None,
        None,
    )
    assert bodies.shown(first).problem == "The key of what was sent and answered was destroyed."
    assert bodies.opened(second).request["title"] == TITLE
    assert first.body is not None
    # What is said of it from now on has a key again.
    assert idp.patch(f"/Users/{ada}", {"op": "replace", "path": "title", "value": "Dr"}).status == 200
    assert bodies.opened(stored(idp)[-1]).request["Operations"][0]["value"] == "Dr"
    assert bodies.opened(stored(idp)[0]).is_gone


def test_the_application_can_destroy_no_key(idp: Idp, inside: None) -> None:
    idp.user("ada")
    for statement in ("DELETE FROM provisioning_bodykey", "UPDATE provisioning_bodykey SET wrapped = ''"):
        with (
            pytest.raises(DatabaseError, match="permission denied"),
            transaction.atomic(),
            connection.cursor() as cursor,
        ):
            cursor.execute(statement)


def test_a_changed_body_and_one_of_another_exchange_are_found(idp: Idp, inside: None) -> None:
    ada = idp.user("ada")
    idp.patch(f"/Users/{ada}", {"op": "replace", "path": "title", "value": "Dr"})
    first, second = stored(idp)
    whole = bytes(first.body or b"")
    for wrong in (whole[:-1] + bytes([whole[-1] ^ 1]), bytes(second.body or b""), b"\x02" + whole[1:]):
        overwrite(first, body=wrong)
        changed = stored(idp)[0]
        with pytest.raises(BodyUnreadable):
            bodies.opened(changed)
        shown = bodies.shown(changed)
        assert (shown.request, shown.answer, bool(shown.problem)) == (None, None, True)
    overwrite(first, body=whole)
    assert bodies.opened(stored(idp)[0]).request["userName"] == "ada"


def test_a_key_opens_for_its_own_tenant_and_subject_alone(tenant: Tenant) -> None:
    key = bodies.made(tenant=tenant.pk, subject=uuid7())
    row = BodyKey(tenant_id=tenant.pk, subject_id=key.subject, wrapped=key.wrapped)
    assert bodies.unwrapped(row) == key.secret
    for wrong in ({"tenant_id": uuid7()}, {"subject_id": uuid7()}, {"wrapped": key.wrapped[:-1]}):
        other = BodyKey(**{"tenant_id": tenant.pk, "subject_id": key.subject, "wrapped": key.wrapped} | wrong)
        with pytest.raises(BodyUnreadable):
            bodies.unwrapped(other)


def test_a_new_field_key_comes_first_and_the_old_one_still_opens(idp: Idp, inside: None, settings: Any) -> None:
    idp.user("ada")
    old = settings.ROLLCALL_FIELD_KEYS
    settings.ROLLCALL_FIELD_KEYS = [Fernet.generate_key().decode(), *old]
    idp.user("eve")
    assert [bodies.opened(row).request["userName"] for row in stored(idp)] == ["ada", "eve"]
    settings.ROLLCALL_FIELD_KEYS = settings.ROLLCALL_FIELD_KEYS[:1]
    ours, theirs = (bodies.shown(row) for row in stored(idp))
    assert theirs.request["userName"] == "eve"
    assert ours.problem == "Its key can't be unwrapped: put what wrapped it back into ROLLCALL_FIELD_KEYS."


def test_what_was_kept_before_bodies_were_encrypted_is_read_as_ever(idp: Idp, inside: None) -> None:
    idp.user("ada")
    overwrite(stored(idp)[0], body=None, body_key_id=None, request='{"userName": "old"}', answer='{"id": "1"}')
    assert bodies.opened(stored(idp)[0]) == Bodies({"userName": "old"}, {"id": "1"})


def test_many_are_opened_with_one_look_up(idp: Idp, inside: None, django_assert_num_queries: Any) -> None:
    for name in ("a", "b", "c"):
        idp.user(name)
    rows = stored(idp)
    for count in (1, 3):
        with django_assert_num_queries(1):
            assert len(bodies.shown_all(rows[:count])) == count


def test_no_body_is_kept_without_its_key(idp: Idp, inside: None) -> None:
    idp.user("ada")
    with pytest.raises(DatabaseError, match="provisioning_exchange_body_has_a_key"):
        overwrite(stored(idp)[0], body_key_id=None)
