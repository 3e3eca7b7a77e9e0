"""Webhooks over HTTP: set up, shown without their secret, tried out, with their log; and a receiver in ten lines."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from local.home import Home
from local.server import application
from shared.ports import Caller, Role
from shared.repositories import webhooks
from shared.settings import EmbeddedSettings

URL = "https://hooks.example.com/sightline"
RECEIVER = '''
import hashlib, hmac, time

def is_genuine(secret: str, headers, body: bytes) -> bool:
    """Whether Sightline sent this, and within the last five minutes."""
    timestamp = headers["Sightline-Timestamp"]
    signed = hmac.new(secret.encode(), timestamp.encode() + b"." + body, hashlib.sha256).hexdigest()
    genuine = hmac.compare_digest(f"v1={signed}", headers["Sightline-Signature"])
    return genuine and abs(time.time() - int(timestamp)) <= 300
'''
"""The README's example."""


def test_a_secret_that_was_made_up_is_shown_once(client: TestClient) -> None:
    made = client.put("/webhooks/ops", json={"url": URL})
    assert made.status_code == 200
    assert len(made.json()["secret"]) == 64
    assert made.json() | {"secret": None, "created_at": None} == {
        "id": "ops",
        "url": URL,
        "events": ["incident.opened", "incident.raised", "alert.exhausted"],
        "places": None,
        "active": True,
        "disabled_because": None,
        "created_at": None,
        "secret": None,
    }
    assert client.get("/webhooks/ops").json()["secret"] is None
    assert client.put("/webhooks/ops", json={"url": URL, "places": ["gate"]}).json()["secret"] is None
    assert [one["places"] for one in client.get("/webhooks").json()["webhooks"]] == [["gate"]]


def test_a_secret_of_ones_own_is_kept_until_another_is_set(client: TestClient, home: Home) -> None:
    client.put("/webhooks/ops", json={"url": URL, "secret": "0123456789abcdef"})
    client.put("/webhooks/ops", json={"url": URL, "active": False})
    webhook, _ = webhooks.get(home.documents, "ops")
    assert (webhook.secret, webhook.active) == ("0123456789abcdef", False)
    assert client.put("/webhooks/ops", json={"url": URL, "secret": "fedcba9876543210"}).json()["secret"] is not None


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"url": ""},
        {"url": URL, "secret": "short"},
        {"url": URL, "events": []},
        {"url": URL, "events": ["webhook.test"]},
        {"url": URL, "places": ["x"] * 1001},
        {"url": "http://hooks.example.com/"},
        {"url": "https://169.254.169.254/"},
        {"url": "https://localhost/"},
        {"url": "https://me:secret@hooks.example.com/"},
        {"url": "file:///etc/passwd"},
    ],
)
def test_what_could_never_be_posted_to_is_refused_with_a_sentence(body: dict[str, Any], client: TestClient) -> None:
    reply = client.put("/webhooks/ops", json=body)
    assert reply.status_code == 400
    assert reply.json()["detail"]
    assert client.get("/webhooks").json() == {"webhooks": []}


def test_an_id_is_shown_text(client: TestClient) -> None:
    assert client.put("/webhooks/a%00b", json={"url": URL}).status_code == 400
    assert client.put("/webhooks/" + "x" * 101, json={"url": URL}).status_code == 400
    assert client.put("/webhooks/Wache%20Süd", json={"url": URL}).status_code == 200


def test_there_can_be_a_hundred_webhooks(client: TestClient) -> None:
    for number in range(100):
        assert client.put(f"/webhooks/w{number}", json={"url": URL}).status_code == 200
    full = client.put("/webhooks/another", json={"url": URL})
    assert (full.status_code, full.json()["detail"]) == (409, "There can be no more than 100 webhooks.")
    assert client.put("/webhooks/w7", json={"url": URL, "active": False}).status_code == 200


def test_what_is_not_there_is_not_found(client: TestClient) -> None:
    for method, path in [
        ("GET", "/webhooks/none"),
        ("DELETE", "/webhooks/none"),
        ("POST", "/webhooks/none/test"),
        ("GET", "/webhooks/none/deliveries"),
        ("GET", "/alerts/none/deliveries"),
    ]:
        reply = client.request(method, path)
        assert (reply.status_code, "No such" in reply.json()["detail"]) == (404, True)


