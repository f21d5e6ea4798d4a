"""The ledger on pages: what was tolerated and what was noted are two things, and then stands beside now."""

from __future__ import annotations

import re
from html import unescape
from typing import TYPE_CHECKING
from uuid import UUID

import pytest

from accounts.models import RoleName
from audit import archiving
from audit.keys import uuid7
from audit.scope import scope
from governance.admin.coercions import coerced, noted, tolerated
from provisioning.models.exchange import Exchange, OutcomeWord
from tests.conftest import a_cause, as_eraser
from tests.factories.scim import PATCH_URN, Idp, connect
from tests.governance.shell import a_user, enter
from tests.house import rows

if TYPE_CHECKING:
    from django.http import HttpResponse
    from django.test import Client

    from accounts.models import Tenant

pytestmark = [pytest.mark.face, pytest.mark.django_db]

PAGE = "/t/acme/admin/ledger/"


@pytest.fixture
def security(client: Client, tenant: Tenant) -> Client:
    return enter(client, a_user("l.chen", RoleName.SECURITY, tenant=tenant))


@pytest.fixture
def idp(tenant: Tenant) -> Idp:
    return connect(tenant, "Okta")


def text_of(answer: HttpResponse) -> str:
    """What a page says, without its tags."""
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", answer.content.decode())).split())


def exchange_page(client: Client, exchange: Exchange) -> str:
    answer = client.get(f"{PAGE}{exchange.pk}/")
    assert answer.status_code == 200
    return text_of(answer)


def listed(client: Client, query: str = "") -> list[str]:
    html = client.get(f"{PAGE}?{query}").content.decode()
    return re.findall(r'<th scope="row"><div class="breaks"><a [^>]*>([^<]+)</a>', html)


def said_oddly(idp: Idp, user: str) -> Exchange:
    """A PATCH as Entra sends it: a capital, and a text where a truth value belongs."""
    body = {"schemas": [PATCH_URN], "Operations": [{"op": "Replace", "path": "active", "value": "False"}]}
    idp.call("PATCH", f"/Users/{user}", body)
    return idp.last()


def test_what_was_tolerated_and_what_was_noted_are_told_apart() -> None:
    kept = [
        {"rule": "op_case", "attribute": "op", "sent": "Replace", "read_as": "replace"},
        {"rule": "note", "attribute": "", "sent": "", "read_as": "linked to ada by employee number"},
        {"rule": "", "attribute": "", "sent": "", "read_as": "and 3 more"},
    ]
    assert [(one.attribute, one.sent, one.read_as, one.clients) for one in tolerated(kept)] == [
        ("op", "Replace", "replace", "Entra"), ("", "", "and 3 more", ""),
    ]  # fmt: skip
    assert noted(kept) == ("linked to ada by employee number",)


def test_a_note_is_no_coercion_in_the_list_nor_in_its_filter(security: Client, tenant: Tenant, idp: Idp) -> None:
    number = {"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User": {"employeeNumber": "E1"}}
    idp.user("ada@example.com", **number)
    second = connect(tenant, "GitHub")
    linked = second.user("ada@github.example", **number)
    with scope(tenant=tenant.pk):
        assert noted(second.last().coercions) == ("linked to ada@example.com by employee number",)
        assert not coerced(Exchange.objects.all()).exists()
    page = text_of(security.get(PAGE))
    assert "linked to ada@example.com by employee number" in page
    assert "coerced linked" not in page
    assert listed(security, "coerced=1") == []
    odd = said_oddly(second, linked)
    with scope(tenant=tenant.pk):
        assert list(coerced(Exchange.objects.all())) == [odd]
    assert listed(security, "coerced=1") == ["ada@github.example"]
    assert "coerced active False › false" in text_of(security.get(PAGE))


def test_an_exchange_tells_its_way_from_sent_to_answer(security: Client, idp: Idp) -> None:
    user = idp.user("ada@example.com", title="Ops")
    page = exchange_page(security, said_oddly(idp, user))
    assert "Okta asked to disable ada@example.com: applied." in page
    way = [
        "Sent PATCH",
        "Coerced op Replace › replace known from Entra",
        "Intent disable",
        "Outcome applied",
        "Answer 200",
    ]
    assert [page.index(step) for step in way] == sorted(page.index(step) for step in way)


