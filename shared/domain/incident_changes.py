"""How an incident changes after it opened: its states, what may be done to it in each, and the entry each change makes.

Every change makes exactly one entry of the incident's timeline, numbered by the incident's `revision`, so that a gap
would show. Pure: nothing is stored here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Any

from shared.domain.actors import RESERVED, is_reserved
from shared.domain.assets import are_shown_lines, is_shown_text
from shared.domain.incidents import Incident, IncidentStatus, Outcome, Priority
from shared.errors import Malformed

MAX_NOTE_CHARACTERS = 2000
MAX_ASSIGNEE_CHARACTERS = 100


class Action(StrEnum):
    """What a change was: the kind of its timeline entry."""

    OPENED = "opened"
    PRIORITY_RAISED = "priority_raised"
    ACKNOWLEDGED = "acknowledged"
    ASSIGNED = "assigned"
    UNASSIGNED = "unassigned"
    STARTED = "started"
    RESOLVED = "resolved"
    NOTED = "noted"
    HELD = "legal_hold_set"
    HOLD_LIFTED = "legal_hold_lifted"
    EXPORTED = "evidence_exported"
    ERASED = "evidence_erased"


@dataclass(frozen=True)
class TimelineEntry:
    """One change: who did what, when, and what was before and is after (only the fields that changed).

    `number` counts from 1 without gaps. `at` is never before that of the entry before, even where the clocks of two
    instances differ: time and number tell the same order. `actor` is a person's name, a device's, or `sightline`.
    `details`: what belongs to the change and is no field of the incident (the signal that opened it, …).
    """

    incident_id: str
    beacon_id: str
    number: int
    at: datetime
    actor: str
    action: Action
    before: Mapping[str, Any] = field(default_factory=dict)
    after: Mapping[str, Any] = field(default_factory=dict)
    note: str | None = None
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Change:
    """An incident after a change, and the entry that tells of it. Stored together or not at all."""

    incident: Incident
    entry: TimelineEntry


class Refusal(StrEnum):
    """Why an action can't be done now."""

    ILLEGAL_TRANSITION = "illegal_transition"
    ALREADY_RESOLVED = "already_resolved"
    NOTE_NEEDED = "note_needed"
    NOTHING_TO_CHANGE = "nothing_to_change"


TRANSITIONS: Mapping[IncidentStatus, frozenset[IncidentStatus]] = {
    IncidentStatus.CREATED: frozenset({IncidentStatus.ASSIGNED, IncidentStatus.RESOLVED}),
    IncidentStatus.ASSIGNED: frozenset({IncidentStatus.IN_PROGRESS, IncidentStatus.CREATED, IncidentStatus.RESOLVED}),
    IncidentStatus.IN_PROGRESS: frozenset({IncidentStatus.ASSIGNED, IncidentStatus.RESOLVED}),
    IncidentStatus.RESOLVED: frozenset(),
}
"""The states an incident may pass to (SPEC §4)."""


def opened(incident: Incident, *, actor: str, details: Mapping[str, Any]) -> Change:
    """The opening, as the first entry."""
    after = {"status": incident.status, "priority": incident.priority}
    return Change(incident, _entry(incident, Action.OPENED, actor, incident.opened_at, {}, after, None, details))


def raised(incident: Incident, priority: Priority, now: datetime, *, actor: str, details: Mapping[str, Any]) -> Change:
    """A rise in priority; whether it is one, `incidents.raised_priority` has decided."""
    return changed(incident, Action.PRIORITY_RAISED, now, actor, {"priority": priority}, details=details)


def changed(
    incident: Incident,
    action: Action,
    now: datetime,
    actor: str,
    values: Mapping[str, Any],
    *,
    note: str | None = None,
    details: Mapping[str, Any] | None = None,
) -> Change:
    """The incident with these fields, and the entry with those of them that differ. Asks nothing: who calls has."""
    at = _not_before_the_last_change(incident, now)
    after = replace(incident, **values, revision=incident.revision + 1, changed_at=at)
    differing = [name for name in values if getattr(incident, name) != getattr(after, name)]
    before = {name: getattr(incident, name) for name in differing}
    entry = _entry(
        after, action, actor, at, before, {name: getattr(after, name) for name in differing}, note, details or {}
    )
    return Change(after, entry)


def assign(
    incident: Incident,
    assignee: str | None,
    now: datetime,
    *,
    actor: str,
    note: str | None = None,
    details: Mapping[str, Any] | None = None,
) -> Change | Refusal:
    """To somebody (ASSIGNED, from CREATED, ASSIGNED or IN_PROGRESS), or with None back to nobody (CREATED).

    From IN_PROGRESS it only goes to somebody, be it the same, who has yet to start again (SPEC §4).
    """
    target = IncidentStatus.CREATED if assignee is None else IncidentStatus.ASSIGNED
    if incident.status is target and incident.assignee == assignee:
        return Refusal.NOTHING_TO_CHANGE
    refusal = None if incident.status is target else refusal_of(incident.status, target)
    if refusal is not None:
        return refusal
    action = Action.UNASSIGNED if assignee is None else Action.ASSIGNED
    values = {"status": target, "assignee": assignee}
    return changed(incident, action, now, actor, values, note=note, details=details)


