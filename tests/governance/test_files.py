"""Where files are sent: every answer by its status, and a stranger learns and writes nothing."""

from __future__ import annotations

import datetime as dt
import hashlib
import os
from io import StringIO
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from django.core.management import CommandError, call_command
from django.test import Client

from accounts.models import RoleName, SystemKind
from audit.models import JournalEntry
from audit.scope import scope
from provisioning import connections, systems
from provisioning.connectors.file_rows import Form
from provisioning.connectors.files import Claim
from provisioning.models.connection import Connection, Connector, RefusedToken
from provisioning.models.upload import Upload
from tests.conftest import a_cause
from tests.factories.governance import now, staff

if TYPE_CHECKING:
    from pathlib import Path

    from django.http import HttpResponse

    from accounts.models import Tenant

pytestmark = [pytest.mark.face, pytest.mark.django_db]

SECRET = "0123456789abcdef0123456789abcdef"
DATA = b"id,userName,active\n1,canary,true\n2,ada,false\n"


@pytest.fixture
def badges(tenant: Tenant) -> Connection:
    with scope(tenant=tenant.pk, cause=a_cause()):
        made = systems.make_system(
            tenant_id=tenant.pk, name="Badges", kind=SystemKind.APPLICATION, made_by=None, at=now()
        )
        return connections.connect(
            system=made, connector=Connector.FILE, secret=SECRET, canary_user_name="canary", at=now()
        )


def put(badges: Connection, data: bytes = DATA, *, slug: str = "acme", **other: str) -> HttpResponse:
    """A file that is sent as it should be, with some headers otherwise; an empty one is left out."""
    made = (now() - dt.timedelta(minutes=1)).replace(microsecond=0)
    claim = Claim(system=badges.system_id, form=Form.CSV, rows=2, made_at=made, digest=hashlib.sha256(data).hexdigest())
    headers = {
        "Content-Type": "text/csv; charset=utf-8", "Rollcall-Rows": "2", "Rollcall-Made-At": made.isoformat(),
        "Rollcall-Digest": claim.digest, "Rollcall-Signature": claim.signature(SECRET),
    } | {name.replace("_", "-"): value for name, value in other.items()}  # fmt: skip
    kind = headers.pop("Content-Type")
    # Without a session, and with the checks that a browser's forms meet.
    client = Client(enforce_csrf_checks=True)
    return client.put(
        f"/files/v1/{slug}/{badges.system_id}",
        data=data,
        content_type=kind,
        headers={name: value for name, value in headers.items() if value},
    )


def answered(answer: HttpResponse) -> tuple[int, str]:
    return answer.status_code, answer.json().get("detail", "")  # type: ignore[attr-defined]


def taken(tenant: Tenant) -> int:
    with scope(tenant=tenant.pk):
        return Upload.objects.count()


def test_a_signed_file_is_taken_without_a_session_and_journalled(tenant: Tenant, badges: Connection) -> None:
    answer = put(badges)
    assert answer.status_code == 201
    body = answer.json()  # type: ignore[attr-defined]
    assert (body["rows"], body["users"], body["groups"]) == (2, 2, 0)
    with scope(tenant=tenant.pk):
        assert str(Upload.objects.get().pk) == body["id"]
        assert JournalEntry.objects.filter(event="file.taken").count() == 1


@pytest.mark.parametrize(
    ("other", "status", "words"),
    [
        ({"Content_Type": "application/pdf"}, 415, "The Content-Type of a file is one of: text/csv"),
        ({"Rollcall_Rows": ""}, 400, "Rollcall-Rows is how many rows"),
        ({"Rollcall_Rows": "-1"}, 400, "Rollcall-Rows is how many rows"),
        ({"Rollcall_Rows": "²"}, 400, "Rollcall-Rows is how many rows"),
        ({"Rollcall_Digest": "abc"}, 400, "Rollcall-Digest is the SHA-256"),
        ({"Rollcall_Made_At": "yesterday"}, 400, "Rollcall-Made-At is when"),
        ({"Rollcall_Made_At": "2026-11-30T03:00:00"}, 400, "Rollcall-Made-At is when"),
        ({"Rollcall_Made_At": "9999-12-31T23:59:59-14:00"}, 400, "Rollcall-Made-At is when"),
        ({"Rollcall_Made_At": "2026-13-30T03:00:00Z"}, 400, "Rollcall-Made-At is when"),
        ({"Rollcall_Signature": ""}, 401, "the signature is not that of its secret"),
        ({"Rollcall_Signature": "0" * 64}, 401, "the signature is not that of its secret"),
        ({"Rollcall_Rows": "3"}, 401, "the signature is not that of its secret"),
    ],
)
def test_what_is_said_wrong_is_answered_by_its_status(
    tenant: Tenant, badges: Connection, other: dict[str, str], status: int, words: str
) -> None:
    code, detail = answered(put(badges, **other))
    assert code == status
    assert words in detail
    assert taken(tenant) == 0


