"""What a system can do, as far as we have seen it: what it sends us, what a reading of it showed, what is set up."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from accounts.models.system import System
from governance.admin.system_lines import Line
from provisioning.changes import Intent
from provisioning.models.connection import Connection, Connector
from provisioning.models.exchange import Exchange, OutcomeWord
from provisioning.models.run import Run, RunState

# What it sends is judged by so many of its last requests.
LOOKED_AT = 1_000
_WANTED: tuple[tuple[Any, frozenset[str]], ...] = (
    (gettext_lazy("create"), frozenset({Intent.CREATE})),
    (gettext_lazy("change"), frozenset({Intent.UPDATE})),
    (gettext_lazy("disable"), frozenset({Intent.DISABLE})),
    (gettext_lazy("enable"), frozenset({Intent.ENABLE})),
    (gettext_lazy("delete"), frozenset({Intent.DELETE})),
    (gettext_lazy("members"), frozenset({Intent.MEMBER_ADD, Intent.MEMBER_REMOVE, Intent.MEMBER_REPLACE})),
)


@dataclass(frozen=True)
class Ability:
    """One thing that it can do: a shape, its name, and what shows it."""

    shape: str
    name: str
    detail: str
    last_at: datetime | None = None


def sends(system: System) -> tuple[list[Ability], int]:
    """What it asked for among its last requests, and how many of them there are. One query."""
    rows = Exchange.objects.filter(system=system).order_by("-id").values_list("intent", "outcome", "at")
    last = list(rows[:LOOKED_AT])
    found = []
    for name, intents in _WANTED:
        same = [(outcome, at) for intent, outcome, at in last if intent in intents]
        refused = sum(outcome == OutcomeWord.REJECTED for outcome, _at in same)
        detail = ngettext("%(n)d request", "%(n)d requests", len(same)) % {"n": len(same)} if same else _("never sent")
        if refused:
            detail += ", " + ngettext("%(n)d refused", "%(n)d refused", refused) % {"n": refused}
        shape = "?" if not same else "!" if refused == len(same) else "="
        found.append(Ability(shape, str(name), detail, same[0][1] if same else None))
    return found, len(last)


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


def set_up(tokens: Sequence[Any], lines: Sequence[Line], connection: Connection | None) -> list[tuple[str, bool]]:
    """The steps of connecting it, and whether each is done."""
    return [
        (_("system made"), True),
        (_("token made"), bool(tokens)),
        (_("first request arrived"), any(line.exchange or line.status < 400 for line in lines)),  # noqa: PLR2004  accepted
        (_("reading set up"), connection is not None),
        (_("read whole"), connection is not None and connection.last_complete_at is not None),
    ]
