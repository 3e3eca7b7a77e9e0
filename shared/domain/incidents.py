"""Signals and incidents: one incident per place and time window (SPEC §4).

A *slot* per beacon names the incident that absorbs its signals. It is written only when an incident opens, by
compare-and-set, so that any number of signals can arrive at once without a hot document: the signals are documents of
their own.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from shared.errors import Permanent


class SignalKind(StrEnum):
    """What was perceived."""

    VIOLENCE = "violence"
    SCREAM = "scream"
    MODERATION = "moderation"
    BLACKLIST = "blacklist"


class Priority(StrEnum):
    """How urgent; compare with `rank`."""

    MEDIUM = "Medium"
    HIGH = "High"
    CRITICAL = "Critical"

    @property
    def rank(self) -> int:
        """Higher is more urgent."""
        return list(Priority).index(self)


class IncidentStatus(StrEnum):
    """The states of an incident; RESOLVED is final."""

    CREATED = "CREATED"
    ASSIGNED = "ASSIGNED"
    IN_PROGRESS = "IN_PROGRESS"
    RESOLVED = "RESOLVED"


@dataclass(frozen=True)
class SignalProfile:
    """How one kind of signal counts: from which confidence it concerns an incident, and with which priority."""

    threshold: float
    priority: Priority
    signal_type: str


# What `float` takes besides (underscores, other scripts' digits, "nan") is more likely a fault than a number.
_DECIMAL = re.compile(r"[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]{1,3})?", re.ASCII)

PROFILES: dict[SignalKind, SignalProfile] = {
    SignalKind.VIOLENCE: SignalProfile(0.75, Priority.CRITICAL, "VIOLENCE_DETECTED"),
    SignalKind.SCREAM: SignalProfile(0.80, Priority.HIGH, "SCREAM_DETECTED"),
    # The verdict has decided already; how urgent it is, its moderation profile says.
    SignalKind.MODERATION: SignalProfile(0.0, Priority.HIGH, "MODERATION_FLAGGED"),
    # The list has decided already: a hit counts whatever the reader's confidence in the characters or the face.
    SignalKind.BLACKLIST: SignalProfile(0.0, Priority.HIGH, "BLACKLIST_HIT"),
}


class Standing(StrEnum):
    """What is known of a place."""

    ACTIVE = "active"
    INACTIVE = "inactive"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Place:
    """Where something was observed. `location` names it to a person; `neighbours` are ids of places.

    Devices report from ACTIVE places only; an upload's observation counts whatever its place is, and is never lost.
    """

    location: str
    neighbours: tuple[str, ...] = ()
    standing: Standing = Standing.ACTIVE


@dataclass(frozen=True)
class Beacon:
    """A place that devices and cameras report from. `neighbours`: ids of places so near that both perceive the same."""

    id: str
    location: str
    active: bool
    neighbours: tuple[str, ...] = ()

    @property
    def place(self) -> Place:
        """As the place of an observation."""
        standing = Standing.ACTIVE if self.active else Standing.INACTIVE
        return Place(self.location, self.neighbours, standing)


@dataclass(frozen=True)
class Observation:
    """What somebody reports, before it is decided upon. `asset_id` is set when it comes from an analysed upload.

    `own_priority`: how urgent it is, where that is not told by its kind. `device_id` is what the report says of itself;
    `reported_by` the device whose key came with it, where one did.
    """

    kind: SignalKind
    beacon_id: str
    confidence: float
    description: str
    device_id: str | None = None
    asset_id: str | None = None
    own_priority: Priority | None = None
    reported_by: str | None = None

    @property
    def priority(self) -> Priority:
        """The priority of an incident it opens, and the least of one it joins."""
        return self.own_priority or PROFILES[self.kind].priority


@dataclass(frozen=True)
class AiEvent:
    """Every accepted observation, whether or not it concerns an incident."""

    id: int
    observation: Observation
    created_at: datetime
    incident_id: str | None


@dataclass(frozen=True)
class Signal:
    """An observation that belongs to an incident."""

    id: int
    ai_event_id: int
    incident_id: str
    observation: Observation
    created_at: datetime


class Outcome(StrEnum):
    """What a resolved incident turned out to be."""

    RESOLVED = "resolved"
    FALSE_ALARM = "false_alarm"
    ESCALATED = "escalated"


@dataclass(frozen=True)
class Incident:
    """One thing that happens at one place.

    `revision` counts its changes: it is the number of its latest timeline entry, 1 when it opens. Signals that join
    leave it as it is. `outcome`, `resolution_note` and `resolved_at` are set when it is RESOLVED.
    """

    id: str
    beacon_id: str
    beacon_location: str
    status: IncidentStatus
    priority: Priority
    opened_at: datetime
    previous_incident_id: str | None = None
    revision: int = 1
    changed_at: datetime | None = None
    assignee: str | None = None
    acknowledged_by: str | None = None
    acknowledged_at: datetime | None = None
    outcome: Outcome | None = None
    resolution_note: str | None = None
    resolved_at: datetime | None = None
    legal_hold: bool = False


@dataclass(frozen=True)
class Slot:
    """The incident that absorbs a beacon's signals, and since when. It may have opened at a neighbouring beacon."""

    beacon_id: str
    incident_id: str
    opened_at: datetime


