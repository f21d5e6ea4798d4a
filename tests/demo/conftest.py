"""What the demo's tests share: the company at one moment, and real directory processes that never outlive a test."""

from __future__ import annotations

import datetime as dt
import signal
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from demo.client import Endpoint
from demo.company import build_company
from demo.directory import write_tokens
from demo.push import directory_endpoints

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from demo.nouns import Company

ROOT = Path(__file__).resolve().parents[2]
NOW = dt.datetime(2026, 11, 23, 12, 34, 56, tzinfo=dt.UTC)
SLUGS = ("workforce", "cloud", "labs", "crm")


class Running:
    """A directory process on a data folder of its own."""

    def __init__(self, data: Path) -> None:
        self.data = data
        self.tokens = write_tokens(data=data, slugs=SLUGS)
        self.origin = ""
        self._process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        """Start it on a free port, and wait until it says that it serves."""
        command = [sys.executable, "-m", "demo.directory", "--port", "0", "--data", str(self.data)]
        with (self.data / "stderr.log").open("ab") as log:
            self._process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=log, text=True)
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert " serving http://" in line, (line, (self.data / "stderr.log").read_text())
        self.origin = line.split()[3]

    def end(self, number: int = signal.SIGTERM) -> int:
        """Send the signal, wait, and return the exit status."""
        assert self._process is not None
        assert self._process.stdout is not None
        self._process.send_signal(number)
        status = self._process.wait(timeout=10)
        self._process.stdout.close()
        self._process = None
        return status

    def close(self) -> None:
        """End it, if it still runs."""
        if self._process is not None:
            self.end(signal.SIGKILL)

    def endpoint(self, slug: str) -> Endpoint:
        return Endpoint(slug=slug, base_url=f"{self.origin}/{slug}/v2", token=self.tokens[slug])

    def endpoints(self, company: Company) -> dict[str, Endpoint]:
        return directory_endpoints(company=company, origin=self.origin, tokens=self.tokens)


@pytest.fixture(scope="session")
def company() -> Company:
    """Halyard as of NOW."""
    return build_company(now=NOW)


@pytest.fixture(scope="module")
def directory_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[], Running]]:
    """Start directory processes, each on an empty folder; all end with the module."""
    with ExitStack() as stack:

        def start() -> Running:
            running = Running(tmp_path_factory.mktemp("directory"))
            stack.callback(running.close)
            running.start()
            return running

        yield start
