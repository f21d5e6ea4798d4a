"""To whom does a new resource belong? By evidence that agrees, never as a side effect of a name.

`externalId` of the same system, then the employee number, then the user name with a second attribute that agrees.
One match links, and the resource inherits that account's state. Several, or a weak one, is disputed: a new account
that a person must look at. Whoever is off is found by everything that was ever said of them, not only by what a system
left standing before it ended them.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

from django.db import connection
from django.db.models import Exists, OuterRef, Q

from accounts.models.account import Account, AccountKind, AccountState
from accounts.models.system import System
from audit.models import history_of
from provisioning.changes import ACCOUNT_TYPES, AccountChange, fold, user_name_key
from provisioning.models.shadow import Shadow


@dataclass(frozen=True)
class Match:
    """Whose it is: an account, or nobody's yet; and why it is disputed, if it is."""

    account: Account | None = None
    evidence: str = ""
    disputed: str = ""
    perhaps: Account | None = None
    """Of a disputed one: the account that it may be, which is off. It stays off until people have answered."""


OFF = (AccountState.DEPROVISIONED, AccountState.SUSPENDED)
_EMAIL = "email"


def kind_of(change: AccountChange) -> AccountKind:
    """What an account is that says no kind: what its resource is."""
    return AccountKind.AGENT if change.resource_type == "Agent" else AccountKind.PERSON


def _by_external_id(change: AccountChange, system: System) -> set[UUID]:
    if not change.external_id:
        return set()
    earlier = Shadow.objects.filter(system=system, resource_type__in=ACCOUNT_TYPES, external_id=change.external_id)
    return set(earlier.values_list("account_id", flat=True))


def _by_employee_number(change: AccountChange) -> set[UUID]:
    if not change.employee_number:
        return set()
    same = Account.objects.filter(employee_number=change.employee_number, kind=AccountKind.PERSON)
    return set(same.exclude(state=AccountState.ARCHIVED).values_list("pk", flat=True))


def _known_by(key: str, system: System) -> set[UUID]:
    """The accounts whose resource at this system has, or ever had, that user name."""
    ever = history_of(Shadow).objects.filter(system_id=system.pk, resource_type__in=ACCOUNT_TYPES, name_key=key)
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
    kind = change.kind or kind_of(change)
    if account.kind != kind:
        return f"it is a {account.get_kind_display()} and not a {AccountKind(kind).label}"
    if change.employee_number and account.employee_number and change.employee_number != account.employee_number:
        return "the employee numbers differ"
    return ""


def find(*, change: AccountChange, system: System) -> Match:
    """Whose the resource is. An account that has a living resource in this system already is never a match."""
    had = _who_had(change, system)
    is_person = (change.kind or kind_of(change)) == AccountKind.PERSON
    if not had and (is_person or not change.employee_number):
        # Nobody ever had anything of it: nothing else is looked for.
        return Match()
    match = _match(change, system)
    if match.account is not None:
        return match
    perhaps, because = _off(had)
    return replace(match, disputed=match.disputed or because, perhaps=perhaps)


def _match(change: AccountChange, system: System) -> Match:
    # Asked of each candidate: a list of all who are taken would be read anew for every resource that is made.
    taken = Shadow.objects.filter(account=OuterRef("pk"), system=system, ended_at__isnull=True)
    free = Account.objects.filter(~Exists(taken)).exclude(state=AccountState.ARCHIVED)
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
        return Match()
    agreeing = [(a, _second_attribute(a, change, known)) for a in same_name]
    strong = [a for a, second in agreeing if second]
    if not strong:
        return Match(disputed=f"the user name is that of {len(same_name)} other accounts, and nothing else agrees")
    return _judge(strong, change, f"user name and {next(s for _, s in agreeing if s)}")


def off_like(*, change: AccountChange, system: System, besides: UUID | None = None) -> tuple[Account | None, str]:
    """An account that is off and that this may be, and why; by what it has or ever had.

    Neither a rename, nor another externalId, number or address, nor an end of the resource before it, is a way around
    an ending or a hold. Two queries.
    """
    return _off(_who_had(change, system), besides=besides)


def _who_had(change: AccountChange, system: System) -> dict[UUID, str]:
    """The accounts that have, or ever had, something of the change, each with the strongest such thing. One query.

    Every resource that is made asks it, so its SQL is written out.
    """
    asked = _ever(change, system)
    parts = " UNION ALL ".join(f"SELECT {rank} AS rank, {had}" for rank, (_what, had, _values) in enumerate(asked))
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT id, min(rank) FROM ({parts}) AS had WHERE id IS NOT NULL GROUP BY id",  # noqa: S608  the texts of `_ever`
            [value for _what, _had, values in asked for value in values],
        )
        return {account: asked[rank][0] for account, rank in cursor.fetchall()}


def _off(by: Mapping[UUID, str], *, besides: UUID | None = None) -> tuple[Account | None, str]:
    every = Account.objects.filter(pk__in=by, state__in=OFF).order_by("-state_since") if by else ()
    # Machines share addresses, with each other and with people: one tells nothing about them.
    off = next((a for a in every if a.pk != besides and (a.kind == AccountKind.PERSON or by[a.pk] != _EMAIL)), None)
    if off is None:
        return None, ""
    what = by[off.pk]
    return off, f"the {what} is that of {off.user_name}, which is {off.get_state_display()} here"


_HAD = f"account_id AS id FROM provisioning_historicalshadow WHERE resource_type IN {ACCOUNT_TYPES!r}"
_HAD_HERE = f"{_HAD} AND system_id = %s"


def _ever(change: AccountChange, system: System) -> list[tuple[str, str, list[Any]]]:
    """Whoever had the same at any time, strongest first: what, where it is looked for, and the values of that."""
    key = user_name_key(change.user_name)
    asked: list[tuple[str, str, list[Any]]] = [
        ("user name", f"{_HAD_HERE} AND name_key = %s", [system.pk, key]),
        ("user name", "id FROM accounts_account WHERE user_name_key = %s", [key]),
    ]
    if change.external_id:
        asked.append(("externalId", f"{_HAD_HERE} AND external_id = %s", [system.pk, change.external_id]))
    if (change.kind or kind_of(change)) == AccountKind.PERSON:
        if change.employee_number:
            same = "id FROM accounts_historicalaccount WHERE employee_number = %s AND kind = %s"
            asked.append(("employee number", same, [change.employee_number, AccountKind.PERSON.value]))
        if change.email:
            asked.append((_EMAIL, f"{_HAD} AND email_key = %s", [fold(change.email)[:320]]))
    return asked


def _judge(found: list[Account], change: AccountChange, evidence: str) -> Match:
    if len(found) > 1:
        return Match(disputed=f"the {evidence} belongs to several accounts")
    if contradiction := _contradicts(found[0], change):
        return Match(disputed=f"the {evidence} is that of {found[0].user_name}, but {contradiction}")
    return Match(account=found[0], evidence=evidence)
