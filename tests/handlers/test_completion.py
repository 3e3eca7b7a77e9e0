"""The fan-in: AnalysisData is complete when every stage has ended, whatever their order, and that is said once."""

from __future__ import annotations

import itertools
import json
import logging
import threading
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from shared.adapters.embedded.documents import SqliteDocuments
from shared.completion import announce_if_complete, completion_key
from shared.domain.analysis import cost_of
from shared.domain.assets import Asset
from shared.domain.stages import Stage, StageRecord, StageState
from shared.errors import Retryable
from shared.ids import new_uuid
from shared.ports import Delivery, Documents, Write
from shared.repositories import assets, work
from tests.fakes import NOON, ManualClock
from tests.handlers.pipeline import ListBus, Pipeline, delivery_of, run_through

TOPIC = "media-analysed"


def said(bus: ListBus) -> list[dict[str, Any]]:
    return [json.loads(message.data) for message in bus.of_topic(TOPIC)]


@pytest.mark.parametrize("order", list(itertools.permutations(["context", "correlate", "escalate"])))
def test_the_last_stage_to_end_says_so_whichever_it_is(
    order: tuple[str, ...], pipeline: Pipeline, bus: ListBus
) -> None:
    asset_id, notification = pipeline.upload("fight")
    handlers = pipeline.handlers()
    handlers["ingest"](notification)
    handlers["detect"](delivery_of(bus.of_topic("media-uploaded")[0]))
    detected = delivery_of(bus.of_topic("media-detected")[0])
    handlers["moderate"](detected)
    messages = {"escalate": delivery_of(bus.of_topic("media-moderated")[0])}
    for name in order[:-1]:
        handlers[name](messages.get(name, detected))
        assert said(bus) == []
        assert not pipeline.asset(asset_id).complete
    handlers[order[-1]](messages.get(order[-1], detected))
    assert said(bus) == [
        {
            "asset_id": asset_id,
            "object_name": f"media/{asset_id}",
            "generation": pipeline.asset(asset_id).generation,
            "state": "done",
            "overall_risk": "high",
            "confidence": 0.9,
            "attention": "high",
            "missing": {"context": "not_configured"},
            "cost_usd": cost_of(pipeline.asset(asset_id)),
        }
    ]
    assert pipeline.asset(asset_id).complete


def test_a_failed_first_stage_ends_the_others_and_is_said_too(pipeline: Pipeline, bus: ListBus) -> None:
    asset_id, notification = pipeline.upload("broken")
    run_through(pipeline, bus, notification)
    (message,) = said(bus)
    assert (message["asset_id"], message["state"], message["overall_risk"]) == (asset_id, "failed", "unknown")
    assert message["missing"] == {
        "ingest": "not_a_video",
        "detect": "not_reached",
        "context": "not_reached",
        "correlate": "not_reached",
        "moderate": "not_reached",
        "annotate": "not_reached",
        "escalate": "not_reached",
    }


