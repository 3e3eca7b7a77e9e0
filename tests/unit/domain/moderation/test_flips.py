"""The change that would turn a verdict: it does turn it, and nothing smaller does."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import replace

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from shared.domain.moderation.deciding import Tally, deciding_rule, reached, tally_of
from shared.domain.moderation.findings import Count, Evidence, Likelihood, MediaKind, Part, Sentiment, Sighting, Tier
from shared.domain.moderation.judging import Bench, bench_of, findings_of, levels
from shared.domain.moderation.profiles import Profile
from shared.domain.moderation.receipts import Change, Finding, Flip, Rule, Status
from shared.domain.moderation.verdicts import judge
from tests.unit.domain.moderation.evidence import (
    BALANCED,
    BOTH,
    BY_WORD,
    MILD,
    STRICT,
    applied,
    detected,
    evidence,
    evidences,
    label,
    mild,
    object_seen,
    pattern,
    safe_search,
    text_category,
)

PROFILES = st.sampled_from(BOTH)


def flip_of(seen: Evidence, profile: Profile = BALANCED) -> Flip:
    flip = judge(seen, profile).flip
    assert flip is not None
    return flip


@given(evidences() | evidences(MILD | BY_WORD, most=12), PROFILES)
@settings(max_examples=400, deadline=None)
def test_what_is_said_to_flip_a_verdict_flips_it(seen: Evidence, profile: Profile) -> None:
    flip = judge(seen, profile).flip

    if flip is not None:
        assert judge(applied(flip.changes, seen, profile), profile).status is flip.to


@given(evidences(), PROFILES)
@settings(deadline=None)
def test_every_fail_can_be_flipped_and_no_error_is(seen: Evidence, profile: Profile) -> None:
    verdict = judge(seen, profile)

    assert (verdict.flip is not None) >= (verdict.status is Status.FAIL)
    assert (verdict.flip is None) >= (verdict.status is Status.ERROR)


# --------------------------------------------------------------------------- by brute force


def rule_of(findings: Sequence[Finding], confidences: Sequence[float], bench: Bench) -> Rule:
    tally = Tally()
    for finding, sure in zip(findings, confidences, strict=True):
        if finding.ignored_because is None and reached(sure, finding.threshold):
            tally = tally.with_one(finding.factor, finding.tier, sure)
    return deciding_rule(tally, bench.shares, bench.profile)


def all_lowerings(findings: Sequence[Finding], profile: Profile) -> Iterator[tuple[float, ...]]:
    choices = [
        [finding.confidence, *(level for level in levels(finding, profile) if level < finding.confidence)]
        for finding in findings
    ]
    return itertools.product(*choices)


def cost(changes: Sequence[tuple[float, float]]) -> tuple[int, float]:
    changed = [abs(before - after) for before, after in changes if before != after]
    return (len(changed), round(sum(changed), 6))


HARSH = replace(BALANCED, fail_score=0.40, caution_score=0.25)
GRAVE = st.integers(50, 100).map(lambda each: each / 100)
SMALL = st.tuples(
    st.lists(mild(GRAVE), max_size=2, unique_by=lambda each: each.name),
    st.lists(BY_WORD, max_size=2, unique_by=lambda each: each.name),
).map(lambda lists: (*lists[0], *lists[1]))
PARTLY = st.sampled_from([{}, {Part.PATTERNS: 0.0, Part.CATEGORIES: 0.0}, {Part.ADULT: 0.0, Part.VIOLENCE: 0.0}])


@given(SMALL, PARTLY, st.sampled_from([*BOTH, HARSH]))
@settings(max_examples=60, deadline=None)
def test_nothing_smaller_turns_a_small_fail(
    sightings: tuple[Sighting, ...], unseen: dict[Part, float], profile: Profile
) -> None:
    seen = evidence(*sightings, coverage={**dict.fromkeys(Part, 1.0), **unseen})
    verdict = judge(seen, profile)
    assume(verdict.status is Status.FAIL)
    bench = bench_of(seen, profile)
    findings = [finding for finding in findings_of(seen, bench) if finding.counted]
    before = [finding.confidence for finding in findings]

    least = min(
        cost(list(zip(before, lowered, strict=True)))
        for lowered in all_lowerings(findings, profile)
        if rule_of(findings, lowered, bench) is Rule.NOTHING_FOUND
    )

    assert verdict.flip is not None
    assert cost([(change.confidence, change.would_be) for change in verdict.flip.changes]) == least


@given(evidences(MILD, most=6), PROFILES)
@settings(deadline=None)
def test_no_smaller_rise_of_one_finding_turns_a_pass(seen: Evidence, profile: Profile) -> None:
    verdict = judge(seen, profile)
    if verdict.status is not Status.PASS:
        return
    bench = bench_of(seen, profile)
    findings = findings_of(seen, bench)
    before = [finding.confidence for finding in findings]
    rises = [
        level - finding.confidence
        for number, finding in enumerate(findings)
        for level in levels(finding, profile)
        if level > finding.confidence + 1e-6
        and rule_of(findings, [*before[:number], level, *before[number + 1 :]], bench) is not Rule.NOTHING_FOUND
    ]

    if rises:
        assert verdict.flip is not None
        (change,) = verdict.flip.changes
        assert change.would_be - change.confidence == pytest.approx(min(rises))
        assert change.witness
    elif verdict.flip is not None:
        assert [change.witness for change in verdict.flip.changes] == [""]


# --------------------------------------------------------------------------- examples


def test_a_clear_finding_must_fall_below_its_threshold() -> None:
    assert flip_of(evidence(detected(0.93))) == Flip(
        Status.PASS,
        (Change(Part.VIOLENCE, "violence", "violence-motion-1", 0.93, 0.74),),
        'It would be PASS if "violence" (violence-motion-1) fell from 0.93 to 0.74.',
    )


def test_a_likelihood_falls_to_the_word_below() -> None:
    (change,) = flip_of(evidence(safe_search(Part.ADULT, Likelihood.VERY_LIKELY))).changes
    assert change.would_be == Likelihood.UNLIKELY.confidence

    (change,) = flip_of(evidence(safe_search(Part.RACY, Likelihood.VERY_LIKELY))).changes
    assert change.would_be == Likelihood.LIKELY.confidence


def test_where_the_lowest_word_counts_only_unknown_would_not() -> None:
    sternest = replace(BALANCED, safe_search={**BALANCED.safe_search, "adult": Likelihood.VERY_UNLIKELY})
    (change,) = flip_of(evidence(safe_search(Part.ADULT, Likelihood.VERY_UNLIKELY)), sternest).changes

    assert (change.confidence, change.would_be) == (0.10, 0.0)


def test_a_lone_contextual_finding_falls_just_below_what_decides() -> None:
    (change,) = flip_of(evidence(object_seen("Beer", 0.8734))).changes

    assert change.would_be == 0.84


def test_every_clear_finding_must_fall_and_the_first_are_named() -> None:
    words = ("Gun", "Rifle", "Sword", "Dagger", "Bomb")
    flip = flip_of(evidence(*(object_seen(word, 0.9) for word in words)))

    assert len(flip.changes) == 5
    assert flip.sentence == (
        'It would be PASS if "Bomb" (vision) fell from 0.90 to 0.49, "Dagger" (vision) fell from 0.90 to 0.49, '
        '"Gun" (vision) fell from 0.90 to 0.49 and 2 more fell below what counts.'
    )


def test_a_score_falls_by_the_one_finding_that_suffices() -> None:
    racy = safe_search(Part.RACY, Likelihood.LIKELY)
    flip = flip_of(evidence(racy, object_seen("Beer", 0.8), label("Bar", 0.7), text_category("Toxic", 0.7)))

    (change,) = flip.changes
    assert (change.name, change.would_be) == ("racy", 0.60)


def test_a_pass_flips_by_what_was_seen_before_anything_new() -> None:
    assert flip_of(evidence(object_seen("Gun", 0.40), object_seen("Beer", 0.82))) == Flip(
        Status.FAIL,
        (Change(Part.OBJECTS, "Beer", "vision", 0.82, 0.85),),
        'It would be FAIL if "Beer" (vision) rose from 0.82 to 0.85.',
    )


def test_where_nothing_was_seen_the_least_new_finding_is_told() -> None:
    flip = flip_of(evidence())

    (change,) = flip.changes
    assert (change.part, change.confidence, change.would_be) == (Part.OBJECTS, 0.0, 0.5)
    assert flip.sentence == (
        'It would be FAIL if something like "ammunition" were seen as well, with a confidence of 0.50.'
    )


def test_what_is_new_is_something_that_was_looked_for() -> None:
    (change,) = flip_of(evidence(coverage={Part.PATTERNS: 1.0})).changes
    assert (change.part, change.would_be) == (Part.PATTERNS, 0.6)

    (change,) = flip_of(evidence(coverage={Part.RACY: 1.0})).changes
    assert (change.part, change.would_be) == (Part.RACY, 0.8)


def test_where_only_moods_and_faces_were_looked_at_nothing_could_fail() -> None:
    assert judge(evidence(coverage={Part.CROWD: 1.0, Part.SENTIMENT: 1.0}), BALANCED).flip is None


def test_a_text_that_is_too_short_can_not_rise() -> None:
    seen = evidence(pattern("threat", Tier.CLEAR, 0.9), text="kill", coverage={Part.PATTERNS: 1.0})

    verdict = judge(seen, BALANCED)

    assert (verdict.status, verdict.flip) == (Status.PASS, None)


def test_faces_and_moods_change_in_their_own_steps() -> None:
    # Everything but the crowd is as it must be for "with caution", and the crowd makes the score.
    seen = Evidence(
        MediaKind.IMAGE,
        (label("Bar", 0.7),),
        faces=Count(30, "vision"),
        sentiment=Sentiment(-0.4, "language"),
        coverage={Part.CROWD: 1.0, Part.LABELS: 1.0, Part.SENTIMENT: 1.0},
    )
    flip = flip_of(seen)

    assert judge(seen, BALANCED).rule is Rule.NOTHING_FOUND
    assert flip.sentence == 'It would be FAIL if "negative sentiment" (language) rose from 0.40 to 0.50.'


def test_a_crowd_is_told_as_a_number() -> None:
    bar = label("Bar", 0.7)
    seen = Evidence(MediaKind.IMAGE, (bar,), faces=Count(30, "vision"), coverage={Part.CROWD: 1.0, Part.LABELS: 1.0})
    flip = flip_of(seen)

    assert judge(seen, BALANCED).rule is Rule.SCORE
    assert [change.name for change in flip.changes] == ["Bar"]
    bar_must_stay = replace(BALANCED, lone_contextual=0.99, fail_score=0.80)
    flip = flip_of(seen, bar_must_stay)
    assert flip.sentence == 'It would be PASS if "crowd" (vision) fell from 30 to 24.'


def test_a_finding_that_was_ignored_is_no_part_of_a_tally() -> None:
    seen = evidence(pattern("threat", Tier.CLEAR, 0.9), text="kill")

    assert tally_of(findings_of(seen, bench_of(seen, STRICT))) == Tally()
