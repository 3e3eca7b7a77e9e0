"""What came of one attempt at a delivery, in words that every channel shares."""

from __future__ import annotations

from dataclasses import dataclass

from shared.domain.webhooks import Verdict


@dataclass(frozen=True)
class Attempted:
    """`status`: the HTTP status, or a word; `error`: a sentence, None where all is well.

    `retry_after`: the seconds that the other side asks to be left alone.
    """

    verdict: Verdict
    status: str
    error: str | None = None
    retry_after: float | None = None
