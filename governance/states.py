"""The state tables of this floor. Data: `docs/states.md` is drawn from them."""

from enum import StrEnum

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
        # After the deadline security decides what nobody answered.
        "silent": {"verified_off", "excepted", "certified", "revoked"},
        "verified_off": set(),
        "excepted": set(),
    },
)
# A line that needs nothing more.
REVIEW_SETTLED = frozenset({"certified", "verified_off", "excepted"})

ALL = (APPROVAL, CAMPAIGN, REVIEW)


class Event(StrEnum):
    """What the journal says of this floor."""

    APPROVAL_ASKED = "approval.asked"
    APPROVAL_ANSWERED = "approval.answered"
    APPROVAL_APPROVED = "approval.approved"
    APPROVAL_REJECTED = "approval.rejected"
    APPROVAL_LAPSED = "approval.lapsed"
    APPROVAL_VOID = "approval.void"
    CAMPAIGN_DRAFTED = "campaign.drafted"
    CAMPAIGN_ABANDONED = "campaign.abandoned"
    CAMPAIGN_LAUNCHED = "campaign.launched"
    CAMPAIGN_SETTLING = "campaign.settling"
    CAMPAIGN_CLOSED = "campaign.closed"
    REVIEW_CERTIFIED = "review.certified"
    REVIEW_REVOKED = "review.revoked"
    REVIEW_SILENT = "review.silent"
    REVIEW_VERIFIED = "review.verified"
    REVIEW_EXCEPTED = "review.excepted"
    CERTIFIED = "roll.certified"
