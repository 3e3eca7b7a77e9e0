"""The `TextAnalyzer` port: one suite, every home. A home is a fixture that gives an analyzer of English at least."""

from __future__ import annotations

import pytest

from shared.adapters.embedded.text_analyzer import LexiconAnalyzer
from shared.adapters.google import language
from shared.errors import AnalyserFailed
from shared.ports import TextAnalyzer
from tests.google_ai_server import GoogleAi

HOMES = [pytest.param("google_text", id="google"), pytest.param("embedded_text", id="embedded")]

GLAD = "What a wonderful day! I love this park and my lovely friends, thank you so much."
ANGRY = "I hate you. This is horrible and disgusting, the worst and most awful day ever."
HOSTILE = {
    "empty": "",
    "blank": " \n\t",
    "null": "a\x00b",
    "half a character": "what \ud83d is this \udc00",
    "emoji": "\U0001f52a" * 500,
    "right to left": "\u202eevil\u202c \u0627\u0644\u0633\u0644\u0627\u0645",
    "digits": "0" * 5_000,
}


@pytest.fixture
def google_text(google_ai: GoogleAi) -> TextAnalyzer:
    google_ai.feel = lambda text: -0.8 if "hate" in text else 0.8
    google_ai.moderate = lambda text: {"Insult": 0.9 if "hate" in text else 0.01}
    return language.connect(endpoint=google_ai.address)


@pytest.fixture
def embedded_text() -> TextAnalyzer:
    return LexiconAnalyzer()


@pytest.fixture(params=HOMES)
def analyzer(request: pytest.FixtureRequest) -> TextAnalyzer:
    found: TextAnalyzer = request.getfixturevalue(request.param)
    return found


def test_it_names_itself_with_its_version(analyzer: TextAnalyzer) -> None:
    assert analyzer.name.strip() == analyzer.name != ""
    assert any(character.isdigit() for character in analyzer.name)


def test_an_angry_text_has_a_worse_mood_than_a_glad_one(analyzer: TextAnalyzer) -> None:
    glad, angry = analyzer.analyze(GLAD).sentiment, analyzer.analyze(ANGRY).sentiment
    assert glad is not None
    assert angry is not None
    assert angry < 0 < glad


def test_english_is_recognised(analyzer: TextAnalyzer) -> None:
    assert analyzer.analyze(GLAD).language == "en"


@pytest.mark.parametrize("text", [GLAD, ANGRY, *HOSTILE.values()], ids=["glad", "angry", *HOSTILE])
def test_whatever_it_reads_it_answers_within_bounds_or_says_why_not(text: str, analyzer: TextAnalyzer) -> None:
    annotation = analyzer.analyze(text)
    assert all(0 <= category.confidence <= 1 for category in annotation.categories or ())
    assert annotation.sentiment is None or -1 <= annotation.sentiment <= 1
    missing = {name for name in ("categories", "sentiment") if getattr(annotation, name) is None}
    assert missing <= set(annotation.problems) <= {"categories", "sentiment"}
    assert all(isinstance(problem, AnalyserFailed) for problem in annotation.problems.values())


@pytest.mark.parametrize("character", ["a", "\u00e9", "\u20ac", "\U0001f600"])
def test_a_text_of_two_million_characters_is_no_trouble(character: str, analyzer: TextAnalyzer) -> None:
    analyzer.analyze(character * 2_000_000)
