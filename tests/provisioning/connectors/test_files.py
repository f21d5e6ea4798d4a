"""A system that sends files keeps what every connector must; and what is said of a file is signed."""

from __future__ import annotations

import datetime as dt
import hashlib
import io
import json
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest

from accounts.models import SystemKind
from audit.scope import scope
from provisioning import connections, systems, uploads
from provisioning.connectors.contract import Absent, Found, Page, Unknown, Unreadable
from provisioning.connectors.file_rows import Form
from provisioning.connectors.files import Claim, FileReader
from provisioning.connectors.readings import BadAnswer
from provisioning.models.connection import Connection, Connector
from provisioning.models.upload import Upload, UploadPiece
from provisioning.shelves import Shelf
from tests.conftest import AT, a_cause
from tests.provisioning.connectors.kit import ReaderContract, SystemUnderTest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from accounts.models import Tenant

pytestmark = pytest.mark.django_db

SECRET = "0123456789abcdef0123456789abcdef-signs"
USER = "urn:ietf:params:scim:schemas:core:2.0:User"
GROUP = "urn:ietf:params:scim:schemas:core:2.0:Group"


class FileSystem(SystemUnderTest):
    """Rows that are sent anew, as a file, before each reading."""

    secret = SECRET

    def __init__(self, tenant: Tenant, form: Form) -> None:
        self.tenant, self.form, self.has_groups = tenant, form, form is Form.NDJSON
        self.users: dict[str, dict[str, Any]] = {}
        self.groups: dict[str, dict[str, Any]] = {}
        self.sent_at = AT
        self.last: bytes | None = None
        self.pieces: int | None = None
        with scope(tenant=tenant.pk, cause=a_cause()):
            made = systems.make_system(
                tenant_id=tenant.pk, name="Badges", kind=SystemKind.APPLICATION, made_by=None, at=AT
            )
            self.connection: Connection = connections.connect(
                system=made, connector=Connector.FILE, secret=SECRET, canary_user_name="canary", at=AT
            )

    def file(self) -> tuple[bytes, int]:
        if self.form is Form.NDJSON:
            lines = [json.dumps(one) for one in [*self.groups.values(), *self.users.values()]]
            return "".join(f"{line}\n" for line in lines).encode(), len(lines)
        columns = ("id", "userName", "active")
        lines = [
            ",".join(columns),
            *(
                ",".join(str(one[c]).lower() if c == "active" else str(one[c]) for c in columns)
                for one in self.users.values()
            ),
        ]
        return "\n".join(lines).encode(), len(lines) - 1

    def send(self) -> Upload | None:
        data, count = self.file()
        if data == self.last:
            return None
        self.last = data
        self.sent_at += dt.timedelta(minutes=1)
        return sent(self.connection, data, rows=count, form=self.form, made_at=self.sent_at, at=self.sent_at)

    @contextmanager
    def reader(self) -> Iterator[FileReader]:
        self.send()
        if self.pieces is not None:
            with scope(tenant=self.tenant.pk, cause=a_cause()):
                UploadPiece.objects.filter(number__gte=self.pieces).delete()
        yield FileReader(Shelf(self.connection))

    def user(self, name: str, *, active: bool = True) -> str:
        one = f"id-of-{len(self.users)}"
        self.users[one] = {"schemas": [USER], "id": one, "userName": name, "active": active}
        return one

    def group(self, name: str, *members: str) -> str:
        one = f"group-{len(self.groups)}"
        listed = [{"value": member} for member in members]
        self.groups[one] = {"schemas": [GROUP], "id": one, "displayName": name, "members": listed}
        return one

    def delete(self, remote_id: str) -> None:
        del self.users[remote_id]

    def spoil(self, remote_id: str) -> None:
        self.users[remote_id]["active"] = "perhaps"

    def fail_after(self, pages: int) -> None:
        self.pieces = pages


