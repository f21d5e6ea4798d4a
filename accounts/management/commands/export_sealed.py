"""Write the seals of a tenant, and every row that they cover, to a file that verifies without Rollcall.

    python3 audit/standalone/verify_export.py FILE --key PUBLIC.pem

The file holds what the rows hold, also of persons: keep it accordingly.
"""

import os
from argparse import ArgumentParser
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from accounts.models.tenant import Tenant
from audit import exporting
from audit.scope import scope


class Command(BaseCommand):
    """One steady look, written line by line."""

    help = __doc__

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Whose, and where to."""
        whose = parser.add_mutually_exclusive_group(required=True)
        whose.add_argument("--tenant", metavar="SLUG", help="what belongs to one tenant")
        whose.add_argument("--no-tenant", action="store_true", help="what belongs to none: setup, sign-in")
        parser.add_argument("--out", required=True, type=Path, metavar="FILE", help="a file that isn't there yet")

    def handle(self, *_: Any, **options: Any) -> None:
        """Write it, or say in one line why not."""
        tenant = None
        if options["tenant"]:
            tenant = Tenant.objects.filter(slug=options["tenant"]).values_list("pk", flat=True).first()
            if tenant is None:
                raise CommandError(f"there is no tenant {options['tenant']}")
        out: Path = options["out"]
        try:
            descriptor = os.open(out, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w", encoding="utf-8") as file, scope(tenant=tenant, steady=True):
                file.writelines(exporting.lines(tenant=tenant, at=datetime.now(UTC)))
        except OSError as error:
            raise CommandError(f"{out} can't be written: {error.strerror}") from error
        self.stdout.write(f"Written to {out}.")
