"""What detection keeps beside the upload: a timeline and a page of pictures, and no harm when they can't be made."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from shared.domain.stages import Stage, StageState
from shared.domain.timeline import Timeline
from shared.errors import NotFound, Retryable
from shared.ports import BlobInfo
from shared.repositories import timelines
from tests.handlers.pipeline import ListBus, Pipeline, delivery_of, ledger, run_through


def test_a_fight_leaves_its_timeline_and_its_contact_sheet(pipeline: Pipeline, bus: ListBus) -> None:
    asset_id, notification = pipeline.upload("fight")
    run_through(pipeline, bus, notification)
    asset = pipeline.asset(asset_id)
    assert asset.detection is not None
    assert timelines.load(pipeline.media, asset_id) == Timeline(
        asset_id=asset_id,
        model="word-detector-1",
        class_name="violence",
        duration=2.0,
        truncated=False,
        probabilities=(0.9,) * 4,
        segments=asset.detection.segments,
        contact_sheet=True,
    )
    assert timelines.load_sheet(pipeline.media, asset_id) == b"fight 1.0:0.90"
    types = [info.content_type for info in pipeline.media.list(f"analysis/{asset_id}/")]
    assert types == ["image/jpeg", "application/json"]


def test_a_calm_clip_has_a_timeline_and_nothing_to_look_at(pipeline: Pipeline, bus: ListBus) -> None:
    asset_id, notification = pipeline.upload("calm")
    run_through(pipeline, bus, notification)
    assert timelines.load(pipeline.media, asset_id).contact_sheet is False
    with pytest.raises(NotFound, match="nothing was found"):
        timelines.load_sheet(pipeline.media, asset_id)


@pytest.mark.parametrize("failure", [MemoryError(), Retryable("the bucket is away"), ValueError("no font")])
def test_a_sheet_that_cannot_be_drawn_costs_nothing_else(failure: Exception, pipeline: Pipeline, bus: ListBus) -> None:
    pipeline.sheets.failing = failure
    asset_id, notification = pipeline.upload("fight")
    run_through(pipeline, bus, notification)
    assert ledger(pipeline.asset(asset_id), Stage.DETECT).state is StageState.DONE
    assert timelines.load(pipeline.media, asset_id).contact_sheet is False
    assert len(bus.of_topic("incident-opened")) == 1


def test_a_stage_that_dies_before_its_commit_is_finished_by_the_next_delivery(
    pipeline: Pipeline, bus: ListBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    asset_id, notification = pipeline.upload("fight")
    pipeline.handlers()["ingest"](notification)
    sent = delivery_of(bus.of_topic("media-uploaded")[0])
    with monkeypatch.context() as dying:
        dying.setattr(pipeline.media, "put", _dying_after(pipeline.media.put))
        with pytest.raises(OSError, match="killed"):
            pipeline.handlers()["detect"](sent)
    assert pipeline.asset(asset_id).detection is None
    pipeline.handlers()["detect"](sent)
    assert pipeline.asset(asset_id).detection is not None
    assert timelines.load(pipeline.media, asset_id).contact_sheet is True


def _dying_after(put: Callable[..., BlobInfo]) -> Callable[..., BlobInfo]:
    def store(name: str, data: bytes, **options: object) -> BlobInfo:
        info = put(name, data, **options)
        if name.endswith(".json"):
            raise OSError("killed")
        return info

    return store
