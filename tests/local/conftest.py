"""State directories, the product and stand-ins for it, and a look at the machine's processes."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from local import ports, processes, servers
from local.state import ROOT, State
from local.supervisor import Service, Supervisor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PRODUCT = Path(__file__).parent / "product"

# What a test session sets and a newcomer's shell does not.
SET_BY_TESTS = ("DATABASE_URL", "DATABASE_OWNER_URL", "DATABASE_ERASER_URL", "REDIS_URL", "PORT", "DEMO")


def newcomers_environment(**values: str) -> dict[str, str]:
    """The environment of a person who has set nothing for Rollcall, and `values`."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if name not in SET_BY_TESTS and not name.startswith(("ROLLCALL_", "PYTEST_"))
    }
    return {**kept, **values}


def until(condition: Callable[[], bool], *, seconds: float = 20.0) -> bool:
    """Wait for a condition; say whether it came true in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def family_tree() -> dict[int, list[int]]:
    """The children of each process, as the machine knows them now."""
    listed = subprocess.run(["ps", "-ax", "-o", "pid=,ppid="], capture_output=True, text=True, check=True).stdout
    children: dict[int, list[int]] = {}
    for line in listed.splitlines():
        child, parent = map(int, line.split())
        children.setdefault(parent, []).append(child)
    return children


def descendants(pid: int) -> set[int]:
    """All processes that stem from this one."""
    children = family_tree()
    found: set[int] = set()
    waiting = [pid]
    while waiting:
        for child in children.get(waiting.pop(), []):
            found.add(child)
            waiting.append(child)
    return found


def all_gone(pids: set[int]) -> bool:
    """Say whether none of these processes lives any more."""
    return not any(processes.is_alive(pid) for pid in pids)


@pytest.fixture
def state(tmp_path: Path) -> Iterator[State]:
    """A prepared state directory; what PostgreSQL had to put elsewhere goes too."""
    made = State(tmp_path / "state")
    made.prepare()
    yield made
    if made.path.exists():
        servers.remove(made)


@pytest.fixture
def supervisor(tmp_path: Path) -> Iterator[Supervisor]:
    """A supervisor in this process, with its logs below `tmp_path / "logs"`."""
    logs = tmp_path / "logs"
    logs.mkdir()
    with Supervisor(logs=logs, quiet=True).running() as running:
        yield running


@pytest.fixture
def python_service(tmp_path: Path) -> Callable[..., Service]:
    """Makes services out of a few lines of Python, which run in `tmp_path`."""

    def make(name: str, code: str, *, is_server: bool = False) -> Service:
        return Service(
            name=name,
            argv=(sys.executable, "-u", "-S", "-c", code),
            env={"PATH": os.environ["PATH"]},
            cwd=tmp_path,
            is_server=is_server,
        )

    return make


@dataclass
class RunningUp:
    """`python -m local up` with a stand-in for the product, and everything that it said."""

    process: subprocess.Popen[str]
    said: Path
    values: dict[str, str] = field(default_factory=dict)

    def text(self) -> str:
        """What it has said so far."""
        return self.said.read_text(encoding="utf-8", errors="replace")

    def says(self, words: str, *, seconds: float = 60.0) -> bool:
        """Wait until it has said these words."""
        return until(lambda: words in self.text() or self.process.poll() is not None, seconds=seconds) and (
            words in self.text()
        )

    def end(self, sign: signal.Signals = signal.SIGINT, *, seconds: float = 30.0) -> int:
        """Send a signal and wait for the end; return the exit code."""
        self.process.send_signal(sign)
        return self.process.wait(timeout=seconds)


@dataclass
class Product:
    """A tree with `local/`, `gunicorn_conf.py` and stand-ins for everything else."""

    root: Path
    port: int
    running: list[RunningUp] = field(default_factory=list)

    def local(self, *arguments: str, typed: str = "", **values: str) -> subprocess.CompletedProcess[str]:
        """Run `python -m local ...` in the tree to its end."""
        return subprocess.run(
            [sys.executable, "-m", "local", *arguments],
            cwd=self.root,
            env=newcomers_environment(PORT=str(self.port)) | values,
            input=typed,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )

    def up(self, **values: str) -> RunningUp:
        """Start `python -m local up` in the tree."""
        said = self.root / f"said-{len(self.running)}"
        with said.open("w", encoding="utf-8") as file:
            process = subprocess.Popen(
                [sys.executable, "-m", "local", "up"],
                cwd=self.root,
                env=newcomers_environment(PORT=str(self.port)) | values,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                text=True,
                start_new_session=True,
            )
        self.running.append(RunningUp(process, said, values))
        return self.running[-1]

    @property
    def state(self) -> State:
        return State(self.root / ".rollcall")


@contextmanager
def running_in(root: Path) -> Iterator[Product]:
    """The product of this tree, on a free port; whatever was started is stopped in the end, and its data go."""
    made = Product(root=root, port=ports.pick())
    try:
        yield made
    finally:
        for running in made.running:
            if running.process.poll() is None:
                running.end()
        if made.state.path.exists():
            servers.remove(made.state)


@pytest.fixture
def product(tmp_path: Path) -> Iterator[Product]:
    """A tree of its own, in which everything that a test started is stopped in the end."""
    root = tmp_path / "tree"
    shutil.copytree(PRODUCT, root, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "local", root / "local", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "gunicorn_conf.py", root)
    shutil.copy(ROOT / "governance" / "workers.py", root / "governance")
    with running_in(root) as made:
        yield made


def copy_of_the_tree(root: Path) -> Path:
    """The product itself, as a clone would have it: what is committed, and what is about to be."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if listed.returncode != 0:  # an unpacked archive
        hidden = shutil.ignore_patterns(".venv", ".rollcall", ".git", "__pycache__", "node_modules", ".*_cache")
        return Path(shutil.copytree(ROOT, root, ignore=hidden))
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).is_file():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, root / name)
    return root
