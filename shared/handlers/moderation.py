"""Moderates one piece of media while the client waits: what it is, who has seen it, what they saw, the verdict.

The same content under the same profile and witnesses is looked at once while its verdict is cached. Video
Intelligence is never asked here, because it takes minutes: a video that is in doubt has a receipt that says so.
"""

from __future__ import annotations

import contextvars
import hashlib
import logging
from collections.abc import Callable, Mapping
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any, TypeVar

from shared.domain import detections, timeline
from shared.domain.assets import Detection
from shared.domain.moderation.details import Details, details_of
from shared.domain.moderation.findings import Evidence, Gap, MediaKind, Part, is_worth_asking_again
from shared.domain.moderation.moments import frame_moments, scene_starts
from shared.domain.moderation.profiles import Profile
from shared.domain.moderation.receipts import Status, Verdict
from shared.domain.moderation.verdicts import in_doubt, judge
from shared.errors import FetchFailed
from shared.handlers import caching, media_sources, shadowing, witnesses
from shared.handlers.looking import Shown, shown_of_still, shown_of_video
from shared.handlers.media_sources import MediaFile, PictureFile, VideoFile
from shared.ports import Clock, DetectionRun, Detector, FrameSampler, MediaProbe, PictureReader
from shared.records import from_data, to_data
from shared.repositories import verdict_cache

T = TypeVar("T")

log = logging.getLogger(__name__)

MAKING = 1
"""Part of the cache's key; to be raised when what is made here changes, so that nothing older is served."""

PIXEL_WORKERS = 2
"""Pictures and videos decoded at a time in one process: each uses all cores it gets, and up to 220 MB."""

UNSURE_DURATION = timedelta(minutes=5)
"""How long a verdict is served whose witnesses partly failed for a while."""

_WANTED = "The profile, or the doubt that the pictures leave, asks for Video Intelligence's look at the whole video"
FULL_LOOK = Gap(
    Part.ADULT,
    "not_in_direct_moderation",
    f"{_WANTED}, which takes longer than a client waits; ask POST /video/upload-url where to put the video for it.",
)
NO_FULL_LOOK = Gap(Part.ADULT, "not_available", f"{_WANTED}, which is not asked here.")


class OutOfTime(FetchFailed):
    """The request's time was over before this item's."""

    def __init__(self) -> None:
        super().__init__("timeout", "The request's time was over before this item was done.", status=408)


@dataclass(frozen=True)
class Pixels:
    """What turns bytes into pictures, and finds violence in them.

    `workers` are threads of their own, because the C library keeps for each thread what a large picture once took.
    """

    pictures: PictureReader
    probe: MediaProbe
    detector: Detector
    frames: FrameSampler
    workers: Executor = field(default_factory=lambda: ThreadPoolExecutor(PIXEL_WORKERS, thread_name_prefix="pixels"))


@dataclass(frozen=True)
class Deps:
    """What moderating needs of the world. `full_look`: uploads can have Video Intelligence's."""

    sources: media_sources.Deps
    pixels: Pixels
    witnesses: witnesses.Deps
    cache: caching.Deps
    full_look: bool = field(default=True, kw_only=True)

    @property
    def clock(self) -> Clock:
        """The time."""
        return self.cache.clock


@dataclass(frozen=True)
class Order:
    """What to moderate, what clients call it, and how. `declared`: what they say it is.

    `shadow`: a profile that judges alongside, and decides nothing.
    """

    url: str
    declared: MediaKind | None
    media_ids: tuple[str, ...]
    profile: Profile
    deadline: datetime
    use_cache: bool = True
    shadow: Profile | None = None


@dataclass(frozen=True)
class Moderated:
    """A verdict with its receipt, and what was seen."""

    verdict: Verdict
    details: Details


@dataclass(frozen=True)
class Result:
    """`cached`: the verdict was made earlier, or by somebody else at the same time."""

    moderated: Moderated
    cached: bool


def moderate(order: Order, deps: Deps) -> Result:
    """The verdict on what lies behind a URL.

    Raises `FetchFailed` (with `OutOfTime`), `TooLarge`, `NotFound`, `MediaUnusable`, `Malformed` and `Retryable`.
    """
    _check_time(order, deps)
    with media_sources.opened(order.url, order.declared, deps.sources) as media:
        looked_at = _identified(media, order, deps)
        if not order.use_cache:
            return Result(_made(looked_at, order, deps), cached=False)

        def make() -> caching.Made:
            made = _made(looked_at, order, deps)
            return caching.Made(to_data(made), _duration(made.verdict, deps))

        patient = replace(deps.cache, patience=min(deps.cache.patience, order.deadline - deps.clock.now()))
        names = (*order.media_ids, verdict_cache.content_name(looked_at.sha256))
        served = caching.serve(_key(looked_at, order.profile, deps), names, make, patient)
        found = _readable(served.result)
        return Result(_made(looked_at, order, deps), cached=False) if found is None else Result(found, served.cached)


def _readable(stored: Mapping[str, Any]) -> Moderated | None:
    """What is cached; None for what another version of this code wrote and this one can't read."""
    try:
        return from_data(Moderated, stored)
    except ValueError:
        log.warning("a cached verdict can't be read")
        return None


@dataclass(frozen=True)
class _Identified:
    """Media whose content is known. `duration` in seconds, 0 of a picture."""

    media: MediaFile
    sha256: str
    duration: float = 0.0

    @property
    def kind(self) -> MediaKind:
        return MediaKind.IMAGE if isinstance(self.media, PictureFile) else MediaKind.VIDEO


