"""WebSocket /stream: the same as by server-sent events, and what strangers and the rude get."""

from __future__ import annotations

import base64
import json
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Origin, Subprotocol

from infra import topology
from local.emulators import free_port
from local.gateway import gateway
from local.server import running_server
from shared.adapters.embedded.documents import SqliteDocuments
from shared.errors import Retryable
from shared.handlers.newsroom import Newsroom
from shared.ports import Caller
from shared.settings import EmbeddedSettings
from shared.web import live_sockets, readiness
from shared.web.access import Access
from shared.web.app import create_app
from shared.web.inbox import Pace
from shared.web.serving import STOP_SECONDS, options
from tests.fakes import ManualClock
from tests.web.test_stream import LISTENERS, TOKENS, Service, eventually, running

PACE = Pace(heartbeat=0.3, longest=30.0, sending=0.5)
PAGE = "https://dashboard.example"


class Undecided:
    """`Identities` that can't tell now."""

    def identify(self, token: str) -> Caller | None:
        raise Retryable(f"no keys for {len(token)} characters")


@dataclass
class Place(Service):
    """A server with nothing but the sockets."""

    sockets: live_sockets.Sockets

    def open(self, token: str | None = "all", query: str = "", **options: Any) -> ClientConnection:
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        url = f"ws://127.0.0.1:{self.port}/stream{query}"
        client: ClientConnection = connect(url, additional_headers=headers, compression=None, proxy=None, **options)
        return client


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    with serving(tmp_path) as served:
        yield served


@contextmanager
def serving(folder: Path, pace: Pace = PACE, *, enabled: bool = True) -> Iterator[Place]:
    documents = SqliteDocuments(folder / "documents.sqlite3", topology.load().document_indexes())
    clock, sockets = ManualClock(), live_sockets.Sockets()
    newsroom = Newsroom(documents, clock, max_listeners=LISTENERS, renewal_seconds=0.2)
    routers = [live_sockets.router(lambda: newsroom, sockets, enabled=enabled, pace=pace), readiness.router(sockets)]
    app = create_app(routers, access=Access(TOKENS, Undecided()), allowed_origins=[PAGE])
    with running(app, newsroom.close) as port:
        yield Place(documents, clock, newsroom, port, sockets)
    eventually(lambda: not newsroom._listeners)
    assert sockets.open == 0
    documents.close()


def told(client: ClientConnection, *kinds: str) -> dict[str, Any]:
    """The next message of one of these kinds; `still_here` may come at any time."""
    while True:
        message: dict[str, Any] = json.loads(client.recv(timeout=20))
        if message["type"] in kinds:
            return message
        assert message["type"] in {"ready", "still_here"}, message


def closing(client: ClientConnection) -> tuple[int, str]:
    """Reads to the end; code and reason of the close, 0 where the connection was cut off."""
    try:
        for _ in range(1000):
            client.recv(timeout=20)
    except ConnectionClosed as closed:
        return (closed.rcvd.code, closed.rcvd.reason) if closed.rcvd else (0, "")
    raise AssertionError("it was not closed")


def bearer(token: str) -> list[Subprotocol]:
    encoded = base64.urlsafe_b64encode(token.encode()).decode().rstrip("=")
    return [Subprotocol("sightline"), Subprotocol(f"sightline.bearer.{encoded}")]


class TestWhatIsTold:
    def test_the_beginning_bears_an_id_to_come_back_with(self, place: Place) -> None:
        with place.open() as client:
            assert told(client, "ready") == {"type": "ready", "id": "2026-03-01T12:00:00Z"}
            assert told(client, "still_here") == {"type": "still_here", "id": "2026-03-01T12:00:00Z"}

    def test_incidents_as_they_happen_in_the_source_s_form(self, place: Place) -> None:
        with place.open() as client:
            told(client, "ready")
            incident = place.open_incident()
            message = told(client, "incident")
        assert set(message) == {"type", "id", "ts_ms", "frame_source_id", "payload"}
        assert (message["ts_ms"], message["frame_source_id"]) == (1772366400000, "gate")
        assert (message["payload"]["incident_id"], message["payload"]["revision"]) == (incident.id, 1)

    def test_a_ping_is_answered_and_all_else_ignored(self, place: Place) -> None:
        with place.open() as client:
            for message in ("hello", "{", b"ping", "PING", "", "ping"):
                client.send(message)
            assert told(client, "pong") == {"type": "pong", "data": "ping"}
            incident = place.open_incident()
            assert told(client, "incident", "pong")["payload"]["incident_id"] == incident.id

    def test_who_comes_back_is_told_what_it_missed_and_only_of_its_places(self, place: Place) -> None:
        place.open_incident("yard")
        missed = place.open_incident("gate")
        with place.open("gate", "?since=2026-03-01T11:59:59Z") as client:
            assert told(client, "incident")["payload"]["incident_id"] == missed.id
            place.open_incident("yard")
            live = place.open_incident("gate")
            assert told(client, "incident")["payload"]["incident_id"] == live.id

    def test_who_was_away_for_too_long_is_told_to_read_anew(self, place: Place) -> None:
        with place.open(query="?since=2026-03-01T10:00:00Z") as client:
            assert told(client, "reset") == {"type": "reset", "id": "2026-03-01T12:00:00Z"}


