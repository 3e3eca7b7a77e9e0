"""Legal hold, retention and erasure over the routes and the sweeper: what is deleted, what stays, what stops it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from fastapi.testclient import TestClient

from local.home import Home
from shared.adapters.system_clock import SystemClock
from shared.domain.assets import Asset
from shared.domain.erasures import digest_of
from shared.domain.moderation.findings import Evidence, MediaKind
from shared.domain.moderation.moderated import FIRST_LOOK, Look
from shared.domain.reuse import Known
from shared.domain.stages import Stage, WorkRecord, WorkState
from shared.domain.timeline import Timeline
from shared.errors import Retryable, VersionConflict
from shared.handlers import erasing, maintain
from shared.ids import new_uuid
from shared.ports import OutgoingMessage, Query, Update
from shared.repositories import (
    assets,
    erasures,
    evidence,
    evidence_images,
    fingerprints,
    incidents,
    timelines,
    verdict_cache,
    work,
)
from tests.fakes import NOON
from tests.web.evidence_cases import reported, set_fields, with_clip, with_image
from tests.web.test_evidence_bundles import bundle_of, files_of

MONTH = timedelta(days=30)
NAME = "Jane Doe"


def order(client: TestClient, **items: Any) -> Mapping[str, Any]:
    body = {"subject": NAME, "reason": "A request of 1 March.", **items}
    reply = client.post("/erasures", json=body)
    assert reply.status_code == 202, reply.text
    answer: Mapping[str, Any] = reply.json()
    return answer


def sweep(home: Home) -> Mapping[str, int]:
    return maintain.sweep(home.maintain_deps())


def hold(client: TestClient, incident_id: str, on: bool = True) -> Mapping[str, Any]:
    reply = client.post(f"/incidents/{incident_id}/legal-hold", json={"hold": on, "reason": "Ordered by the court."})
    assert reply.status_code == 200, reply.text
    answer: Mapping[str, Any] = reply.json()
    return answer


def resolve(home: Home, incident_id: str, *, days_ago: float) -> None:
    at = SystemClock().now() - timedelta(days=days_ago)
    set_fields(home, "incidents", incident_id, status="RESOLVED", resolved_at=at)


def everything_of(home: Home, asset: Asset) -> None:
    """What the stages keep of an upload beside its file."""
    timelines.store(
        home.media, Timeline(asset.id, "m-1", "violence", 2.0, False, (0.9, 0.9, 0.9, 0.9), (), True), b"jpg"
    )
    timelines.store_fingerprint(home.media, asset.id, "m-1", b"moves")
    home.media.put(f"annotations/{asset.id}/first.json", b"{}", content_type="application/json")
    seen = Evidence(MediaKind.VIDEO, (), None, None, None, {}, (), (), text=f"{NAME}, 12 Main Street")
    evidence.save(home.documents, Look(asset.id, FIRST_LOOK, 1, "balanced 1", seen))
    known = Known(asset.id, "ab" * 32, "f" * 16, 2.0, "m-1", 0.5, asset.created_at)
    done = WorkRecord(WorkState.DONE, new_uuid(), 1, NOON)
    request = work.Request(asset.id, Stage.CONTEXT).with_message(f"{NAME} came in".encode(), {})
    described = OutgoingMessage("media-described", f"{NAME} is pushed".encode())
    home.documents.commit([fingerprints.registration(known, ()), work.claim("w", done, None, request)])
    home.documents.commit([Update("work", "w", {"outbox": [{"topic": described.topic, "data": described.data}]})])
    entry = verdict_cache.Entry("k", {"text": NAME}, (verdict_cache.content_name("ab" * 32),), NOON, NOON + MONTH)
    claim = verdict_cache.Claim("k", "me", (), NOON)
    home.documents.commit([verdict_cache.claiming(claim, None)])
    held = verdict_cache.look(home.documents, "k").claim_document
    assert held is not None
    home.documents.commit(verdict_cache.publication(entry, held))


def stored_text(home: Home) -> str:
    """Everything in the store and the names in the buckets, as one text."""
    collections = ("assets", "evidence", "evidence_images", "signals", "ai_events", "work", "verdicts", "fingerprints")
    documents = [each.data for name in collections for each in home.documents.query(Query(name), limit=1000).documents]
    objects = [info.name for bucket in (home.media, home.evidence) for info in bucket.list()]
    return repr((documents, objects))


def test_an_erasure_leaves_the_counts_and_takes_the_rest(client: TestClient, home: Home) -> None:
    signal = reported(client, description=f"{NAME} fights")
    incident_id = signal["incident_id"]
    image, asset = with_image(home, signal), with_clip(home, incident_id, folder="quarantine")
    everything_of(home, asset)
    set_fields(home, "assets", asset.id, facts=FACTS)
    ordered = order(client, assets=[asset.id], images=[image.id], ai_events=[signal["ai_event_id"]])
    assert (ordered["state"], ordered["incidents"]) == ("ordered", [incident_id])
    assert sweep(home)["erased"] == 1
    done = client.get(f"/erasures/{ordered['erasure_id']}").json()
    assert (done["state"], done["waiting"]) == ("done", [])
    left = stored_text(home)
    assert NAME not in left
    assert "jane-doe" not in left
    assert "ab" * 32 not in left
    assert [info.name for bucket in (home.media, home.evidence) for info in bucket.list()] == []
    shown = client.get(f"/incidents/{incident_id}").json()
    assert (shown["signal_count"], shown["signals"][0]["description"]) == (1, "")
    assert client.get(f"/analysis/{asset.id}").json()["objects"] == ["person"]


FACTS = {
    "container": "mp4",
    "codec": "h264",
    "duration": 2.0,
    "width": 8,
    "height": 8,
    "frame_rate": 25.0,
    "sha256": "ab" * 32,
    "perceptual_hash": "f" * 16,
    "size": 6,
    "truncated": False,
}


def test_what_was_erased_is_gone_and_the_bundle_says_so(client: TestClient, home: Home) -> None:
    signal = reported(client)
    path = f"/incidents/{signal['incident_id']}"
    image, asset = with_image(home, signal), with_clip(home, signal["incident_id"])
    order(client, assets=[asset.id], images=[image.id])
    sweep(home)
    assert client.get(f"{path}/images/{image.id}").status_code == 410
    assert client.get(f"{path}/media/{asset.id}").status_code == 410
    files = files_of(bundle_of(client, signal["incident_id"]))
    absent = {each["path"]: each["reason"] for each in json.loads(files["manifest.json"])["absent"]}
    assert absent == {f"images/{image.id}.jpg": "erased", f"media/{asset.id}": "erased"}
    actions = [entry["action"] for entry in json.loads(files["timeline.json"])]
    assert actions == ["opened", "evidence_erased", "evidence_exported"]


def test_the_subject_is_recognised_and_not_readable(client: TestClient, home: Home) -> None:
    signal = reported(client)
    erasure = erasures.get(home.documents, order(client, ai_events=[signal["ai_event_id"]])["erasure_id"])
    assert erasure.subject_digest == digest_of(NAME, erasure.salt)
    assert NAME not in repr(erasure)


def test_legal_hold_refuses_an_erasure_by_name_and_stops_one_that_was_ordered(client: TestClient, home: Home) -> None:
    signal = reported(client)
    image = with_image(home, signal)
    ordered = order(client, images=[image.id])
    hold(client, signal["incident_id"])
    refused = client.post("/erasures", json={"subject": NAME, "reason": "r", "images": [image.id]})
    assert refused.status_code == 409
    assert signal["incident_id"] in refused.json()["detail"]
    sweep(home)
    assert home.evidence.stat(image.object_name) is not None
    assert client.get(f"/erasures/{ordered['erasure_id']}").json()["waiting"] == [f"image:{image.id}"]
    hold(client, signal["incident_id"], on=False)
    sweep(home)
    assert home.evidence.stat(image.object_name) is None


def test_an_upload_that_is_worked_on_is_erased_when_it_has_ended(client: TestClient, home: Home) -> None:
    asset = with_clip(home, reported(client)["incident_id"])
    set_fields(home, "assets", asset.id, complete=False)
    ordered = order(client, assets=[asset.id])
    sweep(home)
    assert client.get(f"/erasures/{ordered['erasure_id']}").json()["state"] == "ordered"
    set_fields(home, "assets", asset.id, complete=True)
    sweep(home)
    assert client.get(f"/erasures/{ordered['erasure_id']}").json()["state"] == "done"
    assert assets.get(home.documents, asset.id).erased_at is not None


@pytest.mark.parametrize("calls", range(1, 14))
def test_a_death_anywhere_is_mended_by_the_next_run(client: TestClient, home: Home, calls: int) -> None:
    """The store fails at the n-th commit, as it does for a process that dies there."""
    signal = reported(client, description=f"{NAME} fights")
    image, asset = with_image(home, signal), with_clip(home, signal["incident_id"], folder="quarantine")
    everything_of(home, asset)
    set_fields(home, "assets", asset.id, facts=FACTS)
    ordered = order(client, assets=[asset.id], images=[image.id], ai_events=[signal["ai_event_id"]])
    dying = Dying(home.documents, calls)
    document = home.documents.get("erasures", ordered["erasure_id"])
    assert document is not None
    try:
        erasing.go_on(
            erasures.erasure_of(document), document.version, NOON, erasing.Deps(dying, home.media, home.evidence)
        )
    except Retryable:
        sweep(home)
    assert client.get(f"/erasures/{ordered['erasure_id']}").json()["state"] == "done"
    assert NAME not in stored_text(home)


class Dying:
    """A store that fails at its n-th commit."""

    def __init__(self, documents: Any, commits: int) -> None:
        self._documents, self._left = documents, commits

    def commit(self, writes: Any) -> None:
        self._left -= 1
        if self._left == 0:
            raise Retryable("died")
        self._documents.commit(writes)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._documents, name)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"subject": "x", "reason": "r"}, 400),
        ({"subject": " ", "reason": "r", "images": [1]}, 400),
        ({"subject": "x", "reason": "", "images": [1]}, 400),
        ({"subject": "x", "reason": "r", "images": [1]}, 404),
        ({"subject": "x", "reason": "r", "assets": ["nothing"]}, 404),
        ({"subject": "x", "reason": "r", "assets": ["x" * 2000]}, 404),
        ({"subject": "x", "reason": "r", "assets": ["\x00"]}, 404),
        ({"subject": "x", "reason": "r", "ai_events": [1 << 63]}, 400),
        ({"subject": "x", "reason": "r", "images": list(range(1, 300))}, 400),
    ],
)
def test_orders_that_make_no_sense_are_refused(client: TestClient, body: dict[str, Any], status: int) -> None:
    reply = client.post("/erasures", json=body)
    assert (reply.status_code, isinstance(reply.json()["detail"], str)) == (status, True), reply.text


def test_a_hold_is_an_entry_of_the_timeline_once(client: TestClient, home: Home) -> None:
    incident_id = reported(client)["incident_id"]
    assert [hold(client, incident_id)["revision"] for _ in range(2)] == [2, 2]
    assert hold(client, incident_id, on=False) == {"incident_id": incident_id, "legal_hold": False, "revision": 3}
    assert client.post(f"/incidents/{incident_id}/legal-hold", json={"hold": True, "reason": " "}).status_code == 400
    assert client.post("/incidents/none/legal-hold", json={"hold": True, "reason": "r"}).status_code == 404


def test_pictures_go_a_month_after_the_resolution_and_their_records_stay(client: TestClient, home: Home) -> None:
    signal = reported(client)
    image = with_image(home, signal, at=NOON - MONTH)
    path = f"/incidents/{signal['incident_id']}"
    assert "pictures_expired" not in sweep(home)
    resolve(home, signal["incident_id"], days_ago=29.9)
    assert "pictures_expired" not in sweep(home)
    resolve(home, signal["incident_id"], days_ago=30.1)
    hold(client, signal["incident_id"])
    assert "pictures_expired" not in sweep(home)
    assert home.evidence.stat(image.object_name) is not None
    hold(client, signal["incident_id"], on=False)
    assert sweep(home)["pictures_expired"] == 1
    assert home.evidence.stat(image.object_name) is None
    (listed,) = client.get(f"{path}/images").json()["images"]
    assert (listed["deleted_because"], listed["sha256"]) == ("retention", image.sha256)
    assert "pictures_expired" not in sweep(home)


def test_pictures_that_were_kept_for_review_go_after_a_month(client: TestClient, home: Home) -> None:
    now = SystemClock().now()
    logged = reported(client, confidence_score=0.2)
    old, young = (with_image(home, logged, at=now - timedelta(days=days)) for days in (30.1, 29.9))
    assert sweep(home)["pictures_expired"] == 1
    assert home.evidence.stat(old.object_name) is None
    assert home.evidence.stat(young.object_name) is not None


def test_pictures_that_must_stay_hold_up_no_younger_ones(client: TestClient, home: Home) -> None:
    """However many there are: a run looks at so many, and the next one goes on behind them."""
    kept, logged = reported(client), reported(client, confidence_score=0.2)
    many = maintain.PAGE * maintain.PAGES + 1
    example = with_image(home, kept, at=NOON - 3 * MONTH)
    for number in range(many):
        record = replace(example, id=example.id - 1 - number, object_name=f"incidents/2025/12/01/{number}.jpg")
        home.documents.commit([evidence_images.creation(record)])
    young = with_image(home, logged, at=NOON - 2 * MONTH)
    assert "pictures_expired" not in sweep(home)
    assert sweep(home)["pictures_expired"] == 1
    assert home.evidence.stat(young.object_name) is None
    assert home.evidence.stat(example.object_name) is not None


def test_a_deletion_that_was_decided_and_not_done_is_done_by_the_next_run(client: TestClient, home: Home) -> None:
    image = with_image(home, reported(client), at=NOON - MONTH)
    set_fields(home, "evidence_images", str(image.id), deleted_at=NOON, deleted_because="retention")
    sweep(home)
    assert home.evidence.stat(image.object_name) is None


def test_a_hold_that_comes_while_retention_decides_wins(client: TestClient, home: Home) -> None:
    signal = reported(client)
    resolve(home, signal["incident_id"], days_ago=31)
    found = incidents.find(home.documents, signal["incident_id"])
    assert found is not None
    hold(client, signal["incident_id"])
    with pytest.raises(VersionConflict):
        home.documents.commit([incidents.unheld(*found)])


def test_a_flagged_file_under_legal_hold_outlives_its_quarantine(client: TestClient, home: Home) -> None:
    incident_id = reported(client)["incident_id"]
    asset = with_clip(home, incident_id, folder="quarantine")
    set_fields(home, "assets", asset.id, quarantine="held", quarantine_until=NOON)
    resolve(home, incident_id, days_ago=100)
    hold(client, incident_id)
    sweep(home)
    assert home.media.stat(asset.object_name) is not None
    hold(client, incident_id, on=False)
    sweep(home)
    assert home.media.stat(asset.object_name) is None
