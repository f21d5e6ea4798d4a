"""Rewinds: a feed is listened to once more from an earlier time. One who administers its system asks, another answers.

    foreseen(cursor=…, to=…, at=…) -> Effect          what it would do, before it is asked for
    ask_rewind(cursor=…, to=…, asked_by=…, reason=…, at=…) -> Approval
    overtaken() -> QuerySet[Approval]                 open questions about a feed that has begun anew since

The yes is counted by `governance.approvals`, and carried out by `governance.consequences` in the same transaction.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import transaction
from django.db.models import Exists, IntegerField, OuterRef, QuerySet, UUIDField
from django.db.models.fields.json import KT
from django.db.models.functions import Cast
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from accounts.models.user import User
from accounts.rules import Word, demand, may
from governance.asking import OTHERS_LAST, CantAsk, begin, open_about, reasoned
from governance.consequences import BadAnswer
from governance.models.approval import Approval, ApprovalKind, ApprovalState
from provisioning import cursors, replaying, systems
from provisioning.feeds.scim_delta import moment_of
from provisioning.models.cursor import Cursor
from provisioning.models.exchange import Exchange, OutcomeWord
from provisioning.models.received import Received, ReceivedFrom

# Up to so many are counted.
MOST_COUNTED = 1_000
# What a key of the ledger can be made of.
_EARLIEST = 1970


@dataclass(frozen=True, kw_only=True)
class Effect:
    """From when to when a feed would be listened to once more, and how much is known of that time already."""

    since: datetime
    until: datetime
    exchanges: int
    received: int

    def sentences(self) -> list[str]:
        """What happens, for the page that asks."""
        taken = ngettext(
            "Since then we took in %(n)s exchange of this system: it stands, and is what newer words are known by.",
            "Since then we took in %(n)s exchanges of this system: they stand, and newer words are known by them.",
            self.exchanges,
        )
        heard = ngettext(
            "%(n)s event came through this feed since: what is heard again as it was is known, and changes nothing.",
            "%(n)s events came through this feed since: what is heard again as it was is known, and changes nothing.",
            self.received,
        )
        return [taken % {"n": counted(self.exchanges)}, heard % {"n": counted(self.received)}, *promises()]


def promises() -> list[str]:
    """What holds for every rewind."""
    return [
        _("What something newer was said about is superseded: the newer word stands."),
        _("What would give access asks people first, as it does when it is sent."),
        _("Only what its system still shows is heard: what was deleted there is found by complete readings."),
    ]


def counted(number: int) -> str:
    """A number that was counted up to a bound."""
    return _("more than %(n)d") % {"n": MOST_COUNTED} if number > MOST_COUNTED else str(number)


def _demand_sense(cursor: Cursor, to: Mapping[str, Any], *, at: datetime) -> tuple[datetime, datetime]:
    """From when to when. Raises `CantAsk` for a feed without a position, `BadAnswer` for a time that is none before it."""
    if why := cursors.no_way_back(cursor):
        raise CantAsk(why)
    stands, since = moment_of(cursor.position), moment_of(to)
    if since is None or stands is None or since.year < _EARLIEST:
        raise BadAnswer(_("That is no time that this feed can begin at."))
    if since >= min(stands, at):
        raise BadAnswer(_("It stands at %(when)s UTC: choose a time before that.") % {"when": f"{stands:%F %H:%M}"})
    return since, stands


def foreseen(*, cursor: Cursor, to: Mapping[str, Any], at: datetime) -> Effect:
    """What a rewind would do. Two queries, each bounded. Raises `CantAsk` and `BadAnswer`."""
    since, until = _demand_sense(cursor, to, at=at)
    ours = Exchange.objects.filter(system=cursor.system_id, id__gte=replaying.since(since))
    heard = Received.objects.filter(token_id=cursor.pk, source=ReceivedFrom.FEED, received_at__gte=since)
    return Effect(
        since=since,
        until=until,
        exchanges=ours.exclude(outcome=OutcomeWord.REJECTED).order_by()[: MOST_COUNTED + 1].count(),
        received=heard.order_by()[: MOST_COUNTED + 1].count(),
    )


def ask_rewind(*, cursor: Cursor, to: Mapping[str, Any], asked_by: User, reason: str, at: datetime) -> Approval:
    """Ask that a feed be listened to once more from an earlier position.

    One security person answers who does not administer its system. The same question is returned as it is. Raises
    `Refused`, `BadAnswer`, and `CantAsk` for a system that has ended, a feed without a position, another open question.
    """
    demand(may(asked_by, Word.SYSTEM_MANAGE, tenant=cursor.tenant_id, at=at))
    why = reasoned(reason)
    with transaction.atomic():
        try:
            system = systems.living(cursor.system)
        except systems.BadSystem as error:
            raise CantAsk(str(error)) from error
        found = Cursor.objects.select_related("system").get(pk=cursor.pk)
        effect = foreseen(cursor=found, to=to, at=at)
        live = open_about(system, ApprovalKind.REWIND)
        if live is not None:
            if (live.facts["cursor"], live.facts["to"]) == (str(found.pk), dict(to)):
                return live
            raise CantAsk(_("Another rewind of %(system)s waits: let it be answered first.") % {"system": system.name})
        made = Approval.objects.create(
            tenant_id=found.tenant_id,
            kind=ApprovalKind.REWIND,
            system=system,
            title=_("May the feed %(stream)s of %(system)s be listened to once more from %(when)s UTC?")
            % {"stream": found.stream, "system": system.name, "when": f"{effect.since:%Y-%m-%d %H:%M}"},
            facts={
                "reason": why,
                "cursor": str(found.pk),
                "stream": found.stream,
                "to": dict(to),
                "epoch": found.epoch,
                "goes_back_to": effect.since.isoformat(),
                "stands_at": effect.until.isoformat(),
                "exchanges_since": counted(effect.exchanges),
                "events_since": counted(effect.received),
                "asked_by_identity": str(asked_by.identity_id),
            },
            needs=1,
            barred=sorted({asked_by.identity_id, *systems.requesters(system=system, at=at)}),
            asked_by=str(asked_by),
            asked_at=at,
            until=at + OTHERS_LAST,
        )
        return begin(made, at=at)


def overtaken() -> QuerySet[Approval]:
    """Open questions about a feed that has begun anew since: what they ask about is not there any more."""
    as_asked = Cursor.objects.filter(
        pk=Cast(OuterRef("_cursor"), UUIDField()), epoch=Cast(OuterRef("_epoch"), IntegerField())
    )
    waiting = Approval.objects.filter(state=ApprovalState.OPEN, kind=ApprovalKind.REWIND)
    return waiting.alias(_cursor=KT("facts__cursor"), _epoch=KT("facts__epoch")).exclude(Exists(as_asked))
