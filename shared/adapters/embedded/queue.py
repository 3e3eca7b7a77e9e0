"""The embedded bus: a durable queue in one SQLite file, with leases, backoff and dead letters.

It stores and hands out deliveries; it runs no handler (`queue_workers.py` does) and knows no message's meaning.

One row of `deliveries` is one message for one subscription, from publish until acknowledgement:

    publish            pull (attempt 1)         fail                  pull (attempt 2)     acknowledge
    ───●─── available ───●─── leased ─────────────●─── backing off ─────●─── leased ─────────●  row removed
                         └ lease runs out unrenewed (the worker died): available again at once, the attempt counts
                                                  └ the last attempt: moved to `dead_letters` in the same transaction

`due` is the moment a row may be pulled: its publication, the end of its backoff, or the end of its lease. A message of
`publish_at` is laid out at once, as published at the moment it was asked for, so it outlives every restart.

Durability: `publish` and `replay` sync the log to the disk before they return, so they survive a power cut. The other
changes survive the end of the process at any moment, and a power cut may undo the last of them; that only repeats a
delivery, which "at least once" allows.
"""

from __future__ import annotations

import json
import logging
import secrets
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from shared import ids
from shared.errors import NotFound, Retryable
from shared.ports import Clock, DeadLetter, Delivery, OutgoingMessage

log = logging.getLogger(__name__)

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
NAME_LIFE = timedelta(hours=1)
"""How long after its moment a timer's name is remembered."""
LOCK_TIMEOUT_SECONDS = 30.0
"""How long a transaction waits for another process's; each takes well under a millisecond."""

SCHEMA = """
CREATE TABLE IF NOT EXISTS messages (
    number INTEGER PRIMARY KEY, id TEXT NOT NULL, topic TEXT NOT NULL, data BLOB NOT NULL, attributes TEXT NOT NULL,
    published INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS deliveries (
    message INTEGER NOT NULL, subscription TEXT NOT NULL, attempt INTEGER NOT NULL, due INTEGER NOT NULL, lease TEXT,
    PRIMARY KEY (message, subscription)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS deliveries_by_due ON deliveries (subscription, due, message);
CREATE TABLE IF NOT EXISTS dead_letters (
    handle TEXT PRIMARY KEY, subscription TEXT NOT NULL, topic TEXT NOT NULL, data BLOB NOT NULL,
    attributes TEXT NOT NULL, attempts INTEGER NOT NULL, published INTEGER NOT NULL, given_up INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS timer_names (name TEXT PRIMARY KEY, forget_at INTEGER NOT NULL) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS timer_names_by_end ON timer_names (forget_at);
"""


@dataclass(frozen=True)
class QueueSubscription:
    """Who gets the messages of a topic, and how patiently.

    After its n-th failure a delivery waits `minimum_backoff` · 2^(n-1), at most `maximum_backoff`. `lease`: how long a
    worker may be silent before another takes over (`QueueWorkers` renews it, so a handler may take longer). `workers`:
    how many threads of one process handle it.
    """

    name: str
    topic: str
    max_attempts: int = 5
    minimum_backoff: timedelta = timedelta(seconds=1)
    maximum_backoff: timedelta = timedelta(minutes=10)
    lease: timedelta = timedelta(seconds=60)
    workers: int = 1

    def backoff(self, attempt: int) -> timedelta:
        """How long to wait after attempt number `attempt` (from 1) failed."""
        seconds = self.minimum_backoff.total_seconds() * 2.0 ** (attempt - 1)
        return timedelta(seconds=min(seconds, self.maximum_backoff.total_seconds()))


@dataclass(frozen=True)
class LeasedDelivery:
    """A delivery that the caller holds until its lease runs out. `token` fences off whoever held it before."""

    subscription: str
    delivery: Delivery
    number: int
    token: str


