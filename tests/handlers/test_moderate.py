"""An upload is moderated: the frames first, Video Intelligence in doubt, budgets, retries, deaths, replays."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from functools import partial

import pytest

from shared.domain.assets import Asset
from shared.domain.moderation.findings import Evidence, MediaKind, Part
from shared.domain.moderation.moderated import FIRST_LOOK, Moderation, annotation_name
from shared.domain.moderation.prices_of_looks import image_cost
from shared.domain.moderation.receipts import Rule, Status
from shared.domain.moderation.verdicts import judge
from shared.domain.stages import AssetState, Stage, StageState, asset_state
from shared.errors import AnalyserFailed, Retryable
from shared.handlers import analyze, annotate, caching, replays, shadowing, triggers
from shared.messages import AnnotationsFinalised, ReplayOrder
from shared.ports import Delete, Delivery, ImageAnnotation, Query, Seen, TextAnnotation, Update, VideoAnnotation
from shared.records import to_data
from shared.repositories import evidence, incidents, shadows
from shared.repositories import replays as stored
from tests.fakes import NOON
from tests.handlers.pipeline import (
    BUCKET,
    PROFILES,
    RESULTS_BUCKET,
    ListBus,
    Pipeline,
    ScriptedVideo,
    WordFrames,
    deliver,
    delivery_of,
    ledger,
    run_through,
)
from tests.handlers.scripted_witnesses import SAFE, failure, innocent, jpeg

DOUBTFUL = replace(innocent(), safe_search={**SAFE, "racy": "LIKELY"})
"""A contextual finding that counts and does not decide."""
GUN = replace(innocent(), labels=(Seen("Gun", 0.9),))


def verdict_on(pipeline: Pipeline, asset_id: str) -> Moderation:
    moderation = pipeline.asset(asset_id).moderation
    assert moderation is not None
    return moderation


def seeing(pipeline: Pipeline, found: ImageAnnotation) -> None:
    pipeline.images.answer = lambda _: found


def whole_video(pipeline: Pipeline) -> ScriptedVideo:
    """From now on there is somebody who looks at whole videos."""
    pipeline.video = ScriptedVideo()
    return pipeline.video


def always_full(pipeline: Pipeline) -> ScriptedVideo:
    """From now on every video is looked at whole."""
    standard = replace(PROFILES.standard, video=replace(PROFILES.standard.video, always_full=True))
    pipeline.profiles = replace(PROFILES, standard=standard)
    return whole_video(pipeline)


def result(pipeline: Pipeline, name: str, found: VideoAnnotation) -> Delivery:
    """Video Intelligence writes its result, and the bucket says so."""
    return pipeline.drop(name, json.dumps(to_data(found)))


def clean() -> VideoAnnotation:
    return VideoAnnotation(explicit=(), labels=(), shots=3, texts=())


def explicit(likelihood: str = "VERY_LIKELY") -> VideoAnnotation:
    seen = {"name": likelihood, "confidence": 0.9, "start": 4.0, "end": 5.0}
    return replace(clean(), explicit=(seen,))  # type: ignore[arg-type] # as the JSON has it


class TestTheFramesDecide:
    def test_an_innocent_video_passes_with_its_receipt(self, pipeline: Pipeline, bus: ListBus) -> None:
        asset_id, notification = pipeline.upload("calm")
        run_through(pipeline, bus, notification)
        moderation = verdict_on(pipeline, asset_id)
        assert (moderation.verdict.status, moderation.final) == (Status.PASS, True)
        assert moderation.verdict.reasons == ("No inappropriate content detected",)
        asset = pipeline.asset(asset_id)
        assert asset_state(asset.stages) is AssetState.DONE
        assert ledger(asset, Stage.MODERATE).version == moderation.verdict.profile + " " + PROFILES.standard.version
        assert ledger(asset, Stage.ANNOTATE).error_code == "not_in_doubt"
        assert ledger(asset, Stage.ESCALATE).state is StageState.DONE
        (message,) = bus.of_topic("media-moderated")
        assert json.loads(message.data)["status"] == "PASS"
        assert asset.complete
        assert asset.quarantine is None

    def test_what_cannot_be_decoded_is_not_covered(
        self, pipeline: Pipeline, bus: ListBus, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        whole = WordFrames.sample
        monkeypatch.setattr(WordFrames, "sample", lambda *asked: whole(*asked)[:1])
        asset_id, notification = pipeline.upload("calm")
        run_through(pipeline, bus, notification)
        verdict = verdict_on(pipeline, asset_id).verdict
        assert {"not_decoded"} <= {gap.code for gap in verdict.not_evaluated}
        assert verdict.confidence < 0.6

    def test_what_the_look_costs_is_on_the_ledger(self, pipeline: Pipeline, bus: ListBus) -> None:
        asset_id, notification = pipeline.upload("calm")
        run_through(pipeline, bus, notification)
        frames, features = pipeline.images.asked[0]
        assert ledger(pipeline.asset(asset_id), Stage.MODERATE).cost_usd == pytest.approx(
            image_cost(frames, features, NOON)
        )

    def test_our_detector_is_a_witness_and_opens_no_second_incident(self, pipeline: Pipeline, bus: ListBus) -> None:
        asset_id, notification = pipeline.upload("fight")
        run_through(pipeline, bus, notification)
        moderation = verdict_on(pipeline, asset_id)
        assert (moderation.verdict.status, moderation.verdict.rule) == (Status.FAIL, Rule.CLEAR_FINDING)
        assert moderation.incident is None
        (incident_id,) = pipeline.asset(asset_id).incident_ids
        assert incidents.signal_count(pipeline.documents, incident_id) == 1

    def test_below_the_incidents_threshold_the_detector_does_not_convict(
        self, pipeline: Pipeline, bus: ListBus
    ) -> None:
        asset_id, notification = pipeline.upload("scuffle")
        run_through(pipeline, bus, notification)
        assert verdict_on(pipeline, asset_id).verdict.status is Status.PASS

    def test_strict_mode_judges_by_the_strict_profile(self, pipeline: Pipeline, bus: ListBus) -> None:
        asset_id, notification = pipeline.upload("scuffle")
        handlers = pipeline.handlers()
        handlers["ingest"](notification)
        analyze.request_analysis(asset_id, analyze_deps(pipeline, bus), strict_mode=True)
        for topic in ("media-uploaded", "media-detected"):
            deliver(pipeline, bus.of_topic(topic))
        moderation = verdict_on(pipeline, asset_id)
        assert (moderation.verdict.profile, moderation.strict) == ("strict", True)
        assert moderation.verdict.status is Status.FAIL

    def test_without_a_detection_nothing_is_moderated(self, pipeline: Pipeline, bus: ListBus) -> None:
        asset_id, notification = pipeline.upload("nothing-it-knows")
        run_through(pipeline, bus, notification)
        asset = pipeline.asset(asset_id)
        assert asset_state(asset.stages) is AssetState.FAILED
        assert asset.moderation is None
        assert asset.complete


class TestIncidents:
    def test_a_gun_opens_an_incident_at_the_uploads_place(self, pipeline: Pipeline, bus: ListBus) -> None:
        seeing(pipeline, GUN)
        asset_id, notification = pipeline.upload("calm")
        run_through(pipeline, bus, notification)
        (incident_id,) = pipeline.asset(asset_id).incident_ids
        incident = incidents.get(pipeline.documents, incident_id)
        assert (incident.beacon_id, incident.priority) == ("gate", PROFILES.standard.incident.priority)
        (signal,) = incidents.signals_of(pipeline.documents, incident_id, 10)
        assert signal.observation.description == "Moderation flagged an upload: weapons"
        assert len(bus.of_topic("incident-opened")) == 1

    def test_a_fight_with_a_gun_is_one_incident_with_two_signals(self, pipeline: Pipeline, bus: ListBus) -> None:
        seeing(pipeline, GUN)
        asset_id, notification = pipeline.upload("fight")
        run_through(pipeline, bus, notification)
        (incident_id,) = pipeline.asset(asset_id).incident_ids
        assert incidents.signal_count(pipeline.documents, incident_id) == 2
        assert pipeline.asset(asset_id).observed_by == (Stage.CORRELATE, Stage.ESCALATE)

    def test_a_category_that_the_profile_does_not_name_opens_none(self, pipeline: Pipeline, bus: ListBus) -> None:
        seeing(pipeline, replace(innocent(), safe_search={**SAFE, "adult": "VERY_LIKELY"}))
        asset_id, notification = pipeline.upload("calm")
        run_through(pipeline, bus, notification)
        assert verdict_on(pipeline, asset_id).verdict.status is Status.FAIL
        assert pipeline.asset(asset_id).incident_ids == ()

    def test_an_escalation_that_is_replayed_stays_one_signal(self, pipeline: Pipeline, bus: ListBus) -> None:
        seeing(pipeline, GUN)
        asset_id, notification = pipeline.upload("calm")
        run_through(pipeline, bus, notification)
        order(pipeline, bus, asset_id, "escalate")
        (incident_id,) = pipeline.asset(asset_id).incident_ids
        assert incidents.signal_count(pipeline.documents, incident_id) == 1

    def test_correlate_can_still_join_after_escalate_has(self, pipeline: Pipeline, bus: ListBus) -> None:
        """A replay of detect may find what the first look missed."""
        seeing(pipeline, GUN)
        asset_id, notification = pipeline.upload("scuffle")
        run_through(pipeline, bus, notification)
        assert pipeline.asset(asset_id).observed_by == (Stage.ESCALATE,)
        pipeline.detector = type(pipeline.detector)("word-detector-2", {"scuffle": 0.95})
        order(pipeline, bus, asset_id, "detect")
        order(pipeline, bus, asset_id, "correlate")
        (incident_id,) = pipeline.asset(asset_id).incident_ids
        assert incidents.signal_count(pipeline.documents, incident_id) == 2


class TestWitnessesThatFail:
    def test_a_witness_that_is_away_is_asked_again(self, pipeline: Pipeline, bus: ListBus) -> None:
        away = ImageAnnotation(error=failure())
        pipeline.images.answer = lambda _: away if len(pipeline.images.asked) == 1 else innocent()
        asset_id, notification = pipeline.upload("calm")
        moderated = moderate_message(pipeline, bus, notification)
        with pytest.raises(Retryable):
            pipeline.handlers()["moderate"](moderated)
        assert ledger(pipeline.asset(asset_id), Stage.MODERATE).state is StageState.PENDING
        pipeline.handlers()["moderate"](replace(moderated, attempt=2))
        assert verdict_on(pipeline, asset_id).verdict.status is Status.PASS

    def test_when_only_the_text_was_not_analysed_the_pictures_are_not_paid_again(
        self, pipeline: Pipeline, bus: ListBus
    ) -> None:
        away = {"categories": failure(), "sentiment": failure()}
        pipeline.texts.said = TextAnnotation(problems=away)
        seeing(pipeline, innocent("Mind the gap between train and platform"))
        asset_id, notification = pipeline.upload("calm")
        moderated = moderate_message(pipeline, bus, notification)
        with pytest.raises(Retryable):
            pipeline.handlers()["moderate"](moderated)
        pipeline.texts.said = TextAnnotation(categories=(), sentiment=0.1, language="en")
        pipeline.handlers()["moderate"](replace(moderated, attempt=2))
        assert len(pipeline.images.asked) == 1
        assert pipeline.texts.asked == ["Mind the gap between train and platform"] * 2
        look = evidence.find(pipeline.documents, asset_id, FIRST_LOOK)
        assert look is not None
        assert [look.evidence.covered(part) for part in (Part.CATEGORIES, Part.SENTIMENT, Part.PATTERNS)] == [1.0] * 3
        assert look.evidence.text == "Mind the gap between train and platform"

    def test_the_last_attempt_decides_with_what_is_there(self, pipeline: Pipeline, bus: ListBus) -> None:
        seeing(pipeline, ImageAnnotation(error=failure()))
        asset_id, notification = pipeline.upload("fight")
        moderated = moderate_message(pipeline, bus, notification)
        for attempt in range(1, 5):
            with pytest.raises(Retryable):
                pipeline.handlers()["moderate"](replace(moderated, attempt=attempt))
        pipeline.handlers()["moderate"](replace(moderated, attempt=5))
        verdict = verdict_on(pipeline, asset_id).verdict
        assert verdict.status is Status.FAIL
        assert "unavailable" in {gap.code for gap in verdict.not_evaluated}

    def test_a_failure_that_stays_is_not_asked_about_again(self, pipeline: Pipeline, bus: ListBus) -> None:
        seeing(pipeline, ImageAnnotation(error=failure("refused", tries=1)))
        asset_id, notification = pipeline.upload("calm")
        run_through(pipeline, bus, notification)
        assert len(pipeline.images.asked) == 1
        assert "refused" in {gap.code for gap in verdict_on(pipeline, asset_id).verdict.not_evaluated}

    def test_what_one_attempt_saw_is_not_lost_to_the_next(self, pipeline: Pipeline, bus: ListBus) -> None:
        """The text was judged only in the first attempt, the pictures only in the second."""
        asset_id, notification = pipeline.upload("calm")
        moderated = moderate_message(pipeline, bus, notification)
        still_to_come = [ImageAnnotation(error=failure("unavailable", tries=2))]
        pipeline.images.answer = lambda number: still_to_come.pop() if still_to_come else GUN
        with pytest.raises(Retryable):
            pipeline.handlers()["moderate"](moderated)
        seeing(pipeline, innocent())
        pipeline.handlers()["moderate"](replace(moderated, attempt=2))
        assert verdict_on(pipeline, asset_id).verdict.status is Status.FAIL

    def test_an_empty_budget_reduces_the_look_and_the_receipt_says_so(self, pipeline: Pipeline, bus: ListBus) -> None:
        pipeline.vision_budget = 0.0
        asset_id, notification = pipeline.upload("fight")
        run_through(pipeline, bus, notification)
        verdict = verdict_on(pipeline, asset_id).verdict
        assert pipeline.images.asked == []
        assert verdict.status is Status.FAIL
        assert "budget_exhausted" in {gap.code for gap in verdict.not_evaluated}

    def test_nothing_evaluated_is_an_error_and_no_pass(self, pipeline: Pipeline, bus: ListBus) -> None:
        seeing(pipeline, ImageAnnotation(error=failure("refused", tries=1)))
        asset_id, notification = pipeline.upload(jpeg())
        run_through(pipeline, bus, notification)
        asset = pipeline.asset(asset_id)
        assert verdict_on(pipeline, asset_id).verdict.status is Status.ERROR
        assert asset.quarantine is None
        assert ledger(asset, Stage.ESCALATE).state is StageState.DONE

    def test_a_worker_that_lost_its_commit_asks_nobody_again(self, pipeline: Pipeline, bus: ListBus) -> None:
        asset_id, notification = pipeline.upload("calm")
        moderated = moderate_message(pipeline, bus, notification)
        racing = RacingImages(pipeline, asset_id)
        pipeline.images.answer = racing
        pipeline.handlers()["moderate"](moderated)
        assert len(pipeline.images.asked) == 1
        assert pipeline.asset(asset_id).metadata == {"written": "meanwhile"}
        assert verdict_on(pipeline, asset_id).verdict.status is Status.PASS

    def test_strictness_that_comes_while_the_witnesses_look_counts(self, pipeline: Pipeline, bus: ListBus) -> None:
        asset_id, notification = pipeline.upload("scuffle")
        moderated = moderate_message(pipeline, bus, notification)

        def look(number: int) -> ImageAnnotation:
            analyze.request_analysis(asset_id, analyze_deps(pipeline, bus), strict_mode=True)
            return innocent()

        pipeline.images.answer = look
        pipeline.handlers()["moderate"](moderated)
        assert verdict_on(pipeline, asset_id).verdict.profile == "strict"


class StrictWhileStarting(ScriptedVideo):
    """A client asks for strict moderation while the operation is started."""

    def __init__(self, pipeline: Pipeline, bus: ListBus, asset_id: str) -> None:
        super().__init__()
        self._ask = partial(analyze.request_analysis, asset_id, analyze_deps(pipeline, bus), strict_mode=True)

    def start(self, object_name: str, output_name: str) -> str:
        """As always, with the client's order in between."""
        self._ask()
        return super().start(object_name, output_name)


