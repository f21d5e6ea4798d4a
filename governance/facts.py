"""The facts of a question, frozen when it is asked: plain JSON, as the page shows them and as they were then."""

from collections import Counter
from datetime import datetime
from typing import Any

from accounts.models.account import Account, AccountState
from accounts.models.finding import Finding
from accounts.models.group import Membership
from accounts.models.ownership import Ownership, OwnershipState
from accounts.states import FINDING_LIVE
from accounts.states import Event as AccountEvent
from audit.journal import timeline
from provisioning.models.plan import Plan

# Names shown of a longer list; its length is always beside it.
SHOWN = 20


def _iso(instant: datetime | None) -> str | None:
    return instant.isoformat() if instant is not None else None


def _ending(account: Account) -> dict[str, Any]:
    """When it ended and by what, in the words of the journal. Empty where it has not ended."""
    if account.state != AccountState.DEPROVISIONED:
        return {}
    entry = timeline(kind="account", subject_id=str(account.pk)).filter(event=AccountEvent.ACCOUNT_ENDED).first()
    return {"at": _iso(account.state_since), "because": entry.sentence if entry else "", "epoch": account.epoch}


def _since(account: Account) -> dict[str, Any]:
    """What has changed since it ended: owners gone, groups ended, what is wrong with it."""
    ended = account.state_since
    answered = Ownership.objects.filter(account=account).exclude(state=OwnershipState.OFFERED).select_related("owner")
    gone = {
        o.owner.user_name
        for o in answered
        if o.owner.state != AccountState.ACTIVE or (o.ended_at is not None and o.ended_at >= ended)
    }
    groups = Membership.objects.filter(account=account, group__ended_at__gte=ended)
    live = Finding.objects.filter(account=account, state__in=FINDING_LIVE)
    return {
        "owners_gone": sorted(gone),
        "groups_ended": sorted(set(groups.values_list("group__display_name", flat=True))),
        "findings": [{"id": str(f.pk), "title": f.title} for f in live[:SHOWN]],
        "findings_count": live.count(),
    }


def _risk(account: Account) -> dict[str, Any]:
    same_name = (
        Account.objects.filter(user_name_key=account.user_name_key)
        .exclude(pk=account.pk)
        .exclude(state__in=[AccountState.DEPROVISIONED, AccountState.ARCHIVED])
    )
    return {
        "kind": str(account.kind),
        "environment": str(account.environment),
        "privileged": account.is_privileged,
        "last_used_at": _iso(account.last_used_at),
        "name_reused": same_name.exists(),
    }


def _owners(account: Account) -> dict[str, Any]:
    live = list(
        Ownership.objects.filter(
            account=account, state__in=[OwnershipState.OFFERED, OwnershipState.ACCEPTED]
        ).select_related("owner")
    )
    accepted = sorted(o.owner.user_name for o in live if o.state == OwnershipState.ACCEPTED)
    return {
        "owners": accepted,
        "offered_to": sorted(o.owner.user_name for o in live if o.state == OwnershipState.OFFERED),
        "needs_owner": account.is_nhi and not accepted,
    }


def _groups(account: Account) -> dict[str, Any]:
    """What it is in still, and so has again; and what ended with or after it, and does not come back."""
    all_of_it = Membership.objects.filter(account=account).select_related("group")
    held = {m.group.display_name: m.group.is_privileged for m in all_of_it if m.ended_at is None}
    lost = {m.group.display_name for m in all_of_it if m.ended_at is not None and m.ended_at >= account.state_since}
    return {
        "comes_back": [{"group": name, "privileged": held[name]} for name in sorted(held)],
        "stays_gone": sorted(lost - held.keys()),
    }


def of_return(plan: Plan, account: Account) -> dict[str, Any]:
    """The facts of "may this ended account come back?"."""
    return {
        "account": account.user_name,
        "system": plan.system.name,
        "asked_by": plan.asked_by,
        "asked_at": _iso(plan.asked_at),
        "exchange": str(plan.exchange_id) if plan.exchange_id else None,
        "repeats": plan.repeats,
        "held_by": plan.held_by,
        "ended": _ending(account),
        "since": _since(account),
        "risk": _risk(account),
        **_owners(account),
        **_groups(account),
    }


def of_stopped(plan: Plan) -> dict[str, Any]:
    """The facts of "may this stopped plan be executed?": why the brake stopped it, and who shrank."""
    changes = list(plan.changes.select_related("group"))
    by_act = Counter(str(c.act) for c in changes)
    by_group = Counter(c.group.display_name for c in changes if c.group is not None)
    return {
        "system": plan.system.name,
        "asked_by": plan.asked_by,
        "asked_at": _iso(plan.asked_at),
        "run": str(plan.run_id) if plan.run_id else None,
        "brake": plan.brake,
        "acts": dict(by_act),
        "groups": dict(by_group.most_common(SHOWN)),
        "privileged": [c.label for c in changes if c.is_privileged][:SHOWN],
        "sample": [{"act": str(c.act), "label": c.label} for c in changes[:SHOWN]],
    }
