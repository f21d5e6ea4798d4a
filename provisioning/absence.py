"""Absence, asked about before it is believed: what a whole reading leaves out is read by itself at its system.

A few missing accounts are asked for one by one, by id and by name. Only one that is not there either is proved absent, and
wanted ended. One that is there is a fault of the listing: then the reading is not whole, and nothing follows from what
it left out. Of one that could not be asked nothing follows. Many at once are asked for by nobody: they are the brake's.
"""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from uuid import UUID

from django.db.models import QuerySet

from accounts.findings import open_or_raise, resolve
from accounts.models.system import SystemKind
from audit import crashpoints
from audit.redaction import redact_text
from audit.scope import scope
from provisioning import authority, brake, comparison, connections, differences, proofs, readback, readers
from provisioning.connectors.addresses import EgressError
from provisioning.connectors.contract import Reader
from provisioning.differences import NAMED, Row
from provisioning.models.authority import FieldAuthority
from provisioning.models.connection import Connection
from provisioning.models.readback import Readback, ReadResult
from provisioning.models.run import Run
from provisioning.models.snapshot import Snapshot, StagedResource
from provisioning.snapshot import PATIENCE, StopAsked, Work

# More would trip the brake in any case: people look at those, and no server is asked so often.
MOST = brake.MOST
THERE = frozenset({ReadResult.ACTIVE, ReadResult.INACTIVE})
Clock = Callable[[], datetime]

ASKED = crashpoints.point("run.asked", where="a missing account is asked for, the answer is not written")


@dataclass(frozen=True)
class Question:
    """How many accounts a reading left out, and whether each is asked for by itself."""

    missing: int
    is_asked: bool


def question(snapshot: Snapshot) -> Question:
    """What is to be asked after a reading whose own proofs hold. Nothing where absence there ends nobody anyway."""
    if not means_ended(snapshot):
        return Question(0, is_asked=False)
    missing = sum(1 for _one in comparison.missing_accounts(snapshot))
    return Question(missing, is_asked=0 < missing <= MOST)


def means_ended(snapshot: Snapshot) -> bool:
    """Whether absence at a system says that an account has ended: of a directory whose word about `active` counts."""
    if snapshot.system.kind == SystemKind.APPLICATION:
        return False
    rules = authority.rules_for(snapshot.system)
    return authority.status(active=False, document={}, rules=rules).active is False


def ask(*, work: Work, clock: Clock, go_on: Callable[[], bool]) -> bool:
    """Ask for each missing account that has not been asked for yet, while `go_on` says so. True when all are.

    Each answer is a row of its own, written before the next is asked for: a crash costs one question. Opens its own
    scopes, and none around the network. Raises `LeaseLost`, `StopAsked`.
    """
    with scope(tenant=work.tenant):
        snapshot = Snapshot.objects.select_related("system").get(run=work.run)
        connection = Connection.objects.select_related("system").get(system=snapshot.system_id)
        rules = authority.rules_for(snapshot.system)
        asked = set(_answers(work.run).values_list("account_id", flat=True))
        todo = [one for one in islice(comparison.missing_accounts(snapshot), MOST) if one["account_id"] not in asked]
    with ExitStack() as stack:
        reader, problem = None, ""
        for number, one in enumerate(todo, start=1):
            if reader is None and not problem:
                reader, problem = _reached(connection, stack)
            result, detail = ReadResult.FAILED, problem
            if reader is not None and not problem:
                result, detail, problem = _asked(reader, one, rules)
            crashpoints.here(ASKED)
            _keep(work, one, result, detail, at=clock())
            if number < len(todo) and not go_on():
                return False
    return True


def _reached(connection: Connection, stack: ExitStack) -> tuple[Reader | None, str]:
    """The system, opened; or why nobody there can be asked."""
    try:
        return stack.enter_context(readers.opened(connection, max_wait_seconds=PATIENCE)), ""
    except EgressError as error:
        return None, error.reason
    except connections.SecretUnreadable as error:
        return None, str(error)


def _asked(reader: Reader, one: Row, rules: Sequence[FieldAuthority]) -> tuple[ReadResult, str, str]:
    """What a direct read shows and by what; and why nobody else need be asked for, where it can't be reached."""
    try:
        result, detail = readback.look(reader, external_id=one["external_id"], name=one["name"], rules=rules)
    except EgressError as error:
        return ReadResult.FAILED, error.reason, error.reason
    return result, detail, ""


def _keep(work: Work, one: Row, result: ReadResult, detail: str, *, at: datetime) -> None:
    with work.writing() as run:
        Readback.objects.create(
            tenant_id=run.tenant_id, account_id=one["account_id"], system=run.system, at=at, result=result,
            detail=redact_text(detail)[:400], run_id=run.pk,
        )  # fmt: skip
    if run.stop_asked_at is not None:
        raise StopAsked


def _answers(run: UUID) -> QuerySet[Readback]:
    return Readback.objects.filter(run_id=run)


# -- what follows


def settle(*, run: Run, snapshot: Snapshot, at: datetime) -> dict[str, int]:
    """Write the proof that the answers give, and say what the listing left out. Returns how many were asked and proved.

    One that is there under another id, which the listing shows, was not left out: but it has not ended either.
    """
    answers = list(_answers(run.pk).select_related("account").order_by("account__user_name"))
    there = [one for one in answers if one.result in THERE]
    shown = _shown(snapshot, there)
    left_out = [one for one in there if one.account_id not in shown]
    failed = [one for one in answers if one.result == ReadResult.FAILED]
    absent = [one for one in answers if one.result == ReadResult.ABSENT]
    if len(failed) < len(answers):
        parts = [
            f"{len(absent)} of {len(answers)} that were asked for one by one {_are(absent)} not there",
            _names("left out and there", left_out),
            _names("there under another id", [one for one in there if one.account_id in shown]),
            _names("could not be asked for", failed),
        ]
        detail = "; ".join(part for part in parts if part)
        proofs.verify_absence(snapshot=snapshot, holds=not left_out, detail=detail)
    if left_out:
        open_or_raise([differences.left_out(snapshot, [one.account.user_name for one in left_out], at=at)], at=at)
    return {"asked": len(answers), "proved_absent": len(absent), "could_not_be_asked": len(failed)}


def listed_whole(system: UUID, *, at: datetime) -> None:
    """A whole reading of a system leaves nothing out any more."""
    resolve([differences.left_out_key(system)], because="a complete reading leaves nothing out that is there", at=at)


def proved(run: UUID) -> frozenset[UUID]:
    """The accounts that a run proved to be absent."""
    return frozenset(_answers(run).filter(result=ReadResult.ABSENT).values_list("account_id", flat=True))


def _shown(snapshot: Snapshot, there: Sequence[Readback]) -> set[UUID]:
    """Those whose name the listing shows, under another id."""
    missing = {one["account_id"]: one["name_key"] for one in comparison.missing_accounts(snapshot)} if there else {}
    names = {one.account_id: missing.get(one.account_id, "") for one in there}
    listed = set(
        StagedResource.objects.filter(
            snapshot=snapshot, resource_type="User", name_key__in=set(names.values())
        ).values_list("name_key", flat=True)
    )
    return {account for account, name in names.items() if name in listed}


def _are(some: Sequence[Readback]) -> str:
    return "is" if len(some) == 1 else "are"


def _names(what: str, some: Sequence[Readback]) -> str:
    if not some:
        return ""
    more = f" and {len(some) - NAMED} more" if len(some) > NAMED else ""
    return f"{what}: {', '.join(differences.shown(one.account.user_name) for one in some[:NAMED])}{more}"
