"""Which source can be relied on: what readings had to repair, beside what its events told."""

from django.http import HttpResponse
from django.shortcuts import render
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from accounts.rules import Word
from governance import league as verbs
from governance.league import League
from governance.pages import PageRequest, chosen, page

USUAL = 30
# Sources that have their line drawn; all are in the table.
TRENDS_SHOWN = 12


def _sentence(found: League) -> str:
    """The answer, with the worst source."""
    unknown = sum(source.repairs is None for source in found.sources)
    grey = ngettext("%(n)d source is not measured", "%(n)d sources are not measured", unknown) % {"n": unknown}
    worst = found.sources[0] if found.sources else None
    if worst is None:
        return _("No system yet, so nothing is measured.")
    if not worst.repairs:
        if unknown == len(found.sources):
            return _("No source was read completely in this time: nothing is known.")
        return (
            _("Every reading agreed with what was told; %(grey)s.") % {"grey": grey}
            if unknown
            else _("Every reading agreed with what was told.")
        )
    repairs = ngettext("%(n)d repair", "%(n)d repairs", worst.repairs) % {"n": worst.repairs}
    said = _("%(name)s needed the most: %(repairs)s") % {"name": worst.name, "repairs": repairs}
    return f"{said}; {grey}." if unknown else f"{said}."


@page(Word.ROLL_READ)
def league(request: PageRequest) -> HttpResponse:
    """Every living system, worst first, in the last 7, 30 or 90 days."""
    typed = chosen(request, "days", [(days, days) for days in verbs.WINDOWS])
    found = verbs.of_window(at=request.at, days=int(typed or USUAL))
    return render(
        request,
        "pages/league.html",
        {
            "sentence": _sentence(found),
            "sources": found.sources,
            "why": [(s, [(word.label, n) for word, n in s.why]) for s in found.sources if s.why],
            "trends": [s for s in found.sources if any(value is not None for value in s.trend)][:TRENDS_SHOWN],
            "weeks": [f"{week:%Y-%m-%d}" for week in found.weeks],
            "windows": verbs.WINDOWS,
            "days": int(typed or USUAL),
            "since": found.since,
            "known_since": found.events_known_since,
            "is_cut": found.events_known_since is not None and found.events_known_since > found.since,
        },
    )
