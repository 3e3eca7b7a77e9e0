"""The rules in their order, what a verdict says of itself, and what must hold for any evidence."""

from __future__ import annotations

import json
import math
import random
from dataclasses import replace

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from shared.domain.moderation.findings import (
    Count,
    Evidence,
    Factor,
    Gap,
    Likelihood,
    MediaKind,
    Part,
    Sentiment,
    Sighting,
    Tier,
)
from shared.domain.moderation.profiles import Profile
from shared.domain.moderation.receipts import MAX_FINDINGS, Rule, Status, Verdict
from shared.domain.moderation.verdicts import in_doubt, judge
from shared.records import from_data, to_data
from tests.unit.domain.moderation.evidence import (
    BALANCED,
    BOTH,
    LONG_TEXT,
    STRICT,
    detected,
    evidence,
    evidences,
    label,
    object_seen,
    pattern,
    safe_search,
    text_category,
)

PROFILES = st.sampled_from(BOTH)
ON_BOTH = pytest.mark.parametrize("profile", BOTH, ids=["balanced", "strict"])

RACY = safe_search(Part.RACY, Likelihood.LIKELY)
VERY_RACY = safe_search(Part.RACY, Likelihood.VERY_LIKELY)
BEER = object_seen("Beer", 0.8)
TOXIC = text_category("Toxic", 0.8)

CASES = {
    Rule.CLEAR_FINDING: evidence(object_seen("Handgun", 0.5)),
    Rule.SCORE: evidence(RACY, BEER, TOXIC, label("Bar", 0.8), label("Party", 0.9), text=LONG_TEXT),
    Rule.CAUTION: evidence(RACY, BEER),
    Rule.LONE_CONTEXTUAL: evidence(object_seen("Beer", 0.85)),
    Rule.NOTHING_FOUND: evidence(object_seen("Chair", 0.99)),
    Rule.NOT_EVALUATED: Evidence(MediaKind.VIDEO),
}


@ON_BOTH
@pytest.mark.parametrize("rule", Rule)
def test_every_rule_is_reached(rule: Rule, profile: Profile) -> None:
    verdict = judge(CASES[rule], profile)

    status = {Rule.NOTHING_FOUND: Status.PASS, Rule.NOT_EVALUATED: Status.ERROR}.get(rule, Status.FAIL)
    assert (verdict.rule, verdict.status) == (rule, status)


@ON_BOTH
def test_an_earlier_rule_decides_before_a_later_one(profile: Profile) -> None:
    everything = (*CASES[Rule.SCORE].sightings, VERY_RACY)
    assert judge(evidence(*everything, detected(0.8)), profile).rule is Rule.CLEAR_FINDING
    assert judge(evidence(*everything), profile).rule is Rule.SCORE
    assert judge(evidence(VERY_RACY, BEER), profile).rule is Rule.CAUTION
    assert judge(evidence(VERY_RACY), profile).rule is Rule.LONE_CONTEXTUAL


def test_the_score_is_the_weighted_mean_of_the_factors_strongest() -> None:
    verdict = judge(evidence(RACY, BEER, object_seen("Bikini", 0.7), faces=Count(11, "vision")), BALANCED)

    assert verdict.score == pytest.approx(0.40 * 0.80 + 0.25 * 0.80 + 0.10 * (11 / 17))
    assert {finding.name: finding.contribution > 0 for finding in verdict.findings} == {
        "racy": True,
        "Beer": True,
        "Bikini": False,
        "crowd": True,
    }


def test_what_was_not_evaluated_leaves_the_sum() -> None:
    coverage = {Part.ADULT: 1.0, Part.VIOLENCE: 1.0, Part.RACY: 1.0, Part.LABELS: 1.0}
    verdict = judge(Evidence(MediaKind.IMAGE, (RACY,), coverage=coverage), BALANCED)

    assert verdict.weights == pytest.approx(
        {Factor.SAFE_SEARCH: 8 / 9, Factor.OBJECTS: 0, Factor.TEXT: 0, Factor.SCENE: 1 / 9, Factor.SENTIMENT: 0}
    )
    assert verdict.rule is Rule.SCORE
    assert verdict.score == pytest.approx(0.8 * 8 / 9)


