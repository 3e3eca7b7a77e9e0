"""What stands still is found, set going again or ended, once, whoever else is at it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, BinaryIO

import pytest

from shared.adapters.embedded.blob_folder import BlobFolder
from shared.adapters.embedded.blobs import FolderBlobs
from shared.adapters.embedded.documents import SqliteDocuments
from shared.domain.alerts import AlertDelivery, AlertEvent, Channel, DeliveryState
from shared.domain.assets import Asset, direct_name_of, object_name_of
from shared.domain.stages import AssetState, Stage, StageRecord, StageState, asset_state
from shared.errors import InProgress, Retryable
from shared.handlers import direct, leftovers, maintain
from shared.handlers.objects import dropped_asset_id
from shared.ids import new_uuid
from shared.ports import BlobInfo, Delete, Delivery, DetectionRun, OutgoingMessage, Query, Set, Update, Write
from shared.repositories import assets, components, deliveries, timelines, work
from tests.fakes import ManualClock
from tests.handlers.pipeline import (
    BUCKET,
    GRACE,
    LEASE,
    PROFILES,
    SUBSCRIBERS,
    ListBus,
    Pipeline,
    WordDetector,
    delivery_of,
    ledger,
    run_through,
)
from tests.hostile import Killed

A_WHILE = (LEASE + GRACE).total_seconds()


@pytest.fixture
def media(tmp_path: Path) -> Iterator[FolderBlobs]:
    """A bucket of its own: the sweeper looks at all of it."""
    folder = BlobFolder(tmp_path / "blobs")
    yield FolderBlobs(folder, BUCKET)
    folder.close()


@pytest.fixture
def pipeline(documents: SqliteDocuments, media: FolderBlobs, bus: ListBus) -> Pipeline:
    """Objects bear the machine's time, so the clock starts there."""
    standard = replace(PROFILES.standard, quarantine=False)  # which has tests of its own
    profiles = replace(PROFILES, standard=standard)
    return Pipeline(documents, media, bus, ManualClock(datetime.now(UTC)), WordDetector(), profiles=profiles)


def sweep(pipeline: Pipeline, *cleaners: leftovers.Cleaner) -> dict[str, int]:
    """One run, a while later."""
    pipeline.clock.advance(A_WHILE)
    return dict(maintain.sweep(pipeline.maintain_deps(*cleaners)))


def play(pipeline: Pipeline, bus: ListBus) -> None:
    """Delivers everything that was published and not delivered yet, until nothing is left."""
    handlers = pipeline.handlers()
    while bus.messages:
        message = bus.messages.pop(0)
        SAID.append((message.topic, json.loads(message.data)))
        for stage in SUBSCRIBERS.get(message.topic, []):
            handlers[stage](delivery_of(message))


SAID: list[tuple[str, dict[str, Any]]] = []
"""What `play` delivered."""


@pytest.fixture(autouse=True)
def _nothing_said() -> None:
    SAID.clear()


def said(topic: str) -> list[dict[str, Any]]:
    return [data for said_topic, data in SAID if said_topic == topic]


def ingested(pipeline: Pipeline, bus: ListBus, word: str = "fight") -> tuple[str, Delivery]:
    """An upload that waits for detection, and the message it waits for."""
    asset_id, notification = pipeline.upload(word)
    pipeline.handlers()["ingest"](notification)
    return asset_id, delivery_of(bus.messages.pop())


def dies(pipeline: Pipeline, message: Delivery, times: int = 1) -> None:
    """The worker's process is killed while it looks at the video, `times` times."""
    inner = pipeline.detector.detect
    pipeline.detector.detect = _killed  # type: ignore[method-assign]
    for attempt in range(1, times + 1):
        with pytest.raises(Killed):
            pipeline.handlers()["detect"](replace(message, attempt=attempt))
        pipeline.clock.advance(LEASE.total_seconds())
    pipeline.detector.detect = inner  # type: ignore[method-assign]


def _killed(*_: Any, **__: Any) -> DetectionRun:
    raise Killed


def detect_work(pipeline: Pipeline, asset_id: str) -> Any:
    documents = pipeline.documents.query(Query(work.COLLECTION)).documents
    (found,) = [d for d in documents if d.data.get("request", {}).get("stage") == "detect"]
    assert found.data["request"]["asset_id"] == asset_id
    return found


