"""Counts what the whole system asks of its stores and its bus: the embedded home with counters in its adapters.

What is counted is what Google would bill or limit: documents read (a query without a match counts as one), written and
deleted, also by collection and document; messages and their bytes; operations on objects, of class A (put, copy, list)
and B (stat, open).
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, BinaryIO, ClassVar, Self
from unittest import mock

from local import home, server
from local.emulators import free_port
from shared.adapters.embedded.blobs import FolderBlobs
from shared.adapters.embedded.documents import SqliteDocuments
from shared.adapters.embedded.queue import SqliteQueue
from shared.ports import BlobInfo, Create, Delete, Document, OutgoingMessage, Page, Query, Write


@dataclass
class Counts:
    """What was counted. `hottest`: by collection, the writes to the document that was written most."""

    reads: int = 0
    writes: Counter[str] = field(default_factory=Counter)
    created: Counter[str] = field(default_factory=Counter)
    deletes: int = 0
    documents: Counter[tuple[str, str]] = field(default_factory=Counter)
    messages: Counter[str] = field(default_factory=Counter)
    message_bytes: int = 0
    class_a: int = 0
    class_b: int = 0

    @property
    def hottest(self) -> dict[str, int]:
        """See above."""
        most: dict[str, int] = {}
        for (collection, _), times in self.documents.items():
            most[collection] = max(most.get(collection, 0), times)
        return most


class Tally:
    """Counts that threads add to, and a reader takes away. `touched` tells that something was added since."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts = Counts()
        self.additions = 0

    def add(self, change: Callable[[Counts], None]) -> None:
        """Lets `change` add to the counts."""
        with self._lock:
            change(self._counts)
            self.additions += 1

    def take(self) -> Counts:
        """What was counted since the last time."""
        with self._lock:
            counts, self._counts = self._counts, Counts()
            return counts


NOTICED_SECONDS = 1.0
"""Until then the end of an upload has been announced to the queue."""

TALLY = Tally()
"""One a process: the counting adapters are made by the home, which knows nothing of them."""


class CountingDocuments(SqliteDocuments):
    """The embedded documents, counted."""

    def get(self, collection: str, id: str) -> Document | None:
        """One read, found or not."""
        TALLY.add(lambda counts: _read(counts, 1))
        return super().get(collection, id)

    def get_many(self, keys: Sequence[tuple[str, str]]) -> list[Document | None]:
        """One read a key."""
        TALLY.add(lambda counts: _read(counts, len(keys)))
        return super().get_many(keys)

    def query(self, query: Query, *, limit: int = 100, cursor: str | None = None) -> Page:
        """One read a document, at least one."""
        page = super().query(query, limit=limit, cursor=cursor)
        TALLY.add(lambda counts: _read(counts, max(1, len(page.documents))))
        return page

    def count(self, query: Query) -> int:
        """One read for each 1,000 that are counted."""
        TALLY.add(lambda counts: _read(counts, 1))
        return super().count(query)

    def commit(self, writes: Sequence[Write]) -> None:
        """One write or delete each; a commit that fails is not billed, and not counted."""
        super().commit(writes)
        TALLY.add(lambda counts: _written(counts, writes))


class CountingQueue(SqliteQueue):
    """The embedded queue, counted. `latest`: the one that was made last."""

    latest: ClassVar[CountingQueue]

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        CountingQueue.latest = self

    def publish(self, message: OutgoingMessage) -> str:
        """One message."""
        TALLY.add(lambda counts: _published(counts, message))
        return super().publish(message)

    def publish_at(self, when: datetime, message: OutgoingMessage, *, name: str) -> None:
        """One message, later."""
        TALLY.add(lambda counts: _published(counts, message))
        super().publish_at(when, message, name=name)


class CountingBlobs(FolderBlobs):
    """The embedded objects, counted; deleting is free."""

    def stat(self, name: str) -> BlobInfo | None:
        """Class B."""
        TALLY.add(_class_b)
        return super().stat(name)

    def open(self, name: str, *, generation: int | None = None) -> BinaryIO:
        """Class B: one ranged read; a long video takes one for every few MiB."""
        TALLY.add(_class_b)
        return super().open(name, generation=generation)

    def put(self, *arguments: Any, **options: Any) -> BlobInfo:
        """Class A."""
        TALLY.add(_class_a)
        return super().put(*arguments, **options)

    def copy(self, source: str, target: str, *, if_generation: int | None = None) -> BlobInfo:
        """Class A."""
        TALLY.add(_class_a)
        return super().copy(source, target, if_generation=if_generation)

    def list(self, prefix: str = "") -> Iterator[BlobInfo]:
        """Class A."""
        TALLY.add(_class_a)
        return super().list(prefix)


class _NoTicker:
    """Nothing happens by itself while things are counted; whoever counts publishes the ticks."""

    def __init__(self, *_: Any) -> None:
        pass

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass


@contextmanager
def counted_server(folder: Path) -> Iterator[str]:
    """The embedded server with counting adapters, in this process; gives its base URL."""
    with ExitStack() as stack:
        for name, counting in (
            ("SqliteDocuments", CountingDocuments),
            ("SqliteQueue", CountingQueue),
            ("FolderBlobs", CountingBlobs),
            ("Ticker", _NoTicker),
        ):
            stack.enter_context(mock.patch.object(home, name, counting))
        yield stack.enter_context(server.running_server(folder / "data", port=free_port()))


def when_idle(patience: timedelta = timedelta(seconds=60)) -> Counts:
    """What was counted since the last time, once nothing is under way any more. Raises TimeoutError."""
    time.sleep(NOTICED_SECONDS)
    if not CountingQueue.latest.wait_until_idle(patience.total_seconds()):
        raise TimeoutError("the queue is not idle")
    return TALLY.take()


def _read(counts: Counts, documents: int) -> None:
    counts.reads += documents


def _written(counts: Counts, writes: Sequence[Write]) -> None:
    for write in writes:
        counts.documents[write.collection, write.id] += 1
        if isinstance(write, Delete):
            counts.deletes += 1
            continue
        counts.writes[write.collection] += 1
        if isinstance(write, Create):
            counts.created[write.collection] += 1


def _published(counts: Counts, message: OutgoingMessage) -> None:
    counts.messages[message.topic] += 1
    counts.message_bytes += len(message.data) + sum(len(key) + len(text) for key, text in message.attributes.items())


def _class_a(counts: Counts) -> None:
    counts.class_a += 1


def _class_b(counts: Counts) -> None:
    counts.class_b += 1
