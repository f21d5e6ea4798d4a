"""Exceptions of a system: for a time its policy takes effect, and what ended comes back there without people."""

from typing import Any
from uuid import UUID

from django.http import HttpResponse
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.utils.translation import gettext as _

from accounts import exceptions
from accounts.models.exception import ExceptionKind, PolicyException
from accounts.models.system import System
from accounts.rules import Refused, Word
from governance import approvals
from governance.admin import tokens
from governance.admin.system_forms import ReturnsForm
from governance.asking import open_about
from governance.models.approval import Approval, ApprovalKind
from governance.pages import Ask, PageRequest, ask, page


def asked(system: System) -> Approval | None:
    """The question about a system's exception that waits, if there is one."""
    return open_about(system, ApprovalKind.RETURNS)


@page(Word.SYSTEM_MANAGE)
def new(request: PageRequest, pk: UUID) -> HttpResponse:
    """Ask that the policy of a system have effect for a time."""
    found = tokens.living(pk)

    def do(cleaned: dict[str, Any]) -> str:
        approvals.ask_returns(
            system=found, asked_by=request.user, reason=cleaned["reason"], until=cleaned["until"], at=request.at
        )
        return _("Asked. Two security people who do not administer %(system)s answer.") % {"system": found.name}

    policy = found.get_reactivation_policy_display()
    question = Ask(
        title=_("Ask that accounts come back at %(system)s without people?") % {"system": found.name},
        button=_("Ask for 1 exception"),
        keep=reverse("system", args=[pk]),
        facts=[(_("Policy"), policy)],
        consequences=[
            _("Two security people answer, none of whom administers it or did in the last 30 days. Silence means no."),
            _("While it lasts, an ended account that it asks back is active in the same request."),
            _("It ends by itself, and anybody in security can end it before."),
        ],
    )
    refusals = (Refused, approvals.CantAsk, approvals.BadAnswer)
    return ask(
        request, question, do=do, form_class=ReturnsForm, refusals=refusals, zone=request.tenant.zone, at=request.at
    )


@page(Word.REACTIVATION_APPROVE)
def end(request: PageRequest, pk: UUID, exception: UUID) -> HttpResponse:
    """End an exception of a system before its time."""
    found = get_object_or_404(System, pk=pk)
    held = get_object_or_404(
        PolicyException, pk=exception, system=found, kind=ExceptionKind.REACTIVATION, ended_at__isnull=True
    )

    def do(cleaned: dict[str, Any]) -> str:
        exceptions.end(exception=held, reason=cleaned["reason"], at=request.at)
        return _("The exception has ended: people approve each return at %(system)s.") % {"system": found.name}

    question = Ask(
        title=_("End the exception of %(system)s?") % {"system": found.name},
        button=_("End 1 exception"),
        keep=reverse("system", args=[pk]),
        facts=[(_("Reason"), held.reason), (_("Until"), held.until)],
        consequences=[
            _("From now on people approve each return there. What has come back stays."),
            _("It does not come back: a new one is asked for, and two people answer."),
        ],
        is_danger=True,
    )
    return ask(request, question, do=do)
