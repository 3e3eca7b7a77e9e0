"""The pictures of an upload that the witnesses are shown: of a video the telling moments, of a still its frames."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from shared.domain.assets import Asset
from shared.domain.moderation.findings import Count, MediaKind
from shared.domain.moderation.profiles import Profile
from shared.domain.timeline import spread_moments
from shared.errors import NotFound
from shared.handlers.stills import read_still, still_frames
from shared.ports import Blobs, Frame, FrameSampler, PictureReader
from shared.repositories import timelines


@dataclass(frozen=True)
class Pictures:
    """Where the pictures come from."""

    media: Blobs
    sampler: FrameSampler
    reader: PictureReader


@dataclass(frozen=True)
class Shown:
    """`frames` in order of time; `shots` as counted in the video, None where nobody counted them."""

    frames: Sequence[Frame]
    shots: Count | None = None


def frames_of(asset: Asset, profile: Profile, pictures: Pictures) -> Shown:
    """At most `profile.video.frames` pictures of the asset's object.

    Raises `MediaUnusable` when none can be decoded, `NotFound` when the object is gone, and `Retryable`.
    """
    at_most = profile.video.frames
    if asset.kind is MediaKind.IMAGE:
        with pictures.media.open(asset.object_name, generation=asset.generation) as stream:
            return Shown(still_frames(read_still(stream, pictures.reader, at_most=at_most)))
    moments = _moments(asset, at_most, pictures.media)
    with pictures.media.open(asset.object_name, generation=asset.generation) as stream:
        return Shown(pictures.sampler.sample(stream, moments))


def _moments(asset: Asset, count: int, media: Blobs) -> list[float]:
    """In seconds: the peaks of what the detector found first, the others spread."""
    duration = asset.facts.duration if asset.facts else 0.0
    try:
        stored = timelines.load(media, asset.id, asset.detection.look if asset.detection else "")
        chosen = spread_moments(duration, stored.probabilities, stored.segments, count)
    except NotFound:
        chosen = spread_moments(duration, count=count)
    return [moment.seconds for moment in chosen]