class TestWork:
    def test_of_a_dead_worker_is_asked_for_again_and_ends(self, pipeline: Pipeline, bus: ListBus) -> None:
        asset_id, message = ingested(pipeline, bus)
        dies(pipeline, message)
        assert ledger(pipeline.asset(asset_id), Stage.DETECT).state is StageState.RUNNING
        assert sweep(pipeline) == {"worker_silent": 1}
        record = ledger(pipeline.asset(asset_id), Stage.DETECT)
        assert (record.state, record.attempts, record.error_code) == (StageState.PENDING, 1, "retrying")
        (again,) = bus.messages
        assert (again.topic, again.data, again.attributes) == ("media-uploaded", message.data, message.attributes)
        play(pipeline, bus)
        assert asset_state(pipeline.asset(asset_id).stages) is AssetState.DONE
        assert ledger(pipeline.asset(asset_id), Stage.DETECT).attempts == 2
        assert [data["state"] for data in said("media-analysed")] == ["done"]
        assert sweep(pipeline) == {}

    def test_whose_workers_were_killed_five_times_fails_and_a_replayed_dead_letter_mends_it(
        self, pipeline: Pipeline, bus: ListBus
    ) -> None:
        asset_id, message = ingested(pipeline, bus)
        dies(pipeline, message, times=5)
        assert sweep(pipeline) == {"worker_lost": 1}
        record = ledger(pipeline.asset(asset_id), Stage.DETECT)
        assert (record.state, record.error_code, record.attempts) == (StageState.FAILED, "worker_lost", 5)
        assert record.error_message == "The worker was lost 5 times while it was at this stage."
        assert record.ended is not None
        play(pipeline, bus)
        assert [(data["state"], data["missing"]["detect"]) for data in said("media-analysed")] == [
            ("failed", "worker_lost")
        ]
        assert sweep(pipeline) == {}
        pipeline.handlers()["detect"](replace(message, message_id="replayed"))
        play(pipeline, bus)
        assert asset_state(pipeline.asset(asset_id).stages) is AssetState.DONE

    def test_of_a_live_worker_is_left_alone(self, pipeline: Pipeline, bus: ListBus) -> None:
        asset_id, message = ingested(pipeline, bus)

        def swept_meanwhile(stream: BinaryIO, **options: Any) -> DetectionRun:
            pipeline.detector.detect = inner  # type: ignore[method-assign]
            pipeline.clock.advance(GRACE.total_seconds())  # as long as the grace, but the lease was renewed just now
            held = detect_work(pipeline, asset_id)
            renewed = {"lease_until": pipeline.clock.now() + LEASE}
            pipeline.documents.commit([Update(work.COLLECTION, held.id, renewed)])
            assert maintain.sweep(pipeline.maintain_deps()) == {}
            return inner(stream, **options)

        inner = pipeline.detector.detect
        pipeline.detector.detect = swept_meanwhile  # type: ignore[method-assign]
        pipeline.handlers()["detect"](message)
        assert len(bus.of_topic("media-detected")) == 1
        assert pipeline.detector.calls == 1

    @pytest.mark.parametrize("lost", [1, 5])
    def test_of_a_worker_that_comes_back_late_is_not_done_twice(
        self, lost: int, pipeline: Pipeline, bus: ListBus
    ) -> None:
        asset_id, message = ingested(pipeline, bus)
        dies(pipeline, message, times=lost - 1)

        def falls_asleep(stream: BinaryIO, **options: Any) -> DetectionRun:
            pipeline.detector.detect = inner  # type: ignore[method-assign]
            assert sweep(pipeline) == {"worker_silent" if lost < 5 else "worker_lost": 1}
            return inner(stream, **options)

        inner = pipeline.detector.detect
        pipeline.detector.detect = falls_asleep  # type: ignore[method-assign]
        with pytest.raises(InProgress):
            pipeline.handlers()["detect"](message)
        assert bus.of_topic("media-detected") == []
        state = ledger(pipeline.asset(asset_id), Stage.DETECT).state
        assert state is (StageState.PENDING if lost < 5 else StageState.FAILED)
        pipeline.handlers()["detect"](replace(message, attempt=2))  # the refused delivery comes again
        play(pipeline, bus)
        assert asset_state(pipeline.asset(asset_id).stages) is AssetState.DONE
        assert len({data["asset_id"] for data in said("media-detected")}) == len(said("media-detected")) == 1
        assert pipeline.documents.count(Query("signals")) == 1

    def test_that_waits_for_a_delivery_that_never_comes_is_asked_for_again(
        self, pipeline: Pipeline, bus: ListBus
    ) -> None:
        asset_id, message = ingested(pipeline, bus)
        pipeline.detector.detect = _no_disk  # type: ignore[method-assign]
        with pytest.raises(OSError, match="disk"):
            pipeline.handlers()["detect"](message)
        del pipeline.detector.detect
        assert maintain.sweep(pipeline.maintain_deps()) == {}, "its redelivery may still come"
        assert sweep(pipeline) == {"delivery_lost": 1}
        play(pipeline, bus)
        assert asset_state(pipeline.asset(asset_id).stages) is AssetState.DONE

    def test_that_failed_its_last_attempt_waits_for_a_person(self, pipeline: Pipeline, bus: ListBus) -> None:
        asset_id, message = ingested(pipeline, bus)
        pipeline.detector.detect = _no_disk  # type: ignore[method-assign]
        with pytest.raises(OSError, match="disk"):
            pipeline.handlers()["detect"](replace(message, attempt=5))
        assert sweep(pipeline) == {}
        assert ledger(pipeline.asset(asset_id), Stage.DETECT).error_code == "retries_exhausted"

    def test_that_failed_five_times_ends_even_if_no_delivery_said_which_it_was(
        self, pipeline: Pipeline, bus: ListBus
    ) -> None:
        asset_id, message = ingested(pipeline, bus)
        pipeline.detector.detect = _no_disk  # type: ignore[method-assign]
        for _ in range(5):
            with pytest.raises(OSError, match="disk"):
                pipeline.handlers()["detect"](message)
        del pipeline.detector.detect
        assert sweep(pipeline) == {"retries_exhausted": 1}
        record = ledger(pipeline.asset(asset_id), Stage.DETECT)
        assert record.error_message == "The stage failed 5 times; its message waits among the dead letters."
        pipeline.handlers()["detect"](message)
        play(pipeline, bus)
        assert asset_state(pipeline.asset(asset_id).stages) is AssetState.DONE

    def test_that_nobody_ever_takes_fails_in_the_end(self, pipeline: Pipeline, bus: ListBus) -> None:
        asset_id, _ = ingested(pipeline, bus)
        seen: list[dict[str, int]] = []
        for _ in range(12):
            pipeline.clock.advance(256 * A_WHILE)
            seen.append(dict(maintain.sweep(pipeline.maintain_deps())))
        assert seen == [{"message_lost": 1}, *[{"delivery_lost": 1}] * 6, {"never_delivered": 1}, *[{}] * 4]
        record = ledger(pipeline.asset(asset_id), Stage.DETECT)
        assert (record.state, record.error_code) == (StageState.FAILED, "never_delivered")
        assert len(bus.of_topic("media-analysed")) == 1
        play(pipeline, bus)  # and yet, one of the messages is delivered
        assert asset_state(pipeline.asset(asset_id).stages) is AssetState.DONE

    def test_whose_message_was_too_long_to_keep_is_asked_for_from_the_asset(
        self, pipeline: Pipeline, bus: ListBus
    ) -> None:
        asset_id, message = ingested(pipeline, bus)
        padded = json.dumps({**json.loads(message.data), "padding": "x" * work.MAX_REQUEST_BYTES}).encode()
        dies(pipeline, replace(message, data=padded))
        assert detect_work(pipeline, asset_id).data["request"]["data"] is None
        assert sweep(pipeline) == {"worker_silent": 1}
        assert json.loads(bus.messages[0].data) == json.loads(message.data)
        play(pipeline, bus)
        assert asset_state(pipeline.asset(asset_id).stages) is AssetState.DONE

    def test_that_does_not_say_what_it_is_is_forgotten_and_its_stage_asked_for(
        self, pipeline: Pipeline, bus: ListBus
    ) -> None:
        asset_id, message = ingested(pipeline, bus)
        dies(pipeline, message)
        found = detect_work(pipeline, asset_id)
        bare = {name: value for name, value in found.data.items() if name != "request"}
        pipeline.documents.commit([Set(work.COLLECTION, found.id, bare)])
        assert sweep(pipeline) == {"forgotten": 1, "message_lost": 1}
        play(pipeline, bus)
        assert asset_state(pipeline.asset(asset_id).stages) is AssetState.DONE

    def test_whose_stage_ended_without_it_is_forgotten_and_nothing_begins_again(
        self, pipeline: Pipeline, bus: ListBus, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        asset_id, message = ingested(pipeline, bus)
        dies(pipeline, message)
        now = pipeline.clock.now()
        ended = StageRecord(StageState.FAILED, 1, now, now, "upload_never_came", "No file came.")
        pipeline.documents.commit([assets.stage_update(asset_id, Stage.DETECT, ended)])
        assert sweep(pipeline)["forgotten"] == 1
        assert ledger(pipeline.asset(asset_id), Stage.DETECT) == ended

    def test_of_an_asset_that_is_gone_is_forgotten(self, pipeline: Pipeline, bus: ListBus) -> None:
        asset_id, message = ingested(pipeline, bus)
        dies(pipeline, message)
        _delete_asset(pipeline, asset_id)
        assert sweep(pipeline) == {"forgotten": 1}
        assert sweep(pipeline) == {}
        assert bus.messages == []

    def test_is_asked_for_once_by_two_sweepers_at_once(self, pipeline: Pipeline, bus: ListBus) -> None:
        _, message = ingested(pipeline, bus)
        dies(pipeline, message)
        other: list[Mapping[str, int]] = []
        commit = pipeline.documents.commit

        def another_first(writes: Sequence[Write]) -> None:
            if not other:
                other.append({})
                other.append(maintain.sweep(pipeline.maintain_deps()))
            commit(writes)

        pipeline.documents.commit = another_first  # type: ignore[method-assign]
        assert sweep(pipeline) == {}
        assert other == [{}, {"worker_silent": 1}]
        assert len(bus.messages) == 1


class TestOutboxes:
    def test_that_were_saved_and_not_published_are_published(self, pipeline: Pipeline, bus: ListBus) -> None:
        asset_id, notification = pipeline.upload("fight")
        bus.failing = Retryable("the bus is away")
        with pytest.raises(Retryable):
            pipeline.handlers()["ingest"](notification)
        bus.failing = None
        assert maintain.sweep(pipeline.maintain_deps()) == {}, "its worker may still be at it"
        assert sweep(pipeline)["published"] == 1
        play(pipeline, bus)
        assert asset_state(pipeline.asset(asset_id).stages) is AssetState.DONE

    def test_whose_topic_is_away_hold_up_no_other(self, pipeline: Pipeline, bus: ListBus) -> None:
        _, stuck = ingested(pipeline, bus)
        bus.failing_topics.add("media-detected")
        with pytest.raises(Retryable):
            pipeline.handlers()["detect"](stuck)
        pipeline.clock.advance(LEASE.total_seconds())
        _, lost = ingested(pipeline, bus, "calm")
        dies(pipeline, lost)
        counts = sweep(pipeline)
        assert counts["errors"] >= 1
        assert counts["worker_silent"] == 1
        assert [message.topic for message in bus.messages] == ["media-uploaded"]
        bus.failing_topics.clear()
        assert sweep(pipeline)["published"] == 1


class TestAssets:
    def test_whose_notification_was_lost_are_ingested(self, pipeline: Pipeline, bus: ListBus) -> None:
        asset_id, _ = pipeline.upload("fight")
        pipeline.clock.advance(60)
        assert sweep(pipeline) == {"notification_lost": 1}
        assert maintain.sweep(pipeline.maintain_deps()) == {}
        play(pipeline, bus)
        assert asset_state(pipeline.asset(asset_id).stages) is AssetState.DONE
        assert len(said("media-analysed")) == 1

    @pytest.mark.parametrize(
        ("topic", "stages"), [("media-uploaded", ["detect"]), ("media-detected", ["context", "correlate", "moderate"])]
    )
    def test_whose_message_was_lost_go_on(
        self, topic: str, stages: list[str], pipeline: Pipeline, bus: ListBus
    ) -> None:
        asset_id, notification = pipeline.upload("fight")
        handlers = pipeline.handlers()
        handlers["ingest"](notification)
        if topic == "media-detected":
            handlers["detect"](delivery_of(bus.messages[0]))
        (lost,) = bus.of_topic(topic)
        bus.messages.clear()
        assert maintain.sweep(pipeline.maintain_deps()) == {}, "it may still come"
        assert sweep(pipeline) == {"message_lost": 1}
        assert [(m.topic, json.loads(m.data)) for m in bus.messages] == [(topic, json.loads(lost.data))] * len(stages)
        play(pipeline, bus)
        assert asset_state(pipeline.asset(asset_id).stages) is AssetState.DONE
        assert len(said("media-analysed")) == 1
        assert pipeline.documents.count(Query("signals")) == 1

    def test_of_which_nobody_said_that_they_are_complete_are_announced(self, pipeline: Pipeline, bus: ListBus) -> None:
        asset_id, notification = pipeline.upload("broken")
        commit = pipeline.documents.commit

        def dies_before_saying_so(writes: Sequence[Write]) -> None:
            if any(isinstance(write, Update) and write.data.get("complete") is True for write in writes):
                raise Killed
            commit(writes)

        pipeline.documents.commit = dies_before_saying_so  # type: ignore[method-assign]
        with pytest.raises(Killed):
            pipeline.handlers()["ingest"](notification)
        pipeline.documents.commit = commit  # type: ignore[method-assign]
        assert sweep(pipeline) == {"announced": 1}
        assert sweep(pipeline) == {}
        assert [json.loads(message.data)["asset_id"] for message in bus.of_topic("media-analysed")] == [asset_id]

    def test_whose_file_never_came_end_and_a_file_that_comes_late_revives_them(
        self, pipeline: Pipeline, bus: ListBus
    ) -> None:
        asset = Asset(new_uuid(), "", pipeline.clock.now(), "gate")
        asset = replace(asset, object_name=object_name_of(asset.id))
        pipeline.documents.commit([assets.creation(asset)])
        assert sweep(pipeline) == {}
        pipeline.clock.advance(timedelta(hours=4).total_seconds() - A_WHILE - 1)
        assert maintain.sweep(pipeline.maintain_deps()) == {}
        assert sweep(pipeline) == {"upload_never_came": 1}
        record = ledger(pipeline.asset(asset.id), Stage.INGEST)
        assert (record.state, record.error_message) == (
            StageState.FAILED,
            "No file came before the upload URL, and what may have begun with it, expired.",
        )
        assert [json.loads(m.data)["state"] for m in bus.of_topic("media-analysed")] == ["failed"]
        assert pipeline.asset(asset.id).complete
        assert sweep(pipeline) == {}
        run_through(pipeline, bus, pipeline.drop(asset.object_name, "fight"))
        assert asset_state(pipeline.asset(asset.id).stages) is AssetState.DONE

    def test_whose_session_may_still_be_under_way_wait_for_it(self, pipeline: Pipeline, bus: ListBus) -> None:
        asset = Asset(new_uuid(), "", pipeline.clock.now(), resumable=True)
        asset = replace(asset, object_name=object_name_of(asset.id))
        pipeline.documents.commit([assets.creation(asset)])
        pipeline.clock.advance(timedelta(days=6).total_seconds())
        assert sweep(pipeline) == {}
        run_through(pipeline, bus, pipeline.drop(asset.object_name, "fight"))
        assert asset_state(pipeline.asset(asset.id).stages) is AssetState.DONE

    def test_of_a_dropped_file_that_was_overwritten_before_anybody_looked_end(
        self, pipeline: Pipeline, bus: ListBus
    ) -> None:
        first = _die_before_the_claim(pipeline, pipeline.drop("media/cam/1.mp4", "fight"))
        pipeline.drop("media/cam/1.mp4", "calm")
        assert sweep(pipeline) == {"object_gone": 1}
        assert ledger(pipeline.asset(first), Stage.INGEST).error_code == "object_gone"

    def test_of_a_dropped_file_whose_worker_died_at_once_are_ingested(self, pipeline: Pipeline, bus: ListBus) -> None:
        asset_id = _die_before_the_claim(pipeline, pipeline.drop("media/cam/2.mp4", "fight"))
        pipeline.clock.advance(60)
        assert sweep(pipeline) == {"notification_lost": 1}
        play(pipeline, bus)
        assert asset_state(pipeline.asset(asset_id).stages) is AssetState.DONE
        assert pipeline.documents.count(Query("assets")) == 1

    def test_a_poisoned_one_holds_up_no_other(self, pipeline: Pipeline, bus: ListBus) -> None:
        poison = {"complete": False, "created_at": pipeline.clock.now() - timedelta(days=1), "id": 7}
        pipeline.documents.commit([Set(assets.COLLECTION, "poison", poison)])
        held = {"state": "running", "lease_until": pipeline.clock.now() - timedelta(days=1)}
        pipeline.documents.commit([Set(work.COLLECTION, "poison", held)])
        saved = {"published": False, "lease_until": pipeline.clock.now() - timedelta(days=1), "outbox": [7]}
        pipeline.documents.commit([Set(work.COLLECTION, "poisoned-outbox", saved)])
        asset_id, message = ingested(pipeline, bus)
        dies(pipeline, message)
        assert sweep(pipeline) == {"errors": 3, "worker_silent": 1}
        play(pipeline, bus)
        assert asset_state(pipeline.asset(asset_id).stages) is AssetState.DONE

    def test_behind_more_poisoned_ones_than_a_run_looks_at_are_reached_by_the_next(
        self, pipeline: Pipeline, bus: ListBus, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(maintain, "PAGE", 2)
        monkeypatch.setattr(maintain, "PAGES", 2)
        for number in range(5):
            poison = {"complete": False, "created_at": pipeline.clock.now() - timedelta(days=1)}
            pipeline.documents.commit([Set(assets.COLLECTION, f"poison-{number}", poison)])
        ingested(pipeline, bus)
        assert sweep(pipeline) == {"errors": 4}
        assert sweep(pipeline) == {"errors": 1, "message_lost": 1}
        assert sweep(pipeline)["errors"] == 4

    def test_a_run_that_takes_long_begins_nothing_new(self, pipeline: Pipeline, bus: ListBus) -> None:
        for _ in range(2):
            ingested(pipeline, bus)
        publish = bus.publish

        def slow(message: OutgoingMessage) -> str:
            pipeline.clock.advance(maintain.LONGEST.total_seconds() + 1)
            return publish(message)

        bus.publish = slow  # type: ignore[method-assign]
        assert sweep(pipeline) == {"message_lost": 1}
        assert sweep(pipeline) == {"delivery_lost": 1, "message_lost": 1}, "a slow kind takes no time from the others"

    @pytest.mark.parametrize("page", [1, 2, 100])
    def test_slow_ones_hold_up_those_behind_them_for_no_more_than_a_run_each(
        self, page: int, pipeline: Pipeline, bus: ListBus, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(maintain, "PAGE", page)
        slow = [pipeline.upload("fight")[0] for _ in range(3)]  # all of the same moment
        pipeline.clock.advance(1)
        ingested(pipeline, bus)
        stat = pipeline.media.stat
        tried: list[str] = []

        def times_out(name: str) -> BlobInfo | None:
            if name.removeprefix("media/") not in slow:
                return stat(name)
            tried.append(name.removeprefix("media/"))
            pipeline.clock.advance(maintain.LONGEST.total_seconds())
            raise Retryable("away")

        monkeypatch.setattr(pipeline.media, "stat", times_out)
        pipeline.clock.advance(60)
        assert [sweep(pipeline) for _ in range(4)] == [*[{"errors": 1}] * 3, {"message_lost": 1}]
        assert tried == sorted(slow)
        sweep(pipeline)
        assert tried[3:] == tried[:1], "after the end it begins again"

    def test_a_cursor_of_another_version_begins_again(self, pipeline: Pipeline, bus: ListBus) -> None:
        ingested(pipeline, bus)
        now = pipeline.clock.now()
        positions = {"sweep_asset": components.Position("?")}
        stored = components.MaintenanceRun(now, positions=positions, housekept_at=now)
        components.report_maintenance(pipeline.documents, stored)
        assert sweep(pipeline) == {}
        assert sweep(pipeline) == {"message_lost": 1}


class TestLeftovers:
    def test_of_direct_analyses_that_died_are_removed_after_an_hour(self, pipeline: Pipeline) -> None:
        dead, alive = new_uuid(), new_uuid()
        for asset_id in (dead, alive):
            pipeline.media.put(direct_name_of(asset_id), b"fight", content_type="video/mp4")
            pipeline.media.put(timelines.timeline_name(asset_id), b"{}", content_type="application/json")
            pipeline.media.put(timelines.sheet_name(asset_id), b"-", content_type="image/jpeg")
        finished = Asset(alive, direct_name_of(alive), pipeline.clock.now(), complete=True)
        pipeline.documents.commit([assets.creation(finished)])
        pipeline.clock.advance(timedelta(minutes=55).total_seconds())
        assert "orphans" not in sweep(pipeline)
        pipeline.clock.advance(timedelta(hours=1).total_seconds())
        assert sweep(pipeline)["orphans"] == 3
        names = {info.name for prefix in ("direct/", "analysis/") for info in pipeline.media.list(prefix)}
        assert not {name for name in names if dead in name}
        assert len({name for name in names if alive in name}) == 3

    def test_are_looked_for_once_an_hour_and_only_among_what_is_new(self, pipeline: Pipeline) -> None:
        pipeline.clock.advance(timedelta(hours=2).total_seconds())
        sweep(pipeline)
        kept = components.last_maintenance(pipeline.documents)
        assert kept is not None
        assert kept.looked_until == kept.reported_at - timedelta(hours=1)
        sweep(pipeline)
        again = components.last_maintenance(pipeline.documents)
        assert again is not None
        assert (again.housekept_at, again.looked_until) == (kept.housekept_at, kept.looked_until)
        assert again.reported_at > kept.reported_at

    def test_names_of_another_form_are_left_alone(self, pipeline: Pipeline) -> None:
        pipeline.media.put("direct/notes.txt", b"x", content_type="text/plain")
        pipeline.media.put("analysis/by-hand/x", b"x", content_type="text/plain")
        pipeline.clock.advance(timedelta(hours=2).total_seconds())
        sweep(pipeline)
        assert pipeline.media.stat("direct/notes.txt") is not None
        assert pipeline.media.stat("analysis/by-hand/x") is not None

    def test_what_was_written_again_since_it_was_listed_stays(
        self, pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        name = direct_name_of(new_uuid())
        pipeline.media.put(name, b"old", content_type="video/mp4")
        pipeline.clock.advance(timedelta(hours=2).total_seconds())
        delete = pipeline.media.delete

        def rewritten_first(target: str, *, if_generation: int | None = None) -> None:
            if target == name:
                pipeline.media.put(name, b"new", content_type="video/mp4")
            delete(target, if_generation=if_generation)

        monkeypatch.setattr(pipeline.media, "delete", rewritten_first)
        sweep(pipeline)
        assert pipeline.media.stat(name) is not None

    def test_what_cannot_be_removed_is_tried_again(self, pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
        name = direct_name_of(new_uuid())
        pipeline.media.put(name, b"x", content_type="video/mp4")
        pipeline.clock.advance(timedelta(hours=2).total_seconds())
        with monkeypatch.context() as held:
            held.setattr(pipeline.media, "delete", _no_disk)
            assert sweep(pipeline)["errors"] == 1
        pipeline.clock.advance(3600)
        assert sweep(pipeline)["orphans"] == 1
        assert pipeline.media.stat(name) is None

    def test_a_bucket_that_cannot_be_listed_costs_nothing_else(
        self, pipeline: Pipeline, bus: ListBus, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        _, message = ingested(pipeline, bus)
        dies(pipeline, message)
        monkeypatch.setattr(pipeline.media, "list", _no_disk)
        assert sweep(pipeline) == {"worker_silent": 1, "errors": 1}

    def test_a_dropped_file_nobody_was_told_of_is_announced_again(self, pipeline: Pipeline, bus: ListBus) -> None:
        told = pipeline.drop("media/cam/told.mp4", "calm")
        pipeline.handlers()["ingest"](told)
        name = f"media/cam/{new_uuid()}.mp4"
        pipeline.media.put(name, b"fight", content_type="video/mp4", metadata={"source-id": "hall"})
        pipeline.clock.advance(timedelta(hours=2).total_seconds())
        sweep(pipeline)
        finalised = [json.loads(message.data) for message in bus.of_topic("media-finalised")]
        assert [(m["bucket"], m["metadata"]) for m in finalised if m["name"] == name] == [
            (BUCKET, {"source-id": "hall"})
        ]
        assert "media/cam/told.mp4" not in {m["name"] for m in finalised}

    def test_a_file_that_came_after_its_asset_was_given_up_is_announced_again(
        self, pipeline: Pipeline, bus: ListBus
    ) -> None:
        asset_id = _come_late(pipeline)
        pipeline.documents.commit([Set(assets.COLLECTION, _drop_poison(pipeline), {"stage_ingest": 7})])
        bus.messages.clear()
        pipeline.clock.advance(timedelta(hours=2).total_seconds())
        assert sweep(pipeline) == {"came_late": 1}
        play(pipeline, bus)
        assert asset_state(pipeline.asset(asset_id).stages) is AssetState.DONE
        assert [data["state"] for data in said("media-analysed")] == ["done"]
        pipeline.clock.advance(timedelta(hours=2).total_seconds())
        assert sweep(pipeline) == {}

    def test_files_that_lay_there_before_the_first_look_are_not_analysed(
        self, pipeline: Pipeline, bus: ListBus
    ) -> None:
        pipeline.drop("media/archive/1999.mp4", "fight")
        pipeline.clock.advance(timedelta(days=2).total_seconds())
        assert sweep(pipeline) == {}
        assert bus.messages == []

    def test_at_services_are_removed_and_one_that_fails_holds_up_no_other(self, pipeline: Pipeline) -> None:
        files = {"old": pipeline.clock.now(), "new": pipeline.clock.now() + timedelta(hours=1)}

        def remove_leftovers(before: datetime) -> int:
            old = [name for name, created in files.items() if created < before]
            for name in old:
                del files[name]
            return len(old)

        pipeline.clock.advance(timedelta(hours=1).total_seconds())
        counts = sweep(pipeline, _no_disk, remove_leftovers)
        assert (counts["leftovers"], counts["errors"]) == (1, 1)
        assert list(files) == ["new"]

    def test_what_a_direct_analysis_stores_while_the_sweeper_runs_stays(self, pipeline: Pipeline) -> None:
        asset_id = new_uuid()
        info = pipeline.media.put(direct_name_of(asset_id), b"fight", content_type="video/mp4")
        pipeline.clock.advance(timedelta(minutes=5).total_seconds())
        inner = pipeline.detector.detect

        def swept_meanwhile(stream: BinaryIO, **options: Any) -> DetectionRun:
            sweep(pipeline)
            return inner(stream, **options)

        pipeline.detector.detect = swept_meanwhile  # type: ignore[method-assign]
        direct.analyse(direct.Upload(asset_id, info.generation, 0.5), pipeline.direct_deps())
        assert pipeline.media.stat(direct_name_of(asset_id)) is not None
        assert timelines.load(pipeline.media, asset_id).asset_id == asset_id


class TestReport:
    def test_a_run_says_what_it_did(self, pipeline: Pipeline, bus: ListBus) -> None:
        _, message = ingested(pipeline, bus)
        dies(pipeline, message)
        sweep(pipeline)
        run = components.last_maintenance(pipeline.documents)
        assert run is not None
        assert (run.detail, run.counts, run.reported_at) == (
            "worker_silent 1",
            {"worker_silent": 1},
            pipeline.clock.now(),
        )
        sweep(pipeline)
        run = components.last_maintenance(pipeline.documents)
        assert run is not None
        assert run.detail == "nothing to do"

    def test_it_is_missed_after_five_minutes(self, pipeline: Pipeline) -> None:
        check = components.checks(pipeline.documents, pipeline.clock)["maintain"]
        assert check() == "off"
        sweep(pipeline)
        pipeline.clock.advance(300)
        assert check() == "ok"
        pipeline.clock.advance(1)
        with pytest.raises(Retryable, match="sweeper"):
            check()

    def test_a_store_that_is_away_stops_no_other_kind(
        self, pipeline: Pipeline, bus: ListBus, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        ingested(pipeline, bus)
        query = pipeline.documents.query

        def no_work(asked: Query, **options: Any) -> Any:
            if asked.collection == work.COLLECTION:
                raise Retryable("away")
            return query(asked, **options)

        monkeypatch.setattr(pipeline.documents, "query", no_work)
        assert sweep(pipeline) == {"errors": 2, "message_lost": 1}


def _come_late(pipeline: Pipeline) -> str:
    """An asset that was given up, whose file came after all, and nobody was told."""
    asset = Asset(new_uuid(), "", pipeline.clock.now() - timedelta(hours=5))
    asset = replace(asset, object_name=object_name_of(asset.id))
    pipeline.documents.commit([assets.creation(asset)])
    assert sweep(pipeline) == {"upload_never_came": 1}
    pipeline.drop(asset.object_name, "fight")
    return asset.id


def _drop_poison(pipeline: Pipeline) -> str:
    """A dropped file; gives its asset's id."""
    pipeline.drop("media/cam/poison.mp4", "calm")
    found = pipeline.media.stat("media/cam/poison.mp4")
    assert found is not None
    return dropped_asset_id(BUCKET, found.name, found.generation)


def _no_disk(*_: Any, **__: Any) -> Any:
    raise OSError("disk")


def _delete_asset(pipeline: Pipeline, asset_id: str) -> None:
    pipeline.documents.commit([Delete(assets.COLLECTION, asset_id)])


def _die_before_the_claim(pipeline: Pipeline, notification: Delivery) -> str:
    """Ingest makes the asset of a dropped file and dies."""
    commit = pipeline.documents.commit

    def dies_later(writes: Sequence[Write]) -> None:
        if any(write.collection == work.COLLECTION for write in writes):
            raise Killed
        commit(writes)

    pipeline.documents.commit = dies_later  # type: ignore[method-assign]
    with pytest.raises(Killed):
        pipeline.handlers()["ingest"](notification)
    pipeline.documents.commit = commit  # type: ignore[method-assign]
    return pipeline.documents.query(Query("assets")).documents[0].id


# --------------------------------------------------------------------------- alerts


def test_deliveries_that_nobody_attempts_are_announced_once_an_alert(pipeline: Pipeline, bus: ListBus) -> None:
    now = pipeline.clock.now()
    late = AlertDelivery(
        "d-1", "inc:High", "inc", AlertEvent.OPENED, Channel.PUSH, "ann", now, now - timedelta(seconds=61)
    )
    soon = replace(late, id="d-3", alert_id="inc-2:High", due=now + timedelta(hours=1))
    sent = replace(late, id="d-4", alert_id="inc-3:High", state=DeliveryState.SENT)
    planned = (late, replace(late, id="d-2", target="bob"), soon, sent)
    pipeline.documents.commit([deliveries.creation(one) for one in planned])
    bus.messages.clear()

    assert sweep(pipeline)["delivery_overdue"] == 1

    assert [(one.topic, json.loads(one.data)) for one in bus.messages] == [("alert-due", {"alert_id": "inc:High"})]
