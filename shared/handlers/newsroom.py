"""Tells those who listen what changes, as it happens: one watch of the store, however many listen.

At least once: a change may be told again after a listener came back, and is recognised by its revision.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial

from shared.domain.happenings import Happening
from shared.errors import Retryable, SightlineError
from shared.ports import Clock, Documents, Subscription
from shared.repositories import happenings

log = logging.getLogger(__name__)

OVERLAP = timedelta(seconds=60)
"""A change is stored a while after the time it bears, and clocks differ: so far back is looked when going on."""

LONGEST_ABSENCE = timedelta(hours=1)
MAX_MISSED = 500
RENEWAL_SECONDS = 600.0
"""A watch sees all that changed since it began; it is begun anew so often, which bounds that."""

Listener = Callable[[Happening | None], None]
"""Is told what happens; None: nothing more will be told."""


class Newsroom:
    """Watches while somebody listens. Listeners are called from threads of the store's, and must return at once."""

    def __init__(
        self, documents: Documents, clock: Clock, *, max_listeners: int, renewal_seconds: float = RENEWAL_SECONDS
    ) -> None:
        self._documents = documents
        self._clock = clock
        self._max_listeners = max_listeners
        self._renewal_seconds = renewal_seconds
        self._listeners: list[Listener] = []
        self._lock = threading.Lock()
        self._watching: _Watching | None = None
        self._closed = False

    def now(self) -> datetime:
        """Who heard everything until now may come back with this time."""
        return self._clock.now()

    def join(self, listener: Listener) -> Callable[[], None]:
        """From now on `listener` is told; returns what ends that.

        Raises `Retryable` when too many listen, or when it is closed.
        """
        with self._lock:
            if self._closed or len(self._listeners) >= self._max_listeners:
                raise Retryable("too many listen to the stream of events")
            self._listeners.append(listener)
            if self._watching is None:
                self._watching = _Watching(self._documents, self._clock, self._tell, self._renewal_seconds)
                self._watching.start()
        return lambda: self._leave(listener)

    def close(self) -> None:
        """Tells all who listen that nothing more will come, and takes nobody new: the process is about to stop."""
        with self._lock:
            self._closed = True
            listeners = list(self._listeners)
        for listener in listeners:
            listener(None)

    def missed(self, since: datetime) -> list[Happening] | None:
        """What changed since a listener last heard something; None: too much, or too long ago. Raises `Retryable`."""
        if self._clock.now() - since > LONGEST_ABSENCE:
            return None
        found, complete = happenings.since(self._documents, since - OVERLAP, MAX_MISSED)
        return found if complete else None

    def _leave(self, listener: Listener) -> None:
        with self._lock:
            if listener in self._listeners:
                self._listeners.remove(listener)
            if not self._listeners and self._watching is not None:
                self._watching.end()
                self._watching = None

    def _tell(self, happening: Happening) -> None:
        with self._lock:
            listeners = list(self._listeners)
        for listener in listeners:
            listener(happening)


class _Watching:
    """A thread that keeps a watch of what changes, and begins it anew from time to time."""

    def __init__(
        self, documents: Documents, clock: Clock, tell: Callable[[Happening], None], renewal_seconds: float
    ) -> None:
        self._documents = documents
        self._clock = clock
        self._tell = tell
        self._renewal_seconds = renewal_seconds
        self._began = clock.now()
        self._revisions: dict[object, tuple[int, datetime]] = {}
        self._looked: set[str] = set()
        self._turn = 0
        self._lock = threading.Lock()
        self._ended = threading.Event()

    def start(self) -> None:
        """Begins watching, in a thread of its own."""
        threading.Thread(target=self._run, name="newsroom", daemon=True).start()

    def end(self) -> None:
        """Ends soon."""
        self._ended.set()

    def _run(self) -> None:
        watches: list[Subscription] = []
        while not self._ended.is_set():
            former = watches
            try:
                watches = self._watch()
            except SightlineError as error:
                log.warning("the stream of events could not watch the store: %s", type(error).__name__)
                self._ended.wait(1.0)
                continue
            _close(former)
            self._ended.wait(self._renewal_seconds)
        _close(watches)

    def _watch(self) -> list[Subscription]:
        """Begins the next turn. What an earlier one still sees is left out from then on."""
        since = self._clock.now() - OVERLAP
        with self._lock:
            self._turn += 1
            turn = self._turn
            # What is older is not seen by this turn's watch either.
            self._revisions = {key: known for key, known in self._revisions.items() if known[1] >= since}
        return happenings.watch(self._documents, since, partial(self._look, turn))

    def _look(self, turn: int, kind: str, found: list[Happening]) -> None:
        with self._lock:
            if turn != self._turn or self._ended.is_set():
                return
            news = [happening for happening in found if self._is_news(kind, happening)]
            self._looked.add(kind)
            for happening in found:
                self._revisions[happening.key] = (happening.revision, happening.at)
            for happening in news:
                self._tell(happening)

    def _is_news(self, kind: str, happening: Happening) -> bool:
        known = self._revisions.get(happening.key)
        if known is not None:
            return happening.revision > known[0]
        # The first look brings what was there before anybody listened; afterwards a time that is past means a clock
        # that lags, or a commit that took long.
        return kind in self._looked or happening.at >= self._began


def _close(watches: list[Subscription]) -> None:
    for watch in watches:
        watch.close()
