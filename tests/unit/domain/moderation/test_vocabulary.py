"""How words are found."""

from __future__ import annotations

import pytest

from shared.domain.moderation.vocabulary import found, normal

WORDS = {"gun": 1, "knife": 2, "party": 3, "swim brief": 4, "leaf": 5, "beach": 6}


@pytest.mark.parametrize(
    ("word", "meaning"),
    [
        ("Gun", 1),
        ("GUNS", 1),
        ("knives", 2),
        ("Parties", 3),
        ("swim-briefs", 4),
        ("Swim_Brief", 4),
        ("  swim   brief ", 4),
        ("leaves", 5),
        ("beaches", 6),
        ("shotgun", None),
        ("gunner", None),
        ("", None),
        ("s", None),
    ],
)
def test_a_word_is_found_in_any_form(word: str, meaning: int | None) -> None:
    assert found(WORDS, word) == meaning


def test_what_is_normal_stays() -> None:
    assert normal(normal("Chef's  KNIFE_block-set")) == "chef's knife block set"
