"""A crash point kills its process once, where a test armed it, and does nothing anywhere else."""

import os
import subprocess
import sys

import pytest

from audit import crashpoints

pytestmark = pytest.mark.unit

PROGRAM = """
from audit import crashpoints
BEFORE = crashpoints.point("before_commit", where="a test")
AFTER = crashpoints.point("after_commit", where="a test")
crashpoints.here(BEFORE)
print("between", flush=True)
crashpoints.here(AFTER)
print("end", flush=True)
"""


def run(**environment: str) -> tuple[int, list[str]]:
    process = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env={name: value for name, value in os.environ.items() if not name.startswith("ROLLCALL_CRASH")} | environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    return process.returncode, process.stdout.split()


def test_an_unarmed_process_lives():
    assert run() == (0, ["between", "end"])


def test_an_armed_point_dies_there_and_no_earlier():
    assert run(ROLLCALL_CRASH_AT="before_commit") == (-9, [])
    assert run(ROLLCALL_CRASH_AT="after_commit") == (-9, ["between"])


def test_with_a_mark_it_dies_once_over_all_processes(tmp_path):
    mark = tmp_path / "tripped"
    environment = {"ROLLCALL_CRASH_AT": "after_commit", "ROLLCALL_CRASH_MARK": str(mark)}
    assert run(**environment) == (-9, ["between"])
    assert mark.exists()
    assert run(**environment) == (0, ["between", "end"])


def test_a_point_is_named_once_and_says_where_it_is(monkeypatch):
    monkeypatch.setattr(crashpoints, "POINTS", {})
    assert crashpoints.point("here", where="tests") == "here"
    assert crashpoints.POINTS == {"here": "tests"}
    with pytest.raises(ValueError, match="here is named twice"):
        crashpoints.point("here", where="elsewhere")
