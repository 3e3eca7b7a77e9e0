"""One JPEG with a picture of each wanted moment of a video, for people who would rather look.

Holds one decoded picture at a time besides the page. It must not judge what the pictures show, nor choose the moments.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import BinaryIO

from PIL import Image, ImageDraw, ImageFont

from shared.detection.video import open_video
from shared.detection.walk import Walk
from shared.ports import Moment

TILE_WIDTH = 320
TILE_HEIGHT = 180
COLUMNS = 4
CAPTION_HEIGHT = 24
MARGIN = 8

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
            walk = Walk(video)
            for number, moment in enumerate(moments):
                row, column = divmod(number, columns)
                corner = (
                    MARGIN + column * (TILE_WIDTH + MARGIN),
                    MARGIN + row * (TILE_HEIGHT + CAPTION_HEIGHT + MARGIN),
                )
                self._draw_tile(page, corner, _tile(walk, moment.seconds), moment)
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


def _tile(walk: Walk, seconds: float) -> Image.Image | None:
    shown = walk.shown_at(seconds, (TILE_WIDTH, TILE_HEIGHT))
    return None if shown is None else Image.fromarray(shown.picture)
