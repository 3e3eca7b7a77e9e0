"""Nothing waits for ever: operations that fail, get lost or take too long, and files on their way into quarantine."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from shared.domain.assets import Asset
from shared.domain.incidents import IncidentStatus
from shared.domain.moderation.moderated import (
    FIRST_LOOK,
    QuarantineState,
    annotation_name,
    quarantine_name_of,
    released_name_of,
)
from shared.domain.moderation.operations import LONGEST_OPERATION
from shared.domain.moderation.receipts import Status
from shared.domain.stages import AssetState, Stage, StageRecord, StageState, asset_state
from shared.errors import AnalyserFailed, NotReady, Retryable
from shared.handlers import maintain, replays
from shared.ports import Document, OperationState, Query, Update, Write
from shared.repositories import assets, evidence
from shared.repositories import replays as stored
from tests.fakes import Killed, Mortal
from tests.handlers.pipeline import GRACE, ListBus, Pipeline, deliver, delivery_of, ledger, run_through
from tests.handlers.scripted_witnesses import SAFE, innocent, jpeg
from tests.handlers.test_moderate import (
    GUN,
    always_full,
    clean,
    explicit,
    order,
    result,
    seeing,
    verdict_on,
)

LONG = GRACE.total_seconds() + 1


def waiting_upload(pipeline: Pipeline, bus: ListBus, word: str = "calm") -> str:
    """An upload whose verdict waits for Video Intelligence."""
    always_full(pipeline)
    asset_id, notification = pipeline.upload(word)
    run_through(pipeline, bus, notification)
    assert pipeline.asset(asset_id).provisional
    return asset_id


def sweep(pipeline: Pipeline, seconds: float = LONG) -> dict[str, int]:
    pipeline.clock.advance(seconds)
    return dict(maintain.sweep(pipeline.maintain_deps()))


def stands(pipeline: Pipeline, state: OperationState) -> None:
    assert pipeline.video is not None
    pipeline.video.states = dict.fromkeys(pipeline.video.states, state)


class TestOperations:
    def test_one_that_runs_is_left_alone_and_its_progress_shown(self, pipeline: Pipeline, bus: ListBus) -> None:
        asset_id = waiting_upload(pipeline, bus)
        before = len(bus.messages)
        for _ in range(5):
            assert sweep(pipeline, 600) == {}
        assert len(bus.messages) == before  # the stage did not lose its message
        assert ledger(pipeline.asset(asset_id), Stage.ANNOTATE).progress == 0.5

    @pytest.mark.parametrize(
        ("state", "code"),
        [
            (OperationState.FAILED, "operation_failed"),
            (OperationState.LOST, "operation_lost"),
            (OperationState.SUCCEEDED, "no_result"),
        ],
    )
    def test_one_that_ended_without_a_result_leaves_the_frames(
        self, state: OperationState, code: str, pipeline: Pipeline, bus: ListBus
    ) -> None:
        asset_id = waiting_upload(pipeline, bus)
        stands(pipeline, state)
        assert sweep(pipeline) == {code: 1}
        asset = pipeline.asset(asset_id)
        assert (verdict_on(pipeline, asset_id).final, asset.provisional) == (True, False)
        record = ledger(asset, Stage.ANNOTATE)
        assert (record.state, record.error_code) == (StageState.FAILED, code)
        assert len(bus.of_topic("media-moderated")) == 1
        deliver(pipeline, bus.of_topic("media-moderated"))
        assert asset_state(pipeline.asset(asset_id).stages) is AssetState.DONE
        assert sweep(pipeline) == {}

    def test_one_that_takes_too_long_is_cancelled(self, pipeline: Pipeline, bus: ListBus) -> None:
        asset_id = waiting_upload(pipeline, bus)
        assert pipeline.video is not None
        assert sweep(pipeline, LONGEST_OPERATION.total_seconds()) == {"operation_timed_out": 1}
        assert pipeline.video.cancelled == ["operation-1"]
        assert verdict_on(pipeline, asset_id).final

    def test_a_service_that_does_not_answer_is_asked_again_until_it_is_too_late(
        self, pipeline: Pipeline, bus: ListBus
    ) -> None:
        asset_id = waiting_upload(pipeline, bus)
        assert pipeline.video is not None
        pipeline.video.failing = AnalyserFailed("unavailable", "It is away.", tries=5)
        assert sweep(pipeline) == {}
        assert not verdict_on(pipeline, asset_id).final
        assert sweep(pipeline, LONGEST_OPERATION.total_seconds()) == {"operation_timed_out": 1}

    def test_a_result_of_which_nobody_heard_is_announced_again_once(self, pipeline: Pipeline, bus: ListBus) -> None:
        asset_id = waiting_upload(pipeline, bus)
        result(pipeline, annotation_name(asset_id, FIRST_LOOK), explicit())
        pipeline.clock.advance(400 * 24 * 3600)  # the bucket's clock is the real one
        assert sweep(pipeline)["result_unheard"] == 1
        (news,) = bus.of_topic("annotations-finalised")
        deliver(pipeline, [news])
        assert verdict_on(pipeline, asset_id).verdict.status is Status.FAIL

    def test_a_stage_whose_workers_were_lost_leaves_the_frames(self, pipeline: Pipeline, bus: ListBus) -> None:
        asset_id = waiting_upload(pipeline, bus)
        lost = replace(ledger(pipeline.asset(asset_id), Stage.ANNOTATE), state=StageState.FAILED)
        pipeline.documents.commit([assets.stage_update(asset_id, Stage.ANNOTATE, lost)])
        assert sweep(pipeline) == {"stage_ended": 1}
        assert verdict_on(pipeline, asset_id).final

    def test_two_sweepers_finalise_once(self, pipeline: Pipeline, bus: ListBus) -> None:
        asset_id = waiting_upload(pipeline, bus)
        stands(pipeline, OperationState.FAILED)
        pipeline.clock.advance(LONG)
        deps = pipeline.maintain_deps()
        cutting_in: Any = CuttingIn(pipeline.documents, lambda: maintain.sweep(deps))
        assert maintain.sweep(replace(deps, documents=cutting_in)) == {}
        assert len(bus.of_topic("media-moderated")) == 1
        assert verdict_on(pipeline, asset_id).final

    def test_a_sweeper_killed_before_it_publishes_is_finished_by_the_next(
        self, pipeline: Pipeline, bus: ListBus
    ) -> None:
        asset_id = waiting_upload(pipeline, bus)
        stands(pipeline, OperationState.FAILED)
        bus.failing_topics = {"media-moderated"}
        sweep(pipeline)
        assert verdict_on(pipeline, asset_id).final
        bus.failing_topics = set()
        assert sweep(pipeline)["published"] == 1
        deliver(pipeline, bus.of_topic("media-moderated"))
        assert ledger(pipeline.asset(asset_id), Stage.ESCALATE).attempts == 1

    def test_a_result_after_the_operation_was_given_up_still_counts(self, pipeline: Pipeline, bus: ListBus) -> None:
        """It turns PASS to FAIL, so `escalate` runs once more."""
        asset_id = waiting_upload(pipeline, bus)
        sweep(pipeline, LONGEST_OPERATION.total_seconds())
        deliver(pipeline, bus.of_topic("media-moderated"))
        assert pipeline.asset(asset_id).complete
        label = {"name": "Gun", "confidence": 0.95, "start": 1.0, "end": 2.0}
        late = replace(clean(), labels=(label,))  # type: ignore[arg-type] # as the JSON has it
        pipeline.handlers()["annotate"](result(pipeline, annotation_name(asset_id, FIRST_LOOK), late))
        assert not pipeline.asset(asset_id).complete
        deliver(pipeline, bus.of_topic("media-moderated"))
        asset = pipeline.asset(asset_id)
        assert verdict_on(pipeline, asset_id).verdict.status is Status.FAIL
        assert ledger(asset, Stage.ANNOTATE).state is StageState.DONE
        assert (len(asset.incident_ids), asset.complete) == (1, True)

    def test_a_late_result_that_is_broken_changes_nothing(self, pipeline: Pipeline, bus: ListBus) -> None:
        asset_id = waiting_upload(pipeline, bus)
        sweep(pipeline, LONGEST_OPERATION.total_seconds())
        before = verdict_on(pipeline, asset_id)
        pipeline.handlers()["annotate"](pipeline.drop(annotation_name(asset_id, FIRST_LOOK), "no JSON"))
        assert verdict_on(pipeline, asset_id) == before
        assert len(bus.of_topic("media-moderated")) == 1

    def test_a_lost_message_of_a_final_verdict_is_sent_again(self, pipeline: Pipeline, bus: ListBus) -> None:
        asset_id = waiting_upload(pipeline, bus)
        pipeline.handlers()["annotate"](result(pipeline, annotation_name(asset_id, FIRST_LOOK), clean()))
        assert sweep(pipeline) == {"message_lost": 1}
        deliver(pipeline, bus.of_topic("media-moderated")[1:])
        assert pipeline.asset(asset_id).complete

    def test_the_message_of_a_still_pictures_detection_is_made_again(self, pipeline: Pipeline, bus: ListBus) -> None:

        asset_id, notification = pipeline.upload(jpeg())
        pipeline.handlers()["ingest"](notification)
        deliver(pipeline, bus.of_topic("media-uploaded"))
        assert sweep(pipeline) == {"message_lost": 1}
        deliver(pipeline, bus.of_topic("media-detected")[1:])
        deliver(pipeline, bus.of_topic("media-moderated"))
        assert pipeline.asset(asset_id).complete


class CuttingIn:
    """A store whose first commit to an asset lets somebody else go first."""

    def __init__(self, inner: Any, other: Callable[[], object]) -> None:
        self._inner = inner
        self._other: Callable[[], object] | None = other

    def commit(self, writes: Sequence[Write]) -> None:
        if self._other is not None and any(write.collection == "assets" for write in writes):
            other, self._other = self._other, None
            other()
        self._inner.commit(writes)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


def flagged_upload(pipeline: Pipeline, bus: ListBus, word: str = "calm") -> str:
    """An upload with a gun, whose stages have all ended."""
    seeing(pipeline, GUN)
    asset_id, notification = pipeline.upload(word)
    run_through(pipeline, bus, notification)
    assert pipeline.asset(asset_id).quarantine is QuarantineState.DUE
    return asset_id


def settle(pipeline: Pipeline) -> None:
    """Sweeps until nothing is left to do."""
    for _ in range(10):
        if not sweep(pipeline):
            return
    raise AssertionError("there was always something left to sweep")


def resolve_incidents(pipeline: Pipeline, asset_id: str) -> None:
    """As an operator would."""
    (incident_id,) = pipeline.asset(asset_id).incident_ids
    pipeline.documents.commit([Update("incidents", incident_id, {"status": IncidentStatus.RESOLVED.value})])


def lies_in(pipeline: Pipeline, asset: Asset) -> bytes:
    with pipeline.media.open(asset.object_name, generation=asset.generation) as stream:
        return stream.read()


class TestQuarantine:
    def test_a_flagged_file_moves_once_every_stage_has_ended(self, pipeline: Pipeline, bus: ListBus) -> None:
        asset_id = flagged_upload(pipeline, bus)
        original = pipeline.asset(asset_id).object_name
        assert sweep(pipeline) == {"quarantine_held": 1}
        asset = pipeline.asset(asset_id)
        assert asset.object_name == quarantine_name_of(asset_id)
        assert lies_in(pipeline, asset) == b"calm"
        assert pipeline.media.stat(original) is None
        assert asset.quarantine_until == pipeline.clock.now() + timedelta(days=30)
        assert asset_state(asset.stages) is AssetState.DONE
        assert sweep(pipeline) == {}

    def test_not_while_a_stage_still_needs_the_file(self, pipeline: Pipeline, bus: ListBus) -> None:
        asset_id = flagged_upload(pipeline, bus)
        pipeline.documents.commit([assets.reopening(asset_id), assets.stage_update(asset_id, Stage.CONTEXT, RUNNING)])
        assert "quarantine_held" not in sweep(pipeline)
        assert pipeline.asset(asset_id).quarantine is QuarantineState.DUE

    def test_not_while_a_replay_is_under_way(self, pipeline: Pipeline, bus: ListBus) -> None:
        asset_id = flagged_upload(pipeline, bus)
        replays.request(replays.Request(asset_id, "detect", "Ada"), pipeline.replay_deps())
        assert "quarantine_held" not in sweep(pipeline)
        assert pipeline.asset(asset_id).quarantine is QuarantineState.DUE

    @pytest.mark.parametrize("after", [False, True])
    @pytest.mark.parametrize("number", range(1, 3))
    @pytest.mark.parametrize(("port", "changing"), [("media", ("copy", "delete")), ("documents", ("commit",))])
    def test_a_sweeper_that_dies_anywhere_is_finished_by_the_next(
        self, port: str, changing: tuple[str, ...], number: int, after: bool, pipeline: Pipeline, bus: ListBus
    ) -> None:
        asset_id = flagged_upload(pipeline, bus)
        original = pipeline.asset(asset_id).object_name
        with dying(pipeline, port, changing, number, after=after):
            settle(pipeline)
        settle(pipeline)
        asset = pipeline.asset(asset_id)
        assert (asset.quarantine, asset.object_name) == (QuarantineState.HELD, quarantine_name_of(asset_id))
        assert lies_in(pipeline, asset) == b"calm"
        assert pipeline.media.stat(original) is None
        assert asset.left_behind is None

    def test_two_sweepers_move_it_once(self, pipeline: Pipeline, bus: ListBus) -> None:
        asset_id = flagged_upload(pipeline, bus)
        pipeline.clock.advance(LONG)
        deps = pipeline.maintain_deps()
        cutting_in: Any = CuttingIn(pipeline.documents, lambda: maintain.sweep(deps))
        assert maintain.sweep(replace(deps, documents=cutting_in)) == {}
        settle(pipeline)
        assert lies_in(pipeline, pipeline.asset(asset_id)) == b"calm"

    def test_after_its_days_the_file_is_deleted_and_the_asset_says_so(self, pipeline: Pipeline, bus: ListBus) -> None:
        asset_id = flagged_upload(pipeline, bus)
        settle(pipeline)
        resolve_incidents(pipeline, asset_id)
        assert sweep(pipeline, 29 * 24 * 3600) == {}
        assert sweep(pipeline, 2 * 24 * 3600) == {"quarantine_expired": 1}
        asset = pipeline.asset(asset_id)
        assert asset.quarantine is QuarantineState.DELETED
        assert pipeline.media.stat(asset.object_name) is None
        assert list(pipeline.media.list(f"analysis/{asset_id}/")) == []
        assert evidence.find(pipeline.documents, asset_id, FIRST_LOOK) is None
        assert verdict_on(pipeline, asset_id).verdict.status is Status.FAIL
        with pytest.raises(NotReady, match="no_upload"):
            replays.request(replays.Request(asset_id, "moderate", "Ada"), pipeline.replay_deps())

    def test_not_while_an_incident_that_rests_on_it_is_open(self, pipeline: Pipeline, bus: ListBus) -> None:
        asset_id = flagged_upload(pipeline, bus)
        settle(pipeline)
        assert sweep(pipeline, 31 * 24 * 3600) == {}
        assert lies_in(pipeline, pipeline.asset(asset_id)) == b"calm"
        resolve_incidents(pipeline, asset_id)
        assert sweep(pipeline) == {"quarantine_expired": 1}

    def test_stages_can_be_replayed_on_a_file_that_is_held(self, pipeline: Pipeline, bus: ListBus) -> None:
        asset_id = flagged_upload(pipeline, bus)
        settle(pipeline)
        for stage in ("ingest", "detect", "moderate"):
            replay_id = order(pipeline, bus, asset_id, stage)
            assert replay_record(pipeline, asset_id, replay_id).state is StageState.DONE, stage
        settle(pipeline)
        assert pipeline.asset(asset_id).object_name == quarantine_name_of(asset_id)

    def test_a_replay_that_looks_at_the_whole_video_opens_no_incident(self, pipeline: Pipeline, bus: ListBus) -> None:
        seeing(pipeline, replace(innocent(), safe_search={**SAFE, "adult": "VERY_LIKELY"}))
        asset_id, notification = pipeline.upload("calm")
        run_through(pipeline, bus, notification)
        settle(pipeline)
        always_full(pipeline)
        replay_id = order(pipeline, bus, asset_id, "moderate")
        told = len(bus.of_topic("media-moderated"))
        gun = {"name": "Gun", "confidence": 0.9, "start": 0.0, "end": 1.0}
        found = replace(clean(), labels=(gun,))  # type: ignore[arg-type] # as the JSON has it
        pipeline.handlers()["annotate"](result(pipeline, annotation_name(asset_id, replay_id), found))
        assert verdict_on(pipeline, asset_id).incident is not None
        deliver(pipeline, bus.of_topic("media-moderated")[told:])
        assert pipeline.asset(asset_id).incident_ids == ()
        assert pipeline.asset(asset_id).complete

    def test_a_replay_that_gives_pass_releases_it_and_another_fail_takes_it_back(
        self, pipeline: Pipeline, bus: ListBus
    ) -> None:
        asset_id = flagged_upload(pipeline, bus)
        settle(pipeline)
        seeing(pipeline, innocent())
        order(pipeline, bus, asset_id, "moderate")
        settle(pipeline)
        asset = pipeline.asset(asset_id)
        assert (asset.quarantine, asset.object_name) == (QuarantineState.RELEASED, released_name_of(asset_id))
        assert lies_in(pipeline, asset) == b"calm"
        assert pipeline.media.stat(quarantine_name_of(asset_id)) is None
        seeing(pipeline, GUN)
        order(pipeline, bus, asset_id, "moderate")
        settle(pipeline)
        assert lies_in(pipeline, pipeline.asset(asset_id)) == b"calm"
        assert pipeline.asset(asset_id).quarantine is QuarantineState.HELD

    def test_a_pass_before_the_move_leaves_the_file_where_it_is(self, pipeline: Pipeline, bus: ListBus) -> None:
        asset_id = flagged_upload(pipeline, bus)
        original = pipeline.asset(asset_id).object_name
        with dying(pipeline, "media", ("copy",), 1, after=True):
            sweep(pipeline)  # the copy is there, and nobody knows of it
        seeing(pipeline, innocent())
        order(pipeline, bus, asset_id, "moderate")
        settle(pipeline)
        asset = pipeline.asset(asset_id)
        assert (asset.quarantine, asset.object_name) == (None, original)
        assert lies_in(pipeline, asset) == b"calm"
        assert pipeline.media.stat(quarantine_name_of(asset_id)) is None

    def test_a_file_sent_by_the_same_url_afterwards_gets_an_asset_of_its_own(
        self, pipeline: Pipeline, bus: ListBus
    ) -> None:
        asset_id = flagged_upload(pipeline, bus)
        original = pipeline.asset(asset_id).object_name
        settle(pipeline)
        before = pipeline.asset(asset_id)
        seeing(pipeline, innocent())
        run_through(pipeline, bus, pipeline.drop(original, "fight"))
        assert pipeline.asset(asset_id) == before
        others = [each for each in all_assets(pipeline) if each.id != asset_id]
        assert [each.object_name for each in others] == [original]
        assert others[0].detection is not None

    def test_a_file_that_vanished_is_said_to_be_gone(self, pipeline: Pipeline, bus: ListBus) -> None:
        asset_id = flagged_upload(pipeline, bus)
        pipeline.media.delete(pipeline.asset(asset_id).object_name)
        assert sweep(pipeline) == {"quarantine_empty": 1}
        assert pipeline.asset(asset_id).quarantine is QuarantineState.DELETED

    def test_the_same_bytes_again_go_there_too(self, pipeline: Pipeline, bus: ListBus) -> None:
        flagged_upload(pipeline, bus, "calm gate 8")
        settle(pipeline)
        seeing(pipeline, innocent())
        again, notification = pipeline.upload("calm gate 8")
        run_through(pipeline, bus, notification)
        assert pipeline.asset(again).quarantine is QuarantineState.DUE


RUNNING = StageRecord(StageState.RUNNING, 1)


def all_assets(pipeline: Pipeline) -> list[Asset]:
    found: tuple[Document, ...] = pipeline.documents.query(Query("assets")).documents
    return [assets.asset_of(document) for document in found]


def replay_record(pipeline: Pipeline, asset_id: str, replay_id: str) -> StageRecord:

    return stored.get(pipeline.documents, asset_id, replay_id).record


@contextmanager
def dying(pipeline: Pipeline, port: str, changing: tuple[str, ...], number: int, *, after: bool) -> Iterator[None]:
    """Inside, the process dies at the `number`th change of the port; afterwards another one lives on."""
    whole = getattr(pipeline, port)
    setattr(pipeline, port, Mortal(whole, number, changing, after=after))
    try:
        yield
    except Killed:
        pass
    finally:
        setattr(pipeline, port, whole)


def test_escalate_waits_while_a_replay_has_made_the_verdict_provisional(pipeline: Pipeline, bus: ListBus) -> None:
    asset_id, notification = pipeline.upload("calm")
    handlers = pipeline.handlers()
    handlers["ingest"](notification)
    deliver(pipeline, bus.of_topic("media-uploaded"))
    deliver(pipeline, bus.of_topic("media-detected"))
    always_full(pipeline)
    replays.request(replays.Request(asset_id, "moderate", "Ada"), pipeline.replay_deps())
    pipeline.handlers()["moderate"](delivery_of(bus.of_topic("media-detected")[-1]))
    with pytest.raises(Retryable):
        deliver(pipeline, bus.of_topic("media-moderated"))
