"""Reads a text as the words that patterns speak of, through leetspeak, letters written apart and repeated letters.

A disguise is only seen through when a word of the vocabulary appears behind it: `k1ll` is read as `kill` because a
pattern has that word, and `mp3`, `2024`, `1 3 5` and `U. S. A.` stay what they are. Every step is linear in the text.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate, chain, pairwise
from typing import NamedTuple

from shared.domain.moderation.folding import SIGNS, fold_with_origins, has_long_run, letters_for_signs, squeeze

STEM = 4
"""Letters of a word by which it is looked up first, and the fewest that a prefix may have."""

SPELLED_LETTERS = 3
"""Fewer letters written apart are initials."""

_LONGEST_SPELLED = 16
_ATOM = re.compile(rf"(?:[^\W_]|[{SIGNS}])+")
_PIECE = re.compile(r"[^\W_]+")
_APART = re.compile(r"[ .,*/|~+_·•-]{1,3}")
"""What may stand between two letters of one word; an apostrophe is none: it parts words."""


class Word(NamedTuple):
    """A word as patterns may have it (more than one form where the disguise is ambiguous), and where it stands."""

    forms: tuple[str, ...]
    start: int
    end: int


class _Atom(NamedTuple):
    text: str
    start: int
    end: int


class Vocabulary:
    """The words and beginnings of words that any pattern has, folded."""

    def __init__(self, words: Iterable[str], prefixes: Iterable[str]) -> None:
        """`prefixes` have at least `STEM` letters."""
        self._prefixes: dict[str, tuple[str, ...]] = {}
        for prefix in sorted(set(prefixes)):
            self._prefixes[prefix[:STEM]] = (*self._prefixes.get(prefix[:STEM], ()), prefix)
        self._spelled = frozenset(words) | frozenset(prefixes)
        self._squeezed: dict[str, tuple[str, ...]] = {}
        for word in sorted(self._spelled):
            self._squeezed[squeeze(word)] = (*self._squeezed.get(squeeze(word), ()), word)
        self._squeezed_prefixes = {squeeze(prefix): prefix for prefix in sorted(set(prefixes))}
        self._beginnings = frozenset(word[:SPELLED_LETTERS] for word in self._spelled)

    def knows(self, word: str) -> bool:
        """Whether a pattern has this word, or a beginning of it."""
        return word in self._spelled or word.startswith(self._prefixes.get(word[:STEM], ()))

    def forms_of(self, word: str) -> tuple[str, ...]:
        """The words of patterns that `word` is, or that it becomes without its repeated letters; none: ()."""
        known = (word,) if self.knows(word) else ()
        if word in self._spelled or not has_long_run(word):
            return known
        return tuple(dict.fromkeys((*known, *self._without_repeats(word))))

    def _without_repeats(self, word: str) -> Iterator[str]:
        squeezed = squeeze(word)
        yield from self._squeezed.get(squeezed, ())
        for length in range(SPELLED_LETTERS, _LONGEST_SPELLED):
            prefix = self._squeezed_prefixes.get(squeezed[:length])
            if prefix is not None:
                yield prefix

    def forms_behind_signs(self, word: str) -> tuple[str, ...]:
        """The words of patterns that `word` spells with digits and signs for letters; none: ()."""
        return tuple(dict.fromkeys(form for reading in letters_for_signs(word) for form in self.forms_of(reading)))

    def begins_spelled(self, letters: str) -> bool:
        """Whether some word of a pattern begins with these `SPELLED_LETTERS` letters."""
        return letters in self._beginnings

    def is_spelled(self, letters: str) -> bool:
        """Whether these letters are exactly a word of a pattern."""
        return letters in self._spelled


def read_words(text: str, vocabulary: Vocabulary) -> tuple[Word, ...]:
    """The words of the text in their order."""
    folded, origins = fold_with_origins(text)
    atoms = [_atom(found.group(), found.start()) for found in _ATOM.finditer(folded)]
    words = _words(atoms, folded, vocabulary)
    return tuple(Word(word.forms, origins[word.start], origins[word.end - 1] + 1) for word in words)


def _atom(text: str, start: int) -> _Atom:
    """Exclamation marks at the end of a word are what they are; within it they are letters."""
    bare = text.rstrip("!") or "!"
    return _Atom(bare, start, start + len(bare))


def _words(atoms: Sequence[_Atom], folded: str, vocabulary: Vocabulary) -> Iterator[Word]:
    position = 0
    while position < len(atoms):
        after = _end_of_run(atoms, position, folded)
        if after - position >= SPELLED_LETTERS:
            yield from _spelled_words(atoms[position:after], folded, vocabulary)
        else:
            after = position + 1
            yield from _plain_words(atoms[position], vocabulary)
        position = after


def _end_of_run(atoms: Sequence[_Atom], position: int, folded: str) -> int:
    """The end of the single letters from here on that stand close to each other."""
    if len(atoms[position].text) > 1:
        return position
    after = position + 1
    while (
        after < len(atoms)
        and len(atoms[after].text) == 1
        and _APART.fullmatch(folded, atoms[after - 1].end, atoms[after].start)
    ):
        after += 1
    return after


def _plain_words(atom: _Atom, vocabulary: Vocabulary) -> Iterator[Word]:
    """The word of an atom; where signs in it spell nothing, they are punctuation between words."""
    text, start, end = atom
    if text.isalpha():
        yield Word(vocabulary.forms_of(text) or (text,), start, end)
        return
    bare = text.strip("!")
    forms = (bare,) if vocabulary.knows(bare) else vocabulary.forms_behind_signs(text)
    forms = forms or vocabulary.forms_behind_signs(bare)
    if forms:
        yield Word(forms, start, end)
        return
    for piece in _PIECE.finditer(text):
        letters = piece.group()
        forms = vocabulary.forms_of(letters) or vocabulary.forms_behind_signs(letters) or (letters,)
        yield Word(forms, start + piece.start(), start + piece.end())


def _spelled_words(run: Sequence[_Atom], folded: str, vocabulary: Vocabulary) -> Iterator[Word]:
    """The words that single letters spell, parted where a gap is wider than one beside it."""
    gaps = [_width(folded[before.end : after.start]) for before, after in pairwise(run)]
    begin = 0
    for number, gap in enumerate(gaps):
        if gap > min(gaps[max(number - 1, 0) : number + 2]):
            yield from _spelled(run[begin : number + 1], vocabulary)
            begin = number + 1
    yield from _spelled(run[begin:], vocabulary)


def _width(gap: str) -> int:
    """Blanks part more than signs do: `k-i-l-l y-o-u`."""
    return len(gap) + 3 * gap.count(" ")


def _spelled(run: Sequence[_Atom], vocabulary: Vocabulary) -> Iterable[Word]:
    letters = "".join(atom.text for atom in run)
    if len(run) < SPELLED_LETTERS:
        return chain.from_iterable(_plain_words(atom, vocabulary) for atom in run)
    forms = _forms_of_spelled(letters, vocabulary)
    if forms:
        return [Word(forms, run[0].start, run[-1].end)]
    found = _parted(letters, SPELLED_LETTERS, vocabulary)
    if not all(vocabulary.is_spelled(form) for form, _ in found):
        # Short words lie in many a string of letters: they count only where nothing is left over.
        found = _parted(letters, SPELLED_LETTERS + 1, vocabulary)
    ends = accumulate(length for _, length in found)
    return [
        Word((form,), run[end - length].start, run[end - 1].end)
        for (form, length), end in zip(found, ends, strict=True)
    ]


def _parted(letters: str, shortest: int, vocabulary: Vocabulary) -> list[tuple[str, int]]:
    """The words that letters without gaps spell, with how many letters each takes; what is between them is one, too."""
    found: list[tuple[str, int]] = []
    position = rest = 0
    while position < len(letters):
        form = _longest_spelled(letters[position : position + _LONGEST_SPELLED], shortest, vocabulary)
        if form is not None and rest < position:
            found.append((letters[rest:position], position - rest))
        if form is not None:
            found.append((form, len(form)))
            rest = position + len(form)
        position += 1 if form is None else len(form)
    return [*found, (letters[rest:], position - rest)] if rest < position else found


def _forms_of_spelled(letters: str, vocabulary: Vocabulary) -> tuple[str, ...]:
    return vocabulary.forms_of(letters) or vocabulary.forms_behind_signs(letters)


def _longest_spelled(letters: str, shortest: int, vocabulary: Vocabulary) -> str | None:
    """The longest word of a pattern that these letters begin with, or None."""
    for reading in (letters, *letters_for_signs(letters)):
        if not vocabulary.begins_spelled(reading[:SPELLED_LETTERS]):
            continue
        for length in range(len(reading), shortest - 1, -1):
            if vocabulary.is_spelled(reading[:length]):
                return reading[:length]
    return None
