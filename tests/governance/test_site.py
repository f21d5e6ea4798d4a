"""The look and the frame: components, verbs, refusals, and Django's admin in our clothes."""

from __future__ import annotations

import datetime as dt
import re
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any

import pytest
from django.contrib import admin
from django.template import Context, Template

from accounts.models import RoleName, System, Tenant
from accounts.states import ALL as ACCOUNT_TABLES
from audit.scope import scope
from governance.dimensions import worst
from governance.pages import plain, window
from governance.site import RollcallSite
from governance.states import ALL as GOVERNANCE_TABLES
from governance.templatetags.marks import STATES, TONES, points, span
from provisioning.states import ALL as PROVISIONING_TABLES
from tests.conftest import a_cause
from tests.governance.shell import a_user, enter

if TYPE_CHECKING:
    from django.test import Client

pytestmark = [pytest.mark.face, pytest.mark.urls("tests.governance.shell"), pytest.mark.django_db]


@pytest.fixture
def signed_in(client: Client, tenant: Tenant) -> Client:
    return enter(client, a_user("l.chen", RoleName.SECURITY, tenant=tenant))


class Outline(HTMLParser):
    """What a page is made of: headings, ids, references, attributes that the content policy forbids."""

    def __init__(self) -> None:
        super().__init__()
        self.headings: list[str] = []
        self.ids: list[str] = []
        self.refers: set[str] = set()
        self.forbidden: list[str] = []
        self.labelled: set[str] = set()
        self.inputs: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        if re.fullmatch("h[1-6]", tag):
            self.headings.append(tag)
        if values.get("id"):
            self.ids.append(values["id"] or "")
        for name in ("aria-describedby", "aria-labelledby", "aria-controls"):
            self.refers.update((values.get(name) or "").split())
        if tag == "label":
            self.labelled.add(values.get("for") or "")
        if tag in {"input", "select", "textarea"} and values.get("type") not in {"hidden", "checkbox", "radio"}:
            self.inputs.append(values.get("id") or "")
        self.forbidden += [f"{tag} {name}" for name in values if name == "style" or name.startswith("on")]
        if tag in {"script", "style"} and not values.get("src"):
            self.forbidden.append(tag)


def outline(answer: Any) -> Outline:
    parsed = Outline()
    parsed.feed(answer.content.decode())
    return parsed


PAGES = ["/t/acme/admin/style/", "/t/acme/admin/verb/done/", "/t/acme/admin/records/", "/password/change/", "/?choose"]


@pytest.mark.parametrize("path", PAGES)
def test_a_page_has_one_h1_unique_ids_labels_and_nothing_inline(signed_in: Client, path: str) -> None:
    for answer in (signed_in.get(path), signed_in.post("/t/acme/admin/verb/done/")):
        found = outline(answer)
        assert found.headings.count("h1") == 1
        assert len(found.ids) == len(set(found.ids))
        assert found.refers <= set(found.ids)
        assert [i for i in found.inputs if i not in found.labelled] == []
        assert found.forbidden == []


@pytest.mark.parametrize(
    "path", ["/login/", "/password/reset/", "/password/reset/sent/", "/welcome/nothing/", "/nowhere/"]
)
def test_pages_before_sign_in_are_whole_too(client: Client, db: None, path: str) -> None:
    found = outline(client.get(path))
    assert found.headings.count("h1") == 1
    assert found.forbidden == []
    assert len(found.ids) == len(set(found.ids))


