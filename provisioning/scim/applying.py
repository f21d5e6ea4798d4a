"""What was acknowledged is applied, through the same door as a request: one at a time, each in one transaction.

The exchange has the key, the cause and the outcome that it would have had as a request. A refusal ends it like one,
unless something older waits that may be what it needs; a fault of ours does not, and is tried again.
"""

import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import connection

from audit.crashpoints import here, point
from audit.models import Cause, CauseKind
from audit.outages import is_outage
from audit.scope import scope
from provisioning import received as queue
from provisioning.changes import Intent, Outcome
from provisioning.models.connection import SystemToken
from provisioning.models.received import Received, ReceivedFrom, ReceivedState
from provisioning.scim import effects, lanes, observing, recording
from provisioning.scim.answers import Answer, refusal
from provisioning.scim.authentication import Caller
from provisioning.scim.effects import Asked, Done, TryAgain, translated, unavailable
from provisioning.scim.errors import ScimError, forbidden, internal
from provisioning.scim.keeping import kept_patch, kept_resource
from provisioning.scim.metadata.catalogue import RESOURCE_TYPES
from provisioning.scim.metadata.schema import ResourceType
from provisioning.scim.projection import read_projection
from provisioning.scim.receiving import TRIES, log_failure
from provisioning.scim.recording import Attempt

Clock = Callable[[], datetime]

BEFORE_EFFECT = point("apply-before-effect", where="the try is written down, nothing has been changed")
AFTER_EFFECT = point("apply-after-effect", where="effect and exchange are written, nothing is committed")
AFTER_COMMIT = point("apply-after-commit", where="one is applied and committed, the next is not begun")

LOOK_AGAIN = 0.02
"""Seconds after which a request that waits for others looks whether they are done."""

_KINDS = {kind.name: kind for kind in RESOURCE_TYPES}
_EFFECTS: dict[str, Callable[[Asked, Mapping[str, Any]], Done]] = {
    "POST": effects.create,
    "PUT": effects.replace,
    "PATCH": effects.patch,
    "DELETE": lambda asked, _body: effects.end(asked),
}
# What gives access, and so must not come after what was past it and took it away.
_GIVES = frozenset({Intent.CREATE, Intent.ENABLE, Intent.MEMBER_ADD, Intent.MEMBER_REPLACE})
# What another resource, that is still to be made, changed or ended, can be the reason of.
_MAY_PASS = frozenset({404, 409})


class _Superseded(Exception):
    """Something newer went past it, and would be undone by it."""


def apply_next(*, tenant: UUID, clock: Clock) -> bool:
    """Apply what is next in a tenant. Whether there was anything."""
    with _noting(tenant):
        begun = queue.begin(at=clock())
    if begun is None:
        return False
    if begun.state == ReceivedState.WAITING:
        _Application(tenant, begun, clock).run()
    return True


def catch_up(*, tenant: UUID, system: UUID, lane: str, clock: Clock, seconds: float) -> Received | None:
    """Apply what is open in a lane, for so long at most. What is first in it then; None where nothing is left."""
    ends_at = time.monotonic() + seconds
    tried: set[UUID] = set()
    while True:
        with scope(tenant=tenant):
            first = queue.first_in_lane(system=system, lane=lane)
        is_over = first is None or first.pk in tried or time.monotonic() > ends_at
        if first is None or is_over or queue.is_stuck(first, at=clock()):
            return first
        if first.next_try_at > clock():  # somebody is at it
            time.sleep(LOOK_AGAIN)
            continue
        with _noting(tenant):
            begun = queue.begin_one(received=first, at=clock())
        if begun is not None and begun.state == ReceivedState.WAITING:
            tried.add(begun.pk)
            _Application(tenant, begun, clock).run()


def _noting(tenant: UUID) -> AbstractContextManager[Any]:
    return scope(tenant=tenant, cause=Cause(kind=CauseKind.TASK, actor="intake", reason="what was received is applied"))


def give_up(*, received: Received, reason: str, at: datetime) -> Received:
    """What is parked is never applied: its exchange says so, and its lane goes on. Raises `queue.CantRelease`."""
    given_up = queue.give_up(received=received, reason=reason, at=at)
    attempt = attempt_of(given_up, _caller(given_up))
    attempt.refused(ScimError(500, None, "It could not be applied, and a person gave it up."), outcome=Outcome.PARKED)
    recording.insert(attempt, refusal(internal()), milliseconds=0)
    return given_up


def attempt_of(received: Received, caller: Caller) -> Attempt:
    """The exchange that it will be."""
    return Attempt(
        caller=caller, method=received.method, path=received.path, remote=received.remote, digest=received.request_digest,
        resource_type=received.resource_type, resource_id=received.resource_id, size=received.request_bytes,
        key=received.key, id=received.pk, if_match=received.if_match or "",
    )  # fmt: skip


def _caller(received: Received) -> Caller:
    # Whoever sent it was let in then; a token that has ended since takes nothing back of what was promised.
    if received.source == ReceivedFrom.FEED:  # we went there and listened: nobody was let in
        listener = SystemToken(id=received.token_id, tenant_id=received.tenant_id, system_id=received.system_id)
        return Caller(token=listener, secret="")
    return Caller(token=SystemToken.objects.get(pk=received.token_id), secret="")


