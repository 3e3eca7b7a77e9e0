"""What Gemini's answers and refusals mean, for both of its client libraries, as tables.

Every way to fail becomes an `AnalyserFailed` with a stable code and a sentence of ours: no text of a library or of the
service gets into it, because that may quote the request, whose headers or address hold a key.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from shared.errors import AnalyserFailed
from shared.ports import ContextAnswer

TEMPERATURE = 0.0
MAX_OUTPUT_TOKENS = 8192
"""Room for what the schema allows and for a model that thinks first; a bound on what one answer can cost."""

BLOCKED_FINISHES = frozenset(
    {
        "SAFETY",
        "RECITATION",
        "BLOCKLIST",
        "PROHIBITED_CONTENT",
        "SPII",
        "IMAGE_SAFETY",
        "IMAGE_PROHIBITED_CONTENT",
        "IMAGE_RECITATION",
        "MODEL_ARMOR",
    }
)
WHOLE_FINISHES = frozenset({"", "STOP", "FINISH_REASON_UNSPECIFIED"})
UNBLOCKED = frozenset({"", "BLOCK_REASON_UNSPECIFIED", "BLOCKED_REASON_UNSPECIFIED"})
"""The libraries disagree on the word for "not said"."""

ONCE, TWICE = 1, 2


@dataclass(frozen=True)
class Reply:
    """An answer as both libraries give it: enums by their names, "" where something is not said.

    `answered`: there was a candidate at all. Tokens are None where the service did not count them.
    """

    text: str
    answered: bool
    block_reason: str = ""
    finish_reason: str = ""
    prompt_tokens: int | None = None
    candidate_tokens: int | None = None
    total_tokens: int | None = None


def read_reply(reply: Reply, model: str) -> ContextAnswer:
    """The text of a whole answer. Raises `AnalyserFailed`: `blocked`, `malformed_answer` (cut off), `empty_answer`."""
    if reply.block_reason not in UNBLOCKED:
        raise AnalyserFailed("blocked", "Gemini refused to look at the video.", tries=ONCE)
    if reply.finish_reason in BLOCKED_FINISHES:
        raise AnalyserFailed("blocked", "Gemini withheld its answer.", tries=ONCE)
    if not reply.answered:
        raise AnalyserFailed("empty_answer", "Gemini gave no answer.", tries=TWICE)
    if reply.finish_reason == "MAX_TOKENS":
        raise AnalyserFailed("malformed_answer", "Gemini's answer was cut off at its longest length.", tries=TWICE)
    if reply.finish_reason not in WHOLE_FINISHES:
        raise AnalyserFailed("malformed_answer", "Gemini broke its answer off.", tries=TWICE)
    if not reply.text.strip():
        raise AnalyserFailed("empty_answer", "Gemini gave an empty answer.", tries=TWICE)
    return ContextAnswer(reply.text, model, reply.prompt_tokens, _output_tokens(reply))


def _output_tokens(reply: Reply) -> int | None:
    """What is billed as output: thinking counts too, which only the total includes in both libraries."""
    if reply.prompt_tokens is None or reply.total_tokens is None:
        return reply.candidate_tokens
    return max(reply.candidate_tokens or 0, reply.total_tokens - reply.prompt_tokens)


_KEY_REASONS = frozenset({"API_KEY_INVALID", "API_KEY_EXPIRED"})
_NOT_PERMITTED = ("not_permitted", "Gemini does not accept the credentials of this installation.", ONCE)
_OF_STATUS: Mapping[int, tuple[str, str, int]] = {
    401: _NOT_PERMITTED,
    403: _NOT_PERMITTED,
    404: ("refused", "Gemini has no such model, or cannot find the video.", ONCE),
    408: ("too_slow", "Gemini took too long to answer.", AnalyserFailed.PATIENT),
    429: ("quota_exceeded", "The quota of Gemini is used up for now.", AnalyserFailed.PATIENT),
    504: ("too_slow", "Gemini took too long to answer.", AnalyserFailed.PATIENT),
}


def failure_of_status(status: int, reason: str | None = None) -> AnalyserFailed:
    """What an HTTP status other than 2xx means; `reason` is the one of Google's `ErrorInfo`."""
    code, sentence, tries = _OF_STATUS.get(status, ("refused", "Gemini refused the request.", ONCE))
    if reason in _KEY_REASONS:
        code, sentence, tries = _NOT_PERMITTED
    elif status >= 500 and status not in _OF_STATUS:
        return unavailable()
    return AnalyserFailed(code, sentence, tries=tries)


def reason_of(details: object) -> str | None:
    """The `reason` of Google's `ErrorInfo` among an error's details, which may be anything at all."""
    infos = details if isinstance(details, list) else []
    found = (info.get("reason") for info in infos if isinstance(info, Mapping))
    return next((reason for reason in found if isinstance(reason, str)), None)


TRIPPED = (ValueError, AttributeError, KeyError, TypeError)
"""What the libraries raise where a body is no JSON, or JSON of another shape than they expect."""


def unavailable() -> AnalyserFailed:
    """Nobody answered, or only to say that something is wrong there."""
    return AnalyserFailed("unavailable", "Gemini is not available.", tries=AnalyserFailed.PATIENT)


def too_slow(sentence: str = "Gemini took too long to answer.") -> AnalyserFailed:
    """A deadline passed."""
    return AnalyserFailed("too_slow", sentence, tries=AnalyserFailed.PATIENT)


def unreadable() -> AnalyserFailed:
    """An answer that the client library itself can't read."""
    return AnalyserFailed("malformed_answer", "Gemini's answer could not be read.", tries=TWICE)


def not_permitted() -> AnalyserFailed:
    """There are no credentials that could be sent."""
    code, sentence, tries = _NOT_PERMITTED
    return AnalyserFailed(code, sentence, tries=tries)
