"""A stage runs again on what is stored: what is accepted, what it changes, and what it must leave alone."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any, BinaryIO

import pytest

from shared.delivery import REJECTED
from shared.domain.assets import Asset, direct_name_of
from shared.domain.replays import ABANDONED_AFTER, Replay, differences, is_changed
from shared.domain.stages import MAX_ATTEMPTS, Stage, StageRecord, StageState
from shared.errors import (
    AnalyserFailed,
    Malformed,
    MediaUnusable,
    NotFound,
    NotReady,
    Permanent,
    Retryable,
    VersionConflict,
)
from shared.handlers import direct, maintain, replays
from shared.ids import new_uuid
from shared.outbox import publish_pending
from shared.ports import (
    ContextAnswer,
    ContextRequest,
    Delete,
    Depth,
    DetectionRun,
    Filter,
    Query,
    Write,
)
from shared.repositories import assets, incidents, timelines
from shared.repositories import replays as stored
from tests.fakes import NOON
from tests.handlers.pipeline import ListBus, Pipeline, WordDetector, deliver, delivery_of, ledger, run_through
from tests.hostile import Killed

SHARPER = {"fight": 0.9, "scuffle": 0.8, "calm": 0.1}
BLUNTER = {"fight": 0.3, "scuffle": 0.2, "calm": 0.1}


class Describer:
    """A `ContextModel` that gives one answer, or raises."""

    name = "describer-1"
    depths = (Depth.VIDEO,)

    def __init__(self, answer: str | AnalyserFailed) -> None:
        self.answer = answer

    def describe(self, request: ContextRequest, report: Callable[[float], None]) -> ContextAnswer:
        """See the port."""
        if isinstance(self.answer, AnalyserFailed):
            raise self.answer
        return ContextAnswer(self.answer, self.name)


STREET = json.dumps(
    {"objects": ["car"], "emotions": [], "scenes": ["street"], "description": "A car.", "threat_level": 0}
)


def analysed(pipeline: Pipeline, bus: ListBus, word: str, *, source_id: str | None = "gate") -> str:
    asset_id, notification = pipeline.upload(word, source_id=source_id)
    run_through(pipeline, bus, notification)
    bus.messages.clear()
    pipeline.clock.advance(60)
    return asset_id


def ordered(pipeline: Pipeline, asset_id: str, stage: str, key: str | None = None) -> Replay:
    return replays.request(replays.Request(asset_id, stage, "Ada", key), pipeline.replay_deps())


def replayed(pipeline: Pipeline, bus: ListBus, asset_id: str, stage: str) -> Replay:
    """Orders the replay and delivers its message to every subscriber."""
    order = ordered(pipeline, asset_id, stage)
    sent, bus.messages[:] = list(bus.messages), []
    deliver(pipeline, sent)
    return stored.get(pipeline.documents, asset_id, order.id)


# --------------------------------------------------------------------------- what a replay shows


def test_the_same_model_gives_the_same_verdict(pipeline: Pipeline, bus: ListBus) -> None:
    asset_id = analysed(pipeline, bus, "fight")
    replay = replayed(pipeline, bus, asset_id, "detect")
    assert replay.record.state is StageState.DONE
    assert replay.new is not None
    assert not is_changed(replay.old, replay.new)
    assert differences(replay.old, replay.new) == []
    assert (replay.requested_by, replay.requested_at) == ("Ada", NOON + timedelta(seconds=60))
    assert pipeline.detector.calls == 2


@pytest.mark.parametrize(
    ("word", "learnt", "old", "new"),
    [
        ("scuffle", SHARPER, ("low", 0.6), ("medium", 0.8)),
        ("fight", BLUNTER, ("high", 0.9), ("low", 0.0)),
    ],
)
def test_after_a_model_change_old_stands_against_new(
    pipeline: Pipeline,
    bus: ListBus,
    word: str,
    learnt: dict[str, float],
    old: tuple[str, float],
    new: tuple[str, float],
) -> None:
    asset_id = analysed(pipeline, bus, word)
    before = pipeline.asset(asset_id)
    pipeline.detector = WordDetector("word-detector-2", learnt)
    replay = replayed(pipeline, bus, asset_id, "detect")
    assert replay.new is not None
    assert (replay.old.analysis["overallRisk"], replay.old.analysis["confidence"]) == old
    assert (replay.new.analysis["overallRisk"], replay.new.analysis["confidence"]) == new
    assert (replay.old.record.version, replay.new.record.version) == ("word-detector-1", "word-detector-2")
    assert (replay.old.model, replay.new.model) == ("word-detector-1", "word-detector-2")
    assert is_changed(replay.old, replay.new)
    after = pipeline.asset(asset_id)
    assert after.detection is not None
    assert after.detection.model == ledger(after, Stage.DETECT).version == "word-detector-2"
    assert after.incident_ids == before.incident_ids


def test_a_replayed_detection_opens_no_incident(pipeline: Pipeline, bus: ListBus) -> None:
    asset_id = analysed(pipeline, bus, "scuffle")
    pipeline.detector = WordDetector("word-detector-2", SHARPER)
    replayed(pipeline, bus, asset_id, "detect")
    assert [message.topic for message in bus.messages] == ["media-analysed"]
    assert pipeline.documents.count(Query("incidents")) == 0


@pytest.mark.parametrize("stage", [stage for stage in Stage if stage is not Stage.ANNOTATE])
def test_only_the_stage_that_was_named_runs_again(pipeline: Pipeline, bus: ListBus, stage: Stage) -> None:
    asset_id = analysed(pipeline, bus, "fight")
    before = pipeline.asset(asset_id)
    replay = replayed(pipeline, bus, asset_id, stage)
    after = pipeline.asset(asset_id)
    others = [other for other in Stage if other is not stage]
    assert [ledger(after, other) for other in others] == [ledger(before, other) for other in others]
    assert replay.record.state is (StageState.SKIPPED if stage is Stage.CONTEXT else StageState.DONE)
    assert pipeline.documents.count(Query(REJECTED)) == 0


def test_the_timeline_follows_the_new_look_and_the_old_pictures_stay(pipeline: Pipeline, bus: ListBus) -> None:
    asset_id = analysed(pipeline, bus, "fight")
    pipeline.detector = WordDetector("word-detector-2", BLUNTER)
    replay = replayed(pipeline, bus, asset_id, "detect")
    found = pipeline.asset(asset_id).detection
    assert found is not None
    assert found.look == replay.id
    assert timelines.load(pipeline.media, asset_id, found.look).model == "word-detector-2"
    assert timelines.load(pipeline.media, asset_id).model == "word-detector-1"


def test_a_direct_analysis_is_replayed_with_its_own_sensitivity_and_step(pipeline: Pipeline, bus: ListBus) -> None:
    asset_id = new_uuid()
    info = pipeline.media.put(direct_name_of(asset_id), b"scuffle", content_type="video/mp4")
    direct.analyse(direct.Upload(asset_id, info.generation, 0.3, step=4), pipeline.direct_deps())
    replay = replayed(pipeline, bus, asset_id, "detect")
    found = pipeline.asset(asset_id).detection
    assert found is not None
    assert (found.sensitivity, found.step, found.segments) == (0.3, 4, ())
    assert replay.new is not None
    assert differences(replay.old, replay.new) == []
    assert replayed(pipeline, bus, asset_id, "ingest").record.state is StageState.DONE
    assert pipeline.documents.count(Query("assets")) == 1
    with pytest.raises(NotReady, match="names no place"):
        ordered(pipeline, asset_id, "correlate")


def test_old_is_what_the_result_replaced_not_what_was_there_when_it_was_asked_for(
    pipeline: Pipeline, bus: ListBus
) -> None:
    pipeline.model = Describer(STREET)
    asset_id, notification = pipeline.upload("calm")
    handlers = pipeline.handlers()
    handlers["ingest"](notification)
    handlers["detect"](delivery_of(bus.of_topic("media-uploaded")[0]))
    order = ordered(pipeline, asset_id, "detect")
    handlers["context"](delivery_of(bus.of_topic("media-detected")[0]))
    handlers["detect"](delivery_of(bus.of_topic("media-uploaded")[-1]))
    replay = stored.get(pipeline.documents, asset_id, order.id)
    assert order.old.analysis["objects"] == []
    assert replay.new is not None
    assert replay.old.analysis["objects"] == replay.new.analysis["objects"] == ["car"]


# --------------------------------------------------------------------------- the stages that were not reached


def test_the_replay_of_a_failed_stage_lets_the_pipeline_go_on(pipeline: Pipeline, bus: ListBus) -> None:
    """What waits for a first result must be told of it, or the asset would never be complete."""
    asset_id, notification = pipeline.upload("riot")
    run_through(pipeline, bus, notification)
    assert ledger(pipeline.asset(asset_id), Stage.DETECT).error_code == "no_picture"
    pipeline.detector = WordDetector("word-detector-2", {"riot": 0.95})
    bus.messages.clear()
    replay = replayed(pipeline, bus, asset_id, "detect")
    assert replay.old.analysis["overallRisk"] == "unknown"
    assert replay.new is not None
    assert replay.new.analysis["overallRisk"] == "high"
    deliver(pipeline, bus.of_topic("media-detected"))
    deliver(pipeline, bus.of_topic("media-moderated"))
    assert ledger(pipeline.asset(asset_id), Stage.CORRELATE).state is StageState.DONE
    assert len(pipeline.asset(asset_id).incident_ids) == 1
    assert [json.loads(m.data)["state"] for m in bus.of_topic("media-analysed")] == ["done"]


def test_a_failed_ingest_is_replayed_on_the_file_that_lies_there(
    pipeline: Pipeline, bus: ListBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    asset_id, notification = pipeline.upload("broken")
    pipeline.handlers()["ingest"](notification)
    assert pipeline.asset(asset_id).generation is None
    bus.messages.clear()
    probe = "tests.handlers.pipeline.WordProbe.probe"
    facts = pipeline.asset(analysed(pipeline, bus, "calm")).facts
    monkeypatch.setattr(probe, lambda *_: facts)
    replay = replayed(pipeline, bus, asset_id, "ingest")
    assert replay.record.state is StageState.DONE
    assert pipeline.asset(asset_id).facts == facts
    assert len(bus.of_topic("media-uploaded")) == 1


def test_a_context_that_was_skipped_is_made_up_for(pipeline: Pipeline, bus: ListBus) -> None:
    asset_id = analysed(pipeline, bus, "calm")
    pipeline.model = Describer(STREET)
    replay = replayed(pipeline, bus, asset_id, "context")
    assert replay.old.record.error_code == "not_configured"
    assert replay.new is not None
    assert replay.new.analysis["scenes"] == ["street"]
    assert {m.topic for m in bus.messages} == {"media-described", "media-analysed"}


# --------------------------------------------------------------------------- replays that fail


def test_a_replay_that_fails_for_good_leaves_the_earlier_result(pipeline: Pipeline, bus: ListBus) -> None:
    asset_id = analysed(pipeline, bus, "fight")
    before = pipeline.asset(asset_id)
    pipeline.detector = WordDetector("word-detector-2", {})
    replay = replayed(pipeline, bus, asset_id, "detect")
    assert (replay.record.state, replay.record.error_code) == (StageState.FAILED, "no_picture")
    assert replay.new is None
    assert pipeline.asset(asset_id) == before
    assert bus.messages == []


def test_a_replay_whose_attempts_are_used_up_leaves_the_earlier_result_and_may_still_succeed(
    pipeline: Pipeline, bus: ListBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    asset_id = analysed(pipeline, bus, "fight")
    before = pipeline.asset(asset_id)
    order = ordered(pipeline, asset_id, "detect")
    message = delivery_of(bus.messages[0])
    monkeypatch.setattr(pipeline.detector, "detect", _fails)
    for attempt in range(1, MAX_ATTEMPTS + 1):
        assert stored.get(pipeline.documents, asset_id, order.id).record.state is StageState.PENDING
        with pytest.raises(OSError, match="disk"):
            pipeline.handlers()["detect"](replace(message, attempt=attempt))
    record = stored.get(pipeline.documents, asset_id, order.id).record
    assert (record.state, record.error_code, record.attempts) == (StageState.FAILED, "retries_exhausted", MAX_ATTEMPTS)
    assert pipeline.asset(asset_id) == before
    monkeypatch.undo()
    pipeline.handlers()["detect"](replace(message, message_id="the dead letter, delivered again"))
    assert stored.get(pipeline.documents, asset_id, order.id).record.state is StageState.DONE


def _fails(_: BinaryIO, **__: Any) -> DetectionRun:
    raise OSError("the disk is gone")


def test_a_context_model_that_gives_nothing_costs_the_earlier_description_nothing(
    pipeline: Pipeline, bus: ListBus
) -> None:
    pipeline.model = Describer(STREET)
    asset_id = analysed(pipeline, bus, "calm")
    before = pipeline.asset(asset_id)
    pipeline.model = Describer(AnalyserFailed("blocked", "Gemini blocked the answer.", tries=1))
    replay = replayed(pipeline, bus, asset_id, "context")
    assert (replay.record.state, replay.record.error_code) == (StageState.FAILED, "blocked")
    assert pipeline.asset(asset_id) == before


def test_a_video_that_was_removed_fails_the_replay_with_a_sentence(pipeline: Pipeline, bus: ListBus) -> None:
    asset_id = analysed(pipeline, bus, "fight")
    pipeline.media.delete(pipeline.asset(asset_id).object_name)
    replay = replayed(pipeline, bus, asset_id, "detect")
    assert replay.record.state is StageState.FAILED
    assert replay.record.error_message is not None
    assert pipeline.asset(asset_id).detection is not None


# --------------------------------------------------------------------------- correlate


def test_a_replayed_correlation_keeps_the_incident_and_adds_no_signal(pipeline: Pipeline, bus: ListBus) -> None:
    asset_id = analysed(pipeline, bus, "fight")
    (incident_id,) = pipeline.asset(asset_id).incident_ids
    pipeline.clock.advance(86_400)
    replay = replayed(pipeline, bus, asset_id, "correlate")
    assert replay.record.state is StageState.DONE
    assert pipeline.asset(asset_id).incident_ids == (incident_id,)
    assert incidents.signal_count(pipeline.documents, incident_id) == 1
    assert pipeline.documents.count(Query("incidents")) == 1
    assert bus.of_topic("incident-opened") == []


def test_a_replayed_correlation_without_an_incident_decides_anew(pipeline: Pipeline, bus: ListBus) -> None:
    asset_id = analysed(pipeline, bus, "scuffle")
    pipeline.detector = WordDetector("word-detector-2", SHARPER)
    replayed(pipeline, bus, asset_id, "detect")
    assert pipeline.asset(asset_id).incident_ids == ()
    replay = replayed(pipeline, bus, asset_id, "correlate")
    assert replay.new is not None
    assert (replay.old.incident_ids, replay.new.incident_ids) == ((), pipeline.asset(asset_id).incident_ids)
    assert is_changed(replay.old, replay.new)
    assert len(bus.of_topic("incident-opened")) == 1


@pytest.mark.parametrize("incident_is_open", [False, True])
def test_two_replayed_correlations_at_once_make_one_signal(
    pipeline: Pipeline, bus: ListBus, incident_is_open: bool
) -> None:
    """The second is let in because the first gave no sign of life for so long; then both come to it together."""
    asset_id = analysed(pipeline, bus, "scuffle")
    pipeline.detector = WordDetector("word-detector-2", SHARPER)
    replayed(pipeline, bus, asset_id, "detect")
    ordered(pipeline, asset_id, "correlate")
    pipeline.clock.advance(ABANDONED_AFTER.total_seconds())
    ordered(pipeline, asset_id, "correlate")
    first, second = (delivery_of(message) for message in bus.of_topic("media-detected"))
    bus.messages.clear()
    if incident_is_open:
        analysed(pipeline, bus, "fight")
    commit = pipeline.documents.commit
    raced: list[bool] = []

    def race_once(writes: Sequence[Write]) -> None:
        if not raced and any(write.collection == incidents.SIGNALS for write in writes):
            raced.append(True)
            pipeline.handlers()["correlate"](first)
        commit(writes)

    pipeline.documents.commit = race_once  # type: ignore[method-assign]
    pipeline.handlers()["correlate"](second)
    assert raced
    (incident_id,) = pipeline.asset(asset_id).incident_ids
    signals = incidents.signals_of(pipeline.documents, incident_id, limit=10)
    assert [signal.observation.asset_id for signal in signals].count(asset_id) == 1
    found, _ = stored.newest(pipeline.documents, asset_id, limit=3)
    ends = [replay.record.error_code for replay in found if replay.stage is Stage.CORRELATE]
    assert ends == [None, "superseded"]


# --------------------------------------------------------------------------- what is refused


def test_what_is_not_there_cannot_be_replayed(pipeline: Pipeline) -> None:
    with pytest.raises(NotFound):
        ordered(pipeline, new_uuid(), "detect")
    waiting = Asset(new_uuid(), "media/x", NOON)
    pipeline.documents.commit([assets.creation(waiting)])
    with pytest.raises(Malformed, match="ingest, detect, context, correlate"):
        ordered(pipeline, waiting.id, "train")
    for stage in Stage:
        with pytest.raises(NotReady, match="the upload never came"):
            ordered(pipeline, waiting.id, stage)


def test_a_file_that_was_removed_before_it_was_identified_is_named(pipeline: Pipeline) -> None:
    asset_id, notification = pipeline.upload("broken")
    pipeline.handlers()["ingest"](notification)
    pipeline.media.delete(pipeline.asset(asset_id).object_name)
    with pytest.raises(NotReady, match="or it was removed"):
        ordered(pipeline, asset_id, "ingest")


def test_a_stage_waits_for_its_input_and_for_its_own_end(pipeline: Pipeline, bus: ListBus) -> None:
    asset_id, notification = pipeline.upload("fight")
    pipeline.handlers()["ingest"](notification)
    with pytest.raises(NotReady, match="has no result"):
        ordered(pipeline, asset_id, "correlate")
    inner = pipeline.detector.detect
    refused: list[str] = []

    def meanwhile(stream: BinaryIO, **options: Any) -> DetectionRun:
        with pytest.raises(NotReady) as running:
            ordered(pipeline, asset_id, "detect")
        refused.append(running.value.code)
        return inner(stream, **options)

    pipeline.detector.detect = meanwhile  # type: ignore[method-assign]
    pipeline.handlers()["detect"](delivery_of(bus.messages[0]))
    assert refused == ["not_ended"]


# A ledger that says so while what it speaks of is missing: older data, or somebody's own hand in the store.
@pytest.mark.parametrize(("stage", "done"), [("detect", ["ingest"]), ("context", ["ingest", "detect"])])
def test_a_result_that_is_not_there_is_no_input(pipeline: Pipeline, stage: str, done: list[str]) -> None:
    asset_id = new_uuid()
    record = StageRecord(StageState.DONE, 1, NOON, NOON)
    stages = {Stage(name): record for name in [*done, stage]}
    pipeline.documents.commit([assets.finished_creation(Asset(asset_id, "media/x", NOON, stages=stages))])
    with pytest.raises(NotReady, match="has no result"):
        ordered(pipeline, asset_id, stage)


def test_one_replay_of_an_asset_at_a_time_and_a_lost_one_does_not_block_for_ever(
    pipeline: Pipeline, bus: ListBus
) -> None:
    asset_id = analysed(pipeline, bus, "fight")
    lost = ordered(pipeline, asset_id, "detect")
    with pytest.raises(NotReady) as refused:
        ordered(pipeline, asset_id, "ingest")
    assert refused.value.code == "replay_under_way"
    other = analysed(pipeline, bus, "calm")
    ordered(pipeline, other, "detect")
    pipeline.clock.advance(ABANDONED_AFTER.total_seconds())
    second = ordered(pipeline, asset_id, "detect")
    assert second.id != lost.id
    listed, _ = stored.newest(pipeline.documents, asset_id, limit=10)
    assert [replay.id for replay in listed] == [second.id, lost.id]


def test_of_two_orders_at_the_same_moment_one_is_accepted(pipeline: Pipeline, bus: ListBus) -> None:
    asset_id = analysed(pipeline, bus, "fight")
    winners: list[Replay] = []
    commit = pipeline.documents.commit

    def race_once(writes: Sequence[Write]) -> None:
        if not winners and any(write.collection == stored.SLOTS for write in writes):
            pipeline.documents.commit = commit  # type: ignore[method-assign]
            winners.append(ordered(pipeline, asset_id, "detect"))
        commit(writes)

    for slot_is_there in (False, True):
        winners.clear()
        pipeline.documents.commit = race_once  # type: ignore[method-assign]
        with pytest.raises(NotReady) as refused:
            ordered(pipeline, asset_id, "detect")
        assert refused.value.code == "replay_under_way", slot_is_there
        assert len(bus.of_topic("media-uploaded")) == 1
        deliver(pipeline, list(bus.messages))
        bus.messages.clear()


def test_orders_that_are_always_too_late_give_way(pipeline: Pipeline, bus: ListBus) -> None:
    asset_id = analysed(pipeline, bus, "fight")

    def always_late(writes: Sequence[Write]) -> None:
        raise VersionConflict(f"somebody was let in and ended before these {len(writes)} writes, each time")

    pipeline.documents.commit = always_late  # type: ignore[method-assign]
    with pytest.raises(Retryable, match="contended"):
        ordered(pipeline, asset_id, "detect")


# --------------------------------------------------------------------------- delivery


def test_a_duplicate_of_the_replays_message_does_nothing(pipeline: Pipeline, bus: ListBus) -> None:
    asset_id = analysed(pipeline, bus, "fight")
    replay = replayed_twice(pipeline, bus, asset_id)
    assert pipeline.detector.calls == 2
    assert replay.record.attempts == 1
    assert len(bus.of_topic("media-analysed")) == 1


def replayed_twice(pipeline: Pipeline, bus: ListBus, asset_id: str) -> Replay:
    order = ordered(pipeline, asset_id, "detect")
    (message,) = bus.messages
    deliver(pipeline, [message, message])
    return stored.get(pipeline.documents, asset_id, order.id)


def test_the_same_key_gives_the_same_replay(pipeline: Pipeline, bus: ListBus) -> None:
    asset_id = analysed(pipeline, bus, "fight")
    first = ordered(pipeline, asset_id, "detect", key="monday")
    assert ordered(pipeline, asset_id, "detect", key="monday").id == first.id
    assert len(bus.messages) == 1
    deliver(pipeline, bus.messages)
    assert ordered(pipeline, asset_id, "detect", key="monday").record.state is StageState.DONE
    assert ordered(pipeline, asset_id, "detect", key="tuesday").id != first.id
    with pytest.raises(Malformed, match="was used for a replay of detect"):
        ordered(pipeline, asset_id, "ingest", key="monday")
    other = analysed(pipeline, bus, "calm")
    assert ordered(pipeline, other, "detect", key="monday").id != first.id


def test_an_order_whose_message_could_not_be_published_is_carried_out_all_the_same(
    pipeline: Pipeline, bus: ListBus
) -> None:
    asset_id = analysed(pipeline, bus, "fight")
    bus.failing = Retryable("the bus is away")
    order = ordered(pipeline, asset_id, "detect")
    bus.failing = None
    pipeline.clock.advance(replays.PATIENCE.total_seconds())
    assert publish_pending(pipeline.documents, bus, pipeline.clock.now()) == 1
    deliver(pipeline, list(bus.messages))
    assert stored.get(pipeline.documents, asset_id, order.id).record.state is StageState.DONE


def test_a_repeated_order_publishes_what_the_first_could_not(pipeline: Pipeline, bus: ListBus) -> None:
    asset_id = analysed(pipeline, bus, "fight")
    bus.failing = Retryable("the bus is away")
    ordered(pipeline, asset_id, "detect", key="k")
    bus.failing = None
    ordered(pipeline, asset_id, "detect", key="k")
    assert len(bus.of_topic("media-uploaded")) == 1
    assert pipeline.documents.count(Query("work", (Filter("published", "==", False),))) == 0


def test_a_message_that_names_no_replay_of_its_asset_is_recorded_and_does_nothing(
    pipeline: Pipeline, bus: ListBus
) -> None:
    one, other = (analysed(pipeline, bus, "fight") for _ in range(2))
    order = ordered(pipeline, one, "detect")
    (sent,) = bus.messages
    unknown = sent.data.replace(order.id.encode(), new_uuid().encode())
    mixed_up = sent.data.replace(f'"asset_id": "{one}", "bucket"'.encode(), f'"asset_id": "{other}", "bucket"'.encode())
    before = [pipeline.asset(asset_id) for asset_id in (one, other)]
    looked = pipeline.detector.calls
    deliver(pipeline, [replace(sent, data=unknown), replace(sent, data=mixed_up)])
    assert [pipeline.asset(asset_id) for asset_id in (one, other)] == before
    assert stored.get(pipeline.documents, one, order.id) == order
    assert pipeline.detector.calls == looked
    rejected = pipeline.documents.query(Query(REJECTED)).documents
    assert [document.data["code"] for document in rejected] == ["unknown_replay"] * 2


def test_an_asset_that_is_gone_fails_its_replay(pipeline: Pipeline, bus: ListBus) -> None:
    asset_id = analysed(pipeline, bus, "fight")
    order = ordered(pipeline, asset_id, "detect")
    pipeline.documents.commit([Delete(assets.COLLECTION, asset_id)])
    deliver(pipeline, list(bus.messages))
    record = stored.get(pipeline.documents, asset_id, order.id).record
    assert (record.state, record.error_code) == (StageState.FAILED, "unknown_asset")
    with pytest.raises(Permanent):
        pipeline.asset(asset_id)


def test_an_order_whose_message_was_lost_is_carried_out_by_the_sweeper(pipeline: Pipeline, bus: ListBus) -> None:
    asset_id = analysed(pipeline, bus, "fight")
    order = ordered(pipeline, asset_id, "detect")
    bus.messages.clear()
    assert maintain.sweep(pipeline.maintain_deps()) == {}, "it may still come"
    pipeline.clock.advance(60)
    assert maintain.sweep(pipeline.maintain_deps()) == {"delivery_lost": 1}
    assert ledger(pipeline.asset(asset_id), Stage.DETECT).state is StageState.DONE, "the ledger is not the replay's"
    deliver(pipeline, list(bus.messages))
    assert stored.get(pipeline.documents, asset_id, order.id).record.state is StageState.DONE


def test_a_replay_whose_worker_is_lost_five_times_fails_and_leaves_the_asset_as_it_was(
    pipeline: Pipeline, bus: ListBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    asset_id = analysed(pipeline, bus, "fight")
    before = pipeline.asset(asset_id)
    order = ordered(pipeline, asset_id, "detect")
    (sent,) = bus.messages

    def killed(*_: object, **__: object) -> None:
        raise Killed

    monkeypatch.setattr(pipeline.detector, "detect", killed)
    for _ in range(5):
        with pytest.raises(Killed):
            deliver(pipeline, [sent])
        pipeline.clock.advance(60)
    assert maintain.sweep(pipeline.maintain_deps())["worker_lost"] == 1
    record = stored.get(pipeline.documents, asset_id, order.id).record
    assert (record.state, record.error_code) == (StageState.FAILED, "worker_lost")
    after = pipeline.asset(asset_id)
    assert (after.detection, after.stages) == (before.detection, before.stages)


def test_an_older_order_that_comes_late_replaces_nothing(pipeline: Pipeline, bus: ListBus) -> None:
    asset_id = analysed(pipeline, bus, "fight")
    older = ordered(pipeline, asset_id, "detect")
    late = list(bus.messages)
    bus.messages.clear()
    pipeline.clock.advance(ABANDONED_AFTER.total_seconds())
    newer_model, older_model = WordDetector("word-detector-2", SHARPER), pipeline.detector
    pipeline.detector = newer_model
    assert replayed(pipeline, bus, asset_id, "detect").record.state is StageState.DONE
    pipeline.detector = older_model
    deliver(pipeline, late)
    record = stored.get(pipeline.documents, asset_id, older.id).record
    assert (record.state, record.error_code) == (StageState.FAILED, "superseded")
    found = pipeline.asset(asset_id).detection
    assert found is not None
    assert found.model == "word-detector-2"


def test_after_a_replay_the_first_runs_dead_letter_does_nothing(
    pipeline: Pipeline, bus: ListBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    asset_id, notification = pipeline.upload("fight")
    pipeline.handlers()["ingest"](notification)
    dead = delivery_of(bus.messages.pop())
    with monkeypatch.context() as broken:
        broken.setattr(pipeline.detector, "detect", _broken)
        for attempt in range(1, MAX_ATTEMPTS + 1):
            with pytest.raises(OSError, match="disk"):
                pipeline.handlers()["detect"](replace(dead, attempt=attempt))
    bus.messages.clear()
    pipeline.detector = WordDetector("word-detector-2")
    assert replayed(pipeline, bus, asset_id, "detect").record.state is StageState.DONE
    looked = pipeline.asset(asset_id)
    pipeline.detector = WordDetector("word-detector-1")
    pipeline.handlers()["detect"](replace(dead, message_id="replayed-by-hand"))
    assert pipeline.asset(asset_id) == looked


def _broken(*_: object, **__: object) -> None:
    raise OSError("disk")


@pytest.mark.parametrize("attempts", [0, 1])
def test_a_stage_that_has_not_ended_is_left_to_its_deliveries_and_the_sweeper(
    attempts: int, pipeline: Pipeline, bus: ListBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    asset_id, notification = pipeline.upload("fight")
    pipeline.handlers()["ingest"](notification)
    message = delivery_of(bus.messages.pop())
    monkeypatch.setattr(pipeline.detector, "detect", _broken)
    for attempt in range(1, attempts + 1):
        with pytest.raises(OSError, match="disk"):
            pipeline.handlers()["detect"](replace(message, attempt=attempt))
    pipeline.clock.advance(24 * 3600)
    with pytest.raises(NotReady, match="not_ended"):
        ordered(pipeline, asset_id, "detect")


def test_stages_that_a_replay_revived_are_the_sweepers_business_again(
    pipeline: Pipeline, bus: ListBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    asset_id, notification = pipeline.upload("fight")
    with monkeypatch.context() as broken:
        broken.setattr(pipeline.detector, "detect", _unusable)
        run_through(pipeline, bus, notification)
    assert pipeline.asset(asset_id).complete
    bus.messages.clear()
    replayed(pipeline, bus, asset_id, "detect")
    bus.messages.clear()  # the message that the stages behind it wait for is lost
    assert not pipeline.asset(asset_id).complete
    pipeline.clock.advance(3600)
    assert maintain.sweep(pipeline.maintain_deps()) == {"message_lost": 1}
    deliver(pipeline, list(bus.messages))
    deliver(pipeline, bus.of_topic("media-moderated"))
    assert ledger(pipeline.asset(asset_id), Stage.CORRELATE).state is StageState.DONE
    assert pipeline.asset(asset_id).complete


def _unusable(*_: object, **__: object) -> None:
    raise MediaUnusable("no_picture", "The file has no picture.")


def test_news_of_a_generation_that_was_overwritten_changes_nothing(pipeline: Pipeline, bus: ListBus) -> None:
    asset_id, notification = pipeline.upload("calm")
    pipeline.handlers()["ingest"](notification)
    (late,) = (delivery_of(message) for message in bus.of_topic("media-uploaded"))
    bus.messages.clear()
    run_through(pipeline, bus, pipeline.drop(pipeline.asset(asset_id).object_name, "fight"))
    before = pipeline.asset(asset_id)
    pipeline.handlers()["detect"](late)
    assert pipeline.asset(asset_id) == before
