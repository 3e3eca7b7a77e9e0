"""Devices: what reports signals, each with a key of its own."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

USE_NOTED_EVERY = timedelta(hours=1)
"""How exact `last_used` is: a device that reports every second must not make a hot document."""


@dataclass(frozen=True)
class Device:
    """A device. `beacons`: the places it may report for; None: all.

    `key_hash`: SHA-256 of its key, in hex. A slow hash would win nothing: it is for passwords, which can be guessed,
    and a key is 256 random bits.
    """

    id: str
    name: str
    beacons: tuple[str, ...] | None
    active: bool
    key_hash: str
    created_at: datetime
    key_made_at: datetime
    last_used: datetime | None = None


def use_is_worth_noting(device: Device, now: datetime) -> bool:
    """Whether its last use was noted so long ago that this one is news."""
    return device.last_used is None or now - device.last_used >= USE_NOTED_EVERY
