"""Text patterns: read from data files, compiled once, and looked for all together.

How a text of n characters is scanned, in time and memory that grow with n alone:

1. It is parted at blanks, and each different part is folded and looked at once: does it hold an anchor, the word by
   which a pattern is found? In ordinary text few do, and no step of this is slower than a set look-up a part.
2. Around those parts only, as far as the longest pattern reaches, the words are read (`words.py`) and the patterns of
   their anchors compared (`grammar.py`). Passages that touch are read as one, so no word is read twice.

The worst text is made of anchors alone; it costs at most `PatternSet.most_steps_a_word` comparisons a word.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from functools import reduce
from itertools import chain, compress
from typing import NamedTuple

from shared.domain.moderation.findings import Tier
from shared.domain.moderation.folding import SIGNS, fold, lines_with_long_runs
from shared.domain.moderation.grammar import Span, WordSequence
from shared.domain.moderation.words import SPELLED_LETTERS, STEM, Vocabulary, Word, read_words

MAX_HITS = 16
"""Kept of each pattern, its first: more of the same decide nothing, and must not keep another's from being found."""


class TextCategory(StrEnum):
    """What a pattern speaks of."""

    THREAT = "threat"
    HATE = "hate"
    EXPLICIT = "explicit"
    DRUGS = "drugs"
    SELF_HARM = "self_harm"
    CANNABIS = "cannabis"
    ALCOHOL = "alcohol"
    TOBACCO = "tobacco"
    MENTAL_HEALTH = "mental_health"


@dataclass(frozen=True)
class Pattern:
    """What is looked for, and how sure a hit is (`confidence`, 0-1). `hits` and `near_misses` are its examples."""

    id: str
    language: str
    category: TextCategory
    tier: Tier
    confidence: float
    sequences: tuple[WordSequence, ...]
    hits: tuple[str, ...]
    near_misses: tuple[str, ...]


@dataclass(frozen=True)
class PatternHit:
    """Where a pattern was found: characters `start` to before `end` of the text."""

    pattern_id: str
    language: str
    category: TextCategory
    tier: Tier
    confidence: float
    start: int
    end: int


@dataclass(frozen=True)
class Scan:
    """What a scan found, and what it did for it: words read, and comparisons of a word with a pattern's element."""

    hits: tuple[PatternHit, ...]
    words: int
    steps: int


class PatternSet:
    """The patterns of all languages, compiled. `version` changes with anything in them."""

    def __init__(self, patterns: Sequence[Pattern], version: str) -> None:
        self.patterns = tuple(patterns)
        self.version = version
        elements = [each for pattern in patterns for sequence in pattern.sequences for each in sequence.elements]
        self._vocabulary = Vocabulary(
            (word for element in elements for word in element.words),
            (prefix for element in elements for prefix in element.prefixes),
        )
        self._anchors = _Anchors(patterns)

    @property
    def most_steps_a_word(self) -> int:
        """How many comparisons a word of a text can cost at most."""
        return self._anchors.most_steps

    def scan(self, text: str) -> tuple[PatternHit, ...]:
        """The hits in `text` in the order of their places, of each pattern the first `MAX_HITS`. Never raises."""
        return self.examine(text).hits

    def examine(self, text: str) -> Scan:
        """`scan`, with what it took."""
        return _Scanning(text, self._vocabulary, self._anchors).run()


_Anchored = tuple[Pattern, WordSequence]


class _Reach(NamedTuple):
    """How many words before and after an anchor its patterns can extend."""

    before: int = 0
    after: int = 0

    def or_more(self, other: _Reach) -> _Reach:
        return _Reach(max(self.before, other.before), max(self.after, other.after))


class _Anchors:
    """Which patterns a word is the anchor of."""

    def __init__(self, patterns: Sequence[Pattern]) -> None:
        self.exact: dict[str, list[_Anchored]] = {}
        self.stems: dict[str, list[tuple[str, _Anchored]]] = {}
        for pattern in patterns:
            for sequence in pattern.sequences:
                anchor = sequence.elements[sequence.anchor]
                for word in anchor.words:
                    self.exact.setdefault(word, []).append((pattern, sequence))
                for prefix in anchor.prefixes:
                    self.stems.setdefault(prefix[:STEM], []).append((prefix, (pattern, sequence)))

    def of(self, word: str) -> Sequence[_Anchored]:
        """The patterns that are looked for around this word."""
        exact = self.exact.get(word, ())
        if word[:STEM] not in self.stems:
            return exact
        begun = [anchored for prefix, anchored in self.stems[word[:STEM]] if word.startswith(prefix)]
        return list({id(anchored[1]): anchored for anchored in (*exact, *begun)}.values())

    def reach(self, words: Sequence[Word]) -> _Reach | None:
        """How far to read around these words, None when no pattern is looked for there."""
        sequences = [sequence for word in words for form in word.forms for _, sequence in self.of(form)]
        reaches = [_Reach(sequence.before, sequence.after) for sequence in sequences]
        return reduce(_Reach.or_more, reaches) if reaches else None

    @property
    def most_steps(self) -> int:
        """The comparisons that the most expensive word costs at most."""
        exact = max((sum(sequence.most_steps for _, sequence in found) for found in self.exact.values()), default=0)
        begun = (sum(sequence.most_steps for _, (_, sequence) in found) for found in self.stems.values())
        return exact + max(begun, default=0)


