"""The state tables of this floor. Data: `docs/states.md` is drawn from them."""

from audit.transitions import table

APPROVAL = table(
    "approval",
    initial={"open"},
    arrows={
        "open": {"approved", "rejected", "lapsed", "void"},
        "approved": set(),
        "rejected": set(),
        "lapsed": set(),
        "void": set(),
    },
)

CAMPAIGN = table(
    "campaign",
    initial={"draft"},
    arrows={"draft": {"running", "abandoned"}, "running": {"settling"}, "settling": {"closed"}}
    | {"closed": set(), "abandoned": set()},
)

REVIEW = table(
    "review",
    initial={"waiting"},
    arrows={
        "waiting": {"certified", "revoked", "silent"},
        # Changeable until the campaign's deadline; both answers are kept.
        "certified": {"revoked"},
        "revoked": {"certified", "verified_off", "excepted"},
        "silent": {"verified_off", "excepted", "certified"},
        "verified_off": set(),
        "excepted": set(),
    },
)
# A line that needs nothing more.
REVIEW_SETTLED = frozenset({"certified", "verified_off", "excepted"})

ALL = (APPROVAL, CAMPAIGN, REVIEW)
