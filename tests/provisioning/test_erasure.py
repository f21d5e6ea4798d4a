"""The person behind an ended account is erased under the eraser's role, and what was sealed still verifies."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from django.db import DatabaseError, connection, transaction

from accounts import lifecycle, ownership
from accounts.models import Account
from accounts.models.account import AccountState
from accounts.models.hold import HoldKind
from audit.models import Cause, CauseKind, ErasedValue, JournalEntry, history_of
from audit.scope import scope
from provisioning import bodies, erasure
from provisioning.models import BodyKey, Exchange, Plan, Shadow
from provisioning.models.erasure import Erasure
from tests.conftest import AT, a_cause, as_eraser
from tests.factories import seals
from tests.factories.governance import a_service
from tests.factories.seals import Sealed, tamper
from tests.house import rows

if TYPE_CHECKING:
    from collections.abc import Iterator

NAME, MAIL, TITLE = "ada.lovelace", "ada.lovelace@example.com", "Countess"
OTHER = "grace.hopper"


@pytest.fixture(scope="module")
def committed(django_db_setup: None, django_db_blocker: Any, tmp_path_factory: Any) -> Iterator[Sealed]:
    """Two people of a directory, one of whom has left."""

    def story(made: Sealed) -> None:
        ada = made.idp.user(NAME, emails=[{"value": MAIL}], title=TITLE, externalId="e-1815")
        made.idp.user(OTHER, title="Rear admiral")
        made.seal()
        made.idp.group("Analysts", ada)
        made.idp.patch(f"/Users/{ada}", {"op": "replace", "path": "title", "value": f"{TITLE} of Lovelace"})
        made.idp.post("/Users", {"schemas": [], "userName": NAME})
        made.seal()
        made.idp.patch(f"/Users/{ada}", {"op": "replace", "path": "active", "value": False})
        made.idp.delete(f"/Users/{ada}")
        made.seal()
        made.tell_witness()

    with seals.committed(django_db_blocker, tmp_path_factory, story) as made:
        yield made


@pytest.fixture
def sealed(committed: Sealed, db: None) -> Sealed:
    """The same, in a transaction that takes back what a test does to it."""
    return committed


def account_of(sealed: Sealed, name: str = NAME) -> Account:
    with scope(tenant=sealed.tenant.pk):
        return Shadow.objects.select_related("account").get(name=name).account  # type: ignore[return-value]


def erase(sealed: Sealed, account: Account) -> Erasure:
    """As the command does it."""
    cause = Cause(kind=CauseKind.COMMAND, actor="An eraser", reason="DSR-12")
    with transaction.atomic(), as_eraser(), scope(tenant=sealed.tenant.pk, cause=cause):
        return erasure.erase(account=account, asked_by="An eraser", reason="DSR-12", at=AT)[0]


def everything(*, of: str) -> list[str]:
    """Every table of the product that has this text in some row, as the tables' owner sees it."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' ORDER BY 1"
        )
        tables = [name for (name,) in cursor.fetchall()]
        found = []
        for table in tables:
            try:
                with transaction.atomic():
                    cursor.execute(f"SELECT count(*) FROM {table} t WHERE t::text ILIKE %s", [f"%{of}%"])
                    if cursor.fetchone()[0]:
                        found.append(table)
            except DatabaseError:
                continue
    return found


def test_nothing_of_the_person_is_left_in_any_table_of_the_tenant(sealed):
    account = account_of(sealed)
    with scope(tenant=sealed.tenant.pk):
        before = {word: set(everything(of=word)) for word in (NAME, MAIL, TITLE)}
    assert {"accounts_account", "accounts_historicalaccount", "provisioning_shadow"} <= before[NAME]
    assert {"audit_journalsubject"} <= before[NAME]
    erase(sealed, account)
    with scope(tenant=sealed.tenant.pk):
        assert {word: everything(of=word) for word in (NAME, MAIL, TITLE)} == {NAME: [], MAIL: [], TITLE: []}
        assert everything(of=OTHER) != []


