"""A profile's file: what it may say, and how it is told what is wrong with it."""

from __future__ import annotations

import copy
import tomllib
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.incidents import Priority
from shared.domain.moderation.findings import Factor, Likelihood, Part, Tier
from shared.domain.moderation.patterns import TextCategory
from shared.domain.moderation.prices_of_looks import image_cost, video_cost
from shared.domain.moderation.profile_files import merged, profile_of
from shared.domain.moderation.profiles import Word
from shared.domain.moderation.receipts import Status
from shared.domain.moderation.verdicts import judge
from shared.errors import ProfileError
from shared.policies import PROFILES
from shared.ports import Feature
from tests.unit.domain.moderation.evidence import BALANCED, STRICT, evidence, object_seen, safe_search

BASE: dict[str, Any] = tomllib.loads((PROFILES / "balanced.toml").read_text())


def problems_of(over: dict[str, Any]) -> list[str]:
    with pytest.raises(ProfileError) as caught:
        profile_of("mine", over, BASE)
    return str(caught.value).removeprefix("profile mine: ").split("; ")


def test_balanced_is_the_table_of_the_specification() -> None:
    assert BALANCED.weights == {
        Factor.SAFE_SEARCH: 0.40,
        Factor.OBJECTS: 0.25,
        Factor.TEXT: 0.20,
        Factor.SCENE: 0.10,
        Factor.SENTIMENT: 0.05,
    }
    assert (BALANCED.fail_score, BALANCED.caution_score, BALANCED.lone_contextual) == (0.70, 0.50, 0.85)
    assert BALANCED.video.features == (Feature.SAFE_SEARCH, Feature.LABELS, Feature.TEXT)
    assert BALANCED.incident.priority is Priority.HIGH
    assert BALANCED.required == frozenset()


def test_frames_leave_money_for_looking_twice_at_one_video_in_twenty() -> None:
    now = datetime(2026, 11, 22, tzinfo=UTC)
    every_video = video_cost(120.0, now)
    plan = BALANCED.video

    assert image_cost(plan.frames, plan.features, now) + 0.05 * every_video <= 0.10 * every_video


def test_strict_changes_what_it_names_and_keeps_the_rest() -> None:
    assert STRICT.video.always_full
    assert STRICT.weights == BALANCED.weights
    assert STRICT.object_words == BALANCED.object_words
    assert STRICT.safe_search_tiers == BALANCED.safe_search_tiers
    assert STRICT.scene_words.items() > BALANCED.scene_words.items()
    assert STRICT.text_words["politics"] == Word("politics", Tier.SOCIAL)


@pytest.mark.parametrize(
    ("over", "problem"),
    [
        ({"objects": {"clear": 1.4}}, "objects.clear: 1.4 is not between 0 and 1"),
        ({"objects": {"clear": -0.1}}, "objects.clear: -0.1 is not between 0 and 1"),
        ({"objects": {"clear": 0.0}}, "objects.clear: 0 is below 0.01, so that everything would reach it"),
        ({"objects": {"clear": "much"}}, 'objects.clear: "much" is no number'),
        ({"objects": {"clear": True}}, "objects.clear: True is no number"),
        ({"objects": {"clear": float("nan")}}, "objects.clear: nan is no number"),
        ({"objects": {"clear": float("inf")}}, "objects.clear: 1e+09 is not between 0 and 1"),
        ({"objects": {"cleer": 0.5}}, 'objects.cleer: is not known (did you mean "clear"?)'),
        ({"objects": 0.5}, "objects: 0.5 is no table"),
        ({"object": {}}, 'object: is not known (did you mean "objects"?)'),
        ({"weights": {"text": 0}}, "weights.text: 0 is not above 0"),
        ({"weights": {"text": 10**400}}, "weights.text: 1e+09 is more than 1000000"),
        ({"safe_search": {"adult": {"counts_at": "LIKLY"}}}, 'safe_search.adult.counts_at: "LIKLY" is none of'),
        ({"safe_search": {"adult": {"counts_at": "UNKNOWN"}}}, 'safe_search.adult.counts_at: "UNKNOWN" is none of'),
        ({"safe_search": {"adult": {"tier": "clean"}}}, '(did you mean "clear"?)'),
        ({"safe_search": {"spoof": {}}}, "safe_search.spoof: is not known"),
        ({"categories": {"alcool": 0.5}}, 'categories.alcool: "alcool" is no category (did you mean "alcohol"?)'),
        ({"text": {"shortest": 2.5}}, "text.shortest: 2.5 is no whole number"),
        ({"text": {"shortest": -1}}, "text.shortest: -1 is not between 0 and 10000"),
        ({"sentiment": {"at_most": 0.5}}, "sentiment.at_most: 0.5 is not between -1 and 0"),
        ({"crowd": {"more_than": True}}, "crowd.more_than: True is no whole number"),
        ({"decision": {"caution_score": 0.7}}, "decision: caution_score is not below fail_score"),
        ({"video": {"frames": 11}}, "video.frames: 11 is not between 1 and 10"),
        ({"video": {"features": []}}, "video.features: is empty"),
        ({"video": {"features": "labels"}}, 'video.features: "labels" is no list'),
        ({"image": {"features": ["lables"]}}, '(did you mean "labels"?)'),
        ({"video": {"doubt": [0.8, 0.1]}}, "video.doubt: is not two numbers between 0 and 1, the smaller one first"),
        ({"video": {"always_full": 1}}, "video.always_full: 1 is neither true nor false"),
        ({"incident": {"categories": ["wepons"]}}, 'incident.categories: "wepons" is no category (did you mean'),
        ({"incident": {"priority": "Urgent"}}, 'incident.priority: "Urgent" is none of Medium, High, Critical'),
        ({"required": ["adult"]}, 'required: "adult" is none of safe_search.adult,'),
        ({"version": 7}, "version: 7 is no text"),
        ({"quarantine": "yes"}, 'quarantine: "yes" is neither true nor false'),
        (
            {"vocabulary": {"objects": {"weapons": {"clear": [7, ""]}}}},
            "vocabulary.objects.weapons.clear: 7 is no text",
        ),
        (
            {"vocabulary": {"objects": {"toys": {"social": ["Gun"]}}}},
            'vocabulary.objects.toys: "Gun" is social here and clear in weapons',
        ),
        ({"vocabulary": {"objects": {"My Toys": {}}}}, "vocabulary.objects.My Toys: is no name of small letters"),
        ({"vocabulary": {"objects": {"toys": {"soft": []}}}}, "vocabulary.objects.toys.soft: is not known"),
        ({"contexts": {"beach": {"labels": ["Parties"]}}}, 'contexts.beach: labels: "Parties" is a finding\'s word'),
        ({"contexts": {"beach": {"lowers": ["swimware"]}}}, '"swimware" is no category (did you mean "swimwear"?)'),
        ({"contexts": {"beach": "sand"}}, 'contexts.beach: "sand" is no table'),
        ({"text": {"counts_at": "x" * 500}}, "x…"),
    ],
)
def test_what_is_wrong_is_told_with_its_path(over: dict[str, Any], problem: str) -> None:
    problems = problems_of(over)

    assert any(problem in told for told in problems), problems
    assert max(map(len, problems)) < 300


