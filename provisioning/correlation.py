"""To whom does a new resource belong? By evidence that agrees, never as a side effect of a name.

`externalId` of the same system, then the employee number, then the user name with a second attribute that agrees.
One match links, and the resource inherits that account's state. Several, or a weak one, is disputed: a new account
that a person must look at.
"""

from dataclasses import dataclass
from uuid import UUID

from accounts.models.account import Account, AccountKind, AccountState
from accounts.models.system import System
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


def _second_attribute(account: Account, change: AccountChange, system: System) -> str:
    """What agrees beside the user name, or nothing."""
    if change.email and fold(change.email) == fold(account.email):
        return "email"
    if change.display_name and fold(change.display_name) == fold(account.display_name):
        return "display name"
    # An ended account that this very system held under this name: linking gives nothing, it only keeps it ended.
    over = account.state == AccountState.DEPROVISIONED
    if over and Shadow.objects.filter(system=system, account=account, name_key=account.user_name_key).exists():
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
    same_name = list(free.filter(user_name_key=user_name_key(change.user_name))[:3])
    if not same_name:
        return Match()
    agreeing = [(a, _second_attribute(a, change, system)) for a in same_name]
    strong = [a for a, second in agreeing if second]
    if not strong:
        return Match(disputed=f"the user name is that of {len(same_name)} other accounts, and nothing else agrees")
    return _judge(strong, change, f"user name and {next(s for _, s in agreeing if s)}")


def _judge(found: list[Account], change: AccountChange, evidence: str) -> Match:
    if len(found) > 1:
        return Match(disputed=f"the {evidence} belongs to several accounts")
    if contradiction := _contradicts(found[0], change):
        return Match(disputed=f"the {evidence} is that of {found[0].user_name}, but {contradiction}")
    return Match(account=found[0], evidence=evidence)
