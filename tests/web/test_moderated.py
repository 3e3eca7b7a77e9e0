"""An upload's verdict over HTTP: the receipt, provisional or final, and the state of the quarantine."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from fastapi.testclient import TestClient

from local.home import Home
from shared.domain.assets import Asset
from shared.domain.moderation.annotations import evidence_of_annotation
from shared.domain.moderation.moderated import Moderation, Operation, QuarantineState, moderation_of
from shared.domain.moderation.verdicts import judge
from shared.domain.stages import Stage, StageRecord, StageState
from shared.ids import new_uuid
from shared.policies import load_profile
from shared.ports import Query, Spotted, Update, VideoAnnotation
from shared.repositories import assets
from tests.fakes import NOON

BALANCED = load_profile("balanced")
DONE = StageRecord(StageState.DONE, 1, NOON, NOON)


def moderated(home: Home, **changes: Any) -> str:
    """An asset whose video shows a gun."""
    found = VideoAnnotation(explicit=(), labels=(Spotted("Gun", 0.9, 2.0, 3.0),), shots=1, texts=())
    verdict = judge(evidence_of_annotation(found, "video-1", 0.35), BALANCED)
    moderation: Moderation = replace(moderation_of(verdict, BALANCED, NOON), **changes)
    asset = Asset(new_uuid(), "media/x", NOON, generation=7)
    home.documents.commit([assets.creation(asset)])
    for stage in (Stage.INGEST, Stage.DETECT, Stage.MODERATE):
        home.documents.commit([assets.stage_update(asset.id, stage, DONE)])
    home.documents.commit([assets.moderation_update(asset.id, moderation)])
    return asset.id


def test_a_verdict_comes_with_its_whole_receipt(client: TestClient, home: Home) -> None:
    asset_id = moderated(home)
    body = client.get(f"/analysis/{asset_id}").json()["moderation"]
    assert (body["status"], body["state"], body["strict_mode"], body["reused_from"]) == ("FAIL", "final", False, None)
    receipt = body["receipt"]
    assert (receipt["rule"], receipt["profile"], receipt["profile_version"]) == (
        "clear_finding",
        "balanced",
        BALANCED.version,
    )
    gun = next(finding for finding in receipt["findings"] if finding["counted"])
    assert {"threshold", "weight", "contribution", "witness", "tier", "category"} <= gun.keys()
    assert (gun["place"]["start"], gun["place"]["end"]) == (2.0, 3.0)
    assert receipt["flip"]["sentence"].endswith(".")
    assert receipt["cost_usd"] == 0.35
    assert client.get(f"/video/status/{asset_id}").json()["moderation"] == body


def test_a_verdict_that_waits_is_provisional(client: TestClient, home: Home) -> None:
    operation = Operation("operation-1", "annotations/x/first.json", NOON, "video-1")
    asset_id = moderated(home, final=False, operation=operation)
    for path in ("/analysis/", "/video/status/"):
        body = client.get(f"{path}{asset_id}").json()
        assert body["moderation"]["state"] == "provisional"
        assert "operation-1" not in str(body)


def test_the_quarantine_is_told_and_no_link_to_it(client: TestClient, home: Home) -> None:
    asset_id = moderated(home)
    assert client.get(f"/analysis/{asset_id}").json()["quarantine"] is None
    until = NOON + timedelta(days=30)
    home.documents.commit([assets.quarantine_update(asset_id, QuarantineState.HELD, until=until)])
    body = client.get(f"/analysis/{asset_id}").json()
    assert body["quarantine"] == {"state": "held", "until": "2026-03-31T12:00:00Z"}
    assert "quarantine/" not in str(body)


@pytest.mark.parametrize("times", [1, 3])
def test_strict_mode_after_a_verdict_orders_one_replay(times: int, client: TestClient, home: Home) -> None:
    asset_id = moderated(home)
    # What moderate looked at: else there is nothing to look at again.
    record = {"container": "jpeg", "codec": "jpeg", "duration": 0.0, "width": 8, "height": 8, "frame_rate": 0.0}
    facts = {**record, "sha256": "0", "perceptual_hash": "0" * 16, "size": 1, "truncated": False}
    home.documents.commit([Update("assets", asset_id, {"facts": facts})])
    for _ in range(times):
        reply = client.post("/video/analyze", json={"video_id": asset_id, "strict_mode": True})
        assert reply.status_code == 202
    assert home.documents.count(Query("replays")) == 1
    (order,) = client.get(f"/analysis/{asset_id}/replays").json()["replays"]
    assert (order["stage"], order["requested_by"]) == ("moderate", "POST /video/analyze")
    assert order["old"]["moderation"]["status"] == "FAIL"
