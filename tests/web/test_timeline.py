"""GET /analysis/{id}/timeline and /contact-sheet: before, after and without a result."""

from __future__ import annotations

import pytest
from fastapi.testclient import TestClient

from local.home import Home
from shared.domain.assets import Asset, Detection
from shared.domain.detections import Segment
from shared.domain.stages import Stage, StageRecord, StageState
from shared.domain.timeline import Timeline
from shared.handlers.stills import still_facts
from shared.ids import new_uuid
from shared.ports import PictureFacts
from shared.repositories import assets, timelines
from tests.fakes import NOON

PARTS = ["timeline", "contact-sheet"]
SEGMENT = Segment(0.5, 2.5, 0.9, "violence")


def stored(home: Home, *, detected: bool, failed: bool = False) -> str:
    asset = Asset(new_uuid(), "media/x", NOON)
    home.documents.commit([assets.creation(asset)])
    if failed:
        record = StageRecord(StageState.FAILED, 1, NOON, NOON, "not_a_video", "The file is text, not a video.")
        home.documents.commit([assets.stage_update(asset.id, Stage.INGEST, record)])
    if detected:
        found = Detection((SEGMENT,), 0.9, 3.0, truncated=False, model="m-1")
        home.documents.commit([assets.detection_update(asset.id, found)])
    return asset.id


def with_timeline(home: Home, asset_id: str, sheet: bytes | None) -> str:
    line = Timeline(asset_id, "m-1", "violence", 3.0, False, (0.1, None, 0.9), (SEGMENT,), sheet is not None)
    timelines.store(home.media, line, sheet)
    return asset_id


def test_the_timeline_has_its_gaps_and_its_picture(client: TestClient, home: Home) -> None:
    asset_id = with_timeline(home, stored(home, detected=True), b"a picture")
    reply = client.get(f"/analysis/{asset_id}/timeline")
    assert reply.status_code == 200
    assert reply.json() == {
        "asset_id": asset_id,
        "model": "m-1",
        "class_name": "violence",
        "duration": 3.0,
        "truncated": False,
        "hz": 2,
        "probabilities": [0.1, None, 0.9],
        "segments": [{"start": 0.5, "end": 2.5, "confidence": 0.9, "type": "violence"}],
        "contact_sheet": f"/analysis/{asset_id}/contact-sheet",
    }
    sheet = client.get(reply.json()["contact_sheet"])
    assert (sheet.status_code, sheet.headers["content-type"], sheet.content) == (200, "image/jpeg", b"a picture")


def test_without_a_picture_it_says_so(client: TestClient, home: Home) -> None:
    asset_id = with_timeline(home, stored(home, detected=True), None)
    assert client.get(f"/analysis/{asset_id}/timeline").json()["contact_sheet"] is None
    reply = client.get(f"/analysis/{asset_id}/contact-sheet")
    assert reply.status_code == 404
    assert "no contact sheet" in reply.json()["detail"]


@pytest.mark.parametrize("what", PARTS)
def test_an_asset_from_before_there_were_timelines_has_none(client: TestClient, home: Home, what: str) -> None:
    reply = client.get(f"/analysis/{stored(home, detected=True)}/{what}")
    assert reply.status_code == 404
    assert reply.json()["detail"].startswith("This asset has no ")


@pytest.mark.parametrize("what", PARTS)
@pytest.mark.parametrize("id", ["unknown", "x" * 2000, "%2e%2e", "%00"])
def test_unknown_ids_are_not_found(client: TestClient, what: str, id: str) -> None:
    reply = client.get(f"/analysis/{id}/{what}")
    assert reply.status_code == 404
    assert isinstance(reply.json()["detail"], str)


@pytest.mark.parametrize("what", PARTS)
def test_what_a_stage_stored_before_it_died_is_not_shown(client: TestClient, home: Home, what: str) -> None:
    asset_id = with_timeline(home, stored(home, detected=False), b"a picture")
    reply = client.get(f"/analysis/{asset_id}/{what}")
    assert (reply.status_code, reply.json()) == (409, {"detail": "The analysis has not ended yet."})


@pytest.mark.parametrize("what", PARTS)
def test_a_failed_analysis_says_why(client: TestClient, home: Home, what: str) -> None:
    reply = client.get(f"/analysis/{stored(home, detected=False, failed=True)}/{what}")
    assert reply.status_code == 409
    assert reply.json() == {"detail": "The analysis failed. The file is text, not a video."}


@pytest.mark.parametrize("what", PARTS)
def test_a_still_picture_has_none(client: TestClient, home: Home, what: str) -> None:
    asset_id = stored(home, detected=False)
    facts = still_facts(PictureFacts("jpeg", 8, 8, 1, 100, "0" * 64, ()))
    home.documents.commit([assets.facts_update(asset_id, 1, facts)])
    reply = client.get(f"/analysis/{asset_id}/{what}")
    assert (reply.status_code, reply.json()) == (409, {"detail": "A still picture has no timeline."})
