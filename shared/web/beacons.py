"""GET and PUT /beacons/{id}: the places that signals come from."""

from __future__ import annotations

from collections.abc import Callable

from fastapi import APIRouter
from pydantic import BaseModel, Field

from shared.domain.incidents import Beacon
from shared.ports import Documents
from shared.repositories import beacons
from shared.web.callers import Admin


class BeaconBody(BaseModel):
    """What a client may set."""

    location: str = Field(min_length=1, max_length=500)
    active: bool = True


class BeaconReply(BaseModel):
    """A beacon as it is stored."""

    id: str
    location: str
    active: bool


def router(documents: Callable[[], Documents]) -> APIRouter:
    """The beacon routes; ids may hold any character, slashes included."""
    routes = APIRouter(tags=["beacons"])

    @routes.get("/beacons/{beacon_id:path}")
    def get_beacon(beacon_id: str) -> BeaconReply:
        return _shown(beacons.get(documents(), beacon_id))

    @routes.put("/beacons/{beacon_id:path}")
    def put_beacon(beacon_id: str, body: BeaconBody, _: Admin) -> BeaconReply:
        beacon = Beacon(beacon_id, body.location, body.active)
        beacons.put(documents(), beacon)
        return _shown(beacon)

    return routes


def _shown(beacon: Beacon) -> BeaconReply:
    return BeaconReply(id=beacon.id, location=beacon.location, active=beacon.active)
