"""Wrong pattern files: every mistake is named at once, with its file and its pattern."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from shared.domain.moderation.pattern_files import pattern_set
from shared.errors import PolicyError
from shared.policies import load_patterns


def pattern(**changes: object) -> dict[str, Any]:
    right = {
        "id": "en.threat.kill_you",
        "category": "threat",
        "tier": "clear",
        "confidence": 0.8,
        "match": ["kill you"],
        "hits": ["kill you", "KILL YOU"],
        "near_misses": ["kill", "you"],
    }
    return {key: value for key, value in {**right, **changes}.items() if value is not None}


def file(*patterns: object, **changes: object) -> dict[str, Any]:
    return {"language": "en", "version": 1, "patterns": list(patterns), **changes}


def complaint_of(**files: dict[str, Any]) -> str:
    with pytest.raises(PolicyError) as raised:
        pattern_set({f"{name}.toml": content for name, content in files.items()})
    return str(raised.value)


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"id": None}, "en.toml: pattern 1: id is missing"),
        ({"id": "en.hate.kill_you"}, "en.toml: en.hate.kill_you: id does not begin with en.threat."),
        ({"id": "de.threat.kill_you"}, "id does not begin with en.threat."),
        ({"category": "rude"}, "category is 'rude', not one of threat, hate,"),
        ({"category": ["threat"]}, "category is ['threat'], not one of"),
        ({"tier": "social"}, "tier is 'social', not one of clear, contextual"),
        ({"confidence": 1.5}, "confidence is 1.5, not a number above 0 and up to 1"),
        ({"confidence": float("nan")}, "confidence is nan"),
        ({"confidence": True}, "confidence is True"),
        ({"match": []}, "match is no list of at least one pattern"),
        ({"match": "kill you"}, "match is no list of at least one pattern"),
        ({"match": ["kill ~9 you"]}, "match 'kill ~9 you' has '~9', which is no word, group or gap"),
        ({"hits": ["only one"]}, "hits is no list of at least 2 texts"),
        ({"near_misses": [1, 2]}, "near_misses is no list of at least 2 texts"),
        ({"hit": ["x"]}, "'hit' is no key of a pattern"),
    ],
)
def test_what_is_wrong_with_a_pattern(changes: dict[str, object], complaint: str) -> None:
    assert complaint in complaint_of(en=file(pattern(**changes)))


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (file(pattern(), language="English"), "en.toml: language is 'English', not two lower-case letters"),
        (file(pattern(), version="1"), "en.toml: version is '1', not a whole number from 1 on"),
        (file(pattern(), common="going"), "en.toml: common is no list of words"),
        (file(), "en.toml: patterns is no list of at least one pattern"),
        (file("kill you"), "en.toml: pattern 1: is no table"),
        (file(pattern(), name="English"), "en.toml: 'name' is no key of a pattern file"),
        (file(pattern(), pattern()), "en.toml: en.threat.kill_you: another pattern has this id"),
    ],
)
def test_what_is_wrong_with_a_file(content: dict[str, Any], complaint: str) -> None:
    assert complaint in complaint_of(en=content)


def test_all_mistakes_are_told_at_once() -> None:
    told = complaint_of(en=file(pattern(tier="grave", hits=[])), de=file(pattern(), language="de", version=0))
    assert told.split("; ") == [
        "de.toml: version is 0, not a whole number from 1 on",
        "de.toml: en.threat.kill_you: id does not begin with de.threat. and end with a name in a-z, 0-9 and _",
        "en.toml: en.threat.kill_you: tier is 'grave', not one of clear, contextual",
        "en.toml: en.threat.kill_you: hits is no list of at least 2 texts",
    ]


def test_no_files_is_a_mistake(tmp_path: Path) -> None:
    with pytest.raises(PolicyError, match="no pattern file"):
        load_patterns(tmp_path)


def test_a_file_that_is_no_toml_is_named(tmp_path: Path) -> None:
    (tmp_path / "en.toml").write_text("language =")
    (tmp_path / "fr.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(PolicyError, match=r"en.toml: is no TOML file: .*; fr.toml: is no TOML file"):
        load_patterns(tmp_path)


def test_the_version_changes_with_any_change_and_nothing_else() -> None:
    one, other = file(pattern()), file(pattern(id="de.threat.x"), language="de")
    version = pattern_set({"a.toml": one, "b.toml": other}).version
    assert version == pattern_set({"b.toml": other, "a.toml": one}).version
    assert version != pattern_set({"a.toml": file(pattern(confidence=0.81)), "b.toml": other}).version
    assert version != pattern_set({"a.toml": file(pattern(), version=2), "b.toml": other}).version
