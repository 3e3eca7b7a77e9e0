"""The scenes of an upload, also of one whose detection was taken over from another."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import BinaryIO

from shared.domain.assets import Asset, Detection, SeenBefore
from shared.handlers.scenes import scenes_of
from shared.ports import FINGERPRINT_SIDE, DetectionRun, Set
from shared.records import to_data
from shared.repositories import assets, timelines
from tests.fakes import NOON
from tests.handlers.pipeline import ListBus, Pipeline, WordDetector, delivery_of

MODEL = "word-detector-1"
ONE_CUT = bytes([10]) * 4 * FINGERPRINT_SIDE**2 + bytes([200]) * 4 * FINGERPRINT_SIDE**2
"""Two seconds dark, two seconds bright."""


def looked_at(name: str, *, taken_from: str | None = None, detected: bool = True) -> Asset:
    detection = Detection((), 0.1, 4.0, False, MODEL, 0.5) if detected else None
    seen = SeenBefore(taken_from, exact=True, distance=0) if taken_from else None
    return Asset(name, f"media/{name}", NOON, detection=detection, seen_before=seen)


def test_scenes_are_those_of_the_detectors_look(pipeline: Pipeline) -> None:
    timelines.store_fingerprint(pipeline.media, "scenes-own", MODEL, ONE_CUT)
    assert scenes_of(looked_at("scenes-own"), pipeline.documents, pipeline.media) == (0.0, 2.0)


def test_a_copy_has_the_scenes_of_what_it_was_taken_over_from(pipeline: Pipeline) -> None:
    timelines.store_fingerprint(pipeline.media, "scenes-first", MODEL, ONE_CUT)
    kept = (looked_at("scenes-first"), looked_at("scenes-second", taken_from="scenes-first"))
    pipeline.documents.commit([Set(assets.COLLECTION, asset.id, to_data(asset)) for asset in kept])
    for copy in (kept[1], looked_at("scenes-third", taken_from="scenes-second")):
        assert scenes_of(copy, pipeline.documents, pipeline.media) == (0.0, 2.0)


def test_scenes_are_unknown_where_nothing_tells(pipeline: Pipeline) -> None:
    unknown = [
        looked_at("scenes-none"),
        looked_at("scenes-before", detected=False),
        looked_at("scenes-orphan", taken_from="scenes-removed"),
        looked_at("scenes-round", taken_from="scenes-round"),
    ]
    pipeline.documents.commit([Set(assets.COLLECTION, asset.id, to_data(asset)) for asset in unknown])
    for asset in unknown:
        assert scenes_of(asset, pipeline.documents, pipeline.media) is None


class DarkDetector(WordDetector):
    """Sees nothing but black."""

    def detect(
        self, stream: BinaryIO, *, step: int = 1, report: Callable[[float], None] = lambda _: None
    ) -> DetectionRun:
        run = super().detect(stream, step=step, report=report)
        return replace(run, fingerprint=bytes(4 * FINGERPRINT_SIDE**2))


def test_a_video_in_which_nothing_moves_has_one_scene_after_it_was_detected(pipeline: Pipeline, bus: ListBus) -> None:
    pipeline.detector = DarkDetector()
    asset_id, notification = pipeline.upload("calm")
    pipeline.handlers()["ingest"](notification)
    pipeline.handlers()["detect"](delivery_of(bus.of_topic("media-uploaded")[-1]))
    asset = assets.get(pipeline.documents, asset_id)
    assert scenes_of(asset, pipeline.documents, pipeline.media) == (0.0,)
