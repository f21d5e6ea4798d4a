"""What happens around every request: token, scope, savepoint, the ledger's row, and the answer after the commit.

`Receiver` stands left of django-scim2's views. The frame dispatches to our methods and turns their errors into
answers; it also swallows them, so whatever answers 400 or more rolls back to the savepoint here.
"""

import time
import traceback
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Any, ClassVar

import structlog
from django.core.exceptions import SuspiciousOperation
from django.db import DatabaseError, connection, transaction
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse, UnreadablePostError
from django.http.response import HttpResponseBase
from django.utils.decorators import method_decorator
from django.views.decorators.csrf import csrf_exempt
from django_scim import views as frame

from audit.crashpoints import here, point
from audit.models import Cause, CauseKind
from audit.outages import is_outage
from audit.scope import scope
from provisioning import tokens
from provisioning.changes import Outcome
from provisioning.models.exchange import Exchange
from provisioning.scim import recording
from provisioning.scim.answers import Answer, base_url, refusal
from provisioning.scim.authentication import Caller, authenticate, refuse_credentials, remote
from provisioning.scim.effects import TryAgain, translated, unavailable
from provisioning.scim.errors import (
    ScimError,
    internal,
    invalid_syntax,
    method_not_allowed,
    not_implemented,
    out_of_service,
    too_large,
)
from provisioning.scim.incoming import asked_for, body_of, parameters, path_id, size_of
from provisioning.scim.metadata.discovery import MAX_BODY_BYTES
from provisioning.scim.metadata.schema import ResourceType
from provisioning.scim.pace import is_first_refusal, requests_over, too_fast
from provisioning.scim.recording import Attempt
from provisioning.tokens import TokenMay

log = structlog.get_logger("rollcall.scim")

WRITES = frozenset({"POST", "PUT", "PATCH", "DELETE"})
TRIES = 3
_REFUSES = 400

BEFORE_EFFECT = point("scim-before-effect", where="the cause is open, nothing has been changed")
AFTER_EFFECT = point("scim-after-effect", where="the effect is written, its exchange is not")
AFTER_EXCHANGE = point("scim-after-exchange", where="the exchange is written, nothing is committed")
AFTER_COMMIT = point("scim-after-commit", where="all is committed, the sender has no answer")


def log_failure(error: BaseException, **about: Any) -> None:
    """One line about a bug: which kind of error and where. Its message may repeat what was sent, and is not kept."""
    where = [f"{f.filename.rsplit('/', 1)[-1]}:{f.lineno} {f.name}" for f in traceback.extract_tb(error.__traceback__)]
    log.error("scim request failed", error=type(error).__name__, where=where[-8:], **about)


def answer_to_failure(error: Exception) -> Answer:
    """What is answered where nothing else can be: 503 while the database is away, else 500."""
    if is_outage(error):
        log.warning("the database is away", error=type(error).__name__)
        return refusal(out_of_service())
    log_failure(error)
    return refusal(internal())


