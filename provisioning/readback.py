"""Every ending is read back: one targeted read of the account in each system that it lives in, within five minutes.

Off (absent or inactive) settles it. Still active is a finding, read again and again until it is off; not read is one as
well. A system without a connector can't be read back: nothing is recorded of it here, since it is shown as not measured
as a whole (`freshness.watch_freshness`). Nor can one that sends files: the next file shows it, and its complete reading
opens the finding, or its age does.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from django.db.models import Q

from accounts import lifecycle
from accounts.findings import Wrong, open_or_raise, resolve
from accounts.models.account import Account, AccountState
from accounts.models.finding import FindingKind, Severity
from audit import crashpoints
from audit.models import Cause, CauseKind
from audit.redaction import redact_text
from audit.scope import scope
from provisioning import authority, connections, readers
from provisioning.connectors.contract import Absent, Reader, Unknown
from provisioning.connectors.egress import EgressError
from provisioning.connectors.readings import BadAnswer, Reading
from provisioning.models.authority import FieldAuthority
from provisioning.models.connection import Connection
from provisioning.models.readback import Readback, ReadResult
from provisioning.models.shadow import Shadow
from provisioning.systems import still_active_key

BATCH = 50
# A sweep ticks now and then: what is due before the next tick is read now, so that "within five minutes" stays true.
AHEAD = timedelta(seconds=30)
# How long others leave a claimed account alone. Longer than a batch takes; a worker that died costs this much.
LEASE = timedelta(minutes=5)
# Read again after this, doubled each time it shows the same, up to the most.
AGAIN = {ReadResult.ACTIVE: timedelta(minutes=15), ReadResult.FAILED: timedelta(minutes=1)}
MOST = {ReadResult.ACTIVE: timedelta(hours=4), ReadResult.FAILED: timedelta(minutes=15)}
PATIENCE = 5.0  # seconds for a server that is busy
OFF = frozenset({ReadResult.ABSENT, ReadResult.INACTIVE})
Clock = Callable[[], datetime]

READ = crashpoints.point("readback.read", where="a batch is read back, nothing of it is written")


@dataclass(frozen=True, kw_only=True)
class _Target:
    """One account in one system, as it is read."""

    account: UUID
    name: str
    state: AccountState
    is_privileged: bool
    since: datetime
    shadow_name: str
    external_id: str
    connection: Connection
    rules: Sequence[FieldAuthority]


@dataclass(frozen=True)
class _Seen:
    """What one read showed."""

    target: _Target
    result: ReadResult
    detail: str


def not_read_key(system: UUID, account: UUID) -> str:
    """The dedupe key of "its ending was not read back"."""
    return f"not_read_back:{system}:{account}"


def read_due(*, tenant: UUID, clock: Clock, go_on: Callable[[], bool]) -> int:
    """Read back what is due in one tenant, in batches, while `go_on` says so. Returns how many reads were made.

    Safe to run twice and at once: each batch is claimed first. Opens its own scopes, and none around the network.
    """
    made = 0
    while True:
        claimed_at = clock()
        with scope(tenant=tenant, cause=_cause()):
            claimed = claim(at=claimed_at)
            targets = _targets(claimed)
            _let_go(claimed, targets, up_to=claimed_at + LEASE, at=claimed_at)
        seen = _read(targets)
        crashpoints.here(READ)
        if seen:
            with scope(tenant=tenant, cause=_cause()):
                keep(seen, up_to=claimed_at + LEASE, at=clock())
        made += len(seen)
        if len(claimed) < BATCH or not go_on():
            return made


def _cause() -> Cause:
    return Cause(kind=CauseKind.TASK, actor="sweep", reason="endings are read back")


def claim(*, at: datetime) -> list[Account]:
    """Accounts whose read-back is due; others leave them alone for the lease. Rows that another holds are passed over."""
    due = Account.objects.select_for_update(skip_locked=True, of=("self",), no_key=True).filter(
        read_due_at__lte=at + AHEAD
    )
    claimed = list(due.order_by("read_due_at")[:BATCH])
    lifecycle.read_again(accounts=[a.pk for a in claimed], at=at + LEASE)
    return claimed


def _targets(accounts: Iterable[Account]) -> list[_Target]:
    """Where each lives, or lived until it ended: one resource for each system that can be read."""
    off = {a.pk: a for a in accounts if a.state in {AccountState.SUSPENDED, AccountState.DEPROVISIONED}}
    readable = {
        c.system_id: c
        for c in Connection.objects.select_related("system").filter(
            system__ended_at__isnull=True, connector__in=readers.ASKABLE
        )
    }
    shadows = Shadow.objects.filter(account__in=off, system__in=readable, resource_type="User")
    latest: dict[tuple[UUID, UUID], Shadow] = {}
    # The living one, if there is one; else the one that ended last. One that ended long before says nothing any more.
    for shadow in shadows.order_by("made_at"):
        account = off[_known(shadow.account_id)]
        if shadow.ended_at is None or shadow.ended_at >= account.state_since - LEASE:
            key = (account.pk, shadow.system_id)
            if key not in latest or latest[key].ended_at is not None:
                latest[key] = shadow
    rules = authority.rules_by_system(readable.keys())
    return [
        _target(off[account], shadow, readable[system], rules[system]) for (account, system), shadow in latest.items()
    ]


def _known(account: UUID | None) -> UUID:
    if account is None:
        raise LookupError("a User resource without an account: the database refuses it")
    return account


def _target(account: Account, shadow: Shadow, connection: Connection, rules: Sequence[FieldAuthority]) -> _Target:
    return _Target(
        account=account.pk,
        name=account.user_name,
        state=AccountState(account.state),
        is_privileged=account.is_privileged,
        since=account.state_since,
        shadow_name=shadow.name,
        external_id=shadow.external_id,
        connection=connection,
        rules=rules,
    )


def _let_go(claimed: Iterable[Account], targets: Iterable[_Target], *, up_to: datetime, at: datetime) -> None:
    """What is on again, or lives where nothing can be read, is no longer due."""
    reached = {t.account for t in targets}
    others = [a for a in claimed if a.pk not in reached]
    lifecycle.was_read_back(accounts=[a.pk for a in others], up_to=up_to)
    on = [a.pk for a in others if a.state in {AccountState.ACTIVE, AccountState.PENDING}]
    if on:
        everywhere = Shadow.objects.filter(account__in=on).values_list("system_id", "account_id").distinct()
        keys = [key(system, _known(a)) for system, a in everywhere for key in (still_active_key, not_read_key)]
        resolve(keys, because="it is no longer off here", at=at)


# -- reading


def _read(targets: Iterable[_Target]) -> list[_Seen]:
    """Read each target, system by system; one that can't be reached is asked once for the whole batch."""
    by_system: dict[UUID, list[_Target]] = {}
    for target in targets:
        by_system.setdefault(target.connection.system_id, []).append(target)
    return [seen for group in by_system.values() for seen in _read_system(group)]


