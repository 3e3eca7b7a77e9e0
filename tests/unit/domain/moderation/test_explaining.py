"""What is said of the profiles in force is what they hold."""

from __future__ import annotations

import json
from dataclasses import replace

from shared.domain.moderation.explaining import confidence_levels, moderation_config
from shared.domain.moderation.findings import Likelihood, Part
from tests.unit.domain.moderation.evidence import BALANCED, BOTH, STRICT


def test_the_levels_are_the_sources_with_our_numbers_and_what_they_mean_for_each_profile() -> None:
    levels = confidence_levels(BOTH)["likelihood_levels"]

    assert [(each["level"], each["range"], each["confidence"]) for each in levels] == [
        (1, "0-19%", 0.10),
        (2, "20-49%", 0.35),
        (3, "50-69%", 0.60),
        (4, "70-89%", 0.80),
        (5, "90-100%", 0.95),
    ]
    assert [each["counts_for"] for each in levels] == [
        {"balanced": [], "strict": []},
        {"balanced": [], "strict": ["adult", "violence"]},
        {"balanced": ["adult", "violence"], "strict": ["adult", "racy", "violence"]},
        {"balanced": ["adult", "racy", "violence"], "strict": ["adult", "racy", "violence"]},
        {"balanced": ["adult", "racy", "violence"], "strict": ["adult", "racy", "violence"]},
    ]


def test_each_profile_is_told_with_its_version_thresholds_weights_and_rules() -> None:
    told = confidence_levels(BOTH)["profiles"]

    assert told["strict"]["version"] == STRICT.version
    assert told["strict"]["thresholds"]["objects"] == {"clear": 0.30, "contextual": 0.40, "social": 0.50}
    assert told["balanced"]["thresholds"]["safe_search"]["racy"] == {
        "counts_at": "LIKELY",
        "confidence": 0.80,
        "tier": "contextual",
    }
    assert told["balanced"]["weights"]["safe_search"] == 0.40
    assert told["balanced"]["decision_logic"][1] == "A score above 0.70, not of social findings alone: FAIL."


def test_what_a_profile_changes_is_told_otherwise() -> None:
    milder = replace(BALANCED, fail_score=0.91, safe_search={**BALANCED.safe_search, "adult": Likelihood.LIKELY})
    told = moderation_config(milder, "patterns-1")

    assert "0.91" in told["decision_logic"][1]
    assert told["thresholds"]["safe_search"]["adult"]["counts_at"] == "LIKELY"
    assert confidence_levels([milder])["likelihood_levels"][2]["counts_for"] == {"balanced": ["violence"]}


def test_the_config_lists_words_contexts_and_features() -> None:
    told = moderation_config(replace(BALANCED, required=frozenset({Part.ADULT})), "patterns-1")

    assert (told["profile"], told["profile_version"], told["patterns_version"]) == (
        "balanced",
        BALANCED.version,
        "patterns-1",
    )
    assert "handgun" in told["vocabulary"]["objects"]["clear"]["weapons"]
    assert told["vocabulary"]["texts"]["contextual"]["toxic"] == ["toxic"]
    assert "swimwear" in told["contexts"]["beach"]["lowers"]
    assert told["active_features"]["video"] == {
        "frames": 10,
        "features": ["labels", "safe_search", "text"],
        "video_intelligence": "score from 0.25 to 0.80",
    }
    assert moderation_config(STRICT, "-")["active_features"]["video"]["video_intelligence"] == "always"
    assert told["incident"]["priority"] == "High"
    assert told["required"] == ["safe_search.adult"]


def test_all_of_it_is_json() -> None:
    for profile in BOTH:
        told = {"levels": confidence_levels(BOTH), "config": moderation_config(profile, "patterns-1")}
        assert json.loads(json.dumps(told)) == told
