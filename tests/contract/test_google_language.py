"""Natural Language by its own client library: two calls that fail one by one, limits, languages, odd answers."""

from __future__ import annotations

from pathlib import Path

import grpc
import pytest
from google.cloud import language_v2
from hypothesis import given
from hypothesis import strategies as st

from shared.adapters.embedded.blob_keys import FILE_NAME, local_signing_key
from shared.adapters.google import language
from shared.adapters.google.language import LanguageAnalyzer, capped
from shared.errors import AnalyserFailed
from shared.ports import Seen
from tests.google_ai_server import GoogleAi, Method

UNAVAILABLE = grpc.StatusCode.UNAVAILABLE


@pytest.fixture
def analyzer(google_ai: GoogleAi) -> LanguageAnalyzer:
    return language.connect(endpoint=google_ai.address, timeout=2)


@pytest.fixture
def hasty(google_ai: GoogleAi) -> LanguageAnalyzer:
    return language.connect(endpoint=google_ai.address, timeout=0.4)


def codes(problems: object) -> dict[str, tuple[str, int]]:
    assert isinstance(problems, dict)
    return {name: (problem.code, problem.tries) for name, problem in problems.items()}


def test_both_calls_bring_the_same_plain_text(analyzer: LanguageAnalyzer, google_ai: GoogleAi) -> None:
    google_ai.moderate = lambda _: {"Toxic": 0.65, "Violent": 0.2}
    google_ai.feel = lambda _: -0.7
    found = analyzer.analyze("a <b>text</b>")
    assert found.categories == (Seen("Toxic", 0.65), Seen("Violent", 0.2))
    assert (found.sentiment, found.language, found.problems) == (-0.7, "en", {})
    sent = [call.request.document for call in google_ai.calls]
    assert {call.method for call in google_ai.calls} == {Method.MODERATE, Method.FEEL}
    assert {document.content for document in sent} == {"a <b>text</b>"}
    assert {document.type_ for document in sent} == {language_v2.Document.Type.PLAIN_TEXT}


@pytest.mark.parametrize("text", ["", " \n"])
def test_an_empty_text_is_not_asked_about(text: str, analyzer: LanguageAnalyzer, google_ai: GoogleAi) -> None:
    assert analyzer.analyze(text).categories == ()
    assert google_ai.calls == []


def test_moderation_can_fail_alone(hasty: LanguageAnalyzer, google_ai: GoogleAi) -> None:
    google_ai.fail(Method.MODERATE, UNAVAILABLE)
    found = hasty.analyze("hello there")
    assert (found.categories, found.sentiment, found.language) == (None, 0.0, "en")
    assert codes(found.problems) == {"categories": ("unavailable", AnalyserFailed.PATIENT)}


def test_the_mood_can_fail_alone(hasty: LanguageAnalyzer, google_ai: GoogleAi) -> None:
    google_ai.fail(Method.FEEL, grpc.StatusCode.RESOURCE_EXHAUSTED)
    found = hasty.analyze("hello there")
    assert (found.categories, found.sentiment, found.language) == ((Seen("Toxic", 0.01),), None, "en")
    assert codes(found.problems) == {"sentiment": ("quota_exceeded", AnalyserFailed.PATIENT)}


def test_nothing_is_raised_when_both_fail(hasty: LanguageAnalyzer, google_ai: GoogleAi) -> None:
    google_ai.hang(Method.FEEL, 5)
    google_ai.fail(Method.MODERATE, grpc.StatusCode.PERMISSION_DENIED, message="the secret")
    found = hasty.analyze("hello there")
    assert (found.categories, found.sentiment, found.language) == (None, None, None)
    assert codes(found.problems) == {
        "categories": ("not_permitted", 1),
        "sentiment": ("too_slow", AnalyserFailed.PATIENT),
    }
    assert "secret" not in repr(found)


