"""Replays, and the slot of each asset that lets one replay at a time in."""

from __future__ import annotations

from collections.abc import Iterator

from shared.domain.replays import Replay, Verdict
from shared.domain.stages import StageRecord
from shared.errors import NotFound
from shared.ports import Create, Document, Documents, Filter, Order, Query, Update, Write
from shared.records import from_data, to_data
from shared.repositories import paging

COLLECTION = "replays"
SLOTS = "replay_slots"


def creation(replay: Replay) -> Create:
    """The write that stores a new replay."""
    return Create(COLLECTION, replay.id, to_data(replay))


def record_update(replay_id: str, record: StageRecord) -> Update:
    """The write that shows how the replay's run stands."""
    return Update(COLLECTION, replay_id, {"record": to_data(record)})


def settlement(replay_id: str, record: StageRecord, old: Verdict, new: Verdict) -> Update:
    """The write that stores the end of a run that gave a result, and what the result replaced."""
    return Update(COLLECTION, replay_id, {"record": to_data(record), "old": to_data(old), "new": to_data(new)})


def latest_of(documents: Documents, asset_id: str) -> tuple[Replay | None, Document | None]:
    """The replay that was let in last, and the asset's slot as it was then; None where there is none."""
    slot = documents.get(SLOTS, asset_id)
    return (None, None) if slot is None else (find(documents, slot.data["replay_id"]), slot)


def slot_write(replay: Replay, slot: Document | None) -> Write:
    """Lets the replay in: fails if somebody else was let in since the slot was read (None: there was none)."""
    data = {"replay_id": replay.id}
    if slot is None:
        return Create(SLOTS, replay.asset_id, data)
    return Update(SLOTS, replay.asset_id, data, version=slot.version)


def held_slot(documents: Documents, replay: Replay) -> Update | None:
    """A write that changes nothing, and fails once another replay was let in; None when one was already."""
    slot = documents.get(SLOTS, replay.asset_id)
    if slot is None or slot.data["replay_id"] != replay.id:
        return None
    return Update(SLOTS, replay.asset_id, {"replay_id": replay.id}, version=slot.version)


def find(documents: Documents, replay_id: str) -> Replay | None:
    """The replay, or None."""
    document = documents.get(COLLECTION, replay_id)
    return None if document is None else from_data(Replay, document.data)


def get(documents: Documents, asset_id: str, replay_id: str) -> Replay:
    """The replay of this asset; raises `NotFound`."""
    replay = find(documents, replay_id)
    if replay is None or replay.asset_id != asset_id:
        raise NotFound("unknown_replay", "This asset has no such replay.")
    return replay


def without_summaries(documents: Documents, asset_id: str) -> Iterator[Update]:
    """The writes that remove, from the asset's replays, the sentences in which its verdicts were told."""
    query = Query(COLLECTION, (Filter("asset_id", "==", asset_id),))
    for document in paging.every(documents, query):
        told = {name: verdict for name in ("old", "new") if (verdict := document.data.get(name)) is not None}
        blank = {
            name: {**verdict, "analysis": {**verdict["analysis"], "summary": ""}} for name, verdict in told.items()
        }
        yield Update(COLLECTION, document.id, blank)


def newest(
    documents: Documents, asset_id: str, *, limit: int, cursor: str | None = None
) -> tuple[list[Replay], str | None]:
    """A page of the asset's replays, the last requested first, and the cursor of the next page."""
    query = Query(COLLECTION, (Filter("asset_id", "==", asset_id),), (Order("requested_at", descending=True),))
    page = documents.query(query, limit=limit, cursor=cursor)
    return [from_data(Replay, document.data) for document in page.documents], page.next_cursor
