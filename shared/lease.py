"""A held claim: renewed in the background while the work goes on, and the version that fences its late commit."""

from __future__ import annotations

import contextvars
import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

from shared.domain.stages import WorkRecord, WorkState
from shared.errors import InProgress, SightlineError, VersionConflict
from shared.ports import Clock, Documents, OutgoingMessage, Write
from shared.repositories import work

log = logging.getLogger(__name__)


PROGRESS_SECONDS = 2.0
"""How often progress is written at most: often enough for a person who waits, seldom enough for the bill."""


@dataclass(frozen=True)
class HeldClaim:
    """A claim as it was stored, and the write that shows a share (0-1) of its work as done.

    `charged`: what it has cost so far without computing, kept with each renewal in case the worker dies.
    """

    key: str
    record: WorkRecord
    progress_write: Callable[[float], Write]
    charged: Callable[[], float]


class Lease:
    """The claim of one attempt on one piece of work, as a context manager.

    A third of the lease after the claim, and again each third, `lease_until` is moved on. Whoever takes an expired
    claim over changes the document's version, so the commit of an attempt that was only slow fails: no effect happens
    twice.
    """

    def __init__(self, documents: Documents, clock: Clock, claim: HeldClaim, length: timedelta) -> None:
        self._documents = documents
        self._clock = clock
        self._key = claim.key
        self._record = claim.record
        self._progress_write = claim.progress_write
        self._charged = claim.charged
        self._reported = 0.0
        self._shown = 0.0
        self._length = length
        self._version = ""
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._renewer: threading.Thread | None = None

    def __enter__(self) -> Lease:
        self._version = self._present_version()
        surroundings = contextvars.copy_context()
        self._renewer = threading.Thread(target=surroundings.run, args=(self._renew_until_ended,), daemon=True)
        self._renewer.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        if self._renewer is not None:
            self._renewer.join()

    def report(self, share: float) -> None:
        """Says which share (0-1) of the work is done; shown with the next renewal, or within a few seconds."""
        self._reported = min(max(share, self._reported), 1.0)

    def settle(
        self, record: WorkRecord, writes: Sequence[Write], outbox: Sequence[OutgoingMessage] | None = None
    ) -> None:
        """Commits the end of this attempt with its effects, atomically.

        Raises `InProgress` when the claim was taken over, and `VersionConflict` or `AlreadyExists` when one of
        `writes` lost its own race (the claim is still held then).
        """
        with self._lock:
            try:
                self._documents.commit([work.update(self._key, record, self._version, outbox), *writes])
            except VersionConflict:
                known, self._version = self._version, self._present_version()
                if known == self._version:
                    raise
                # A renewal of ours went through unseen (its answer was lost): the claim is still ours.
                self._documents.commit([work.update(self._key, record, self._version, outbox), *writes])

    def _present_version(self) -> str:
        """The version of a claim that is still ours and not settled."""
        found = work.load(self._documents, self._key)
        if found is None or found[0].owner != self._record.owner or found[0].state is not WorkState.RUNNING:
            raise InProgress("the claim was taken over or settled already")
        return found[1].version

    def _renew_until_ended(self) -> None:
        third = self._length.total_seconds() / 3
        waited = 0.0
        while not self._ended.wait(tick := min(third, PROGRESS_SECONDS)):
            waited += tick
            news = self._reported != self._shown or self._charged() != self._record.cost_usd
            if waited < third and not news:
                continue
            waited = 0.0
            try:
                self._renew()
            except VersionConflict:
                log.warning("the lease was lost; this attempt's result will be refused")
                return
            except SightlineError as error:
                log.warning("the lease could not be renewed, trying again: %s", type(error).__name__)

    def _renew(self) -> None:
        with self._lock:
            if self._ended.is_set():
                return
            share = self._reported
            writes = [self._progress_write(share)] if share != self._shown else []
            until = self._clock.now() + self._length
            self._record = replace(self._record, lease_until=until, cost_usd=self._charged())
            self._documents.commit([work.update(self._key, self._record, self._version), *writes])
            self._version = self._present_version()
            self._shown = share
