"""Campaigns on pages: a form that everybody can read, and a progress whose every count leads to its lines."""

from __future__ import annotations

import datetime as dt
import re
from typing import TYPE_CHECKING

import pytest

from accounts.models import RoleName, User
from accounts.models.account import Account
from audit.scope import scope
from governance import campaigns, reviews
from governance.lines import Query
from governance.models.campaign import Campaign, Review, Silence
from tests.conftest import a_cause
from tests.factories.governance import a_connection, a_person, a_service, a_shadow, a_system, now, staff
from tests.factories.governance import a_user as a_login
from tests.governance.shell import a_user, enter
from tests.governance.world import text_of

if TYPE_CHECKING:
    from django.test import Client

    from accounts.models import Tenant

pytestmark = [pytest.mark.face, pytest.mark.django_db]

PAGE = "/t/acme/admin/campaigns/"


@pytest.fixture
def security(client: Client, tenant: Tenant) -> Client:
    return enter(client, a_user("security", RoleName.SECURITY, tenant=tenant))


def lines_of(client: Client, campaign: Campaign, query: str = "") -> list[str]:
    html = client.get(f"{PAGE}{campaign.pk}/?{query}").content.decode()
    return re.findall(r'<th scope="row"><a [^>]*>([^<]+)</a>', html)


def drafted(tenant: Tenant, chen: User) -> Campaign:
    at = now()
    return campaigns.draft(
        tenant=tenant, user=chen, name="Q4", query=Query(text="svc-"), deadline=at + dt.timedelta(days=9),
        silence=Silence.SUSPEND, at=at,
    )  # fmt: skip


def owners(tenant: Tenant) -> tuple[User, Account, User]:
    """Security, an owner of three services read back at Okta, and the owner's sign-in."""
    at = now()
    chen = staff(tenant, "l.chen", RoleName.SECURITY, at=at)
    owner = a_person(tenant, "a.ruiz", at=at)
    ruiz = a_login(owner, RoleName.OWNER, at=at)
    system = a_system(tenant, at=at)
    a_connection(system, read_at=at)
    for number in range(3):
        a_shadow(system, a_service(tenant, f"svc-{number}", at=at, owner=owner), at=at)
    return chen, owner, ruiz


def test_each_box_of_a_group_has_its_label_and_the_group_has_a_legend(security: Client) -> None:
    html = security.get(f"{PAGE}new/").content.decode()
    (fieldset,) = re.findall(r"<fieldset.*?</fieldset>", html, re.DOTALL)
    assert "<legend>Whom: kinds of account</legend>" in fieldset
    labels = re.findall(
        r'<label for="(id_kinds_\d)"><input type="checkbox"[^>]* id="(id_kinds_\d)"[^>]*>\s*([^<]+)<', fieldset
    )
    assert [(label == box, text.strip()) for label, box, text in labels] == [
        (True, "person"), (True, "service account"), (True, "workload"), (True, "agent"), (True, "shared account"),
    ]  # fmt: skip
    assert html.count('<label class="tick">') == 1


def test_an_error_of_a_group_is_tied_to_it(security: Client) -> None:
    answer = security.post(f"{PAGE}new/", {"name": "Q4", "deadline": "2030-01-01", "silence": "suspend"})
    html = answer.content.decode()
    assert answer.status_code == 422
    assert '<fieldset class="field has-errors" aria-describedby="id_kinds_error">' in html
    assert '<a href="#id_kinds">Whom: kinds of account</a>: This field is required.' in html
    assert 'id="id_kinds"' in html


def test_a_draft_says_what_blocks_it_and_what_silence_will_mean(security: Client, tenant: Tenant) -> None:
    with scope(tenant=tenant.pk, cause=a_cause()):
        chen, _owner, _ruiz = owners(tenant)
        a_service(tenant, "svc-alone", at=now())
        Account.objects.filter(user_name="svc-alone").update(state="suspended")
        draft = drafted(tenant, chen)
    page = text_of(security.get(f"{PAGE}{draft.pk}/"))
    assert "A launch now would make 4 lines for 1 person." in page
    assert "blocks: 1 nobody can answer" in page
    assert "svc-alone" in page
    assert "Launch : what is marked red below must be put right first" in page
    assert "What silence means suspend the account" in page