def test_a_stranger_hears_one_sentence_whatever_is_there_and_leaves_a_row_in_the_ring(
    tenant: Tenant, badges: Connection
) -> None:
    def ring() -> list[tuple[str, str]]:
        with scope():
            return list(RefusedToken.objects.order_by("id").values_list("because", "method"))

    nowhere = Connection(system_id=uuid4())
    heard = {
        answered(put(badges, Rollcall_Signature="0" * 64)),
        answered(put(badges, slug="nobody")),
        answered(put(nowhere)),
    }
    assert len(heard) == 1
    assert ring() == [("a file that is not signed", "PUT")] * 3
    assert SECRET not in str(heard)


def test_refusals_of_what_was_signed_have_statuses_of_their_own(
    tenant: Tenant, badges: Connection, settings: Any
) -> None:
    assert answered(put(badges, b"id,userName,active\n1,canary,true\n")) == (
        422, "The file has 1 rows, and 2 were signed: a part of it is missing.",
    )  # fmt: skip
    assert put(badges).status_code == 201
    again = put(badges)
    assert again.status_code in {409, 429}
    settings.ROLLCALL_FILE_MAX_BYTES = 10
    assert answered(put(badges)) == (413, "A file has at most 10 bytes.")
    assert taken(tenant) == 1


def test_a_file_is_sent_with_put_alone(badges: Connection) -> None:
    answer = Client().get(f"/files/v1/acme/{badges.system_id}")
    assert (answer.status_code, answer.headers["Allow"]) == (405, "PUT")


def test_a_paused_system_takes_nothing(tenant: Tenant, badges: Connection) -> None:
    with scope(tenant=tenant.pk, cause=a_cause()):
        connections.pause(connection=badges, reason="x", at=now())
    assert put(badges).status_code == 401
    assert taken(tenant) == 0


def test_whoever_asks_too_fast_is_held_back(badges: Connection, settings: Any) -> None:
    settings.ROLLCALL_SCIM_PACE = 1
    assert 429 in {put(badges, Rollcall_Rows="").status_code for _ in range(30)}


# -- by hand


def by_hand(path: Path, **more: Any) -> str:
    out = StringIO()
    said = {"tenant": "acme", "by": "l.chen", "reason": "CHG-9", "rows": 2} | more
    call_command("upload_file", said.pop("system", "badges"), str(path), stdout=out, **said)
    return out.getvalue()


@pytest.fixture
def file(tmp_path: Path, tenant: Tenant) -> Path:
    with scope(tenant=tenant.pk, cause=a_cause()):
        staff(tenant, "l.chen", RoleName.SECURITY, at=now())
    made = tmp_path / "badges.csv"
    made.write_bytes(DATA)
    return made


def test_an_operator_gives_a_file_by_hand_as_old_as_it_is(tenant: Tenant, badges: Connection, file: Path) -> None:
    at = int(now().timestamp()) - 600
    os.utime(file, (at, at))
    assert by_hand(file).startswith("Taken: 2 users and 0 groups, made ")
    with scope(tenant=tenant.pk):
        assert Upload.objects.get().made_at.timestamp() == at
        assert JournalEntry.objects.get(event="file.taken").sentence.startswith("l.chen: Badges: a file of 2 rows")


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"system": "elsewhere"}, "there is no system 'elsewhere' in this tenant"),
        ({"reason": " "}, "say with --reason why it is given by hand"),
        ({"by": "nobody"}, "nobody signs in as 'nobody'"),
        ({"rows": 3}, "The file has 2 rows, and 3 were signed"),
        ({"made_at": "yesterday"}, "'yesterday' is no instant with a zone"),
        ({"made_at": "2999-01-01T00:00Z"}, "made in the future"),
    ],
)
def test_a_file_that_can_not_be_given_by_hand_says_why(
    tenant: Tenant, badges: Connection, file: Path, more: dict[str, Any], words: str
) -> None:
    with pytest.raises(CommandError, match=words):
        by_hand(file, **more)
    assert taken(tenant) == 0


def test_a_path_that_is_no_such_file_says_so(badges: Connection, file: Path) -> None:
    with pytest.raises(CommandError, match=r"ends in none of: .csv, .ndjson, .jsonl"):
        by_hand(file.with_suffix(".xls"))
    with pytest.raises(CommandError, match="can't be read: No such file"):
        by_hand(file.with_name("other.csv"))
