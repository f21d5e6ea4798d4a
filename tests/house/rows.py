"""The smallest rows that the rules of the database allow, one function for each noun: a test changes one thing.

They go past the verbs on purpose: what is tried is the database alone.
"""

from __future__ import annotations

import datetime as dt
from itertools import count
from typing import TYPE_CHECKING, Any

import pytest
from django.db import DatabaseError, connection, transaction

from accounts.models import (
    Account,
    Finding,
    Group,
    Hold,
    Identity,
    Invitation,
    Membership,
    Ownership,
    Permit,
    PolicyException,
    Role,
    Sweep,
    System,
    SystemAdministrator,
    Tenant,
    User,
)
from audit.cause import current_tenant
from audit.keys import uuid7
from governance.models import Answer, Approval, Campaign, Certificate, Notice, Review, ReviewDecision
from provisioning.models import (
    Archive,
    BodyKey,
    Connection,
    Cursor,
    Erasure,
    Exchange,
    ExchangeKey,
    FeedEvent,
    FieldAuthority,
    Listening,
    Plan,
    PlannedChange,
    Readback,
    Rebuild,
    Rebuilt,
    RebuiltMember,
    Received,
    Replay,
    Run,
    Shadow,
    Snapshot,
    SnapshotProof,
    SystemToken,
    Upload,
    UploadPiece,
)
from tests.conftest import as_setup

if TYPE_CHECKING:
    from collections.abc import Callable

# The database compares ends with its own clock, so these rows live now.
NOW = dt.datetime.now(dt.UTC)
LATER = NOW + dt.timedelta(hours=8)
EARLIER = NOW - dt.timedelta(days=30)
_number = count(1)


def changed(row: Any, **values: Any) -> Callable[[], Any]:
    """A write that gives a row that is there other values."""
    return lambda: type(row).objects.filter(pk=row.pk).update(**values)


def broken_by(write: Callable[[], Any]) -> str:
    """The name of the constraint, or else the SQLSTATE, with which the database refuses a write."""
    with pytest.raises(DatabaseError) as caught, transaction.atomic():
        write()
        settle()
    cause: Any = caught.value.__cause__
    return str(cause.diag.constraint_name or cause.sqlstate)


def settle() -> None:
    """Check now what is otherwise checked at the commit."""
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute("SET CONSTRAINTS ALL DEFERRED")


def _name(word: str) -> str:
    return f"{word}-{next(_number)}"


def _own(values: dict[str, Any]) -> dict[str, Any]:
    return {"tenant_id": current_tenant()} | values


# ── accounts ────────────────────────────────────────────────────────────────────────────────────────────────────


def tenant(**values: Any) -> Tenant:
    return Tenant.objects.create(**({"slug": _name("t"), "name": "Acme", "made_at": NOW} | values))


def identity(**values: Any) -> Identity:
    return Identity.objects.create(**({"made_at": NOW} | values))


def user(**values: Any) -> User:
    name = _name("user")
    given = {"username": name, "username_key": name, "made_at": NOW}
    if "identity" not in values:
        given["identity"] = identity()
    return User.objects.create(**(given | values))


def role(**values: Any) -> Role:
    given = {"tenant_id": current_tenant(), "name": "security", "since": EARLIER, "made_by_setup": True}
    if "user" not in values:
        given["user"] = user()
    with as_setup():
        return Role.objects.create(**(given | values))


def invitation(**values: Any) -> Invitation:
    given = {"token_hash": _name("hash"), "made_at": NOW, "until": LATER}
    if "user" not in values:
        given["user"] = user()
    return Invitation.objects.create(**(given | values))


def system(**values: Any) -> System:
    return System.objects.create(**_own({"name": _name("system"), "made_at": NOW} | values))


def administrator(**values: Any) -> SystemAdministrator:
    given = {"system": system(), "identity": identity(), "because": "administers", "since": NOW}
    return SystemAdministrator.objects.create(**_own(given | values))


def account(**values: Any) -> Account:
    name = _name("account")
    given = {"user_name": name, "user_name_key": name, "state_since": NOW, "made_at": NOW}
    if values.get("state") == "active":
        given["was_active"] = True
    return Account.objects.create(**_own(given | values))


