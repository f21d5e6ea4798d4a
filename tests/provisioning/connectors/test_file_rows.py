"""What a file may look like: each way to be no such file, with the line that is wrong and no value of it."""

from __future__ import annotations

import io
import json
import tracemalloc
from typing import TYPE_CHECKING

import pytest

from provisioning.connectors import file_rows
from provisioning.connectors.file_rows import BadFile, Form, Row, rows
from provisioning.models.upload import FileForm

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.unit

HEADER = b"id,userName,active,displayName,externalId\n"
USER = "urn:ietf:params:scim:schemas:core:2.0:User"
GROUP = "urn:ietf:params:scim:schemas:core:2.0:Group"
SECRET = "Ada-Lovelace-of-London"


def of(data: bytes, form: Form = Form.CSV) -> list[Row]:
    return list(rows(io.BytesIO(data), form=form))


def document(row: Row) -> dict[str, object]:
    return dict(json.loads(row.text))


def test_both_forms_have_the_words_of_the_rows_that_keep_them() -> None:
    assert {form.value for form in Form} == set(FileForm.values)


def test_a_row_of_a_csv_file_is_a_user_and_an_empty_cell_says_nothing() -> None:
    [one] = of(HEADER + b'7,ada,true,"Lovelace, Ada",\r\n')
    assert (one.kind, one.id) == ("User", "7")
    assert document(one) == {"id": "7", "userName": "ada", "active": "true", "displayName": "Lovelace, Ada"}


def test_columns_may_stand_in_any_order_and_a_byte_order_mark_is_none_of_them() -> None:
    [one] = of("\ufeffactive,userName,id\nfalse,Grâce,8\n".encode())
    assert document(one) == {"id": "8", "userName": "Grâce", "active": "false"}


def test_a_quoted_cell_may_hold_lines_of_its_own() -> None:
    assert [document(one)["displayName"] for one in of(HEADER + b'7,ada,true,"two\nlines",\n8,grace,true,one,\n')] == [
        "two\nlines",
        "one",
    ]


def test_a_line_of_ndjson_is_a_user_or_a_group_and_no_password_is_kept() -> None:
    user = {"schemas": [USER], "id": "7", "userName": "ada", "Password": "hunter2", "title": "Countess"}
    group = {"schemas": [GROUP.upper()], "id": "g", "displayName": "web", "members": [{"value": "7"}]}
    found = of("\n".join(map(json.dumps, (user, group))).encode(), Form.NDJSON)
    assert [(one.kind, one.id) for one in found] == [("User", "7"), ("Group", "g")]
    assert document(found[0]) == {"schemas": [USER], "id": "7", "userName": "ada", "title": "Countess"}
    assert document(found[1]) == group


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "The file is empty: even without accounts it has a header."),
        (b"id,userName\n", "The header lacks active."),
        (b"id,userName,active,shoeSize\n", "Column 4 of the header is not known; there are: id, userName, active"),
        (f"7,{SECRET},true\n".encode(), "Column 1, 2, 3 of the header is not known"),
        (b"id,userName,active,id\n", "The header names a column twice."),
        (HEADER + f"7,{SECRET},true\n".encode(), "Line 2 has 3 cells, and the header has 5."),
        (HEADER + b"7,a,true,,\n\n8,b,true,,\n", "Line 3 has 0 cells, and the header has 5."),
        (HEADER + f",{SECRET},true,,\n".encode(), "Line 2 has no id that is a string."),
        (HEADER + b"x" * 401 + f",{SECRET},true,,\n".encode(), "Line 2 has an id of more than 400 characters."),
        (HEADER + f'7,"{SECRET}"x,true,,\n'.encode(), "Line 2 is not CSV"),
        (HEADER + f'7,"{SECRET}'.encode(), "Line 2 is not CSV: unexpected end of data."),
        (HEADER + b'7,"' + b"x" * 140_000 + b'",true,,\n', "Line 2 is not CSV: field larger than field limit"),
        (HEADER + b"7,\x00,true,,\n", "Line 2 has a NUL character."),
        (HEADER + b"7,\xff\xfe,true,,\n", "the file is not UTF-8."),
        ("id,userName,active\n".encode("utf-16"), "the file is not UTF-8."),
    ],
)
def test_a_csv_file_of_another_form_is_refused_and_no_value_of_it_is_named(data: bytes, words: str) -> None:
    with pytest.raises(BadFile) as caught:
        of(data)
    assert words in caught.value.reason
    assert SECRET not in caught.value.reason


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("[]", "Line 2 is not a JSON object."),
        ("{", "Line 2 is not a JSON object."),
        ('{"id": "7", "id": "8"}', "Line 2 is not a JSON object."),
        ('{"id": NaN}', "Line 2 is not a JSON object."),
        ("[" * 100_000, "Line 2 is not a JSON object."),
        ("", "Line 2 is empty."),
        (json.dumps({"id": SECRET}), "Line 2 does not say in its schemas whether it is a User or a Group."),
        (json.dumps({"id": SECRET, "schemas": "User"}), "Line 2 does not say in its schemas"),
        (json.dumps({"id": SECRET, "schemas": [USER, GROUP]}), "Line 2 does not say in its schemas"),
        (json.dumps({"id": "a", "ID": "b", "schemas": [USER]}), "Line 2 has id twice."),
        (json.dumps({"id": 7, "userName": SECRET, "schemas": [USER]}), "Line 2 has no id that is a string."),
        (json.dumps({"userName": SECRET, "schemas": [USER]}), "Line 2 has no id that is a string."),
        (f'{{"schemas": ["{USER}"], "id": "7", "x": 1e999}}', "Line 2 holds a number or a text that can't be kept."),
        (f'{{"schemas": ["{USER}"], "id": "\\ud800"}}', "Line 2 holds a number or a text that can't be kept."),
    ],
)
def test_an_ndjson_file_of_another_form_is_refused_with_its_line(line: str, words: str) -> None:
    first = json.dumps({"schemas": [USER], "id": "1", "userName": "one"})
    with pytest.raises(BadFile) as caught:
        of(f"{first}\n{line}\n".encode(), Form.NDJSON)
    assert words in caught.value.reason
    assert SECRET not in caught.value.reason


def test_a_line_without_an_end_is_refused_before_it_is_held(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_rows, "LONGEST_LINE", 1000)
    with pytest.raises(BadFile, match="Line 1 is longer than 1,000 characters"):
        of(b"x" * 5_000, Form.NDJSON)


def test_a_large_file_is_never_held_whole() -> None:
    class Endless(io.RawIOBase):
        """Four megabytes of rows that nobody keeps."""

        def __init__(self) -> None:
            self.parts: Iterator[bytes] = iter([HEADER, *[b"7,%s,true,,\n" % (b"a" * 88)] * 40_000])
            self.rest = b""

        def readable(self) -> bool:
            return True

        def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
            part = self.rest or next(self.parts, b"")
            taken = part[: len(buffer)]
            buffer[: len(taken)] = taken
            self.rest = part[len(taken) :]
            return len(taken)

    stream = Endless()
    tracemalloc.start()
    try:
        count = sum(1 for _ in rows(io.BufferedReader(stream), form=Form.CSV))
        _now, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert count == 40_000
    assert peak < 1024 * 1024
