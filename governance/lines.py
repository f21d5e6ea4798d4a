"""Lines of a campaign before they are launched: which accounts, who answers for each, and the evidence to freeze.

Everything here reads for a whole set of accounts at once, with a number of queries that does not grow with it.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import Exists, OuterRef, Q, QuerySet
from django.utils.translation import gettext as _

from accounts.models.account import Account, AccountKind, AccountState, Environment
from accounts.models.finding import Finding
from accounts.models.group import Membership
from accounts.models.ownership import Ownership, OwnershipKind, OwnershipState
from accounts.models.user import User
from accounts.states import FINDING_LIVE
from governance.models.campaign import Review, ReviewState
from provisioning.models.shadow import Shadow

# Who is asked first.
ORDER = (OwnershipKind.PRIMARY, OwnershipKind.DEPUTY, OwnershipKind.TEAM, OwnershipKind.SPONSOR)
_KEYS = frozenset({"kinds", "environment", "system", "privileged", "never_certified", "text"})


class BadQuery(ValueError):
    """The filter of a campaign can't be understood; the message says what to write."""


@dataclass(frozen=True, kw_only=True)
class Query:
    """Whom a campaign is about. `environment` and `privileged` are None where they do not matter."""

    kinds: tuple[AccountKind, ...] = ()
    environment: Environment | None = None
    system: UUID | None = None
    privileged: bool | None = None
    never_certified: bool = False
    text: str = ""

    def as_json(self) -> dict[str, Any]:
        """What a campaign keeps: only what matters."""
        found: dict[str, Any] = {
            "kinds": [str(k) for k in self.kinds],
            "system": str(self.system) if self.system else None,
            "privileged": self.privileged,
            "never_certified": self.never_certified or None,
            "text": self.text.strip(),
        }
        kept = {key: value for key, value in found.items() if value not in (None, "", [])}
        return kept if self.environment is None else kept | {"environment": str(self.environment)}


def query_from(data: Mapping[str, Any]) -> Query:
    """The filter that a campaign keeps. Raises `BadQuery`."""
    if unknown := data.keys() - _KEYS:
        raise BadQuery(_("%(words)s are no filters") % {"words": sorted(unknown)})
    try:
        environment = data.get("environment")
        return Query(
            kinds=tuple(AccountKind(k) for k in data.get("kinds", [])),
            environment=None if environment is None else Environment(environment),
            system=UUID(str(data["system"])) if data.get("system") else None,
            privileged=data.get("privileged"),
            never_certified=bool(data.get("never_certified")),
            text=str(data.get("text", "")),
        )
    except (ValueError, TypeError) as error:
        raise BadQuery(_("the filter can't be read: %(error)s") % {"error": error}) from error


def matching(query: Query) -> QuerySet[Account]:
    """The living accounts that a filter names, by name."""
    found = Account.objects.filter(state__in=[AccountState.ACTIVE, AccountState.SUSPENDED])
    if query.kinds:
        found = found.filter(kind__in=query.kinds)
    if query.environment is not None:
        found = found.filter(environment=query.environment)
    if query.privileged is not None:
        found = found.filter(is_privileged=query.privileged)
    if query.system is not None:
        there = Shadow.objects.filter(account=OuterRef("pk"), system=query.system, ended_at__isnull=True)
        found = found.filter(Exists(there))
    if query.never_certified:
        certified = Review.objects.filter(account=OuterRef("pk"), state=ReviewState.CERTIFIED)
        found = found.exclude(Exists(certified))
    if text := query.text.strip().casefold():
        found = found.filter(Q(user_name_key__contains=text) | Q(display_name_key__contains=text))
    return found.order_by("user_name_key", "id")


# -- who answers


@dataclass
class Reviewers:
    """Who reviews which account, and for which accounts nobody can."""

    found: dict[UUID, Account] = field(default_factory=dict)
    nobody: list[Account] = field(default_factory=list)
    only_oneself: list[Account] = field(default_factory=list)


