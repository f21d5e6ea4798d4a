"""`manage.py demo prepare`: tenants, logins and tokens once, and never in a database where somebody lives."""

from __future__ import annotations

import json
import stat
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from django.core.management import CommandError, call_command

from accounts.models import System, Tenant, User
from audit.scope import scope
from governance.management.commands.demo import FEED_BEGINS_AFTER, FOLLOWED, HOLDS_OTHERS, Command
from provisioning import cursors
from provisioning.feeds.scim_delta import OVERLAP
from provisioning.models.connection import SystemToken
from provisioning.models.cursor import Cursor
from tests.conftest import a_cause

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.django_db]


@pytest.fixture
def state(settings: Any, tmp_path: Path) -> Path:
    """An empty state directory, and a directory that nobody asks yet."""
    settings.ROLLCALL_STATE_DIR = tmp_path
    settings.ROLLCALL_DEMO_DIRECTORY_URL = "http://127.0.0.1:1"
    return tmp_path


def prepare() -> None:
    call_command("demo", "prepare")


def facts(state: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((state / "demo.json").read_text(encoding="utf-8"))
    return found


def slugs() -> list[str]:
    return sorted(Tenant.objects.values_list("slug", flat=True))


def test_an_empty_database_gets_tenants_logins_and_tokens_and_their_facts_are_private(state):
    prepare()
    assert slugs() == ["halyard", "halyard-labs", "sandbox"]
    kept = facts(state)
    assert set(kept) == {"address", "scim_base_url", "systems", "logins"}
    assert [one["role"] for one in kept["logins"]] == [
        "security", "second security", "owner", "auditor", "administrator",
    ]  # fmt: skip
    assert User.objects.count() == 5
    assert SystemToken.objects.count() == len(kept["systems"]) == 5
    assert stat.S_IMODE((state / "demo.json").stat().st_mode) == 0o600


def test_a_second_time_keeps_everything_and_follows_the_address(state, settings):
    prepare()
    before = facts(state)
    settings.ROLLCALL_PUBLIC_URL = "http://127.0.0.1:8123"
    settings.ROLLCALL_DEMO_DIRECTORY_URL = "http://127.0.0.1:2"
    prepare()
    address = {"address": "http://127.0.0.1:8123", "scim_base_url": "http://127.0.0.1:8123/scim/v2"}
    assert facts(state) == before | address
    assert SystemToken.objects.count() == 5


def test_where_somebody_lives_no_demo_is_made(state, tenant):
    with pytest.raises(CommandError, match="holds tenants already: no demo is loaded into it") as caught:
        prepare()
    assert caught.value.returncode == HOLDS_OTHERS
    assert slugs() == [tenant.slug]
    assert not (state / "demo.json").exists()


def test_the_facts_of_another_database_make_no_demo_of_this_one(state, tenant):
    written = {"systems": [{"token": "rc_01a20bafaf3c70268dcdd3d9f5d2a1ef_secret"}]}
    (state / "demo.json").write_text(json.dumps(written))
    with pytest.raises(CommandError) as caught:
        prepare()
    assert caught.value.returncode == HOLDS_OTHERS
    assert facts(state) == written


def test_a_story_told_in_another_database_is_not_written_over(state):
    prepare()
    written = facts(state) | {"systems": [{"token": "rc_01a20bafaf3c70268dcdd3d9f5d2a1ef_secret"}]}
    (state / "demo.json").write_text(json.dumps(written))
    (state / "demo-loaded.json").write_text("{}")
    with_tenants = slugs()
    with pytest.raises(CommandError) as caught:
        prepare()
    assert caught.value.returncode == HOLDS_OTHERS
    assert (slugs(), facts(state)) == (with_tenants, written)


def test_a_story_told_elsewhere_and_an_empty_database_is_refused_with_what_to_do(state):
    written = {"systems": [{"token": "rc_01a20bafaf3c70268dcdd3d9f5d2a1ef_secret"}]}
    (state / "demo.json").write_text(json.dumps(written))
    (state / "demo-loaded.json").write_text("{}")
    with pytest.raises(
        CommandError, match="a demo in another database: set ROLLCALL_STATE_DIR to a directory"
    ) as caught:
        prepare()
    assert caught.value.returncode == 1
    assert (slugs(), facts(state)) == ([], written)


def test_facts_that_a_crash_left_without_their_tenants_are_made_anew(state):
    (state / "demo.json").write_text(json.dumps({"systems": [{"token": "rc_01a20bafaf3c70268dcdd3d9f5d2a1ef_secret"}]}))
    prepare()
    assert len(facts(state)["systems"]) == 5
    assert slugs() == ["halyard", "halyard-labs", "sandbox"]


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"systems": [{}]}', '{"systems": [{"token": "rc"}]}'])
def test_facts_that_nobody_wrote_so_are_refused_in_a_sentence(state, text):
    (state / "demo.json").write_text(text)
    with pytest.raises(CommandError, match=r"demo\.json is not what this command wrote: put it back, or move it away"):
        prepare()
    assert slugs() == []


def test_without_a_directory_there_is_no_demo(state, settings):
    settings.ROLLCALL_DEMO_DIRECTORY_URL = ""
    with pytest.raises(CommandError, match="ROLLCALL_DEMO_DIRECTORY_URL is not set"):
        prepare()


def test_the_sandbox_comes_back_by_itself_and_every_other_system_asks(state):
    prepare()
    policies = {}
    for one in Tenant.objects.all():
        with scope(tenant=one.pk):
            policies |= dict(System.objects.values_list("name", "reactivation_policy"))
    assert policies.pop("Sandbox") == "automatic"
    assert set(policies.values()) == {"approval"}


def test_one_directory_is_listened_to_from_a_reading_that_begins_when_the_story_is_over(state):
    prepare()
    command = Command()
    command.at, command.state = datetime.now(UTC), state
    command.company = command._company()
    command._listen(FOLLOWED)
    with scope(tenant=Tenant.objects.get(slug="halyard").pk, cause=a_cause()):
        followed = list(Cursor.objects.select_related("system"))
        assert [(one.stream, one.state, one.cadence_minutes) for one in followed] == [
            ("scim-delta/Groups", "waiting", 1), ("scim-delta/Users", "waiting", 1),
        ]  # fmt: skip
        assert {one.system.name for one in followed} == {command.company.directory(FOLLOWED).name}
        # A feed hears up to twice the overlap of what was before its reading: nothing of the story.
        assert all(one.gap_at is not None and one.gap_at >= command.at + 2 * OVERLAP for one in followed)
        assert cursors.due(at=command.at) == []
        assert cursors.watch(at=command.at) == 0
        assert len(cursors.due(at=command.at + FEED_BEGINS_AFTER + timedelta(minutes=1))) == 2
