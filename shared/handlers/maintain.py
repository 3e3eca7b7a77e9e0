"""The sweeper: looks for what stands still and sets it going again, or ends it with a reason. Nothing waits for ever.

A run, told by a tick that says nothing but "now", looks at

- outboxes that were saved and never published: published;
- pieces of work whose worker fell silent, or whose next delivery never came: their message is published again; after
  the last attempt the stage ends as failed (`worker_lost`), and a dead letter that is replayed can still run it;
- assets that are not complete: every stage ended and nobody said so; a stage waits and there is no work for it, because
  its message was lost; the bucket's notification was lost; the file never came (`upload_never_came`);
- once an hour, what lies about in the bucket and at services (`shared/handlers/leftovers.py`);
- deliveries of alerts that are due and that nobody attempts, because a timer or a worker was lost: announced again;
- verdicts that wait for Video Intelligence (`shared/handlers/operations.py`): its operation failed, was lost, takes too
  long, or wrote a result of which nobody heard;
- alerts whose round is over by a minute and of which no timer told;
- flagged files, which go into quarantine, out of it, or are deleted there (`shared/handlers/quarantine.py`);
- metrics, of which a snapshot is taken every five minutes (`shared/handlers/snapshots.py`);
- pictures whose time is over (`shared/handlers/retention.py`), and what shall be erased (`shared/handlers/erasing.py`).

Every change is a compare-and-set on the piece of work or the asset, so sweepers may run side by side, and a worker that
comes back late is refused. One item that can't be handled is logged and holds up no other; a run that can't look at
everything in its time leaves it to the next, which goes on behind the last item handled.

Gemini's processing of a file is waited for within the stage's run. A run that dies there is a silent worker like any
other, and its file is removed as a leftover.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from shared import ids
from shared.completion import announce_if_complete
from shared.domain.assets import Asset, issued_asset_id
from shared.domain.moderation.operations import OperationReason
from shared.domain.stages import ENDED, Stage, StageRecord, StageState, WorkRecord, WorkState
from shared.domain.sweeping import (
    UPLOAD_SENTENCES,
    AssetReason,
    UploadReason,
    decide_asset,
    decide_upload,
    decide_work,
    waiting_stages,
    why_given_up,
)
from shared.errors import AlreadyExists, Malformed, VersionConflict
from shared.handlers import erasing, leftovers, operations, quarantine, retention, snapshots
from shared.handlers.objects import object_of
from shared.handlers.triggers import trigger_of, work_object
from shared.messages import TRIGGERS, AlertDue, ObjectFinalised, encode, notification_of
from shared.outbox import publish_outbox
from shared.ports import Blobs, Bus, Clock, Document, Documents, OutgoingMessage, Query, VideoAnnotator, Write
from shared.repositories import alerts, assets, components, deliveries, erasures, evidence_images, replays, work
from shared.repositories.components import MaintenanceRun, Position

log = logging.getLogger(__name__)

PAGE = 100
PAGES = 5
"""Looked at of each kind in one run; the next run goes on from there."""

LONGEST = timedelta(minutes=2)
"""After that a run begins nothing new: while a service is away, each item may cost half a minute of waiting for it.

Every kind has an equal share, so that a slow one takes no time from the others.
"""

OVERDUE = timedelta(minutes=1)
"""How late a round's end or a delivery may be before its timer is taken for lost, whatever the grace: it is urgent."""

RETRYING = "retrying"
"""The ledger's code of a pending stage that is tried again."""


@dataclass(frozen=True)
class Deps:
    """What the sweeper needs of the world.

    `bucket` is the name of the one behind `media`. `grace`: how long a thing must have been left alone. `cleaners`
    remove, each from one service, what was left there before a moment, and return how much that was. `video` is asked
    how its operations stand, None where there is none. `keep`: how long a flagged file stays in quarantine;
    `keep_pictures`: how long evidence does after its incident was resolved.
    """

    documents: Documents
    media: Blobs
    evidence: Blobs
    bus: Bus
    clock: Clock
    bucket: str
    grace: timedelta
    cleaners: tuple[leftovers.Cleaner, ...] = ()
    video: VideoAnnotator | None = None
    keep: timedelta = timedelta(days=quarantine.DAYS)
    keep_pictures: timedelta = timedelta(days=retention.DAYS)


