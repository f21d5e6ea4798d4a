"""Recertification campaigns: drafted, checked, launched, watched until every line is settled."""

import zoneinfo
from datetime import date, datetime
from typing import Any
from uuid import UUID

from django import forms
from django.contrib import messages
from django.db.models import Case, Count, Q, When
from django.http import HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from accounts.models.account import AccountKind, Environment
from accounts.rules import Refused, Word
from governance import approvals, lines, reviews
from governance import campaigns as door
from governance.models.campaign import Campaign, CampaignState, Review, ReviewState, Silence
from governance.pages import (
    Ask,
    PageRequest,
    ReasonForm,
    ask,
    asked_id,
    chosen,
    end_of_day,
    page,
    plain,
    window,
)

_REVIEWERS_SHOWN = 20
# What somebody must look at comes first.
_FIRST = Case(
    When(state=ReviewState.SILENT, then=0),
    When(state=ReviewState.REVOKED, then=1),
    When(state=ReviewState.WAITING, then=2),
    default=3,
)


@page(Word.ROLL_READ)
def campaigns(request: PageRequest) -> HttpResponse:
    """Every campaign, newest first."""
    found = window(request, Campaign.objects.order_by("-made_at"))
    progress = door.progress([c.pk for c in found.rows])
    return render(
        request,
        "pages/campaigns.html",
        {"window": found, "rows": [(c, progress.get(c.pk, door.Progress())) for c in found.rows]},
    )