def _read_system(targets: list[_Target]) -> list[_Seen]:
    connection = targets[0].connection
    if connection.paused_at is not None:
        return _failed(targets, f"{connection.system.name} is paused since {connection.paused_at:%Y-%m-%d %H:%M} UTC")
    seen: list[_Seen] = []
    try:
        with readers.opened(connection, max_wait_seconds=PATIENCE) as reader:
            for target in targets:
                result = _read_one(reader, target)
                seen.append(result)
    except EgressError as error:
        return seen + _failed(targets[len(seen) :], error.reason)
    except connections.SecretUnreadable as error:
        return seen + _failed(targets[len(seen) :], str(error))
    return seen


def _failed(targets: Iterable[_Target], reason: str) -> list[_Seen]:
    return [_Seen(target, ReadResult.FAILED, reason) for target in targets]


def _read_one(reader: Reader, target: _Target) -> _Seen:
    result, detail = look(reader, external_id=target.external_id, name=target.shadow_name, rules=target.rules)
    return _Seen(target, result, detail)


def look(reader: Reader, *, external_id: str, name: str, rules: Sequence[FieldAuthority]) -> tuple[ReadResult, str]:
    """Read one account at its system, and say what it shows and by what. Raises `EgressError` where nobody answers.

    By id, and by name where that shows nothing: not every directory's externalId is its id, and absence is proved.
    """
    answer = reader.get("User", external_id) if external_id else Absent()
    if isinstance(answer, Absent):
        answer = reader.named("User", name)
    if isinstance(answer, Absent):
        return ReadResult.ABSENT, "neither its id nor its name is there"
    if isinstance(answer, Unknown):
        return ReadResult.FAILED, answer.reason
    try:
        reading = Reading.of(answer.document)
    except BadAnswer as error:
        return ReadResult.FAILED, error.reason
    word = authority.status(active=reading.active, document=reading.document, rules=rules)
    if reading.active is False or word.active is False:
        # By what it shows of itself, or by what its status is derived from.
        return ReadResult.INACTIVE, word.because if word.active is False else "active is false"
    return ReadResult.ACTIVE, "active is true" if reading.active else "it is there, and active is not said"


# -- what follows


