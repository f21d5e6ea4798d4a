"""`ROLLCALL_ROLE=eraser manage.py erase ACCOUNT --tenant=… --by=… --reason=… [--yes]`

Erases what tells of the person behind an account that has ended: names, documents, sentences, the keys of what was sent and
answered. States, times and who acted stay, and seals still verify. Without `--yes` it says what it would take out, and
changes nothing. There is no way back, and backups made before still have everything but what their keys would open.

Ends with 0 when it is done (or would be), with 1 where it can't be, and says what to do first.
"""

from argparse import ArgumentParser
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError

from accounts.models.account import Account
from audit.scope import scope
from governance.asked import Asked
from governance.erasers import asked_by
from provisioning import erasure


class Command(BaseCommand):
    """Says what would be erased, or erases it."""

    help = "Erase what tells of the person behind an ended account; without --yes it only says what that would be."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Whom, by whom and why."""
        parser.add_argument("account", help="the id of the account, as its page's address has it")
        parser.add_argument("--tenant", required=True, help="the tenant's word in addresses")
        parser.add_argument("--by", default="", help="the name that you sign in with")
        parser.add_argument("--reason", default="", help="why: the request's number; nothing that tells of the person")
        parser.add_argument("--yes", action="store_true", help="do it")

    def handle(self, *_: Any, **options: Any) -> None:
        """One account, in one transaction."""
        asked = asked_by(options, command="erase")
        if not options["yes"]:
            with scope(tenant=asked.tenant.pk):
                self._would(self._account(asked, options))
            return
        try:
            with scope(tenant=asked.tenant.pk, cause=asked.cause()):
                account = self._account(asked, options)
                row, names = erasure.erase(
                    account=account, asked_by=asked.name, reason=asked.reason, at=datetime.now(UTC)
                )
        except erasure.CantErase as error:
            raise CommandError("\n".join(["It can't be erased now:", *error.reasons])) from error
        self._tell("Erased", row.counts)
        with scope(tenant=asked.tenant.pk):
            left = erasure.mentions(names)
        if left:
            self.stdout.write("Their names still stand in what is not about this account:")
            for table, count in sorted(left.items()):
                self.stdout.write(f"  {count} in {table}")

    def _account(self, asked: Asked, options: Mapping[str, Any]) -> Account:
        try:
            account = Account.objects.filter(pk=UUID(options["account"])).first()
        except ValueError as error:
            raise CommandError(f"{options['account']!r} is no id of an account") from error
        if account is None:
            raise CommandError(f"there is no account {options['account']} in {asked.tenant}")
        if account.identity_id is not None and account.identity_id == asked.user.identity_id:
            raise CommandError("nobody erases themselves: somebody else has to")
        return account

    def _would(self, account: Account) -> None:
        reasons = erasure.in_the_way(account=account)
        self._tell("Would be erased", erasure.find(account=account).counts())
        if reasons:
            raise CommandError("\n".join(["It can't be erased now:", *reasons]))
        self.stdout.write("Nothing was changed. Say --yes to do it; there is no way back.")

    def _tell(self, what: str, counts: Mapping[str, int]) -> None:
        self.stdout.write(f"{what}: {sum(counts.values())} rows.")
        for table, count in sorted(counts.items()):
            self.stdout.write(f"  {count} in {table}")
