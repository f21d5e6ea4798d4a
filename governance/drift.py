"""How quickly drift is seen and healed, and how much of the time a system was measured and equal.

    of_systems(ids, at=…) -> {id: Drift}        two queries, however many there are

Computed from what is kept anyway: complete readings and findings. Time that nobody measured counts as neither: it is not
equal, and lowers the share.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from governance.freshness import DIFFERENCES
from provisioning.statements import Statements

# Over what it is computed, and the share of it that should be measured and equal.
WITHIN = timedelta(days=30)
GOAL_PERCENT = 99.0

_SQL = Statements(__file__)


@dataclass(frozen=True)
class Drift:
    """One system over the last 30 days. None: nothing was there to be computed from, which is not zero.

    `detect` is the mean time from the last complete reading that did not show a difference until it was seen (so at most
    that long), over `detected` of them; `heal` that from seen until resolved, over `healed`.
    """

    measured_percent: float | None
    equal_percent: float | None
    detect: timedelta | None
    detected: int
    heal: timedelta | None
    healed: int

    @property
    def is_within_budget(self) -> bool | None:
        """Whether it reaches the goal; None where it is not known."""
        return None if self.equal_percent is None else self.equal_percent >= GOAL_PERCENT


def of_systems(systems: Iterable[UUID], *, at: datetime) -> dict[UUID, Drift]:
    """Each of these systems over the last 30 days, or since it was made."""
    wanted = list(systems)
    parameters = {"systems": wanted, "at": at, "since": at - WITHIN, "kinds": [str(kind) for kind in DIFFERENCES]}
    shares = {row["system_id"]: row for row in _SQL.rows("shares", parameters)}
    times = {row["system_id"]: row for row in _SQL.rows("times", parameters)}
    return {one: _drift(shares.get(one, {}), times.get(one, {})) for one in wanted}


def _drift(share: dict[str, float], times: dict[str, float]) -> Drift:
    whole = share.get("whole")
    return Drift(
        measured_percent=100 * share["measured"] / whole if whole else None,
        equal_percent=100 * share["equal"] / whole if whole else None,
        detect=_lasting(times.get("detect")),
        detected=int(times.get("detected", 0)),
        heal=_lasting(times.get("heal")),
        healed=int(times.get("healed", 0)),
    )


def _lasting(seconds: float | None) -> timedelta | None:
    return None if seconds is None else timedelta(seconds=seconds)