def service(**values: Any) -> Account:
    """A non-human account with all that it needs to be active, in state pending unless said."""
    return account(**({"kind": "service", "purpose": "deploys", "expires_at": LATER} | values))


def owned_service() -> Account:
    """A pending service account with an owner who accepted."""
    made = service()
    ownership(account=made, state="accepted", answered_at=NOW)
    return made


def ended(*, epoch: int = 1) -> Account:
    """A person's account that was active and has ended `epoch` times."""
    made = account(state="active", epoch=epoch - 1)
    Account.objects.filter(pk=made.pk).update(state="deprovisioned", epoch=epoch)
    made.refresh_from_db()
    return made


def group(**values: Any) -> Group:
    name = _name("group")
    return Group.objects.create(**_own({"display_name": name, "display_name_key": name, "made_at": NOW} | values))


def membership(**values: Any) -> Membership:
    given: dict[str, Any] = {"origin": "local", "since": NOW}
    if "group" not in values:
        given["group"] = group()
    if "account" not in values and "member_group" not in values:
        given["account"] = account()
    return Membership.objects.create(**_own(given | values))


def ownership(**values: Any) -> Ownership:
    given: dict[str, Any] = {"offered_at": NOW}
    given |= {name: account() for name in ("account", "owner") if name not in values}
    return Ownership.objects.create(**_own(given | values))


def hold(**values: Any) -> Hold:
    given: dict[str, Any] = {"kind": "manual", "reason": "a test", "placed_at": NOW, "placed_by": "a test"}
    if "account" not in values:
        given["account"] = account()
    return Hold.objects.create(**_own(given | values))


def exception(**values: Any) -> PolicyException:
    given = {"kind": "reactivation", "reason": "a test", "made_by_setup": True, "starts_at": NOW, "until": LATER}
    with as_setup():
        return PolicyException.objects.create(**_own(given | values))


def permit(**values: Any) -> Permit:
    """A permit of a live exception, for an account to return at its epoch."""
    given: dict[str, Any] = {"act": "reactivate", "granted_at": NOW, "until": LATER}
    if "exception" not in values:
        given["exception"] = exception()
    if "account" not in values:
        given["account"] = ended()
    if "epoch" not in values:
        given["epoch"] = (values.get("account") or given["account"]).epoch
    return Permit.objects.create(**_own(given | values))


def finding(**values: Any) -> Finding:
    given = {"kind": "expires", "severity": 2, "dedupe_key": _name("key"), "title": "expires"}
    return Finding.objects.create(**_own(given | {"first_seen_at": NOW, "last_seen_at": NOW} | values))


# ── provisioning ────────────────────────────────────────────────────────────────────────────────────────────────


def _of_system(given: dict[str, Any], values: dict[str, Any]) -> dict[str, Any]:
    if "system" not in values:
        given["system"] = system()
    return _own(given | values)


def authority(**values: Any) -> FieldAuthority:
    given = {"field": "active", "direction": "reduces", "authority": "authoritative"}
    return FieldAuthority.objects.create(**_of_system(given, values))


def connection_of(**values: Any) -> Connection:
    given = {"connector": "scim", "base_url": "https://directory.example/scim/v2", "canary_user_name": "canary"}
    return Connection.objects.create(**_of_system(given, values))


def token(**values: Any) -> SystemToken:
    given = {"digest": "d", "may": ["read"], "made_at": NOW, "expires_at": LATER}
    return SystemToken.objects.create(**_of_system(given, values))


def exchange(**values: Any) -> Exchange:
    given = {"token_id": uuid7(), "cause_id": 1, "method": "POST", "path": "/Users", "intent": "create"}
    given |= {"outcome": "applied", "request_digest": "d", "status": 201}
    return Exchange.objects.create(**_of_system(given, values))


def body_key(**values: Any) -> BodyKey:
    return BodyKey.objects.create(**_own({"subject_id": uuid7(), "wrapped": b"key"} | values))


def erasure(**values: Any) -> Erasure:
    given = {"account": values.pop("account", None) or account(), "cause_id": 1, "asked_by": "c", "reason": "r"}
    with as_setup():
        return Erasure.objects.create(**_own(given | values))


