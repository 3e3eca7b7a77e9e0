"""The embedded server in a process of its own, and the memory of processes, for the benchmarks of uploads."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import psutil

from bench.processes import running
from infra.topology import ROOT
from local.emulators import free_port, wait_for_port

SAMPLE_SECONDS = 0.05


def open_environment() -> dict[str, str]:
    """This process's environment without a token, so that the server is open to all.

    Nothing is reused either: the benchmarks send one clip many times, and each shall be looked at.
    """
    kept = {name: value for name, value in os.environ.items() if name != "SIGHTLINE_API_TOKEN"}
    return {**kept, "REUSE_ANALYSES": "never"}


@dataclass(frozen=True)
class Server:
    """A running server: where it is reached, and its process."""

    origin: str
    pid: int


@contextmanager
def embedded_server(folder: Path, environment: Mapping[str, str] | None = None) -> Iterator[Server]:
    """Serves with an empty data folder below `folder` while the block lasts."""
    port = free_port()
    command = [sys.executable, "-m", "local", "serve", "--data", str(folder / "data"), "--port", str(port)]
    with running(command, ROOT, environment or open_environment(), folder / "serve.log") as process:
        wait_for_port(port, process, "the embedded server")
        yield Server(f"http://127.0.0.1:{port}", process.pid)


class PeakMemory:
    """Watches a process and its children while the block lasts. `megabytes`: the most any one of them had resident."""

    def __init__(self, pid: int) -> None:
        self._process = psutil.Process(pid)
        self._peak = 0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    @property
    def megabytes(self) -> float:
        """In units of 10^6 bytes."""
        return self._peak / 1e6

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._ended.wait(SAMPLE_SECONDS):
            with suppress(psutil.Error):
                for process in (self._process, *self._process.children(recursive=True)):
                    self._peak = max(self._peak, process.memory_info().rss)
