"""Connections to the document database: as many readers as needed, one writer at a time.

Decides how durable a commit is and what a failing SQLite means. It must not know what is stored.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from shared.errors import Retryable

BUSY_SECONDS = 30.0
"""How long a writer waits for writers in other processes before it gives up with `Retryable`."""

_TRANSIENT = {
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_CANTOPEN,
}


class DocumentConnections:
    """A pool that belongs to no thread: a connection is lent for one read, and the next borrower takes it over.

    Threads of a process queue for the writer on a lock of Python's, which is fair and cheap; SQLite's own waiting,
    a sleep between tries, is left for other processes.
    """

    def __init__(self, path: Path, schema: str) -> None:
        self._path = path
        self._idle: list[sqlite3.Connection] = []
        self._idle_lock = threading.Lock()
        self._write_lock = threading.Lock()
        self._closed = False
        path.parent.mkdir(parents=True, exist_ok=True)
        with translated_errors():
            self._writer = self._open()
            _run_when_free(self._writer, "PRAGMA journal_mode = WAL")
            _run_when_free(self._writer, f"BEGIN IMMEDIATE; {schema} COMMIT;")

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """Lends a connection; what the block reads in one statement is consistent. Raises `Retryable`."""
        with translated_errors():
            connection = self._borrow()
            try:
                yield connection
            finally:
                self._give_back(connection)

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """Runs the block in one transaction: committed when it ends, rolled back when it raises. Raises `Retryable`."""
        with self._write_lock, translated_errors():
            self._writer.execute("BEGIN IMMEDIATE")
            try:
                yield self._writer
                self._writer.execute("COMMIT")
            except BaseException:
                if self._writer.in_transaction:
                    self._writer.execute("ROLLBACK")
                raise

    def close(self) -> None:
        """Closes what is idle now and the rest as it comes back; idempotent."""
        with self._write_lock:
            self._writer.close()
        with self._idle_lock:
            self._closed = True
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    def _borrow(self) -> sqlite3.Connection:
        with self._idle_lock:
            if self._closed:
                raise RuntimeError("the document store is closed")
            if self._idle:
                return self._idle.pop()
        return self._open()

    def _give_back(self, connection: sqlite3.Connection) -> None:
        with self._idle_lock:
            if not self._closed:
                self._idle.append(connection)
                return
        connection.close()

    def _open(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
        # A commit is in the kernel's hands when it returns, so a killed process loses nothing. Only a power cut can
        # undo the last commits, and never half of one: the log is synced before it is merged into the database.
        connection.execute("PRAGMA synchronous = NORMAL")
        return connection


@contextmanager
def translated_errors() -> Iterator[None]:
    """Raises `Retryable` where SQLite is locked, full or cannot reach its file; other errors pass."""
    try:
        yield
    except sqlite3.OperationalError as error:
        if getattr(error, "sqlite_errorcode", 0) & 0xFF in _TRANSIENT:
            raise Retryable("the document database is not available") from error
        raise


def _run_when_free(connection: sqlite3.Connection, statement: str) -> None:
    """Switching to WAL does not wait for other processes that open the file now, whatever the timeout says."""
    deadline = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            connection.executescript(statement)
            return
        except sqlite3.OperationalError as error:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
        time.sleep(0.02)
