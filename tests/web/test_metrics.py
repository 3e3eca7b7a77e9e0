"""GET /metrics and /metrics/history: counted by instances, stored, merged, and told in the source's shape."""

from __future__ import annotations

import re
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Protocol

import pytest
from fastapi import APIRouter, FastAPI, WebSocket
from fastapi.responses import StreamingResponse
from fastapi.testclient import TestClient

from infra import topology
from local.home import Home
from local.server import application
from shared.adapters.embedded.documents import SqliteDocuments
from shared.domain.metrics import LiveSessions
from shared.errors import Malformed, Retryable
from shared.handlers import snapshots
from shared.handlers.reading_metrics import Deps
from shared.ports import Caller, Clock, Documents, Query, Role, Set
from shared.repositories import metrics as stored
from shared.settings import EmbeddedSettings
from shared.web import metrics as metric_routes
from shared.web.access import Access
from shared.web.app import create_app
from shared.web.meter import MOST_MINUTES, Meter
from tests.fakes import NOON, ManualClock

TOKENS = {
    "viewer": Caller("kim", Role.VIEWER),
    "device": Caller("camera", Role.DEVICE),
}


class SettableClock(ManualClock):
    """One that can be put back, as a machine's can."""

    def set(self, moment: datetime) -> None:
        with self._lock:
            self._now = moment


class Service(Protocol):
    """Makes an instance: its client, and its meter."""

    def __call__(self, *, access: Access | None = None) -> tuple[TestClient, Meter]: ...


@pytest.fixture
def clock() -> SettableClock:
    return SettableClock()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteDocuments]:
    made = SqliteDocuments(tmp_path / "documents.sqlite3", topology.load().document_indexes())
    yield made
    made.close()


@pytest.fixture
def service(store: SqliteDocuments, clock: SettableClock) -> Service:
    def make(*, access: Access | None = None) -> tuple[TestClient, Meter]:
        meter = Meter(lambda: store, clock)
        routers = [_odd_routes(), metric_routes.router(lambda: Deps(store, clock, meter.untold))]
        app = create_app(routers, access=access, meter=meter, whole_process=False)
        return TestClient(app, raise_server_exceptions=False), meter

    return make


def _odd_routes() -> APIRouter:
    routes = APIRouter()

    @routes.get("/things/{thing_id}")
    def thing(thing_id: str) -> str:
        if thing_id == "broken":
            raise ValueError(thing_id)
        if thing_id == "bad":
            raise Malformed("bad", "It is bad.")
        return thing_id

    @routes.get("/slow")
    def slow() -> str:
        time.sleep(0.05)
        return "at last"

    @routes.get("/happenings")
    def happenings() -> StreamingResponse:
        return StreamingResponse(iter(["data: 1\n\n", "data: 2\n\n"]), media_type="text/event-stream")

    @routes.websocket("/talk")
    async def talk(socket: WebSocket) -> None:
        await socket.accept()
        await socket.send_text(await socket.receive_text())
        await socket.close()

    return routes


def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.01)


def told(client: TestClient, **headers: str) -> Any:
    reply = client.get("/metrics", headers=headers)
    assert reply.status_code == 200, reply.text
    return reply.json()


# --------------------------------------------------------------------------- what is counted


def test_the_reply_has_the_fields_of_the_source(service: Service) -> None:
    client, _ = service()
    for thing in ("a", "b", "bad"):
        client.get(f"/things/{thing}")
    reply = told(client)
    assert list(reply) == ["totals", "routes", "liveSessions"]
    assert list(reply["totals"]) == ["count", "p50_ms", "p95_ms", "p99_ms", "statusCounts"]
    assert reply["totals"]["count"] == 3
    assert reply["totals"]["statusCounts"] == {"200": 2, "400": 1}
    assert list(reply["routes"]) == ["/things/{thing_id}"]
    assert list(reply["routes"]["/things/{thing_id}"]) == list(reply["totals"])
    assert 0 < reply["totals"]["p50_ms"] <= reply["totals"]["p95_ms"] <= reply["totals"]["p99_ms"]
    assert reply["liveSessions"] == {"active": 0, "total": 0}


def test_paths_that_clients_make_up_are_one_route(service: Service) -> None:
    client, _ = service()
    for number in range(20):
        assert client.get(f"/nothing/{number}").status_code == 404
    assert list(told(client)["routes"]) == ["(none)"]