@dataclass
class _Run:
    """One run: what it works with, what it did so far, and where the next one goes on.

    `alerts`: those that were announced in this run.
    """

    deps: Deps
    now: datetime
    last: MaintenanceRun
    share: timedelta
    counts: Counter[str] = field(default_factory=Counter)
    positions: dict[str, Position] = field(default_factory=dict)
    alerts: set[str] = field(default_factory=set)


Handler = Callable[[_Run, Document], str | None]
"""Sees to one document, and says what it did to it."""


def sweep(deps: Deps) -> Mapping[str, int]:
    """One run; returns how many of each kind it mended. Raises only what storing its report raises."""
    now = deps.clock.now()
    last = components.last_maintenance(deps.documents) or MaintenanceRun(now)
    at_once = timedelta(0)  # a flagged file has been left alone as soon as its stages have ended
    kinds: tuple[tuple[Query, str, Handler, timedelta], ...] = (
        (work.UNPUBLISHED, "lease_until", _publish, deps.grace),
        (work.UNSETTLED, "lease_until", _sweep_work, deps.grace),
        (assets.INCOMPLETE, "created_at", _sweep_asset, deps.grace),
        (assets.PROVISIONAL, "created_at", _sweep_verdict, deps.grace),
        (assets.TO_BE_MOVED, "created_at", _move_flagged, at_once),
        (assets.HELD, "quarantine_until", _expire_flagged, at_once),
        (evidence_images.STORED, "uploaded_at", _expire_picture, deps.keep_pictures),
        (erasures.UNFINISHED, "ordered_at", _erase, at_once),
        (alerts.UNDER_WAY, "deadline", _remind_of_alert, OVERDUE),
        (deliveries.PENDING, "due", _announce_delivery, OVERDUE),
    )
    run = _Run(deps, now, last, LONGEST / len(kinds))
    _take_snapshot(run)
    for query, field_name, handle, grace in kinds:
        _each(run, query, field_name, handle, grace)
    report = replace(last, reported_at=now, positions=run.positions)
    if leftovers.is_due(last.housekept_at, now):
        # Reported first: should this never return, the next run must not begin with it again.
        report = replace(report, housekept_at=now)
        components.report_maintenance(deps.documents, report)
        report = replace(report, looked_until=_tidy(run))
    detail = ", ".join(f"{kind} {count}" for kind, count in sorted(run.counts.items())) or "nothing to do"
    components.report_maintenance(deps.documents, replace(report, detail=detail, counts=dict(run.counts)))
    log.log(logging.INFO if run.counts else logging.DEBUG, "swept: %s", detail)
    return run.counts


def _take_snapshot(run: _Run) -> None:
    try:
        snapshots.take(run.deps.documents, run.now)
    except Exception:
        run.counts["errors"] += 1
        log.exception("the snapshot of the metrics could not be taken")


def _tidy(run: _Run) -> datetime | None:
    deps = run.deps
    found = leftovers.Deps(deps.documents, deps.media, deps.evidence, deps.bus, deps.bucket, deps.cleaners)
    return leftovers.tidy(found, run.now, run.last.looked_until, run.counts)


def _each(run: _Run, query: Query, moment: str, handle: Handler, grace: timedelta) -> None:
    """Handles what was left alone for `grace`, the oldest first, and counts what `handle` says it did."""
    name = handle.__name__.removeprefix("_")
    try:
        for document in _old_ones(run, query, moment, name, grace):
            _guarded(run, f"{document.collection}/{document.id}", handle, document)
    except Exception:
        run.counts["errors"] += 1
        log.exception("%s stopped early", name)


def _guarded(run: _Run, what: str, handle: Handler, document: Document) -> None:
    try:
        done = handle(run, document)
    except (AlreadyExists, VersionConflict):
        log.info("somebody else saw to %s", what)
    except Exception:
        run.counts["errors"] += 1
        log.exception("%s could not be swept", what)
    else:
        if done is not None:
            run.counts[done] += 1
            log.warning("%s: %s", done, what)


def _old_ones(run: _Run, query: Query, moment: str, name: str, grace: timedelta) -> Iterator[Document]:
    """What comes behind the last run's position; keeps the position where the kind's time or pages end."""
    position = run.last.positions.get(name, Position())
    until = run.deps.clock.now() + run.share
    for _ in range(PAGES):
        try:
            page = run.deps.documents.query(query, limit=PAGE, cursor=position.cursor)
        except Malformed:  # another version's cursor: begin again, next time
            return
        for document in page.documents:
            if document.data[moment] > run.now - grace:
                return
            if position.has_passed(document.data[moment], document.id):
                continue
            if run.deps.clock.now() > until:
                run.positions[name] = position
                return
            position = replace(position, moment=document.data[moment], id=document.id)
            yield document
        if page.next_cursor is None:
            return
        position = replace(position, cursor=page.next_cursor)
    run.positions[name] = position