def _identified(media: MediaFile, order: Order, deps: Deps) -> _Identified:
    """Raises `MediaUnusable` for a video outside the limits of SPEC §3."""
    if isinstance(media, PictureFile):
        return _Identified(media, hashlib.sha256(media.data).hexdigest())
    with media.open() as stream:
        facts = deps.pixels.probe.probe(stream)
    _check_time(order, deps)
    return _Identified(media, facts.sha256, facts.duration)


def _key(looked_at: _Identified, profile: Profile, deps: Deps) -> str:
    """Everything that a verdict depends on: the content, the rules, and who looks."""
    asked = deps.witnesses
    detector = deps.pixels.detector.version if looked_at.kind is MediaKind.VIDEO else ""
    parts = [str(MAKING), looked_at.kind, looked_at.sha256, profile.name, profile.version]
    parts += [asked.patterns.version, asked.images.name, asked.text.name, detector]
    return hashlib.sha256("\x1f".join(parts).encode()).hexdigest()


def _duration(verdict: Verdict, deps: Deps) -> timedelta | None:
    if verdict.status is Status.ERROR:
        return None
    if is_worth_asking_again(verdict.not_evaluated):
        return min(UNSURE_DURATION, deps.cache.duration)
    return deps.cache.duration


def _made(looked_at: _Identified, order: Order, deps: Deps) -> Moderated:
    """A new verdict. Raises as `moderate`."""
    seen = _seen(looked_at.media, order, deps)
    evidence = _look(seen, looked_at, order, deps)
    verdict = judge(evidence, order.profile)
    if order.shadow is not None:
        called = f"{order.media_ids[0]}#{looked_at.sha256[:16]}"  # clients may give one id to different content
        shadowing.record(called, evidence, verdict, order.shadow, deps.cache)
    verdict = replace(verdict, not_evaluated=(*verdict.not_evaluated, *_gaps(seen, verdict, order.profile, deps)))
    return Moderated(verdict, details_of(evidence, verdict))


def _look(seen: _Seen, looked_at: _Identified, order: Order, deps: Deps) -> Evidence:
    _check_time(order, deps)
    profile = order.profile
    return witnesses.look(
        seen.shown.frames,
        looked_at.kind,
        witnesses.features_for(looked_at.kind, profile, deps.witnesses),
        profile,
        deps.witnesses,
        _to_the_receipt,
        looked_at.sha256,
        detection=seen.detection,
        shots=seen.shown.shots,
        missing=seen.shown.missing,
    )


def _gaps(seen: _Seen, verdict: Verdict, profile: Profile, deps: Deps) -> list[Gap]:
    """What the witnesses don't know of a video's look."""
    if seen.detection is None or not in_doubt(verdict, profile):
        return []
    return [FULL_LOOK if deps.full_look else NO_FULL_LOOK]


def _to_the_receipt(_: float, __: str | None) -> None:
    """There is no ledger to charge: the evidence sums up what it cost."""


# --------------------------------------------------------------------------- pixels


def _in_turn(call: Callable[[], T], order: Order, deps: Deps) -> T:
    """The result of `call` in one of the threads that decode. Raises what it raises, and `OutOfTime`."""
    working = deps.pixels.workers.submit(contextvars.copy_context().run, call)
    try:
        return working.result(timeout=max((order.deadline - deps.clock.now()).total_seconds(), 0.0))
    except TimeoutError:
        working.cancel()
        raise OutOfTime from None


def _check_time(order: Order, deps: Deps) -> None:
    if deps.clock.now() >= order.deadline:
        raise OutOfTime


@dataclass(frozen=True)
class _Seen:
    """The pictures to look at and, of a video, what our own detector made of it."""

    shown: Shown
    detection: Detection | None = None


def _seen(media: MediaFile, order: Order, deps: Deps) -> _Seen:
    if isinstance(media, VideoFile):
        return _in_turn(partial(_seen_in_video, media, order, deps), order, deps)
    return _in_turn(partial(_seen_in_picture, media, order, deps), order, deps)


def _seen_in_picture(media: PictureFile, order: Order, deps: Deps) -> _Seen:
    """Of an animation several frames: its first alone would be a way to hide the others."""
    facts = deps.pixels.pictures.read(media.data, at_most=order.profile.video.frames)
    return _Seen(shown_of_still(facts))


def _seen_in_video(media: VideoFile, order: Order, deps: Deps) -> _Seen:
    run = _detected(media, order, deps)
    found = _detection(run, deps.pixels.detector)
    probabilities = timeline.probabilities_over_time(run.windows, run.duration)
    scenes = scene_starts(run.fingerprint)
    moments = frame_moments(run.duration, probabilities, found.segments, order.profile.video.frames, scenes)
    with media.open() as stream:
        shown = shown_of_video(stream, moments, scenes if run.fingerprint else None, deps.pixels.frames)
    return _Seen(shown, found)


def _detected(media: VideoFile, order: Order, deps: Deps) -> DetectionRun:
    with media.open() as stream:
        return deps.pixels.detector.detect(stream, report=_stopping(order, deps))


def _stopping(order: Order, deps: Deps) -> Callable[[float], None]:
    """Ends a detection for which nobody waits any more."""

    def report(_: float) -> None:
        _check_time(order, deps)

    return report


def _detection(run: DetectionRun, detector: Detector) -> Detection:
    segments = detections.find_segments(run.windows, detector.class_name, detections.DEFAULT_SENSITIVITY)
    return Detection(
        segments=segments,
        peak_probability=detections.peak_probability(run.windows),
        duration=run.duration,
        truncated=run.truncated,
        model=detector.version,
    )
