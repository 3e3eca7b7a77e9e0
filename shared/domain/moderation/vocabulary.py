"""How a witness's word is found in a vocabulary: in any case, with hyphens or underscores, in the plural."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TypeVar

T = TypeVar("T")

_PLURALS = (("ies", "y"), ("ves", "fe"), ("ves", "f"), ("es", ""), ("s", ""))


def normal(word: str) -> str:
    """Lower case, single blanks for blanks, hyphens and underscores."""
    return " ".join(word.casefold().replace("_", " ").replace("-", " ").split())


def found(vocabulary: Mapping[str, T], word: str) -> T | None:
    """What a vocabulary of normal words says of a word, or of its singular; None when it has neither."""
    return next((vocabulary[form] for form in _forms(normal(word)) if form in vocabulary), None)


def _forms(word: str) -> Iterator[str]:
    yield word
    for ending, singular in _PLURALS:
        if word.endswith(ending):
            yield word.removesuffix(ending) + singular
