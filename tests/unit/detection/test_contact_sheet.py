"""The page of pictures: the right moment in each tile, turned and shaped as displayed, whatever the file."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from shared.detection.contact_sheet import CAPTION_HEIGHT, MARGIN, TILE_HEIGHT, TILE_WIDTH, TileSheets, clock_time
from shared.domain.costs import STILLS_PIXELS
from shared.domain.timeline import STILLS
from shared.errors import MediaUnusable
from shared.ports import Moment
from tests.unit.detection.videos import Picture, encode, snow, turned

SECONDS = 40
GROUP = {"g": "50", "bf": "2"}
"""A keyframe every two seconds, so that seeking has somewhere to go."""


def clock(number: int, width: int, height: int) -> Picture:
    """Every second has a gray of its own."""
    return np.full((height, width, 3), 20 + 5 * (number // 25), np.uint8)


def halves(number: int, width: int, height: int) -> Picture:
    """White above, black below."""
    picture = np.zeros((height, width, 3), np.uint8)
    picture[: height // 2] = 255
    return picture


def drawn(data: bytes, *seconds: float) -> Image.Image:
    moments = [Moment(second, "0.90") for second in seconds]
    page = Image.open(io.BytesIO(TileSheets().draw(io.BytesIO(data), moments)))
    assert page.format == "JPEG"
    return page


def tile(page: Image.Image, number: int) -> Image.Image:
    row, column = divmod(number, 4)
    left = MARGIN + column * (TILE_WIDTH + MARGIN)
    top = MARGIN + row * (TILE_HEIGHT + CAPTION_HEIGHT + MARGIN)
    return page.crop((left, top, left + TILE_WIDTH, top + TILE_HEIGHT))


def second_shown(page: Image.Image, number: int) -> int:
    """Which second the gray in the middle of a tile stands for."""
    gray = tile(page, number).convert("L").getpixel((TILE_WIDTH // 2, TILE_HEIGHT // 2))
    assert isinstance(gray, int)
    return round((gray - 20) / 5)


@pytest.mark.parametrize(("container", "codec"), [("mp4", "libx264"), ("matroska", "libx264"), ("avi", "mpeg4")])
def test_each_tile_shows_its_moment(container: str, codec: str) -> None:
    data = encode(container=container, codec=codec, seconds=SECONDS, size=(64, 36), paint=clock, options=GROUP)
    page = drawn(data, 0.5, 3.5, 20.5, 21.5, 39.9)
    assert page.size == (4 * (TILE_WIDTH + MARGIN) + MARGIN, 2 * (TILE_HEIGHT + CAPTION_HEIGHT + MARGIN) + MARGIN)
    assert [second_shown(page, number) for number in range(5)] == [0, 3, 20, 21, 39]


def test_a_file_with_one_keyframe_only_is_shown_too() -> None:
    data = encode(seconds=SECONDS, size=(64, 36), paint=clock, options={"g": "9999", "sc_threshold": "0"})
    page = drawn(data, 1.5, 30.5, 32.5)
    assert [second_shown(page, number) for number in range(3)] == [1, 30, 32]


def extent(picture: Image.Image) -> tuple[int, int]:
    """Width and height of what is neither paper nor caption: the picture."""
    shown = np.asarray(picture.convert("L")) > 120
    return int(shown.any(axis=0).sum()), int(shown.any(axis=1).sum())


@pytest.mark.parametrize(
    ("size", "shown"),
    [((640, 360), (320, 180)), ((640, 480), (240, 180)), ((360, 640), (102, 180)), ((160, 90), (160, 90))],
)
def test_a_picture_keeps_its_shape_and_is_never_enlarged(size: tuple[int, int], shown: tuple[int, int]) -> None:
    bright = encode(seconds=1, size=size, paint=lambda _, width, height: np.full((height, width, 3), 250, np.uint8))
    assert extent(tile(drawn(bright, 0.5), 0)) == pytest.approx(shown, abs=1)


def test_a_video_that_is_to_be_turned_is_shown_upright() -> None:
    bright = encode(seconds=1, size=(320, 180), paint=lambda _, w, h: np.full((h, w, 3), 250, np.uint8))
    assert extent(tile(drawn(turned(bright), 0.5), 0)) == pytest.approx((101, 180), abs=1)
    upper_half_white = turned(encode(seconds=1, size=(160, 120), paint=halves))
    gray = np.asarray(tile(drawn(upper_half_white, 0.5), 0).convert("L"))
    # Turned clockwise by a quarter: what was above is now on the right.
    middle = gray[TILE_HEIGHT // 2]
    assert middle[TILE_WIDTH // 2 + 30] > 200
    assert middle[TILE_WIDTH // 2 - 30] < 50


def test_pixels_that_are_not_square_are_stretched_as_displayed() -> None:
    wide = encode(
        seconds=1,
        size=(160, 120),
        paint=lambda _, width, height: np.full((height, width, 3), 250, np.uint8),
        options={"aspect": "2"},
    )
    assert extent(tile(drawn(wide, 0.5), 0)) == pytest.approx((320, 120), abs=1)


def test_a_moment_that_cannot_be_shown_says_so_and_spoils_no_other() -> None:
    data = encode(seconds=SECONDS, size=(64, 36), paint=clock, options=GROUP)
    page = drawn(data, 5.5, 300.0, 301.0)
    assert second_shown(page, 0) == 5
    for number in (1, 2):
        assert tile(page, number).getpixel((5, 5)) == pytest.approx((56, 56, 56), abs=3)


def test_a_stretch_that_is_missing_is_not_shown_as_another() -> None:
    recording = [n * 40 for n in range(50)] + [20_000 + n * 40 for n in range(50)]
    page = drawn(encode(times_ms=recording, size=(64, 36), paint=clock), 1.0, 10.0, 20.5)
    assert tile(page, 1).getpixel((5, 5)) == pytest.approx((56, 56, 56), abs=3)
    assert [second_shown(page, number) for number in (0, 2)] == [1, 2]


def test_a_cut_file_is_shown_as_far_as_it_goes() -> None:
    data = encode(container="matroska", seconds=SECONDS, size=(64, 36), paint=clock, options=GROUP)
    page = drawn(data[: len(data) // 2], 5.5, 39.0)
    assert second_shown(page, 0) == 5
    assert tile(page, 1).getpixel((5, 5)) == pytest.approx((56, 56, 56), abs=3)


def test_what_cannot_be_opened_is_refused() -> None:
    with pytest.raises(MediaUnusable):
        drawn(b"no video", 1.0)


class Failing(io.BytesIO):
    """A bucket that goes away when the middle of the file is asked for."""

    def read(self, size: int | None = -1) -> bytes:
        if self.tell() > len(self.getvalue()) // 2:
            raise ConnectionError("the bucket is away")
        return super().read(size)


def test_what_the_stream_raises_comes_through() -> None:
    data = encode(seconds=2, paint=snow, movflags="+faststart")
    with pytest.raises(ConnectionError):
        TileSheets().draw(Failing(data), [Moment(1.9, "")])


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0:00.0"), (9.96, "0:10.0"), (59.94, "0:59.9"), (62.5, "1:02.5"), (3723.4, "62:03.4")]
)
def test_times_are_written_with_tenths(seconds: float, text: str) -> None:
    assert clock_time(seconds) == text


def test_a_sheet_that_stands_for_a_video_has_the_size_its_price_is_estimated_by() -> None:
    data = encode(seconds=2, size=(64, 36), paint=clock)
    assert drawn(data, *(number / 10 for number in range(STILLS))).size == STILLS_PIXELS
