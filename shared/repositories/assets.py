"""Assets and their stage ledger: one document an asset, one top-level field a stage.

Each stage writes only its own field, so that stages which end at the same moment never overwrite each other.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from shared.domain.assets import Asset, Detection, SeenBefore
from shared.domain.context import Context
from shared.domain.stages import Stage, StageRecord
from shared.errors import NotFound
from shared.ports import Create, Documents, MediaFacts, Update
from shared.records import from_data, to_data

COLLECTION = "assets"


def creation(asset: Asset) -> Create:
    """The write that stores a new asset."""
    data = to_data(asset)
    for stage in data.pop("stages"):
        raise ValueError(f"a new asset has no record of {stage}")
    return Create(COLLECTION, asset.id, data)


def finished_creation(asset: Asset) -> Create:
    """The write that stores a new asset with a ledger that is already complete."""
    data = to_data(asset)
    records: dict[str, Any] = data.pop("stages")
    return Create(COLLECTION, asset.id, {**data, **{_field(Stage(name)): record for name, record in records.items()}})


def stage_update(asset_id: str, stage: Stage, record: StageRecord) -> Update:
    """The write that replaces one stage's record."""
    return Update(COLLECTION, asset_id, {_field(stage): to_data(record)})


def facts_update(asset_id: str, generation: int, facts: MediaFacts) -> Update:
    """The write that stores what ingest found."""
    return Update(COLLECTION, asset_id, {"generation": generation, "facts": to_data(facts)})


def seen_update(asset_id: str, seen: SeenBefore | None) -> Update:
    """The write that stores which earlier upload shows the same."""
    return Update(COLLECTION, asset_id, {"seen_before": None if seen is None else to_data(seen)})


def detection_update(asset_id: str, detection: Detection) -> Update:
    """The write that stores what detect found."""
    return Update(COLLECTION, asset_id, {"detection": to_data(detection)})


def context_update(asset_id: str, context: Context) -> Update:
    """The write that stores what the context model saw."""
    return Update(COLLECTION, asset_id, {"context": to_data(context)})


def completion(asset_id: str) -> Update:
    """The write that says that every stage has ended."""
    return Update(COLLECTION, asset_id, {"complete": True})


def incidents_update(asset_id: str, incident_ids: Iterable[str]) -> Update:
    """The write that stores which incidents the asset belongs to."""
    return Update(COLLECTION, asset_id, {"incident_ids": list(incident_ids)})


def find(documents: Documents, asset_id: str) -> Asset | None:
    """The asset, or None."""
    document = documents.get(COLLECTION, asset_id)
    if document is None:
        return None
    data: dict[str, Any] = dict(document.data)
    data["stages"] = {stage: data[_field(stage)] for stage in Stage if _field(stage) in data}
    return from_data(Asset, data)


def get(documents: Documents, asset_id: str) -> Asset:
    """The asset; raises `NotFound`."""
    asset = find(documents, asset_id)
    if asset is None:
        raise NotFound("unknown_asset", "No such asset.")
    return asset


def stage_record(asset: Asset, stage: Stage) -> StageRecord:
    """What the ledger says of a stage; a pending record before it began."""
    return asset.stages.get(stage, StageRecord())


def _field(stage: Stage) -> str:
    return f"stage_{stage.value}"
