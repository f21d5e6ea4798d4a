"""Reconciliation runs, each with the proofs that its reading was whole and what it showed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.http import HttpResponse
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts.models.finding import Attribution, FindingKind
from accounts.models.system import System
from accounts.rules import Ruling, Word
from governance.pages import Ask, PageRequest, ask, asked_id, chosen, page, window
from provisioning import reconciliation
from provisioning.models.connection import Connection
from provisioning.models.plan import Plan
from provisioning.models.run import Run, RunState
from provisioning.models.snapshot import Snapshot, SnapshotProof
from provisioning.snapshot import Progress, progress

STEPS = (
    ("listing", gettext_lazy("listing")),
    ("verifying", gettext_lazy("verifying")),
    ("confirming", gettext_lazy("asking for the missing")),
    ("comparing", gettext_lazy("comparing")),
    ("planning", gettext_lazy("planning")),
    ("closing", gettext_lazy("closing")),
)
PROOFS = (
    (SnapshotProof.Word.DRAINED, gettext_lazy("pages drained")),
    (SnapshotProof.Word.TOTAL, gettext_lazy("total agrees")),
    (SnapshotProof.Word.UNIQUE, gettext_lazy("no id twice")),
    (SnapshotProof.Word.CANARY, gettext_lazy("canary seen")),
    (SnapshotProof.Word.SHRINK, gettext_lazy("shrink in limit")),
    (SnapshotProof.Word.ABSENT, gettext_lazy("absence asked about")),
)
# What a comparison counts, in the order of the page: the finding that it becomes, the words of `Run.counts`, and whether
# it is concluded from absence, which a complete reading alone allows.
DIFFERENCES: tuple[tuple[FindingKind, Any, tuple[str, ...], bool], ...] = (
    (FindingKind.STATUS_DIFFERS, gettext_lazy("status differs"), ("status",), False),
    (FindingKind.STILL_ACTIVE, gettext_lazy("off here, active there"), ("still_active",), False),
    (FindingKind.MISSING_THERE, gettext_lazy("here, missing there"), ("missing_there",), True),
    (FindingKind.UNKNOWN_HERE, gettext_lazy("there, unknown here"), ("unknown_here",), False),
    (
        FindingKind.MEMBERSHIP_DIFFERS,
        gettext_lazy("membership differs"),
        ("member_removed", "member_added"),
        True,
    ),
    (FindingKind.FIELD_DIFFERS, gettext_lazy("attribute differs"), ("field",), False),
)
# The steps before anything is compared, and the ends that compare nothing.
_UNCOMPARED = frozenset({"listing", "verifying", "confirming", "comparing"})
_UNENDED = frozenset({RunState.FAILED, RunState.STOPPED})


@dataclass(frozen=True)
class Proof:
    """One proof that a reading is whole: a shape, its name, and what was seen."""

    shape: str
    words: str
    name: str
    detail: str


@dataclass(frozen=True)
class Counted:
    """One count, and the address of what it counts. None: it was not judged, which is not zero."""

    label: Any
    count: int | None
    url: str = ""


def proofs_of(run: Run, found: Sequence[SnapshotProof]) -> list[Proof]:
    """The proofs that a reading was whole, in the order of the page, and what went wrong on our side."""
    known = {proof.word: (proof.holds, proof.detail) for proof in found}
    # Of a simulation no proof is kept, but whether it held.
    known |= {word: (holds, "") for word, holds in run.counts.get("proofs", {}).items()}
    rows = []
    for word, name in PROOFS:
        proof = known.get(word)
        if proof is None and word == SnapshotProof.Word.ABSENT:
            rows += _unasked(run)
        elif proof is None:
            rows.append(Proof("?", _("not proven"), str(name), ""))
        else:
            holds = ("=", _("holds")) if proof[0] else ("x", _("does not hold"))
            rows.append(Proof(*holds, str(name), proof[1]))
    errors = int(run.counts.get("errors", 0))
    held_up = int(run.counts.get("busy", 0))
    detail = _("its server was busy %(n)d times") % {"n": held_up} if held_up else ""
    return [*rows, Proof("!" if errors else "=", str(errors), _("errors of ours"), detail)]


def _unasked(run: Run) -> list[Proof]:
    """Why nobody knows whether what a reading left out is there; nothing where it left out nobody."""
    if many := int(run.counts.get("unasked", 0)):
        why = _("%(n)d are missing, too many to ask for one by one: people look at them") % {"n": many}
    elif failed := int(run.counts.get("could_not_be_asked", 0)):
        why = _("%(n)d are missing and could not be asked for: nothing follows about them") % {"n": failed}
    else:
        return []
    return [Proof("?", _("not proven"), _("absence asked about"), why)]


def _list_of(run: Run, kind: str = "", *, what: str) -> str:
    if run.is_simulated:
        return ""  # it opened none
    return f"{reverse('findings')}?run={run.pk}&what={what}" + (f"&kind={kind}" if kind else "")


def differences(run: Run, *, complete: bool) -> list[Counted]:
    """What it showed to differ, each count with its list. What an incomplete reading can't say is None."""
    is_compared = run.step not in _UNCOMPARED and run.state not in _UNENDED
    counts: Mapping[str, Any] = run.counts
    rows = []
    for kind, label, words, from_absence in DIFFERENCES:
        is_judged = is_compared and (complete or not from_absence)
        if kind == FindingKind.MEMBERSHIP_DIFFERS and counts.get("memberships_unread"):
            is_judged = False
        count = sum(int(counts.get(word, 0)) for word in words) if is_judged else None
        rows.append(Counted(label, count, _list_of(run, kind, what="seen") if count else ""))
    return rows


