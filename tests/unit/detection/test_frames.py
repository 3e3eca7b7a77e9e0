"""Single pictures out of a video: the right moment, upright, no larger than needed, and what can't be had left out."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from shared.detection.frames import LONGEST_SIDE, VideoFrames
from shared.errors import MediaUnusable
from shared.ports import Frame
from tests.unit.detection.videos import Picture, encode, snow, sound_only, turned

SECONDS = 40
GROUP = {"g": "50", "bf": "2"}
"""A keyframe every two seconds, so that seeking has somewhere to go."""


def clock(number: int, width: int, height: int) -> Picture:
    """Every second has a gray of its own."""
    return np.full((height, width, 3), 20 + 5 * (number // 25), np.uint8)


def sampled(data: bytes, *seconds: float) -> list[Frame]:
    return VideoFrames().sample(io.BytesIO(data), seconds)


def picture(frame: Frame) -> Image.Image:
    shown = Image.open(io.BytesIO(frame.jpeg))
    assert (shown.format, shown.size) == ("JPEG", (frame.width, frame.height))
    return shown


def second_shown(frame: Frame) -> int:
    gray = picture(frame).convert("L").getpixel((frame.width // 2, frame.height // 2))
    assert isinstance(gray, int)
    return round((gray - 20) / 5)


@pytest.mark.parametrize(("container", "codec"), [("mp4", "libx264"), ("matroska", "libx264"), ("avi", "mpeg4")])
def test_each_frame_is_of_its_moment(container: str, codec: str) -> None:
    data = encode(container=container, codec=codec, seconds=SECONDS, size=(64, 36), paint=clock, options=GROUP)
    frames = sampled(data, 0.5, 3.5, 20.5, 21.5, 39.9)
    assert [second_shown(frame) for frame in frames] == [0, 3, 20, 21, 39]
    assert [frame.seconds for frame in frames] == pytest.approx([0.5, 3.5, 20.5, 21.5, 39.9], abs=0.1)


@pytest.mark.parametrize(
    ("size", "shown"), [((2560, 1440), (1280, 720)), ((720, 2560), (360, 1280)), ((160, 90), (160, 90))]
)
def test_a_large_picture_is_made_smaller_and_none_larger(size: tuple[int, int], shown: tuple[int, int]) -> None:
    (frame,) = sampled(encode(seconds=0.2, size=size), 0.1)
    assert (frame.width, frame.height) == shown
    assert max(shown) <= LONGEST_SIDE
    picture(frame)


def test_a_video_that_is_to_be_turned_comes_upright() -> None:
    (frame,) = sampled(turned(encode(seconds=1, size=(160, 120))), 0.5)
    assert (frame.width, frame.height) == (120, 160)


def test_two_moments_of_one_picture_give_it_once() -> None:
    slow = encode(times_ms=[0, 1000, 2000], size=(64, 36))
    assert [frame.seconds for frame in sampled(slow, 0.2, 0.4, 0.9, 1.7)] == [1.0, 2.0]


def test_what_is_missing_is_left_out() -> None:
    recording = [n * 40 for n in range(50)] + [20_000 + n * 40 for n in range(50)]
    frames = sampled(encode(times_ms=recording, size=(64, 36), paint=clock), 1.0, 10.0, 20.5, 300.0)
    assert [second_shown(frame) for frame in frames] == [1, 2]


def test_a_cut_file_gives_what_it_has() -> None:
    data = encode(container="matroska", seconds=SECONDS, size=(64, 36), paint=clock, options=GROUP)
    frames = sampled(data[: len(data) // 2], 5.5, 39.0)
    assert [second_shown(frame) for frame in frames] == [5]


def test_a_video_of_which_no_picture_can_be_had_is_unusable() -> None:
    with pytest.raises(MediaUnusable):
        sampled(encode(seconds=1), 300.0)


@pytest.mark.parametrize("data", [b"", b"no video", sound_only()], ids=["empty", "text", "sound"])
def test_what_is_no_video_is_unusable(data: bytes) -> None:
    with pytest.raises(MediaUnusable):
        sampled(data, 0.5)


class Failing(io.BytesIO):
    """A bucket that goes away when the middle of the file is asked for."""

    def read(self, size: int | None = -1) -> bytes:
        if self.tell() > len(self.getvalue()) // 2:
            raise ConnectionError("the bucket is away")
        return super().read(size)


def test_what_the_stream_raises_comes_through() -> None:
    data = encode(seconds=2, paint=snow, movflags="+faststart")
    with pytest.raises(ConnectionError):
        VideoFrames().sample(Failing(data), [1.9])
