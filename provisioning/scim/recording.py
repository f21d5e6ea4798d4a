"""The ledger's row of one request: what is kept of it, and how a repeat is known.

An Exchange is inserted once, at the end, in the transaction of its effect. It keeps the request without secrets and
without anything that the schema does not know, the answer, the outcome, and a keyed digest of what was really sent.
"""

import hashlib
import hmac
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import connection

from audit.cause import current
from audit.keys import uuid7
from audit.redaction import MASK, redact
from provisioning import parking
from provisioning.changes import MEMBERS, NOTE, Coercion, Intent, Outcome
from provisioning.models.exchange import Exchange, ExchangeKey
from provisioning.models.shadow import Shadow
from provisioning.scim.answers import Answer
from provisioning.scim.authentication import Caller
from provisioning.scim.errors import ScimError, Unresolved, invalid_value
from provisioning.scim.metadata.catalogue import GROUP
from provisioning.shadows import Taken

MAX_ANSWER_BYTES = 1024 * 1024
MAX_KEY = 200
CREATED = 201
MOST_COERCIONS = 200
PATH_LENGTH = 400
_AUTHORITIES = ("urn:ietf:params:", "urn:okta:", "urn:scim:schemas:", "http://schemas.microsoft.com/")
ERROR_LENGTH = 400


@dataclass(kw_only=True)
class Attempt:
    """One request that could change something, while it is being answered."""

    caller: Caller
    method: str
    path: str
    remote: str
    resource_type: str = ""
    resource_id: UUID | None = None
    label: str = ""
    digest: str = ""
    size: int = 0
    key: str = ""
    id: UUID = field(default_factory=uuid7)
    request: Any = None
    kept_answer: Any = None
    coercions: tuple[Coercion, ...] = ()
    notes: tuple[str, ...] = ()
    outcome: Outcome = Outcome.REJECTED
    intent: Intent = Intent.UNKNOWN
    plan_id: UUID | None = None
    error: str = ""

    def about(self, shadow: Shadow) -> None:
        """Which resource it is about."""
        self.resource_id, self.label = shadow.pk, shadow.name

    def took(self, taken: Taken) -> None:
        """What became of it."""
        self.about(taken.shadow)
        self.outcome, self.intent, self.notes = taken.outcome, taken.intent, taken.notes
        self.plan_id = taken.plan.pk if taken.plan is not None else None

    def refused(self, error: ScimError, *, outcome: Outcome = Outcome.REJECTED) -> None:
        """It was refused, and nothing of it took effect."""
        self.error = error.record[:ERROR_LENGTH]
        self.outcome, self.plan_id, self.notes = outcome, None, ()


def refuse(attempt: Attempt, error: ScimError, *, at: datetime) -> None:
    """It was refused. A removal of members that could not be read is parked: the finding stands beside its exchange."""
    attempt.refused(error)
    if not isinstance(error, Unresolved) or attempt.resource_id is None:
        return
    system = attempt.caller.system
    living = Shadow.objects.filter(system=system, resource_type=GROUP.name, ended_at__isnull=True)
    group = living.filter(pk=attempt.resource_id).first()
    if group is None:
        return
    attempt.about(group)
    attempt.outcome, attempt.intent = Outcome.PARKED, Intent.MEMBER_REMOVE
    parking.open_unresolved(system=system, group=group, exchange=attempt.id, because=attempt.error, at=at)


def keyed_digest(*parts: str | bytes) -> str:
    """A digest that nobody without our key can guess the content from: bodies can hold passwords."""
    made = hmac.new(settings.ROLLCALL_TOKEN_KEY.encode(), b"exchange", hashlib.sha256)
    for part in parts:
        raw = part.encode("utf-8", "surrogatepass") if isinstance(part, str) else part
        made.update(len(raw).to_bytes(8, "big") + raw)
    return made.hexdigest()


def canonical(body: Any) -> str:
    """One text for one JSON value, whatever the order and the blanks that it was sent with."""
    return json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=True)


def read_key(text: str | None) -> str:
    """The keyed digest of an `Idempotency-Key`, or nothing without one. Raises invalidValue for a malformed one."""
    if text is None:
        return ""
    if not text.strip() or len(text) > MAX_KEY or not text.isascii() or not text.isprintable():
        raise invalid_value(f"Idempotency-Key must have 1 to {MAX_KEY} printable ASCII characters.")
    return keyed_digest("key", text.strip())


