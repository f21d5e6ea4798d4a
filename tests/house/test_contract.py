"""The import contract is kept, and no room on disk is outside of it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.house

ROOT = Path(__file__).parents[2]
FLOORS = ("audit", "accounts", "provisioning", "governance")
# Which rooms may know a library; all others must be listed as forbidden to.
MAY_KNOW = {
    "django_scim": {"provisioning.scim", "provisioning.connectors"},
    "simple_history": {"audit"},
    "celery": set(FLOORS),  # by the module, in ignore_imports: `*.tasks` and `governance.celery`
    "rest_framework": {"governance.api"},
}
# What is loaded by name alone and stands outside of the layers.
OUTSIDE = {"migrations", "apps", "settings"}


def configuration() -> dict[str, Any]:
    with (ROOT / "pyproject.toml").open("rb") as file:
        return tomllib.load(file)["tool"]["importlinter"]  # type: ignore[no-any-return]


def contracts(kind: str) -> list[dict[str, Any]]:
    return [c for c in configuration()["contracts"] if c["type"] == kind]


def rooms(package: str) -> set[str]:
    """The modules and packages directly inside a package on disk."""
    folder = ROOT / package.replace(".", "/")
    found = {path.stem for path in folder.glob("*.py")} - {"__init__", "__main__"}
    return found | {path.parent.name for path in folder.glob("*/__init__.py")}


def inside(package: str) -> set[str]:
    """The names that a contract's layers give to the rooms of a package."""
    layers = next(c["layers"] for c in contracts("layers") if c.get("containers") == [package])
    return set(re.findall(r"\(([\w.]+)\)", " ".join(layers)))


def test_the_contract_is_kept():
    process = subprocess.run(
        [
            sys.executable,
            "-c",
            "from importlinter.cli import lint_imports_command; lint_imports_command()",
            "--no-cache",
        ],
        cwd=ROOT,
        env=dict(os.environ),
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert process.returncode == 0, process.stdout + process.stderr


def test_every_package_of_the_repository_is_a_root_of_the_contract():
    on_disk = {path.parent.name for path in ROOT.glob("*/__init__.py")} - {"tests", "bench"}
    assert on_disk == set(configuration()["root_packages"])


def test_nothing_but_its_own_tests_imports_a_bench():
    importing = re.compile(r"^\s*(?:from|import) bench\b", re.MULTILINE)
    found = {
        path.relative_to(ROOT).parts[0]
        for package in (*configuration()["root_packages"], "tests")
        for path in (ROOT / package).rglob("*.py")
        if importing.search(path.read_text(encoding="utf-8")) and ROOT / "tests" / "bench" not in path.parents
    }
    assert found == set()


@pytest.mark.parametrize("floor", FLOORS)
def test_every_room_of_a_floor_is_named_in_its_layers(floor):
    named = {name.partition(".")[0] for name in inside(floor)}
    assert rooms(floor) - named - OUTSIDE == set()
    contract = next(c for c in contracts("layers") if c.get("containers") == [floor])
    assert contract["exhaustive"] is True
    assert set(contract["exhaustive_ignores"]) <= OUTSIDE | {"scim"}


def test_every_room_of_the_receiver_is_named_in_the_layers():
    named = {name.removeprefix("scim.") for name in inside("provisioning") if name.startswith("scim.")}
    assert rooms("provisioning.scim") - named == set()


def test_the_floors_stand_in_their_order():
    floors = next(c["layers"] for c in contracts("layers") if "containers" not in c)
    assert floors == ["governance", "provisioning", "accounts", "audit"]


@pytest.mark.parametrize("library", MAY_KNOW)
def test_a_library_that_has_one_room_is_forbidden_to_all_others(library):
    contract = next(c for c in contracts("forbidden") if library in c["forbidden_modules"])
    forbidden = set(contract["source_modules"])
    open_rooms = set()
    for package in configuration()["root_packages"]:
        if package in forbidden or package in MAY_KNOW[library]:
            continue
        open_rooms |= {f"{package}.{room}" for room in rooms(package) - {"migrations"}}
    assert open_rooms - forbidden - MAY_KNOW[library] - {"governance.settings"} == set()
