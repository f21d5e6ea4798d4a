"""What every connector for reading must keep, as tests: for one of your own, inherit `ReaderContract` and say how its system is changed.

    class TestOurReader(ReaderContract):
        @pytest.fixture
        def system(self) -> Iterator[SystemUnderTest]: ...

Nothing in it knows what kind of system is behind the connector.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

import pytest

from provisioning.connectors.addresses import EgressError
from provisioning.connectors.contract import Absent, Found, Page, Unknown, Unreadable
from provisioning.connectors.readings import BadAnswer, GroupReading, Reading

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from provisioning.connectors.contract import Kind, Reader

COUNT = 3


class SystemUnderTest(ABC):
    """A system that begins empty. Ids are its own; names are as its people see them."""

    secret: str
    """What authenticates the two to each other: it may stand in no error."""
    has_groups: bool = True

    @abstractmethod
    def reader(self) -> AbstractContextManager[Reader]:
        """The connector as a worker would open it, showing what the system holds by now."""

    @abstractmethod
    def user(self, name: str, *, active: bool = True) -> str:
        """Make a user, and return its id."""

    @abstractmethod
    def group(self, name: str, *members: str) -> str:
        """Make a group of these users, and return its id."""

    @abstractmethod
    def delete(self, remote_id: str) -> None:
        """Take a user out of it."""

    @abstractmethod
    def spoil(self, remote_id: str) -> None:
        """From now on it shows this user with a type that is wrong."""

    @abstractmethod
    def fail_after(self, pages: int) -> None:
        """From now on, whoever reads gets so many pages and then an answer that is an error."""


def pages(reader: Reader, kind: Kind = "User", position: str | None = "") -> list[Page]:
    """The pages from a position to the end."""
    found: list[Page] = []
    while position is not None:
        page = reader.page(kind, position=position, count=COUNT)
        assert isinstance(page, Page)
        found.append(page)
        position = page.position
    return found


def ids(found: list[Page]) -> list[str]:
    return [resource["id"] for page in found for resource in page.resources]


class ReaderContract:
    """Inherit it, with a fixture `system`."""

    def test_a_listing_is_drained_page_by_page_and_shows_each_id_once(self, system: SystemUnderTest) -> None:
        made = [system.user(f"person-{n}") for n in range(2 * COUNT + 1)]
        with system.reader() as reader:
            found = pages(reader)
        assert sorted(ids(found)) == sorted(made)
        assert all(0 < len(page.resources) <= COUNT for page in found)

    def test_a_listing_that_fills_its_last_page_ends_all_the_same(self, system: SystemUnderTest) -> None:
        made = [system.user(f"person-{n}") for n in range(2 * COUNT)]
        with system.reader() as reader:
            assert sorted(ids(pages(reader))) == sorted(made)

    def test_the_total_is_the_same_on_every_page_and_is_what_comes(self, system: SystemUnderTest) -> None:
        made = [system.user(f"person-{n}") for n in range(2 * COUNT + 1)]
        with system.reader() as reader:
            assert {page.total for page in pages(reader)} in ({len(made)}, {None})

    def test_every_page_shows_the_same_moment(self, system: SystemUnderTest) -> None:
        for n in range(2 * COUNT):
            system.user(f"person-{n}")
        with system.reader() as reader:
            assert len({page.as_of for page in pages(reader)}) == 1

    def test_a_position_is_text_and_good_for_another_reader_where_it_resumes(self, system: SystemUnderTest) -> None:
        made = [system.user(f"person-{n}") for n in range(2 * COUNT + 1)]
        with system.reader() as reader:
            first = reader.page("User", position="", count=COUNT)
            assert isinstance(first, Page)
            assert isinstance(first.position, str)
            assert first.position != ""
            if not reader.resumes:
                return
        with system.reader() as another:
            assert sorted(ids([first, *pages(another, position=first.position)])) == sorted(made)

    def test_a_listing_begins_anew_in_every_reader(self, system: SystemUnderTest) -> None:
        made = [system.user(f"person-{n}") for n in range(COUNT + 1)]
        for _ in range(2):
            with system.reader() as reader:
                assert sorted(ids(pages(reader))) == sorted(made)

    def test_a_position_of_somebody_else_is_refused_and_never_read_as_another(self, system: SystemUnderTest) -> None:
        system.user("ada")
        with system.reader() as reader, pytest.raises(BadAnswer):
            reader.page("User", position="not a position of this connector", count=COUNT)

    def test_an_error_in_the_middle_never_ends_a_listing_as_if_it_were_whole(self, system: SystemUnderTest) -> None:
        for n in range(2 * COUNT + 1):
            system.user(f"person-{n}")
        system.fail_after(1)
        with system.reader() as reader:
            first = reader.page("User", position="", count=COUNT)
            assert isinstance(first, Page)
            assert first.position is not None
            with pytest.raises(EgressError):
                reader.page("User", position=first.position, count=COUNT)

    def test_an_error_at_the_beginning_is_an_error(self, system: SystemUnderTest) -> None:
        system.user("ada")
        system.fail_after(0)
        # A system that can't be reached at all may say so already when it is opened.
        with pytest.raises(EgressError), system.reader() as reader:
            reader.page("User", position="", count=COUNT)

    def test_users_say_their_name_and_whether_they_are_active(self, system: SystemUnderTest) -> None:
        expected = {
            (system.user("ada"), "ada", True),
            (system.user("Grace Hopper", active=False), "Grace Hopper", False),
        }
        with system.reader() as reader:
            read = [Reading.of(one) for page in pages(reader) for one in page.resources]
        assert {(one.id, one.user_name, one.active) for one in read} == expected

    def test_the_same_content_has_the_same_digest_when_it_is_read_again(self, system: SystemUnderTest) -> None:
        system.user("ada")
        digests = set()
        for _ in range(2):
            with system.reader() as reader:
                digests |= {Reading.of(one).digest for page in pages(reader) for one in page.resources}
        assert len(digests) == 1

    def test_groups_name_their_members_by_the_ids_that_the_users_have(self, system: SystemUnderTest) -> None:
        members = [system.user(f"person-{n}") for n in range(3)]
        group = system.group("web", *members[:2]) if system.has_groups else ""
        with system.reader() as reader:
            page = reader.page("Group", position="", count=COUNT)
        if not system.has_groups:
            assert isinstance(page, Unreadable)
            assert page.reason != ""
            return
        assert isinstance(page, Page)
        [read] = [GroupReading.of(one) for one in page.resources]
        assert (read.id, read.display_name, read.member_ids) == (group, "web", tuple(sorted(members[:2])))

    def test_a_wrong_type_is_known_by_itself_and_stops_no_other(self, system: SystemUnderTest) -> None:
        made = [system.user(f"person-{n}") for n in range(3)]
        system.spoil(made[1])
        readable = set()
        with system.reader() as reader:
            for page in pages(reader):
                for resource in page.resources:
                    try:
                        readable.add(Reading.of(resource).id)
                    except BadAnswer:
                        assert resource["id"] == made[1]
        assert readable == {made[0], made[2]}

    def test_an_empty_system_is_one_empty_page(self, system: SystemUnderTest) -> None:
        with system.reader() as reader:
            [page] = pages(reader)
        assert (page.resources, page.position) == ((), None)
        assert page.total in {0, None}

    def test_one_is_found_by_its_id_and_is_the_one_that_was_asked_for(self, system: SystemUnderTest) -> None:
        made = [system.user(f"person-{n}") for n in range(2)]
        with system.reader() as reader:
            answer = reader.get("User", made[1])
        assert isinstance(answer, Found)
        assert (answer.document["id"], Reading.of(answer.document).user_name) == (made[1], "person-1")

    def test_what_is_gone_is_absent_and_what_is_there_is_not(self, system: SystemUnderTest) -> None:
        gone, stays = system.user("ada"), system.user("grace")
        system.delete(gone)
        with system.reader() as reader:
            assert isinstance(reader.get("User", gone), Absent)
            assert isinstance(reader.get("User", stays), Found)

    def test_a_name_finds_the_one_who_has_it_or_nobody_or_says_that_it_does_not_know(
        self, system: SystemUnderTest
    ) -> None:
        ada = system.user("ada")
        with system.reader() as reader:
            found, nobody = reader.named("User", "ada"), reader.named("User", "nobody")
        assert isinstance(found, Unknown) or (isinstance(found, Found) and found.document["id"] == ada)
        assert isinstance(nobody, Absent | Unknown)

    def test_a_name_is_no_filter_that_finds_others(self, system: SystemUnderTest) -> None:
        system.user("ada")
        with system.reader() as reader:
            for name in ("*", 'x" or userName pr', "*)(objectClass=*", "a*"):
                assert isinstance(reader.named("User", name), Absent | Unknown)

    def test_nothing_is_called_absent_by_a_system_that_fails(self, system: SystemUnderTest) -> None:
        one = system.user("ada")
        system.fail_after(0)

        def asked(ask: Any) -> object:
            try:
                with system.reader() as reader:
                    return ask(reader)
            except EgressError:
                return Unknown("")

        assert isinstance(asked(lambda reader: reader.get("User", one)), Unknown)
        assert isinstance(asked(lambda reader: reader.named("User", "ada")), Unknown)

    def test_no_secret_stands_in_an_error(self, system: SystemUnderTest) -> None:
        system.user("ada")
        system.fail_after(0)
        with pytest.raises(EgressError) as caught, system.reader() as reader:
            reader.page("User", position="", count=COUNT)
        assert len(system.secret) > 8
        assert system.secret not in caught.value.reason + str(caught.value) + repr(caught.value.__cause__)
        assert caught.value.reason.strip() != ""
