"""The functions as they are deployed, on the official emulators: one functions-framework process a bundle.

Pub/Sub pushes to the event functions, the embedded blob server stands in for Cloud Storage (which has no official
emulator), and a gateway gives one origin. `make emulators` runs it for a developer, the end-to-end test for CI.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import threading
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path

import uvicorn
from google.pubsub_v1 import PublisherClient, SubscriberClient
from starlette.applications import Starlette

from infra import bundle, topology
from local import emulators
from local.cloud_tasks import running_cloud_tasks
from local.firebase_messaging import running_firebase_messaging
from local.gateway import gateway
from local.home import bucket_name, notification_rules
from local.pubsub_topology import Backoff, PushSubscription, create_topology
from local.ticker import Ticker
from shared.adapters.embedded.blob_folder import BlobFolder
from shared.adapters.embedded.blob_keys import FILE_NAME, local_signing_key
from shared.adapters.embedded.blob_notifications import NotificationRelay
from shared.adapters.embedded.blob_server import create_blob_server
from shared.adapters.google.bus import PubSubBus

TOKEN = "emulators"  # noqa: S105 - guards nothing: the stack listens on loopback only
"""The bearer token of the stack: the deployed functions insist on one."""

PythonOf = Callable[[str], Path]
"""A function's name → the interpreter it is started by."""

BACKOFF = Backoff(timedelta(seconds=3), timedelta(seconds=10))


def own_python(_: str) -> Path:
    """The interpreter that runs this, whose environment holds the requirements of all functions."""
    return Path(sys.executable)


@dataclass(frozen=True)
class Stack:
    """A running stack: the gateway's origin, each function's own, what they were started with, and the logs' folder."""

    base_url: str
    functions: Mapping[str, str]
    environment: Mapping[str, str]
    logs: Path


@contextmanager
def running_stack(
    folder: Path, port: int, extra: Mapping[str, str] | None = None, *, python_of: PythonOf = own_python
) -> Iterator[Stack]:
    """Runs everything while the block lasts; state and logs lie in `folder`. Raises `emulators.EmulatorMissing`.

    `extra`: more environment for the functions.
    """
    folder.mkdir(parents=True, exist_ok=True)
    declared = topology.load()
    with ExitStack() as closing:
        hosts = {
            "FIRESTORE_EMULATOR_HOST": closing.enter_context(emulators.firestore_emulator(folder / "firestore.log")),
            "PUBSUB_EMULATOR_HOST": closing.enter_context(emulators.pubsub_emulator(folder / "pubsub.log")),
        }
        closing.enter_context(_environment(hosts))
        ports = {name: emulators.free_port() for name in declared.functions}
        _create_topics(declared, ports)
        storage = closing.enter_context(_blob_server(folder, declared))
        alerting = closing.enter_context(_alerting(hosts["PUBSUB_EMULATOR_HOST"]))
        environment = {**hosts, **_function_environment(folder, storage), **alerting, **(extra or {})}
        closing.enter_context(_functions(ports, folder, environment, python_of))
        origins = {name: f"http://127.0.0.1:{number}" for name, number in ports.items()}
        closing.enter_context(_served(gateway(declared, origins), port))
        closing.enter_context(_schedules(declared))
        yield Stack(f"http://127.0.0.1:{port}", origins, environment, folder)


def serve(port: int) -> int:
    """Runs the stack until it is interrupted; returns the exit status."""
    emulators.require_free_port("127.0.0.1", port)
    for ending in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        # However it is asked to end, the processes it started must end with it.
        signal.signal(ending, signal.default_int_handler)
    with tempfile.TemporaryDirectory(prefix="sightline-emulators-") as folder:
        try:
            with running_stack(Path(folder), port) as stack:
                print(f"Sightline's functions on the emulators: {stack.base_url}")
                print(f"Authorization: Bearer {TOKEN}; logs in {stack.logs}; Ctrl-C ends it")
                for name, value in sorted({**stack.environment, **stack.functions}.items()):
                    print(f"  {name}={value}")
                threading.Event().wait()
        except emulators.EmulatorMissing as error:
            print(f"sightline: {error}", file=sys.stderr)
            return 2
        except KeyboardInterrupt:
            print("Ended.")
    return 0


def _function_environment(folder: Path, storage: str) -> dict[str, str]:
    local_signing_key(folder)
    return {
        "STORAGE_EMULATOR_HOST": storage,
        "GOOGLE_CLOUD_PROJECT": emulators.PROJECT,
        "GOOGLE_APPLICATION_CREDENTIALS": str(folder / FILE_NAME),
        "MEDIA_BUCKET": bucket_name("media"),
        "EVIDENCE_BUCKET": bucket_name("evidence"),
        "QUARANTINE_BUCKET": bucket_name("quarantine"),
        "RESULTS_BUCKET": bucket_name("results"),
        "SIGHTLINE_API_TOKEN": TOKEN,
        # Google's own cannot be reached with an emulator's credentials; `extra` may name other places, and give money.
        "GEMINI_MODEL": "none",
        "BUDGET_USD_VISION": "0",
        "BUDGET_USD_LANGUAGE": "0",
        "BUDGET_USD_VIDEO_INTELLIGENCE": "0",
    }


