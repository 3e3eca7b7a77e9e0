"""A device submits an observation with its pictures, and is answered; the same again under its key is stored once.

Everything is looked at before anything is stored. Then come the pictures' objects, then one commit that speaks of them.
Whoever dies in between leaves objects without a record, which the sweeper removes
(`shared/handlers/leftovers.py`); whatever else fails removes them at once.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime

from shared.domain.evidence_images import EvidenceImage, object_name_of
from shared.domain.incidents import Observation, SignalKind
from shared.domain.submissions import (
    KEPT,
    Answer,
    Answered,
    Became,
    Joined,
    RepetitionKey,
    answered_image,
    content_of,
    described,
)
from shared.errors import Conflict, MediaUnusable, NotFound, PreconditionFailed, Retryable
from shared.handlers import signals
from shared.ports import Blobs, CleanPicture, Clock, Documents, PictureCleaner, Write
from shared.repositories import evidence_images, idempotency

log = logging.getLogger(__name__)

MAX_DRAWS = 5
"""Of an id for a picture: two instances rarely draw the same one (`shared/ids.py`)."""


@dataclass(frozen=True)
class Deps:
    """What a submission needs of the world."""

    signals: signals.Deps
    evidence: Blobs
    pictures: PictureCleaner

    @property
    def documents(self) -> Documents:
        """The store."""
        return self.signals.observe.documents

    @property
    def clock(self) -> Clock:
        """The time."""
        return self.signals.observe.clock


@dataclass(frozen=True)
class Submission:
    """What came in one request. `images`: the files as they were received."""

    observation: Observation
    images: tuple[bytes, ...] = ()
    key: RepetitionKey | None = None


@dataclass(frozen=True)
class _Stored:
    """A picture in the bucket, of which no record speaks yet."""

    id: int
    object_name: str
    picture: CleanPicture
    uploaded_at: datetime


class _Repeated(Exception):
    """The same request was answered before, or meanwhile."""

    def __init__(self, answer: Answer) -> None:
        super().__init__("answered before")
        self.answer = answer


def submit(submission: Submission, deps: Deps) -> Answer:
    """Stores an observation and its pictures, all or nothing.

    Raises what `signals.report` raises; `MediaUnusable` for a file that is no picture; `Conflict` where the key was
    used for something else; `Retryable`.
    """
    content = content_of(submission.observation, [hashlib.sha256(data).hexdigest() for data in submission.images])
    try:
        _look_up(submission, content, deps)
        if submission.images:
            signals.place_of(submission.observation, deps.documents)  # to draw pictures takes long
        pictures = [_cleaned(number, data, deps) for number, data in enumerate(submission.images, 1)]
        return _store(submission, content, pictures, deps)
    except _Repeated as repeated:
        return repeated.answer


def _look_up(submission: Submission, content: str, deps: Deps) -> str | None:
    """Raises `_Repeated` or `Conflict` if the key was used. Gives the version of an expired record, else None."""
    found = None if submission.key is None else idempotency.find(deps.documents, submission.key.id)
    if found is None:
        return None
    record, version = found
    if deps.clock.now() >= record.expires_at:
        return version
    if record.content != content:
        raise Conflict("key_reused", "This Idempotency-Key was used for another request")
    raise _Repeated(record.answer)


def _cleaned(number: int, data: bytes, deps: Deps) -> CleanPicture:
    try:
        return deps.pictures.clean(data)
    except MediaUnusable as error:
        raise MediaUnusable(error.code, f"Image {number}: {error.sentence}") from None


def _store(submission: Submission, content: str, pictures: Sequence[CleanPicture], deps: Deps) -> Answer:
    shelf = _Shelf(deps)
    try:
        stored = [shelf.put(picture) for picture in pictures]

        def alongside(report: signals.Report) -> Sequence[Write]:
            expired = _look_up(submission, content, deps)
            records = _records(submission.observation.kind, stored, report)
            writes: list[Write] = [evidence_images.creation(record) for record in records]
            if submission.key is not None:
                answered = _answered(submission.key, content, _answer(records, report), report)
                writes.append(idempotency.writing(answered, expired))
            return writes

        report = signals.report(submission.observation, deps.signals, alongside)
    except signals.OutcomeUnknown:
        raise  # records may speak of the pictures; if none do, the sweeper will find them
    except Exception:  # who is being ended may be so after the commit: the sweeper sees to what that leaves
        shelf.clear()
        raise
    return _answer(_records(submission.observation.kind, stored, report), report)


@dataclass
class _Shelf:
    """The objects of one submission."""

    deps: Deps
    names: list[str] = field(default_factory=list)

    def put(self, picture: CleanPicture) -> _Stored:
        """Stores a picture under a name that nothing has."""
        for _ in range(MAX_DRAWS):
            now, image_id = self.deps.clock.now(), self.deps.signals.observe.ids.next()
            name = object_name_of(image_id, picture.extension, now)
            try:
                self._put(name, picture)
            except PreconditionFailed:
                self.names.remove(name)  # it is another's
                continue
            return _Stored(image_id, name, picture, now)
        raise Retryable("no name for a picture is free")

    def _put(self, name: str, picture: CleanPicture) -> None:
        self.names.append(name)  # before: a call that fails may have stored it
        self.deps.evidence.put(name, picture.data, content_type=picture.content_type, if_generation=0)

    def clear(self) -> None:
        """Removes them; what can't be removed is left to the sweeper."""
        for name in self.names:
            try:
                with suppress(NotFound):
                    self.deps.evidence.delete(name)
            except Exception:
                log.exception("%s waits for the sweeper", name)


def _records(kind: SignalKind, stored: Sequence[_Stored], report: signals.Report) -> list[EvidenceImage]:
    plan = report.plan
    return [
        EvidenceImage(
            id=each.id,
            object_name=each.object_name,
            content_type=each.picture.content_type,
            size=len(each.picture.data),
            sha256=hashlib.sha256(each.picture.data).hexdigest(),
            received_sha256=each.picture.received_sha256,
            width=each.picture.width,
            height=each.picture.height,
            description=described(number, kind),
            beacon_id=plan.event.observation.beacon_id,
            ai_event_id=plan.event.id,
            uploaded_at=each.uploaded_at,
            incident_id=plan.event.incident_id,
            signal_id=plan.signal.id if plan.signal else None,
        )
        for number, each in enumerate(stored, 1)
    ]


def _answer(images: Sequence[EvidenceImage], report: signals.Report) -> Answer:
    plan = report.plan
    return Answer(
        became=_became(report),
        kind=plan.event.observation.kind,
        ai_event_id=plan.event.id,
        confidence=plan.event.observation.confidence,
        device_id=plan.event.observation.device_id,
        images=tuple(answered_image(image) for image in images),
        joined=_joined(report),
    )


def _became(report: signals.Report) -> Became:
    if report.plan.signal is None:
        return Became.LOGGED_ONLY
    return Became.SIGNAL_ADDED if report.plan.reason.attaches else Became.INCIDENT_CREATED


def _joined(report: signals.Report) -> Joined | None:
    incident, signal = report.plan.incident, report.plan.signal
    if incident is None or signal is None:
        return None
    return Joined(incident.id, signal.id, report.location, incident.status, incident.priority)


def _answered(key: RepetitionKey, content: str, answer: Answer, report: signals.Report) -> Answered:
    now = report.plan.event.created_at
    return Answered(key.id, content, answer, now, now + KEPT)