def archive(**values: Any) -> Archive:
    given = {"cause_id": 1, "kept_since": NOW, "until_number": 1, "file": "f", "digest": "d", "size": 1}
    with as_setup():
        return Archive.objects.create(**_own(given | {"asked_by": "c", "reason": "r"} | values))


def cursor(**values: Any) -> Cursor:
    given = {"stream": _name("stream"), "state": "following", "position": {"modified": "x"}}
    return Cursor.objects.create(**_of_system(given, values))


def listening(**values: Any) -> Listening:
    return Listening.objects.create(**_own({"cursor": values.pop("cursor", None) or cursor()} | values))


def feed_event(**values: Any) -> FeedEvent:
    given = {"cursor": values.pop("cursor", None) or cursor(), "key": _name("key"), "modified_at": NOW}
    return FeedEvent.objects.create(**_own(given | values))


def replay(**values: Any) -> Replay:
    one = uuid7()
    given = {"kind": "parked", "first_id": one, "last_id": one, "total": 1, "asked_by": "l.chen", "reason": "INC-7"}
    return Replay.objects.create(**(_own({"made_at": NOW}) | given | values))


def sweep(**values: Any) -> Sweep:
    return Sweep.objects.create(**(_own({"name": "expiry", "done_at": NOW}) | values))


def rebuild(**values: Any) -> Rebuild:
    return Rebuild.objects.create(**(_own({"emptied_at": NOW}) | values))


def rebuilt(**values: Any) -> Rebuilt:
    given = {"resource_id": uuid7(), "resource_type": "User", "exchange_id": uuid7(), "said_at": NOW}
    return Rebuilt.objects.create(**_of_system(given, values))


def rebuilt_member(**values: Any) -> RebuiltMember:
    return RebuiltMember.objects.create(**(_own({"group_ref": uuid7(), "member_ref": uuid7()}) | values))


def exchange_key(**values: Any) -> ExchangeKey:
    given = {"key": _name("key"), "exchange_id": uuid7(), "request_digest": "d"}
    return ExchangeKey.objects.create(**_of_system(given, values))


def shadow(**values: Any) -> Shadow:
    name = _name("shadow")
    given = {"resource_type": "User", "name": name, "name_key": name, "made_at": NOW, "changed_at": NOW}
    if "account" not in values and "group" not in values:
        given["account"] = account()
    return Shadow.objects.create(**_of_system(given, values))


def run(**values: Any) -> Run:
    return Run.objects.create(**_of_system({"started_by": "a test", "started_at": NOW}, values))


def snapshot(**values: Any) -> Snapshot:
    given: dict[str, Any] = {"started_at": NOW}
    if "run" not in values:
        given["run"] = run()
    return Snapshot.objects.create(**_of_system(given, values))


def proof(**values: Any) -> SnapshotProof:
    given: dict[str, Any] = {"word": "drained", "holds": True, "detail": "every page"}
    if "snapshot" not in values:
        given["snapshot"] = snapshot()
    return SnapshotProof.objects.create(**_own(given | values))


def upload(**values: Any) -> Upload:
    given = {"form": "csv", "made_at": NOW, "received_at": NOW, "rows": 2, "users": 2, "groups": 0}
    given |= {"user_pieces": 1, "group_pieces": 0, "size": 40, "digest": "d"}
    return Upload.objects.create(**_of_system(given, values))


def upload_piece(**values: Any) -> UploadPiece:
    given: dict[str, Any] = {"kind": "User", "number": 0, "ids": ["1", "2"], "body": "b"}
    if "upload" not in values:
        given["upload"] = upload()
    return UploadPiece.objects.create(**_own(given | values))


def plan(**values: Any) -> Plan:
    given: dict[str, Any] = {"kind": "reactivation", "asked_by": "a test", "asked_at": NOW, "epoch": 1}
    if "account" not in values:
        given["account"] = ended()
    return Plan.objects.create(**_of_system(given, values))


def change(**values: Any) -> PlannedChange:
    given: dict[str, Any] = {"position": 1, "act": "reactivate", "label": "x"}
    if "plan" not in values:
        given["plan"] = plan()
    return PlannedChange.objects.create(**_own(given | values))


def readback(**values: Any) -> Readback:
    given: dict[str, Any] = {"at": NOW, "result": "absent"}
    if "account" not in values:
        given["account"] = account()
    return Readback.objects.create(**_of_system(given, values))


