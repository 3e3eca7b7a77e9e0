"""The `Documents` port on one SQLite file, for the local product and the tests.

Has Firestore's semantics where they show: its order of values, its document sizes, its rules for indexes, and that a
write which changes nothing leaves the version alone. It must not know what the documents mean.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

from shared.adapters.document_queries import Plan, cursor_after, plan, read_cursor
from shared.adapters.document_values import check_collection, check_order, load, original_id, stored_id
from shared.adapters.embedded.document_connections import DocumentConnections
from shared.adapters.embedded.document_sql import (
    SCHEMA,
    composite_index,
    order_clause,
    single_field_indexes,
    where_clause,
)
from shared.adapters.embedded.document_watch import DocumentWatch
from shared.adapters.embedded.document_writes import Prepared, Stored, outcome, prepare
from shared.ports import Document, Index, Page, Query, Subscription, Unindexed, Write

_READ = "SELECT version, data FROM documents WHERE collection = ? AND id = ?"
_WRITE = """
INSERT INTO documents (collection, id, version, keys, data) VALUES (?, ?, ?, ?, ?)
ON CONFLICT (collection, id) DO UPDATE SET version = excluded.version, keys = excluded.keys, data = excluded.data
"""
_COUNT_CHANGE = """
INSERT INTO collections (name, changes) VALUES (?, 1)
ON CONFLICT (name) DO UPDATE SET changes = changes + 1 RETURNING changes
"""


class SqliteDocuments:
    """Documents in the SQLite file at `path`, made if it is not there; for many threads and several processes.

    A commit that returned survives the death of the process (`kill -9`), not always a power cut. Only the composite
    `indexes` may be queried. An index of a single field that is not exempt (`Unindexed`) is made when the first query
    needs it; `array_contains` alone reads all the keys of its collection. `version` is the count of changes to the
    collection.
    """

    def __init__(self, path: Path, indexes: Sequence[Index | Unindexed]) -> None:
        self._indexes = tuple(indexes)
        self._connections = DocumentConnections(path, SCHEMA)
        self._made: set[str] = set()
        self._watches: set[DocumentWatch] = set()
        self._watches_lock = threading.Lock()
        self._make_indexes([composite_index(index) for index in self._indexes if isinstance(index, Index)])

    def close(self) -> None:
        """Ends all watches and closes the database; idempotent."""
        with self._watches_lock:
            watches = list(self._watches)
        for watch in watches:
            watch.close()
        self._connections.close()

    def get(self, collection: str, id: str) -> Document | None:
        """The document, or None."""
        return self.get_many([(collection, id)])[0]

    def get_many(self, keys: Sequence[tuple[str, str]]) -> list[Document | None]:
        """Documents in the order asked, all of one moment."""
        for collection, _ in keys:
            check_collection(collection)
        targets = [(collection, stored_id(id)) for collection, id in keys]
        with self._connections.reading() as connection:
            rows = _read_all(connection, targets)
        return [
            None if row is None else Document(collection, id, load(row[1]), str(row[0]))
            for (collection, id), row in zip(keys, rows, strict=True)
        ]

    def commit(self, writes: Sequence[Write]) -> None:
        """All writes or none, in their order, in one transaction."""
        check_order(writes)
        steps = [prepare(write) for write in writes]
        if not steps:
            return
        versions: dict[str, int] = {}
        with self._connections.writing() as connection:
            for step in steps:
                _apply(connection, step, versions)
        if versions:
            self._wake_watches()

    def query(self, query: Query, *, limit: int = 100, cursor: str | None = None) -> Page:
        """One page, filtered, sorted and cut by SQLite."""
        if limit < 1:
            raise ValueError("a page holds at least one document")
        made = self._plan(query)
        after = None if cursor is None else read_cursor(made, cursor)
        found = self._select(made, limit=limit + 1, after=after)
        if len(found) <= limit:
            return Page(tuple(found), None)
        last = found[limit - 1]
        return Page(tuple(found[:limit]), cursor_after(made, last.data, stored_id(last.id)))

    def count(self, query: Query) -> int:
        """How many documents match, counted by SQLite."""
        condition = where_clause(self._plan(query))
        statement = f"SELECT count(*) FROM documents WHERE {condition.sql}"  # noqa: S608 - values are parameters
        with self._connections.reading() as connection:
            (number,) = connection.execute(statement, condition.parameters).fetchone()
        return int(number)

    def watch(self, query: Query, on_change: Callable[[tuple[Document, ...]], None]) -> Subscription:
        """Sees commits of this object at once, those of other processes within a tenth of a second."""
        made = self._plan(query)
        watch = DocumentWatch(
            lambda: self._changes(made.collection), lambda: tuple(self._select(made)), on_change, self._forget
        )
        with self._watches_lock:
            self._watches.add(watch)
            watch.start()
        return watch

    def _plan(self, query: Query) -> Plan:
        made = plan(query, self._indexes)
        if not made.needs_composite_index:
            self._make_indexes(single_field_indexes(made))
        return made

    def _make_indexes(self, statements: Sequence[str]) -> None:
        missing = [statement for statement in statements if statement not in self._made]
        if missing:
            with self._connections.writing() as connection:
                for statement in missing:
                    connection.execute(statement)
            self._made.update(missing)

    def _select(
        self, made: Plan, *, limit: int = -1, after: tuple[Sequence[object], str] | None = None
    ) -> list[Document]:
        condition = where_clause(made, after)
        statement = (
            f"SELECT id, version, data FROM documents WHERE {condition.sql}"  # noqa: S608 - values are parameters
            f" ORDER BY {order_clause(made)} LIMIT ?"
        )
        with self._connections.reading() as connection:
            rows = connection.execute(statement, (*condition.parameters, limit)).fetchall()
        return [Document(made.collection, original_id(id), load(data), str(version)) for id, version, data in rows]

    def _changes(self, collection: str) -> int:
        with self._connections.reading() as connection:
            row = connection.execute("SELECT changes FROM collections WHERE name = ?", (collection,)).fetchone()
        return 0 if row is None else int(row[0])

    def _wake_watches(self) -> None:
        with self._watches_lock:
            watches = list(self._watches)
        for watch in watches:
            watch.look()

    def _forget(self, watch: DocumentWatch) -> None:
        with self._watches_lock:
            self._watches.discard(watch)


def _read_all(connection: sqlite3.Connection, targets: Sequence[tuple[str, str]]) -> list[tuple[int, str] | None]:
    if len(targets) == 1:
        return [connection.execute(_READ, targets[0]).fetchone()]
    connection.execute("BEGIN")
    try:
        return [connection.execute(_READ, target).fetchone() for target in targets]
    finally:
        connection.execute("COMMIT")


def _apply(connection: sqlite3.Connection, step: Prepared, versions: dict[str, int]) -> None:
    """Does one write inside the transaction; `versions` are the new ones of the collections changed so far."""
    row = connection.execute(_READ, (step.collection, step.id)).fetchone()
    present = None if row is None else Stored(str(row[0]), row[1])
    wanted = outcome(step, present)
    if (present.data if present else None) == (wanted.data if wanted else None):
        return
    if step.collection not in versions:
        ((versions[step.collection],),) = connection.execute(_COUNT_CHANGE, (step.collection,)).fetchall()
    if wanted is None:
        connection.execute("DELETE FROM documents WHERE collection = ? AND id = ?", (step.collection, step.id))
    else:
        row_values = (step.collection, step.id, versions[step.collection], wanted.keys, wanted.data)
        connection.execute(_WRITE, row_values)