class RacingImages:
    """An answer during which somebody else writes to the asset, once."""

    def __init__(self, pipeline: Pipeline, asset_id: str) -> None:
        self._pipeline, self._asset_id, self._done = pipeline, asset_id, False

    def __call__(self, number: int) -> ImageAnnotation:

        if not self._done:
            self._done = True
            self._pipeline.documents.commit([Update("assets", self._asset_id, {"metadata": {"written": "meanwhile"}})])
        return innocent()


def moderate_message(pipeline: Pipeline, bus: ListBus, notification: Delivery) -> Delivery:
    """An upload has passed detect; the message that moderate waits for."""
    pipeline.handlers()["ingest"](notification)
    pipeline.handlers()["detect"](delivery_of(bus.of_topic("media-uploaded")[-1]))
    return delivery_of(bus.of_topic("media-detected")[-1])


def analyze_deps(pipeline: Pipeline, bus: ListBus) -> analyze.Deps:
    return analyze.Deps(pipeline.documents, pipeline.media, bus, pipeline.clock, BUCKET)


def order(pipeline: Pipeline, bus: ListBus, asset_id: str, stage: str) -> str:
    """An operator orders a replay, and it is carried out, with all that follows from it."""
    seen = len(bus.messages)
    replay = replays.request(replays.Request(asset_id, stage, "Ada"), pipeline.replay_deps())
    while len(bus.messages) > seen:
        news, seen = bus.messages[seen:], len(bus.messages)
        deliver(pipeline, news)
    return replay.id