@dataclass(frozen=True)
class IncidentPolicy:
    """Times of deduplication. `quiet`: signals that follow each other within it keep the incident open past the window;
    `max_age` caps that. `joins_neighbours`: a signal also joins the incident of a neighbouring place. Observations of
    other than these `kinds` are logged and concern no incident."""

    window: timedelta = timedelta(seconds=300)
    quiet: timedelta | None = None
    max_age: timedelta | None = None
    joins_neighbours: bool = False
    kinds: frozenset[SignalKind] = frozenset(SignalKind)


class Reason(StrEnum):
    """Why a signal was logged, attached, or opened an incident."""

    BELOW_THRESHOLD = "below_threshold"
    KIND_TAKES_NO_PART = "kind_takes_no_part"
    ATTACHED_WITHIN_WINDOW = "attached_within_window"
    ATTACHED_WHILE_SIGNALS_CONTINUE = "attached_while_signals_continue"
    ATTACHED_TO_NEIGHBOUR = "attached_to_neighbour"
    OPENED_FIRST = "opened_first"
    OPENED_AFTER_WINDOW = "opened_after_window"
    OPENED_AFTER_MAX_AGE = "opened_after_max_age"
    OPENED_AFTER_RESOLUTION = "opened_after_resolution"
    OPENED_AFTER_LOSS = "opened_after_loss"
    OPENED_AFTER_CLOCK_TURNED_BACK = "opened_after_clock_turned_back"

    @property
    def attaches(self) -> bool:
        """Whether the signal joins the present incident."""
        return self in _ATTACHING


_ATTACHING = frozenset(
    {Reason.ATTACHED_WITHIN_WINDOW, Reason.ATTACHED_WHILE_SIGNALS_CONTINUE, Reason.ATTACHED_TO_NEIGHBOUR}
)


def parse_confidence(raw: object) -> float:
    """A number from 0 to 1, also as text. Anything else, NaN included: `Permanent` with the source's wording."""
    if isinstance(raw, str) and _DECIMAL.fullmatch(raw.strip()):
        raw = float(raw)
    if isinstance(raw, bool) or not isinstance(raw, int | float) or not 0 <= raw <= 1:
        raise Permanent("invalid_confidence", "Confidence score not between 0.0-1.0")
    return float(raw)


def concerns_incident(observation: Observation) -> bool:
    """Whether the confidence reaches the kind's threshold."""
    return observation.confidence >= PROFILES[observation.kind].threshold


def reason_to_log(observation: Observation, policy: IncidentPolicy) -> Reason | None:
    """Why an observation concerns no incident and is only logged; None: it concerns one."""
    if observation.kind not in policy.kinds:
        return Reason.KIND_TAKES_NO_PART
    return None if concerns_incident(observation) else Reason.BELOW_THRESHOLD


def within_window(slot: Slot, now: datetime, policy: IncidentPolicy) -> bool:
    """Less than the window since the incident opened. A clock that lags behind the opener's counts as "now"."""
    return now - slot.opened_at < _capped(policy.window, policy)


def decide(
    slot: Slot | None,
    status: IncidentStatus | None,
    last_signal_at: datetime | None,
    now: datetime,
    policy: IncidentPolicy,
) -> Reason:
    """Attach or open, for an observation that concerns an incident.

    `status` is the slot's incident's (None: it is gone), `last_signal_at` the time of its latest signal; it is only
    consulted past the window when a quiet time is set.
    """
    if slot is None:
        return Reason.OPENED_FIRST
    if status is None or status is IncidentStatus.RESOLVED:
        return Reason.OPENED_AFTER_LOSS if status is None else Reason.OPENED_AFTER_RESOLUTION
    return _decide_by_time(slot, last_signal_at, now, policy)


def _decide_by_time(slot: Slot, last_signal_at: datetime | None, now: datetime, policy: IncidentPolicy) -> Reason:
    if slot.opened_at - now >= policy.window:
        # No lag but a clock that was put right: else the place would be silent until the wrong time has come.
        return Reason.OPENED_AFTER_CLOCK_TURNED_BACK
    if within_window(slot, now, policy):
        return Reason.ATTACHED_WITHIN_WINDOW
    if policy.max_age is not None and now - slot.opened_at >= policy.max_age:
        return Reason.OPENED_AFTER_MAX_AGE
    if policy.quiet is not None and last_signal_at is not None and abs(now - last_signal_at) < policy.quiet:
        return Reason.ATTACHED_WHILE_SIGNALS_CONTINUE
    return Reason.OPENED_AFTER_WINDOW


def raised_priority(present: Priority, proposed: Priority) -> Priority | None:
    """The priority a signal raises the incident to, or None: it never falls."""
    return proposed if proposed.rank > present.rank else None


def _capped(window: timedelta, policy: IncidentPolicy) -> timedelta:
    return window if policy.max_age is None else min(window, policy.max_age)
