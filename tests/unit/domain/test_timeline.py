"""Windows become a curve at 2 Hz, with gaps where nothing was seen, and the moments worth a look."""

from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.detections import Segment, find_segments, peak_probability
from shared.domain.timeline import HZ, MAX_MOMENTS, STILLS, probabilities_over_time, spread_moments, strongest_moments
from shared.ports import Moment, ScoredWindow


def windows(*triples: tuple[float, float, float]) -> list[ScoredWindow]:
    return [ScoredWindow(*triple) for triple in triples]


def sliding(*probabilities: float, length: float = 2.0, hop: float = 0.5) -> list[ScoredWindow]:
    return [ScoredWindow(n * hop, n * hop + length, p) for n, p in enumerate(probabilities)]


def test_an_entry_takes_the_window_whose_centre_is_nearest_and_of_two_the_higher() -> None:
    # Centres at 1.0, 1.5 and 2.0; the entries' middles at 0.25, 0.75, 1.25, 1.75, 2.25, 2.75.
    assert probabilities_over_time(sliding(0.1, 0.9, 0.3), 3.0) == (0.1, 0.1, 0.9, 0.9, 0.3, 0.3)


def test_windows_of_another_length_mean_the_same() -> None:
    assert probabilities_over_time(windows((0, 1, 0.2), (1, 2, 0.7)), 2.0) == (0.2, 0.2, 0.7, 0.7)
    assert probabilities_over_time(windows((0, 10, 0.4)), 10.0) == (0.4,) * 20


def test_a_gap_is_none_and_not_zero() -> None:
    assert probabilities_over_time(windows((0, 1, 0.2), (2, 3, 0.0)), 3.0) == (0.2, 0.2, None, None, 0.0, 0.0)


def test_a_window_that_does_not_cover_the_middle_does_not_speak_for_the_entry() -> None:
    assert probabilities_over_time(windows((0, 0.25, 0.9), (0.3, 0.5, 0.8)), 0.5) == (None,)


def test_the_last_entry_goes_up_to_the_end_of_the_video() -> None:
    assert probabilities_over_time(windows((0, 2.1, 0.6)), 2.1) == (0.6,) * 5
    assert probabilities_over_time([], 2.0) == (None,) * 4
    assert probabilities_over_time(windows((0, 2, 0.6)), 0.0) == ()
    assert len(probabilities_over_time([], 0.1 + 0.2 + 0.7)) == 2


WINDOWS = st.lists(
    st.builds(
        lambda start, length, p: ScoredWindow(start, start + length, p),
        st.floats(0, 20),
        st.floats(0.1, 5),
        st.floats(0, 1),
    ),
    max_size=20,
)


@given(WINDOWS, st.floats(0, 25))
def test_each_entry_is_the_probability_of_a_nearest_window_over_its_middle(
    scored: list[ScoredWindow], duration: float
) -> None:
    curve = probabilities_over_time(scored, duration)
    assert len(curve) in {math.ceil(duration * HZ), math.ceil(duration * HZ - 1e-6)}
    for number, value in enumerate(curve):
        middle = (number / HZ + min((number + 1) / HZ, duration)) / 2
        covering = [window for window in scored if window.start <= middle < window.end]
        if value is None:
            assert not covering
            continue
        nearest = min(_distance(window, middle) for window in covering)
        assert value in {w.probability for w in covering if _distance(w, middle) <= nearest + 1e-5}


@given(WINDOWS, st.randoms(use_true_random=False))
def test_the_order_of_the_windows_says_nothing(scored: list[ScoredWindow], random: object) -> None:
    shuffled = list(scored)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert probabilities_over_time(shuffled, 25.0) == probabilities_over_time(scored, 25.0)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=60))
def test_the_bundled_windows_leave_no_gap_and_hide_no_peak(probabilities: list[float]) -> None:
    scored = sliding(*probabilities)
    curve = probabilities_over_time(scored, scored[-1].end)
    assert None not in curve
    assert max(value for value in curve if value is not None) == peak_probability(scored)


def _distance(window: ScoredWindow, middle: float) -> float:
    return abs((window.start + window.end) / 2 - middle)


def test_the_moment_of_a_segment_is_the_middle_of_its_strongest_window() -> None:
    scored = windows((0, 2, 0.6), (0.5, 2.5, 0.9), (1, 3, 0.7), (10, 12, 0.8))
    found = find_segments(scored, "violence")
    assert strongest_moments(scored, found) == (Moment(1.5, "0.90"), Moment(11.0, "0.80"))


def test_no_segment_no_moment() -> None:
    assert strongest_moments(windows((0, 2, 0.1)), ()) == ()


@pytest.mark.parametrize("count", [MAX_MOMENTS, MAX_MOMENTS + 6])
def test_of_many_segments_the_strongest_are_shown_in_order_of_time(count: int) -> None:
    scored = windows(*((n * 10.0, n * 10.0 + 2, 0.6 + n / 100) for n in range(count)))
    moments = strongest_moments(scored, find_segments(scored, "violence"))
    assert [moment.seconds for moment in moments] == [n * 10.0 + 1 for n in range(count - MAX_MOMENTS, count)]


@given(WINDOWS, st.floats(0, 1))
def test_there_is_a_moment_inside_each_segment(scored: list[ScoredWindow], sensitivity: float) -> None:
    segments = find_segments(scored, "violence", sensitivity)
    moments = strongest_moments(scored, segments)
    assert len(moments) == len(segments)
    for moment, segment in zip(moments, segments, strict=True):
        assert segment.start <= moment.seconds <= segment.end
        assert moment.label == f"{segment.confidence:.2f}"


def test_without_a_timeline_stills_are_spread_evenly() -> None:
    assert spread_moments(12.0, count=4) == tuple(Moment(seconds, "") for seconds in (1.5, 4.5, 7.5, 10.5))


def test_the_peaks_of_segments_are_among_the_stills() -> None:
    entries = [0.1] * 240
    entries[31] = 0.9
    segment = Segment(14.0, 18.0, 0.9, "violence")
    assert 15.75 in {moment.seconds for moment in spread_moments(120.0, entries, [segment])}
    assert 16.0 in {moment.seconds for moment in spread_moments(120.0, [None] * 240, [segment])}


def test_of_many_segments_the_strongest_get_half_of_the_stills() -> None:
    many = [Segment(n * 10.0, n * 10.0 + 2, 0.5 + n / 100, "violence") for n in range(30)]
    found = {moment.seconds for moment in spread_moments(300.0, (), many)}
    assert {n * 10.0 + 1 for n in range(24, 30)} <= found
    assert len(found) == STILLS


@given(
    st.floats(0.01, 20_000),
    st.lists(st.none() | st.floats(0, 1), max_size=50),
    st.lists(
        st.builds(
            lambda start, length, confidence: Segment(start, start + length, confidence, "violence"),
            st.floats(0, 20_000),
            st.floats(0.5, 50),
            st.floats(0, 1),
        ),
        max_size=20,
    ),
    st.integers(1, 24),
)
def test_stills_are_few_inside_the_video_and_in_order(
    duration: float, entries: list[float | None], segments: list[Segment], count: int
) -> None:
    seconds = [moment.seconds for moment in spread_moments(duration, entries, segments, count)]
    assert 1 <= len(seconds) <= count
    assert all(0 <= each < duration for each in seconds)
    assert all(later - earlier >= 0.5 for earlier, later in itertools.pairwise(seconds))
