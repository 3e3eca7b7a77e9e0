"""One JPEG with a picture of each wanted moment of a video, for people who would rather look.

Goes from keyframe to keyframe instead of through the whole video, and holds one decoded picture at a time besides the
page. It must not judge what the pictures show, nor choose the moments.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from typing import BinaryIO

import numpy as np
from av.error import FFmpegError
from av.video.frame import VideoFrame
from av.video.reformatter import Interpolation
from PIL import Image, ImageDraw, ImageFont

from shared.detection.decode import Decoding
from shared.detection.video import Video, open_video
from shared.errors import MediaUnusable
from shared.ports import Moment

TILE_WIDTH = 320
TILE_HEIGHT = 180
COLUMNS = 4
CAPTION_HEIGHT = 24
MARGIN = 8

# Keyframes are seldom further apart than this: what is nearer is read on to instead of sought.
_GROUP_SECONDS = 12.0
# A picture this far from the wanted moment (half a window and a pause in the recording) shows something else.
_NEAR_SECONDS = 1.5
# For all tiles together: a file whose only keyframe is its first would else be decoded once a tile.
_MAX_FRAMES = 24 * 300
_UNSHOWABLE = "This moment can't be shown"
_QUALITY = 80
_PAPER, _INK, _EMPTY = (24, 24, 24), (235, 235, 235), (56, 56, 56)


class TileSheets:
    """Implements `shared.ports.ContactSheets`. Holds nothing but a font, so one may serve all threads."""

    def __init__(self) -> None:
        self._font = ImageFont.load_default(size=14)

    def draw(self, stream: BinaryIO, moments: Sequence[Moment]) -> bytes:
        """See `ContactSheets.draw`. Tiles fit 320 x 180 pixels, their pictures keep their shape and are never enlarged.

        Raises `MediaUnusable` as `open_video` does, and what the stream raises.
        """
        columns = min(COLUMNS, len(moments))
        rows = -(-len(moments) // columns)
        size = (columns * (TILE_WIDTH + MARGIN) + MARGIN, rows * (TILE_HEIGHT + CAPTION_HEIGHT + MARGIN) + MARGIN)
        page = Image.new("RGB", size, _PAPER)
        with open_video(stream) as video:
            walk = _Walk(video)
            for number, moment in enumerate(moments):
                row, column = divmod(number, columns)
                corner = (
                    MARGIN + column * (TILE_WIDTH + MARGIN),
                    MARGIN + row * (TILE_HEIGHT + CAPTION_HEIGHT + MARGIN),
                )
                self._draw_tile(page, corner, walk.tile_at(moment.seconds), moment)
        target = io.BytesIO()
        page.save(target, "JPEG", quality=_QUALITY)
        return target.getvalue()

    def _draw_tile(self, page: Image.Image, corner: tuple[int, int], tile: Image.Image | None, moment: Moment) -> None:
        left, top = corner
        pen = ImageDraw.Draw(page)
        if tile is None:
            pen.rectangle((left, top, left + TILE_WIDTH - 1, top + TILE_HEIGHT - 1), fill=_EMPTY)
            middle = (left + TILE_WIDTH // 2, top + TILE_HEIGHT // 2)
            pen.text(middle, _UNSHOWABLE, _INK, self._font, anchor="mm")
        else:
            page.paste(tile, (left + (TILE_WIDTH - tile.width) // 2, top + (TILE_HEIGHT - tile.height) // 2))
        caption = (left + TILE_WIDTH // 2, top + TILE_HEIGHT + CAPTION_HEIGHT // 2)
        pen.text(caption, f"{clock_time(moment.seconds)}   {moment.label}", _INK, self._font, anchor="mm")


def clock_time(seconds: float) -> str:
    """`m:ss.s`, such as `1:02.5`; minutes go on beyond 59."""
    tenths = round(seconds * 10)
    return f"{tenths // 600}:{tenths % 600 // 10:02d}.{tenths % 10}"


class _Walk:
    """Goes through a video to moments that follow each other in time."""

    def __init__(self, video: Video) -> None:
        self._video = video
        self._unit = float(video.stream.time_base or 0)
        self._frames: Iterator[tuple[float, VideoFrame]] = Decoding(video).pictures()
        self._held: tuple[float, VideoFrame] | None = None
        self._budget = _MAX_FRAMES

    def tile_at(self, target: float) -> Image.Image | None:
        """The picture at `target` seconds, made small; None if that stretch is missing or damaged."""
        try:
            found = self._picture_at(target)
        except (FFmpegError, MediaUnusable):
            self._video.source.raise_failure()
            self._held = None
            return None
        if found is None or abs(found[0] - target) > _NEAR_SECONDS:
            return None
        return _small(found[1], _pixel_shape(self._video))

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


def _small(frame: VideoFrame, pixel_shape: float) -> Image.Image:
    """The frame, turned as displayed, inside a tile."""
    turns = round(frame.rotation / 90) % 4
    width, height = frame.width * pixel_shape, float(frame.height)
    box = (TILE_HEIGHT, TILE_WIDTH) if turns % 2 else (TILE_WIDTH, TILE_HEIGHT)
    scale = min(box[0] / width, box[1] / height, 1.0)
    size = (max(round(width * scale), 1), max(round(height * scale), 1))
    small = frame.reformat(*size, format="rgb24", interpolation=Interpolation.AREA).to_ndarray()
    return Image.fromarray(np.ascontiguousarray(np.rot90(small, turns)))
