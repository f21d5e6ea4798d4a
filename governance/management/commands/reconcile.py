"""`manage.py reconcile SYSTEM [--tenant=…] [--simulate | --stop]`: read one system, compare it, and say what follows.

It begins a run, or joins the one that is under way, and works on it here. Ctrl-C leaves it where it stands: the worker
goes on with it, and so does the same command. `--simulate` reads, proves and compares, and keeps the run with its counts
alone: no finding, no plan, no proof. Ends with

* 0: the reading was complete (whatever it showed is in findings, and what it wants is below the brake)
* 1: nothing was begun
* 2: the reading was not complete, failed, or was stopped: nothing was concluded from absence
* 3: complete, and the brake stops what it wants: people decide
* 130: Ctrl-C; the run goes on where it stands
"""

import signal
import time
from argparse import ArgumentParser
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from types import FrameType
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.urls import reverse

from accounts import rules
from accounts.models.system import System
from accounts.models.tenant import Tenant
from audit.models import Cause, CauseKind
from audit.scope import scope
from governance.asked import Asked, system_called, the_tenant, who_asks
from provisioning import reconciliation, snapshot
from provisioning.models.plan import Plan, PlanKind, PlanState
from provisioning.models.run import Run, RunState
from provisioning.models.snapshot import Snapshot
from provisioning.simulation import Simulated
from provisioning.states import PLAN_LIVE

NOT_COMPLETE, TRIPPED, INTERRUPTED = 2, 3, 130
# How often a line says how far it is, and how long one waits for somebody else who works on the run, in seconds.
SLICE, WAIT = 2.0, 1.0
_SHOWED = (
    ("status", "status differs"), ("still_active", "off here, active there"), ("missing_there", "here, missing there"),
    ("unknown_here", "there, unknown here"), ("member_removed", "members here alone"),
    ("member_added", "members there alone"), ("field", "attributes differ"),
    ("memberships_unread", "memberships could not be read"),
)  # fmt: skip


def _now() -> datetime:
    return datetime.now(UTC)


