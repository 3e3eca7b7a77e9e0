"""POST and GET /feedback over HTTP."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from fastapi.testclient import TestClient

from local.home import Home
from shared.domain.assets import Asset, Detection
from shared.domain.detections import Segment
from shared.ids import new_uuid
from shared.repositories import assets
from tests.fakes import NOON

SEEN = Detection((Segment(0.5, 2.5, 0.9, "violence"),), 0.9, 3.0, truncated=False, model="m-1")


@pytest.fixture
def asset_id(home: Home) -> str:
    """An analysis in which something was detected."""
    asset = Asset(new_uuid(), "media/x", NOON, detection=SEEN)
    home.documents.commit([assets.creation(asset)])
    return asset.id


def give(client: TestClient, asset_id: str, headers: dict[str, str] | None = None, **change: Any) -> Any:
    body = {"analysisId": asset_id, "rating": 2, "accuracy": "false_positive", "comments": "They\ndance.", **change}
    return client.post("/feedback", json=body, headers=headers)


def test_feedback_becomes_a_label_that_is_listed(client: TestClient, asset_id: str) -> None:
    reply = give(client, asset_id, {"X-Actor": "Ada"})
    assert reply.status_code == 201
    body = reply.json()
    assert list(body) == ["feedback_id", "analysisId", "label", "model", "verdict", "created_at"]
    assert (body["analysisId"], body["label"], body["model"]) == (asset_id, "calm", "m-1")
    second = give(client, asset_id, accuracy="accurate", rating=5).json()
    listed = client.get("/feedback", params={"analysisId": asset_id}).json()
    assert [label["feedback_id"] for label in listed["feedback"]] == [second["feedback_id"], body["feedback_id"]]
    assert listed["feedback"][1] == {
        **body,
        "accuracy": "false_positive",
        "rating": 2,
        "comments": "They\ndance.",
        "peakProbability": 0.9,
        "created_by": "Ada",
        "incident_id": None,
    }
    assert (listed["feedback"][0]["created_by"], listed["next_cursor"]) == ("anonymous", None)


def test_comments_may_be_left_out(client: TestClient, asset_id: str) -> None:
    body = {"analysisId": asset_id, "rating": 1, "accuracy": "accurate"}
    assert client.post("/feedback", json=body).json()["label"] == "violence"


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"accuracy": "false_negative"}, "It can't be a false negative: something was detected in this video."),
        ({"accuracy": "wrong"}, "accuracy: "),
        ({"rating": 0}, "rating: "),
        ({"rating": 6}, "rating: "),
        ({"rating": 3.5}, "rating: "),
        ({"rating": True}, "rating: "),
        ({"rating": "3"}, "rating: "),
        ({"comments": "x" * 2001}, "comments must be at most 2000 characters."),
        ({"comments": "bell\x07"}, "comments must be printable text."),
        ({"comments": 5}, "comments: "),
        ({"analysisId": None}, "analysisId: "),
    ],
)
def test_what_makes_no_sense_is_refused(
    client: TestClient, asset_id: str, change: dict[str, Any], sentence: str
) -> None:
    reply = give(client, asset_id, **change)
    assert reply.status_code == 400
    assert reply.json()["detail"].startswith(sentence)
    assert client.get("/feedback", params={"analysisId": asset_id}).json()["feedback"] == []


def test_half_a_character_is_refused(client: TestClient, asset_id: str) -> None:
    body = f'{{"analysisId": "{asset_id}", "rating": 2, "accuracy": "accurate", "comments": "\\ud800"}}'
    reply = client.post("/feedback", content=body, headers={"Content-Type": "application/json"})
    assert reply.status_code == 400


def test_an_unknown_analysis_and_one_without_a_verdict(client: TestClient, home: Home) -> None:
    assert give(client, new_uuid()).status_code == 404
    assert client.get("/feedback", params={"analysisId": new_uuid()}).status_code == 404
    assert client.get("/feedback").status_code == 400
    waiting = Asset(new_uuid(), "media/y", NOON)
    home.documents.commit([assets.creation(waiting)])
    reply = give(client, waiting.id)
    assert reply.status_code == 409
    assert reply.json()["detail"].endswith("the analysis has not ended.")


def test_the_same_key_is_the_same_feedback(client: TestClient, asset_id: str) -> None:
    replies = [give(client, asset_id, {"Idempotency-Key": "k"}) for _ in range(2)]
    assert [reply.status_code for reply in replies] == [201, 201]
    assert replies[0].json() == replies[1].json()
    changed = give(client, asset_id, {"Idempotency-Key": "k"}, rating=5)
    assert changed.status_code == 409
    assert changed.json()["detail"].startswith("Other feedback was given with this Idempotency-Key")


def test_a_word_on_a_verdict_that_was_replaced_is_refused(client: TestClient, home: Home, asset_id: str) -> None:
    seen = client.get(f"/analysis/{asset_id}").json()["verdict"]
    assert give(client, asset_id, verdict=seen).json()["verdict"] == seen
    home.documents.commit([assets.detection_update(asset_id, replace(SEEN, segments=(), look="a-replay"))])
    reply = give(client, asset_id, accuracy="accurate", verdict=seen)
    assert reply.status_code == 409
    assert reply.json()["detail"].startswith("The verdict that this speaks of is no longer the present one")
    present = client.get(f"/analysis/{asset_id}").json()["verdict"]
    assert give(client, asset_id, accuracy="accurate", verdict=present).json()["label"] == "calm"


def test_before_the_detector_has_ended_there_is_no_verdict(client: TestClient, home: Home) -> None:
    waiting = Asset(new_uuid(), "media/y", NOON)
    home.documents.commit([assets.creation(waiting)])
    assert client.get(f"/analysis/{waiting.id}").json()["verdict"] is None