def keep(seen: list[_Seen], *, up_to: datetime, at: datetime) -> None:
    """Write what was seen: a row each, findings opened and closed, and when each account is read again.

    Where something newer was decided meanwhile, only the row is written: the newer word has a read-back of its own.
    """
    Readback.objects.bulk_create(
        Readback(
            tenant_id=one.target.connection.tenant_id, account_id=one.target.account,
            system_id=one.target.connection.system_id, at=at, result=one.result, detail=redact_text(one.detail)[:400],
        )
        for one in seen
    )  # fmt: skip
    accounts = Account.objects.select_for_update(no_key=True).filter(pk__in=[one.target.account for one in seen])
    since = dict(accounts.order_by("pk").values_list("pk", "state_since"))
    seen = [one for one in seen if since.get(one.target.account) == one.target.since]
    if seen:
        open_or_raise(_wrongs(seen, at=at), at=at)
        _resolve(seen, at=at)
        _when_again(seen, up_to=up_to, at=at)


def _resolve(seen: Iterable[_Seen], *, at: datetime) -> None:
    resolve(
        [key(one.target.connection.system_id, one.target.account) for one in seen for key in _closed_by(one.result)],
        because="read back: it is off there",
        at=at,
    )
    resolve(
        [
            not_read_key(one.target.connection.system_id, one.target.account)
            for one in seen
            if one.result == ReadResult.ACTIVE
        ],
        because="it could be read",
        at=at,
    )


def _closed_by(result: ReadResult) -> tuple[Callable[[UUID, UUID], str], ...]:
    return (still_active_key, not_read_key) if result in OFF else ()


def _wrongs(seen: Iterable[_Seen], *, at: datetime) -> list[Wrong]:
    wrongs = []
    for one in seen:
        target, system = one.target, one.target.connection.system
        word = target.state.label
        evidence = {"here": str(target.state), "there": str(one.result), "detail": redact_text(one.detail)[:400]}
        severity = Severity.CRITICAL if target.is_privileged else Severity.HIGH
        if one.result == ReadResult.ACTIVE:
            wrongs.append(
                Wrong(
                    kind=FindingKind.STILL_ACTIVE, key=still_active_key(system.pk, target.account),
                    title=f"{target.name}: {word} here, still active at {system.name}", severity=severity,
                    account=target.account, system=system.pk, evidence=evidence,
                    due_at=target.since + timedelta(days=1),
                )
            )  # fmt: skip
        elif one.result == ReadResult.FAILED and at >= target.since + lifecycle.READ_BACK_WITHIN:
            wrongs.append(
                Wrong(
                    kind=FindingKind.NOT_READ_BACK, key=not_read_key(system.pk, target.account),
                    title=f"{target.name}: {word} here, and {system.name} could not be read to see it",
                    severity=severity, account=target.account, system=system.pk, evidence=evidence,
                    due_at=target.since + timedelta(days=1),
                )
            )  # fmt: skip
    return wrongs


def _when_again(seen: Iterable[_Seen], *, up_to: datetime, at: datetime) -> None:
    """Off everywhere: done. Else again at the nearest of its times, each doubled as often as it showed the same."""
    results: dict[UUID, set[ReadResult]] = {}
    for one in seen:
        results.setdefault(one.target.account, set()).add(one.result)
    lifecycle.was_read_back(accounts=list(results), up_to=up_to)
    history = _history({one.target.account: one.target.since for one in seen})
    # One that is due again already was asked for anew: that stands.
    idle = set(Account.objects.filter(pk__in=results, read_due_at__isnull=True).values_list("pk", flat=True))
    for account in idle:
        shown = results[account]
        waits = [_wait(result, history.get((account, result), 1)) for result in shown - OFF]
        if waits:
            lifecycle.read_again(accounts=[account], at=at + min(waits))


def _wait(result: ReadResult, times: int) -> timedelta:
    # Past sixteen doublings every wait is the longest one: no number of reads makes it overflow.
    wait: timedelta = min(AGAIN[result] * 2 ** min(times - 1, 16), MOST[result])
    return wait


def _history(since: Mapping[UUID, datetime]) -> dict[tuple[UUID, ReadResult], int]:
    """How often each account showed what since it went off, the reads just written included."""
    earliest = min(since.values())
    rows = Readback.objects.filter(
        Q(result=ReadResult.ACTIVE) | Q(result=ReadResult.FAILED), account__in=since, at__gte=earliest
    )
    counted: dict[tuple[UUID, ReadResult], int] = {}
    for account, result, at in rows.values_list("account_id", "result", "at"):
        if at >= since[account]:
            key = (account, ReadResult(result))
            counted[key] = counted.get(key, 0) + 1
    return counted
