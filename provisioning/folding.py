"""What one exchange of the ledger makes of a resource, by the wire half alone: no door, no account, no clock.

It is the document, the last word about `active`, that the resource ended, and who is in a group. What can't be told,
because a secret is masked or a body is gone, is `unclear` until the resource is stated whole again.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import UUID

from accounts.models.system import System
from provisioning import authority
from provisioning.changes import AccountChange, GroupChange
from provisioning.models.authority import FieldAuthority
from provisioning.models.exchange import Exchange
from provisioning.models.shadow import Shadow
from provisioning.scim import effects
from provisioning.scim.effects import Asked, Change
from provisioning.scim.errors import ScimError
from provisioning.scim.metadata.catalogue import BY_NAME
from provisioning.scim.metadata.schema import ResourceType
from provisioning.scim.projection import read_projection
from provisioning.scim.spoken import NotKept, joined, restored, says_nothing, units
from provisioning.shadows import BadValue, Sender
from provisioning.steps import Net, fold

# Why a resource can't be told; words of the table.
NOT_KEPT = "not kept"
NOT_READ = "not read again"
AT_ONCE = "two requests at once"
_WHOLE = frozenset({"replace", "remove_all"})
_LENIENT = System(name="the ledger", is_strict=False)


@dataclass(frozen=True, kw_only=True)
class Told:
    """A resource as the ledger tells it."""

    document: Mapping[str, Any] = field(default_factory=dict)
    label: str = ""
    wants_active: bool = True
    is_ended: bool = False
    unclear: str = ""
    members_unclear: str = ""


@dataclass(frozen=True, kw_only=True)
class Folded:
    """The resource after one more exchange, and what that does to its members."""

    told: Told
    members: Net = field(default_factory=Net)


def folded(before: Told | None, exchange: Exchange, *, body: Any, rules: Sequence[FieldAuthority]) -> Folded:
    """The resource after an accepted exchange; `body` is the kept request, of its original where it is a replay.

    `rules` are those that counted when it came.
    """
    kind = BY_NAME[exchange.resource_type]
    told = before or Told(label=exchange.resource_label)
    took: Mapping[str, Any] | None = exchange.took if exchange.replays is not None else None
    if took is not None and not took.keys() & {"made", "ended", "names", "out"}:
        return Folded(told=told)
    if exchange.method == "DELETE":
        return Folded(told=replace(told, is_ended=True, wants_active=False))
    try:
        change = _change(told, exchange, kind, restored(body, kind, was_taken=took is None), is_new=before is None)
    except NotKept:
        return Folded(told=_unclear(told, kind, NOT_KEPT))
    except (ScimError, BadValue):
        return Folded(told=_unclear(told, kind, NOT_READ))
    if change is None:
        return Folded(told=told)
    return _of_request(told, exchange, change, rules) if took is None else _of_replay(told, kind, change, took)


def _unclear(told: Told, kind: ResourceType, because: str) -> Told:
    members = because if kind.family == "group" else told.members_unclear
    return replace(told, unclear=because, members_unclear=members)


def _change(
    told: Told, exchange: Exchange, kind: ResourceType, said: Mapping[str, Any], *, is_new: bool
) -> Change | None:
    """What the resource is to be; None for a patch that had led nowhere."""
    if says_nothing(said):
        return None
    sender = Sender(system=_LENIENT, asked_by="the ledger", exchange_id=exchange.pk)
    asked = Asked(
        sender=sender, resource_type=kind, at=exchange.at, base="", projection=read_projection({}, kind),
        id=exchange.resource_id,
    )  # fmt: skip
    shadow = Shadow(document=dict(told.document))
    if exchange.method == "PATCH":
        return effects.patched(asked, shadow, said)[0]
    if is_new:
        return effects.made(asked, said)[0]
    return effects.replaced(asked, shadow, said)[0]


def _of_request(told: Told, exchange: Exchange, change: Change, rules: Sequence[FieldAuthority]) -> Folded:
    is_whole = exchange.method != "PATCH"
    wants = told.wants_active
    if isinstance(change, AccountChange):
        active = True if exchange.method == "POST" and change.active is None else change.active
        word = authority.status(active=active, document=change.document, rules=rules)
        wants = bool(word.active) if exchange.method == "POST" else wants if word.active is None else word.active
    steps = change.member_steps if isinstance(change, GroupChange) else ()
    net = fold(steps, may_add=authority.members_may_come(rules))
    members_unclear = "" if any(step.op in _WHOLE for step in steps) else told.members_unclear
    return Folded(
        told=replace(
            told, document=change.document, label=_label(exchange, change), wants_active=wants,
            unclear="" if is_whole else told.unclear, members_unclear=members_unclear,
        ),
        members=net,
    )  # fmt: skip


def _label(exchange: Exchange, change: Change) -> str:
    return (BY_NAME[exchange.resource_type].handle(change.document) or exchange.resource_label)[:400]


def _of_replay(told: Told, kind: ResourceType, change: Change, took: Mapping[str, Any]) -> Folded:
    """Of a replay only what it took: the rest was superseded. Whom it would put in came by a plan, if at all."""
    wants = bool(took.get("wants_active", told.wants_active))
    if took.get("made"):
        label = kind.handle(change.document) or told.label
        return Folded(told=replace(told, document=change.document, label=label, wants_active=wants))
    before, after = units(told.document), units(change.document)
    for name in took.get("names", ()):
        before.pop(name, None)
        if name in after:
            before[name] = after[name]
    document = joined(before)
    out = frozenset(UUID(ref) for ref in took.get("out", ()))
    return Folded(
        told=replace(told, document=document, label=kind.handle(document) or told.label, wants_active=wants),
        members=Net(leaves=out),
    )
