"""Tells the metrics of all instances: of the last minutes, and the snapshots of up to seven days."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from shared.domain import metrics
from shared.domain.metrics import RECENT, LiveSessions, Snapshot, Window
from shared.ports import Clock, Documents
from shared.repositories import metrics as stored


@dataclass(frozen=True)
class Untold:
    """What an instance has not stored yet, or tells better itself."""

    instance: str = ""
    windows: tuple[Window, ...] = ()
    sessions: LiveSessions = LiveSessions()


@dataclass(frozen=True)
class Deps:
    """`untold`: what this very instance counted and did not store yet."""

    documents: Documents
    clock: Clock
    untold: Callable[[], Untold] = Untold


@dataclass(frozen=True)
class Present:
    """The last minutes, and how many requests (as far as is known) could not be told of."""

    snapshot: Snapshot
    lost: int


def present(deps: Deps) -> Present:
    """What happened in the minutes that began within the last five. Raises `Retryable`."""
    now = deps.clock.now()
    own = deps.untold()  # before the store is read: what is stored meanwhile is in both, and told once by its id
    since = now - RECENT
    windows = {window.id: window for window in stored.windows_since(deps.documents, since, now + metrics.MINUTE)}
    windows.update({window.id: window for window in own.windows if since <= window.at <= now})
    others = stored.live_sessions(deps.documents, now, beside=own.instance)
    sessions = LiveSessions(others.active + own.sessions.active, others.total + own.sessions.total)
    routes = metrics.merged_routes(window.routes for window in windows.values())
    return Present(metrics.snapshot(now, routes, sessions), sum(window.lost for window in windows.values()))


def history(deps: Deps, hours: int) -> list[Snapshot]:
    """The snapshots of the last hours, the oldest first. Raises `Retryable`."""
    now = deps.clock.now()
    return stored.snapshots_since(deps.documents, now - timedelta(hours=hours), now)