def test_progress_counts_lines_and_reviewers_and_each_count_leads_to_its_lines(
    security: Client, tenant: Tenant
) -> None:
    with scope(tenant=tenant.pk, cause=a_cause()):
        chen, owner, ruiz = owners(tenant)
        running = campaigns.launch(campaign=drafted(tenant, chen), user=chen, at=now())
        first, second, _third = running.reviews.order_by("account__user_name")
        reviews.certify(review=first, user=ruiz, reason="in daily use", at=now())
        reviews.revoke(review=second, user=ruiz, reason="project over", at=now())
    html = security.get(f"{PAGE}{running.pk}/").content.decode()
    counts = re.findall(r'<a href="(\?state=\w+)"><b><span class="number">(\d+)</span></b>', html)
    assert {query: len(lines_of(security, running, query[1:])) for query, _n in counts} == {
        query: int(n) for query, n in counts
    }
    assert dict(counts) == {
        "?state=waiting": "1", "?state=certified": "1", "?state=revoked": "1", "?state=verified_off": "0",
        "?state=excepted": "0", "?state=silent": "0",
    }  # fmt: skip
    assert f'<a href="?reviewer={owner.pk}"><b>2/3</b> a.ruiz</a>' in html
    assert lines_of(security, running, f"reviewer={owner.pk}") == ["svc-1", "svc-2", "svc-0"]
    assert lines_of(security, running, f"reviewer={running.pk}") == []
    assert lines_of(security, running, "state=%00&reviewer=x") == ["svc-1", "svc-2", "svc-0"]
    page = text_of(security.get(f"{PAGE}{running.pk}/"))
    assert "1 of 3 lines are settled; 8 d left" in page
    assert "2 of 3 decided" in page
    assert "then silence means: suspend the account, never end it" in page
    assert "svc-2 a.ruiz no answer yet" in page
    assert (
        "svc-1 a.ruiz suspended here, not yet read as off project over not read since Okta Ask for an exception" in page
    )


def test_a_campaign_that_is_over_says_how(security: Client, tenant: Tenant) -> None:
    at = now()
    with scope(tenant=tenant.pk, cause=a_cause()):
        chen = staff(tenant, "l.chen", RoleName.SECURITY, at=at)
        for state in ("closed", "abandoned"):
            Campaign.objects.create(
                tenant=tenant, name=state, state=state, deadline=at, made_by=chen, made_at=at, launched_at=at,
                closed_at=at,
            )  # fmt: skip
        pages = {c.name: c.pk for c in Campaign.objects.all()}
    assert "Closed with no line: nothing was to be decided." in text_of(security.get(f"{PAGE}{pages['closed']}/"))
    assert "Never launched: nobody was asked." in text_of(security.get(f"{PAGE}{pages['abandoned']}/"))


def test_the_launch_says_how_many_people_get_a_mail(security: Client, tenant: Tenant) -> None:
    with scope(tenant=tenant.pk, cause=a_cause()):
        chen, _owner, _ruiz = owners(tenant)
        draft = drafted(tenant, chen)
    page = text_of(security.get(f"{PAGE}{draft.pk}/launch/"))
    assert "1 person gets a mail with their lines." in page
    assert "Launch 3 lines" in page
    assert "No campaign yet." not in text_of(security.get(PAGE))


def test_an_owner_reads_the_evidence_in_the_order_of_the_decision_and_what_is_unknown_says_so(
    client: Client, tenant: Tenant
) -> None:
    with scope(tenant=tenant.pk, cause=a_cause()):
        chen, _owner, ruiz = owners(tenant)
        campaigns.launch(campaign=drafted(tenant, chen), user=chen, at=now())
        line = Review.objects.order_by("account__user_name").first()
    assert line is not None
    enter(client, ruiz)
    shown = text_of(client.get(f"/t/acme/my/reviews/{line.pk}/"))
    assert "svc-0 · service account active" in shown
    assert "1 of 3. Is it still needed? Keep End" in shown
    names = re.findall(
        r"(Purpose|Last used|Reaches|Privileged|Wrong with it|Ends|Known to|Environment|Last certified|As of) ",
        shown.split("As it was when the campaign began")[1],
    )
    assert names == [
        "Purpose", "Last used", "Reaches", "Privileged", "Ends", "Known to", "Last certified", "As of",
    ]  # fmt: skip
    assert "Last used unknown: nothing tells us Reaches no group that we know Privileged no" in shown
    assert "Known to Okta" in shown
    assert "Last certified never" in shown
