"""Bucket notifications of the embedded home: what Cloud Storage would publish, kept until it is published.

`messages` says what to announce, `note` keeps it in the transaction that made the object live, `deliver` publishes, and
`NotificationRelay` is the thread that calls it. It must not lose one: a row goes only after `publish` has returned.
"""

from __future__ import annotations

import json
import logging
import sqlite3
import threading
from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

from shared.adapters.embedded.blob_index import BlobIndex
from shared.adapters.embedded.blob_object import StoredObject, object_resource, rfc3339
from shared.ports import OutgoingMessage

BATCH = 100
MAX_BACKOFF_SECONDS = 60.0
POLL_SECONDS = 1.0  # for objects that another process stored, and for retries that have become due

log = logging.getLogger(__name__)


class NotificationRule(NamedTuple):
    """Objects of `bucket` whose names start with `prefix` are announced to `topic`."""

    bucket: str
    prefix: str
    topic: str


def messages(
    stored: StoredObject, rules: Sequence[NotificationRule], overwrote: int | None = None
) -> list[OutgoingMessage]:
    """One message for each rule the object falls under, in the form of Cloud Storage's Pub/Sub notifications."""
    return [
        OutgoingMessage(
            rule.topic, json.dumps(object_resource(stored)).encode(), _attributes(stored, number, overwrote)
        )
        for number, rule in enumerate(rules, start=1)
        if rule.bucket == stored.bucket and stored.name.startswith(rule.prefix)
    ]


def note(connection: sqlite3.Connection, announced: Sequence[OutgoingMessage]) -> None:
    """Keeps messages in the caller's transaction."""
    connection.executemany(
        "INSERT INTO notifications (topic, data, attributes) VALUES (?, ?, ?)",
        [(message.topic, message.data, json.dumps(dict(message.attributes))) for message in announced],
    )


def deliver(index: BlobIndex, publish: Callable[[OutgoingMessage], object], now: float) -> int:
    """Publishes what was due at `now`, oldest first; see `BlobFolder.deliver_notifications`."""
    delivered = 0
    last = 0
    while batch := _due(index, now, last):
        for row in batch:
            last = row["id"]
            message = OutgoingMessage(row["topic"], row["data"], json.loads(row["attributes"]))
            try:
                publish(message)
            except Exception:
                # Whatever went wrong, the row stays: this is the only trace of the object's arrival.
                log.warning("a bucket notification to %s waits for another try", row["topic"], exc_info=True)
                _postpone(index, row, now)
                continue
            with index.write() as connection:
                connection.execute("DELETE FROM notifications WHERE id = ?", (row["id"],))
            delivered += 1
    return delivered


def _due(index: BlobIndex, now: float, after: int) -> list[sqlite3.Row]:
    with index.read() as connection:
        return connection.execute(
            "SELECT * FROM notifications WHERE due <= ? AND id > ? ORDER BY id LIMIT ?", (now, after, BATCH)
        ).fetchall()


def _postpone(index: BlobIndex, row: sqlite3.Row, now: float) -> None:
    backoff = min(0.25 * 2 ** min(row["attempts"], 20), MAX_BACKOFF_SECONDS)
    with index.write() as connection:
        connection.execute(
            "UPDATE notifications SET attempts = attempts + 1, due = ? WHERE id = ?", (now + backoff, row["id"])
        )


def _attributes(stored: StoredObject, number: int, overwrote: int | None) -> dict[str, str]:
    attributes = {
        "notificationConfig": f"projects/_/buckets/{stored.bucket}/notificationConfigs/{number}",
        "eventType": "OBJECT_FINALIZE",
        "payloadFormat": "JSON_API_V1",
        "bucketId": stored.bucket,
        "objectId": stored.name,
        "objectGeneration": str(stored.generation),
        "eventTime": rfc3339(stored.created),
    }
    if overwrote is not None:
        attributes["overwroteGeneration"] = str(overwrote)
    return attributes


class _Announcer(Protocol):
    """What the relay needs of a `BlobFolder`."""

    @property
    def announced(self) -> threading.Event: ...

    def deliver_notifications(self, publish: Callable[[OutgoingMessage], object]) -> int: ...


class NotificationRelay:
    """Publishes a folder's notifications from a thread: those left from before at once, new ones as they come.

    One relay a folder and process. A context manager: the thread runs inside the block.
    """

    def __init__(self, folder: _Announcer, publish: Callable[[OutgoingMessage], object]) -> None:
        self._folder = folder
        self._publish = publish
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="blob-notifications", daemon=True)

    def start(self) -> None:
        """Starts the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Waits until the publish in progress has returned; what is left is published by the next relay."""
        self._stopping.set()
        self._folder.announced.set()
        self._thread.join()

    def __enter__(self) -> NotificationRelay:
        self.start()
        return self

    def __exit__(self, *_exc: object) -> None:
        self.stop()

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._folder.announced.clear()  # before looking, so that nothing slips in between
            try:
                self._folder.deliver_notifications(self._guarded)
            except _Stopping:
                return
            except Exception:
                log.exception("bucket notifications could not be read; the relay goes on")
            self._folder.announced.wait(POLL_SECONDS)

    def _guarded(self, message: OutgoingMessage) -> object:
        if self._stopping.is_set():
            raise _Stopping
        return self._publish(message)


class _Stopping(BaseException):
    """Leaves a delivery between two messages; no `Exception`, since those mean a failed publish."""
