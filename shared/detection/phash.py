"""A 64-bit perceptual hash of a video: near for the same clip encoded anew, far for different ones.

The algorithm is pHash's DCT hash of an image (Zauner, "Implementation and Benchmarking of Perceptual Image Hash
Functions", 2010, §3.2.1: 32 x 32 gray picture, two-dimensional DCT-II, 8 x 8 low frequencies without the first row and
column, each above the median or not), with the frequencies averaged over a few pictures spread over time. Two clips of
one fixed camera may therefore be near each other: the hash finds candidates, it proves nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import BinaryIO

import numpy as np
from av.error import FFmpegError
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray

from shared.detection.decode import Decoding, Gray, to_gray
from shared.detection.video import Video, open_video
from shared.errors import MediaUnusable

PICTURES = 4
_SIDE = 32
_LOW = slice(1, 9)
# A keyframe is seldom further back than this; a clip that is shorter is read through instead of sought in.
_GROUP_SECONDS = 12.0
_MAX_FRAMES_FROM_KEYFRAME = 300

_ANGLES = np.pi / _SIDE * np.outer(np.arange(_SIDE), np.arange(_SIDE) + 0.5)
_DCT: NDArray[np.float64] = np.cos(_ANGLES)


def perceptual_hash(pictures: Sequence[Gray]) -> str:
    """16 hex digits from at least one gray uint8 picture (32, 32). A flat picture gives all zeros."""
    low = np.mean([(_DCT @ (picture - 128.0) @ _DCT.T)[_LOW, _LOW] for picture in pictures], axis=0)
    # Under half a gray level of amplitude everything is rounding and compression, not picture.
    low = low.ravel() if np.abs(low).max() >= _SIDE * _SIDE / 8 else np.zeros(low.size)
    bits = low > np.median(low)
    return f"{int(''.join('1' if bit else '0' for bit in bits), 2):016x}"


def spread_pictures(stream: BinaryIO, duration: float) -> list[Gray]:
    """Up to `PICTURES` gray (32, 32) pictures of the video in a seekable `stream`, evenly spread in time; at least one.

    Raises `MediaUnusable` if not a single picture decodes, and what the stream raises.
    """
    targets = [(number + 0.5) * duration / PICTURES for number in range(PICTURES)]
    if duration > _GROUP_SECONDS:
        with open_video(stream) as video:
            found = [picture for target in targets if (picture := _after_seeking(video, target)) is not None]
        if found:
            return found
        targets = [0.0]
    # Opened anew, because an index may be too damaged even to seek back to its beginning.
    with open_video(stream) as video:
        return _in_passing(video, targets)


def _in_passing(video: Video, targets: Sequence[float]) -> list[Gray]:
    """Reads on from the beginning; targets behind the last picture get that one."""
    found: list[Gray] = []
    converter, frame = VideoReformatter(), None
    for seconds, frame in Decoding(video).pictures():
        while len(found) < len(targets) and seconds >= targets[len(found)]:
            found.append(to_gray(frame, _SIDE, converter))
        if len(found) == len(targets):
            break
    if frame is not None and len(found) < len(targets):
        found.append(to_gray(frame, _SIDE, converter))
    return found


def _after_seeking(video: Video, target: float) -> Gray | None:
    """The picture at `target` seconds, reached from the keyframe before it; None if that stretch is damaged."""
    frame = None
    try:
        video.seek(target)
        for count, (seconds, decoded) in enumerate(Decoding(video).pictures()):
            frame = decoded
            if seconds >= target or count >= _MAX_FRAMES_FROM_KEYFRAME:
                break
    except (FFmpegError, MediaUnusable):
        video.source.raise_failure()
    return None if frame is None else to_gray(frame, _SIDE, VideoReformatter())
