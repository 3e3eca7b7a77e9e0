"""Makes a `Profile` from what its TOML file says, and refuses a file in which anything is wrong (SPEC §5)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from hashlib import sha256
from typing import Any

from shared.domain.incidents import Priority
from shared.domain.moderation.findings import SAFE_SEARCH_PARTS, Factor, Likelihood, Part, Tier
from shared.domain.moderation.patterns import TextCategory
from shared.domain.moderation.profiles import Context, IncidentRule, Profile, VideoPlan, Word
from shared.domain.moderation.sections import Section
from shared.domain.moderation.vocabulary import found, normal
from shared.errors import ProfileError
from shared.ports import Feature

MAX_COMPLAINTS = 50
MOST = 1_000_000

Vocabulary = dict[str, Word]


def profile_of(name: str, parsed: Mapping[str, Any], base: Mapping[str, Any] | None = None) -> Profile:
    """The profile of a parsed file, over the content that it extends.

    Raises `ProfileError` with everything that is wrong, each with its path.
    """
    content = merged(parsed, base or {})
    problems: list[str] = []
    profile = _profile(name, content, Section(content, "", problems), problems)
    if problems:
        raise ProfileError(_complaint(name, problems))
    return profile


def merged(parsed: Mapping[str, Any], base: Mapping[str, Any]) -> dict[str, Any]:
    """`parsed` over `base`: tables key by key, anything else replaced. What was extended is no content any more."""
    content = {**base}
    for key, value in parsed.items():
        below = base.get(key)
        both = isinstance(value, Mapping) and isinstance(below, Mapping)
        content[key] = merged(value, below) if both and below is not None else value
    content.pop("extends", None)
    return content


def _profile(name: str, content: Mapping[str, Any], root: Section, problems: list[str]) -> Profile:
    safe_search, words, text, decision = (root.table(key) for key in ("safe_search", "vocabulary", "text", "decision"))
    likelihoods, tiers = _safe_search(safe_search)
    objects, scenes, texts = (_words(words.table(kind)) for kind in ("objects", "scenes", "texts"))
    categories = frozenset(word.category for each in (objects, scenes, texts) for word in each.values())
    known = categories | frozenset(TextCategory) | frozenset(SAFE_SEARCH_PARTS.values())
    profile = Profile(
        name=name,
        version=root.text("version"),
        weights=_weights(root.table("weights")),
        safe_search=likelihoods,
        safe_search_tiers=tiers,
        detector=_one_share(root.table("detector")),
        objects=_tiers(root.table("objects")),
        scenes=_tiers(root.table("scenes")),
        categories=_categories(root.table("categories"), known),
        text=text.threshold("counts_at"),
        shortest_text=text.integer("shortest", 0, 10_000),
        sentiment=_sentiment(root.table("sentiment")),
        crowd=_more_than(root.table("crowd")),
        shots=_more_than(root.table("shots")),
        fail_score=decision.threshold("fail_score"),
        caution_score=decision.threshold("caution_score"),
        lone_contextual=decision.threshold("lone_contextual"),
        object_words=objects,
        scene_words=scenes,
        text_words=texts,
        contexts=_contexts(root.table("contexts"), known, (objects, scenes)),
        context_confidence=_one_share(root.table("context")),
        video=_video(root.table("video")),
        image_features=_features(root.table("image")),
        incident=_incident(root.table("incident"), known),
        quarantine=root.flag("quarantine"),
        required=frozenset(root.choices("required", list(Part))),
    )
    if not problems and profile.caution_score >= profile.fail_score:
        decision.complain("caution_score is not below fail_score, so that it would never decide")
    for section in (words, text, decision, root):
        section.close()
    return _versioned(profile, content) if not problems else profile


def _versioned(profile: Profile, content: Mapping[str, Any]) -> Profile:
    canonical = json.dumps(content, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    fingerprint = sha256(canonical.encode()).hexdigest()[:12]
    return replace(profile, version=f"{profile.version}-{fingerprint}")


def _weights(section: Section) -> dict[Factor, float]:
    weights = {factor: section.weight(factor.value) for factor in Factor}
    section.close()
    return weights


def _safe_search(section: Section) -> tuple[dict[str, Likelihood], dict[str, Tier]]:
    likelihoods: dict[str, Likelihood] = {}
    tiers: dict[str, Tier] = {}
    for category in SAFE_SEARCH_PARTS.values():
        entry = section.table(category)
        words = [word for word in Likelihood if word is not Likelihood.UNKNOWN]
        likelihoods[category] = entry.choice("counts_at", words)
        tiers[category] = entry.choice("tier", list(Tier))
        entry.close()
    section.close()
    return likelihoods, tiers


def _tiers(section: Section) -> dict[Tier, float]:
    thresholds = {tier: section.threshold(tier.value) for tier in Tier}
    section.close()
    return thresholds


def _categories(section: Section, known: frozenset[str]) -> dict[str, float]:
    thresholds = {category: section.threshold(category) for category in section.names()}
    for category in thresholds:
        section.check_known(category, category, known, "category")
    return thresholds


def _one_share(section: Section) -> float:
    value = section.threshold("counts_at")
    section.close()
    return value


def _more_than(section: Section) -> int:
    value = section.integer("more_than", 0, MOST)
    section.close()
    return value


def _sentiment(section: Section) -> float:
    value = section.below_zero("at_most")
    section.close()
    return value


def _words(section: Section) -> Vocabulary:
    """One vocabulary: a table a category, in it a list of words a tier."""
    vocabulary: Vocabulary = {}
    for category in section.names():
        entry = section.table(category)
        for tier in entry.may_have(*(tier.value for tier in Tier)):
            for word in entry.strings(tier):
                meaning = Word(category, Tier(tier))
                if vocabulary.setdefault(normal(word), meaning) != meaning:
                    other = vocabulary[normal(word)]
                    entry.complain(f'"{word}" is {tier} here and {other.tier.value} in {other.category}')
        entry.close()
    return vocabulary


def _contexts(section: Section, known: frozenset[str], words: tuple[Vocabulary, ...]) -> dict[str, Context]:
    contexts: dict[str, Context] = {}
    for name in section.names():
        entry = section.table(name)
        labels = entry.strings("labels")
        for label in labels:
            if any(found(vocabulary, label) for vocabulary in words):
                entry.complain(f'labels: "{label}" is a finding\'s word as well')
        contexts[name] = Context(frozenset(map(normal, labels)), entry.known("lowers", known, "category"))
        entry.close()
    return contexts


def _video(section: Section) -> VideoPlan:
    plan = VideoPlan(
        frames=section.integer("frames", 1, 10),
        features=section.choices("features", list(Feature), least=1),
        doubt=section.pair("doubt"),
        always_full=section.flag("always_full"),
    )
    section.close()
    return plan


def _features(section: Section) -> tuple[Feature, ...]:
    features = section.choices("features", list(Feature), least=1)
    section.close()
    return features


def _incident(section: Section, known: frozenset[str]) -> IncidentRule:
    rule = IncidentRule(
        open=section.flag("open"),
        categories=section.known("categories", known, "category"),
        priority=section.choice("priority", list(Priority)),
    )
    section.close()
    return rule


def _complaint(name: str, problems: list[str]) -> str:
    shown = problems[:MAX_COMPLAINTS]
    more = [f"and {len(problems) - len(shown)} more"] if len(problems) > len(shown) else []
    return f"profile {name}: " + "; ".join([*shown, *more])