@ON_BOTH
def test_social_findings_never_decide_alone(profile: Profile) -> None:
    social = (label("Party", 1.0), object_seen("Crowd", 1.0), text_category("War & Conflict", 1.0))
    crowded = evidence(*social, faces=Count(1000, "vision"), sentiment=Sentiment(-1.0, "language"))
    only_these = replace(crowded, coverage={Part.LABELS: 1.0, Part.CROWD: 1.0, Part.SENTIMENT: 1.0, Part.OBJECTS: 1.0})

    assert judge(only_these, profile).score > profile.fail_score
    assert judge(only_these, profile).status is Status.PASS
    beer = replace(only_these, sightings=(*social, object_seen("Beer", 0.7)))
    assert judge(beer, profile).rule is Rule.SCORE


def test_a_beach_saves_what_a_bedroom_would_not() -> None:
    swimming = (VERY_RACY, object_seen("Bikini", 0.9))

    assert judge(evidence(*swimming), BALANCED).status is Status.FAIL
    assert judge(evidence(*swimming, label("Beach", 0.9)), BALANCED).status is Status.PASS
    assert judge(evidence(*swimming, label("Beach", 0.9), object_seen("Gun", 0.6)), BALANCED).status is Status.FAIL


# --------------------------------------------------------------------------- what a verdict says of itself


def test_the_confidence_is_that_of_what_decided() -> None:
    assert judge(evidence(object_seen("Gun", 0.62), VERY_RACY), BALANCED).confidence == 0.62
    assert judge(evidence(object_seen("Beer", 0.87)), BALANCED).confidence == 0.87
    caution = judge(CASES[Rule.CAUTION], BALANCED)
    assert caution.confidence == caution.score
    assert judge(CASES[Rule.NOT_EVALUATED], BALANCED).confidence == 0.0


def test_a_pass_is_as_sure_as_much_was_looked_at() -> None:
    assert judge(evidence(), BALANCED).confidence == pytest.approx(1.0)
    assert judge(evidence(RACY), BALANCED).confidence == pytest.approx(0.68)
    detector_alone = Evidence(MediaKind.VIDEO, (detected(0.3),), coverage={Part.VIOLENCE: 1.0})
    assert judge(detector_alone, BALANCED).confidence == pytest.approx(0.40 / 3)


def test_the_reasons_name_what_was_seen_and_when() -> None:
    assert judge(evidence(detected(0.93), BEER), BALANCED).reasons == (
        '"violence" (violence, clear) by violence-motion-1 at 2.0 s: 0.93, counts from 0.75.',
    )
    assert judge(evidence(RACY, BEER), BALANCED).reasons == (
        "Flagged with caution: 2 factors have findings.",
        "The score of 0.52 is above 0.50.",
        '"Beer" (alcohol, contextual) by vision: 0.80, counts from 0.65.',
        '"racy" (racy, contextual) by vision: 0.80, counts from 0.80.',
    )
    assert judge(evidence(VERY_RACY), BALANCED).reasons == (
        '"racy" (racy, contextual) by vision: 0.95, counts from 0.80.',
    )
    assert judge(evidence(RACY), BALANCED).reasons == ("No inappropriate content detected",)


def test_what_is_required_and_missing_is_an_error_and_never_a_pass() -> None:
    wants_adult = replace(BALANCED, required=frozenset({Part.ADULT}))
    without = evidence(coverage={Part.LABELS: 1.0})

    verdict = judge(without, wants_adult)

    assert (verdict.status, verdict.flip) == (Status.ERROR, None)
    assert verdict.reasons == ("The profile requires safe_search.adult, which could not be evaluated.",)
    assert judge(replace(without, coverage={Part.ADULT: 0.1}), wants_adult).status is Status.PASS


def test_a_fail_on_what_was_seen_stands_even_where_something_required_is_missing() -> None:
    wants_adult = replace(BALANCED, required=frozenset({Part.ADULT}))
    verdict = judge(evidence(label("Blood", 0.9), coverage={Part.LABELS: 1.0}), wants_adult)

    assert verdict.status is Status.FAIL
    assert verdict.flip is not None
    assert verdict.flip.to is Status.ERROR