class _Application:
    """One try."""

    def __init__(self, tenant: UUID, begun: Received, clock: Clock) -> None:
        self.tenant, self.begun, self.clock = tenant, begun, clock
        self.started = time.monotonic()
        self.caller = _caller(begun)
        self.attempt = attempt_of(begun, self.caller)

    @property
    def kind(self) -> ResourceType:
        return _KINDS[self.begun.resource_type]

    def run(self) -> None:
        """Apply it, refuse it, or write down that it has failed."""
        for left in reversed(range(TRIES)):
            try:
                self._apply()
            except TryAgain:
                if not left:
                    self._fail(unavailable())
            except Exception as error:
                if is_outage(error):
                    raise  # no fault of the change: it is tried again when its claim has run out
                self._end(error)  # a fault of ours is written down, and stops no other
                return
            else:
                return

    def _end(self, error: Exception) -> None:
        match error:
            case _Superseded():
                self._conclude(_superseded(), outcome=Outcome.SUPERSEDED)
            case ScimError():
                self._refuse(error)
            case queue.Unreadable():
                self._fail(ScimError(500, None, str(error)))
            case _:
                log_failure(error, exchange=str(self.attempt.id))
                self._fail(internal())

    def _scope(self) -> AbstractContextManager[Any]:
        cause = Cause(
            kind=CauseKind.EXCHANGE, actor=self.caller.system.name, subject=f"exchange {self.attempt.id}"
        )  # fmt: skip
        return scope(tenant=self.tenant, cause=cause)

    def _apply(self) -> None:
        """The effect, its exchange and the end of the promise in one transaction."""
        with self._scope():
            item = queue.locked(begun=self.begun)
            if item is None:
                return
            at = self.clock()
            here(BEFORE_EFFECT)
            try:
                answer = self._effect(item, at=at)
                with connection.cursor() as cursor:
                    # As for a request: without this they would break the commit, after "applied".
                    cursor.execute("SET CONSTRAINTS ALL IMMEDIATE; SET CONSTRAINTS ALL DEFERRED")
            except _Superseded:
                raise
            except Exception as error:
                found = translated(error)
                if found is None:
                    raise
                raise found from error
            recording.insert(self.attempt, answer, milliseconds=self._milliseconds())
            queue.done(received=item, at=at)
            here(AFTER_EFFECT)
        here(AFTER_COMMIT)

    def _effect(self, item: Received, *, at: datetime) -> Answer:
        attempt, kind = self.attempt, self.kind
        if self.caller.system.ended_at is not None:
            raise forbidden("This connection has ended.")
        body = queue.body_of(item)
        if body:
            attempt.request = (kept_patch if item.method == "PATCH" else kept_resource)(body, kind)
        is_heard = item.source == ReceivedFrom.FEED
        states_all = item.is_overtaken_wholly or is_heard or item.method == "PUT"
        if item.overtaken_by is not None and states_all and item.method != "DELETE":
            raise _Superseded
        if item.reduces:
            how = lanes.reduction("PUT" if is_heard else item.method, body, kind)
            queue.overtake(
                system=item.system_id, lane=item.lane, by=attempt.id, wholly=how == lanes.Reduction.WHOLE, before=item
            )
        asked = self._asked(item, at=at)
        if is_heard and (known := observing.found(asked, body)) and observing.is_stale(known, heard=item.pk):
            attempt.about(known)
            raise _Superseded
        done = self._heard(asked, body) if is_heard else _EFFECTS[item.method](asked, body)
        if item.overtaken_by is not None and done.taken.intent in _GIVES:
            raise _Superseded
        attempt.took(done.taken)
        attempt.coercions = done.coercions
        return done.answer

    def _heard(self, asked: Asked, body: Mapping[str, Any]) -> Done:
        sent = observing.as_sent(asked, body)
        self.attempt.method, self.attempt.path = sent.method, sent.path
        self.attempt.request = kept_resource(sent.body, self.kind)
        return sent.noted(_EFFECTS[sent.method](sent.asked, sent.body))

    def _asked(self, item: Received, *, at: datetime) -> Asked:
        return Asked(
            sender=effects.sender(self.caller, exchange_id=item.pk, at=at),
            resource_type=self.kind,
            at=at,
            base=item.base,
            projection=read_projection({}, self.kind),
            id=item.resource_id,
            if_match=item.if_match,
        )

    def _refuse(self, error: ScimError) -> None:
        """A refusal is the end, unless something older that waits may be what it needs."""
        if error.status in _MAY_PASS or error.scim_type == "invalidValue":
            with _noting(self.tenant):
                item = queue.locked(begun=self.begun)
                if item is None:
                    return
                if queue.waits_for_others(received=item):
                    queue.postpone(received=item, error=error.record, at=self.clock())
                    return
        self._conclude(error)

    def _conclude(self, error: ScimError, *, outcome: Outcome = Outcome.REJECTED) -> None:
        """Nothing took effect: the exchange says so, and the promise is kept."""
        with self._scope():
            item = queue.locked(begun=self.begun)
            if item is None:
                return
            if outcome == Outcome.REJECTED:
                recording.refuse(self.attempt, error, at=self.clock())
            else:
                self.attempt.refused(error, outcome=outcome)
            recording.insert(self.attempt, refusal(error), milliseconds=self._milliseconds())
            queue.done(received=item, at=self.clock())

    def _fail(self, error: ScimError) -> None:
        with _noting(self.tenant):
            item = queue.locked(begun=self.begun)
            if item is not None:
                queue.failed(received=item, error=error.record, at=self.clock())

    def _milliseconds(self) -> int:
        return round((time.monotonic() - self.started) * 1000)


def _superseded() -> ScimError:
    return ScimError(409, None, "A later change of this resource went before this one, which would undo it.")
