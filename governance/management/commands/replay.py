"""`manage.py replay EXCHANGE|--resource=…|--system=… --from=… --until=…|--parked --tenant=… --by=… --reason=…`

The same as on the ledger's pages: an older word never overwrites a newer one, what gives access asks people first, and
`--simulate` writes nothing. Ends with 0 when all of it is done, with 2 when something could not be replayed or is parked
still, and with 1 where nothing was begun.
"""

from argparse import ArgumentParser
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError
from django.utils.dateparse import parse_datetime

from accounts.models.tenant import Tenant
from accounts.rules import Refused
from audit.scope import scope
from governance.asked import Asked, system_called, tenant_called, who_asks
from provisioning import replay, replaying
from provisioning.changes import Outcome
from provisioning.models.exchange import Exchange
from provisioning.models.replay import Replay, ReplayKind, ReplayState
from provisioning.replay import Busy, InTheWay
from provisioning.replaying import BadRange, Range

LEFT = 2
_LEFT_WORDS = (Outcome.PARKED, replaying.IN_THE_WAY, replaying.FAILED)


def _now() -> datetime:
    return datetime.now(UTC)


def _id(text: str, *, what: str) -> UUID:
    try:
        return UUID(text)
    except ValueError as error:
        raise CommandError(f"{text!r} is no id of {what}") from error


class Command(BaseCommand):
    """Replays one exchange, a resource, a range of a system, or all that is parked."""

    help = "Replay a part of the ledger through the same doors; --simulate writes nothing."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """What is replayed, for whom, by whom and why."""
        parser.add_argument("exchange", nargs="?", help="the id of one exchange")
        parser.add_argument("--resource", help="the SCIM id of a resource: all that was said of it")
        parser.add_argument("--system", help="the name of a system: all that it said, between --from and --until")
        parser.add_argument("--from", dest="first", help="an id of the ledger, or an instant such as 2026-11-30T03:00Z")
        parser.add_argument("--until", dest="last", help="an id of the ledger, or an instant")
        parser.add_argument("--parked", action="store_true", help="all that is parked and was not replayed since")
        parser.add_argument("--simulate", action="store_true", help="say what would be, and write nothing")
        parser.add_argument("--tenant", required=True, help="the tenant's word in addresses")
        parser.add_argument("--by", default="", help="the name that you sign in with; it counts as having asked")
        parser.add_argument("--reason", default="", help="why: a ticket, an incident, what you saw")

    def handle(self, *_: Any, **options: Any) -> None:
        """Simulate, or replay until it is done."""
        tenant = tenant_called(options["tenant"])
        with scope(tenant=tenant.pk):
            asked = self._range(options)
        if options["simulate"]:
            self._simulate(tenant, asked)
            return
        row = self._begin(tenant, asked, options)
        replaying.advance(tenant=tenant.pk, replay_id=row.pk, clock=_now, go_on=lambda: True)
        self._told(tenant, row)

    def _range(self, options: Mapping[str, Any]) -> Range:
        ways = [bool(options["exchange"]), bool(options["resource"]), bool(options["parked"])]
        if sum(ways) > 1 or not (any(ways) or options["system"]):
            raise CommandError("say one of: an exchange, --resource, --parked, or --system with --from and --until")
        if options["exchange"]:
            return Range(kind=ReplayKind.EXCHANGE, exchange_id=_id(options["exchange"], what="an exchange"))
        ends = {"first_id": self._end(options["first"], replaying.since)}
        ends["last_id"] = self._end(options["last"], replaying.until)
        system = system_called(options["system"]) if options["system"] else None
        if options["resource"]:
            resource = _id(options["resource"], what="a resource")
            return Range(kind=ReplayKind.RESOURCE, resource_id=resource, system=system, **ends)
        kind = ReplayKind.PARKED if options["parked"] else ReplayKind.RANGE
        return Range(kind=kind, system=system, **ends)

    def _end(self, text: str | None, of: Any) -> UUID | None:
        if not text:
            return None
        try:
            return UUID(text)
        except ValueError:
            pass
        try:
            found = parse_datetime(text)
        except ValueError:
            found = None
        if found is None or not 1970 <= found.year < 9000:  # noqa: PLR2004  what a key can be made of
            raise CommandError(f"{text!r} is neither an id of the ledger nor an instant such as 2026-11-30T03:00Z")
        made: UUID = of(found if found.tzinfo is not None else found.replace(tzinfo=UTC))
        return made

    def _simulate(self, tenant: Tenant, asked: Range) -> None:
        counts: dict[str, int] = {}
        with scope(tenant=tenant.pk):
            ids = list(asked.exchanges().values_list("pk", flat=True)[: replaying.MOST])
        for pk in ids:
            with scope(tenant=tenant.pk):
                one = Exchange.objects.select_related("system").get(pk=pk)
                word, says = self._would(one)
            counts[word] = counts.get(word, 0) + 1
            self.stdout.write(f"{pk}  {one.method} {one.resource_label or one.path}  {word}{says}")
        would = counts.get(Outcome.APPLIED, 0)
        self.stdout.write(f"Replay {len(ids)}: {would} would change. Nothing was written.")
        self._leave(counts)

    def _would(self, one: Exchange) -> tuple[str, str]:
        try:
            judged = replay.simulate(exchange=replay.original_of(one), at=_now()).judged
        except (InTheWay, Busy) as error:
            return replaying.IN_THE_WAY, f": {error}"
        kept = ", ".join(f"{k.name} kept, superseded by {k.by.exchange or k.by.who}" for k in judged.kept)
        said: Sequence[str] = [text for text in (kept, judged.because, judged.rules) if text]
        return str(judged.outcome), f": {'; '.join(said)}" if said else ""

    def _begin(self, tenant: Tenant, asked: Range, options: Mapping[str, Any]) -> Replay:
        by = Asked(tenant, who_asks(options["by"]), options["reason"], "replay")
        try:
            with scope(tenant=tenant.pk, cause=by.cause()):
                return replaying.begin(asked, by=by.user, reason=by.reason, at=_now())
        except (BadRange, Refused) as error:
            raise CommandError(str(error)) from error

    def _told(self, tenant: Tenant, row: Replay) -> None:
        with scope(tenant=tenant.pk):
            row = Replay.objects.get(pk=row.pk)
        for word, count in sorted(row.counts.items()):
            self.stdout.write(f"{count} {word}")
        for one in row.in_the_way:
            self.stdout.write(f"{one['exchange']}  {one['label']}: {one['because']}")
        if row.state == ReplayState.RUNNING:
            self.stdout.write("A resource is being changed just now: the worker goes on with it.")
        self.stdout.write(f"Replayed {row.done} of {row.total}.")
        self._leave(row.counts)

    def _leave(self, counts: Mapping[str, int]) -> None:
        left = sum(int(counts.get(word, 0)) for word in _LEFT_WORDS)
        if left:
            raise CommandError(f"{left} could not be replayed", returncode=LEFT)
