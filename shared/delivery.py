"""How a stage is run exactly once in effect on a bus that delivers at least once, in any order (SPEC §1).

claim → perform → save result and outbox in one commit → publish → mark. Whatever dies in between is finished by the
next delivery. This module knows no stage; `shared/domain/stages.py` decides, the handlers perform.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Generic, Protocol, TypeVar

from shared import ids, logs
from shared.completion import announce_if_complete
from shared.domain.assets import Asset
from shared.domain.costs import Machine
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
from shared.lease import HeldClaim, Lease
from shared.messages import Message, ReplayOrder
from shared.metering import Meter, cost_of_earlier
from shared.outbox import outbox_of, publish_outbox
from shared.ports import (
    Bus,
    Clock,
    Create,
    Delivery,
    Document,
    Documents,
    OutgoingMessage,
    Write,
)
from shared.replaying import Settlement, settle_replay
from shared.repositories import assets, replays, work

log = logging.getLogger(__name__)

M = TypeVar("M")
D = TypeVar("D")

REJECTED = "rejected_messages"
MAX_CONFLICTS = 50
"""Lost races of one attempt's own writes before it gives way to a redelivery."""


@dataclass(frozen=True)
class Work:
    """One piece of work: its key (`ids.work_key`), the asset in whose ledger it is recorded, and the stage.

    With a `replay_id`, the replay's own document shows how it stands, and the asset's ledger what it gave.
    """

    key: str
    asset_id: str
    stage: Stage
    replay_id: str | None = None
    generation: int | None = None


class ObjectMessage(Protocol):
    """A message about one generation of one object."""

    @property
    def asset_id(self) -> str:
        """Whose ledger the work is recorded in."""
        ...

    @property
    def bucket(self) -> str:
        """Where the object lies."""
        ...

    @property
    def object_name(self) -> str:
        """The object."""
        ...

    @property
    def generation(self) -> int:
        """Which of its generations."""
        ...

    @property
    def replay(self) -> ReplayOrder | None:
        """Set when only one stage shall run again."""
        ...


def work_for(message: ObjectMessage, stage: Stage) -> Work | None:
    """The piece of work that a message asks of a stage; None when it asks another stage to run again."""
    name = stage_name(stage, message.replay)
    if name is None:
        return None
    key = ids.work_key(message.bucket, message.object_name, message.generation, name)
    replay_id = None if message.replay is None else message.replay.id
    return Work(key, message.asset_id, stage, replay_id, message.generation)


def stage_name(stage: Stage, replay: ReplayOrder | None) -> str | None:
    """What a stage is called in the key of its work: a replay is work of its own. None: this stage is not meant."""
    if replay is None:
        return stage.value
    return replay_name(stage, replay.id) if replay.stage == stage else None


def replay_name(stage: Stage, replay_id: str) -> str:
    """What a replay of a stage is called in the key of its work."""
    return f"{stage}/{replay_id}"


@dataclass(frozen=True)
class Attempt:
    """One try at a piece of work. `number` counts from 1; `is_last`: nobody will try again if this one fails.

    `report` tells the ledger which share (0-1) is done; it may be called often, and costs a write now and then.
    `charge` puts what an analyser costs on the account (`Meter.charge`), where it stays whatever becomes of the try.
    """

    work: Work
    number: int = 1
    is_last: bool = False
    report: Callable[[float], None] = lambda _: None
    charge: Callable[[float, str | None], None] = lambda _usd, _note: None

    @property
    def asset_id(self) -> str:
        """Whose ledger it is."""
        return self.work.asset_id


@dataclass(frozen=True)
class Outcome:
    """What a handler wants to happen, all or nothing: writes, then messages. `version` names the model or API used.

    `error_*` say why a stage was skipped, or failed in a way that ends it without being an exception. `reused_from`:
    the asset whose earlier result this is.
    """

    writes: tuple[Write, ...] = ()
    messages: tuple[Message, ...] = ()
    state: StageState = StageState.DONE
    version: str | None = None
    error_code: str | None = None
    error_message: str | None = None
    reused_from: str | None = None


