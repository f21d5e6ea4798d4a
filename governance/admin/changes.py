"""What one cause changed of an account, field by field: read from the history that the database wrote."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts.models.account import Account, AccountState
from accounts.models.group import Group, Membership
from audit.models import Cause, CauseKind
from provisioning.models.shadow import Shadow
from provisioning.newer import exchange_of

# A value longer than this is cut: the record's own history shows it whole.
SHOWN = 120

# A system's last word about `active`: not a column of the account, whose status is ours.
_ACTIVE = "wants_active"
# Typed columns, by what people call them. Those of `_SAID_BY_SYSTEM` also stand in the document of whoever said them.
LABELS: Mapping[str, Any] = {
    "state": gettext_lazy("status"),
    "kind": gettext_lazy("kind"),
    "user_name": gettext_lazy("user name"),
    "display_name": gettext_lazy("display name"),
    "email": gettext_lazy("e-mail"),
    "employee_number": gettext_lazy("employee number"),
    "purpose": gettext_lazy("purpose"),
    "environment": gettext_lazy("environment"),
    "is_privileged": gettext_lazy("privileged"),
    "expires_at": gettext_lazy("ends"),
    _ACTIVE: gettext_lazy("active, as its system says"),
}
_COLUMNS = tuple(name for name in LABELS if name != _ACTIVE)
_SAID_BY_SYSTEM = frozenset({"kind", "user_name", "display_name", "email", "employee_number", "purpose", "environment"})
# Says what a document is made of, nothing about the account.
_NO_FIELDS = frozenset({"schemas"})


@dataclass(frozen=True)
class Change:
    """One field before and after; `now` is what it is today, where that was asked for."""

    field: str
    before: Any
    after: Any
    now: Any = None
    is_known_now: bool = False

    @property
    def is_kept(self) -> bool:
        """Whether what it became is what it is today."""
        return self.is_known_now and self.now == self.after


@dataclass(frozen=True)
class By:
    """Who a cause is, actor first: a person, a directory, a sweep, or us; with the exchange that it was, if one."""

    name: str
    kind: str
    group: str
    reason: str
    exchange: UUID | None


# Whom the timeline can be narrowed to: the words of its filter, and the kinds of cause behind each.
GROUPS: Mapping[str, tuple[CauseKind, ...]] = {
    "people": (CauseKind.PAGE, CauseKind.API, CauseKind.SIGN_IN),
    "directory": (CauseKind.EXCHANGE,),
    "sweeps": (CauseKind.TASK,),
    "us": (CauseKind.SETUP, CauseKind.MIGRATION, CauseKind.COMMAND, CauseKind.SHELL, CauseKind.TEST),
}
GROUP_LABELS = (
    ("people", gettext_lazy("people")),
    ("directory", gettext_lazy("directories")),
    ("sweeps", gettext_lazy("sweeps")),
    ("us", gettext_lazy("us")),
)
_GROUP_OF = {kind: group for group, kinds in GROUPS.items() for kind in kinds}


def by(cause: Cause | None) -> By:
    """Who acted. A write from before causes were kept is "not recorded"."""
    if cause is None:
        return By(name=_("not recorded"), kind="", group="us", reason="", exchange=None)
    return By(
        name=cause.actor,
        kind=str(CauseKind(cause.kind).label),
        group=_GROUP_OF[CauseKind(cause.kind)],
        reason=cause.reason,
        exchange=exchange_of(cause),
    )


def _plain(name: str, value: Any) -> Any:
    if name == "state" and value in AccountState.values:
        return str(AccountState(value).label)
    if isinstance(value, bool) or value is None or isinstance(value, datetime | int | float):
        return value
    text = value if isinstance(value, str) else ", ".join(_items(value))
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 1]}…"


def _items(value: Any) -> Iterable[str]:
    if isinstance(value, Mapping):
        for name, inner in sorted(value.items()):
            yield f"{name} {', '.join(_items(inner))}"
    elif isinstance(value, list):
        for inner in value:
            # A list of values with types (emails, roles): the value is what people know it by.
            known = isinstance(inner, Mapping) and inner.get("value")
            yield str(known) if known else ", ".join(_items(inner))
    else:
        yield str(value)


def _flat(document: Mapping[str, Any]) -> dict[str, Any]:
    """A SCIM document as single fields: `name.givenName`, and an extension's attributes by their own names."""
    found: dict[str, Any] = {}
    for name, value in document.items():
        if name in _NO_FIELDS:
            continue
        if isinstance(value, Mapping):
            inside = "" if name.startswith("urn:") else f"{name}."
            found |= {f"{inside}{inner}": v for inner, v in value.items()}
        else:
            found[name] = value
    return found


