"""Does what an erasure ordered, item by item; everything may be done again, so a death anywhere is mended.

Of an upload go: its file wherever it lies (`media/`, `quarantine/`, `released/`, `direct/`), what is kept beside it
(timelines, contact sheets, fingerprints of its look, results of Video Intelligence), what witnesses read in it, its
description, filename and the client's metadata, its SHA-256 and perceptual hash and by them the way to it from later
uploads, cached verdicts on its bytes, the messages its stages were asked by and published, comments of feedback, and
the sentences of its replays. Its segments, verdicts, terms (objects, emotions, scenes), costs and ledger stay.

Of a picture go its file and its description; its record with sizes and sums stays. Of an AI event goes its description,
also in its signals. Incidents, their timelines and notes, alerts and the view log stay; bundles that were taken away
are out of reach.

An item waits while its upload is worked on, replayed or moved, and while one of its incidents is under legal hold.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime

from shared.domain.assets import Asset, direct_name_of, object_name_of
from shared.domain.erasures import Erasure, ErasureState, held
from shared.domain.moderation.moderated import (
    ANNOTATIONS_PREFIX,
    UNSETTLED,
    quarantine_name_of,
    released_name_of,
)
from shared.domain.replays import is_under_way
from shared.errors import NotFound, PreconditionFailed
from shared.handlers import retention
from shared.ports import Blobs, Documents
from shared.repositories import (
    assets,
    erasures,
    evidence,
    evidence_images,
    fingerprints,
    incidents,
    labels,
    replays,
    timelines,
    verdict_cache,
    work,
)

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Deps:
    """What erasing needs of the world. `pictures` is the evidence bucket, `media` that of the uploads."""

    documents: Documents
    media: Blobs
    pictures: Blobs


def go_on(erasure: Erasure, version: str, now: datetime, deps: Deps) -> str | None:
    """Does what can be done now; returns what that was, None where everything has to wait.

    Raises `VersionConflict` when another run goes on with it, too, or an upload changed meanwhile, and `Retryable`.
    """
    finished = [item for item in erasure.waiting() if _erase(item, now, deps)]
    if not finished:
        return None
    further = replace(erasure, done=(*erasure.done, *finished))
    if not further.waiting():
        further = replace(further, state=ErasureState.DONE, done_at=now)
    deps.documents.commit([erasures.progress(further, version)])
    return "erased" if further.state is ErasureState.DONE else "partly_erased"


def _erase(item: str, now: datetime, deps: Deps) -> bool:
    """Whether the item is erased now; False: it has to wait."""
    kind, _, id = item.partition(":")
    if kind == "asset":
        return _erase_asset(id, now, deps)
    return _erase_image(int(id), now, deps) if kind == "image" else _erase_event(int(id), deps)


def _is_held(incident_ids: tuple[str, ...], deps: Deps) -> bool:
    return bool(held(incidents.get_many(deps.documents, incident_ids)))


def _erase_event(event_id: int, deps: Deps) -> bool:
    event = incidents.find_event(deps.documents, event_id)
    if event is None:
        return True
    if event.incident_id is not None and _is_held((event.incident_id,), deps):
        return False
    deps.documents.commit(list(incidents.without_description(deps.documents, event_id)))
    return True


def _erase_image(image_id: int, now: datetime, deps: Deps) -> bool:
    found = evidence_images.find(deps.documents, image_id)
    if found is None:
        return True
    image, version = found
    if image.incident_id is not None and _is_held((image.incident_id,), deps):
        return False
    deps.documents.commit([evidence_images.erasure(image, version, now)])
    retention.remove(image, deps.documents, deps.pictures)
    return True


def _erase_asset(asset_id: str, now: datetime, deps: Deps) -> bool:
    asset, version = assets.find_with_version(deps.documents, asset_id)
    if asset is None or version is None:
        return True
    if not _is_at_rest(asset, now, deps) or _is_held(asset.incident_ids, deps):
        return False
    if asset.facts is not None and asset.facts.sha256:
        verdict_cache.forget(deps.documents, verdict_cache.content_name(asset.facts.sha256))
    deps.documents.commit(
        [assets.erasure(asset, version, now), fingerprints.forgetting(asset.id, asset.created_at)],
    )
    _delete_files(asset, deps)
    evidence.discard(deps.documents, asset.id)
    for write in (
        *labels.without_comments(deps.documents, asset.id),
        *replays.without_summaries(deps.documents, asset.id),
    ):
        deps.documents.commit([write])
    return _empty_work(asset, deps)


def _is_at_rest(asset: Asset, now: datetime, deps: Deps) -> bool:
    """Nobody works on it, so nothing that is erased comes back."""
    if not asset.complete or asset.left_behind is not None or asset.quarantine in UNSETTLED:
        return False
    latest, _ = replays.latest_of(deps.documents, asset.id)
    return latest is None or not is_under_way(latest, now)


def _empty_work(asset: Asset, deps: Deps) -> bool:
    """Removes the messages that are kept with the upload's work; one that is yet to be published is waited for."""
    unpublished = False
    for document in work.of_asset(deps.documents, asset.id):
        if work.record_of(document).published:
            deps.documents.commit([work.emptying(document)])
        else:
            unpublished = True
    return not unpublished


def _delete_files(asset: Asset, deps: Deps) -> None:
    own = (object_name_of, quarantine_name_of, released_name_of, direct_name_of)
    names = [name_of(asset.id) for name_of in own]
    for name in [*names, *_results(asset, deps)]:
        with suppress(NotFound):
            deps.media.delete(name)
    if asset.object_name not in names:  # dropped into the bucket: another file may lie there under this name by now
        with suppress(NotFound, PreconditionFailed):
            deps.media.delete(asset.object_name, if_generation=asset.generation)
    timelines.discard(deps.media, asset.id)


def _results(asset: Asset, deps: Deps) -> Iterator[str]:
    """What Video Intelligence wrote of it."""
    return (info.name for info in list(deps.media.list(f"{ANNOTATIONS_PREFIX}{asset.id}/")))