class TestWhoMayListen:
    def test_a_browser_sends_its_token_as_a_subprotocol_which_is_not_answered(self, place: Place) -> None:
        with place.open(None, subprotocols=bearer("gate"), origin=Origin(PAGE)) as client:
            assert client.subprotocol == "sightline"
            assert told(client, "ready")

    @pytest.mark.parametrize(
        ("token", "code", "reason"),
        [
            ("device", 1008, "This needs the role viewer."),
            ("someone", 1013, "Temporarily unavailable, please try again."),
            (None, 1008, "Authentication required"),
        ],
    )
    def test_others_are_closed_with_a_reason(self, token: str | None, code: int, reason: str, place: Place) -> None:
        with place.open(token) as client:
            assert closing(client) == (code, reason)
        assert place.listeners() == 0

    @pytest.mark.parametrize("offered", ["sightline.bearer.!", "sightline.bearer.", "sightline.bearer._w", "chat"])
    def test_a_subprotocol_that_is_no_token_opens_nothing(self, offered: str, place: Place) -> None:
        with place.open(None, subprotocols=[Subprotocol("sightline"), Subprotocol(offered)]) as client:
            assert closing(client) == (1008, "Authentication required")

    @pytest.mark.parametrize("origin", ["https://evil.example", "null", "https://dashboard.example.evil", "http://["])
    def test_a_page_of_another_origin_is_refused_whatever_its_token(self, origin: str, place: Place) -> None:
        with place.open(origin=Origin(origin)) as client:
            assert closing(client) == (1008, "Pages of this origin may not listen; see ALLOWED_ORIGINS.")

    def test_a_page_of_this_host_may_listen(self, place: Place) -> None:
        with place.open(origin=Origin(f"http://127.0.0.1:{place.port}")) as client:
            assert told(client, "ready")

    def test_where_they_are_disabled_nobody_may(self, tmp_path: Path) -> None:
        with serving(tmp_path, enabled=False) as place, place.open() as client:
            code, reason = closing(client)
        assert (code, reason.split(";")[0]) == (1008, "WebSockets are not enabled here")

    def test_there_is_no_socket_elsewhere(self, place: Place) -> None:
        url = f"ws://127.0.0.1:{place.port}/incidents"
        with pytest.raises(InvalidStatus), connect(url, additional_headers={"Authorization": "Bearer all"}, proxy=None):
            pass

    def test_no_more_than_so_many(self, place: Place) -> None:
        with ExitStack() as clients:
            for _ in range(LISTENERS):
                told(clients.enter_context(place.open()), "ready")
            assert httpx.get(f"http://127.0.0.1:{place.port}/health").json() == {"ok": True, "ws_clients": LISTENERS}
            with place.open() as late:
                assert closing(late) == (1013, "Temporarily unavailable, please try again.")
        eventually(lambda: place.listeners() == 0)

    def test_a_time_that_is_none_is_refused(self, place: Place) -> None:
        with place.open(query="?since=yesterday") as client:
            assert closing(client) == (1008, "since must be a time such as 2026-03-01T12:00:00Z.")


