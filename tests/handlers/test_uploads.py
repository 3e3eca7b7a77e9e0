"""An upload whose notification was lost, late, or doubled is analysed once; and where dropped files come from."""

from __future__ import annotations

import json

import pytest

from shared.domain.header_text import encode_header_text
from shared.domain.stages import AssetState, Stage, StageRecord, StageState, asset_state
from shared.errors import NotFound
from shared.handlers import analyze
from shared.messages import ObjectFinalised
from shared.ports import Delivery, Query
from shared.repositories import assets
from tests.handlers.pipeline import BUCKET, ListBus, Pipeline, delivery_of, run_through


@pytest.fixture
def deps(pipeline: Pipeline, bus: ListBus) -> analyze.Deps:
    return analyze.Deps(pipeline.documents, pipeline.media, bus, pipeline.clock, BUCKET)


def test_an_upload_whose_notification_was_lost_is_analysed(
    pipeline: Pipeline, bus: ListBus, deps: analyze.Deps
) -> None:
    asset_id, _lost = pipeline.upload("fight")
    assert analyze.request_analysis(asset_id, deps, strict_mode=True) is AssetState.PROCESSING
    (ours,) = bus.of_topic(ObjectFinalised.TOPIC)
    run_through(pipeline, bus, delivery_of(ours))
    asset = pipeline.asset(asset_id)
    assert (asset_state(asset.stages), asset.strict_mode, asset.source_id) == (AssetState.DONE, True, "gate")


@pytest.mark.parametrize("ours_first", [True, False])
def test_a_notification_that_was_only_late_is_a_duplicate(
    ours_first: bool, pipeline: Pipeline, bus: ListBus, deps: analyze.Deps
) -> None:
    asset_id, buckets = pipeline.upload("fight")
    for _ in range(3):
        analyze.request_analysis(asset_id, deps, strict_mode=False)
    ours = [delivery_of(message) for message in bus.of_topic(ObjectFinalised.TOPIC)]
    for notification in [*ours, buckets] if ours_first else [buckets, *ours]:
        pipeline.handlers()["ingest"](notification)
    assert assets.stage_record(pipeline.asset(asset_id), Stage.INGEST).attempts == 1
    assert len(bus.of_topic("media-uploaded")) == 1
    analyze.request_analysis(asset_id, deps, strict_mode=False)
    assert len(bus.of_topic(ObjectFinalised.TOPIC)) == len(ours)  # it had begun: nothing more was published


def test_before_the_object_is_there_nothing_is_kept_or_started(
    pipeline: Pipeline, bus: ListBus, deps: analyze.Deps
) -> None:
    asset_id, _ = pipeline.upload("fight")
    pipeline.media.delete(f"media/{asset_id}")
    with pytest.raises(NotFound, match="not_uploaded"):
        analyze.request_analysis(asset_id, deps, strict_mode=True)
    assert pipeline.asset(asset_id).strict_mode is False
    assert bus.messages == []


def given_up(pipeline: Pipeline, asset_id: str, code: str) -> None:
    """The sweeper saw no object."""
    record = StageRecord(StageState.FAILED, error_code=code, ended=pipeline.clock.now())
    pipeline.documents.commit([assets.stage_update(asset_id, Stage.INGEST, record)])


@pytest.mark.parametrize("code", ["upload_never_came", "object_gone"])
def test_a_file_that_was_given_up_and_is_there_now_is_analysed(
    code: str, pipeline: Pipeline, bus: ListBus, deps: analyze.Deps
) -> None:
    asset_id, _lost = pipeline.upload("fight")
    given_up(pipeline, asset_id, code)
    assert analyze.request_analysis(asset_id, deps, strict_mode=False) is AssetState.PROCESSING
    (ours,) = bus.of_topic(ObjectFinalised.TOPIC)
    run_through(pipeline, bus, delivery_of(ours))
    assert asset_state(pipeline.asset(asset_id).stages) is AssetState.DONE


@pytest.mark.parametrize(("code", "there"), [("upload_never_came", False), ("not_a_video", True)])
def test_what_failed_otherwise_or_is_not_there_stays_failed(
    code: str, there: bool, pipeline: Pipeline, bus: ListBus, deps: analyze.Deps
) -> None:
    asset_id, _ = pipeline.upload("fight")
    if not there:
        pipeline.media.delete(f"media/{asset_id}")
    given_up(pipeline, asset_id, code)
    assert analyze.request_analysis(asset_id, deps, strict_mode=False) is AssetState.FAILED
    assert bus.messages == []


def test_another_file_of_the_same_name_is_not_the_one_that_was_given_up(
    pipeline: Pipeline, bus: ListBus, deps: analyze.Deps
) -> None:
    pipeline.handlers()["ingest"](pipeline.drop("media/cam/1.mp4", "fight"))
    (document,) = pipeline.documents.query(Query(assets.COLLECTION)).documents
    given_up(pipeline, document.id, "object_gone")
    pipeline.drop("media/cam/1.mp4", "calm")
    assert analyze.request_analysis(document.id, deps, strict_mode=False) is AssetState.FAILED
    assert bus.of_topic(ObjectFinalised.TOPIC) == []


@pytest.mark.parametrize(
    ("written", "source"),
    [
        ("gate", "gate"),
        ("gate%207", "gate%207"),
        (encode_header_text("Tür 7"), "Tür 7"),
        ("UTF-8''%FF", "UTF-8''%FF"),
        (encode_header_text("a\nb"), None),
        (encode_header_text("ü" * 257), None),
    ],
)
def test_a_dropped_file_says_where_it_comes_from(written: str, source: str | None, pipeline: Pipeline) -> None:
    delivery = pipeline.drop("media/dropped.mp4", "calm")
    resource = {**json.loads(delivery.data), "metadata": {"source-id": written}}
    dropped = Delivery(delivery.message_id, json.dumps(resource).encode(), delivery.attributes)
    pipeline.handlers()["ingest"](dropped)
    (document,) = pipeline.documents.query(Query(assets.COLLECTION)).documents
    assert pipeline.asset(document.id).source_id == source