def _differing(
    names: Iterable[str], before: Mapping[str, Any], after: Mapping[str, Any], now: Mapping[str, Any] | None
) -> list[Change]:
    found = []
    for name in names:
        was, became = before.get(name), after.get(name)
        if was != became:
            today = now.get(name) if now is not None else None
            label = str(LABELS.get(name, name))
            words = [_plain(name, value) for value in (was, became, today)]
            found.append(Change(label, words[0], words[1], words[2], now is not None))
    return found


def of_account(before: Any, after: Any, now: Any = None) -> list[Change]:
    """The typed columns that differ between two versions of an account."""

    def columns(one: Any) -> dict[str, Any]:
        return {name: getattr(one, name) for name in _COLUMNS}

    return _differing(_COLUMNS, columns(before), columns(after), None if now is None else columns(now))


def of_shadow(before: Any, after: Any, now: Any = None) -> list[Change]:
    """The fields of a system's own document that differ between two versions of what it said."""

    def said(one: Any) -> dict[str, Any]:
        return _flat(one.document) | ({_ACTIVE: one.wants_active} if one.account_id else {})

    was, became, today = said(before), said(after), None if now is None else said(now)
    return _differing(sorted({*was, *became, *(today or ())}), was, became, today)


def _steps(rows: Iterable[Any], compare: Any) -> dict[int | None, list[Change]]:
    """By cause: what each version changed of the one before it, newest first. A first version changes nothing."""
    found: dict[int | None, list[Change]] = {}
    after: dict[UUID, Any] = {}
    for row in rows:
        later = after.get(row.id)
        if later is not None and (changed := compare(row, later)):
            found.setdefault(later.cause_id, []).extend(changed)
        after[row.id] = row
    return found


def _joined(changed: dict[int | None, list[Change]], said: dict[int | None, list[Change]]) -> None:
    """Put what a system said beside what became of it, each field once."""
    mirrored = {str(LABELS[name]) for name in _SAID_BY_SYSTEM}
    for cause, fields in said.items():
        own = [change for change in changed.get(cause, []) if change.field not in mirrored]
        is_status = any(change.field == str(LABELS["state"]) for change in own)
        changed[cause] = own + [change for change in fields if not (is_status and change.field == str(LABELS[_ACTIVE]))]


def _groups(account: Account, *, most: int) -> dict[int | None, list[Change]]:
    """By cause: the groups that it came into and left."""
    rows = list(Membership.history.filter(account=account).order_by("-history_id")[:most])
    names = Group.objects.in_bulk({row.group_id for row in rows})
    found: dict[int | None, list[Change]] = {}
    for row in rows:
        name = names[row.group_id].display_name if row.group_id in names else str(row.group_id)
        if row.history_type == "+" or row.ended_at is not None:
            sides = (None, name) if row.history_type == "+" else (name, None)
            found.setdefault(row.cause_id, []).append(Change(_("group"), *sides))
    return found


def history_of(account: Account, *, most: int) -> dict[int | None, list[Change]]:
    """What each cause changed of an account: its own columns, what its systems said, its groups. Five queries.

    Of the last `most` versions of each; older ones stand in the records.
    """
    changed = _steps(Account.history.filter(id=account.pk).order_by("-history_id")[:most], of_account)
    known = list(Shadow.objects.filter(account=account).values_list("pk", flat=True))
    said = _steps(Shadow.history.filter(id__in=known).order_by("-history_id")[:most], of_shadow)
    _joined(changed, said)
    for cause, fields in _groups(account, most=most).items():
        changed.setdefault(cause, []).extend(fields)
    return changed


def _versions(manager: Any, pk: UUID, cause: int) -> tuple[Any, Any] | None:
    """The version before the first that a cause wrote, and the last that it wrote."""
    own = list(manager.filter(id=pk, cause_id=cause).order_by("history_id"))
    if not own:
        return None
    before = manager.filter(id=pk, history_id__lt=own[0].history_id).order_by("-history_id").first()
    return (before, own[-1]) if before is not None else None


def of_exchange(shadow: Shadow, *, cause: int) -> list[Change]:
    """What one exchange changed of its account: then, and now. Nothing for one that made it, or changed nothing."""
    found: dict[int | None, list[Change]] = {}
    if shadow.account is not None and (sides := _versions(Account.history, shadow.account.pk, cause)):
        found[cause] = of_account(*sides, shadow.account)
    if sides := _versions(Shadow.history, shadow.pk, cause):
        _joined(found, {cause: of_shadow(*sides, shadow)})
    return found.get(cause, [])
