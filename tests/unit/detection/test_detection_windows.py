"""Where windows lie: every half second, one at the end, and nothing kept that no window needs."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.detection.windows import HOP_SECONDS, WINDOW_SECONDS, Window, Windower

PICTURE = np.zeros((64, 64), np.uint8)


def cut(times: list[float], end: float) -> list[Window[np.ndarray]]:
    windower: Windower[np.ndarray] = Windower()
    windows = [window for seconds in times for window in windower.push(seconds, PICTURE)]
    return windows + list(windower.finish(end))


def steady(end: float, rate: float = 15) -> list[float]:
    return [n / rate for n in range(int(end * rate))]


@pytest.mark.parametrize(
    ("end", "expected"),
    [
        (0.04, [(0, 0.04)]),
        (1.2, [(0, 1.2)]),
        (2.0, [(0, 2)]),
        (2.05, [(0, 2)]),
        (2.3, [(0, 2), (0.3, 2.3)]),
        (2.5, [(0, 2), (0.5, 2.5)]),
        (3.2, [(0, 2), (0.5, 2.5), (1, 3), (1.2, 3.2)]),
    ],
)
def test_windows_start_every_half_second_and_one_ends_with_the_video(
    end: float, expected: list[tuple[float, float]]
) -> None:
    windows = cut(steady(max(end, 0.1)), end)
    assert [(w.start, w.end) for w in windows] == [pytest.approx(pair) for pair in expected]


def test_a_window_holds_the_samples_of_its_time_and_no_others() -> None:
    for window in cut(steady(9.7), 9.7):
        expected = [t for t in steady(9.7) if window.start - 1e-6 <= t < window.end - 1e-6]
        assert list(window.times) == pytest.approx(expected)


def test_windows_in_a_gap_are_left_out() -> None:
    times = [*steady(2), *(60 + t for t in steady(2))]
    windows = cut(times, 62)
    assert [w.start for w in windows] == [0, 0.5, 1, 1.5, 58.5, 59, 59.5, 60]


@given(st.lists(st.floats(0.01, 3), min_size=1, max_size=60))
def test_whatever_the_times_every_sample_is_in_some_window_and_order_holds(steps: list[float]) -> None:
    times = list(np.cumsum(steps) - steps[0])
    windows = cut(times, times[-1] + 0.2)
    assert {t for w in windows for t in w.times} == set(times)
    assert [w.start for w in windows] == sorted(w.start for w in windows)
    assert all(0 < w.end - w.start <= WINDOW_SECONDS + 1e-9 and w.times for w in windows)
    assert all(w.start % HOP_SECONDS == 0 for w in windows[:-1])


def test_what_is_kept_does_not_grow() -> None:
    windower: Windower[np.ndarray] = Windower()
    for seconds in steady(300):
        list(windower.push(seconds, PICTURE))
    assert len(windower._samples) <= 15 * (WINDOW_SECONDS + 2 * HOP_SECONDS)
