"""Systems: the list, one system with its connection, its tokens and what arrives from it, and the verbs.

The second identity provider is connected here, without a shell: make a system, copy the URL and a token into it.
"""

from typing import Any, cast
from uuid import UUID

from django.conf import settings
from django.contrib import messages
from django.http import HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.utils.translation import gettext as _

from accounts import exceptions
from accounts.models.exception import ExceptionKind
from accounts.models.system import ReactivationPolicy, System, SystemKind
from accounts.rules import Word
from governance import dimensions, freshness
from governance.admin import (
    system_exceptions,
    system_feeds,
    system_people,
    system_reading,
    system_rules,
    system_strict,
    tokens,
)
from governance.admin.coercions import rules_seen
from governance.admin.guide_texts import GUIDES
from governance.admin.once import answer, once
from governance.admin.system_forms import PolicyForm, SystemForm
from governance.admin.system_lines import LABELS, lines, shown
from governance.admin.system_seen import reads
from governance.admin.system_seen import shown as has_shown
from governance.admin.system_test import guide_of
from governance.pages import Ask, NumberedForm, PageRequest, ask, page, window
from provisioning import capabilities, cursors, reconciliation
from provisioning import connections as connection_door
from provisioning import systems as door
from provisioning.models.connection import Connection
from provisioning.models.run import Run
from provisioning.models.shadow import Shadow

# Worst first: grey outranks what differs, and both outrank what is equal.
_WORST_FIRST = (freshness.Word.NOT_MEASURED, freshness.Word.DIFFERS, freshness.Word.EQUAL)
_RUNS = 5

# The views of readings, tokens, rules, exceptions, administrators and strictness are views of a system's page, and are addressed as such.
connection, files = system_reading.over_scim, system_reading.from_files
token, token_rotate, token_end = tokens.token, tokens.token_rotate, tokens.token_end
rule_new, rule_end = system_rules.new, system_rules.end
exception_new, exception_end = system_exceptions.new, system_exceptions.end
administrator_new, administrator_end = system_people.new, system_people.end
strictness = system_strict.strictness


@page(Word.ROLL_READ)
def systems(request: PageRequest) -> HttpResponse:
    """Every living system, worst first, with what is measured of it; `?show=ended` those that have ended."""
    if request.GET.get("show") == "ended":
        ended = System.objects.filter(ended_at__isnull=False).order_by("name")
        return render(request, "pages/systems_ended.html", {"window": window(request, ended)})
    measured = sorted(freshness.of_systems(at=request.at), key=lambda m: (_WORST_FIRST.index(m.word), m.name))
    # A page of a list is a slice, of rows in memory as well as of a query.
    found = window(request, cast("Any", measured))
    known = System.objects.in_bulk([m.system for m in found.rows])
    live_tokens = tokens.live_counts(at=request.at)
    return render(
        request,
        "pages/systems.html",
        {
            "window": found,
            "rows": [(m, known[m.system], live_tokens.get(m.system)) for m in found.rows],
            "total": len(measured),
            "grey": sum(not m.is_measured for m in measured),
            "differ": sum(m.word == freshness.Word.DIFFERS for m in measured),
        },
    )


def _off(system: System, connection: Connection | None) -> dict[str, str]:
    """Why each verb is off, where it is; empty words for the others."""
    ended = _("it has ended") if system.ended_at is not None else ""
    unread = ended or ("" if connection is not None else _("no connection reads it"))
    paused = connection is not None and connection.paused_at is not None
    return {"any": ended, "read": unread or (_("reading is paused") if paused else ""), "pause": unread}


