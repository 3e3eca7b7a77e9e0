"""How a stage is run exactly once in effect on a bus that delivers at least once, in any order (SPEC §1).

claim → perform → save result and outbox in one commit → publish → mark. Whatever dies in between is finished by the
next delivery. This module knows no stage; `shared/domain/stages.py` decides, the handlers perform.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Generic, TypeVar

from shared import ids, logs
from shared.domain.stages import (
    MAX_ATTEMPTS,
    ClaimDecision,
    Stage,
    StageRecord,
    StageState,
    WorkRecord,
    WorkState,
    decide_claim,
)
from shared.errors import (
    AlreadyExists,
    InProgress,
    NotFound,
    Permanent,
    Retryable,
    SightlineError,
    VersionConflict,
)
from shared.lease import Lease
from shared.messages import Message, encode
from shared.ports import (
    Bus,
    Clock,
    Create,
    Delivery,
    Document,
    Documents,
    Filter,
    OutgoingMessage,
    Query,
    Write,
)
from shared.repositories import assets, work

log = logging.getLogger(__name__)

M = TypeVar("M")
D = TypeVar("D")

REJECTED = "rejected_messages"
MAX_CONFLICTS = 50
"""Lost races of one attempt's own writes before it gives way to a redelivery."""


@dataclass(frozen=True)
class Work:
    """One piece of work: its key (`ids.work_key`), the asset in whose ledger it is recorded, and the stage."""

    key: str
    asset_id: str
    stage: Stage


@dataclass(frozen=True)
class Outcome:
    """What a handler wants to happen, all or nothing: writes, then messages. `version` names the model or API used."""

    writes: tuple[Write, ...] = ()
    messages: tuple[Message, ...] = ()
    state: StageState = StageState.DONE
    version: str | None = None
    cost_usd: float = 0.0


@dataclass(frozen=True)
class Consumer(Generic[M, D]):
    """A stage as the edge sees it. `prepare` says which work a message asks for; None, as from `decode`: nothing."""

    stage: Stage
    decode: Callable[[Delivery], M | None]
    prepare: Callable[[M, D], Work | None]
    handle: Callable[[M, D, Work], Outcome]


def receive(consumer: Consumer[M, D], deps: D, runner: StageRunner, delivery: Delivery) -> None:
    """Handles one delivery. Returning acknowledges it; an exception asks for it to be delivered again.

    A `Permanent` error is recorded (in the asset's ledger, or among the rejected messages when no asset is known) and
    acknowledged.
    """
    trace = logs.trace_of(delivery.attributes) or logs.new_trace()
    with logs.context(stage=consumer.stage, message_id=delivery.message_id, trace=trace):
        try:
            message = consumer.decode(delivery)
            if message is None:
                return
            piece = consumer.prepare(message, deps)
            if piece is None:
                return
            with logs.context(asset=piece.asset_id):
                runner.run(piece, delivery, lambda: consumer.handle(message, deps, piece))
        except Permanent as error:
            runner.reject(consumer.stage, delivery, error)


