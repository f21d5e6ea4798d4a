"""`manage.py keep_ledger TENANT MONTHS|forever --by=… --reason=…`: how long a tenant's ledger keeps what is gone.

It takes nothing out of the database: `manage.py archive` does, to a file that verifies, when somebody runs it.
"""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from accounts import tenants
from accounts.models.tenant import Tenant
from accounts.models.user import User
from audit.models import Cause, CauseKind
from audit.scope import scope

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
        with scope():
            tenant = Tenant.objects.filter(slug=options["tenant"]).first()
            user = User.objects.filter(username_key=options["by"].strip().casefold(), is_active=True).first()
        if tenant is None:
            raise CommandError(f"there is no tenant {options['tenant']!r}")
        if user is None:
            raise CommandError(f"say with --by who you are: nobody signs in as {options['by']!r}")
        cause = Cause(
            kind=CauseKind.COMMAND, actor=str(user), user_id=user.pk, identity_id=user.identity_id,
            subject="manage.py keep_ledger", reason=options["reason"],
        )  # fmt: skip
        months = None if text == FOREVER else int(text)
        try:
            with scope(tenant=tenant.pk, cause=cause):
                changed = tenants.keep_ledger(tenant=tenant, months=months, by=str(user), reason=options["reason"])
        except tenants.BadTenant as error:
            raise CommandError(str(error)) from error
        how_long = "for ever" if months is None else f"for {months} months"
        self.stdout.write(f"{tenant} {'now keeps' if changed else 'already kept'} it {how_long}.")
