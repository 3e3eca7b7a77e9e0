"""What a person says of a verdict is kept with the verdict it speaks of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from shared.domain.assets import direct_name_of
from shared.domain.labels import Accuracy, Label, verdict_of
from shared.errors import Conflict, Malformed, NotFound, NotReady
from shared.handlers import direct, labelling, replays
from shared.ids import new_uuid
from shared.ports import Query, Write
from shared.repositories import labels
from tests.handlers.pipeline import ListBus, Pipeline, WordDetector, delivery_of, run_through
from tests.handlers.scripted_witnesses import jpeg


def analysed(pipeline: Pipeline, bus: ListBus, word: str) -> str:
    asset_id, notification = pipeline.upload(word)
    run_through(pipeline, bus, notification)
    return asset_id


def word_on(asset_id: str, accuracy: Accuracy = Accuracy.ACCURATE, key: str | None = None) -> labelling.Feedback:
    return labelling.Feedback(asset_id, 4, accuracy, "Two boys play.", "Ada", key)


def test_a_label_keeps_what_training_will_need(pipeline: Pipeline, bus: ListBus) -> None:
    asset_id = analysed(pipeline, bus, "fight")
    given = labelling.give(word_on(asset_id, Accuracy.FALSE_POSITIVE), pipeline.labelling_deps())
    asset = pipeline.asset(asset_id)
    assert asset.detection is not None
    (kept,), _ = labels.newest(pipeline.documents, asset_id, limit=10)
    assert kept == given
    assert (kept.label, kept.accuracy, kept.rating) == (Label.CALM, Accuracy.FALSE_POSITIVE, 4)
    assert (kept.object_name, kept.generation) == (asset.object_name, asset.generation)
    assert (kept.segments, kept.peak_probability) == (asset.detection.segments, 0.9)
    assert (kept.model, kept.sensitivity) == ("word-detector-1", 0.5)
    assert (kept.created_by, kept.created_at, kept.comments) == ("Ada", pipeline.clock.now(), "Two boys play.")


def test_a_direct_analysis_is_judged_at_its_own_sensitivity(pipeline: Pipeline) -> None:
    asset_id = new_uuid()
    info = pipeline.media.put(direct_name_of(asset_id), b"scuffle", content_type="video/mp4")
    direct.analyse(direct.Upload(asset_id, info.generation, 0.2, step=4), pipeline.direct_deps())
    given = labelling.give(word_on(asset_id, Accuracy.FALSE_NEGATIVE), pipeline.labelling_deps())
    assert (given.label, given.sensitivity, given.segments) == (Label.VIOLENCE, 0.2, ())
    assert (given.look, given.step, given.reused_from) == ("", 4, None)
    assert given.object_name == direct_name_of(asset_id)


def test_the_latest_word_comes_first(pipeline: Pipeline, bus: ListBus) -> None:
    asset_id = analysed(pipeline, bus, "calm")
    given = []
    for accuracy in (Accuracy.ACCURATE, Accuracy.FALSE_NEGATIVE):
        given.append(labelling.give(word_on(asset_id, accuracy), pipeline.labelling_deps()))
        pipeline.clock.advance(1)
    assert labels.newest(pipeline.documents, asset_id, limit=10) == ([given[1], given[0]], None)
    first, cursor = labels.newest(pipeline.documents, asset_id, limit=1)
    rest, _ = labels.newest(pipeline.documents, asset_id, limit=1, cursor=cursor)
    assert first + rest == [given[1], given[0]]


def test_of_a_still_picture_the_detector_says_nothing(pipeline: Pipeline) -> None:
    asset_id, notification = pipeline.upload(jpeg())
    pipeline.handlers()["ingest"](notification)
    with pytest.raises(NotReady, match="a still picture"):
        labelling.give(word_on(asset_id), pipeline.labelling_deps())


def test_what_has_no_verdict_cannot_be_judged(pipeline: Pipeline) -> None:
    deps = pipeline.labelling_deps()
    with pytest.raises(NotFound):
        labelling.give(word_on(new_uuid()), deps)
    asset_id, notification = pipeline.upload("broken")
    with pytest.raises(NotReady, match="has not ended"):
        labelling.give(word_on(asset_id), deps)
    pipeline.handlers()["ingest"](notification)
    with pytest.raises(NotReady, match="The file is text, not a video"):
        labelling.give(word_on(asset_id), deps)


def test_a_contradiction_is_kept_nowhere(pipeline: Pipeline, bus: ListBus) -> None:
    asset_id = analysed(pipeline, bus, "fight")
    with pytest.raises(Malformed):
        labelling.give(word_on(asset_id, Accuracy.FALSE_NEGATIVE), pipeline.labelling_deps())
    with pytest.raises(Malformed):
        labelling.give(replace(word_on(asset_id), comments="x" * 2001), pipeline.labelling_deps())
    assert pipeline.documents.count(Query(labels.COLLECTION)) == 0


def test_the_same_key_gives_the_same_label_whatever_was_found_since(pipeline: Pipeline, bus: ListBus) -> None:
    asset_id = analysed(pipeline, bus, "fight")
    deps = pipeline.labelling_deps()
    given = labelling.give(word_on(asset_id, Accuracy.FALSE_POSITIVE, key="k"), deps)
    pipeline.detector = WordDetector("word-detector-2", {"fight": 0.1})
    assert labelling.give(word_on(asset_id, Accuracy.FALSE_POSITIVE, key="k"), deps) == given
    assert labelling.give(word_on(asset_id, key="another"), deps).id != given.id


def replayed(pipeline: Pipeline, bus: ListBus, asset_id: str) -> str:
    """The id of a replay of the detector that ended."""
    replay = replays.request(replays.Request(asset_id, "detect", "Ada"), pipeline.replay_deps())
    pipeline.handlers()["detect"](delivery_of(bus.of_topic("media-uploaded")[-1]))
    return replay.id


def test_a_word_on_what_was_seen_before_a_replay_makes_no_label(pipeline: Pipeline, bus: ListBus) -> None:
    asset_id = analysed(pipeline, bus, "fight")
    seen = verdict_of(pipeline.asset(asset_id))
    pipeline.detector = WordDetector("word-detector-2", {"fight": 0.1})
    replayed(pipeline, bus, asset_id)
    with pytest.raises(Conflict, match="no longer the present one"):
        labelling.give(replace(word_on(asset_id), verdict=seen), pipeline.labelling_deps())
    assert labels.newest(pipeline.documents, asset_id, limit=10) == ([], None)
    present = replace(word_on(asset_id), verdict=verdict_of(pipeline.asset(asset_id)))
    assert labelling.give(present, pipeline.labelling_deps()).label is Label.CALM
    assert labelling.give(word_on(asset_id), pipeline.labelling_deps()).label is Label.CALM


def test_a_replay_that_finds_just_the_same_replaces_no_verdict(pipeline: Pipeline, bus: ListBus) -> None:
    asset_id = analysed(pipeline, bus, "fight")
    seen = verdict_of(pipeline.asset(asset_id))
    replay_id = replayed(pipeline, bus, asset_id)
    given = labelling.give(replace(word_on(asset_id), verdict=seen), pipeline.labelling_deps())
    assert (given.look, given.step, given.verdict) == (replay_id, 1, seen)


def test_a_label_of_a_duplicate_names_the_original(pipeline: Pipeline, bus: ListBus) -> None:
    original, duplicate = analysed(pipeline, bus, "fight"), analysed(pipeline, bus, "fight")
    given = labelling.give(word_on(duplicate), pipeline.labelling_deps())
    assert (given.asset_id, given.reused_from) == (duplicate, original)


def test_a_key_is_its_persons_own(pipeline: Pipeline, bus: ListBus) -> None:
    asset_id = analysed(pipeline, bus, "fight")
    deps = pipeline.labelling_deps()
    hers = labelling.give(word_on(asset_id, Accuracy.FALSE_POSITIVE, key="k"), deps)
    his = labelling.give(replace(word_on(asset_id, key="k"), given_by="Bob"), deps)
    assert [(label.created_by, label.label) for label in (hers, his)] == [("Ada", Label.CALM), ("Bob", Label.VIOLENCE)]
    found, _ = labels.newest(pipeline.documents, asset_id, limit=10)
    assert {label.id for label in found} == {hers.id, his.id}


@pytest.mark.parametrize(
    "change", [{"rating": 5}, {"accuracy": Accuracy.ACCURATE}, {"comments": "No."}, {"verdict": "another"}]
)
def test_another_word_under_the_same_key_is_refused(pipeline: Pipeline, bus: ListBus, change: dict[str, Any]) -> None:
    asset_id = analysed(pipeline, bus, "fight")
    said, deps = word_on(asset_id, Accuracy.FALSE_POSITIVE, key="k"), pipeline.labelling_deps()
    given = labelling.give(said, deps)
    with pytest.raises(Conflict, match="Idempotency-Key"):
        labelling.give(replace(said, **change), deps)
    assert labels.newest(pipeline.documents, asset_id, limit=10) == ([given], None)


def test_what_was_given_in_time_can_be_sent_again_after_a_replay(pipeline: Pipeline, bus: ListBus) -> None:
    asset_id = analysed(pipeline, bus, "fight")
    said = replace(word_on(asset_id, key="k"), verdict=verdict_of(pipeline.asset(asset_id)))
    given = labelling.give(said, pipeline.labelling_deps())
    pipeline.detector = WordDetector("word-detector-2", {"fight": 0.1})
    replayed(pipeline, bus, asset_id)
    assert labelling.give(said, pipeline.labelling_deps()) == given


def test_the_same_request_twice_at_once_is_one_label(pipeline: Pipeline, bus: ListBus) -> None:
    asset_id = analysed(pipeline, bus, "fight")
    said, deps = word_on(asset_id, key="k"), pipeline.labelling_deps()
    commit = pipeline.documents.commit

    def race_once(writes: Sequence[Write]) -> None:
        pipeline.documents.commit = commit  # type: ignore[method-assign]
        labelling.give(said, deps)
        commit(writes)

    pipeline.documents.commit = race_once  # type: ignore[method-assign]
    given = labelling.give(said, deps)
    assert labels.newest(pipeline.documents, asset_id, limit=10) == ([given], None)