def test_a_stage_whose_tries_are_used_up_completes_the_analysis(
    pipeline: Pipeline, bus: ListBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, notification = pipeline.upload("fight")
    handlers = pipeline.handlers()
    handlers["ingest"](notification)
    message = bus.of_topic("media-uploaded")[0]

    def broken(*_: object, **__: object) -> None:
        raise OSError("disk")

    with monkeypatch.context() as patched:
        patched.setattr(pipeline.detector, "detect", broken)
        for attempt in range(1, 6):
            assert said(bus) == []
            with pytest.raises(OSError, match="disk"):
                handlers["detect"](Delivery("m", message.data, message.attributes, attempt))
    assert [m["missing"]["detect"] for m in said(bus)] == ["retries_exhausted"]
    # The dead letter is delivered again: the ledger gets another end, and that is said, too.
    handlers["detect"](delivery_of(message))
    for name in ("context", "correlate", "moderate"):
        handlers[name](delivery_of(bus.of_topic("media-detected")[0]))
    handlers["escalate"](delivery_of(bus.of_topic("media-moderated")[0]))
    assert [m["state"] for m in said(bus)] == ["failed", "done"]


def test_what_was_saved_and_not_published_is_published_by_the_next_delivery(pipeline: Pipeline, bus: ListBus) -> None:
    _, notification = pipeline.upload("broken")
    bus.failing = Retryable("the bus is away")
    with pytest.raises(Retryable):
        pipeline.handlers()["ingest"](notification)
    bus.failing = None
    pipeline.handlers()["ingest"](notification)
    assert len(said(bus)) == 1


def test_a_death_between_the_last_commit_and_the_announcement_is_mended_by_the_next_delivery(
    pipeline: Pipeline, bus: ListBus
) -> None:
    _, notification = pipeline.upload("broken")
    commit = pipeline.documents.commit
    with_completion = patched_commit(pipeline, lambda writes: any(w.collection == work.COLLECTION for w in writes[:1]))
    with pytest.raises(Retryable):
        pipeline.handlers()["ingest"](notification)
    assert with_completion == [True]
    pipeline.documents.commit = commit  # type: ignore[method-assign]
    assert said(bus) == []
    pipeline.handlers()["ingest"](notification)
    assert len(said(bus)) == 1


def patched_commit(pipeline: Pipeline, matches: Callable[[Sequence[Write]], bool]) -> list[bool]:
    """Makes the commit of the announcement fail before it happens; the list tells how often."""
    commit, failed = pipeline.documents.commit, []

    def failing(writes: Sequence[Write]) -> None:
        if matches(writes) and getattr(writes[-1], "data", None) == {"complete": True}:
            failed.append(True)
            raise Retryable("the store is away")
        commit(writes)

    pipeline.documents.commit = failing  # type: ignore[method-assign]
    return failed


def test_stages_that_end_at_the_same_moment_say_it_once(documents: SqliteDocuments) -> None:
    for _ in range(20):
        asset_id = ended_but(documents, Stage.CORRELATE, Stage.CONTEXT)
        buses = [ListBus(), ListBus()]
        gate = threading.Barrier(2)
        threads = [
            threading.Thread(target=end, args=(documents, bus, asset_id, stage, gate))
            for bus, stage in zip(buses, (Stage.CORRELATE, Stage.CONTEXT), strict=True)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        ids = {message.attributes["ce-id"] for bus in buses for message in bus.messages}
        assert len(ids) == 1


def end(documents: Documents, bus: ListBus, asset_id: str, stage: Stage, gate: threading.Barrier) -> None:
    gate.wait()
    documents.commit([assets.stage_update(asset_id, stage, StageRecord(StageState.DONE, 1, NOON, NOON))])
    announce_if_complete(documents, bus, ManualClock(), asset_id)


def ended_but(documents: Documents, *running: Stage) -> str:
    asset = Asset(new_uuid(), "media/x", NOON)
    documents.commit([assets.creation(asset)])
    for stage in set(Stage) - set(running):
        documents.commit([assets.stage_update(asset.id, stage, StageRecord(StageState.DONE, 1, NOON, NOON))])
    return asset.id


def test_each_end_of_a_ledger_has_one_key() -> None:
    ended = {stage: StageRecord(StageState.DONE, 1, NOON, NOON) for stage in Stage}
    asset = Asset("a", "media/a", NOON, stages=ended)
    again = Asset("a", "media/a", NOON, stages=dict(reversed(ended.items())))
    assert completion_key(asset) == completion_key(again)
    later = {**ended, Stage.CONTEXT: StageRecord(StageState.DONE, 1, ManualClock(NOON).now().replace(hour=13), NOON)}
    assert completion_key(Asset("a", "media/a", NOON, stages=later)) != completion_key(asset)
    assert completion_key(Asset("b", "media/a", NOON, stages=ended)) != completion_key(asset)


def test_an_unknown_asset_completes_nothing(documents: SqliteDocuments, bus: ListBus) -> None:
    assert announce_if_complete(documents, bus, ManualClock(), "nobody") is False
    assert bus.messages == []


def test_a_stage_that_is_claimed_again_meanwhile_is_not_called_complete(
    documents: SqliteDocuments, bus: ListBus
) -> None:
    asset_id = ended_but(documents)
    commit = documents.commit
    raced: list[bool] = []

    def claimed_before(writes: Sequence[Write]) -> None:
        if not raced and writes[-1].id == asset_id:
            raced.append(True)
            running = assets.stage_update(asset_id, Stage.DETECT, StageRecord(StageState.RUNNING, 2, NOON))
            commit([running, assets.reopening(asset_id)])
        commit(writes)

    documents.commit = claimed_before  # type: ignore[method-assign]
    assert announce_if_complete(documents, bus, ManualClock(), asset_id) is False
    assert raced
    assert bus.messages == []
    assert not assets.get(documents, asset_id).complete


def test_how_long_a_client_waited_is_logged_once(
    pipeline: Pipeline, bus: ListBus, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "shared.completion")
    asset_id, notification = pipeline.upload("fight")
    pipeline.handlers()["ingest"](notification)
    pipeline.clock.advance(7.5)
    run_through(pipeline, bus, notification)
    run_through(pipeline, bus, notification)
    (line,) = [record.getMessage() for record in caplog.records if record.name == "shared.completion"]
    assert line == f"analysed in 7.5 s for {cost_of(pipeline.asset(asset_id)):.6f} USD"
