"""What waits for people: plans with their questions, and the answers."""

from typing import Any
from uuid import UUID

from django import forms
from django.http import HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.utils.translation import gettext as _

from accounts.rules import Refused, Word
from governance import approvals as door
from governance.models.approval import Answer, Approval, ApprovalState
from governance.pages import (
    Ask,
    NumberedForm,
    PageRequest,
    ReasonForm,
    ask,
    asked_id,
    chosen,
    page,
    said_facts,
    window,
)
from governance.rules import may_answer
from provisioning.models.plan import Plan, PlanKind, PlanState
from provisioning.plans import PlanChanged
from provisioning.states import PLAN_LIVE, PLAN_WAITS

# Facts that the page shows in their own place, from the plan itself.
SHOWN_ELSEWHERE = frozenset({"sample", "run", "because", "asked_by", "asked_at", "system", "hash", "limits"})


class AnswerForm(ReasonForm):
    """A reason, and what the page showed: a form older than a newer wish is void."""

    seen = forms.CharField(required=False, widget=forms.HiddenInput)


class NumberedAnswer(NumberedForm, AnswerForm):
    """The same with the number typed, for what is over the brake."""


@page(Word.ROLL_READ)
def plans(request: PageRequest) -> HttpResponse:
    """Every plan, newest first."""
    rows = Plan.objects.select_related("system", "account").order_by("-asked_at")
    states = [("live", _("all that have not ended")), *PlanState.choices]
    state, system = chosen(request, "state", states), asked_id(request, "system")
    if state:
        rows = rows.filter(state__in=PLAN_LIVE if state == "live" else [state])
    if system is not None:
        rows = rows.filter(system=system)
    return render(request, "pages/plans.html", {"window": window(request, rows), "states": states, "chosen": state})


def _heading(plan: Plan, count: int) -> tuple[str, str]:
    if plan.kind == PlanKind.REACTIVATION and plan.account is not None:
        return (
            _("May %(name)s come back?") % {"name": plan.account.user_name},
            _("Silence means no.") if plan.state in PLAN_WAITS else plan.ended_because,
        )
    if plan.state == PlanState.TRIPPED:
        return (
            _("%(system)s: %(count)d reductions wanted") % {"system": plan.system.name, "count": count},
            _("The brake stopped them. Nothing has been written."),
        )
    return _("%(system)s: %(count)d changes") % {"system": plan.system.name, "count": count}, plan.ended_because


@page(Word.ROLL_READ)
def plan(request: PageRequest, pk: UUID) -> HttpResponse:
    """One plan: what it would write, why it waits, who answered."""
    found = get_object_or_404(Plan.objects.select_related("system", "account"), pk=pk)
    approval = Approval.objects.filter(plan_id=found.pk).order_by("-asked_at").first()
    answers = list(Answer.objects.filter(approval=approval).select_related("user")) if approval else []
    count = found.changes.count()
    heading, answer = _heading(found, count)
    yes = sum(a.is_yes for a in answers)
    return render(
        request,
        "pages/plan.html",
        {
            "plan": found,
            "approval": approval,
            "answers": answers,
            "yes": yes,
            "yes_label": _("Approve") if not yes else _("Approve as the second person"),
            "ruling": may_answer(request.user, approval, at=request.at) if approval else None,
            "is_waiting": found.state in PLAN_WAITS,
            "facts": said_facts(approval.facts, besides=SHOWN_ELSEWHERE) if approval else [],
            "heading": heading,
            "answer": answer,
            "change_count": count,
            "window": window(request, found.changes.order_by("position")),
        },
    )


@page(Word.ROLL_READ)
def approvals(request: PageRequest) -> HttpResponse:
    """Questions: the open ones first."""
    rows = Approval.objects.order_by("ended_at", "until")
    return render(
        request,
        "pages/approvals.html",
        {
            "window": window(request, rows.order_by("-asked_at")),
            "open_count": Approval.objects.filter(state=ApprovalState.OPEN).count(),
        },
    )


@page(Word.ROLL_READ)
def approval(request: PageRequest, pk: UUID) -> HttpResponse:
    """A question about a plan is on the plan's page; one about a role is here."""
    found = get_object_or_404(Approval, pk=pk)
    if found.plan_id is not None:
        return HttpResponseRedirect(reverse("plan", args=[found.plan_id]))
    answers = list(Answer.objects.filter(approval=found).select_related("user"))
    return render(
        request,
        "pages/approval.html",
        {
            "approval": found,
            "answers": answers,
            "yes": sum(a.is_yes for a in answers),
            "facts": said_facts(found.facts, besides=SHOWN_ELSEWHERE),
            "ruling": may_answer(request.user, found, at=request.at),
        },
    )


def _approve_label(count: int) -> str:
    return _("Approve %(n)d changes") % {"n": count} if count > 1 else _("Approve")


def _answer(request: PageRequest, pk: UUID, *, is_yes: bool) -> HttpResponse:
    found = get_object_or_404(Approval, pk=pk)
    about = Plan.objects.filter(pk=found.plan_id).first() if found.plan_id else None
    count = about.changes.count() if about else 1

    def do(cleaned: dict[str, Any]) -> str:
        door.answer(
            approval=found, user=request.user, is_yes=is_yes, reason=cleaned["reason"], at=request.at,
            seen=cleaned["seen"],
        )  # fmt: skip
        found.refresh_from_db()
        if not is_yes:
            return _("Rejected. Nothing was written.")
        if found.state == ApprovalState.OPEN:
            return _("Your yes is kept. It waits for a second person.")
        return _("Approved. It is carried out in batches, from now on.") if many else _("Approved and carried out.")

    many = about is not None and about.kind != PlanKind.REACTIVATION and is_yes
    back = reverse("plan", args=[found.plan_id]) if found.plan_id else reverse("approval", args=[pk])
    asked = Ask(
        title=found.title,
        button=_approve_label(count) if is_yes else _("Reject"),
        keep=back,
        facts=said_facts(found.facts, besides=SHOWN_ELSEWHERE),
        consequences=[
            _("%(needs)d people must say yes; you answer once.") % {"needs": found.needs},
            _("It begins with the last yes, and is carried out in batches.")
            if many
            else _("It is carried out with the last yes, at once."),
        ]
        if is_yes
        else [_("One no is enough: it is not done.")],
        is_danger=many,
        ruling=may_answer(request.user, found, at=request.at),
    )
    refusals = (door.Stale, door.BadAnswer, PlanChanged, Refused)
    seen = {"seen": door.version(found)}
    if many:
        return ask(request, asked, do=do, form_class=NumberedAnswer, refusals=refusals, expected=count, initial=seen)
    return ask(request, asked, do=do, form_class=AnswerForm, refusals=refusals, initial=seen)


@page(Word.ROLL_READ)
def yes(request: PageRequest, pk: UUID) -> HttpResponse:
    """Say yes."""
    return _answer(request, pk, is_yes=True)


@page(Word.ROLL_READ)
def no(request: PageRequest, pk: UUID) -> HttpResponse:
    """Say no."""
    return _answer(request, pk, is_yes=False)
