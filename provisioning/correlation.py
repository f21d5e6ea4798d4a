"""To whom does a new resource belong? By evidence that agrees, never as a side effect of a name.

`externalId` of the same system, then the employee number, then the user name with a second attribute that agrees.
One match links, and the resource inherits that account's state. Several, or a weak one, is disputed: a new account
that a person must look at.
"""

from collections.abc import Collection
from dataclasses import dataclass
from uuid import UUID

from django.db.models import Q

from accounts.models.account import Account, AccountKind, AccountState
from accounts.models.system import System
from audit.models import history_of
from provisioning.changes import AccountChange, fold, user_name_key
from provisioning.models.shadow import Shadow


@dataclass(frozen=True)
class Match:
    """Whose it is: an account, or nobody's yet; and why it is disputed, if it is."""

    account: Account | None = None
    evidence: str = ""
    disputed: str = ""


def _by_external_id(change: AccountChange, system: System) -> set[UUID]:
    if not change.external_id:
        return set()
    earlier = Shadow.objects.filter(system=system, resource_type="User", external_id=change.external_id)
    return set(earlier.values_list("account_id", flat=True))


def _by_employee_number(change: AccountChange) -> set[UUID]:
    if not change.employee_number:
        return set()
    same = Account.objects.filter(employee_number=change.employee_number, kind=AccountKind.PERSON)
    return set(same.exclude(state=AccountState.ARCHIVED).values_list("pk", flat=True))


def _known_by(key: str, system: System) -> set[UUID]:
    """The accounts whose resource at this system has, or ever had, that user name."""
    ever = history_of(Shadow).objects.filter(system_id=system.pk, resource_type="User", name_key=key)
    return set(ever.values_list("account_id", flat=True))


def _second_attribute(account: Account, change: AccountChange, known: Collection[UUID]) -> str:
    """What agrees beside the user name, or nothing."""
    if change.email and fold(change.email) == fold(account.email):
        return "email"
    if change.display_name and fold(change.display_name) == fold(account.display_name):
        return "display name"
    # An ended account that this very system held under this name: linking gives nothing, it only keeps it ended.
    if account.state == AccountState.DEPROVISIONED and account.pk in known:
        return "the same system knew it by this name"
    return ""


def _contradicts(account: Account, change: AccountChange) -> str:
    kind = change.kind or AccountKind.PERSON
    if account.kind != kind:
        return f"it is a {account.get_kind_display()} and not a {AccountKind(kind).label}"
    if change.employee_number and account.employee_number and change.employee_number != account.employee_number:
        return "the employee numbers differ"
    return ""


def find(*, change: AccountChange, system: System) -> Match:
    """Whose the resource is. An account that has a living resource in this system already is never a match."""
    taken = Shadow.objects.filter(system=system, ended_at__isnull=True, account__isnull=False).values("account_id")
    free = Account.objects.exclude(pk__in=taken).exclude(state=AccountState.ARCHIVED)
    for evidence, ids in (
        ("externalId", _by_external_id(change, system)),
        ("employee number", _by_employee_number(change)),
    ):
        found = list(free.filter(pk__in=ids)[:2]) if ids else []
        if found:
            return _judge(found, change, evidence)
    key = user_name_key(change.user_name)
    known = _known_by(key, system)
    of_that_name = Q(user_name_key=key) | Q(pk__in=known, state=AccountState.DEPROVISIONED)
    same_name = list(free.filter(of_that_name)[:3])
    if not same_name:
        return Match(disputed=_goes_around(change, system, known))
    agreeing = [(a, _second_attribute(a, change, known)) for a in same_name]
    strong = [a for a, second in agreeing if second]
    if not strong:
        return Match(disputed=f"the user name is that of {len(same_name)} other accounts, and nothing else agrees")
    return _judge(strong, change, f"user name and {next(s for _, s in agreeing if s)}")


def _goes_around(change: AccountChange, system: System, known: Collection[UUID]) -> str:
    """Why this may be somebody whose account is off and whose resource this system only renamed, or nothing.

    Rename and create is no way around an ending or a hold: a person must look.
    """
    off = Account.objects.filter(
        state__in=[AccountState.DEPROVISIONED, AccountState.SUSPENDED],
        pk__in=Shadow.objects.filter(system=system, ended_at__isnull=True, account__isnull=False).values("account_id"),
    )
    agreeing = {"user name": Q(pk__in=known)}
    if (change.kind or AccountKind.PERSON) == AccountKind.PERSON:
        if change.employee_number:
            agreeing["employee number"] = Q(kind=AccountKind.PERSON, employee_number=change.employee_number)
        if change.email:
            same = Shadow.objects.filter(system=system, ended_at__isnull=True, email_key=fold(change.email)[:320])
            agreeing["email"] = Q(kind=AccountKind.PERSON, pk__in=same.values("account_id"))
    for evidence, condition in agreeing.items():
        if found := off.filter(condition).first():
            return f"the {evidence} is that of {found.user_name}, which is {found.get_state_display()} here"
    return ""


def _judge(found: list[Account], change: AccountChange, evidence: str) -> Match:
    if len(found) > 1:
        return Match(disputed=f"the {evidence} belongs to several accounts")
    if contradiction := _contradicts(found[0], change):
        return Match(disputed=f"the {evidence} is that of {found[0].user_name}, but {contradiction}")
    return Match(account=found[0], evidence=evidence)