def test_the_library_itself_asks_again(analyzer: LanguageAnalyzer, google_ai: GoogleAi) -> None:
    google_ai.fail(Method.MODERATE, UNAVAILABLE, times=1)
    google_ai.fail(Method.FEEL, UNAVAILABLE, times=1)
    assert analyzer.analyze("hello there").problems == {}
    assert len(google_ai.calls) == 4


def test_a_language_it_does_not_know(analyzer: LanguageAnalyzer, google_ai: GoogleAi) -> None:
    google_ai.language_of = lambda _: "th"
    google_ai.moderate = lambda _: {"Violent": 0.9}
    found = analyzer.analyze("\u0e2a\u0e27\u0e31\u0e2a\u0e14\u0e35")
    assert (found.categories, found.sentiment, found.language) == ((Seen("Violent", 0.9),), None, "th")
    assert codes(found.problems) == dict.fromkeys(("categories", "sentiment"), ("language_not_supported", 1))


def test_another_refusal_is_not_taken_for_the_language(analyzer: LanguageAnalyzer, google_ai: GoogleAi) -> None:
    google_ai.fail(Method.MODERATE, grpc.StatusCode.INVALID_ARGUMENT, message="The document is odd.")
    assert codes(analyzer.analyze("hello there").problems) == {"categories": ("refused", 1)}


@pytest.mark.parametrize(("code", "read"), [("zh-Hant", "zh"), ("EN", "en"), ("und", None), ("", None)])
def test_the_language_as_far_as_it_is_known(
    code: str, read: str | None, analyzer: LanguageAnalyzer, google_ai: GoogleAi
) -> None:
    sentiment = language_v2.Sentiment(score=0.5)
    category = language_v2.ClassificationCategory(name="Toxic", confidence=0.5)
    google_ai.answer(
        Method.MODERATE,
        language_v2.ModerateTextResponse(moderation_categories=[category], language_code=code, language_supported=True),
    )
    google_ai.answer(
        Method.FEEL,
        language_v2.AnalyzeSentimentResponse(document_sentiment=sentiment, language_code=code, language_supported=True),
    )
    found = analyzer.analyze("hello there")
    assert (found.language, found.problems) == (read, {})


def test_empty_answers_are_never_clean(analyzer: LanguageAnalyzer, google_ai: GoogleAi) -> None:
    google_ai.answer(Method.MODERATE, language_v2.ModerateTextResponse())
    google_ai.answer(Method.FEEL, language_v2.AnalyzeSentimentResponse(language_code="en", language_supported=True))
    found = analyzer.analyze("hello there")
    assert (found.categories, found.sentiment) == (None, None)
    assert codes(found.problems) == dict.fromkeys(("categories", "sentiment"), ("incomplete_answer", 2))


@pytest.mark.parametrize(("score", "mood"), [(-7.0, -1.0), (7.0, 1.0), (float("nan"), None)])
def test_a_mood_out_of_bounds(
    score: float, mood: float | None, analyzer: LanguageAnalyzer, google_ai: GoogleAi
) -> None:
    google_ai.feel = lambda _: score
    assert analyzer.analyze("hello there").sentiment == mood


@pytest.mark.parametrize("character", ["a", "\u00e9", "\u20ac", "\U0001f600"])
def test_a_long_text_is_cut_to_what_the_service_takes(
    character: str, analyzer: LanguageAnalyzer, google_ai: GoogleAi
) -> None:
    found = analyzer.analyze("." + character * 1_200_000)
    (sent,) = google_ai.called(Method.FEEL)
    assert found.problems == {}
    assert language.MAX_BYTES - 4 < len(sent.document.content.encode()) <= language.MAX_BYTES


@given(st.text(alphabet=st.characters()))
def test_a_short_text_is_sent_as_it_is_but_for_half_characters(text: str) -> None:
    assert capped(text) == text.encode("utf-8", "replace").decode()


def test_without_an_endpoint_it_is_googles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    local_signing_key(tmp_path)
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / FILE_NAME))
    assert language.connect().client.transport.host == "language.googleapis.com:443"