def reviewers(accounts: Sequence[Account]) -> Reviewers:
    """The first owner of each account who is active, can sign in and is somebody else. Two queries."""
    answering = (
        Ownership.objects.filter(
            account__in=[a.pk for a in accounts], state=OwnershipState.ACCEPTED, owner__state=AccountState.ACTIVE
        )
        .select_related("owner")
        .order_by("offered_at", "id")
    )
    candidates: dict[UUID, list[Ownership]] = {}
    for one in answering:
        candidates.setdefault(one.account_id, []).append(one)
    identities = {o.owner.identity_id for some in candidates.values() for o in some}
    sign_in = set(User.objects.filter(identity__in=identities, is_active=True).values_list("identity_id", flat=True))
    result = Reviewers()
    for account in accounts:
        able = [o for o in candidates.get(account.pk, []) if o.owner.identity_id in sign_in]
        others = [o for o in able if o.owner.identity_id != account.identity_id]
        if others:
            result.found[account.pk] = min(others, key=lambda o: ORDER.index(OwnershipKind(o.kind))).owner
        elif able:
            result.only_oneself.append(account)
        else:
            result.nobody.append(account)
    return result


# -- evidence


def _by_account(pairs: Collection[tuple[UUID | None, Any]]) -> dict[UUID, list[Any]]:
    found: dict[UUID, list[Any]] = {}
    for account, value in pairs:
        if account is not None:
            found.setdefault(account, []).append(value)
    return found


def _last_certified(ids: Collection[UUID]) -> dict[UUID, Review]:
    last = Review.objects.filter(account__in=ids, state=ReviewState.CERTIFIED)
    return {r.account_id: r for r in last.order_by("account_id", "-settled_at", "-id").distinct("account_id")}


def changed_since(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """What is different from the evidence of the last certification, in short words: "+s3-write", "owner was a.ruiz"."""
    had, has = set(before.get("memberships", [])), set(now["memberships"])
    words = [f"+{name}" for name in sorted(has - had)] + [f"-{name}" for name in sorted(had - has)]
    if before.get("owner") != now["owner"]:
        words.append(_("owner was %(name)s") % {"name": before.get("owner")})
    if bool(before.get("is_privileged")) != now["is_privileged"]:
        words.append(_("privileged now") if now["is_privileged"] else _("no longer privileged"))
    if before.get("expires_at") != now["expires_at"]:
        words.append(_("ended %(when)s then") % {"when": (before.get("expires_at") or _("never"))[:10]})
    return words


def evidence(
    accounts: Sequence[Account], owners: Mapping[UUID, Account], *, at: datetime
) -> dict[UUID, dict[str, Any]]:
    """What each line shows for ever, as it is now. Four queries, whatever the number of accounts."""
    ids = [a.pk for a in accounts]
    live = Membership.objects.filter(account__in=ids, ended_at__isnull=True)
    groups = _by_account(list(live.values_list("account_id", "group__display_name")))
    shadows = Shadow.objects.filter(account__in=ids, ended_at__isnull=True)
    systems = _by_account(list(shadows.values_list("account_id", "system__name")))
    wrong = Finding.objects.filter(account__in=ids, state__in=FINDING_LIVE)
    findings = _by_account([(f.account_id, {"id": str(f.pk), "title": f.title}) for f in wrong])
    certified = _last_certified(ids)
    found = {}
    for account in accounts:
        now: dict[str, Any] = {
            "frozen_at": at.isoformat(),
            "user_name": account.user_name,
            "display_name": account.display_name,
            "kind": str(account.kind),
            "environment": str(account.environment),
            "purpose": account.purpose,
            "state": str(account.state),
            "is_privileged": account.is_privileged,
            "expires_at": account.expires_at.isoformat() if account.expires_at else None,
            "last_used_at": account.last_used_at.isoformat() if account.last_used_at else None,
            "owner": owners[account.pk].user_name if account.pk in owners else None,
            "memberships": sorted(set(groups.get(account.pk, []))),
            "systems": sorted(set(systems.get(account.pk, []))),
            "findings": findings.get(account.pk, []),
        }
        last = certified.get(account.pk)
        now["last_certified_at"] = last.settled_at.isoformat() if last and last.settled_at else None
        now["changed"] = changed_since(last.evidence, now) if last else []
        found[account.pk] = now
    return found
