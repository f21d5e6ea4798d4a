"""What a client sent, saved as lines that a test can send again."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from accounts.models import RoleName
from tests.dialects.test_transcripts import address, filled, prepare
from tests.factories.scim import Idp, a_user, connect
from tests.governance.shell import a_user as a_person
from tests.governance.shell import enter

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.test import Client

    from accounts.models import Tenant

pytestmark = [pytest.mark.face, pytest.mark.django_db]

KEYS = [
    "id", "idp", "method", "path", "body", "headers", "setup", "expect_status", "checks", "why", "source", "rfc_required",
    "derived",
]  # fmt: skip


@pytest.fixture
def idp(tenant: Tenant) -> Idp:
    return connect(tenant, "Okta prod")


def saved(client: Client, idp: Idp) -> list[dict[str, Any]]:
    answer = client.get(f"/t/{idp.tenant.slug}/admin/systems/{idp.system.pk}/transcript.jsonl")
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "application/jsonl; charset=utf-8"
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["Content-Disposition"].startswith('attachment; filename="okta-prod-')
    return [json.loads(line) for line in answer.content.decode().splitlines()]


def test_the_last_exchanges_are_saved_oldest_first_with_ids_as_names(admin: Client, idp: Idp) -> None:
    assert saved(admin, idp) == []
    user = idp.user("ada@example.com")
    group = idp.group("Staff")
    idp.patch(f"/Groups/{group}", {"op": "add", "path": "members", "value": [{"value": user}]})
    idp.patch(f"/Groups/{group}", {"op": "remove", "path": f'members[value eq "{user}"]'})
    idp.post("/Users", a_user("ADA@example.com"))
    lines = saved(admin, idp)
    assert [list(line) for line in lines] == [KEYS] * 5
    assert [(one["method"], one["path"], one["setup"], one["expect_status"]) for one in lines] == [
        ("POST", "/Users", {}, [201]),
        ("POST", "/Groups", {}, [201]),
        ("PATCH", "/Groups/{g1}", {"users": 1, "groups": [{"members": 0}]}, [200]),
        ("PATCH", "/Groups/{g1}", {"users": 1, "groups": [{"members": 1}]}, [200]),
        ("POST", "/Users", {}, [409]),
    ]
    assert lines[2]["body"]["Operations"] == [{"op": "add", "path": "members", "value": [{"value": "{u1}"}]}]
    assert lines[3]["body"]["Operations"] == [{"op": "remove", "path": 'members[value eq "{u1}"]'}]
    assert len({one["id"] for one in lines}) == 5
    assert all(one["idp"] == "Okta prod" for one in lines)


def test_a_saved_line_is_answered_the_same_when_it_is_sent_again(admin: Client, idp: Idp) -> None:
    user, group = idp.user("ada@example.com"), idp.group("Staff")
    idp.patch(f"/Users/{user}", {"op": "Replace", "path": "active", "value": "False"})
    idp.patch(f"/Groups/{group}", {"op": "add", "path": "members", "value": [{"value": user}]})
    lines = saved(admin, idp)
    elsewhere = connect(idp.tenant, "GitHub")
    for line in lines:
        names = prepare(elsewhere, line["setup"])
        reply = elsewhere.call(line["method"], address(filled(line["path"], names)), filled(line["body"], names))
        assert reply.status in line["expect_status"], line
        for made in (one for one in names.items() if one[0][0] in "ug" and one[0][1:].isdigit()):
            elsewhere.delete(f"/{'Users' if made[0][0] == 'u' else 'Groups'}/{made[1]}")


def test_what_the_ledger_does_not_keep_is_in_no_line(admin: Client, idp: Idp) -> None:
    idp.post("/Users", a_user("ada@example.com", password="hunter2-hunter2", shoeSize="size-42-secret"))
    text = json.dumps(saved(admin, idp))
    assert "hunter2" not in text
    assert "size-42-secret" not in text
    assert idp.token.split("_", 2)[2] not in text


def test_a_long_body_is_named_by_its_size(admin: Client, idp: Idp) -> None:
    idp.user("ada@example.com", emails=[{"value": f"a{n}@{'x' * 60}.example"} for n in range(1_000)])
    (line,) = saved(admin, idp)
    assert line["body"] is None
    assert line["why"].endswith(f"; its body of {idp.last().request_bytes} bytes is left out")
    shown = admin.get(f"/t/acme/admin/ledger/{idp.last().pk}/").content.decode()
    assert "Its body is too long for that." in shown


def test_the_page_of_an_exchange_has_its_line_to_copy_and_to_save(admin: Client, idp: Idp) -> None:
    idp.user("ada@example.com")
    page = f"/t/acme/admin/ledger/{idp.last().pk}/"
    (line,) = saved(admin, idp)
    assert json.dumps(line, ensure_ascii=False).replace('"', "&quot;") in admin.get(page).content.decode()
    answer = admin.get(f"{page}transcript.jsonl")
    assert json.loads(answer.content) == line
    assert answer.headers["Content-Disposition"] == f'attachment; filename="{line["id"]}.jsonl"'


def test_who_reads_the_ledger_saves_it_and_nobody_else(
    client: Client, idp: Idp, make_tenant: Callable[..., Tenant]
) -> None:
    idp.user("ada@example.com")
    paths = [f"systems/{idp.system.pk}/transcript.jsonl", f"ledger/{idp.last().pk}/transcript.jsonl"]

    def statuses(slug: str = "acme") -> list[int]:
        return [client.get(f"/t/{slug}/admin/{path}").status_code for path in paths]

    enter(client, a_person("audra", RoleName.AUDITOR, tenant=idp.tenant))
    assert statuses() == [200, 200]
    enter(client, a_person("a.ruiz", RoleName.OWNER, tenant=idp.tenant))
    assert statuses() == [403, 403]
    enter(client, a_person("k.osei", RoleName.ADMINISTRATOR, tenant=make_tenant("globex")))
    assert statuses() == [404, 404]
    assert statuses("globex") == [404, 404]