def test_a_sighting_of_what_nobody_covered_still_counts() -> None:
    verdict = judge(Evidence(MediaKind.IMAGE, (object_seen("Gun", 0.9),)), BALANCED)

    assert (verdict.status, verdict.score, verdict.confidence) == (Status.FAIL, 0.0, 0.9)


def test_every_missing_part_has_its_reason_once() -> None:
    gap = Gap(Part.ADULT, "not_available", "Nobody looks for this here.", 1)
    seen = evidence(coverage={**dict.fromkeys(Part, 1.0), Part.ADULT: 0.0, Part.RACY: 0.5}, gaps=(gap, gap))

    assert judge(seen, BALANCED).not_evaluated == (
        gap,
        Gap(Part.RACY, "not_evaluated", "This was not looked at, or not at all of it."),
    )


def test_a_receipt_holds_a_hundred_findings_and_those_that_decide_among_them() -> None:
    words = sorted(BALANCED.object_words)
    beers = [replace(object_seen(word, 0.99), witness=str(n)) for n in range(3) for word in words if "gun" not in word]
    verdict = judge(evidence(*beers, object_seen("Gun", 0.51), label("Bar", 0.7)), BALANCED)

    assert len(verdict.findings) == MAX_FINDINGS
    assert math.fsum(finding.contribution for finding in verdict.findings) == pytest.approx(verdict.score)


def test_profile_cost_and_witnesses_are_on_the_receipt() -> None:
    seen = evidence(witnesses=("vision", "language", "vision"), cost_usd=0.02, cost_notes=("by list price",))
    verdict = judge(seen, STRICT)

    assert (verdict.profile, verdict.profile_version) == ("strict", STRICT.version)
    assert verdict.witnesses == ("vision", "language")
    assert (verdict.cost_usd, verdict.cost_notes) == (0.02, ("by list price",))


# --------------------------------------------------------------------------- doubt


SAFE_SEARCH_AND_LABELS = (Part.ADULT, Part.VIOLENCE, Part.RACY, Part.LABELS)
TEXTS = (Part.PATTERNS, Part.CATEGORIES, Part.SENTIMENT)


def frames(*sightings: Sighting, parts: tuple[Part, ...] = (*SAFE_SEARCH_AND_LABELS, *TEXTS)) -> Evidence:
    """What `balanced` asks of a video's frames, and the detector."""
    return Evidence(MediaKind.VIDEO, sightings, coverage=dict.fromkeys(parts, 1.0))


@pytest.mark.parametrize(
    ("seen", "rule", "doubt"),
    [
        (frames(), Rule.NOTHING_FOUND, False),
        (frames(label("Bar", 0.7)), Rule.NOTHING_FOUND, False),
        (frames(label("Concert", 0.95), label("Party", 0.95)), Rule.NOTHING_FOUND, False),
        (frames(TOXIC), Rule.NOTHING_FOUND, False),
        (frames(RACY), Rule.NOTHING_FOUND, True),
        (frames(RACY, label("Beach", 0.9)), Rule.NOTHING_FOUND, True),
        (frames(RACY, parts=SAFE_SEARCH_AND_LABELS), Rule.SCORE, True),
        (frames(VERY_RACY, parts=SAFE_SEARCH_AND_LABELS), Rule.SCORE, False),
        (frames(VERY_RACY), Rule.LONE_CONTEXTUAL, False),
        (frames(detected(0.9)), Rule.CLEAR_FINDING, False),
        (Evidence(MediaKind.VIDEO), Rule.NOT_EVALUATED, True),
    ],
)
def test_doubt_is_where_more_could_change_the_verdict(seen: Evidence, rule: Rule, doubt: bool) -> None:
    verdict = judge(seen, BALANCED)

    assert (verdict.rule, in_doubt(verdict, BALANCED)) == (rule, doubt)


def test_more_to_look_at_lets_a_fail_of_the_score_fall_again() -> None:
    assert judge(frames(RACY, parts=SAFE_SEARCH_AND_LABELS), BALANCED).status is Status.FAIL
    assert judge(frames(RACY), BALANCED).status is Status.PASS


def test_strict_always_wants_the_whole_look() -> None:
    assert all(in_doubt(judge(case, STRICT), STRICT) for case in CASES.values())