class SqliteQueue:
    """Implements `Bus`, `Timers` and `DeadLetters`. Thread-safe, and several processes may share the file.

    They must all declare the same subscriptions: a message is laid out for those its publisher knows.
    """

    def __init__(
        self, path: Path, topics: Sequence[str], subscriptions: Sequence[QueueSubscription], clock: Clock
    ) -> None:
        self.subscriptions = {subscription.name: subscription for subscription in subscriptions}
        _check(topics, subscriptions)
        self._topics = frozenset(topics)
        self._clock = clock
        # One connection behind one lock: SQLite has one writer at a time, and threads wait for a lock without the
        # sleeping and polling that connections competing for the file would do.
        self._lock = threading.RLock()
        self._listeners: list[Callable[[str], None]] = []
        self._database = _open(path)

    def close(self) -> None:
        """Closes the file. Idempotent; nothing else may be called afterwards."""
        with self._lock:
            self._database.close()

    # ------------------------------------------------------------------ Bus

    def publish(self, message: OutgoingMessage) -> str:
        """Implements `Bus.publish`: the message and a delivery for every subscription of its topic, or nothing."""
        with self._transaction(synced=True):
            message_id = self._store(message)
        self._announce(message.topic)
        return message_id

    # ------------------------------------------------------------------ Timers

    def publish_at(self, when: datetime, message: OutgoingMessage, *, name: str) -> None:
        """Implements `Timers.publish_at`: what lies in the past is published now. Raises `NotFound`, as `publish`."""
        if when.tzinfo is None:
            raise ValueError("a timer's moment must be aware")
        due = max(_moment(when), self._now())
        with self._transaction(synced=True):
            if not self._remember(name, due):
                return
            self._store(message, due)
        self._announce(message.topic)  # whoever waits for a later moment must look again

    def listen(self, on_arrival: Callable[[str], None]) -> None:
        """Has this process's publishes call `on_arrival` with the name of each subscription that got a message."""
        self._listeners.append(on_arrival)

    # ------------------------------------------------------------------ what a worker does

    def pull(self, subscription: str, lease: timedelta | None = None) -> LeasedDelivery | None:
        """Leases the delivery that has been available longest, and counts the attempt; None if none is available."""
        declared = self.subscriptions[subscription]
        length = lease or declared.lease
        wait = self.due_in(subscription)
        if wait is None or wait > 0:
            return None  # asked by a plain read, so that idle workers do not queue up for the write lock
        with self._transaction():
            while (row := self._first_due(subscription)) is not None:
                if row["attempt"] < declared.max_attempts:
                    return self._claim(row, subscription, length)
                # The worker that had the last attempt never reported: its process died, perhaps because of this
                # message. One more attempt would be one too many.
                self._bury(row["message"], subscription, row["attempt"])
        return None

    def acknowledge(self, leased: LeasedDelivery) -> bool:
        """Ends the delivery, and the message with its last one. False if the lease was lost: it will come again."""
        with self._transaction():
            held = self._remove_delivery(leased)
            if held:
                self._remove_message_if_done(leased.number)
        return held

    def fail(self, leased: LeasedDelivery, retry_after: float = 0.0) -> bool:
        """Gives the delivery back: again after its backoff and not before `retry_after` seconds, or a dead letter.

        False if the lease was lost.
        """
        subscription = self.subscriptions[leased.subscription]
        attempt = leased.delivery.attempt
        if attempt < subscription.max_attempts:
            return self._give_back(leased, max(subscription.backoff(attempt).total_seconds(), retry_after), attempt)
        with self._transaction():
            held = self._holds(leased)
            if held:
                self._bury(leased.number, leased.subscription, attempt)
        return held

    def postpone(self, leased: LeasedDelivery, retry_after: float) -> bool:
        """Gives the delivery back for at least `retry_after` seconds without counting the attempt.

        For `InProgress`: another worker is doing the work, nothing has failed. Were it counted, a duplicate of a long
        piece of work would become a dead letter although the work succeeds. False if the lease was lost.
        """
        shortest = self.subscriptions[leased.subscription].minimum_backoff.total_seconds()
        return self._give_back(leased, max(shortest, retry_after), leased.delivery.attempt - 1)

    def extend(self, leased: LeasedDelivery, lease: timedelta | None = None) -> bool:
        """Lets the lease end `lease` (the subscription's by default) from now. False if it was lost."""
        due = self._now() + _microseconds(lease or self.subscriptions[leased.subscription].lease)
        with self._transaction():
            return self._set_if_held(leased, due, leased.token, leased.delivery.attempt)

    def release_leases(self) -> int:
        """Makes all leased deliveries available at once; returns how many there were.

        For the start of a process that has the file to itself: whoever held them is gone. Their attempts count.
        """
        with self._transaction():
            statement = "UPDATE deliveries SET lease = NULL, due = ? WHERE lease IS NOT NULL"
            return self._run(statement, self._now()).rowcount

    def due_in(self, subscription: str) -> float | None:
        """Seconds until a delivery can be pulled (0 or less: now), None when there is none to wait for."""
        with self._lock:
            row = self._run("SELECT MIN(due) AS due FROM deliveries WHERE subscription = ?", subscription).fetchone()
        return None if row["due"] is None else (row["due"] - self._now()) / 1e6

    # ------------------------------------------------------------------ is everything done?

    def idle(self) -> bool:
        """Whether no declared subscription has anything available, leased or waiting to be tried again.

        Dead letters do not count, nor does what is published later.
        """
        with self._lock:
            rows = self._run(
                "SELECT DISTINCT subscription FROM deliveries JOIN messages ON number = message WHERE published <= ?",
                self._now(),
            ).fetchall()
        return not any(row["subscription"] in self.subscriptions for row in rows)

    def wait_until_idle(self, timeout: float) -> bool:
        """Waits for `idle`; False if `timeout` seconds passed first."""
        deadline = time.monotonic() + timeout
        while not self.idle():
            if time.monotonic() >= deadline:
                return False
            time.sleep(0.01)
        return True

    # ------------------------------------------------------------------ DeadLetters

    def list(self, limit: int = 100) -> list[DeadLetter]:
        """Implements `DeadLetters.list`, in the order in which they were given up."""
        with self._lock:
            rows = self._run("SELECT * FROM dead_letters ORDER BY given_up, handle LIMIT ?", limit).fetchall()
        return [_dead_letter(row) for row in rows]

    def replay(self, handle: str) -> str:
        """Implements `DeadLetters.replay`; publishing and removing are one transaction here."""
        with self._transaction(synced=True):
            row = self._run("DELETE FROM dead_letters WHERE handle = ? RETURNING *", handle).fetchone()
            if row is None:
                raise NotFound("unknown_dead_letter", "There is no such dead letter.")
            message_id = self._store(_dead_letter(row).message)
        self._announce(row["topic"])
        return message_id

    # ------------------------------------------------------------------ inside a transaction

    def _remember(self, name: str, due: int) -> bool:
        """Takes a timer's name; False if it is taken."""
        self._run("DELETE FROM timer_names WHERE forget_at <= ?", self._now())
        taken = self._run("INSERT OR IGNORE INTO timer_names VALUES (?, ?)", name, due + _microseconds(NAME_LIFE))
        return taken.rowcount == 1

    def _store(self, message: OutgoingMessage, due: int | None = None) -> str:
        if message.topic not in self._topics:
            raise NotFound("unknown_topic", "There is no such topic.")
        message_id = ids.new_uuid()
        published = self._now() if due is None else due
        number = self._run(
            "INSERT INTO messages (id, topic, data, attributes, published) VALUES (?, ?, ?, ?, ?)",
            *(message_id, message.topic, message.data, json.dumps(dict(message.attributes)), published),
        ).lastrowid
        for subscription in self._subscribers(message.topic):
            self._run("INSERT INTO deliveries VALUES (?, ?, 0, ?, NULL)", number, subscription, published)
        self._remove_message_if_done(number)
        return message_id

    def _first_due(self, subscription: str) -> sqlite3.Row | None:
        row: sqlite3.Row | None = self._run(
            "SELECT message, attempt FROM deliveries WHERE subscription = ? AND due <= ? ORDER BY due, message LIMIT 1",
            *(subscription, self._now()),
        ).fetchone()
        return row

    def _claim(self, row: sqlite3.Row, subscription: str, length: timedelta) -> LeasedDelivery:
        number, attempt, token = row["message"], row["attempt"] + 1, secrets.token_hex(8)
        self._run(
            "UPDATE deliveries SET attempt = ?, lease = ?, due = ? WHERE message = ? AND subscription = ?",
            *(attempt, token, self._now() + _microseconds(length), number, subscription),
        )
        message = self._run("SELECT id, data, attributes FROM messages WHERE number = ?", number).fetchone()
        delivery = Delivery(message["id"], message["data"], json.loads(message["attributes"]), attempt)
        return LeasedDelivery(subscription, delivery, number, token)

    def _bury(self, number: int, subscription: str, attempts: int) -> None:
        buried = self._run(
            "INSERT INTO dead_letters SELECT id || ':' || ?, ?, topic, data, attributes, ?, published, ?"
            " FROM messages WHERE number = ? RETURNING handle",
            *(subscription, subscription, attempts, self._now(), number),
        ).fetchone()
        self._run("DELETE FROM deliveries WHERE message = ? AND subscription = ?", number, subscription)
        self._remove_message_if_done(number)
        log.error("given up after %d attempts, now the dead letter %s", attempts, buried["handle"])

    def _give_back(self, leased: LeasedDelivery, seconds: float, attempt: int) -> bool:
        with self._transaction():
            return self._set_if_held(leased, self._now() + round(seconds * 1e6), None, attempt)

    def _set_if_held(self, leased: LeasedDelivery, due: int, token: str | None, attempt: int) -> bool:
        changed = self._run(
            "UPDATE deliveries SET due = ?, lease = ?, attempt = ?"
            " WHERE message = ? AND subscription = ? AND lease = ?",
            *(due, token, attempt, leased.number, leased.subscription, leased.token),
        )
        return changed.rowcount == 1

    def _holds(self, leased: LeasedDelivery) -> bool:
        row = self._run(
            "SELECT 1 FROM deliveries WHERE message = ? AND subscription = ? AND lease = ?",
            *(leased.number, leased.subscription, leased.token),
        ).fetchone()
        return row is not None

    def _remove_delivery(self, leased: LeasedDelivery) -> bool:
        removed = self._run(
            "DELETE FROM deliveries WHERE message = ? AND subscription = ? AND lease = ?",
            *(leased.number, leased.subscription, leased.token),
        )
        return removed.rowcount == 1

    def _remove_message_if_done(self, number: int | None) -> None:
        self._run(
            "DELETE FROM messages WHERE number = ? AND NOT EXISTS (SELECT 1 FROM deliveries WHERE message = ?)",
            *(number, number),
        )

    # ------------------------------------------------------------------ plumbing

    def _subscribers(self, topic: str) -> tuple[str, ...]:
        return tuple(name for name, subscription in self.subscriptions.items() if subscription.topic == topic)

    def _announce(self, topic: str) -> None:
        for subscription in self._subscribers(topic):
            for listener in self._listeners:
                listener(subscription)

    def _now(self) -> int:
        return _moment(self._clock.now())

    def _run(self, statement: str, *values: Any) -> sqlite3.Cursor:
        return self._database.execute(statement, values)

    @contextmanager
    def _transaction(self, *, synced: bool = False) -> Iterator[None]:
        """All or nothing, alone among all threads and processes. `synced`: on the disk when it returns."""
        with self._lock, _lock_errors_as_retryable():
            self._run(f"PRAGMA synchronous = {'FULL' if synced else 'NORMAL'}")
            self._run("BEGIN IMMEDIATE")
            try:
                yield
                self._run("COMMIT")
            except BaseException:
                self._database.rollback()
                raise


