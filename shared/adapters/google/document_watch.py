"""One watch of a Firestore query: keeps a listening stream open and calls back in order.

The library's stream reconnects after most errors, ends for good after the others, and calls back from a thread that
must not be held up. This puts a thread of its own above it. It must not build queries or translate documents.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Protocol

from google.cloud.firestore import DocumentSnapshot

from shared.adapters.document_order import order_key
from shared.adapters.document_queries import Plan
from shared.adapters.document_values import stored_id
from shared.ports import Document

CHECK_SECONDS = 1.0
"""How often a quiet stream is looked at to see whether it has ended."""

FIRST_PAUSE_SECONDS = 1.0
LONGEST_PAUSE_SECONDS = 30.0
RECOVERIES_PER_MINUTE = 10

_LOG = logging.getLogger(__name__)


class Stream(Protocol):
    """What the library's `Watch` offers."""

    @property
    def is_active(self) -> bool:
        """False once it has ended for good."""
        ...

    def unsubscribe(self) -> None:
        """Ends it."""
        ...


class FirestoreWatch:
    """Calls `on_change` with the documents of each snapshot; of several that wait, only with the last."""

    def __init__(
        self,
        listen: Callable[[Callable[..., None]], Stream],
        read: Callable[[Sequence[DocumentSnapshot]], tuple[Document, ...]],
        on_change: Callable[[tuple[Document, ...]], None],
    ) -> None:
        self._listen = listen
        self._read = read
        self._on_change = on_change
        self._wake = threading.Event()
        self._closed = False
        self._waiting: Sequence[DocumentSnapshot] | None = None
        self._waiting_lock = threading.Lock()
        self._seen: tuple[tuple[str, str], ...] | None = None
        self._pause = FIRST_PAUSE_SECONDS
        self._thread = threading.Thread(target=self._run, name="firestore-watch", daemon=True)

    def start(self) -> None:
        """Begins; the first call comes from the watch's own thread."""
        self._thread.start()

    def close(self) -> None:
        """Returns when no callback runs any more, except from within a callback; idempotent."""
        self._closed = True
        self._wake.set()
        if threading.current_thread() is not self._thread:
            self._thread.join()

    def _run(self) -> None:
        while not self._closed:
            try:
                self._follow_one_stream()
            except Exception:
                _LOG.warning("a watch of Firestore failed and is opened again", exc_info=True)
            if not self._closed:
                self._wake.wait(self._pause)
                self._pause = min(2 * self._pause, LONGEST_PAUSE_SECONDS)

    def _follow_one_stream(self) -> None:
        stream = self._listen(self._arrived)
        try:
            while not self._closed and stream.is_active:
                _calm(stream)
                self._wake.wait(CHECK_SECONDS)
                self._wake.clear()
                self._deliver()
        finally:
            stream.unsubscribe()

    def _arrived(self, snapshots: Sequence[DocumentSnapshot], _changes: object, _time: object) -> None:
        """Called by the library, in its thread."""
        with self._waiting_lock:
            self._waiting = snapshots
        self._wake.set()

    def _deliver(self) -> None:
        with self._waiting_lock:
            snapshots, self._waiting = self._waiting, None
        if snapshots is None or self._closed:
            return
        self._pause = FIRST_PAUSE_SECONDS
        documents = self._read(snapshots)
        present = tuple((document.id, document.version) for document in documents)
        if present == self._seen:
            return  # a stream that was opened again begins with what is known
        self._seen = present
        try:
            self._on_change(documents)
        except Exception:
            _LOG.exception("a watch's callback failed; the watch goes on")


class _Patience:
    """Says whether a stream may be recovered: if the library says so, and not too often."""

    def __init__(self, recoverable: Callable[[Exception], bool]) -> None:
        self._recoverable = recoverable
        self._recovered: deque[float] = deque(maxlen=RECOVERIES_PER_MINUTE)

    def __call__(self, error: Exception) -> bool:
        now = time.monotonic()
        if len(self._recovered) == RECOVERIES_PER_MINUTE and now - self._recovered[0] < 60:
            return False
        self._recovered.append(now)
        return self._recoverable(error)


def _calm(stream: Stream) -> None:
    """Keeps the library from opening a stream again at once and for ever while the network is away.

    That takes most of a processor, and the library has no setting for it. A stream that ends instead is opened again
    here, with pauses.
    """
    rpc = getattr(stream, "_rpc", None)
    recoverable = getattr(rpc, "_should_recover", None)
    if recoverable is not None and not isinstance(recoverable, _Patience):
        rpc._should_recover = _Patience(recoverable)  # type: ignore[union-attr]


def arranged(made: Plan, documents: Sequence[Document]) -> tuple[Document, ...]:
    """The documents that have all fields of the order, sorted by it."""
    kept = [document for document in documents if all(entry.field in document.data for entry in made.orders)]
    kept.sort(key=lambda document: stored_id(document.id), reverse=made.ids_descending)
    for entry in reversed(made.orders):
        kept.sort(key=lambda document: order_key(document.data[entry.field]), reverse=entry.descending)
    return tuple(kept)
