"""The state tables of this floor. Data: `docs/states.md` is drawn from them."""

from enum import StrEnum

from audit.transitions import table

PLAN = table(
    "plan",
    initial={"draft"},
    arrows={
        "draft": {"evaluated", "lapsed"},
        "evaluated": {"cleared", "waiting", "tripped"},
        "cleared": {"executing", "lapsed"},
        "waiting": {"approved", "rejected", "lapsed"},
        "tripped": {"approved", "rejected", "lapsed"},
        "approved": {"executing", "lapsed"},
        "rejected": set(),
        "lapsed": set(),
        "executing": {"verifying"},
        "verifying": {"done", "done_with_residue"},
        "done": set(),
        "done_with_residue": set(),
    },
)
# What waits for people.
PLAN_WAITS = frozenset({"waiting", "tripped"})
# What may still change something.
PLAN_LIVE = PLAN.states - PLAN.final

SNAPSHOT = table(
    "snapshot",
    initial={"listing"},
    arrows={
        "listing": {"verifying", "failed"},
        "verifying": {"complete", "incomplete", "failed"},
        "complete": set(),
        "incomplete": set(),
        "failed": set(),
    },
)

RUN = table(
    "run",
    initial={"running"},
    arrows={"running": {"closed", "incomplete", "failed", "stopped", "simulated"}}
    | {end: set() for end in ("closed", "incomplete", "failed", "stopped", "simulated")},
)

CURSOR = table(
    "cursor",
    initial={"waiting"},
    arrows={
        # A gap, or a rewind's undoing of one: nothing is followed until a complete reading has shown everything.
        "waiting": {"following", "stopped"},
        "following": {"waiting", "stopped"},
        "stopped": {"waiting"},
    },
)

RECEIVED = table(
    "received",
    initial={"waiting"},
    arrows={
        "waiting": {"applied", "parked"},
        "parked": {"waiting", "given_up"},
        "applied": set(),
        "given_up": set(),
    },
)
# What its lane waits for.
RECEIVED_OPEN = RECEIVED.states - RECEIVED.final

# One that was stopped goes on where it stands, when somebody says so.
REPLAY = table(
    "replay",
    initial={"running"},
    arrows={"running": {"stopped", "done"}, "stopped": {"running"}, "done": set()},
)

# The ledger is folded again and again: from where it stands, or from empty.
REBUILD = table(
    "rebuild",
    initial={"folding"},
    arrows={"folding": {"compared", "emptying"}, "compared": {"folding", "emptying"}, "emptying": {"folding"}},
)

ALL = (PLAN, SNAPSHOT, RUN, CURSOR, RECEIVED, REPLAY, REBUILD)


class Event(StrEnum):
    """What the journal says of systems, their catalogues, their readings and what they sent ahead. Plans have their own words (`provisioning.plans`)."""

    SYSTEM_MADE = "system.made"
    SYSTEM_ENDED = "system.ended"
    ADMINISTRATORS_CHANGED = "system.administrators_changed"
    POLICY_CHANGED = "system.policy_changed"
    STRICTNESS_CHANGED = "system.strictness_changed"
    RULE_MADE = "system.rule_made"
    RULE_ENDED = "system.rule_ended"
    CONNECTED = "connection.made"
    CONNECTION_CHANGED = "connection.changed"
    CONNECTION_PAUSED = "connection.paused"
    CONNECTION_RESUMED = "connection.resumed"
    FILE_TAKEN = "file.taken"
    FILE_REFUSED = "file.refused"
    TOKEN_MADE = "token.made"  # noqa: S105  a word of the journal
    TOKEN_ENDED = "token.ended"  # noqa: S105  a word of the journal
    ENTRY_MADE = "catalogue.entry_made"
    ENTRY_CHANGED = "catalogue.entry_changed"
    ENTRY_ENDED = "catalogue.entry_ended"
    FEED_FOLLOWED = "feed.followed"
    FEED_STOPPED = "feed.stopped"
    FEED_CADENCE = "feed.cadence"
    FEED_GAP = "feed.gap"
    FEED_GOES_ON = "feed.goes_on"
    FEED_REWOUND = "feed.rewound"
    RUN_STARTED = "run.started"
    RUN_STOP_ASKED = "run.stop_asked"
    RUN_CLOSED = "run.closed"
    RECEIVED_PARKED = "received.parked"
    RECEIVED_HURRIED = "received.hurried"
    RECEIVED_AGAIN = "received.again"
    RECEIVED_GIVEN_UP = "received.given_up"
    REPLAY_BEGUN = "replay.begun"
    REPLAY_STOPPED = "replay.stopped"
    REPLAY_RESUMED = "replay.resumed"
    REPLAY_ENDED = "replay.ended"
    REPLAYED = "exchange.replayed"
    REBUILT = "ledger.rebuilt"
    ERASED = "account.erased"
    ARCHIVED = "ledger.archived"
    KEYS_WRAPPED = "ledger.keys_wrapped"
