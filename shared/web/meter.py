"""Counts one instance's requests by route and minute, and stores the counts once a minute.

Cloud Run gives processor time only while there are requests. So there is no timer: a request after which nothing was
stored for a minute has everything stored, by a thread, when its reply has left; and what remains is stored when the
process is told to end. Nothing here fails or delays a request: while the store is away a few minutes are kept, then
the oldest are dropped, and counted as lost.
"""

from __future__ import annotations

import logging
import signal
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from types import FrameType

from shared.domain import metrics
from shared.domain.latencies import bin_of
from shared.domain.metrics import HEARD, MINUTE, RECENT, LiveSessions, RouteCounts, Window
from shared.handlers.reading_metrics import Untold
from shared.ids import new_uuid
from shared.ports import Clock, Documents
from shared.repositories import metrics as stored

log = logging.getLogger(__name__)

MOST_MINUTES = 10
"""Kept while they can't be stored."""

MOST_SESSIONS = 10_000
"""Remembered; of more within five minutes the oldest are forgotten."""

TELL_SESSIONS = timedelta(seconds=10)
"""How often it is told who listens, while somebody does: well within the 30 s in which a session counts as active."""

ENDING_SECONDS = 3.0
"""How long the end of the process waits for the last counts: Cloud Run allows 10 s for everything."""


@dataclass
class _Tally:
    bins: Counter[int] = field(default_factory=Counter)
    statuses: Counter[int] = field(default_factory=Counter)
    microseconds: int = 0

    def counts(self) -> RouteCounts:
        return RouteCounts(dict(self.bins), dict(self.statuses), self.microseconds)


class Meter:
    """One process's counts, for any number of threads; `documents` is asked for when something is stored first.

    A process that forks (as gunicorn does) must not have counted anything before.
    """

    def __init__(self, documents: Callable[[], Documents], clock: Clock) -> None:
        self._documents = documents
        self._clock = clock
        self._lock = threading.Lock()
        self._writing = threading.Lock()
        self._instance = ""
        self._windows_closed = 0
        self._sessions_opened = 0
        self._minutes: dict[datetime, dict[str, _Tally]] = {}
        self._closed: list[Window] = []
        self._lost = 0
        self._heard: dict[int, datetime] = {}
        self._stored_at: datetime | None = None
        self._told_at: datetime | None = None

    def record(self, route: str, status: int, seconds: float) -> None:
        """Counts one request."""
        now = self._clock.now()
        with self._lock:
            self._instance = self._instance or new_uuid()  # not before: processes that fork must not share it
            tallies = self._minutes.setdefault(metrics.minute_of(now), {})
            tally = tallies.setdefault(route, _Tally())
            tally.bins[bin_of(seconds * 1000)] += 1
            tally.statuses[status] += 1
            tally.microseconds += round(seconds * 1e6)
            self._make_room()
        self._store_if_due(now)

    def open_session(self) -> int:
        """A number for a connection that stays, to be told with `heard`."""
        with self._lock:
            self._sessions_opened += 1
            return self._sessions_opened

    def heard(self, session: int) -> None:
        """Says that a connection is alive."""
        now = self._clock.now()
        with self._lock:
            self._instance = self._instance or new_uuid()
            self._heard.pop(session, None)  # so that the longest silent stands first
            self._heard[session] = now
            if len(self._heard) > MOST_SESSIONS:
                del self._heard[next(iter(self._heard))]
        self._store_if_due(now)

    def untold(self) -> Untold:
        """What the store does not know yet."""
        now = self._clock.now()
        with self._lock:
            windows = (*self._closed, *self._open_windows())
            return Untold(self._instance, windows, self._sessions(now))

    def close(self, timeout: float = ENDING_SECONDS) -> None:
        """Stores what is left, waiting no longer than `timeout` seconds. What is counted afterwards may be lost."""
        thread = threading.Thread(target=self._store, name="metrics", daemon=True)
        thread.start()
        thread.join(timeout)

    def store_at_end(self) -> None:
        """Has the rest stored when the process is told to end (SIGTERM); does nothing but in the main thread.

        Whoever waits for the signal (the server) hears of it afterwards. It ends the process by the signal, so that
        neither `atexit` nor the application's own end would be reached.
        """
        if threading.current_thread() is not threading.main_thread():
            return
        before = signal.getsignal(signal.SIGTERM)

        def end(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - as the interpreter calls it
            signal.signal(number, before)
            self.close()
            signal.raise_signal(number)

        signal.signal(signal.SIGTERM, end)

    def _store_if_due(self, now: datetime) -> None:
        with self._lock:
            if not (self._counts_due(now) or self._sessions_due(now)) or self._writing.locked():
                return
        try:
            threading.Thread(target=self._store, name="metrics", daemon=True).start()
        except RuntimeError:  # there are too many threads: later, perhaps
            log.warning("no thread could be started to store metrics")

    def _counts_due(self, now: datetime) -> bool:
        waits = bool(self._minutes or self._closed)
        return waits and _is_over(self._stored_at, now, MINUTE)

    def _sessions_due(self, now: datetime) -> bool:
        return bool(self._heard) and _is_over(self._told_at, now, TELL_SESSIONS)

    def _store(self) -> None:
        """Stores everything there is; what can't be stored waits for the next time."""
        with self._writing:
            now = self._clock.now()
            windows, listeners = self._taken(now)
            try:
                documents = self._documents()
                stored.save_windows(documents, windows, self._instance, now)
                if listeners is not None:
                    stored.save_listeners(documents, listeners)
            except Exception as error:  # whatever it is, requests go on
                log.warning("metrics could not be stored: %s", type(error).__name__)
                return
            names = {window.id for window in windows}
            with self._lock:
                self._closed = [window for window in self._closed if window.id not in names]

    def _taken(self, now: datetime) -> tuple[list[Window], stored.Listeners | None]:
        with self._lock:
            self._closed += self._open_windows()
            self._windows_closed += len(self._minutes)
            if self._minutes:
                self._lost = 0
            self._minutes = {}
            self._stored_at = self._told_at = now
            sessions = self._sessions(now)
            told = stored.Listeners(self._instance, now, sessions) if sessions.total else None
            return list(self._closed), told

    def _open_windows(self) -> list[Window]:
        """The open minutes as they would be stored; the first one says what was lost."""
        windows: list[Window] = []
        for number, (minute, tallies) in enumerate(self._minutes.items(), self._windows_closed):
            name = f"{minute.isoformat()}:{self._instance}:{number}"
            routes = {route: tally.counts() for route, tally in tallies.items()}
            windows.append(Window(name, minute, routes, 0 if windows else self._lost))
        return windows

    def _make_room(self) -> None:
        """Drops the oldest minute if there are too many."""
        if len(self._closed) + len(self._minutes) <= MOST_MINUTES:
            return
        if self._closed:
            dropped = self._closed.pop(0)
            self._lost += dropped.lost + sum(counts.count for counts in dropped.routes.values())
        else:
            tallies = self._minutes.pop(next(iter(self._minutes)))
            self._lost += sum(tally.statuses.total() for tally in tallies.values())

    def _sessions(self, now: datetime) -> LiveSessions:
        self._heard = {session: at for session, at in self._heard.items() if now - at < RECENT}
        return LiveSessions(sum(now - at < HEARD for at in self._heard.values()), len(self._heard))


def _is_over(since: datetime | None, now: datetime, pause: timedelta) -> bool:
    """Whether the pause is over; also when the clock was put back, for nobody knows by how much."""
    return since is None or not since <= now < since + pause
