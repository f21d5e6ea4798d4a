"""What is drawn and listed from the code is what the code says."""

from __future__ import annotations

import json
import re
import tomllib
from collections import defaultdict
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from audit.management.commands import draw_states, list_licences
from provisioning.scim.dialects.rules import RULES

pytestmark = pytest.mark.house

ROOT = Path(__file__).parents[2]
# What may be installed with the product. Nothing here asks more of Rollcall than to name it; the LGPL of psycopg and
# the MPL of certifi bind changes to themselves, and they are used unchanged, as separate packages.
ACCEPTED = {
    "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "ISC", "LGPL-3.0-only", "MIT", "MIT-0", "MPL-2.0", "PSF-2.0",
    "Unlicense",
}  # fmt: skip
WITH_A_REASON = {"LGPL-3.0-only": {"psycopg", "psycopg-binary", "psycopg-pool"}, "MPL-2.0": {"certifi"}}


def test_the_drawn_states_are_the_tables():
    assert draw_states.document().read_text(encoding="utf-8") == draw_states.text(), "run manage.py draw_states"


def test_every_table_of_every_floor_is_drawn():
    text = draw_states.text()
    for floor, tables in draw_states.tables().items():
        assert f"\n## {floor}\n" in text
        for table in tables:
            assert f"\n### {table.name}\n\n```mermaid\n{table.draw()}\n```\n" in text
    assert list(draw_states.tables()) == ["accounts", "provisioning", "governance"]


def test_the_listed_licences_are_those_of_what_is_locked():
    assert list_licences.document().read_text(encoding="utf-8") == list_licences.text(), "run manage.py list_licences"


def test_every_locked_package_is_listed_once():
    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    pins = (re.sub(r"\[.*]", "", line) for line in lines if re.match(r"[A-Za-z0-9]", line))
    locked = sorted(re.split(r"[ ;\\]", pin)[0].lower() for pin in pins)
    assert sorted(f"{p.name}=={p.version}" for p in list_licences.packages()) == locked
    assert len(locked) > 30


@pytest.mark.parametrize("name", ["requirements.txt", "requirements-dev.txt", "requirements-browser.txt"])
def test_every_extra_that_a_locked_package_asks_for_stands_with_its_pin(name):
    """Without it, pip 23 refuses the whole list from the day when the index holds a newer version."""
    lines = (ROOT / name).read_text(encoding="utf-8").splitlines()
    pins = [Requirement(re.split(r" *[;\\]", line)[0]) for line in lines if re.match(r"[A-Za-z0-9]", line)]
    locked = {canonicalize_name(pin.name): {pin.name.lower(), *pin.extras} for pin in pins}
    asked: dict[str, set[str]] = defaultdict(set)
    for pin in pins:
        for text in _requirements_of(pin.name):
            requirement = Requirement(text)
            if requirement.marker is None or any(requirement.marker.evaluate({"extra": e}) for e in ["", *pin.extras]):
                asked[canonicalize_name(requirement.name)] |= requirement.extras
    assert {n: extras - locked[n] for n, extras in asked.items() if extras - locked.get(n, extras)} == {}
    assert asked["pydantic"] == {"email"}


def _requirements_of(name: str) -> list[str]:
    try:
        return distribution(name).requires or []
    except PackageNotFoundError:  # for another machine, or for a list that is not installed
        return []


def test_every_direct_dependency_is_locked_and_listed():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    wanted = [*project["project"]["dependencies"], *project["dependency-groups"]["demo"]]
    names = {re.split(r"[\[=~<>]", line)[0].lower() for line in wanted}
    assert names <= {p.name for p in list_licences.packages()}


def test_every_licence_is_one_that_we_accept_and_the_rare_ones_have_their_reason():
    for package in list_licences.packages():
        words = set(re.split(r" (?:OR|AND|WITH) ", package.licence))
        assert words <= ACCEPTED, package
        for word in words & WITH_A_REASON.keys():
            assert package.name in WITH_A_REASON[word], package


def test_the_servers_inside_wheels_are_named_with_their_notices():
    text = list_licences.text()
    assert "Copyright (c) 2024, Valkey contributors" in text
    assert "Neither the name of the copyright holder nor the names of its contributors" in text
    assert "Portions Copyright (c) 1996-" in text
    assert "PostgreSQL Global Development Group" in text
    assert "IN NO EVENT SHALL THE UNIVERSITY OF CALIFORNIA BE LIABLE" in text


def test_a_package_of_which_nothing_is_known_is_an_error_and_no_guess():
    with pytest.raises(list_licences.UnknownLicence, match="locked but not installed here"):
        list_licences.licence("no-such-package-anywhere")


@pytest.mark.parametrize(("command", "module"), [("draw_states", draw_states), ("list_licences", list_licences)])
def test_a_document_that_differs_is_said_and_written_anew(tmp_path, monkeypatch, command, module, capsys):
    path = tmp_path / "docs" / "document.md"
    path.parent.mkdir()
    monkeypatch.setattr(module, "document", lambda: path)
    for before in (None, "something else"):
        if before is not None:
            path.write_text(before)
        with pytest.raises(CommandError, match=f"run manage.py {command}"):
            call_command(command, "--check")
    call_command(command)
    assert path.read_text(encoding="utf-8") == module.text()
    call_command(command, "--check")
    assert "written" in capsys.readouterr().out


def _pages_of_providers() -> dict[str, str]:
    return {p.name: p.read_text(encoding="utf-8") for p in sorted((ROOT / "docs" / "identity-providers").glob("*.md"))}


def test_each_transcript_that_a_page_names_exists_and_each_page_names_some():
    lines = [
        line
        for path in (ROOT / "tests" / "dialects").glob("*.jsonl")
        for line in path.read_text(encoding="utf-8").splitlines()
    ]
    known = {json.loads(line)["id"] for line in lines}
    clients = {name.partition("-")[0] for name in known}
    pages = _pages_of_providers()
    assert set(pages) == {"authentik.md", "entra.md", "keycloak.md", "okta.md", "other.md"}
    for name, text in pages.items():
        named = {word for word in re.findall(r"`([a-z0-9]+-[a-z0-9-]+)`", text) if word.partition("-")[0] in clients}
        assert named - known == set(), name
        assert len(named) > 5, name


def test_each_rule_of_the_dialects_is_named_on_a_page_and_no_page_names_another():
    words = {word for text in _pages_of_providers().values() for word in re.findall(r"`([a-z_]+)`", text)}
    assert set(RULES) - words == set()
    assert {word for word in words if "_" in word} - set(RULES) == set()


def test_the_page_on_connecting_leads_to_each_page_of_a_provider():
    text = (ROOT / "docs" / "connecting-an-identity-provider.md").read_text(encoding="utf-8")
    assert set(re.findall(r"\(identity-providers/([a-z]+\.md)\)", text)) == set(_pages_of_providers())