def received(**values: Any) -> Received:
    given = {"token_id": uuid7(), "method": "PATCH", "path": "/Users/x", "resource_type": "User", "lane": "x"}
    given |= {"request_digest": "d", "base": "https://x/scim/v2"}
    return Received.objects.create(**_of_system(given, values))


# ── governance ──────────────────────────────────────────────────────────────────────────────────────────────────


def approval(**values: Any) -> Approval:
    """A question about the return of an ended account, with its plan behind it."""
    given: dict[str, Any] = {"kind": "reactivation", "title": "May it come back?", "needs": 1, "asked_by": "a test"}
    given |= {"asked_at": NOW, "until": LATER}
    if values.get("kind", "reactivation") == "reactivation" and "plan_id" not in values:
        wished = plan(state="waiting", digest="d" * 64)
        given |= {"plan_id": wished.pk, "plan_digest": wished.digest, "account": wished.account}
    return Approval.objects.create(**_own(given | values))


def approver(**values: Any) -> User:
    """Somebody whose role is older than any question here."""
    made = user(**values)
    role(user=made)
    return made


def answer(**values: Any) -> Answer:
    given: dict[str, Any] = {"is_yes": True, "reason": "seen", "at": NOW, "cause_id": 1}
    if "approval" not in values:
        given["approval"] = approval()
    if "user" not in values:
        given["user"] = approver()
    given["identity_id"] = (values.get("user") or given["user"]).identity_id
    return Answer.objects.create(**_own(given | values))


def certificate(**values: Any) -> Certificate:
    given = {"day": "2026-11-22", "at": NOW, "cause_id": 1, "statement": "{}", "signature": b"s", "key_id": "k"}
    return Certificate.objects.create(**_own(given | values))


def campaign(**values: Any) -> Campaign:
    given: dict[str, Any] = {"name": _name("campaign"), "deadline": LATER, "made_at": NOW}
    if "made_by" not in values:
        given["made_by"] = user()
    return Campaign.objects.create(**_own(given | values))


def review(**values: Any) -> Review:
    given: dict[str, Any] = {}
    if "campaign" not in values:
        given["campaign"] = campaign()
    given |= {name: account() for name in ("account", "reviewer") if name not in values}
    return Review.objects.create(**_own(given | values))


def decision(**values: Any) -> ReviewDecision:
    given: dict[str, Any] = {"word": "certify", "reason": "needed", "actor": "a test", "at": NOW, "cause_id": 1}
    if "review" not in values:
        given["review"] = review()
    return ReviewDecision.objects.create(**_own(given | values))


def notice(**values: Any) -> Notice:
    given = {"to_address": "ada@acme.example", "dedupe_key": _name("key"), "subject": "s", "body": "b"}
    return Notice.objects.create(**_own(given | {"made_at": NOW, "due_at": NOW} | values))


# Every builder, by the noun that it makes: what none of them can break is proven by making one of each.
MAKERS: dict[str, Callable[..., Any]] = {
    "Certificate": certificate, "Tenant": tenant, "Identity": identity, "User": user, "Role": role, "Invitation": invitation, "System": system,
    "SystemAdministrator": administrator, "Account": account, "Group": group, "Membership": membership,
    "Ownership": ownership, "Hold": hold, "PolicyException": exception, "Permit": permit, "Finding": finding,
    "FieldAuthority": authority, "Connection": connection_of, "SystemToken": token, "Exchange": exchange,
    "ExchangeKey": exchange_key, "BodyKey": body_key, "Erasure": erasure, "Archive": archive, "Cursor": cursor, "Listening": listening, "FeedEvent": feed_event,
     "Shadow": shadow, "Run": run, "Snapshot": snapshot, "SnapshotProof": proof,
    "Upload": upload, "UploadPiece": upload_piece,
    "Plan": plan, "PlannedChange": change, "Readback": readback, "Received": received, "Replay": replay, "Rebuild": rebuild, "Sweep": sweep,
    "Rebuilt": rebuilt, "RebuiltMember": rebuilt_member, "Approval": approval, "Answer": answer,
    "Campaign": campaign, "Review": review, "ReviewDecision": decision, "Notice": notice,
}  # fmt: skip
