"""/alerts: who was called about an incident, who was not and why, and what they answered."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Query
from fastapi.responses import JSONResponse
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from shared.domain.alerts import Alert, AlertState, Answer
from shared.domain.assets import is_shown_text
from shared.errors import Malformed
from shared.handlers import answering
from shared.handlers.answering import AnswerRefused, GuardsAnswer
from shared.handlers.incident_records import Deps
from shared.ports import Caller
from shared.repositories import alerts
from shared.web.callers import Operator, Viewer
from shared.web.clients import Actor

MAX_PLACES = 30
"""As many as one query can name."""

MAX_REASON_CHARACTERS = 500


def _shown(text: str) -> str:
    if not is_shown_text(text, MAX_REASON_CHARACTERS):
        raise ValueError("must be text that can be shown, without control characters")
    return text


class AnswerBody(BaseModel):
    """What a guard answers; `reason` in their own words."""

    model_config = ConfigDict(extra="forbid")

    guard_id: str = Field(min_length=1, max_length=100)
    reason: Annotated[str, Field(max_length=MAX_REASON_CHARACTERS), AfterValidator(_shown)] | None = None


class AskReply(BaseModel):
    """One guard who was asked. `answer`: `accepted`, `declined`, `no_answer`; null: they still may."""

    guard_id: str
    guard_name: str
    round: int
    asked_at: datetime
    answer: str | None
    answered_at: datetime | None
    reason: str | None


class PassedReply(BaseModel):
    """One guard of the place who was not asked: `inactive`, `off_shift`, `quiet_hours`, or `not_reached`."""

    guard_id: str
    because: str


class AlertSummary(BaseModel):
    """An alert. `because`: why it is in its state (`cool_down`, `incident_resolved`, `nobody_left`, …)."""

    alert_id: str
    incident_id: str
    beacon_id: str
    beacon_location: str
    priority: str
    cause: str
    state: str
    because: str | None
    created_at: datetime
    round: int
    deadline: datetime | None
    ended_at: datetime | None
    accepted_by: str | None
    revision: int


class AlertReply(AlertSummary):
    """An alert with everybody who was asked, and everybody of the place who was not."""

    asks: list[AskReply]
    passed: list[PassedReply]


class AlertList(BaseModel):
    """A page, the newest first; pass `next_cursor` as `cursor` for the following one."""

    alerts: list[AlertSummary]
    next_cursor: str | None


def router(deps: Callable[[], Deps]) -> APIRouter:
    """The routes over these collaborators."""
    routes = APIRouter(tags=["alerts"])

    @routes.get("/alerts")
    def list_alerts(
        caller: Viewer,
        state: AlertState | None = None,
        beacon_id: str | None = None,
        incident_id: str | None = None,
        limit: Annotated[int, Query(ge=1, le=1000)] = 100,
        cursor: str | None = None,
    ) -> AlertList:
        if incident_id is not None:
            return _of_incident(incident_id, state, beacon_id, caller, deps())
        places = _places(beacon_id, caller)
        if places == ():
            return AlertList(alerts=[], next_cursor=None)
        found, following = alerts.newest(deps().documents, state=state, beacon_ids=places, limit=limit, cursor=cursor)
        return AlertList(alerts=[_summary(alert) for alert in found], next_cursor=following)

    @routes.get("/alerts/{alert_id}")
    def get_alert(caller: Viewer, alert_id: str) -> AlertReply:
        return shown(answering.visible(alert_id, caller, deps().documents)[0])

    @routes.post("/alerts/{alert_id}/accept", response_model=AlertReply, responses=_CONFLICT)
    def accept(caller: Operator, by: Actor, alert_id: str, body: AnswerBody) -> AlertReply | JSONResponse:
        said = GuardsAnswer(alert_id, body.guard_id, body.reason, replace(caller, name=by))
        return _answered(answering.accept, said, deps())

    @routes.post("/alerts/{alert_id}/decline", response_model=AlertReply, responses=_CONFLICT)
    def decline(caller: Operator, by: Actor, alert_id: str, body: AnswerBody) -> AlertReply | JSONResponse:
        said = GuardsAnswer(alert_id, body.guard_id, body.reason, replace(caller, name=by))
        return _answered(answering.decline, said, deps())

    return routes


class Refused(BaseModel):
    """Why an answer was not taken, and the alert as it is."""

    detail: str
    alert: AlertReply


_CONFLICT: dict[int | str, dict[str, object]] = {409: {"model": Refused}}


def _answered(
    answer: Callable[[GuardsAnswer, Deps], Alert], said: GuardsAnswer, deps: Deps
) -> AlertReply | JSONResponse:
    try:
        return shown(answer(said, deps))
    except AnswerRefused as refused:
        body = Refused(detail=refused.sentence, alert=shown(refused.alert))
        return JSONResponse(body.model_dump(mode="json"), refused.status)


def _of_incident(
    incident_id: str, state: AlertState | None, beacon_id: str | None, caller: Caller, deps: Deps
) -> AlertList:
    """All of an incident: there are as many as priorities, so that there is only one page."""
    found = [
        alert
        for alert, _ in reversed(alerts.of_incident(deps.documents, incident_id))
        if caller.may_see(alert.beacon_id) and state in {None, alert.state} and beacon_id in {None, alert.beacon_id}
    ]
    return AlertList(alerts=[_summary(alert) for alert in found], next_cursor=None)


def _places(beacon_id: str | None, caller: Caller) -> tuple[str, ...] | None:
    """The places to look at; none where the one asked for is not the caller's to see, None: all."""
    if beacon_id is not None:
        return (beacon_id,) if caller.may_see(beacon_id) else ()
    if caller.places is not None and len(caller.places) > MAX_PLACES:
        raise Malformed("too_many_places", f"You see more than {MAX_PLACES} places: name one by beacon_id.")
    return caller.places


def shown(alert: Alert) -> AlertReply:
    """The alert as clients see it."""
    return AlertReply(
        **_summary(alert).model_dump(),
        asks=[AskReply.model_validate(ask, from_attributes=True) for ask in alert.asks],
        passed=[PassedReply.model_validate(each, from_attributes=True) for each in alert.passed],
    )


def _summary(alert: Alert) -> AlertSummary:
    accepted = [ask.guard_id for ask in alert.asks if ask.answer is Answer.ACCEPTED]
    return AlertSummary(
        alert_id=alert.id,
        incident_id=alert.incident_id,
        beacon_id=alert.beacon_id,
        beacon_location=alert.beacon_location,
        priority=alert.priority,
        cause=alert.cause,
        state=alert.state,
        because=alert.because,
        created_at=alert.created_at,
        round=alert.round,
        deadline=alert.deadline,
        ended_at=alert.ended_at,
        accepted_by=accepted[0] if accepted else None,
        revision=alert.revision,
    )
