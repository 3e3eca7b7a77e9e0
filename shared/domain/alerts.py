"""Alerts: who is called when an incident opens or becomes more urgent, and what became of the call (SPEC §4).

The words: an *alert* belongs to one opening or one rise of one incident; it asks guards in *rounds*, each with a
response deadline; a *delivery* is one message to one target by one channel, with its attempts.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from shared.domain.incidents import Priority


class AlertCause(StrEnum):
    """What an alert is about."""

    OPENED = "opened"
    RAISED = "raised"


class AlertState(StrEnum):
    """How an alert stands. All but ACTIVE are final."""

    ACTIVE = "active"
    ACCEPTED = "accepted"
    EXHAUSTED = "exhausted"
    ENDED = "ended"
    SUPERSEDED = "superseded"
    SUPPRESSED = "suppressed"


class Answer(StrEnum):
    """What a guard said, or did not say in time."""

    ACCEPTED = "accepted"
    DECLINED = "declined"
    NO_ANSWER = "no_answer"


@dataclass(frozen=True)
class Ask:
    """One guard asked in one round (from 1). `guard_name`: as it was then."""

    guard_id: str
    guard_name: str
    round: int
    asked_at: datetime
    answer: Answer | None = None
    answered_at: datetime | None = None
    reason: str | None = None


@dataclass(frozen=True)
class Passed:
    """A guard of the place who was not asked, and why (`quiet_hours`, `off_shift`, …): nobody is left out silently."""

    guard_id: str
    because: str


@dataclass(frozen=True)
class Alert:
    """One alert. `id` is made of the incident and the priority, which only rises: so there is one a rise.

    `deadline`: when the present round is over. `because`: why it is in its state, where that needs a reason
    (`cool_down`, `incident_resolved`, …). `revision` grows with each change. `incident_revision`: the incident's when
    it opened or rose; who took the incident over later knows of that, who did so before does not.
    """

    id: str
    incident_id: str
    beacon_id: str
    beacon_location: str
    priority: Priority
    cause: AlertCause
    signal_id: int | None
    created_at: datetime
    incident_revision: int = 1
    state: AlertState = AlertState.ACTIVE
    because: str | None = None
    round: int = 0
    deadline: datetime | None = None
    asks: tuple[Ask, ...] = ()
    passed: tuple[Passed, ...] = ()
    ended_at: datetime | None = None
    revision: int = 1

    @property
    def changed_at(self) -> datetime:
        """When it last changed: whatever happens to it bears a time."""
        asked = [moment for ask in self.asks for moment in (ask.asked_at, ask.answered_at)]
        return max(moment for moment in (self.created_at, self.ended_at, *asked) if moment is not None)


@dataclass(frozen=True)
class PlaceCall:
    """The last alert by which somebody was called about a place, or would have been if anybody were there."""

    beacon_id: str
    alert_id: str
    priority: Priority
    called_at: datetime


def alert_id(incident_id: str, priority: Priority) -> str:
    """The id of the alert of an opening at, or a rise to, this priority."""
    return f"{incident_id}:{priority.value}"


def alert_ids(incident_id: str) -> tuple[str, ...]:
    """The ids of all alerts an incident can have."""
    return tuple(alert_id(incident_id, priority) for priority in Priority)


class Channel(StrEnum):
    """How a target is reached."""

    PUSH = "push"
    WEBHOOK = "webhook"


class DeliveryState(StrEnum):
    """How a delivery stands. PENDING is the only one that is tried (again)."""

    PENDING = "pending"
    SENT = "sent"
    FAILED = "failed"


class AlertEvent(StrEnum):
    """What a delivery tells of."""

    OPENED = "incident.opened"
    RAISED = "incident.raised"
    EXHAUSTED = "alert.exhausted"
    TEST = "webhook.test"


@dataclass(frozen=True)
class AlertDelivery:
    """One message to one target: a guard (PUSH) or a webhook. `id` is the same for every attempt.

    `due`: when the next attempt may begin. `claimed_until`: somebody is at it. `last_status`: the HTTP status, or a
    word of the push service; `last_error`: a sentence.
    """

    id: str
    alert_id: str
    incident_id: str
    event: AlertEvent
    channel: Channel
    target: str
    created_at: datetime
    due: datetime
    round: int = 0
    state: DeliveryState = DeliveryState.PENDING
    attempts: int = 0
    claimed_until: datetime | None = None
    last_attempt_at: datetime | None = None
    last_status: str | None = None
    last_error: str | None = None

    @property
    def is_pending(self) -> bool:
        """Whether it is tried (again)."""
        return self.state is DeliveryState.PENDING


def delivery_id(alert: str, event: AlertEvent, channel: Channel, target: str, round_number: int) -> str:
    """One message an event, target and round, however often it is planned."""
    return f"{alert}:{event.value}:{channel.value}:{round_number}:{target}"
