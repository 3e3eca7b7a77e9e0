"""Starts and ends Google's official Firestore and Pub/Sub emulators (Google Cloud SDK and Java).

Used by the tests and by `make emulators`. It must end every process it started: `gcloud` leaves its Java child
behind, so each emulator gets a process group of its own and the whole group is ended.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from shared.errors import SettingsError

PROJECT = "demo-sightline"
"""A `demo-` project id: Google's tools never try to reach a real project of that name."""

START_TIMEOUT_SECONDS = 60.0


class EmulatorMissing(RuntimeError):
    """The Google Cloud SDK, one of its emulators, or Java is not on this machine."""


@cache
def missing_reason() -> str | None:
    """Why the emulators cannot run here, in a sentence, or None if they can."""
    absent = [tool for tool in ("gcloud", "java") if shutil.which(tool) is None]
    if absent:
        return f"the emulators need {' and '.join(absent)} on the PATH"
    asked = ["gcloud", "beta", "emulators", "firestore", "start", "--help"]
    if subprocess.run(asked, capture_output=True, stdin=subprocess.DEVNULL, check=False).returncode:
        return "the Google Cloud SDK lacks its `beta` component"
    return None


def free_port() -> int:
    """A loopback TCP port that nothing listens on right now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def require_free_port(host: str, port: int) -> None:
    """Raises `SettingsError` when something listens there already: its answers would be taken for ours."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except (OSError, OverflowError):
            raise SettingsError(f"port {port} cannot be used: it is taken or out of range; choose another") from None


def wait_until_listening(port: int, is_alive: Callable[[], bool]) -> None:
    """Returns when something accepts connections on `port`.

    Raises RuntimeError when `is_alive` says that nothing ever will, or when `START_TIMEOUT_SECONDS` have passed.
    """
    deadline = time.monotonic() + START_TIMEOUT_SECONDS
    while time.monotonic() < deadline:
        with socket.socket() as probe:
            probe.settimeout(0.2)
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        if not is_alive():
            raise RuntimeError(f"what should listen on port {port} has ended")
        time.sleep(0.05)
    raise RuntimeError(f"nothing listened on port {port} within {START_TIMEOUT_SECONDS:.0f} s")


def wait_for_port(port: int, process: subprocess.Popen[bytes], what: str) -> None:
    """Returns when `process` listens on `port`; raises RuntimeError, naming it, if it ends or time runs out."""
    try:
        wait_until_listening(port, lambda: process.poll() is None)
    except RuntimeError as error:
        raise RuntimeError(f"{what}: {error}") from None


def end_group(process: subprocess.Popen[bytes]) -> None:
    """Ends a process started with `start_new_session=True`, and all its children."""
    for how in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, how)
        except ProcessLookupError:
            break
        try:
            process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            continue
        if how is signal.SIGTERM:
            _wait_until_group_is_gone(process.pid, seconds=3)
    process.wait()


def _wait_until_group_is_gone(group: int, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return
        time.sleep(0.05)


@contextmanager
def _emulator(kind: str, log: Path, *options: str) -> Iterator[str]:
    reason = missing_reason()
    if reason:
        raise EmulatorMissing(reason)
    port = free_port()
    host = f"127.0.0.1:{port}"
    command = ["gcloud", "beta", "emulators", kind, "start", f"--host-port={host}", "--quiet", *options]
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, start_new_session=True)
    try:
        wait_for_port(port, process, f"the {kind} emulator (log: {log})")
        yield host
    finally:
        end_group(process)


@contextmanager
def firestore_emulator(log: Path, rules: Path | None = None) -> Iterator[str]:
    """Runs the Firestore emulator while the block lasts; gives the value for `FIRESTORE_EMULATOR_HOST`.

    `rules`: what its users may; without, whoever asks may do everything. The functions are not its users.
    """
    options = [] if rules is None else [f"--rules={rules}"]
    with _emulator("firestore", log, *options) as host:
        yield host


@contextmanager
def pubsub_emulator(log: Path) -> Iterator[str]:
    """Runs the Pub/Sub emulator while the block lasts; gives the value for `PUBSUB_EMULATOR_HOST`."""
    with _emulator("pubsub", log) as host:
        yield host