class DraftForm(forms.Form):
    """Whom, until when, and what silence means."""

    name = forms.CharField(label=gettext_lazy("Name"), max_length=200, validators=[plain])
    kinds = forms.MultipleChoiceField(
        label=gettext_lazy("Whom: kinds of account"), choices=AccountKind.choices, widget=forms.CheckboxSelectMultiple,
        initial=[k.value for k in AccountKind if k != AccountKind.PERSON],
    )  # fmt: skip
    environment = forms.ChoiceField(
        label=gettext_lazy("Environment"), required=False,
        choices=[("", gettext_lazy("any")), *[(e.value, e.label) for e in Environment if e.value]],
    )  # fmt: skip
    privileged = forms.BooleanField(label=gettext_lazy("Privileged only"), required=False)
    deadline = forms.DateField(
        label=gettext_lazy("Deadline"), widget=forms.DateInput(attrs={"type": "date"}),
        help_text=gettext_lazy("The day ends where this tenant is. Reviewers may change their answers until then."),
    )  # fmt: skip
    silence = forms.ChoiceField(
        label=gettext_lazy("What silence means"), choices=Silence.choices,
        help_text=gettext_lazy("What happens to a line that nobody has answered at the deadline. Silence ends nothing."),
    )  # fmt: skip

    def __init__(self, *args: Any, zone: zoneinfo.ZoneInfo, at: datetime, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.zone, self.at = zone, at

    def clean_deadline(self) -> datetime:
        """The end of the typed day where the tenant is."""
        day: date = self.cleaned_data["deadline"]
        deadline = end_of_day(day, zone=self.zone)
        if deadline <= self.at:
            raise forms.ValidationError(_("Choose a day that lies ahead."))
        return deadline

    def query(self) -> lines.Query:
        """The filter that was typed."""
        typed = self.cleaned_data
        return lines.Query(
            kinds=tuple(AccountKind(k) for k in typed["kinds"]),
            environment=Environment(typed["environment"]) if typed["environment"] else None,
            privileged=True if typed["privileged"] else None,
        )


@page(Word.CAMPAIGN_RUN)
def new(request: PageRequest) -> HttpResponse:
    """A draft, which nobody hears of before it is launched."""
    form = DraftForm(request.POST or None, zone=request.tenant.zone, at=request.at)
    if request.method == "POST" and form.is_valid():
        try:
            made = door.draft(
                tenant=request.tenant, user=request.user, name=form.cleaned_data["name"], query=form.query(),
                deadline=form.cleaned_data["deadline"], silence=Silence(form.cleaned_data["silence"]), at=request.at,
            )  # fmt: skip
        except door.CantLaunch as error:
            form.add_error(None, str(error))
        else:
            messages.success(request, _("Drafted. Look at what a launch would make."))
            return HttpResponseRedirect(reverse("campaign", args=[made.pk]))
    return render(request, "pages/campaign_new.html", {"form": form}, status=422 if request.method == "POST" else 200)


def _reviewers(found: Campaign) -> list[dict[str, Any]]:
    """Who answers how many lines, those with the most open ones first. One query."""
    rows = Review.objects.filter(campaign=found).order_by().values("reviewer", "reviewer__user_name")
    counted = rows.annotate(total=Count("id"), open=Count("id", filter=Q(state=ReviewState.WAITING)))
    return [
        {
            "account": row["reviewer"],
            "name": row["reviewer__user_name"],
            "total": row["total"],
            "open": row["open"],
            "decided": row["total"] - row["open"],
        }
        for row in counted.order_by("-open", "reviewer__user_name")[:_REVIEWERS_SHOWN]
    ]


@page(Word.ROLL_READ)
def campaign(request: PageRequest, pk: UUID) -> HttpResponse:
    """One campaign: what blocks its launch, or how far it is, line by line."""
    found = get_object_or_404(Campaign.objects.select_related("made_by"), pk=pk)
    rows = Review.objects.filter(campaign=found).select_related("account", "reviewer", "campaign")
    state, reviewer = chosen(request, "state", ReviewState.choices), asked_id(request, "reviewer")
    if state:
        rows = rows.filter(state=state)
    if reviewer is not None:
        rows = rows.filter(reviewer=reviewer)
    shown = window(request, rows.order_by(_FIRST, "account__user_name_key", "pk"))
    standing = reviews.standing(shown.rows)
    is_draft = found.state == CampaignState.DRAFT
    return render(
        request,
        "pages/campaign.html",
        {
            "campaign": found,
            "progress": door.progress([found.pk]).get(found.pk, door.Progress()),
            "preflight": door.preflight(found, at=request.at) if is_draft else None,
            "reviewers": [] if is_draft else _reviewers(found),
            "window": shown,
            "lines": [(line, standing.get(line.pk)) for line in shown.rows],
            "states": ReviewState.choices,
            "chosen": {"state": state, "reviewer": str(reviewer or "")},
        },
    )


@page(Word.CAMPAIGN_RUN)
def launch(request: PageRequest, pk: UUID) -> HttpResponse:
    """Freeze the evidence and ask the owners."""
    found = get_object_or_404(Campaign, pk=pk)
    checked = door.preflight(found, at=request.at)

    def do(_cleaned: dict[str, Any]) -> str:
        door.launch(campaign=found, user=request.user, at=request.at)
        return ngettext("Launched: %(n)d line.", "Launched: %(n)d lines.", checked.lines) % {"n": checked.lines}

    return ask(
        request,
        Ask(
            title=_("Launch %(name)s?") % {"name": found.name},
            button=ngettext("Launch %(n)d line", "Launch %(n)d lines", checked.lines) % {"n": checked.lines},
            keep=reverse("campaign", args=[pk]),
            consequences=[
                ngettext(
                    "%(n)d person gets a mail with their lines.",
                    "%(n)d people get a mail with their lines.",
                    checked.reviewers,
                )
                % {"n": checked.reviewers},
                _("Each line keeps its evidence as it is now, for ever."),
                _("What silence means after %(day)s: %(silence)s.")
                % {"day": f"{found.deadline:%Y-%m-%d %H:%M} UTC", "silence": found.get_silence_display()},
                _("It closes only when every line is certified, read as off, or excepted."),
            ],
        ),
        do=do,
        refusals=(door.CantLaunch, Refused),
    )


class ExceptForm(ReasonForm):
    """Until when the line is excused."""

    until = forms.DateField(label=gettext_lazy("Until"), widget=forms.DateInput(attrs={"type": "date"}))
    field_order = ("until", "reason")

    def __init__(self, *args: Any, zone: zoneinfo.ZoneInfo, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.zone = zone

    def clean_until(self) -> datetime:
        """The end of the typed day where the tenant is."""
        return end_of_day(self.cleaned_data["until"], zone=self.zone)


@page(Word.FINDING_HANDLE)
def except_line(request: PageRequest, pk: UUID, line: UUID) -> HttpResponse:
    """Ask that a line be settled without having been read as off: a second person answers."""
    found = get_object_or_404(Review.objects.select_related("account", "campaign"), pk=line, campaign=pk)

    def do(cleaned: dict[str, Any]) -> str:
        reviews.except_line(
            review=found, user=request.user, reason=cleaned["reason"], until=cleaned["until"], at=request.at
        )
        return _("Asked. A second security person answers.")

    return ask(
        request,
        Ask(
            title=_("Except %(name)s?") % {"name": found.account.user_name},
            button=_("Ask for 1 exception"),
            keep=reverse("campaign", args=[pk]),
            consequences=[_("Another security person must say yes; the exception ends by itself.")],
        ),
        do=do,
        form_class=ExceptForm,
        refusals=(Refused, approvals.CantAsk, approvals.BadAnswer),
        zone=request.tenant.zone,
    )
