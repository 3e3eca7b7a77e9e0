"""`Timers` in both homes: not before its time, at least once, a name once, and a restart loses nothing."""

from __future__ import annotations

import base64
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from local.cloud_tasks import CloudTasks, running_cloud_tasks
from shared.adapters.embedded.queue import QueueSubscription, SqliteQueue
from shared.adapters.embedded.queue_workers import QueueWorkers
from shared.adapters.google import timers as google_timers
from shared.adapters.system_clock import SystemClock
from shared.errors import NotFound, Retryable
from shared.ports import Delivery, OutgoingMessage, Timers
from tests.fakes import ManualClock

TOPIC = "alert-due"
MESSAGE = OutgoingMessage(TOPIC, b'{"alert_id": "\xc3\xa4"}', {"ce-id": "1", "ce-type": "alert-due.v1"})
QUEUE = "projects/demo/locations/europe-west3/queues/timers"
ACCOUNT = "timer@demo.iam"


@dataclass
class Home:
    """The timers of one home, and what its subscriber got, each with when."""

    timers: Timers
    got: list[tuple[datetime, bytes, dict[str, str]]] = field(default_factory=list)

    def receive(self, data: bytes, attributes: dict[str, str]) -> None:
        self.got.append((datetime.now(UTC), data, attributes))


@contextmanager
def embedded_home(folder: Path) -> Iterator[Home]:
    queue = SqliteQueue(folder / "queue.db", [TOPIC], [QueueSubscription("notify", TOPIC, workers=2)], SystemClock())
    home = Home(queue)

    def handle(delivery: Delivery) -> None:
        home.receive(delivery.data, dict(delivery.attributes))

    workers = QueueWorkers(queue, {"notify": handle})
    workers.start()
    yield home
    assert workers.stop(10)
    queue.close()


class PubSubRest:
    """The part of Pub/Sub's REST interface that a task calls; the first `failures` calls are answered 503."""

    def __init__(self, receive: Callable[[bytes, dict[str, str]], None]) -> None:
        self.failures = 0
        self.paths: list[str] = []
        rest = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                rest.paths.append(self.path)
                rest.failures -= 1
                if rest.failures < 0:
                    for message in body["messages"]:
                        receive(base64.b64decode(message["data"]), message["attributes"])
                self.send_response(200 if rest.failures < 0 else 503)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Stays silent."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.origin = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@contextmanager
def google_home() -> Iterator[tuple[Home, CloudTasks, PubSubRest]]:
    with ExitStack() as closing:
        endpoint, tasks = closing.enter_context(running_cloud_tasks())
        got: list[tuple[datetime, bytes, dict[str, str]]] = []
        rest = PubSubRest(lambda data, attributes: got.append((datetime.now(UTC), data, attributes)))
        closing.callback(rest.close)
        timers = google_timers.connect("demo", QUEUE, ACCOUNT, emulated=(endpoint, rest.origin))
        yield Home(timers, got), tasks, rest


@pytest.fixture(params=["embedded", "google"])
def home(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Home]:
    if request.param == "embedded":
        with embedded_home(tmp_path) as opened:
            yield opened
    else:
        with google_home() as (opened, _, _):
            yield opened


def wait_for(condition: Callable[[], object], seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.01)


def in_seconds(seconds: float) -> datetime:
    return datetime.now(UTC) + timedelta(seconds=seconds)


def test_a_message_comes_as_it_is_and_not_before_its_time(home: Home) -> None:
    due = in_seconds(0.7)
    home.timers.publish_at(due, MESSAGE, name="alert-1/round-1")
    wait_for(lambda: home.got)
    ((came, data, attributes),) = home.got
    assert due <= came < due + timedelta(seconds=3)
    assert (data, attributes) == (MESSAGE.data, MESSAGE.attributes)


def test_what_lies_in_the_past_comes_at_once_in_whatever_time_zone_it_is_told(home: Home) -> None:
    asked = datetime.now(UTC)
    past = (asked - timedelta(days=1)).astimezone(timezone(timedelta(hours=-7)))
    home.timers.publish_at(past, MESSAGE, name="late")
    wait_for(lambda: home.got)
    assert home.got[0][0] - asked < timedelta(seconds=3)


def test_the_same_name_again_does_nothing_before_and_after_it_was_said(home: Home) -> None:
    for _ in range(3):
        home.timers.publish_at(in_seconds(0.2), MESSAGE, name="round 1 / ärger\n" + "x" * 600)
    wait_for(lambda: home.got)
    home.timers.publish_at(in_seconds(0), MESSAGE, name="round 1 / ärger\n" + "x" * 600)
    home.timers.publish_at(in_seconds(0), MESSAGE, name="another")
    wait_for(lambda: len(home.got) == 2)
    time.sleep(0.2)
    assert len(home.got) == 2