def _create_topics(declared: topology.Topology, ports: Mapping[str, int]) -> None:
    pushes = [
        PushSubscription(
            name=topology.subscription_name(name, trigger),
            topic=trigger,
            endpoint=f"http://127.0.0.1:{ports[name]}/",
            backoff=BACKOFF,
        )
        for name, function in declared.event_functions().items()
        for trigger in function.triggers
    ]
    with PublisherClient() as publisher, SubscriberClient() as subscriber:
        create_topology(publisher, subscriber, emulators.PROJECT, declared.topics, pushes, declared.delivery)


@contextmanager
def _blob_server(folder: Path, declared: topology.Topology) -> Iterator[str]:
    """The embedded blob server with notifications to the emulator; gives its origin."""
    blobs = BlobFolder(folder / "blobs", notifications=notification_rules(declared))
    port = emulators.free_port()
    bus = PubSubBus(PublisherClient(), emulators.PROJECT)
    try:
        buckets = [bucket_name(name) for name in declared.buckets]
        app = create_blob_server(blobs, buckets=buckets, keys=local_signing_key(folder).trusted)
        with NotificationRelay(blobs, bus.publish), _served(app, port):
            yield f"http://127.0.0.1:{port}"
    finally:
        blobs.close()


@contextmanager
def _alerting(pubsub: str) -> Iterator[dict[str, str]]:
    """What stands in for Cloud Tasks and Firebase Cloud Messaging; gives the functions' environment."""
    with running_cloud_tasks() as (tasks, _), running_firebase_messaging() as (firebase, _):
        yield {
            "CLOUD_TASKS_ENDPOINT": tasks,
            "TIMER_QUEUE": f"projects/{emulators.PROJECT}/locations/local/queues/timers",
            "TIMER_ACCOUNT": f"timer@{emulators.PROJECT}.iam.gserviceaccount.com",
            "PUBSUB_ORIGIN": f"http://{pubsub}",
            "FCM_ORIGIN": firebase,
        }


@contextmanager
def _schedules(declared: topology.Topology) -> Iterator[None]:
    """What Cloud Scheduler does, which has no emulator."""
    bus = PubSubBus(PublisherClient(), emulators.PROJECT)
    with ExitStack() as closing:
        for schedule in declared.schedules:
            publish = partial(bus.publish, schedule.message())
            closing.enter_context(Ticker(schedule.topic, schedule.every, publish))
        yield


@contextmanager
def _functions(
    ports: Mapping[str, int], folder: Path, environment: Mapping[str, str], python_of: PythonOf
) -> Iterator[None]:
    """All functions, started and ended at the same time rather than one after the other."""
    processes: dict[str, subprocess.Popen[bytes]] = {}
    try:
        for name, port in ports.items():
            own = topology.load().functions[name].own_environment()
            processes[name] = _start_function(name, port, folder, {**environment, **own}, python_of(name))
        for name, process in processes.items():
            emulators.wait_for_port(ports[name], process, f"function {name} (log: {folder / name}.log)")
        yield
    finally:
        for process in processes.values():
            process.terminate()
        for process in processes.values():
            emulators.end_group(process)


def _start_function(
    name: str, port: int, folder: Path, environment: Mapping[str, str], python: Path
) -> subprocess.Popen[bytes]:
    """The unzipped bundle, started in a process of its own that sees nothing of the repository."""
    source = folder / "functions" / name
    with zipfile.ZipFile(bundle.build(name, folder / "bundles")) as archive:
        archive.extractall(source)
    command = bundle.start_command(topology.load().functions[name].platform, str(python), port)
    inherited = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    with (folder / f"{name}.log").open("wb") as log:
        return subprocess.Popen(
            command,
            cwd=source,
            env={**inherited, **environment},
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


@contextmanager
def _served(app: Starlette, port: int) -> Iterator[None]:
    """Serves an application on loopback from a thread while the block lasts."""
    options = uvicorn.Config(app, host="127.0.0.1", port=port, log_config=None, access_log=False)
    server = uvicorn.Server(options)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    try:
        emulators.wait_until_listening(port, thread.is_alive)
        yield
    finally:
        server.should_exit = True
        thread.join()


@contextmanager
def _environment(values: Mapping[str, str]) -> Iterator[None]:
    """Google's libraries read the emulators' addresses from the environment of this process, too."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
