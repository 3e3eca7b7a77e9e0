"""When an earlier analysis may stand in for a new one, and how it is found."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.assets import Asset, Detection, SeenBefore
from shared.domain.detections import Segment
from shared.domain.reuse import (
    Known,
    Match,
    ReuseMode,
    ReusePolicy,
    hash_distance,
    is_milder,
    kept_bands,
    match,
    may_share_context,
    note_of,
    ranked,
    seen_as,
    usable_detection,
    wanted_bands,
)
from shared.domain.stages import Stage, StageRecord, StageState
from shared.ports import MediaFacts
from tests.fakes import NOON

FACTS = MediaFacts("mp4", "h264", 10.0, 640, 360, 25.0, "aa", "00000000000000ff", 1000, truncated=False)
KNOWN = Known("earlier", "bb", "00000000000000fe", 10.0, "model-1", 0.5, NOON - timedelta(days=1))
POLICY = ReusePolicy()


def found(known: Known) -> Match:
    return match(known, "new", FACTS, POLICY, NOON)


class TestMatch:
    @pytest.mark.parametrize(
        ("changed", "expected"),
        [
            ({}, Match.NEAR),
            ({"sha256": "aa"}, Match.EXACT),
            ({"sha256": "aa", "duration": 99.0}, Match.EXACT),
            ({"asset_id": "new", "sha256": "aa"}, Match.ITSELF),
            ({"created_at": NOON - timedelta(days=31), "sha256": "aa"}, Match.TOO_OLD),
            ({"perceptual_hash": "0" * 16}, Match.FLAT),
            ({"duration": 10.6}, Match.OTHER_LENGTH),
            ({"duration": 10.5}, Match.NEAR),
            ({"perceptual_hash": "f" * 16}, Match.TOO_DISTANT),
            ({"perceptual_hash": "000000000000003f"}, Match.NEAR),
            ({"perceptual_hash": "000000000000fe00"}, Match.TOO_DISTANT),
        ],
    )
    def test_what_an_earlier_upload_is_to_a_new_one(self, changed: dict[str, object], expected: Match) -> None:
        assert found(replace(KNOWN, **changed)) is expected  # type: ignore[arg-type]

    def test_two_flat_pictures_are_not_near(self) -> None:
        flat = replace(FACTS, perceptual_hash="0" * 16)
        assert match(replace(KNOWN, perceptual_hash="0" * 16), "new", flat, POLICY, NOON) is Match.FLAT

    def test_the_closest_comes_first_then_the_oldest(self) -> None:
        exact = replace(KNOWN, asset_id="exact", sha256="aa", perceptual_hash="f" * 16)
        far = replace(KNOWN, asset_id="far", perceptual_hash="00000000000000f0")
        old = replace(KNOWN, asset_id="old", created_at=NOON - timedelta(days=9))
        twin = replace(old, asset_id="twin")
        expected = [exact, old, twin, KNOWN, far]
        assert ranked([far, twin, KNOWN, old, exact], FACTS) == expected
        assert ranked(reversed(expected), FACTS) == expected

    def test_the_distance_is_remembered(self) -> None:
        assert seen_as(KNOWN, FACTS) == SeenBefore("earlier", exact=False, distance=1)


HASHES = st.integers(1, 2**64 - 1)


class TestBands:
    @given(HASHES, st.sets(st.integers(0, 63), max_size=POLICY.most_bits), st.floats(0, 11_000), st.floats(-0.5, 0.5))
    def test_whatever_is_near_shares_a_band(self, value: int, flips: set[int], seconds: float, off: float) -> None:
        other = value
        for bit in flips:
            other ^= 1 << bit
        if other == 0:
            return
        kept = kept_bands(f"{value:016x}", seconds, POLICY)
        wanted = wanted_bands(f"{other:016x}", max(seconds + off, 0.0), POLICY)
        assert hash_distance(f"{value:016x}", f"{other:016x}") == len(flips)
        assert set(kept) & set(wanted)
        assert len(wanted) == POLICY.most_bits + 1
        assert len(kept) in {len(wanted), 2 * len(wanted)}

    @given(HASHES, st.floats(0, 11_000))
    def test_every_bit_and_the_duration_are_in_the_bands(self, value: int, seconds: float) -> None:
        bands = wanted_bands(f"{value:016x}", seconds, POLICY)
        inverse = wanted_bands(f"{value ^ (2**64 - 1):016x}", seconds, POLICY) if value != 2**64 - 1 else ()
        assert not set(bands) & set(inverse)
        assert not set(bands) & set(wanted_bands(f"{value:016x}", seconds + 3, POLICY))

    def test_a_flat_picture_has_none(self) -> None:
        assert wanted_bands("0" * 16, 10, POLICY) == kept_bands("0" * 16, 10, POLICY) == ()


def detection(*confidences: float, model: str = "model-1", sensitivity: float = 0.5) -> Detection:
    """One segment of a second for each confidence, two seconds apart."""
    segments = tuple(Segment(3.0 * n, 3.0 * n + 1, value, "violence") for n, value in enumerate(confidences))
    return Detection(
        segments, max(confidences, default=0.1), 10.0, truncated=False, model=model, sensitivity=sensitivity
    )


class TestDetections:
    @pytest.mark.parametrize(
        ("earlier", "own", "milder"),
        [
            ((), (), False),
            ((), (0.55,), True),
            ((0.55,), (), False),
            ((0.93,), (0.95,), False),
            ((0.60,), (0.64,), False),
            ((0.64,), (0.66,), True),
            ((0.74,), (0.75,), True),
            ((0.80,), (0.81,), True),
            ((0.9,), (0.9, 0.6), True),
            ((0.9, 0.6), (0.9,), False),
        ],
    )
    def test_what_lowers_a_risk_spares_an_incident_or_hides_a_segment_is_milder(
        self, earlier: tuple[float, ...], own: tuple[float, ...], milder: bool
    ) -> None:
        assert is_milder(detection(*earlier), detection(*own)) is milder

    def test_segments_elsewhere_hide_what_is_here(self) -> None:
        own, elsewhere = Segment(1, 2, 0.9, "violence"), Segment(7, 9, 0.9, "violence")
        assert is_milder(replace(detection(), segments=(elsewhere,)), replace(detection(), segments=(own,)))

    @given(st.lists(st.floats(0.5, 1), max_size=3))
    def test_nothing_is_milder_than_itself(self, confidences: list[float]) -> None:
        assert not is_milder(detection(*confidences), detection(*confidences))

    def asset(self, state: StageState = StageState.DONE, sha256: str = "bb") -> Asset:
        facts = replace(FACTS, sha256=sha256)
        stages = {Stage.DETECT: StageRecord(state)}
        return Asset("earlier", "media/x", NOON, facts=facts, detection=detection(0.9), stages=stages)

    def test_a_detection_that_is_done_is_usable(self) -> None:
        assert usable_detection(self.asset(), KNOWN, "model-1", 0.5) == detection(0.9)

    @pytest.mark.parametrize("state", [StageState.RUNNING, StageState.PENDING, StageState.FAILED])
    def test_one_that_is_not_done_is_not(self, state: StageState) -> None:
        assert usable_detection(self.asset(state), KNOWN, "model-1", 0.5) is None

    def test_nor_is_that_of_an_upload_that_was_erased(self) -> None:
        erased = replace(self.asset(), erased_at=NOON)
        assert usable_detection(erased, KNOWN, "model-1", 0.5) is None

    def test_nor_is_another_files_another_models_or_another_sensitivitys(self) -> None:
        assert usable_detection(self.asset(sha256="overwritten"), KNOWN, "model-1", 0.5) is None
        assert usable_detection(self.asset(), KNOWN, "model-2", 0.5) is None
        assert usable_detection(self.asset(), KNOWN, "model-1", 0.6) is None
        assert usable_detection(replace(self.asset(), detection=None), KNOWN, "model-1", 0.5) is None


class TestContext:
    def asset(self, exact: bool, taken_from: str | None) -> Asset:
        stages = {Stage.DETECT: StageRecord(StageState.DONE, reused_from=taken_from)}
        return Asset("new", "media/n", NOON, facts=FACTS, seen_before=SeenBefore("earlier", exact, 0), stages=stages)

    @pytest.mark.parametrize(
        ("exact", "taken_from", "mode", "shared"),
        [
            (True, None, ReuseMode.EXACT, True),
            (True, None, ReuseMode.NEVER, False),
            (False, "earlier", ReuseMode.SIMILAR, True),
            (False, "earlier", ReuseMode.EXACT, False),
            (False, None, ReuseMode.SIMILAR, False),
            (False, "another", ReuseMode.SIMILAR, False),
        ],
    )
    def test_it_is_shared_with_the_same_bytes_or_with_the_detection(
        self, exact: bool, taken_from: str | None, mode: ReuseMode, shared: bool
    ) -> None:
        earlier = Asset("earlier", "media/e", NOON, facts=FACTS)
        assert may_share_context(self.asset(exact, taken_from), earlier, mode) is shared

    def test_not_with_one_whose_media_were_erased(self) -> None:
        earlier = Asset("earlier", "media/e", NOON, facts=FACTS, erased_at=NOON)
        assert not may_share_context(self.asset(True, None), earlier, ReuseMode.SIMILAR)

    def test_not_with_an_asset_whose_file_was_overwritten(self) -> None:
        earlier = Asset("earlier", "media/e", NOON, facts=replace(FACTS, sha256="other"))
        assert not may_share_context(self.asset(True, None), earlier, ReuseMode.SIMILAR)

    def test_the_note_names_the_asset_and_what_was_reused(self) -> None:
        taken = note_of(self.asset(False, "earlier"))
        assert taken == (
            "Seen before: asset earlier shows the same recording in another encoding. Reused from it: detect."
        )
        assert note_of(self.asset(True, None)) == (
            "Seen before: asset earlier is the same file. Nothing was reused from it."
        )
        assert note_of(Asset("new", "media/n", NOON)) is None
