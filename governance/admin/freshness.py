"""The freshness screen: of each system and dimension, is it measured now, and equal?"""

from typing import Any, cast

from django.http import HttpResponse
from django.shortcuts import render

from accounts.rules import Word
from governance import dimensions, drift
from governance.pages import PageRequest, page, window


@page(Word.ROLL_READ)
def freshness(request: PageRequest) -> HttpResponse:
    """The matrix, worst first, and what all of it rests on."""
    found = dimensions.matrix(at=request.at)
    # A page of a list is a slice, of rows in memory as well as of a query.
    shown = window(request, cast("Any", found.rows))
    paces = drift.of_systems([row.measured.system for row in shown.rows], at=request.at)
    return render(
        request,
        "pages/freshness.html",
        {
            "matrix": found,
            "window": shown,
            "drifts": [(row, paces[row.measured.system]) for row in shown.rows],
            "goal": drift.GOAL_PERCENT,
            "names": list(dimensions.NAMES.values()),
            "grey": sum(row.shape == "?" or bool(row.grey) for row in found.rows),
            "differ": sum(row.shape in {"x", "!"} for row in found.rows),
            "unsound": [rest for rest in found.rests if rest.shape == "?"],
        },
    )
