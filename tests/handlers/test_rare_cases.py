"""What seldom happens: each ends in a sentence, or waits."""

from __future__ import annotations

import io
import zipfile
from dataclasses import replace

import pytest

from shared.domain import incident_changes
from shared.domain.assets import Asset
from shared.domain.erasures import MAX_INCIDENTS, Erasure
from shared.domain.incident_changes import Change
from shared.domain.incidents import Outcome
from shared.domain.neighbourhoods import Stated
from shared.domain.stages import Stage, StageRecord, StageState
from shared.errors import Malformed, NotFound, TooLarge
from shared.handlers import (
    answering,
    bundle_reading,
    erasing,
    erasures,
    incident_records,
    quarantine,
    registering,
    verifying,
)
from shared.ids import new_uuid
from shared.ports import Caller, Role
from shared.repositories import assets, incidents
from shared.repositories import erasures as stored
from tests.fakes import NOON
from tests.handlers.alerting import AlertWorld
from tests.handlers.pipeline import ListBus, Pipeline

ADA = Caller("ada", Role.ADMIN)
DONE = StageRecord(StageState.DONE, 1, NOON, NOON)


@pytest.fixture
def world(pipeline: Pipeline, bus: ListBus) -> AlertWorld:
    return AlertWorld(pipeline, bus)


def records(world: AlertWorld) -> incident_records.Deps:
    return incident_records.Deps(world.documents, world.bus, world.clock)


def ended(world: AlertWorld, *incident_ids: str) -> Asset:
    """An upload that was dropped into the bucket, and of which nothing is known."""
    asset = Asset(
        id=new_uuid(),
        object_name="media/dropped.mp4",
        created_at=NOON,
        generation=7,
        stages=dict.fromkeys(Stage, DONE),
        incident_ids=incident_ids,
        complete=True,
    )
    world.documents.commit([assets.finished_creation(asset)])
    return asset


def test_an_incident_that_was_resolved_before_the_alert_heard_of_it_is_nobodys(world: AlertWorld) -> None:
    world.employ_many(1)
    alert = world.open()
    incident, version = world.incident(alert.incident_id)
    change = incident_changes.resolve(incident, Outcome.RESOLVED, "over", world.clock.now(), actor="ada")
    assert isinstance(change, Change)
    world.documents.commit(list(incidents.change_writes(change, version)))
    with pytest.raises(answering.AnswerRefused):
        answering.accept(answering.GuardsAnswer(alert.id, alert.asks[0].guard_id, None, ADA), records(world))


def test_an_erased_upload_that_was_dropped_leaves_no_file(world: AlertWorld) -> None:
    media = world.pipeline.media
    info = media.put("media/dropped.mp4", b"film", content_type="video/mp4")
    asset = ended(world)
    order = Erasure("e", "s", "d", "asked", "ada", NOON, (asset.id,), (), (), ())
    world.documents.commit([stored.creation(order)])
    document = world.documents.get(stored.COLLECTION, "e")
    assert document is not None
    assert (
        erasing.go_on(order, document.version, world.clock.now(), erasing.Deps(world.documents, media, media))
        == "erased"
    )
    # Another file lies there by now: it is not the one that was ordered to go.
    assert (media.stat("media/dropped.mp4") is None) is (info.generation == asset.generation)
    assert world.pipeline.asset(asset.id).erased_at is not None


def test_an_order_that_touches_too_much_or_what_is_gone(world: AlertWorld) -> None:
    many = ended(world, *(f"i{number}" for number in range(MAX_INCIDENTS + 1)))
    with pytest.raises(Malformed, match="in parts"):
        erasures.order(erasures.Order("x", "r", (many.id,), (), ()), ADA, records(world))
    gone = ended(world, "gone")
    with pytest.raises(NotFound, match="incident gone"):
        erasures.order(erasures.Order("x", "r", (gone.id,), (), ()), ADA, records(world))


def test_nobody_gets_an_eleventh_neighbour(world: AlertWorld) -> None:
    ten = tuple(f"n{number}" for number in range(10))
    registering.register(world.documents, [Stated(name, name) for name in (*ten, "hub", "new")])
    registering.register(world.documents, [Stated("hub", "Hub", None, ten)])
    problems = registering.register(world.documents, [Stated("new", "New", None, ("hub",))])
    assert isinstance(problems, list)
    assert problems


def test_a_file_stays_in_quarantine_for_its_days(world: AlertWorld) -> None:
    asset = replace(ended(world), quarantine_until=None)
    assert (
        quarantine.expire(asset, "v", world.clock.now(), quarantine.Deps(world.documents, world.pipeline.media)) is None
    )


class TestBundles:
    def test_a_manifest_beyond_all_measure(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(verifying, "MAX_MANIFEST_BYTES", 10)
        with pytest.raises(Malformed, match="larger than 10 bytes"):
            verifying.claimed("x" * 11, {})

    def test_more_files_than_any_bundle_has(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(bundle_reading, "MAX_FILES", 0)
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w") as archive:
            archive.writestr("a", b"a")
            archive.writestr("b", b"b")
        with pytest.raises(TooLarge, match="more than 0 files"):
            bundle_reading.sums_of(file)

    def test_an_empty_archive_has_no_manifest(self) -> None:
        file = io.BytesIO()
        zipfile.ZipFile(file, "w").close()
        assert not bundle_reading.sums_of(file).files
