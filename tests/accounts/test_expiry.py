"""The expiry sweep: told ahead, off at the end, ended a month later; twice is once, and one bad row stops no other."""

import datetime as dt

import pytest
from django.db import connection

from accounts import expiry, lifecycle, ownership, tasks
from accounts.models import Account, AccountKind, Finding, Hold
from audit import crashpoints
from audit.models import Cause
from audit.scope import scope
from tests.conftest import AT, a_cause, as_owner

DAY = dt.timedelta(days=1)
SECOND = dt.timedelta(seconds=1)


@pytest.fixture
def acting(tenant):
    return lambda **more: scope(tenant=tenant.pk, cause=a_cause(**more))


@pytest.fixture
def clock(monkeypatch):
    """The task's clock stands where the test puts it."""

    class Clock:
        now = AT

    monkeypatch.setattr(tasks, "_now", lambda: Clock.now)
    return Clock


def account(tenant, name, expires_at, **more):
    return lifecycle.create(
        **{
            "tenant_id": tenant.pk, "kind": AccountKind.PERSON, "user_name": name, "user_name_key": name,
            "is_active": True, "at": AT - 100 * DAY, "expires_at": expires_at,
        } | more
    )  # fmt: skip


def service(tenant, name, expires_at):
    made = account(tenant, name, expires_at, kind=AccountKind.SERVICE, purpose="deploys")
    owner = account(tenant, f"owner of {name}", None)
    ownership.accept(ownership=ownership.offer(account=made, owner=owner, at=AT - 100 * DAY), at=AT - 100 * DAY)
    made.refresh_from_db()
    assert made.state == "active"
    return made


def states():
    return dict(Account.objects.values_list("user_name", "state"))


def live():
    rows = Finding.objects.filter(state="open", kind="expires").order_by("title")
    return [(f.title, f.severity, f.stage, f.due_at) for f in rows]


# -- told ahead


@pytest.mark.parametrize(
    ("left", "told"),
    [
        (30 * DAY + SECOND, None),
        (30 * DAY, ("30", 1)),
        (14 * DAY + SECOND, ("30", 1)),
        (14 * DAY, ("14", 2)),
        (7 * DAY, ("7", 3)),
        (DAY + SECOND, ("7", 3)),
        (DAY, ("1", 4)),
        (-DAY, ("1", 4)),
    ],
)
def test_an_expiry_is_told_at_thirty_fourteen_seven_and_one_days(tenant, because, left, told):
    account(tenant, "ann", AT + left)
    assert expiry.tell(at=AT) == (0 if told is None else 1)
    verb = "is past its end" if left <= dt.timedelta(0) else "ends"
    title = f"ann {verb} {AT + left:%Y-%m-%d}"
    assert live() == ([] if told is None else [(title, told[1], told[0], AT + left)])


def test_each_stage_raises_the_same_finding_once(tenant, because):
    service(tenant, "svc", AT + 20 * DAY)
    assert [expiry.tell(at=AT + day * DAY) for day in range(20)] == [
        1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 1
    ]  # fmt: skip
    assert [(f.severity, f.stage, f.first_seen_at) for f in Finding.objects.filter(kind="expires")] == [(4, "1", AT)]
    assert Finding.objects.get(kind="expires").controls == [
        "NHI1:2025 Improper Offboarding", "NHI7:2025 Long-Lived Secrets", "ID.AM-08"
    ]  # fmt: skip


def test_a_renewed_or_ended_account_closes_its_finding(tenant, because):
    ann, bob = account(tenant, "ann", AT + DAY), account(tenant, "bob", AT + DAY)
    expiry.tell(at=AT)
    lifecycle.renew(account=ann, until=AT + 90 * DAY, reason="still here", at=AT)
    lifecycle.deprovision(accounts=[bob.pk], reason="left", at=AT)
    assert expiry.tell(at=AT) == 0
    assert live() == []
    assert set(Finding.objects.filter(kind="expires").values_list("resolution", flat=True)) == {"renewed or ended"}


# -- off at the end, ended a month later


def test_what_is_past_its_expiry_is_suspended_and_ended_thirty_days_after(tenant, acting, clock):
    with acting():
        service(tenant, "past", AT)
        account(tenant, "later", AT + SECOND)
        account(tenant, "never", None)
    tasks.sweep_expiry()
    with acting():
        assert states() == {"past": "suspended", "owner of past": "active", "later": "active", "never": "active"}
        hold = Hold.objects.get()
        assert (hold.kind, hold.reason, hold.placed_by) == ("expired", "past its expiry", "sweep")
        assert Account.objects.get(user_name="past").read_due_at == AT + dt.timedelta(minutes=5)
        cause = Cause.objects.get(pk=Account.history.filter(user_name="past").order_by("-history_id")[0].cause_id)
        assert (cause.kind, cause.actor, cause.reason) == ("task", "sweep", "expiries are due")
    clock.now = AT + 30 * DAY - SECOND
    tasks.sweep_expiry()
    with acting():
        assert states() == {"past": "suspended", "owner of past": "active", "later": "suspended", "never": "active"}
    clock.now = AT + 30 * DAY
    tasks.sweep_expiry()
    with acting():
        assert states() == {"past": "deprovisioned", "owner of past": "active", "later": "suspended", "never": "active"}
        assert Account.objects.get(user_name="past").epoch == 1


