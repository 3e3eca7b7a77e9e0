"""What operators are told as it happens: that an incident changed, or an alert. Pure; nothing is stored here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from shared.domain.alerts import Alert
from shared.domain.incidents import Incident


class Subject(StrEnum):
    """What changed."""

    INCIDENT = "incident"
    ALERT = "alert"


@dataclass(frozen=True)
class Happening:
    """A change: `told` is what is shown of the subject as it is after it. `revision` grows with each change.

    Changes that follow each other quickly may be told as one, so revisions may be left out, but not the latest.
    """

    subject: Subject
    id: str
    revision: int
    at: datetime
    beacon_id: str
    told: Mapping[str, Any]

    @property
    def key(self) -> tuple[Subject, str]:
        """What the revision counts the changes of."""
        return self.subject, self.id


def of_incident(incident: Incident) -> Happening:
    """The latest change of an incident."""
    at = incident.changed_at or incident.opened_at
    told = {
        "incident_id": incident.id,
        "what": "opened" if incident.revision == 1 else "changed",
        "revision": incident.revision,
        "status": incident.status.value,
        "priority": incident.priority.value,
        "beacon_id": incident.beacon_id,
        "beacon_location": incident.beacon_location,
        "assignee": incident.assignee,
        "acknowledged_by": incident.acknowledged_by,
        "outcome": None if incident.outcome is None else incident.outcome.value,
        "opened_at": incident.opened_at,
        "changed_at": at,
        "previous_incident_id": incident.previous_incident_id,
    }
    return Happening(Subject.INCIDENT, incident.id, incident.revision, at, incident.beacon_id, told)


def of_alert(alert: Alert) -> Happening:
    """The latest change of an alert."""
    told = {
        "alert_id": alert.id,
        "incident_id": alert.incident_id,
        "what": "created" if alert.revision == 1 else "changed",
        "revision": alert.revision,
        "state": alert.state.value,
        "because": alert.because,
        "cause": alert.cause.value,
        "priority": alert.priority.value,
        "beacon_id": alert.beacon_id,
        "beacon_location": alert.beacon_location,
        "round": alert.round,
        "deadline": alert.deadline,
        "changed_at": alert.changed_at,
    }
    return Happening(Subject.ALERT, alert.id, alert.revision, alert.changed_at, alert.beacon_id, told)
