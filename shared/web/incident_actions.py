"""POST /incidents/{id}/{acknowledge,assign,start,resolve,note}, and several at once: a person acts on incidents.

A step that can't be taken is 409 with the incident as it is, so that a screen that lags behind can show it. So is one
that was taken before: nothing is done twice, and who repeats it sees what became of it. A note can be added twice, so
who can't know whether it arrived sends an `Idempotency-Key`: the same one again is answered as if it were the first.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Depends, Header
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field

from shared.domain.incident_steps import Acknowledge, Assign, Remark, Resolve, Start, Step
from shared.domain.incidents import Incident, Outcome
from shared.errors import Malformed, Permanent
from shared.handlers import incident_actions
from shared.handlers.incident_actions import ActionRefused, Order, Result
from shared.handlers.incident_records import Deps
from shared.ports import Caller
from shared.web.callers import Operator
from shared.web.clients import Actor, IdempotencyKey
from shared.web.incident_replies import IncidentSummary, summarise

MAX_INCIDENTS = 100

Revision = Annotated[int | None, Field(ge=1, strict=True)]


@dataclass(frozen=True)
class Asking:
    """Who acts, on what they saw."""

    caller: Caller
    actor: str
    seen: int | None
    key: str | None

    def order(self, step: Step, revision: int | None = None) -> Order:
        """The order of a body that names a revision, or none. Raises `Malformed`."""
        if self.seen is not None and revision is not None and self.seen != revision:
            raise Malformed("two_revisions", "If-Match and revision name different revisions.")
        return Order(step, self.caller, self.actor, revision if self.seen is None else self.seen, self.key)

    def order_for_several(self, step: Step) -> Order:
        """The order for incidents of which each has a revision of its own. Raises `Malformed`."""
        if self.seen is not None:
            raise Malformed("one_revision", "If-Match names the revision of one incident; here are several.")
        return self.order(step)


class StepBody(BaseModel):
    """`revision`: of the incident that the person saw (or `If-Match: "7"`): 409 if it changed since."""

    model_config = ConfigDict(extra="forbid")

    revision: Revision = None
    note: str | None = None


class AssignBody(StepBody):
    """To whom; null: back to nobody."""

    assignee: str | None


class ResolveBody(StepBody):
    """What it turned out to be, and why."""

    outcome: Outcome
    note: str


class NoteBody(StepBody):
    """What is to be remembered."""

    note: str


class BulkBody(BaseModel):
    """The incidents meant, each named once."""

    model_config = ConfigDict(extra="forbid")

    incident_ids: list[str] = Field(min_length=1, max_length=MAX_INCIDENTS)
    note: str | None = None


class BulkResolveBody(BulkBody):
    """What they turned out to be, and why."""

    outcome: Outcome
    note: str


class Refused(BaseModel):
    """Why the step was not taken, and the incident as it is."""

    detail: str
    incident: IncidentSummary


class BulkResult(BaseModel):
    """What became of one incident: `status` as if it had been asked for alone; the incident as it is now, if known."""

    incident_id: str
    status: int
    detail: str | None
    incident: IncidentSummary | None


class BulkReply(BaseModel):
    """A result for each incident, in the order named; `done` of them succeeded."""

    done: int
    results: list[BulkResult]


def seen_revision(if_match: Annotated[str | None, Header()] = None) -> int | None:
    """The revision in `If-Match`; None without one, and for `*`. Raises `Malformed`."""
    if if_match is None or if_match.strip() == "*":
        return None
    digits = if_match.strip().removeprefix("W/").removeprefix('"').removesuffix('"')
    if not (digits.isascii() and digits.isdigit() and len(digits) <= 15):
        raise Malformed("invalid_if_match", 'If-Match must be the ETag of one revision, such as "7".')
    return int(digits)


def asking(
    caller: Operator, actor: Actor, key: IdempotencyKey, seen: Annotated[int | None, Depends(seen_revision)]
) -> Asking:
    """What the headers say."""
    return Asking(caller, actor, seen, key)


Asked = Annotated[Asking, Depends(asking)]


def router(deps: Callable[[], Deps]) -> APIRouter:
    """The routes over these collaborators, made at the first request."""
    routes = APIRouter(tags=["incidents"], responses={409: {"model": Refused}})

    def take(incident_id: str, order: Order) -> JSONResponse:
        try:
            incident = incident_actions.act(incident_id, order, deps())
        except ActionRefused as error:
            return _answer(409, {"detail": error.sentence, "incident": _plain(error.incident)}, error.incident)
        return _answer(200, _plain(incident), incident)

    @routes.post("/incidents/{incident_id}/acknowledge", response_model=IncidentSummary)
    def acknowledge(incident_id: str, asked: Asked, body: StepBody | None = None) -> JSONResponse:
        said = body or StepBody()
        return take(incident_id, asked.order(Acknowledge(said.note), said.revision))

    @routes.post("/incidents/{incident_id}/assign", response_model=IncidentSummary)
    def assign(incident_id: str, asked: Asked, body: AssignBody) -> JSONResponse:
        return take(incident_id, asked.order(Assign(body.assignee, body.note), body.revision))

    @routes.post("/incidents/{incident_id}/start", response_model=IncidentSummary)
    def start(incident_id: str, asked: Asked, body: StepBody | None = None) -> JSONResponse:
        said = body or StepBody()
        return take(incident_id, asked.order(Start(said.note), said.revision))

    @routes.post("/incidents/{incident_id}/resolve", response_model=IncidentSummary)
    def resolve(incident_id: str, asked: Asked, body: ResolveBody) -> JSONResponse:
        return take(incident_id, asked.order(Resolve(body.outcome, body.note), body.revision))

    @routes.post("/incidents/{incident_id}/note", response_model=IncidentSummary)
    def note(incident_id: str, asked: Asked, body: NoteBody) -> JSONResponse:
        return take(incident_id, asked.order(Remark(body.note), body.revision))

    @routes.post("/incidents/acknowledge")
    def acknowledge_each(asked: Asked, body: BulkBody) -> BulkReply:
        return _bulk(
            incident_actions.act_on_each(body.incident_ids, asked.order_for_several(Acknowledge(body.note)), deps())
        )

    @routes.post("/incidents/resolve")
    def resolve_each(asked: Asked, body: BulkResolveBody) -> BulkReply:
        order = asked.order_for_several(Resolve(body.outcome, body.note))
        return _bulk(incident_actions.act_on_each(body.incident_ids, order, deps()))

    return routes


def _plain(incident: Incident) -> dict[str, object]:
    return summarise(incident).model_dump(mode="json")


def _answer(status: int, body: dict[str, object], incident: Incident) -> JSONResponse:
    return JSONResponse(body, status, {"ETag": f'"{incident.revision}"'})


def _bulk(results: list[Result]) -> BulkReply:
    shown = [_result(result) for result in results]
    return BulkReply(done=sum(result.status == 200 for result in shown), results=shown)


def _result(result: Result) -> BulkResult:
    return BulkResult(
        incident_id=result.incident_id,
        status=_status(result),
        detail=_detail(result),
        incident=None if result.incident is None else summarise(result.incident),
    )


def _status(result: Result) -> int:
    if result.error is None:
        return 200
    return result.error.status if isinstance(result.error, Permanent) else 503


def _detail(result: Result) -> str | None:
    if isinstance(result.error, Permanent):
        return result.error.sentence
    return None if result.error is None else "Temporarily unavailable, please try again."
