"""What every page of a tenant is built with: who may see it, the form of a verb, one page of a list.

The middleware has found the tenant, the person and their roles before a view runs; nothing here asks for them again.
"""

import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta, tzinfo
from functools import wraps
from typing import Any, Concatenate, Generic, ParamSpec, TypeVar
from urllib.parse import urlencode
from uuid import UUID

from django import forms
from django.contrib import messages
from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseBase, HttpResponseRedirect
from django.shortcuts import render
from django.urls import get_script_prefix, reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts.models.tenant import Tenant
from accounts.models.user import RoleName, User
from accounts.rules import Refused, Ruling, Word
from accounts.rules import may as may_in_tenant
from governance.middleware import allowed

EARLIEST_DAY, LATEST_DAY = date(1900, 1, 1), date(9998, 12, 31)

P = ParamSpec("P")
M = TypeVar("M", bound=Model)

REASON_LENGTH = 1000
PAGE_SIZE = 50
# OFFSET reads what it skips: beyond this many pages a filter finds more than a further page.
LAST_PAGE = 200


class PageRequest(HttpRequest):
    """A request inside a tenant, as the middleware hands it to a view. `at` is the one clock of the request."""

    tenant: Tenant
    roles: frozenset[RoleName]
    at: datetime
    user: User


View = Callable[Concatenate[PageRequest, P], HttpResponseBase]


def may(request: PageRequest, word: Word) -> Ruling:
    """Whether the reader may, with the reason. A yes asks the database nothing."""
    if allowed(request.roles, word):
        return Ruling(allowed=True, reason=_("a role allows it"))
    return may_in_tenant(request.user, word, tenant=request.tenant.pk, at=request.at)


def page(word: Word) -> Callable[[View[P]], View[P]]:
    """A view for those who may do `word`; everybody else gets the 403 page that says the rule."""

    def decorate(view: View[P]) -> View[P]:
        @wraps(view)
        def guarded(request: PageRequest, /, *args: P.args, **kwargs: P.kwargs) -> HttpResponseBase:
            ruling = may(request, word)
            if not ruling:
                raise Refused(ruling.reason)
            return view(request, *args, **kwargs)

        return guarded

    return decorate


def root_url(name: str, **kwargs: Any) -> str:
    """The address of a page that belongs to no tenant (sign-in, sign-out, the choice of a tenant)."""
    return "/" + reverse(name, kwargs=kwargs or None).removeprefix(get_script_prefix())


def plain(text: str) -> None:
    """Form validator: refuses control and bidirectional characters, which could make a reason read as another."""
    bad = [
        c
        for c in text
        if (ord(c) < ord(" ") and c not in "\r\n\t")
        or c in "\u200b\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\x7f"
    ]
    if bad:
        raise ValidationError(_("Take out the invisible character U+%(code)04X.") % {"code": ord(bad[0])})


class ReasonForm(forms.Form):
    """Why: asked for by every verb. The cause of the request keeps what is typed in a field of this name."""

    reason = forms.CharField(
        label=gettext_lazy("Reason"),
        help_text=gettext_lazy("Others read it in the journal: a ticket, a request, what you saw."),
        max_length=REASON_LENGTH,
        min_length=3,
        validators=[plain],
        widget=forms.Textarea(attrs={"rows": 3, "data-keep": "", "data-key": "n"}),
    )


