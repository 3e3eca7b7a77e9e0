"""Identifiers: time-ordered integers below 2^53 without a counter, and keys that name a piece of work.

53 bits, so that a JavaScript client reads them exactly (SPEC §6): 41 bits of milliseconds since 2025-01-01 (until 2094)
and 12 random bits. Two instances may draw the same one, about once in 4,096 pairs drawn in the same millisecond, so
whoever stores under such an id creates the document and draws again when it is taken.
"""

from __future__ import annotations

import hashlib
import random
import secrets
import threading
import uuid
from datetime import UTC, datetime

from shared.ports import Clock

EPOCH = datetime(2025, 1, 1, tzinfo=UTC)
RANDOM_BITS = 12


class TimeOrderedIds:
    """Draws ids that grow strictly within one process and by time between processes. Thread-safe."""

    def __init__(self, clock: Clock, generator: random.Random | None = None) -> None:
        self._clock = clock
        self._random: random.Random = generator or secrets.SystemRandom()
        self._lock = threading.Lock()
        self._last = 0

    def next(self) -> int:
        """The next id: 0 < id < 2^53."""
        milliseconds = int((self._clock.now() - EPOCH).total_seconds() * 1000)
        candidate = (milliseconds << RANDOM_BITS) | self._random.getrandbits(RANDOM_BITS)
        with self._lock:
            self._last = max(candidate, self._last + 1)
            return self._last


def new_uuid() -> str:
    """A random id for assets and incidents: spreads evenly over Firestore's key range."""
    return str(uuid.uuid4())


def derived_uuid(*parts: str) -> str:
    """The same id for the same parts, so that a repeated attempt creates nothing twice."""
    return str(uuid.UUID(bytes=_digest(*parts)[:16], version=4))


def work_key(bucket: str, object_name: str, generation: int, stage: str) -> str:
    """sha256(bucket/object#generation/stage) in hex: the name of a piece of work (SPEC §1)."""
    return hashlib.sha256(f"{bucket}/{object_name}#{generation}/{stage}".encode()).hexdigest()


def _digest(*parts: str) -> bytes:
    return hashlib.sha256("\x1f".join(parts).encode()).digest()
