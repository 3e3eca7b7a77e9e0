"""A path is served with or without a slash at its end; nobody is sent elsewhere, for that would name an origin."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from PIL import Image

from local.home import Home
from local.server import application
from shared.settings import EmbeddedSettings
from shared.web.app import MAX_BODY_BYTES

TOKEN = {"Authorization": "Bearer secret"}
SIGNAL = {"beacon_id": "gate", "confidence_score": "0.95", "description": "Fight", "device_id": "CAM-1"}


@pytest.fixture
def client(tmp_path: Path) -> Iterator[TestClient]:
    """Asks for a token; follows nothing."""
    home = Home(tmp_path / "data", EmbeddedSettings(api_token="secret"), "http://testserver")
    yield TestClient(application(home), raise_server_exceptions=False, follow_redirects=False)
    home.close()


@pytest.mark.parametrize(
    "path", ["/incidents", "/incidents/", "/metrics/", "/health", "/health/", "/docs/", "/incidents/?limit=1"]
)
def test_both_spellings_answer(client: TestClient, path: str) -> None:
    assert client.get(path, headers=TOKEN).status_code == 200


@pytest.mark.parametrize("ending", ["", "/"])
def test_a_device_that_left_out_the_slash_loses_no_picture(client: TestClient, ending: str) -> None:
    client.put("/beacons/gate", json={"location": "Gate"}, headers=TOKEN)
    large = io.BytesIO()
    Image.new("RGB", (700, 700)).save(large, "PNG", compress_level=0)
    assert large.tell() > MAX_BODY_BYTES  # of a route that takes no files
    picture = {"images": ("one.png", large.getvalue(), "image/png")}
    reply = client.post(f"/api/ai/violence-detected{ending}", data=SIGNAL, files=picture, headers=TOKEN)
    assert (reply.status_code, len(reply.json()["images"])) == (201, 1)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/incidents/", 401),
        ("POST", "/api/ai/violence-detected", 401),
        ("PUT", "/devices/a/", 401),
        ("GET", "/metrics//", 401),
    ],
)
def test_neither_is_served_to_strangers(client: TestClient, method: str, path: str, status: int) -> None:
    assert client.request(method, path).status_code == status


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/metrics//", 404), ("GET", "/nothing/", 404), ("POST", "/metrics/", 405), ("DELETE", "/health/", 405)],
)
def test_what_no_spelling_serves_is_not_there(client: TestClient, method: str, path: str, status: int) -> None:
    reply = client.request(method, path, headers=TOKEN)
    assert (reply.status_code, "location" in reply.headers) == (status, False)


def test_an_id_that_ends_in_a_slash_is_another_id(client: TestClient) -> None:
    client.put("/beacons/gate", json={"location": "Gate"}, headers=TOKEN)
    assert client.get("/beacons/gate", headers=TOKEN).status_code == 200
    assert client.get("/beacons/gate/", headers=TOKEN).status_code == 404


def test_it_counts_as_one_route(client: TestClient) -> None:
    for path in ("/incidents", "/incidents/"):
        client.get(path, headers=TOKEN)
    routes = client.get("/metrics", headers=TOKEN).json()["routes"]
    assert (routes["/incidents"]["count"], "(none)" in routes) == (2, False)
