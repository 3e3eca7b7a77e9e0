"""The places that signals come from: GET /beacons, GET and PUT /beacons/{id}, POST /beacons/import."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

from fastapi import APIRouter, Header, Query, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse, Response, StreamingResponse
from pydantic import BaseModel

from shared.domain import beacon_files
from shared.domain.incidents import Beacon
from shared.domain.neighbourhoods import Problem, Stated
from shared.handlers import registering
from shared.ports import Documents
from shared.repositories import beacons
from shared.web.callers import Admin, Viewer

CSV = "text/csv"
_FILE = {"requestBody": {"required": True, "content": {CSV: {"schema": {"type": "string"}}}}}


class BeaconBody(BaseModel):
    """What a client may set. `neighbours`: ids of known beacons, which become neighbours of this one both ways.

    Left out, they stay as they are.
    """

    location: str
    active: bool = True
    neighbours: list[str] | None = None


class BeaconReply(BaseModel):
    """A beacon as it is stored."""

    id: str
    location: str
    active: bool
    neighbours: list[str]


class BeaconList(BaseModel):
    """A page, by id; pass `next_cursor` as `cursor` for the following one."""

    beacons: list[BeaconReply]
    next_cursor: str | None


class ImportReply(BaseModel):
    """What an import did, or with `dry_run` would do, to the file's beacons; all of it or nothing is stored.

    `neighbours_updated`: beacons beside them that gained or lost a neighbour.
    """

    dry_run: bool
    created: int
    updated: int
    unchanged: int
    neighbours_updated: int


def router(documents: Callable[[], Documents]) -> APIRouter:
    """The beacon routes; ids may hold any printable character, slashes included."""
    routes = APIRouter(tags=["beacons"])

    @routes.get("/beacons", response_model=BeaconList, responses={200: {"content": {CSV: {}}}})
    def list_beacons(
        _: Viewer,
        active: bool | None = None,
        limit: Annotated[int, Query(ge=1, le=1000)] = 100,
        cursor: str | None = None,
        accept: Annotated[str, Header()] = "",
    ) -> BeaconList | Response:
        """With `Accept: text/csv` all of them, as a file that POST /beacons/import takes."""
        if CSV in accept.lower():
            lines = beacon_files.written(beacons.every(documents(), active=active))
            return StreamingResponse(lines, media_type=CSV)
        found, following = beacons.page(documents(), active=active, limit=limit, cursor=cursor)
        return BeaconList(beacons=[_shown(beacon) for beacon in found], next_cursor=following)

    @routes.post("/beacons/import", response_model=ImportReply, openapi_extra=_FILE)
    async def import_beacons(_: Admin, request: Request, dry_run: bool = False) -> ImportReply | Response:
        """Takes a CSV file: `id,location,active,neighbours`, the neighbours' ids separated by semicolons."""
        if request.headers.get("content-type", "").split(";")[0].strip().lower() != CSV:
            return JSONResponse({"detail": "Send a CSV file, with Content-Type: text/csv."}, 415)
        data = await request.body()
        return await run_in_threadpool(lambda: _imported(documents(), data, dry_run))

    @routes.get("/beacons/{beacon_id:path}")
    def get_beacon(_: Viewer, beacon_id: str) -> BeaconReply:
        return _shown(beacons.get(documents(), beacon_id))

    @routes.put("/beacons/{beacon_id:path}")
    def put_beacon(_: Admin, beacon_id: str, body: BeaconBody) -> BeaconReply:
        neighbours = None if body.neighbours is None else tuple(body.neighbours)
        return _shown(registering.put(documents(), Stated(beacon_id, body.location, body.active, neighbours)))

    return routes


def _imported(documents: Documents, data: bytes, dry_run: bool) -> ImportReply | Response:
    file = beacon_files.read(data)
    done = list(file.problems) or registering.register(documents, file.stated, dry_run=dry_run)
    if isinstance(done, list):
        return _refused(done)
    return ImportReply(
        dry_run=dry_run,
        created=done.created,
        updated=done.updated,
        unchanged=done.unchanged,
        neighbours_updated=done.neighbours_updated,
    )


def _refused(problems: list[Problem]) -> Response:
    lines = len({problem.line for problem in problems})
    sentence = f"Nothing was imported: {lines} {'line is' if lines == 1 else 'lines are'} wrong."
    errors = [{"line": problem.line, "error": problem.sentence} for problem in sorted(problems)]
    return JSONResponse({"detail": sentence, "errors": errors}, 400)


def _shown(beacon: Beacon) -> BeaconReply:
    return BeaconReply(id=beacon.id, location=beacon.location, active=beacon.active, neighbours=list(beacon.neighbours))