def test_failures_count_as_what_the_client_saw(service: Service) -> None:
    client, _ = service()
    assert client.get("/things/broken").status_code == 500
    assert told(client)["routes"]["/things/{thing_id}"]["statusCounts"] == {"500": 1}


def test_what_is_refused_at_the_door_counts_for_its_route(service: Service) -> None:
    client, _ = service(access=Access(TOKENS))
    assert client.get("/things/a").status_code == 401
    reply = told(client, authorization="Bearer viewer")
    assert reply["routes"]["/things/{thing_id}"]["statusCounts"] == {"401": 1}


def test_latency_is_in_milliseconds(service: Service) -> None:
    client, _ = service()
    client.get("/slow")
    assert 49 < told(client)["routes"]["/slow"]["p50_ms"] < 5000


def test_preflights_are_not_counted(service: Service) -> None:
    client, _ = service()
    client.options("/things/a")
    assert told(client)["routes"] == {}


def test_streams_are_sessions_and_no_latencies(service: Service, clock: SettableClock) -> None:
    client, _ = service()
    assert client.get("/happenings").text.count("data:") == 2
    with client.websocket_connect("/talk") as socket:
        socket.send_text("ping")
        assert socket.receive_text() == "ping"
    assert told(client)["liveSessions"] == {"active": 2, "total": 2}
    clock.advance(31)
    reply = told(client)
    assert reply["liveSessions"] == {"active": 0, "total": 2}
    assert list(reply["routes"]) == ["/metrics"]


def test_a_session_of_another_instance_is_seen_while_it_is_heard_from(service: Service, clock: SettableClock) -> None:
    (other, meter), (asked, _) = service(), service()
    other.get("/happenings")
    meter.close()
    assert told(asked)["liveSessions"] == {"active": 1, "total": 1}
    clock.advance(31)
    assert told(asked)["liveSessions"] == {"active": 0, "total": 1}
    clock.advance(300)
    assert told(asked)["liveSessions"] == {"active": 0, "total": 0}


# --------------------------------------------------------------------------- over instances, threads and time


def test_instances_are_merged(service: Service) -> None:
    (one, first), (two, second), (asked, _) = service(), service(), service()
    for client, number in ((one, 3), (two, 2)):
        for _ in range(number):
            client.get("/things/a")
    first.close()
    second.close()
    assert told(asked)["routes"]["/things/{thing_id}"]["count"] == 5


def test_nothing_is_told_twice_or_forgotten_while_it_is_stored(service: Service, clock: SettableClock) -> None:
    client, meter = service()
    for number in range(1, 5):
        client.get("/things/a")
        assert told(client)["routes"]["/things/{thing_id}"]["count"] == number
        meter.close()
        assert told(client)["routes"]["/things/{thing_id}"]["count"] == number
        clock.advance(20)


def test_threads_lose_no_count(store: SqliteDocuments, clock: SettableClock) -> None:
    meter = Meter(lambda: store, clock)

    def record(number: int) -> None:
        for _ in range(500):
            meter.record(f"/route{number % 3}", 200, 0.001)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(record, range(8)))
    meter.close()
    windows = stored.windows_since(store, NOON, NOON + timedelta(minutes=1))
    assert sum(counts.count for window in windows for counts in window.routes.values()) == 4000


def test_it_is_stored_once_a_minute(store: SqliteDocuments, clock: SettableClock) -> None:
    asked = []

    def documents() -> SqliteDocuments:
        asked.append(clock.now())
        return store

    meter = Meter(documents, clock)
    for _ in range(180):
        meter.record("/", 200, 0.001)
        until(lambda: not meter._writing.locked())
        clock.advance(1)
    assert 3 <= len(asked) <= 4


@pytest.mark.parametrize("jump", [timedelta(days=-2), timedelta(days=400), timedelta(seconds=-30)])
def test_a_clock_that_jumps_loses_no_count(store: SqliteDocuments, clock: SettableClock, jump: timedelta) -> None:
    meter = Meter(lambda: store, clock)
    meter.record("/", 200, 0.001)
    meter.close()
    clock.set(clock.now() + jump)
    meter.record("/", 200, 0.001)
    meter.record("/", 200, 0.001)
    meter.close()
    windows = stored.windows_since(store, NOON - timedelta(days=500), NOON + timedelta(days=500))
    assert sum(window.routes["/"].count for window in windows) == 3
    assert len({window.id for window in windows}) == len(windows)