def _outcome(run: Run, *, complete: bool, plans: Sequence[Plan]) -> list[Counted]:
    """What became of the differences: findings opened and closed, changes wanted."""
    is_compared = run.step not in _UNCOMPARED and run.state not in _UNENDED
    opened = int(run.counts.get("opened", 0)) if is_compared else None
    closed = int(run.counts.get("resolved", 0)) if is_compared and complete else None
    wanted = int(run.counts["wanted"]) if "wanted" in run.counts else None
    plan = reverse("plan", args=[plans[0].pk]) if plans else ""
    return [
        Counted(_("findings opened"), opened, _list_of(run, what="opened") if opened else ""),
        Counted(_("findings closed"), closed, _list_of(run, what="closed") if closed else ""),
        Counted(_("changes wanted"), wanted, plan if wanted else ""),
    ]


def missed(run: Run) -> list[tuple[str, int]]:
    """Why no event had told of what it showed: how many by each word, the most first."""
    counted: Mapping[str, int] = run.counts.get("missed", {})
    rows = sorted(counted.items(), key=lambda one: (-one[1], one[0]))
    return [(str(Attribution(word).label), n) for word, n in rows]


def _steps(run: Run) -> list[tuple[str, str]]:
    """Each step, and "done", "now" or nothing."""
    names = [name for name, _label in STEPS]
    at = len(names) if run.step == "closed" else names.index(run.step) if run.step in names else 0
    marks = ["done" if n < at else "now" if n == at else "" for n in range(len(names))]
    return [(str(label), mark) for (_name, label), mark in zip(STEPS, marks, strict=True)]


def read(run: Run, far: Progress | None = None) -> dict[str, Any]:
    """What a run counted, or is `far` with; each word there, None for what was not counted, which is not zero."""
    words = ("users", "groups", "members", "seconds", "opened", "resolved")
    found: dict[str, Any] = {word: run.counts.get(word) for word in words}
    if far is not None and run.state == RunState.RUNNING:
        # Groups come after the accounts: until then nobody has looked.
        found |= {"users": far.accounts, "groups": far.groups if far.groups_of is not None else None}
    if run.is_simulated:
        found |= {"opened": None, "resolved": None}
    if run.state == RunState.CLOSED:
        # A comparison that opens nothing counts nothing.
        found |= {word: found[word] or 0 for word in ("opened", "resolved")}
    return found


@page(Word.ROLL_READ)
def runs(request: PageRequest) -> HttpResponse:
    """The newest first, of one system or all, in one state or any."""
    rows = Run.objects.select_related("system").order_by("-started_at")
    system, state = asked_id(request, "system"), chosen(request, "state", RunState.choices)
    if system is not None:
        rows = rows.filter(system=system)
    if state:
        rows = rows.filter(state=state)
    found = window(request, rows)
    return render(
        request,
        "pages/runs.html",
        {
            "window": found,
            "rows": [(run, read(run)) for run in found.rows],
            "states": RunState.choices,
            "systems": System.objects.filter(ended_at__isnull=True).order_by("name")[:200],
            "chosen": {"system": str(system or ""), "state": state},
            "is_filtered": bool(system or state),
        },
    )


@page(Word.ROLL_READ)
def run(request: PageRequest, pk: UUID) -> HttpResponse:
    """One run; `?part=body` is what of it renews itself while it reads."""
    found = get_object_or_404(Run.objects.select_related("system"), pk=pk)
    snapshot = Snapshot.objects.filter(run=found).first()
    proofs = list(SnapshotProof.objects.filter(snapshot=snapshot)) if snapshot else []
    complete = bool(proofs) and all(proof.holds for proof in proofs)
    if found.is_simulated:
        complete = found.state == RunState.SIMULATED and not found.problem
    plans = list(Plan.objects.filter(run=found).select_related("system"))
    part = request.GET.get("part") == "body"
    context = {
        "run": found,
        "snapshot": snapshot,
        "read": read(found, progress(snapshot) if snapshot else None),
        "of": snapshot.last_totals.get("User") if snapshot else None,
        "pages": snapshot.pages if snapshot else 0,
        "proofs": proofs_of(found, proofs),
        "broken": [str(name) for word, name in PROOFS if any(p.word == word and not p.holds for p in proofs)],
        "steps": _steps(found) if found.state not in _UNENDED else [],
        "differences": differences(found, complete=complete),
        "missed": missed(found),
        "outcome": _outcome(found, complete=complete, plans=plans),
        "plans": plans,
        "connection": Connection.objects.filter(system=found.system_id).first(),
        "is_part": part,
    }
    return render(request, "pages/run_body.html" if part else "pages/run.html", context)


@page(Word.RUN_START)
def stop(request: PageRequest, pk: UUID) -> HttpResponse:
    """Stop a run after its page."""
    found = get_object_or_404(Run.objects.select_related("system"), pk=pk)

    def do(_cleaned: dict[str, Any]) -> str:
        reconciliation.ask_stop(run=found, at=request.at)
        return _("It stops after the page that it reads now.")

    return ask(
        request,
        Ask(
            title=_("Stop the reading of %(name)s?") % {"name": found.system.name},
            button=_("Stop 1 run"),
            keep=reverse("run", args=[pk]),
            consequences=[_("Its counts are thrown away; the next reading begins from the start.")],
            is_danger=True,
            ruling=Ruling(allowed=found.state == RunState.RUNNING, reason=_("It has ended: there is nothing to stop.")),
        ),
        do=do,
    )