def test_what_an_exchange_changed_stands_beside_what_it_is_now(security: Client, idp: Idp) -> None:
    user = idp.user("ada@example.com", title="Ops")
    made = idp.last()
    idp.patch(f"/Users/{user}", {"op": "replace", "path": "title", "value": "SRE"})
    first = idp.last()
    assert "title Ops › to SRE the same" in exchange_page(security, first)
    idp.patch(f"/Users/{user}", {"op": "replace", "path": "title", "value": "Lead"})
    page = exchange_page(security, first)
    assert "title Ops › to SRE changed since Lead" in page
    assert "Later on it change applied" in page
    off = said_oddly(idp, user)
    assert "status active › to ended the same" in exchange_page(security, off)
    # What made the resource changed nothing that was there before.
    assert "What it changed" not in exchange_page(security, made)


def test_a_held_wish_says_that_people_decide_and_leads_to_the_question(security: Client, idp: Idp) -> None:
    user = idp.user("ada@example.com")
    idp.patch(f"/Users/{user}", {"op": "replace", "path": "active", "value": False})
    idp.patch(f"/Users/{user}", {"op": "replace", "path": "active", "value": True})
    held = idp.last()
    assert held.outcome == OutcomeWord.HELD
    page = exchange_page(security, held)
    assert "Okta asked to enable ada@example.com: held, people decide." in page
    assert "the question to people waits for people" in page
    assert "active, as its system says no › to yes the same" in page
    assert "status ended" not in page
    assert f'href="/t/acme/admin/plans/{held.plan_id}/"' in security.get(f"{PAGE}{held.pk}/").content.decode()


def test_a_refused_request_says_why_and_that_nothing_was_changed(security: Client, idp: Idp) -> None:
    idp.post("/Users", {"schemas": [], "userName": ""})
    page = exchange_page(security, idp.last())
    assert "refused, nothing was changed." in page
    assert "Done nothing: it was refused" in page


@pytest.mark.parametrize("query", ["intent=%00", "outcome=best", "system=okta", "resource_id=1", "page=x"])
def test_a_filter_that_there_is_not_is_no_filter(security: Client, idp: Idp, query: str) -> None:
    idp.user("ada@example.com")
    assert listed(security, query) == ["ada@example.com"]


def test_the_list_is_narrowed_and_an_empty_filter_says_how_many_there_are_without(
    security: Client, tenant: Tenant, idp: Idp
) -> None:
    assert "Nothing arrived yet." in text_of(security.get(PAGE))
    user = idp.user("ada@example.com")
    idp.patch(f"/Users/{user}", {"op": "replace", "path": "active", "value": False})
    connect(tenant, "GitHub").user("bob@example.com")
    assert listed(security) == ["bob@example.com", "ada@example.com", "ada@example.com"]
    assert listed(security, "intent=disable") == ["ada@example.com"]
    assert listed(security, f"system={idp.system.pk}") == ["ada@example.com"] * 2
    assert listed(security, f"resource_id={user}") == ["ada@example.com"] * 2
    assert "Of one resource: ada@example.com" in text_of(security.get(f"{PAGE}?resource_id={user}"))
    assert "No exchange in this filter (3 without it)." in text_of(security.get(f"{PAGE}?outcome=parked"))


def test_no_body_of_a_request_is_loaded_for_the_list(security: Client, tenant: Tenant, idp: Idp) -> None:
    with scope(tenant=tenant.pk, cause=a_cause()):
        Exchange.objects.create(
            tenant=tenant, system=idp.system, token_id=idp.system.pk, cause_id=1, method="PATCH", path="/Users/x",
            intent="update", outcome="applied", request_digest="0" * 64, status=200, request={"secret-of-a-body": 1},
        )  # fmt: skip
    assert "secret-of-a-body" not in security.get(PAGE).content.decode()


def test_an_exchange_that_left_for_an_archive_says_which_file_has_it(
    security: Client, tenant: Tenant, idp: Idp
) -> None:
    idp.user("ada")
    there, gone = idp.last(), [uuid7(), uuid7()]
    with scope(tenant=tenant.pk, cause=a_cause()):
        archive = rows.archive(file="acme-2026.jsonl", digest="c3" * 32)
        with as_eraser():
            archiving.note(Exchange, gone, number=1, archive_id=archive.pk)
    for pk in gone:
        answer = security.get(f"/t/acme/admin/ledger/{pk}/")
        assert answer.status_code == 410
        assert "acme-2026.jsonl" in text_of(answer)
        assert "c3" * 32 in text_of(answer)
    assert security.get(f"/t/acme/admin/ledger/{there.pk}/").status_code == 200
    # One that begins in the middle of another's key, and one that never was.
    shifted = b"".join(key.bytes for key in sorted(gone))[5:21]
    for never in (UUID(bytes=shifted), uuid7()):
        assert security.get(f"/t/acme/admin/ledger/{never}/").status_code == 404
