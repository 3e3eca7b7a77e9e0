"""The `TextAnalyzer` on Google Cloud: Natural Language, asked for moderation categories and for the mood at once.

Each of the two can fail by itself. It must not know what is made of the answer.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from google.api_core.exceptions import InvalidArgument
from google.cloud import language_v2 as language
from google.cloud.language_v2.services.language_service.transports import LanguageServiceGrpcTransport

from shared.adapters.google.analyser_calls import ONCE, incomplete, plain_channel, repeating, share, translated, within
from shared.errors import AnalyserFailed
from shared.ports import Seen, TextAnnotation

TIMEOUT_SECONDS = 20.0
MAX_BYTES = 1_000_000
"""Of one text in UTF-8, as the service takes it at most; what is longer is cut off."""

SERVICE = "Cloud Natural Language"
_UNSUPPORTED = re.compile(r"language.{0,80}not supported", re.IGNORECASE | re.DOTALL)
_UNKNOWN_LANGUAGES = frozenset({"", "und"})


@dataclass(frozen=True)
class _Said:
    """What one of the two calls gave; `problem` is set where that is nothing, or nothing to rely on."""

    categories: tuple[Seen, ...] | None = None
    sentiment: float | None = None
    language: str | None = None
    problem: AnalyserFailed | None = None


@dataclass(frozen=True)
class LanguageAnalyzer:
    """Implements `TextAnalyzer`. `timeout`: seconds for each of the two calls, with all its repetitions.

    What it says of a language that it does not support is its best effort: it is kept, beside the problem.
    """

    client: language.LanguageServiceClient
    timeout: float = TIMEOUT_SECONDS
    name: str = field(default="language-v2", init=False)

    def analyze(self, text: str) -> TextAnnotation:
        """See `TextAnalyzer.analyze`. An empty text is about nothing; the service would refuse it."""
        if not text.strip():
            return TextAnnotation(categories=(), sentiment=0.0)
        document = language.Document(content=capped(text), type_=language.Document.Type.PLAIN_TEXT)
        with ThreadPoolExecutor(2) as pool:
            moderating = pool.submit(_said, self._moderate, document)
            feeling = pool.submit(_said, self._feel, document)
        moderated, felt = moderating.result(), feeling.result()
        problems = {"categories": moderated.problem, "sentiment": felt.problem}
        return TextAnnotation(
            categories=moderated.categories,
            sentiment=felt.sentiment,
            language=moderated.language or felt.language,
            problems={name: problem for name, problem in problems.items() if problem is not None},
        )

    def _moderate(self, document: language.Document) -> _Said:
        reply = self.client.moderate_text(document=document, retry=repeating(self.timeout), timeout=self.timeout)
        if not reply.moderation_categories and not reply.language_code:
            return _Said(problem=incomplete(SERVICE))
        categories = tuple(Seen(each.name, share(each.confidence)) for each in reply.moderation_categories)
        problem = None if reply.language_supported else language_not_supported()
        return _Said(categories=categories, language=_language(reply.language_code), problem=problem)

    def _feel(self, document: language.Document) -> _Said:
        reply = self.client.analyze_sentiment(document=document, retry=repeating(self.timeout), timeout=self.timeout)
        if "document_sentiment" not in reply or not math.isfinite(reply.document_sentiment.score):
            return _Said(problem=incomplete(SERVICE))
        mood = within(reply.document_sentiment.score, -1.0, 1.0)
        problem = None if reply.language_supported else language_not_supported()
        return _Said(sentiment=mood, language=_language(reply.language_code), problem=problem)


def connect(*, endpoint: str | None = None, timeout: float = TIMEOUT_SECONDS) -> LanguageAnalyzer:
    """Natural Language with the function's own credentials. `endpoint`: host:port of an emulator, asked without any."""
    if endpoint is None:
        return LanguageAnalyzer(language.LanguageServiceClient(), timeout)
    transport = LanguageServiceGrpcTransport(channel=plain_channel(endpoint))
    return LanguageAnalyzer(language.LanguageServiceClient(transport=transport), timeout)


def capped(text: str) -> str:
    """As much of the text as one request may bring, never half a character."""
    return text[:MAX_BYTES].encode("utf-8", "replace")[:MAX_BYTES].decode("utf-8", "ignore")


def language_not_supported() -> AnalyserFailed:
    """What is said of such a text is a guess at best."""
    return AnalyserFailed("language_not_supported", f"{SERVICE} does not support the text's language.", tries=ONCE)


def _said(ask: Callable[[language.Document], _Said], document: language.Document) -> _Said:
    try:
        with translated(SERVICE):
            return ask(document)
    except AnalyserFailed as failure:
        return _Said(problem=language_not_supported() if _unsupported(failure.__cause__) else failure)


def _unsupported(cause: BaseException | None) -> bool:
    """The service has no code of its own for this, only a sentence."""
    return isinstance(cause, InvalidArgument) and _UNSUPPORTED.search(str(cause.message)) is not None


def _language(code: str) -> str | None:
    """`zh-Hant` is `zh`; what was not recognised is None."""
    found = code.split("-", maxsplit=1)[0].lower()
    return None if found in _UNKNOWN_LANGUAGES else found
