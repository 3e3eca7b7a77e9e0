"""Orders an erasure: records it, and in the same commit notes it in the timeline of every incident it touches.

What it does is `shared/handlers/erasing.py`'s, by the sweeper: the order is enough for it to be done, whoever dies. An
incident under legal hold refuses it; a hold that is set afterwards stops what is not done yet.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

from shared import ids
from shared.delivery import MAX_CONFLICTS
from shared.domain import incident_changes
from shared.domain.erasures import MAX_INCIDENTS, Erasure, digest_of, held
from shared.domain.incident_changes import Action, Change
from shared.domain.incidents import Incident
from shared.errors import (
    AlreadyExists,
    Conflict,
    InvalidKey,
    Malformed,
    NotFound,
    NotPermitted,
    Retryable,
    VersionConflict,
)
from shared.handlers import incident_records
from shared.handlers.incident_records import Planned
from shared.ports import Caller, Documents
from shared.repositories import assets, erasures, evidence_images, incidents

Id = TypeVar("Id", str, int)
T = TypeVar("T")


@dataclass(frozen=True)
class Order:
    """Whose media shall be erased, why, and which. `subject` is how the request calls the person; it is not kept."""

    subject: str
    reason: str
    assets: tuple[str, ...]
    images: tuple[int, ...]
    ai_events: tuple[int, ...]


def order(wanted: Order, caller: Caller, deps: incident_records.Deps) -> Erasure:
    """The order as it is recorded.

    Raises `NotPermitted` to those who see some places only, `NotFound` that names what is not there, `Conflict` that
    names the incidents under legal hold, `Malformed` for too many incidents, and `Retryable`.
    """
    if caller.places is not None:
        raise NotPermitted("all_places_needed", "Erasing needs an administrator of all places.")
    for _ in range(MAX_CONFLICTS):
        found = [_read(incident_id, deps.documents) for incident_id in _touched(wanted, deps.documents)]
        holding = held(incident for incident, _ in found)
        if holding:
            raise Conflict("legal_hold", f"Nothing was erased: under legal hold are {', '.join(holding)}.")
        erasure = _erasure(wanted, caller, [incident.id for incident, _ in found], deps.clock.now())
        planned = [Planned(incident, version, _noted(incident, erasure)) for incident, version in found]
        try:
            incident_records.store(planned, [erasures.creation(erasure)], deps)
        except (AlreadyExists, VersionConflict):
            continue  # an incident changed meanwhile, and may be held by now
        return erasure
    raise Retryable("an incident changes all the time")


def _touched(wanted: Order, documents: Documents) -> list[str]:
    """The incidents that what is wanted belongs to. Raises `NotFound` for what is not there."""
    uploads = _all("asset", wanted.assets, assets.find, documents)
    images = _all("image", wanted.images, evidence_images.find, documents)
    events = _all("AI event", wanted.ai_events, incidents.find_event, documents)
    singly = [*(image.incident_id for image, _ in images), *(event.incident_id for event in events)]
    named = [*(incident_id for asset in uploads for incident_id in asset.incident_ids), *singly]
    touched = list(dict.fromkeys(incident_id for incident_id in named if incident_id is not None))
    if len(touched) > MAX_INCIDENTS:
        raise Malformed("too_many_incidents", f"This touches more than {MAX_INCIDENTS} incidents: order it in parts.")
    return touched


def _all(what: str, wanted: Iterable[Id], find: Callable[[Documents, Id], T | None], documents: Documents) -> list[T]:
    found = []
    for id in wanted:
        try:
            each = find(documents, id)
        except InvalidKey:
            each = None
        if each is None:
            raise NotFound("unknown_item", f"There is no {what} {id}.")
        found.append(each)
    return found


def _read(incident_id: str, documents: Documents) -> tuple[Incident, str]:
    found = incidents.find(documents, incident_id)
    if found is None:
        raise NotFound("unknown_incident", f"There is no incident {incident_id}.")
    return found


def _erasure(wanted: Order, caller: Caller, touched: Iterable[str], now: datetime) -> Erasure:
    salt = secrets.token_hex(16)
    return Erasure(
        id=ids.new_uuid(),
        salt=salt,
        subject_digest=digest_of(wanted.subject, salt),
        reason=wanted.reason,
        ordered_by=caller.name,
        ordered_at=now,
        assets=tuple(dict.fromkeys(wanted.assets)),
        images=tuple(dict.fromkeys(wanted.images)),
        ai_events=tuple(dict.fromkeys(wanted.ai_events)),
        incidents=tuple(touched),
    )


def _noted(incident: Incident, erasure: Erasure) -> Change:
    details = {"erasure_id": erasure.id}
    at, actor = erasure.ordered_at, erasure.ordered_by
    return incident_changes.changed(incident, Action.ERASED, at, actor, {}, details=details)
