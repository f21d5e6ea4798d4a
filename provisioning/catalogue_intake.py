"""The door for a system's catalogue: roles, entitlements, applications. Behind them is no account and no group.

They are what the system said, each with a history; nobody gains or loses access by one.
"""

from datetime import datetime

from audit.journal import Subject, record
from audit.scope import together
from provisioning.changes import CatalogueChange, Intent, Outcome, fold
from provisioning.models.shadow import Shadow
from provisioning.shadows import HANDLES, BadValue, Sender, Taken, check_lengths, digest, refuse_taken, save_shadow
from provisioning.states import Event

LONGEST = 400
"""Characters of a name: as long as its column."""


def _fill(shadow: Shadow, change: CatalogueChange) -> None:
    shadow.name = change.name
    shadow.name_key = _key(change)
    shadow.external_id = change.external_id or ""
    shadow.display_name_key = fold(change.display_name or "")[:LONGEST]
    shadow.document = dict(change.document)
    shadow.digest = digest(shadow.document)


def _key(change: CatalogueChange) -> str:
    """The look-up form of a name. Raises `BadValue` where there is none, or it is too long to be kept whole."""
    key = fold(change.name).strip()
    if max(len(key), len(change.name)) > LONGEST:
        raise BadValue(HANDLES[change.resource_type], f"it is longer than {LONGEST} characters")
    if not key:
        raise BadValue(HANDLES[change.resource_type], "it has no characters to be found by")
    return key


def _refuse_taken(sender: Sender, change: CatalogueChange, *, besides: Shadow | None = None) -> None:
    check_lengths(Shadow, {"external_id": change.external_id or ""})
    refuse_taken(
        system=sender.system, resource_type=change.resource_type, name_key=_key(change),
        external_id=change.external_id or "", besides=besides,
    )  # fmt: skip


def _journal(sender: Sender, shadow: Shadow, event: Event, done: str) -> None:
    record(
        event=event,
        sentence=f"{sender.asked_by}: {shadow.resource_type} {shadow.name} {done}",
        subjects=[Subject("resource", str(shadow.pk), shadow.name)],
    )


@together()
def create_entry(*, sender: Sender, change: CatalogueChange, at: datetime) -> Taken:
    """A new entry. Raises `Conflict`, `BadValue`."""
    _refuse_taken(sender, change)
    shadow = Shadow(
        tenant_id=sender.system.tenant_id, system=sender.system, resource_type=change.resource_type,
        made_at=at, changed_at=at,
    )  # fmt: skip
    _fill(shadow, change)
    save_shadow(shadow, is_new=True)
    _journal(sender, shadow, Event.ENTRY_MADE, "made")
    return Taken(shadow=shadow, outcome=Outcome.APPLIED, intent=Intent.CREATE, created=True)


@together()
def change_entry(*, sender: Sender, shadow: Shadow, change: CatalogueChange, at: datetime) -> Taken:
    """An entry as its system wants it now. Raises `Conflict`, `BadValue`."""
    _refuse_taken(sender, change, besides=shadow)
    before = (shadow.digest, shadow.name, shadow.external_id)
    _fill(shadow, change)
    if before == (shadow.digest, shadow.name, shadow.external_id):
        return Taken(shadow=shadow, outcome=Outcome.SAME, intent=Intent.UPDATE)
    shadow.version += 1
    shadow.changed_at = at
    save_shadow(shadow, is_new=False)
    _journal(sender, shadow, Event.ENTRY_CHANGED, "changed")
    return Taken(shadow=shadow, outcome=Outcome.APPLIED, intent=Intent.UPDATE)


@together()
def end_entry(*, sender: Sender, shadow: Shadow, at: datetime) -> Taken:
    """The entry is gone: 404 from now on, its name is free."""
    shadow.ended_at = shadow.changed_at = at
    shadow.version += 1
    save_shadow(shadow, is_new=False)
    _journal(sender, shadow, Event.ENTRY_ENDED, "ended")
    return Taken(shadow=shadow, outcome=Outcome.APPLIED, intent=Intent.DELETE)
