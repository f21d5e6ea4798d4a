"""Whose word counts, for which field, where: a page that an auditor can read, as of any day, and its rules for all systems."""

from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from uuid import UUID

from django.core.exceptions import ValidationError
from django.http import FileResponse, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.utils.translation import gettext as _

from accounts.models.system import System
from accounts.rules import Word
from governance.admin import tokens
from governance.admin.csv_files import cell, csv_of
from governance.admin.system_forms import RuleForm
from governance.pages import Ask, PageRequest, ask, asked_id, end_of_day, page, window
from provisioning import authority as door
from provisioning import rulebook
from provisioning.authority import RuleKind
from provisioning.models.authority import FieldAuthority, StatusSource
from provisioning.rulebook import Deed, Version

ENDED_SHOWN = 50
_SYSTEMS_OFFERED = 200


@dataclass(frozen=True)
class Line:
    """One rule in force: what it says, whether it counts where one looks and why, and who made it."""

    version: Version
    counts: bool
    why: str


@dataclass(frozen=True)
class Moment:
    """As of when the page is: `problem` says why it is not as of what was typed."""

    at: datetime
    typed: str
    problem: str

    @property
    def is_past(self) -> bool:
        """Whether one looks back: nothing is done to the past."""
        return bool(self.typed) and not self.problem


def _moment(request: PageRequest) -> Moment:
    typed = request.GET.get("as_of", "").strip()
    if not typed:
        return Moment(request.at, "", "")
    try:
        at = end_of_day(date.fromisoformat(typed), zone=request.tenant.zone)
    except (ValueError, ValidationError):
        return Moment(request.at, typed[:40], _("That is no day: write it as 2026-11-30. Shown as of now."))
    if at >= request.at:
        return Moment(request.at, typed, _("That day is not over: shown as of now."))
    return Moment(at, typed, "")


@page(Word.ROLL_READ)
def authority(request: PageRequest) -> HttpResponse:
    """What is built in, the rules in force, and those that have ended; of one system or all, as of the end of a day."""
    moment, system = _moment(request), asked_id(request, "system")
    taken = rulebook.taken(at=moment.at, system=system)
    found = window(request, rulebook.in_force(at=moment.at, system=system))
    over = list(rulebook.ended(at=moment.at, system=system)[: ENDED_SHOWN + 1])
    told = list(rulebook.versions([*found.rows, *over[:ENDED_SHOWN]]))
    lines = [Line(version, *rulebook.of_rule(version.rule, taken)) for version in told[: len(found.rows)]]
    return render(
        request,
        "pages/authority.html",
        {
            "moment": moment,
            "window": found,
            "lines": lines,
            "built_in": rulebook.built_in(taken),
            "ended": told[len(found.rows) :],
            "has_more_ended": len(over) > ENDED_SHOWN,
            "systems": System.objects.filter(ended_at__isnull=True).order_by("name")[:_SYSTEMS_OFFERED],
            "chosen": str(system or ""),
            "query": request.GET.urlencode(),
        },
    )


def _deed(deed: Deed | None) -> list[str]:
    return [f"{deed.at:%Y-%m-%dT%H:%M:%SZ}", cell(deed.who), cell(deed.why)] if deed is not None else ["", "", ""]


def _row(version: Version, *, at: datetime) -> list[str]:
    rule = version.rule
    is_over = rule.ended_at is not None and rule.ended_at <= at
    values = "; ".join(str(value) for value in rule.status_values)
    return [
        "ended" if is_over else "in force", cell(rule.system.name) if rule.system is not None else "every system",
        rule.resource_type, cell(rule.field), rule.direction, rule.authority, rule.status_from, cell(values),
        cell(version.words), *_deed(version.made), *_deed(version.ended if is_over else None),
    ]  # fmt: skip


@page(Word.ROLL_READ)
def authority_csv(request: PageRequest) -> FileResponse:
    """The same as a file: what is built in, every rule in force, every rule that has ended."""
    moment, system = _moment(request), asked_id(request, "system")
    built = (
        [
            "built in", "every system", line.resource_type, line.field or "any other", line.direction, line.authority,
            "active" if line.field == "active" else StatusSource.NONE.value, "", str(line.because), *[""] * 6,
        ]
        for line in door.BUILT_IN
    )  # fmt: skip
    rules = (
        row
        for some in (rulebook.in_force(at=moment.at, system=system), rulebook.ended(at=moment.at, system=system))
        for row in some.iterator(chunk_size=500)
    )
    heads = [
        "standing", "system", "resource_type", "field", "direction", "authority", "status_from", "values", "words",
        "made_at", "made_by", "made_because", "ended_at", "ended_by", "ended_because",
    ]  # fmt: skip
    told = (_row(version, at=moment.at) for version in rulebook.versions(rules))
    file = csv_of(heads, (row for part in (built, told) for row in part))
    name = f"authority-{moment.at:%Y-%m-%d}.csv"
    return FileResponse(file, as_attachment=True, filename=name, content_type="text/csv")


@page(Word.SYSTEM_MANAGE)
def new(request: PageRequest) -> HttpResponse:
    """Make a rule for every system."""

    def do(cleaned: dict[str, Any]) -> str:
        rule = door.make_rule(
            system=None, kind=RuleKind(cleaned["kind"]), field=cleaned["field"], values=cleaned["values"],
            reason=cleaned["reason"], at=request.at,
        )  # fmt: skip
        return _("A rule counts for every system from now on: %(rule)s.") % {"rule": door.in_words(rule)}

    asked = Ask(
        title=_("Make a rule for what every system says?"),
        button=_("Make 1 rule"),
        keep=reverse("authority"),
        consequences=[
            _("A system that has a rule of its own for the same field and direction keeps it: the most specific wins."),
            _("It takes the place of a rule for every system with the same field and direction."),
            _("By a value that ends, an account ends in the request that says it, also beside “active: true”."),
            _("What the next reading shows as ended by it is a plan, which stops above the brake."),
            _("An ended account does not come back when the rule ends: people decide each return."),
            _("For 30 days you can't approve what any system asks for."),
        ],
    )
    return ask(
        request, asked, do=do, form_class=RuleForm, refusals=tokens.REFUSALS,
        ended_by=lambda field, values: door.ended_by(system=None, field=field, values=values),
    )  # fmt: skip


@page(Word.SYSTEM_MANAGE)
def end(request: PageRequest, rule: UUID) -> HttpResponse:
    """End a rule that counts for every system."""
    held = get_object_or_404(FieldAuthority, pk=rule, system__isnull=True, ended_at__isnull=True)

    def do(cleaned: dict[str, Any]) -> str:
        door.end_rule(system=None, rule=held, reason=cleaned["reason"], at=request.at)
        return _("The rule has ended: what any system says counts without it.")

    asked = Ask(
        title=_("End a rule of every system?"),
        button=_("End 1 rule"),
        keep=reverse("authority"),
        facts=[(_("Rule"), door.in_words(held))],
        consequences=[
            _("From the next request on, that field ends nobody any more, but where a system has a rule of its own.")
            if held.status_from
            else _(
                "From the next request on, what is said there takes effect, but where a system has a rule of its own."
            ),
            _("Accounts stay as they are now."),
            _("For 30 days you can't approve what any system asks for."),
        ],
        is_danger=True,
    )
    return ask(request, asked, do=do, refusals=tokens.REFUSALS)
