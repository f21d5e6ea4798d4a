"""What waits for people: plans with their questions, and the answers."""

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID

from django import forms
from django.http import FileResponse, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from accounts import lifecycle
from accounts.models.account import Account
from accounts.rules import Refused, Word
from governance import approvals as door
from governance import rewinds
from governance.admin import plan_facts
from governance.models.approval import Answer, Approval, ApprovalKind, ApprovalState
from governance.pages import (
    Ask,
    NumberedForm,
    PageRequest,
    ReasonForm,
    ask,
    asked_id,
    chosen,
    end_of_day,
    page,
    said_facts,
    window,
)
from governance.rules import may_answer
from provisioning.expiries import new_expiry
from provisioning.models.plan import ChangeAct, Plan, PlanKind, PlannedChange, PlanState
from provisioning.plans import PlanChanged
from provisioning.states import PLAN_LIVE, PLAN_WAITS

# Facts that a page shows in their own place, or that mean nothing to a person.
SHOWN_ELSEWHERE = frozenset({
    "sample", "run", "because", "asked_by", "asked_at", "system", "hash", "limits", "asked_by_identity", "exchange",
    "acts", "groups", "repeats", "policy_asked", "cursor", "to", "epoch",
})  # fmt: skip


class AnswerForm(ReasonForm):
    """A reason, and what the page showed: a form older than a newer wish is void."""

    seen = forms.CharField(required=False, widget=forms.HiddenInput)


class NumberedAnswer(NumberedForm, AnswerForm):
    """The same with the number typed, for what is over the brake."""


class ReturnAnswer(AnswerForm):
    """The same with the day on which what comes back ends again: the nearest that anybody sets counts."""

    expires = forms.DateField(label=gettext_lazy("It ends on"), widget=forms.DateInput(attrs={"type": "date"}))
    field_order = ("expires", "reason", "seen")

    def __init__(self, *args: Any, account: Account, at: datetime, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.at, self.zone = at, account.tenant.zone
        self.longest = at + (timedelta(days=account.tenant.nhi_days) if account.is_nhi else lifecycle.LONGEST)
        field = self.fields["expires"]
        field.required = account.is_nhi
        last = self.longest.astimezone(self.zone).date()
        field.help_text = (
            _("At the latest %(day)s. Of two people's days, the nearer counts.") if account.is_nhi
            else _("At the latest %(day)s. Empty: a person has no end. Of two people's days, the nearer counts.")
        ) % {"day": f"{last:%Y-%m-%d}"}  # fmt: skip

    def clean_expires(self) -> datetime | None:
        """The end of the typed day, or the longest allowed on its last day. Refuses others."""
        typed: date | None = self.cleaned_data["expires"]
        if typed is None:
            return None
        if typed > self.longest.astimezone(self.zone).date():
            raise forms.ValidationError(_("Choose an earlier day: every end is looked at again."))
        until = min(end_of_day(typed, zone=self.zone), self.longest)
        if until <= self.at:
            raise forms.ValidationError(_("Choose a day that lies ahead."))
        return until


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
            plan.ended_because,
        )
    if plan.kind == PlanKind.REPLAY:
        heading = _("%(system)s: %(count)d members are asked in") % {"system": plan.system.name, "count": count}
        return heading, plan.ended_because or _("A replay asks for them. Nobody was put in.")
    if plan.state == PlanState.TRIPPED:
        return (
            _("%(system)s: %(count)d reductions wanted") % {"system": plan.system.name, "count": count},
            _("The brake stopped them. Nothing has been written."),
        )
    return _("%(system)s: %(count)d changes") % {"system": plan.system.name, "count": count}, plan.ended_because


