"""What a system's word is worth, field by field: rules are made and ended here."""

from typing import Any
from uuid import UUID

from django.http import HttpResponse
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.utils.translation import gettext as _

from accounts.models.system import System
from accounts.rules import Word
from governance.admin import tokens
from governance.admin.system_forms import RuleForm
from governance.pages import Ask, PageRequest, ask, page
from provisioning import authority
from provisioning.authority import RuleKind
from provisioning.models.authority import FieldAuthority


def lines(system: System) -> list[tuple[FieldAuthority, str]]:
    """The rules that count for a system, each in words: its own, and those for every system."""
    rules = sorted(authority.rules_for(system), key=lambda r: (r.resource_type, r.field, r.direction, not r.system_id))
    return [(rule, authority.in_words(rule)) for rule in rules]


@page(Word.SYSTEM_MANAGE)
def new(request: PageRequest, pk: UUID) -> HttpResponse:
    """Make a rule for one system."""
    found = tokens.living(pk)

    def do(cleaned: dict[str, Any]) -> str:
        rule = authority.make_rule(
            system=found, kind=RuleKind(cleaned["kind"]), field=cleaned["field"], values=cleaned["values"],
            reason=cleaned["reason"], at=request.at,
        )  # fmt: skip
        return _("A rule counts for %(system)s from now on: %(rule)s.") % {
            "system": found.name,
            "rule": authority.in_words(rule),
        }

    asked = Ask(
        title=_("Make a rule for what %(system)s says?") % {"system": found.name},
        button=_("Make 1 rule"),
        keep=reverse("system", args=[pk]),
        consequences=[
            _("It takes the place of a rule for the same field and direction."),
            _("By a value that ends, an account ends in the request that says it, also beside “active: true”."),
            _("What the next reading shows as ended by it is a plan, which stops above the brake."),
            _("An ended account does not come back when the rule ends: people decide each return."),
            _("For 30 days you can't approve what this system asks for."),
        ],
    )
    return ask(
        request, asked, do=do, form_class=RuleForm, refusals=tokens.REFUSALS,
        ended_by=lambda field, values: authority.ended_by(system=found, field=field, values=values),
    )  # fmt: skip


@page(Word.SYSTEM_MANAGE)
def end(request: PageRequest, pk: UUID, rule: UUID) -> HttpResponse:
    """End a rule of one system."""
    found = tokens.living(pk)
    held = get_object_or_404(FieldAuthority, pk=rule, system=found, ended_at__isnull=True)

    def do(cleaned: dict[str, Any]) -> str:
        authority.end_rule(system=found, rule=held, reason=cleaned["reason"], at=request.at)
        return _("The rule has ended: what %(system)s says counts without it.") % {"system": found.name}

    asked = Ask(
        title=_("End a rule of %(system)s?") % {"system": found.name},
        button=_("End 1 rule"),
        keep=reverse("system", args=[pk]),
        facts=[(_("Rule"), authority.in_words(held))],
        consequences=[
            _("From the next request on, that field ends nobody any more.")
            if held.status_from
            else _("From the next request on, what it says there takes effect."),
            _("Accounts stay as they are now."),
            _("For 30 days you can't approve what this system asks for."),
        ],
        is_danger=True,
    )
    return ask(request, asked, do=do, refusals=tokens.REFUSALS)
