"""Goes through a video to moments that follow each other, from keyframe to keyframe instead of through all of it.

Holds one decoded picture at a time. It must not know what the pictures are for.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from av.error import FFmpegError
from av.video.frame import VideoFrame
from av.video.reformatter import Interpolation

from shared.detection.decode import Decoding
from shared.detection.scoring import Picture
from shared.detection.video import Video
from shared.errors import MediaUnusable

# Keyframes are seldom further apart than this: what is nearer is read on to instead of sought.
_GROUP_SECONDS = 12.0
# A picture this far from the wanted moment (half a window and a pause in the recording) shows something else.
_NEAR_SECONDS = 1.5
# For all moments together: a file whose only keyframe is its first would else be decoded once a moment.
_MAX_FRAMES = 24 * 300


@dataclass(frozen=True)
class Shown:
    """A picture as displayed, RGB, and when it is shown: `seconds` from the beginning."""

    seconds: float
    picture: Picture


class Walk:
    """One way through an open, seekable video."""

    def __init__(self, video: Video) -> None:
        self._video = video
        self._unit = float(video.stream.time_base or 0)
        self._frames: Iterator[tuple[float, VideoFrame]] = Decoding(video).pictures()
        self._held: tuple[float, VideoFrame] | None = None
        self._budget = _MAX_FRAMES

    def shown_at(self, target: float, box: tuple[int, int]) -> Shown | None:
        """The picture at `target` seconds, inside `box` (width, height) and never enlarged; targets rise.

        None if that stretch is missing or damaged. Raises what the stream raises.
        """
        try:
            found = self._picture_at(target)
        except (FFmpegError, MediaUnusable):
            self._video.source.raise_failure()
            self._held = None
            return None
        if found is None or abs(found[0] - target) > _NEAR_SECONDS:
            return None
        return Shown(found[0], _fitted(found[1], _pixel_shape(self._video), box))

    def _picture_at(self, target: float) -> tuple[float, VideoFrame] | None:
        """The first picture not before `target`, or the last one at all."""
        at = self._held[0] if self._held else 0.0
        if not at <= target <= at + _GROUP_SECONDS:
            self._video.seek(target)
            self._frames, self._held = Decoding(self._video).pictures(), None
        while self._held is None or self._held[0] < target:
            following = next(self._frames, None) if self._budget > 0 else None
            if following is None:
                break
            self._budget -= 1
            self._held = self._timed(*following)
        return self._held

    def _timed(self, seconds: float, frame: VideoFrame) -> tuple[float, VideoFrame]:
        """With the frame's own time: to a decoding that began in the middle, a file without an origin has a new one."""
        if frame.pts is None or self._unit == 0:
            return seconds, frame
        return frame.pts * self._unit - (self._video.origin or 0.0), frame


def _pixel_shape(video: Video) -> float:
    """The width of a pixel over its height, 1 if the file says nothing or nonsense."""
    ratio = float(video.stream.sample_aspect_ratio or 1)
    return ratio if 0.1 <= ratio <= 10 else 1.0


def _fitted(frame: VideoFrame, pixel_shape: float, box: tuple[int, int]) -> Picture:
    """The frame, turned as displayed, inside the box."""
    turns = round(frame.rotation / 90) % 4
    width, height = frame.width * pixel_shape, float(frame.height)
    most_wide, most_high = (box[1], box[0]) if turns % 2 else box
    scale = min(most_wide / width, most_high / height, 1.0)
    size = (max(round(width * scale), 1), max(round(height * scale), 1))
    small = frame.reformat(*size, format="rgb24", interpolation=Interpolation.AREA).to_ndarray()
    return np.ascontiguousarray(np.rot90(small, turns))
