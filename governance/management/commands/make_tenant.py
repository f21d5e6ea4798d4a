"""Make a tenant: one organisation's boundary. Its systems and people are then made on pages."""

from argparse import ArgumentParser
from datetime import UTC, datetime
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from accounts import tenants
from accounts.models.tenant import TenantKind
from audit.models import Cause, CauseKind
from audit.scope import scope


class Command(BaseCommand):
    """Make one tenant; an administrator of all tenants finds it when they sign in."""

    help = __doc__

    def add_arguments(self, parser: ArgumentParser) -> None:
        """What it is called, where it is, and when its days end."""
        parser.add_argument("slug", help="its word in addresses, such as acme")
        parser.add_argument("name", help="its name, such as “Acme Ltd”")
        parser.add_argument(
            "--time-zone", default="UTC", help="such as Europe/Amsterdam; a typed day ends at its end there"
        )
        parser.add_argument(
            "--nhi-days", type=int, default=180, help="the expiry of a non-human account that names none"
        )

    def handle(self, *_: Any, **options: Any) -> None:
        """Make it, or say in one line why not."""
        cause = Cause(kind=CauseKind.COMMAND, actor="make_tenant", reason="asked for on the command line")
        try:
            with scope(cause=cause):
                made = tenants.make(
                    slug=options["slug"],
                    name=options["name"],
                    time_zone=options["time_zone"],
                    nhi_days=options["nhi_days"],
                    kind=TenantKind.ORGANISATION,
                    at=datetime.now(UTC),
                )
        except tenants.BadTenant as error:
            raise CommandError(str(error)) from error
        self.stdout.write(f"Made the tenant {made.name}. Sign in, choose it, and connect its first system.")
