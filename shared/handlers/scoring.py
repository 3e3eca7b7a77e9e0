"""What the pipeline and a direct analysis have in common: score one stored video and keep how it looks over time."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import BinaryIO

from shared.domain import detections, timeline
from shared.domain.assets import Detection
from shared.domain.timeline import Timeline
from shared.ports import Blobs, ContactSheets, Detector, Moment
from shared.repositories import timelines

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Deps:
    """What scoring needs of the world."""

    media: Blobs
    detector: Detector
    sheets: ContactSheets


@dataclass(frozen=True)
class Video:
    """One stored file, and how to look at it: at every `step`-th frame, with `sensitivity` (SPEC §3).

    `look` names a look after the first, whose timeline must not replace the earlier one before its result is saved.
    """

    asset_id: str
    object_name: str
    generation: int
    sensitivity: float = detections.DEFAULT_SENSITIVITY
    step: int = 1
    look: str = ""


@dataclass(frozen=True)
class Scored:
    """What was found, and the fingerprint of what was looked at."""

    detection: Detection
    fingerprint: bytes


def score(video: Video, deps: Deps, report: Callable[[float], None] = lambda _: None) -> Scored:
    """Streams the video through the detector, and stores its timeline and contact sheet.

    `report` hears the share (0-1) that was looked at.

    Raises `MediaUnusable`, `NotFound` when the object is gone, and `Retryable`.
    """
    detector = deps.detector
    with deps.media.open(video.object_name, generation=video.generation) as stream:
        run = detector.detect(stream, step=video.step, report=report)
        segments = detections.find_segments(run.windows, detector.class_name, video.sensitivity)
        sheet = _draw(stream, timeline.strongest_moments(run.windows, segments), deps.sheets)
    over_time = Timeline(
        asset_id=video.asset_id,
        model=detector.version,
        class_name=detector.class_name,
        duration=run.duration,
        truncated=run.truncated,
        probabilities=timeline.probabilities_over_time(run.windows, run.duration),
        segments=segments,
        contact_sheet=sheet is not None,
    )
    timelines.store(deps.media, over_time, sheet, video.look)
    found = Detection(
        segments=segments,
        peak_probability=detections.peak_probability(run.windows),
        duration=run.duration,
        truncated=run.truncated,
        model=detector.version,
        sensitivity=video.sensitivity,
        step=video.step,
        look=video.look,
    )
    return Scored(found, run.fingerprint)


def _draw(stream: BinaryIO, moments: Sequence[Moment], sheets: ContactSheets) -> bytes | None:
    """The sheet, or None where there is nothing to show or it can't be drawn: an extra must not cost the detection."""
    if not moments:
        return None
    try:
        return sheets.draw(stream, moments)
    except Exception as error:
        log.warning("no contact sheet: %s", type(error).__name__, exc_info=error)
        return None
