"""POST /analysis/{id}/replay and what was replayed, over HTTP: the stages run when the test lets them."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi.testclient import TestClient

from local.home import Home
from local.server import application
from shared.adapters.embedded.queue_workers import QueueWorkers
from shared.domain.assets import Asset, Detection
from shared.domain.detections import Segment
from shared.domain.stages import Stage, StageRecord, StageState
from shared.ids import new_uuid
from shared.ports import MediaFacts
from shared.repositories import assets
from shared.settings import EmbeddedSettings
from tests.fakes import NOON

DONE = StageRecord(StageState.DONE, 1, NOON, NOON, version="m-1", cost_usd=0.25)
FACTS = MediaFacts("mp4", "h264", 3.0, 640, 360, 25.0, "0" * 64, "0" * 16, 10, truncated=False)
SEEN = Detection((Segment(0.5, 2.5, 0.9, "violence"),), 0.9, 3.0, truncated=False, model="m-1")


@pytest.fixture
def asset_id(home: Home) -> str:
    """An analysed upload whose file is gone: a replayed detection fails, a replayed correlation does not."""
    asset = Asset(
        id=new_uuid(),
        object_name="media/gone",
        created_at=NOON,
        source_id="gate",
        generation=7,
        facts=FACTS,
        detection=SEEN,
        stages=dict.fromkeys(Stage, DONE),
    )
    home.documents.commit([assets.finished_creation(asset)])
    return asset.id


@pytest.fixture
def running(home: Home) -> Iterator[None]:
    """The stages' threads."""
    workers = QueueWorkers(home.queue, home.handlers())
    workers.start()
    yield
    workers.stop()


def order(client: TestClient, asset_id: str, stage: object = "correlate", **how: Any) -> Any:
    headers = how.pop("headers", {})
    return client.post(f"/analysis/{asset_id}/replay", json={"stage": stage}, params=how, headers=headers)


@pytest.mark.usefixtures("running")
def test_the_reply_shows_old_against_new(client: TestClient, asset_id: str) -> None:
    reply = order(client, asset_id, headers={"X-Actor": "Ada Løvelace".encode()})
    assert reply.status_code == 200
    body = reply.json()
    assert (body["asset_id"], body["stage"], body["state"]) == (asset_id, "correlate", "done")
    assert (body["changed"], body["differences"]) == (True, ["incident_ids"])
    assert (body["requested_by"], body["attempts"], body["progress"]) == ("Ada Løvelace", 1, 100)
    assert (body["old"]["incident_ids"], len(body["new"]["incident_ids"])) == ([], 1)
    assert (body["old"]["version"], body["old"]["cost_usd"]) == ("m-1", 0.25)
    assert body["old"]["analysis"] == body["new"]["analysis"]
    assert body["new"]["analysis"]["overallRisk"] == "high"
    assert client.get(f"/analysis/{asset_id}/replays/{body['replay_id']}").json() == body
    assert client.get(f"/analysis/{asset_id}/replays").json() == {"replays": [body], "next_cursor": None}


@pytest.mark.usefixtures("running")
def test_a_replay_that_failed_says_why_and_leaves_the_analysis(client: TestClient, asset_id: str) -> None:
    before = client.get(f"/analysis/{asset_id}").json()
    reply = order(client, asset_id, "detect")
    assert reply.status_code == 200
    body = reply.json()
    assert (body["state"], body["new"], body["changed"]) == ("failed", None, None)
    assert body["error_code"]
    assert body["error_message"].endswith(".")
    assert client.get(f"/analysis/{asset_id}").json() == before


def test_what_has_not_ended_is_found_where_location_says(client: TestClient, asset_id: str) -> None:
    reply = order(client, asset_id, wait=0.2)
    assert reply.status_code == 202
    body = reply.json()
    assert "new" not in body
    assert (body["state"], body["changed"], body["requested_by"]) == ("pending", None, "anonymous")
    shown = client.get(reply.headers["location"]).json()
    assert shown == {**body, "new": None}


