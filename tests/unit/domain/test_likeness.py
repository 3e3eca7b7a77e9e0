"""Two fingerprints over time: copies are the same, everything else is not, above all what one camera sees."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from shared.domain.likeness import Verdict, judge, likeness
from shared.ports import FINGERPRINT_SIDE

Levels = NDArray[np.float64]


def corridor(slots: int = 12) -> Levels:
    """The same still corridor for every clip of one camera, (slots, side, side)."""
    walls = np.random.default_rng(1).uniform(60, 180, (FINGERPRINT_SIDE, FINGERPRINT_SIDE))
    return np.repeat(walls[None], slots, axis=0)


def walking(row: int, slots: int = 12) -> Levels:
    """Somebody goes along a row of the corridor."""
    levels = corridor(slots)
    for slot in range(slots):
        levels[slot, row, slot] = 20
    return levels


def printed(levels: Levels) -> bytes:
    return np.clip(np.rint(levels), 0, 255).astype(np.uint8).tobytes()


def noisy(levels: Levels, seed: int = 1) -> Levels:
    return levels + np.random.default_rng(seed).normal(0, 2.5, levels.shape)


def test_a_copy_is_the_same_in_either_order() -> None:
    one, other = printed(walking(5)), printed(noisy(walking(5)))
    assert judge(one, other) is judge(other, one) is Verdict.SAME


def test_so_is_one_whose_brightness_was_taken_for_another_range() -> None:
    limited = walking(5) * 219 / 255 + 16
    assert judge(printed(walking(5)), printed(limited)) is Verdict.SAME
    assert judge(printed(limited), printed(walking(5))) is Verdict.SAME


def test_so_is_one_that_lacks_its_last_half_second() -> None:
    assert judge(printed(walking(5)), printed(walking(5)[:-1])) is Verdict.SAME
    assert judge(printed(walking(5)), printed(walking(5)[:-2])) is Verdict.OTHER_LENGTH


def test_another_scene_of_the_same_camera_is_not() -> None:
    assert judge(printed(walking(5)), printed(walking(6))) is Verdict.LOOKS_DIFFERENT
    assert judge(printed(walking(5)), printed(walking(5)[::-1])) is Verdict.LOOKS_DIFFERENT


def test_an_empty_corridor_is_like_nothing_not_even_like_itself() -> None:
    assert judge(printed(corridor()), printed(noisy(corridor()))) is Verdict.TOO_STILL
    assert judge(printed(corridor()), printed(walking(5))) is Verdict.TOO_STILL


@given(st.integers(0, 11), st.integers(0, 15), st.integers(0, 15))
def test_one_cell_of_half_a_second_is_enough_to_differ(slot: int, row: int, column: int) -> None:
    cut = walking(5)
    cut[slot, row, column] += 40 if cut[slot, row, column] < 128 else -40
    assert judge(printed(walking(5)), printed(cut)) is Verdict.LOOKS_DIFFERENT


def test_small_movements_that_disagree_are_not_the_same() -> None:
    calm, waving = corridor(), corridor()
    calm[::2, :8] += 16
    waving[1::2, :8] += 16
    assert judge(printed(calm), printed(waving)) is Verdict.MOVES_DIFFERENTLY


def test_another_brightness_altogether_is_not_the_same() -> None:
    assert judge(printed(walking(5)), printed(walking(5) + 40)) is Verdict.LOOKS_DIFFERENT


@pytest.mark.parametrize("slots", [0, 1, 2])
def test_a_moment_is_too_short_to_tell(slots: int) -> None:
    assert judge(printed(walking(5)[:slots]), printed(walking(5)[:slots])) is Verdict.TOO_SHORT


@given(st.binary(max_size=2000), st.binary(max_size=2000))
def test_any_bytes_are_judged_the_same_both_ways(one: bytes, other: bytes) -> None:
    assert judge(one, other) is judge(other, one)


def test_the_measures_are_in_gray_levels() -> None:
    brighter = walking(5)
    brighter[3, 0, 0] += 10
    found = likeness(printed(walking(5)), printed(brighter))
    assert 9 <= found.difference <= 11
    assert found.movement >= 40
    assert found.shift < 1
    assert 0.95 < found.agreement < 1


@pytest.mark.parametrize("slot", [0, 511, 512, 513, 1023, 1199])
def test_in_a_long_recording_every_half_second_counts(slot: int) -> None:
    long = np.concatenate([walking(5)] * 100)
    cut = long.copy()
    cut[slot, 14, 14] = 10
    assert judge(printed(long), printed(long)) is Verdict.SAME
    assert judge(printed(long), printed(cut)) is Verdict.LOOKS_DIFFERENT
    assert likeness(printed(long), printed(long)).agreement == pytest.approx(1)


@pytest.mark.parametrize("at", [511, 512, 513])
def test_a_single_movement_is_not_lost_between_stretches(at: int) -> None:
    long = corridor(1200)
    long[at:, 3, 3] += 30
    assert likeness(printed(long), printed(long)).movement == 30
