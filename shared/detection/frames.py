"""Takes single pictures out of a video, as JPEGs for those who look at pictures. It must not choose the moments."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import BinaryIO

from PIL import Image

from shared.detection.video import open_video
from shared.detection.walk import Shown, Walk
from shared.ports import Frame

LONGEST_SIDE = 1280
QUALITY = 85

_TIME_DIGITS = 3


class VideoFrames:
    """Implements `shared.ports.FrameSampler`. Holds nothing, so one may serve all threads."""

    def sample(self, stream: BinaryIO, seconds: Sequence[float]) -> list[Frame]:
        """See `FrameSampler.sample`. Upright, at most 1280 pixels a side, never enlarged.

        `Frame.seconds` is the picture's own time, which may be off by what a recording leaves out; one that stands for
        two moments is given once. Raises `MediaUnusable` also as `open_video` does, and what the stream raises.
        """
        frames: list[Frame] = []
        with open_video(stream) as video:
            walk = Walk(video)
            for moment in seconds:
                shown = walk.shown_at(moment, (LONGEST_SIDE, LONGEST_SIDE))
                if shown is not None and not (frames and frames[-1].seconds == _time_of(shown)):
                    frames.append(_frame(shown))
            if not frames:
                raise video.unusable()
        return frames


def _frame(shown: Shown) -> Frame:
    height, width = shown.picture.shape[:2]
    target = io.BytesIO()
    Image.fromarray(shown.picture).save(target, "JPEG", quality=QUALITY)
    return Frame(target.getvalue(), width, height, _time_of(shown))


def _time_of(shown: Shown) -> float:
    return max(round(shown.seconds, _TIME_DIGITS), 0.0)