@dataclass(frozen=True)
class Consumer(Generic[M, D]):
    """A stage as the edge sees it. `prepare` says which work a message asks for; None, as from `decode`: nothing."""

    stage: Stage
    decode: Callable[[Delivery], M | None]
    prepare: Callable[[M, D], Work | None]
    handle: Callable[[M, D, Attempt], Outcome]


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
                runner.run(piece, delivery, lambda attempt: consumer.handle(message, deps, attempt))
        except Permanent as error:
            runner.reject(consumer.stage, delivery, error)


def receive_tick(name: str, perform: Callable[[], object], delivery: Delivery) -> None:
    """Does what is due at regular times, for no asset in particular; the message says nothing but "now".

    Whatever goes wrong is logged and the tick acknowledged: the next one tries again, sooner than a redelivery would.
    """
    trace = logs.trace_of(delivery.attributes) or logs.new_trace()
    with logs.context(stage=name, message_id=delivery.message_id, trace=trace):
        try:
            perform()
        except Exception:
            log.exception("%s failed, until the next time", name)


def receive_news(
    name: str, handle: Callable[[Delivery], object], documents: Documents, clock: Clock, delivery: Delivery
) -> None:
    """Handles one delivery that concerns no asset, and so has no ledger. Returning acknowledges it.

    A `Permanent` error is recorded among the rejected messages and acknowledged; any other is raised, and the message
    comes again. `handle` must bear duplicates.
    """
    trace = logs.trace_of(delivery.attributes) or logs.new_trace()
    with logs.context(stage=name, message_id=delivery.message_id, trace=trace):
        try:
            handle(delivery)
        except Permanent as error:
            record_rejection(name, delivery, error, documents, clock)


def record_rejection(source: str, delivery: Delivery, error: Permanent, documents: Documents, clock: Clock) -> None:
    """Records, once, a message to `source` that no retry can mend. Raises `Retryable`."""
    log.error("message rejected: %s", error)
    record = {
        "stage": source,
        "message_id": delivery.message_id,
        "code": error.code,
        "sentence": error.sentence,
        "data": delivery.data[:10_000],
        "rejected_at": clock.now(),
    }
    with suppress(AlreadyExists):
        documents.commit([Create(REJECTED, f"{source}:{ids.derived_uuid(delivery.message_id)}", record)])