class NumberedForm(ReasonForm):
    """A reason, and the number of things, typed: for what is over the brake."""

    typed = forms.CharField(label="", max_length=80, widget=forms.TextInput(attrs={"autocomplete": "off"}))

    def __init__(self, *args: Any, expected: int | str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.expected = str(expected)
        self.fields["typed"].label = _("Type %(expected)s") % {"expected": self.expected}

    def clean_typed(self) -> str:
        """What was typed. Refuses anything but the number (or name) on the button."""
        typed: str = self.cleaned_data["typed"].strip()
        if typed != self.expected:
            raise ValidationError(_("Type %(expected)s, as on the button.") % {"expected": self.expected})
        return typed


@dataclass(frozen=True)
class Ask:
    """The page that asks before a verb: what happens, what stops, what does not come back, how long undo lasts.

    `title` is the question with number and things ("End svc-deploy at 2 systems?"), `button` verb and object ("End 1
    account"), `keep` the address of "Keep as is", where a done verb leads too unless `done` says otherwise.
    """

    title: str
    button: str
    keep: str
    consequences: Sequence[str] = ()
    facts: Sequence[tuple[str, Any]] = ()
    done: str = ""
    is_danger: bool = False
    ruling: Ruling | None = None


def ask(
    request: PageRequest,
    asked: Ask,
    *,
    do: Callable[[dict[str, Any]], str],
    form_class: type[forms.Form] = ReasonForm,
    refusals: tuple[type[Exception], ...] = (Refused,),
    **form_arguments: Any,
) -> HttpResponse:
    """Show the form of a verb; on POST do it, say what was done, and go back.

    `do` gets the cleaned form and returns the sentence that the next page shows. What is in `refusals` is shown beside
    the form (status 409), with what was typed kept and nothing written; any other error is a server error.
    """
    if asked.ruling is not None and not asked.ruling:
        raise Refused(asked.ruling.reason)
    status = 200
    if request.method == "POST":
        form = form_class(request.POST, **form_arguments)
        if form.is_valid():
            try:
                with transaction.atomic():
                    sentence = do(form.cleaned_data)
            except refusals as refused:
                form.add_error(None, str(refused))
                status = 409
            else:
                messages.success(request, sentence)
                return HttpResponseRedirect(asked.done or asked.keep)
        else:
            status = 422
    else:
        form = form_class(**form_arguments)
    return render(request, "verb.html", {"asked": asked, "form": form}, status=status)


def chosen(request: HttpRequest, name: str, choices: Iterable[tuple[Any, Any]]) -> str:
    """The value of a filter, where it is one of its choices; anything else that is typed is no filter."""
    typed = request.GET.get(name, "")
    return typed if typed in {str(value) for value, _label in choices} else ""


def asked_id(request: HttpRequest, name: str) -> UUID | None:
    """The id that a filter names, if it is one."""
    try:
        return UUID(request.GET.get(name, ""))
    except ValueError:
        return None


@dataclass(frozen=True)
class Window(Generic[M]):
    """One page of a list, without a count of all: `previous` and `next` are addresses, or empty."""

    rows: Sequence[M]
    number: int
    previous: str
    next: str
    is_cut: bool

    def __bool__(self) -> bool:
        return bool(self.rows)


def _address(request: HttpRequest, number: int) -> str:
    kept = [(k, v) for k, values in request.GET.lists() if k != "page" for v in values]
    return "?" + urlencode([*kept, ("page", str(number))])


def window(request: HttpRequest, rows: QuerySet[M], *, size: int = PAGE_SIZE) -> Window[M]:
    """The page of `rows` that the address asks for by `?page=`. One query; a page that can't be is the first."""
    typed = request.GET.get("page", "1")
    number = min(int(typed), LAST_PAGE) or 1 if re.fullmatch("[0-9]{1,3}", typed) else 1
    found = list(rows[(number - 1) * size : number * size + 1])
    has_more = len(found) > size
    return Window(
        rows=found[:size],
        number=number,
        previous=_address(request, number - 1) if number > 1 else "",
        next=_address(request, number + 1) if has_more and number < LAST_PAGE else "",
        is_cut=has_more and number == LAST_PAGE,
    )


def said_facts(facts: Mapping[str, Any], *, besides: Collection[str] = ()) -> list[tuple[str, Any]]:
    """Frozen facts (plain JSON) as pairs for a list of facts: instants as instants, lists as words.

    One level of grouping is opened; what is empty says nothing, and `besides` are shown in their own place.
    """
    pairs: list[tuple[str, Any]] = []
    for name, value in facts.items():
        if name in besides:
            continue
        inner = value.items() if isinstance(value, Mapping) else [(name, value)]
        pairs += [(_named(k), said) for k, one in inner if k not in besides and (said := _said(one)) != ""]
    return pairs


# What people call the facts whose own names are ours.
_NAMES: Mapping[str, Any] = {
    "at": gettext_lazy("ended"),
    "events_since": gettext_lazy("events of the feed since then"),
    "exchanges_since": gettext_lazy("exchanges taken in since then"),
    "expires_at": gettext_lazy("ends"),
    "frozen_at": gettext_lazy("as of"),
    "findings_count": gettext_lazy("findings, in all"),
    "goes_back_to": gettext_lazy("from"),
    "here": gettext_lazy("here it is"),
    "is_privileged": gettext_lazy("privileged"),
    "last_certified_at": gettext_lazy("last certified"),
    "last_used_at": gettext_lazy("last used"),
    "memberships": gettext_lazy("groups"),
    "name_reused": gettext_lazy("name in use again"),
    "needs_owner": gettext_lazy("needs an owner first"),
    "owners_losing_all": gettext_lazy("owners who lose all"),
    "read_since": gettext_lazy("reading begun"),
    "remote_id": gettext_lazy("id there"),
    "stands_at": gettext_lazy("it stood at"),
    "there": gettext_lazy("there it is"),
}


def _named(key: str) -> str:
    return str(_NAMES.get(key, key.replace("_", " ")))


_LABELS = ("title", "name", "group", "label", "user_name")


def _said(value: Any) -> Any:
    if isinstance(value, bool):
        return _("yes") if value else _("no")
    if isinstance(value, list):
        words = [
            next((str(v[k]) for k in _LABELS if v.get(k)), "") if isinstance(v, Mapping) else str(v) for v in value
        ]
        return ", ".join(w for w in words if w)
    if value is None or isinstance(value, Mapping):
        return ""
    if isinstance(value, str) and _INSTANT.match(value):
        return datetime.fromisoformat(value)
    return value


_INSTANT = re.compile(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d")


def end_of_day(day: date, *, zone: tzinfo) -> datetime:
    """The end of a typed day where the tenant is. Raises `ValidationError` for one that no clock of ours reaches."""
    if not EARLIEST_DAY <= day <= LATEST_DAY:
        raise ValidationError(_("No clock reaches that day: choose another."))
    return datetime.combine(day + timedelta(days=1), time.min, tzinfo=zone)
