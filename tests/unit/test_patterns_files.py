"""The pattern files: each hit is found, disguised or not; each near miss and everyday text passes."""

from __future__ import annotations

import pytest

from shared.domain.moderation.findings import Tier
from shared.domain.moderation.patterns import Pattern, PatternSet, TextCategory
from shared.policies import load_patterns
from tests.unit.pattern_texts import DISGUISES, INNOCENT

PATTERNS = load_patterns()


def found_in(text: str, patterns: PatternSet = PATTERNS) -> set[str]:
    return {hit.pattern_id for hit in patterns.scan(text)}


def each(patterns: tuple[Pattern, ...]) -> list[object]:
    return [pytest.param(pattern, id=pattern.id) for pattern in patterns]


@pytest.mark.parametrize("pattern", each(PATTERNS.patterns))
def test_every_hit_is_found(pattern: Pattern) -> None:
    assert [text for text in pattern.hits if pattern.id not in found_in(text)] == []


@pytest.mark.parametrize("pattern", each(PATTERNS.patterns))
def test_every_near_miss_passes_its_pattern(pattern: Pattern) -> None:
    assert [text for text in pattern.near_misses if pattern.id in found_in(text)] == []


@pytest.mark.parametrize("disguise", DISGUISES)
def test_every_hit_is_found_in_disguise(disguise: str) -> None:
    disguised = [(pattern.id, DISGUISES[disguise](text)) for pattern in PATTERNS.patterns for text in pattern.hits]
    assert [(name, text) for name, text in disguised if name not in found_in(text)] == []


@pytest.mark.parametrize("text", INNOCENT)
def test_everyday_sentences_pass_all_patterns(text: str) -> None:
    assert found_in(text) == set()


def test_everyday_sentences_pass_when_they_stand_together() -> None:
    assert found_in(" ".join(INNOCENT)) == set()


@pytest.mark.parametrize("disguise", ["upper case", "accents", "zero-width signs", "other blanks", "exclamations"])
def test_everyday_sentences_pass_in_odd_writing(disguise: str) -> None:
    assert [text for text in INNOCENT if found_in(DISGUISES[disguise](text))] == []


def test_six_languages_have_every_category() -> None:
    spoken = {(pattern.language, pattern.category) for pattern in PATTERNS.patterns}
    languages = {"en", "es", "fr", "de", "it", "pt"}
    assert spoken == {(language, category) for language in languages for category in TextCategory}


@pytest.mark.parametrize("language", ["en", "es", "fr", "de", "it", "pt"])
def test_a_language_has_at_least_25_patterns(language: str) -> None:
    assert sum(pattern.language == language for pattern in PATTERNS.patterns) >= 25


def test_what_is_legal_in_places_needs_other_signs_beside_it() -> None:
    needy = {TextCategory.CANNABIS, TextCategory.ALCOHOL, TextCategory.TOBACCO, TextCategory.MENTAL_HEALTH}
    tiers = {pattern.tier for pattern in PATTERNS.patterns if pattern.category in needy}
    assert tiers == {Tier.CONTEXTUAL}