def test_the_request_waits_for_the_end(client: TestClient, home: Home, asset_id: str) -> None:
    """The stage's worker comes while the client already waits."""
    workers = QueueWorkers(home.queue, home.handlers())
    late = threading.Timer(0.5, workers.start)
    late.start()
    try:
        assert order(client, asset_id, wait=20).status_code == 200
    finally:
        late.join()
        workers.stop()


def test_another_replay_waits_and_the_same_key_does_not(client: TestClient, asset_id: str) -> None:
    key = {"Idempotency-Key": "monday"}
    first = order(client, asset_id, wait=0, headers=key)
    again = order(client, asset_id, wait=0, headers=key)
    assert (first.status_code, again.status_code) == (202, 202)
    assert again.json() == first.json()
    refused = order(client, asset_id, "detect", wait=0)
    assert (refused.status_code, refused.json()) == (409, {"detail": "Another replay of this asset is under way."})
    other_stage = order(client, asset_id, "detect", wait=0, headers=key)
    assert other_stage.status_code == 400
    assert "was used for a replay of correlate" in other_stage.json()["detail"]


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        ({"stage": "train"}, "There is no such stage; those that can be replayed are: "),
        ({"stage": ""}, "There is no such stage"),
        ({"stage": 5}, "stage: "),
        ({"stage": None}, "stage: "),
        ({}, "stage: "),
        ([], "Send a JSON object"),
    ],
)
def test_a_stage_that_there_is_not_is_refused(client: TestClient, asset_id: str, body: Any, sentence: str) -> None:
    reply = client.post(f"/analysis/{asset_id}/replay", json=body)
    assert reply.status_code == 400
    assert reply.json()["detail"].startswith(sentence)


@pytest.mark.parametrize("wait", ["-1", "26", "nan", "inf", "soon"])
def test_nobody_waits_for_ever(client: TestClient, asset_id: str, wait: str) -> None:
    assert order(client, asset_id, wait=wait).status_code == 400


@pytest.mark.parametrize("header", ["X-Actor", "Idempotency-Key"])
@pytest.mark.parametrize("sent", [b"", b"  ", b"x" * 101, b"bell\x07", b"\xc2\x85"])
def test_a_header_that_cannot_be_shown_is_refused(client: TestClient, asset_id: str, header: str, sent: bytes) -> None:
    reply = order(client, asset_id, headers={header: sent})
    assert (reply.status_code, reply.json()) == (
        400,
        {"detail": f"{header} must be 1 to 100 printable characters."},
    )


def test_a_header_in_latin_1_is_read_too(client: TestClient, asset_id: str) -> None:
    assert order(client, asset_id, wait=0, headers={"X-Actor": b"Andr\xe9"}).json()["requested_by"] == "André"


def test_without_a_name_the_token_speaks(home: Home, asset_id: str) -> None:
    home.config = EmbeddedSettings(api_token="secret")
    client = TestClient(application(home), headers={"Authorization": "Bearer secret"})
    assert order(client, asset_id, wait=0).json()["requested_by"] == "token holder"
    assert order(client, asset_id, headers={"Authorization": "Bearer another"}).status_code == 401


def test_what_is_unknown_is_not_found(client: TestClient, asset_id: str) -> None:
    other = new_uuid()
    assert order(client, other).status_code == 404
    assert order(client, "x" * 2000).status_code == 400
    assert client.get(f"/analysis/{other}/replays").status_code == 404
    assert client.get(f"/analysis/{asset_id}/replays/{other}").json() == {"detail": "This asset has no such replay."}
    replay_id = order(client, asset_id, wait=0).json()["replay_id"]
    assert client.get(f"/analysis/{other}/replays/{replay_id}").status_code == 404


@pytest.mark.usefixtures("running")
def test_replays_are_listed_page_by_page_the_latest_first(client: TestClient, asset_id: str) -> None:
    made = [order(client, asset_id).json()["replay_id"] for _ in range(3)]
    path = f"/analysis/{asset_id}/replays"
    first = client.get(path, params={"limit": 2}).json()
    rest = client.get(path, params={"limit": 2, "cursor": first["next_cursor"]}).json()
    assert [replay["replay_id"] for replay in first["replays"] + rest["replays"]] == made[::-1]
    assert rest["next_cursor"] is None
    assert client.get(path, params={"limit": 0}).status_code == 400
