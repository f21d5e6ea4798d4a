"""The supervisor: children are kept alive, and none is left."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from local import processes
from local import supervisor as module
from local.errors import CannotRun, StopRequested
from local.state import ROOT
from local.supervisor import Service, Supervisor
from tests.local.conftest import all_gone, descendants, until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.local

SLEEPS = "import time\nwhile True: time.sleep(60)"
NOTES_ITS_PID = "import os, pathlib\npathlib.Path('pids').open('a').write(f'{os.getpid()}\\n')\n"
NOTES_ITS_STOP = """
import pathlib, signal, sys
def stop(*_):
    pathlib.Path('stops').open('a').write('NAME\\n')
    sys.exit()
signal.signal(signal.SIGTERM, stop)
pathlib.Path('NAME.up').touch()
"""


def noted_pids(folder: Path) -> list[int]:
    path = folder / "pids"
    return [int(line) for line in path.read_text(encoding="ascii").split()] if path.exists() else []


def test_a_killed_child_is_started_again(
    supervisor: Supervisor, python_service: Callable[..., Service], tmp_path: Path
) -> None:
    supervisor.start(python_service("child", NOTES_ITS_PID + SLEEPS))
    supervisor.wait_for(lambda: len(noted_pids(tmp_path)) == 1, what="the child", seconds=10)

    os.kill(noted_pids(tmp_path)[0], signal.SIGKILL)
    supervisor.wait_for(lambda: len(noted_pids(tmp_path)) == 2, what="the child", seconds=10)

    first, second = noted_pids(tmp_path)
    assert not processes.is_alive(first)
    assert processes.is_alive(second)


def test_a_restart_waits_longer_each_time(
    supervisor: Supervisor,
    python_service: Callable[..., Service],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "FIRST_PAUSE", 0.4)
    notes_the_time = "import pathlib, time\npathlib.Path('times').open('a').write(f'{time.time()}\\n')"
    supervisor.start(python_service("child", notes_the_time))
    times = tmp_path / "times"

    supervisor.wait_for(
        lambda: times.exists() and len(times.read_text(encoding="ascii").split()) == 4,
        what="the fourth start",
        seconds=20,
    )

    first, second, third, fourth = map(float, times.read_text(encoding="ascii").split())
    assert second - first >= 0.4
    assert third - second >= 0.8
    assert fourth - third >= 1.6


def test_a_child_that_ends_again_and_again_is_given_up_after_five_restarts(
    supervisor: Supervisor,
    python_service: Callable[..., Service],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "FIRST_PAUSE", 0.01)
    supervisor.start(python_service("child", NOTES_ITS_PID + "raise SystemExit(7)"))

    with pytest.raises(CannotRun) as refusal:
        supervisor.run_forever()

    log = tmp_path / "logs" / "child.log"
    assert str(refusal.value) == (f"child ended with code 7, 6 times in a row: giving up. Its last lines are in {log}.")
    assert len(noted_pids(tmp_path)) == 6


def test_a_child_that_was_well_for_a_while_has_all_its_restarts_again(
    supervisor: Supervisor,
    python_service: Callable[..., Service],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "FIRST_PAUSE", 0.01)
    monkeypatch.setattr(module, "STEADY", 0.0)
    supervisor.start(python_service("child", NOTES_ITS_PID))

    supervisor.wait_for(lambda: len(noted_pids(tmp_path)) == 8, what="the eighth start", seconds=20)


def test_what_a_killed_child_had_started_is_gone_before_it_starts_again(
    supervisor: Supervisor, python_service: Callable[..., Service], tmp_path: Path
) -> None:
    starts_another = (
        f"import subprocess, sys\nsubprocess.Popen([sys.executable, '-S', '-c', {NOTES_ITS_PID + SLEEPS!r}])\n"
    )
    supervisor.start(python_service("child", NOTES_ITS_PID + starts_another + SLEEPS))
    supervisor.wait_for(lambda: len(noted_pids(tmp_path)) == 2, what="child and grandchild", seconds=10)
    child, grandchild = noted_pids(tmp_path)

    os.kill(child, signal.SIGKILL)
    supervisor.wait_for(lambda: len(noted_pids(tmp_path)) >= 3, what="the second child", seconds=10)

    assert all_gone({child, grandchild})


def test_children_stop_youngest_first_and_servers_last(
    supervisor: Supervisor, python_service: Callable[..., Service], tmp_path: Path
) -> None:
    for name, is_server in (("server", True), ("web", False), ("worker", False)):
        code = NOTES_ITS_STOP.replace("NAME", name) + SLEEPS
        supervisor.start(python_service(name, code, is_server=is_server))
    supervisor.wait_for(lambda: len(list(tmp_path.glob("*.up"))) == 3, what="three children", seconds=10)

    supervisor.stop()

    stops = (tmp_path / "stops").read_text(encoding="ascii").split()
    assert sorted(stops[:2]) == ["web", "worker"]
    assert stops[2:] == ["server"]


def test_a_child_that_does_not_stop_in_time_is_killed(
    supervisor: Supervisor,
    python_service: Callable[..., Service],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "GRACE", 0.3)
    deaf = "import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
    supervisor.start(python_service("deaf", deaf + NOTES_ITS_PID + SLEEPS))
    supervisor.wait_for(lambda: noted_pids(tmp_path) != [], what="the child", seconds=10)
    started = time.monotonic()

    supervisor.stop()

    assert time.monotonic() - started < 5
    assert all_gone(set(noted_pids(tmp_path)))


def test_a_child_can_be_interrupted_even_when_our_caller_ignores_interrupts(
    supervisor: Supervisor, python_service: Callable[..., Service], tmp_path: Path
) -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        shows = "import signal\nprint(signal.getsignal(signal.SIGINT) is signal.default_int_handler)"
        code = supervisor.run_once(python_service("child", shows))
    finally:
        signal.signal(signal.SIGINT, before)

    assert code == 0
    assert (tmp_path / "logs" / "child.log").read_text(encoding="ascii") == "True\n"


def test_a_command_run_beside_gives_its_exit_code_and_its_last_words(
    supervisor: Supervisor, python_service: Callable[..., Service], tmp_path: Path
) -> None:
    code = supervisor.run_once(python_service("once", "print('first')\nprint('last', end='')\nraise SystemExit(3)"))

    assert code == 3
    assert (tmp_path / "logs" / "once.log").read_text(encoding="ascii") == "first\nlast\n"


def test_a_command_run_beside_is_stopped_when_the_supervisor_is(
    supervisor: Supervisor, python_service: Callable[..., Service], tmp_path: Path
) -> None:
    # the command itself asks its parent, the supervisor, to stop
    code = NOTES_ITS_PID + "import signal\nos.kill(os.getppid(), signal.SIGTERM)\n" + SLEEPS
    with pytest.raises(StopRequested):
        supervisor.run_once(python_service("once", code))

    assert all_gone(set(noted_pids(tmp_path)))


def test_waiting_too_long_says_what_was_not_ready(supervisor: Supervisor, tmp_path: Path) -> None:
    with pytest.raises(CannotRun) as refusal:
        supervisor.wait_for(lambda: False, what="The web process", seconds=0.2)

    assert str(refusal.value) == f"The web process was not ready after 0 seconds; its log is in {tmp_path / 'logs'}."


def test_a_program_that_is_not_there_is_named(supervisor: Supervisor, tmp_path: Path) -> None:
    service = Service(name="ghost", argv=("/no/such/program",), env={}, cwd=tmp_path)
    with pytest.raises(CannotRun) as refusal:
        supervisor.start(service)

    assert str(refusal.value) == "ghost cannot be started: /no/such/program: No such file or directory."


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A supervisor in a process of its own with a polite child, a deaf one, and one that has a deaf child itself."""
    process = subprocess.Popen(  # its grace is a second
        [sys.executable, Path(__file__).with_name("supervisor_alone.py"), tmp_path],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.DEVNULL,
    )
    assert until(lambda: len(noted_pids(tmp_path)) == 4)
    yield process
    if process.poll() is None:
        process.terminate()
        process.wait(timeout=10)


