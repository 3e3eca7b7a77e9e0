"""Assets and their stage ledger: one document an asset, one top-level field a stage.

Each stage writes only its own field, so that stages which end at the same moment never overwrite each other.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from shared.domain.assets import Asset, Detection, SeenBefore
from shared.domain.context import Context
from shared.domain.moderation.moderated import UNSETTLED, LeftBehind, Moderation, QuarantineState
from shared.domain.stages import Stage, StageRecord
from shared.errors import NotFound
from shared.ports import Create, Document, Documents, Filter, MediaFacts, Order, Query, Update, Write
from shared.records import from_data, to_data
from shared.repositories import paging

COLLECTION = "assets"

INCOMPLETE = Query(COLLECTION, (Filter("complete", "==", False),), (Order("created_at"),))
"""Assets of which nobody said yet that every stage has ended, the oldest first."""

PROVISIONAL = Query(COLLECTION, (Filter("provisional", "==", True),), (Order("created_at"),))
"""Assets whose verdict waits for Video Intelligence, the oldest first."""

TO_BE_MOVED = Query(
    COLLECTION,
    (Filter("quarantine", "in", [state.value for state in UNSETTLED]),),
    (Order("created_at"),),
)
"""Assets whose file is to go into quarantine or out of it, or on its way, the oldest first."""

HELD = Query(COLLECTION, (Filter("quarantine", "==", QuarantineState.HELD.value),), (Order("quarantine_until"),))
"""Assets whose file is in quarantine, the one to be deleted first at the head."""


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


def moderation_update(asset_id: str, moderation: Moderation, version: str | None = None) -> Update:
    """The write that stores the verdict; with `version`, if nobody wrote to the asset since."""
    data = {"moderation": to_data(moderation), "provisional": not moderation.final}
    return Update(COLLECTION, asset_id, data, version=version)


def quarantine_update(
    asset_id: str, state: QuarantineState | None, version: str | None = None, until: datetime | None = None
) -> Update:
    """The write that stores where the file is on its way; `until`: when it is deleted."""
    data = {"quarantine": state and state.value, "quarantine_until": until}
    return Update(COLLECTION, asset_id, data, version=version)


def moved_update(asset_id: str, moved: LeftBehind, left_behind: LeftBehind, version: str) -> Update:
    """The write that says that the file is the object `moved` now, and that the other one is to be deleted."""
    data = {
        "object_name": moved.object_name,
        "generation": moved.generation,
        "left_behind": to_data(left_behind),
        "quarantine": QuarantineState.MOVED.value,
    }
    return Update(COLLECTION, asset_id, data, version=version)


def left_nothing_update(asset_id: str, state: QuarantineState | None, until: datetime | None, version: str) -> Update:
    """The write that says that the object which the file was copied from is deleted."""
    data = {"quarantine": state and state.value, "quarantine_until": until, "left_behind": None}
    return Update(COLLECTION, asset_id, data, version=version)


def erasure(asset: Asset, version: str, now: datetime) -> Update:
    """The write that removes the asset's texts and all by which its content is known again, if it is as it was read.

    Its place, its times, its verdicts and its ledger stay. Its file counts as deleted from then on.
    """
    context = None if asset.context is None else to_data(replace(asset.context, description=""))
    facts = None if asset.facts is None else to_data(replace(asset.facts, sha256="", perceptual_hash="0" * 16))
    data = {
        "erased_at": now,
        "context": context,
        "facts": facts,
        "filename": None,
        "metadata": {},
        "quarantine": QuarantineState.DELETED.value,
        "quarantine_until": now,
    }
    return Update(COLLECTION, asset.id, data, version=version)


def closeness_update(asset_id: str, strict_mode: bool, full_look: bool) -> Update:
    """The write that stores how closely the upload is moderated."""
    return Update(COLLECTION, asset_id, {"strict_mode": strict_mode, "full_look": full_look})


def reopening(asset_id: str) -> Update:
    """The write that says that stages have yet to end, perhaps again."""
    return Update(COLLECTION, asset_id, {"complete": False})


def completion(asset_id: str, version: str | None) -> Update:
    """The write that says that every stage has ended, if the asset is still as it was read."""
    return Update(COLLECTION, asset_id, {"complete": True}, version=version)


def joining(asset: Asset, incident_id: str, stage: Stage, version: str) -> Update:
    """The write that adds an incident which the stage's observation joined, if nobody wrote to the asset since."""
    data = {
        "incident_ids": list(dict.fromkeys([*asset.incident_ids, incident_id])),
        "observed_by": sorted({*asset.observed_by, stage}),
    }
    return Update(COLLECTION, asset.id, data, version=version)