def test_both_verifiers_find_everything_else_as_it_was_sealed_and_count_what_was_erased(sealed):
    assert (sealed.ours().code, sealed.theirs().code) == (0, 0)
    erase(sealed, account_of(sealed))
    with scope(tenant=sealed.tenant.pk):
        kept = ErasedValue.objects.count()
    assert kept > 10
    ours, theirs = sealed.ours(), sealed.theirs()
    assert (ours.code, ours.faults()) == (0, set())
    assert (theirs.code, theirs.faults()) == (0, set())
    line = f"erased: {kept} rows are blank where they told of a person, by a recorded act"
    assert f"sealed: {line}" in ours.lines
    assert line in theirs.lines


@pytest.mark.parametrize(
    ("table", "change"),
    [
        ("provisioning_exchange", "status = 299"),
        ("accounts_historicalaccount", "user_name = 'eve'"),
        ("audit_journalentry", "event = 'account.made'"),
        ("audit_journalentry", "salt = gen_random_uuid()"),
    ],
)
def test_a_row_that_was_erased_and_then_changed_is_named_by_both(sealed, table, change):
    erase(sealed, account_of(sealed))
    key = "history_id" if "historical" in table else "id"
    with scope(tenant=sealed.tenant.pk):
        row = ErasedValue.objects.filter(table_name=table).order_by("-row_key").first()
    assert tamper(sealed.tenant, f"UPDATE {table} SET {change} WHERE {key}::text = %s", row.row_key, table=table) == 1
    for said in (sealed.ours(), sealed.theirs()):
        assert said.code == 1
        assert {fault.rpartition(" (")[0] for fault in said.faults()} == {f"{table} {row.row_key}: changed"}


def test_a_digest_that_was_put_in_the_place_of_another_is_named_by_both(sealed):
    erase(sealed, account_of(sealed))
    with scope(tenant=sealed.tenant.pk):
        row = ErasedValue.objects.filter(table_name="audit_journalentry").first()
    statement = "UPDATE audit_erasedvalue SET digest = repeat('0', 64) WHERE id = %s"
    assert tamper(sealed.tenant, statement, row.pk, table="audit_erasedvalue") == 1
    for said in (sealed.ours(), sealed.theirs()):
        assert said.code == 1
        assert {fault.rpartition(" (")[0] for fault in said.faults()} == {f"audit_journalentry {row.row_key}: changed"}


def test_what_was_sent_and_answered_can_never_be_read_again_and_what_happened_still_can(sealed):
    account = account_of(sealed)
    with scope(tenant=sealed.tenant.pk):
        resource = Shadow.objects.get(account=account).pk
        before = list(
            Exchange.objects.filter(resource_id=resource).order_by("id").values_list("intent", "outcome", "at")
        )
    erase(sealed, account)
    with scope(tenant=sealed.tenant.pk):
        ledger = list(Exchange.objects.filter(resource_id=resource).order_by("id"))
        kept = bodies.shown_all(ledger)
        assert {kept[one.pk].is_gone for one in ledger if one.body is not None} == {True}
        assert not BodyKey.objects.filter(subject_id=resource).exists()
        assert [(one.intent, one.outcome, one.at) for one in ledger] == before
        assert {one.resource_label for one in ledger} == {"[erased]"}
        # Of a request that was refused before there was a resource, the name is gone with the rest.
        assert not Exchange.objects.filter(resource_label=NAME).exists()


def test_the_act_is_recorded_by_whom_why_and_how_much_and_the_account_is_archived(sealed):
    account = account_of(sealed)
    row = erase(sealed, account)
    with scope(tenant=sealed.tenant.pk):
        account.refresh_from_db()
        assert (account.state, account.state_since, account.user_name) == (AccountState.ARCHIVED, AT, "[erased]")
        row = Erasure.objects.get(pk=row.pk)
        assert (row.asked_by, row.reason, row.counts["accounts_account"]) == ("An eraser", "DSR-12", 1)
        entry = JournalEntry.objects.get(cause_id=row.cause_id)
        total = sum(row.counts.values())
        assert entry.sentence == f"An eraser: what told of a person in this account was erased, {total} rows. DSR-12"
        # History shows that the values went, and under which cause; not what they were.
        newest = history_of(Account).objects.filter(id=account.pk).order_by("-history_id").first()
        assert (newest.user_name, newest.cause_id) == ("[erased]", row.cause_id)


def test_a_second_time_nothing_changes_and_the_seals_still_verify(sealed):
    account = account_of(sealed)
    erase(sealed, account)
    assert erase(sealed, account).counts == {}
    assert (sealed.ours().faults(), sealed.theirs().faults()) == (set(), set())


