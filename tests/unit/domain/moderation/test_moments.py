"""Where scenes begin, told from two small gray pictures a second, and which moments of a video are looked at."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from shared.domain.detections import Segment
from shared.domain.moderation.moments import MOST_FRAMES, frame_moments, scene_starts, without_picture
from shared.domain.timeline import HZ
from shared.ports import FINGERPRINT_SIDE

CELLS = FINGERPRINT_SIDE**2
Slots = NDArray[np.float64]


def scene(seed: int, seconds: float) -> Slots:
    """Somebody goes through a picture of its own for each seed."""
    rng = np.random.default_rng(seed)
    count = round(2 * seconds)
    slots = np.tile(rng.uniform(0, 255, CELLS), (count, 1))
    for number in range(count):
        slots[number, (number * 3) % 200 : (number * 3) % 200 + 20] = 255
    return slots + rng.normal(0, 2, slots.shape)


def fingerprint(*parts: Slots) -> bytes:
    return np.clip(np.vstack(parts), 0, 255).astype(np.uint8).tobytes()


def blurred(slots: Slots) -> Slots:
    """As if every cut lay in the middle of a half second."""
    return (slots[:-1] + slots[1:]) / 2


def faded(one: Slots, other: Slots, seconds: float) -> list[Slots]:
    """One becomes the other within so many seconds."""
    steps = np.linspace(0, 1, round(2 * seconds) + 2)[1:-1, None]
    return [one, one[-1] * (1 - steps) + other[0] * steps, other]


def test_each_cut_begins_a_scene() -> None:
    video = fingerprint(scene(1, 4), scene(2, 3), scene(3, 1.5), scene(4, 6))
    assert scene_starts(video) == (0.0, 4.0, 7.0, 8.5)


def test_a_cut_within_half_a_second_is_found_within_half_a_second() -> None:
    starts = scene_starts(fingerprint(blurred(np.vstack([scene(1, 4), scene(2, 3), scene(3, 6)]))))
    assert starts == pytest.approx((0, 4, 7), abs=0.5)


def test_a_cut_every_second_is_counted() -> None:
    assert len(scene_starts(fingerprint(*(scene(seed, 1) for seed in range(50))))) == pytest.approx(50, abs=2)


@pytest.mark.parametrize(
    "steady",
    [
        scene(1, 30),
        np.full((60, CELLS), 90.0),
        np.random.default_rng(5).uniform(0, 255, (60, CELLS)),
        np.vstack([np.full((1, CELLS), shade) for shade in [40.0, 200.0] * 30]),
        np.linspace(0, 255, 120)[:, None] * np.ones(CELLS),
        np.array([np.roll(scene(2, 0.5)[0], 5 * number) for number in range(60)]),
    ],
    ids=["static camera", "nothing moves", "noise", "flicker", "dawn", "pan"],
)
def test_what_only_moves_is_one_scene(steady: Slots) -> None:
    assert scene_starts(fingerprint(steady)) == (0.0,)


def test_a_flash_is_no_cut() -> None:
    slots = scene(1, 20)
    slots[[9, 22, 38]] = 255
    assert len(scene_starts(fingerprint(slots))) == 1


@pytest.mark.parametrize("seconds", [0.5, 1.0, 3.0])
def test_a_fade_is_at_most_one_cut(seconds: float) -> None:
    assert len(scene_starts(fingerprint(*faded(scene(1, 8), scene(2, 8), seconds)))) <= 2


def test_a_cut_among_shaking_pictures_stands_out() -> None:
    rng = np.random.default_rng(3)
    shaking = [scene(seed, 8) + rng.normal(0, 12, (16, CELLS)) for seed in (1, 2)]
    assert scene_starts(fingerprint(*shaking)) == (0.0, 8.0)


@pytest.mark.parametrize("short", [b"", b"x", bytes(CELLS), bytes(3 * CELLS), bytes(3 * CELLS) + b"rest"])
def test_a_short_or_broken_fingerprint_is_one_scene(short: bytes) -> None:
    assert scene_starts(short) == (0.0,)


@given(st.binary(max_size=20 * CELLS))
def test_scenes_begin_in_order_and_last_a_second(video: bytes) -> None:
    starts = scene_starts(video)
    assert starts[0] == 0
    assert all(following - earlier >= 1 for earlier, following in pairwise(starts))


def segment(start: float, end: float, confidence: float) -> Segment:
    return Segment(start, end, confidence, "violence")


def test_a_video_of_one_scene_is_looked_at_evenly() -> None:
    assert frame_moments(100, (), (), 10) == tuple(range(5, 100, 10))
    assert frame_moments(100, (), (), 10, scenes=(0.0,)) == tuple(range(5, 100, 10))


def test_the_peaks_of_the_detector_come_first_then_the_longest_scenes() -> None:
    probabilities = [0.1] * 200
    probabilities[41] = 0.95
    found = frame_moments(
        100, probabilities, [segment(20, 22, 0.95), segment(60, 61, 0.8)], 4, scenes=(0, 10, 30, 55, 90)
    )
    # The peak at 20.75 stands for 10-30, the one at 60.5 for 55-90; of the other scenes 30-55 is the longest, and the
    # two that are left (10 seconds each) follow in order.
    assert found == (5.0, 20.75, 42.5, 60.25)


def test_short_scenes_are_seen_before_anything_is_seen_twice() -> None:
    scenes = (0.0, 90.0, 92.0, 94.0, 96.0)
    found = frame_moments(100, (), (), 5, scenes=scenes)
    ends = [*scenes[1:], 100.0]
    assert all(any(start <= moment < end for moment in found) for start, end in zip(scenes, ends, strict=True))


durations = st.floats(0.04, 10_800, allow_nan=False)


@given(
    durations,
    st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), max_size=40),
    st.lists(st.floats(0, 20_000), max_size=80),
    st.integers(1, MOST_FRAMES),
)
def test_moments_lie_in_the_video_apart_and_in_order(
    duration: float, spans: Sequence[tuple[float, float]], starts: Sequence[float], count: int
) -> None:
    segments = [segment(min(span) * duration, max(span) * duration, 0.9) for span in spans]
    found = frame_moments(duration, [0.5] * math.ceil(duration * HZ), segments, count, sorted({0.0, *starts}))
    assert 1 <= len(found) <= count
    assert all(0 <= moment < duration for moment in found)
    assert all(following - earlier >= 1 / HZ for earlier, following in pairwise(found))


@pytest.mark.parametrize(
    ("shown", "missing"),
    [((1.0, 5.0, 9.0), 0), ((0.2, 6.4, 8.0), 0), ((1.0,), 2), ((1.0, 5.0, None), 1), ((), 3)],
)
def test_moments_without_a_picture_near_them(shown: tuple[float | None, ...], missing: int) -> None:
    assert without_picture((1.0, 5.0, 9.0), shown) == missing
