"""POST /incidents/{id}/legal-hold, POST /erasures and GET /erasures/{id}: what must be kept, and what must go."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from shared.domain.assets import are_shown_lines, is_shown_text
from shared.domain.erasures import MAX_ITEMS, Erasure
from shared.errors import Malformed
from shared.handlers import erasures as ordering
from shared.handlers import incident_records, legal_hold
from shared.repositories import erasures
from shared.web.callers import Admin
from shared.web.clients import Actor

MAX_SUBJECT_CHARACTERS = 200
MAX_REASON_CHARACTERS = 500


class HoldBody(BaseModel):
    """`hold` true sets the legal hold, false lifts it; `reason` becomes the note of the timeline's entry."""

    model_config = ConfigDict(extra="forbid")

    hold: bool
    reason: str


class HoldReply(BaseModel):
    """The incident as it is now."""

    incident_id: str
    legal_hold: bool
    revision: int


AssetIds = Annotated[list[str], Field(max_length=MAX_ITEMS)]
Numbers = Annotated[list[Annotated[int, Field(ge=1, lt=1 << 63)]], Field(max_length=MAX_ITEMS)]


class ErasureBody(BaseModel):
    """Whose media shall be erased, and which. `subject` is kept as a salted hash only; `reason` is kept as it is."""

    model_config = ConfigDict(extra="forbid")

    subject: str
    reason: str
    assets: AssetIds = []
    images: Numbers = []
    ai_events: Numbers = []


class ErasureReply(BaseModel):
    """An order and how far it is. `waiting`: what is not erased yet, as `kind:id`: the sweeper goes on every minute."""

    erasure_id: str
    state: str
    reason: str
    ordered_by: str
    ordered_at: datetime
    done_at: datetime | None
    incidents: list[str]
    done: list[str]
    waiting: list[str]


def router(deps: Callable[[], incident_records.Deps]) -> APIRouter:
    """The administrators' routes. 409 for an erasure under legal hold, naming the incidents."""
    routes = APIRouter(tags=["evidence"])

    @routes.post("/incidents/{incident_id}/legal-hold")
    def set_hold(incident_id: str, body: HoldBody, caller: Admin, by: Actor) -> HoldReply:
        incident = legal_hold.set_hold(incident_id, body.hold, body.reason, replace(caller, name=by), deps())
        return HoldReply(incident_id=incident.id, legal_hold=incident.legal_hold, revision=incident.revision)

    @routes.post("/erasures", status_code=202)
    def order_erasure(body: ErasureBody, caller: Admin, by: Actor) -> ErasureReply:
        return _shown(ordering.order(_order(body), replace(caller, name=by), deps()))

    @routes.get("/erasures/{erasure_id}")
    def get_erasure(erasure_id: str, _: Admin) -> ErasureReply:
        return _shown(erasures.get(deps().documents, erasure_id))

    return routes


def _order(body: ErasureBody) -> ordering.Order:
    """Raises `Malformed` for texts that can't be kept, and for an order of nothing."""
    if not is_shown_text(body.subject, MAX_SUBJECT_CHARACTERS):
        raise Malformed("invalid_subject", f"subject must be 1 to {MAX_SUBJECT_CHARACTERS} printable characters.")
    if not body.reason.strip() or not are_shown_lines(body.reason, MAX_REASON_CHARACTERS):
        raise Malformed("invalid_reason", f"reason must be 1 to {MAX_REASON_CHARACTERS} printable characters.")
    if not (body.assets or body.images or body.ai_events):
        raise Malformed("nothing_named", "Name what shall be erased: assets, images or ai_events.")
    return ordering.Order(body.subject, body.reason, tuple(body.assets), tuple(body.images), tuple(body.ai_events))


def _shown(erasure: Erasure) -> ErasureReply:
    return ErasureReply(
        erasure_id=erasure.id,
        state=erasure.state,
        reason=erasure.reason,
        ordered_by=erasure.ordered_by,
        ordered_at=erasure.ordered_at,
        done_at=erasure.done_at,
        incidents=list(erasure.incidents),
        done=list(erasure.done),
        waiting=list(erasure.waiting()),
    )
