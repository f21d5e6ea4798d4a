"""What stands on the page of a plan: why it waits, who is concerned by it, what it would change."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import IO, Any
from uuid import UUID

from django.db.models import Count, Q, QuerySet
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from accounts.models.finding import Attribution
from accounts.models.system import System
from governance import facts
from governance.admin.csv_files import cell, csv_of
from governance.admin.people import names_of
from governance.admin.runs import Proof, proofs_of
from governance.models.approval import Approval
from governance.rules import bars
from provisioning.models.exchange import Exchange
from provisioning.models.plan import ChangeAct, Plan, PlannedChange, PlanState
from provisioning.models.run import Run, RunState
from provisioning.models.snapshot import SnapshotProof

# Readings of the past that a stopped plan is compared with.
BEFORE = 30
# Causes of a shrink that have a line of their own.
PARTS = 20
NAMED = 3  # accounts that a sentence names


# -- may it come back?


def _instant(text: Any) -> datetime | None:
    return datetime.fromisoformat(text) if isinstance(text, str) and text else None


def _since(said: Mapping[str, Any]) -> list[str]:
    gone, ended = said.get("owners_gone", []), said.get("groups_ended", [])
    return [
        *(_("its owner %(name)s is gone") % {"name": name} for name in gone),
        *(_("the group %(name)s has ended") % {"name": name} for name in ended),
    ]


def of_return(plan: Plan, approval: Approval | None) -> dict[str, Any]:
    """The facts of "may it come back?": as they were when it was asked; before anybody was asked, as they are now."""
    if plan.account is None:
        return {}
    said: Mapping[str, Any] = approval.facts if approval else facts.of_return(plan, plan.account)
    ended, since, risk = said.get("ended", {}), said.get("since", {}), said.get("risk", {})
    findings = since.get("findings", [])
    return {
        "asked": Exchange.objects.filter(pk=plan.exchange_id).first() if plan.exchange_id else None,
        "ended_at": _instant(ended.get("at")),
        "ended_because": ended.get("because", ""),
        "since": _since(since),
        "findings": findings,
        "more_findings": max(int(since.get("findings_count", 0)) - len(findings), 0),
        "last_used_at": _instant(risk.get("last_used_at")),
        "privileged": bool(risk.get("privileged")),
        "name_reused": bool(risk.get("name_reused")),
        "needs_owner": bool(said.get("needs_owner")),
        "owners": said.get("owners", []),
        "offered_to": said.get("offered_to", []),
        "comes_back": said.get("comes_back", []),
        "stays_gone": said.get("stays_gone", []),
    }


def not_they(approval: Approval, *, at: datetime) -> list[str]:
    """The names of those who can't answer, since they asked or are concerned."""
    return sorted(set(names_of(bars(approval, at=at)).values()))


# -- why the brake stopped it


@dataclass(frozen=True)
class Part:
    """One part of what would shrink: a kind of change, and of which group, with the address of its changes."""

    label: str
    count: int
    url: str
    is_chosen: bool


def _part_label(act: str, group: str | None, *, absent: bool) -> str:
    if absent:
        return _("%(act)s: not there any more") % {"act": ChangeAct(act).label}
    return f"{ChangeAct(act).label}: {group}" if group else str(ChangeAct(act).label)


def parts(plan: Plan, *, chosen: tuple[str, UUID | None]) -> list[Part]:
    """Who shrank: the changes by kind and group, the most first. One query."""
    rows = (
        plan.changes.order_by()
        .values("act", "group_id", "group__display_name", absent=Q(before__absent=True))
        .annotate(n=Count("pk"))
        .order_by("-n", "act", "group__display_name")
    )
    page = reverse("plan", args=[plan.pk])
    found = []
    for row in rows[:PARTS]:
        group: UUID | None = row["group_id"]
        url = f"{page}?act={row['act']}" + (f"&group={group}" if group is not None else "")
        is_chosen = chosen == (row["act"], group)
        found.append(
            Part(
                _part_label(row["act"], row["group__display_name"], absent=bool(row["absent"])),
                row["n"],
                url,
                is_chosen,
            )
        )
    return found


def missed(plan: Plan) -> list[tuple[str, int]]:
    """Why no event had asked for its changes: how many by each word, the most first. One query."""
    rows = plan.changes.order_by().exclude(attribution="").values_list("attribution").annotate(n=Count("pk"))
    return [(str(Attribution(word).label), n) for word, n in rows.order_by("-n", "attribution")]


def chosen_changes(plan: Plan, *, act: str, group: UUID | None, result: str) -> QuerySet[PlannedChange]:
    """The changes that a filter asks for, in their order."""
    wanted = Q()
    if act:
        wanted &= Q(act=act)
    if group is not None:
        wanted &= Q(group=group)
    if result:
        wanted &= Q(result=result)
    return plan.changes.filter(wanted).order_by("position")


def smell(plan: Plan) -> list[Proof]:
    """Whether the reading behind it can be believed: its proofs, and what readings before it wanted."""
    run = plan.run
    if run is None:
        return []
    found = list(SnapshotProof.objects.filter(snapshot__run=run))
    return [*proofs_of(run, found), _usual(plan.system, run)]


def _usual(system: System, run: Run) -> Proof:
    before = Run.objects.filter(system=system, state=RunState.CLOSED, started_at__lt=run.started_at)
    counts = [
        int(one.get("wanted", 0)) for one in before.order_by("-started_at").values_list("counts", flat=True)[:BEFORE]
    ]
    name = ngettext("the reading before it", "the %(n)d readings before it", len(counts)) % {"n": len(counts)}
    if not counts:
        return Proof("?", _("unknown"), _("readings before it"), _("none was complete: nothing says what is usual"))
    low, high = min(counts), max(counts)
    wanted = str(low) if low == high else _("%(low)d to %(high)d") % {"low": low, "high": high}
    return Proof("=", _("known"), name, _("wanted %(n)s changes each") % {"n": wanted})


def checks(plan: Plan) -> list[str]:
    """What somebody looks at before they let a stopped plan go: of what was left out, three by name."""
    if plan.state != PlanState.TRIPPED:
        return []
    gone = plan.changes.filter(before__absent=True)
    names = list(gone.order_by("position").values_list("label", flat=True)[:NAMED])
    system = plan.system.name
    here = [
        _("Look for %(names)s at %(system)s yourself: are they gone there?") % {"names": ", ".join(names), "system": system},
        _("Compare how many accounts %(system)s says it has with the %(n)s of the reading.")
        % {"system": system, "n": plan.run.counts.get("users", "?") if plan.run else "?"},
    ] if names else [
        _("Look for one of them at %(system)s yourself: is it as the reading shows it?") % {"system": system},
    ]  # fmt: skip
    return [
        *here,
        _("Ask who administers %(system)s what was done there: a scope, a filter, a token, an import, a restore.")
        % {"system": system},
        _("Take a new reading: one that shows otherwise takes this plan back."),
    ]


# -- every change, as a file


def as_csv(changes: QuerySet[PlannedChange]) -> IO[bytes]:
    """The changes as a CSV file, read row by row; open, at its beginning."""
    return csv_of(
        ["position", "act", "what", "group", "privileged", "result", "detail", "account_id", "attribution"],
        (
            [
                one.position, one.act, cell(one.label), cell(one.group.display_name if one.group is not None else ""),
                "yes" if one.is_privileged else "no", one.result, cell(one.detail), one.account_id or "",
                one.attribution,
            ]
            for one in changes.select_related("group").iterator(chunk_size=1_000)
        ),
    )  # fmt: skip
