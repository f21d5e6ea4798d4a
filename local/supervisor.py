"""Keeps child processes alive and, at the end, leaves none of them.

One thread, one loop: it reads what the children say, looks every 0.2 s which of them ended, starts them again with
growing pauses, and gives up when one ends again and again. Each child leads a session of its own, so that Ctrl-C in
the terminal reaches only the supervisor, which then stops them in order.
"""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING

from local import watcher
from local.errors import CannotRun, StopRequested
from local.output import Console, LineReader, Log
from local.processes import Account, before_exec

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

POLL = 0.2  # seconds between two looks at the children
GRACE = 8.0  # seconds from the polite signal to SIGKILL
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 8.0  # seconds before a restart; doubled each time
RESTARTS = 5  # in a row; then something is wrong that a restart does not mend
STEADY = 60.0  # seconds after which a child counts as well again


@dataclass(frozen=True, kw_only=True)
class Service:
    """A child to keep alive: how to start it, and how to ask it to stop."""

    name: str
    argv: tuple[str, ...]
    env: Mapping[str, str]
    cwd: Path
    stop_signal: signal.Signals = signal.SIGTERM
    account: Account | None = None
    is_server: bool = False  # the others need it: stopped last
    prepare: Callable[[], None] | None = None  # called before each start


@dataclass(kw_only=True)
class _Child:
    service: Service
    log: Log
    process: subprocess.Popen[bytes] | None = None
    started_at: float = 0.0
    restarts: int = 0
    due_at: float = 0.0  # of the next start, while there is no process