def test_what_is_over_is_not_told(service: Service, clock: SettableClock) -> None:
    client, meter = service()
    client.get("/things/a")
    meter.close()
    clock.advance(301)
    reply = told(client)
    assert reply["totals"] == {"count": 0, "p50_ms": None, "p95_ms": None, "p99_ms": None, "statusCounts": {}}


class Away:
    """A store that is not there, until it is."""

    def __init__(self, documents: Documents) -> None:
        self._documents = documents
        self.away = True

    def __call__(self) -> Documents:
        if self.away:
            raise Retryable("away")
        return self._documents


def test_a_store_that_is_away_fails_nobody_and_is_told_later(store: SqliteDocuments, clock: SettableClock) -> None:
    documents = Away(store)
    meter = Meter(documents, clock)
    client = TestClient(create_app([_odd_routes()], access=None, meter=meter, whole_process=False))
    assert client.get("/things/a").status_code == 200
    meter.close()
    clock.advance(60)
    documents.away = False
    assert client.get("/things/a").status_code == 200
    meter.close()
    windows = stored.windows_since(store, NOON, NOON + timedelta(hours=1))
    assert [window.routes["/things/{thing_id}"].count for window in windows] == [1, 1]


def test_what_cannot_be_kept_any_longer_is_counted_as_lost(store: SqliteDocuments, clock: SettableClock) -> None:
    documents = Away(store)
    meter = Meter(documents, clock)
    for _ in range(MOST_MINUTES + 3):
        meter.record("/", 200, 0.001)
        meter.record("/", 500, 0.001)
        meter.close()
        clock.advance(60)
    documents.away = False
    meter.record("/", 200, 0.001)
    meter.close()
    windows = stored.windows_since(store, NOON, NOON + timedelta(hours=1))
    assert len(windows) == MOST_MINUTES
    counted = sum(window.routes["/"].count for window in windows)
    assert counted + sum(window.lost for window in windows) == 2 * (MOST_MINUTES + 3) + 1


def test_a_store_that_hangs_delays_no_request(clock: SettableClock) -> None:
    released = threading.Event()

    def hanging() -> Documents:
        released.wait(30)
        raise Retryable("too late")

    meter = Meter(hanging, clock)
    client = TestClient(create_app([_odd_routes()], access=None, meter=meter, whole_process=False))
    begun = time.monotonic()
    for _ in range(5):
        assert client.get("/things/a").status_code == 200
        clock.advance(61)
    meter.close(timeout=0.1)
    assert time.monotonic() - begun < 15
    released.set()


def test_minutes_of_another_version_are_left_out(service: Service, store: SqliteDocuments) -> None:
    client, meter = service()
    client.get("/things/a")
    meter.close()
    (document,) = store.query(Query(stored.WINDOWS)).documents
    store.commit([Set(stored.WINDOWS, "odd", {**document.data, "routes": b"not what we write"})])
    assert told(client)["routes"]["/things/{thing_id}"]["count"] == 1


# --------------------------------------------------------------------------- snapshots and history


def history(client: TestClient, hours: int = 24) -> Any:
    reply = client.get("/metrics/history", params={"hours": hours})
    assert reply.status_code == 200, reply.text
    assert reply.json()["count"] == len(reply.json()["history"])
    return reply.json()["history"]


def test_a_snapshot_tells_of_five_minutes(service: Service, store: SqliteDocuments, clock: SettableClock) -> None:
    client, meter = service()
    client.get("/things/a")
    client.get("/things/bad")
    clock.advance(299)
    client.get("/things/a")
    meter.close()
    clock.advance(2)
    assert snapshots.take(store, clock.now()) == 1
    (entry,) = history(client)
    assert list(entry) == ["timestamp", "totals", "routes", "liveSessions"]
    assert entry["timestamp"] == "2026-03-01T12:05:00Z"
    assert entry["totals"]["statusCounts"] == {"200": 2, "400": 1}
    assert entry["routes"]["/things/{thing_id}"]["count"] == 3
    assert entry["liveSessions"] == {"active": 0, "total": 0}


@pytest.mark.parametrize("content", [b"not what we write", zlib.compress(b'{"routes": [], "totals": [1]}')])
def test_snapshots_of_another_version_are_left_out_and_left_alone(
    service: Service, store: SqliteDocuments, clock: SettableClock, content: bytes
) -> None:
    client, _ = service()
    clock.advance(600)
    snapshots.take(store, clock.now())
    (document,) = store.query(Query(stored.SNAPSHOTS)).documents
    store.commit([Set(stored.SNAPSHOTS, document.id, {**document.data, "told": content})])
    assert snapshots.take(store, clock.now()) == 0
    clock.advance(300)
    assert snapshots.take(store, clock.now()) == 1
    assert [entry["timestamp"][11:16] for entry in history(client)] == ["12:15"]


