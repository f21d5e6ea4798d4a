"""The witness takes whole lines at its end, and what is torn or foreign in it says nothing."""

from __future__ import annotations

import json
import os

import pytest

from audit import witness
from audit.witness import Line, NoWitness

pytestmark = pytest.mark.unit


def line(number: int, tenant: str | None = "t") -> Line:
    return Line(tenant, number, json.dumps({"tenant": tenant, "number": number}), b"signed")


def test_lines_are_added_at_the_end_and_read_back_by_their_tenant(tmp_path):
    path = tmp_path / "witness"
    witness.append(path, [line(1), line(1, None)])
    witness.append(path, [line(2)])
    assert list(witness.read(path, tenant="t")) == [line(1), line(2)]
    assert list(witness.read(path, tenant=None)) == [line(1, None)]
    assert path.read_bytes().count(b"\n") == 3


def test_a_torn_line_is_passed_over_and_the_next_one_stands_by_itself(tmp_path):
    path = tmp_path / "witness"
    witness.append(path, [line(1)])
    path.write_bytes(path.read_bytes()[:-9])
    witness.append(path, [line(1), line(2)])
    assert list(witness.read(path, tenant="t")) == [line(1), line(2)]


@pytest.mark.parametrize(
    "raw", ["", "1", "[]", "{}", '{"statement": "1", "signature": ""}', '{"statement": "{}", "signature": ""}', "\xff"]
)
def test_what_is_no_line_of_ours_says_nothing(tmp_path, raw):
    path = tmp_path / "witness"
    path.write_bytes(raw.encode("latin-1") + b"\n")
    witness.append(path, [line(1)])
    assert list(witness.read(path, tenant="t")) == [line(1)]


def test_what_was_written_in_part_is_an_error_and_is_mended_by_the_repeat(tmp_path, monkeypatch):
    path = tmp_path / "witness"
    whole = os.write
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", lambda descriptor, text: whole(descriptor, text[:20]))
        with pytest.raises(NoWitness, match="took only a part"):
            witness.append(path, [line(1)])
    witness.append(path, [line(1)])
    assert list(witness.read(path, tenant="t")) == [line(1)]


def test_a_place_that_is_no_file_is_an_error(tmp_path):
    with pytest.raises(NoWitness, match="can't be written: Is a directory"):
        witness.append(tmp_path, [line(1)])
    with pytest.raises(NoWitness, match="can't be read: No such file"):
        list(witness.read(tmp_path / "nowhere", tenant="t"))
