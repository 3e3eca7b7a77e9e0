"""Many signals at one beacon at once, against the same service with a hot document: `python -m bench.signals`.

Each variant is a process of its own, asked over HTTP on loopback: the embedded server, and the `signals` function by
functions-framework on the official emulators; beside each, the same service whose signals all rewrite their incident
(bench/hot_document.py). The exit status is 1 unless Sightline accepted every signal, opened exactly one incident and
stored every signal in it.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import httpx
from google.cloud import firestore

from bench.processes import running
from bench.tables import show
from infra import topology
from local import stack
from local.emulators import EmulatorMissing, free_port, wait_for_port
from shared.adapters.embedded.documents import SqliteDocuments
from shared.adapters.google.documents import FirestoreDocuments
from shared.ports import Documents, Filter, Query
from shared.repositories import incidents

REPLY_SECONDS = 30.0
BUSY = 503
PATIENCE = 60
"""How often a signal that is told to come again does so."""

IDLE_SECONDS = 1.0
"""Sooner than a server closes an idle connection, so that no request meets one that is being closed."""

COLUMNS = (
    "variant",
    "sent",
    "accepted",
    "incidents",
    "stored",
    "seconds",
    "signals/s",
    "p50 ms",
    "p95 ms",
    "p99 ms",
    "client",
    "to hot",
)


@dataclass(frozen=True)
class Service:
    """Something that takes signals: its origin, where its places are set up, its token, and its store."""

    name: str
    base_url: str
    registry_url: str
    token: str | None
    documents: Documents


@dataclass(frozen=True)
class Reply:
    """What one signal got in the end. `status` 0: no reply in time. `outcome`: the reply's own word for it.

    `seconds` are those from the first try to the last reply; `put_off`: how often it was told to come again (503).
    """

    status: int
    outcome: str
    seconds: float
    put_off: int = 0
    body: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Burst:
    """All replies, how long they took together, and how many cores the client kept busy."""

    replies: Sequence[Reply]
    seconds: float
    client_cores: float

    @property
    def accepted(self) -> int:
        """How many signals were delivered."""
        return sum(200 <= reply.status < 300 for reply in self.replies)

    @property
    def throughput(self) -> float:
        """Delivered signals a second."""
        return self.accepted / self.seconds


@dataclass(frozen=True)
class Result:
    """What a service made of the signals."""

    service: str
    burst: Burst
    incidents: int
    stored: int

    def is_exact(self, signals: int) -> bool:
        """Whether every signal was accepted and stored, in one incident."""
        return (self.burst.accepted, self.incidents, self.stored) == (signals, 1, signals)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line."""
    options = _parser().parse_args(arguments)
    homes = {"embedded": embedded_services, "emulators": emulator_services}
    rows: list[list[str]] = []
    notes = ["client: how many cores sending kept busy; near 1, the client is the bottleneck."]
    status = 0
    for home, services in homes.items():
        if options.home not in {None, home}:
            continue
        try:
            with services() as (ours, hot):
                result, yardstick = _measured(ours, options), _measured(hot, options)
        except EmulatorMissing as error:
            notes.append(f"The {home} were left out: {error}.")
            continue
        rows += [_row(result, yardstick), _row(yardstick, yardstick)]
        if not result.is_exact(options.signals):
            notes.append(f"{result.service}: NOT every signal was accepted and stored in one incident.")
            status = 1
    show(f"{options.signals} signals by {options.threads} threads at one beacon", COLUMNS, rows, notes)
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Signals at one beacon, against a hot document.")
    parser.add_argument("--signals", type=int, default=1000)
    parser.add_argument("--threads", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=60.0, help="after which a service gets no more signals")
    parser.add_argument("--home", choices=["embedded", "emulators"], help="both, if none is named")
    return parser


def _measured(service: Service, options: argparse.Namespace) -> Result:
    """A few signals elsewhere warm the service up; then the burst, and a look into its store."""
    beacon = service.name
    with client(service.registry_url, service.token, connections=1) as administrator:
        for each in ("warm-up", beacon):
            administrator.put(f"/beacons/{each}", json={"location": "Gate"}).raise_for_status()
    with client(service.base_url, service.token, connections=options.threads) as sender:
        report_many(sender, "warm-up", signals=5, threads=1)
        burst = report_many(sender, beacon, signals=options.signals, threads=options.threads, seconds=options.seconds)
    at_beacon = Query(incidents.INCIDENTS, (Filter("beacon_id", "==", beacon),))
    opened = service.documents.query(at_beacon, limit=options.signals).documents
    stored = sum(incidents.signal_count(service.documents, incident.id) for incident in opened)
    return Result(service.name, burst, len(opened), stored)


def client(base_url: str, token: str | None, *, connections: int) -> httpx.Client:
    """A client for so many threads at once."""
    limits = httpx.Limits(
        max_connections=connections, max_keepalive_connections=connections, keepalive_expiry=IDLE_SECONDS
    )
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    return httpx.Client(base_url=base_url, headers=headers, timeout=REPLY_SECONDS, limits=limits)


