"""A few pages that stand for those of the product: what the frame does to them is what is tested. An urlconf too."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import admin
from django.db import connection
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.template import engines
from django.urls import include, path, reverse

from accounts import people
from accounts.models import RoleName, Tenant, User
from accounts.rules import Refused, Word
from accounts.tenants import make as make_tenant_row
from audit.cause import current, current_or_none, current_tenant
from audit.models import CauseKind
from audit.scope import scope
from governance.pages import Ask, NumberedForm, PageRequest, ReasonForm, ask, page, window
from governance.urls import urlpatterns as own
from tests.conftest import AT, a_cause, as_setup

if TYPE_CHECKING:
    from uuid import UUID

    from django.test import Client

PASSWORD = "a long enough secret"


def a_user(name: str, *roles: RoleName, tenant: Tenant | None = None, **values: Any) -> User:
    """Somebody who can sign in with `PASSWORD`, with roles in the tenant."""
    with scope(cause=a_cause(kind=CauseKind.SETUP)):
        user = people.make_user(username=name, at=AT, **values)
        people.accept_invitation(token=people.invite(user=user, at=AT), password=PASSWORD, at=AT)
        for role in roles:
            with as_setup():
                people.grant_role(user=user, name=role, tenant=tenant, by_setup=True, at=AT)
    return User.objects.get(pk=user.pk)


def enter(client: Client, user: User) -> Client:
    """The client signed in as the user. Signing in writes the last sign-in, so it has a cause."""
    with scope(cause=a_cause(kind=CauseKind.SIGN_IN)):
        client.force_login(user)
    return client


def told(request: PageRequest) -> HttpResponse:
    """What the page knows."""
    cause = current_or_none()
    return JsonResponse(
        {
            "tenant": request.tenant.slug,
            "scope": str(current_tenant()),
            "roles": sorted(request.roles),
            "path": request.path,
            "path_info": request.path_info,
            "reversed": reverse("told"),
            "cause": None
            if cause is None
            else [cause.kind, cause.actor, cause.reason, cause.subject, str(cause.user_id)],
        }
    )


def write(request: PageRequest, then: str) -> HttpResponse:
    """Writes a tenant row, then does what the address says."""
    make_tenant_row(slug=f"made-{then}", name="Made", time_zone="UTC", kind="organisation", at=request.at)
    if then == "broken":
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1/0")
    if then == "refused":
        raise Refused("only the captain may")
    if then == "absent":
        raise Http404
    return HttpResponse(status={"ok": 200, "error": 503, "conflict": 409}[then])


@page(Word.PLAN_APPROVE)
def guarded(request: PageRequest) -> HttpResponse:
    """For those who may approve a plan."""
    return HttpResponse(f"for {request.user}")


def verb(request: PageRequest, outcome: str) -> HttpResponse:
    """The form of a verb."""

    def do(typed: dict[str, Any]) -> str:
        make_tenant_row(slug="by-verb", name="Made", time_zone="UTC", kind="organisation", at=request.at)
        if outcome == "refused":
            raise Refused("it was decided otherwise meanwhile")
        return f"done because {typed['reason']}, by {current().actor}"

    asked = Ask(
        title="Remove 10 from GitHub?",
        button="Remove 10 members",
        keep=reverse("told"),
        consequences=["10 people can't push any more.", "Groups that come back do so by approval."],
        facts=[("System", "GitHub"), ("Brake", "20 or 2 %")],
        is_danger=True,
    )
    arguments = {"form_class": NumberedForm, "expected": 10} if outcome == "numbered" else {"form_class": ReasonForm}
    return ask(request, asked, do=do, **arguments)


class Example(forms.Form):
    """One field of each kind."""

    name = forms.CharField(help_text="As people call it.")
    kind = forms.ChoiceField(choices=[("a", "directory"), ("b", "application")])
    silence = forms.ChoiceField(choices=[("s", "suspend"), ("o", "stay open")], widget=forms.RadioSelect)
    is_read = forms.BooleanField(label="It is read", required=False)
    note = forms.CharField(widget=forms.Textarea, required=False)


STYLE = """{% extends "base.html" %}{% load rollcall %}
{% block title %}Style{% endblock %}{% block h1 %}Roll of Acme{% endblock %}
{% block crumbs %}<a href="{% url "told" %}">Accounts</a>{% endblock %}
{% block sentence %}No: 2 of 7 systems are not measured; 412 accounts unknown.{% endblock %}
{% block verbs %}{% verbs %}{% verb_post "Read now" "/x/" kind="primary" word="run.start" %}{% verb_button "Suspend" "/x/" word="account.suspend" %}{% verb_button "End now" "/x/" kind="danger" word="account.end" key="e" %}{% verb_button "Release" "/x/" off="A security hold is released by security alone." %}{% endverbs %}{% endblock %}
{% block banners %}<p class="banner banner-danger">Everything is frozen since 13:40 by l.chen: restore drill.</p>{% endblock %}
{% block content %}
<ul class="figures"><li><a href="#"><b>8,114</b> accounts</a></li><li><a href="#"><b>7</b> differ</a></li><li><a href="#"><b>{% known None %}</b> in Old CRM</a></li><li><b>97.1 %</b> coverage</li></ul>
<form class="filters" method="get" role="search"><div class="wide"><label for="q">Name</label><input id="q" name="q" data-search></div>
<div><label for="k">Kind</label><select id="k" name="k"><option>all</option><option>service account</option></select></div><button type="submit">Filter</button></form>
<ul class="choices"><li><a href="#" aria-current="true">mine</a></li><li><a href="#">all 20</a></li></ul>
<div class="table-box"><table class="cards" data-rows><caption>Systems, worst first</caption>
<thead><tr><th scope="col">System</th><th scope="col">State</th><th scope="col">Complete read</th><th scope="col" class="number">Accounts</th><th scope="col" class="number">Differ</th></tr></thead>
<tbody><tr class="is-worst"><th scope="row"><a href="#">Old CRM</a></th><td data-label="State">{% state_word "not_measured" %}</td><td data-label="Complete read">{% when long_ago %}</td><td class="number" data-label="Accounts">{% known None %}</td><td class="number" data-label="Differ">-</td></tr>
<tr><th scope="row"><a href="#">GitHub</a></th><td data-label="State">{% state_word "differs" %}</td><td data-label="Complete read">{% when recent %}</td><td class="number" data-label="Accounts">{% known 1020 %}</td><td class="number" data-label="Differ"><a href="#">7</a></td></tr>
<tr><th scope="row"><a href="#">Okta prod</a></th><td data-label="State">{% state_word "equal" %}</td><td data-label="Complete read">{% when recent %}</td><td class="number" data-label="Accounts">{% known 8114 %}</td><td class="number" data-label="Differ">0</td></tr></tbody></table></div>
{% include "components/pages.html" with window=window %}
<div class="columns"><section class="panel"><div class="panel-head"><h2>Why it is</h2><a href="#">all 7</a></div>
<dl class="facts"><div><dt>Owner</dt><dd>a.ruiz, accepted 3 Feb</dd></div><div><dt>Ends</dt><dd>{% when soon %}</dd></div><div><dt>Last use</dt><dd>{% when None "use unknown" %}</dd></div><div><dt>SCIM base</dt><dd>{% copy "https://rollcall.example/scim/v2" "the SCIM base address" %}</dd></div></dl>
<div class="measure"><progress max="412" value="169" aria-label="lines decided"></progress><span>169 of 412</span></div></section>
<section class="panel"><h2>Every state</h2><p>{% for code in codes %}{% state_word code %} {% endfor %}{% tone "x" "6 d overdue" %}</p></section>
<section class="panel"><h2>Proofs</h2><ul class="proofs"><li>{% tone "=" "drained" %}<span>14 pages, 1,020 accounts</span></li><li>{% tone "?" "canary" %}<span>not seen yet</span></li></ul>
<ol class="steps"><li class="is-done">listing</li><li aria-current="step">comparing</li><li>planning</li></ol></section>
<section class="panel"><h2>What changed</h2>{% include "components/timeline.html" with entries=entries %}</section>
<section class="panel"><h2>Trend</h2>{% spark values label="Coverage" unit="%" %}{% spark nothing label="Heal time" %}</section>
<section class="panel"><h2>Findings</h2><ul class="rows" data-rows><li>{% tone "x" "6 d overdue" %} <a href="#">svc-billing still active at GitHub</a> <span class="push quiet">run 5512</span></li><li>{% tone "#" "excepted" %} <a href="#">svc-etl has no owner</a> <span class="tag">demo</span></li></ul><p class="empty">No open finding; <b>2 systems grey</b>, so not all clear.</p></section></div>
<div class="notice notice-warning"><p>A newer request arrived; read again.</p></div>
<form class="panel" method="post">{% csrf_token %}{% errors form %}{% for bound in form %}{% field bound %}{% endfor %}<div class="decide"><button class="button primary" type="submit">Add 1 system</button><a class="button" href="#">Keep as is</a></div></form>
<details><summary>Full request</summary><pre>{"active": false}</pre></details>
{% may "plan.approve" as ruling %}<p class="quiet">{{ ruling.reason }} · {% lasting 750 %}</p>
{% endblock %}"""


def style(request: PageRequest) -> HttpResponse:
    """Every component on one page."""
    from datetime import timedelta  # noqa: PLC0415

    from governance.templatetags.marks import STATES  # noqa: PLC0415

    at = request.at
    words = {
        "long_ago": at - timedelta(days=3), "recent": at - timedelta(minutes=40), "soon": at + timedelta(days=38),
        "codes": list(STATES), "values": [97.1, 96.8, None, None, 98, 98.4, 99], "nothing": [None, None],
        "window": window(request, User.objects.order_by("username_key"), size=1),
        "form": Example({"name": "", "kind": "x"}),
        "entries": [
            {"at": at, "sentence": "Okta exchange 88121: title, 1 group", "kind": "directory", "url": "#", "detail": ["title", "group"]},
            {"at": at - timedelta(hours=5), "sentence": "a.ruiz opened window CHG-114", "kind": "", "url": "", "detail": []},
        ],
    }  # fmt: skip
    return HttpResponse(engines["django"].from_string(STYLE).render(words, request))  # type: ignore[arg-type]


def outside(request: HttpRequest) -> HttpResponse:
    """A page of no tenant."""
    return HttpResponse(str(current_tenant()))


def scim(request: HttpRequest) -> HttpResponse:
    """Stands for the receiver: it must find no scope of ours."""
    in_block: UUID | None = current_tenant()
    return JsonResponse({"tenant": in_block, "has_user": hasattr(request, "_cached_user")})


pages = [
    path("told/", told, name="told"),
    path("write/<str:then>/", write, name="write"),
    path("guarded/", guarded, name="guarded"),
    path("verb/<str:outcome>/", verb, name="verb"),
    path("style/", style, name="style"),
    path("front/", told, name="front"),
]
urlpatterns = [
    path("scim/v2/Users", scim),
    path("outside/", outside),
    path("admin/", include(pages)),
    path("my/", include([path("", told, name="my")])),
    path("api/v1/", include([path("told/", told), path("write/<str:then>/", write), path("guarded/", guarded)])),
    path("admin/records/", admin.site.urls),
    *[p for p in own if str(p.pattern) not in {"admin/", "my/", "api/v1/", "admin/records/", "scim/v2/", "^scim/"}],
]