@page(Word.ROLL_READ)
def system(request: PageRequest, pk: UUID) -> HttpResponse:
    """One system: how it reaches us and we it, what arrived, what is measured, who administers it."""
    found = get_object_or_404(System, pk=pk)
    connection = Connection.objects.filter(system=found).first()
    administrators, counting = system_people.lines(found, at=request.at)
    show = shown(request.GET.get("show", ""))
    its_lines, its_tokens = lines(found, show=show), tokens.rows(found, at=request.at)
    runs = list(Run.objects.filter(system=found).order_by("-started_at")[:_RUNS])
    return render(
        request,
        "pages/system.html",
        {
            "system": found,
            "connection": connection,
            "files": system_reading.files_of(found, connection),
            "measured": freshness.of(found, at=request.at) if found.ended_at is None else None,
            "base_url": f"{settings.ROLLCALL_PUBLIC_URL}/scim/v2",
            "tokens": its_tokens,
            "runs": runs,
            "lines": its_lines,
            "shown": has_shown(found),
            "coerced": rules_seen(found),
            "reads": reads(connection, runs),
            "able": [(dimensions.NAMES[one.dimension], one) for one in capabilities.of_systems([found.pk])[found.pk]],
            "guide": guide_of(request, found),
            "guides": GUIDES.values(),
            "show": show.value,
            "choices": LABELS,
            "authorities": system_rules.lines(found),
            "exception": exceptions.live(kind=ExceptionKind.REACTIVATION, system=found.pk, at=request.at),
            "exception_asked": system_exceptions.asked(found),
            "needs_exception": found.reactivation_policy != ReactivationPolicy.APPROVAL,
            "administrators": administrators,
            "counting": counting,
            "feeds": system_feeds.lines(found, at=request.at),
            "no_feed": cursors.in_the_way(found, connection),
            "off": _off(found, connection),
        },
    )


@page(Word.ROLL_READ)
def live(request: PageRequest, pk: UUID) -> HttpResponse:
    """The last 20 requests alone, for the part of the page that renews itself."""
    found = get_object_or_404(System, pk=pk)
    show = shown(request.GET.get("show", ""))
    return once(request, "pages/system_live.html", {"lines": lines(found, show=show), "show": show.value})


@page(Word.SYSTEM_MANAGE)
def new(request: PageRequest) -> HttpResponse:
    """Make a system. How it is reached, and read, comes after."""

    def do(cleaned: dict[str, Any]) -> HttpResponse:
        made = door.make_system(
            tenant_id=request.tenant.pk, name=cleaned["name"], kind=SystemKind(cleaned["kind"]),
            made_by=request.user.identity_id, at=request.at,
        )  # fmt: skip
        messages.success(
            request, _("%(system)s is made. Now make a token, and copy it with the URL into it.") % {"system": made}
        )
        return HttpResponseRedirect(reverse("system", args=[made.pk]))

    asked = Ask(
        title=_("Connect a new system?"),
        button=_("Make 1 system"),
        keep=reverse("systems"),
        consequences=[
            _("Nothing arrives until you make a token for it, and nothing is read until you say where."),
            _("An ended account comes back from it only when people approve; its policy can say otherwise."),
            _("You administer it: you can't approve what it asks for."),
        ],
    )
    return answer(request, asked, do=do, form_class=SystemForm, refusals=tokens.REFUSALS)


@page(Word.SYSTEM_MANAGE)
def policy(request: PageRequest, pk: UUID) -> HttpResponse:
    """Say what a wish to come back needs."""
    found = tokens.living(pk)
    excused = exceptions.live(kind=ExceptionKind.REACTIVATION, system=found.pk, at=request.at)

    def do(cleaned: dict[str, Any]) -> str:
        changed = door.change_policy(
            system=found, policy=ReactivationPolicy(cleaned["policy"]), grace_hours=cleaned["grace_hours"],
            reason=cleaned["reason"], at=request.at,
        )  # fmt: skip
        return _("Policy of %(system)s: %(policy)s.") % {
            "system": changed.name, "policy": changed.get_reactivation_policy_display(),
        }  # fmt: skip

    effect = (
        _("An exception is live until %(until)s: until then, what you choose takes effect.")
        % {"until": f"{excused.until:%Y-%m-%d %H:%M} UTC"}
        if excused
        else _("No exception is live: until one is, people approve each, whatever is chosen here.")
    )
    asked = Ask(
        title=_("Change what a return needs at %(system)s?") % {"system": found.name},
        button=_("Change 1 policy"),
        keep=reverse("system", args=[pk]),
        facts=[(_("Now"), found.get_reactivation_policy_display())],
        consequences=[effect, _("For 30 days you can't approve what it asks for.")],
    )
    initial = {"policy": found.reactivation_policy, "grace_hours": found.grace_hours}
    return ask(request, asked, do=do, form_class=PolicyForm, refusals=tokens.REFUSALS, initial=initial)


