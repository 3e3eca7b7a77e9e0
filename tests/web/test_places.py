"""Whose places an upload is not of, for them it is not there: by every route that shows it or works on it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from local.home import Home
from local.server import application
from shared import settings
from shared.domain.assets import Asset, Detection
from shared.domain.detections import Segment
from shared.domain.incidents import Beacon
from shared.domain.stages import Stage, StageRecord, StageState
from shared.domain.timeline import Timeline
from shared.ids import new_uuid
from shared.ports import MediaFacts
from shared.repositories import assets, beacons, timelines
from shared.settings import EmbeddedSettings
from tests.fakes import NOON

DONE = StageRecord(StageState.DONE, 1, NOON, NOON, version="m-1")
FACTS = MediaFacts("mp4", "h264", 3.0, 640, 360, 25.0, "0" * 64, "0" * 16, 10, truncated=False)
SEGMENT = Segment(0.5, 2.5, 0.9, "violence")

PLACES: dict[str, list[str] | None] = {"everywhere": None, "gate": ["gate", "yard"], "hall": ["hall"], "nowhere": []}


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    people = [
        {"name": name, "role": "operator", "token": f"the-token-of-{name}", **({} if at is None else {"places": at})}
        for name, at in PLACES.items()
    ]
    config = settings.load(EmbeddedSettings, {"SIGHTLINE_USER_TOKENS": json.dumps(people)})
    made = Home(tmp_path / "data", config, "http://testserver")
    yield made
    made.close()


@pytest.fixture
def client(home: Home) -> TestClient:
    return TestClient(application(home), raise_server_exceptions=False)


def analysed(home: Home, source_id: str | None, *incident_ids: str) -> str:
    """An upload whose stages have ended."""
    asset = Asset(
        id=new_uuid(),
        object_name="media/gone",
        created_at=NOON,
        source_id=source_id,
        generation=7,
        facts=FACTS,
        detection=Detection((SEGMENT,), 0.9, 3.0, truncated=False, model="m-1"),
        stages=dict.fromkeys(Stage, DONE),
        incident_ids=incident_ids,
    )
    home.documents.commit([assets.finished_creation(asset)])
    timelines.store(home.media, Timeline(asset.id, "m-1", "violence", 3.0, False, (0.9,), (SEGMENT,), True), b"a sheet")
    return asset.id


def ask(client: TestClient, who: str, route: str, asset_id: str) -> Any:
    method, path = route.split()
    body = {
        "stage": "correlate",
        "video_id": asset_id,
        "analysisId": asset_id,
        "rating": 5,
        "accuracy": "accurate",
    }
    return client.request(
        method,
        path.format(asset_id),
        headers={"Authorization": f"Bearer the-token-of-{who}"},
        params={"wait": 0} if path.endswith("/replay") else None,
        json=body if method == "POST" else None,
    )


ROUTES = {
    "GET /analysis/{}": 200,
    "GET /analysis/{}/timeline": 200,
    "GET /analysis/{}/contact-sheet": 200,
    "GET /analysis/{}/replays": 200,
    "GET /video/status/{}": 200,
    "GET /feedback?analysisId={}": 200,
    "POST /feedback": 201,
    "POST /video/analyze": 202,
    "POST /analysis/{}/replay": 202,
}
"""What those are answered whose upload it is."""


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize(
    ("source_id", "seen_by"),
    [("gate", {"everywhere", "gate"}), ("attic", {"everywhere"}), (None, {"everywhere"})],
)
def test_an_upload_is_there_for_those_whose_place_it_is_of(
    client: TestClient, home: Home, route: str, source_id: str | None, seen_by: set[str]
) -> None:
    unknown = ask(client, "everywhere", route, new_uuid())
    for who in PLACES:
        reply = ask(client, who, route, analysed(home, source_id))
        if who in seen_by:
            assert reply.status_code == ROUTES[route], (who, reply.text)
        else:
            assert (reply.status_code, reply.json()) == (404, unknown.json()), who


def test_one_replay_is_no_way_around(client: TestClient, home: Home) -> None:
    asset_id = analysed(home, "gate")
    replay_id = ask(client, "gate", "POST /analysis/{}/replay", asset_id).json()["replay_id"]
    route = f"GET /analysis/{{}}/replays/{replay_id}"
    assert [ask(client, who, route, asset_id).status_code for who in ("gate", "hall")] == [200, 404]


def test_of_the_upload_s_incidents_those_of_other_places_are_left_out(client: TestClient, home: Home) -> None:
    everybody = {"Authorization": "Bearer the-token-of-everywhere"}
    opened = []
    for place in ("gate", "hall"):
        beacons.put(home.documents, Beacon(place, place, True))
        signal = {"beacon_id": place, "confidence_score": 0.9, "description": "Fight"}
        opened.append(client.post("/api/ai/violence-detected/", json=signal, headers=everybody).json()["incident_id"])
    asset_id = analysed(home, "gate", *opened)
    shown = {
        who: [each["incident_id"] for each in ask(client, who, "GET /analysis/{}", asset_id).json()["incidents"]]
        for who in ("everywhere", "gate")
    }
    assert shown == {"everywhere": opened, "gate": opened[:1]}


@pytest.mark.parametrize(
    ("who", "source_id", "status"),
    [
        ("gate", "yard", 200),
        ("gate", "hall", 403),
        ("gate", None, 200),
        ("nowhere", "gate", 403),
        ("everywhere", "hall", 200),
    ],
)
def test_nobody_uploads_for_a_place_that_is_not_theirs(
    client: TestClient, who: str, source_id: str | None, status: int
) -> None:
    headers = {"Authorization": f"Bearer the-token-of-{who}"}
    reply = client.post("/video/upload-url", json={"source_id": source_id}, headers=headers)
    assert (reply.status_code, "detail" in reply.json()) == (status, status == 403)


@pytest.mark.parametrize(
    ("who", "code"), [("everywhere", "not_found"), ("gate", "access_denied"), ("nowhere", "access_denied")]
)
def test_stored_uploads_are_moderated_for_those_who_see_all(client: TestClient, who: str, code: str) -> None:
    """The name of an object does not tell whose place it is of."""
    item = {"id": "a", "type": "image", "url": "gs://sightline-media/media/absent"}
    asked = client.post(
        "/moderate", json={"media_list": [item]}, headers={"Authorization": f"Bearer the-token-of-{who}"}
    )
    assert asked.json()["results"][0]["error"]["code"] == code