class Command(BaseCommand):
    """Reads one system, here and now."""

    help = "Read a system, compare it with the roll and freeze what follows; --simulate says it and keeps nothing."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Which system, whose, and by whom."""
        parser.add_argument("system", help="a system: its name, its name as a word (okta-prod), or its id")
        parser.add_argument(
            "--tenant", default="", help="the tenant's word in addresses; needed where there are several"
        )
        what = parser.add_mutually_exclusive_group()
        what.add_argument(
            "--simulate", action="store_true", help="say what would be found and wanted, and keep neither"
        )
        what.add_argument("--stop", action="store_true", help="stop the run that is under way after its page")
        parser.add_argument("--by", default="", help="the name that you sign in with; else the command line is named")
        parser.add_argument("--reason", default="", help="why: a ticket, an incident")

    def handle(self, *_: Any, **options: Any) -> None:
        """Begin or join, work until it ends, and say what it came to."""
        tenant = the_tenant(options["tenant"])
        with scope(tenant=tenant.pk):
            system = system_called(options["system"])
        cause, who = self._who(tenant, options)
        if options["stop"]:
            self._stop(tenant, system, cause)
            return
        run = self._begin(tenant, system, cause, who=who, simulated=options["simulate"])
        simulated: list[Simulated] = []
        self._work(tenant, run, told=simulated.append)
        with scope(tenant=tenant.pk):
            run = Run.objects.select_related("system").get(pk=run.pk)
            self._told(run, simulated)

    def _who(self, tenant: Tenant, options: dict[str, Any]) -> tuple[Callable[[], Cause], str]:
        """Who asks: somebody by name who may, or whoever has a shell here."""
        if not options["by"]:
            said = options["reason"] or "asked for on the command line"
            return lambda: Cause(kind=CauseKind.COMMAND, actor="reconcile", reason=said), "the command line"
        asked = Asked(tenant, who_asks(options["by"]), options["reason"], "reconcile")
        with scope(tenant=tenant.pk):
            ruling = rules.may(asked.user, rules.Word.RUN_START, tenant=tenant.pk, at=_now())
        if not ruling:
            raise CommandError(ruling.reason)
        return asked.cause, asked.name

    def _begin(self, tenant: Tenant, system: System, cause: Callable[[], Cause], *, who: str, simulated: bool) -> Run:
        at = _now()
        try:
            with scope(tenant=tenant.pk, cause=cause()):
                run = reconciliation.start(system=system, started_by=who, simulated=simulated, at=at)
        except reconciliation.CantRead as error:
            raise CommandError(str(error)) from error
        joined = f", begun {run.started_at:%H:%M} UTC by {run.started_by}: joined" if run.started_at < at else ""
        self.stdout.write(f"Run {run.pk} of {system.name}{joined}.")
        return run

    def _stop(self, tenant: Tenant, system: System, cause: Callable[[], Cause]) -> None:
        with scope(tenant=tenant.pk, cause=cause()):
            run = Run.objects.filter(system=system, state=RunState.RUNNING).first()
            if run is not None:
                reconciliation.ask_stop(run=run, at=_now())
        if run is None:
            raise CommandError(f"{system.name} is not being read: there is nothing to stop")
        self.stdout.write(f"Run {run.pk} of {system.name} stops after its page; what it read so far is forgotten.")

    # -- working

    def _work(self, tenant: Tenant, run: Run, *, told: reconciliation.Told) -> None:
        """Slice after slice, a line after each. Raises `CommandError` on Ctrl-C."""
        try:
            self._until_over(tenant, run, told=told)
        except KeyboardInterrupt as error:
            raise CommandError(self._left(tenant, run), returncode=INTERRUPTED) from error

    def _until_over(self, tenant: Tenant, run: Run, *, told: reconciliation.Told) -> None:
        began = time.monotonic()
        first: int | None = None
        with _ctrl_c(self) as is_asked:
            while not self._is_over(tenant, run, told=told):
                if is_asked():
                    raise KeyboardInterrupt
                with scope(tenant=tenant.pk):
                    row, reading = Run.objects.get(pk=run.pk), Snapshot.objects.get(run=run)
                far = snapshot.progress(reading)
                first = far.accounts if first is None else first
                seconds = time.monotonic() - began
                self.stdout.write(progress_line(row, far, rate=(far.accounts - first) / seconds, at=_now()))

    def _is_over(self, tenant: Tenant, run: Run, *, told: reconciliation.Told) -> bool:
        if reconciliation.advance(tenant=tenant.pk, run_id=run.pk, clock=_now, seconds=SLICE, told=told):
            return True
        with scope(tenant=tenant.pk):
            row = Run.objects.get(pk=run.pk)
        if row.state == RunState.RUNNING and row.leased_until is not None:
            # Somebody else works on it, or its server asked to be left alone.
            time.sleep(WAIT)
        return row.state != RunState.RUNNING

    def _left(self, tenant: Tenant, run: Run) -> str:
        where = f"/t/{tenant.slug}{reverse('run', args=[run.pk])}"
        return (
            f"Left at its last page: run {run.pk} is not lost. The worker goes on with it; so does this command, given"
            f" again. To stop it: the same command with --stop, or {where}"
        )

    # -- what it came to

    def _told(self, run: Run, simulated: list[Simulated]) -> None:
        if run.state in {RunState.FAILED, RunState.STOPPED, RunState.INCOMPLETE}:
            self._showed(run)
            raise CommandError(
                f"{run.get_state_display().capitalize()}: {run.problem}. Nothing was concluded from absence.",
                returncode=NOT_COMPLETE,
            )
        self._showed(run)
        if run.is_simulated:
            self._simulated(run, simulated)
            return
        wanted = int(run.counts.get("wanted", 0))
        plans = Plan.objects.filter(kind=PlanKind.READING, system=run.system, state__in=sorted(PLAN_LIVE))
        plan = plans.order_by("-asked_at").first() if wanted else None
        if plan is not None and plan.state == PlanState.TRIPPED:
            raise CommandError(
                f"The brake stops it: {'; '.join(plan.brake['because'])}. People decide.", returncode=TRIPPED
            )
        below = "below the brake: the worker carries them out" if wanted else "there is nothing to carry out"
        self.stdout.write(f"{wanted} changes wanted, {below}.")

    def _showed(self, run: Run) -> None:
        counts = run.counts
        # Unknown is not zero.
        read = ", ".join(f"{counts[word]:,} {name}" for word, name in _READ if word in counts) or "nothing is known"
        self.stdout.write(f"Read in {counts.get('seconds', 0):g} s: {read}.")
        showed = [f"{counts[word]:,} {name}" for word, name in _SHOWED if counts.get(word)]
        if run.state in {RunState.CLOSED, RunState.INCOMPLETE, RunState.SIMULATED}:
            self.stdout.write(f"It showed: {', '.join(showed) or 'no difference'}.")

    def _simulated(self, run: Run, simulated: list[Simulated]) -> None:
        """By name where it was simulated here; by its counts where the worker ended it."""
        for found in simulated:
            for title in found.found:
                self.stdout.write(f"  would be found: {title}")
            for change in found.wanted:
                self.stdout.write(f"  would be wanted: {change}")
        kept = f"Nothing of it was kept but run {run.pk} with its counts."
        if run.problem:
            raise CommandError(f"It would not be complete: {run.problem}. {kept}", returncode=NOT_COMPLETE)
        wanted = int(run.counts.get("wanted", 0))
        if run.counts.get("tripped"):
            because = "; ".join(simulated[0].because) if simulated else "its reasons are said by the reading itself"
            raise CommandError(f"The brake would stop {wanted} changes: {because}. {kept}", returncode=TRIPPED)
        below = f"{wanted} changes would be wanted, below the brake" if wanted else "Nothing would be wanted"
        self.stdout.write(f"{below}. {kept}")


_READ = (("pages", "pages"), ("users", "accounts"), ("groups", "groups"), ("members", "memberships"))


def progress_line(run: Run, far: snapshot.Progress, *, rate: float, at: datetime) -> str:
    """How far it is; a share only where the system has said of how many."""
    if run.step != "listing":
        return f"{run.step}: everything is listed"
    if run.leased_until is not None and run.leased_until > at:
        waits = f"; somebody else works on it until {min(run.leased_until, at + timedelta(days=1)):%H:%M:%S} UTC"
    else:
        waits = ""
    accounts = f"{far.accounts:,}"
    if far.accounts_of:
        accounts += f" of {far.accounts_of:,} accounts, {100 * far.accounts / far.accounts_of:.0f} %"
    else:
        accounts += " accounts so far, of a number nobody knows yet"
    groups = f", {far.groups:,} of {far.groups_of:,} groups" if far.groups_of is not None else ""
    return f"listing: page {far.pages}, {accounts}{groups}, {rate:,.0f}/s{waits}"


@contextmanager
def _ctrl_c(command: BaseCommand) -> Iterator[Callable[[], bool]]:
    """The first Ctrl-C lets the page at hand be written; the next one does not wait for it."""
    asked = False

    def said(_signal: int, _frame: FrameType | None) -> None:
        nonlocal asked
        if asked:
            raise KeyboardInterrupt
        asked = True
        command.stderr.write("It leaves after the page at hand; Ctrl-C again leaves at once.")

    before = signal.signal(signal.SIGINT, said)
    try:
        yield lambda: asked
    finally:
        signal.signal(signal.SIGINT, before)
