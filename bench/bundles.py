"""Each function as it is deployed: its bundle's size, its environment's, and its start until the first reply.

`python -m bench bundles [--runs 7]`. A function is started from its unzipped bundle by the Python of its own
environment, which holds just its requirements; its start is compared with that of a bare functions-framework function
whose environment holds the framework alone. Every round starts each of them once, with warm bytecode, so that whatever
else the machine does meets them all. Processor time is shown beside the clock's: it says the same on a busy machine.

What is asked: HTTP functions a path that does not exist, with the token, so that the reply is the application's own 404
after its middleware and router. Event functions `/robots.txt`, which the framework answers once the function's imports
and settings are done: anything else would need a store. Neither makes a cloud client; `--clients` asks for `/` instead,
which makes them all (against addresses that nothing listens on, so that an event function answers 500).
"""

from __future__ import annotations

import argparse
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from bench.processes import running
from bench.tables import show
from infra import bundle, environments, lock, topology
from local.emulators import free_port

REACH = 3.0
PATIENCE_SECONDS = 60.0
POLL_SECONDS = 0.002

HELLO = "bare hello"
NOWHERE = "127.0.0.1:9"

SOURCES = {
    HELLO: """
import functions_framework

@functions_framework.http
def main(request):
    return "hello"
""",
    "FastAPI hello": """
from fastapi import FastAPI
from functions_framework import aio

application = FastAPI()

@application.get("/")
def hello() -> str:
    return "hello"

@aio.http
async def main(request):
    return application
""",
}

ENVIRONMENT = {
    "FIRESTORE_EMULATOR_HOST": NOWHERE,
    "PUBSUB_EMULATOR_HOST": NOWHERE,
    "STORAGE_EMULATOR_HOST": f"http://{NOWHERE}",
    "GOOGLE_CLOUD_PROJECT": "demo-bench",
    "MEDIA_BUCKET": "media",
    "QUARANTINE_BUCKET": "quarantine",
    "RESULTS_BUCKET": "results",
    "TIMER_QUEUE": "projects/p/locations/l/queues/timers",
    "TIMER_ACCOUNT": "timer",
    "EVIDENCE_BUCKET": "evidence",
    "SIGHTLINE_API_TOKEN": "token",
}


REQUIREMENTS = {HELLO: ("functions-framework",), "FastAPI hello": ("functions-framework", "fastapi")}


@dataclass(frozen=True)
class Subject:
    """What is started: the folder of its `main.py`, its Python, and the path whose reply ends the measurement."""

    name: str
    folder: Path
    python: Path
    path: str
    platform: topology.Platform = "function"
    zipped: Path | None = None


@dataclass(frozen=True)
class Start:
    """One start until the first reply, in seconds."""

    elapsed: float
    processor: float
    reply: str


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m bench bundles", description="Sizes and start-up times of bundles.")
    parser.add_argument("--runs", type=int, default=7, help="measured rounds, after one to warm up")
    parser.add_argument("--clients", action="store_true", help="ask for a reply that needs the cloud clients")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="sightline-bundles-") as folder:
        subjects = [*_bare(Path(folder)), *_functions(Path(folder), options.clients)]
        _report_sizes(subjects)
        starts: dict[str, list[Start]] = {subject.name: [] for subject in subjects}
        for turn in range(options.runs + 1):
            for subject in subjects:
                measured = start(subject)
                if turn > 0:
                    starts[subject.name].append(measured)
        _report_starts(subjects, starts, options.runs)


def _bare(folder: Path) -> Iterator[Subject]:
    for name, source in SOURCES.items():
        place = folder / name.replace(" ", "-")
        place.mkdir()
        (place / "main.py").write_text(source)
        _require(REQUIREMENTS[name], place / "requirements.txt")
        yield Subject(name, place, environments.python_with(place / "requirements.txt"), "/")


def _require(names: Sequence[str], target: Path) -> None:
    """Writes requirements of these distributions alone, in the versions of the lock."""
    command = [sys.executable, "-m", "uv", "pip", "compile", "-", *lock.OPTIONS, "--constraint", lock.LOCK]
    command += ["--no-header", "--output-file", str(target)]
    subprocess.run(command, cwd=topology.ROOT, input="\n".join(names), text=True, check=True)