class StageRunner:
    """Runs pieces of work under a claim. `lease`: how long a worker may be silent before another takes over.

    `machine`: what the bill for computing counts; None where there is no such bill (the embedded home).
    """

    def __init__(
        self, documents: Documents, bus: Bus, clock: Clock, lease: timedelta, machine: Machine | None = None
    ) -> None:
        self._documents = documents
        self._bus = bus
        self._clock = clock
        self._lease = lease
        self._machine = machine

    def run(self, piece: Work, delivery: Delivery, perform: Callable[[Attempt], Outcome]) -> None:
        """Claims, performs, settles and publishes; or does what the ledger says instead.

        Raises `InProgress` while another worker holds the lease, and whatever `perform` raises that is not
        `Permanent`.
        """
        attempt = self._claim(piece, delivery)
        if attempt is not None:
            with Lease(self._documents, self._clock, attempt.held_claim(), self._lease) as lease:
                outbox = self._perform(attempt, lease, perform)
            publish_outbox(self._documents, self._bus, piece.key, outbox)
        # A duplicate looks, too: the one before it may have died between its commit and this.
        announce_if_complete(self._documents, self._bus, self._clock, piece.asset_id)

    def reject(self, stage: Stage, delivery: Delivery, error: Permanent) -> None:
        """Records a message that no retry can mend, and that belongs to no asset's ledger."""
        record_rejection(stage.value, delivery, error, self._documents, self._clock)

    def _claim(self, piece: Work, delivery: Delivery) -> _Claimed | None:
        """An attempt whose claim is now ours, or None when there is nothing left to do."""
        if piece.replay_id is not None:
            self._require_ledger(piece)
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
            asset = assets.find(self._documents, piece.asset_id)
            if asset is not None and _is_overwritten(asset, piece):
                log.info("news of a generation that was overwritten since is acknowledged")
                return None
            attempt = self._new_attempt(piece, delivery, held, asset)
            if self._try_claim(attempt, document):
                return attempt
        raise Retryable("the claim was contended")

    def _new_attempt(self, piece: Work, delivery: Delivery, held: WorkRecord | None, asset: Asset | None) -> _Claimed:
        now = self._clock.now()
        count = 1 + (held.attempts if held else 0)
        meter = Meter(self._clock, self._machine, now, self._cost_before(piece, held, asset))
        record = WorkRecord(
            WorkState.RUNNING, ids.new_uuid(), count, now + self._lease, cost_usd=meter.charged(), began=now
        )
        shown = meter.bill(StageRecord(StageState.RUNNING, count, started=now))
        return _Claimed(piece, delivery, record, shown, meter)

    def _cost_before(self, piece: Work, held: WorkRecord | None, asset: Asset | None) -> float:
        """What the stage has cost so far. A first attempt goes on from the ledger: a replay's cost adds to it."""
        if held is not None and held.attempts:
            return cost_of_earlier(held, self._machine)
        return assets.stage_record(asset, piece.stage).cost_usd if asset else 0.0

    def _try_claim(self, attempt: _Claimed, held: Document | None) -> bool:
        claim = work.claim(attempt.piece.key, attempt.record, held, attempt.request())
        try:
            self._documents.commit([claim, attempt.shown_as(attempt.shown), *attempt.reopening()])
        except AlreadyExists:
            return False
        except VersionConflict:
            self._require_ledger(attempt.piece)
            return False
        return True

    def _require_ledger(self, piece: Work) -> None:
        """Raises `NotFound` when there is nothing in which the work could be recorded."""
        if piece.replay_id is not None:
            replays.get(self._documents, piece.asset_id, piece.replay_id)
        elif assets.find(self._documents, piece.asset_id) is None:
            raise NotFound("unknown_asset", f"The message speaks of an unknown asset {piece.asset_id}.")

    def _perform(self, attempt: _Claimed, lease: Lease, perform: Callable[[Attempt], Outcome]) -> list[OutgoingMessage]:
        try:
            return self._perform_and_settle(attempt, lease, perform)
        except Permanent as error:
            log.warning("stage failed for good: %s", error)
            failed = self._ended(attempt, StageState.FAILED, error.code, error.sentence)
            settled = replace(attempt.record, state=WorkState.FAILED, cost_usd=failed.cost_usd)
            lease.settle(settled, [attempt.shown_as(failed)], [])
            return []
        except InProgress:
            raise
        except Exception as error:
            self._release(attempt, lease, error)
            raise

    def _perform_and_settle(
        self, attempt: _Claimed, lease: Lease, perform: Callable[[Attempt], Outcome]
    ) -> list[OutgoingMessage]:
        for _ in range(MAX_CONFLICTS):
            outcome = perform(attempt.seen_by_handler(lease.report))
            done = self._ended(attempt, outcome.state, outcome.error_code, outcome.error_message)
            done = replace(done, version=outcome.version, reused_from=outcome.reused_from)
            end = self._settlement(attempt, done, outcome.writes)
            messages = outcome.messages if end.announced else ()
            outbox = outbox_of(attempt.piece.key, messages, self._clock.now())
            settled = replace(attempt.record, state=WorkState.DONE, published=not outbox, cost_usd=done.cost_usd)
            try:
                lease.settle(settled, end.writes, outbox)
            except (AlreadyExists, VersionConflict):
                continue  # one of the outcome's own writes lost a race: decide again on what is there now
            took = self._clock.now() - (attempt.record.began or self._clock.now())
            about = (done.state, done.attempts, len(outbox), took.total_seconds())
            log.info("stage %s after %d attempt(s), %d message(s), %.1f s", *about)
            return outbox
        raise Retryable("the result lost too many races")

    def _settlement(self, attempt: _Claimed, ended: StageRecord, writes: Sequence[Write]) -> Settlement:
        piece = attempt.piece
        if piece.replay_id is None:
            # Their own first: a version that one of them names is that of the asset as it was read.
            return Settlement((*writes, attempt.shown_as(ended)), announced=True)
        return settle_replay(self._documents, piece.replay_id, piece.asset_id, ended, writes)

    def _release(self, attempt: _Claimed, lease: Lease, error: Exception) -> None:
        """Gives the claim back at once, so that the redelivery need not wait for the lease to run out."""
        count = attempt.delivery.attempt
        if count >= MAX_ATTEMPTS:
            sentence = f"The stage failed {count} times; its message waits among the dead letters."
            shown = self._ended(attempt, StageState.FAILED, "retries_exhausted", sentence)
        else:
            sentence = f"Attempt {count} failed ({type(error).__name__}); it will be tried again."
            shown = attempt.meter.bill(
                replace(attempt.shown, state=StageState.PENDING, error_code="retrying", error_message=sentence)
            )
        state = WorkState.GIVEN_UP if shown.state is StageState.FAILED else WorkState.RELEASED
        now = self._clock.now()
        released = replace(attempt.record, state=state, lease_until=now, cost_usd=shown.cost_usd)
        try:
            lease.settle(released, [attempt.shown_as(shown)])
            if shown.state is StageState.FAILED:
                announce_if_complete(self._documents, self._bus, self._clock, attempt.piece.asset_id)
        except SightlineError as second:
            # The first error is the one to raise, and the lease runs out by itself.
            log.warning("the claim could not be released: %s", type(second).__name__)

    def _ended(
        self, attempt: _Claimed, state: StageState, code: str | None = None, sentence: str | None = None
    ) -> StageRecord:
        ended = replace(attempt.shown, state=state, ended=self._clock.now(), error_code=code, error_message=sentence)
        return attempt.meter.bill(ended)