def test_the_policy_of_every_page_forbids_what_is_inline(client: Client, db: None) -> None:
    policy = client.get("/login/")["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy


def test_every_state_of_every_table_has_its_shape_and_word() -> None:
    codes = {code for table in (*ACCOUNT_TABLES, *PROVISIONING_TABLES, *GOVERNANCE_TABLES) for code in table.states}
    assert codes - set(STATES) == set()
    assert {shape for shape, _ in STATES.values()} <= set(TONES)
    assert {str(words).lower() for _, words in STATES.values()} & {"ok", "synced", "inactive"} == set()


def shown(source: str, **values: Any) -> str:
    return Template("{% load rollcall %}" + source).render(Context(values))


def test_a_state_is_shape_word_and_colour_and_an_unknown_code_is_grey() -> None:
    html = shown("{% state_word 'deprovisioned' %}{% state_word 'odd_<code>' %}")
    assert "state-over" in html
    assert ">ended<" in re.sub("<svg.*?</svg>", "", html)
    assert "state-unknown" in html
    assert "odd &lt;code&gt;" in html
    assert html.count('aria-hidden="true"') == 2


def test_in_a_sum_the_worst_wins_and_grey_outranks_green() -> None:
    assert worst(["=", "?", "~"]) == "?"
    assert worst(["x", "?"]) == "x"
    assert worst(["=", "#"]) == "#"
    assert worst([]) == "?"


AT = dt.datetime(2026, 11, 23, 14, 2, tzinfo=dt.UTC)


@pytest.mark.parametrize(
    ("instant", "words"),
    [
        (AT - dt.timedelta(minutes=40), "40 min ago (13:22 UTC)"),
        (AT + dt.timedelta(hours=6, minutes=5), "in 6 h (20:07 UTC)"),
        (AT - dt.timedelta(days=3), "3 d ago (20 Nov, 14:02 UTC)"),
        (AT + dt.timedelta(days=400), "in 400 d (28 Dec 2027, 14:02 UTC)"),
        (AT, "now (14:02 UTC)"),
        (None, "never"),
    ],
)
def test_an_instant_is_told_by_distance_and_clock(instant: dt.datetime | None, words: str) -> None:
    html = shown("{% when instant %}", instant=instant, at=AT)
    assert re.sub("<.*?>", "", html) == words
    assert ("<time datetime=" in html) is (instant is not None)


@pytest.mark.parametrize(
    ("tag", "instant", "words", "state"),
    [
        ("left", AT + dt.timedelta(days=8), "8 d left (1 Dec, 14:02 UTC)", None),
        ("left", AT - dt.timedelta(days=2), "2 d past (21 Nov, 14:02 UTC)", None),
        ("left", None, "no deadline", None),
        ("due", AT + dt.timedelta(days=8), "8 d left (1 Dec, 14:02 UTC)", None),
        ("due", AT + dt.timedelta(hours=6), "6 h left (20:02 UTC)", "differs"),
        ("due", AT - dt.timedelta(days=6), "6 d overdue (17 Nov, 14:02 UTC)", "broken"),
        ("due", None, "no deadline", None),
    ],
)
def test_a_deadline_is_told_by_what_is_left_and_is_red_when_it_is_over(
    tag: str, instant: dt.datetime | None, words: str, state: str | None
) -> None:
    html = shown(f"{{% {tag} instant %}}", instant=instant, at=AT)
    assert re.sub("<.*?>", "", html) == words
    assert re.findall("state-([a-z]+)", html) == ([state] if state else [])


@pytest.mark.parametrize(
    ("value", "words"), [(True, "yes"), (False, "no"), (None, "\u2013"), ("", "\u2013"), (0, "0"), ("Ops", "Ops")]
)
def test_a_fact_is_told_in_words(value: object, words: str) -> None:
    assert shown("{% said value %}", value=value, at=AT) == words


def test_reasons_of_verbs_in_rows_stand_once_below_them() -> None:
    html = shown(
        "{% reasons %}<ul>{% for n in rows %}<li>{% verbs %}{% verb_button 'Read now' '/x/' off=why %}{% endverbs %}</li>"
        "{% endfor %}</ul>{% endreasons %}",
        rows=range(3), why="reading is paused",
    )  # fmt: skip
    assert html.count("disabled") == 3
    assert html.count("reading is paused") == 1
    (key,) = set(re.findall('aria-describedby="([^"]+)"', html))
    assert f'<ul class="why-not"><li id="{key}"><b>Read now</b>: reading is paused</li></ul>' in html
    assert "why-not" not in shown("{% reasons %}{% verb_button 'Read now' '/x/' %}{% endreasons %}")


def test_the_tenants_own_time_stands_beside_utc() -> None:
    tenant = Tenant(slug="a", name="A", time_zone="Europe/Amsterdam")
    assert "15:02 Europe/Amsterdam" in shown("{% as_of %}", at=AT, tenant=tenant)
    assert "as of 2026-11-23 14:02 UTC" in shown("{% as_of %}", at=AT)


@pytest.mark.parametrize(
    ("seconds", "words"), [(0, "0 s"), (59, "59 s"), (60, "1 min"), (7199, "1 h"), (86400, "24 h"), (172_800, "2 d")]
)
def test_a_span_is_told_in_its_largest_whole_unit(seconds: float, words: str) -> None:
    assert span(seconds) == words


def test_unknown_is_not_zero() -> None:
    assert "unknown" in shown("{% known n %}", n=None)
    assert ">0<" in shown("{% known n %}", n=0)
    assert ">8,114<" in shown("{% known n %}", n=8114)


def test_a_line_breaks_at_a_gap_and_has_the_same_numbers_as_a_table() -> None:
    html = shown(
        "{% spark values label='Coverage' unit='%' names=days %}",
        values=[97.0, None, 98.5, 99.0],
        days=["Mo", "Tu", "We", "Th"],
    )
    assert html.count("<polyline points") == 1
    assert html.count('class="dot"') == 1
    assert "1 gap" in html
    assert re.findall(r"<td>(.*?)</td>", html) == ["97%", "not measured", "98.5%", "99%"]
    assert "<svg" not in shown("{% spark values label='Coverage' %}", values=[None, None])
    lines, low, high = points([1, 1, 1])
    assert (len(lines), low, high) == (1, 1, 1)


def test_what_is_shown_is_escaped() -> None:
    for source in (
        "{% copy bad %}",
        "{% tone 'x' bad %}",
        "{% when None bad %}",
        "{% known bad %}",
        "{% spark one label=bad %}",
    ):
        assert "<script>" not in shown(source, bad="<script>\"'", one=[1])


def test_a_verb_that_the_reader_may_not_use_stays_with_its_reason(client: Client, tenant: Tenant) -> None:
    html = (
        enter(client, a_user("auditor", RoleName.AUDITOR, tenant=tenant)).get("/t/acme/admin/style/").content.decode()
    )
    bar = html[html.index('<div class="verbs">') : html.index("</header>", html.index('<div class="verbs">'))]
    assert bar.count('<button type="button" disabled aria-describedby=') == 4
    assert "Suspending an account needs one of these roles here: security." in bar
    assert "<a " not in bar
    assert "<form" not in bar


def test_a_verb_that_the_reader_may_use_is_a_link_or_a_form(signed_in: Client) -> None:
    html = signed_in.get("/t/acme/admin/style/").content.decode()
    assert '<a class="button " href="/x/">Suspend</a>' in html
    assert '<form class="one-button" method="post" action="/x/"><input type="hidden" name="csrfmiddlewaretoken"' in html
    assert "A security hold is released by security alone." in html


def test_a_page_guarded_by_a_word_refuses_with_the_rule(client: Client, signed_in: Client, tenant: Tenant) -> None:
    assert signed_in.get("/t/acme/admin/guarded/").content == b"for l.chen"
    enter(client, a_user("auditor", RoleName.AUDITOR, tenant=tenant))
    answer = client.get("/t/acme/admin/guarded/")
    assert answer.status_code == 403
    assert "Approving a plan needs one of these roles here: security." in answer.content.decode()


def test_a_verb_shows_consequences_first_and_changes_nothing_by_get(signed_in: Client) -> None:
    page = signed_in.get("/t/acme/admin/verb/done/").content.decode()
    assert (
        page.index("10 people can&#x27;t push any more.")
        < page.index('name="reason"')
        < page.index("Remove 10 members</button>")
    )
    assert "Keep as is" in page
    assert not Tenant.objects.filter(slug="by-verb").exists()


def test_a_done_verb_leads_back_with_a_sentence(signed_in: Client) -> None:
    answer = signed_in.post("/t/acme/admin/verb/done/", {"reason": "restore drill"})
    assert answer["Location"] == "/t/acme/admin/told/"
    assert Tenant.objects.filter(slug="by-verb").exists()
    assert "done because restore drill, by l.chen" in signed_in.get("/t/acme/admin/style/").content.decode()


@pytest.mark.parametrize("reason", ["", "  ", "x", "a" * 1001, "harm\u202eless"])
def test_a_verb_without_a_good_reason_does_nothing_and_ties_the_error_to_the_field(
    signed_in: Client, reason: str
) -> None:
    answer = signed_in.post("/t/acme/admin/verb/done/", {"reason": reason})
    assert answer.status_code == 422
    assert not Tenant.objects.filter(slug="by-verb").exists()
    page = answer.content.decode()
    assert 'aria-describedby="id_reason_helptext id_reason_error"' in page
    assert 'id="id_reason_error"' in page
    assert '<a href="#id_reason">Reason</a>' in page


def test_a_refused_verb_keeps_what_was_typed_and_takes_its_writes_back(signed_in: Client) -> None:
    answer = signed_in.post("/t/acme/admin/verb/refused/", {"reason": "restore drill"})
    page = answer.content.decode()
    assert answer.status_code == 409
    assert "it was decided otherwise meanwhile" in page
    assert "restore drill</textarea>" in page
    assert not Tenant.objects.filter(slug="by-verb").exists()


def test_over_the_brake_the_number_is_typed(signed_in: Client) -> None:
    wrong = signed_in.post("/t/acme/admin/verb/numbered/", {"reason": "leavers", "typed": "11"})
    assert wrong.status_code == 422
    assert "Type 10, as on the button." in wrong.content.decode()
    assert signed_in.post("/t/acme/admin/verb/numbered/", {"reason": "leavers", "typed": " 10 "}).status_code == 302


@pytest.mark.parametrize(
    ("typed", "number"),
    [("1", 1), ("2", 2), ("0", 1), ("-1", 1), ("x", 1), ("²", 1), ("999", 200), ("0" * 9, 1), ("9" * 9, 1)],
)
def test_a_page_of_a_list_is_one_query_and_never_an_error(
    rf: Any, django_assert_num_queries: Any, typed: str, number: int
) -> None:
    with django_assert_num_queries(1):
        assert window(rf.get("/", {"page": typed}), Tenant.objects.order_by("slug")).number == number


def test_pages_of_a_list_keep_the_filter(rf: Any, make_tenant: Any) -> None:
    for number in range(5):
        make_tenant(f"t{number}")
    found = window(rf.get("/", {"page": "2", "q": "a&b"}), Tenant.objects.order_by("slug"), size=2)
    assert [t.slug for t in found.rows] == ["t2", "t3"]
    assert (found.previous, found.next) == ("?q=a%26b&page=1", "?q=a%26b&page=3")
    last = window(rf.get("/", {"page": "3"}), Tenant.objects.order_by("slug"), size=2)
    assert ([t.slug for t in last.rows], last.next) == (["t4"], "")


def test_a_reason_may_have_lines_and_any_script() -> None:
    plain("Zoë asked:\n\t新しい 🗝 שלום")


def test_the_site_is_ours_and_read_by_who_reads_the_roll(client: Client, tenant: Tenant) -> None:
    assert isinstance(admin.site, RollcallSite)
    statuses = {}
    for role in RoleName:
        enter(client, a_user(f"some.{role}", role, tenant=tenant))
        statuses[role.value] = client.get("/t/acme/admin/records/", follow=True).status_code
    assert statuses == {"security": 200, "owner": 403, "auditor": 200, "administrator": 200}


def test_no_record_of_a_model_without_a_tenant_is_shown(signed_in: Client) -> None:
    shown = {model.__name__ for model in admin.site._registry if getattr(model, "global_because", None)}
    assert shown == set()
    assert {"Account", "Finding", "Plan"} <= {model.__name__ for model in admin.site._registry}
    assert signed_in.get("/t/acme/admin/records/accounts/user/").status_code == 404


def test_the_history_of_a_record_says_who_why_and_by_which_cause(signed_in: Client, tenant: Tenant) -> None:
    with scope(tenant=tenant.pk, cause=a_cause(reason="two more days")) as cause:
        system = System.objects.create(tenant=tenant, name="GitHub", made_at=AT)
        system.grace_hours = 48
        system.save()
    answer = signed_in.get(f"/t/acme/admin/records/accounts/system/{system.pk}/history/")
    html = answer.content.decode()
    assert "<b>Grace hours</b> 24 → 48" in html
    assert html.count("two more days") == 2
    assert html.count(f'class="number">{cause.pk}<') == 2
    found = outline(answer)
    assert (found.forbidden, found.headings.count("h1")) == ([], 1)
    assert signed_in.get(f"/t/acme/admin/records/accounts/system/{system.pk}/change/").status_code == 200


def test_signing_out_by_the_admin_works_and_its_password_page_is_ours(signed_in: Client) -> None:
    assert signed_in.get("/t/acme/admin/records/password_change/")["Location"] == "/password/change/"
    assert signed_in.post("/t/acme/admin/records/logout/")["Location"] == "/login/"
    assert signed_in.get("/t/acme/admin/told/").status_code == 302
