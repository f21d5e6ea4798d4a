"""Verify that causes, ledger, journal and history are as they were sealed. Names every row that is not.

Exit status: 0, all of it is; 1, something is not; 2, a key or witness can't be read; 3, nothing wrong was found, but not
everything could be checked. The keys that are trusted come from files, never from the database.
"""

import sys
from argparse import ArgumentParser
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError

from accounts.models.tenant import Tenant
from audit import sealing, verifying, witness
from audit.scope import scope
from audit.seal_keys import BadKey, Trusted, trust

GOOD, WRONG, UNREADABLE, PARTLY = 0, 1, 2, 3


class Command(BaseCommand):
    """Chain by chain, each in one steady look."""

    help = __doc__

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Whose seals, and by what they are judged."""
        whose = parser.add_mutually_exclusive_group(required=True)
        whose.add_argument("--tenant", metavar="SLUG", help="the seals of one tenant")
        whose.add_argument("--all", action="store_true", help="those of every tenant, and of what has none")
        parser.add_argument("--key", action="append", type=Path, metavar="FILE", help="a public key that you trust")
        parser.add_argument("--witness", action="append", type=Path, metavar="FILE", help="seals kept elsewhere")
        parser.add_argument(
            "--patience",
            type=int,
            default=int(sealing.PATIENCE.total_seconds()) // 60,
            metavar="MINUTES",
            help="how long what was written may wait for its seal",
        )

    def handle(self, *_: Any, **options: Any) -> None:
        """Verify, say each fault in a line, and exit by what was found."""
        try:
            sys.exit(self._verify(options))
        except (BadKey, witness.NoWitness) as error:
            raise CommandError(str(error), returncode=UNREADABLE) from error

    def _verify(self, options: dict[str, Any]) -> int:
        trusted = trust(options["key"]) if options["key"] else None
        reports, faults = [], []
        everywhere = verifying.Everywhere() if options["all"] else None
        for name, tenant in _chains(options["tenant"]):
            with scope(tenant=tenant, steady=True):
                report = verifying.verify(
                    tenant=tenant,
                    trusted=trusted,
                    witness=_lines(options["witness"], tenant),
                    at=datetime.now(UTC),
                    patience=timedelta(minutes=options["patience"]),
                )
                if everywhere is not None:
                    everywhere.see()
            self._tell(name, report, trusted)
            reports.append(report)
        if everywhere is not None:
            faults = everywhere.faults()
            for fault in faults:
                self.stdout.write(str(fault))
        if faults or any(report.faults for report in reports):
            return WRONG
        return PARTLY if any(report.unchecked for report in reports) else GOOD

    def _tell(self, name: str, report: verifying.Report, trusted: Trusted | None) -> None:
        for fault in report.faults:
            self.stdout.write(f"{name}: {fault}")
        self.stdout.write(f"{name}: {report.seals} seals, {report.rows} rows, {len(report.faults)} faults")
        if trusted is not None:
            self.stdout.write(f"{name}: signatures: checked")
        if report.erased:
            self.stdout.write(
                f"{name}: erased: {report.erased} rows are blank where they told of a person, by a recorded act"
            )
        if report.archived:
            self.stdout.write(f"{name}: archived: {report.archived} rows are in files: verify those too")
        for one in report.unchecked:
            self.stdout.write(f"{name}: NOT CHECKED: {one}")


def _chains(slug: str | None) -> list[tuple[str, UUID | None]]:
    tenants = Tenant.objects.order_by("slug")
    if slug is None:
        return [("(no tenant)", None), *tenants.values_list("slug", "pk")]
    found = tenants.filter(slug=slug).values_list("slug", "pk").first()
    if found is None:
        raise CommandError(f"there is no tenant {slug}", returncode=UNREADABLE)
    return [found]


def _lines(paths: list[Path] | None, tenant: UUID | None) -> Iterator[witness.Line] | None:
    if not paths:
        return None
    whose = str(tenant) if tenant else None
    return (line for path in paths for line in witness.read(path, tenant=whose))
