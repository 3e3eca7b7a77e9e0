"""An evidence bundle: a zip of all that is known of an incident, made while it is sent, with a manifest of its sums.

Before its first byte, the view log and the incident's timeline say who exports it; before its manifest's, the server
keeps the manifest's digest. So whoever holds a whole bundle holds one that is known here, and a bundle whose making
broke off has no manifest. The incident is read once: what changes meanwhile belongs to a later bundle. An object that
disappears meanwhile leaves a valid zip, and the manifest says what is absent.
"""

from __future__ import annotations

import logging
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import BinaryIO

from shared import ids
from shared.delivery import MAX_CONFLICTS
from shared.domain import incident_changes
from shared.domain.evidence_bundles import (
    FORMAT,
    MANIFEST_NAME,
    Absence,
    AbsenceReason,
    BundledFile,
    BundleRecord,
    Manifest,
    canonical,
    digest,
)
from shared.domain.evidence_views import EvidenceView, Item, Purpose
from shared.domain.incident_changes import Action
from shared.domain.incidents import Incident
from shared.errors import AlreadyExists, NotFound, Retryable, VersionConflict
from shared.handlers import bundle_parts, evidence, incident_records
from shared.handlers.bundle_parts import BLOCK_BYTES, ObjectPart, Part, TextPart
from shared.handlers.incident_records import Planned
from shared.handlers.visibility import visible_incident
from shared.handlers.zip_stream import ZipStream
from shared.ports import Bus, Caller
from shared.records import to_data
from shared.repositories import evidence_bundles, evidence_views

log = logging.getLogger(__name__)

LOOKS = 3
"""At where an object is now: a clip moves into quarantine and out of it again."""


@dataclass(frozen=True)
class Deps:
    """What bundles need of the world."""

    evidence: evidence.Deps
    bus: Bus

    def parts(self) -> bundle_parts.Deps:
        """Where the parts come from."""
        return bundle_parts.Deps(self.evidence.documents, self.evidence.links.evidence, self.evidence.media)


@dataclass(frozen=True)
class Begun:
    """A bundle that is logged and may be sent. `incident` is as it is after its export was noted."""

    id: str
    incident: Incident
    made_at: datetime
    made_by: str
    software: str


def begin(incident_id: str, caller: Caller, software: str, deps: Deps) -> Begun:
    """Notes the export in the view log and the timeline. `software`: name and version of what makes the bundle.

    Raises `NotFound` and `Retryable`.
    """
    store = deps.evidence.documents
    records = incident_records.Deps(store, deps.bus, deps.evidence.clock)
    for _ in range(MAX_CONFLICTS):
        before, version = visible_incident(incident_id, caller, store)
        now, bundle_id = deps.evidence.clock.now(), ids.new_uuid()
        details = {"bundle_id": bundle_id}
        change = incident_changes.changed(before, Action.EXPORTED, now, caller.name, {}, details=details)
        view = EvidenceView(
            deps.evidence.ids.next(), now, caller.name, Purpose.BUNDLE, Item.BUNDLE, bundle_id, incident_id
        )
        record = BundleRecord(bundle_id, incident_id, change.incident.revision, now, caller.name)
        writes = [evidence_views.creation(view), evidence_bundles.creation(record)]
        try:
            incident_records.store([Planned(before, version, change)], writes, records)
        except (AlreadyExists, VersionConflict):
            continue
        return Begun(bundle_id, change.incident, now, caller.name, software)
    raise Retryable("the incident changes all the time")


def stream(begun: Begun, deps: Deps) -> Iterator[bytes]:
    """The zip, block by block. Raises `Retryable`, when what was sent so far is no bundle."""
    return filter(None, _blocks(begun, deps))


@dataclass
class _Contents:
    """What the manifest will say."""

    files: list[BundledFile] = field(default_factory=list)
    absent: list[Absence] = field(default_factory=list)


def _blocks(begun: Begun, deps: Deps) -> Iterator[bytes]:
    archive, contents = ZipStream(begun.made_at), _Contents()
    for part in bundle_parts.parts(begun.incident, deps.parts()):
        yield from _add(part, archive, contents, deps)
    manifest = canonical(to_data(_manifest(begun, contents)))
    deps.evidence.documents.commit([evidence_bundles.completion(begun.id, digest(manifest))])
    yield from archive.file(MANIFEST_NAME, [manifest])
    yield from archive.end()


def _add(part: Part, archive: ZipStream, contents: _Contents, deps: Deps) -> Generator[bytes]:
    if isinstance(part, TextPart):
        written = yield from archive.file(part.path, part.blocks)
        contents.files.append(BundledFile(part.path, written.size, written.sha256))
        return
    found = _opened(part, deps) if isinstance(part, ObjectPart) else part
    if isinstance(found, Absence):
        contents.absent.append(found)
        return
    yield from _copy(found, archive, contents)


@dataclass(frozen=True)
class _Opened:
    """An object whose first block was read: it is there."""

    part: ObjectPart
    reader: BinaryIO
    first: bytes


def _opened(part: ObjectPart, deps: Deps) -> _Opened | Absence:
    blobs = {"evidence": deps.parts().pictures, "media": deps.parts().media}
    for _ in range(LOOKS):
        source = part.source
        try:
            reader = blobs[source.bucket].open(source.name, generation=source.generation)
            return _Opened(part, reader, reader.read(BLOCK_BYTES))
        except NotFound:
            present = bundle_parts.again(part, deps.parts())
        except (Retryable, OSError):
            log.exception("%s can't be read for a bundle", source.name)
            return bundle_parts.partial_of(part)
        if isinstance(present, Absence):
            return present
        part = bundle_parts.moved(part, present)
    return Absence(part.path, AbsenceReason.CHANGED_MEANWHILE)


def _copy(found: _Opened, archive: ZipStream, contents: _Contents) -> Generator[bytes]:
    part, rest = found.part, _Rest(found)
    with found.reader:
        written = yield from archive.file(part.path, rest.blocks(), expected=part.size)
    partial = rest.broken or written.size != part.size
    contents.files.append(BundledFile(part.path, written.size, written.sha256, part.source, partial))
    if partial:
        contents.absent.append(bundle_parts.partial_of(part))


class _Rest:
    """The blocks of an object; they end where it can't be read any more, and then it is `broken`."""

    def __init__(self, found: _Opened) -> None:
        self.broken = False
        self._found = found

    def blocks(self) -> Iterator[bytes]:
        block = self._found.first
        while block:
            yield block
            try:
                block = self._found.reader.read(BLOCK_BYTES)
            except (NotFound, Retryable, OSError):
                log.exception("%s broke off in a bundle", self._found.part.source.name)
                self.broken = True
                return


def _manifest(begun: Begun, contents: _Contents) -> Manifest:
    return Manifest(
        format=FORMAT,
        bundle_id=begun.id,
        incident_id=begun.incident.id,
        incident_revision=begun.incident.revision,
        made_at=begun.made_at,
        made_by=begun.made_by,
        software=begun.software,
        files=tuple(contents.files),
        absent=tuple(contents.absent),
    )