def test_the_band_is_closed_below_and_open_above() -> None:
    verdict = judge(frames(RACY, label("Beach", 0.9)), BALANCED)
    for band, doubt in (((verdict.score, 1.0), True), ((0.0, verdict.score), False), ((0.0, 1.0), True)):
        profile = replace(BALANCED, video=replace(BALANCED.video, doubt=band))
        assert in_doubt(verdict, profile) is doubt


# --------------------------------------------------------------------------- what must hold for any evidence


@given(evidences(), PROFILES, st.data())
def test_raising_a_findings_confidence_never_turns_fail_to_pass(
    seen: Evidence, profile: Profile, data: st.DataObject
) -> None:
    names = {(finding.part, finding.name) for finding in judge(seen, profile).findings}
    raised = replace(
        seen,
        sightings=tuple(
            replace(each, confidence=data.draw(st.floats(each.confidence, 1)))
            if (each.part, each.name) in names
            else each
            for each in seen.sightings
        ),
        faces=seen.faces and replace(seen.faces, number=seen.faces.number + data.draw(st.integers(0, 50))),
        sentiment=seen.sentiment and replace(seen.sentiment, score=data.draw(st.floats(-1, seen.sentiment.score))),
    )
    before, after = judge(seen, profile), judge(raised, profile)

    assert after.score >= before.score - 1e-9
    if before.status is Status.FAIL:
        assert after.status is Status.FAIL


@given(evidences(), PROFILES, st.sampled_from(Factor))
def test_a_factor_that_is_unavailable_is_no_evidence_of_innocence(
    seen: Evidence, profile: Profile, factor: Factor
) -> None:
    assume(not any(finding.factor is factor for finding in judge(seen, profile).findings))
    coverage = {part: 0.0 if part.factor is factor else share for part, share in seen.coverage.items()}
    with_it, without = judge(seen, profile), judge(replace(seen, coverage=coverage), profile)

    if with_it.status is Status.FAIL:
        assert without.status is Status.FAIL
    if without.status is Status.PASS:
        assert with_it.status is Status.PASS
        assert without.confidence <= with_it.confidence + 1e-9
    if without.rule is not Rule.NOT_EVALUATED and any(without.weights.values()):
        assert without.score >= with_it.score - 1e-9


@given(evidences(), PROFILES)
def test_the_contributions_add_up_to_a_score_between_0_and_1(seen: Evidence, profile: Profile) -> None:
    verdict = judge(seen, profile)

    assert math.fsum(finding.contribution for finding in verdict.findings) == pytest.approx(verdict.score)
    assert 0 <= verdict.score <= 1
    assert 0 <= verdict.confidence <= 1
    assert math.fsum(verdict.weights.values()) == pytest.approx(1 if any(verdict.weights.values()) else 0)
    for finding in verdict.findings:
        assert finding.contribution in {0.0, finding.weight * finding.confidence}


@given(evidences(), PROFILES, st.randoms(use_true_random=False))
def test_the_order_of_the_evidence_does_not_matter(seen: Evidence, profile: Profile, shuffler: random.Random) -> None:
    sightings = list(seen.sightings)
    shuffler.shuffle(sightings)

    assert judge(replace(seen, sightings=tuple(sightings)), profile) == judge(seen, profile)


@given(evidences(), PROFILES)
def test_a_verdict_survives_the_store(seen: Evidence, profile: Profile) -> None:
    verdict = judge(seen, profile)

    assert from_data(Verdict, json.loads(json.dumps(to_data(verdict)))) == verdict


@given(evidences(), PROFILES)
def test_a_fail_rests_on_a_counted_finding_that_is_not_social(seen: Evidence, profile: Profile) -> None:
    verdict = judge(seen, profile)
    grave = [finding for finding in verdict.findings if finding.counted and finding.tier is not Tier.SOCIAL]

    assert verdict.status is not Status.FAIL or grave
    assert verdict.reasons


def test_a_pattern_is_judged_as_its_file_says() -> None:
    assert judge(evidence(pattern("threat", Tier.CLEAR, 0.9), text=LONG_TEXT), BALANCED).rule is Rule.CLEAR_FINDING