def test_what_is_erased_before_it_was_sealed_is_sealed_blank(sealed):
    with scope(tenant=sealed.tenant.pk, cause=a_cause()):
        alan = lifecycle.create(
            tenant_id=sealed.tenant.pk, kind="person", user_name="alan", user_name_key="alan", is_active=True, at=AT
        )
        lifecycle.deprovision(accounts=[alan.pk], reason="left", at=AT)
    erase(sealed, alan)
    with scope(tenant=sealed.tenant.pk):
        assert not JournalEntry.objects.filter(sentence__contains="alan").exists()


# ── what is in the way ──────────────────────────────────────────────────────────────────────────────────────────


def test_who_is_there_is_not_erased_and_nothing_changes(sealed):
    grace = account_of(sealed, OTHER)
    with pytest.raises(erasure.CantErase) as refusal:
        erase(sealed, grace)
    assert refusal.value.reasons == ["it is active: end it first", "Entra still lists it: have it deleted there first"]
    with scope(tenant=sealed.tenant.pk):
        grace.refresh_from_db()
        assert (grace.user_name, Erasure.objects.count()) == (OTHER, 0)


def test_who_is_looked_into_or_answers_for_others_is_not_erased(sealed):
    account = account_of(sealed)
    with scope(tenant=sealed.tenant.pk, cause=a_cause()):
        lifecycle.suspend(accounts=[account.pk], kind=HoldKind.SECURITY, reason="INC-7", at=AT)
        grace = account_of(sealed, OTHER)
        robot = a_service(sealed.tenant, "robot", at=AT)
        ownership.offer(account=robot, owner=grace, at=AT)
        assert erasure.in_the_way(account=account) == ["security holds it: what is being looked into stays"]
        assert "it answers for 1 accounts: give them other owners first" in erasure.in_the_way(account=grace)


def test_who_is_in_a_plan_that_is_not_over_is_not_erased(sealed):
    account = account_of(sealed)
    with scope(tenant=sealed.tenant.pk, cause=a_cause()):
        plan = rows.plan(system=sealed.idp.system, kind="reading", account=None, epoch=None)
        rows.change(plan=plan, account=account, act="deprovision")
        Plan.objects.filter(pk=plan.pk).update(state="cleared", digest="d")
        assert erasure.in_the_way(account=account) == ["a plan about it waits: have it answered first"]


# ── the role ────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_application_may_not_erase_whatever_it_says(sealed):
    account = account_of(sealed)
    in_scope = scope(tenant=sealed.tenant.pk, cause=a_cause())
    with pytest.raises(DatabaseError, match="permission denied"), transaction.atomic(), in_scope:
        erasure.erase(account=account, asked_by="app", reason="no", at=AT)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE provisioning_exchange SET status = 200",
        "UPDATE accounts_account SET epoch = 7",
        "UPDATE audit_journalentry SET event = 'x'",
        "UPDATE accounts_historicalaccount SET state = 'active'",
        "DELETE FROM audit_journalentry",
        "DELETE FROM accounts_account",
        "DELETE FROM audit_seal",
        "UPDATE audit_erasedvalue SET digest = ''",
        "INSERT INTO audit_seal (id) VALUES (gen_random_uuid())",
        "SELECT password FROM accounts_user",
        "SELECT secret FROM provisioning_connection",
        "SELECT digest FROM provisioning_systemtoken",
    ],
)
def test_the_eraser_may_blank_what_is_personal_and_nothing_else(sealed, statement):
    with scope(tenant=sealed.tenant.pk), transaction.atomic(), as_eraser(), connection.cursor() as cursor:
        cursor.execute("SELECT set_config('rollcall.erasure', '1', true)")
        with pytest.raises(DatabaseError, match="permission denied"), transaction.atomic():
            cursor.execute(statement)


def test_names_that_still_stand_elsewhere_are_counted(sealed):
    account = account_of(sealed)
    with scope(tenant=sealed.tenant.pk, cause=a_cause(reason=f"as {NAME} asked")):
        lifecycle.change(account=account_of(sealed, OTHER), fields={"display_name": f"Grace, friend of {NAME}"})
    erase(sealed, account)
    with scope(tenant=sealed.tenant.pk), as_eraser():
        left = erasure.mentions([NAME, "100%_sure"])
    assert left["accounts_account"] == 1
    assert left["audit_cause"] == 1