def test_a_late_sweep_suspends_first_and_the_month_runs_from_then(tenant, acting, clock):
    with acting():
        account(tenant, "ann", AT - 90 * DAY)
    tasks.sweep_expiry()
    with acting():
        assert states() == {"ann": "suspended"}


def test_a_second_sweep_writes_nothing(tenant, acting, clock):
    with acting():
        service(tenant, "past", AT)
        account(tenant, "soon", AT + 3 * DAY)
    tasks.sweep_expiry()

    def written():
        with acting():
            return Account.history.count(), Hold.history.count(), Finding.history.count()

    before = written()
    tasks.sweep_expiry()
    assert written() == before


def test_batches_go_on_until_nothing_is_left_each_with_its_own_cause(tenant, acting, clock, monkeypatch):
    monkeypatch.setattr(expiry.claim_expired, "__kwdefaults__", {"limit": 2, "besides": ()})
    with acting():
        for number in range(5):
            account(tenant, f"u{number}", AT)
    tasks.sweep_expiry()
    with acting():
        assert set(states().values()) == {"suspended"}
        assert Hold.history.values("cause_id").distinct().count() == 3


# -- what goes wrong


@pytest.fixture
def one_bad_row(tenant, acting):
    """The database refuses to suspend "bad", and nobody else."""
    with acting():
        for name in ("a", "bad", "c"):
            account(tenant, name, AT)
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE; SET CONSTRAINTS ALL DEFERRED")
        with as_owner():
            cursor.execute(
                "ALTER TABLE accounts_account ADD CONSTRAINT stubborn"
                " CHECK (user_name <> 'bad' OR state <> 'suspended') NOT VALID"
            )


def test_one_bad_row_stops_no_other_and_is_a_finding(acting, clock, one_bad_row):
    tasks.sweep_expiry()
    with acting():
        assert states() == {"a": "suspended", "bad": "active", "c": "suspended"}
        assert list(Hold.objects.values_list("account__user_name", flat=True).order_by("account__user_name")) == [
            "a",
            "c",
        ]
        found = Finding.objects.get(kind="sweep_failed")
        assert (found.title, found.severity) == ("the expiry of bad could not be carried out", 4)
        # The class alone: the database's message holds the row.
        assert found.evidence == {"error": "CheckViolation"}


def test_an_account_past_its_expiry_is_never_answered_as_active_however_late_the_sweep(tenant, because):
    ann = account(tenant, "ann", AT)
    assert ann.state == "active"
    assert (ann.is_active(at=AT - SECOND), ann.is_active(at=AT)) == (True, False)


def test_a_tenant_that_fails_stops_no_other(make_tenant, clock, monkeypatch):
    tenants = [make_tenant(f"t{number}") for number in range(3)]
    for one in tenants:
        with scope(tenant=one.pk, cause=a_cause()):
            account(one, "ann", AT)
    original = lifecycle.suspend

    def suspend(*, accounts, **more):
        if Account.objects.filter(pk__in=accounts, tenant=tenants[1]).exists():
            raise RuntimeError("no database error: a fault of ours")
        return original(accounts=accounts, **more)

    monkeypatch.setattr(lifecycle, "suspend", suspend)
    tasks.sweep_expiry()
    found = {}
    for one in tenants:
        with scope(tenant=one.pk):
            found[one.slug] = states()["ann"]
    assert found == {"t0": "suspended", "t1": "active", "t2": "suspended"}


def test_a_sweep_that_is_killed_in_a_batch_leaves_nothing_of_it_and_the_next_does_it(
    tenant, acting, clock, monkeypatch
):
    class Killed(BaseException):
        pass

    def die(name):
        assert name == "expiry.batch_written"
        raise Killed

    with acting():
        account(tenant, "ann", AT)
    with monkeypatch.context() as patch:
        patch.setattr(crashpoints, "here", die)
        with pytest.raises(Killed):
            tasks.sweep_expiry()
    with acting():
        assert (states(), Hold.objects.count()) == ({"ann": "active"}, 0)
    tasks.sweep_expiry()
    with acting():
        assert states() == {"ann": "suspended"}


def test_after_its_minute_a_sweep_leaves_the_rest_to_the_next(tenant, acting, clock, monkeypatch):
    monkeypatch.setattr(expiry.claim_expired, "__kwdefaults__", {"limit": 1, "besides": ()})
    monkeypatch.setattr(tasks, "MINUTE", 0.0)
    with acting():
        account(tenant, "ann", AT)
        account(tenant, "bob", AT)
    tasks.sweep_expiry()
    with acting():
        assert set(states().values()) == {"active"}
    assert tasks._sweep_tenant(tenant.pk, go_on=lambda: False).suspended == 1
