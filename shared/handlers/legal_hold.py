"""Sets and lifts the legal hold of an incident: while it lasts, nothing of its evidence is deleted.

Whoever deletes asks for the hold last, and the commit that decides on a deletion fails when the incident changed since
it was asked: a deletion is decided before the hold or not at all.
"""

from __future__ import annotations

from shared.delivery import MAX_CONFLICTS
from shared.domain import incident_changes
from shared.domain.incident_changes import Refusal, check_note
from shared.domain.incidents import Incident
from shared.errors import Retryable, VersionConflict
from shared.handlers import incident_records
from shared.handlers.incident_records import Planned
from shared.handlers.visibility import visible_incident
from shared.ports import Caller


def set_hold(incident_id: str, on: bool, reason: str, caller: Caller, deps: incident_records.Deps) -> Incident:
    """The incident, held or not as ordered; one that is so already stays as it is.

    Raises `Malformed` for a reason that can't be kept, `NotFound`, and `Retryable`.
    """
    check_note(reason)
    for _ in range(MAX_CONFLICTS):
        before, version = visible_incident(incident_id, caller, deps.documents)
        change = incident_changes.hold(before, on, deps.clock.now(), actor=caller.name, note=reason)
        if isinstance(change, Refusal):
            return before
        try:
            incident_records.store([Planned(before, version, change)], (), deps)
        except VersionConflict:
            continue
        return change.incident
    raise Retryable("the incident changes all the time")
