"""Several operations in one request (RFC 7644 section 3.7).

Each operation goes through the same view as a request of its own: its own transaction, its own row in the ledger, its
own refusal. The bulk request has a row too, which says how many there were and how they ended. A repeat by
`Idempotency-Key` repeats each operation by a key of its own, so that one which was cut off goes on where it stopped.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any, ClassVar

from django.core.handlers.wsgi import WSGIRequest
from django.http import HttpRequest, HttpResponse

from provisioning.changes import Intent, Outcome
from provisioning.models.exchange import Exchange
from provisioning.scim import recording
from provisioning.scim.answers import Answer, refusal
from provisioning.scim.bulk_request import BULK_RESPONSE_URN, BulkRequest, Operation, next_operation, read_bulk
from provisioning.scim.errors import ScimError, not_found
from provisioning.scim.parsing.body import load
from provisioning.scim.receiving import Receiver
from provisioning.scim.recording import Attempt
from provisioning.scim.views import VIEWS

_REFUSES = 400


@dataclass(frozen=True, kw_only=True)
class _Result:
    """How one operation ended."""

    operation: Operation
    status: int
    body: Mapping[str, Any] | None = None
    location: str | None = None
    version: str | None = None

    @property
    def failed(self) -> bool:
        return self.status >= _REFUSES

    def json(self) -> dict[str, Any]:
        """The operation of the answer: `response` for a failure only, `location` unless a POST failed."""
        said = {
            "location": self.location,
            "method": self.operation.method or None,
            "bulkId": self.operation.bulk_id,
            "version": self.version,
            "response": self.body if self.failed else None,
        }
        return {**{name: value for name, value in said.items() if value is not None}, "status": str(self.status)}


@dataclass(kw_only=True)
class _Run:
    """The operations while they are done."""

    receiver: "BulkView"
    request: BulkRequest
    results: dict[int, _Result] = field(default_factory=dict)
    ids: dict[str, str] = field(default_factory=dict)
    errors: int = 0

    def all(self) -> list[_Result]:
        """Do them until none is left or too many have failed; the results in the order that they were sent."""
        pending, later = list(self.request.operations), []
        while pending and not self._is_enough():
            open_ids = frozenset(one.bulk_id for one in pending if one.bulk_id and one.refused is None)
            one, unknown = next_operation(pending, open_ids=open_ids - self.ids.keys())
            pending.remove(one)
            if self._do(one, without=unknown) and unknown:
                later.append(one)
        for one in later:
            self._complete(one)
        return [self.results[index] for index in sorted(self.results)]

    def _is_enough(self) -> bool:
        return self.request.fail_on_errors is not None and self.errors >= self.request.fail_on_errors

    def _do(self, one: Operation, *, without: frozenset[str]) -> bool:
        done = one.without(without).resolved(self.ids)
        if one.refused is not None:
            result = self._refused(one, one.refused)
        elif done.refers_to:
            error = ScimError(409, None, "The operation refers to another one that was not done.")
            result = self._refused(one, error)
        else:
            result = self.receiver.send(done)
        self._keep(one, result)
        return not result.failed

    def _complete(self, one: Operation) -> None:
        """What was made without its references gets them, by a replacement with all that was sent."""
        made = self.results[one.index]
        resource_id = self.ids[one.bulk_id or ""]
        whole = one.resolved(self.ids)
        if whole.refers_to:
            error = ScimError(409, None, "The resource is made, without a reference to another that was not.")
            self._keep(one, self._refused(one, error))
            return
        replaced = self.receiver.send(_as_put(whole, resource_id))
        if replaced.failed:
            self._keep(one, _Result(operation=one, status=409, body=replaced.body, location=made.location))
        else:
            version = replaced.version
            self._keep(one, _Result(operation=one, status=made.status, location=made.location, version=version))

    def _keep(self, one: Operation, result: _Result) -> None:
        self.errors += result.failed
        self.results[one.index] = result
        if one.bulk_id and result.location and not result.failed:
            self.ids[one.bulk_id] = result.location.rpartition("/")[2]

    def _refused(self, one: Operation, error: ScimError) -> _Result:
        return _Result(operation=one, status=error.status, body=refusal(error).body)


def _as_put(one: Operation, resource_id: str) -> Operation:
    # A key of its own: the number of an operation stands in its Idempotency-Key.
    return Operation(
        index=-1 - one.index, method="PUT", endpoint=one.endpoint, id=resource_id, bulk_id=one.bulk_id, data=one.data
    )


class BulkView(Receiver):
    """`/Bulk`."""

    endpoint = "/Bulk"
    http_method_names: ClassVar = ["post"]

    built: Answer

    def post(self, _request: HttpRequest) -> HttpResponse:
        """How each operation ended."""
        return self.answering(lambda: self.built)

    def read_body(self, request: HttpRequest, attempt: Attempt) -> None:
        """Read the request and do its operations: each commits by itself, before the row of the whole is written."""
        if request.method != "POST":
            return
        bulk = read_bulk(load(self.raw, content_type=request.headers.get("Content-Type")))
        with self._scope(attempt):
            recording.repeated(attempt)  # refuses a key that was used for another request, before anything is done
        results = _Run(receiver=self, request=bulk).all()
        operations = [one.json() for one in results]
        attempt.intent = Intent.BULK
        attempt.outcome = Outcome.REJECTED if all(one.failed for one in results) else Outcome.APPLIED
        self.built = Answer(status=200, body={"schemas": [BULK_RESPONSE_URN], "Operations": operations})
        attempt.request = {"operations": len(bulk.operations), "failOnErrors": bulk.fail_on_errors}
        # Not as it was answered: a bulkId is the sender's own text.
        attempt.kept_answer = {
            "operations": [
                {"method": r.operation.method, "status": r.status, "location": None if r.failed else r.location}
                for r in results
            ]
        }

    def send(self, one: Operation) -> _Result:
        """Do one operation as the request that it stands for."""
        view = VIEWS.get(one.endpoint)
        if view is None:
            return _Result(operation=one, status=404, body=refusal(not_found("There is no such endpoint.")).body)
        kwargs = {} if one.id is None else {self.lookup_url_kwarg: one.id}
        response = view.as_view(is_part=True)(self._request(one), **kwargs)
        # What is too long to be held is no refusal, and only refusals are repeated in the answer.
        body = None if response.streaming or not response.content else json.loads(response.content)
        location = response.headers.get("Location") or (f"{self.base}{view.endpoint}/{one.id}" if one.id else None)
        version = response.headers.get("ETag")
        return _Result(operation=one, status=response.status_code, body=body, location=location, version=version)

    def answer_again(self, _earlier: Exchange) -> Answer:
        """The operations have been repeated, each by its own key: their answers stand."""
        return self.built

    def _request(self, one: Operation) -> HttpRequest:
        """The request that an operation stands for: same sender, same token, same instant."""
        outer: Any = self.request
        raw = json.dumps(one.data).encode()
        environ = {name: value for name, value in outer.META.items() if name not in _OF_THE_WHOLE}
        environ |= {
            "REQUEST_METHOD": one.method,
            "PATH_INFO": f"{outer.META['PATH_INFO'].rstrip('/').removesuffix('/Bulk')}/{one.endpoint}",
            "QUERY_STRING": "",
            "CONTENT_TYPE": "application/scim+json",
            "CONTENT_LENGTH": str(len(raw)),
            "wsgi.input": BytesIO(raw),
        }
        if one.version is not None:
            environ["HTTP_IF_MATCH"] = one.version
        if key := outer.headers.get("Idempotency-Key"):
            environ["HTTP_IDEMPOTENCY_KEY"] = recording.keyed_digest(
                "bulk", key, str(one.index), tenant=self.caller.token.tenant_id
            )
        inner = WSGIRequest(environ)
        marked: Any = inner
        marked.at = outer.at
        return inner


_OF_THE_WHOLE = frozenset({"HTTP_IF_MATCH", "HTTP_IF_NONE_MATCH", "HTTP_IDEMPOTENCY_KEY"})
