"""An upload whose notification was lost, late, or doubled is analysed once; and where dropped files come from."""

from __future__ import annotations

import json

import pytest

from shared.domain.header_text import encode_header_text
from shared.domain.stages import AssetState, Stage, asset_state
from shared.errors import NotFound
from shared.handlers import analyze
from shared.messages import ObjectFinalised
from shared.ports import Delivery, Query
from shared.repositories import assets
from tests.handlers.pipeline import BUCKET, ListBus, Pipeline, delivery_of, run_through


@pytest.fixture
def deps(pipeline: Pipeline, bus: ListBus) -> analyze.Deps:
    return analyze.Deps(pipeline.documents, pipeline.media, bus, BUCKET)


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
