"""The contents of one demo directory, kept on a file: what the directory answered once, it still holds after a crash.

The file is a log in NDJSON: a first line that says what it is, then one line for each write, flushed to the disk before
the request is answered. Loading replays it. A last line without its end is a write that was never answered, and is
dropped; damage anywhere else stops the start.
"""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

from scim2_models import Resource, ResourceType, ScimProvider
from scim2_server.memory import InMemoryStorage

from demo.files import BadFileError, write_text

_FORMAT = "halyard-directory-1"
# A log is rewritten at the start when it holds more than this many lines for each living resource.
_SLACK = 2

Key = tuple[str, str]


class StorageError(Exception):
    """A write did not reach the file. Memory and file may differ, so nothing more is served until a restart."""


class FileStorage(InMemoryStorage):
    """scim2-server's own storage, with every write also on a file, under the same ids, dates and versions.

    The order of a listing is that of the base class: by id, which never changes, so pages are stable.
    """

    def __init__(self, path: Path, provider: ScimProvider) -> None:
        super().__init__()
        self._path = path
        self._provider = provider
        self._failed = False
        self._last_version = 0
        documents = self._replay()
        with provider:
            self.resources = [self._model_of(document).model_validate(document) for document in documents.values()]
        self._log = path.open("ab")

    def next_version(self) -> str:
        """The next version; the counter goes on where the file ended, so no version comes twice."""
        self._last_version += 1
        return f'W/"{self._last_version}"'

    def create(self, resource_type: ResourceType, resource: Resource[Any]) -> Resource[Any]:
        with self.lock:
            self._refuse_after_failure()
            created = super().create(resource_type, resource)
            self._append({"put": created.model_dump()})
            return created

    def update(
        self, resource_type: ResourceType, resource: Resource[Any], *, expected_version: str | None = None
    ) -> Resource[Any]:
        with self.lock:
            self._refuse_after_failure()
            updated = super().update(resource_type, resource, expected_version=expected_version)
            self._append({"put": updated.model_dump()})
            return updated

    def delete(self, resource_type: ResourceType, resource_id: str, *, expected_version: str | None = None) -> None:
        with self.lock:
            self._refuse_after_failure()
            super().delete(resource_type, resource_id, expected_version=expected_version)
            self._append({"drop": [resource_type.name, resource_id]})

    def close(self) -> None:
        """Let go of the file."""
        with self.lock:
            self._log.close()

    def _refuse_after_failure(self) -> None:
        if self._failed:
            raise StorageError(f"{self._path} could not be written; restart the directory")

    def _append(self, record: dict[str, Any]) -> None:
        line = json.dumps(record, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"
        try:
            self._log.write(line)
            self._log.flush()
            os.fsync(self._log.fileno())
        except OSError as error:
            self._failed = True
            raise StorageError(f"{self._path} could not be written ({error}); restart the directory") from error

    # -- Loading -----------------------------------------------------------------------------------------------------

    def _replay(self) -> dict[Key, dict[str, Any]]:
        documents: dict[Key, dict[str, Any]] = {}
        lines = 0
        for record in self._records():
            lines += 1
            if "put" in record:
                document = record["put"]
                documents[document["meta"]["resourceType"], document["id"]] = document
                self._last_version = max(self._last_version, _number(document["meta"]["version"]))
            else:
                name, resource_id = record["drop"]
                documents.pop((name, resource_id), None)
        if lines == 0 or lines > _SLACK * len(documents) + 100:
            self._rewrite(documents)
        return documents

    def _records(self) -> Iterator[dict[str, Any]]:
        if not self._path.exists():
            return
        content = self._path.read_bytes()
        whole = content.rfind(b"\n") + 1
        if whole < len(content):
            # The write of this line was cut off, so its request was never answered: the sender knows nothing of it.
            with self._path.open("r+b") as file:
                file.truncate(whole)
                os.fsync(file.fileno())
        for number, line in enumerate(content[:whole].splitlines(), start=1):
            record = self._record(number, line)
            if number == 1:
                if record.get("format") != _FORMAT:
                    raise BadFileError(f"{self._path} is not a {_FORMAT} file; move it away, then start again")
                self._last_version = int(record["last_version"])
            else:
                yield record

    def _record(self, number: int, line: bytes) -> dict[str, Any]:
        try:
            record = json.loads(line)
        except ValueError as error:
            raise BadFileError(f"{self._path} is damaged in line {number}; move it away, then start again") from error
        if not isinstance(record, dict) or not record.keys() & {"format", "put", "drop"}:
            raise BadFileError(f"{self._path} has an unknown line {number}; move it away, then start again")
        return record

    def _rewrite(self, documents: dict[Key, dict[str, Any]]) -> None:
        """The same contents in as few lines as possible. Versions of what was dropped stay used."""
        records: list[dict[str, Any]] = [{"format": _FORMAT, "last_version": self._last_version}]
        records += [{"put": document} for document in documents.values()]
        write_text(self._path, "".join(json.dumps(one, ensure_ascii=False) + "\n" for one in records))

    def _model_of(self, document: dict[str, Any]) -> type[Resource[Any]]:
        name = document["meta"]["resourceType"]
        for resource_type in self._provider.resource_types:
            if resource_type.name == name:
                return cast("type[Resource[Any]]", self._provider.model_for(resource_type))
        raise BadFileError(
            f"{self._path} holds a {name}, which this directory does not serve; move it away, then start again"
        )


def _number(version: str) -> int:
    return int(version.removeprefix('W/"').removesuffix('"'))