# All that str.split() takes for a blank, beside the blank itself. Each is replaced by one, so that places stay.
_ASCII_BLANKS = "\t\n\x0b\x0c\r\x1c\x1d\x1e\x1f"
_OTHER_BLANKS = (
    "\x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000"
)
_PUNCTUATION = ".,;:?\"'()[]{}<>«»„“”‘’‚–—…-_*/¿¡"
"""What commonly stands around a word and is no letter in disguise."""


_ATOMS = re.compile(rf"(?:[^\W_]|[{SIGNS}])+").findall


class _Kind(IntEnum):
    """What a part of a text that is no plain word may be: of no interest, wordless, single letters, worth reading."""

    PLAIN = 1
    EMPTY = 2
    SINGLE = 3
    CANDIDATE = 4


class _Passage(NamedTuple):
    """The words of some parts from `begin` on; each is placed from its stretch's beginning, which `offsets` tells."""

    begin: int
    words: Sequence[Word]
    offsets: Sequence[int]


class _Scanning:
    """One scan of one text: its parts between blanks, and what is known of each different one."""

    def __init__(self, text: str, vocabulary: Vocabulary, anchors: _Anchors) -> None:
        self._vocabulary = vocabulary
        self._anchors = anchors
        self._parts = _with_plain_blanks(text).split(" ")
        self._read: dict[str, tuple[Word, ...]] = {}
        self._single: frozenset[str] = frozenset()
        self._weightless: frozenset[str] = frozenset()
        self._anchored: dict[tuple[str, ...], Sequence[_Anchored]] = {}
        self._hits: dict[str, dict[PatternHit, None]] = {}
        self._counted = (0, 0)
        self._words = 0
        self._steps = 0

    def run(self) -> Scan:
        """Looks at each different part, then reads around those of interest."""
        for begin, end in self._passages(self._parts_of_interest()):
            self._compare(self._words_of(begin, end))
        hits = sorted(chain.from_iterable(self._hits.values()), key=lambda hit: (hit.start, hit.end, hit.pattern_id))
        return Scan(tuple(hits), self._words, self._steps)

    def _parts_of_interest(self) -> dict[str, _Reach]:
        """The parts that hold an anchor; notes on the way those that hold single letters only, or no words at all."""
        different = set(self._parts)
        plain = [part for part in different if part.isascii()]
        other = [part for part in different if not part.isascii()] if len(plain) < len(different) else []
        found: dict[_Kind, list[str]] = {kind: [] for kind in _Kind}
        for parts in filter(None, (plain, other)):
            folded = fold("\n".join(parts))
            with_runs = lines_with_long_runs(folded)
            for part, line in zip(parts, folded.split("\n"), strict=True):
                word = line.rstrip("!").strip(_PUNCTUATION)
                if not word.isalpha() or line in with_runs or len(word) == 1:
                    found[self._kind(word, line in with_runs)].append(part)
                elif word in self._anchors.exact or word[:STEM] in self._anchors.stems:
                    found[_Kind.CANDIDATE].append(part)
        self._single = frozenset(found[_Kind.SINGLE])
        candidates = [*found[_Kind.CANDIDATE], *(part for part in self._single if len(part) >= SPELLED_LETTERS)]
        wordless = (part for part in found[_Kind.CANDIDATE] if not self._words_in(part))
        self._weightless = self._single.union(found[_Kind.EMPTY], wordless)
        reaches = ((part, self._anchors.reach(self._words_in(part))) for part in candidates)
        return {part: reach for part, reach in reaches if reach is not None}

    def _kind(self, word: str, has_run: bool) -> _Kind:
        """What a folded part that is no plain word looks like, without reading it."""
        pieces = _ATOMS(word)
        if not pieces:
            return _Kind.EMPTY
        if max(map(len, pieces)) == 1:
            return _Kind.SINGLE
        if has_run or [len(piece) for piece in pieces].count(1) >= SPELLED_LETTERS:
            return _Kind.CANDIDATE
        return _Kind.CANDIDATE if any(map(self._may_be_anchor, pieces)) else _Kind.PLAIN

    def _may_be_anchor(self, piece: str) -> bool:
        if piece.isalpha() or piece.isdigit():
            return piece in self._anchors.exact or piece[:STEM] in self._anchors.stems
        return True

    def _words_in(self, stretch: str) -> tuple[Word, ...]:
        """The words of a part, or of several that are read together, placed from its beginning."""
        words = self._read.get(stretch)
        if words is None:
            words = self._read[stretch] = read_words(stretch, self._vocabulary)
        return words

    def _passages(self, anchors: Mapping[str, _Reach]) -> Iterator[tuple[int, int]]:
        """The parts to read, from the first to before the last: as far around each anchor as its patterns reach."""
        floor = begin = end = 0
        for index, after, reach in self._places(anchors):
            first = self._walk(index, -1, floor, reach.before)
            if end and first > end:
                yield begin, end
                floor = end
            begin = min(begin, first) if end and first <= end else first
            end = max(end, self._walk(after - 1, 1, len(self._parts) - 1, reach.after) + 1)
        if end:
            yield begin, end

    def _places(self, anchors: Mapping[str, _Reach]) -> Iterator[tuple[int, int, _Reach]]:
        """Where anchors are: the part that holds one, or the first of several that spell one, and the part after."""
        interesting = anchors.keys() | self._single
        after = 0
        for index in compress(range(len(self._parts)), map(interesting.__contains__, self._parts)):
            if index < after:
                continue
            after = index + 1
            if self._parts[index] in self._single:
                if len(self._parts[index]) < SPELLED_LETTERS and self._stands_alone(index):
                    continue
                after = self._end_of_letters(index, len(self._parts))
                reach = self._reach_of_letters(index, after)
            else:
                reach = anchors[self._parts[index]]
            if reach is not None:
                yield index, after, reach

    def _stands_alone(self, index: int) -> bool:
        """Whether a word follows, as after most single letters of a text: `a`, `I`."""
        return index + 1 < len(self._parts) and self._parts[index + 1] not in self._weightless

    def _reach_of_letters(self, begin: int, end: int) -> _Reach | None:
        """The reach of what the single letters of these parts spell; None when no pattern is looked for there."""
        letters = [part for part in self._parts[begin:end] if part in self._single]
        if len(letters) < SPELLED_LETTERS and max(map(len, letters)) < SPELLED_LETTERS:
            return None
        return self._anchors.reach(self._words_in(" ".join(self._parts[begin:end])))

    def _walk(self, index: int, step: int, limit: int, most: int) -> int:
        """The part beyond which more than `most` words lie between; single letters do not count, they may be spelt."""
        words = 0
        while index != limit and words < most:
            index += step
            words += self._parts[index] not in self._weightless
        return index

    def _words_of(self, begin: int, end: int) -> _Passage:
        """The words of the parts from `begin` to before `end`."""
        words: list[Word] = []
        offsets: list[int] = []
        index, offset = begin, 0
        while index < end:
            after = self._end_of_letters(index, end) if self._parts[index] in self._single else index + 1
            stretch = self._parts[index] if after == index + 1 else " ".join(self._parts[index:after])
            found = self._words_in(stretch)
            words += found
            offsets += [offset] * len(found)
            offset += len(stretch) + 1
            index = after
        self._words += len(words)
        return _Passage(begin, words, offsets)

    def _end_of_letters(self, index: int, end: int) -> int:
        """The end of the parts from here on that hold single letters or no words."""
        while index < end and self._parts[index] in self._weightless:
            index += 1
        return index

    def _compare(self, passage: _Passage) -> None:
        """Keeps what the passage has of the patterns that do not have enough hits yet."""
        forms = [word.forms for word in passage.words]
        for position, readings in enumerate(forms):
            for pattern, sequence in self._anchored_at(readings):
                hits = self._hits.setdefault(pattern.id, {})
                if len(hits) >= MAX_HITS:
                    continue
                span, steps = sequence.around(forms, position)
                self._steps += steps + 1
                if span is not None:
                    hits[self._hit(pattern, passage, span)] = None

    def _anchored_at(self, readings: tuple[str, ...]) -> Sequence[_Anchored]:
        """The patterns that are looked for around a word of these forms."""
        anchored = self._anchored.get(readings)
        if anchored is None:
            anchored = self._anchored[readings] = [*chain.from_iterable(map(self._anchors.of, readings))]
        return anchored

    def _hit(self, pattern: Pattern, passage: _Passage, span: Span) -> PatternHit:
        first, last = span
        begin = self._offset_of(passage.begin)
        return PatternHit(
            pattern_id=pattern.id,
            language=pattern.language,
            category=pattern.category,
            tier=pattern.tier,
            confidence=pattern.confidence,
            start=begin + passage.offsets[first] + passage.words[first].start,
            end=begin + passage.offsets[last] + passage.words[last].end,
        )

    def _offset_of(self, index: int) -> int:
        """Where a part begins in the text; asked for hits alone, in their order, so that no part is counted twice."""
        part, offset = self._counted
        offset += sum(map(len, self._parts[part:index])) + index - part
        self._counted = index, offset
        return offset


def _with_plain_blanks(text: str) -> str:
    for blank in _ASCII_BLANKS if text.isascii() else _ASCII_BLANKS + _OTHER_BLANKS:
        text = text.replace(blank, " ")
    return text
