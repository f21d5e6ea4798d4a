"""Sending: what is due leaves as mail. A failure is tried again, and after eight tries it is a finding.

send_due(at=…) -> Sent     one slice, of at most 20 mails
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.core.mail import EmailMessage
from django.db.models import QuerySet
from django.utils.translation import gettext as _

from accounts.findings import Wrong, open_or_raise, resolve
from accounts.models.finding import FindingKind, Severity
from governance.models.notice import Notice

BATCH = 200
MAILS_AT_ONCE = 20
MOST_TRIES = 8
LONGEST_WAIT = timedelta(hours=6)


@dataclass(frozen=True)
class Sent:
    """How many mails left, how many failed, and how many notices were given up."""

    sent: int = 0
    failed: int = 0
    given_up: int = 0


def wait_after(tries: int) -> timedelta:
    """How long until the next try after so many: 1, 2, 4 … minutes, at most six hours."""
    return min(timedelta(minutes=2 ** max(tries - 1, 0)), LONGEST_WAIT)


def failed_key(address: str) -> str:
    """The dedupe key of "mails to this address can't be delivered"."""
    return f"mail_failed:{address.casefold()}"[:300]


def _mails(claimed: Sequence[Notice]) -> list[list[Notice]]:
    """What goes out as one mail: all findings for one address together, everything else by itself."""
    together: dict[str, list[Notice]] = {}
    alone = []
    for notice in claimed:
        if notice.finding_id is None:
            alone.append([notice])
        else:
            together.setdefault(notice.to_address, []).append(notice)
    return [*together.values(), *alone][:MAILS_AT_ONCE]


def _compose(notices: Sequence[Notice]) -> EmailMessage:
    first = notices[0]
    subject, body = first.subject, first.body
    if len(notices) > 1:
        name = first.tenant.name
        subject = _("[%(tenant)s] %(n)d findings") % {"tenant": name, "n": len(notices)}
        body = "\n\n".join(f"{n}. {notice.body}" for n, notice in enumerate(notices, start=1))
    return EmailMessage(subject=subject, body=body + "\n", to=[first.to_address])


def _failed(notices: Sequence[Notice], error: Exception, *, at: datetime) -> int:
    """Note the failure, by its class alone: a server's answer may quote what it was sent. Returns how many were the last try."""
    over = []
    for notice in notices:
        notice.tries += 1
        notice.problem = type(error).__name__
        notice.due_at = at + wait_after(notice.tries)
        if notice.tries >= MOST_TRIES:
            notice.problem = _("given up after %(n)d tries: %(error)s") % {"n": notice.tries, "error": notice.problem}
            over.append(notice)
    Notice.objects.bulk_update(notices, ["tries", "problem", "due_at"])
    if over:
        address = over[0].to_address
        open_or_raise(
            [
                Wrong(
                    kind=FindingKind.SWEEP_FAILED,
                    key=failed_key(address),
                    title=_("mails to %(address)s can't be delivered") % {"address": address},
                    severity=Severity.HIGH,
                    evidence={"error": type(error).__name__, "notices": len(over)},
                    due_at=at + timedelta(days=1),
                )
            ],
            at=at,
        )
    return len(over)


def due(*, at: datetime) -> QuerySet[Notice]:
    """Notices that are to be sent now, the oldest first."""
    return Notice.objects.filter(sent_at__isnull=True, due_at__lte=at, tries__lt=MOST_TRIES).order_by("due_at", "id")


def send_due(*, at: datetime, limit: int = BATCH) -> Sent:
    """Send one slice of what is due; rows that another sender holds are passed over. No more than 20 mails.

    A crash between sending and commit sends a mail twice, never none.
    """
    claimed = due(at=at).select_for_update(skip_locked=True, of=("self",)).select_related("tenant")
    sent = failed = given_up = 0
    reached = set()
    for notices in _mails(list(claimed[:limit])):
        try:
            _compose(notices).send()
        except (OSError, ValueError) as error:
            given_up += _failed(notices, error, at=at)
            failed += 1
        else:
            Notice.objects.filter(pk__in=[n.pk for n in notices]).update(sent_at=at, problem="")
            reached.add(failed_key(notices[0].to_address))
            sent += 1
    resolve(reached, because=_("a mail to it has left"), at=at)
    return Sent(sent=sent, failed=failed, given_up=given_up)
