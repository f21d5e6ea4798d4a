"""Who administers a system, and so can't approve what it asks for."""

from datetime import datetime
from typing import Any
from uuid import UUID

from django import forms
from django.http import HttpResponse
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts.models.system import System, SystemAdministrator
from accounts.models.user import User
from accounts.rules import Word
from governance.admin import tokens
from governance.admin.people import known_here, names_of
from governance.pages import Ask, PageRequest, ReasonForm, ask, page
from provisioning import systems as door


def _living(system: System) -> list[SystemAdministrator]:
    rows = SystemAdministrator.objects.filter(
        system=system, because=SystemAdministrator.Because.ADMINISTERS, until__isnull=True
    )
    return list(rows.order_by("since"))


def lines(system: System, *, at: datetime) -> tuple[list[tuple[str, SystemAdministrator]], list[str]]:
    """Who administers it; and the names of those who count as asking for what it asks for."""
    rows = _living(system)
    counting = door.requesters(system=system, at=at)
    names = names_of({*counting, *(row.identity_id for row in rows)})
    return [(names[row.identity_id], row) for row in rows], sorted({names[i] for i in counting})


class AdministratorForm(ReasonForm):
    """Somebody whom this tenant knows, by the name that they sign in with."""

    username = forms.CharField(
        label=gettext_lazy("Sign-in name"),
        max_length=320,
        widget=forms.TextInput(attrs={"autocomplete": "off", "autocapitalize": "none"}),
    )
    field_order = ("username", "reason")

    def __init__(self, *args: Any, asked_by: PageRequest, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.asked_by = asked_by

    def clean_username(self) -> User:
        """The one who signs in so. Refuses a name that nobody here has, or that may not sign in."""
        key = str(self.cleaned_data["username"]).strip().casefold().replace("\x00", "")
        found: User | None = known_here(self.asked_by).filter(username_key=key, is_active=True).first()
        if found is None:
            raise forms.ValidationError(_("Nobody whom this tenant knows signs in so: invite them first."))
        return found


@page(Word.SYSTEM_MANAGE)
def new(request: PageRequest, pk: UUID) -> HttpResponse:
    """Write down that somebody administers a system there: in its own console, with its own rights."""
    found = tokens.living(pk)

    def do(cleaned: dict[str, Any]) -> str:
        user: User = cleaned["username"]
        door.add_administrator(system=found, identity=user.identity_id, reason=cleaned["reason"], at=request.at)
        return _("%(user)s administers %(system)s.") % {"user": user, "system": found.name}

    asked = Ask(
        title=_("Who else administers %(system)s?") % {"system": found.name},
        button=_("Add 1 administrator"),
        keep=reverse("system", args=[pk]),
        consequences=[
            _("They can't approve what this system asks for, nor questions of it that are open now."),
            _("They may do no more here than before: what people may do is their roles."),
        ],
    )
    return ask(request, asked, do=do, form_class=AdministratorForm, refusals=tokens.REFUSALS, asked_by=request)


@page(Word.SYSTEM_MANAGE)
def end(request: PageRequest, pk: UUID, administrator: UUID) -> HttpResponse:
    """Write down that somebody administers a system no longer."""
    found = tokens.living(pk)
    row = get_object_or_404(SystemAdministrator, pk=administrator, pk__in=[one.pk for one in _living(found)])
    name = names_of([row.identity_id])[row.identity_id]

    def do(cleaned: dict[str, Any]) -> str:
        door.end_administrator(system=found, identity=row.identity_id, reason=cleaned["reason"], at=request.at)
        return _("%(name)s administers %(system)s no longer.") % {"name": name, "system": found.name}

    asked = Ask(
        title=_("Does %(name)s no longer administer %(system)s?") % {"name": name, "system": found.name},
        button=_("End 1 administrator"),
        keep=reverse("system", args=[pk]),
        consequences=[
            _("For 30 days more they can't approve what this system asks for."),
            _("Take their rights away in that system too: nothing is written there from here."),
        ],
    )
    return ask(request, asked, do=do, refusals=tokens.REFUSALS)
