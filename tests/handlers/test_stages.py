"""Each stage on its own, and what the ledger shows for it."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from shared.delivery import REJECTED
from shared.domain.incidents import Beacon
from shared.domain.stages import AssetState, Stage, StageState, asset_state
from shared.ports import Delivery, Query
from shared.repositories import beacons, incident_timelines, incidents
from tests.handlers.pipeline import ListBus, Pipeline, ledger, run_through


def test_a_fight_passes_all_stages_and_opens_an_incident(pipeline: Pipeline, bus: ListBus) -> None:
    asset_id, notification = pipeline.upload("fight")
    run_through(pipeline, bus, notification)
    asset = pipeline.asset(asset_id)
    assert asset_state(asset.stages) is AssetState.DONE
    assert asset.facts is not None
    assert asset.facts.container == "mp4"
    assert asset.detection is not None
    assert asset.detection.segments[0].confidence == 0.9
    assert ledger(asset, Stage.DETECT).version == "word-detector-1"
    incident = incidents.get(pipeline.documents, asset.incident_ids[0])
    assert incident.beacon_id == "gate"
    signal = incidents.signals_of(pipeline.documents, incident.id, 10)[0]
    assert signal.observation.asset_id == asset_id
    assert len(bus.of_topic("incident-opened")) == 1


def test_a_calm_clip_ends_without_event_or_incident(pipeline: Pipeline, bus: ListBus) -> None:
    asset_id, notification = pipeline.upload("calm")
    run_through(pipeline, bus, notification)
    assert asset_state(pipeline.asset(asset_id).stages) is AssetState.DONE
    assert pipeline.documents.count(Query("ai_events")) == 0
    assert bus.of_topic("incident-opened") == []


def test_below_the_threshold_an_event_is_logged(pipeline: Pipeline, bus: ListBus) -> None:
    asset_id, notification = pipeline.upload("scuffle")
    run_through(pipeline, bus, notification)
    assert pipeline.documents.count(Query("ai_events")) == 1
    assert pipeline.asset(asset_id).incident_ids == ()


def test_an_upload_without_a_source_is_a_place_of_its_own(pipeline: Pipeline, bus: ListBus) -> None:
    asset_id, notification = pipeline.upload("fight", source_id=None)
    run_through(pipeline, bus, notification)
    incident = incidents.get(pipeline.documents, pipeline.asset(asset_id).incident_ids[0])
    assert incident.beacon_id == f"asset:{asset_id}"
    assert incident.beacon_location == "Unknown place"


@pytest.mark.parametrize(
    ("beacon", "location", "standing"),
    [
        (Beacon("gate", "Front gate", active=True), "Front gate", "active"),
        (Beacon("gate", "Front gate", active=False), "Front gate", "inactive"),
        (None, "gate", "unknown"),
    ],
)
def test_an_upload_s_fight_is_never_lost_for_want_of_a_beacon(
    beacon: Beacon | None, location: str, standing: str, pipeline: Pipeline, bus: ListBus
) -> None:
    """Devices of a deactivated place are refused; what was seen in its uploads is told, and that it is deactivated."""
    if beacon is not None:
        beacons.put(pipeline.documents, beacon)
    asset_id, notification = pipeline.upload("fight")
    run_through(pipeline, bus, notification)
    incident = incidents.get(pipeline.documents, pipeline.asset(asset_id).incident_ids[0])
    assert (incident.beacon_id, incident.beacon_location) == ("gate", location)
    (opening, *_), _ = incident_timelines.of_incident(pipeline.documents, incident.id, limit=10)
    assert opening.details["place"] == standing
    assert len(bus.of_topic("incident-opened")) == 1


def test_a_file_that_is_no_video_fails_with_code_and_sentence_and_is_kept(pipeline: Pipeline, bus: ListBus) -> None:
    asset_id, notification = pipeline.upload("broken")
    pipeline.handlers()["ingest"](notification)
    asset = pipeline.asset(asset_id)
    record = ledger(asset, Stage.INGEST)
    assert record.state is StageState.FAILED
    assert (record.error_code, record.error_message) == ("not_a_video", "The file is text, not a video.")
    assert asset_state(asset.stages) is AssetState.FAILED
    assert pipeline.media.stat(asset.object_name) is not None
    assert [message.topic for message in bus.messages] == ["media-analysed"]


def test_a_dropped_file_gets_an_asset_of_its_own(pipeline: Pipeline, bus: ListBus) -> None:
    notification = pipeline.drop("media/camera-7/clip.mp4", "fight")
    run_through(pipeline, bus, notification)
    found = pipeline.documents.query(Query("assets"))
    assert len(found.documents) == 1
    assert pipeline.asset(found.documents[0].id).object_name == "media/camera-7/clip.mp4"


def test_a_repeated_notification_of_a_dropped_file_finds_the_same_asset(pipeline: Pipeline, bus: ListBus) -> None:
    notification = pipeline.drop("media/camera-7/again.mp4", "fight")
    run_through(pipeline, bus, notification)
    run_through(pipeline, bus, replace(notification, message_id="another"))
    assert pipeline.documents.count(Query("assets")) == 1
    assert pipeline.documents.count(Query("signals")) == 1


@pytest.mark.parametrize("source", ["", " ", "x" * 2000, "bell\u0007"])
def test_a_dropped_file_with_a_useless_place_still_opens_an_incident(
    source: str, pipeline: Pipeline, bus: ListBus
) -> None:
    notification = pipeline.drop("media/camera-7/nowhere.mp4", "fight")
    resource = {**json.loads(notification.data), "metadata": {"source-id": source}}
    run_through(pipeline, bus, replace(notification, data=json.dumps(resource).encode()))
    assert pipeline.documents.count(Query("incidents")) == 1


def test_the_incident_is_called_by_its_beacons_name(pipeline: Pipeline, bus: ListBus) -> None:
    beacons.put(pipeline.documents, Beacon("gate", "Front gate", active=True))
    asset_id, notification = pipeline.upload("fight")
    run_through(pipeline, bus, notification)
    incident = incidents.get(pipeline.documents, pipeline.asset(asset_id).incident_ids[0])
    assert incident.beacon_location == "Front gate"


def test_late_news_of_an_overwritten_generation_changes_nothing(pipeline: Pipeline, bus: ListBus) -> None:
    asset_id, first = pipeline.upload("fight")
    second = pipeline.drop(pipeline.asset(asset_id).object_name, "calm")
    run_through(pipeline, bus, second)
    run_through(pipeline, bus, first)
    assert asset_state(pipeline.asset(asset_id).stages) is AssetState.DONE


def test_a_name_that_is_no_text_is_recorded_and_acknowledged(pipeline: Pipeline) -> None:
    data = b'{"bucket": "b", "name": "media/\\ud800", "generation": "1"}'
    pipeline.handlers()["ingest"](Delivery("m", data, {}))
    rejected = pipeline.documents.query(Query(REJECTED)).documents
    assert [document.data["code"] for document in rejected] == ["invalid_text"]


@pytest.mark.parametrize("name", ["media/../up.mp4", "media/st*r.mp4", "media/wh?t.mp4", "media/ünï.mp4"])
def test_a_dropped_file_with_a_dangerous_name_fails_clearly(name: str, pipeline: Pipeline, bus: ListBus) -> None:
    notification = pipeline.drop(name, "fight")
    run_through(pipeline, bus, notification)
    asset = pipeline.asset(pipeline.documents.query(Query("assets")).documents[0].id)
    assert ledger(asset, Stage.INGEST).error_code == "unsafe_object_name"
    assert [message.topic for message in bus.messages] == ["media-analysed"]


def test_an_object_that_is_gone_fails_the_stage(pipeline: Pipeline, bus: ListBus) -> None:
    asset_id, notification = pipeline.upload("fight")
    pipeline.media.delete(pipeline.asset(asset_id).object_name)
    pipeline.handlers()["ingest"](notification)
    assert ledger(pipeline.asset(asset_id), Stage.INGEST).state is StageState.FAILED
