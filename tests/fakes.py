"""Stand-ins that tests use for what they must control: time, and deaths. Everything else is the real thing."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


class ManualClock:
    """A `Clock` that moves only when it is told to. Thread-safe."""

    def __init__(self, start: datetime = NOON) -> None:
        if start.tzinfo is None:
            raise ValueError("a clock starts at an aware datetime")
        self._now = start.astimezone(UTC)
        self._lock = threading.Lock()

    def now(self) -> datetime:
        with self._lock:
            return self._now

    def advance(self, seconds: float) -> None:
        """Moves time forward; never back."""
        if seconds < 0:
            raise ValueError("time does not go back")
        with self._lock:
            self._now += timedelta(seconds=seconds)


class Killed(BaseException):
    """The process is gone."""


class Mortal:
    """A port that dies at its `number`th change, before or after it is done."""

    def __init__(self, inner: object, number: int, changing: tuple[str, ...], *, after: bool) -> None:
        self._inner, self._left, self._changing, self._after = inner, number, changing, after

    def __getattr__(self, name: str) -> object:
        found = getattr(self._inner, name)
        return self._dying(found) if name in self._changing else found

    def _dying(self, change: Callable[..., object]) -> Callable[..., object]:
        def changed(*args: object, **kwargs: object) -> object:
            self._left -= 1
            if self._left == 0 and not self._after:
                raise Killed
            done = change(*args, **kwargs)
            if self._left == 0:
                raise Killed
            return done

        return changed