class TestStillPictures:
    def test_a_picture_passes_the_pipeline_and_is_looked_at(self, pipeline: Pipeline, bus: ListBus) -> None:
        asset_id, notification = pipeline.upload(jpeg())
        run_through(pipeline, bus, notification)
        asset = pipeline.asset(asset_id)
        assert asset.facts is not None
        assert (asset.facts.container, asset.facts.duration, asset.facts.frame_rate) == ("jpeg", 0.0, 0.0)
        states = {stage.value: ledger(asset, stage).error_code for stage in Stage}
        assert states == {
            "ingest": None,
            "detect": "still_image",
            "context": "still_image",
            "correlate": None,
            "moderate": None,
            "annotate": "still_image",
            "escalate": None,
        }
        assert asset_state(asset.stages) is AssetState.DONE
        assert asset.complete
        assert pipeline.images.asked == [(1, PROFILES.standard.image_features)]

    def test_a_flagged_picture_opens_an_incident(self, pipeline: Pipeline, bus: ListBus) -> None:
        seeing(pipeline, replace(innocent(), objects=(Seen("Gun", 0.9),)))
        asset_id, notification = pipeline.upload(jpeg())
        run_through(pipeline, bus, notification)
        assert len(pipeline.asset(asset_id).incident_ids) == 1

    def test_the_same_picture_again_takes_over_the_verdict(self, pipeline: Pipeline, bus: ListBus) -> None:
        first, notification = pipeline.upload(jpeg(77))
        run_through(pipeline, bus, notification)
        second, again = pipeline.upload(jpeg(77))
        run_through(pipeline, bus, again)
        assert len(pipeline.images.asked) == 1
        assert verdict_on(pipeline, second).reused_from == first
        assert ledger(pipeline.asset(second), Stage.MODERATE).reused_from == first
        assert verdict_on(pipeline, second).verdict == verdict_on(pipeline, first).verdict

    def test_a_broken_picture_fails_and_says_so(self, pipeline: Pipeline, bus: ListBus) -> None:
        asset_id, notification = pipeline.upload(jpeg()[:100])
        run_through(pipeline, bus, notification)
        assert ledger(pipeline.asset(asset_id), Stage.INGEST).error_code == "damaged_picture"

    def test_a_picture_over_10_mb_fails_without_being_decoded(self, pipeline: Pipeline, bus: ListBus) -> None:
        asset_id, notification = pipeline.upload(jpeg() + bytes(10 << 20))
        run_through(pipeline, bus, notification)
        assert ledger(pipeline.asset(asset_id), Stage.INGEST).error_code == "image_too_large"

    def test_its_stages_can_be_replayed(self, pipeline: Pipeline, bus: ListBus) -> None:
        asset_id, notification = pipeline.upload(jpeg())
        run_through(pipeline, bus, notification)
        seeing(pipeline, GUN)
        for stage in ("ingest", "detect", "moderate"):
            order(pipeline, bus, asset_id, stage)
        assert verdict_on(pipeline, asset_id).verdict.status is Status.FAIL