def test_webhooks_are_the_administrators_alone(tmp_path: Path) -> None:
    operator = ("o" * 20, Caller("olga", Role.OPERATOR))
    config = EmbeddedSettings(api_token="t" * 20, user_tokens=(operator,))
    home = Home(tmp_path / "guarded", config, "http://testserver")
    guarded = TestClient(application(home))
    for token, status in [("", 401), ("o" * 20, 403), ("t" * 20, 200)]:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        assert guarded.get("/webhooks", headers=headers).status_code == status
        assert guarded.put("/webhooks/w", headers=headers, json={"url": URL}).status_code == status
    home.close()


# --------------------------------------------------------------------------- tried out


class Receiver:
    """A receiver on loopback, as the README has one."""

    def __init__(self, status: int = 204) -> None:
        self.status = status
        self.got: list[tuple[dict[str, str], bytes]] = []
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                receiver.got.append((dict(self.headers), self.rfile.read(int(self.headers["Content-Length"]))))
                self.send_response(receiver.status)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Stays silent."""

        self._server = HTTPServer(("127.0.0.1", 0), Handler)
        self.place = f"127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    opened = Receiver()
    yield opened
    opened.close()


@pytest.fixture
def running(receiver: Receiver, tmp_path: Path) -> Iterator[TestClient]:
    """The embedded home with all its threads; the receiver is one that it may reach."""
    home = Home(tmp_path / "data", EmbeddedSettings(private_hosts=(receiver.place,)), "http://testserver")
    home.start()
    yield TestClient(application(home))
    home.close()


def eventually(read: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + 10
    while not (found := read()):
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)
    return found


def test_a_test_reaches_the_receiver_and_stands_in_the_log(running: TestClient, receiver: Receiver) -> None:
    secret = running.put("/webhooks/ops", json={"url": f"http://{receiver.place}/in"}).json()["secret"]
    ordered = running.post("/webhooks/ops/test")
    assert ordered.status_code == 202

    def sent() -> Any:
        page = running.get("/webhooks/ops/deliveries").json()
        return page["deliveries"] if page["deliveries"][0]["state"] != "pending" else None

    (delivery,) = eventually(sent)
    assert delivery["delivery_id"] == ordered.json()["delivery_id"]
    assert (delivery["state"], delivery["last_status"], delivery["attempts"]) == ("sent", "204", 1)
    assert delivery["next_attempt_at"] is None
    ((headers, body),) = receiver.got
    example: dict[str, Any] = {}
    exec(RECEIVER, example)
    assert example["is_genuine"](secret, headers, body)
    assert not example["is_genuine"](secret, headers, body + b" ")
    assert not example["is_genuine"]("another", headers, body)


def test_an_incident_reaches_webhooks_of_its_place_and_its_log_can_be_read(
    running: TestClient, receiver: Receiver
) -> None:
    running.put("/beacons/gate", json={"location": "Library Entrance", "active": True})
    running.put("/webhooks/ops", json={"url": f"http://{receiver.place}/in", "places": ["gate"]})
    running.put("/webhooks/elsewhere", json={"url": f"http://{receiver.place}/in", "places": ["hall"]})
    body = {"beacon_id": "gate", "confidence_score": 0.9, "description": "x", "device_id": "d"}
    opened = running.post("/api/ai/violence-detected/", json=body)
    assert opened.status_code == 201, opened.text
    eventually(lambda: len(receiver.got) >= 2)  # opened, and nobody is there to be called
    incident = opened.json()["incident_id"]
    assert {b'"incident.opened"' in body for _, body in receiver.got} == {True, False}
    assert all(incident.encode() in body for _, body in receiver.got)

    def ended() -> Any:
        page = running.get(f"/alerts/{incident}:Critical/deliveries").json()
        found = page["deliveries"]
        return found if len(found) == 2 and all(one["state"] == "sent" for one in found) else None

    assert {one["event"] for one in eventually(ended)} == {"incident.opened", "alert.exhausted"}
    assert running.get("/webhooks/elsewhere/deliveries").json()["deliveries"] == []
    assert running.delete("/webhooks/ops").status_code == 204
    assert running.get("/webhooks/ops").status_code == 404
