"""What a person can do with an incident, as data: one class a step, checked before anything is read, then taken.

The same step on the same incident always ends the same way; `incident_changes` decides whether it may be taken.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from datetime import datetime

from shared.domain import incident_changes
from shared.domain.incident_changes import Change, Refusal, check_assignee, check_note
from shared.domain.incidents import Incident, Outcome


@dataclass(frozen=True)
class Acknowledge:
    """Seen: nobody further need be alerted."""

    note: str | None = None


@dataclass(frozen=True)
class Assign:
    """To somebody, or with None back to nobody."""

    assignee: str | None
    note: str | None = None


@dataclass(frozen=True)
class Start:
    """Somebody is on it."""

    note: str | None = None


@dataclass(frozen=True)
class Resolve:
    """The end, and what it turned out to be."""

    outcome: Outcome
    note: str


@dataclass(frozen=True)
class Remark:
    """A note for the timeline."""

    note: str


@dataclass(frozen=True)
class Hold:
    """Sets the legal hold, or lifts it."""

    on: bool
    note: str


Step = Acknowledge | Assign | Start | Resolve | Remark | Hold


def check(step: Step) -> None:
    """Raises `Malformed` for texts that are not fit to be kept."""
    if step.note is not None:
        check_note(step.note)
    if isinstance(step, Assign) and step.assignee is not None:
        check_assignee(step.assignee)


def take(step: Step, incident: Incident, now: datetime, *, actor: str) -> Change | Refusal:
    """What becomes of the incident, or why nothing does."""
    match step:
        case Acknowledge(note):
            return incident_changes.acknowledge(incident, now, actor=actor, note=note)
        case Assign(assignee, note):
            return incident_changes.assign(incident, assignee, now, actor=actor, note=note)
        case Start(note):
            return incident_changes.start(incident, now, actor=actor, note=note)
        case Resolve(outcome, note):
            return incident_changes.resolve(incident, outcome, note, now, actor=actor)
        case Remark(note):
            return incident_changes.remark(incident, note, now, actor=actor)
        case Hold(on, note):
            return incident_changes.hold(incident, on, now, actor=actor, note=note)


@dataclass(frozen=True)
class TakenStep:
    """A step that was taken under an `Idempotency-Key`. `content`: see `content_of`."""

    id: str
    content: str
    incident_id: str
    created_at: datetime
    expires_at: datetime


def content_of(step: Step) -> str:
    """One hash for all that was asked."""
    return hashlib.sha256(json.dumps([type(step).__name__, asdict(step)]).encode()).hexdigest()