def _functions(folder: Path, clients: bool) -> Iterator[Subject]:
    for name, declared in topology.load().functions.items():
        zipped = bundle.build(name, folder)
        with zipfile.ZipFile(zipped) as archive:
            archive.extractall(folder / name)
        path = "/nothing-here" if declared.routes else "/robots.txt"
        python = environments.python_of(name)
        yield Subject(name, folder / name, python, "/" if clients else path, declared.platform, zipped)


def start(subject: Subject) -> Start:
    """Starts the subject, asks until it replies, ends it."""
    port = free_port()
    begun = time.perf_counter()
    command = bundle.start_command(subject.platform, str(subject.python), port)
    with running(command, subject.folder, {"PATH": os.environ["PATH"], **ENVIRONMENT}) as process:
        reply = _first_reply(port, subject.path, process)
        elapsed = time.perf_counter() - begun
        return Start(elapsed, _processor_seconds(process.pid), reply)


def _first_reply(port: int, path: str, process: subprocess.Popen[bytes]) -> str:
    """The status of the first reply, as in `404 Not Found`."""
    request = f"GET {path} HTTP/1.0\r\nHost: localhost\r\nAuthorization: Bearer token\r\n\r\n"
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        with socket.socket() as connection:
            connection.settimeout(PATIENCE_SECONDS)
            if connection.connect_ex(("127.0.0.1", port)) == 0:
                connection.sendall(request.encode())
                status = connection.makefile("rb").readline().decode()
                return status.strip().partition(" ")[2]
        if process.poll() is not None:
            raise RuntimeError(f"the function ended with status {process.returncode}")
        time.sleep(POLL_SECONDS)
    raise RuntimeError(f"no reply within {PATIENCE_SECONDS:.0f} s")


def _processor_seconds(pid: int) -> float:
    """What the process and its workers used of the processors so far."""
    parent = psutil.Process(pid)
    times = [member.cpu_times() for member in (parent, *parent.children(recursive=True))]
    return sum(each.user + each.system for each in times)


def _report_sizes(subjects: Sequence[Subject]) -> None:
    rows = []
    for subject in subjects:
        installed = subject.python.parents[1] / "lib"
        modules = len(list(subject.folder.rglob("*.py")))
        size = f"{subject.zipped.stat().st_size / 1024:.0f}" if subject.zipped else "-"
        distributions = len(list(installed.glob("*/site-packages/*.dist-info")))
        rows.append([subject.name, size, str(modules), str(distributions), f"{_size_of(installed) / 1e6:.0f}"])
    show("Sizes", ["function", "bundle KiB", "its modules", "distributions", "installed MB"], rows)


def _size_of(folder: Path) -> int:
    """What was installed, in bytes: without the bytecode that running it adds."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file() and path.suffix != ".pyc")


def _report_starts(subjects: Sequence[Subject], starts: Mapping[str, Sequence[Start]], runs: int) -> None:
    bare_elapsed, bare_processor = _medians(starts[HELLO])
    rows = []
    for subject in subjects:
        elapsed, processor = _medians(starts[subject.name])
        ratio = elapsed / bare_elapsed
        rows.append(
            [
                subject.name,
                f"GET {subject.path}: {starts[subject.name][-1].reply}",
                f"{elapsed:.3f}",
                f"{min(each.elapsed for each in starts[subject.name]):.3f}",
                f"{ratio:.2f}x",
                f"{processor:.3f}",
                f"{processor / bare_processor:.2f}x",
                "" if subject.zipped is None else "yes" if ratio <= REACH else "NO",
            ]
        )
    show(
        "Start of a function until its first reply",
        ["function", "reply", "seconds", "least", "ratio", "processor s", "ratio", f"<= {REACH:g}x"],
        rows,
        [f"Medians of {runs} rounds; ratios to the bare function, of functions-framework alone."],
    )


def _medians(starts: Sequence[Start]) -> tuple[float, float]:
    return statistics.median(each.elapsed for each in starts), statistics.median(each.processor for each in starts)


if __name__ == "__main__":
    main()
