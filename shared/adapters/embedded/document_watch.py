"""One watch of the embedded document store: a thread that looks for changes and calls back.

It must not read the store by itself: it is given what tells of a change and what fetches the documents.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from shared.errors import Retryable
from shared.ports import Document

POLL_SECONDS = 0.1
"""How often a watch looks for commits of other processes; those of its own process wake it."""

_LOG = logging.getLogger(__name__)


class DocumentWatch:
    """Calls `on_change` with all documents that `fetch` gives, at once and then whenever they have changed."""

    def __init__(
        self,
        changes: Callable[[], int],
        fetch: Callable[[], tuple[Document, ...]],
        on_change: Callable[[tuple[Document, ...]], None],
        on_close: Callable[[DocumentWatch], None],
    ) -> None:
        self._changes = changes
        self._fetch = fetch
        self._on_change = on_change
        self._on_close = on_close
        self._wake = threading.Event()
        self._closed = False
        self._seen_changes: int | None = None
        self._seen: tuple[tuple[str, str], ...] | None = None
        self._thread = threading.Thread(target=self._run, name="document-watch", daemon=True)

    def start(self) -> None:
        """Begins; the first call comes from the watch's own thread."""
        self._thread.start()

    def look(self) -> None:
        """Says that something was committed."""
        self._wake.set()

    def close(self) -> None:
        """Returns when no callback runs any more, except from within a callback; idempotent."""
        self._closed = True
        self._wake.set()
        self._on_close(self)
        if threading.current_thread() is not self._thread:
            self._thread.join()

    def _run(self) -> None:
        while not self._closed:
            self._wake.clear()
            try:
                self._look()
            except Retryable:
                _LOG.warning("a watch could not read the document store and tries again", exc_info=True)
            self._wake.wait(POLL_SECONDS)

    def _look(self) -> None:
        changes = self._changes()
        if changes == self._seen_changes:
            return
        documents = self._fetch()
        self._seen_changes = changes
        present = tuple((document.id, document.version) for document in documents)
        if present == self._seen or self._closed:
            return
        self._seen = present
        try:
            self._on_change(documents)
        except Exception:
            _LOG.exception("a watch's callback failed; the watch goes on")
