"""`manage.py rebuild --tenant=… [--from-empty]`: does the ledger, replayed from empty, give today's roll?

The worker does it each night and goes on where it stopped; `--from-empty` throws the fold away and begins again. Ends
with 0 where they are equal, with 2 where a resource differs, and names some of those.
"""

from argparse import ArgumentParser
from datetime import UTC, datetime
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from accounts.models.finding import Finding, FindingKind
from accounts.states import FINDING_OPEN
from audit.scope import scope
from governance.asked import tenant_called
from provisioning import rebuilding
from provisioning.models.rebuild import Rebuild

DIFFERS = 2


class Command(BaseCommand):
    """Folds the ledger of a tenant and compares what it gives with the roll."""

    help = "Replay the whole ledger into tables of its own and compare it with the roll; it changes nothing there."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Whose ledger, and whether from empty."""
        parser.add_argument("--tenant", required=True, help="the tenant's word in addresses")
        parser.add_argument("--from-empty", action="store_true", help="throw away what was folded, and begin again")

    def handle(self, *_: Any, **options: Any) -> None:
        """Fold to the end, and say what was shown."""
        tenant = tenant_called(options["tenant"])
        rebuilding.advance(
            tenant=tenant.pk, clock=lambda: datetime.now(UTC), go_on=lambda: True, from_empty=options["from_empty"]
        )
        with scope(tenant=tenant.pk):
            row = Rebuild.objects.get()
            found = Finding.objects.filter(kind=FindingKind.LEDGER_DIFFERS, state__in=sorted(FINDING_OPEN)).first()
        left_out = ", ".join(f"{count} {word}" for word, count in sorted(row.left_out.items())) or "none"
        self.stdout.write(f"{row.folded} exchanges folded, until {row.until_at:%Y-%m-%d %H:%M} UTC.")
        self.stdout.write(f"{row.equal} resources equal, {row.differing} differ; left out: {left_out}.")
        if row.differing:
            for line in found.evidence.get("resources", []) if found is not None else []:
                self.stdout.write(f"  {line}")
            raise CommandError(f"{row.differing} resources differ", returncode=DIFFERS)