def test_everything_that_is_wrong_is_told_at_once() -> None:
    over = {"objects": {"clear": 1.4, "cleer": 1}, "text": {"counts_at": 7}, "colour": "red"}

    assert sorted(problems_of(over)) == [
        "colour: is not known",
        "objects.clear: 1.4 is not between 0 and 1",
        'objects.cleer: is not known (did you mean "clear"?)',
        "text.counts_at: 7 is not between 0 and 1",
    ]


def test_an_empty_file_misses_everything_and_says_so_only_once_each() -> None:
    with pytest.raises(ProfileError) as caught:
        profile_of("empty", {})

    problems = str(caught.value).split("; ")
    assert "safe_search: is missing" in str(caught.value)
    assert len(problems) == len(set(problems)) == 51
    assert problems[-1].endswith(" more")


def test_a_file_of_ones_own_changes_single_numbers_and_words() -> None:
    over = {
        "extends": "balanced",
        "safe_search": {"racy": {"tier": "social"}},
        "vocabulary": {"objects": {"weapons": {"clear": ["Ray_Gun"]}, "balloons": {"contextual": ["balloon"]}}},
        "categories": {"balloons": 0.3, "self_harm": 0.9},
        "required": ["safe_search.adult"],
    }
    mine = profile_of("mine", over, BASE)

    assert mine.object_words["ray gun"] == Word("weapons", Tier.CLEAR)
    assert "handgun" not in mine.object_words
    assert judge(evidence(object_seen("Balloons", 0.9)), mine).status is Status.FAIL
    assert mine.categories == {**BALANCED.categories, "balloons": 0.3, "self_harm": 0.9}
    assert mine.required == {Part.ADULT}
    assert judge(evidence(safe_search(Part.RACY, Likelihood.VERY_LIKELY)), mine).status is Status.PASS


def test_the_version_changes_with_what_the_file_says_and_only_then() -> None:
    same = profile_of("other name", {"extends": "balanced"}, BASE)
    other = profile_of("balanced", {"vocabulary": {"scenes": {"sport": {"social": ["chess"]}}}}, BASE)

    assert same == replace(BALANCED, name="other name")
    assert other.version != BALANCED.version
    assert other.version.startswith("1-")
    assert len(other.version) == len("1-") + 12


def test_pattern_categories_may_be_named_without_a_word_of_them() -> None:
    named = {"incident": {"categories": sorted(TextCategory)}}

    assert profile_of("mine", named, BASE).incident.categories == frozenset(TextCategory)


def test_merging_leaves_what_it_merges_alone() -> None:
    before = copy.deepcopy(BASE)
    over = {"objects": {"clear": 0.9}, "extends": "balanced"}

    assert merged(over, BASE)["objects"] == {"clear": 0.9, "contextual": 0.60, "social": 0.75}
    assert "extends" not in merged(over, BASE)
    assert (before, over["extends"]) == (BASE, "balanced")


KEYS = st.sampled_from([*BASE, "clear", "counts_at", "tier", "adult", "labels", "beach", "frames", "x y"])
SCALARS = st.sampled_from(
    [None, True, -1, 0, 7, 10**400, 0.5, float("nan"), float("-inf"), "", "LIKELY", "balanced", b"1"]
)
VALUES = SCALARS | st.lists(SCALARS, max_size=3)
TABLES = st.dictionaries(KEYS, VALUES | st.dictionaries(KEYS, VALUES, max_size=3), max_size=3)


@given(st.dictionaries(KEYS, VALUES | TABLES, max_size=4))
def test_whatever_a_file_says_it_is_a_profile_or_a_complaint(over: dict[str, Any]) -> None:
    try:
        profile = profile_of("mine", over, BASE)
    except ProfileError:
        return
    assert judge(evidence(object_seen("Gun", 1.0)), profile).flip is not None
