"""The mood of English texts, and of no others: a lexicon of one language is wrong in every other."""

from __future__ import annotations

import subprocess
import sys
import time
from importlib.machinery import PathFinder

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

from shared.adapters.embedded import packages, text_analyzer
from shared.adapters.embedded.text_analyzer import MAX_CHARACTERS, LexiconAnalyzer
from shared.ports import TextAnnotation


def analyze(text: str) -> TextAnnotation:
    return LexiconAnalyzer().analyze(text)


@pytest.mark.parametrize(
    ("text", "least", "most"),
    [
        ("This is terrible and I hate it so much", -1.0, -0.5),
        ("I love this, what a wonderful day", 0.5, 1.0),
        ("The bus to the station leaves at nine", -0.1, 0.1),
        ("THIS IS TERRIBLE AND\nI HATE IT SO MUCH", -1.0, -0.5),
    ],
)
def test_an_english_text_has_a_mood(text: str, least: float, most: float) -> None:
    said = analyze(text)
    assert said.language == "en"
    assert said.sentiment is not None
    assert least <= said.sentiment <= most
    assert set(said.problems) == {"categories"}


def test_a_friendly_german_sentence_is_not_taken_for_a_bad_english_one() -> None:
    friendly = "Die Frau ist nett und die Sonne scheint"
    assert SentimentIntensityAnalyzer().polarity_scores(friendly)["compound"] < -0.5  # what it would be taken for
    said = analyze(friendly)
    assert (said.language, said.sentiment) == ("de", None)
    assert said.problems["sentiment"].code == "language_not_supported"
    assert said.problems["sentiment"].tries == 1


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("Je te déteste, tu es horrible", "fr"),
        ("eu te odeio muito", "pt"),
        ("Dit is een slecht boek", "nl"),
        ("to jest okropne", "pl"),
        ("ポイ捨て禁止!", "ja"),
        ("西 愚园路", "zh"),
        ("안녕하세요", "ko"),
    ],
)
def test_other_languages_are_recognised_and_not_judged(text: str, language: str) -> None:
    said = analyze(text)
    assert (said.language, said.sentiment) == (language, None)
    assert said.problems["sentiment"].code == "language_not_supported"


@pytest.mark.parametrize(
    "text", ["", "12345 67890 12345", "!!!", "STOP", "die", "X1 K V", "\ud800\udfff" * 9, "\x00" * 99]
)
def test_what_is_in_no_language_for_sure_is_not_judged(text: str) -> None:
    said = analyze(text)
    assert (said.language, said.sentiment) == (None, None)
    assert said.problems["sentiment"].code == "language_not_recognised"


def test_categories_are_never_evaluated_and_that_is_said() -> None:
    problem = analyze("any text of some length").problems["categories"]
    assert (problem.code, problem.tries) == ("not_available", 1)


@pytest.mark.parametrize("text", ["this was a terrible day " * 50_000, "I hate this and that " * 40 + "😡" * 50_000])
def test_a_huge_text_is_judged_as_fast_as_its_beginning(text: str) -> None:
    begun = time.process_time()
    said = analyze(text)
    assert time.process_time() - begun < 20  # whole it would take hours
    assert said.sentiment is not None
    assert said.sentiment < -0.3
    assert said.sentiment == analyze(text[:MAX_CHARACTERS]).sentiment


def test_emojis_and_numbers_do_not_hide_the_language() -> None:
    assert analyze("I hate this so much, 1234567890 times 😡😡😡😡😡😡😡😡😡😡😡😡 999999999").language == "en"


@given(st.text(max_size=600))
@settings(max_examples=100, deadline=None)
def test_whatever_the_text_it_is_judged_or_a_reason_given(text: str) -> None:
    said = analyze(text)
    assert (said.sentiment is None) == ("sentiment" in said.problems)
    assert said.sentiment is None or -1 <= said.sentiment <= 1


def test_a_lexicon_that_cannot_be_used_is_a_problem_and_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    analyzer = LexiconAnalyzer()
    conditions = []
    with monkeypatch.context() as patch:

        def fail() -> None:
            raise ImportError("what Python says")

        patch.setattr(text_analyzer, "_load_lexicon", fail)
        said = analyzer.analyze("what a wonderful day this is")
        assert (said.language, said.sentiment) == ("en", None)
        assert said.problems["sentiment"].code == "unavailable"
        assert "Python" not in said.problems["sentiment"].sentence
        conditions.append(analyzer.condition)
    assert analyzer.analyze("what a wonderful day this is").sentiment is not None
    conditions.append(analyzer.condition)
    assert conditions == ["degraded", "ok"]


def test_without_its_packages_it_is_off(monkeypatch: pytest.MonkeyPatch) -> None:
    packages.installed.cache_clear()
    monkeypatch.setattr(PathFinder, "find_spec", lambda _: None)
    assert LexiconAnalyzer().condition == "off"
    packages.installed.cache_clear()


def test_the_receipt_can_name_the_versions() -> None:
    assert LexiconAnalyzer().name.startswith("vader-3.")
    assert packages.version_of("no-such-distribution") == "none"


def test_nothing_is_loaded_before_the_first_text() -> None:
    program = (
        "import sys\n"
        "from shared.adapters.embedded.text_analyzer import LexiconAnalyzer\n"
        "LexiconAnalyzer().name, LexiconAnalyzer().condition\n"
        "print(sorted({'py3langid', 'vaderSentiment'} & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "[]\n"
