"""An alert from end to end on the embedded server: a signal, guards who can't come, webhooks, one who comes.

Nobody here lets the 45 seconds of a round pass: everybody declines or accepts. What a deadline does is seen with a
clock that is moved by hand (tests/handlers).
"""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest

from bench.photos import draw_photo
from local.emulators import free_port
from local.server import running_server
from shared.settings import EmbeddedSettings

PATIENCE_SECONDS = 20.0
PLACE = "gate"
GUARDS = 7
FIRST_ROUND = 5


@dataclass
class Receiver:
    """Somebody's webhook: keeps what it is sent."""

    port: int
    deliveries: list[tuple[Mapping[str, str], bytes]] = field(default_factory=list)

    def genuine(self, secret: str) -> list[dict[str, Any]]:
        """The bodies, each once; a delivery whose signature is wrong fails the test."""
        bodies = {}
        for headers, body in self.deliveries:
            signed = headers["Sightline-Timestamp"].encode() + b"." + body
            expected = "v1=" + hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()
            assert hmac.compare_digest(expected, headers["Sightline-Signature"])
            bodies[headers["Sightline-Delivery"]] = json.loads(body)
        return list(bodies.values())


@contextmanager
def receiving() -> Iterator[Receiver]:
    receiver = Receiver(free_port())

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            receiver.deliveries.append((dict(self.headers), body))
            self.send_response(204)
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            del format, args

    server = ThreadingHTTPServer(("127.0.0.1", receiver.port), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield receiver
    server.shutdown()
    server.server_close()
    thread.join()


@dataclass(frozen=True)
class Site:
    """A running server with a place and its guards, and a webhook."""

    http: httpx.Client
    receiver: Receiver
    secret: str

    def report(self) -> dict[str, Any]:
        """A device reports violence with a picture."""
        fields = {"beacon_id": PLACE, "confidence_score": "0.95", "description": "Fight"}
        files = {"images": ("evidence.jpg", draw_photo(320, 240, 1), "image/jpeg")}
        reply = self.http.post("/api/ai/violence-detected/", data=fields, files=files)
        assert reply.status_code == 201, reply.text
        body: dict[str, Any] = reply.json()
        return body

    def alert(self, incident_id: str, ready: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """The incident's only alert, once it is as it is waited for."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            listed = self.http.get("/alerts", params={"incident_id": incident_id}).raise_for_status().json()["alerts"]
            for each in listed:
                found: dict[str, Any] = self.http.get(f"/alerts/{each['alert_id']}").json()
                if len(listed) == 1 and ready(found):
                    return found
            assert time.monotonic() < deadline, listed
            time.sleep(0.05)

    def answer(self, alert: dict[str, Any], guard_id: str, what: str) -> httpx.Response:
        """A guard accepts or declines."""
        return self.http.post(f"/alerts/{alert['alert_id']}/{what}", json={"guard_id": guard_id})

    def pushes(self, alert: dict[str, Any], count: int) -> list[dict[str, Any]]:
        """The deliveries that reached phones, once there are so many."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            logged = self.http.get(f"/alerts/{alert['alert_id']}/deliveries").raise_for_status().json()["deliveries"]
            sent = [each for each in logged if (each["channel"], each["state"]) == ("push", "sent")]
            if len(sent) >= count:
                return sent
            assert time.monotonic() < deadline, logged
            time.sleep(0.05)

    def told(self, event: str) -> dict[str, Any]:
        """What the webhook was told of an event, which is one delivery."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not (found := [body for body in self.receiver.genuine(self.secret) if body["event"] == event]):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        (body,) = found
        return body


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with receiving() as receiver:
        config = EmbeddedSettings(private_hosts=(f"127.0.0.1:{receiver.port}",))
        with (
            running_server(tmp_path / "data", port=free_port(), config=config) as base_url,
            httpx.Client(base_url=base_url, timeout=30) as http,
        ):
            http.put(f"/beacons/{PLACE}", json={"location": "Front gate"}).raise_for_status()
            for number in range(GUARDS):
                guard = {"name": f"Guard {number}", "rank": number, "places": [PLACE], "tokens": [f"phone{number}"]}
                http.put(f"/guards/guard-{number}", json=guard).raise_for_status()
            hook = http.put("/webhooks/ops", json={"url": f"http://127.0.0.1:{receiver.port}/hook"})
            yield Site(http, receiver, hook.raise_for_status().json()["secret"])


def asked(alert: dict[str, Any], number: int) -> list[str]:
    """Who was asked in a round."""
    return [ask["guard_id"] for ask in alert["asks"] if ask["round"] == number]


def test_from_the_signal_to_the_guard_who_comes(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "shared.adapters.embedded.push_log")
    incident_id = site.report()["incident_id"]
    alert = site.alert(incident_id, lambda found: found["round"] == 1)
    assert asked(alert, 1) == [f"guard-{number}" for number in range(FIRST_ROUND)]

    opened = site.told("incident.opened")
    assert (opened["incident"]["incident_id"], opened["alert"]["alert_id"]) == (incident_id, alert["alert_id"])
    (image,) = opened["images"]
    assert httpx.get(image["url"]).status_code == 200
    views = site.http.get(f"/incidents/{incident_id}/views").json()["views"]
    assert sorted(view["purpose"] for view in views) == ["reply", "webhook"]

    for guard_id in asked(alert, 1):
        assert site.answer(alert, guard_id, "decline").status_code == 200
    alert = site.alert(incident_id, lambda found: found["round"] == 2)
    assert asked(alert, 2) == [f"guard-{number}" for number in range(FIRST_ROUND, GUARDS)]

    site.pushes(alert, GUARDS)  # who accepts before the others' phones rang spares them that
    first, second = asked(alert, 2)
    assert site.answer(alert, second, "accept").status_code == 200
    late = site.answer(alert, first, "accept")
    assert (late.status_code, late.json()["alert"]["accepted_by"]) == (409, second)
    incident = site.http.get(f"/incidents/{incident_id}").json()
    assert (incident["status"], incident["assignee"]) == ("ASSIGNED", f"Guard {GUARDS - 1}")
    assert site.alert(incident_id, lambda found: found["state"] == "accepted")["accepted_by"] == second

    reached = site.pushes(alert, GUARDS)
    assert sorted(each["target"] for each in reached) == [f"guard-{number}" for number in range(GUARDS)]
    assert sum(record.message.startswith("ALERT ") for record in caplog.records) == GUARDS


def test_when_nobody_can_come_that_is_said(site: Site) -> None:
    incident_id = site.report()["incident_id"]
    for number in (1, 2):
        alert = site.alert(incident_id, lambda found, number=number: found["round"] == number)  # type: ignore[misc]
        for guard_id in asked(alert, number):
            assert site.answer(alert, guard_id, "decline").status_code == 200
    alert = site.alert(incident_id, lambda found: found["state"] == "exhausted")
    assert alert["because"] == "nobody_left"
    assert site.told("alert.exhausted")["alert"]["alert_id"] == alert["alert_id"]


def test_who_resolves_the_incident_ends_its_alert(site: Site) -> None:
    incident_id = site.report()["incident_id"]
    site.alert(incident_id, lambda found: found["round"] == 1)
    end = {"outcome": "false_alarm", "note": "Two actors rehearsed."}
    site.http.post(f"/incidents/{incident_id}/resolve", json=end).raise_for_status()
    alert = site.alert(incident_id, lambda found: found["state"] != "active")
    assert (alert["state"], alert["because"]) == ("ended", "incident_resolved")
    assert site.report()["incident_id"] != incident_id
