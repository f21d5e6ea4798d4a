"""The state tables of this floor. Data: `docs/states.md` is drawn from them."""

from enum import StrEnum

from audit.transitions import table

ACCOUNT = table(
    "account",
    initial={"pending"},
    arrows={
        "pending": {"active", "suspended", "deprovisioned"},
        "active": {"suspended", "deprovisioned"},
        # Pending again: suspended before it was ever active, or something it needs is gone.
        "suspended": {"active", "pending", "deprovisioned"},
        # The way back consumes a Permit of the same epoch; the database checks it. Only what ended before it was ever
        # active (epoch 0) is pending again without one.
        "deprovisioned": {"active", "pending", "archived"},
        "archived": set(),
    },
)

OWNERSHIP = table(
    "ownership",
    initial={"offered"},
    arrows={
        "offered": {"accepted", "declined", "ended"},
        "accepted": {"ended"},
        "declined": set(),
        "ended": set(),
    },
)

FINDING = table(
    "finding",
    initial={"open"},
    arrows={
        "open": {"acknowledged", "remediating", "resolved", "excepted", "false_positive"},
        "acknowledged": {"remediating", "resolved", "excepted", "false_positive"},
        "remediating": {"resolved", "excepted"},
        "resolved": {"reopened"},
        "reopened": {"acknowledged", "remediating", "resolved", "excepted", "false_positive"},
        "excepted": {"reopened", "resolved"},
        "false_positive": {"reopened"},
    },
)
# What waits for somebody: one row for each tenant and dedupe key may be in one of these.
FINDING_LIVE = frozenset({"open", "acknowledged", "remediating", "reopened", "excepted"})
# What is wrong and not excused.
FINDING_OPEN = FINDING_LIVE - {"excepted"}

ALL = (ACCOUNT, OWNERSHIP, FINDING)


class Event(StrEnum):
    """What the journal says of this floor."""

    ACCOUNT_MADE = "account.made"
    ACCOUNT_CHANGED = "account.changed"
    ACCOUNT_ACTIVATED = "account.activated"
    ACCOUNT_SUSPENDED = "account.suspended"
    ACCOUNT_RELEASED = "account.released"
    ACCOUNT_ENDED = "account.ended"
    ACCOUNT_REACTIVATED = "account.reactivated"
    ACCOUNT_RENEWED = "account.renewed"
    MEMBERS_CHANGED = "members.changed"
    OWNERSHIP_OFFERED = "ownership.offered"
    OWNERSHIP_ANSWERED = "ownership.answered"
    OWNERSHIP_ENDED = "ownership.ended"
    PERMIT_GRANTED = "permit.granted"
    EXCEPTION_MADE = "exception.made"
    EXCEPTION_ENDED = "exception.ended"
    FINDING_HANDLED = "finding.handled"
