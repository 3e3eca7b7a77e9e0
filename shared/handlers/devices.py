"""Devices are registered, changed and given keys; and a key tells which device calls.

A key is shown once, to who asked for it; only its hash is stored.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256

from shared.domain.devices import Device, use_is_worth_noting
from shared.errors import AlreadyExists, Conflict, Retryable, VersionConflict
from shared.ports import Caller, Clock, Documents, Role
from shared.repositories import devices

KEY_BYTES = 32
_KEY = re.compile(r"sightline-device-[A-Za-z0-9_-]{43}", re.ASCII)


@dataclass(frozen=True)
class Deps:
    """What the use cases need."""

    documents: Documents
    clock: Clock


@dataclass(frozen=True)
class Registration:
    """What an administrator says of a device."""

    id: str
    name: str
    beacons: tuple[str, ...] | None
    active: bool


def register(wanted: Registration, deps: Deps) -> tuple[Device, str | None]:
    """The device as it is now, and its key if it is new (else None: its key stays). Raises `NotFound`."""
    key, now = new_key(), deps.clock.now()
    device = Device(wanted.id, wanted.name, wanted.beacons, wanted.active, hash_of(key), now, now)
    try:
        devices.create(deps.documents, device)
    except AlreadyExists:
        return _change(wanted, deps), None
    return device, key


def _change(wanted: Registration, deps: Deps) -> Device:
    beacons = None if wanted.beacons is None else list(wanted.beacons)
    try:
        fields = {"name": wanted.name, "beacons": beacons, "active": wanted.active}
        devices.change(deps.documents, wanted.id, fields)
    except VersionConflict:
        raise devices.unknown() from None  # deleted in the meantime
    return devices.get(deps.documents, wanted.id)[0]


def rotate_key(device_id: str, deps: Deps) -> str:
    """A new key; the old one opens nothing from now on. Raises `NotFound`, `Conflict` for one who came second."""
    device, version = devices.get(deps.documents, device_id)
    replaced = device.key_hash
    while device.key_hash == replaced:
        key = new_key()
        try:
            fields = {"key_hash": hash_of(key), "key_made_at": deps.clock.now()}
            devices.change(deps.documents, device_id, fields, version)
        except VersionConflict:  # perhaps only its use was noted
            device, version = devices.get(deps.documents, device_id)
            continue
        return key
    raise Conflict("key_replaced", "Somebody else has just replaced this key.")


class DeviceKeys:
    """The `Identities` of devices. A stopped or deleted device, or an old key, is unknown from that moment on."""

    def __init__(self, deps: Callable[[], Deps]) -> None:
        self._deps = deps

    def identify(self, token: str) -> Caller | None:
        """Who holds the key. What does not look like one costs no read."""
        if not _KEY.fullmatch(token):
            return None
        found = devices.of_key(self._deps().documents, hash_of(token))
        if found is None or not found[0].active:
            return None
        self._note_use(*found)
        return Caller(found[0].id, Role.DEVICE, found[0].beacons)

    def _note_use(self, device: Device, version: str) -> None:
        now = self._deps().clock.now()
        if not use_is_worth_noting(device, now):
            return
        with suppress(VersionConflict, Retryable):  # somebody else noted it; or the next use will be
            devices.change(self._deps().documents, device.id, {"last_used": now}, version)


def new_key() -> str:
    """256 random bits behind a word by which leaked ones are found."""
    return f"sightline-device-{secrets.token_urlsafe(KEY_BYTES)}"


def hash_of(key: str) -> str:
    """What is stored of a key."""
    return sha256(key.encode()).hexdigest()