def repeated(attempt: Attempt) -> Exchange | None:
    """The exchange that this request repeats, by its key. Raises invalidValue if the key was used for another request.

    Two requests with one key wait for each other here.
    """
    if not attempt.key:
        return None
    system = attempt.caller.token.system_id
    number = int(keyed_digest("lock", str(system), attempt.key)[:15], 16)
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [number])
    known = ExchangeKey.objects.filter(system_id=system, key=attempt.key).first()
    if known is None:
        return None
    if known.request_digest != attempt.digest:
        raise invalid_value("This Idempotency-Key was used for another request.")
    return Exchange.objects.get(pk=known.exchange_id)


def insert(attempt: Attempt, answer: Answer, *, milliseconds: int) -> None:
    """Write the row; and its key, so that a repeat is known, if the request was taken."""
    token = attempt.caller.token
    # A refusal's detail may repeat a name that was sent; what is kept of it may not.
    body = {**answer.body, "detail": attempt.error} if attempt.error and answer.body is not None else answer.body
    kept = attempt.kept_answer if answer.brief is None else answer.brief
    Exchange.objects.create(
        id=attempt.id,
        tenant_id=token.tenant_id,
        system_id=token.system_id,
        token_id=token.pk,
        cause_id=current().pk,
        method=attempt.method,
        path=attempt.path[:PATH_LENGTH],
        resource_type=attempt.resource_type,
        resource_id=attempt.resource_id,
        resource_label=attempt.label,
        intent=attempt.intent,
        outcome=attempt.outcome,
        request=redact(attempt.request),
        request_digest=attempt.digest,
        request_bytes=attempt.size,
        coercions=_coercions(attempt),
        status=answer.status,
        answer=_kept_answer(body) if kept is None or attempt.error else redact(kept),
        error=attempt.error,
        plan_id=attempt.plan_id,
        remote=attempt.remote,
        milliseconds=milliseconds,
    )
    if attempt.key and attempt.outcome not in {Outcome.REJECTED, Outcome.DUPLICATE, Outcome.PARKED}:
        ExchangeKey.objects.create(
            tenant_id=token.tenant_id,
            system_id=token.system_id,
            key=attempt.key,
            exchange_id=attempt.id,
            request_digest=attempt.digest,
        )


def _coercions(attempt: Attempt) -> list[dict[str, str]]:
    kept = [asdict(_known_urn(one)) for one in attempt.coercions[:MOST_COERCIONS]]
    kept += [asdict(Coercion(rule=NOTE, attribute="", sent="", read_as=text)) for text in attempt.notes]
    if len(attempt.coercions) > MOST_COERCIONS:
        more = f"and {len(attempt.coercions) - MOST_COERCIONS} more"
        kept.append(asdict(Coercion(rule="", attribute="", sent="", read_as=more)))
    clean: list[dict[str, str]] = redact(kept)
    return clean


def _known_urn(coercion: Coercion) -> Coercion:
    """An unknown schema's name is the sender's own text: kept where it is that of a known naming authority."""
    if coercion.rule != "unknown_schema" or coercion.sent.lower().startswith(_AUTHORITIES):
        return coercion
    return replace(coercion, sent="a schema of another authority")


def _kept_answer(body: Mapping[str, Any] | None) -> Any:
    if body is None:
        return None
    text = canonical(body)
    if len(text) <= MAX_ANSWER_BYTES:
        # Of members an answer has ids and addresses of ours, nobody's words.
        rest = redact({name: value for name, value in body.items() if name != MEMBERS})
        return {**rest, MEMBERS: body[MEMBERS]} if MEMBERS in body else rest
    version = body.get("meta", {}).get("version", "")
    return {"id": body.get("id"), "version": version, "digest": hashlib.sha256(text.encode()).hexdigest()}


def answered(earlier: Exchange) -> Answer | None:
    """What was answered then; None if it was not kept word for word, so that the resource itself must be asked."""
    body = earlier.answer
    if body is None and earlier.status == CREATED:
        return None
    if body is not None and ("schemas" not in body or MASK in json.dumps(body)):
        return None
    meta = body.get("meta", {}) if body is not None else {}
    headers = {name: meta[key] for name, key in (("Location", "location"), ("ETag", "version")) if key in meta}
    return Answer(status=earlier.status, body=body, headers=headers)


def copy_of(attempt: Attempt, earlier: Exchange) -> None:
    """A repeat is about what its original was about, and changes nothing."""
    attempt.outcome, attempt.intent = Outcome.DUPLICATE, Intent(earlier.intent)
    attempt.resource_id, attempt.label, attempt.plan_id = earlier.resource_id, earlier.resource_label, earlier.plan_id