@page(Word.ROLL_READ)
def plan(request: PageRequest, pk: UUID) -> HttpResponse:
    """One plan: what it would write, why it waits, who answered."""
    found = get_object_or_404(Plan.objects.select_related("system", "account__tenant", "run"), pk=pk)
    approval = Approval.objects.filter(plan_id=found.pk).order_by("-asked_at").first()
    answers = list(Answer.objects.filter(approval=approval).select_related("user")) if approval else []
    count = found.changes.count()
    heading, sentence = _heading(found, count)
    act, group = chosen(request, "act", ChangeAct.choices), asked_id(request, "group")
    result = chosen(request, "result", PlannedChange.Result.choices)
    rows = plan_facts.chosen_changes(found, act=act, group=group, result=result)
    is_waiting = found.state in PLAN_WAITS
    is_return = found.kind == PlanKind.REACTIVATION
    return render(
        request,
        "pages/plan.html",
        {
            "plan": found,
            "approval": approval,
            "answers": answers,
            "yes": sum(a.is_yes for a in answers),
            "yes_label": _yes_label(request, answers),
            "ruling": may_answer(request.user, approval, at=request.at) if approval else None,
            "not_they": plan_facts.not_they(approval, at=request.at) if approval and is_waiting else [],
            "is_waiting": is_waiting,
            "is_return": is_return,
            "back": plan_facts.of_return(found, approval) if is_return else {},
            "smell": plan_facts.smell(found),
            "checks": plan_facts.checks(found),
            "parts": plan_facts.parts(found, chosen=(act, group)) if not is_return else [],
            "missed": plan_facts.missed(found) if not is_return else [],
            "is_filtered": bool(act or group or result),
            "results": PlannedChange.Result.choices,
            "result": result,
            "heading": heading,
            "sentence": sentence,
            "change_count": count,
            "window": window(request, rows.select_related("group")),
        },
    )


def _yes_label(request: PageRequest, answers: Sequence[Answer]) -> str:
    said_yes = [a for a in answers if a.is_yes]
    if any(a.user_id == request.user.pk for a in said_yes):
        return _("Waiting for a second person")
    return _("Approve as the second person") if said_yes else _("Approve")


@page(Word.ROLL_READ)
def plan_csv(request: PageRequest, pk: UUID) -> FileResponse:  # noqa: ARG001  a view's signature
    """Every change of a plan as a CSV file."""
    found = get_object_or_404(Plan, pk=pk)
    file = plan_facts.as_csv(found.changes.order_by("position"))
    return FileResponse(file, as_attachment=True, filename=f"plan-{found.pk}.csv", content_type="text/csv")


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
            seen=cleaned["seen"], expires_at=cleaned.get("expires"),
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
        # What a plan is about stands on its own page, from which one comes here.
        facts=[] if about else said_facts(found.facts, besides=SHOWN_ELSEWHERE),
        consequences=[
            ngettext("One person must say yes.", "%(needs)d people must say yes; you answer once.", found.needs)
            % {"needs": found.needs},
            _("It begins with the last yes, and is carried out in batches.")
            if many
            else _("It is carried out with the last yes, at once."),
            *_comes_back(found),
            *(rewinds.promises() if found.kind == ApprovalKind.REWIND else []),
        ]
        if is_yes
        else [_("One no is enough: it is not done.")],
        is_danger=many,
        ruling=may_answer(request.user, found, at=request.at),
    )
    refusals = (door.Stale, door.BadAnswer, PlanChanged, Refused)
    seen = {"seen": door.version(found)}
    if is_yes and found.kind == ApprovalKind.REACTIVATION and found.account is not None:
        return ask(
            request, asked, do=do, form_class=ReturnAnswer, refusals=refusals, account=found.account, at=request.at,
            initial=seen | _usual_end(found.account, at=request.at),
        )  # fmt: skip
    if many:
        return ask(request, asked, do=do, form_class=NumberedAnswer, refusals=refusals, expected=count, initial=seen)
    return ask(request, asked, do=do, form_class=AnswerForm, refusals=refusals, initial=seen)


def _comes_back(approval: Approval) -> list[str]:
    """What else a return gives, beside the account itself."""
    groups = [str(one["group"]) for one in approval.facts.get("comes_back", [])]
    return [_("It is in these groups again: %(groups)s.") % {"groups": ", ".join(groups)}] if groups else []


def _usual_end(account: Account, *, at: datetime) -> dict[str, date]:
    end = new_expiry(account, at=at)
    return {} if end is None else {"expires": end.astimezone(account.tenant.zone).date()}


@page(Word.ROLL_READ)
def yes(request: PageRequest, pk: UUID) -> HttpResponse:
    """Say yes."""
    return _answer(request, pk, is_yes=True)


@page(Word.ROLL_READ)
def no(request: PageRequest, pk: UUID) -> HttpResponse:
    """Say no."""
    return _answer(request, pk, is_yes=False)
