"""Erasing an upload that the stages have analysed: nothing of it comes back with the same file."""

from __future__ import annotations

import pytest

from shared.adapters.embedded.documents import SqliteDocuments
from shared.domain.erasures import ErasureState
from shared.domain.moderation.moderated import QuarantineState
from shared.errors import VersionConflict
from shared.handlers import erasures, incident_records, maintain
from shared.ports import Caller, Role
from shared.repositories import assets
from shared.repositories import erasures as stored
from tests.handlers.pipeline import ListBus, Pipeline, run_through

ADMIN = Caller("ada", Role.ADMIN)


def erase(pipeline: Pipeline, bus: ListBus, asset_id: str) -> None:
    records = incident_records.Deps(pipeline.documents, bus, pipeline.clock)
    ordered = erasures.order(erasures.Order("x", "r", (asset_id,), (), ()), ADMIN, records)
    assert maintain.sweep(pipeline.maintain_deps())["erased"] == 1
    assert stored.get(pipeline.documents, ordered.id).state is ErasureState.DONE


def test_the_same_file_after_an_erasure_is_a_new_one(pipeline: Pipeline, bus: ListBus) -> None:
    first, arrived = pipeline.upload("fight gate 1")
    run_through(pipeline, bus, arrived)
    calls = pipeline.detector.calls
    erase(pipeline, bus, first)
    gone = pipeline.asset(first)
    assert (gone.quarantine, gone.facts is not None and gone.facts.sha256) == (QuarantineState.DELETED, "")
    assert gone.detection is not None
    assert gone.incident_ids
    assert [info.name for info in pipeline.media.list() if first in info.name] == []
    bus.messages.clear()
    second, arrived = pipeline.upload("fight gate 1")
    run_through(pipeline, bus, arrived)
    assert pipeline.asset(second).seen_before is None
    assert pipeline.detector.calls == calls + 1


def test_an_upload_that_changed_since_it_was_read_is_left_to_the_next_run(
    pipeline: Pipeline, bus: ListBus, documents: SqliteDocuments
) -> None:
    asset_id, arrived = pipeline.upload("calm")
    run_through(pipeline, bus, arrived)
    asset, version = assets.get_with_version(documents, asset_id)
    documents.commit([assets.closeness_update(asset_id, strict_mode=True, full_look=False)])
    with pytest.raises(VersionConflict):
        documents.commit([assets.erasure(asset, version, pipeline.clock.now())])
    assert pipeline.asset(asset_id).erased_at is None
