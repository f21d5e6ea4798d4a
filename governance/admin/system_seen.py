"""What a system can do, as far as we have seen it: what it sends us, what a reading of it showed, what is set up."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from django.utils.translation import gettext as _

from accounts.models.system import System
from governance.admin.system_steps import ReadKind, Step, read_kinds, steps
from provisioning.models.connection import Connection, Connector, ReadRecord
from provisioning.models.run import Run, RunState
from provisioning.seen import arrivals
from provisioning.tokens import READS_KEPT


@dataclass(frozen=True)
class Ability:
    """One thing that it can do: a shape, its name, and what shows it."""

    shape: str
    name: str
    detail: str
    last_at: datetime | None = None


def sends(found: Mapping[str, Step]) -> list[Ability]:
    """What it has asked for, ever, each by its newest request; what it never sent is unknown."""
    return [
        Ability(one.shape, str(one.name), f"{one.words}, {one.status}" if one.status else one.words, one.at)
        for one in found.values()
        if one.key != "connect"
    ]


def never_sent(found: Mapping[str, Step], kinds: Sequence[ReadKind]) -> list[str]:
    """The names of what it never sent; of reads, those that are not among the last that are kept."""
    sent = [str(one.name) for one in found.values() if one.shape == "?" and one.key != "connect"]
    return sent + [str(one.name) for one in kinds if one.shape == "?"]


@dataclass(frozen=True)
class Shown:
    """All that a system has shown of itself so far."""

    steps: Mapping[str, Step]
    kinds: Sequence[ReadKind]

    @property
    def sends(self) -> list[Ability]:
        """What it asks for."""
        return sends(self.steps)

    @property
    def never(self) -> list[str]:
        """What it never did."""
        return never_sent(self.steps, self.kinds)

    @property
    def count(self) -> int:
        """How many things it has done that were taken in."""
        return sum(one.is_done for one in self.steps.values())


def shown(system: System) -> Shown:
    """What it has shown, over all time where the ledger has it. Two queries."""
    kept = list(ReadRecord.objects.filter(system=system).order_by("-id")[:READS_KEPT])
    # Two of each kind: of whole lists of members the second is the one that may have removed somebody.
    return Shown(steps(system, arrivals(system, each=2), kept), read_kinds(kept))


def reads(connection: Connection | None, runs: Sequence[Run]) -> list[Ability]:
    """What we can read in it, by its last whole reading; nothing is ever written there."""
    names = ((_("accounts"), "users"), (_("groups"), "groups"), (_("memberships"), "members"))
    whole = next((run for run in runs if run.state == RunState.CLOSED), None)
    if connection is None or connection.connector == Connector.NONE:
        return [Ability("?", name, _("nobody said where")) for name, _word in names]
    if whole is None:
        return [Ability("?", name, _("no whole reading among the last")) for name, _word in names]
    return [_shown(name, whole, word) for name, word in names]


def _shown(name: str, run: Run, word: str) -> Ability:
    """What a whole reading showed of one kind. Of what its directory has no list of, it is whole and says nothing."""
    if word not in run.counts or (word == "members" and run.counts.get("memberships_unread")):
        return Ability("?", name, _("it does not show them"), run.started_at)
    return Ability("=", name, f"{int(run.counts[word]):,}", run.started_at)
