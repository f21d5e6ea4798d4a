"""`/Received/{id}`: what became of a change that was acknowledged before it was applied, for its sender alone."""

from typing import Any, ClassVar

from django.http import HttpRequest, HttpResponse

from provisioning import bodies
from provisioning.models.exchange import Exchange
from provisioning.models.received import Received, ReceivedState
from provisioning.scim.answers import Answer
from provisioning.scim.errors import ScimError, internal, not_found
from provisioning.scim.incoming import path_id
from provisioning.scim.receiving import Receiver

URN = "urn:rollcall:scim:api:messages:1.0:Received"
_REFUSES = 400
_RETRY = 2
# Why is for our own people.
_PARKED = ScimError(500, None, "It could not be applied, and waits for a person. What comes after it is kept.")
_STATES = {
    ReceivedState.WAITING.value: "received",
    ReceivedState.APPLIED.value: "applied",
    ReceivedState.PARKED.value: "parked",
    ReceivedState.GIVEN_UP.value: "givenUp",
}


class ReceivedView(Receiver):
    """The status of one change. Its members are those of an operation in the answer to a bulk request."""

    endpoint = "/Received"
    http_method_names: ClassVar = ["get", "head"]

    def get(self, _request: HttpRequest, uuid: str | None = None) -> HttpResponse:
        """Received, applied or parked, and how it was answered."""
        return self.answering(lambda: self._status(uuid))

    def _status(self, text: str | None) -> Answer:
        id = path_id(text)  # noqa: A001  SCIM's word
        mine = {"pk": id, "system_id": self.caller.token.system_id}
        received = Received.objects.defer("sealed").filter(**mine).first()
        exchange = Exchange.objects.defer("request").filter(**mine).first()
        if received is None and exchange is None:
            raise not_found("Nothing was received under this id.")
        body: dict[str, Any] = {"schemas": [URN], "id": str(id)}
        headers = {}
        if received is not None:
            body |= {"method": received.method, "received": _instant(received.received_at)}
            body["state"] = _STATES[received.state]
            if received.state == ReceivedState.WAITING:
                headers["Retry-After"] = str(_RETRY)
            if received.state == ReceivedState.PARKED:
                body |= {"status": "500", "response": _PARKED.body()}
        if exchange is not None:
            body |= _outcome(exchange)
        body["meta"] = {"resourceType": "Received", "location": f"{self.base}/Received/{id}"}
        return Answer(status=200, body=body, headers=headers)


def _outcome(exchange: Exchange) -> dict[str, Any]:
    """How it would have been answered: the resource and its version where there is one, the error where it was refused."""
    answer = bodies.opened(exchange).answer or {}
    meta = answer.get("meta") or {}
    said = {
        "method": exchange.method,
        "state": "givenUp" if exchange.outcome == "parked" else "applied",
        "applied": _instant(exchange.at),
        "outcome": exchange.outcome,
        "status": str(exchange.status),
        "location": meta.get("location"),
        "version": meta.get("version"),
        "response": (answer or internal().body()) if exchange.status >= _REFUSES else None,
    }
    return {name: value for name, value in said.items() if value is not None}


def _instant(at: Any) -> str:
    return str(at.strftime("%Y-%m-%dT%H:%M:%S.%fZ"))
