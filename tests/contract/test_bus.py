"""The contract of `Bus` and `DeadLetters`, over both homes: the embedded queue, and Pub/Sub's official emulator.

The emulator pushes to a little HTTP server in this process, as Pub/Sub pushes to a function.
"""

from __future__ import annotations

import base64
import importlib
import json
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from google.pubsub_v1 import PublisherClient, SubscriberClient

from infra import topology
from local.emulators import free_port
from local.pubsub_topology import PushSubscription, create_topology
from shared.adapters.embedded.queue import QueueSubscription, SqliteQueue
from shared.adapters.embedded.queue_workers import QueueWorkers
from shared.adapters.google.bus import PubSubBus
from shared.adapters.google.dead_letters import PubSubDeadLetters
from shared.adapters.system_clock import SystemClock
from shared.errors import NotFound, Retryable
from shared.ports import Bus, DeadLetter, DeadLetters, Delivery, OutgoingMessage

Handler = Callable[[Delivery], None]
POLICY = topology.load().delivery
LEASE = timedelta(seconds=0.3)


@dataclass(frozen=True)
class Home:
    """A running bus. `counts_attempts`: the emulator, unlike Pub/Sub, sends no `deliveryAttempt`."""

    bus: Bus
    dead_letters: DeadLetters
    counts_attempts: bool


@dataclass(frozen=True)
class Subscriber:
    """Keeps what it gets; `broken` makes it fail, after `delay` seconds of work."""

    name: str
    topic: str
    delay: float = 0.0
    broken: threading.Event = field(default_factory=threading.Event)
    failures: int = 0
    got: list[Delivery] = field(default_factory=list)

    def __call__(self, delivery: Delivery) -> None:
        self.got.append(delivery)
        time.sleep(self.delay)
        if self.broken.is_set() or len(self.got) <= self.failures:
            raise RuntimeError("the subscriber is broken")


Open = Callable[[Sequence[str], Sequence[Subscriber]], Home]


@contextmanager
def embedded_home(folder: Path, topics: Sequence[str], subscribers: Sequence[Subscriber]) -> Iterator[Home]:
    backoff = timedelta(seconds=0.02)
    subscriptions = [
        QueueSubscription(one.name, one.topic, minimum_backoff=backoff, lease=LEASE, workers=2) for one in subscribers
    ]
    queue = SqliteQueue(folder / "queue.db", topics, subscriptions, SystemClock())
    workers = QueueWorkers(queue, {one.name: one for one in subscribers})
    workers.start()
    yield Home(queue, queue, counts_attempts=True)
    assert workers.stop(10)
    queue.close()


@contextmanager
def google_home(topics: Sequence[str], subscribers: Sequence[Subscriber]) -> Iterator[Home]:
    project = f"demo-{uuid.uuid4().hex[:12]}"
    publisher, subscriber = PublisherClient(), SubscriberClient()  # they heed PUBSUB_EMULATOR_HOST
    with push_server({one.name: one for one in subscribers}) as origin, publisher, subscriber:
        # Without a retry policy the emulator repeats every second; with one, every three.
        pushes = [PushSubscription(one.name, one.topic, f"{origin}/{one.name}") for one in subscribers]
        create_topology(publisher, subscriber, project, topics, pushes, POLICY)
        dead_letters = PubSubDeadLetters(subscriber, publisher, project, patience=0.5)
        yield Home(PubSubBus(publisher, project), dead_letters, counts_attempts=False)
        for push in pushes:
            subscriber.delete_subscription(subscription=SubscriberClient.subscription_path(project, push.name))


class PushServer(ThreadingHTTPServer):
    request_queue_size = 256
    daemon_threads = True