class TestRudeClients:
    def test_too_many_messages(self, place: Place) -> None:
        with place.open() as client:
            for _ in range(live_sockets.MOST_MESSAGES + 1):
                client.send("ping")
            assert closing(client) == (1008, "More than 100 messages in 10 seconds.")
        eventually(lambda: place.listeners() == 0)

    @pytest.mark.parametrize("data", ["x" * 20_000_000, b"x" * 5000, ["y" * 3000, "y" * 3000]])
    def test_a_message_too_large(self, data: Any, place: Place) -> None:
        with place.open() as client:
            with suppress(ConnectionClosed):  # the server may close before all of it is sent, and cut it off
                client.send(data)
            assert closing(client)[0] in {1009, 0}
        eventually(lambda: place.listeners() == 0)

    def test_one_that_takes_nothing_is_dropped(self, place: Place) -> None:
        with socket.create_connection(("127.0.0.1", place.port)) as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1024)
            client.sendall(handshake())
            eventually(lambda: place.listeners() == 1)
            ends = time.monotonic() + 30
            while place.listeners() and time.monotonic() < ends:
                place.open_incident(location="x" * 100_000)
            assert place.listeners() == 0

    def test_one_that_leaves_without_a_word(self, place: Place) -> None:
        with socket.create_connection(("127.0.0.1", place.port)) as client:
            client.sendall(handshake())
            eventually(lambda: place.listeners() == 1)
        eventually(lambda: place.listeners() == 0)

    def test_one_that_breaks_the_protocol(self, place: Place) -> None:
        with socket.create_connection(("127.0.0.1", place.port)) as client:
            client.sendall(handshake())
            eventually(lambda: place.listeners() == 1)
            client.sendall(b"\xff" * 100)
            eventually(lambda: place.listeners() == 0)


def handshake() -> bytes:
    lines = [
        "GET /stream HTTP/1.1",
        "Host: x",
        "Upgrade: websocket",
        "Connection: Upgrade",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        "Sec-WebSocket-Version: 13",
        "Authorization: Bearer all",
    ]
    return "\r\n".join([*lines, "", ""]).encode()


class TestTheEnd:
    def test_it_ends_before_the_platform_ends_it(self, tmp_path: Path) -> None:
        with serving(tmp_path, replace(PACE, longest=0.2)) as place, place.open() as client:
            assert closing(client) == (1001, "The stream ends here. Come back with the last id.")

    def test_it_ends_when_the_newsroom_closes(self, place: Place) -> None:
        with place.open() as client:
            told(client, "ready")
            place.newsroom.close()
            assert closing(client)[0] == 1001

    def test_a_server_that_stops_ends_it_at_once(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        with ExitStack() as served:
            url = served.enter_context(running_server(tmp_path, port=free_port(), config=EmbeddedSettings()))
            with connect(f"ws{url.removeprefix('http')}/stream", proxy=None) as client:
                told(client, "ready")
                began = time.monotonic()
                served.close()
                assert time.monotonic() - began < STOP_SECONDS / 2
                assert closing(client)[0] in {1001, 1012}
        assert [record.message for record in caplog.records if record.levelname == "ERROR"] == []


class TestHomes:
    def test_the_embedded_server_tells_of_a_signal_s_incident_and_counts_its_clients(self, tmp_path: Path) -> None:
        with running_server(tmp_path, port=free_port(), config=EmbeddedSettings()) as base_url:
            assert httpx.get(base_url, headers={"Accept": "application/json"}).json()["ws_enabled"] is True
            httpx.put(f"{base_url}/beacons/gate", json={"location": "Gate"})
            with connect(f"ws{base_url.removeprefix('http')}/stream", proxy=None) as client:
                told(client, "ready")
                assert httpx.get(f"{base_url}/health").json()["ws_clients"] == 1
                signal = {"beacon_id": "gate", "confidence_score": 0.95, "description": "Fight"}
                opened = httpx.post(f"{base_url}/api/ai/violence-detected/", json=signal).json()
                assert told(client, "incident")["payload"]["incident_id"] == opened["incident_id"]

    def test_where_they_are_disabled_the_embedded_server_says_so(self, tmp_path: Path) -> None:
        config = EmbeddedSettings(ws_enabled=False)
        with running_server(tmp_path, port=free_port(), config=config) as base_url:
            assert httpx.get(base_url).json()["ws_enabled"] is False

    def test_the_gateway_leads_them_to_the_service(self, place: Place) -> None:
        with running(gateway(topology.load(), {"live": f"http://127.0.0.1:{place.port}"})) as port:
            through = replace(place, port=port)
            with through.open(None, subprotocols=bearer("all"), origin=Origin(f"http://127.0.0.1:{port}")) as client:
                assert client.subprotocol == "sightline"
                client.send("ping")
                assert told(client, "pong")
                incident = place.open_incident()
                assert told(client, "incident")["payload"]["incident_id"] == incident.id
            eventually(lambda: place.listeners() == 0)
            with through.open("nobody", origin=Origin("https://evil.example")) as client:
                assert closing(client)[0] == 1008
            url = f"ws://127.0.0.1:{port}/nowhere"
            with pytest.raises(InvalidStatus), connect(url, proxy=None):
                pass


def test_an_idle_connection_outlives_its_client() -> None:
    """Who keeps connections for 5 s, as httpx does, must never find one closed at the moment of using it."""
    assert options(Starlette(), host="127.0.0.1", port=0).timeout_keep_alive > 60