def test_many_at_once_come_each_once_and_in_time(home: Home) -> None:
    moments = {f"n{number}": in_seconds(0.2 + number % 5 / 10) for number in range(40)}
    for name, due in moments.items():
        home.timers.publish_at(due, OutgoingMessage(TOPIC, name.encode()), name=name)
    wait_for(lambda: len(home.got) == 40)
    assert all(came >= moments[data.decode()] for came, data, _ in home.got)
    assert len({data for _, data, _ in home.got}) == 40


def test_a_moment_without_time_zone_is_a_mistake(home: Home) -> None:
    with pytest.raises(ValueError, match="aware"):
        home.timers.publish_at(datetime(2026, 3, 1), MESSAGE, name="naive")  # noqa: DTZ001


# --------------------------------------------------------------------------- embedded


def test_a_restart_loses_no_timer_and_forgets_no_name(tmp_path: Path) -> None:
    clock = ManualClock()

    def opened() -> SqliteQueue:
        return SqliteQueue(tmp_path / "queue.db", [TOPIC], [QueueSubscription("notify", TOPIC)], clock)

    first = opened()
    first.publish_at(clock.now() + timedelta(seconds=45), MESSAGE, name="n")
    first.close()
    again = opened()
    again.release_leases()
    again.publish_at(clock.now(), MESSAGE, name="n")
    clock.advance(44.999)
    assert again.pull("notify") is None
    assert again.idle()  # nothing has been published yet
    clock.advance(0.001)
    assert not again.idle()
    leased = again.pull("notify")
    assert leased is not None
    assert leased.delivery.data == MESSAGE.data
    assert again.acknowledge(leased)
    again.close()


def test_a_name_is_free_again_an_hour_after_its_moment(tmp_path: Path) -> None:
    clock = ManualClock()
    queue = SqliteQueue(tmp_path / "queue.db", [TOPIC], [QueueSubscription("notify", TOPIC)], clock)
    for _ in range(2):
        queue.publish_at(clock.now(), MESSAGE, name="n")
        leased = queue.pull("notify")
        assert leased is not None
        queue.acknowledge(leased)
        clock.advance(3600)
    queue.close()


def test_an_unknown_topic_is_refused_and_its_name_stays_free(tmp_path: Path) -> None:
    queue = SqliteQueue(tmp_path / "queue.db", [TOPIC], [QueueSubscription("notify", TOPIC)], ManualClock())
    with pytest.raises(NotFound):
        queue.publish_at(ManualClock().now(), OutgoingMessage("unknown", b""), name="n")
    queue.publish_at(ManualClock().now(), MESSAGE, name="n")
    assert queue.pull("notify") is not None
    queue.close()


# --------------------------------------------------------------------------- google


def test_a_task_publishes_in_the_name_of_its_account_until_pubsub_takes_it() -> None:
    with google_home() as (home, tasks, rest):
        rest.failures = 2
        tasks.fail_next = 1
        home.timers.publish_at(in_seconds(0), MESSAGE, name="n")
        wait_for(lambda: home.got)
        assert rest.paths == ["/v1/projects/demo/topics/alert-due:publish"] * 3
        assert tasks.tasks[0].http_request.oauth_token.service_account_email == ACCOUNT


def test_on_google_cloud_the_task_carries_the_accounts_token_and_the_shortest_scope() -> None:
    with running_cloud_tasks() as (endpoint, tasks):
        timers = google_timers.connect("demo", QUEUE, ACCOUNT, emulated=(endpoint, google_timers.PUBSUB))
        timers.publish_at(in_seconds(3600), MESSAGE, name="n")
        request = tasks.tasks[0].http_request
    assert request.url == "https://pubsub.googleapis.com/v1/projects/demo/topics/alert-due:publish"
    assert request.oauth_token.service_account_email == ACCOUNT
    assert request.oauth_token.scope == "https://www.googleapis.com/auth/pubsub"
    assert tasks.tasks[0].name.startswith(f"{QUEUE}/tasks/")


def test_a_service_that_does_not_answer_is_a_reason_to_try_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(google_timers, "TIMEOUT_SECONDS", 0.3)
    timers = google_timers.connect("demo", QUEUE, ACCOUNT, emulated=("127.0.0.1:9", google_timers.PUBSUB))
    with pytest.raises(Retryable, match="Cloud Tasks"):
        timers.publish_at(in_seconds(0), MESSAGE, name="n")
