"""Decodes a video as a stream of small pictures at a limited rate, however long, odd or damaged it is.

Only the pictures that are used are converted, and of the others only those decoded that may be referred to; nothing is
kept. Damaged packets are skipped and a file that breaks off is decoded as far as it goes: `Decoding.damaged` tells. It
must not know what the pictures are for.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import islice
from typing import Any, cast

import numpy as np
from av.error import FFmpegError
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.reformatter import Interpolation, VideoReformatter
from av.video.stream import VideoStream
from numpy.typing import NDArray

from shared.detection.scoring import Picture, PictureFormat
from shared.detection.ticks import Ticks
from shared.detection.video import Video, check_duration, check_picture
from shared.errors import MediaUnusable

Gray = NDArray[np.uint8]
"""A gray picture, (height, width), 0-255."""

_PIXELS = {1: "gray", 3: "rgb24"}
# A missing half of a file gives one error for each of its packets; after so many in a row nothing more will come.
_MAX_FAILURES_IN_A_ROW = 64
# The declared duration may exceed the last picture's end by rounding and by sound that goes on.
_MISSING_SECONDS = 1.0


class Decoding:
    """One pass over an open video. While and after iterating, its fields tell how it went.

    `end`: seconds from the beginning to the end of the last picture so far. `frames`: pictures decoded so far.
    `damaged`: something that was needed was skipped or is missing so far.
    """

    def __init__(self, video: Video) -> None:
        self._video = video
        self._origin = video.origin
        self._declared = video.declared_seconds or 0.0
        # The stream's unit, not the frame's: PyAV leaves it out of the frames that come last.
        self._unit = float(video.stream.time_base or 0)
        self._frame_seconds = 1 / video.frame_rate if video.frame_rate > 0 else 1 / 25
        self.end = 0.0
        self.frames = 0
        self.damaged = False
        self._ticks: Ticks | None = None
        self._spared_end = 0.0

    @property
    def truncated(self) -> bool:
        """Whether the file holds less than it claims. Complete when the iteration has ended."""
        layout = self._video.layout
        missing = self._declared - self.end > _MISSING_SECONDS
        return self.damaged or missing or (layout is not None and layout.truncated)

    def samples(self, wanted: PictureFormat, *, step: int = 1) -> Iterator[tuple[float, Picture]]:
        """(seconds from the beginning, picture as `wanted`) for at most one frame in each 1/hz s.

        Only every `step`-th frame (1 or more, the first included) is looked at.

        Frames are chosen by their time stamps, so the times are theirs and rise strictly; slower videos give each
        frame once. Pictures are stretched to the format, not letterboxed, and turned as displayed.
        Raises `MediaUnusable` as `pictures`.
        """
        ticks = Ticks(even_rate(self._video.frame_rate, wanted.hz) if wanted.even else wanted.hz)
        # Left out frames can't be counted, and after every `step`-th there is little to leave out.
        self._ticks = ticks if step == 1 and self._video.can_leave_out else None
        converter = VideoReformatter()
        for seconds, frame in islice(self.pictures(), None, None, step):
            if ticks.takes(seconds):
                yield seconds, to_picture(frame, wanted, converter)

    def pictures(self) -> Iterator[tuple[float, VideoFrame]]:
        """(seconds from the beginning, frame) for every frame that decodes, in the order of display.

        Raises `MediaUnusable`: `too_long`, `too_large_picture` when the pictures turn out so, `unreadable`,
        `truncated_beyond_use` or `no_picture` if there was none at all; and whatever the stream raises.
        """
        packets = 0
        for packet in self._packets():
            packets += 1
            for frame in self._decode(packet):
                if (seconds := self._account(frame)) is not None:
                    yield seconds, frame
        self._video.source.raise_failure()
        self.end = max(self.end, self._spared_end)
        if self.frames == 0:
            if packets <= 1 and not self.truncated:
                raise MediaUnusable("no_picture", "The video track holds no pictures.")
            raise self._video.unusable()

    def _packets(self) -> Iterator[Packet[VideoStream] | None]:
        """The picture's packets, then None; unreadable stretches are stepped over."""
        failures = 0
        while failures < _MAX_FAILURES_IN_A_ROW:
            try:
                for packet in self._video.container.demux(self._video.stream):
                    failures = 0
                    if packet.size:
                        yield packet
                break
            except FFmpegError:
                self._video.source.raise_failure()
                self.damaged = True
                failures += 1
        yield None

    def _decode(self, packet: Packet[VideoStream] | None) -> list[VideoFrame]:
        """The frames that are finished with this packet; None asks for the rest."""
        try:
            self.damaged = self.damaged or (packet is not None and packet.is_corrupt)
            self._video.leave_out_unreferenced(packet is not None and self._is_spare(packet))
            return self._video.stream.decode(packet)
        except FFmpegError:
            self._video.source.raise_failure()
            self.damaged = True
            return []

    def _is_spare(self, packet: Packet[VideoStream]) -> bool:
        """Whether nobody will look at the packet's picture; its time counts all the same.

        In a damaged video nothing is spare: another picture may have to stand in for one that is missing.
        """
        if self._ticks is None or self.damaged or self._origin is None or packet.pts is None or packet.is_discard:
            return False
        seconds = max(packet.pts * self._unit - self._origin, 0.0)
        if not self._ticks.spares(seconds):
            return False
        check_duration(seconds)
        self._spared_end = max(self._spared_end, self._end_of(packet, seconds))
        return True

    def _account(self, frame: VideoFrame) -> float | None:
        """Checks a frame and gives its time, or None for one that must not be used."""
        check_picture(frame.width, frame.height)
        if frame.is_corrupt:
            self.damaged = True
            return None
        stamp = frame.pts * self._unit if frame.pts is not None else None
        if self._origin is None:
            self._origin = stamp or 0.0
        seconds = self.end if stamp is None else max(stamp - self._origin, 0.0)
        check_duration(seconds)
        self.frames += 1
        self.end = max(self.end, self._end_of(frame, seconds))
        return seconds

    def _end_of(self, shown: VideoFrame | Packet[VideoStream], seconds: float) -> float:
        """MP4 counts durations in the order of decoding, so around a gap a frame may seem to outlast the video."""
        end = seconds + ((shown.duration or 0) * self._unit or self._frame_seconds)
        return min(end, self._declared) if seconds < self._declared else end


def to_gray(frame: VideoFrame, side: int, converter: VideoReformatter) -> Gray:
    """`frame` as a gray square, as `to_picture`."""
    return to_picture(frame, PictureFormat(side, side, channels=1, hz=0), converter)


def even_rate(frame_rate: float, most_hz: float) -> float:
    """The highest rate that takes every n-th frame and doesn't exceed `most_hz`; that itself for an unknown rate."""
    # A little over is accepted: some cameras' 20 frames a second are 20.02.
    return frame_rate / max(1, math.ceil(frame_rate / most_hz - 0.02)) if frame_rate > 0 else most_hz


def to_picture(frame: VideoFrame, wanted: PictureFormat, converter: VideoReformatter) -> Picture:
    """`frame` in the wanted size and channels, averaged over areas and turned as displayed.

    `converter` is worth keeping.
    """
    quarter_turns = round(frame.rotation / 90) % 4
    lying = quarter_turns % 2 == 1
    width, height = (wanted.height, wanted.width) if lying else (wanted.width, wanted.height)
    small = converter.reformat(frame, width, height, _PIXELS[wanted.channels], interpolation=Interpolation.AREA)
    picture = cast("Picture", cast("Any", small).to_ndarray())
    return np.ascontiguousarray(np.rot90(picture, quarter_turns)) if quarter_turns else picture