class Receiver(frame.SCIMView):
    """One request. `endpoint` is what may be kept of its address, beside an id."""

    endpoint: ClassVar[str] = "…"
    resource_type: ClassVar[ResourceType | None] = None
    only_reads: ClassVar[bool] = False
    is_part: bool = False
    """Whether it is one operation of a bulk request, whose pace was kept already."""
    not_done: ClassVar[str] = "This is not supported here."

    caller: Caller
    answer: Answer
    at: datetime
    base: str
    raw: bytes = b""
    query: dict[str, list[str]]
    early: ScimError | None = None
    refused: ScimError | None = None
    attempt: Attempt | None = None
    is_again: bool = False
    outage: Exception | None = None

    @method_decorator(csrf_exempt)
    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """Answer one request. Whatever happens, the answer is a SCIM body."""
        asked: Any = request
        self.at, self.query = asked.at, {}
        try:
            self.base = base_url(request)
            self.caller = authenticate(request, at=self.at, path=self.shown_path())
            if not self.is_part:
                self._keep_pace(request)
            if request.method in WRITES and not self.only_reads:
                self._write(request, args, kwargs)
            else:
                self._read(request, args, kwargs)
            return self._sent(request)
        except ScimError as error:
            return refusal(error).http()
        except Exception as error:
            if self.is_part and is_outage(error):
                raise  # the rest of the bulk request would meet the same
            return answer_to_failure(error).http()  # the last resort: never HTML, never silence

    def _sent(self, request: HttpRequest) -> HttpResponseBase:
        response = self.answer.http()
        if request.method == "HEAD" and isinstance(response, StreamingHttpResponse):
            response.streaming_content = ()
        return response

    def _keep_pace(self, request: HttpRequest) -> None:
        over = requests_over(self.caller.token.system_id, at=self.at)
        if not over:
            return
        error = too_fast(at=self.at)
        if is_first_refusal(self.caller.token.system_id, at=self.at):  # one row says it: a flood is no flood of rows
            token = self.caller.token
            with scope(tenant=token.tenant_id):
                tokens.record_read(
                    token=token, method=request.method or "", path=self.shown_path(), status=error.status,
                    note="too many requests",
                )  # fmt: skip
        raise error

    def shown_path(self) -> str:
        """The address as it may be kept: a wrong id can be anything, also a secret."""
        sent = self.kwargs.get(self.lookup_url_kwarg)
        found = path_id(sent)
        return f"{self.endpoint}/{found or '…'}" if sent else self.endpoint

    def answering(self, make: Callable[[], Answer]) -> HttpResponse:
        """Run one of our methods for the frame. Raises its error as a `ScimError`."""
        if self.early is not None:
            raise self._refuse(self.early)
        try:
            self.answer = make()
        except Exception as error:  # noqa: BLE001  a bug too is an answer, and is logged
            raise self._refuse(error) from None
        # The frame asks for the status alone; the answer is written once, after the commit.
        return HttpResponse(status=self.answer.status)

    def http_method_not_allowed(self, *_args: Any, **_kwargs: Any) -> HttpResponse:
        """405 with what is allowed."""
        names = [name.upper() for name in self.http_method_names]
        raise self._refuse(self.early or method_not_allowed(tuple(names)))

    def status_501(self, *_args: Any, **_kwargs: Any) -> HttpResponse:
        """501 with a body: described by RFC 7644 and not done here."""
        self._refuse(self.early or not_implemented(self.not_done))
        return HttpResponse(status=self.answer.status)

    def _refuse(self, error: Exception) -> ScimError:
        try:
            found = translated(error)
        except TryAgain:
            self.is_again, found = True, unavailable()
        except Exception as away:  # noqa: BLE001  which is raised again behind the frame, which would swallow it
            self.outage, found = away, out_of_service()
        if found is None:
            log_failure(error, exchange=str(self.attempt.id) if self.attempt else None)
            found = internal()
        self.refused, self.answer = found, refusal(found)
        return found

    def _demand_database(self) -> None:
        """Raise what the frame has swallowed, if the database is away."""
        if self.outage is not None:
            raise self.outage

    def _dispatched(self, request: HttpRequest, args: Any, kwargs: Any) -> bool:
        """The frame's dispatch; a refusal takes back what the innermost transaction or savepoint did."""
        self.refused, self.is_again, self.outage = None, False, None
        response = super().dispatch(request, *args, **kwargs)
        is_refused = bool(response.status_code >= _REFUSES)
        if is_refused:
            transaction.set_rollback(True)
        return not is_refused

    def _framed(self, request: HttpRequest, args: Any, kwargs: Any) -> None:
        """The same for a write, whose deferred foreign keys are checked while it can still be refused."""
        try:
            if self._dispatched(request, args, kwargs):
                # Without this they would break the commit, after "applied".
                with connection.cursor() as cursor:
                    cursor.execute("SET CONSTRAINTS ALL IMMEDIATE; SET CONSTRAINTS ALL DEFERRED")
        except DatabaseError as error:
            self._refuse(error)
            transaction.set_rollback(True)

    def _prepared(self, prepare: Callable[[], None]) -> None:
        """What must be right before anything is tried; what is wrong is answered, and recorded, like any refusal."""
        try:
            prepare()
        except ScimError as error:
            self.early = error
        except SuspiciousOperation:
            # Django's own limits, on sizes and numbers of parameters.
            self.early = too_large(f"The body is larger than {MAX_BODY_BYTES} bytes.")
        except (UnreadablePostError, OSError):
            self.early = invalid_syntax("The body ended early.")

    # -- reads

    def _read(self, request: HttpRequest, args: Any, kwargs: Any) -> None:
        def prepare() -> None:
            self.raw = body_of(request)
            refuse_credentials(request, self.caller, self.raw)
            self.caller.demand(TokenMay.READ)
            self.query = parameters(request)

        self._prepared(prepare)
        answer = self.at_once() if self.early is None else None
        if answer is not None:
            self.answer = answer
            self._record_read(request)
            return
        with scope(tenant=self.caller.token.tenant_id):
            self._dispatched(request, args, kwargs)
            self._demand_database()
            if self.refused is None:
                self._record_read(request)
        if self.refused is not None:  # what refused may be the database, which takes no more in that transaction
            with scope(tenant=self.caller.token.tenant_id):
                self._record_read(request)

    def at_once(self) -> Answer | None:
        """The answer to a read that needs neither a scope of its own nor the frame; None where it needs them."""
        return None

    def _record_read(self, request: HttpRequest) -> None:
        note = self.refused.record if self.refused else asked_for(self.query)
        tokens.record_read(
            token=self.caller.token, method=request.method or "", path=self.shown_path(), status=self.answer.status,
            note=note,
        )  # fmt: skip

    # -- what could change something

    def _write(self, request: HttpRequest, args: Any, kwargs: Any) -> None:
        started = time.monotonic()
        attempt = self.attempt = Attempt(
            caller=self.caller,
            method=request.method or "",
            path=self.shown_path(),
            remote=remote(request),
            resource_type=self.resource_type.name if self.resource_type else "",
            resource_id=path_id(self.kwargs.get(self.lookup_url_kwarg)),
            if_match=request.headers.get("If-Match", ""),
        )
        self._prepared(lambda: self._prepare_write(request, attempt))
        try:
            self._close(request, args, kwargs, attempt, started=started)
        except TryAgain:
            self._park(attempt, unavailable(), started=started)
        except Exception as error:
            if is_outage(error):
                raise  # perhaps it is committed: a row that says it is not could be a lie
            log_failure(error, exchange=str(attempt.id))  # the effect is gone with its exchange: a row says so
            self._park(attempt, internal(), started=started)
        here(AFTER_COMMIT)

    def _prepare_write(self, request: HttpRequest, attempt: Attempt) -> None:
        attempt.size = size_of(request)
        self.raw = body_of(request)
        attempt.size = len(self.raw)
        attempt.digest = attempt.digested(self.raw)
        refuse_credentials(request, self.caller, self.raw)
        self.caller.demand(TokenMay.WRITE)
        self.query = parameters(request)
        attempt.key = recording.read_key(request.headers.get("Idempotency-Key"), tenant=attempt.tenant)
        self.read_body(request, attempt)

    def read_body(self, request: HttpRequest, attempt: Attempt) -> None:
        """Read the body, where the address has a use for one, and write down what of it is kept."""

    def _close(self, request: HttpRequest, args: Any, kwargs: Any, attempt: Attempt, *, started: float) -> None:
        for left in reversed(range(TRIES)):
            try:
                if not self._took(request, args, kwargs, attempt, started=started):
                    self._record_refusal(attempt, started=started)
            except (TryAgain, DatabaseError) as error:
                if not left or not _passes(error):
                    raise
            else:
                return

    def _took(self, request: HttpRequest, args: Any, kwargs: Any, attempt: Attempt, *, started: float) -> bool:
        """The effect and its row in one transaction, which a refusal takes back whole. Whether it was taken."""
        with self._scope(attempt):
            earlier = self._earlier(attempt)
            if earlier is not None:
                self.answer = recording.answered(earlier) or self.answer_again(earlier)
                recording.copy_of(attempt, earlier, by_key=True)
            else:
                here(BEFORE_EFFECT)
                self._framed(request, args, kwargs)
                self._demand_database()
                if self.is_again:
                    raise TryAgain
                if self.refused is not None:
                    return False
                here(AFTER_EFFECT)
            recording.insert(attempt, self.answer, milliseconds=_since(started))
            here(AFTER_EXCHANGE)
        return True

    def _record_refusal(self, attempt: Attempt, *, started: float) -> None:
        """Nothing took effect: the row that says so stands in a transaction of its own."""
        error = self.refused
        if error is None:
            raise ValueError("nothing was refused")
        with self._scope(attempt):
            recording.refuse(attempt, error, at=self.at)
            recording.insert(attempt, self.answer, milliseconds=_since(started))
            here(AFTER_EXCHANGE)

    def _earlier(self, attempt: Attempt) -> Exchange | None:
        if self.early is not None:
            return None
        try:
            return recording.repeated(attempt)
        except ScimError as error:
            self.early = error
            return None

    def answer_again(self, earlier: Exchange) -> Answer:
        """The answer to a repeat whose first answer was not kept in full."""
        return Answer(status=earlier.status)

    def _scope(self, attempt: Attempt) -> AbstractContextManager[Any]:
        cause = Cause(kind=CauseKind.EXCHANGE, actor=self.caller.system.name, subject=f"exchange {attempt.id}")
        return scope(tenant=self.caller.token.tenant_id, cause=cause)

    def _park(self, attempt: Attempt, error: ScimError, *, started: float) -> None:
        """Nothing took effect, and the ledger says that it was asked."""
        self.refused, self.answer = error, refusal(error)
        attempt.refused(error, outcome=Outcome.PARKED)
        with self._scope(attempt):
            recording.insert(attempt, self.answer, milliseconds=_since(started))


def _since(started: float) -> int:
    return round((time.monotonic() - started) * 1000)


def _passes(error: Exception) -> bool:
    """Whether the same transaction may succeed when it is run once more."""
    try:
        translated(error)
    except TryAgain:
        return True
    return isinstance(error, TryAgain)
