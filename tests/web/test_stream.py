"""The stream of events, over a real server: in order, resumed, filtered, bounded, and closed with its client."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.types import ASGIApp

from infra import topology
from local.emulators import free_port, wait_until_listening
from local.gateway import gateway
from local.server import running_server
from shared.adapters.embedded.documents import SqliteDocuments
from shared.domain import incident_changes
from shared.domain.alerts import Alert, AlertCause
from shared.domain.incidents import Incident, IncidentStatus, Priority
from shared.handlers.newsroom import Newsroom
from shared.ids import new_uuid
from shared.ports import Caller, Role
from shared.repositories import alerts, incidents
from shared.web import serving as serving_of_streams
from shared.web import stream
from shared.web.access import Access
from shared.web.app import create_app
from shared.web.inbox import Pace
from shared.web.serving import STOP_SECONDS
from tests.fakes import ManualClock

TOKENS = {
    "all": Caller("kim", Role.VIEWER),
    "gate": Caller("guard", Role.VIEWER, places=("gate",)),
    "device": Caller("camera", Role.DEVICE),
}
LISTENERS = 3
PACE = Pace(heartbeat=0.3, longest=30.0, sending=1.0)


@dataclass
class Service:
    """A server with nothing but the stream."""

    documents: SqliteDocuments
    clock: ManualClock
    newsroom: Newsroom
    port: int

    def open_incident(self, beacon_id: str = "gate", location: str = "Gate") -> Incident:
        now = self.clock.now()
        incident = Incident(new_uuid(), beacon_id, location, IncidentStatus.CREATED, Priority.HIGH, now, changed_at=now)
        change = incident_changes.opened(incident, actor="camera", details={})
        self.documents.commit(incidents.opening_writes(change))
        return incident

    def raise_priority(self, incident: Incident) -> None:
        present, version = incidents.find_many(self.documents, [incident.id])[incident.id]
        change = incident_changes.raised(present, Priority.CRITICAL, self.clock.now(), actor="camera", details={})
        self.documents.commit(incidents.change_writes(change, version))

    @contextmanager
    def listening(self, token: str = "all", **query: str) -> Iterator[Stream]:
        headers = {"Authorization": f"Bearer {token}"}
        url = f"http://127.0.0.1:{self.port}/stream"
        with httpx.stream("GET", url, params=query, headers=headers, timeout=20) as reply:
            assert reply.status_code == 200, reply.read()
            lines = Stream(reply.iter_lines())
            assert next(lines.lines) == ": Sightline"
            yield lines

    def listeners(self) -> int:
        return len(self.newsroom._listeners)


@dataclass
class Stream:
    """What a client reads."""

    lines: Iterator[str]

    def next(self) -> dict[str, Any]:
        """The next event, whatever comments come before it."""
        event: dict[str, Any] = {}
        for line in self.lines:
            name, _, value = line.partition(": ")
            if not line and "event" in event:
                return event
            event[name] = json.loads(value) if name == "data" else value
        raise AssertionError("the stream ended")


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    with serving(tmp_path, PACE) as started:
        yield started


@contextmanager
def serving(folder: Path, pace: Pace) -> Iterator[Service]:
    documents = SqliteDocuments(folder / "documents.sqlite3", topology.load().document_indexes())
    clock = ManualClock()
    newsroom = Newsroom(documents, clock, max_listeners=LISTENERS, renewal_seconds=0.2)
    app = create_app([stream.router(lambda: newsroom, pace)], access=Access(TOKENS))
    with running(app, newsroom.close) as port:
        yield Service(documents, clock, newsroom, port)
    eventually(lambda: not newsroom._listeners)
    documents.close()


@contextmanager
def running(app: ASGIApp, end_streams: Callable[[], None] = lambda: None) -> Iterator[int]:
    port = free_port()
    options = serving_of_streams.options(app, host="127.0.0.1", port=port)
    server = serving_of_streams.StreamServer(options, end_streams)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    wait_until_listening(port, thread.is_alive)
    try:
        yield port
    finally:
        server.should_exit = True
        thread.join()


def eventually(is_so: Callable[[], bool]) -> None:
    ends = time.monotonic() + 10
    while not is_so():
        assert time.monotonic() < ends
        time.sleep(0.02)


def test_who_was_told_nothing_yet_can_come_back_too(service: Service) -> None:
    """A browser sends the last id it was given: none, and what happens until it is back would be lost."""
    with service.listening() as told:
        assert [next(told.lines) for _ in range(3)] == ["retry: 2000", "id: 2026-03-01T12:00:00Z", ""]
    missed = service.open_incident()
    with service.listening(since="2026-03-01T12:00:00Z") as told:
        assert told.next()["data"]["incident_id"] == missed.id


def test_a_quiet_night_is_no_absence(service: Service) -> None:
    with service.listening() as told:
        service.clock.advance(7200)
        while (line := next(told.lines)) != "id: 2026-03-01T14:00:00Z":
            assert not line.startswith("event")
    service.clock.advance(5)
    missed = service.open_incident()
    with service.listening(since="2026-03-01T14:00:00Z") as told:
        event = told.next()
        assert (event["event"], event["data"]["incident_id"]) == ("incident", missed.id)


def test_an_id_from_the_future_is_given_back_as_the_present(service: Service) -> None:
    with service.listening(since="9999-12-31T23:59:59Z") as told:
        service.open_incident()
        assert told.next()["id"] == "2026-03-01T12:00:00Z"


def test_changes_are_told_as_they_happen(service: Service) -> None:
    with service.listening() as told:
        incident = service.open_incident()
        first = told.next()
        assert (first["event"], first["id"]) == ("incident", "2026-03-01T12:00:00Z")
        assert first["data"] == {
            "incident_id": incident.id,
            "what": "opened",
            "revision": 1,
            "status": "CREATED",
            "priority": "High",
            "beacon_id": "gate",
            "beacon_location": "Gate",
            "assignee": None,
            "acknowledged_by": None,
            "outcome": None,
            "opened_at": "2026-03-01T12:00:00Z",
            "changed_at": "2026-03-01T12:00:00Z",
            "previous_incident_id": None,
        }
        service.clock.advance(1)
        service.raise_priority(incident)
        second = told.next()
        assert (second["id"], second["data"]["what"]) == ("2026-03-01T12:00:01Z", "changed")
        assert (second["data"]["revision"], second["data"]["priority"]) == (2, "Critical")


def test_alerts_are_told_too(service: Service) -> None:
    with service.listening() as told:
        now = service.clock.now()
        alert = Alert("i:High", "i", "gate", "Gate", Priority.HIGH, AlertCause.OPENED, 7, now)
        service.documents.commit([alerts.creation(alert)])
        event = told.next()
        assert (event["event"], event["data"]["alert_id"], event["data"]["what"]) == ("alert", "i:High", "created")
        _, version = alerts.get(service.documents, "i:High")
        ended = replace(alert, revision=2, ended_at=now + timedelta(seconds=45))
        service.documents.commit([alerts.update(ended, version)])
        event = told.next()
        assert (event["id"], event["data"]["revision"]) == ("2026-03-01T12:00:45Z", 2)


def test_a_new_listener_is_not_told_what_was_before(service: Service) -> None:
    before = service.open_incident()
    service.clock.advance(1)
    with service.listening() as told:
        after = service.open_incident()
        assert told.next()["data"]["incident_id"] == after.id != before.id


def test_what_a_clock_that_lags_says_is_told(service: Service) -> None:
    with service.listening() as told:
        service.open_incident()
        told.next()
        late = replace(service.open_incident(), id=new_uuid(), changed_at=service.clock.now() - timedelta(seconds=30))
        service.documents.commit([incidents.creation(late)])
        assert late.id in {told.next()["data"]["incident_id"] for _ in range(2)}


def test_who_comes_back_is_told_what_it_missed_once(service: Service) -> None:
    with service.listening() as told:
        first = service.open_incident()
        last_id = told.next()["id"]
    service.clock.advance(100)
    missed = service.open_incident()
    service.clock.advance(1)
    with service.listening(since=last_id) as told:
        # The last one it heard is told again: of the same time there may have been others.
        assert [told.next()["data"]["incident_id"] for _ in range(2)] == [first.id, missed.id]
        live = service.open_incident()
        assert told.next()["data"]["incident_id"] == live.id


def test_a_browser_comes_back_by_a_header(service: Service) -> None:
    missed = service.open_incident()
    url = f"http://127.0.0.1:{service.port}/stream"
    headers = {"Authorization": "Bearer all", "Last-Event-ID": "2026-03-01T11:59:59.5Z"}
    with httpx.stream("GET", url, headers=headers, timeout=20) as reply:
        assert reply.headers["content-type"].startswith("text/event-stream")
        assert Stream(reply.iter_lines()).next()["data"]["incident_id"] == missed.id


def test_who_was_away_for_too_long_is_told_to_read_anew(service: Service) -> None:
    with service.listening(since="2026-03-01T10:59:59Z") as told:
        reset = told.next()
        assert (reset["event"], reset["data"], reset["id"]) == ("reset", {}, "2026-03-01T12:00:00Z")
        live = service.open_incident()
        assert told.next()["data"]["incident_id"] == live.id


def test_only_places_of_the_caller_are_told(service: Service) -> None:
    with service.listening(token="gate", since="2026-03-01T11:59:59Z") as told:
        for place in ("yard", "gate", "yard", "gate"):
            service.open_incident(place)
        assert [told.next()["data"]["beacon_id"] for _ in range(2)] == ["gate", "gate"]


def test_renewing_the_watch_neither_repeats_nor_loses(service: Service) -> None:
    """The watch is begun anew five times a second here."""
    with service.listening() as told:
        opened = []
        for _ in range(30):
            opened.append(service.open_incident().id)
            time.sleep(0.03)
        assert sorted(told.next()["data"]["incident_id"] for _ in opened) == sorted(opened)


@pytest.mark.parametrize(
    "since", ["yesterday", "2026-03-01T12:00:00", "7", "9999-12-31T23:59:59-01:00", "0001-01-01T00:00:00+01:00"]
)
def test_a_time_that_is_none_is_refused(since: str, service: Service) -> None:
    url = f"http://127.0.0.1:{service.port}/stream"
    headers = {"Authorization": "Bearer all", "Last-Event-ID": since}
    reply = httpx.get(url, headers=headers)
    assert (reply.status_code, service.listeners()) == (400, 0)
    assert reply.json() == {"detail": "since must be a time such as 2026-03-01T12:00:00Z."}


@pytest.mark.parametrize(("token", "status"), [("device", 403), ("nobody", 401)])
def test_strangers_are_refused(token: str, status: int, service: Service) -> None:
    reply = httpx.get(f"http://127.0.0.1:{service.port}/stream", headers={"Authorization": f"Bearer {token}"})
    assert reply.status_code == status


def test_no_more_than_so_many_listen(service: Service) -> None:
    with service.listening(), service.listening(), service.listening():
        reply = httpx.get(f"http://127.0.0.1:{service.port}/stream", headers={"Authorization": "Bearer all"})
        assert (reply.status_code, reply.headers["retry-after"]) == (503, "1")
    eventually(lambda: service.listeners() == 0)
    with service.listening():
        pass


def test_silence_is_broken_by_comments(service: Service) -> None:
    with service.listening() as told:
        assert ": still here" in [next(told.lines) for _ in range(5)]


def test_with_its_last_client_the_watch_ends(service: Service) -> None:
    with service.listening():
        eventually(lambda: bool(service.documents._watches))
    eventually(lambda: not service.listeners() and not service.documents._watches)


def test_a_client_that_takes_nothing_is_dropped(service: Service) -> None:
    with socket.create_connection(("127.0.0.1", service.port)) as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1024)
        client.sendall(b"GET /stream HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer all\r\n\r\n")
        eventually(lambda: service.listeners() == 1)
        filler = "x" * 100_000
        ends = time.monotonic() + 30
        while service.listeners() and time.monotonic() < ends:
            now = service.clock.now()
            incident = Incident(new_uuid(), "gate", filler, IncidentStatus.CREATED, Priority.HIGH, now, changed_at=now)
            service.documents.commit([incidents.creation(incident)])
        assert service.listeners() == 0


def test_the_embedded_home_tells_of_a_signal_s_incident(tmp_path: Path) -> None:
    with running_server(tmp_path / "data", port=free_port()) as base_url:
        httpx.put(f"{base_url}/beacons/gate", json={"location": "Library Entrance"})
        with httpx.stream("GET", f"{base_url}/stream", timeout=20) as reply:
            signal = {"beacon_id": "gate", "confidence_score": 0.95, "description": "Fight"}
            opened = httpx.post(f"{base_url}/api/ai/violence-detected/", json=signal).json()
            told = Stream(reply.iter_lines())
            event = told.next()
            while event["event"] != "incident":
                event = told.next()
        assert event["data"]["incident_id"] == opened["incident_id"]
        assert event["data"]["beacon_location"] == "Library Entrance"


def test_a_server_that_stops_ends_its_streams(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with ExitStack() as served:
        base_url = served.enter_context(running_server(tmp_path / "data", port=free_port()))
        with httpx.stream("GET", f"{base_url}/stream", timeout=20) as first:
            lines = first.iter_lines()
            assert next(lines) == ": Sightline"
            began = time.monotonic()
            served.close()
            assert time.monotonic() - began < STOP_SECONDS / 2
            assert [line for line in lines if line.startswith("event")] == []  # ended as it should, not cut off
    assert [record.message for record in caplog.records if record.levelname == "ERROR"] == []


def test_a_newsroom_that_is_closed_takes_nobody(service: Service) -> None:
    service.newsroom.close()
    reply = httpx.get(f"http://127.0.0.1:{service.port}/stream", headers={"Authorization": "Bearer all"})
    assert reply.status_code == 503


def test_the_gateway_passes_events_on_as_they_come(service: Service) -> None:
    """It stands for the load balancer before functions on a developer's machine."""
    functions = {"live": f"http://127.0.0.1:{service.port}"}
    with running(gateway(topology.load(), functions)) as port:
        with replace(service, port=port).listening() as told:
            incident = service.open_incident()
            assert told.next()["data"]["incident_id"] == incident.id
        eventually(lambda: service.listeners() == 0)


def test_a_stream_ends_before_the_platform_ends_it(tmp_path: Path) -> None:
    with serving(tmp_path, Pace(heartbeat=5.0, longest=0.5)) as service, service.listening() as told:
        began = time.monotonic()
        assert [line for line in told.lines if line.startswith("event")] == []
        assert time.monotonic() - began < 4
