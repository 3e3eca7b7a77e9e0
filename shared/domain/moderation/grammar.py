"""The language of text patterns: a sequence of words, with alternatives, beginnings, options and gaps.

    kill            this word, folded (`shared/domain/moderation/folding.py`): accents and case do not matter
    kill*           any word that begins so; at least four letters before the star
    (you|him|her*)  one of these; an alternative can have several words: (die|kill yourself)
    really?         this word or none; groups can be optional, too
    ~3              up to three words of any kind

`(shoot|stab) ~1 (you|him)` hits "I'll stab you" and "shoot at him". Words are what stands between blanks, hyphens and
apostrophes: "I'll" is `i ll`. There is no repetition and no group in a group, so that what a pattern may cost is known
when it is read (`WordSequence.most_steps`), and no text can make it cost more.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import chain, pairwise, product

from shared.domain.moderation.folding import fold
from shared.domain.moderation.words import STEM

Span = tuple[int, int]
"""The places of the first and the last word of a hit."""

MOST_ELEMENTS = 10
MOST_ALTERNATIVES = 60

MOST_SEQUENCES = 16
SHORTEST_ANCHOR = 2

_PARTS = re.compile(r"\([^()]*\)\??|[^\s()]+")
_WORD = r"[^\W_]+\*?"
_WORDS = rf"{_WORD}(?: {_WORD})*"
_ELEMENT = re.compile(rf"(?:(?P<word>{_WORD})|\((?P<group>{_WORDS}(?:\|{_WORDS})*)\))(?P<optional>\?)?")
_GAP = re.compile(r"~([1-5])")
_FOLDED = re.compile(r"[a-z0-9]+")


class GrammarError(ValueError):
    """A pattern is not of this language; the text says what is wrong with it."""


@dataclass(frozen=True)
class Element:
    """One word of a sequence, or a gap of up to `gap` words, where nothing is asked of the words."""

    words: frozenset[str] = frozenset()
    prefixes: tuple[str, ...] = ()
    optional: bool = False
    gap: int = 0

    def accepts(self, forms: tuple[str, ...]) -> bool:
        """Whether a word of the text, in one of its forms, can stand here."""
        return any(form in self.words or form.startswith(self.prefixes) for form in forms)

    @property
    def alternatives(self) -> frozenset[str]:
        """Its words and beginnings."""
        return self.words | frozenset(self.prefixes)


@dataclass(frozen=True)
class WordSequence:
    """A sequence of elements and the one by which it is found: its anchor, the rarest word as far as can be told."""

    elements: tuple[Element, ...]
    anchor: int

    @property
    def before(self) -> int:
        """How many words before its anchor a hit can begin, at most."""
        return sum(element.gap or 1 for element in self.elements[: self.anchor])

    @property
    def after(self) -> int:
        """How many words after its anchor a hit can end, at most."""
        return sum(element.gap or 1 for element in self.elements[self.anchor + 1 :])

    @property
    def most_steps(self) -> int:
        """How often a word is compared with an element at most, for each word of the text that the anchor accepts."""
        return len(self.elements) * (self.before + self.after + 1)

    def around(self, words: Sequence[tuple[str, ...]], position: int) -> tuple[Span | None, int]:
        """The narrowest hit whose anchor is the word at `position`, or None; and the steps taken, at most `most_steps`.

        Not one path after the other is tried, but all places reached are carried along.
        """
        after, forward = _reached(self.elements[self.anchor + 1 :], words, position, 1)
        if not after:
            return None, forward
        before, backward = _reached(self.elements[: self.anchor][::-1], words, position, -1)
        return ((max(before), min(after)) if before else None), forward + backward


def _reached(
    elements: Sequence[Element], words: Sequence[tuple[str, ...]], start: int, step: int
) -> tuple[Collection[int], int]:
    """The places of the last word after all elements are passed, going from `start` by `step`; and the steps taken."""
    places: set[int] = {start}
    steps = 0
    for element in elements:
        if element.gap:
            places = {place + step * between for place in places for between in range(element.gap + 1)}
            continue
        steps += len(places)
        nearby = [place + step for place in places if 0 <= place + step < len(words)]
        passed = {place for place in nearby if element.accepts(words[place])}
        places = passed | places if element.optional else passed
        if not places:
            break
    return places, steps


def parse_sequences(source: str, common: frozenset[str]) -> tuple[WordSequence, ...]:
    """The sequences that a pattern's text means: one, and one more for each alternative of several words.

    `common`: words that are no good as an anchor. Raises `GrammarError`.
    """
    if not source.strip():
        raise GrammarError("is empty")
    parts = _PARTS.findall(source)
    if "".join(parts).replace(" ", "") != "".join(source.split()):
        raise GrammarError("has a parenthesis that is not closed, or never opened")
    choices = [_choices(part) for part in parts]
    if math.prod(map(len, choices)) > MOST_SEQUENCES:
        raise GrammarError(f"means more than {MOST_SEQUENCES} sequences, by its alternatives of several words")
    return tuple(_sequence(tuple(chain.from_iterable(chosen)), common) for chosen in product(*choices))


def _sequence(elements: tuple[Element, ...], common: frozenset[str]) -> WordSequence:
    if len(elements) > MOST_ELEMENTS:
        raise GrammarError(f"has {len(elements)} elements, more than {MOST_ELEMENTS}")
    if any(end.gap or end.optional for end in (elements[0], elements[-1])):
        raise GrammarError("begins or ends with something optional")
    if any(one.gap and other.gap for one, other in pairwise(elements)):
        raise GrammarError("has two gaps side by side")
    anchor = max(range(len(elements)), key=lambda each: _rarity(elements[each], common))
    if min(map(len, elements[anchor].alternatives)) < SHORTEST_ANCHOR:
        raise GrammarError(f"has no place where every word has {SHORTEST_ANCHOR} letters or more, to begin a search at")
    return WordSequence(elements, anchor)


def _choices(part: str) -> list[tuple[Element, ...]]:
    """What may stand in the place of a part: all its single words as one element, or the words of a longer one."""
    gap = _GAP.fullmatch(part)
    if gap:
        return [(Element(gap=int(gap.group(1))),)]
    found = _ELEMENT.fullmatch(part)
    if found is None:
        raise GrammarError(f"has {part!r}, which is no word, group or gap")
    alternatives = [[_word(word) for word in each.split()] for each in (found["word"] or found["group"]).split("|")]
    if len(alternatives) > MOST_ALTERNATIVES:
        raise GrammarError(f"has a group of {len(alternatives)} words, more than {MOST_ALTERNATIVES}")
    optional = found["optional"] is not None
    single = [words[0] for words in alternatives if len(words) == 1]
    longer = [tuple(_element([word], optional=False) for word in words) for words in alternatives if len(words) > 1]
    if single:
        return [(_element(single, optional=optional),), *longer]
    return [(), *longer] if optional else longer


def _element(words: Sequence[str], *, optional: bool) -> Element:
    return Element(
        words=frozenset(word for word in words if not word.endswith("*")),
        prefixes=tuple(sorted({word[:-1] for word in words if word.endswith("*")})),
        optional=optional,
    )


def _word(word: str) -> str:
    folded = fold(word.removesuffix("*"))
    if not _FOLDED.fullmatch(folded):
        raise GrammarError(f"has {word!r}, which is not written in Latin letters")
    if word.endswith("*") and len(folded) < STEM:
        raise GrammarError(f"has {word!r}, with fewer than {STEM} letters before the star")
    return f"{folded}*" if word.endswith("*") else folded


def _rarity(element: Element, common: frozenset[str]) -> tuple[bool, int]:
    """Greater for what is rarer: long words are, for want of knowing how often each is used."""
    if element.gap or element.optional:
        return (False, -1)
    shortest = min(map(len, element.alternatives))
    return (shortest > SHORTEST_ANCHOR and not element.alternatives & common, shortest)