@contextmanager
def _lock_errors_as_retryable() -> Iterator[None]:
    try:
        yield
    except sqlite3.OperationalError as error:
        # The file is locked by another process, or the disk is full or failing: none of it is the caller's mistake.
        raise Retryable("the queue's file cannot be written now") from error


def _open(path: Path) -> sqlite3.Connection:
    path.parent.mkdir(parents=True, exist_ok=True)
    database = sqlite3.connect(path, timeout=LOCK_TIMEOUT_SECONDS, isolation_level=None, check_same_thread=False)
    database.row_factory = sqlite3.Row
    _switch_to_wal(database)
    database.executescript(f"BEGIN IMMEDIATE; {SCHEMA} COMMIT;")
    return database


def _switch_to_wal(database: sqlite3.Connection) -> None:
    # SQLite does not wait for a lock here, so two processes that create the file together need this loop.
    deadline = time.monotonic() + LOCK_TIMEOUT_SECONDS
    while True:
        try:
            database.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.01)
        else:
            return


def _check(topics: Sequence[str], subscriptions: Sequence[QueueSubscription]) -> None:
    names = [subscription.name for subscription in subscriptions]
    if len(set(names)) < len(names):
        raise ValueError("two subscriptions have the same name")
    for subscription in subscriptions:
        if subscription.topic not in topics:
            raise ValueError(f"subscription {subscription.name} is to an undeclared topic {subscription.topic}")
        if subscription.max_attempts < 1 or subscription.workers < 1 or subscription.lease <= timedelta(0):
            raise ValueError(f"subscription {subscription.name} needs an attempt, a worker and a lease")


def _dead_letter(row: sqlite3.Row) -> DeadLetter:
    message = OutgoingMessage(row["topic"], row["data"], json.loads(row["attributes"]))
    published = EPOCH + timedelta(microseconds=row["published"])
    return DeadLetter(row["handle"], row["subscription"], message, row["attempts"], published)


def _moment(when: datetime) -> int:
    return _microseconds(when - EPOCH)


def _microseconds(length: timedelta) -> int:
    return length // timedelta(microseconds=1)
