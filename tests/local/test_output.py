"""What children say reaches the terminal and the logs."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

import pytest

from local import output
from local.output import Console, LineReader, Log

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.local


def test_each_line_stands_behind_the_name_of_who_said_it(capfd: pytest.CaptureFixture[str]) -> None:
    Console().write("web", b"listening")

    assert capfd.readouterr().out == "web      | listening\n"


def test_a_quiet_console_shows_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    console = Console(quiet=True)
    console.write("web", b"listening")
    console.say("Stopped.")

    assert capfd.readouterr().out == ""


def test_a_terminal_that_went_away_stops_nobody() -> None:
    console = Console()
    kept = os.dup(1)
    reading, writing = os.pipe()
    try:
        os.dup2(writing, 1)
        os.close(writing)
        os.close(reading)
        console.write("web", b"first")
        console.write("web", b"second")
    finally:
        os.dup2(kept, 1)
        os.close(kept)


def test_lines_arrive_whole_and_the_last_one_without_its_end() -> None:
    reading, writing = os.pipe()
    reader = LineReader(reading)
    os.write(writing, b"one\r\ntw")
    assert reader.lines() == [b"one"]
    assert reader.lines() == []
    os.write(writing, b"o\nthree")
    assert reader.lines() == [b"two"]
    os.close(writing)
    assert reader.lines() == [b"three"]
    assert reader.ended
    os.close(reading)


def test_the_last_lines_are_taken_though_somebody_still_holds_the_pipe() -> None:
    reading, writing = os.pipe()
    reader = LineReader(reading)
    os.write(writing, b"one\nlast")

    assert reader.last_lines() == [b"one", b"last"]
    os.close(writing)
    os.close(reading)


def test_an_endless_line_comes_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(output, "_LONGEST_LINE", 8)
    reading, writing = os.pipe()
    reader = LineReader(reading)
    os.write(writing, b"0123456789")

    assert reader.lines() == [b"01234567"]
    os.close(writing)
    assert reader.lines() == []
    assert reader.lines() == [b"89"]
    os.close(reading)


def test_a_log_is_private_and_a_large_one_is_set_aside_at_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(output, "_LARGEST_LOG", 10)
    path = tmp_path / "web.log"
    first = Log(path)
    first.write(b"more than ten bytes")
    first.close()
    second = Log(path)
    second.write(b"new")
    second.close()

    assert path.read_bytes() == b"new\n"
    assert (tmp_path / "web.log.1").read_bytes() == b"more than ten bytes\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_small_log_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "web.log"
    for line in (b"one", b"two"):
        log = Log(path)
        log.write(line)
        log.close()

    assert path.read_bytes() == b"one\ntwo\n"