def start(incident: Incident, now: datetime, *, actor: str, note: str | None = None) -> Change | Refusal:
    """Somebody is on it: from ASSIGNED."""
    refusal = refusal_of(incident.status, IncidentStatus.IN_PROGRESS)
    if refusal is not None:
        return refusal
    return changed(incident, Action.STARTED, now, actor, {"status": IncidentStatus.IN_PROGRESS}, note=note)


def resolve(incident: Incident, outcome: Outcome, note: str, now: datetime, *, actor: str) -> Change | Refusal:
    """The end, from every other state; it needs a note and an outcome. Who it was assigned to stays to be seen."""
    refusal = refusal_of(incident.status, IncidentStatus.RESOLVED)
    if refusal is not None:
        return refusal
    if not note.strip():
        return Refusal.NOTE_NEEDED
    values = {
        "status": IncidentStatus.RESOLVED,
        "outcome": outcome,
        "resolution_note": note,
        "resolved_at": _not_before_the_last_change(incident, now),
    }
    return changed(incident, Action.RESOLVED, now, actor, values, note=note)


def acknowledge(incident: Incident, now: datetime, *, actor: str, note: str | None = None) -> Change | Refusal:
    """A person has seen it: no change of state, but nobody further is alerted. Once; the first one counts."""
    if incident.status is IncidentStatus.RESOLVED:
        return Refusal.ALREADY_RESOLVED
    if incident.acknowledged_by is not None:
        return Refusal.NOTHING_TO_CHANGE
    values = {"acknowledged_by": actor, "acknowledged_at": _not_before_the_last_change(incident, now)}
    return changed(incident, Action.ACKNOWLEDGED, now, actor, values, note=note)


def remark(incident: Incident, note: str, now: datetime, *, actor: str) -> Change | Refusal:
    """A note, in every state: what is learnt afterwards belongs to the incident, too."""
    if not note.strip():
        return Refusal.NOTE_NEEDED
    return changed(incident, Action.NOTED, now, actor, {}, note=note)


def hold(incident: Incident, on: bool, now: datetime, *, actor: str, note: str) -> Change | Refusal:
    """Sets or lifts the legal hold, in every state; it needs a reason."""
    if incident.legal_hold is on:
        return Refusal.NOTHING_TO_CHANGE
    if not note.strip():
        return Refusal.NOTE_NEEDED
    action = Action.HELD if on else Action.HOLD_LIFTED
    return changed(incident, action, now, actor, {"legal_hold": on}, note=note)


def refusal_of(present: IncidentStatus, target: IncidentStatus) -> Refusal | None:
    """Why an incident can't pass from one state to another; None: it can."""
    if present is IncidentStatus.RESOLVED:
        return Refusal.ALREADY_RESOLVED
    return None if target in TRANSITIONS[present] else Refusal.ILLEGAL_TRANSITION


def sentence_of(refusal: Refusal, incident: Incident) -> str:
    """Why not, for a person who sees the incident as it is."""
    return _SENTENCES[refusal].format(status=incident.status, ways=" or ".join(sorted(TRANSITIONS[incident.status])))


_SENTENCES: Mapping[Refusal, str] = {
    Refusal.ILLEGAL_TRANSITION: "An incident that is {status} can only become {ways}.",
    Refusal.ALREADY_RESOLVED: "The incident is RESOLVED, which is final; notes may still be added.",
    Refusal.NOTE_NEEDED: "A note is needed.",
    Refusal.NOTHING_TO_CHANGE: "The incident is so already: nothing would change.",
}


def check_note(note: str) -> None:
    """Raises `Malformed` for a note that is blank, too long, or holds what can't be shown."""
    if not note.strip() or not are_shown_lines(note, MAX_NOTE_CHARACTERS):
        raise Malformed(
            "invalid_note",
            f"note must be 1 to {MAX_NOTE_CHARACTERS} printable characters; line breaks and tabs may be among them.",
        )


def check_assignee(assignee: str) -> None:
    """Raises `Malformed` for a name that is blank, too long, reserved, or holds what can't be shown."""
    if is_reserved(assignee):
        raise Malformed("reserved_name", RESERVED)
    if not is_shown_text(assignee, MAX_ASSIGNEE_CHARACTERS):
        raise Malformed("invalid_assignee", f"assignee must be 1 to {MAX_ASSIGNEE_CHARACTERS} printable characters.")


def _not_before_the_last_change(incident: Incident, now: datetime) -> datetime:
    return max(now, incident.changed_at or incident.opened_at)


def _entry(
    incident: Incident,
    action: Action,
    actor: str,
    at: datetime,
    before: Mapping[str, Any],
    after: Mapping[str, Any],
    note: str | None,
    details: Mapping[str, Any],
) -> TimelineEntry:
    return TimelineEntry(
        incident_id=incident.id,
        beacon_id=incident.beacon_id,
        number=incident.revision,
        at=at,
        actor=actor,
        action=action,
        before=before,
        after=after,
        note=note,
        details=details,
    )
