"""`manage.py keep_ledger TENANT MONTHS|forever --by=… --reason=…`: how long a tenant's ledger keeps what is gone.

It takes nothing out of the database: `manage.py archive` does, to a file that verifies, when somebody runs it.
"""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from accounts import tenants
from audit.scope import scope
from governance.asked import Asked, tenant_called, who_asks

FOREVER = "forever"


class Command(BaseCommand):
    """Sets the retention of one tenant."""

    help = (
        "Say for how many months the ledger keeps what is about resources that are gone; takes nothing out by itself."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Whose, how long, by whom and why."""
        parser.add_argument("tenant", help="the tenant's word in addresses")
        parser.add_argument("months", help=f"a number of months, or {FOREVER}")
        parser.add_argument("--by", default="", help="the name that you sign in with")
        parser.add_argument("--reason", default="", help="why: the policy's name, a ticket")

    def handle(self, *_: Any, **options: Any) -> None:
        """Set it, or say in one line why not."""
        text = options["months"].strip()
        if text != FOREVER and not text.isdecimal():
            raise CommandError(f"{text!r} is neither a number of months nor {FOREVER}")
        if not options["reason"].strip():
            raise CommandError("say with --reason why")
        tenant = tenant_called(options["tenant"])
        asked = Asked(tenant, who_asks(options["by"]), options["reason"], "keep_ledger")
        months = None if text == FOREVER else int(text)
        try:
            with scope(tenant=tenant.pk, cause=asked.cause()):
                changed = tenants.keep_ledger(tenant=tenant, months=months, by=asked.name, reason=asked.reason)
        except tenants.BadTenant as error:
            raise CommandError(str(error)) from error
        how_long = "for ever" if months is None else f"for {months} months"
        self.stdout.write(f"{tenant} {'now keeps' if changed else 'already kept'} it {how_long}.")