def test_ticks_may_come_often_twice_or_late(service: Service, store: SqliteDocuments, clock: SettableClock) -> None:
    client, _ = service()
    for _ in range(11):
        clock.advance(60)
        snapshots.take(store, clock.now())
        snapshots.take(store, clock.now())
    assert [entry["timestamp"][11:16] for entry in history(client)] == ["12:00", "12:05", "12:10"]


def test_missed_snapshots_are_gaps_and_idle_minutes_zeros(
    service: Service, store: SqliteDocuments, clock: SettableClock
) -> None:
    client, meter = service()
    clock.advance(300)
    snapshots.take(store, clock.now())
    client.get("/things/a")
    meter.close()
    clock.advance(900)
    snapshots.take(store, clock.now())
    assert [(entry["timestamp"][11:16], entry["totals"]["count"]) for entry in history(client)] == [
        ("12:05", 0),
        ("12:20", 0),
    ]


def test_a_minute_that_is_stored_late_is_added(service: Service, store: SqliteDocuments, clock: SettableClock) -> None:
    client, meter = service()
    client.get("/things/a")
    meter.close()
    clock.advance(20)
    client.get("/things/a")  # stays in memory: something was stored within the minute
    clock.advance(280)
    snapshots.take(store, clock.now())
    assert history(client)[0]["totals"]["count"] == 1
    clock.advance(100)
    meter.close()
    clock.advance(200)
    assert snapshots.take(store, clock.now()) == 2
    assert history(client)[0]["totals"]["count"] == 2


def test_sweepers_side_by_side_make_one_snapshot(
    service: Service, store: SqliteDocuments, clock: SettableClock
) -> None:
    client, meter = service()
    client.get("/things/a")
    meter.close()
    clock.advance(300)
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda _: snapshots.take(store, clock.now()), range(8)))
    assert sum(made) == 1
    assert len(history(client)) == 1


def test_history_goes_back_as_far_as_asked_and_no_further(
    service: Service, store: SqliteDocuments, clock: SettableClock
) -> None:
    client, _ = service()
    for _ in range(30):
        clock.advance(300)
        snapshots.take(store, clock.now())
    assert len(history(client, hours=1)) == 12
    assert len(history(client, hours=2)) == 24
    assert len(history(client, hours=168)) == 30


@pytest.mark.parametrize("hours", ["0", "-1", "169", "1e9", "many", "", "99999999999999999999"])
def test_hours_that_are_none_are_refused(service: Service, hours: str) -> None:
    client, _ = service()
    reply = client.get("/metrics/history", params={"hours": hours})
    assert reply.status_code == 400
    assert "hours" in reply.json()["detail"]


def test_after_a_week_everything_is_gone(service: Service, store: SqliteDocuments, clock: SettableClock) -> None:
    client, meter = service()
    client.get("/happenings")
    client.get("/things/a")
    meter.close()
    clock.advance(300)
    snapshots.take(store, clock.now())
    clock.advance(7 * 24 * 3600 - 301)
    assert stored.remove_expired(store, clock.now()) == 0
    clock.advance(302)
    assert history(client, hours=168) == []
    assert stored.remove_expired(store, clock.now()) == 3


def test_a_restart_keeps_the_history(tmp_path: Path) -> None:
    def start() -> tuple[Home, TestClient]:
        home = Home(tmp_path / "data", EmbeddedSettings(), "http://testserver")
        return home, TestClient(application(home))

    home, client = start()
    client.get("/beacons/gate")
    home.close()
    home, client = start()
    try:
        assert told(client)["routes"]["/beacons/{beacon_id}"]["statusCounts"] == {"404": 1}
        now = home._clock.now()
        assert snapshots.take(home.documents, now) == 1
    finally:
        home.close()
    home, client = start()
    try:
        assert len(history(client)) == 1
    finally:
        home.close()


# --------------------------------------------------------------------------- who may, and in which form


