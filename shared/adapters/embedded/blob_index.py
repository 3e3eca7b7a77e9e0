"""The SQLite index of the embedded blob store: its schema, its connections, its transactions.

It must not know what the rows mean: that is the folder's business. Writers take turns by a lock within the process
(fair, unlike SQLite's polling) and by `BEGIN IMMEDIATE` between processes.
"""

from __future__ import annotations

import fcntl
import queue
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from shared.errors import Retryable

BUSY_SECONDS = 30.0

SCHEMA = """
CREATE TABLE IF NOT EXISTS objects (
    bucket TEXT NOT NULL,
    name TEXT NOT NULL,
    generation INTEGER NOT NULL,
    metageneration INTEGER NOT NULL,
    size INTEGER NOT NULL,
    content_type TEXT NOT NULL,
    metadata TEXT NOT NULL,
    md5 TEXT NOT NULL,
    crc32c TEXT NOT NULL,
    created INTEGER NOT NULL,  -- microseconds since 1970
    updated INTEGER NOT NULL,
    PRIMARY KEY (bucket, name)
) WITHOUT ROWID;

-- The last generation given to anything: it outlives deletions and clocks that are set back.
CREATE TABLE IF NOT EXISTS last_generation (
    only_row INTEGER PRIMARY KEY CHECK (only_row = 1),
    generation INTEGER NOT NULL
);

CREATE TABLE IF NOT EXISTS notifications (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    topic TEXT NOT NULL,
    data BLOB NOT NULL,
    attributes TEXT NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,
    due REAL NOT NULL DEFAULT 0  -- seconds since 1970
);

CREATE TABLE IF NOT EXISTS upload_sessions (
    id TEXT PRIMARY KEY,
    bucket TEXT NOT NULL,
    name TEXT NOT NULL,
    content_type TEXT NOT NULL,
    metadata TEXT NOT NULL,
    preconditions TEXT NOT NULL,
    min_bytes INTEGER NOT NULL,
    max_bytes INTEGER,
    created REAL NOT NULL,
    finished_generation INTEGER
) WITHOUT ROWID;
"""


class BlobIndex:
    """Connections to one index file. Thread-safe; several processes may share the file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._idle: queue.LifoQueue[sqlite3.Connection] = queue.LifoQueue()
        self._turn = threading.Lock()
        # Only one process at a time: switching a new file to WAL does not wait for others, it fails.
        with path.with_suffix(".lock").open("ab") as gate:
            fcntl.flock(gate, fcntl.LOCK_EX)
            with self.read() as connection:
                connection.executescript(SCHEMA)

    @contextmanager
    def read(self) -> Iterator[sqlite3.Connection]:
        """A connection that sees the last commit. SQLite's own trouble (locked, disk full) becomes `Retryable`."""
        connection = self._take()
        try:
            yield connection
        except sqlite3.OperationalError as error:
            raise Retryable(f"the blob index: {error}") from error
        finally:
            self._idle.put(connection)

    @contextmanager
    def write(self) -> Iterator[sqlite3.Connection]:
        """A transaction that no other writer overlaps: committed after the block, rolled back by an exception."""
        with self._turn, self.read() as connection:
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise

    def close(self) -> None:
        """Closes the connections that are not in use."""
        while True:
            try:
                self._idle.get_nowait().close()
            except queue.Empty:
                return

    def _take(self) -> sqlite3.Connection:
        try:
            return self._idle.get_nowait()
        except queue.Empty:
            return self._connect()

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
        connection.row_factory = sqlite3.Row
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        return connection
