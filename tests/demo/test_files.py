"""Small files: whole or not at all, for their owner only, told apart from nonsense."""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING

import pytest

from demo.directory import write_tokens
from demo.files import BadFileError, WatchedObject, read_object, write_json, write_text

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.unit


def test_what_was_written_is_read_and_nothing_is_left_beside(tmp_path: Path) -> None:
    path = tmp_path / "new" / "one.json"
    write_json(path, {"name": "Zoë"})
    write_json(path, {"name": "Łukasz"})
    assert read_object(path) == {"name": "Łukasz"}
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [one.name for one in path.parent.iterdir()] == ["one.json"]


def test_a_write_that_fails_leaves_the_old_content_and_nothing_beside(tmp_path: Path) -> None:
    path = tmp_path / "one.json"
    write_text(path, "{}")
    with pytest.raises(UnicodeEncodeError):
        write_text(path, "\ud800")
    assert path.read_text() == "{}"
    assert [one.name for one in tmp_path.iterdir()] == ["one.json"]


def test_no_file_is_none(tmp_path: Path) -> None:
    assert read_object(tmp_path / "none.json") is None


@pytest.mark.parametrize("content", ["{", "[]", ""])
def test_a_file_that_is_no_object_is_named(tmp_path: Path, content: str) -> None:
    path = tmp_path / "broken.json"
    path.write_text(content)
    with pytest.raises(BadFileError, match=r"broken\.json"):
        read_object(path)


def test_a_watched_file_is_read_again_when_it_changes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "watched.json"
    watched = WatchedObject(path)
    assert watched.read() == {}
    write_json(path, {"a": 1})
    assert watched.read() == {"a": 1}
    path.write_text("{ half")
    assert watched.read() == {"a": 1}
    assert "watched.json is not JSON" in capsys.readouterr().out
    path.unlink()
    assert watched.read() == {}


def test_tokens_are_random_and_kept(tmp_path: Path) -> None:
    first = write_tokens(data=tmp_path, slugs=["a", "b"])
    assert first.keys() == {"a", "b"}
    assert first["a"] != first["b"]
    assert min(len(token) for token in first.values()) >= 40
    more = write_tokens(data=tmp_path, slugs=["a", "c"])
    assert more == {**first, "c": more["c"]}
    assert read_object(tmp_path / "tokens.json") == more
