"""People who signed in with Firebase call the deployed functions: each function's own application, keys of our own."""

from __future__ import annotations

import importlib.util
import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from fastapi.testclient import TestClient

from infra import topology
from tests.id_tokens import PROJECT, KeyServer, id_token, running_key_server

ENVIRONMENT = {
    "GOOGLE_CLOUD_PROJECT": PROJECT,
    "SIGHTLINE_API_TOKEN": "the-shared-token",
    "MEDIA_BUCKET": "media",
    "QUARANTINE_BUCKET": "quarantine",
    "RESULTS_BUCKET": "results",
    "EVIDENCE_BUCKET": "evidence",
    "FIREBASE_AUTH": "true",
}
ALLOWED, UNKNOWN, FORBIDDEN, UNAVAILABLE = 200, 401, 403, 503


@pytest.fixture
def keys() -> Iterator[KeyServer]:
    with running_key_server() as served:
        yield served


Composed = Callable[..., TestClient]


@pytest.fixture
def composed(keys: KeyServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[Composed]:
    """A client of what a function's main.py composes in this environment."""

    def compose(function: str, **environment: str) -> TestClient:
        for name, value in {**ENVIRONMENT, "FIREBASE_KEYS_URL": keys.url, **environment}.items():
            monkeypatch.setenv(name, value)
        path = topology.ROOT / "functions" / function / "main.py"
        spec = importlib.util.spec_from_file_location(f"composed_{function}", path)
        assert spec is not None
        assert spec.loader is not None
        module: Any = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return TestClient(module.application, raise_server_exceptions=False)

    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield compose
    root.handlers[:] = handlers
    root.setLevel(level)


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


@pytest.mark.parametrize("function", sorted(topology.load().http_functions()))
def test_a_person_with_a_role_comes_in(composed: Composed, function: str) -> None:
    client = composed(function)
    assert client.get("/openapi.json", headers=bearer(id_token())).status_code == ALLOWED
    assert client.get("/openapi.json", headers=bearer("the-shared-token")).status_code == ALLOWED
    for token in (id_token(role=...), id_token(exp=1), id_token("key-2"), "garbage"):
        assert client.get("/openapi.json", headers=bearer(token)).status_code == UNKNOWN


def test_the_role_is_the_claims(composed: Composed) -> None:
    client = composed("registry")
    reply = client.get("/devices", headers=bearer(id_token(role="operator")))
    assert (reply.status_code, reply.json()) == (FORBIDDEN, {"detail": "This needs the role admin."})
    reply = client.put("/devices/x", json={"beacons": None}, headers=bearer(id_token(role="admin")))
    assert (reply.status_code, reply.json()) == (400, {"detail": "name: Field required"})


def test_signals_are_refused_in_the_devices_form(composed: Composed) -> None:
    signal = {"beacon_id": "hall", "confidence_score": 0.9, "description": "Fight"}
    client = composed("signals")
    for role, sentence in (("viewer", "This needs the role operator."), ("operator", "ana@example.com may not report")):
        reply = client.post("/api/ai/violence-detected/", json=signal, headers=bearer(id_token(role=role)))
        assert (reply.status_code, list(reply.json())) == (FORBIDDEN, ["error"])
        assert sentence in reply.json()["error"]


def test_while_the_keys_cannot_be_fetched_nobody_is_turned_away(composed: Composed, keys: KeyServer) -> None:
    keys.status = 500
    client = composed("registry")
    reply = client.get("/devices", headers=bearer(id_token(role="admin")))
    assert (reply.status_code, reply.headers["retry-after"]) == (UNAVAILABLE, "1")
    assert client.get("/openapi.json", headers=bearer("the-shared-token")).status_code == ALLOWED


def test_unless_it_is_turned_on_id_tokens_open_nothing(composed: Composed, keys: KeyServer) -> None:
    client = composed("registry", FIREBASE_AUTH="false")
    assert client.get("/openapi.json", headers=bearer(id_token())).status_code == UNKNOWN
    assert keys.asked == 0
