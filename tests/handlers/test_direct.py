"""A file that is analysed at once: a finished asset, or nothing at all."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from shared.domain.assets import direct_name_of
from shared.domain.stages import AssetState, Stage, StageState, asset_state
from shared.errors import MediaUnusable, Retryable
from shared.handlers import direct
from shared.ids import new_uuid
from shared.ports import Document, Query, Write
from shared.repositories import timelines
from tests.handlers.pipeline import ListBus, Pipeline, ledger


def sent(pipeline: Pipeline, word: str, *, sensitivity: float = 0.5, filename: str | None = None) -> direct.Upload:
    asset_id = new_uuid()
    info = pipeline.media.put(direct_name_of(asset_id), word.encode(), content_type="application/octet-stream")
    return direct.Upload(asset_id, info.generation, sensitivity, filename=filename)


def everything_of(pipeline: Pipeline, asset_id: str) -> list[str]:
    listed = [*pipeline.media.list("direct/"), *pipeline.media.list("analysis/")]
    return [info.name for info in listed if asset_id in info.name]


def test_the_asset_is_as_if_it_had_passed_the_pipeline(pipeline: Pipeline, bus: ListBus) -> None:
    upload = sent(pipeline, "fight", filename="gate.mp4")
    returned = direct.analyse(upload, pipeline.direct_deps())
    asset = pipeline.asset(upload.asset_id)
    assert asset == returned
    assert asset_state(asset.stages) is AssetState.DONE
    assert (asset.object_name, asset.generation, asset.filename) == (
        f"direct/{asset.id}",
        upload.generation,
        "gate.mp4",
    )
    assert asset.facts is not None
    assert asset.detection is not None
    assert ledger(asset, Stage.DETECT).version == "word-detector-1"
    assert timelines.load(pipeline.media, asset.id).contact_sheet is True


def test_it_opens_no_incident_and_says_why(pipeline: Pipeline, bus: ListBus) -> None:
    upload = sent(pipeline, "fight")
    record = ledger(direct.analyse(upload, pipeline.direct_deps()), Stage.CORRELATE)
    assert (record.state, record.error_code) == (StageState.SKIPPED, "no_place")
    assert record.error_message == "A direct analysis names no place, so it opens no incident."
    assert bus.messages == []
    assert pipeline.documents.count(Query("incidents")) == 0


@pytest.mark.parametrize(("sensitivity", "segments"), [(0.5, 0), (0.95, 1)])
def test_what_is_stored_is_what_the_asked_sensitivity_finds(
    sensitivity: float, segments: int, pipeline: Pipeline
) -> None:
    upload = sent(pipeline, "calm", sensitivity=sensitivity)
    found = direct.analyse(upload, pipeline.direct_deps()).detection
    assert found is not None
    assert (len(found.segments), found.sensitivity) == (segments, sensitivity)
    assert timelines.load(pipeline.media, upload.asset_id).segments == found.segments


@pytest.mark.parametrize("word", ["broken", "unknown"])
def test_what_cannot_be_analysed_leaves_nothing(word: str, pipeline: Pipeline) -> None:
    upload = sent(pipeline, word)
    with pytest.raises(MediaUnusable):
        direct.analyse(upload, pipeline.direct_deps())
    assert everything_of(pipeline, upload.asset_id) == []
    assert pipeline.documents.count(Query("assets")) == 0


@pytest.mark.parametrize("filename", ["", "a\nb", "x" * 256, "\x00"])
def test_a_filename_that_cannot_be_shown_is_forgotten(filename: str, pipeline: Pipeline) -> None:
    assert direct.analyse(sent(pipeline, "calm", filename=filename), pipeline.direct_deps()).filename is None


class Contended:
    """A store whose commits end without an answer, after having happened or not."""

    def __init__(self, pipeline: Pipeline, *, happened: bool) -> None:
        self._documents = pipeline.documents
        self._happened = happened

    def commit(self, writes: Sequence[Write]) -> None:
        if self._happened:
            self._documents.commit(writes)
        raise Retryable("no answer")

    def get(self, collection: str, id: str) -> Document | None:
        return self._documents.get(collection, id)


def test_a_commit_that_happened_unseen_is_a_success(pipeline: Pipeline) -> None:
    upload, deps = sent(pipeline, "fight"), pipeline.direct_deps()
    unseen = direct.Deps(Contended(pipeline, happened=True), deps.probe, deps.scoring, deps.clock)  # type: ignore[arg-type]
    assert direct.analyse(upload, unseen) == pipeline.asset(upload.asset_id)
    assert len(everything_of(pipeline, upload.asset_id)) == 3


def test_a_commit_that_failed_leaves_nothing(pipeline: Pipeline) -> None:
    upload, deps = sent(pipeline, "fight"), pipeline.direct_deps()
    away = direct.Deps(Contended(pipeline, happened=False), deps.probe, deps.scoring, deps.clock)  # type: ignore[arg-type]
    with pytest.raises(Retryable):
        direct.analyse(upload, away)
    assert everything_of(pipeline, upload.asset_id) == []


def test_what_cannot_be_removed_does_not_hide_why(pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    def delete(*_: object, **__: object) -> None:
        raise Retryable("the bucket is away")

    upload = sent(pipeline, "broken")
    with monkeypatch.context() as away:
        away.setattr(pipeline.media, "delete", delete)
        with pytest.raises(MediaUnusable):
            direct.analyse(upload, pipeline.direct_deps())
