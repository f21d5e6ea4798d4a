"""The ledger's row of one request: what is kept of it, and how a repeat is known.

An Exchange is inserted once, at the end, in the transaction of its effect. It keeps the request without secrets and
without anything that the schema does not know, the answer, both encrypted; the outcome, and a keyed digest of what was
really sent.
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
from audit.keys import milliseconds_of, uuid7, uuid7_floor, uuid7_of_tomorrow
from audit.redaction import MASK, redact
from provisioning import bodies, parking
from provisioning.changes import MEMBERS, NOTE, Coercion, Intent, Outcome
from provisioning.models.exchange import BODIES, Exchange, ExchangeKey
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
_LOOK_BACK = 7 * 86_400_000
_REFUSED = frozenset({Outcome.REJECTED, Outcome.PARKED})


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
    if_match: str = ""
    id: UUID = field(default_factory=uuid7)
    request: Any = None
    kept_answer: Any = None
    coercions: tuple[Coercion, ...] = ()
    notes: tuple[str, ...] = ()
    outcome: Outcome = Outcome.REJECTED
    intent: Intent = Intent.UNKNOWN
    plan_id: UUID | None = None
    error: str = ""
    is_new: bool = False
    """Whether it made its resource, so that nothing was kept about it before."""

    @property
    def tenant(self) -> UUID:
        """Whose request it is."""
        return self.caller.token.tenant_id

    def digested(self, content: str | bytes) -> str:
        """The keyed digest of what was asked: method, address, content and, where it is bound to one, the version."""
        return keyed_digest(self.method, self.path, content, self.if_match, tenant=self.tenant)

    def about(self, shadow: Shadow) -> None:
        """Which resource it is about."""
        self.resource_id, self.label = shadow.pk, shadow.name

    def took(self, taken: Taken) -> None:
        """What became of it."""
        self.about(taken.shadow)
        self.is_new = taken.created
        self.outcome, self.intent, self.notes = taken.outcome, taken.intent, taken.notes
        self.plan_id = taken.plan.pk if taken.plan is not None else None

    def refused(self, error: ScimError, *, outcome: Outcome = Outcome.REJECTED) -> None:
        """It was refused, and nothing of it took effect."""
        self.error = error.record[:ERROR_LENGTH]
        self.outcome, self.plan_id, self.notes, self.is_new = outcome, None, (), False


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


def keyed_digest(*parts: str | bytes, tenant: UUID) -> str:
    """A digest that nobody without our key can guess the content from: bodies can hold passwords. Each tenant's differ."""
    made = hmac.new(settings.ROLLCALL_TOKEN_KEY.encode(), b"exchange" + tenant.bytes, hashlib.sha256)
    for part in parts:
        raw = part.encode("utf-8", "surrogatepass") if isinstance(part, str) else part
        made.update(len(raw).to_bytes(8, "big") + raw)
    return made.hexdigest()


def canonical(body: Any) -> str:
    """One text for one JSON value, whatever the order and the blanks that it was sent with."""
    return json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=True)


def read_key(text: str | None, *, tenant: UUID) -> str:
    """The keyed digest of an `Idempotency-Key`, or nothing without one. Raises invalidValue for a malformed one."""
    if text is None:
        return ""
    if not text.strip() or len(text) > MAX_KEY or not text.isascii() or not text.isprintable():
        raise invalid_value(f"Idempotency-Key must have 1 to {MAX_KEY} printable ASCII characters.")
    return keyed_digest("key", text.strip(), tenant=tenant)


def repeated(attempt: Attempt) -> Exchange | None:
    """The exchange that this request repeats, by its key. Raises invalidValue if the key was used for another request.

    Two requests with one key wait for each other here.
    """
    if not attempt.key:
        return None
    system = attempt.caller.token.system_id
    number = int(keyed_digest("lock", str(system), attempt.key, tenant=attempt.tenant)[:15], 16)
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [number])
    known = ExchangeKey.objects.filter(system_id=system, key=attempt.key).first()
    if known is None:
        return None
    if known.request_digest != attempt.digest:
        raise invalid_value("This Idempotency-Key was used for another request.")
    return Exchange.objects.get(pk=known.exchange_id)


def last_accepted(attempt: Attempt) -> Exchange | None:
    """The last exchange about the same resource that was not refused, if it asked for the very same thing.

    Enable, disable, enable is three events: what repeats none but the last is no repeat. Whoever sends again for want
    of an answer does so within days: older months are not looked into.
    """
    since = uuid7_floor(milliseconds_of(attempt.id) - _LOOK_BACK)
    about = Exchange.objects.filter(resource_id=attempt.resource_id, id__gte=since, id__lt=uuid7_of_tomorrow())
    last = about.exclude(outcome__in=_REFUSED).defer(*BODIES).order_by("-id").first()
    return last if last is not None and last.request_digest == attempt.digest else None


