"""How several witnesses are combined."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.fusion import STRONGEST, Fused, Part, fuse
from shared.domain.incidents import Observation, Signal, SignalKind
from tests.fakes import NOON

VIOLENCE, SCREAM, MODERATION = SignalKind.VIOLENCE, SignalKind.SCREAM, SignalKind.MODERATION


def heard(number: int, kind: SignalKind, confidence: float, asset_id: str | None = None) -> Signal:
    observation = Observation(kind, "gate", confidence, "seen", "device-1", asset_id)
    return Signal(number, number, "incident-1", observation, NOON)


def fused(*signals: Signal) -> Fused:
    by_kind = {kind: [one for one in signals if one.observation.kind is kind] for kind in SignalKind}
    return fuse(by_kind, Counter(one.observation.kind for one in signals))


def test_two_kinds_are_surer_than_either() -> None:
    result = fused(heard(1, VIOLENCE, 0.9), heard(2, SCREAM, 0.8))
    assert result.confidence == pytest.approx(0.98)  # 1 - 0.1 * 0.2
    assert result.parts == (
        Part(VIOLENCE, 0.9, 1, "gate", "device-1", None, signals=1),
        Part(SCREAM, 0.8, 2, "gate", "device-1", None, signals=1),
    )


def test_repetitions_of_one_kind_are_one_witness() -> None:
    result = fused(*(heard(number, VIOLENCE, 0.8) for number in range(100)))
    assert result.confidence == 0.8
    assert [(part.signal_id, part.signals) for part in result.parts] == [(0, 100)]


def test_what_two_stages_saw_in_one_upload_counts_once() -> None:
    result = fused(heard(1, VIOLENCE, 0.9, "clip"), heard(2, MODERATION, 0.8, "clip"))
    assert result.confidence == 0.9
    assert [(part.kind, part.counted) for part in result.parts] == [(VIOLENCE, True), (MODERATION, False)]


def test_another_upload_s_weaker_verdict_is_an_independent_witness() -> None:
    clip = (heard(1, VIOLENCE, 0.9, "clip"), heard(2, MODERATION, 0.8, "clip"))
    result = fused(*clip, heard(3, MODERATION, 0.5, "other clip"))
    assert result.confidence == pytest.approx(0.95)
    assert [(part.signal_id, part.counted) for part in result.parts] == [(1, True), (3, True)]


def test_without_signals_there_is_nothing_to_be_sure_of() -> None:
    assert fused() == Fused(0.0, ())


confidences = st.floats(0, 1)


@st.composite
def some_signals(draw: st.DrawFn) -> list[Signal]:
    """Signals of devices and uploads; a stage makes at most one of an upload."""
    told = draw(st.lists(st.tuples(st.sampled_from(list(SignalKind)), confidences), max_size=12))
    found = draw(
        st.dictionaries(st.tuples(st.sampled_from([VIOLENCE, MODERATION]), st.sampled_from("abc")), confidences)
    )
    devices = [heard(number, kind, confidence) for number, (kind, confidence) in enumerate(told)]
    return devices + [
        heard(100 + number, kind, confidence, asset) for number, ((kind, asset), confidence) in enumerate(found.items())
    ]


@given(some_signals())
def test_it_lies_between_its_strongest_part_and_certainty(signals: list[Signal]) -> None:
    result = fused(*signals)
    assert max((one.observation.confidence for one in signals), default=0.0) <= result.confidence <= 1
    assert {part.kind for part in result.parts} == {one.observation.kind for one in signals}


@given(some_signals())
def test_a_further_signal_never_lowers_it(signals: list[Signal]) -> None:
    values = [fused(*signals[:number]).confidence for number in range(len(signals) + 1)]
    assert values == sorted(values)


@given(some_signals(), st.randoms())
def test_the_order_of_arrival_says_nothing(signals: list[Signal], random: object) -> None:
    shuffled = list(signals)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert fused(*shuffled) == fused(*signals)


@given(some_signals())
def test_the_strongest_few_of_each_kind_are_enough(signals: list[Signal]) -> None:
    counts = Counter(one.observation.kind for one in signals)
    few = {
        kind: sorted(
            (one for one in signals if one.observation.kind is kind),
            key=lambda one: (one.observation.confidence, -one.id),
            reverse=True,
        )[:STRONGEST]
        for kind in SignalKind
    }
    assert fuse(few, counts) == fused(*signals)