class StageRunner:
    """Runs pieces of work under a claim. `lease`: how long a worker may be silent before another takes over."""

    def __init__(self, documents: Documents, bus: Bus, clock: Clock, lease: timedelta) -> None:
        self._documents = documents
        self._bus = bus
        self._clock = clock
        self._lease = lease

    def run(self, piece: Work, delivery: Delivery, perform: Callable[[], Outcome]) -> None:
        """Claims, performs, settles and publishes; or does what the ledger says instead.

        Raises `InProgress` while another worker holds the lease, and whatever `perform` raises that is not
        `Permanent`.
        """
        attempt = self._claim(piece, delivery)
        if attempt is None:
            return
        with Lease(self._documents, self._clock, piece.key, attempt.record, self._lease) as lease:
            outbox = self._perform(attempt, lease, perform)
        publish_outbox(self._documents, self._bus, piece.key, outbox)

    def reject(self, stage: Stage, delivery: Delivery, error: Permanent) -> None:
        """Records a message that no retry can mend, and that belongs to no asset's ledger."""
        log.error("message rejected: %s", error)
        record = {
            "stage": stage.value,
            "message_id": delivery.message_id,
            "code": error.code,
            "sentence": error.sentence,
            "data": delivery.data[:10_000],
            "rejected_at": self._clock.now(),
        }
        try:
            key = f"{stage.value}:{ids.derived_uuid(delivery.message_id)}"
            self._documents.commit([Create(REJECTED, key, record)])
        except AlreadyExists:
            return

    def _claim(self, piece: Work, delivery: Delivery) -> _Attempt | None:
        """An attempt whose claim is now ours, or None when there is nothing left to do."""
        for _ in range(MAX_CONFLICTS):
            found = work.load(self._documents, piece.key)
            held, document = found or (None, None)
            decision = decide_claim(held, self._clock.now())
            if decision is ClaimDecision.DUPLICATE:
                log.info("duplicate delivery acknowledged")
                return None
            if decision is ClaimDecision.PUBLISH and document is not None:
                publish_outbox(self._documents, self._bus, piece.key, work.outbox_of(document))
                return None
            if decision is ClaimDecision.WAIT and held is not None:
                left = (held.lease_until - self._clock.now()).total_seconds()
                raise InProgress("another worker holds the lease", retry_after=left)
            attempt = self._new_attempt(piece, delivery, held)
            if self._try_claim(attempt, document):
                return attempt
        raise Retryable("the claim was contended")

    def _new_attempt(self, piece: Work, delivery: Delivery, held: WorkRecord | None) -> _Attempt:
        now = self._clock.now()
        count = 1 + (held.attempts if held else 0)
        record = WorkRecord(WorkState.RUNNING, ids.new_uuid(), count, now + self._lease)
        return _Attempt(piece, delivery, record, StageRecord(StageState.RUNNING, count, started=now))

    def _try_claim(self, attempt: _Attempt, held: Document | None) -> bool:
        claim = work.claim(attempt.piece.key, attempt.record, held)
        try:
            self._documents.commit([claim, attempt.shown_as(attempt.shown)])
        except AlreadyExists:
            return False
        except VersionConflict:
            asset_id = attempt.piece.asset_id
            if assets.find(self._documents, asset_id) is None:
                raise NotFound("unknown_asset", f"The message speaks of an unknown asset {asset_id}.") from None
            return False
        return True

    def _perform(self, attempt: _Attempt, lease: Lease, perform: Callable[[], Outcome]) -> list[OutgoingMessage]:
        try:
            return self._perform_and_settle(attempt, lease, perform)
        except Permanent as error:
            log.warning("stage failed for good: %s", error)
            failed = self._ended(attempt, StageState.FAILED, error.code, error.sentence)
            lease.settle(replace(attempt.record, state=WorkState.FAILED), [attempt.shown_as(failed)], [])
            return []
        except InProgress:
            raise
        except Exception as error:
            self._release(attempt, lease, error)
            raise

    def _perform_and_settle(
        self, attempt: _Attempt, lease: Lease, perform: Callable[[], Outcome]
    ) -> list[OutgoingMessage]:
        for _ in range(MAX_CONFLICTS):
            outcome = perform()
            outbox = outbox_of(attempt.piece.key, outcome.messages, self._clock.now())
            done = self._ended(attempt, outcome.state)
            done = replace(done, version=outcome.version, cost_usd=outcome.cost_usd)
            settled = replace(attempt.record, state=WorkState.DONE, published=not outbox)
            try:
                lease.settle(settled, [attempt.shown_as(done), *outcome.writes], outbox)
            except (AlreadyExists, VersionConflict):
                continue  # one of the outcome's own writes lost a race: decide again on what is there now
            log.info("stage %s after %d attempt(s), %d message(s)", done.state, done.attempts, len(outbox))
            return outbox
        raise Retryable("the result lost too many races")

    def _release(self, attempt: _Attempt, lease: Lease, error: Exception) -> None:
        """Gives the claim back at once, so that the redelivery need not wait for the lease to run out."""
        count = attempt.delivery.attempt
        if count >= MAX_ATTEMPTS:
            sentence = f"The stage failed {count} times; its message waits among the dead letters."
            shown = self._ended(attempt, StageState.FAILED, "retries_exhausted", sentence)
        else:
            sentence = f"Attempt {count} failed ({type(error).__name__}); it will be tried again."
            shown = replace(attempt.shown, state=StageState.PENDING, error_code="retrying", error_message=sentence)
        released = replace(attempt.record, state=WorkState.RELEASED, lease_until=self._clock.now())
        try:
            lease.settle(released, [attempt.shown_as(shown)])
        except SightlineError as second:
            # The first error is the one to raise, and the lease runs out by itself.
            log.warning("the claim could not be released: %s", type(second).__name__)

    def _ended(
        self, attempt: _Attempt, state: StageState, code: str | None = None, sentence: str | None = None
    ) -> StageRecord:
        return replace(attempt.shown, state=state, ended=self._clock.now(), error_code=code, error_message=sentence)


def publish_pending(documents: Documents, bus: Bus, now: datetime, *, limit: int = 100) -> int:
    """Publishes outboxes that somebody saved and then died before publishing; returns how many.

    Those whose lease still runs are left to their worker. One that cannot be published does not hold up the others.
    """
    page = documents.query(Query(work.COLLECTION, (Filter("published", "==", False),)), limit=limit)
    published = 0
    for document in page.documents:
        if document.data["lease_until"] > now:
            continue
        try:
            publish_outbox(documents, bus, document.id, work.outbox_of(document))
            published += 1
        except Exception as error:  # whatever is wrong with this one, the next may be well
            log.warning("outbox %s still waits: %s", document.id, type(error).__name__)
    return published


def outbox_of(key: str, messages: Sequence[Message], now: datetime) -> list[OutgoingMessage]:
    """The messages of a piece of work as they are published; their ids repeat when the work does."""
    return [
        encode(message, message_id=ids.derived_uuid(key, str(number)), now=now)
        for number, message in enumerate(messages)
    ]


def publish_outbox(documents: Documents, bus: Bus, key: str, outbox: Sequence[OutgoingMessage]) -> None:
    """Publishes what a saved result wants published, then marks it. Repeating it is harmless."""
    if not outbox:
        return
    try:
        for message in outbox:
            bus.publish(message)
    except Permanent as error:
        # A missing topic is a fault of the deployment, not of the message: the outbox must wait, not be given up.
        raise Retryable(f"the outbox could not be published: {error}") from error
    documents.commit([work.mark_published(key)])


@dataclass(frozen=True)
class _Attempt:
    """One claimed try: the claim as stored, and the stage as the ledger shows it while it runs."""

    piece: Work
    delivery: Delivery
    record: WorkRecord
    shown: StageRecord

    def shown_as(self, record: StageRecord) -> Write:
        """The write that makes the ledger show `record`."""
        return assets.stage_update(self.piece.asset_id, self.piece.stage, record)
