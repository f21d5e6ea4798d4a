"""The state tables of this floor. Data: `docs/states.md` is drawn from them."""

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
    arrows={"running": {"closed", "incomplete", "failed", "stopped"}}
    | {end: set() for end in ("closed", "incomplete", "failed", "stopped")},
)

ALL = (PLAN, SNAPSHOT, RUN)