class TestTheSameBytes:
    def test_the_verdict_is_taken_over(self, pipeline: Pipeline, bus: ListBus) -> None:
        first, notification = pipeline.upload("calm gate 5")
        run_through(pipeline, bus, notification)
        second, again = pipeline.upload("calm gate 5")
        run_through(pipeline, bus, again)
        assert verdict_on(pipeline, second).reused_from == first
        assert ledger(pipeline.asset(second), Stage.ANNOTATE).error_code == "reused"
        assert len(pipeline.images.asked) == 1

    @pytest.mark.parametrize("change", ["other_profile", "gap", "detector"])
    def test_not_where_it_would_be_another_now(self, change: str, pipeline: Pipeline, bus: ListBus) -> None:
        if change == "gap":
            seeing(pipeline, ImageAnnotation(error=failure("budget_exhausted", tries=1)))
        _, notification = pipeline.upload("calm gate 6")
        run_through(pipeline, bus, notification)
        if change == "other_profile":
            pipeline.profiles = replace(PROFILES, standard=replace(PROFILES.standard, version="another"))
        if change == "detector":
            pipeline.detector = type(pipeline.detector)("word-detector-2")
        second, again = pipeline.upload("calm gate 6")
        run_through(pipeline, bus, again)
        assert verdict_on(pipeline, second).reused_from is None
        assert len(pipeline.images.asked) == 2


