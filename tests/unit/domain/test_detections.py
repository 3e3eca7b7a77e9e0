"""Windows become segments, risk and a summary: the numbers of SPEC §3."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.context import Context
from shared.domain.detections import (
    Segment,
    analysis_data,
    attention,
    confidence,
    find_segments,
    overall_risk,
    peak_probability,
    summary,
    threshold,
)
from shared.ports import ScoredWindow


def windows(*triples: tuple[float, float, float]) -> list[ScoredWindow]:
    return [ScoredWindow(*triple) for triple in triples]


def test_a_window_counts_from_one_minus_the_sensitivity() -> None:
    scored = windows((0, 2, 0.3), (10, 12, 0.29))
    assert find_segments(scored, "violence", 0.7) == (Segment(0, 2, 0.3, "violence"),)


@pytest.mark.parametrize("sensitivity", [-0.01, 1.01, math.nan, math.inf])
def test_a_sensitivity_outside_zero_to_one_is_refused(sensitivity: float) -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        threshold(sensitivity)


def test_segments_merge_across_a_gap_of_one_second_and_no_more() -> None:
    merged = find_segments(windows((0, 2, 0.6), (3, 5, 0.9), (6.01, 8, 0.7)), "violence")
    assert merged == (Segment(0, 5, 0.9, "violence"), Segment(6.01, 8, 0.7, "violence"))


def test_segments_shorter_than_half_a_second_are_dropped() -> None:
    found = find_segments(windows((0, 0.49, 0.9), (5, 5.5, 0.9)), "violence")
    assert found == (Segment(5, 5.5, 0.9, "violence"),)


def test_overlapping_windows_out_of_order_make_one_segment() -> None:
    found = find_segments(windows((1, 3, 0.6), (0, 2, 0.8), (0.5, 2.5, 0.5)), "violence")
    assert found == (Segment(0, 3, 0.8, "violence"),)


@pytest.mark.parametrize(
    ("value", "risk"), [(0.81, "high"), (0.8, "medium"), (0.66, "medium"), (0.65, "low"), (0.0, "low")]
)
def test_risk_has_two_limits(value: float, risk: str) -> None:
    assert overall_risk(value) == risk


@pytest.mark.parametrize(
    ("risk", "threat", "expected"),
    [
        ("low", None, "low"),
        ("low", 0, "low"),
        ("low", 1, "medium"),
        ("low", 2, "high"),
        ("medium", 0, "medium"),
        ("medium", 2, "high"),
        ("high", 0, "high"),
        ("high", None, "high"),
    ],
)
def test_a_threat_level_raises_attention_and_never_lowers_it(risk: str, threat: int | None, expected: str) -> None:
    assert attention(risk, threat) == expected


def test_a_context_adds_its_words_to_analysis_data_and_changes_no_number() -> None:
    segments = (Segment(0, 2, 0.9, "violence"),)
    context = Context(("knife",), ("calm",), ("kitchen",), "A person cuts bread. Nothing happens.", 0)
    alone, described = analysis_data(segments, 4.0), analysis_data(segments, 4.0, context=context)
    assert described["summary"] == f"{alone['summary']} A person cuts bread. Nothing happens."
    assert (described["objects"], described["emotions"], described["scenes"]) == (["knife"], ["calm"], ["kitchen"])
    same = ("violenceDetections", "totalDuration", "overallRisk", "confidence")
    assert [described[name] for name in same] == [alone[name] for name in same]  # type: ignore[literal-required]


def test_the_summary_is_the_sources() -> None:
    two = (Segment(0, 2, 0.9, "violence"), Segment(5, 7, 0.6, "violence"))
    assert summary(two) == "Detected 2 segments: violence(2). Overall risk high. Continue monitoring for escalation."
    assert summary(()) == "No violence detected. Overall risk low."
    assert summary(two[1:]).startswith("Detected 1 segment: violence(1). Overall risk low.")


def test_a_truncated_file_says_so() -> None:
    assert summary((), truncated=True).endswith("analysed as far as it goes.")


def test_analysis_data_has_the_sources_fields() -> None:
    data = analysis_data((Segment(10.5, 12.3, 0.85, "violence"),), 60.0)
    assert data == {
        "summary": "Detected 1 segment: violence(1). Overall risk high. Continue monitoring for escalation.",
        "violenceDetections": [
            {
                "startTime": 10.5,
                "endTime": 12.3,
                "confidence": 0.85,
                "type": "violence",
                "description": "Detected violence with 0.85 confidence",
            }
        ],
        "totalDuration": 60.0,
        "overallRisk": "high",
        "confidence": 0.85,
        "objects": [],
        "emotions": [],
        "scenes": [],
    }


SCORED = st.lists(
    st.builds(
        lambda start, length, probability: ScoredWindow(start, start + length, probability),
        st.floats(0, 100),
        st.floats(0.01, 5),
        st.floats(0, 1),
    ),
    max_size=30,
)


@given(SCORED, st.floats(0, 1))
def test_segments_are_apart_long_enough_and_above_the_threshold(scored: list[ScoredWindow], sensitivity: float) -> None:
    found = find_segments(scored, "violence", sensitivity)
    for segment in found:
        assert segment.end - segment.start >= 0.5 - 1e-6
        assert segment.confidence >= threshold(sensitivity)
    for before, after in pairwise(found):
        assert after.start - before.end > 1.0
    assert confidence(found) <= peak_probability(scored)


@given(SCORED, st.floats(0, 1), st.floats(0, 1))
def test_more_sensitivity_never_finds_less(scored: list[ScoredWindow], one: float, other: float) -> None:
    low, high = sorted((one, other))
    seconds = [sum(s.end - s.start for s in find_segments(scored, "violence", value)) for value in (low, high)]
    assert seconds[1] >= seconds[0] - 1e-6
