"""What GET /confidence-levels and /moderation-config say: made from the profiles in force, never typed twice."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from shared.domain.moderation.findings import Likelihood, Tier
from shared.domain.moderation.profiles import Profile, Word

_LEVELS: Mapping[Likelihood, tuple[str, str]] = {
    Likelihood.VERY_UNLIKELY: ("0-19%", "Almost certain safe"),
    Likelihood.UNLIKELY: ("20-49%", "Probably doesn't"),
    Likelihood.POSSIBLE: ("50-69%", "Might contain"),
    Likelihood.LIKELY: ("70-89%", "Probably contains"),
    Likelihood.VERY_LIKELY: ("90-100%", "Almost certain"),
}
"""The ranges and descriptions that the source prints."""


def confidence_levels(profiles: Sequence[Profile]) -> dict[str, Any]:
    """What Vision's likelihoods mean, and what each profile makes of them and of all other confidences."""
    return {
        "likelihood_levels": [_level(likelihood, profiles) for likelihood in _LEVELS],
        "unknown": "UNKNOWN is no signal: that category counts as not evaluated.",
        "profiles": {profile.name: {"version": profile.version, **_judging(profile)} for profile in profiles},
    }


def moderation_config(profile: Profile, patterns_version: str) -> dict[str, Any]:
    """Everything by which the profile in force judges, with its words."""
    return {
        "profile": profile.name,
        "profile_version": profile.version,
        "patterns_version": patterns_version,
        **_judging(profile),
        "vocabulary": {
            "objects": _by_tier(profile.object_words),
            "scenes": _by_tier(profile.scene_words),
            "texts": _by_tier(profile.text_words),
        },
        "contexts": {
            name: {"labels": sorted(context.labels), "lowers": sorted(context.lowers)}
            for name, context in profile.contexts.items()
        },
        "active_features": _features(profile),
        "incident": {
            "open": profile.incident.open,
            "categories": sorted(profile.incident.categories),
            "priority": profile.incident.priority.value,
        },
        "quarantine": profile.quarantine,
        "required": _values(profile.required),
    }


def _level(likelihood: Likelihood, profiles: Sequence[Profile]) -> dict[str, Any]:
    percent, description = _LEVELS[likelihood]
    flagged = {
        profile.name: sorted(
            category for category, least in profile.safe_search.items() if likelihood.level >= least.level
        )
        for profile in profiles
    }
    return {
        "name": likelihood.value,
        "level": likelihood.level,
        "range": percent,
        "description": description,
        "confidence": likelihood.confidence,
        "counts_for": flagged,
    }


def _judging(profile: Profile) -> dict[str, Any]:
    return {
        "thresholds": _thresholds(profile),
        "weights": {factor.value: weight for factor, weight in profile.weights.items()},
        "decision_logic": _decision_logic(profile),
    }


def _thresholds(profile: Profile) -> dict[str, Any]:
    return {
        "safe_search": {
            category: {
                "counts_at": least.value,
                "confidence": least.confidence,
                "tier": profile.safe_search_tiers[category].value,
            }
            for category, least in profile.safe_search.items()
        },
        "detector": profile.detector,
        "objects": _of_tiers(profile.objects),
        "scenes": _of_tiers(profile.scenes),
        "categories": dict(profile.categories),
        "text": {"confidence": profile.text, "shortest": profile.shortest_text},
        "sentiment_at_most": profile.sentiment,
        "faces_more_than": profile.crowd,
        "shots_more_than": profile.shots,
        "context": profile.context_confidence,
    }


def _decision_logic(profile: Profile) -> list[str]:
    """The rules, in their order (SPEC §5)."""
    fail, caution, lone = profile.fail_score, profile.caution_score, profile.lone_contextual
    return [
        "A clear finding that counts: FAIL.",
        f"A score above {fail:.2f}, not of social findings alone: FAIL.",
        f"Findings in two or more factors and a score above {caution:.2f}, not all social: FAIL with caution.",
        f"A contextual finding of {lone:.2f} or more: FAIL.",
        "Nothing could be evaluated, or not what the profile requires: ERROR.",
        "Else: PASS.",
    ]


def _features(profile: Profile) -> dict[str, Any]:
    lowest, below = profile.video.doubt
    return {
        "image": _values(profile.image_features),
        "video": {
            "frames": profile.video.frames,
            "features": _values(profile.video.features),
            "video_intelligence": "always" if profile.video.always_full else f"score from {lowest:.2f} to {below:.2f}",
        },
    }


def _of_tiers(thresholds: Mapping[Tier, float]) -> dict[str, float]:
    return {tier.value: threshold for tier, threshold in thresholds.items()}


def _by_tier(words: Mapping[str, Word]) -> dict[str, dict[str, list[str]]]:
    """Tier, category, words."""
    listed: dict[str, dict[str, list[str]]] = {tier.value: {} for tier in Tier}
    for word in sorted(words):
        meaning = words[word]
        listed[meaning.tier.value].setdefault(meaning.category, []).append(word)
    return listed


def _values(names: Iterable[str]) -> list[str]:
    return sorted(str(name) for name in names)
