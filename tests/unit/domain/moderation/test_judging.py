"""The table of SPEC §5, row by row: what counts, and what just doesn't."""

from __future__ import annotations

from dataclasses import replace

import pytest

from shared.domain.moderation.findings import Count, Evidence, Likelihood, MediaKind, Part, Sentiment, Sighting, Tier
from shared.domain.moderation.judging import amount, bench_of, findings_of, number_of
from shared.domain.moderation.profiles import Profile
from shared.domain.moderation.receipts import Finding
from tests.unit.domain.moderation.evidence import (
    BALANCED,
    BOTH,
    LONG_TEXT,
    STRICT,
    detected,
    evidence,
    label,
    object_seen,
    pattern,
    safe_search,
    text_category,
)

Threshold = tuple[float, float]


def found(seen: Evidence, profile: Profile) -> tuple[Finding, ...]:
    return findings_of(seen, bench_of(seen, profile))


def only(seen: Evidence, profile: Profile) -> Finding:
    (finding,) = found(seen, profile)
    return finding


@pytest.mark.parametrize("index", [0, 1], ids=["balanced", "strict"])
@pytest.mark.parametrize(
    ("sighting", "tier", "thresholds"),
    [
        (object_seen("Handgun", 0), Tier.CLEAR, (0.50, 0.30)),
        (object_seen("Bikini", 0), Tier.CONTEXTUAL, (0.60, 0.40)),
        (object_seen("Costume", 0), Tier.SOCIAL, (0.75, 0.50)),
        (label("Strip club", 0), Tier.CLEAR, (0.55, 0.50)),
        (label("Protest", 0), Tier.CONTEXTUAL, (0.65, 0.55)),
        (label("Concert", 0), Tier.SOCIAL, (0.85, 0.70)),
        (text_category("Toxic", 0), Tier.CONTEXTUAL, (0.60, 0.50)),
        (pattern("threat", Tier.CLEAR, 0), Tier.CLEAR, (0.60, 0.50)),
        (pattern("mental_health", Tier.CONTEXTUAL, 0), Tier.CONTEXTUAL, (0.60, 0.50)),
        (object_seen("Beer", 0), Tier.CONTEXTUAL, (0.65, 0.40)),
        (object_seen("Cigarette", 0), Tier.CONTEXTUAL, (0.65, 0.40)),
        (label("Cannabis", 0), Tier.CONTEXTUAL, (0.65, 0.40)),
        (pattern("alcohol", Tier.CONTEXTUAL, 0), Tier.CONTEXTUAL, (0.65, 0.40)),
        (detected(0), Tier.CLEAR, (0.75, 0.50)),
    ],
)
def test_a_sighting_counts_from_its_threshold_on(
    sighting: Sighting, tier: Tier, thresholds: Threshold, index: int
) -> None:
    profile, threshold = BOTH[index], thresholds[index]

    at = only(evidence(replace(sighting, confidence=threshold), text=LONG_TEXT), profile)
    below = only(evidence(replace(sighting, confidence=threshold - 0.001), text=LONG_TEXT), profile)

    assert (at.counted, at.tier, at.threshold) == (True, tier, threshold)
    assert not below.counted


@pytest.mark.parametrize("index", [0, 1], ids=["balanced", "strict"])
@pytest.mark.parametrize(
    ("part", "tier", "least"),
    [
        (Part.ADULT, Tier.CLEAR, (Likelihood.POSSIBLE, Likelihood.UNLIKELY)),
        (Part.VIOLENCE, Tier.CLEAR, (Likelihood.POSSIBLE, Likelihood.UNLIKELY)),
        (Part.RACY, Tier.CONTEXTUAL, (Likelihood.LIKELY, Likelihood.POSSIBLE)),
    ],
)
def test_a_likelihood_counts_from_its_word_on(
    part: Part, tier: Tier, least: tuple[Likelihood, Likelihood], index: int
) -> None:
    for word in Likelihood:
        if word is not Likelihood.UNKNOWN:
            finding = only(evidence(safe_search(part, word)), BOTH[index])
            assert (finding.counted, finding.tier) == (word.level >= least[index].level, tier)


@pytest.mark.parametrize(
    ("profile", "crowd", "shots", "mood"), [(BALANCED, 5, 45, -0.5), (STRICT, 3, 30, -0.3)], ids=["balanced", "strict"]
)
def test_faces_shots_and_moods_count_beyond_their_limits(profile: Profile, crowd: int, shots: int, mood: float) -> None:
    for beyond, counted in ((0, False), (1, True)):
        faces = only(evidence(faces=Count(crowd + beyond, "counter")), profile)
        cuts = only(evidence(shots=Count(shots + beyond, "counter")), profile)
        assert (faces.counted, cuts.counted) == (counted, counted)
        assert {faces.tier, cuts.tier} == {Tier.SOCIAL}
    assert only(evidence(sentiment=Sentiment(mood, "language")), profile).counted
    assert not only(evidence(sentiment=Sentiment(mood + 0.01, "language")), profile).counted
    assert found(evidence(sentiment=Sentiment(0.9, "language"), faces=Count(0, "counter")), profile) == ()