def is_version_answered(earlier: Exchange, tag: str) -> bool:
    """Whether the resource has still the version that was answered then: nothing has happened to it since."""
    body = bodies.opened(earlier).answer or {}
    return bool(tag) and tag == body.get("version", body.get("meta", {}).get("version"))


# One statement: the row, the key of its bodies where that is new, and the sender's key by which a repeat is known.
_INSERT = """
WITH body_key AS (
  INSERT INTO provisioning_bodykey (id, tenant_id, subject_id, wrapped)
  SELECT %(body_key)s::uuid, %(tenant)s::uuid, %(subject)s::uuid, %(wrapped)s::bytea WHERE %(wrapped)s::bytea IS NOT NULL),
sender_key AS (
  INSERT INTO provisioning_exchangekey (id, tenant_id, system_id, key, exchange_id, request_digest)
  SELECT gen_random_uuid(), %(tenant)s::uuid, %(system)s::uuid, %(key)s, %(id)s::uuid, %(digest)s WHERE %(key)s <> '')
INSERT INTO provisioning_exchange (id, tenant_id, system_id, token_id, cause_id, method, path, resource_type,
  resource_id, resource_label, intent, outcome, body, body_key_id, request_digest, request_bytes, coercions, status,
  error, plan_id, remote, milliseconds)
VALUES (%(id)s, %(tenant)s, %(system)s, %(token)s, %(cause)s, %(method)s, %(path)s, %(resource_type)s,
  %(resource)s, %(label)s, %(intent)s, %(outcome)s, %(body)s, %(body_key)s, %(digest)s, %(bytes)s, %(coercions)s::jsonb,
  %(status)s, %(error)s, %(plan)s, %(remote)s, %(milliseconds)s)
"""


def insert(attempt: Attempt, answer: Answer, *, milliseconds: int) -> None:
    """Write the row; and its key, so that a repeat is known, if the request was taken."""
    token = attempt.caller.token
    sent, answered_with = redact(attempt.request), _kept(attempt, answer)
    key = None if sent is None and answered_with is None else _body_key(attempt)
    body = None if key is None else bodies.closed(key, exchange_id=attempt.id, request=sent, answer=answered_with)
    with connection.cursor() as cursor:
        cursor.execute(
            _INSERT,
            {
                "id": attempt.id,
                "tenant": token.tenant_id,
                "system": token.system_id,
                "token": token.pk,
                "cause": current().pk,
                "method": attempt.method,
                "path": attempt.path[:PATH_LENGTH],
                "resource_type": attempt.resource_type,
                "resource": attempt.resource_id,
                "label": attempt.label,
                "intent": attempt.intent.value,
                "outcome": attempt.outcome.value,
                "body": body,
                "body_key": key.id if key is not None else None,
                "subject": key.subject if key is not None else None,
                "wrapped": key.wrapped if key is not None else None,
                "digest": attempt.digest,
                "bytes": attempt.size,
                "coercions": json.dumps(_coercions(attempt)),
                "status": answer.status,
                "error": attempt.error,
                "plan": attempt.plan_id,
                "remote": attempt.remote,
                "milliseconds": milliseconds,
                "key": "" if attempt.outcome in _REFUSED else attempt.key,
            },
        )


def _body_key(attempt: Attempt) -> bodies.Key:
    """The key of the resource that the request is about; of the day, where it was refused and there is none."""
    tenant, subject = attempt.tenant, attempt.resource_id
    if subject is not None:
        if attempt.is_new:
            return bodies.made(tenant=tenant, subject=subject)
        found = bodies.standing(subject)
        if found is not None:
            return found
        if attempt.outcome not in _REFUSED:
            return bodies.made(tenant=tenant, subject=subject)
    return bodies.key_of_day(tenant=tenant, exchange_id=attempt.id)


def _kept(attempt: Attempt, answer: Answer) -> Any:
    """What is kept of an answer."""
    # A refusal's detail may repeat a name that was sent; what is kept of it may not.
    body = {**answer.body, "detail": attempt.error} if attempt.error and answer.body is not None else answer.body
    kept = attempt.kept_answer if answer.brief is None else answer.brief
    return _kept_answer(body) if kept is None or attempt.error else redact(kept)


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
    body = bodies.opened(earlier).answer
    if body is None and earlier.status == CREATED:
        return None
    if body is not None and ("schemas" not in body or MASK in json.dumps(body)):
        return None
    meta = body.get("meta", {}) if body is not None else {}
    headers = {name: meta[key] for name, key in (("Location", "location"), ("ETag", "version")) if key in meta}
    return Answer(status=earlier.status, body=body, headers=headers)


def copy_of(attempt: Attempt, earlier: Exchange, *, by_key: bool) -> None:
    """A repeat is about what its original was about, and changes nothing. A key goes on to name the original."""
    if by_key:
        attempt.key = ""
    attempt.outcome, attempt.intent = Outcome.DUPLICATE, Intent(earlier.intent)
    attempt.resource_id, attempt.label, attempt.plan_id = earlier.resource_id, earlier.resource_label, earlier.plan_id
