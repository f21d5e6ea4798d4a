"""A real SCIM server keeps what every connector must; and what is SCIM's own."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from provisioning.connectors.contract import Page, Unknown, Unreadable
from provisioning.connectors.egress import Client, Policy
from provisioning.connectors.readings import BadAnswer
from provisioning.connectors.scim import Directory
from provisioning.connectors.scim_reader import ScimReader
from tests.fakes.directories import TOKEN, FakeDirectory, serving
from tests.provisioning.connectors.kit import ReaderContract, SystemUnderTest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.fakes.directories import Asked

pytestmark = pytest.mark.unit


class ScimSystem(SystemUnderTest):
    """A real SCIM server by other authors."""

    secret = TOKEN

    def __init__(self, directory: FakeDirectory) -> None:
        self.directory = directory

    @contextmanager
    def reader(self) -> Iterator[ScimReader]:
        with Client(self.directory.url, policy=Policy(allow_loopback=True), token=TOKEN) as client:
            yield ScimReader(Directory(client))

    def user(self, name: str, *, active: bool = True) -> str:
        return self.directory.user(name, active=active)

    def group(self, name: str, *members: str) -> str:
        return self.directory.group(name, *members)

    def delete(self, remote_id: str) -> None:
        self.directory.delete(remote_id)

    def spoil(self, remote_id: str) -> None:
        def bend(_asked: Asked, document: dict[str, Any]) -> Any:
            for one in document.get("Resources", []):
                one["active"] = "perhaps" if one["id"] == remote_id else one["active"]
            return document

        self.directory.bend = bend

    def fail_after(self, pages: int) -> None:
        left = [pages]

        def bend(_asked: Asked, document: dict[str, Any]) -> Any:
            left[0] -= 1
            return document if left[0] >= 0 else (500, {"detail": f"the token {TOKEN} broke it"})

        self.directory.bend = bend


@pytest.fixture
def scim() -> Iterator[ScimSystem]:
    with serving() as directory:
        yield ScimSystem(directory)


class TestScimReader(ReaderContract):
    """It keeps what every connector must."""

    @pytest.fixture
    def system(self, scim: ScimSystem) -> ScimSystem:
        return scim


def test_a_position_is_the_start_index_of_the_next_page(scim: ScimSystem) -> None:
    for n in range(4):
        scim.user(f"person-{n}")
    with scim.reader() as reader:
        page = reader.page("User", position="", count=3)
        assert isinstance(page, Page)
        assert (page.position, page.total, page.as_of) == ("4", 4, None)


@pytest.mark.parametrize("position", ["0", "-1", "²", "1.5", " 1"])
def test_a_position_that_is_no_start_index_is_refused(scim: ScimSystem, position: str) -> None:
    with scim.reader() as reader, pytest.raises(BadAnswer):
        reader.page("User", position=position, count=3)


def test_a_server_without_groups_says_nothing_about_them(scim: ScimSystem) -> None:
    scim.directory.bend = lambda asked, document: (404, {}) if asked.path.endswith("/Groups") else document
    with scim.reader() as reader:
        assert isinstance(reader.page("Group", position="", count=3), Unreadable)
        with pytest.raises(BadAnswer):
            reader.page("Group", position="4", count=3)


def test_two_who_answer_to_one_name_are_not_guessed_between(scim: ScimSystem) -> None:
    scim.user("ada")

    def twice(_asked: Asked, document: dict[str, Any]) -> Any:
        [one] = document["Resources"]
        return document | {"totalResults": 2, "itemsPerPage": 2, "Resources": [one, one | {"id": "another"}]}

    scim.directory.bend = twice
    with scim.reader() as reader:
        assert reader.named("User", "ada") == Unknown("2 resources there have this name.")
