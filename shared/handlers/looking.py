"""The pictures of an upload that the witnesses are shown: of a video the telling moments, of a still its frames."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import BinaryIO

from shared.domain.assets import Asset
from shared.domain.moderation.findings import Count, MediaKind
from shared.domain.moderation.moments import SHOT_WITNESS, frame_moments, without_picture
from shared.domain.moderation.profiles import Profile
from shared.errors import NotFound
from shared.handlers.scenes import scenes_of
from shared.handlers.stills import left_out, read_still, still_frames
from shared.ports import Blobs, Documents, Frame, FrameSampler, PictureFacts, PictureReader
from shared.repositories import timelines


@dataclass(frozen=True)
class Pictures:
    """Where the pictures come from."""

    documents: Documents
    media: Blobs
    sampler: FrameSampler
    reader: PictureReader


@dataclass(frozen=True)
class Shown:
    """`frames` in order of time; `shots` as counted in the video, None where nobody counted them.

    `missing`: how many more there would be if all of a video could be decoded, or all of an animation shown.
    """

    frames: Sequence[Frame]
    shots: Count | None = None
    missing: int = 0


def shown_of_still(picture: PictureFacts) -> Shown:
    """The frames of an animation, or the one of a still."""
    return Shown(still_frames(picture), missing=left_out(picture))


def shown_of_video(
    stream: BinaryIO, moments: Sequence[float], scenes: Sequence[float] | None, sampler: FrameSampler
) -> Shown:
    """The pictures at `moments`. Raises `MediaUnusable` when none can be decoded."""
    frames = sampler.sample(stream, moments)
    shots = None if scenes is None else Count(len(scenes), SHOT_WITNESS)
    return Shown(frames, shots, without_picture(moments, [frame.seconds for frame in frames]))


def frames_of(asset: Asset, profile: Profile, pictures: Pictures) -> Shown:
    """At most `profile.video.frames` pictures of the asset's object.

    Raises `MediaUnusable` when none can be decoded, `NotFound` when the object is gone, and `Retryable`.
    """
    at_most = profile.video.frames
    if asset.kind is MediaKind.IMAGE:
        with pictures.media.open(asset.object_name, generation=asset.generation) as stream:
            return shown_of_still(read_still(stream, pictures.reader, at_most=at_most))
    scenes = scenes_of(asset, pictures.documents, pictures.media)
    moments = _moments(asset, at_most, scenes or (), pictures.media)
    with pictures.media.open(asset.object_name, generation=asset.generation) as stream:
        return shown_of_video(stream, moments, scenes, pictures.sampler)


def _moments(asset: Asset, count: int, scenes: Sequence[float], media: Blobs) -> tuple[float, ...]:
    """In seconds: the peaks of what the detector found first, then the scenes, the others spread."""
    duration = asset.facts.duration if asset.facts else 0.0
    try:
        stored = timelines.load(media, asset.id, asset.detection.look if asset.detection else "")
    except NotFound:
        return frame_moments(duration, (), (), count, scenes)
    return frame_moments(duration, stored.probabilities, stored.segments, count, scenes)
