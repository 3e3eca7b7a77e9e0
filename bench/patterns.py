"""How fast texts are scanned for all patterns: `python -m bench.patterns [--megabytes 1]`.

Beside each text stands a naive scan: one regular expression a pattern, over the text folded whole. It sees through no
leetspeak and no letters written apart, so it does less; it is timed on a part of the text and scaled up.
Times are CPU seconds of this process, the least of several.
"""

from __future__ import annotations

import argparse
import re
import time
from collections.abc import Callable, Iterator, Sequence
from pydoc_data.topics import topics

from bench.tables import show
from shared.domain.moderation.folding import fold
from shared.domain.moderation.grammar import Element, WordSequence
from shared.domain.moderation.patterns import PatternSet
from shared.policies import load_patterns

COLUMNS = ("text", "MB", "ms", "MB/s", "hits", "words read", "comparisons", "one regex a pattern, ms")
NAIVE_CHARACTERS = 10_000
"""The naive scan takes a minute a megabyte: it is timed on the beginning of a text, and its time scaled up."""

PROSE = re.compile(r"[\w .,;:'’“”()-]{40,}")
"""A line of sentences, not of code."""

LANGUAGES = ("en", "es", "fr", "de", "it", "pt")


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.patterns", description=__doc__)
    parser.add_argument("--megabytes", type=float, default=1.0, help="size of each text (default 1)")
    parser.add_argument("--repeats", type=int, default=5, help="the least of so many times is told (default 5)")
    options = parser.parse_args(arguments)
    patterns = load_patterns()
    naive = [re.compile(_expression(sequence)) for each in patterns.patterns for sequence in each.sequences]
    size = int(options.megabytes * 1_000_000)
    rows = [_row(name, text, patterns, naive, options.repeats) for name, text in _texts(patterns, size)]
    title = f"Scanning for {len(patterns.patterns)} patterns in {len(LANGUAGES)} languages (characters, not bytes)"
    show(title, COLUMNS, rows, [f"At most {patterns.most_steps_a_word} comparisons a word, whatever the text."])
    return 0


def _texts(patterns: PatternSet, size: int) -> Iterator[tuple[str, str]]:
    """Texts of `size` characters by name, from the ordinary to the hostile."""
    lines = [line.strip() for topic in topics.values() for line in topic.splitlines()]
    prose = "\n".join(line for line in lines if PROSE.fullmatch(line))
    indented = "\n".join(topics.values())
    examples = " ".join(text for each in patterns.patterns for text in each.near_misses)
    yield "ordinary: English technical prose, wrapped", _filled(prose, size)
    yield "ordinary: the same with code, indented", _filled(indented, size)
    yield "mixed: prose and near misses, 20 to 1", _filled(prose[: 20 * len(examples)] + examples, size)
    yield "dense: near misses of six languages alone", _filled(examples + " ", size)
    yield "dense: hits alone", _filled(" ".join(text for each in patterns.patterns for text in each.hits) + " ", size)
    yield "other script: Russian", _filled("Все счастливые семьи похожи друг на друга, каждая по-своему. ", size)
    yield "hostile: anchors alone", _filled("kill ", size)
    yield "hostile: anchors without blanks", _filled("kill.", size)
    yield "hostile: different leetspeak", " ".join(f"k{number:x}4l" for number in range(size // 8))[:size]
    yield "hostile: letters written apart", _filled("k i l l ", size)
    yield "hostile: letters that spell nothing", _filled("a.b.c.d.", size)
    yield "hostile: combining accents", _filled("k\u0301", size)
    yield "hostile: zero-width signs", _filled("k\u200b", size)
    yield "hostile: one endless word", _filled("kil", size)
    yield "hostile: blanks", " " * size


def _filled(text: str, size: int) -> str:
    return (text * (size // len(text) + 1))[:size]


def _row(name: str, text: str, patterns: PatternSet, naive: Sequence[re.Pattern[str]], repeats: int) -> tuple[str, ...]:
    scan = patterns.examine(text)
    seconds = _least(lambda: patterns.examine(text), repeats)
    part = text[:NAIVE_CHARACTERS]
    baseline = _least(lambda: _naive_scan(part, naive), 1) * len(text) / len(part)
    return (
        name,
        f"{len(text) / 1_000_000:.2f}",
        f"{1000 * seconds:.0f}",
        f"{len(text) / 1_000_000 / seconds:.1f}",
        str(len(scan.hits)),
        f"{scan.words:,}",
        f"{scan.steps:,}",
        f"{1000 * baseline:,.0f}",
    )


def _least(work: Callable[[], object], repeats: int) -> float:
    """CPU seconds of the fastest of `repeats` runs."""
    times = []
    for _ in range(repeats):
        begin = time.process_time()
        work()
        times.append(time.process_time() - begin)
    return min(times)


def _naive_scan(text: str, expressions: Sequence[re.Pattern[str]]) -> int:
    folded = fold(text)
    return sum(len(expression.findall(folded)) for expression in expressions)


def _expression(sequence: WordSequence) -> str:
    """The sequence as a regular expression over folded text."""
    first, *others = sequence.elements
    return rf"\b{_word(first)}" + "".join(_continued(element) for element in others)


def _continued(element: Element) -> str:
    if element.gap:
        return rf"(?:\W+\w+){{0,{element.gap}}}"
    return rf"(?:\W+{_word(element)})" + ("?" if element.optional else "")


def _word(element: Element) -> str:
    prefixes = [rf"{prefix}\w*" for prefix in element.prefixes]
    return rf"(?:{'|'.join([*sorted(element.words), *prefixes])})\b"


if __name__ == "__main__":
    raise SystemExit(main())