class Supervisor:
    """Starts services, watches over them, runs commands beside them, and stops everything."""

    def __init__(self, *, logs: Path, quiet: bool = False, keep_open: IO[str] | None = None) -> None:
        """`keep_open` is a file (a lock) that stays open until the last child is gone, even if we are killed."""
        self.console = Console(quiet=quiet)
        self._logs = logs
        self._keep_open = keep_open
        self._children: list[_Child] = []
        self._selector = selectors.DefaultSelector()
        self._watcher: subprocess.Popen[bytes] | None = None
        self.stop_requested = False

    @contextmanager
    def running(self) -> Iterator[Supervisor]:
        """Handle the signals that end us, and stop all children on the way out, whatever happened inside."""
        # Under nohup SIGHUP arrives ignored, and shall stay so.
        signals = [signal.SIGINT, signal.SIGTERM]
        signals += [signal.SIGHUP] if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN else []
        before = {sign: signal.signal(sign, self._on_signal) for sign in signals}
        try:
            yield self
        finally:
            self.stop()
            for sign, handler in before.items():
                signal.signal(sign, handler)

    def _on_signal(self, _sign: int, _frame: object) -> None:
        self.stop_requested = True

    # Starting

    def start(self, service: Service) -> None:
        """Start a service and keep it alive from now on."""
        child = _Child(service=service, log=Log(self._logs / f"{service.name}.log"))
        self._children.append(child)
        self._launch(child)

    def _launch(self, child: _Child) -> None:
        if child.service.prepare:
            child.service.prepare()
        child.process = self._spawn(child.service)
        child.started_at = time.monotonic()
        self._listen(child)

    def _spawn(self, service: Service) -> subprocess.Popen[bytes]:
        try:
            process = subprocess.Popen(
                service.argv,
                env=dict(service.env),
                cwd=service.cwd,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=before_exec(death_signal=service.stop_signal),  # noqa: PLW1509 - we have one thread
                **(service.account.popen_arguments() if service.account else {}),
            )
        except OSError as error:
            raise CannotRun(f"{service.name} cannot be started: {service.argv[0]}: {error.strerror}.") from error
        self._tell_watcher(f"+ {process.pid} {int(service.stop_signal)}")
        return process

    def _listen(self, child: _Child) -> None:
        if child.process is not None and child.process.stdout is not None:
            reader = LineReader(child.process.stdout.fileno())
            self._selector.register(child.process.stdout, selectors.EVENT_READ, (child, reader))

    def _tell_watcher(self, line: str) -> None:
        """Tell the watcher of a group; a watcher that was killed is replaced and told of all that live."""
        if self._watcher is not None and self._watcher.poll() is None:
            with suppress(BrokenPipeError):
                self._write_to_watcher(line)
                return
        self._dismiss_watcher()
        kept = (self._keep_open.fileno(),) if self._keep_open else ()
        self._watcher = subprocess.Popen(
            [sys.executable, "-I", "-S", watcher.__file__, str(GRACE)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            cwd="/",
            env={},
            pass_fds=kept,
        )
        for child in self._children:
            if child.process is not None:
                self._write_to_watcher(f"+ {child.process.pid} {int(child.service.stop_signal)}")
        self._write_to_watcher(line)

    def _write_to_watcher(self, line: str) -> None:
        if self._watcher is not None and self._watcher.stdin is not None:
            self._watcher.stdin.write(line.encode() + b"\n")
            self._watcher.stdin.flush()

    # Watching

    def run_forever(self) -> None:
        """Watch until a signal asks to stop; then return. Raises `CannotRun` when a child can't be kept alive."""
        with suppress(StopRequested):
            while True:
                self.turn()

    def wait_for(self, condition: Callable[[], bool], *, what: str, seconds: float) -> None:
        """Watch until `condition` holds.

        Raises `CannotRun` after `seconds` or when a child can't be kept alive, `StopRequested` on a signal.
        """
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline:
                raise CannotRun(f"{what} was not ready after {seconds:.0f} seconds; its log is in {self._logs}.")
            self.turn(pause=0.1)

    def run_once(self, service: Service) -> int:
        """Run a command to its end while watching the others; return its exit code (negative: the signal)."""
        child = _Child(service=service, log=Log(self._logs / f"{service.name}.log"))
        process = child.process = self._spawn(service)
        self._listen(child)
        try:
            while process.poll() is None:
                self.turn()
        finally:
            if process.poll() is None:
                self._end_all([child])
            self._bury(child)
            child.log.close()
        return process.returncode

    def turn(self, *, pause: float = POLL) -> None:
        """Look once at everything: output, ended children, due restarts. Raises `StopRequested` and `CannotRun`."""
        self._read_output(pause)
        if self.stop_requested:
            raise StopRequested
        for child in self._children:
            if child.process is None:
                if time.monotonic() >= child.due_at:
                    self._launch(child)
            elif child.process.poll() is not None:
                self._plan_restart(child)

    def _read_output(self, pause: float) -> None:
        events = self._selector.select(timeout=pause)
        for key, _ in events:
            child, reader = key.data
            for line in reader.lines():
                child.log.write(line)
                self.console.write(child.service.name, line)
            if reader.ended:
                self._selector.unregister(key.fileobj)
                key.fileobj.close()  # type: ignore[union-attr]

    def _plan_restart(self, child: _Child) -> None:
        lived = time.monotonic() - child.started_at
        code = self._bury(child)
        if lived > STEADY:
            child.restarts = 0
        how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}"
        if child.restarts >= RESTARTS:
            raise CannotRun(
                f"{child.service.name} {how}, {RESTARTS + 1} times in a row: giving up. "
                f"Its last lines are in {child.log.path}.",
            )
        pause = min(FIRST_PAUSE * 2**child.restarts, LONGEST_PAUSE)
        child.restarts += 1
        child.due_at = time.monotonic() + pause
        self.console.write(child.service.name, f"{how}; starting it again in {pause:g} s".encode())

    def _bury(self, child: _Child) -> int:
        """Take leave of an ended child: its last words, then whatever is left of its group. Returns its exit code."""
        process = child.process
        if process is None:
            return 0
        code = process.wait()
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        self._drain(child)
        self._tell_watcher(f"- {process.pid}")
        child.process = None
        return code

    def _drain(self, child: _Child) -> None:
        for key in list(self._selector.get_map().values()):
            if key.data[0] is child:
                for line in key.data[1].last_lines():
                    child.log.write(line)
                    self.console.write(child.service.name, line)
                self._selector.unregister(key.fileobj)
                key.fileobj.close()  # type: ignore[union-attr]

    # Stopping

    def stop(self) -> None:
        """Stop all children: first those that use the servers, youngest first, then the servers. Safe to repeat."""
        for are_servers in (False, True):
            self._end_all([child for child in self._children if child.service.is_server is are_servers])
        for child in self._children:
            child.log.close()
        self._children.clear()
        self._dismiss_watcher()

    def _dismiss_watcher(self) -> None:
        """Close the watcher's pipe, which ends it, and wait for that."""
        if self._watcher is not None and self._watcher.stdin is not None:
            with suppress(BrokenPipeError):
                self._watcher.stdin.close()
            self._watcher.wait()
            self._watcher = None

    def _end_all(self, children: list[_Child]) -> None:
        living = [child for child in reversed(children) if child.process is not None]
        for child in living:
            if child.process is not None:
                child.process.send_signal(child.service.stop_signal)
        deadline = time.monotonic() + GRACE
        while time.monotonic() < deadline and any(child.process and child.process.poll() is None for child in living):
            self._read_output(0.05)
        for child in living:
            if child.process is not None and child.process.poll() is None:
                self.console.write(child.service.name, b"did not stop in time: killed")
                child.process.kill()
            self._bury(child)
