"""Fills the demo's directories over their own SCIM. What is there already is left as it is, never doubled."""

from collections.abc import Iterator, Mapping
from typing import Any

from demo.client import Client, Endpoint
from demo.documents import group_document, machine_document, person_document
from demo.nouns import Company, DirectorySpec, Machine, Person
from demo.work import THREADS, Counter, Progress, each


def fill(*, company: Company, directories: Mapping[str, Endpoint], progress: Progress = print) -> None:
    """Put the company into its directories. A ScimError quotes the answer that was not as it should be."""
    for directory in company.directories:
        with Client(directories[directory.slug], connections=THREADS) as client:
            _fill_one(directory, client, progress)


def _fill_one(directory: DirectorySpec, client: Client, progress: Progress) -> None:
    accounts, groups = client.count("Users"), client.count("Groups")
    if accounts >= len(directory.user_names) and groups >= len(directory.groups):
        progress(f"{directory.name} (its own directory): holds {accounts} accounts already")
        return
    ids = {str(one["userName"]): str(one["id"]) for one in client.all("Users")} if accounts else {}
    present = {one["displayName"] for one in client.all("Groups")} if groups else set()
    label = f"{directory.name} (its own directory)"
    counter = Counter(label=label, noun="accounts", total=len(directory.user_names), progress=progress)
    counter.add(len(ids.keys() & set(directory.user_names)))

    def create(document: dict[str, Any]) -> None:
        ids[document["userName"]] = client.create("Users", document)["id"]
        counter.add()

    for wave in _waves(directory):
        each(create, [_document(one, directory, ids) for one in wave if one.user_name not in ids])
    for group in directory.groups:
        if group.name not in present:
            client.create("Groups", group_document(group, ids=ids))
    progress(f"{label}: {len(directory.groups)} of {len(directory.groups)} groups")


def _document(one: Person | Machine, directory: DirectorySpec, ids: Mapping[str, str]) -> dict[str, Any]:
    """References are sent to those who are in the same directory only."""
    user_names = {person.key: person.user_name for person in directory.people}
    if isinstance(one, Machine):
        owner = user_names.get(one.owner or "")
        return machine_document(one, owner_id=ids[owner] if owner else None)
    manager = user_names.get(one.manager or "") if directory.keeps_managers else None
    return person_document(one, manager_id=ids[manager] if manager else None)


def _waves(directory: DirectorySpec) -> Iterator[list[Person | Machine]]:
    """Managers before those whom they manage; machines, which have owners, last."""
    here = {person.key for person in directory.people}
    waiting, done = list(directory.people), set[str]()
    while waiting:
        wave: list[Person] = [one for one in waiting if one.manager not in here or one.manager in done]
        yield list(wave)
        done.update(one.key for one in wave)
        waiting = [one for one in waiting if one.key not in done]
    yield list(directory.machines)
