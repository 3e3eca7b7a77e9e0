"""Flagged files go into quarantine, and out of it again: moved by the sweeper, once nobody works on them.

A move is a copy, then the asset's word that the copy is its file, then the deletion of what was copied. Each may be
done again, by whoever finds it undone, so a death between any two of them is mended by the next run. Nothing here signs
a link.
"""

from __future__ import annotations

import logging
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta

from shared.domain.assets import Asset
from shared.domain.incidents import IncidentStatus
from shared.domain.moderation.moderated import (
    QUARANTINE_PREFIX,
    LeftBehind,
    QuarantineState,
    quarantine_name_of,
    released_name_of,
)
from shared.domain.replays import is_under_way
from shared.errors import NotFound, PreconditionFailed, VersionConflict
from shared.ports import BlobInfo, Blobs, Documents
from shared.repositories import assets, evidence, incidents, replays, timelines

log = logging.getLogger(__name__)

DAYS = 30
"""How long a file is kept for review, unless said otherwise."""


@dataclass(frozen=True)
class Deps:
    """What moving needs of the world. `keep`: how long a file stays in quarantine."""

    documents: Documents
    media: Blobs
    keep: timedelta = timedelta(days=DAYS)


def move(asset: Asset, version: str, now: datetime, deps: Deps) -> str | None:
    """Takes the file one step further; returns what was done, None where it must wait.

    Raises `VersionConflict` when somebody wrote to the asset meanwhile, and `Retryable`.
    """
    if not asset.complete or asset.generation is None or _is_replayed(asset, now, deps):
        return None
    if asset.left_behind is not None:
        return _leave(asset, asset.left_behind, version, now, deps)
    if asset.quarantine is QuarantineState.DUE:
        return _copy(asset, asset.generation, quarantine_name_of(asset.id), version, now, deps)
    if asset.object_name.startswith(QUARANTINE_PREFIX):
        return _copy(asset, asset.generation, released_name_of(asset.id), version, now, deps)
    return _never_mind(asset, version, deps)


def expire(asset: Asset, version: str, now: datetime, deps: Deps) -> str | None:
    """Deletes a file whose days in quarantine are over, its stills and the text that was read; the verdict stays.

    Not while an incident that rests on it is open or under legal hold: it is evidence.
    """
    if asset.quarantine_until is None or asset.quarantine_until > now or _is_replayed(asset, now, deps):
        return None
    found = incidents.get_many(deps.documents, asset.incident_ids)
    if any(incident.status is not IncidentStatus.RESOLVED or incident.legal_hold for incident in found):
        return None
    _delete(asset.object_name, asset.generation, deps)
    timelines.discard(deps.media, asset.id)
    evidence.discard(deps.documents, asset.id)
    deps.documents.commit(
        [assets.quarantine_update(asset.id, QuarantineState.DELETED, version, asset.quarantine_until)]
    )
    return "quarantine_expired"


def _is_replayed(asset: Asset, now: datetime, deps: Deps) -> bool:
    """Whether a stage is to read the file where it is now."""
    latest, _ = replays.latest_of(deps.documents, asset.id)
    return latest is not None and is_under_way(latest, now)


def _copy(asset: Asset, generation: int, target: str, version: str, now: datetime, deps: Deps) -> str | None:
    if asset.object_name == target:
        return _settle(asset, version, now, deps)
    source = deps.media.stat(asset.object_name)
    held = deps.media.stat(target)
    if source is None and held is None:
        deps.documents.commit([assets.quarantine_update(asset.id, QuarantineState.DELETED, version, now)])
        return "quarantine_empty"
    if source is not None and source.generation != generation:
        return None  # overwritten: what lies there now is another file, whose own ingest is to come
    copied = _copied(asset.object_name, target, source, held, deps)
    moved = LeftBehind(target, copied.generation)
    behind = LeftBehind(asset.object_name, generation)
    deps.documents.commit([assets.moved_update(asset.id, moved, behind, version)])
    seen, version = assets.get_with_version(deps.documents, asset.id)
    return _leave(seen, behind, version, now, deps)


def _copied(name: str, target: str, source: BlobInfo | None, held: BlobInfo | None, deps: Deps) -> BlobInfo:
    """The copy; one that lies there already and is as long is that of a run which died, or runs beside this one."""
    if held is not None and (source is None or held.size == source.size):
        return held
    try:
        return deps.media.copy(name, target, if_generation=held.generation if held else 0)
    except PreconditionFailed:
        raise VersionConflict("another run copies the file, too") from None


def _leave(asset: Asset, behind: LeftBehind, version: str, now: datetime, deps: Deps) -> str | None:
    """Deletes what the file was copied from. Nothing else may lie there: that would be another upload."""
    _delete(behind.object_name, behind.generation, deps)
    return _settle(asset, version, now, deps)


def _settle(asset: Asset, version: str, now: datetime, deps: Deps) -> str:
    """The file lies where it shall, unless a verdict said otherwise meanwhile: then the next run moves it again."""
    inside = asset.object_name.startswith(QUARANTINE_PREFIX)
    state = asset.quarantine
    if inside and state in {QuarantineState.MOVED, QuarantineState.DUE}:
        state = QuarantineState.HELD
    elif not inside and state in {QuarantineState.MOVED, QuarantineState.RELEASE_DUE}:
        state = QuarantineState.RELEASED
    until = now + deps.keep if state is QuarantineState.HELD else None
    deps.documents.commit([assets.left_nothing_update(asset.id, state, until, version)])
    return f"quarantine_{state}"


def _never_mind(asset: Asset, version: str, deps: Deps) -> str:
    """The file was to be moved, and a verdict released it before it was; a run that died may have copied it already."""
    _delete(quarantine_name_of(asset.id), None, deps)
    deps.documents.commit([assets.left_nothing_update(asset.id, None, None, version)])
    return "quarantine_released"


def _delete(name: str, generation: int | None, deps: Deps) -> None:
    with suppress(NotFound, PreconditionFailed):
        deps.media.delete(name, if_generation=generation)
