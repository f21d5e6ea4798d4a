"""What a row of this floor can't get wrong, whoever writes it: each rule of the database, broken once."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

import pytest
from django.db import connection, transaction

from accounts.models import Account, Hold, Permit, PolicyException, Role, RoleName, User
from audit.cause import current_tenant
from audit.keys import uuid7
from audit.scope import scope
from tests.conftest import a_cause, as_setup
from tests.house import rows
from tests.house.rows import EARLIER, LATER, NOW, broken_by, changed

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.django_db


def twice(make: Callable[..., Any], **values: Any) -> None:
    """The same row a second time."""
    make(**values)
    make(**values)


def two_memberships(origin: str) -> None:
    same: dict[str, Any] = {"group": rows.group(), "account": rows.account(), "origin": origin}
    if origin == "system":
        same |= {"system": rows.system(), "origin_ref": uuid7()}
    twice(rows.membership, **same)


def of_oneself() -> None:
    same = rows.account()
    rows.ownership(account=same, owner=same)


def by_the_same_person(make: Callable[..., Any], by: str) -> None:
    same = rows.identity()
    make(made_by_setup=False, asked_by=same, **{by: same})


def active_service(**values: Any) -> None:
    """A service account whose owner accepted, made active without something else."""
    made = rows.owned_service()
    Account.objects.filter(pk=made.pk).update(state="active", was_active=True, **values)


# Each rule by its name, and every way to break it.
BREAKS: dict[str, tuple[Callable[[], Any], ...]] = {
    "accounts_sweep_name_is_known": (lambda: rows.sweep(name="broom"),),
    "accounts_sweep_once": (lambda: twice(rows.sweep),),
    "accounts_tenant_kind_is_known": (lambda: rows.tenant(kind="guild"),),
    "accounts_tenant_ledger_months_is_sensible": (
        lambda: rows.tenant(ledger_months=0),
        lambda: rows.tenant(ledger_months=1201),
    ),
    "accounts_tenant_nhi_days_is_sensible": (lambda: rows.tenant(nhi_days=0), lambda: rows.tenant(nhi_days=3651)),
    "accounts_account_kind_is_known": (lambda: rows.account(kind="robot"),),
    "accounts_account_state_is_known": (lambda: rows.account(state="disabled"),),
    "accounts_account_environment_is_known": (lambda: rows.account(environment="moon"),),
    "accounts_account_active_nhi_has_expiry": (lambda: active_service(expires_at=None),),
    "accounts_account_active_nhi_has_purpose": (lambda: active_service(purpose=""),),
    "accounts_account_ended_has_epoch": (lambda: rows.account(state="deprovisioned", was_active=True),),
    "accounts_account_active_was_active": (lambda: rows.account(state="active", was_active=False),),
    "accounts_account_has_a_name": (lambda: rows.account(user_name=""), lambda: rows.account(user_name_key="")),
    "accounts_system_name_is_unique": (lambda: twice(rows.system, name="Okta"),),
    "accounts_system_kind_is_known": (lambda: rows.system(kind="toaster"),),
    "accounts_system_policy_is_known": (lambda: rows.system(reactivation_policy="never"),),
    "accounts_system_grace_is_1_to_720_hours": (
        lambda: rows.system(grace_hours=0),
        lambda: rows.system(grace_hours=721),
    ),
    "accounts_administrator_because_is_known": (lambda: rows.administrator(because="likes it"),),
    "accounts_exception_kind_is_known": (lambda: rows.exception(kind="favour"),),
    "accounts_exception_ends_after_start": (
        lambda: rows.exception(until=NOW),
        lambda: rows.exception(until=NOW - dt.timedelta(seconds=1)),
    ),
    "accounts_exception_approved_by_another": (
        lambda: rows.exception(made_by_setup=False),
        lambda: rows.exception(made_by_setup=False, asked_by=rows.identity()),
        lambda: by_the_same_person(rows.exception, "approved_by"),
    ),
    "accounts_finding_kind_is_known": (lambda: rows.finding(kind="smell"),),
    "accounts_finding_severity_is_known": (lambda: rows.finding(severity=0), lambda: rows.finding(severity=5)),
    "accounts_finding_state_is_known": (lambda: rows.finding(state="gone"),),
    "accounts_finding_end_has_its_time": (
        lambda: rows.finding(state="resolved"),
        lambda: rows.finding(state="false_positive"),
        lambda: rows.finding(state="open", resolved_at=NOW),
    ),
    "accounts_finding_attribution_is_known": (lambda: rows.finding(attribution="fate"),),
    "accounts_finding_evidence_has_its_attribution": (lambda: rows.finding(attributed_by={"kind": "cause"}),),
    "accounts_finding_once_alive": (
        lambda: twice(rows.finding, dedupe_key="same"),
        lambda: (rows.finding(dedupe_key="same", state="excepted"), rows.finding(dedupe_key="same", state="reopened")),
    ),
    "accounts_group_has_a_name": (lambda: rows.group(display_name=""),),
    "accounts_membership_origin_is_known": (lambda: rows.membership(origin="birth"),),
    "accounts_membership_has_one_member": (
        lambda: rows.membership(account=None),
        lambda: rows.membership(account=rows.account(), member_group=rows.group()),
    ),
    "accounts_membership_of_system_names_it": (
        lambda: rows.membership(origin="system"),
        lambda: rows.membership(origin="system", system=rows.system()),
        lambda: rows.membership(origin="system", origin_ref=uuid7()),
        lambda: rows.membership(origin="local", system=rows.system()),
        lambda: rows.membership(origin="window", origin_ref=uuid7()),
    ),
    "accounts_membership_once_per_system": (lambda: two_memberships("system"),),
    "accounts_membership_once_per_origin": (lambda: two_memberships("local"), lambda: two_memberships("window")),
    "accounts_hold_kind_is_known": (lambda: rows.hold(kind="whim"),),
    "accounts_hold_release_names_who": (
        lambda: rows.hold(released_at=NOW),
        lambda: rows.hold(released_by="ada"),
    ),
    "accounts_hold_once_alive": (lambda: twice(rows.hold, account=rows.account(), kind="security"),),
    "accounts_ownership_kind_is_known": (lambda: rows.ownership(kind="friend"),),
    "accounts_ownership_state_is_known": (lambda: rows.ownership(state="maybe"),),
    "accounts_ownership_is_of_another_account": (of_oneself,),
    "accounts_ownership_answer_has_its_time": (
        lambda: rows.ownership(state="accepted"),
        lambda: rows.ownership(state="declined"),
    ),
    "accounts_ownership_end_has_its_time": (
        lambda: rows.ownership(state="ended"),
        lambda: rows.ownership(state="offered", ended_at=NOW),
    ),
    "accounts_ownership_once_alive": (
        lambda: twice(rows.ownership, account=rows.account(), owner=rows.account()),
        lambda: twice(rows.ownership, account=rows.account(), owner=rows.account(), state="accepted", answered_at=NOW),
    ),
    "accounts_permit_act_is_known": (lambda: rows.permit(act="rule"),),
    "accounts_permit_to_return_names_epoch": (
        lambda: rows.permit(epoch=None),
        lambda: rows.permit(account=None, epoch=1),
    ),
    "accounts_permit_for_plan_names_hash": (
        lambda: rows.permit(act="execute_plan"),
        lambda: rows.permit(act="execute_plan", plan_id=uuid7()),
        lambda: rows.permit(act="execute_plan", plan_hash="d" * 64),
    ),
    "accounts_permit_not_by_who_is_barred": (
        lambda: (who := uuid7()) and rows.permit(answered_by=[uuid7(), who], barred=[who]),
    ),
    "accounts_permit_has_its_reason": (
        lambda: rows.permit(exception=None),
        lambda: rows.permit(exception=None, answered_by=[uuid7()]),
    ),
    "accounts_user_is_never_superuser": (lambda: rows.user(is_superuser=True),),
    "accounts_user_has_a_name": (lambda: rows.user(username=""),),
    "accounts_role_name_is_known": (lambda: rows.role(name="king"),),
    "accounts_role_without_tenant_is_administrator": (
        lambda: rows.role(tenant_id=None, name="security"),
        lambda: rows.role(tenant_id=None, name="auditor"),
    ),
    "accounts_role_granted_by_another": (
        lambda: rows.role(made_by_setup=False),
        lambda: rows.role(made_by_setup=False, granted_by=rows.identity()),
        lambda: by_the_same_person(rows.role, "granted_by"),
    ),
    "accounts_role_once_alive": (
        lambda: twice(rows.role, user=rows.user()),
        lambda: twice(rows.role, user=rows.user(), tenant_id=None, name="administrator"),
    ),
}


@pytest.mark.parametrize(
    ("name", "attempt"), [(name, attempt) for name, attempts in BREAKS.items() for attempt in attempts]
)
def test_each_rule_refuses_what_breaks_it(because, name, attempt):
    assert broken_by(attempt) == name


@pytest.mark.parametrize("noun", rows.MAKERS)
def test_the_row_that_each_break_starts_from_is_allowed(because, noun):
    assert rows.MAKERS[noun]().pk is not None
    rows.settle()


def test_what_has_ended_may_be_begun_again(because):
    """Each rule of "once alive" is about the living."""
    someone, owner = rows.account(), rows.account()
    for state, ended_at in (("ended", NOW), ("ended", NOW), ("offered", None)):
        rows.ownership(account=someone, owner=owner, state=state, ended_at=ended_at)
    for released_at, released_by in ((NOW, "ada"), (None, "")):
        rows.hold(account=someone, released_at=released_at, released_by=released_by)
    for state, resolved_at in (("resolved", NOW), ("false_positive", NOW), ("open", None)):
        rows.finding(dedupe_key="same", state=state, resolved_at=resolved_at)
    member: dict[str, Any] = {"group": rows.group(), "account": someone}
    for ended_at in (NOW, None):
        rows.membership(**member, ended_at=ended_at)
    rows.membership(**member, origin="window")
    user = rows.user()
    for until in (NOW, None):
        rows.role(user=user, until=until)
    rows.settle()
    assert Role.objects.filter(user=user).count() == 2


def test_two_tenants_may_have_the_same_names(make_tenant):
    for slug in ("one", "other"):
        with scope(tenant=make_tenant(slug).pk, cause=a_cause()):
            rows.system(name="Okta")
            rows.finding(dedupe_key="same")


# ── the way back ────────────────────────────────────────────────────────────────────────────────────────────────


def bring_back(account: Account, permit: Permit | None, *, state: str = "active") -> Callable[[], Any]:
    return lambda: Account.objects.filter(pk=account.pk).update(state=state, permit=permit)


@pytest.mark.parametrize("state", ["active", "suspended", "pending"])
def test_an_ended_account_comes_back_with_an_unused_permit_of_its_epoch_which_is_then_used(because, state):
    account = rows.ended(epoch=3)
    permit = rows.permit(account=account, epoch=3)
    assert bring_back(account, permit, state=state)() == 1
    permit.refresh_from_db()
    account.refresh_from_db()
    assert permit.used_at is not None
    assert (account.state, account.epoch, account.permit) == (state, 3, permit)
    # The permit's use is history like anything else, under the cause that brought the account back.
    assert [(h.history_type, h.cause_id) for h in permit.history.all()] == [("~", because.pk), ("+", because.pk)]


def of_an_earlier_epoch() -> tuple[Account, Permit]:
    account = rows.ended()
    left_over, used = rows.permit(account=account), rows.permit(account=account)
    bring_back(account, used)()
    Account.objects.filter(pk=account.pk).update(state="deprovisioned", epoch=2)
    return account, left_over


def of_another_account() -> tuple[Account, Permit]:
    return rows.ended(), rows.permit(account=rows.ended())


def with_a_permit(**values: Any) -> Callable[[], tuple[Account, Permit]]:
    def make() -> tuple[Account, Permit]:
        account = rows.ended(epoch=2)
        return account, rows.permit(account=account, **values)

    return make


@pytest.mark.parametrize("state", ["active", "suspended", "pending"])
@pytest.mark.parametrize(
    "prepared",
    [
        pytest.param(lambda: (rows.ended(), None), id="without a permit"),
        pytest.param(of_an_earlier_epoch, id="of an earlier epoch"),
        pytest.param(with_a_permit(used_at=NOW), id="used"),
        pytest.param(with_a_permit(until=NOW - dt.timedelta(seconds=1)), id="past its end"),
        pytest.param(of_another_account, id="of another account"),
    ],
)
def test_an_ended_account_does_not_come_back_with_a_permit(because, state, prepared):
    account, permit = prepared()
    assert broken_by(bring_back(account, permit, state=state)) == "RC003"


def test_a_permit_is_only_for_an_ending_that_has_happened(because):
    account = rows.ended(epoch=2)
    for epoch in (0, 1, 3):
        assert broken_by(lambda e=epoch: rows.permit(account=account, epoch=e)) == "RC018"


@pytest.mark.parametrize(
    "exception",
    [
        pytest.param({"kind": "finding"}, id="of another kind"),
        pytest.param({"starts_at": NOW + dt.timedelta(hours=1), "until": LATER + dt.timedelta(days=1)}, id="to come"),
        pytest.param({"starts_at": EARLIER, "until": NOW - dt.timedelta(seconds=1)}, id="past its end"),
        pytest.param({"ended_at": NOW - dt.timedelta(seconds=1)}, id="ended early"),
        pytest.param({"until": LATER - dt.timedelta(seconds=1)}, id="that ends before the permit"),
    ],
)
def test_an_exception_gives_no_permit(because, exception):
    assert broken_by(lambda: rows.permit(exception=rows.exception(**exception))) == "RC019"


def test_an_exception_of_another_account_or_for_a_plan_gives_no_permit(because):
    assert broken_by(lambda: rows.permit(exception=rows.exception(account=rows.account()))) == "RC019"
    plan = {"act": "execute_plan", "plan_id": uuid7(), "plan_hash": "d" * 64}
    assert broken_by(lambda: rows.permit(**plan)) == "RC019"


def test_a_permit_brings_back_once(because):
    account = rows.ended()
    permit = rows.permit(account=account)
    bring_back(account, permit)()
    Account.objects.filter(pk=account.pk).update(state="deprovisioned", epoch=2)
    assert broken_by(bring_back(account, permit)) == "RC003"


def test_one_statement_brings_back_only_accounts_that_each_have_their_permit(because):
    with_permit, without = rows.ended(), rows.ended()
    Account.objects.filter(pk=with_permit.pk).update(permit=rows.permit(account=with_permit))
    both = Account.objects.filter(pk__in=[with_permit.pk, without.pk])
    assert broken_by(lambda: both.update(state="active")) == "RC003"
    assert set(both.values_list("state", flat=True)) == {"deprovisioned"}


def test_another_tenants_permit_is_none(make_tenant, tenant):
    with scope(tenant=make_tenant("other").pk, cause=a_cause()):
        foreign = rows.permit()
    with scope(tenant=tenant.pk, cause=a_cause()):
        account = rows.ended()
        assert broken_by(bring_back(account, foreign)) == "RC003"


def test_a_temporary_table_of_permits_opens_nothing(because):
    account, permit_id = rows.ended(), uuid7()
    with connection.cursor() as cursor:
        cursor.execute("CREATE TEMPORARY TABLE accounts_permit (LIKE public.accounts_permit) ON COMMIT DROP")
        cursor.execute(
            "INSERT INTO pg_temp.accounts_permit (id, tenant_id, account_id, act, epoch, plan_hash, answered_by, barred,"
            " granted_at, until) VALUES (%s, %s, %s, 'reactivate', 1, '', '{}', '{}', now(), now() + interval '1 hour')",
            [permit_id, account.tenant_id, account.pk],
        )
    back = Account.objects.filter(pk=account.pk)
    assert broken_by(lambda: back.update(state="active", permit_id=permit_id)) == "RC003"


def test_a_temporary_table_of_holds_hides_none(because):
    account = rows.account(state="suspended")
    rows.hold(account=account, kind="security")
    with connection.cursor() as cursor:
        cursor.execute("CREATE TEMPORARY TABLE accounts_hold (LIKE public.accounts_hold) ON COMMIT DROP")
    back = Account.objects.filter(pk=account.pk)
    assert broken_by(lambda: back.update(state="active", was_active=True)) == "RC014"


def test_what_ended_before_it_was_ever_active_is_pending_again_without_a_permit_but_never_active(because):
    account = rows.account(state="deprovisioned")
    for state in ("active", "suspended"):
        assert broken_by(bring_back(account, None, state=state)) in {"RC003", "accounts_account_active_was_active"}
    active = Account.objects.filter(pk=account.pk)
    assert broken_by(lambda: active.update(state="active", was_active=True)) == "RC003"
    assert active.update(state="pending") == 1


def test_what_was_active_once_is_not_pending_again_without_a_permit(because):
    assert broken_by(bring_back(rows.ended(), None, state="pending")) == "RC003"


# ── rules over time and over rows ───────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("state", ["pending", "active", "suspended", "deprovisioned"])
def test_an_archived_account_stays_archived(because, state):
    account = rows.ended()
    Account.objects.filter(pk=account.pk).update(state="archived")
    permit = rows.permit(account=account)
    assert broken_by(bring_back(account, permit, state=state)) == "RC010"


def test_the_epoch_and_the_cutoff_never_move_back(because):
    account = rows.ended(epoch=2)
    this = Account.objects.filter(pk=account.pk)
    this.update(cutoff_at=NOW)
    assert broken_by(lambda: this.update(epoch=1)) == "RC011"
    assert broken_by(lambda: this.update(cutoff_at=None)) == "RC011"
    assert broken_by(lambda: this.update(cutoff_at=NOW - dt.timedelta(microseconds=1))) == "RC011"
    assert this.update(cutoff_at=LATER) == 1


@pytest.mark.parametrize("state", ["active", "suspended"])
@pytest.mark.parametrize("epoch", [1, 3])
def test_ending_an_account_begins_exactly_the_next_epoch(because, state, epoch):
    account = rows.account(state=state, was_active=True, epoch=1)
    this = Account.objects.filter(pk=account.pk)
    assert broken_by(lambda: this.update(state="deprovisioned", epoch=epoch)) == "RC012"
    assert this.update(state="deprovisioned", epoch=2) == 1


@pytest.mark.parametrize("epoch", [1, 3])
def test_an_account_that_was_ever_active_begins_the_next_epoch_from_pending_too(because, epoch):
    account = rows.account(state="pending", was_active=True, epoch=1)
    this = Account.objects.filter(pk=account.pk)
    assert broken_by(lambda: this.update(state="deprovisioned", epoch=epoch)) == "RC012"
    assert this.update(state="deprovisioned", epoch=2) == 1


@pytest.mark.parametrize("state", ["pending", "active", "suspended", "deprovisioned"])
def test_the_epoch_counts_endings_and_nothing_else(because, state):
    account = rows.ended(epoch=2) if state == "deprovisioned" else rows.account(state=state, was_active=True, epoch=2)
    assert broken_by(lambda: Account.objects.filter(pk=account.pk).update(epoch=3)) == "RC011"


@pytest.mark.parametrize("state", ["pending", "active", "suspended"])
def test_only_an_ended_account_is_archived(because, state):
    account = rows.account(state=state, was_active=True)
    assert broken_by(lambda: Account.objects.filter(pk=account.pk).update(state="archived")) == "RC010"


def test_an_active_person_does_not_turn_into_a_non_human_account_without_an_owner(because):
    account = rows.account(state="active")
    into = {"kind": "service", "purpose": "deploys", "expires_at": LATER}
    assert broken_by(lambda: Account.objects.filter(pk=account.pk).update(**into)) == "RC015"


def test_that_an_account_was_active_is_never_forgotten(because):
    account = rows.account(state="suspended", was_active=True)
    assert broken_by(lambda: Account.objects.filter(pk=account.pk).update(was_active=False)) == "RC013"


def test_an_account_under_a_live_hold_does_not_become_active(because):
    account = rows.account(state="suspended")
    hold = rows.hold(account=account)
    this = Account.objects.filter(pk=account.pk)
    assert broken_by(lambda: this.update(state="active", was_active=True)) == "RC014"
    Hold.objects.filter(pk=hold.pk).update(released_at=NOW, released_by="ada")
    assert this.update(state="active", was_active=True) == 1


def test_a_hold_on_an_account_that_stays_active_is_refused_at_the_commit(because):
    account = rows.account(state="active")
    assert broken_by(lambda: rows.hold(account=account)) == "RC014"
    # Suspended in the same transaction, in either order, it is as it should be.
    with transaction.atomic():
        rows.hold(account=account)
        Account.objects.filter(pk=account.pk).update(state="suspended")
        rows.settle()


def test_a_hold_can_not_be_moved_or_opened_again_upon_an_active_account(because):
    active = rows.account(state="active")
    elsewhere = rows.hold()
    assert broken_by(lambda: Hold.objects.filter(pk=elsewhere.pk).update(account=active)) == "RC006"
    released = rows.hold(account=active, released_at=NOW, released_by="ada")
    reopened = Hold.objects.filter(pk=released.pk)
    assert broken_by(lambda: reopened.update(released_at=None, released_by="")) == "RC014"


def test_a_non_human_account_is_not_active_before_an_owner_accepted(because):
    account = rows.service()
    this = Account.objects.filter(pk=account.pk)
    assert broken_by(lambda: this.update(state="active", was_active=True)) == "RC015"
    offered = rows.ownership(account=account)
    assert broken_by(lambda: this.update(state="active", was_active=True)) == "RC015"
    type(offered).objects.filter(pk=offered.pk).update(state="accepted", answered_at=NOW)
    assert this.update(state="active", was_active=True) == 1


def test_a_non_human_account_is_not_born_active(because):
    assert broken_by(lambda: rows.service(state="active")) == "RC015"


def test_a_used_permit_stays_used(because):
    permit = rows.permit(used_at=NOW)
    this = Permit.objects.filter(pk=permit.pk)
    assert broken_by(lambda: this.update(used_at=None)) == "RC016"
    assert broken_by(lambda: this.update(used_at=LATER)) == "RC016"


@pytest.mark.parametrize(
    "change",
    [
        {"act": "execute_plan"},
        {"epoch": 9},
        {"plan_id": uuid7()},
        {"plan_hash": "e" * 64},
        {"approval_id": uuid7()},
        {"exception": None},
        {"answered_by": [uuid7()]},
        {"barred": [uuid7()]},
        {"account": "another"},
    ],
    ids=lambda change: next(iter(change)),
)
def test_what_a_permit_permits_never_changes(because, change):
    permit = rows.permit()
    values = {"account": rows.ended()} if change == {"account": "another"} else change
    assert broken_by(lambda: Permit.objects.filter(pk=permit.pk).update(**values)) == "RC017"


def test_a_permit_may_end_earlier_and_never_later(because):
    permit = rows.permit()
    later = LATER + dt.timedelta(seconds=1)
    assert broken_by(lambda: Permit.objects.filter(pk=permit.pk).update(until=later)) == "RC017"
    assert Permit.objects.filter(pk=permit.pk).update(until=EARLIER) == 1


# -- what began so stays so


@pytest.mark.parametrize(
    ("make", "field", "other"),
    [
        (rows.tenant, "kind", lambda: "sandbox"),
        (rows.user, "identity", rows.identity),
        (rows.role, "user", rows.user),
        (rows.role, "name", lambda: "administrator"),
        (rows.role, "since", lambda: NOW - dt.timedelta(days=99)),
        (rows.role, "asked_by", rows.identity),
        (rows.exception, "kind", lambda: "finding"),
        (rows.exception, "until", lambda: NOW + dt.timedelta(days=99)),
        (rows.exception, "approved_by", rows.identity),
        (rows.exception, "system", rows.system),
        (rows.administrator, "identity", rows.identity),
        (rows.administrator, "since", lambda: EARLIER),
        (rows.ownership, "owner", rows.account),
        (rows.hold, "kind", lambda: "incident"),
    ],
)
def test_what_a_row_says_of_its_beginning_never_changes(
    because: Any, make: Callable[[], Any], field: str, other: Callable[[], Any]
) -> None:
    made = make()
    assert broken_by(changed(made, **{field: other()})) == "RC006"
    # Neither does the owner of the tables by chance, and what is written as it was is no change.
    with as_setup():
        assert broken_by(changed(made, **{field: other()})) == "RC006"
    assert changed(made, **{field: getattr(made, field)})() == 1


def test_a_role_that_ended_never_comes_back_and_one_with_an_end_never_lasts_longer(because: Any) -> None:
    role = rows.role(until=LATER)
    assert broken_by(changed(role, until=None)) == "RC026"
    assert broken_by(changed(role, until=LATER + dt.timedelta(hours=1))) == "RC026"
    assert changed(role, until=NOW)() == 1
    for until in (None, LATER, EARLIER):
        assert broken_by(changed(role, until=until)) == "RC026"


def test_the_application_lets_a_role_begin_when_it_is_given(because: Any) -> None:
    pair = {"asked_by": rows.identity(), "granted_by": rows.identity(), "user": rows.user(), "name": "security"}
    old = NOW - dt.timedelta(days=1)
    assert broken_by(lambda: Role.objects.create(**pair, tenant_id=current_tenant(), since=old)) == "RC027"
    assert Role.objects.create(**pair, tenant_id=current_tenant(), since=dt.datetime.now(dt.UTC)).made_by_setup is False


def by_setup(**values: Any) -> Role:
    given = {"user": rows.user(), "name": "administrator", "since": dt.datetime.now(dt.UTC), "made_by_setup": True}
    return Role.objects.create(**given | values)


def test_without_a_second_person_the_application_gives_roles_to_two_administrators_alone(because: Any) -> None:
    here = current_tenant()
    for name in RoleName.values:
        assert broken_by(lambda name=name: by_setup(tenant_id=here, name=name)) == "RC028"
    by_setup()
    second = by_setup()
    assert broken_by(by_setup) == "RC028"
    # A second name of the same person is no third; somebody who can't sign in makes room.
    User.objects.filter(pk=second.user_id).update(is_active=False)
    by_setup()
    assert broken_by(by_setup) == "RC028"


@pytest.mark.parametrize("kind", ["demo", "sandbox"])
def test_in_a_tenant_made_to_be_tried_set_up_gives_roles_and_exceptions(kind: str) -> None:
    with scope(cause=a_cause()):
        tried = rows.tenant(kind=kind)
    with scope(tenant=tried.pk, cause=a_cause()):
        assert by_setup(tenant=tried, name="security").made_by_setup
        assert an_exception().made_by_setup


def an_exception(**values: Any) -> PolicyException:
    given = {"kind": "reactivation", "reason": "a test", "made_by_setup": True, "starts_at": NOW, "until": LATER}
    return PolicyException.objects.create(**given | {"tenant_id": current_tenant()} | values)


def test_the_application_makes_no_exception_without_a_second_person(because: Any) -> None:
    assert broken_by(an_exception) == "RC028"
    two = {"made_by_setup": False, "asked_by": rows.identity(), "approved_by": rows.identity()}
    assert an_exception(**two).made_by_setup is False


def test_an_exception_that_ended_stays_ended(because: Any) -> None:
    made = rows.exception()
    assert changed(made, ended_at=LATER)() == 1
    assert changed(made, ended_at=NOW)() == 1
    for ended_at in (None, LATER):
        assert broken_by(changed(made, ended_at=ended_at)) == "RC029"


def test_whoever_stops_administering_a_system_stops_when_it_happens_and_once(because: Any) -> None:
    made = rows.administrator()
    assert broken_by(changed(made, until=NOW - dt.timedelta(days=31))) == "RC030"
    now = dt.datetime.now(dt.UTC)
    assert changed(made, until=now)() == 1
    for until in (None, now - dt.timedelta(minutes=1), LATER):
        assert broken_by(changed(made, until=until)) == "RC030"
