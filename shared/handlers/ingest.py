"""The first stage: an upload is complete. Identify it by its bytes, say whether they were seen before, announce it.

Videos and still pictures both pass; what is neither ends here.

A file uploaded through a URL of ours already has its asset; one dropped into the bucket directly gets one here, under
an id derived from the object and its generation, so that a repeated notification finds the same.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass

from shared import ids
from shared.delivery import Attempt, Consumer, Outcome, Work, stage_name
from shared.domain.assets import (
    PICTURE_CONTAINERS,
    PICTURE_HEAD_BYTES,
    Asset,
    begins_like_a_picture,
    check_object_name,
    direct_name_of,
    issued_asset_id,
    object_name_of,
)
from shared.domain.moderation.findings import MediaKind
from shared.domain.moderation.moderated import quarantine_name_of, released_name_of
from shared.domain.reuse import ReusePolicy
from shared.domain.stages import Stage
from shared.errors import AlreadyExists
from shared.handlers import reuse
from shared.handlers.objects import dropped_asset_id
from shared.handlers.stills import read_still, still_facts
from shared.messages import MediaUploaded, ObjectFinalised, decode_finalised
from shared.ports import Blobs, Clock, Documents, MediaFacts, MediaProbe, PictureReader, Write
from shared.repositories import assets


@dataclass(frozen=True)
class Deps:
    """What ingest needs of the world."""

    documents: Documents
    media: Blobs
    probe: MediaProbe
    pictures: PictureReader
    clock: Clock
    policy: ReusePolicy


def prepare(message: ObjectFinalised, deps: Deps) -> Work | None:
    """Which asset the object belongs to, created if it was dropped in directly; None for news that came too late."""
    name = stage_name(Stage.INGEST, message.replay)
    if name is None:
        return None
    key = ids.work_key(message.bucket, message.name, message.generation, name)
    if message.replay is not None:
        return Work(key, message.replay.asset_id, Stage.INGEST, message.replay.id)
    issued = issued_asset_id(message.name)
    asset = None if issued is None else assets.find(deps.documents, issued)
    # A file that came after the first was moved into quarantine is another one, and gets an asset of its own.
    if asset is not None and asset.object_name == message.name:
        return Work(key, asset.id, Stage.INGEST, generation=message.generation)
    asset_id = dropped_asset_id(message.bucket, message.name, message.generation)
    dropped = Asset(asset_id, message.name, deps.clock.now(), source_id=message.source_id)
    with suppress(AlreadyExists):  # an earlier delivery of the same notification made it
        deps.documents.commit([assets.creation(dropped)])
    return Work(key, asset_id, Stage.INGEST)


def handle(message: ObjectFinalised, deps: Deps, attempt: Attempt) -> Outcome:
    """Probes the file, streaming. Raises `MediaUnusable` for what can't be analysed; the upload itself is kept."""
    if message.name not in _names_made_here(attempt.asset_id):
        check_object_name(message.name)
    facts = _identified(message, deps)
    announced = MediaUploaded(
        asset_id=attempt.asset_id,
        bucket=message.bucket,
        object_name=message.name,
        generation=message.generation,
        duration=facts.duration,
        kind=MediaKind.IMAGE if facts.container in PICTURE_CONTAINERS else MediaKind.VIDEO,
    )
    writes: tuple[Write, ...] = (assets.facts_update(attempt.asset_id, message.generation, facts),)
    if message.replay is None:  # what else looks the same is known to detect, and would be forgotten
        finding = reuse.Deps(deps.documents, deps.media, deps.clock, deps.policy)
        writes = (*writes, assets.seen_update(attempt.asset_id, reuse.seen_bytes(attempt.asset_id, facts, finding)))
    return Outcome(
        writes=writes,
        messages=(announced,),
    )


def _identified(message: ObjectFinalised, deps: Deps) -> MediaFacts:
    with deps.media.open(message.name, generation=message.generation) as stream:
        head = stream.read(PICTURE_HEAD_BYTES)
        stream.seek(0)
        if begins_like_a_picture(head):
            return still_facts(read_still(stream, deps.pictures, at_most=1))
        return deps.probe.probe(stream)


def _names_made_here(asset_id: str) -> set[str]:
    makers = (object_name_of, direct_name_of, quarantine_name_of, released_name_of)
    return {make(asset_id) for make in makers}


consumer: Consumer[ObjectFinalised, Deps] = Consumer(Stage.INGEST, decode_finalised, prepare, handle)
