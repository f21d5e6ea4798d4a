"""A change that is acknowledged before it is applied (`Prefer: respond-async`, RFC 7240 section 4.1, RFC 9967).

It is authenticated, held to its pace and read as far as JSON goes, as any request; then it is committed as a Received,
and answered 202. Whoever does not ask for that is answered as ever, in the order of what is open for the same resource:
that is applied first, in the request. Only what takes access away waits for nobody.
"""

import re
import time
from datetime import timedelta
from typing import Any, ClassVar
from uuid import UUID

from django.db import DatabaseError
from django.http import HttpRequest

from audit.crashpoints import here, point
from provisioning import received as queue
from provisioning import tasks
from provisioning.changes import Outcome
from provisioning.models.received import ReceivedState
from provisioning.scim import applying, recording
from provisioning.scim.answers import Answer
from provisioning.scim.effects import translated
from provisioning.scim.errors import ScimError, invalid_value, too_many_requests
from provisioning.scim.lanes import Reduction, is_addressed, name_in, reduction
from provisioning.scim.metadata.schema import ResourceType
from provisioning.scim.receiving import Receiver
from provisioning.scim.recording import Attempt

WRITTEN = point("received-before-commit", where="a change is written down, nothing is committed")
PROMISED = point("received-after-commit", where="a change is received and committed, its sender has no 202")

RESPOND_ASYNC = "respond-async"
# How long a request applies what is before it: whoever takes access away hardly waits.
SECONDS, SECONDS_OF_REDUCTION = 5.0, 1.0
_RETRY = 60
_RETRY_SOON = 2
# What is quoted is no preference (RFC 7240 section 2).
_QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"?')


def wants_later(header: str) -> bool:
    """Whether the header `Prefer` asks to be answered before it is done. For how long (`wait`) says nothing here."""
    names = (re.split("[;=]", part)[0].strip() for part in _QUOTED.sub("", header).split(","))
    return any(name.lower() == RESPOND_ASYNC for name in names)


class LaneReceiver(Receiver):
    """What changes one resource, in the order in which changes of it have come."""

    resource_type: ClassVar[ResourceType]
    body: dict[str, Any]
    overtakes: Reduction | None = None

    def _close(self, request: HttpRequest, args: Any, kwargs: Any, attempt: Attempt, *, started: float) -> None:
        if self.early is None and self._is_change(attempt):
            if wants_later(request.headers.get("Prefer", "")) and not self.is_part:
                self._promise(request, attempt)
                if self.early is None:
                    return
            elif self.caller.has_sent_ahead:
                self._keep_order(attempt)
        super()._close(request, args, kwargs, attempt, started=started)

    def _framed(self, request: HttpRequest, args: Any, kwargs: Any) -> None:
        """Say on what it goes past that it did, before anything is locked that those could wait for."""
        attempt = self.attempt
        if self.overtakes is not None and attempt is not None:
            wholly = self.overtakes is Reduction.WHOLE
            queue.overtake(system=self.caller.token.system_id, lane=self._lane(attempt), by=attempt.id, wholly=wholly)
        super()._framed(request, args, kwargs)

    def _is_change(self, attempt: Attempt) -> bool:
        """Whether it is one that could be done; what can never be is refused at once."""
        return attempt.method.lower() in self.http_method_names and is_addressed(attempt.method, attempt.resource_id)

    def _said(self, attempt: Attempt) -> dict[str, Any]:
        """The body; nothing for what has none."""
        return self.body if attempt.method != "DELETE" else {}

    def _lane(self, attempt: Attempt) -> str:
        """What keeps the order of changes of one resource; nobody reads a name out of it."""
        if attempt.resource_id is not None:
            return str(attempt.resource_id)
        name = name_in(self._said(attempt), self.resource_type)
        return recording.keyed_digest("lane", name, tenant=attempt.tenant) if name else str(self.caller.token.system_id)

    # -- answered later

    def _promise(self, request: HttpRequest, attempt: Attempt) -> None:
        """Commit it, and answer that it was received. A repeat of what was, is answered as that was."""
        with self._scope(attempt):
            earlier = self._repeated(attempt)
            if earlier is None and self.early is None:
                self._receive(request, attempt)
            here(WRITTEN)
        if self.early is not None:
            return
        self.answer = self._accepted(earlier or attempt.id)
        here(PROMISED)
        if earlier is None and not self.caller.is_waited_for:
            tasks.apply_soon()

    def _accepted(self, id: UUID) -> Answer:  # noqa: A002  SCIM's word
        """202, no body, and where to ask what became of it (RFC 9967)."""
        headers = {"Set-Txn": str(id), "Preference-Applied": RESPOND_ASYNC, "Location": f"{self.base}/Received/{id}"}
        return Answer(status=202, headers=headers)

    def _receive(self, request: HttpRequest, attempt: Attempt) -> None:
        body = self._said(attempt)
        sent = queue.Sent(
            id=attempt.id,
            system=self.caller.system,
            token_id=self.caller.token.pk,
            method=attempt.method,
            path=attempt.path,
            resource_type=attempt.resource_type,
            resource_id=attempt.resource_id,
            lane=self._lane(attempt),
            reduces=reduction(attempt.method, body, self.resource_type) is not None,
            body=body or None,
            key=attempt.key,
            digest=attempt.digest,
            size=attempt.size,
            if_match=request.headers.get("If-Match"),
            base=self.base,
            remote=attempt.remote,
        )
        try:
            queue.receive(sent=sent)
        except queue.Overfull:
            self.early = too_many_requests(retry_after=_RETRY)

    def _repeated(self, attempt: Attempt) -> UUID | None:
        """What this repeats, by its key: applied already, or open still. The ledger says that it was sent again."""
        applied = self._earlier(attempt)
        if self.early is not None:
            return None
        if applied is not None:
            recording.copy_of(attempt, applied, by_key=True)
            repeated = applied.pk
        else:
            waiting = queue.known(system=self.caller.token.system_id, key=attempt.key)
            if waiting is None:
                return None
            if waiting.request_digest != attempt.digest:
                self.early = invalid_value("This Idempotency-Key was used for another request.")
                return None
            attempt.outcome, repeated = Outcome.DUPLICATE, waiting.pk
            attempt.key = ""  # it is the first one's, whose exchange is still to come
        recording.insert(attempt, self._accepted(repeated), milliseconds=0)
        return repeated

    # -- answered at once

    def _keep_order(self, attempt: Attempt) -> None:
        """Apply what is before it. What can't be is gone past by what takes access away, and waited for by the rest."""
        reduces = reduction(attempt.method, self._said(attempt), self.resource_type)
        started = time.monotonic()
        try:
            first = applying.catch_up(
                tenant=self.caller.token.tenant_id,
                system=self.caller.token.system_id,
                lane=self._lane(attempt),
                clock=lambda: self.at + timedelta(seconds=time.monotonic() - started),
                seconds=SECONDS if reduces is None else SECONDS_OF_REDUCTION,
            )
        except DatabaseError as error:
            translated(error)  # somebody applies it for longer than a lock is waited for: to be tried again
            raise
        if first is None:
            return
        if reduces is not None:
            self.overtakes = reduces
            return
        detail = "An earlier change of this resource was acknowledged and is not applied yet; try again later."
        soon = first.state == ReceivedState.WAITING and not queue.is_stuck(first, at=self.at)
        self.early = ScimError(503, None, detail, headers={"Retry-After": str(_RETRY_SOON if soon else _RETRY)})
