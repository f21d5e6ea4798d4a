"""Seals cover what is finished, batch by batch, each batch once, whoever seals and whenever they are killed."""

from __future__ import annotations

import datetime as dt
import json
import threading
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import pytest
from django.db import IntegrityError, connection, connections, transaction

from audit import sealing, witness
from audit.layouts import Shape, entries, sealed_models
from audit.models import Cause, JournalEntry, Seal, Witnessed
from audit.scope import scope
from tests.conftest import AT, a_cause, as_owner
from tests.factories.scim import connect
from tests.factories.seals import Sealed, new_key

if TYPE_CHECKING:
    from pathlib import Path

    from accounts.models import Tenant

pytestmark = [pytest.mark.race, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def sealed(transactional_db: None, make_tenant: Any, tmp_path: Path) -> Sealed:
    """A tenant with a directory, a key, and no seal yet."""
    return Sealed(connect(make_tenant("sealed")), new_key(tmp_path), tmp_path)


def causes(seal: Seal | None) -> list[int]:
    """The causes that a seal covers, by its list of leaves."""
    if seal is None:
        return []
    shape = Shape.parse(seal.shape)
    part = shape.parts(bytes(seal.leaves))["audit_cause"]
    return [int.from_bytes(key, "big") for key, _ in entries(part, "bigint")]


def write(tenant: Tenant, count: int = 1) -> list[int]:
    """Transactions that have a cause each."""
    made = []
    for _ in range(count):
        with scope(tenant=tenant.pk, cause=a_cause()) as cause:
            made.append(cause.pk)
    return made


def test_a_seal_covers_what_came_since_the_last_one_and_nothing_makes_none(sealed):
    before = [cause.pk for cause in all_causes(sealed)]
    first = sealed.seal()
    assert causes(first) == before
    assert sealed.seal() is None
    made = write(sealed.tenant, 3)
    second = sealed.seal()
    assert causes(second) == made
    assert (first.number, second.number) == (1, 2)
    assert (second.from_xid, second.after_id, second.last_id) == (first.to_xid, 0, made[-1])
    assert sealed.seal() is None
    assert sealed.tell_witness() == 2
    assert sealed.ours().lines[0].startswith("sealed: 2 seals")


def all_causes(sealed: Sealed) -> list[Cause]:
    with scope(tenant=sealed.tenant.pk):
        return list(Cause.objects.filter(tenant_id=sealed.tenant.pk).order_by("id"))


def test_a_statement_says_what_the_seal_holds_and_names_the_one_before_it(sealed):
    first = sealed.seal()
    write(sealed.tenant)
    second = sealed.seal()
    assert json.loads(second.statement) == {
        "after": 0,
        "at": "2026-11-23T12:00:00.000000Z",
        "from": first.to_xid,
        "key": sealed.key.id,
        "last": second.last_id,
        "leaves": sha256(second.leaves).hexdigest(),
        "number": 2,
        "previous": sha256(first.statement.encode()).hexdigest(),
        "root": second.root,
        "rows": 1,
        "shape": sha256(second.shape.encode()).hexdigest(),
        "tenant": str(sealed.tenant.pk),
        "to": second.to_xid,
        "version": 1,
    }
    assert json.loads(first.statement)["previous"] == ""


def test_what_has_no_tenant_has_a_chain_of_its_own(sealed):
    with scope():
        first = sealing.seal(tenant=None, key=sealed.key, at=AT)
        found = list(Cause.objects.values_list("pk", flat=True).order_by("pk"))
    assert causes(first) == found
    assert len(found) > 0
    assert set(found) & {cause.pk for cause in all_causes(sealed)} == set()
    # The tenant itself was made there, and its history is in no tenant.
    assert Shape.parse(first.shape).tables["accounts_historicaltenant"][1] == 1


def test_a_backlog_is_worked_off_in_slices_without_a_gap(sealed):
    sealed.seal()
    made = write(sealed.tenant, 7)
    slices = []
    while (seal := sealed.seal(most=3)) is not None:
        slices.append(causes(seal))
    assert slices == [made[:3], made[3:6], made[6:]]
    assert sealed.tell_witness() == 4
    assert (sealed.ours().code, sealed.theirs().code) == (0, 0)


def test_a_transaction_with_more_causes_than_a_slice_is_sealed_whole(sealed):
    sealed.seal()
    made = []
    with transaction.atomic():
        for _ in range(4):
            made += write(sealed.tenant)
    later = write(sealed.tenant)
    assert [causes(sealed.seal(most=2)), causes(sealed.seal(most=2)), sealed.seal()] == [made, later, None]


def test_what_is_still_open_while_a_seal_is_made_is_in_the_next_one(sealed):
    sealed.seal()
    is_open, may_end = threading.Event(), threading.Event()
    made: list[int] = []

    def slow() -> None:
        try:
            with scope(tenant=sealed.tenant.pk, cause=a_cause()) as cause:
                made.append(cause.pk)
                is_open.set()
                assert may_end.wait(timeout=30)
        finally:
            connections.close_all()

    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(slow)
        assert is_open.wait(timeout=30)
        after = write(sealed.tenant, 2)
        # Nothing above an open transaction is sealed, since the open one lies below it.
        assert sealed.seal() is None
        may_end.set()
        running.result()
    assert causes(sealed.seal()) == sorted(made + after)
    sealed.tell_witness()
    assert (sealed.ours().code, sealed.theirs().code) == (0, 0)


def test_of_two_who_seal_at_once_one_does(sealed):
    write(sealed.tenant, 5)
    gate = threading.Barrier(4)

    def one() -> Seal | None:
        try:
            gate.wait(timeout=30)
            return sealed.seal()
        finally:
            connections.close_all()

    with ThreadPoolExecutor(4) as pool:
        made = [future.result() for future in [pool.submit(one) for _ in range(4)]]
    assert [seal.number for seal in made if seal is not None] == [1]


def test_the_database_takes_no_second_seal_of_a_number_and_none_over_nothing(sealed):
    first = sealed.seal()
    for values, rule in (
        ({}, "audit_seal_number_once"),
        ({"number": 2, "to_xid": first.from_xid}, "audit_seal_covers_something"),
    ):
        with scope(tenant=sealed.tenant.pk), pytest.raises(IntegrityError, match=rule), transaction.atomic():
            copy = Seal.objects.get(pk=first.pk)
            copy.pk = None
            copy._state.adding = True
            copy.pk = Seal._meta.pk.get_default()
            for name, value in values.items():
                setattr(copy, name, value)
            copy.save(force_insert=True)


def test_the_database_notes_once_that_the_witness_has_a_seal(sealed):
    sealed.seal()
    sealed.tell_witness()
    with scope(tenant=sealed.tenant.pk), pytest.raises(IntegrityError, match="audit_witnessed_number_once"):
        Witnessed.objects.create(tenant_id=sealed.tenant.pk, number=1, at=AT)


# ── the witness ─────────────────────────────────────────────────────────────────────────────────────────────────


def numbers(sealed: Sealed) -> list[int]:
    """Of the seals in the witness, line by line."""
    return [line.number for line in witness.read(sealed.witness, tenant=str(sealed.tenant.pk))]


def test_each_seal_is_written_to_the_witness_once(sealed):
    sealed.seal()
    assert (sealed.tell_witness(), sealed.tell_witness()) == (1, 0)
    write(sealed.tenant)
    sealed.seal()
    assert (sealed.tell_witness(), sealed.tell_witness()) == (1, 0)
    assert numbers(sealed) == [1, 2]


def test_killed_between_the_witness_and_the_note_of_it_the_repeat_mends_it(sealed, monkeypatch):
    sealed.seal()

    def killed(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Witnessed.objects, "bulk_create", killed)
        with pytest.raises(KeyboardInterrupt):
            sealed.tell_witness()
    # Its line stands there, and is written once more: the same line twice is one.
    assert sealed.tell_witness() == 1
    assert numbers(sealed) == [1, 1]
    assert (sealed.ours().code, sealed.theirs().code) == (0, 0)


def test_killed_in_the_middle_of_a_line_the_repeat_begins_a_new_one(sealed):
    first = sealed.seal()
    sealed.witness.write_text(json.dumps({"statement": first.statement})[:40])
    assert sealed.tell_witness() == 1
    assert numbers(sealed) == [1]
    assert (sealed.ours().code, sealed.theirs().code) == (0, 0)


def test_seals_that_the_witness_has_not_got_are_grey(sealed):
    sealed.seal()
    sealed.tell_witness()
    write(sealed.tenant)
    sealed.seal()
    ours, theirs = sealed.ours(), sealed.theirs()
    assert (ours.code, theirs.code) == (3, 3)
    assert ours.lines[-1] == "sealed: NOT CHECKED: witness: it has not got 1 of 2 seals"
    assert theirs.lines[-1] == "witness: it has not got 1 of 2 seals"


def test_an_empty_witness_is_not_taken_for_one_that_agrees(sealed):
    sealed.seal()
    sealed.witness.touch()
    assert (sealed.ours().code, sealed.theirs().code) == (3, 3)


def test_a_witness_that_contradicts_itself_is_a_fault(sealed):
    sealed.seal()
    sealed.tell_witness()
    other = sealed.witness.read_text().replace('\\"rows\\":', '\\"rows\\":1')
    with sealed.witness.open("a") as file:
        file.write(other)
    for said in (sealed.ours(), sealed.theirs()):
        assert (said.code, said.faults()) == (1, {"seal 1: the witness has two different ones"})


def test_a_witness_that_cant_be_written_leaves_the_seal_untold(sealed):
    sealed.seal()
    sealed.witness.mkdir()
    with pytest.raises(witness.NoWitness, match="can't be written"):
        sealed.tell_witness()
    with scope(tenant=sealed.tenant.pk):
        assert Witnessed.objects.count() == 0


# ── restored from a dump ────────────────────────────────────────────────────────────────────────────────────────


def test_where_the_database_counts_its_transactions_anew_the_chain_goes_on(sealed, monkeypatch):
    sealed.seal()
    unsealed = write(sealed.tenant, 2)
    # From a dump come the rows with their old numbers; what is written then has small ones, and higher ids.
    monkeypatch.setattr(sealing, "_horizon", lambda: 50)
    new = []
    with scope(tenant=sealed.tenant.pk), as_owner(), connection.cursor() as cursor:
        for xid in (7, 9):
            cursor.execute(
                "INSERT INTO audit_cause (tenant_id, xid, kind, actor, subject, reason) VALUES (%s, %s, 'test', 'x', '', '')"
                " RETURNING id",
                [sealed.tenant.pk, xid],
            )
            new.append(cursor.fetchone()[0])
    with scope(tenant=sealed.tenant.pk):
        assert sealing.unsealed_since(tenant=sealed.tenant.pk) is not None
    assert [causes(sealed.seal()), causes(sealed.seal()), sealed.seal()] == [unsealed, new, None]
    sealed.tell_witness()
    assert (sealed.ours().code, sealed.theirs().code) == (0, 0)
    monkeypatch.setattr(sealing, "_horizon", lambda: 60)
    with scope(tenant=sealed.tenant.pk):
        assert sealing.unsealed_since(tenant=sealed.tenant.pk) is None
        assert [s.after_id for s in sealing.seals(sealed.tenant.pk)] == [unsealed[-1], 0, 0]


# ── how far it is ───────────────────────────────────────────────────────────────────────────────────────────────


def test_what_waits_says_since_when_and_is_told_where_it_waits_too_long(sealed):
    with scope():
        assert sealing.seal(tenant=None, key=sealed.key, at=AT) is not None
        assert sealing.unsealed_since(tenant=None) is None
        assert sealing.falling_behind(at=AT) == ""
    with scope(cause=a_cause()) as cause:
        pass
    with scope():
        assert sealing.unsealed_since(tenant=None) == cause.at
        assert sealing.falling_behind(at=cause.at + sealing.PATIENCE) == ""
        said = sealing.falling_behind(at=cause.at + sealing.PATIENCE + dt.timedelta(seconds=1))
    assert said == (
        f"not sealed since {cause.at:%Y-%m-%d %H:%M} UTC: do scheduler and worker run, and has the worker a key"
        " (ROLLCALL_SEAL_KEY_FILE)?"
    )


def test_a_seal_has_no_cause_of_its_own_that_would_want_to_be_sealed(sealed):
    sealed.seal()
    sealed.tell_witness()
    with scope(tenant=sealed.tenant.pk):
        before = (Cause.objects.count(), JournalEntry.objects.count())
        assert Seal.objects.count() == 1
    assert sealed.seal() is None
    with scope(tenant=sealed.tenant.pk):
        assert (Cause.objects.count(), JournalEntry.objects.count()) == before


@pytest.mark.parametrize("count", [1, 3])
def test_a_seal_asks_the_database_as_often_for_three_causes_as_for_one(sealed, count, django_assert_num_queries):
    sealed.seal()
    write(sealed.tenant, count)
    # The lock, the last seal, the horizon, the first and the last cause, where their rows are (3), the seal, and one a table
    # but for the subjects of entries in the journal, of which there are none.
    with scope(tenant=sealed.tenant.pk), django_assert_num_queries(8 + len(sealed_models())):
        assert sealing.seal(tenant=sealed.tenant.pk, key=sealed.key, at=AT) is not None
