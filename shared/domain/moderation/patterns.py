"""Text patterns: read from data files, compiled once, and looked for all together.

How a text of n characters is scanned, in time and memory that grow with n alone:

1. It is parted at blanks, and each different part is folded and looked at once: does it hold an anchor, the word by
   which a pattern is found? In ordinary text few do, and no step of this is slower than a set look-up a part.
2. Around those parts only, as far as the longest pattern reaches, the words are read (`words.py`) and the patterns of
   their anchors compared (`grammar.py`). Passages that touch are read as one, so no word is read twice.

The worst text is made of anchors alone; it costs at most `PatternSet.most_steps_a_word` comparisons a word.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from shared.domain.moderation.findings import Tier
from shared.domain.moderation.folding import LONG_RUNS, fold
from shared.domain.moderation.grammar import WordSequence
from shared.domain.moderation.words import SPELLED_LETTERS, STEM, Vocabulary, Word, is_written_apart, read_words

MAX_HITS = 256
"""As many hits of a text are kept: by then everything that will be decided about it is decided."""


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
        sequences = [(pattern, sequence) for pattern in patterns for sequence in pattern.sequences]
        elements = [element for _, sequence in sequences for element in sequence.elements]
        self._vocabulary = Vocabulary(
            (word for element in elements for word in element.words),
            (prefix for element in elements for prefix in element.prefixes),
        )
        self._by_stem = _by_stem(sequences)
        self._reach = max((sequence.reach for _, sequence in sequences), default=0)

    @property
    def most_steps_a_word(self) -> int:
        """How many comparisons a word of a text can cost at most."""
        costs = (sum(sequence.most_steps for _, sequence in found) for found in self._by_stem.values())
        return max(costs, default=0)

    def scan(self, text: str) -> tuple[PatternHit, ...]:
        """The first `MAX_HITS` hits in `text` in the order of their places. Never raises."""
        return self.examine(text).hits

    def examine(self, text: str) -> Scan:
        """`scan`, with what it took."""
        return _Scanning(text, self._vocabulary, self._by_stem, self._reach).run()


_ByStem = Mapping[str, Sequence[tuple[Pattern, WordSequence]]]


def _by_stem(sequences: Sequence[tuple[Pattern, WordSequence]]) -> _ByStem:
    found: dict[str, list[tuple[Pattern, WordSequence]]] = {}
    for pattern, sequence in sequences:
        anchor = sequence.elements[sequence.anchor]
        for stem in {word[:STEM] for word in anchor.alternatives}:
            found.setdefault(stem, []).append((pattern, sequence))
    return found


# All that str.split() takes for a blank, beside the blank itself. Each is replaced by one, so that places stay.
_ASCII_BLANKS = "\t\n\x0b\x0c\r\x1c\x1d\x1e\x1f"
_OTHER_BLANKS = (
    "\x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000"
)
_PUNCTUATION = ".,;:?\"'()[]{}<>«»„“”‘’‚–—…-_*/¿¡"
"""What commonly stands around a word and is no letter in disguise."""


class _Scanning:
    """One scan of one text: its parts between blanks, and what is known of each different one."""

    def __init__(self, text: str, vocabulary: Vocabulary, by_stem: _ByStem, reach: int) -> None:
        self._vocabulary = vocabulary
        self._by_stem = by_stem
        self._reach = reach
        self._parts = _with_plain_blanks(text).split(" ")
        self._read: dict[str, tuple[Word, ...]] = {}
        self._single: frozenset[str] = frozenset()
        self._words = 0
        self._steps = 0

    def run(self) -> Scan:
        """Looks at each different part, then reads around those of interest."""
        anchors = self._parts_of_interest()
        hits: list[PatternHit] = []
        offset = part = 0
        for begin, end in self._passages(anchors):
            offset += sum(map(len, self._parts[part:begin])) + begin - part
            part = begin
            hits.extend(self._hits_in(self._words_of(begin, end, offset), MAX_HITS - len(hits)))
            if len(hits) >= MAX_HITS:
                break
        hits.sort(key=lambda hit: (hit.start, hit.end, hit.pattern_id))
        return Scan(tuple(hits), self._words, self._steps)

    def _parts_of_interest(self) -> frozenset[str]:
        """The parts that hold an anchor; notes on the way those that hold single letters only."""
        different = set(self._parts)
        plain = [part for part in different if part.isascii()]
        other = [part for part in different if not part.isascii()] if len(plain) < len(different) else []
        anchors: set[str] = set()
        single: set[str] = set()
        for parts in filter(None, (plain, other)):
            folded = fold("\n".join(parts))
            runs = tuple(run for run in LONG_RUNS if run in folded)
            for part, line in zip(parts, folded.split("\n"), strict=True):
                word = line.strip(_PUNCTUATION)
                if word.isalpha() and len(word) > 1 and not (runs and any(run in word for run in runs)):
                    if word[:STEM] in self._by_stem:
                        anchors.add(part)
                elif word and is_written_apart(word):
                    single.add(part)
                elif word and self._has_anchor(part):
                    anchors.add(part)
        # Letters that are written apart within one part are read by themselves, too.
        anchors.update(part for part in single if len(part) >= SPELLED_LETTERS and self._has_anchor(part))
        self._single = frozenset(single)
        return frozenset(anchors)

    def _has_anchor(self, part: str) -> bool:
        return self._is_anchor_in(self._words_in(part))

    def _is_anchor_in(self, words: Sequence[Word]) -> bool:
        return any(form[:STEM] in self._by_stem for word in words for form in word.forms)

    def _words_in(self, part: str) -> tuple[Word, ...]:
        """The words of one part, placed from its beginning."""
        words = self._read.get(part)
        if words is None:
            words = self._read[part] = read_words(part, self._vocabulary) if part else ()
        return words

    def _passages(self, anchors: frozenset[str]) -> Iterator[tuple[int, int]]:
        """The parts to read, from the first to before the last: as far around each anchor as a pattern reaches."""
        begin = end = 0
        for index, after in self._places(anchors):
            first = self._walk(index, -1, end) if index > end else begin
            if first > end:
                if end:
                    yield begin, end
                begin = first
            end = max(end, self._walk(after - 1, 1, len(self._parts) - 1) + 1)
        if end:
            yield begin, end

    def _places(self, anchors: frozenset[str]) -> Iterator[tuple[int, int]]:
        """Where anchors are: the part that holds one, or the first of several that spell one, and the part after."""
        interesting = anchors | self._single
        after = 0
        for index in [index for index, part in enumerate(self._parts) if part in interesting]:
            if index < after:
                continue
            after = index + 1
            if self._parts[index] in self._single:
                after = self._end_of_letters(index, len(self._parts))
            if self._parts[index] in anchors or self._is_spelled(index, after):
                yield index, after

    def _is_spelled(self, begin: int, end: int) -> bool:
        """Whether the single letters of these parts spell an anchor."""
        if sum(len(part) for part in self._parts[begin:end] if part in self._single) < SPELLED_LETTERS:
            return False
        return self._is_anchor_in(read_words(" ".join(self._parts[begin:end]), self._vocabulary))

    def _walk(self, index: int, step: int, limit: int) -> int:
        """The part so far away that as many words as the longest pattern has lie between; single letters count not."""
        words = 0
        while index != limit and words < self._reach:
            index += step
            part = self._parts[index]
            if part and part not in self._single and self._words_in(part):
                words += 1
        return index

    def _words_of(self, begin: int, end: int, offset: int) -> list[Word]:
        """The words of the parts from `begin` to before `end`, the first of which begins at `offset`."""
        words: list[Word] = []
        index = begin
        while index < end:
            after = self._end_of_letters(index, end) if self._parts[index] in self._single else index + 1
            stretch = " ".join(self._parts[index:after])
            found = self._words_in(stretch) if after == index + 1 else read_words(stretch, self._vocabulary)
            words.extend([Word(forms, start + offset, stop + offset) for forms, start, stop in found])
            offset += len(stretch) + 1
            index = after
        self._words += len(words)
        return words

    def _end_of_letters(self, index: int, end: int) -> int:
        """The end of the parts from here on that hold single letters or bare signs."""
        while index < end and (self._parts[index] in self._single or not self._words_in(self._parts[index])):
            index += 1
        return index

    def _hits_in(self, words: Sequence[Word], most: int) -> list[PatternHit]:
        hits: list[PatternHit] = []
        forms = [word.forms for word in words]
        for position, word in enumerate(words):
            if len(hits) >= most:
                break
            for form in word.forms:
                for pattern, sequence in self._by_stem.get(form[:STEM], ()):
                    span, steps = sequence.around(forms, position)
                    self._steps += steps
                    if span is not None:
                        hits.append(_hit(pattern, words[span[0]], words[span[1]]))
        return list(dict.fromkeys(hits))[:most]


def _with_plain_blanks(text: str) -> str:
    for blank in _ASCII_BLANKS if text.isascii() else _ASCII_BLANKS + _OTHER_BLANKS:
        text = text.replace(blank, " ")
    return text


def _hit(pattern: Pattern, first: Word, last: Word) -> PatternHit:
    return PatternHit(
        pattern_id=pattern.id,
        language=pattern.language,
        category=pattern.category,
        tier=pattern.tier,
        confidence=pattern.confidence,
        start=first.start,
        end=last.end,
    )
