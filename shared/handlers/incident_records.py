"""Changes of incidents that somebody ordered: stored with what belongs to them in one commit, then told of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from shared import ids
from shared.domain.incident_changes import Change
from shared.domain.incidents import Incident
from shared.handlers import incident_news
from shared.outbox import outbox_of, publish_at_once, saved
from shared.ports import Bus, Clock, Documents, Write
from shared.repositories import incidents


@dataclass(frozen=True)
class Deps:
    """What storing a change needs of the world."""

    documents: Documents
    bus: Bus
    clock: Clock


@dataclass(frozen=True)
class Planned:
    """A change of an incident that was read at `version`."""

    before: Incident
    version: str
    change: Change


def store(planned: Sequence[Planned], extra: Sequence[Write], deps: Deps) -> None:
    """Commits the changes and `extra`, all or none, and publishes them.

    Raises `VersionConflict` when one of the incidents changed since it was read, `AlreadyExists` of `extra`, and
    `Retryable`; once it is committed, nothing.
    """
    key, now = f"record:{ids.new_uuid()}", deps.clock.now()
    outbox = outbox_of(key, [incident_news.changed(each.before, each.change) for each in planned], now)
    writes = [write for each in planned for write in incidents.change_writes(each.change, each.version)]
    held = [saved(key, outbox, now)] if outbox else []
    deps.documents.commit([*writes, *extra, *held])
    if outbox:
        publish_at_once(deps.documents, deps.bus, key, outbox, now)
