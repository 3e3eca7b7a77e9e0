"""Makes the pattern set of what the pattern files hold, or says everything that is wrong with them at once.

A file speaks for one language:

    language = "en"
    version = 1
    common = ["going", "want"]      # words that are everywhere: a search does not begin at them

    [[patterns]]
    id = "en.threat.kill_you"       # language, category, name; never given to something else
    category = "threat"
    tier = "clear"                  # or contextual: needs other signs beside it
    confidence = 0.85               # how sure a hit is, 0-1
    match = ["kill (you|him|her)"]  # any of these; shared/domain/moderation/grammar.py has the language
    hits = [...]                    # at least two texts that it must find,
    near_misses = [...]             # and two that look alike and must pass
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any

from shared.domain.moderation.findings import Tier
from shared.domain.moderation.folding import fold
from shared.domain.moderation.grammar import GrammarError, WordSequence, parse_sequences
from shared.domain.moderation.patterns import Pattern, PatternSet, TextCategory
from shared.errors import PolicyError

_FEWEST_EXAMPLES = 2
_LANGUAGE = re.compile(r"[a-z]{2}")
_FILE_KEYS = frozenset({"language", "version", "common", "patterns"})
_PATTERN_KEYS = frozenset({"id", "category", "tier", "confidence", "match", "hits", "near_misses"})
_TIERS = (Tier.CLEAR, Tier.CONTEXTUAL)

_Problems = list[str]


def pattern_set(files: Mapping[str, Mapping[str, Any]]) -> PatternSet:
    """The patterns of all files (name → parsed content), compiled. Raises `PolicyError`, which names every mistake."""
    problems: _Problems = [] if files else ["there is no pattern file"]
    patterns: dict[str, Pattern] = {}
    common = _common(files)
    for name, content in sorted(files.items()):
        for pattern in _patterns(name, content, common, problems):
            if pattern.id in patterns:
                problems.append(f"{name}: {pattern.id}: another pattern has this id")
            patterns[pattern.id] = pattern
    if problems:
        raise PolicyError("; ".join(problems))
    return PatternSet(list(patterns.values()), _version(files))


def _version(files: Mapping[str, Mapping[str, Any]]) -> str:
    """Sixteen hexadecimal digits that any change of any file changes; the order of the files does not."""
    canonical = json.dumps({name: dict(content) for name, content in files.items()}, sort_keys=True, default=str)
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]


def _common(files: Mapping[str, Mapping[str, Any]]) -> frozenset[str]:
    """What is common in one language makes a search in a text of that language slow, whatever the pattern's own."""
    lists = [content.get("common", []) for content in files.values()]
    return frozenset(fold(word) for words in lists if _are_texts(words) for word in words)


def _patterns(name: str, content: Mapping[str, Any], common: frozenset[str], problems: _Problems) -> list[Pattern]:
    problems.extend(f"{name}: {key!r} is no key of a pattern file" for key in sorted(content.keys() - _FILE_KEYS))
    language = content.get("language")
    if not isinstance(language, str) or not _LANGUAGE.fullmatch(language):
        problems.append(f"{name}: language is {language!r}, not two lower-case letters")
        return []
    version = content.get("version")
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        problems.append(f"{name}: version is {version!r}, not a whole number from 1 on")
    if not _are_texts(content.get("common", [])):
        problems.append(f"{name}: common is no list of words")
    entries = content.get("patterns")
    if not isinstance(entries, list) or not entries:
        problems.append(f"{name}: patterns is no list of at least one pattern")
        return []
    found = (_pattern(name, language, number, entry, common, problems) for number, entry in enumerate(entries, start=1))
    return [pattern for pattern in found if pattern is not None]


def _pattern(
    name: str, language: str, number: int, entry: object, common: frozenset[str], problems: _Problems
) -> Pattern | None:
    """The pattern, or None when something is wrong with it, which is added to `problems`."""
    if not isinstance(entry, Mapping):
        problems.append(f"{name}: pattern {number}: is no table")
        return None
    given = entry.get("id")
    place = f"{name}: {given}" if isinstance(given, str) else f"{name}: pattern {number}"
    wrong = [*_wrong_keys(entry), *_wrong_values(language, entry)]
    sequences, mistakes = _sequences(entry.get("match"), common)
    wrong.extend(mistakes)
    if wrong:
        problems.extend(f"{place}: {each}" for each in wrong)
        return None
    return Pattern(
        id=entry["id"],
        language=language,
        category=TextCategory(entry["category"]),
        tier=Tier(entry["tier"]),
        confidence=float(entry["confidence"]),
        sequences=sequences,
        hits=tuple(entry["hits"]),
        near_misses=tuple(entry["near_misses"]),
    )


def _wrong_keys(entry: Mapping[str, Any]) -> list[str]:
    unknown = [f"{key!r} is no key of a pattern" for key in sorted(entry.keys() - _PATTERN_KEYS)]
    return [*unknown, *(f"{key} is missing" for key in sorted(_PATTERN_KEYS - entry.keys()))]


def _wrong_values(language: str, entry: Mapping[str, Any]) -> list[str]:
    """What is wrong with the values that are there; missing ones are told of as such."""
    category, tier, confidence = entry.get("category"), entry.get("tier"), entry.get("confidence")
    wrong = []
    if "category" in entry and category not in list(TextCategory):
        wrong.append(f"category is {category!r}, not one of {', '.join(TextCategory)}")
    elif "id" in entry and not re.fullmatch(rf"{language}\.{category}\.[a-z0-9_]+", str(entry["id"])):
        wrong.append(f"id does not begin with {language}.{category}. and end with a name in a-z, 0-9 and _")
    if "tier" in entry and tier not in _TIERS:
        wrong.append(f"tier is {tier!r}, not one of {', '.join(_TIERS)}")
    if "confidence" in entry and not _is_share(confidence):
        wrong.append(f"confidence is {confidence!r}, not a number above 0 and up to 1")
    for key in ("hits", "near_misses"):
        if key in entry and not (_are_texts(entry[key]) and len(entry[key]) >= _FEWEST_EXAMPLES):
            wrong.append(f"{key} is no list of at least {_FEWEST_EXAMPLES} texts")
    return wrong


def _is_share(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value <= 1


def _are_texts(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(each, str) and each.strip() for each in value)


def _sequences(sources: object, common: frozenset[str]) -> tuple[tuple[WordSequence, ...], list[str]]:
    if sources is None:
        return (), []
    if not isinstance(sources, list) or not _are_texts(sources) or not sources:
        return (), ["match is no list of at least one pattern"]
    sequences: list[WordSequence] = []
    wrong: list[str] = []
    for source in sources:
        try:
            sequences.extend(parse_sequences(source, common))
        except GrammarError as mistake:
            wrong.append(f"match {source!r} {mistake}")
    return tuple(sequences), wrong
