"""What is published of a change of an incident: one message a timeline entry; the opening has its own, by `observe`."""

from __future__ import annotations

from shared.domain.incident_changes import Change
from shared.domain.incidents import Incident
from shared.messages import IncidentChanged


def changed(before: Incident, change: Change, *, signal_id: int | None = None) -> IncidentChanged:
    """The news of a change. `signal_id`: the signal that caused it, if one did."""
    after = change.incident
    return IncidentChanged(
        incident_id=after.id,
        beacon_id=after.beacon_id,
        previous_priority=before.priority,
        priority=after.priority,
        signal_id=signal_id,
        change=change.entry.action,
        revision=change.entry.number,
        actor=change.entry.actor,
        status=after.status,
        assignee=after.assignee,
    )
