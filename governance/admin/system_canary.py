"""The test account of a test: what name it has, what happened to it and nothing else, and what of it is left."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.urls import reverse
from django.utils.translation import gettext as _

from accounts.models.account import AccountState
from accounts.models.system import System
from governance.admin.system_steps import judged
from provisioning.changes import Intent, user_name_key
from provisioning.models.connection import ReadRecord
from provisioning.models.exchange import Exchange
from provisioning.models.plan import Plan, PlanState
from provisioning.models.shadow import Shadow
from provisioning.seen import GROUP, USER, Arrival, since_key

# Without vowels, and without what is easily read as something else.
_LETTERS = "bcdfghjkmnpqrstvwxz23456789"
_LENGTH = 5
_PREFIX = "rollcall-test-"
# The domain of the test account is that of an account among so many of the newest.
_LOOKED_AT = 20
_MOST = 100


@dataclass(frozen=True)
class Names:
    """What the test account and the test group are to be called. The first part is followed, whatever comes after @."""

    short: str
    account: str

    @property
    def group(self) -> str:
        """The name of the test group."""
        return self.short

    def fits(self, name: str) -> bool:
        """Whether a resource of that name is one of them."""
        return user_name_key(name).partition("@")[0] == self.short


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One stage in the life of the test account."""

    name: str
    shape: str
    words: str
    at: datetime | None = None
    exchange: UUID | None = None
    said: str = ""


@dataclass(frozen=True)
class Left:
    """Something that is left of the test, and where it is dealt with."""

    shape: str
    words: str
    sentence: str
    url: str = ""
    label: str = ""


@dataclass(frozen=True)
class Canary:
    """Everything about the test account."""

    names: Names
    stages: tuple[Stage, ...]
    left: tuple[Left, ...]
    is_seen: bool


def names_of(system: System, since: datetime) -> Names:
    """The names of one test: the same for everybody who looks at it, others for the next. One query."""
    digest = hashlib.sha256(f"{system.pk} {int(since.timestamp())}".encode()).digest()
    short = _PREFIX + "".join(_LETTERS[byte % len(_LETTERS)] for byte in digest[:_LENGTH])
    living = Shadow.objects.filter(system=system, resource_type=USER, ended_at__isnull=True)
    newest = living.order_by("-id").values_list("name", flat=True)[:_LOOKED_AT]
    domain = next((name.rpartition("@")[2] for name in newest if "@" in name and not name.startswith(_PREFIX)), "")
    return Names(short=short, account=f"{short}@{domain}" if domain else short)


def follow(
    system: System, names: Names, arrivals: Sequence[Arrival], reads: Sequence[ReadRecord], *, since: datetime
) -> Canary:
    """What became of the test account and the test group since the test began. At most three queries."""
    ids = {one.resource_id for one in arrivals if names.fits(one.label) and one.resource_id is not None}
    known = Shadow.objects.select_related("account").filter(system=system)
    # By its name it is found while it lives, by its requests also when it has ended: two look-ups into indexes.
    named = known.filter(ended_at__isnull=True, resource_type__in=(USER, GROUP), name_key__in=_keys(names))
    found = {one.pk: one for one in (*named, *known.filter(pk__in=ids))}
    shadows = sorted(found.values(), key=lambda one: one.pk)
    users = {one.pk for one in shadows if one.resource_type == USER}
    happened = _happened(system, users, since=since) if users else []
    refused = [one for one in arrivals if one.wanted == Intent.CREATE and names.fits(one.asked_name)]
    stages = _stages(system, happened, [one for one in refused if one.resource_type == USER], reads, users)
    return Canary(names=names, stages=stages, left=_left(shadows), is_seen=bool(shadows or refused))


def _keys(names: Names) -> list[str]:
    return sorted({user_name_key(names.short), user_name_key(names.account)})


def _happened(system: System, users: set[UUID], *, since: datetime) -> list[Arrival]:
    rows = Exchange.objects.filter(system=system, resource_id__in=users, id__gte=since_key(since)).order_by("-id")
    kept = rows.values(
        "id", "at", "method", "path", "status", "resource_type", "resource_id", "intent", "outcome", "error", "plan_id"
    )[:_MOST]
    found: list[dict[str, Any]] = [{**row, "intent": Intent(row["intent"]), "label": ""} for row in kept]
    return [Arrival(**one) for one in found]


def _stages(
    system: System,
    happened: Sequence[Arrival],
    refused: Sequence[Arrival],
    reads: Sequence[ReadRecord],
    users: set[UUID],
) -> tuple[Stage, ...]:
    def newest(*intents: Intent) -> Arrival | None:
        return next((one for one in happened if one.intent in intents), None)

    made = newest(Intent.CREATE) or next(iter(refused), None)
    disabled, gone = newest(Intent.DISABLE), newest(Intent.DELETE)
    ended = disabled or gone
    return (
        _stage(system, _("made"), "create", made),
        _stage(system, _("disabled"), "disable", disabled),
        _read_back(reads, users, since=ended.at if ended else None),
        _stage(system, _("came back"), "enable", newest(Intent.ENABLE)),
        _stage(system, _("removed"), "delete", gone),
    )


def _stage(system: System, name: str, key: str, one: Arrival | None) -> Stage:
    if one is None:
        return Stage(name=name, shape="?", words=_("not yet"))
    shape, words = judged(system, key, one)
    return Stage(name=name, shape=shape, words=words, at=one.at, exchange=one.id, said=one.error)


def _read_back(reads: Sequence[ReadRecord], users: set[UUID], *, since: datetime | None) -> Stage:
    """Whether the client looked at it after it was off; not every client does."""
    name = _("read back")
    paths = {f"/Users/{one}" for one in users}
    read = next((one for one in reads if since is not None and one.path in paths and one.at > since), None)
    if read is None:
        return Stage(name=name, shape="?", words=_("not yet"), said=_("not every client does"))
    said = _("it was told that it is gone") if read.status == 404 else _("it was told what stands here")  # noqa: PLR2004
    return Stage(name=name, shape="=", words=_("read"), at=read.at, said=said)


def _left(shadows: Sequence[Shadow]) -> tuple[Left, ...]:
    found = [_left_of(one) for one in shadows]
    accounts = [one.account_id for one in shadows if one.account_id is not None]
    waiting = Plan.objects.filter(account__in=accounts, state=PlanState.WAITING) if accounts else Plan.objects.none()
    found += [
        Left(
            "~", _("a question waits"), _("Its return waits for people: reject it, or let it lapse."),
            reverse("plan", args=[plan.pk]), _("the question to people"),
        )
        for plan in waiting[:_MOST]
    ]  # fmt: skip
    return tuple(found)


def _left_of(shadow: Shadow) -> Left:
    account = shadow.account
    if account is None:
        about = {"name": shadow.name}
        if shadow.ended_at is not None:
            return Left("=", _("ended"), _("The group %(name)s has ended.") % about)
        said = _("The group %(name)s is still here: delete it in the client, or stop pushing it.") % about
        return Left("!", _("still here"), said)
    url, label = reverse("account", args=[account.pk]), account.user_name
    if account.state == AccountState.ACTIVE:
        said = _("It is still active here: disable it in the client, or end it on its page.")
        return Left("!", _("active"), said, url, label)
    if account.state in {AccountState.PENDING, AccountState.SUSPENDED}:
        said = _("It is not active, and has not ended: end it on its page.")
        return Left("~", str(account.get_state_display()), said, url, label)
    said = _("Nothing active is left of it. Its record stays here, as history.")
    return Left("=", _("ended"), said, url, label)
