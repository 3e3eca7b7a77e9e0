"""Exactly once in effect: what a delivery finds, what it is told to do, and what dies in between."""

from __future__ import annotations

import io
import json
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from hashlib import sha256
from typing import Any, BinaryIO

import pytest

from shared import logs
from shared.delivery import REJECTED
from shared.domain.stages import Stage, StageState, stage_progress
from shared.errors import InProgress, NotFound, Retryable, VersionConflict
from shared.outbox import publish_pending
from shared.ports import Delivery, DetectionRun, Filter, Query, Update, Write
from shared.repositories import incidents, work
from tests.handlers.pipeline import BUCKET, LEASE, ListBus, Pipeline, delivery_of, ledger, run_through


def test_a_duplicate_does_nothing(pipeline: Pipeline, bus: ListBus) -> None:
    _, notification = pipeline.upload("fight")
    run_through(pipeline, bus, notification)
    before = list(bus.messages)
    run_through(pipeline, bus, replace(notification, message_id="another"))
    assert bus.messages == before
    assert pipeline.detector.calls == 1


def test_a_result_saved_but_not_published_is_published_by_the_next_delivery(pipeline: Pipeline, bus: ListBus) -> None:
    _, notification = pipeline.upload("fight")
    bus.failing = Retryable("the bus is away")
    with pytest.raises(Retryable):
        pipeline.handlers()["ingest"](notification)
    bus.failing = None
    pipeline.handlers()["ingest"](notification)
    assert len(bus.of_topic("media-uploaded")) == 1


def test_pending_outboxes_are_published_without_a_delivery(pipeline: Pipeline, bus: ListBus) -> None:
    _, notification = pipeline.upload("fight")
    bus.failing = Retryable("the bus is away")
    with pytest.raises(Retryable):
        pipeline.handlers()["ingest"](notification)
    bus.failing = None
    assert publish_pending(pipeline.documents, bus, pipeline.clock.now()) == 0, "its worker may still be at it"
    pipeline.clock.advance(LEASE.total_seconds())
    assert publish_pending(pipeline.documents, bus, pipeline.clock.now()) == 1
    assert publish_pending(pipeline.documents, bus, pipeline.clock.now()) == 0
    assert len(bus.of_topic("media-uploaded")) == 1


