"""Accounts come, change, pause, end and come back, and each verb leaves exactly its rows, its history and its entry."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

import pytest
from django.db import DatabaseError, connection, transaction

from accounts import lifecycle, ownership
from accounts.models import Account, AccountKind, Finding, Hold, HoldKind, Ownership, Permit, RoleName, User
from audit.models import history_of
from tests.factories import governance as make
from tests.factories.permits import excused
from tests.factories.words import written_from_here

if TYPE_CHECKING:
    from accounts.models import Tenant
    from audit.models import Cause

HOUR = dt.timedelta(hours=1)
MODELS = (Account, Hold, Ownership, Finding, Permit, User)


@pytest.fixture
def now() -> dt.datetime:
    return make.now()


@pytest.fixture
def person(tenant: Tenant, because: Cause, now: dt.datetime) -> Account:
    return make.a_person(tenant, "ada", at=now - HOUR)


@pytest.fixture
def service(tenant: Tenant, because: Cause, now: dt.datetime) -> Account:
    return make.a_service(tenant, "deploy", at=now - HOUR, owner=make.a_person(tenant, "grace", at=now - HOUR))


def again(account: Account) -> Account:
    """The row as it is in the database."""
    return Account.objects.get(pk=account.pk)


def a_permit(account: Account, now: dt.datetime, **values: Any) -> Permit:
    return excused(account, at=now, **values)


def ended(account: Account, at: dt.datetime) -> Account:
    lifecycle.deprovision(accounts=[account.pk], reason="left", at=at)
    return again(account)


# -- coming


def test_a_person_who_is_wanted_active_is_made_active_with_one_history_row_and_one_entry(
    tenant: Tenant, because: Cause, now: dt.datetime
) -> None:
    written = written_from_here(*MODELS)
    made = lifecycle.create(
        tenant_id=tenant.pk, kind=AccountKind.PERSON, user_name="Ada", user_name_key="ada", is_active=True, at=now
    )
    row = again(made)
    assert (row.state, row.was_active, row.epoch, row.cutoff_at, row.state_since) == ("active", True, 0, None, now)
    assert written.history(*MODELS) == {"Account": 1}
    assert written.sentences() == ["a test: person Ada made, active"]
    assert written.subjects("account") == {str(made.pk)}
    assert [h.cause_id for h in history_of(Account).objects.filter(id=made.pk)] == [because.pk]


def test_a_service_account_that_is_wanted_active_is_pending_and_a_clock_runs_until_somebody_answers_for_it(
    tenant: Tenant, because: Cause, now: dt.datetime
) -> None:
    made = make.a_service(tenant, "deploy", at=now)
    assert again(made).state == "pending"
    assert lifecycle.missing_for_activation(made, at=now) == ("an owner who accepts",)
    (finding,) = Finding.objects.all()
    assert (finding.kind, finding.dedupe_key, finding.due_at) == (
        "no_owner", f"no_owner:{made.pk}", now + dt.timedelta(days=7),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("lacking", "words"),
    [
        ({"purpose": ""}, ("a purpose",)),
        ({"expires_at": None}, ("an expiry",)),
        ({"expires_at": dt.datetime(2020, 1, 1, tzinfo=dt.UTC)}, ("an expiry that is not past",)),
    ],
)
def test_an_owned_service_account_without_purpose_or_a_future_expiry_stays_pending(
    tenant: Tenant, because: Cause, now: dt.datetime, lacking: dict[str, Any], words: tuple[str, ...]
) -> None:
    account = make.a_service(tenant, "deploy", at=now, owner=make.a_person(tenant, "grace", at=now), **lacking)
    assert account.state == "pending"
    (missing,) = lifecycle.activate(accounts=[account.pk], at=now)
    assert missing.needs == words
    assert again(account).state == "pending"


def test_activation_takes_those_that_lack_nothing_once(tenant: Tenant, because: Cause, now: dt.datetime) -> None:
    ready = make.a_person(tenant, "ada", at=now)
    Account.objects.filter(pk=ready.pk).update(was_active=True)
    waits = make.a_service(tenant, "deploy", at=now)
    silent = lifecycle.create(
        tenant_id=tenant.pk, kind=AccountKind.PERSON, user_name="bob", user_name_key="bob", is_active=False, at=now
    )
    written = written_from_here(*MODELS)
    missing = lifecycle.activate(accounts=[ready.pk, waits.pk, silent.pk], at=now)
    assert [m.account.pk for m in missing] == [waits.pk]
    assert (again(silent).state, again(silent).was_active) == ("active", True)
    assert written.history(*MODELS) == {"Account": 1}
    assert written.sentences() == ["a test: bob active"]
    assert lifecycle.activate(accounts=[silent.pk], at=now) == []
    assert written.entries() == ["account.activated"]


# -- changing


def test_a_change_writes_the_fields_that_differ_and_nothing_where_none_does(person: Account) -> None:
    written = written_from_here(*MODELS)
    fields = {"email": person.email, "display_name": "Ada L."}
    assert lifecycle.change(account=person, fields=fields) == ("display_name",)
    assert again(person).display_name == "Ada L."
    assert lifecycle.change(account=person, fields=fields) == ()
    assert written.history(*MODELS) == {"Account": 1}


def test_a_field_with_another_door_is_not_changed_this_way(person: Account) -> None:
    with pytest.raises(lifecycle.CantChange, match="epoch"):
        lifecycle.change(account=person, fields={"epoch": 0, "email": "x@acme.example"})
    assert again(person).email == "ada@acme.example"


@pytest.mark.parametrize("fields", [{"purpose": ""}, {"expires_at": None}])
def test_an_active_service_account_keeps_a_purpose_and_an_expiry(service: Account, fields: dict[str, Any]) -> None:
    with pytest.raises(lifecycle.CantChange, match="deploy is active: it keeps a purpose and an expiry"):
        lifecycle.change(account=service, fields=fields)
    assert again(service).purpose == "deploys the shop"


# -- ending


def test_ending_an_active_account_begins_the_next_epoch_moves_the_cutoff_and_asks_for_a_read_back(
    person: Account, now: dt.datetime
) -> None:
    written = written_from_here(*MODELS)
    assert lifecycle.deprovision(accounts=[person.pk], reason="left", at=now) == [person]
    row = again(person)
    assert (row.state, row.epoch, row.cutoff_at, row.state_since) == ("deprovisioned", 1, now, now)
    assert row.read_due_at == now + dt.timedelta(minutes=5)
    assert written.history(*MODELS) == {"Account": 1}
    assert written.sentences() == ["a test: ada ended. left"]
    assert written.subjects("account") == {str(person.pk)}


def test_ending_an_ended_account_writes_nothing(person: Account, now: dt.datetime) -> None:
    ended(person, now)
    written = written_from_here(*MODELS)
    assert lifecycle.deprovision(accounts=[person.pk], reason="again", at=now + HOUR) == []
    assert (again(person).epoch, again(person).cutoff_at) == (1, now)
    assert (written.entries(), written.history(*MODELS)) == ([], {})


def test_a_pending_account_ends_in_epoch_0_and_is_pending_again_without_a_permit(
    tenant: Tenant, because: Cause, now: dt.datetime
) -> None:
    account = ended(make.a_service(tenant, "deploy", at=now), now)
    assert (account.state, account.epoch, account.cutoff_at) == ("deprovisioned", 0, now)
    assert [f.state for f in Finding.objects.all()] == ["resolved"]
    written = written_from_here(*MODELS)
    assert lifecycle.wait_again(account=account, at=now + HOUR).state == "pending"
    assert (again(account).state, again(account).state_since) == ("pending", now + HOUR)
    assert written.history(*MODELS) == {"Account": 1, "Finding": 1}
    assert written.entries() == ["account.changed"]
    assert set(Finding.objects.values_list("state", flat=True)) == {"resolved", "open"}
    lifecycle.wait_again(account=account, at=now + HOUR)
    assert written.entries() == ["account.changed"]


def test_an_account_held_before_it_was_ever_active_ends_in_the_next_epoch_and_needs_a_permit(
    tenant: Tenant, because: Cause, now: dt.datetime
) -> None:
    account = make.a_service(tenant, "deploy", at=now)
    lifecycle.suspend(accounts=[account.pk], kind=HoldKind.MANUAL, reason="whose is it?", at=now)
    account = ended(account, now)
    assert (account.state, account.epoch, account.was_active) == ("deprovisioned", 1, False)
    assert lifecycle.wait_again(account=account, at=now).state == "deprovisioned"
    with pytest.raises(DatabaseError, match="only with an unused permit"), transaction.atomic():
        Account.objects.filter(pk=account.pk).update(state="pending")


def test_ending_a_suspended_account_ends_every_hold_but_the_security_hold(person: Account, now: dt.datetime) -> None:
    for kind in (HoldKind.MANUAL, HoldKind.CAMPAIGN, HoldKind.SECURITY):
        lifecycle.suspend(accounts=[person.pk], kind=kind, reason="because", at=now - HOUR)
    written = written_from_here(*MODELS)
    assert ended(person, now).epoch == 1
    holds = {h.kind: (h.released_at, h.released_by, h.release_reason) for h in Hold.objects.all()}
    over = (now, "a test", "the account has ended")
    assert holds == {"manual": over, "campaign": over, "security": (None, "", "")}
    assert written.history(*MODELS) == {"Account": 1, "Hold": 2}


def test_with_two_clocks_an_ending_is_never_refused_and_the_later_cutoff_counts(
    person: Account, now: dt.datetime
) -> None:
    permit = a_permit(ended(person, now), now)
    lifecycle.reactivate(account=again(person), permit=permit, expires_at=None, at=now)
    assert ended(person, now - dt.timedelta(seconds=3)).state == "deprovisioned"
    assert (again(person).cutoff_at, again(person).epoch) == (now, 2)


def test_the_epoch_and_the_cutoff_never_move_back_whoever_writes(person: Account, now: dt.datetime) -> None:
    ended(person, now)
    for fields in ({"epoch": 0}, {"cutoff_at": now - HOUR}, {"cutoff_at": None}):
        with pytest.raises(DatabaseError, match="never move back"), transaction.atomic():
            Account.objects.filter(pk=person.pk).update(**fields)
    assert (again(person).epoch, again(person).cutoff_at) == (1, now)


def test_ending_a_person_ends_their_sessions_and_sign_in(person: Account, now: dt.datetime) -> None:
    user = make.a_user(person, RoleName.AUDITOR, at=now)
    before = user.get_session_auth_hash()
    ended(person, now)
    user.refresh_from_db()
    assert user.get_session_auth_hash() != before
    assert not user.is_active


def test_a_person_with_another_active_account_can_sign_in_again_after_their_sessions_ended(
    tenant: Tenant, person: Account, now: dt.datetime
) -> None:
    make.a_person(tenant, "ada-admin", at=now, identity_id=person.identity_id)
    user = make.a_user(person, at=now)
    ended(person, now)
    user.refresh_from_db()
    assert (user.is_active, user.session_epoch) == (True, 1)


def test_a_leavers_service_accounts_have_no_owner_and_a_clock_in_the_same_transaction(
    tenant: Tenant, service: Account, now: dt.datetime
) -> None:
    owner = Account.objects.get(user_name="grace")
    shared = make.a_service(tenant, "backup", at=now, owner=owner)
    deputy = make.a_person(tenant, "edsger", at=now)
    ownership.accept(ownership=ownership.offer(account=shared, owner=deputy, at=now), at=now)
    ended_one = make.a_service(tenant, "old", at=now, owner=owner)
    ended(ended_one, now)
    written = written_from_here(*MODELS)
    ended(owner, now)
    assert {(o.account.user_name, o.owner.user_name, o.state) for o in Ownership.objects.all()} == {
        ("deploy", "grace", "ended"), ("backup", "grace", "ended"), ("backup", "edsger", "accepted"),
        ("old", "grace", "ended"),
    }  # fmt: skip
    live = Finding.objects.filter(state="open")
    assert {(f.dedupe_key, f.severity, f.due_at) for f in live} == {
        (f"no_owner:{service.pk}", 3, now + dt.timedelta(days=7))
    }
    assert again(service).state == "active"
    assert written.entries() == ["ownership.ended", "account.ended"]
    assert written.history(*MODELS) == {"Account": 1, "Ownership": 3, "Finding": 1}
    causes = {history_of(m).objects.latest("history_id").cause_id for m in (Account, Ownership, Finding)}
    assert len(causes) == 1


def test_many_accounts_end_in_as_many_statements_as_one(tenant: Tenant, because: Cause, now: dt.datetime) -> None:
    from django.test.utils import CaptureQueriesContext  # noqa: PLC0415

    def cost(names: list[str]) -> int:
        ids = [make.a_person(tenant, name, at=now, identity_id=None).pk for name in names]
        with CaptureQueriesContext(connection) as queries:
            assert len(lifecycle.deprovision(accounts=ids, reason="left", at=now)) == len(ids)
        return len(queries)

    assert cost([f"many{n}" for n in range(40)]) == cost(["one"])


# -- holds


def test_a_hold_suspends_once_ends_sessions_and_is_journaled_once(person: Account, now: dt.datetime) -> None:
    user = make.a_user(person, at=now)
    written = written_from_here(Account, Hold)
    assert lifecycle.suspend(accounts=[person.pk], kind=HoldKind.MANUAL, reason="odd", at=now) == [person]
    assert lifecycle.suspend(accounts=[person.pk], kind=HoldKind.MANUAL, reason="odd", at=now) == []
    (hold,) = Hold.objects.all()
    assert (hold.kind, hold.reason, hold.placed_by, hold.placed_at) == ("manual", "odd", "a test", now)
    assert (again(person).state, again(person).epoch) == ("suspended", 0)
    assert written.history(Account, Hold) == {"Account": 1, "Hold": 1}
    assert written.entries() == ["user.sessions_ended", "account.suspended"]
    user.refresh_from_db()
    assert (user.session_epoch, user.is_active) == (1, True)


def test_an_account_is_active_again_when_the_last_hold_is_released(person: Account, now: dt.datetime) -> None:
    for kind in (HoldKind.MANUAL, HoldKind.CAMPAIGN):
        lifecycle.suspend(accounts=[person.pk], kind=kind, reason="odd", at=now)
    first, last = Hold.objects.order_by("kind")
    assert lifecycle.release(hold=first, reason="fine", at=now).state == "suspended"
    assert lifecycle.live_holds(person) == ["by hand"]
    written = written_from_here(Account, Hold)
    assert lifecycle.release(hold=last, reason="fine", at=now).state == "active"
    assert (again(person).state, again(person).epoch) == ("active", 0)
    assert lifecycle.release(hold=last, reason="again", at=now + HOUR).state == "active"
    assert written.history(Account, Hold) == {"Account": 1, "Hold": 1}
    assert written.sentences() == ["a test: ada released from by hand. fine"]


def test_what_was_never_active_is_pending_after_its_hold_unless_its_directory_wants_it_active(
    tenant: Tenant, because: Cause, now: dt.datetime
) -> None:
    def held(name: str) -> Hold:
        account = lifecycle.create(
            tenant_id=tenant.pk, kind=AccountKind.PERSON, user_name=name, user_name_key=name, is_active=False, at=now
        )
        lifecycle.suspend(accounts=[account.pk], kind=HoldKind.MANUAL, reason="whose?", at=now)
        return Hold.objects.get(account=account)

    assert lifecycle.release(hold=held("ada"), reason="hers", at=now).state == "pending"
    assert lifecycle.release(hold=held("bob"), reason="his", wanted_active=True, at=now).state == "active"


def test_an_account_whose_owner_went_while_it_was_held_waits_for_a_new_one(service: Account, now: dt.datetime) -> None:
    lifecycle.suspend(accounts=[service.pk], kind=HoldKind.MANUAL, reason="odd", at=now)
    ownership.end(ownership=Ownership.objects.get(account=service), reason="moved", at=now)
    assert lifecycle.release(hold=Hold.objects.get(account=service), reason="fine", at=now).state == "pending"


def test_an_expiry_hold_is_released_by_a_new_expiry_alone(service: Account, now: dt.datetime) -> None:
    Account.objects.filter(pk=service.pk).update(expires_at=now)
    lifecycle.suspend(accounts=[service.pk], kind=HoldKind.EXPIRED, reason="past its expiry", at=now)
    hold = Hold.objects.get(account=service)
    with pytest.raises(lifecycle.CantRelease, match="renew it"):
        lifecycle.release(hold=hold, reason="please", at=now)
    written = written_from_here(Account, Hold)
    until = now + dt.timedelta(days=30)
    assert lifecycle.renew(account=service, until=until, reason="needed", at=now).state == "active"
    hold.refresh_from_db()
    assert (hold.released_at, hold.release_reason) == (now, "renewed: needed")
    assert (again(service).state, again(service).expires_at) == ("active", until)
    assert written.entries() == ["account.renewed"]
    lifecycle.renew(account=service, until=until, reason="again", at=now)
    assert written.entries() == ["account.renewed"]
    # Two rows: the expiry, and the state after the hold.
    assert written.history(Account, Hold) == {"Account": 2, "Hold": 1}


def test_a_renewal_past_or_of_an_ended_account_is_refused(person: Account, now: dt.datetime) -> None:
    with pytest.raises(lifecycle.CantChange, match="must lie ahead"):
        lifecycle.renew(account=person, until=now, reason="x", at=now)
    ended(person, now)
    with pytest.raises(lifecycle.CantChange, match="ada has ended"):
        lifecycle.renew(account=person, until=now + HOUR, reason="x", at=now)
    assert again(person).expires_at is None


def test_a_person_without_only_an_expiry_ahead_is_active_again_when_renewed(person: Account, now: dt.datetime) -> None:
    lifecycle.suspend(accounts=[person.pk], kind=HoldKind.MANUAL, reason="odd", at=now)
    Account.objects.filter(pk=person.pk).update(expires_at=now)
    assert lifecycle.release(hold=Hold.objects.get(), reason="fine", at=now).state == "pending"
    assert lifecycle.renew(account=person, until=now + HOUR, reason="stays", at=now).state == "active"
    assert again(person).state == "active"


def test_only_a_security_hold_is_placed_on_an_ended_account_and_it_blocks_the_return(
    person: Account, now: dt.datetime
) -> None:
    account = ended(person, now)
    assert lifecycle.suspend(accounts=[person.pk], kind=HoldKind.MANUAL, reason="odd", at=now) == []
    assert lifecycle.suspend(accounts=[person.pk], kind=HoldKind.SECURITY, reason="stolen", at=now) == [person]
    assert again(person).state == "deprovisioned"
    permit = a_permit(account, now)
    with pytest.raises(lifecycle.CantReturn, match="a security hold is on it"):
        lifecycle.reactivate(account=account, permit=permit, expires_at=None, at=now)
    permit.refresh_from_db()
    assert (again(person).state, permit.used_at) == ("deprovisioned", None)
    lifecycle.release(hold=Hold.objects.get(), reason="found", at=now)
    assert lifecycle.reactivate(account=account, permit=permit, expires_at=None, at=now).state == "active"


def test_a_security_hold_also_blocks_what_was_never_active_from_waiting_again(
    tenant: Tenant, because: Cause, now: dt.datetime
) -> None:
    account = ended(make.a_service(tenant, "deploy", at=now), now)
    lifecycle.suspend(accounts=[account.pk], kind=HoldKind.SECURITY, reason="leaked", at=now)
    assert lifecycle.wait_again(account=account, at=now).state == "deprovisioned"


# -- coming back


def test_a_return_consumes_its_permit_and_sets_a_new_expiry(service: Account, now: dt.datetime) -> None:
    account = ended(service, now)
    permit = a_permit(account, now)
    written = written_from_here(Account, Permit)
    until = now + dt.timedelta(days=10)
    back = lifecycle.reactivate(account=account, permit=permit, expires_at=until, at=now + HOUR)
    permit.refresh_from_db()
    row = again(service)
    assert (back.state, row.state, row.permit_id, row.expires_at) == ("active", "active", permit.pk, until)
    assert (row.epoch, row.cutoff_at, row.state_since) == (1, now, now + HOUR)
    assert permit.used_at is not None
    assert written.history(Account, Permit) == {"Account": 1, "Permit": 1}
    assert written.sentences() == ["a test: deploy came back, active"]


def test_a_service_account_whose_owner_is_gone_comes_back_pending_with_a_clock(
    service: Account, now: dt.datetime
) -> None:
    account = ended(service, now)
    ended(Account.objects.get(user_name="grace"), now)
    until = now + dt.timedelta(days=10)
    back = lifecycle.reactivate(account=account, permit=a_permit(account, now), expires_at=until, at=now)
    assert back.state == "pending"
    assert Finding.objects.get(state="open").dedupe_key == f"no_owner:{service.pk}"


@pytest.mark.parametrize("wrong", ["another epoch", "another account", "used", "past"])
def test_a_permit_that_is_not_for_this_ending_brings_nobody_back(
    tenant: Tenant, person: Account, now: dt.datetime, wrong: str
) -> None:
    account = ended(person, now - HOUR)
    if wrong == "another epoch":
        permit = a_permit(account, now)
        # The database lets nobody make one: it is refused before it is asked.
        permit.epoch = 2
    elif wrong == "another account":
        other = ended(make.a_person(tenant, "bob", at=now - HOUR), now - HOUR)
        permit = a_permit(other, now)
    elif wrong == "used":
        permit = a_permit(account, now)
        Permit.objects.filter(pk=permit.pk).update(used_at=now)
    else:
        permit = a_permit(account, now, until=now - HOUR)
    written = written_from_here(Account, Permit)
    with pytest.raises(lifecycle.CantReturn, match="can't come back"):
        lifecycle.reactivate(account=account, permit=permit, expires_at=None, at=now)
    assert again(person).state == "deprovisioned"
    assert (written.entries(), written.history(Account, Permit)) == ([], {})


def test_an_active_account_does_not_come_back(person: Account, now: dt.datetime) -> None:
    with pytest.raises(lifecycle.CantReturn, match="it is active"):
        lifecycle.reactivate(account=person, permit=a_permit(person, now), expires_at=None, at=now)


def test_no_write_goes_around_the_permit(person: Account, now: dt.datetime) -> None:
    ended(person, now)
    for state in ("active", "pending", "suspended"):
        with pytest.raises(DatabaseError, match="only with an unused permit of its epoch 1"), transaction.atomic():
            Account.objects.filter(pk=person.pk).update(state=state)
    Account.objects.filter(pk=person.pk).update(state="archived")
    with pytest.raises(DatabaseError, match="stays archived"), transaction.atomic():
        Account.objects.filter(pk=person.pk).update(state="active")
    assert lifecycle.blocks_return(again(person)) == "it is archived"
    assert lifecycle.suspend(accounts=[person.pk], kind=HoldKind.SECURITY, reason="x", at=now) == []
    assert lifecycle.deprovision(accounts=[person.pk], reason="x", at=now) == []


# -- read-backs


def test_a_read_back_that_was_done_is_due_no_more_but_one_asked_for_since_is(person: Account, now: dt.datetime) -> None:
    ended(person, now)
    assert lifecycle.was_read_back(accounts=[person.pk], up_to=now) == 0
    assert lifecycle.read_again(accounts=[person.pk], at=now + HOUR) == 1
    assert lifecycle.read_again(accounts=[person.pk], at=now + HOUR) == 0
    assert lifecycle.was_read_back(accounts=[person.pk], up_to=now + HOUR) == 1
    assert again(person).read_due_at is None
