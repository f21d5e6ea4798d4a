"""The identity provider's side: provisions Rollcall over SCIM from what the directories hold.

May be repeated at any time and after any crash: what was provisioned once is neither changed nor doubled.
"""

import dataclasses
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from demo.client import Client, Endpoint, ScimError
from demo.documents import provisioned, waves
from demo.files import read_object, write_json
from demo.fill import fill
from demo.nouns import Company, DirectorySpec
from demo.work import THREADS, Counter, Progress, each

# Both halves of the provider's side are called from here.
__all__ = ["IdMap", "WantedOwner", "directory_endpoints", "fill", "push", "wanted_owners"]

_SAVE_EVERY = 25  # resources; what a crash loses is found again by its externalId


@dataclasses.dataclass(frozen=True)
class WantedOwner:
    """Who should own a machine. `is_offered`: the offer went with the machine, over SCIM; the others are the caller's."""

    system: str
    machine: str
    owner_system: str
    owner: str
    is_offered: bool
    leaves: bool


def directory_endpoints(*, company: Company, origin: str, tokens: Mapping[str, str]) -> dict[str, Endpoint]:
    """Where each directory is, by slug; `origin` is that of the process, such as http://127.0.0.1:8090."""
    return {
        one.slug: Endpoint(slug=one.slug, base_url=origin.rstrip("/") + one.base_path, token=tokens[one.slug])
        for one in company.directories
    }


def wanted_owners(company: Company) -> tuple[WantedOwner, ...]:
    """Who should own which machine; machines that nobody owns are not listed."""
    wanted = []
    for directory in company.directories:
        here = {person.key for person in directory.people}
        for machine in directory.machines:
            if machine.owner is None:
                continue
            owner = company.person(machine.owner)
            is_here = owner.key in here
            wanted.append(
                WantedOwner(
                    system=directory.slug,
                    machine=machine.user_name,
                    owner_system=directory.slug if is_here else "workforce",
                    owner=owner.user_name,
                    is_offered=is_here,
                    leaves=owner.leaves,
                )
            )
    return tuple(wanted)


class IdMap:
    """Rollcall's ids by the directory's, in DIR/<slug>-map.json. May be used from several threads."""

    def __init__(self, *, data: Path, slug: str) -> None:
        self._path = data / f"{slug}-map.json"
        self._lock = threading.Lock()
        self._unsaved = 0
        kept = read_object(self._path) or {}
        self.ids: dict[str, str] = dict(kept.get("ids", {}))
        self.is_complete = kept.get("complete") is True

    def add(self, directory_id: str, target_id: str) -> None:
        """Remember one; written now and then."""
        with self._lock:
            self.ids[directory_id] = target_id
            self._unsaved += 1
            if self._unsaved >= _SAVE_EVERY:
                self._write()

    def save(self, *, complete: bool) -> None:
        """Write it now; `complete`: everything of the directory is in it."""
        with self._lock:
            self.is_complete = complete
            self._write()

    def forget(self) -> None:
        """Start from nothing: the ids are those of another installation."""
        with self._lock:
            self.ids, self.is_complete = {}, False

    def _write(self) -> None:
        write_json(self._path, {"ids": self.ids, "complete": self.is_complete})
        self._unsaved = 0


def push(
    *,
    company: Company,
    directories: Mapping[str, Endpoint],
    targets: Mapping[str, Endpoint],
    data: Path,
    progress: Progress = print,
) -> tuple[WantedOwner, ...]:
    """Provision every target from its directory: people, then machines, then groups.

    `targets` are Rollcall's SCIM base URL with the token of each system, by slug. Returns who should own which machine.
    A ScimError quotes the answer that was not as it should be; calling again goes on from there.
    """
    for directory in company.directories:
        with (
            Client(directories[directory.slug]) as source,
            Client(targets[directory.slug], connections=THREADS) as target,
        ):
            _Push(directory=directory, source=source, target=target, data=data, progress=progress).run()
    return wanted_owners(company)


class _Push:
    """One directory towards one target."""

    def __init__(
        self, *, directory: DirectorySpec, source: Client, target: Client, data: Path, progress: Progress
    ) -> None:
        self._name = directory.name
        self._source, self._target, self._progress = source, target, progress
        self._map = IdMap(data=data, slug=directory.slug)

    def run(self) -> None:
        if self._is_stale():
            self._map.forget()
        if self._map.is_complete:
            self._progress(f"{self._name}: provisioned already")
            return
        try:
            self._provision("Users", "accounts", "userName")
            self._provision("Groups", "groups", "displayName")
        finally:
            self._map.save(complete=False)
        self._map.save(complete=True)

    def _is_stale(self) -> bool:
        """Whether the target was set up anew since: it holds nobody. One account that is gone there proves nothing."""
        return bool(self._map.ids) and self._target.count("Users") == 0

    def _provision(self, path: str, noun: str, name: str) -> None:
        resources = list(self._source.all(path))
        counter = Counter(label=self._name, noun=noun, total=len(resources), progress=self._progress)
        # A target that holds nothing yet needs no search before each write.
        search_first = self._target.count(path) > 0

        missing = [resource for resource in resources if resource["id"] not in self._map.ids]
        counter.add(len(resources) - len(missing))

        def send(resource: dict[str, Any]) -> None:
            found = self._find(path, name, resource) if search_first else None
            self._map.add(resource["id"], str((found or self._create(path, name, resource))["id"]))
            counter.add()

        for wave in waves(missing, known=self._map.ids):
            each(send, wave)

    def _find(self, path: str, name: str, resource: dict[str, Any]) -> dict[str, Any] | None:
        return self._target.find(path, "externalId", resource["id"]) or self._target.find(path, name, resource[name])

    def _create(self, path: str, name: str, resource: dict[str, Any]) -> dict[str, Any]:
        try:
            return self._target.create(path, provisioned(resource, ids=self._map.ids))
        except ScimError as failure:
            # A repeat of a request whose answer was lost: the first one has been carried out.
            found = self._find(path, name, resource) if failure.is_conflict else None
            if found is None:
                raise
            return found
