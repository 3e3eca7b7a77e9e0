"""Moderates up to 50 items at once: each for itself, in the order asked, before the client's patience ends.

What goes wrong with one item is that item's error and nobody else's. Items with the same URL are one job.
"""

from __future__ import annotations

import contextvars
import logging
import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from datetime import datetime, timedelta

from shared.domain.moderation.findings import Gap, MediaKind
from shared.domain.moderation.in_force import InForce
from shared.domain.moderation.receipts import Status
from shared.errors import AnalyserFailed, Permanent, Retryable, SightlineError
from shared.handlers import caching, media_sources, moderation
from shared.handlers.moderation import Moderated, Order, OutOfTime, Result
from shared.repositories.verdict_cache import Counts

log = logging.getLogger(__name__)

MAX_ITEMS = 50
BATCH_SECONDS = 270.0
"""Below the 300 s after which a deployed function is ended."""

GRACE_SECONDS = 0.5
"""What an item may need to notice that the time is over."""

_OUT_OF_QUOTA = frozenset({"quota_exceeded", "budget_exhausted"})


@dataclass(frozen=True)
class Item:
    """What one item of a batch asks for; `kind` is what the client says it is."""

    media_id: str
    url: str
    kind: MediaKind | None = None


@dataclass(frozen=True)
class Batch:
    """At most `MAX_ITEMS` items, and how they are moderated."""

    items: Sequence[Item]
    strict: bool = False
    use_cache: bool = True


@dataclass(frozen=True)
class Deps(moderation.Deps):
    """`concurrency`: items of one batch at a time. `seconds`: for a whole batch, below the function's timeout."""

    profiles: InForce
    concurrency: int = 8
    seconds: float = BATCH_SECONDS


@dataclass(frozen=True)
class Failure:
    """Why an item has no verdict: a stable word, the HTTP status it would have alone, a sentence for the client."""

    code: str
    status: int
    sentence: str


@dataclass(frozen=True)
class Answer:
    """What came of one item: `moderated`, `failure`, or both where a receipt says why there is no verdict."""

    item: Item
    moderated: Moderated | None
    failure: Failure | None
    cached: bool
    seconds: float

    @property
    def status(self) -> Status:
        """An item without a verdict is an ERROR, never a PASS."""
        if self.moderated is None or self.failure is not None:
            return Status.ERROR
        return self.moderated.verdict.status


@dataclass(frozen=True)
class _Done:
    outcome: Result | Failure
    seconds: float


def moderate_batch(batch: Batch, deps: Deps) -> list[Answer]:
    """One answer an item, in the order of the items. Raises nothing because of an item."""
    began = time.monotonic()
    orders = _orders(batch, deps.clock.now() + timedelta(seconds=deps.seconds), deps.profiles)
    pool = ThreadPoolExecutor(min(deps.concurrency, len(orders)), thread_name_prefix="moderate")
    futures = [pool.submit(contextvars.copy_context().run, _done, order, deps) for order in orders]
    wait(futures, timeout=deps.seconds + GRACE_SECONDS)
    pool.shutdown(wait=False, cancel_futures=True)
    late = _Done(_failure(OutOfTime()), time.monotonic() - began)
    done = [_outcome(future, late) for future in futures]
    if batch.use_cache:
        _count([each.outcome for each in done], deps)
    by_media = {(order.url, order.declared): each for order, each in zip(orders, done, strict=True)}
    return [_answer(item, by_media[(item.url, item.kind)]) for item in batch.items]


def _orders(batch: Batch, deadline: datetime, profiles: InForce) -> list[Order]:
    """One for all items of the same URL."""
    profile = profiles.of(strict=batch.strict)
    together: dict[tuple[str, MediaKind | None], list[str]] = {}
    for item in batch.items:
        together.setdefault((item.url, item.kind), []).append(item.media_id)
    return [
        Order(url, kind, tuple(media_ids), profile, deadline, batch.use_cache, profiles.shadow)
        for (url, kind), media_ids in together.items()
    ]


def _outcome(future: Future[_Done], late: _Done) -> _Done:
    return future.result() if future.done() and not future.cancelled() else late


def _done(order: Order, deps: moderation.Deps) -> _Done:
    began = time.monotonic()
    outcome: Result | Failure
    try:
        outcome = moderation.moderate(order, deps)
    except Exception as error:
        outcome = _failure(error)
        known = isinstance(error, SightlineError)
        log.log(
            logging.INFO if known else logging.ERROR,
            "no verdict on %s: %s",
            media_sources.shown(order.url),
            outcome.code,
            exc_info=None if known else error,
        )
    return _Done(outcome, time.monotonic() - began)


def _failure(error: Exception) -> Failure:
    """In words that were written for clients: no other exception's text leaves the process."""
    match error:
        case Permanent():
            return Failure(error.code, error.status, error.sentence)
        case AnalyserFailed():
            return Failure(error.code, 503, error.sentence)
        case Retryable():
            return Failure("unavailable", 503, "Temporarily unavailable, please try again.")
        case _:
            return Failure("internal_error", 500, "Internal server error")


def _answer(item: Item, done: _Done) -> Answer:
    if isinstance(done.outcome, Failure):
        return Answer(item, None, done.outcome, False, done.seconds)
    moderated = done.outcome.moderated
    failure = _nothing_evaluated(moderated) if moderated.verdict.status is Status.ERROR else None
    return Answer(item, moderated, failure, done.outcome.cached, done.seconds)


def _nothing_evaluated(moderated: Moderated) -> Failure:
    """The error of an item that was looked at, but about which nobody could say what the profile requires."""
    gaps: Sequence[Gap] = moderated.verdict.not_evaluated
    status = 429 if any(gap.code in _OUT_OF_QUOTA for gap in gaps) else 503
    sentence = "What the profile requires could not be evaluated; the receipt says why."
    return Failure("not_evaluated", status, sentence)


def _count(outcomes: Sequence[Result | Failure], deps: moderation.Deps) -> None:
    cached = [outcome.cached for outcome in outcomes if isinstance(outcome, Result)]
    caching.count(Counts(hits=sum(cached), misses=len(cached) - sum(cached)), deps.cache)
