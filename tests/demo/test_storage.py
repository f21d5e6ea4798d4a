"""The file behind a directory: what was answered once is there again, to the microsecond."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from scim2_models import NotFoundException, UniquenessException

from demo.directory import provider
from demo.files import BadFileError
from demo.storage import FileStorage, StorageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from scim2_models import ScimProvider

pytestmark = pytest.mark.unit

NHI = "urn:rollcall:scim:schemas:extension:nhi:1.0:User"


@pytest.fixture(scope="module")
def described() -> ScimProvider:
    return provider(page_limit=200)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "people.ndjson"


@pytest.fixture
def opened(path: Path, described: ScimProvider) -> Iterator[Callable[[], FileStorage]]:
    """Open the file, as often as a test likes."""
    storages: list[FileStorage] = []

    def start() -> FileStorage:
        storages.append(FileStorage(path, described))
        return storages[-1]

    with described:
        yield start
    for storage in storages:
        storage.close()


def create(storage: FileStorage, described: ScimProvider, user_name: str) -> Any:
    user_type = next(one for one in described.resource_types if one.name == "User")
    document = {
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User", NHI],
        "userName": user_name,
        "active": True,
        NHI: {"kind": "service", "expiresAt": "2027-01-02T03:04:05Z", "owners": [{"value": "x", "type": "primary"}]},
    }
    model: Any = described.model_for(user_type)
    return storage.create(user_type, model.model_validate(document))


def contents(storage: FileStorage) -> list[dict[str, Any]]:
    return sorted((one.model_dump() for one in storage.resources), key=lambda one: str(one["id"]))


def change(storage: FileStorage, described: ScimProvider, resource: Any, *, active: bool) -> Any:
    user_type = next(one for one in described.resource_types if one.name == "User")
    changed = resource.model_copy(deep=True)
    changed.active = active
    return storage.update(user_type, changed)


def test_everything_is_there_again_after_a_restart(opened: Any, described: ScimProvider) -> None:
    storage = opened()
    kept = create(storage, described, "svc-a")
    gone = create(storage, described, "svc-b")
    changed = change(storage, described, create(storage, described, "svc-c"), active=False)
    storage.delete(next(one for one in described.resource_types if one.name == "User"), gone.id)
    again = opened()
    assert contents(again) == contents(storage)
    assert {one.id for one in again.resources} == {kept.id, changed.id}
    loaded = next(one for one in again.resources if one.id == changed.id)
    assert loaded.meta == changed.meta
    assert loaded.meta.last_modified > loaded.meta.created


def test_versions_go_on_after_a_restart_even_past_a_resource_that_is_gone(opened: Any, described: ScimProvider) -> None:
    storage = opened()
    user_type = next(one for one in described.resource_types if one.name == "User")
    last = create(storage, described, "svc-a")
    storage.delete(user_type, last.id)
    assert last.meta.version == 'W/"1"'
    assert create(opened(), described, "svc-b").meta.version == 'W/"2"'


def test_a_torn_last_line_is_dropped_and_the_next_write_is_whole(
    opened: Any, described: ScimProvider, path: Path
) -> None:
    storage = opened()
    first = create(storage, described, "svc-a")
    create(storage, described, "svc-b")
    path.write_bytes(path.read_bytes()[:-20])
    again = opened()
    assert [one.id for one in again.resources] == [first.id]
    second = create(again, described, "svc-b")
    assert {one.id for one in opened().resources} == {first.id, second.id}


def test_a_user_name_stays_taken_after_a_restart(opened: Any, described: ScimProvider) -> None:
    create(opened(), described, "svc-a")
    with pytest.raises(UniquenessException):
        create(opened(), described, "SVC-A")


def test_damage_in_the_middle_stops_the_start_and_names_the_line(
    opened: Any, described: ScimProvider, path: Path
) -> None:
    storage = opened()
    create(storage, described, "svc-a")
    create(storage, described, "svc-b")
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([lines[0], lines[1][:30] + b"\n", lines[2]]))
    with pytest.raises(BadFileError, match="damaged in line 2"):
        opened()


@pytest.mark.parametrize("content", ['{"put": {}}\n', '{"format": "other"}\n', '{"what": 1}\n', "[]\n"])
def test_another_kind_of_file_is_refused_and_kept(opened: Any, path: Path, content: str) -> None:
    path.write_text(content)
    with pytest.raises(BadFileError, match="move it away"):
        opened()
    assert path.read_text() == content


def test_a_long_log_is_shortened_without_changing_its_contents(
    opened: Any, described: ScimProvider, path: Path
) -> None:
    storage = opened()
    resource = create(storage, described, "svc-a")
    for turn in range(110):
        resource = change(storage, described, resource, active=turn % 2 == 0)
    before = contents(storage)
    assert len(path.read_bytes().splitlines()) == 112
    assert contents(opened()) == before
    assert len(path.read_bytes().splitlines()) == 2
    assert contents(opened()) == before
    assert change(opened(), described, resource, active=True).meta.version == 'W/"112"'


def test_after_a_write_that_failed_nothing_more_is_written(
    opened: Any, described: ScimProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = opened()
    create(storage, described, "svc-a")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("demo.storage.os.fsync", full)
        with pytest.raises(StorageError, match="No space left"):
            create(storage, described, "svc-b")
    with pytest.raises(StorageError, match="restart the directory"):
        create(storage, described, "svc-c")


def test_an_id_that_is_gone_is_not_found(opened: Any, described: ScimProvider) -> None:
    storage = opened()
    user_type = next(one for one in described.resource_types if one.name == "User")
    gone = create(storage, described, "svc-a")
    storage.delete(user_type, gone.id)
    with pytest.raises(NotFoundException):
        opened().get(user_type, gone.id)
