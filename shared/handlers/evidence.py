"""Evidence is given: each link is written into the view log first, so that there is none without its entry.

A process that dies between the two leaves an entry of a link that nobody got, never the reverse. Public URLs
(`EVIDENCE_URLS=public`) work for ever and for everybody: the log shows who was told of them, not who used them.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from shared.domain.assets import Asset
from shared.domain.evidence_images import EvidenceImage, LinkMode
from shared.domain.evidence_views import EvidenceView, Item, Purpose
from shared.domain.incidents import Incident
from shared.domain.moderation.moderated import QuarantineState
from shared.errors import AlreadyExists, Gone, NotFound, NotReady, Retryable
from shared.handlers.evidence_links import LIFE, EvidenceLinks
from shared.ids import TimeOrderedIds
from shared.ports import Blobs, Clock, Documents
from shared.repositories import assets, evidence_images, evidence_views

TRIES = 5
"""Ids drawn for one entry: two instances may draw the same one."""


@dataclass(frozen=True)
class Deps:
    """What giving evidence needs of the world. `media` signs links to the uploads."""

    documents: Documents
    clock: Clock
    ids: TimeOrderedIds
    links: EvidenceLinks
    media: Blobs


def over(documents: Documents, clock: Clock, links: EvidenceLinks, media: Blobs) -> Deps:
    """What giving evidence needs, with ids of its own."""
    return Deps(documents, clock, TimeOrderedIds(clock), links, media)


def link_for(image: EvidenceImage, by: str, purpose: Purpose, deps: Deps) -> str:
    """The link to a picture, once the view log says that `by` gets it.

    Raises `Gone` for a picture that was deleted, and `Retryable`.
    """
    if image.deleted_at is not None:
        raise Gone("image_deleted", f"The image was deleted ({image.deleted_because}); only its record is left.")
    now = deps.clock.now()
    until = None if deps.links.mode is LinkMode.PUBLIC else now + LIFE
    write_view(by, purpose, Item.IMAGE, str(image.id), image.incident_id, now, until, deps)
    return deps.links.link(image.object_name)


def media_link_for(asset: Asset, incident: Incident, by: str, deps: Deps) -> str:
    """The link to an upload that an incident rests on, in quarantine too, once the view log says who gets it.

    It is signed whatever the mode: uploads are never public. Raises `Gone`, `NotReady` and `Retryable`.
    """
    if asset.quarantine is QuarantineState.DELETED or asset.erased_at is not None:
        raise Gone("media_deleted", "The file was deleted; only what was found in it is left.")
    found = deps.media.stat(asset.object_name)
    if found is None or asset.generation is None:
        raise NotReady("no_media", "There is no file: the upload never came, or it is being moved. Try again later.")
    if found.generation != asset.generation:
        raise Gone("media_overwritten", "The file was overwritten since it was analysed.")
    now = deps.clock.now()
    write_view(by, Purpose.LINK, Item.MEDIA, asset.id, incident.id, now, now + LIFE, deps)
    return deps.media.sign_get(asset.object_name, expires_in=LIFE)


def write_view(
    by: str,
    purpose: Purpose,
    item: Item,
    item_id: str,
    incident_id: str | None,
    now: datetime,
    expires_at: datetime | None,
    deps: Deps,
) -> EvidenceView:
    """Adds an entry to the view log. Raises `Retryable`."""
    for _ in range(TRIES):
        view = EvidenceView(deps.ids.next(), now, by, purpose, item, item_id, incident_id, expires_at)
        try:
            deps.documents.commit([evidence_views.creation(view)])
        except AlreadyExists:
            continue
        return view
    raise Retryable("no free id for a view")


def image_of(incident: Incident, image_id: int, documents: Documents) -> EvidenceImage:
    """A picture of this incident; raises `NotFound`."""
    found = evidence_images.find(documents, image_id)
    if found is None or found[0].incident_id != incident.id:
        raise NotFound("unknown_image", "This incident has no such image.")
    return found[0]


def asset_of(incident: Incident, asset_id: str, documents: Documents) -> Asset:
    """An upload that this incident rests on; raises `NotFound`."""
    asset = assets.find(documents, asset_id)
    if asset is None or incident.id not in asset.incident_ids:
        raise NotFound("unknown_media", "This incident has no such upload.")
    return asset
