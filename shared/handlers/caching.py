"""One verdict for the same content, however many ask for it at once: whoever comes first makes it, the others wait.

    first     claim ── make ───────────────▶ publish: entry in, claim out, in one commit
    second         look ‥ look ‥ look ‥‥‥‥‥‥‥‥‥‥▶ entry
    first †   claim ── make ── †
    second         look ‥ look ‥ (lease over) ── claim ── make ──▶ publish

A claim is renewed while its owner lives. Who loses the claim, because the lease was over or the cache was cleared,
still returns what it made, but stores nothing. Who waited long enough makes the verdict without a claim. A verdict that
could not be made leaves nothing, and the next one tries.
"""

from __future__ import annotations

import contextvars
import logging
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from shared import ids
from shared.errors import AlreadyExists, SightlineError, VersionConflict
from shared.ports import Clock, Document, Documents, Write
from shared.repositories import verdict_cache
from shared.repositories.verdict_cache import Claim, Counts, Entry, Seen

log = logging.getLogger(__name__)

FIRST_PAUSE = 0.05
LONGEST_PAUSE = 1.0
"""Seconds between two looks of one who waits."""

_CLAIM_LOST = (AlreadyExists, VersionConflict)


@dataclass(frozen=True)
class Deps:
    """`duration`: how long a verdict is served. `lease`: how long a silent maker keeps its claim.

    `patience`: how long to wait for another's verdict before making it oneself.
    """

    documents: Documents
    clock: Clock
    duration: timedelta = timedelta(hours=24)
    lease: timedelta = timedelta(seconds=30)
    patience: timedelta = timedelta(seconds=120)


@dataclass(frozen=True)
class Made:
    """A new verdict as plain data, and how long it may be served; None: not at all."""

    result: Mapping[str, Any]
    duration: timedelta | None


Make = Callable[[], Made]


@dataclass(frozen=True)
class Served:
    """A verdict as plain data. `cached`: somebody else had made it."""

    result: Mapping[str, Any]
    cached: bool


def serve(key: str, media_ids: tuple[str, ...], make: Make, deps: Deps) -> Served:
    """The verdict under `key`, from the cache or made now; each of `media_ids` finds its entry from now on.

    Raises what `make` raises, and `Retryable` when the store is away.
    """
    waited = 0.0
    pause = FIRST_PAUSE
    while True:
        seen = verdict_cache.look(deps.documents, key)
        now = deps.clock.now()
        if seen.entry is not None and seen.entry.is_fresh(now):
            _name(seen, media_ids, deps)
            return Served(seen.entry.result, cached=True)
        if seen.claim is None or seen.claim.lease_until <= now:
            held = _claim(key, media_ids, seen, deps)
            if held is not None:
                return Served(_make_and_publish(held, media_ids, make, deps), cached=False)
            continue
        if waited >= deps.patience.total_seconds():
            return Served(make().result, cached=False)
        threading.Event().wait(pause)
        waited += pause
        pause = min(2 * pause, LONGEST_PAUSE)


def count(counts: Counts, deps: Deps) -> None:
    """Adds to the statistics; a store that is away costs them, not the reply."""
    try:
        deps.documents.commit(verdict_cache.count_up(counts, ids.new_uuid()))
    except SightlineError as error:
        log.warning("%d hits and %d misses were not counted: %s", counts.hits, counts.misses, type(error).__name__)


def _claim(key: str, media_ids: tuple[str, ...], seen: Seen, deps: Deps) -> Document | None:
    """The claim as it is stored now, or None when somebody else was first."""
    claim = Claim(key, ids.new_uuid(), media_ids, deps.clock.now() + deps.lease)
    try:
        deps.documents.commit([verdict_cache.claiming(claim, seen.claim_document)])
    except _CLAIM_LOST:
        return None
    return _held(claim.owner, key, deps)


def _held(owner: str, key: str, deps: Deps) -> Document | None:
    """The claim, if it is still this owner's."""
    seen = verdict_cache.look(deps.documents, key)
    return seen.claim_document if seen.claim is not None and seen.claim.owner == owner else None


def _make_and_publish(held: Document, media_ids: tuple[str, ...], make: Make, deps: Deps) -> Mapping[str, Any]:
    with _renewed(held, deps) as present:
        made = make()
    last = present()
    if last is None:
        return made.result
    try:
        deps.documents.commit(_ending(last, made, media_ids, deps.clock.now()))
    except SightlineError as error:  # what was made, and paid for, is not lost over it
        log.warning("a verdict was not cached: %s", type(error).__name__)
    return made.result


def _ending(held: Document, made: Made, media_ids: tuple[str, ...], now: datetime) -> Sequence[Write]:
    if made.duration is None:
        return [verdict_cache.release(held)]
    return verdict_cache.publication(Entry(held.id, made.result, media_ids, now, now + made.duration), held)


@contextmanager
def _renewed(held: Document, deps: Deps) -> Iterator[Callable[[], Document | None]]:
    """Keeps a claim while the block runs, and gives it up if the block raises.

    Gives a function that tells, after the block, the claim as it is stored last; None if it was lost.
    """
    renewer = _Renewer(held, deps)
    thread = threading.Thread(target=contextvars.copy_context().run, args=(renewer.run,), daemon=True)
    thread.start()
    try:
        yield lambda: renewer.held
    except BaseException:
        renewer.end(thread)
        if renewer.held is not None:
            with suppress(SightlineError):
                deps.documents.commit([verdict_cache.release(renewer.held)])
        raise
    renewer.end(thread)


class _Renewer:
    """Moves the end of a claim on, at every third of the lease. `held`: the claim as it is stored; None: lost."""

    def __init__(self, held: Document, deps: Deps) -> None:
        self.held: Document | None = held
        self._deps = deps
        self._owner: str = held.data["owner"]
        self._ended = threading.Event()

    def run(self) -> None:
        """Until `end`, or until the claim is lost."""
        while self.held is not None and not self._ended.wait(self._deps.lease.total_seconds() / 3):
            try:
                self._renew(self.held)
            except SightlineError as error:
                log.warning("a verdict's claim could not be renewed, trying again: %s", type(error).__name__)

    def end(self, thread: threading.Thread) -> None:
        """Returns when nothing is renewed any more."""
        self._ended.set()
        thread.join()

    def _renew(self, held: Document) -> None:
        until = self._deps.clock.now() + self._deps.lease
        with suppress(VersionConflict):
            self._deps.documents.commit([verdict_cache.renewal(held, until)])
        self.held = _held(self._owner, held.id, self._deps)


def _name(seen: Seen, media_ids: tuple[str, ...], deps: Deps) -> None:
    """Lets the entry be found under these ids, too; one that changed meanwhile is looked at again."""
    try:
        while seen.entry is not None and seen.entry_document is not None:
            if set(media_ids) <= set(seen.entry.media_ids):
                return
            with suppress(VersionConflict):
                deps.documents.commit([verdict_cache.naming(seen.entry, seen.entry_document, media_ids)])
                return
            seen = verdict_cache.look(deps.documents, seen.entry.key)
    except SightlineError as error:
        log.warning("a cached verdict could not be named: %s", type(error).__name__)