def test_an_unknown_error_is_shown_and_raised_for_redelivery(
    pipeline: Pipeline, bus: ListBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    asset_id, notification = pipeline.upload("fight")
    handlers = pipeline.handlers()
    handlers["ingest"](notification)
    message = delivery_of(bus.messages[0])
    monkeypatch.setattr(pipeline.detector, "detect", fails_with(OSError("disk /dev/secret")))
    with pytest.raises(OSError, match="secret"):
        handlers["detect"](message)
    record = ledger(pipeline.asset(asset_id), Stage.DETECT)
    assert record.state is StageState.PENDING
    assert record.error_code == "retrying"
    assert "secret" not in (record.error_message or "")
    monkeypatch.undo()
    handlers["detect"](replace(message, attempt=2))
    record = ledger(pipeline.asset(asset_id), Stage.DETECT)
    assert (record.state, record.attempts, record.error_code) == (StageState.DONE, 2, None)


def test_the_last_attempt_leaves_a_failed_stage_that_a_replay_mends(
    pipeline: Pipeline, bus: ListBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    asset_id, notification = pipeline.upload("fight")
    handlers = pipeline.handlers()
    handlers["ingest"](notification)
    message = delivery_of(bus.messages[0])
    monkeypatch.setattr(pipeline.detector, "detect", fails_with(OSError("disk")))
    for attempt in range(1, 6):
        with pytest.raises(OSError, match="disk"):
            handlers["detect"](replace(message, attempt=attempt))
    record = ledger(pipeline.asset(asset_id), Stage.DETECT)
    assert (record.state, record.error_code) == (StageState.FAILED, "retries_exhausted")
    monkeypatch.undo()
    handlers["detect"](replace(message, message_id="replayed"))
    assert ledger(pipeline.asset(asset_id), Stage.DETECT).state is StageState.DONE


def test_while_a_worker_holds_the_lease_every_other_delivery_waits(pipeline: Pipeline, bus: ListBus) -> None:
    _, notification = pipeline.upload("fight")
    handlers = pipeline.handlers()
    handlers["ingest"](notification)
    message = delivery_of(bus.messages[0])
    inner = pipeline.detector.detect
    seen: list[str] = []

    def meanwhile(stream: BinaryIO, **options: Any) -> DetectionRun:
        for other in (replace(message, attempt=2), replace(message, message_id="another")):
            with pytest.raises(InProgress) as waiting:
                handlers["detect"](other)
            assert 0 < waiting.value.retry_after <= LEASE.total_seconds()
            seen.append(other.message_id)
        return inner(stream, **options)

    pipeline.detector.detect = meanwhile  # type: ignore[method-assign]
    handlers["detect"](message)
    assert seen == ["m", "another"]
    assert pipeline.detector.calls == 1


def test_a_worker_that_was_only_slow_is_refused_when_another_took_over(pipeline: Pipeline, bus: ListBus) -> None:
    asset_id, notification = pipeline.upload("fight")
    handlers = pipeline.handlers()
    handlers["ingest"](notification)
    message = delivery_of(bus.messages[0])
    inner = pipeline.detector.detect

    def falls_asleep(stream: BinaryIO, **options: Any) -> DetectionRun:
        pipeline.detector.detect = inner  # type: ignore[method-assign]
        pipeline.clock.advance(LEASE.total_seconds() + 1)
        handlers["detect"](replace(message, attempt=2))
        return inner(stream, **options)

    pipeline.detector.detect = falls_asleep  # type: ignore[method-assign]
    with pytest.raises(InProgress):
        handlers["detect"](message)
    assert len(bus.of_topic("media-detected")) == 1
    assert ledger(pipeline.asset(asset_id), Stage.DETECT).attempts == 2


def test_the_lease_is_renewed_while_the_work_goes_on(pipeline: Pipeline, bus: ListBus) -> None:
    _, notification = pipeline.upload("fight")
    handlers = pipeline.handlers()
    handlers["ingest"](notification)
    message = delivery_of(bus.messages[0])
    inner = pipeline.detector.detect

    def works_long(stream: BinaryIO, **options: Any) -> DetectionRun:
        before = held_until(pipeline)
        pipeline.clock.advance(0.5)
        for _ in range(200):
            if held_until(pipeline) > before:
                break
            time.sleep(0.02)
        assert held_until(pipeline) > before
        return inner(stream, **options)

    pipeline.detector.detect = works_long  # type: ignore[method-assign]
    handlers["detect"](message)
    assert len(bus.of_topic("media-detected")) == 1


def test_a_running_stage_shows_what_it_says_of_its_progress(pipeline: Pipeline, bus: ListBus) -> None:
    asset_id, notification = pipeline.upload("fight")
    handlers = pipeline.handlers()
    handlers["ingest"](notification)
    inner = pipeline.detector.detect
    shown: list[int] = []

    def looks_on(stream: BinaryIO, report: Callable[[float], None], **options: Any) -> DetectionRun:
        report(0.4)
        report(0.25)  # what was done stays done
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline and not shown:
            percent = stage_progress(ledger(pipeline.asset(asset_id), Stage.DETECT))
            shown.extend([percent] if percent else [])
            time.sleep(0.02)
        return inner(stream, **options)

    pipeline.detector.detect = looks_on  # type: ignore[method-assign, assignment]
    handlers["detect"](delivery_of(bus.messages[0]))
    assert shown == [40]
    assert stage_progress(ledger(pipeline.asset(asset_id), Stage.DETECT)) == 100


def test_progress_of_a_worker_that_was_replaced_is_not_shown(pipeline: Pipeline, bus: ListBus) -> None:
    asset_id, notification = pipeline.upload("fight")
    handlers = pipeline.handlers()
    handlers["ingest"](notification)
    message = delivery_of(bus.messages[0])
    inner = pipeline.detector.detect

    def falls_asleep(stream: BinaryIO, report: Callable[[float], None], **options: Any) -> DetectionRun:
        pipeline.detector.detect = inner  # type: ignore[method-assign]
        pipeline.clock.advance(LEASE.total_seconds() + 1)
        handlers["detect"](replace(message, attempt=2))
        report(0.5)
        time.sleep(LEASE.total_seconds())
        return inner(stream, **options)

    pipeline.detector.detect = falls_asleep  # type: ignore[method-assign, assignment]
    with pytest.raises(InProgress):
        handlers["detect"](message)
    assert ledger(pipeline.asset(asset_id), Stage.DETECT).state is StageState.DONE


def test_a_renewal_whose_answer_was_lost_does_not_cost_the_result(pipeline: Pipeline, bus: ListBus) -> None:
    _, notification = pipeline.upload("fight")
    handlers = pipeline.handlers()
    handlers["ingest"](notification)
    inner = pipeline.detector.detect

    def renewed_unseen(stream: BinaryIO, **options: Any) -> DetectionRun:
        running = Query(work.COLLECTION, (Filter("state", "==", "running"),))
        held = pipeline.documents.query(running).documents[0]
        later = held.data["lease_until"] + LEASE
        pipeline.documents.commit([Update(work.COLLECTION, held.id, {"lease_until": later})])
        return inner(stream, **options)

    pipeline.detector.detect = renewed_unseen  # type: ignore[method-assign]
    handlers["detect"](delivery_of(bus.messages[0]))
    assert len(bus.of_topic("media-detected")) == 1


def test_a_result_whose_answer_was_lost_is_not_worked_out_again(pipeline: Pipeline, bus: ListBus) -> None:
    _, notification = pipeline.upload("fight")
    handlers = pipeline.handlers()
    handlers["ingest"](notification)
    commit = pipeline.documents.commit

    def answer_lost(writes: Sequence[Write]) -> None:
        commit(writes)
        if any(isinstance(write, Update) and "detection" in write.data for write in writes):
            raise Retryable("the store did not confirm the commit")

    pipeline.documents.commit = answer_lost  # type: ignore[method-assign]
    message = delivery_of(bus.messages[0])
    with pytest.raises(Retryable):
        handlers["detect"](message)
    handlers["detect"](replace(message, attempt=2))
    assert pipeline.detector.calls == 1
    assert len(bus.of_topic("media-detected")) == 1


def test_a_topic_that_is_missing_is_no_reason_to_give_the_work_up(pipeline: Pipeline, bus: ListBus) -> None:
    _, notification = pipeline.upload("fight")
    bus.failing = NotFound("unknown_topic", "There is no such topic.")
    with pytest.raises(Retryable):
        pipeline.handlers()["ingest"](notification)
    bus.failing = None
    pipeline.handlers()["ingest"](notification)
    assert len(bus.of_topic("media-uploaded")) == 1


def test_the_log_says_what_happened_and_to_what(pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = io.StringIO()
    root = logging.getLogger()
    monkeypatch.setattr(root, "handlers", [])
    monkeypatch.setattr(root, "level", root.level)
    logs.configure("INFO", stream=lines)
    asset_id, notification = pipeline.upload("broken")
    pipeline.handlers()["ingest"](notification)
    line = json.loads(lines.getvalue().splitlines()[0])  # of two: that the whole analysis has ended is told, too
    assert line["message"] == "stage failed for good: not_a_video: The file is text, not a video."
    assert (line["severity"], line["stage"], line["asset"]) == ("WARNING", "ingest", asset_id)
    assert line["message_id"] == notification.message_id


def test_a_message_about_an_unknown_asset_is_recorded_and_acknowledged(pipeline: Pipeline, bus: ListBus) -> None:
    _, notification = pipeline.upload("fight")
    pipeline.handlers()["ingest"](notification)
    sent = bus.messages[0]
    strange = replace(sent, data=sent.data.replace(b'"asset_id": "', b'"asset_id": "no-'))
    pipeline.handlers()["detect"](delivery_of(strange))
    rejected = pipeline.documents.query(Query(REJECTED)).documents
    assert [document.data["code"] for document in rejected] == ["unknown_asset"]


def test_a_malformed_message_is_recorded_once_and_acknowledged(pipeline: Pipeline) -> None:
    broken = Delivery("broken-1", b"\x00not json", {})
    pipeline.handlers()["detect"](broken)
    pipeline.handlers()["detect"](broken)
    rejected = pipeline.documents.query(Query(REJECTED)).documents
    assert [(document.data["code"], document.data["data"]) for document in rejected] == [("not_json", b"\x00not json")]


def test_another_kind_of_bucket_event_is_ignored(pipeline: Pipeline) -> None:
    pipeline.handlers()["ingest"](Delivery("m", b"{}", {"eventType": "OBJECT_METADATA_UPDATE"}))
    assert pipeline.documents.count(Query(REJECTED)) == 0
    assert pipeline.documents.count(Query("assets")) == 0


def test_a_lost_race_of_the_results_own_writes_is_decided_again(pipeline: Pipeline, bus: ListBus) -> None:
    """Another upload opens the incident between the decision and the commit of this one."""
    ids = [pipeline.upload("fight") for _ in range(2)]
    handlers = pipeline.handlers()
    for _, notification in ids:
        handlers["ingest"](notification)
    for message in bus.of_topic("media-uploaded"):
        handlers["detect"](delivery_of(message))
    one, other = (delivery_of(message) for message in bus.of_topic("media-detected"))
    commit = pipeline.documents.commit
    raced: list[bool] = []

    def race_once(writes: Sequence[Write]) -> None:
        if not raced and any(write.collection == incidents.SLOTS for write in writes):
            raced.append(True)
            handlers["correlate"](other)
        commit(writes)

    pipeline.documents.commit = race_once  # type: ignore[method-assign]
    handlers["correlate"](one)
    assert raced
    assert pipeline.documents.count(Query("incidents")) == 1
    assert pipeline.documents.count(Query("signals")) == 2


def test_work_is_named_by_bucket_object_generation_and_stage(pipeline: Pipeline, bus: ListBus) -> None:
    asset_id, notification = pipeline.upload("fight")
    pipeline.handlers()["ingest"](notification)
    keys = [document.id for document in pipeline.documents.query(Query(work.COLLECTION)).documents]
    generation = pipeline.asset(asset_id).generation
    name = f"{BUCKET}/media/{asset_id}#{generation}/ingest"
    assert keys == [sha256(name.encode()).hexdigest()]


def test_a_contended_claim_gives_way(pipeline: Pipeline) -> None:
    _, notification = pipeline.upload("fight")
    commit = pipeline.documents.commit

    def always_late(writes: Sequence[Write]) -> None:
        if any(write.collection == work.COLLECTION for write in writes):
            raise VersionConflict("somebody claimed and let go again, each time we looked")
        commit(writes)

    pipeline.documents.commit = always_late  # type: ignore[method-assign]
    with pytest.raises(Retryable, match="contended"):
        pipeline.handlers()["ingest"](notification)


def held_until(pipeline: Pipeline) -> datetime:
    running = Query(work.COLLECTION, (Filter("state", "==", "running"),))
    until: datetime = pipeline.documents.query(running).documents[0].data["lease_until"]
    return until


def fails_with(error: Exception) -> Callable[..., DetectionRun]:
    def detect(_: BinaryIO, **__: Any) -> DetectionRun:
        raise error

    return detect
