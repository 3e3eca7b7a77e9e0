"""What lies about: files of direct analyses that died and pictures of signals whose request died, files nobody was told
of, things left at services.

Whatever is younger than an hour is left alone: it may belong to something that runs. An object that was looked at once
is settled for good (its asset is there, or it was dealt with), so only what came since the last look is asked about.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice

from shared.domain.assets import DIRECT_PREFIX, MEDIA_PREFIX, is_asset_id, issued_asset_id
from shared.domain.evidence_images import EVIDENCE_PREFIX, image_id_of
from shared.domain.header_text import decode_header_text
from shared.domain.moderation.moderated import ANNOTATIONS_PREFIX
from shared.domain.sweeping import HOUSEKEEPING_EVERY, LEFTOVER_AGE, ended_without_file
from shared.errors import NotFound, PreconditionFailed
from shared.handlers.objects import dropped_asset_id
from shared.messages import SOURCE_ID_KEY, ObjectFinalised, notification_of
from shared.ports import BlobInfo, Blobs, Bus, Document, Documents
from shared.repositories import assets, evidence_images, timelines

log = logging.getLogger(__name__)

BATCH = 100

LOOK_BACK = timedelta(days=1)
"""How far the first look goes for dropped files: an archive that lay there before shall not be analysed unasked."""

Cleaner = Callable[[datetime], int]
"""Removes what was left at a service before a moment; returns how much that was."""


@dataclass(frozen=True)
class Deps:
    """What tidying needs of the world."""

    documents: Documents
    media: Blobs
    evidence: Blobs
    bus: Bus
    bucket: str
    cleaners: tuple[Cleaner, ...] = ()


def is_due(last: datetime | None, now: datetime) -> bool:
    """Whether it is time to list the bucket again."""
    return last is None or last + HOUSEKEEPING_EVERY <= now


def tidy(deps: Deps, now: datetime, since: datetime | None, counts: Counter[str]) -> datetime | None:
    """Looks at what came after `since`; returns until when everything is settled now, `since` if something failed."""
    before = now - LEFTOVER_AGE
    for cleaner in deps.cleaners:
        _clean(cleaner, before, counts)
    try:
        errors = counts["errors"]
        for prefix in (timelines.PREFIX, DIRECT_PREFIX, ANNOTATIONS_PREFIX):
            _remove_orphans(deps, prefix, since, before, counts)
        _remove_unrecorded(deps, since, before, counts)
        _announce_dropped(deps, since or before - LOOK_BACK, before, counts)
    except Exception:
        counts["errors"] += 1
        log.exception("the bucket could not be looked through")
        return since
    return before if counts["errors"] == errors else since


def _clean(cleaner: Cleaner, before: datetime, counts: Counter[str]) -> None:
    try:
        removed = cleaner(before)
    except Exception:
        counts["errors"] += 1
        log.exception("what was left at a service could not be removed")
    else:
        counts.update({"leftovers": removed} if removed else {})


def _remove_orphans(deps: Deps, prefix: str, since: datetime | None, before: datetime, counts: Counter[str]) -> None:
    """Removes objects named after an asset that is not there. Names of another form are not ours and stay."""
    for batch in _batches(deps.media, prefix, since, before):
        owners = {info.name: info.name.removeprefix(prefix).split("/")[0] for info in batch}
        ours = [info for info in batch if is_asset_id(owners[info.name])]
        known = assets.exist(deps.documents, sorted({owners[info.name] for info in ours}))
        for info in ours:
            if owners[info.name] not in known:
                _remove(deps.media, info, counts)


def _remove_unrecorded(deps: Deps, since: datetime | None, before: datetime, counts: Counter[str]) -> None:
    """Removes pictures of which no record speaks: their request ended before its commit."""
    for batch in _batches(deps.evidence, EVIDENCE_PREFIX, since, before):
        ours = {info.name: image_id for info in batch if (image_id := image_id_of(info.name)) is not None}
        known = evidence_images.exist(deps.documents, sorted(set(ours.values())))
        for info in batch:
            if info.name in ours and ours[info.name] not in known:
                _remove(deps.evidence, info, counts)


def _remove(blobs: Blobs, info: BlobInfo, counts: Counter[str]) -> None:
    try:
        # Written again since it was listed: then it belongs to somebody.
        with suppress(NotFound, PreconditionFailed):
            blobs.delete(info.name, if_generation=info.generation)
            counts["orphans"] += 1
            log.warning("removed %s: nothing speaks of it", info.name)
    except Exception:
        counts["errors"] += 1
        log.exception("%s could not be removed", info.name)


def _announce_dropped(deps: Deps, since: datetime, before: datetime, counts: Counter[str]) -> None:
    """Says again that a file is there whose notification was lost, and for which nothing waits.

    Either it was dropped into the bucket and has no asset, or its asset was given up before it came.
    """
    for batch in _batches(deps.media, MEDIA_PREFIX, since, before):
        owners = [(info, _possible_owners(deps.bucket, info)) for info in batch]
        found = assets.documents_of(deps.documents, sorted({owner for _, possible in owners for owner in possible}))
        for info, possible in owners:
            kind = _unheard([document for document in found if document.id in possible])
            if kind is not None:
                deps.bus.publish(notification_of(_notification(deps.bucket, info)))
                counts[kind] += 1
                log.warning("nobody was told of %s; said again", info.name)


def _unheard(owners: Sequence[Document]) -> str | None:
    """Why a file with these assets must be told of again; None: it was heard of, or its asset still waits for it."""
    if not owners:
        return "dropped_unseen"
    return "came_late" if any(_gave_up_waiting(owner) for owner in owners) else None


def _gave_up_waiting(owner: Document) -> bool:
    try:
        return ended_without_file(assets.asset_of(owner).stages)
    except ValueError:  # an asset that can't be read must not hold up the files behind it
        log.exception("%s/%s can't be read", owner.collection, owner.id)
        return False


def _possible_owners(bucket: str, info: BlobInfo) -> set[str]:
    issued = issued_asset_id(info.name)
    return {dropped_asset_id(bucket, info.name, info.generation)} | ({issued} if issued else set())


def _notification(bucket: str, info: BlobInfo) -> ObjectFinalised:
    written = info.metadata.get(SOURCE_ID_KEY)
    source = None if written is None else decode_header_text(written)
    return ObjectFinalised(bucket=bucket, name=info.name, generation=info.generation, source_id=source)


def _batches(blobs: Blobs, prefix: str, since: datetime | None, before: datetime) -> Iterator[list[BlobInfo]]:
    new = (info for info in blobs.list(prefix) if info.updated <= before and (since is None or info.updated > since))
    while batch := list(islice(new, BATCH)):
        yield batch
