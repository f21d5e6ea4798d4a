"""The state tables of this floor. Data: `docs/states.md` is drawn from them."""

from audit.transitions import table

ACCOUNT = table(
    "account",
    initial={"pending"},
    arrows={
        "pending": {"active", "suspended", "deprovisioned"},
        "active": {"suspended", "deprovisioned"},
        "suspended": {"active", "deprovisioned"},
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
