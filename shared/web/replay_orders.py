"""POST /analysis/{asset_id}/replay: a stage runs again on what is stored, and the reply shows old against new."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Annotated

from fastapi import APIRouter, Query
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse
from pydantic import BaseModel

from shared.domain.replays import Replay
from shared.domain.stages import ENDED
from shared.handlers import replays
from shared.handlers.visibility import visible_asset
from shared.ports import Caller
from shared.repositories.replays import get
from shared.web.callers import Operator
from shared.web.clients import Actor, IdempotencyKey
from shared.web.replays import ReplayReply, shown

LONGEST_WAIT = 25
"""Below the 30 s after which many clients and proxies give up."""

FIRST_LOOK_SECONDS = 0.05
LONGEST_PAUSE_SECONDS = 0.8


class ReplayBody(BaseModel):
    """Which stage: ingest, detect, context, correlate, moderate, annotate or escalate."""

    stage: str


def router(deps: Callable[[], replays.Deps]) -> APIRouter:
    """The route over these collaborators, made at the first request."""
    routes = APIRouter(tags=["analysis"])

    @routes.post(
        "/analysis/{asset_id}/replay",
        response_model=ReplayReply,
        responses={202: {"description": "It has not ended yet; Location says where it will be found."}},
    )
    async def replay_stage(
        asset_id: str,
        body: ReplayBody,
        caller: Operator,
        requested_by: Actor,
        key: IdempotencyKey,
        wait: Annotated[float, Query(ge=0, le=LONGEST_WAIT, description="Seconds to wait for the end")] = 10,
    ) -> JSONResponse:
        asked = replays.Request(asset_id, body.stage, requested_by, key)
        accepted = await run_in_threadpool(_accepted, asked, caller, deps)
        return _reply(await _ended(accepted, wait, deps))

    return routes


def _accepted(asked: replays.Request, caller: Caller, deps: Callable[[], replays.Deps]) -> Replay:
    visible_asset(asked.asset_id, caller, deps().documents)
    return replays.request(asked, deps())


async def _ended(replay: Replay, wait: float, deps: Callable[[], replays.Deps]) -> Replay:
    """The replay once it ended, or as it is after `wait` seconds. No thread is held while nothing happens."""
    deadline = time.monotonic() + wait
    pause = FIRST_LOOK_SECONDS
    while replay.record.state not in ENDED and (left := deadline - time.monotonic()) > 0:
        await asyncio.sleep(min(pause, left))
        pause = min(2 * pause, LONGEST_PAUSE_SECONDS)
        replay = await run_in_threadpool(get, deps().documents, replay.asset_id, replay.id)
    return replay


def _reply(replay: Replay) -> JSONResponse:
    body = shown(replay).model_dump(mode="json")
    if replay.record.state in ENDED:
        return JSONResponse(body)
    del body["new"]
    return JSONResponse(body, 202, {"Location": f"/analysis/{replay.asset_id}/replays/{replay.id}"})
