"""GET, PUT and DELETE /devices/{id}, POST /devices/{id}/key: what reports signals, and by which key."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, Field

from shared.domain.actors import RESERVED, is_reserved
from shared.domain.assets import is_shown_text
from shared.domain.devices import Device
from shared.errors import Malformed
from shared.handlers import devices
from shared.repositories import devices as stored
from shared.web.callers import Admin

LONGEST_ID = 256
MOST_BEACONS = 1000

BeaconId = Annotated[str, Field(min_length=1, max_length=256)]


class DeviceBody(BaseModel):
    """What an administrator may set. `beacons`: the places it may report for; null: all, which must be said."""

    name: str = Field(min_length=1, max_length=200)
    beacons: list[BeaconId] | None = Field(max_length=MOST_BEACONS)
    active: bool = True


class DeviceReply(BaseModel):
    """A device. `last_used` is exact to an hour."""

    id: str
    name: str
    beacons: list[str] | None
    active: bool
    created_at: datetime
    key_made_at: datetime
    last_used: datetime | None


class RegisteredReply(DeviceReply):
    """`key`: to be sent as the bearer token. Shown when the device is new, never again; null for one that was there."""

    key: str | None


class KeyReply(BaseModel):
    """The new key, shown this once."""

    id: str
    key: str


class DeviceList(BaseModel):
    """A page, by id; pass `next_cursor` as `cursor` for the following one."""

    devices: list[DeviceReply]
    next_cursor: str | None


def router(deps: Callable[[], devices.Deps]) -> APIRouter:
    """The routes of devices, for administrators; ids may hold slashes."""
    routes = APIRouter(tags=["devices"])

    @routes.get("/devices")
    def list_devices(
        _: Admin, limit: Annotated[int, Query(ge=1, le=1000)] = 100, cursor: str | None = None
    ) -> DeviceList:
        found, following = stored.listed(deps().documents, limit=limit, cursor=cursor)
        return DeviceList(devices=[_shown(device) for device in found], next_cursor=following)

    @routes.get("/devices/{device_id:path}")
    def get_device(device_id: str, _: Admin) -> DeviceReply:
        return _shown(stored.get(deps().documents, device_id)[0])

    @routes.put("/devices/{device_id:path}")
    def put_device(device_id: str, body: DeviceBody, response: Response, _: Admin) -> RegisteredReply:
        if not is_shown_text(device_id, LONGEST_ID):
            raise Malformed("invalid_id", f"A device's id is 1 to {LONGEST_ID} printable characters.")
        if is_reserved(device_id):
            raise Malformed("reserved_name", RESERVED)
        beacons = None if body.beacons is None else tuple(dict.fromkeys(body.beacons))
        wanted = devices.Registration(device_id, body.name, beacons, body.active)
        device, key = devices.register(wanted, deps())
        _keep_to_yourself(response)
        response.status_code = 200 if key is None else 201
        return RegisteredReply(**_shown(device).model_dump(), key=key)

    @routes.delete("/devices/{device_id:path}", status_code=204)
    def delete_device(device_id: str, _: Admin) -> None:
        stored.delete(deps().documents, device_id)

    @routes.post("/devices/{device_id:path}/key")
    def make_key(device_id: str, response: Response, _: Admin) -> KeyReply:
        _keep_to_yourself(response)
        return KeyReply(id=device_id, key=devices.rotate_key(device_id, deps()))

    return routes


def _keep_to_yourself(response: Response) -> None:
    """No cache on the way may keep a key."""
    response.headers["Cache-Control"] = "no-store"


def _shown(device: Device) -> DeviceReply:
    return DeviceReply(
        id=device.id,
        name=device.name,
        beacons=None if device.beacons is None else list(device.beacons),
        active=device.active,
        created_at=device.created_at,
        key_made_at=device.key_made_at,
        last_used=device.last_used,
    )
