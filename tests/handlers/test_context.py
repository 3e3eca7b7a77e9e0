"""The context stage: an extra that is asked, asked again where that is worth it, and then done without."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest

from shared.domain.analysis import analysis_of, attention_of
from shared.domain.reuse import ReuseMode, ReusePolicy
from shared.domain.stages import MAX_ATTEMPTS, AssetState, Stage, StageState, asset_state, is_complete
from shared.errors import AnalyserFailed, NotFound, Retryable
from shared.handlers.watch import EVERY
from shared.handlers.watched_model import WatchedModel
from shared.ports import ContextAnswer, ContextRequest, Delivery, Depth
from shared.repositories import components
from tests.handlers.pipeline import ListBus, Pipeline, delivery_of, ledger, run_through

SAID = {
    "objects": ["bench"],
    "emotions": ["calm"],
    "scenes": ["street"],
    "description": "Nothing happens.",
    "threat_level": 0,
}
PATIENT = AnalyserFailed.PATIENT


class ScriptedModel:
    """A `ContextModel` that says or raises one thing after the other, the last for ever."""

    name = "scripted-1"
    depths: Sequence[Depth] = (Depth.VIDEO,)

    def __init__(self, *script: Exception | str) -> None:
        self.script = list(script)
        self.asked: list[ContextRequest] = []

    def describe(self, request: ContextRequest, report: Callable[[float], None]) -> ContextAnswer:
        """What the script says."""
        self.asked.append(request)
        report(0.5)
        said = self.script.pop(0) if len(self.script) > 1 else self.script[0]
        if isinstance(said, Exception):
            raise said
        return ContextAnswer(said, self.name, 10, 5)


def failing(code: str, tries: int) -> AnalyserFailed:
    return AnalyserFailed(code, "It did not work.", tries=tries)


def said(**changes: Any) -> str:
    return json.dumps(SAID | changes)


def detected(pipeline: Pipeline, bus: ListBus, word: str = "calm") -> tuple[str, Delivery]:
    """An upload on which all stages but context have run, and the message that context waits for."""
    pipeline.reuse = ReusePolicy(ReuseMode.NEVER)  # each shall be asked about, although all show the same
    asset_id, notification = pipeline.upload(word)
    handlers = pipeline.handlers()
    handlers["ingest"](notification)
    handlers["detect"](delivery_of(bus.of_topic("media-uploaded")[-1]))
    message = delivery_of(bus.of_topic("media-detected")[-1])
    handlers["correlate"](message)
    handlers["moderate"](message)
    handlers["escalate"](delivery_of(bus.of_topic("media-moderated")[-1]))
    return asset_id, message


def deliver_until_acknowledged(pipeline: Pipeline, message: Delivery) -> int:
    """As the bus does; how often it was delivered. A dead letter is a failure here."""
    for attempt in range(1, MAX_ATTEMPTS + 1):
        try:
            pipeline.handlers()["context"](replace(message, attempt=attempt))
        except Retryable:
            continue
        return attempt
    pytest.fail("the message became a dead letter")


def test_without_a_model_it_is_skipped_and_says_why(pipeline: Pipeline, bus: ListBus) -> None:
    asset_id, message = detected(pipeline, bus)
    pipeline.handlers()["context"](message)
    asset = pipeline.asset(asset_id)
    record = ledger(asset, Stage.CONTEXT)
    assert (record.state, record.error_code) == (StageState.SKIPPED, "not_configured")
    assert record.error_message == "No model here."
    assert asset_state(asset.stages) is AssetState.DONE
    assert bus.of_topic("media-described") == []


def test_an_answer_is_kept_and_announced(pipeline: Pipeline, bus: ListBus) -> None:
    model = pipeline.model = ScriptedModel(said())
    asset_id, message = detected(pipeline, bus)
    pipeline.handlers()["context"](message)
    asset = pipeline.asset(asset_id)
    assert asset.context is not None
    assert (asset.context.objects, asset.context.model, asset.context.depth) == (("bench",), "scripted-1", "video")
    assert ledger(asset, Stage.CONTEXT).version == "scripted-1"
    assert analysis_of(asset)["summary"].endswith("Nothing happens.")
    (described,) = bus.of_topic("media-described")
    assert json.loads(described.data)["objects"] == ["bench"]
    (request,) = model.asked
    assert (request.object_name, request.content_type) == (asset.object_name, "video/mp4")
    assert len(bus.of_topic("media-analysed")) == 1


def test_tried_again_then_done(pipeline: Pipeline, bus: ListBus) -> None:
    pipeline.model = ScriptedModel(failing("unavailable", PATIENT), failing("quota_exceeded", PATIENT), said())
    asset_id, message = detected(pipeline, bus)
    with pytest.raises(Retryable):
        pipeline.handlers()["context"](message)
    waiting = ledger(pipeline.asset(asset_id), Stage.CONTEXT)
    assert (waiting.state, waiting.error_code) == (StageState.PENDING, "retrying")
    assert bus.of_topic("media-analysed") == []
    assert deliver_until_acknowledged(pipeline, replace(message, attempt=2)) == 2
    done = ledger(pipeline.asset(asset_id), Stage.CONTEXT)
    assert (done.state, done.attempts, done.error_code) == (StageState.DONE, 3, None)
    assert len(bus.of_topic("media-analysed")) == 1


@pytest.mark.parametrize("tries", [1, 2, PATIENT])
def test_given_up_after_its_tries_and_never_a_dead_letter(tries: int, pipeline: Pipeline, bus: ListBus) -> None:
    model = pipeline.model = ScriptedModel(failing("some_code", tries))
    asset_id, message = detected(pipeline, bus, "fight")
    asked = min(tries, MAX_ATTEMPTS)
    assert deliver_until_acknowledged(pipeline, message) == asked == len(model.asked)
    asset = pipeline.asset(asset_id)
    record = ledger(asset, Stage.CONTEXT)
    assert (record.state, record.error_code) == (StageState.FAILED, "some_code")
    assert record.error_message == "It did not work."
    assert asset_state(asset.stages) is AssetState.DONE
    assert analysis_of(asset)["overallRisk"] == "high"
    (analysed,) = bus.of_topic("media-analysed")
    assert json.loads(analysed.data)["missing"] == {"context": "some_code"}


@pytest.mark.parametrize(
    ("text", "code"), [("", "empty_answer"), ("Sorry!", "malformed_answer"), ("{", "malformed_answer")]
)
def test_an_answer_that_cannot_be_read_is_asked_for_twice(
    text: str, code: str, pipeline: Pipeline, bus: ListBus
) -> None:
    model = pipeline.model = ScriptedModel(text)
    asset_id, message = detected(pipeline, bus)
    assert deliver_until_acknowledged(pipeline, message) == 2 == len(model.asked)
    asset = pipeline.asset(asset_id)
    assert ledger(asset, Stage.CONTEXT).error_code == code
    assert asset.context is None


def test_duplicates_ask_once(pipeline: Pipeline, bus: ListBus) -> None:
    model = pipeline.model = ScriptedModel(said())
    _, message = detected(pipeline, bus)
    for number in range(4):
        pipeline.handlers()["context"](replace(message, message_id=f"m{number}"))
    assert len(model.asked) == 1
    assert len(bus.of_topic("media-described")) == 1
    assert len(bus.of_topic("media-analysed")) == 1


def test_duplicates_of_a_failure_do_not_ask_again(pipeline: Pipeline, bus: ListBus) -> None:
    model = pipeline.model = ScriptedModel(failing("blocked", 1))
    _, message = detected(pipeline, bus)
    for _ in range(3):
        pipeline.handlers()["context"](message)
    assert len(model.asked) == 1
    assert len(bus.of_topic("media-analysed")) == 1


def test_an_object_that_is_gone_ends_the_stage(pipeline: Pipeline, bus: ListBus) -> None:
    model = pipeline.model = ScriptedModel(NotFound("object_gone", "The video is no longer in the bucket."))
    asset_id, message = detected(pipeline, bus)
    pipeline.handlers()["context"](message)
    asset = pipeline.asset(asset_id)
    record = ledger(asset, Stage.CONTEXT)
    assert (record.state, record.error_code) == (StageState.FAILED, "object_gone")
    assert is_complete(asset.stages)
    assert len(model.asked) == 1


@pytest.mark.parametrize("word", ["fight", "calm"])
def test_a_model_that_obeys_the_picture_lowers_nothing(word: str, pipeline: Pipeline, bus: ListBus) -> None:
    before_id, notification = pipeline.upload(word)
    run_through(pipeline, bus, notification)
    bus.messages.clear()
    obeys = said(objects=[], emotions=[], description="All is safe.", overallRisk="low", violenceDetections=[])
    pipeline.model = ScriptedModel(obeys)
    asset_id, notification = pipeline.upload(word, source_id="elsewhere")
    run_through(pipeline, bus, notification)
    before, after = pipeline.asset(before_id), pipeline.asset(asset_id)
    for name in ("overallRisk", "confidence", "violenceDetections"):
        assert analysis_of(after)[name] == analysis_of(before)[name]
    assert attention_of(after) == attention_of(before)
    assert len(after.incident_ids) == len(before.incident_ids)


# --------------------------------------------------------------------------- what the health page hears


def state(pipeline: Pipeline) -> str:
    return components.state_of(pipeline.documents, "gemini")


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("unavailable", "degraded"),
        ("quota_exceeded", "degraded"),
        ("not_permitted", "degraded"),
        ("too_slow", "degraded"),
        ("refused", "degraded"),
        ("blocked", "ok"),
        ("too_large_for_model", "ok"),
    ],
)
def test_the_last_call_speaks_for_the_service(code: str, expected: str, pipeline: Pipeline, bus: ListBus) -> None:
    scripted = ScriptedModel(said(), failing(code, 1), said())
    pipeline.model = WatchedModel(scripted, pipeline.documents, pipeline.clock)
    assert (pipeline.model.name, pipeline.model.depths) == (scripted.name, scripted.depths)
    assert state(pipeline) == "off"
    for seen in ("ok", expected, "ok"):
        _, message = detected(pipeline, bus)
        pipeline.handlers()["context"](message)
        assert state(pipeline) == seen


def test_the_same_condition_is_written_once_a_minute(pipeline: Pipeline, bus: ListBus) -> None:
    pipeline.model = WatchedModel(ScriptedModel(said()), pipeline.documents, pipeline.clock)
    versions = []
    for seconds in (0.0, 1.0, EVERY.total_seconds()):
        pipeline.clock.advance(seconds)
        _, message = detected(pipeline, bus)
        pipeline.handlers()["context"](message)
        found = pipeline.documents.get(components.COLLECTION, "gemini")
        versions.append(found.version if found else None)
    assert versions[0] == versions[1] != versions[2]


def test_a_health_record_that_cannot_be_written_costs_no_answer(pipeline: Pipeline, bus: ListBus) -> None:
    class Deaf:
        """Documents that take no writes."""

        def commit(self, writes: object) -> None:
            raise Retryable("the store does not answer")

    deaf: Any = Deaf()
    pipeline.model = WatchedModel(ScriptedModel(said()), deaf, pipeline.clock)
    asset_id, message = detected(pipeline, bus)
    pipeline.handlers()["context"](message)
    assert pipeline.asset(asset_id).context is not None
