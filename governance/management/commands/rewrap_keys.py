"""`ROLLCALL_ROLE=eraser manage.py rewrap_keys --tenant=… --by=… --reason=…`: after ROLLCALL_FIELD_KEYS has a new first key.

Wraps the keys of what the ledger keeps of requests and answers under the first field key. When it has ended for every tenant,
they need no older one any more. Killed on its way it is begun again: what is done is passed over. Ends with 1 where a key
can't be unwrapped by any field key that is configured.
"""

from argparse import ArgumentParser
from typing import TYPE_CHECKING, Any

from django.core.management.base import BaseCommand, CommandError

from audit.scope import scope
from governance.erasers import asked_by
from provisioning import rewrapping
from provisioning.bodies import BodyUnreadable

if TYPE_CHECKING:
    from uuid import UUID


class Command(BaseCommand):
    """One tenant, slice by slice."""

    help = "Wrap the keys of the ledger's bodies under the newest field key."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Whose, by whom and why."""
        parser.add_argument("--tenant", required=True, help="the tenant's word in addresses")
        parser.add_argument("--by", default="", help="the name that you sign in with")
        parser.add_argument("--reason", default="", help="why: a ticket, the yearly change of keys")

    def handle(self, *_: Any, **options: Any) -> None:
        """Until there is no more."""
        asked = asked_by(options, command="rewrap_keys")
        seen = wrapped = 0
        last: UUID | None = None
        while True:
            try:
                with scope(tenant=asked.tenant.pk, cause=asked.cause()):
                    found = rewrapping.rewrap(after=last)
            except BodyUnreadable as error:
                raise CommandError(f"after {wrapped} of {seen}: {error}") from error
            seen, wrapped, last = seen + found.seen, wrapped + found.wrapped, found.last
            if last is None:
                break
        self.stdout.write(f"{wrapped} of {seen} keys were wrapped anew; the others had the newest field key already.")
