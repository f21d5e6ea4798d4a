"""What a replay would change, field by field: then, now, and if it were replayed."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from governance.admin import changes
from governance.admin.changes import Change
from provisioning import replay
from provisioning.changes import ACTIVE, MEMBERS, Outcome
from provisioning.models.exchange import Exchange
from provisioning.models.shadow import Shadow
from provisioning.remains import Kept
from provisioning.replay import Busy, InTheWay, Judged, Simulated


@dataclass(frozen=True)
class Row:
    """One field: what the exchange did to it then, what it is now, and what a replay would do (a shape and words)."""

    field: str
    then: Change | None
    now: Any
    shape: str
    words: str
    value: Any = None
    by: UUID | None = None


@dataclass(frozen=True)
class Shown:
    """A simulation for people. `is_off`: something is in the way, and `sentence` says what."""

    sentence: str
    shape: str
    rows: tuple[Row, ...] = ()
    rules: str = ""
    is_off: bool = False


def of(exchange: Exchange, *, then: Sequence[Change], at: datetime) -> Shown:
    """What a replay of it would do. Nothing is written."""
    try:
        found = replay.simulate(exchange=replay.original_of(exchange), at=at)
    except InTheWay as error:
        return Shown(sentence=_("It can't be replayed: %(because)s.") % {"because": error}, shape="x", is_off=True)
    except Busy as error:
        return Shown(sentence=_("It was not simulated: %(because)s.") % {"because": error}, shape="?", is_off=True)
    shape, sentence = _sentence(found.judged)
    return Shown(sentence=sentence, shape=shape, rows=tuple(_rows(found, then)), rules=found.judged.rules)


def _sentence(judged: Judged) -> tuple[str, str]:
    match judged.outcome:
        case Outcome.APPLIED:
            return "!", _("A replay would change what is marked.")
        case Outcome.HELD:
            held = ", ".join(judged.held_by)
            return "~", _("A replay would ask people, and give nothing before they answer (%(held)s).") % {"held": held}
        case Outcome.SUPERSEDED:
            return "-", _("A replay would change nothing: a newer word stands.")
        case Outcome.PARKED:
            return "x", _("A replay would be parked again: %(because)s") % {"because": judged.because}
        case _:
            return "=", _("A replay would change nothing: it is so already.")


def _rows(found: Simulated, then: Sequence[Change]) -> Iterable[Row]:
    judged = found.judged
    would = {change.field: change for change in _would(found.before, found.after)}
    told = {change.field: change for change in then}
    known: set[str] = set()
    for field in dict.fromkeys([*told, *would]):
        known.add(field)
        yield _row(field, told.get(field), would.get(field), judged.kept)
    if judged.outcome == Outcome.HELD and judged.plan is not None and not judged.asked_in:
        now = found.before.account.get_state_display() if found.before and found.before.account else None
        yield Row(_("status"), None, now, "~", _("people are asked whether it comes back"))
    yield from _members(judged)
    for one in judged.kept:
        label = _label(one.name)
        if one.name != MEMBERS and not any(_is_of(field, label) for field in known):
            yield Row(label, None, None, "-", _("kept, superseded by"), one.by.who, one.by.exchange)


def _would(before: Shadow | None, after: Shadow | None) -> list[Change]:
    """What differs between the resource now and after a replay."""
    if before is None or after is None:
        return []
    found = changes.of_shadow(before, after)
    if before.account is not None and after.account is not None:
        own = changes.of_account(before.account, after.account)
        fields = {change.field for change in own}
        found = own + [change for change in found if change.field not in fields]
    if before.ended_at is None and after.ended_at is not None:
        found.append(Change(_("resource"), _("there"), _("ended")))
    return found


def _row(field: str, then: Change | None, would: Change | None, kept: Sequence[Kept]) -> Row:
    if would is not None:
        return Row(field, then, would.before, "!", _("becomes"), would.after)
    now = then.now if then is not None else None
    by = next((one.by for one in kept if _is_of(field, _label(one.name)) or one.name == "id"), None)
    if by is not None:
        return Row(field, then, now, "-", _("kept, superseded by"), by.who, by.exchange)
    return Row(field, then, now, "=", _("same, 0 rows"))


def _members(judged: Judged) -> Iterable[Row]:
    label = _("members")
    if judged.out:
        words = ngettext("%(n)d member leaves", "%(n)d members leave", judged.out) % {"n": judged.out}
        yield Row(label, None, None, "!", words)
    if judged.asked_in:
        words = ngettext("people are asked for %(n)d member", "people are asked for %(n)d members", judged.asked_in)
        yield Row(label, None, None, "~", words % {"n": judged.asked_in})
    for one in judged.kept:
        if one.name == MEMBERS:
            words = ngettext("%(n)d kept, superseded by", "%(n)d kept, superseded by", one.count) % {"n": one.count}
            yield Row(label, None, None, "-", words, one.by.who, one.by.exchange)


def _label(name: str) -> str:
    """What the pages call an attribute."""
    if name == ACTIVE:
        return _("status")
    if name == "id":
        return _("resource")
    return name.rpartition(":")[2] if name.startswith("urn:") else name


def _is_of(field: str, label: str) -> bool:
    return field == label or field.startswith(f"{label}.")