@pytest.mark.parametrize("path", ["/metrics", "/metrics/history"])
def test_viewers_may_read_them_and_devices_may_not(service: Service, path: str) -> None:
    client, _ = service(access=Access(TOKENS))
    assert client.get(path).status_code == 401
    assert client.get(path, headers={"Authorization": "Bearer device"}).status_code == 403
    assert client.get(path, headers={"Authorization": "Bearer viewer"}).status_code == 200


@pytest.mark.parametrize(
    ("accept", "text"),
    [
        ("", False),
        ("*/*", False),
        ("application/json", False),
        ("application/json, text/plain, */*", False),
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", False),
        ("text/plain;q=0, */*", False),
        ("text/plain;q=much", False),
        ("text/plain", True),
        ("text/plain, */*", True),
        ("TEXT/PLAIN; version=0.0.4", True),
        ("application/openmetrics-text;version=1.0.0;q=0.6,text/plain;version=0.0.4;q=0.5,*/*;q=0.1", True),
    ],
)
def test_who_wants_text_gets_text(accept: str, text: bool) -> None:
    assert metric_routes.wants_text(accept) is text


NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
SAMPLE = re.compile(rf'^({NAME})(?:\{{((?:{NAME}="(?:[^"\\\n]|\\["\\n])*",?)*)\}})? (\S+)$')
LABEL = re.compile(rf'({NAME})="((?:[^"\\\n]|\\["\\n])*)"')


def parse(text: str) -> dict[str, dict[tuple[tuple[str, str], ...], float]]:
    """Prometheus's text format 0.0.4, strictly: HELP and TYPE before a name's samples, which are together."""
    families: dict[str, dict[tuple[tuple[str, str], ...], float]] = {}
    kinds: dict[str, str] = {}
    assert text.endswith("\n")
    for line in text.splitlines():
        if line.startswith("# HELP "):
            name = line.split(" ", 3)[2]
            assert name not in families, f"{name} comes twice"
            families[name] = {}
        elif line.startswith("# TYPE "):
            _, _, name, kind = line.split(" ")
            assert list(families)[-1] == name
            kinds[name] = kind
        else:
            found = SAMPLE.match(line)
            assert found, line
            assert list(families)[-1] == found[1]
            assert found[1] in kinds
            labels = tuple(LABEL.findall(found[2] or ""))
            assert labels not in families[found[1]], f"{line} comes twice"
            families[found[1]][labels] = float(found[3])
    return families


def test_prometheus_gets_what_it_can_read(service: Service) -> None:
    client, _ = service()
    client.get("/things/a")
    client.get("/things/bad")
    client.get("/happenings")
    shown = told(client)
    reply = client.get("/metrics", headers={"Accept": "text/plain;version=0.0.4"})
    assert reply.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert reply.headers["vary"] == "Accept"
    families = parse(reply.text)
    route = ("route", "/things/{thing_id}")
    assert families["sightline_http_recent_requests"][route, ("status", "400")] == 1
    assert families["sightline_live_sessions"][(("state", "active"),)] == 1
    median = families["sightline_http_recent_request_duration_seconds"][route, ("quantile", "0.5")]
    assert median == pytest.approx(shown["routes"]["/things/{thing_id}"]["p50_ms"] / 1000)
    assert not any(name.endswith(("_total", "_sum", "_count")) for name in families)


def test_odd_names_are_escaped(service: Service, store: SqliteDocuments, clock: SettableClock) -> None:
    meter = Meter(lambda: store, clock)
    meter.record('a "quoted"\\back\nslash', 200, 0.001)
    meter.close()
    client, _ = service()
    families = parse(client.get("/metrics", headers={"Accept": "text/plain"}).text)
    ((route, _),) = families["sightline_http_recent_requests"]
    assert route[1].replace(r"\n", "\n").replace(r"\"", '"').replace(r"\\", "\\") == 'a "quoted"\\back\nslash'


def test_a_meter_forgets_the_sessions_that_fell_silent(store: SqliteDocuments, clock: SettableClock) -> None:
    meter = Meter(lambda: store, clock)
    meter.heard(meter.open_session())
    clock.advance(301)
    meter.heard(meter.open_session())
    assert meter.untold().sessions == LiveSessions(1, 1)


def test_an_application_without_a_meter_counts_nothing(store: SqliteDocuments, clock: Clock) -> None:
    app: FastAPI = create_app([metric_routes.router(lambda: Deps(store, clock))], access=None)
    client = TestClient(app)
    assert [told(client)["totals"]["count"] for _ in range(2)] == [0, 0]
