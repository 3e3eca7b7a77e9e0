"""Signals with and without images: `python -m bench.signal_images`.

The embedded server in a process of its own, asked over HTTP on loopback. Each row has its own beacons, so that they
open and absorb as in a fleet. The exit status is 1 if a signal was refused, or got no reply.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from bench.photos import draw_photo
from bench.processes import running
from bench.signals import Burst, client, report_many
from bench.tables import show
from infra import topology
from local.emulators import free_port, wait_for_port

CLIENTS = (1, 16, 64)
BEACONS = 20
PHOTOS = 4
"""Different ones of each size, in turn."""

COLUMNS = (
    "image",
    "kB",
    "clients",
    "signals",
    "put off",
    "signals/s",
    "p50 ms",
    "p95 ms",
    "p99 ms",
    "client",
    "to none",
)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line."""
    options = _parser().parse_args(arguments)
    sizes = photos()
    rows: list[list[str]] = []
    refused = 0
    with tempfile.TemporaryDirectory(prefix="sightline-images-") as folder, embedded_server(Path(folder)) as base_url:
        yardsticks: dict[int, Burst] = {}
        for name, drawn in sizes.items():
            for clients in CLIENTS:
                burst = _measured(base_url, f"{name} {clients}", drawn, clients, options)
                yardstick = yardsticks.setdefault(clients, burst)
                rows.append(_row(name, drawn, clients, burst, yardstick))
                refused += len(burst.replies) - burst.accepted
    notes = [
        "put off: told to come again (503), and accepted then; the waiting counts.",
        "client: how many cores sending kept busy, of the same machine.",
        "to none: signals a second against those without an image, by as many clients.",
    ]
    if refused:
        notes.append(f"NOT every signal was accepted: {refused} were refused or got no reply.")
    show(f"Signals at {BEACONS} beacons, at most {options.seconds:.0f} s a row", COLUMNS, rows, notes)
    return 1 if refused else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Signals a second, with and without images.")
    parser.add_argument("--signals", type=int, default=1000, help="at most so many a row")
    parser.add_argument("--seconds", type=float, default=15.0, help="after which a row begins no more signals")
    return parser


def photos() -> Mapping[str, Sequence[bytes]]:
    """What is sent along, by name."""
    return {
        "none": (),
        "camera, 720p": [draw_photo(1280, 720, seed, quality=77) for seed in range(PHOTOS)],
        "phone, 12 MP": [draw_photo(4000, 3000, seed, quality=90) for seed in range(PHOTOS)],
    }


@contextmanager
def embedded_server(folder: Path) -> Iterator[str]:
    """The embedded server; gives its base URL."""
    port = free_port()
    command = [sys.executable, "-m", "local", "serve", "--data", str(folder / "data"), "--port", str(port)]
    environment = {name: value for name, value in os.environ.items() if name != "SIGHTLINE_API_TOKEN"}
    with running(command, topology.ROOT, environment, folder / "serve.log") as process:
        wait_for_port(port, process, "the embedded server")
        yield f"http://127.0.0.1:{port}"


def _measured(base_url: str, name: str, drawn: Sequence[bytes], clients: int, options: argparse.Namespace) -> Burst:
    beacons = [f"{name} {number}" for number in range(BEACONS)]
    with client(base_url, None, connections=clients) as sender:
        for each in beacons:
            sender.put(f"/beacons/{each}", json={"location": each}).raise_for_status()
        report_many(sender, beacons, signals=2, threads=1, photos=drawn)
        return report_many(
            sender, beacons, signals=options.signals, threads=clients, seconds=options.seconds, photos=drawn
        )


def _row(name: str, drawn: Sequence[bytes], clients: int, burst: Burst, yardstick: Burst) -> list[str]:
    waits = sorted(1000 * reply.seconds for reply in burst.replies)
    return [
        name,
        f"{sum(map(len, drawn)) / len(drawn) / 1000:.0f}" if drawn else "0",
        str(clients),
        str(burst.accepted),
        str(sum(reply.put_off for reply in burst.replies)),
        f"{burst.throughput:.1f}",
        *(f"{waits[len(waits) * percent // 100]:.0f}" for percent in (50, 95, 99)),
        f"{burst.client_cores:.2f}",
        f"{burst.throughput / yardstick.throughput:.2f}x",
    ]


if __name__ == "__main__":
    sys.exit(main())