@page(Word.RUN_START)
def read(request: PageRequest, pk: UUID) -> HttpResponse:
    """Start a reading now. POST alone."""
    if request.method != "POST":
        return HttpResponseNotAllowed(["POST"])
    found = tokens.living(pk)
    try:
        run = reconciliation.start(system=found, started_by=str(request.user), at=request.at)
    except reconciliation.CantRead as refused:
        messages.error(request, _("Nothing was begun: %(why)s") % {"why": refused})
        return HttpResponseRedirect(reverse("system", args=[pk]))
    messages.success(request, _("%(system)s is being read.") % {"system": found.name})
    return HttpResponseRedirect(reverse("run", args=[run.pk]))


def _connected(pk: UUID) -> tuple[System, Connection]:
    found = tokens.living(pk)
    return found, get_object_or_404(Connection, system=found)


@page(Word.SYSTEM_MANAGE)
def pause(request: PageRequest, pk: UUID) -> HttpResponse:
    """Stop reading a system."""
    found, its_connection = _connected(pk)

    def do(cleaned: dict[str, Any]) -> str:
        connection_door.pause(connection=its_connection, reason=cleaned["reason"], at=request.at)
        return _("%(system)s is not read any more.") % {"system": found.name}

    asked = Ask(
        title=_("Pause the reading of %(system)s?") % {"system": found.name},
        button=_("Pause 1 connection"),
        keep=reverse("system", args=[pk]),
        consequences=[
            _("%(n)d minutes after its last complete reading it counts as not measured, and the roll as not complete.")
            % {"n": its_connection.freshness_minutes},
            _("What it sends us still takes effect; to stop that, end its tokens."),
            _("Resuming reads it at once."),
        ],
        is_danger=True,
    )
    return ask(request, asked, do=do, refusals=tokens.REFUSALS)


@page(Word.SYSTEM_MANAGE)
def resume(request: PageRequest, pk: UUID) -> HttpResponse:
    """Read a system again."""
    found, its_connection = _connected(pk)

    def do(cleaned: dict[str, Any]) -> str:
        connection_door.resume(connection=its_connection, reason=cleaned["reason"], at=request.at)
        return _("%(system)s is read again; a reading is due now.") % {"system": found.name}

    asked = Ask(
        title=_("Resume the reading of %(system)s?") % {"system": found.name},
        button=_("Resume 1 connection"),
        keep=reverse("system", args=[pk]),
        consequences=[_("It is read at once, and what it shows as less than here becomes a finding or a plan.")],
    )
    return ask(request, asked, do=do, refusals=tokens.REFUSALS)


@page(Word.SYSTEM_MANAGE)
def end(request: PageRequest, pk: UUID) -> HttpResponse:
    """End a system with its tokens and its connection. Its name is typed."""
    found = tokens.living(pk)
    count = Shadow.objects.filter(system=found, account__isnull=False, ended_at__isnull=True).count()
    live_tokens = tokens.live_counts(at=request.at).get(found.pk, {}).get("live", 0)

    def do(cleaned: dict[str, Any]) -> str:
        door.end_system(system=found, reason=cleaned["reason"], at=request.at)
        return _("%(system)s has ended.") % {"system": found.name}

    asked = Ask(
        title=_("End %(system)s?") % {"system": found.name},
        button=_("End 1 system"),
        keep=reverse("system", args=[pk]),
        consequences=[
            _("Live tokens that end: %(n)d. Its requests are answered 401 from now on.") % {"n": live_tokens},
            _("It is not read any more, and leaves the roll."),
            _("Accounts that it knows: %(n)d. They stay as they are here: end them on their own pages.") % {"n": count},
            _("It does not come back. A new system with another name takes its place."),
        ],
        is_danger=True,
    )
    return ask(request, asked, do=do, form_class=NumberedForm, refusals=tokens.REFUSALS, expected=found.name)
