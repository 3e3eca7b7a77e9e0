"""The fingerprint over time: what another encoding leaves as it was, and what it does not."""

from __future__ import annotations

import io
from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import pytest

from shared.detection.detector import WindowDetector
from shared.detection.fingerprint import Fingerprinting
from shared.detection.scoring import Picture, PictureFormat
from shared.domain.likeness import Verdict, judge
from shared.ports import FINGERPRINT_SIDE, ScoredWindow
from tests.unit.detection.videos import Paint, encode
from tests.unit.detection.videos import Picture as Painted

FORMAT = PictureFormat(64, 64, channels=1, hz=20, even=True)
SLOT = FINGERPRINT_SIDE**2


class Looking:
    """A model that only looks."""

    version, class_name = "looking-1", "violence"

    def __init__(self, pictures: PictureFormat = FORMAT) -> None:
        self.pictures = pictures

    def start(self) -> Looking:
        return self

    def push(self, seconds: float, picture: Picture) -> Iterator[ScoredWindow]:
        yield from ()

    def finish(self, end_seconds: float) -> Iterator[ScoredWindow]:
        yield from ()


def moves(data: bytes, pictures: PictureFormat = FORMAT) -> bytes:
    return WindowDetector(Looking(pictures)).detect(io.BytesIO(data)).fingerprint


def passing(row: int, fps: int = 25) -> Paint:
    """Somebody crosses the same still yard, in a row of it, at the same speed whatever the frame rate."""

    def paint(number: int, width: int, height: int) -> Painted:
        picture = np.zeros((height, width, 3), np.uint8)
        picture[...] = np.linspace(60, 160, width, dtype=np.uint8)[None, :, None]
        x, y, side = int(number / fps * width / 5), row * height // 8, height // 8
        picture[y : y + side, x : x + side] = 240
        return picture

    return paint


ORIGINAL = moves(encode(paint=passing(3), seconds=4))


@pytest.mark.parametrize(
    "copy",
    [
        encode(paint=passing(3), seconds=4, options={"crf": "38"}),
        encode(paint=passing(3), seconds=4, size=(320, 240), container="matroska"),
        encode(paint=passing(3), seconds=4, codec="mpeg4", container="avi"),
        encode(paint=passing(3, fps=15), seconds=4, fps=15),
        encode(paint=passing(3, fps=30), seconds=4, fps=30),
    ],
    ids=["crf", "size", "codec", "15 fps", "30 fps"],
)
def test_a_copy_is_the_same(copy: bytes) -> None:
    assert judge(ORIGINAL, moves(copy)) is Verdict.SAME


def test_somebody_elsewhere_in_the_same_yard_is_not() -> None:
    assert judge(ORIGINAL, moves(encode(paint=passing(4), seconds=4))) is Verdict.LOOKS_DIFFERENT


def test_a_still_yard_cannot_be_told_from_itself() -> None:
    still = moves(encode(paint=lambda _, width, height: passing(3)(0, width, height), seconds=4))
    assert judge(still, still) is Verdict.TOO_STILL


@pytest.mark.parametrize(("seconds", "slots"), [(4.0, 8), (4.2, 8), (4.44, 9), (0.2, 0)])
def test_there_are_two_slots_a_second_and_the_last_only_if_it_is_whole(seconds: float, slots: int) -> None:
    assert len(moves(encode(seconds=seconds))) == slots * SLOT


def test_colours_count_as_their_mean_and_any_size_will_do() -> None:
    data = encode(paint=passing(3), seconds=4)
    gray = PictureFormat(50, 9, channels=1, hz=20)
    colour = PictureFormat(50, 9, channels=3, hz=20)
    difference = np.frombuffer(moves(data, gray), np.uint8).astype(int) - np.frombuffer(moves(data, colour), np.uint8)
    assert np.abs(difference).max() <= 3


def test_a_gap_looks_as_what_came_before_it() -> None:
    fingerprinting = Fingerprinting(PictureFormat(16, 16, channels=1, hz=20))
    for seconds, level in ((0.0, 10), (0.2, 20), (2.0, 90), (2.4, 92)):
        fingerprinting.push(seconds, np.full((16, 16), level, np.uint8))
    found = np.frombuffer(fingerprinting.finish(2.5), np.uint8).reshape(-1, SLOT)
    assert found[:, 0].tolist() == [15, 15, 15, 15, 91]
    assert all((slot == slot[0]).all() for slot in found)
    assert all((one <= other).all() for one, other in pairwise(found))
