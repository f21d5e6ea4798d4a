"""Verbs that end in a page of their own, above all one that shows a secret once: a token, a one-use link."""

from collections.abc import Callable
from typing import Any

from django import forms
from django.db import transaction
from django.http import HttpResponse
from django.shortcuts import render

from accounts.rules import Refused
from governance.pages import Ask, PageRequest, ReasonForm


def answer(
    request: PageRequest,
    asked: Ask,
    *,
    do: Callable[[dict[str, Any]], HttpResponse],
    form_class: type[forms.Form] = ReasonForm,
    refusals: tuple[type[Exception], ...] = (Refused,),
    **form_arguments: Any,
) -> HttpResponse:
    """As `governance.pages.ask`, where `do` gives the answer itself: a redirect to what was made, or `once`.

    What is in `refusals` is shown beside the form (status 409), with what was typed kept and nothing written.
    """
    form = form_class(request.POST if request.method == "POST" else None, **form_arguments)
    status = 200
    if form.is_bound:
        status = 422
        if form.is_valid():
            try:
                with transaction.atomic():
                    return do(form.cleaned_data)
            except refusals as refused:
                form.add_error(None, str(refused))
                status = 409
    return render(request, "verb.html", {"asked": asked, "form": form}, status=status)


def once(request: PageRequest, template: str, context: dict[str, Any]) -> HttpResponse:
    """A page with a secret: never cached, nor kept by the browser for its back button; in no message and no session."""
    response = render(request, template, context)
    response["Cache-Control"] = "no-store"
    return response