# --------------------------------------------------------------------------- outboxes and pieces of work


def _publish(run: _Run, document: Document) -> str:
    publish_outbox(run.deps.documents, run.deps.bus, document.id, work.outbox_of(document))
    return "published"


def _sweep_work(run: _Run, document: Document) -> str | None:
    record = work.record_of(document)
    reason = decide_work(record, run.now, run.deps.grace)
    if not (reason.asks_again or reason.gives_up):
        return None
    request = work.request_of(document)
    asset = None if request is None else assets.find(run.deps.documents, request.asset_id)
    shown = None if request is None or asset is None else _shown(run, asset, request)
    if request is None or asset is None or shown is None or shown.state in ENDED:
        # Of a deleted asset, or from before requests were kept: an asset that still waits is asked for by itself.
        # Or the stage ended without this work (`upload_never_came`): what ended must not begin again.
        run.deps.documents.commit([work.forgetting(document)])
        return "forgotten"
    shown = replace(shown, cost_usd=max(shown.cost_usd, record.cost_usd))
    message = _message_of(request, asset, run)
    if reason.asks_again and message is not None:
        _requeue(run, document, record, request, shown)
        run.deps.bus.publish(message)
        return reason
    _give_up(run, document, record, request, _failed(shown, run.now, reason, why_given_up(reason, record)))
    return reason


def _message_of(request: work.Request, asset: Asset, run: _Run) -> OutgoingMessage | None:
    """The message as it came, or made again where it was too long to keep. An order to replay is not made up."""
    if request.data is not None:
        return OutgoingMessage(TRIGGERS[request.stage], request.data, request.attributes)
    return None if request.replay_id else _message_for(request.stage, asset, run)


def _shown(run: _Run, asset: Asset, request: work.Request) -> StageRecord:
    """How the work stands, where that is shown: the asset's ledger, or the replay's own record. Raises `NotFound`."""
    if request.replay_id is None:
        return assets.stage_record(asset, request.stage)
    return replays.get(run.deps.documents, asset.id, request.replay_id).record


def _showing(request: work.Request, record: StageRecord) -> Write:
    if request.replay_id is None:
        return assets.stage_update(request.asset_id, request.stage, record)
    return replays.record_update(request.replay_id, record)


def _requeue(run: _Run, document: Document, record: WorkRecord, request: work.Request, shown: StageRecord) -> None:
    released = replace(
        record, state=WorkState.RELEASED, owner=ids.new_uuid(), lease_until=run.now, requeued=record.requeued + 1
    )
    sentence = "Its worker fell silent, or its message was lost; it was sent again."
    waiting = replace(shown, state=StageState.PENDING, progress=0.0, error_code=RETRYING, error_message=sentence)
    run.deps.documents.commit([work.update(document.id, released, document.version), _showing(request, waiting)])


def _give_up(run: _Run, document: Document, record: WorkRecord, request: work.Request, failed: StageRecord) -> None:
    given_up = replace(record, state=WorkState.GIVEN_UP, owner=ids.new_uuid(), lease_until=run.now)
    run.deps.documents.commit([work.update(document.id, given_up, document.version), _showing(request, failed)])
    _announce(run, request.asset_id)


def _failed(record: StageRecord, now: datetime, code: str, sentence: str) -> StageRecord:
    return replace(record, state=StageState.FAILED, ended=now, error_code=code, error_message=sentence)


def _announce(run: _Run, asset_id: str) -> bool:
    return announce_if_complete(run.deps.documents, run.deps.bus, run.deps.clock, asset_id)


# --------------------------------------------------------------------------- assets


def _sweep_asset(run: _Run, document: Document) -> str | None:
    asset = assets.asset_of(document)
    reason = decide_asset(asset.stages)
    if reason is AssetReason.UNANNOUNCED:
        return "announced" if _announce(run, asset.id) else None
    if reason is AssetReason.NOT_INGESTED:
        return _sweep_upload(run, asset, document.version)
    lost = [stage for stage in waiting_stages(asset.stages, run.now, run.deps.grace) if _ask(run, asset, stage)]
    return "message_lost" if lost else None