def find(documents: Documents, asset_id: str) -> Asset | None:
    """The asset, or None."""
    return find_with_version(documents, asset_id)[0]


def find_with_version(documents: Documents, asset_id: str) -> tuple[Asset | None, str | None]:
    """The asset, and the version of its document; None where there is none."""
    document = documents.get(COLLECTION, asset_id)
    return (None, None) if document is None else (asset_of(document), document.version)


def asset_of(document: Document) -> Asset:
    """The asset in a document."""
    return _asset(document.data)


def of_incident(documents: Documents, incident_id: str) -> Iterator[Asset]:
    """The uploads whose observations joined the incident, fetched as they are taken."""
    query = Query(COLLECTION, (Filter("incident_ids", "array_contains", incident_id),))
    return (asset_of(document) for document in paging.every(documents, query))


def exist(documents: Documents, asset_ids: Sequence[str]) -> set[str]:
    """Those of the ids that assets have, in one round trip."""
    return {document.id for document in documents_of(documents, asset_ids)}


def documents_of(documents: Documents, asset_ids: Sequence[str]) -> list[Document]:
    """The documents of those assets that there are, in one round trip."""
    found = documents.get_many([(COLLECTION, asset_id) for asset_id in asset_ids])
    return [document for document in found if document is not None]


def get(documents: Documents, asset_id: str) -> Asset:
    """The asset; raises `NotFound`."""
    return get_with_version(documents, asset_id)[0]


def get_with_version(documents: Documents, asset_id: str) -> tuple[Asset, str]:
    """The asset, and the version of its document; raises `NotFound`."""
    document = _document(documents, asset_id)
    return _asset(document.data), document.version


def before_and_after(documents: Documents, asset_id: str, writes: Sequence[Write]) -> tuple[Asset, Asset]:
    """The asset as it is, and as it will be when those of `writes` that update it are committed; raises `NotFound`."""
    document = _document(documents, asset_id)
    data = dict(document.data)
    for write in writes:
        if isinstance(write, Update) and (write.collection, write.id) == (COLLECTION, asset_id):
            data.update(write.data)
    return _asset(document.data), _asset(data)


def stage_record(asset: Asset, stage: Stage) -> StageRecord:
    """What the ledger says of a stage; a pending record before it began."""
    return asset.stages.get(stage, StageRecord())


def unknown() -> NotFound:
    """The refusal of an asset that is not there."""
    return NotFound("unknown_asset", "No such asset.")


def _document(documents: Documents, asset_id: str) -> Document:
    document = documents.get(COLLECTION, asset_id)
    if document is None:
        raise unknown()
    return document


def _asset(stored: Mapping[str, Any]) -> Asset:
    data = dict(stored)
    # Before moderation came, correlate alone joined incidents, and did not say so.
    data.setdefault("observed_by", [Stage.CORRELATE.value] if data.get("incident_ids") else [])
    data["stages"] = {stage: data[_field(stage)] for stage in Stage if _field(stage) in data}
    return from_data(Asset, data)


def _field(stage: Stage) -> str:
    return f"stage_{stage.value}"