def _is_overwritten(asset: Asset, piece: Work) -> bool:
    """Whether the object has a newer generation, of which the asset speaks by now."""
    return asset.generation is not None and piece.generation is not None and asset.generation > piece.generation


@dataclass(frozen=True)
class _Claimed:
    """One claimed try: the claim as stored, and the stage as the ledger shows it while it runs."""

    piece: Work
    delivery: Delivery
    record: WorkRecord
    shown: StageRecord
    meter: Meter

    def shown_as(self, record: StageRecord) -> Write:
        """The write that makes the ledger, or the replay, show `record`."""
        if self.piece.replay_id is not None:
            return replays.record_update(self.piece.replay_id, record)
        return assets.stage_update(self.piece.asset_id, self.piece.stage, record)

    def reopening(self) -> tuple[Write, ...]:
        """A stage that runs once more leaves its asset incomplete. A replay keeps the earlier result until it ends."""
        return () if self.piece.replay_id is not None else (assets.reopening(self.piece.asset_id),)

    def request(self) -> work.Request:
        """What was delivered, to be asked for again if this worker is lost."""
        data, attributes = self.delivery.data, self.delivery.attributes
        asked = work.Request(self.piece.asset_id, self.piece.stage, self.piece.replay_id)
        return asked.with_message(data, attributes)

    def held_claim(self) -> HeldClaim:
        """What the lease renews, and how it shows progress."""
        return HeldClaim(
            self.piece.key,
            self.record,
            lambda share: self.shown_as(replace(self.shown, progress=share)),
            self.meter.charged,
        )

    def seen_by_handler(self, report: Callable[[float], None]) -> Attempt:
        """As the handler sees it."""
        number = max(self.record.attempts, self.delivery.attempt)
        return Attempt(self.piece, number, number >= MAX_ATTEMPTS, report, self.meter.charge)
