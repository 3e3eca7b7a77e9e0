"""Uploads that were seen before: what is reused, and above all what is not."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import BinaryIO

import pytest

from shared.domain.assets import Asset, SeenBefore
from shared.domain.reuse import Known, ReuseMode, ReusePolicy
from shared.domain.stages import Stage, StageState
from shared.handlers import replays, reuse
from shared.ids import new_uuid
from shared.ports import (
    FINGERPRINT_SIDE,
    ContextAnswer,
    ContextRequest,
    Delete,
    Delivery,
    Depth,
    DetectionRun,
    Documents,
    Query,
)
from shared.repositories import assets, fingerprints, timelines
from tests.fakes import NOON
from tests.handlers.pipeline import SUBSCRIBERS, ListBus, Pipeline, WordDetector, delivery_of, ledger

ANSWER = {"objects": ["door"], "emotions": [], "scenes": ["yard"], "description": "A yard.", "threat_level": 0}


class Describer:
    """A `ContextModel` that counts how often it is asked."""

    def __init__(self, name: str = "describer-1") -> None:
        self.name = name
        self.depths: Sequence[Depth] = (Depth.VIDEO, Depth.STILLS)
        self.calls = 0

    def describe(self, request: ContextRequest, report: Callable[[float], None]) -> ContextAnswer:
        self.calls += 1
        return ContextAnswer(json.dumps(ANSWER), self.name)


class InterruptedDetector(WordDetector):
    """Something else happens while it looks at its first video."""

    def __init__(self, interruption: Callable[[], None]) -> None:
        super().__init__()
        self._interruption = interruption

    def detect(
        self, stream: BinaryIO, *, step: int = 1, report: Callable[[float], None] = lambda _: None
    ) -> DetectionRun:
        found = super().detect(stream, step=step, report=report)
        if self.calls == 1:
            self._interruption()
        return found


@pytest.fixture
def pipeline(pipeline: Pipeline) -> Pipeline:
    """One whose context model can be asked."""
    pipeline.model = Describer()
    return pipeline


def sent(pipeline: Pipeline, bus: ListBus, content: str, *, source_id: str = "gate") -> Asset:
    """An upload that went through all stages, each message once."""
    asset_id, notification = pipeline.upload(content, source_id=source_id)
    return ended(pipeline, bus, asset_id, notification)


def ended(pipeline: Pipeline, bus: ListBus, asset_id: str, notification: Delivery) -> Asset:
    handlers = pipeline.handlers()
    handlers["ingest"](notification)
    for topic in ("media-uploaded", "media-detected", "media-moderated"):
        for message in bus.of_topic(topic):
            if json.loads(message.data)["asset_id"] == asset_id:
                for stage in SUBSCRIBERS[topic]:
                    handlers[stage](delivery_of(message))
    return pipeline.asset(asset_id)


def calls(pipeline: Pipeline) -> tuple[int, int]:
    """How often the detector and the context model were asked."""
    assert isinstance(pipeline.model, Describer)
    return pipeline.detector.calls, pipeline.model.calls


def reused(asset: Asset) -> dict[str, str | None]:
    """Of what detect and context found; the same bytes share a verdict, too (test_moderate)."""
    taken = {stage: record.reused_from for stage, record in asset.stages.items() if stage is not Stage.MODERATE}
    return {stage.value: earlier for stage, earlier in taken.items() if earlier}


class TestTheSameBytes:
    def test_a_renamed_file_is_neither_scored_nor_described_again(self, pipeline: Pipeline, bus: ListBus) -> None:
        first = sent(pipeline, bus, "fight")
        second = sent(pipeline, bus, "fight", source_id="yard")
        assert second.seen_before == SeenBefore(first.id, exact=True, distance=0)
        assert (second.detection, second.context) == (first.detection, first.context)
        assert reused(second) == {"detect": first.id, "context": first.id}
        assert calls(pipeline) == (1, 1)
        assert ledger(second, Stage.CONTEXT).cost_usd == 0

    def test_it_is_a_new_observation_where_it_is(self, pipeline: Pipeline, bus: ListBus) -> None:
        first = sent(pipeline, bus, "fight")
        second = sent(pipeline, bus, "fight", source_id="yard")
        assert first.incident_ids != second.incident_ids
        assert len(bus.of_topic("incident-opened")) == 2
        assert len(bus.of_topic("media-analysed")) == 2

    def test_its_timeline_and_sheet_are_its_own(self, pipeline: Pipeline, bus: ListBus) -> None:
        first = sent(pipeline, bus, "fight")
        second = sent(pipeline, bus, "fight")
        assert timelines.load(pipeline.media, second.id) == replace(
            timelines.load(pipeline.media, first.id), asset_id=second.id
        )
        timelines.discard(pipeline.media, first.id)
        assert timelines.load_sheet(pipeline.media, second.id).startswith(b"fight")

    def test_all_later_ones_lead_to_the_one_that_was_looked_at(self, pipeline: Pipeline, bus: ListBus) -> None:
        first = sent(pipeline, bus, "calm")
        later = [sent(pipeline, bus, "calm") for _ in range(3)]
        assert {asset.seen_before for asset in later} == {SeenBefore(first.id, exact=True, distance=0)}
        assert pipeline.documents.count(Query(fingerprints.COLLECTION)) == 1

    def test_a_repeated_delivery_never_finds_itself(self, pipeline: Pipeline, bus: ListBus) -> None:
        asset_id, notification = pipeline.upload("fight")
        for copy in (notification, replace(notification, message_id="again")):
            asset = ended(pipeline, bus, asset_id, copy)
        assert asset.seen_before is None
        assert reused(asset) == {}

    def test_two_that_arrive_together_are_both_analysed(self, pipeline: Pipeline, bus: ListBus) -> None:
        uploads = [pipeline.upload("fight gate 1") for _ in range(2)]
        for _, notification in uploads:
            pipeline.handlers()["ingest"](notification)
        first, second = (delivery_of(message) for message in bus.of_topic("media-uploaded"))
        pipeline.detector = InterruptedDetector(lambda: pipeline.handlers()["detect"](second))
        pipeline.handlers()["detect"](first)
        both = [pipeline.asset(asset_id) for asset_id, _ in uploads]
        assert [ledger(asset, Stage.DETECT).state for asset in both] == [StageState.DONE] * 2
        assert [asset.seen_before for asset in both] == [None, None]
        assert pipeline.detector.calls == 2

    def test_what_ended_after_the_upload_was_identified_is_found_all_the_same(
        self, pipeline: Pipeline, bus: ListBus
    ) -> None:
        uploads = [pipeline.upload("fight") for _ in range(2)]
        for _, notification in uploads:
            pipeline.handlers()["ingest"](notification)
        for message in bus.of_topic("media-uploaded"):
            pipeline.handlers()["detect"](delivery_of(message))
        first, second = (pipeline.asset(asset_id) for asset_id, _ in uploads)
        assert second.seen_before == SeenBefore(first.id, exact=True, distance=0)
        assert (first.seen_before, pipeline.detector.calls) == (None, 1)


class TestNothingIsReused:
    def test_where_the_profile_says_never(self, pipeline: Pipeline, bus: ListBus) -> None:
        pipeline.reuse = ReusePolicy(mode=ReuseMode.NEVER)
        assert [sent(pipeline, bus, "fight gate 1").seen_before for _ in range(2)] == [None, None]
        assert calls(pipeline) == (2, 2)

    def test_after_another_model_which_is_found_again_by_the_next(self, pipeline: Pipeline, bus: ListBus) -> None:
        first = sent(pipeline, bus, "fight")
        pipeline.detector = WordDetector("word-detector-2")
        second = sent(pipeline, bus, "fight")
        assert second.seen_before == SeenBefore(first.id, exact=True, distance=0)
        assert reused(second) == {"context": first.id}
        third = sent(pipeline, bus, "fight")
        assert third.seen_before == SeenBefore(second.id, exact=True, distance=0)
        assert pipeline.detector.calls == 1

    def test_of_a_context_of_another_model(self, pipeline: Pipeline, bus: ListBus) -> None:
        sent(pipeline, bus, "fight")
        pipeline.model = Describer("describer-2")
        second = sent(pipeline, bus, "fight")
        assert set(reused(second)) == {"detect"}
        assert second.context is not None
        assert second.context.model == "describer-2"

    def test_of_a_context_that_looked_less_closely(self, pipeline: Pipeline, bus: ListBus) -> None:
        first = sent(pipeline, bus, "fight")
        assert first.context is not None
        stills = replace(first.context, depth="stills")
        pipeline.documents.commit([assets.context_update(first.id, stills)])
        assert set(reused(sent(pipeline, bus, "fight"))) == {"detect"}

    def test_of_an_upload_that_failed(self, pipeline: Pipeline, bus: ListBus) -> None:
        for _ in range(2):
            asset = sent(pipeline, bus, "nonsense")
            assert ledger(asset, Stage.DETECT).state is StageState.FAILED
            assert asset.seen_before is None
        assert pipeline.detector.calls == 2

    @pytest.mark.parametrize("stage", [Stage.DETECT, Stage.CONTEXT])
    def test_by_a_replay(self, stage: Stage, pipeline: Pipeline, bus: ListBus) -> None:
        sent(pipeline, bus, "fight")
        second = sent(pipeline, bus, "fight")
        topic = {Stage.DETECT: "media-uploaded", Stage.CONTEXT: "media-detected"}[stage]
        replays.request(replays.Request(second.id, stage.value, "Ada"), pipeline.replay_deps())
        before = calls(pipeline)
        pipeline.handlers()[stage.value](delivery_of(bus.of_topic(topic)[-1]))
        assert sum(calls(pipeline)) == sum(before) + 1
        assert ledger(pipeline.asset(second.id), stage).reused_from is None

    def test_by_a_replay_of_a_copy(self, pipeline: Pipeline, bus: ListBus) -> None:
        sent(pipeline, bus, "fight gate 1")
        copy = sent(pipeline, bus, "scuffle gate 1 blurred")
        replays.request(replays.Request(copy.id, "detect", "Ada"), pipeline.replay_deps())
        pipeline.handlers()["detect"](delivery_of(bus.of_topic("media-uploaded")[-1]))
        again = pipeline.asset(copy.id)
        assert again.detection is not None
        assert again.detection.segments[0].confidence == 0.6
        assert reused(again) == {"context": again.seen_before.asset_id if again.seen_before else None}

    def test_for_late_news_of_an_object_that_was_overwritten_by_what_was_seen_before(
        self, pipeline: Pipeline, bus: ListBus
    ) -> None:
        sent(pipeline, bus, "calm")
        asset_id, notification = pipeline.upload("fight")
        handlers = pipeline.handlers()
        handlers["ingest"](notification)
        late = delivery_of(bus.of_topic("media-uploaded")[-1])
        handlers["ingest"](pipeline.drop(pipeline.asset(asset_id).object_name, "calm"))
        handlers["detect"](late)
        assert pipeline.asset(asset_id).detection is None

    def test_of_an_asset_that_is_gone(self, pipeline: Pipeline, bus: ListBus) -> None:
        first = sent(pipeline, bus, "fight")
        pipeline.documents.commit([Delete(assets.COLLECTION, first.id)])
        second = sent(pipeline, bus, "fight")
        assert (second.seen_before, reused(second)) == (None, {})

    def test_of_an_asset_whose_timeline_is_gone(self, pipeline: Pipeline, bus: ListBus) -> None:
        first = sent(pipeline, bus, "fight gate 1")
        timelines.discard(pipeline.media, first.id)
        second = sent(pipeline, bus, "fight gate 1")
        assert second.seen_before == SeenBefore(first.id, exact=True, distance=0)
        assert set(reused(second)) == {"context"}
        assert timelines.load(pipeline.media, second.id).asset_id == second.id

    def test_of_what_is_too_old(self, pipeline: Pipeline, bus: ListBus) -> None:
        sent(pipeline, bus, "fight gate 1")
        pipeline.clock.advance(timedelta(days=31).total_seconds())
        assert sent(pipeline, bus, "fight gate 1").seen_before is None
        assert calls(pipeline) == (2, 2)

    def test_of_an_object_that_was_overwritten(self, pipeline: Pipeline, bus: ListBus) -> None:
        first = sent(pipeline, bus, "fight")
        overwriting = pipeline.drop(first.object_name, "calm")
        ended(pipeline, bus, first.id, overwriting)
        assert sent(pipeline, bus, "fight").seen_before is None


class TestTheSameRecordingEncodedAnew:
    def test_it_is_looked_at_and_takes_the_earlier_detection_over(self, pipeline: Pipeline, bus: ListBus) -> None:
        first = sent(pipeline, bus, "fight gate 1")
        second = sent(pipeline, bus, "fight gate 1 smaller")
        assert second.seen_before == SeenBefore(first.id, exact=False, distance=0)
        assert reused(second) == {"detect": first.id, "context": first.id}
        assert calls(pipeline) == (2, 1)

    def test_a_copy_too_bad_to_show_it_is_still_called_what_it_is(self, pipeline: Pipeline, bus: ListBus) -> None:
        first = sent(pipeline, bus, "fight gate 1")
        second = sent(pipeline, bus, "calm gate 1 blurred")
        assert second.detection == first.detection
        assert second.incident_ids == first.incident_ids
        assert timelines.load(pipeline.media, second.id).segments == timelines.load(pipeline.media, first.id).segments

    def test_a_milder_analysis_never_hides_what_the_copy_shows(self, pipeline: Pipeline, bus: ListBus) -> None:
        first = sent(pipeline, bus, "calm gate 1")
        second = sent(pipeline, bus, "fight gate 1 sharper")
        assert second.seen_before == SeenBefore(first.id, exact=False, distance=0)
        assert reused(second) == {}
        assert second.detection is not None
        assert second.detection.segments[0].confidence == 0.9
        assert len(second.incident_ids) == 1
        assert calls(pipeline) == (2, 2)

    def test_another_scene_of_the_same_camera_was_not_seen(self, pipeline: Pipeline, bus: ListBus) -> None:
        sent(pipeline, bus, "calm gate 1")
        second = sent(pipeline, bus, "fight gate 2")
        assert (second.seen_before, reused(second)) == (None, {})
        assert len(second.incident_ids) == 1

    def test_where_nothing_moves_nothing_was_seen(self, pipeline: Pipeline, bus: ListBus) -> None:
        sent(pipeline, bus, "calm gate")
        assert sent(pipeline, bus, "scuffle gate").seen_before is None

    def test_in_the_exact_mode_it_is_said_and_analysed_anew(self, pipeline: Pipeline, bus: ListBus) -> None:
        pipeline.reuse = ReusePolicy(mode=ReuseMode.EXACT)
        first = sent(pipeline, bus, "fight gate 1")
        second = sent(pipeline, bus, "scuffle gate 1 smaller")
        assert second.seen_before == SeenBefore(first.id, exact=False, distance=0)
        assert reused(second) == {}
        assert second.detection is not None
        assert second.detection.segments[0].confidence == 0.6
        assert calls(pipeline) == (2, 2)

    def test_after_another_model_it_is_not_compared(self, pipeline: Pipeline, bus: ListBus) -> None:
        sent(pipeline, bus, "fight gate 1")
        pipeline.detector = WordDetector("word-detector-2")
        assert sent(pipeline, bus, "fight gate 1 smaller").seen_before is None

    def test_the_copys_own_bytes_are_known_from_then_on(self, pipeline: Pipeline, bus: ListBus) -> None:
        sent(pipeline, bus, "fight gate 1")
        second = sent(pipeline, bus, "fight gate 1 smaller")
        third = sent(pipeline, bus, "fight gate 1 smaller")
        assert third.seen_before == SeenBefore(second.id, exact=True, distance=0)
        assert third.detection == second.detection
        assert calls(pipeline) == (2, 1)

    def test_that_it_was_is_not_forgotten_when_it_is_identified_again(self, pipeline: Pipeline, bus: ListBus) -> None:
        first = sent(pipeline, bus, "fight gate 1")
        asset_id, notification = pipeline.upload("fight gate 1 smaller")
        ended(pipeline, bus, asset_id, notification)
        replays.request(replays.Request(asset_id, "ingest", "Ada"), pipeline.replay_deps())
        pipeline.handlers()["ingest"](delivery_of(bus.of_topic("media-finalised")[-1]))
        assert pipeline.asset(asset_id).seen_before == SeenBefore(first.id, exact=False, distance=0)

    def test_without_its_fingerprint_nothing_is_proved(self, pipeline: Pipeline, bus: ListBus) -> None:
        first = sent(pipeline, bus, "fight gate 1")
        pipeline.media.delete(timelines.fingerprint_name(first.id, pipeline.detector.version))
        assert sent(pipeline, bus, "fight gate 1 smaller").seen_before is None

    def test_a_run_that_lost_its_commit_leaves_the_fingerprint_it_is_known_by(
        self, pipeline: Pipeline, bus: ListBus
    ) -> None:
        first = sent(pipeline, bus, "fight gate 1")
        assert first.facts is not None
        assert first.detection is not None
        lost = replace(first.detection, model="word-detector-2")
        deps = pipeline.detect_deps().reuse
        reuse.registration(
            first, first.facts, lost, random.Random("another").randbytes(4 * FINGERPRINT_SIDE**2), deps
        )  # and never committed
        assert sent(pipeline, bus, "fight gate 1 smaller").seen_before == SeenBefore(first.id, exact=False, distance=0)


class TestWhatIsKeptBeside:
    @pytest.mark.parametrize("model", ["../../media/x", "two\nlines", "größer/v1", "m" * 2000, ""])
    def test_any_models_name_makes_a_safe_object_name(self, pipeline: Pipeline, model: str) -> None:
        asset_id = new_uuid()
        timelines.store_fingerprint(pipeline.media, asset_id, model, b"moves")
        assert timelines.load_fingerprint(pipeline.media, asset_id, model) == b"moves"
        (kept,) = pipeline.media.list(f"analysis/{asset_id}/")
        assert re.fullmatch(r"fingerprint-1-[A-Za-z0-9._-]{0,64}-[0-9a-f]{16}\.bin", kept.name.split("/", 2)[2])

    def test_names_that_look_the_same_are_kept_apart(self) -> None:
        assert timelines.fingerprint_name("a", "m/1") != timelines.fingerprint_name("a", "m_1")

    def test_nothing_of_any_look_or_model_is_left_when_it_is_discarded(self, pipeline: Pipeline, bus: ListBus) -> None:
        asset, other = sent(pipeline, bus, "fight gate 1"), sent(pipeline, bus, "calm gate 2")
        pipeline.detector = WordDetector("word-detector-2")
        replays.request(replays.Request(asset.id, "detect", "Ada"), pipeline.replay_deps())
        pipeline.handlers()["detect"](delivery_of(bus.of_topic("media-uploaded")[-1]))
        assert len(list(pipeline.media.list(f"analysis/{asset.id}/"))) == 6  # two timelines, sheets and fingerprints
        timelines.discard(pipeline.media, asset.id)
        assert list(pipeline.media.list(f"analysis/{asset.id}/")) == []
        assert timelines.load(pipeline.media, other.id).asset_id == other.id


class TestRepository:
    def known(self, asset_id: str, minutes: int, sha256: str = "aa") -> Known:
        return Known(asset_id, sha256, "0" * 15 + "1", 2.0, "m", 0.5, NOON + timedelta(minutes=minutes))

    def test_the_newest_are_found_by_their_bytes(self, documents: Documents) -> None:
        everyone = [self.known(f"a{n}", n) for n in range(20)]
        documents.commit([fingerprints.registration(known, []) for known in everyone])
        documents.commit([fingerprints.registration(self.known("other", 99, "bb"), [])])
        assert fingerprints.same_bytes(documents, "aa") == everyone[: -fingerprints.MOST_EXACT - 1 : -1]

    def test_what_was_seen_is_the_oldest_of_those_that_are_read(self, pipeline: Pipeline, bus: ListBus) -> None:
        everyone = []
        for number in range(fingerprints.MOST_EXACT + 2):
            pipeline.detector = WordDetector(f"word-detector-{number}")
            everyone.append(sent(pipeline, bus, "calm"))
            pipeline.clock.advance(1)
        oldest_read = everyone[-fingerprints.MOST_EXACT]
        pipeline.detector = WordDetector("one-more")  # which finds no detection of its own to take over
        assert sent(pipeline, bus, "calm").seen_before == SeenBefore(oldest_read.id, exact=True, distance=0)

    def test_each_is_found_once_however_many_bands_it_shares(self, documents: Documents) -> None:
        one, other = self.known("one", 1), self.known("other", 2)
        documents.commit(
            [fingerprints.registration(one, ["1/0/f", "1/1/0"]), fingerprints.registration(other, ["1/1/0"])]
        )
        assert sorted(k.asset_id for k in fingerprints.in_bands(documents, ["1/0/f", "1/1/0"])) == ["one", "other"]
        assert fingerprints.in_bands(documents, ["1/0/0"]) == []

    def test_an_upload_registered_anew_is_there_once(self, documents: Documents) -> None:
        documents.commit([fingerprints.registration(self.known("one", 1), ["1/0/f"])])
        documents.commit([fingerprints.registration(replace(self.known("one", 1), model="n"), [])])
        assert [known.model for known in fingerprints.same_bytes(documents, "aa")] == ["n"]
        assert fingerprints.in_bands(documents, ["1/0/f"]) == []