def report_many(
    sender: httpx.Client,
    beacon_ids: str | Sequence[str],
    *,
    signals: int,
    threads: int,
    seconds: float = REPLY_SECONDS,
    photos: Sequence[bytes] = (),
) -> Burst:
    """Reports violence `signals` times from so many threads, as fast as they can; no more after `seconds`.

    With several beacons or `photos` (JPEG), each signal has the next one of them.
    """
    beacons = [beacon_ids] if isinstance(beacon_ids, str) else beacon_ids
    numbers = count()
    replies: list[Reply] = []
    begun, used = time.perf_counter(), time.process_time()

    def work() -> None:
        while (number := next(numbers)) < signals and time.perf_counter() < begun + seconds:
            photo = photos[number % len(photos)] if photos else None
            replies.append(_report(sender, beacons[number % len(beacons)], photo))

    workers = [threading.Thread(target=work) for _ in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    took = time.perf_counter() - begun
    return Burst(replies, took, (time.process_time() - used) / took)


def _report(sender: httpx.Client, beacon_id: str, photo: bytes | None) -> Reply:
    """One signal; who is told to come again does so, when it is told to."""
    signal = {"beacon_id": beacon_id, "confidence_score": "0.9", "description": "A fight at the gate"}
    sent: dict[str, Any] = {"json": {**signal, "confidence_score": 0.9}}
    if photo is not None:
        sent = {"data": signal, "files": {"images": ("photo.jpg", photo, "image/jpeg")}}
    begun = time.perf_counter()
    for put_off in count():
        try:
            reply = sender.post("/api/ai/violence-detected/", **sent)
        except httpx.TransportError as error:
            return Reply(0, type(error).__name__, time.perf_counter() - begun, put_off)
        if reply.status_code != BUSY or put_off == PATIENCE:
            break
        time.sleep(float(reply.headers["Retry-After"]))
    body = reply.json()
    return Reply(reply.status_code, body.get("status", ""), time.perf_counter() - begun, put_off, body)


@contextmanager
def embedded_services() -> Iterator[tuple[Service, Service]]:
    """The embedded server, and the hot document by compare-and-set on a store of the same kind."""
    modules = {"embedded": ["local", "serve"], "embedded, hot document": ["bench.hot_document"]}
    environment = {name: value for name, value in os.environ.items() if name != "SIGHTLINE_API_TOKEN"}
    indexes = topology.load().document_indexes()
    with tempfile.TemporaryDirectory(prefix="sightline-signals-") as folder, ExitStack() as closing:
        services = []
        for name, module in modules.items():
            data = Path(folder) / name.replace(" ", "-")
            port = free_port()
            command = [sys.executable, "-m", *module, "--data", str(data), "--port", str(port)]
            closing.enter_context(_serving(name, command, port, environment, Path(folder)))
            documents = SqliteDocuments(data / "documents.sqlite3", indexes)
            closing.callback(documents.close)
            origin = f"http://127.0.0.1:{port}"
            services.append(Service(name, origin, origin, None, documents))
        yield services[0], services[1]


@contextmanager
def emulator_services() -> Iterator[tuple[Service, Service]]:
    """The deployed function, and the hot document by transactions, on the same emulators."""
    with tempfile.TemporaryDirectory(prefix="sightline-signals-") as folder, ExitStack() as closing:
        started = closing.enter_context(stack.running_stack(Path(folder), free_port()))
        port = free_port()
        source = [f"--source={Path(__file__).with_name('hot_document.py')}", "--target=hot_document"]
        command = [sys.executable, "-m", "functions_framework", *source, "--host=127.0.0.1", f"--port={port}"]
        name = "emulators, hot document"
        environment = {**os.environ, **started.environment}
        closing.enter_context(_serving(name, command, port, environment, Path(folder)))
        store = firestore.Client(project=started.environment["GOOGLE_CLOUD_PROJECT"])
        closing.callback(store.close)
        documents = FirestoreDocuments(store)
        ours, hot = started.functions, f"http://127.0.0.1:{port}"
        yield (
            Service("emulators", ours["signals"], ours["registry"], stack.TOKEN, documents),
            Service(name, hot, hot, stack.TOKEN, documents),
        )


@contextmanager
def _serving(
    name: str, command: Sequence[str], port: int, environment: Mapping[str, str], folder: Path
) -> Iterator[None]:
    """Runs a server from the root of the repository, logging into a file as it would into a pipe."""
    with running(command, topology.ROOT, environment, folder / f"{name}.log") as process:
        wait_for_port(port, process, name)
        yield


def _row(result: Result, yardstick: Result) -> list[str]:
    burst = result.burst
    waits = sorted(1000 * reply.seconds for reply in burst.replies)
    return [
        result.service,
        str(len(burst.replies)),
        str(burst.accepted),
        str(result.incidents),
        str(result.stored),
        f"{burst.seconds:.2f}",
        f"{burst.throughput:.1f}",
        *(f"{waits[len(waits) * percent // 100]:.0f}" for percent in (50, 95, 99)),
        f"{burst.client_cores:.2f}",
        f"{burst.throughput / yardstick.burst.throughput:.1f}x" if yardstick.burst.accepted else "none accepted",
    ]


if __name__ == "__main__":
    sys.exit(main())