@contextmanager
def push_server(handlers: Mapping[str, Handler]) -> Iterator[str]:
    class Receiver(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            envelope = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            try:
                handlers[self.path.strip("/")](decoded(envelope))
                status = 204
            except Exception:
                status = 500
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Stays silent."""

    server = PushServer(("127.0.0.1", 0), Receiver)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def decoded(envelope: Mapping[str, object]) -> Delivery:
    message = envelope["message"]
    assert isinstance(message, dict)
    data = base64.b64decode(message.get("data", ""))
    attempt = envelope.get("deliveryAttempt", 1)
    assert isinstance(attempt, int)
    return Delivery(message["messageId"], data, message.get("attributes", {}), attempt)


@pytest.fixture(params=["embedded", "google"])
def open_home(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Open]:
    if request.param == "google":
        request.getfixturevalue("pubsub_host")
    with ExitStack() as stack:

        def opened(topics: Sequence[str], subscribers: Sequence[Subscriber]) -> Home:
            if request.param == "google":
                return stack.enter_context(google_home(topics, subscribers))
            return stack.enter_context(embedded_home(tmp_path, topics, subscribers))

        yield opened


def wait_for(condition: Callable[[], object], seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.01)


def listed(home: Home, count: int) -> list[DeadLetter]:
    """The dead letters, once there are `count`."""
    found: list[DeadLetter] = []

    def enough() -> bool:
        found[:] = home.dead_letters.list()
        return len(found) >= count

    wait_for(enough)
    return found


def test_a_message_reaches_every_subscriber_of_its_topic_and_no_other(open_home: Open) -> None:
    first, second, other = (
        Subscriber("first", "uploads"),
        Subscriber("second", "uploads"),
        Subscriber("third", "alerts"),
    )
    home = open_home(["uploads", "alerts"], [first, second, other])
    attributes = {"ce-type": "media-uploaded.v1", "Größe": "日本語 🎬", "topic": "x", "data": "y", "empty": ""}

    message_id = home.bus.publish(OutgoingMessage("uploads", b"\x00\xff{}\r\n\x80", attributes))

    wait_for(lambda: first.got and second.got)
    assert first.got == second.got == [Delivery(message_id, b"\x00\xff{}\r\n\x80", attributes, 1)]
    assert not other.got


def test_equal_messages_are_different_messages(open_home: Open) -> None:
    subscriber = Subscriber("counter", "uploads")
    home = open_home(["uploads"], [subscriber])
    sent = {home.bus.publish(OutgoingMessage("uploads", b"{}")) for _ in range(3)}
    wait_for(lambda: len(subscriber.got) == 3)
    assert {delivery.message_id for delivery in subscriber.got} == sent


def test_an_unknown_topic_is_refused(open_home: Open) -> None:
    home = open_home(["uploads"], [])
    with pytest.raises(NotFound):
        home.bus.publish(OutgoingMessage("unknown-topic", b"{}"))


def test_a_topic_may_have_no_subscriber(open_home: Open) -> None:
    assert open_home(["uploads"], []).bus.publish(OutgoingMessage("uploads", b"{}"))


def test_after_an_exception_the_message_comes_again_to_that_subscriber_alone(open_home: Open) -> None:
    failing, sound = Subscriber("failing", "uploads", failures=2), Subscriber("sound", "uploads")
    home = open_home(["uploads"], [failing, sound])
    message_id = home.bus.publish(OutgoingMessage("uploads", b"{}"))
    wait_for(lambda: len(failing.got) == 3)
    assert {delivery.message_id for delivery in failing.got} == {message_id}
    if home.counts_attempts:
        assert [delivery.attempt for delivery in failing.got] == [1, 2, 3]
    assert len(sound.got) == 1
    assert home.dead_letters.list() == []


def test_five_failures_make_a_dead_letter_that_can_be_replayed(open_home: Open) -> None:
    failing, sound = Subscriber("failing", "uploads"), Subscriber("sound", "uploads")
    failing.broken.set()
    home = open_home(["uploads"], [failing, sound])
    began = datetime.now(UTC) - timedelta(seconds=1)
    messages = [OutgoingMessage("uploads", f"\xff{n}".encode("latin-1"), {"ce-id": f"é{n}"}) for n in range(2)]
    sent = [home.bus.publish(message) for message in messages]

    letters = listed(home, 2)

    assert len(failing.got) == 10
    assert len(sound.got) == 2
    assert [(letter.subscription, letter.attempts) for letter in letters] == [("failing", 5), ("failing", 5)]
    assert sorted(letter.message.data for letter in letters) == sorted(message.data for message in messages)
    assert all(letter.message in messages for letter in letters)
    assert all(began <= letter.published <= datetime.now(UTC) for letter in letters)
    assert all(letter.published.utcoffset() == timedelta(0) for letter in letters)
    assert sorted(letter.handle for letter in home.dead_letters.list()) == sorted(one.handle for one in letters)
    assert len(home.dead_letters.list(limit=1)) == 1

    failing.broken.clear()
    failing.got.clear()
    replayed = home.dead_letters.replay(letters[0].handle)

    wait_for(lambda: failing.got)
    assert replayed not in sent
    assert failing.got == [Delivery(replayed, letters[0].message.data, letters[0].message.attributes, 1)]
    wait_for(lambda: len(sound.got) == 3)  # a replay is a new publication: every subscriber sees it
    assert [letter.handle for letter in home.dead_letters.list()] == [letters[1].handle]
    with pytest.raises(NotFound):
        home.dead_letters.replay(letters[0].handle)


def test_publishing_from_many_threads_loses_nothing(open_home: Open) -> None:
    subscriber = Subscriber("counter", "uploads")
    home = open_home(["uploads"], [subscriber])

    def publish_ten(thread: int) -> list[str]:
        return [home.bus.publish(OutgoingMessage("uploads", f"{thread}/{n}".encode())) for n in range(10)]

    with ThreadPoolExecutor(32) as threads:
        sent = [message_id for ten in threads.map(publish_ten, range(32)) for message_id in ten]

    assert len(set(sent)) == 320
    wait_for(lambda: {delivery.message_id for delivery in list(subscriber.got)} == set(sent))
    assert {delivery.data for delivery in subscriber.got} == {f"{t}/{n}".encode() for t in range(32) for n in range(10)}


def test_a_slow_handler_gets_the_message_once(open_home: Open) -> None:
    slow = Subscriber("slow", "uploads", delay=4 * LEASE.total_seconds())
    home = open_home(["uploads"], [slow])
    home.bus.publish(OutgoingMessage("uploads", b"{}"))
    time.sleep(6 * LEASE.total_seconds())
    assert len(slow.got) == 1


def test_a_dead_letter_whose_origin_is_gone_stays(pubsub_host: str) -> None:
    project = "demo-origins"
    publisher, subscriber = PublisherClient(), SubscriberClient()
    create_topology(publisher, subscriber, project, ["uploads"], [], POLICY)
    orphan = SubscriberClient.subscription_path(project, "orphan")
    subscriber.create_subscription(name=orphan, topic=PublisherClient.topic_path(project, "uploads"))
    publisher.delete_topic(topic=PublisherClient.topic_path(project, "uploads"))
    bus = PubSubBus(publisher, project)
    for subscription in ("orphan", "deleted"):
        attributes = {"ce-id": "1", "CloudPubSubDeadLetterSourceSubscription": subscription}
        bus.publish(OutgoingMessage("dead-letter", b"{}", attributes))
    bus.publish(OutgoingMessage("dead-letter", b"by hand"))

    home = Home(bus, PubSubDeadLetters(subscriber, publisher, project, patience=0.5), counts_attempts=False)
    letters = listed(home, 3)

    assert sorted(letter.subscription for letter in letters) == ["", "deleted", "orphan"]
    assert {letter.message.topic for letter in letters} == {""}
    for letter in letters:
        with pytest.raises(NotFound, match="unknown_topic"):
            home.dead_letters.replay(letter.handle)
    assert len(listed(home, 3)) == 3


def test_the_batching_client_serves_as_well(pubsub_host: str) -> None:
    batching = importlib.import_module("google.cloud.pubsub_v1").PublisherClient()  # imported so: it has no types
    create_topology(batching, SubscriberClient(), "demo-batching", ["uploads"], [], POLICY)
    bus = PubSubBus(batching, "demo-batching")
    assert bus.publish(OutgoingMessage("uploads", b"{}", {"topic": "no argument", "data": "neither"}))


def test_pubsub_that_does_not_answer_is_worth_another_try(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PUBSUB_EMULATOR_HOST", f"127.0.0.1:{free_port()}")
    with PublisherClient() as publisher:
        bus = PubSubBus(publisher, "demo-nobody", timeout=0.3)
        with pytest.raises(Retryable):
            bus.publish(OutgoingMessage("uploads", b"{}"))