def sent(connection: Connection, data: bytes, *, rows: int, at: dt.datetime, **more: Any) -> Upload:
    """A file that is signed as it should be, unless something else is said."""
    said = {"form": Form.CSV, "made_at": at, "digest": hashlib.sha256(data).hexdigest()} | more
    signature = said.pop("signature", "")
    claim = Claim(system=connection.system_id, rows=rows, **said)
    return uploads.receive(
        connection=connection, claim=claim, signature=signature or claim.signature(SECRET), source=io.BytesIO(data),
        cause=a_cause, at=at,
    )  # fmt: skip


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a few rows are several pieces."""
    monkeypatch.setattr(uploads, "PIECE_ROWS", 3)


class TestCsvFiles(ReaderContract):
    """They keep what every connector must."""

    @pytest.fixture
    def system(self, tenant: Tenant) -> FileSystem:
        return FileSystem(tenant, Form.CSV)


class TestNdjsonFiles(ReaderContract):
    """They keep what every connector must."""

    @pytest.fixture
    def system(self, tenant: Tenant) -> FileSystem:
        return FileSystem(tenant, Form.NDJSON)


@pytest.fixture
def badges(tenant: Tenant) -> FileSystem:
    return FileSystem(tenant, Form.NDJSON)


def test_pages_smaller_and_larger_than_pieces_show_each_row_once(badges: FileSystem) -> None:
    made = [badges.user(f"person-{n}") for n in range(7)]
    with badges.reader() as reader:
        for count in (1, 2, 3, 100):
            found: list[str] = []
            position: str | None = ""
            while position is not None:
                page = reader.page("User", position=position, count=count)
                assert isinstance(page, Page)
                assert (page.total, page.as_of) == (7, badges.sent_at)
                found += [one["id"] for one in page.resources]
                position = page.position
            assert found == made


def test_a_newer_file_ends_the_listing_of_the_one_before(badges: FileSystem) -> None:
    for n in range(4):
        badges.user(f"person-{n}")
    with badges.reader() as reader:
        page = reader.page("User", position="", count=3)
        assert isinstance(page, Page)
        assert page.position is not None
    badges.user("one more")
    with badges.reader() as reader, pytest.raises(BadAnswer, match="A newer file came while this one was read"):
        reader.page("User", position=page.position, count=3)


def test_a_file_without_groups_says_nothing_about_them(badges: FileSystem) -> None:
    badges.user("ada")
    with badges.reader() as reader:
        assert reader.page("Group", position="", count=3) == Unreadable("The file has no groups.")
        assert reader.get("Group", "g") == Unknown("The file has no groups.")


def test_before_the_first_file_there_is_nothing_to_read(badges: FileSystem) -> None:
    with pytest.raises(BadAnswer, match="No file of it has come yet"):
        Shelf(badges.connection)


def test_an_id_that_stands_twice_is_not_guessed_between_and_is_handed_on_for_the_proofs(badges: FileSystem) -> None:
    badges.user("ada")
    badges.users["again"] = {"schemas": [USER], "id": "id-of-0", "userName": "eve", "active": True}
    with badges.reader() as reader:
        assert reader.get("User", "id-of-0") == Unknown("The file has this id more than once.")
        page = reader.page("User", position="", count=3)
        assert isinstance(page, Page)
        assert [one["id"] for one in page.resources] == ["id-of-0", "id-of-0"]


def test_what_lies_in_the_database_shows_no_name_and_opens_under_its_key_alone(
    badges: FileSystem, settings: Any
) -> None:
    badges.user("Ada-Lovelace")
    with badges.reader() as reader:
        assert isinstance(reader.get("User", "id-of-0"), Found)
        assert isinstance(reader.get("User", "id-of"), Absent)
        with scope(tenant=badges.tenant.pk):
            assert "Ada" not in UploadPiece.objects.get().body
        settings.ROLLCALL_FIELD_KEYS = [
            "jXOwA40k-f4ciomsQKAAHfrmGnW6rj7VtBgeSJlUd6U="[::-1].replace("=", "A")[:43] + "="
        ]
        answer = reader.get("User", "id-of-0")
        assert isinstance(answer, Unknown)
        assert "can't be decrypted" in answer.reason


CLAIM = Claim(
    system=UUID("0198c2a0-0000-7000-8000-000000000001"), form=Form.CSV, rows=2, digest="ab" * 32,
    made_at=dt.datetime(2026, 11, 30, 4, 0, tzinfo=dt.timezone(dt.timedelta(hours=1))),
)  # fmt: skip


def test_what_is_signed_is_six_lines_with_the_instant_in_utc() -> None:
    assert CLAIM.signed_text() == (
        "rollcall-file-1\n0198c2a0-0000-7000-8000-000000000001\ncsv\n2\n2026-11-30T03:00:00Z\n" + "ab" * 32
    )
    # openssl dgst -sha256 -hmac, of the same text and secret
    assert CLAIM.signature(SECRET) == "e9d993391926fb61554d2813edf12e6a1d4c4ba7bca710b4b84b92ee19d913fe"


@pytest.mark.parametrize(
    "other",
    [
        {"rows": 3}, {"form": Form.NDJSON}, {"digest": "ac" * 32}, {"system": UUID(int=1)},
        {"made_at": dt.datetime(2026, 11, 30, 3, 0, 1, tzinfo=dt.UTC)},
    ],
)  # fmt: skip
def test_a_signature_is_good_for_all_that_it_covers_and_for_nothing_else(other: dict[str, Any]) -> None:
    signature = CLAIM.signature(SECRET)
    assert CLAIM.is_signed_by(signature, secret=SECRET)
    assert not CLAIM.is_signed_by(signature, secret=SECRET + "x")
    assert not CLAIM.is_signed_by("", secret=SECRET)
    assert not CLAIM.is_signed_by("é", secret=SECRET)
    values = {name: getattr(CLAIM, name) for name in ("system", "form", "rows", "made_at", "digest")}
    assert not Claim(**values | other).is_signed_by(signature, secret=SECRET)