class TestInDoubt:
    def test_without_anybody_to_ask_the_frames_decide_and_the_receipt_says_so(
        self, pipeline: Pipeline, bus: ListBus
    ) -> None:
        always_full(pipeline)
        pipeline.video = None
        asset_id, notification = pipeline.upload("calm")
        run_through(pipeline, bus, notification)
        assert verdict_on(pipeline, asset_id).final
        assert ledger(pipeline.asset(asset_id), Stage.ANNOTATE).error_code == "not_configured"
        assert "not_configured" in {gap.code for gap in verdict_on(pipeline, asset_id).verdict.not_evaluated}

    def test_a_client_may_ask_for_the_whole_video_before_and_after(self, pipeline: Pipeline, bus: ListBus) -> None:
        video = whole_video(pipeline)
        asset_id, notification = pipeline.upload("calm")
        moderated = moderate_message(pipeline, bus, notification)
        analyze.request_analysis(asset_id, analyze_deps(pipeline, bus), strict_mode=False, full_look=True)
        pipeline.handlers()["moderate"](moderated)
        assert len(video.started) == 1
        other, again = pipeline.upload("calm")
        run_through(pipeline, bus, again)
        assert len(video.started) == 1
        seen = len(bus.messages)
        for _ in range(2):
            analyze.request_analysis(other, analyze_deps(pipeline, bus), strict_mode=False, full_look=True)
        deliver(pipeline, bus.messages[seen:])
        assert len(video.started) == 2
        assert verdict_on(pipeline, other).full_look

    def test_doubt_asks_for_the_whole_video_and_nobody_waits(self, pipeline: Pipeline, bus: ListBus) -> None:
        video = whole_video(pipeline)
        seeing(pipeline, DOUBTFUL)
        asset_id, notification = pipeline.upload("calm")
        run_through(pipeline, bus, notification)
        asset = pipeline.asset(asset_id)
        assert video.started == [(asset.object_name, annotation_name(asset_id, FIRST_LOOK))]
        assert (verdict_on(pipeline, asset_id).final, asset.provisional) == (False, True)
        assert bus.of_topic("media-moderated") == []
        annotating = ledger(asset, Stage.ANNOTATE)
        assert (annotating.state, annotating.version) == (StageState.RUNNING, "scripted-video-1")
        assert annotating.cost_usd == pytest.approx(0.35)  # a minute begun
        assert asset_state(asset.stages) is AssetState.PROCESSING

    def test_its_result_makes_the_verdict_final(self, pipeline: Pipeline, bus: ListBus) -> None:
        always_full(pipeline)
        asset_id, notification = pipeline.upload("calm")
        run_through(pipeline, bus, notification)
        pipeline.handlers()["annotate"](result(pipeline, annotation_name(asset_id, FIRST_LOOK), explicit()))
        moderation = verdict_on(pipeline, asset_id)
        assert (moderation.verdict.status, moderation.final) == (Status.FAIL, True)
        (adult,) = [each for each in moderation.verdict.findings if each.counted]
        assert (adult.part, adult.witness, adult.place.start) == (Part.ADULT, "scripted-video-1", 4.0)
        deliver(pipeline, bus.of_topic("media-moderated"))
        asset = pipeline.asset(asset_id)
        assert asset_state(asset.stages) is AssetState.DONE
        assert asset.complete
        assert ledger(asset, Stage.ANNOTATE).cost_usd == pytest.approx(0.35)
        assert not asset.provisional

    def test_its_texts_are_judged_like_all_texts(self, pipeline: Pipeline, bus: ListBus) -> None:
        always_full(pipeline)
        pipeline.texts.said = TextAnnotation(categories=(Seen("Toxic", 0.95),), sentiment=-0.9, language="en")
        asset_id, notification = pipeline.upload("calm")
        run_through(pipeline, bus, notification)
        text = {"name": "I will kill you tonight", "confidence": 0.9, "start": 1.0, "end": 2.0}
        found = replace(clean(), texts=(text,))  # type: ignore[arg-type] # as the JSON has it
        pipeline.handlers()["annotate"](result(pipeline, annotation_name(asset_id, FIRST_LOOK), found))
        verdict = verdict_on(pipeline, asset_id).verdict
        assert verdict.status is Status.FAIL
        assert pipeline.texts.asked == ["I will kill you tonight"]
        assert verdict_on(pipeline, asset_id).incident is not None

    def test_texts_of_a_part_of_the_video_leave_the_rest_unread(self, pipeline: Pipeline, bus: ListBus) -> None:
        always_full(pipeline)
        seeing(pipeline, replace(innocent(), text=None))
        asset_id, notification = pipeline.upload("calm")
        run_through(pipeline, bus, notification)
        found = replace(clean(), problems={"texts": "Only a part of the video."})
        pipeline.handlers()["annotate"](result(pipeline, annotation_name(asset_id, FIRST_LOOK), found))
        assert Part.PATTERNS in {gap.part for gap in verdict_on(pipeline, asset_id).verdict.not_evaluated}

    def test_strictness_that_comes_while_it_is_started_starts_no_second_one(
        self, pipeline: Pipeline, bus: ListBus
    ) -> None:
        asset_id, notification = pipeline.upload("calm")
        moderated = moderate_message(pipeline, bus, notification)
        seeing(pipeline, DOUBTFUL)
        pipeline.video = video = StrictWhileStarting(pipeline, bus, asset_id)
        pipeline.handlers()["moderate"](moderated)
        assert len(video.started) == 1
        moderation = verdict_on(pipeline, asset_id)
        assert (moderation.strict, moderation.operation and moderation.operation.name) == (True, "operation-1")

    def test_a_result_that_is_heard_of_twice_is_read_once(self, pipeline: Pipeline, bus: ListBus) -> None:
        always_full(pipeline)
        asset_id, notification = pipeline.upload("calm")
        run_through(pipeline, bus, notification)
        name = annotation_name(asset_id, FIRST_LOOK)
        for _ in range(2):  # two runs of the operation, each of which writes the object
            news = result(pipeline, name, clean())
            pipeline.handlers()["annotate"](news)
            pipeline.handlers()["annotate"](replace(news, message_id="again"))
        assert len(bus.of_topic("media-moderated")) == 1
        assert ledger(pipeline.asset(asset_id), Stage.ANNOTATE).attempts == 1

    def test_a_result_that_comes_before_its_verdict_comes_again(self, pipeline: Pipeline, bus: ListBus) -> None:
        always_full(pipeline)
        asset_id, notification = pipeline.upload("calm")
        moderated = moderate_message(pipeline, bus, notification)
        news = result(pipeline, annotation_name(asset_id, FIRST_LOOK), clean())
        with pytest.raises(Retryable):
            pipeline.handlers()["annotate"](news)
        pipeline.handlers()["moderate"](moderated)
        pipeline.handlers()["annotate"](news)
        assert verdict_on(pipeline, asset_id).final

    @pytest.mark.parametrize(
        "name",
        [
            "annotations/nothing.json",
            "annotations/../media/x.json",
            annotation_name("00000000-0000-4000-8000-000000000000", FIRST_LOOK),
            annotation_name("00000000-0000-4000-8000-000000000000", "00000000-0000-4000-8000-000000000001"),
        ],
    )
    def test_an_object_that_nobody_waits_for_is_passed_by(self, name: str, pipeline: Pipeline) -> None:
        resource = {"bucket": RESULTS_BUCKET, "name": name, "generation": "1"}
        pipeline.handlers()["annotate"](Delivery("m", json.dumps(resource).encode(), {"eventType": "OBJECT_FINALIZE"}))
        assert pipeline.documents.count(Query("work")) == 0

    def test_other_news_of_the_bucket_is_passed_by(self, pipeline: Pipeline) -> None:
        pipeline.handlers()["annotate"](Delivery("m", b"{}", {"eventType": "OBJECT_DELETE"}))
        assert pipeline.documents.count(Query("rejected_messages")) == 0

    def test_a_broken_result_leaves_the_verdict_of_the_frames(self, pipeline: Pipeline, bus: ListBus) -> None:
        always_full(pipeline)
        asset_id, notification = pipeline.upload("calm")
        run_through(pipeline, bus, notification)
        pipeline.handlers()["annotate"](pipeline.drop(annotation_name(asset_id, FIRST_LOOK), "no JSON"))
        asset = pipeline.asset(asset_id)
        assert (ledger(asset, Stage.ANNOTATE).state, ledger(asset, Stage.ANNOTATE).error_code) == (
            StageState.FAILED,
            "not_a_result",
        )
        assert (verdict_on(pipeline, asset_id).final, asset.provisional) == (True, False)
        deliver(pipeline, bus.of_topic("media-moderated"))
        assert asset_state(pipeline.asset(asset_id).stages) is AssetState.DONE

    def test_a_result_that_cannot_be_read_is_given_up_at_last(
        self, pipeline: Pipeline, bus: ListBus, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        video = always_full(pipeline)
        asset_id, notification = pipeline.upload("calm")
        run_through(pipeline, bus, notification)
        news = result(pipeline, annotation_name(asset_id, FIRST_LOOK), clean())
        monkeypatch.setattr(video, "read", raising(Retryable("the bucket is away")))
        for attempt in range(1, 5):
            with pytest.raises(Retryable):
                pipeline.handlers()["annotate"](replace(news, attempt=attempt))
        pipeline.handlers()["annotate"](replace(news, attempt=5))
        assert verdict_on(pipeline, asset_id).final
        assert ledger(pipeline.asset(asset_id), Stage.ANNOTATE).error_code == "retries_exhausted"
        assert len(bus.of_topic("media-moderated")) == 1

    def test_the_budget_refuses_and_the_receipt_says_so(self, pipeline: Pipeline, bus: ListBus) -> None:
        video = always_full(pipeline)
        pipeline.video_budget = 0.5
        first, one = pipeline.upload("calm")
        run_through(pipeline, bus, one)
        second, other = pipeline.upload("calm yard 3")
        run_through(pipeline, bus, other)
        assert len(video.started) == 1
        assert not verdict_on(pipeline, first).final
        assert verdict_on(pipeline, second).final
        assert ledger(pipeline.asset(second), Stage.ANNOTATE).error_code == "budget_exhausted"
        assert "budget_exhausted" in {gap.code for gap in verdict_on(pipeline, second).verdict.not_evaluated}

    def test_a_start_that_fails_is_tried_again_without_another_look(self, pipeline: Pipeline, bus: ListBus) -> None:
        video = always_full(pipeline)
        video.failing = AnalyserFailed("quota_exceeded", "Three videos at a time.", tries=AnalyserFailed.PATIENT)
        asset_id, notification = pipeline.upload("calm")
        moderated = moderate_message(pipeline, bus, notification)
        with pytest.raises(Retryable):
            pipeline.handlers()["moderate"](moderated)
        video.failing = None
        pipeline.handlers()["moderate"](replace(moderated, attempt=2))
        assert (len(pipeline.images.asked), len(video.started)) == (1, 1)
        assert not verdict_on(pipeline, asset_id).final

    def test_a_start_that_is_refused_leaves_the_frames(self, pipeline: Pipeline, bus: ListBus) -> None:
        video = always_full(pipeline)
        video.failing = AnalyserFailed("not_permitted", "It may not be asked.", tries=1)
        pipeline.video_budget = 0.35
        asset_id, notification = pipeline.upload("calm")
        run_through(pipeline, bus, notification)
        assert ledger(pipeline.asset(asset_id), Stage.ANNOTATE).error_code == "not_permitted"
        assert verdict_on(pipeline, asset_id).final
        video.failing = None  # what was reserved was given back
        other, again = pipeline.upload("calm yard 4")
        run_through(pipeline, bus, again)
        assert not verdict_on(pipeline, other).final

    def test_a_worker_killed_after_the_start_starts_no_second_one_once_it_is_noted(
        self, pipeline: Pipeline, bus: ListBus
    ) -> None:
        video = always_full(pipeline)
        asset_id, notification = pipeline.upload("calm")
        moderated = moderate_message(pipeline, bus, notification)
        pipeline.handlers()["moderate"](moderated)
        look = evidence.find(pipeline.documents, asset_id, FIRST_LOOK)
        assert look is not None
        assert look.operation is not None
        # As if the commit had not happened: the claim runs out, and another worker begins again.
        forget_verdict(pipeline, asset_id)
        pipeline.handlers()["moderate"](replace(moderated, message_id="redelivered"))
        assert len(video.started) == 1
        assert verdict_on(pipeline, asset_id).operation == look.operation


def forget_verdict(pipeline: Pipeline, asset_id: str) -> None:

    for document in pipeline.documents.query(Query("work")).documents:
        if document.data.get("request", {}).get("stage") == "moderate":
            pipeline.documents.commit([Delete("work", document.id)])
    pipeline.documents.commit([Update("assets", asset_id, {"moderation": None, "provisional": False})])


def raising(error: Exception) -> Callable[..., None]:
    def fail(*_: object) -> None:
        raise error

    return fail


class TestReplays:
    def test_a_replay_shows_the_old_and_the_new_verdict(self, pipeline: Pipeline, bus: ListBus) -> None:
        asset_id, notification = pipeline.upload("calm")
        run_through(pipeline, bus, notification)
        seeing(pipeline, GUN)
        replay_id = order(pipeline, bus, asset_id, "moderate")

        replay = stored.get(pipeline.documents, asset_id, replay_id)
        assert replay.old.moderation is not None
        assert replay.new is not None
        assert replay.new.moderation is not None
        assert (replay.old.moderation.status, replay.new.moderation.status) == ("PASS", "FAIL")
        assert len(bus.of_topic("media-moderated")) == 1  # what is tried on old footage is not announced
        assert pipeline.asset(asset_id).incident_ids == ()

    def test_a_replay_in_doubt_waits_for_its_own_look(self, pipeline: Pipeline, bus: ListBus) -> None:
        asset_id, notification = pipeline.upload("calm")
        run_through(pipeline, bus, notification)
        video = always_full(pipeline)
        replay_id = order(pipeline, bus, asset_id, "moderate")
        name = annotation_name(asset_id, replay_id)
        assert [output for _, output in video.started] == [name]
        asset = pipeline.asset(asset_id)
        assert (asset.provisional, asset.complete) == (True, False)
        pipeline.handlers()["annotate"](result(pipeline, annotation_name(asset_id, FIRST_LOOK), explicit()))
        assert not verdict_on(pipeline, asset_id).final  # that look was never asked for
        pipeline.handlers()["annotate"](result(pipeline, name, explicit()))
        assert verdict_on(pipeline, asset_id).verdict.status is Status.FAIL
        deliver(pipeline, bus.of_topic("media-moderated"))
        assert pipeline.asset(asset_id).complete

    def test_annotate_can_be_replayed_on_the_stored_result(self, pipeline: Pipeline, bus: ListBus) -> None:
        always_full(pipeline)
        asset_id, notification = pipeline.upload("calm")
        run_through(pipeline, bus, notification)
        name = annotation_name(asset_id, FIRST_LOOK)
        pipeline.handlers()["annotate"](pipeline.drop(name, "no JSON"))
        deliver(pipeline, bus.of_topic("media-moderated"))
        result(pipeline, name, explicit())
        order(pipeline, bus, asset_id, "annotate")
        assert verdict_on(pipeline, asset_id).verdict.status is Status.FAIL
        assert ledger(pipeline.asset(asset_id), Stage.ANNOTATE).state is StageState.DONE

    def test_a_verdict_without_a_second_look_has_no_result_to_replay(self, pipeline: Pipeline, bus: ListBus) -> None:
        asset_id, notification = pipeline.upload("calm")
        run_through(pipeline, bus, notification)
        with pytest.raises(Exception, match="no_input"):
            order(pipeline, bus, asset_id, "annotate")

    def test_strict_mode_after_the_verdict_orders_one_replay(self, pipeline: Pipeline, bus: ListBus) -> None:
        asset_id, notification = pipeline.upload("scuffle")
        run_through(pipeline, bus, notification)
        assert verdict_on(pipeline, asset_id).verdict.status is Status.PASS
        deps, seen = analyze_deps(pipeline, bus), len(bus.messages)
        for _ in range(3):
            analyze.request_analysis(asset_id, deps, strict_mode=True)
        assert pipeline.documents.count(Query("replays")) == 1
        deliver(pipeline, bus.messages[seen:])
        moderation = verdict_on(pipeline, asset_id)
        assert (moderation.strict, moderation.verdict.status) == (True, Status.FAIL)
        analyze.request_analysis(asset_id, deps, strict_mode=True)
        assert pipeline.documents.count(Query("replays")) == 1
        analyze.request_analysis(asset_id, deps, strict_mode=False)
        assert verdict_on(pipeline, asset_id).strict  # nobody makes a verdict milder by asking
        seen = len(bus.messages)
        analyze.request_analysis(asset_id, deps, strict_mode=False, full_look=True)
        deliver(pipeline, bus.messages[seen:])
        assert (verdict_on(pipeline, asset_id).strict, verdict_on(pipeline, asset_id).full_look) == (True, True)


def test_a_profile_is_not_compared_with_itself(pipeline: Pipeline, bus: ListBus) -> None:
    pipeline.profiles = replace(PROFILES, shadow=PROFILES.standard)
    _, notification = pipeline.upload("scuffle")
    run_through(pipeline, bus, notification)
    assert shadows.since(pipeline.documents, NOON)[0] == []


def test_the_shadow_profile_is_scored_and_decides_nothing(pipeline: Pipeline, bus: ListBus) -> None:
    pipeline.profiles = replace(PROFILES, shadow=PROFILES.strict)
    asset_id, notification = pipeline.upload("scuffle")
    run_through(pipeline, bus, notification)
    ((compared,), _) = shadows.since(pipeline.documents, NOON)
    assert (compared.media_id, compared.status, compared.shadow_status, compared.flips) == (
        asset_id,
        "PASS",
        "FAIL",
        True,
    )
    assert compared.causes == ("violence: violence",)
    assert verdict_on(pipeline, asset_id).verdict.status is Status.PASS


@pytest.mark.parametrize("name", ["annotations/strange", "media/something-else.mp4"])
def test_an_object_that_is_no_result_asks_for_no_work(pipeline: Pipeline, name: str) -> None:
    assert annotate.prepare(AnnotationsFinalised(bucket=BUCKET, name=name), pipeline.annotate_deps()) is None


def test_a_replay_of_another_stage_asks_annotate_for_no_work(pipeline: Pipeline) -> None:
    order = ReplayOrder(id="1", asset_id="2", stage=Stage.DETECT)
    found = AnnotationsFinalised(bucket=BUCKET, name=annotation_name("2", FIRST_LOOK), replay=order)
    assert annotate.prepare(found, pipeline.annotate_deps()) is None


def test_what_was_never_identified_can_neither_be_detected_nor_moderated_anew() -> None:
    unknown = Asset("1", "media/1", NOON, generation=1)
    assert {stage: triggers.trigger_of(stage, unknown, BUCKET) for stage in (Stage.DETECT, Stage.MODERATE)} == {
        Stage.DETECT: None,
        Stage.MODERATE: None,
    }


def test_an_upload_that_nobody_identified_is_not_moderated(pipeline: Pipeline, bus: ListBus) -> None:
    asset_id, notification = pipeline.upload("calm")
    handlers = pipeline.handlers()
    handlers["ingest"](notification)
    deliver(pipeline, bus.of_topic("media-uploaded"))
    pipeline.documents.commit([Update("assets", asset_id, {"facts": None})])
    deliver(pipeline, bus.of_topic("media-detected"))
    moderated = ledger(pipeline.asset(asset_id), Stage.MODERATE)
    assert (moderated.state, moderated.error_code) == (StageState.FAILED, "no_facts")


def test_a_verdict_of_the_shadow_profile_itself_is_stored_by_no_request_either(pipeline: Pipeline) -> None:
    seen = Evidence(MediaKind.IMAGE, coverage={Part.OBJECTS: 1.0})
    store = caching.Deps(pipeline.documents, pipeline.clock, timedelta(hours=1))
    for shadow in (PROFILES.standard, PROFILES.strict):
        shadowing.record("m", seen, judge(seen, PROFILES.standard), shadow, store)
    assert [each.shadow.split()[0] for each in shadows.since(pipeline.documents, NOON)[0]] == ["strict"]