@pytest.mark.parametrize(("profile", "shortest"), [(BALANCED, 10), (STRICT, 5)], ids=["balanced", "strict"])
def test_a_text_is_judged_from_its_shortest_length_on(profile: Profile, shortest: int) -> None:
    said = (pattern("threat", Tier.CLEAR, 0.9), text_category("Toxic", 0.9))
    mood = Sentiment(-0.9, "language")

    long = found(evidence(*said, sentiment=mood, text="x" * shortest), profile)
    short = found(evidence(*said, sentiment=mood, text=" " + "x" * (shortest - 1) + " "), profile)

    assert [finding.counted for finding in long] == [True, True, True]
    assert [finding.counted for finding in short] == [False, False, False]
    assert short[0].ignored_because == f"The text has {shortest - 1} characters; it is judged from {shortest} on."


def test_a_text_that_was_not_kept_is_long_enough() -> None:
    assert only(evidence(pattern("threat", Tier.CLEAR, 0.9), text=""), BALANCED).counted


@pytest.mark.parametrize("name", ["Chair", "", "gunmetal", "Public Safety", "🔫"])
def test_an_unknown_word_is_no_finding(name: str) -> None:
    for part in (Part.OBJECTS, Part.LABELS, Part.CATEGORIES, Part.PATTERNS, Part.CROWD):
        assert found(evidence(Sighting(part, name, 1.0, "vision")), BALANCED) == ()


def test_a_label_may_name_an_object_and_counts_as_a_scene() -> None:
    finding = only(evidence(label("Firearms", 0.55)), BALANCED)

    assert (finding.factor, finding.category, finding.tier, finding.counted) == ("scene", "weapons", "clear", True)


@pytest.mark.parametrize(
    ("context", "sighting", "context_name"),
    [
        (label("Beach", 0.6), object_seen("Bikini", 0.7), "beach"),
        (label("Swimming pools", 0.6), safe_search(Part.RACY, Likelihood.LIKELY), "beach"),
        (object_seen("Sculpture", 0.9), safe_search(Part.RACY, Likelihood.VERY_LIKELY), "art"),
        (label("safe-search: medical", 0.8), object_seen("Wound", 0.9), "medical"),
        (label("Classroom", 0.7), pattern("cannabis", Tier.CONTEXTUAL, 0.9), "education"),
        (label("Kitchen", 0.7), object_seen("Kitchen knife", 0.9), "kitchen"),
    ],
)
def test_a_context_makes_a_contextual_finding_social(context: Sighting, sighting: Sighting, context_name: str) -> None:
    alone = only(evidence(sighting), BALANCED)
    there = only(evidence(context, sighting), BALANCED)

    assert (alone.tier, alone.lowered_by) == (Tier.CONTEXTUAL, None)
    assert (there.tier, there.lowered_by) == (Tier.SOCIAL, context_name)
    assert there.threshold >= alone.threshold


@pytest.mark.parametrize(
    "sighting",
    [
        object_seen("Knife", 0.9),
        safe_search(Part.ADULT, Likelihood.LIKELY),
        pattern("drugs", Tier.CLEAR, 0.9),
        label("Party", 0.9),
    ],
)
def test_no_context_lowers_a_clear_or_a_social_finding(sighting: Sighting) -> None:
    contexts = [label(next(iter(context.labels)), 1.0) for context in BALANCED.contexts.values()]

    assert only(evidence(sighting, *contexts), BALANCED) == only(evidence(sighting), BALANCED)


def test_a_context_must_show_surely_enough() -> None:
    assert only(evidence(label("Beach", 0.59), object_seen("Bikini", 0.7)), BALANCED).tier is Tier.CONTEXTUAL


@pytest.mark.parametrize(
    ("sighting", "threshold"), [(pattern("alcohol", Tier.CONTEXTUAL, 0.62), 0.65), (object_seen("Beer", 0.70), 0.75)]
)
def test_a_lowered_beer_has_the_higher_of_its_thresholds(sighting: Sighting, threshold: float) -> None:
    finding = only(evidence(label("Classroom", 0.9), sighting), BALANCED)

    assert (finding.tier, finding.threshold, finding.counted) == (Tier.SOCIAL, threshold, False)


def test_a_32_bit_float_at_the_threshold_counts() -> None:
    assert only(evidence(label("Bar", 0.6499999761581421)), BALANCED).counted


def test_nonsense_confidences_are_bounded_or_nothing() -> None:
    confidences = {
        only(evidence(object_seen("Gun", wild)), BALANCED).confidence
        for wild in (1e9, float("inf"), -1.0, float("nan"))
    }
    assert confidences == {1.0, 0.0}


def test_what_a_witness_says_twice_is_one_finding_where_it_is_strongest() -> None:
    twice = evidence(object_seen("Gun", 0.6), object_seen("Gun", 0.9), object_seen("Gun", 0.7))

    assert only(twice, BALANCED).confidence == 0.9


def test_more_faces_are_a_surer_crowd_and_the_number_can_be_told_again() -> None:
    amounts = [amount(number, 5) for number in range(1000)]

    assert amounts == sorted(set(amounts))
    assert (amounts[0], amounts[6]) == (0.0, 0.5)
    assert [number_of(each, 5) for each in amounts] == list(range(1000))


def test_an_absurd_number_of_shots_is_a_finding_like_any_other() -> None:
    assert 0.99 < only(evidence(shots=Count(10**400, "counter")), BALANCED).confidence < 1
    assert found(evidence(shots=Count(-3, "counter")), BALANCED) == ()


def test_stills_have_no_shots_to_cover() -> None:
    for kind in MediaKind:
        assert bench_of(evidence(kind=kind), BALANCED).shares == pytest.approx(BALANCED.weights)