def _sweep_upload(run: _Run, asset: Asset, version: str) -> str | None:
    """Looks for the object of an asset whose ingest has not ended."""
    found = object_of(asset, run.deps.media, run.deps.bucket)
    record = assets.stage_record(asset, Stage.INGEST)
    issued = issued_asset_id(asset.object_name) == asset.id
    reason = decide_upload(
        found.updated if found else None,
        attempts=record.attempts,
        issued_at=asset.created_at if issued else None,
        resumable=asset.resumable,
        now=run.now,
        grace=run.deps.grace,
    )
    if reason is UploadReason.NOTIFICATION_LOST and found is not None:
        asked = _ask(run, replace(asset, generation=found.generation), Stage.INGEST)
        return reason if asked else None
    if not reason.ends:
        return None
    failed = _failed(record, run.now, reason, UPLOAD_SENTENCES[reason])
    run.deps.documents.commit([replace(assets.stage_update(asset.id, Stage.INGEST, failed), version=version)])
    _announce(run, asset.id)
    return reason


def _ask(run: _Run, asset: Asset, stage: Stage) -> bool:
    """Makes the piece of work that a lost message would have made, and publishes the message; False if it is there."""
    object_name, generation = work_object(stage, asset)
    assert generation is not None  # noqa: S101 - its object was found, or ingest has ended
    key = ids.work_key(run.deps.bucket, object_name, generation, stage)
    message = _message_for(stage, asset, run)
    if message is None or work.load(run.deps.documents, key) is not None:
        return False
    request = work.Request(asset.id, stage).with_message(message.data, message.attributes)
    record = WorkRecord(WorkState.RELEASED, ids.new_uuid(), 0, run.now, requeued=1)
    run.deps.documents.commit([work.claim(key, record, None, request)])
    run.deps.bus.publish(message)
    return True


def _message_for(stage: Stage, asset: Asset, run: _Run) -> OutgoingMessage | None:
    """What the stage waits for, made from what is known of the asset; None when the stage before left no result."""
    message = trigger_of(stage, asset, run.deps.bucket)
    if isinstance(message, ObjectFinalised):
        return notification_of(message)
    return None if message is None else encode(message, message_id=ids.new_uuid(), now=run.now)


# --------------------------------------------------------------------------- moderation


def _sweep_verdict(run: _Run, document: Document) -> str | None:
    """Sees to a verdict that waits for Video Intelligence."""
    deps = run.deps
    asset = assets.asset_of(document)
    found = operations.Deps(deps.documents, deps.media, deps.bus, deps.bucket, deps.grace, deps.video)
    reason = operations.look_after(asset, document.version, run.now, found)
    if reason is OperationReason.RESULT_UNHEARD:
        return reason if _ask(run, asset, Stage.ANNOTATE) else None
    return reason if reason.finalises else None


def _move_flagged(run: _Run, document: Document) -> str | None:
    return quarantine.move(assets.asset_of(document), document.version, run.now, _moving(run))


def _expire_flagged(run: _Run, document: Document) -> str | None:
    return quarantine.expire(assets.asset_of(document), document.version, run.now, _moving(run))


def _expire_picture(run: _Run, document: Document) -> str | None:
    deps = retention.Deps(run.deps.documents, run.deps.evidence, run.deps.keep_pictures)
    return retention.expire(evidence_images.image_of(document), document.version, run.now, deps)


def _erase(run: _Run, document: Document) -> str | None:
    deps = erasing.Deps(run.deps.documents, run.deps.media, run.deps.evidence)
    return erasing.go_on(erasures.erasure_of(document), document.version, run.now, deps)


def _moving(run: _Run) -> quarantine.Deps:
    return quarantine.Deps(run.deps.documents, run.deps.media, run.deps.keep)


# --------------------------------------------------------------------------- alerts


def _remind_of_alert(run: _Run, document: Document) -> str | None:
    """Says what the timer of an alert's round should have said."""
    return "alerts_reminded" if _is_news(run, document.id) else None


def _announce_delivery(run: _Run, document: Document) -> str | None:
    """Says what the timer of a delivery should have said. An alert's deliveries are attempted together."""
    return "delivery_overdue" if _is_news(run, deliveries.delivery_of(document).alert_id) else None


def _is_news(run: _Run, alert_id: str) -> bool:
    """Says that an alert is due, unless this run has said so."""
    if alert_id in run.alerts:
        return False
    run.alerts.add(alert_id)
    run.deps.bus.publish(encode(AlertDue(alert_id=alert_id), message_id=ids.new_uuid(), now=run.now))
    return True
