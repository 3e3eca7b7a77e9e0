"""Judges the mood of a text with nothing but Python packages: its language by py3langid, English by VADER's lexicon.

In any other language VADER is wrong and does not notice: the German article "die" is among its saddest words. So what
is not surely English is not judged. Nothing is fetched; both are imported and loaded by the first text.
"""

from __future__ import annotations

import logging
import textwrap
import unicodedata
from collections.abc import Callable
from functools import cache
from typing import TypeVar

from shared.adapters.embedded.packages import Condition, installed, version_of
from shared.errors import AnalyserFailed
from shared.ports import TextAnnotation

log = logging.getLogger(__name__)
T = TypeVar("T")

MAX_CHARACTERS = 10_000
"""What lies beyond is not looked at."""

# VADER takes the square of a text's length, 30 s for 100 KB: so it gets pieces. An emoji counts as some 20 characters.
_PIECE_CHARACTERS = 250
_LEAST_PROBABILITY = 0.5
# In UTF-8, where a Chinese character says as much as a short word.
_LEAST_LETTER_BYTES = 8
# Of 140 that it knows. Among all of them short texts get a rare one ("Te voy a matar": Hausa); among six, any other
# script gets one of these.
_PLAUSIBLE = (
    *("af", "ar", "bg", "bn", "ca", "cs", "da", "de", "el", "en", "es", "fa", "fi", "fr", "he", "hi", "hr", "hu"),
    *("id", "it", "ja", "ko", "nl", "no", "pl", "pt", "ro", "ru", "sv", "sw", "th", "tl", "tr", "uk", "vi", "zh"),
)
_NO_CATEGORIES = "Only Google's Language sorts a text into categories; the patterns are all there is here."


class LexiconAnalyzer:
    """Implements `shared.ports.TextAnalyzer`. All instances share what is loaded."""

    def __init__(self) -> None:
        self._failing = False

    @property
    def name(self) -> str:
        """See `TextAnalyzer.name`."""
        return f"vader-{version_of('vaderSentiment')}+py3langid-{version_of('py3langid')}"

    @property
    def condition(self) -> Condition:
        """How it is, without loading it: `degraded` if it could not be loaded when it was last tried."""
        if not installed("vaderSentiment", "py3langid"):
            return "off"
        return "degraded" if self._failing else "ok"

    def analyze(self, text: str) -> TextAnnotation:
        """See `TextAnalyzer.analyze`. `categories` are never given, `sentiment` for English alone."""
        shown = text[:MAX_CHARACTERS]
        problems = {"categories": AnalyserFailed("not_available", _NO_CATEGORIES, tries=1)}
        language = None
        try:
            language = self._language_of(shown)
            return TextAnnotation(sentiment=self._mood_of(shown, language), language=language, problems=problems)
        except AnalyserFailed as error:
            return TextAnnotation(language=language, problems={**problems, "sentiment": error})

    def _language_of(self, text: str) -> str | None:
        """An ISO 639-1 code, None where it can't be told. Raises `AnalyserFailed`."""
        words = _words_of(text)
        if len(words.replace(" ", "").encode(errors="replace")) < _LEAST_LETTER_BYTES:
            return None
        language, probability = self._guarded(lambda: _load_recogniser()(words))
        return language if probability >= _LEAST_PROBABILITY else None

    def _mood_of(self, text: str, language: str | None) -> float:
        """-1 to 1: the mean over pieces of a sentence or two. Raises `AnalyserFailed`."""
        if language is None:
            sentence = "The text is too short for its language to be recognised, or mixed; its mood was not judged."
            raise AnalyserFailed("language_not_recognised", sentence, tries=1)
        if language != "en":
            sentence = f'Only the mood of English texts is judged here; this one is in "{language}".'
            raise AnalyserFailed("language_not_supported", sentence, tries=1)
        pieces = textwrap.wrap(text, _PIECE_CHARACTERS)
        moods = self._guarded(lambda: [_load_lexicon()(piece) for piece in pieces])
        # By letters, so that a row of emojis can't outweigh what is said.
        letters = [sum(map(str.isalpha, piece)) for piece in pieces]
        mean = sum(mood * weight for mood, weight in zip(moods, letters, strict=True)) / sum(letters)
        return max(-1.0, min(1.0, mean))

    def _guarded(self, work: Callable[[], T]) -> T:
        """Does it. Raises `AnalyserFailed` (`unavailable`) when something can't be loaded, or fails."""
        try:
            done = work()
        except Exception as error:  # a broken package fails in whatever way it likes
            log.warning("the mood of a text can't be judged", exc_info=error)
            self._failing = True
            raise AnalyserFailed("unavailable", "What judges the mood of texts can't be used.", tries=1) from error
        self._failing = False
        return done


def _words_of(text: str) -> str:
    """Its letters, with the marks that some scripts put on them. Numbers and emojis are in no language."""
    return " ".join("".join(each if unicodedata.category(each)[0] in "LM" else " " for each in text).split())


@cache
def _load_recogniser() -> Callable[[str], tuple[str, float]]:
    """Gives a text's likeliest language and how likely (0-1) that is."""
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    identifier = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
    identifier.set_languages(_PLAUSIBLE)

    def recognised(text: str) -> tuple[str, float]:
        language, probability = identifier.classify(text)
        return str(language), float(probability)

    return recognised


@cache
def _load_lexicon() -> Callable[[str], float]:
    """Gives the mood of an English sentence, -1 to 1."""
    from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

    lexicon = SentimentIntensityAnalyzer()
    return lambda sentence: float(lexicon.polarity_scores(sentence)["compound"])
