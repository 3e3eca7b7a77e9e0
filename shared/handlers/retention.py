"""Pictures are deleted when their time is over; their records stay and say so.

A picture that was kept for review goes some days after it came, one of an incident as many after the incident was
resolved; never while the incident is open or under legal hold. First it is decided, in a commit that fails when the
incident changed meanwhile (a hold, say); then the file is deleted; then the record says that it is. A death in between
is mended by the next run.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta

from shared.domain.evidence_images import DeletedBecause, EvidenceImage
from shared.domain.incidents import Incident, IncidentStatus
from shared.errors import NotFound
from shared.ports import Blobs, Documents, Write
from shared.repositories import evidence_images, incidents

DAYS = 30
"""How long pictures are kept, unless said otherwise."""


@dataclass(frozen=True)
class Deps:
    """What retention needs of the world. `pictures` is the evidence bucket."""

    documents: Documents
    pictures: Blobs
    keep: timedelta = timedelta(days=DAYS)


def expire(image: EvidenceImage, version: str, now: datetime, deps: Deps) -> str | None:
    """Deletes the picture if it is due; returns what was done, None where it must stay.

    Raises `VersionConflict` when the picture or its incident changed meanwhile, and `Retryable`.
    """
    if image.deleted_at is None:
        guard = _guard(image, now, deps)
        if guard is None:
            return None
        decided = evidence_images.deletion(image, version, now, DeletedBecause.RETENTION)
        deps.documents.commit([decided, *guard])
    remove(image, deps.documents, deps.pictures)
    return "pictures_expired"


def remove(image: EvidenceImage, documents: Documents, pictures: Blobs) -> None:
    """Deletes the file of a picture whose deletion is decided, and says so. Raises `Retryable`."""
    with suppress(NotFound):
        pictures.delete(image.object_name)
    documents.commit([evidence_images.removal(image.id)])


def _guard(image: EvidenceImage, now: datetime, deps: Deps) -> tuple[Write, ...] | None:
    """The writes that fail once the picture must stay after all; None where it must stay now."""
    if image.incident_id is None:
        return () if image.uploaded_at + deps.keep <= now else None
    found = incidents.find(deps.documents, image.incident_id)
    if found is None or not _is_over(found[0], now, deps.keep):
        return None
    return (incidents.unheld(found[0], found[1]),)


def _is_over(incident: Incident, now: datetime, keep: timedelta) -> bool:
    resolved = incident.status is IncidentStatus.RESOLVED and incident.resolved_at is not None
    return resolved and not incident.legal_hold and (incident.resolved_at or now) + keep <= now