def test_a_killed_supervisor_leaves_no_process(alone: subprocess.Popen[bytes], tmp_path: Path) -> None:
    family = descendants(alone.pid)
    assert set(noted_pids(tmp_path)) < family  # the watcher is there too

    alone.kill()
    alone.wait()

    assert until(lambda: all_gone(family), seconds=10)


@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_each_signal_that_ends_us_ends_all_children(
    alone: subprocess.Popen[bytes], tmp_path: Path, sign: signal.Signals
) -> None:
    family = descendants(alone.pid)

    alone.send_signal(sign)

    assert alone.wait(timeout=10) == 0
    assert all_gone(family)


def test_a_killed_watcher_is_replaced_and_knows_all_children(tmp_path: Path, alone: subprocess.Popen[bytes]) -> None:
    watchers = descendants(alone.pid) - set(noted_pids(tmp_path))
    assert len(watchers) == 1
    os.kill(watchers.pop(), signal.SIGKILL)
    os.kill(noted_pids(tmp_path)[0], signal.SIGKILL)  # its replacement is what the supervisor tells a watcher of
    assert until(lambda: len(noted_pids(tmp_path)) >= 5)
    family = descendants(alone.pid)

    alone.kill()
    alone.wait()

    assert until(lambda: all_gone(family), seconds=10)
