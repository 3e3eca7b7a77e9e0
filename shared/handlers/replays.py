"""Somebody asks for a stage to run again on what is stored: is that allowed, and what message makes it happen?

The order and its message are one commit, so that an order which was accepted is carried out whoever dies; the stage
itself then runs as it always does (`shared/delivery.py`), and its end writes what it changed (`shared/replaying.py`).
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from datetime import timedelta

from shared import ids
from shared.delivery import MAX_CONFLICTS, replay_name
from shared.domain.assets import Asset
from shared.domain.replays import SENTENCES, Refusal, Replay, is_under_way, refusal, verdict_of
from shared.domain.stages import Stage, WorkRecord, WorkState
from shared.errors import AlreadyExists, Malformed, NotReady, Retryable, VersionConflict
from shared.handlers.triggers import trigger_of, work_object
from shared.messages import Message, ReplayOrder
from shared.outbox import outbox_of, publish_saved
from shared.ports import Blobs, Bus, Clock, Documents, OutgoingMessage, Write
from shared.repositories import assets, replays, work

log = logging.getLogger(__name__)

PATIENCE = timedelta(seconds=30)
"""How long a saved message is left to the request that saved it."""


@dataclass(frozen=True)
class Deps:
    """What an order needs of the world. `bucket` is what `media` is called in messages."""

    documents: Documents
    media: Blobs
    bus: Bus
    clock: Clock
    bucket: str


@dataclass(frozen=True)
class Request:
    """What the client wants. The same person's same `idempotency_key` for the same asset means the same replay."""

    asset_id: str
    stage: str
    requested_by: str
    idempotency_key: str | None = None


def request(asked: Request, deps: Deps) -> Replay:
    """Accepts the order and publishes the stage's message; or gives the replay that this order made before.

    Raises `Malformed` for a stage that there is not, `NotFound` for an unknown asset, `NotReady` with the reason of a
    refusal, and `Retryable`.
    """
    stage = _stage(asked.stage)
    for _ in range(MAX_CONFLICTS):
        asset = assets.get(deps.documents, asked.asset_id)
        replay_id = _id(asked)
        found = replays.find(deps.documents, replay_id)
        if found is not None:
            return _repeated(found, stage, deps)
        replay = Replay(replay_id, asset.id, stage, deps.clock.now(), asked.requested_by, old=verdict_of(asset, stage))
        try:
            _accept(replay, asset, deps)
        except (AlreadyExists, VersionConflict):
            continue  # another order came in between: look again whether this one may still
        _publish(replay.id, deps)
        return replay
    raise Retryable("the asset's replays are contended")


def _stage(name: str) -> Stage:
    try:
        return Stage(name)
    except ValueError:
        allowed = ", ".join(Stage)
        raise Malformed(
            "unknown_stage", f"There is no such stage; those that can be replayed are: {allowed}."
        ) from None


def _id(asked: Request) -> str:
    if asked.idempotency_key is None:
        return ids.new_uuid()
    return ids.derived_uuid("replay", asked.asset_id, asked.requested_by, asked.idempotency_key)


def _repeated(found: Replay, stage: Stage, deps: Deps) -> Replay:
    if found.stage is not stage:
        raise Malformed("key_used", f"This Idempotency-Key was used for a replay of {found.stage}.")
    _publish(found.id, deps)  # the one who accepted it may have died before
    return found


def _accept(replay: Replay, asset: Asset, deps: Deps) -> None:
    """Stores the order with its message. Raises `AlreadyExists` or `VersionConflict` if another came first."""
    latest, slot = replays.latest_of(deps.documents, asset.id)
    _check(replay, asset, latest)
    if replay.stage is Stage.INGEST:
        asset = replace(asset, generation=_generation(asset, deps))
    key = _outbox_key(replay.id)
    outbox = outbox_of(key, [_message(replay, asset, deps)], replay.requested_at)
    record = WorkRecord(WorkState.DONE, ids.new_uuid(), 1, replay.requested_at + PATIENCE, published=False)
    deps.documents.commit(
        [
            replays.creation(replay),
            replays.slot_write(replay, slot),
            work.finished(key, record, outbox),
            _run(replay, _work_key(replay.stage, asset, replay_name(replay.stage, replay.id), deps), outbox[0]),
            *_close_first_run(replay, _work_key(replay.stage, asset, replay.stage, deps), deps),
        ]
    )


def _work_key(stage: Stage, asset: Asset, name: str, deps: Deps) -> str:
    object_name, generation = work_object(stage, asset)
    assert generation is not None  # noqa: S101 - its message could be made
    return ids.work_key(deps.bucket, object_name, generation, name)


def _close_first_run(replay: Replay, key: str, deps: Deps) -> tuple[Write, ...]:
    """From now on the replay is the stage's business: what the first run's late messages would do, it does."""
    found = work.load(deps.documents, key)
    superseded = WorkRecord(WorkState.SUPERSEDED, ids.new_uuid(), 0, replay.requested_at)
    if found is None:
        return (work.finished(key, superseded, []),)
    held, document = found
    if held.state in {WorkState.DONE, WorkState.FAILED, WorkState.SUPERSEDED}:
        return ()
    return (work.update(key, replace(held, state=WorkState.SUPERSEDED), document.version),)


def _run(replay: Replay, key: str, message: OutgoingMessage) -> Write:
    """The piece of work as if it had been claimed and let go: the sweeper asks again if the message is lost."""
    waiting = WorkRecord(WorkState.RELEASED, ids.new_uuid(), 0, replay.requested_at)
    asked = work.Request(replay.asset_id, replay.stage, replay.id).with_message(message.data, message.attributes)
    return work.claim(key, waiting, None, asked)


def _check(replay: Replay, asset: Asset, latest: Replay | None) -> None:
    if latest is not None and is_under_way(latest, replay.requested_at):
        raise _refused(Refusal.UNDER_WAY)
    reason = refusal(asset, replay.stage)
    if reason is not None:
        raise _refused(reason)


def _refused(reason: Refusal) -> NotReady:
    return NotReady(reason.value, SENTENCES[reason])


def _message(replay: Replay, asset: Asset, deps: Deps) -> Message:
    """The message that triggers the stage, rebuilt from what is stored."""
    order = ReplayOrder(id=replay.id, asset_id=asset.id, stage=replay.stage)
    if replay.stage is Stage.DETECT and asset.detection is not None:
        order = replace(order, sensitivity=asset.detection.sensitivity, step=asset.detection.step)
    message = trigger_of(replay.stage, asset, deps.bucket, order)
    if message is None:
        raise _refused(Refusal.NO_INPUT)
    return message


def _generation(asset: Asset, deps: Deps) -> int:
    """Of the file that was identified, or where none was yet, of the one that lies there."""
    if asset.generation is not None:
        return asset.generation
    info = deps.media.stat(asset.object_name)
    if info is None:
        raise _refused(Refusal.NO_UPLOAD)
    return info.generation


def _outbox_key(replay_id: str) -> str:
    return f"replay:{replay_id}"


def _publish(replay_id: str, deps: Deps) -> None:
    """Publishes the order's message unless that was done. What can't be published now waits in its outbox."""
    try:
        publish_saved(deps.documents, deps.bus, _outbox_key(replay_id))
    except Exception:
        # The order is stored and will be carried out, so the client must be told so.
        log.exception("the replay's message waits in the outbox")
