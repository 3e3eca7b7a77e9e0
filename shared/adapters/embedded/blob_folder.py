"""A folder that stores objects with generations: content in files, everything else in a SQLite index.

    index.sqlite3                          which object is where; notifications not yet published; upload sessions
    objects/<bucket>/<hh>/<hash>~<gen>     content; <hash> is the SHA-256 of the name, so names never reach the disk
    incoming/<process>/                    files being received, and intents (see `blob_workspace`)
    sessions/<id>                          what a resumable upload has sent so far

An object becomes visible by one SQLite transaction, which also notes the bucket notifications it causes: a process may
be killed anywhere and the folder stays consistent. Content files never change, so a reader that has one open keeps
reading after an overwrite. It must not know about HTTP or about signatures.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import BinaryIO

from shared.adapters import blob_names
from shared.adapters.embedded import blob_notifications
from shared.adapters.embedded.blob_index import BlobIndex
from shared.adapters.embedded.blob_notifications import NotificationRule
from shared.adapters.embedded.blob_object import NewObject, Preconditions, StoredObject
from shared.adapters.embedded.blob_sessions import UploadSessions
from shared.adapters.embedded.blob_workspace import IncomingFile, ReceivedFile, Workspace, clone, fsync_folder
from shared.errors import InvalidKey, NotFound, Retryable
from shared.ports import OutgoingMessage

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)

_BUCKET = re.compile(r"[a-z0-9](?:[a-z0-9_-]|\.(?!\.)){1,61}[a-z0-9]")
_COLUMNS = "bucket, name, generation, metageneration, size, content_type, metadata, md5, crc32c, created, updated"


class BlobFolder:
    """All buckets of one folder. Thread-safe; several processes may share the folder.

    `notifications`: (bucket, prefix, topic); each object that becomes live in `bucket` with a name that starts with
    `prefix` is announced to `topic` as Cloud Storage would (see `deliver_notifications` and `NotificationRelay`).
    """

    def __init__(self, root: Path, *, notifications: Sequence[tuple[str, str, str]] = ()) -> None:
        self._root = root
        self._rules = [NotificationRule(*rule) for rule in notifications]
        root.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.index = BlobIndex(root / "index.sqlite3")
        self.workspace = Workspace(root / "incoming", self._sweep)
        self.sessions = UploadSessions(self, root / "sessions")
        self.announced = threading.Event()
        """Set whenever a notification was noted; the relay clears it."""

    def close(self) -> None:
        """Gives up what this process holds. Call it when nothing uses the folder any more."""
        self.workspace.close()
        self.index.close()

    # ------------------------------------------------------------------ reading

    def find(self, bucket: str, name: str) -> StoredObject | None:
        """The present generation, or None. Raises `InvalidKey`."""
        blob_names.check_name(name)
        with self.index.read() as connection:
            return _present(connection, bucket, name)

    def page(self, bucket: str, prefix: str, *, after: str | None = None, limit: int = 1000) -> list[StoredObject]:
        """Up to `limit` objects in the order of their names' bytes, from `after` (exclusive) on."""
        where = "name > ?" if after is not None and after >= prefix else "name >= ?"
        start = after if after is not None and after >= prefix else prefix
        query = f"SELECT {_COLUMNS} FROM objects WHERE bucket = ? AND {where} ORDER BY name LIMIT ?"  # noqa: S608
        with self.index.read() as connection:
            rows = connection.execute(query, (bucket, start, limit)).fetchall()
        # Names with one prefix lie next to each other: the first without it is the end.
        return [_stored(row) for row in rows if row["name"].startswith(prefix)]

    def open(self, bucket: str, name: str, generation: int | None = None) -> tuple[StoredObject, BinaryIO]:
        """An object and its content. Raises `NotFound`, also for a generation that is gone."""
        while True:
            present = self.find(bucket, name)
            if present is None or generation not in {None, present.generation}:
                raise _not_found()
            try:
                return present, self._content(bucket, name, present.generation).open("rb")
            except FileNotFoundError:
                # Overwritten or deleted since we looked; then the index says so now.
                if self.find(bucket, name) == present:
                    raise

    # ------------------------------------------------------------------ writing

    @contextmanager
    def receive(self) -> Iterator[IncomingFile]:
        """A file to write into, then to `store`; whatever ends the block earlier leaves nothing behind."""
        incoming = self.workspace.receive()
        try:
            yield incoming
        finally:
            incoming.discard()

    def check(self, bucket: str, name: str, preconditions: Preconditions) -> None:
        """Raises `PreconditionFailed` early, before anything is transferred for nothing."""
        preconditions.check(self.find(bucket, name))

    def store(
        self,
        received: ReceivedFile,
        new: NewObject,
        preconditions: Preconditions,
        *,
        also: Callable[[sqlite3.Connection, StoredObject], None] | None = None,
    ) -> StoredObject:
        """Makes a received file the live generation. `also` adds to the same transaction.

        Raises `PreconditionFailed`, `InvalidKey` and `Retryable`, and then nothing has changed.
        """
        blob_names.check_name(new.name)
        try:
            return self._swap(received, new, preconditions, also)
        except OSError as error:
            raise Retryable(f"cannot store: {error.strerror}") from error

    def _swap(
        self,
        received: ReceivedFile,
        new: NewObject,
        preconditions: Preconditions,
        also: Callable[[sqlite3.Connection, StoredObject], None] | None,
    ) -> StoredObject:
        shelf = self._shelf(new.bucket, new.name)
        where = self._intent(new.bucket, new.name)
        with self.workspace.intent(where):
            moved = False
            try:
                with self.index.write() as connection:
                    replaced = _present(connection, new.bucket, new.name)
                    preconditions.check(replaced)
                    stored = _described(received, new, _next_generation(connection))
                    os.replace(received.path, self._content(new.bucket, new.name, stored.generation))  # noqa: PTH105
                    moved = True
                    fsync_folder(shelf)
                    _insert(connection, stored)
                    self._announce(connection, stored, replaced)
                    if also:
                        also(connection, stored)
            except BaseException:
                if moved:  # the index does not know it: no intent would lead to it later
                    self._sweep(where)
                raise
            if replaced:
                self._content(new.bucket, new.name, replaced.generation).unlink(missing_ok=True)
        self.announced.set()
        return stored

    def copy(
        self,
        source: tuple[str, str],
        target: tuple[str, str],
        preconditions: Preconditions,
        *,
        source_generation: int | None = None,
        content_type: str | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> StoredObject:
        """Copies one (bucket, name) to another; content type and metadata are the source's unless given."""
        blob_names.check_name(target[1])
        path = self.workspace.new_path()
        try:
            original = self._clone(source, source_generation, path)
            new = NewObject(
                *target,
                content_type=content_type or original.content_type,
                metadata=original.metadata if metadata is None else metadata,
            )
            received = ReceivedFile(path, original.size, original.md5, original.crc32c)
            return self.store(received, new, preconditions)
        finally:
            path.unlink(missing_ok=True)

    def _clone(self, source: tuple[str, str], generation: int | None, path: Path) -> StoredObject:
        while True:
            original = self.find(*source)
            if original is None or generation not in {None, original.generation}:
                raise _not_found()
            try:
                clone(self._content(*source, original.generation), path)
            except FileNotFoundError:
                # Overwritten or deleted since we looked; then the index says so now.
                if self.find(*source) == original:
                    raise
            else:
                return original

    def amend(
        self,
        bucket: str,
        name: str,
        change: Callable[[StoredObject], StoredObject],
        preconditions: Preconditions,
    ) -> StoredObject:
        """Changes content type or metadata of the present generation; the metageneration grows by one."""
        with self.index.write() as connection:
            present = _present(connection, bucket, name)
            if present is None:
                raise _not_found()
            preconditions.check(present)
            amended = replace(change(present), metageneration=present.metageneration + 1, updated=datetime.now(UTC))
            _insert(connection, amended)
        return amended

    def delete(self, bucket: str, name: str, preconditions: Preconditions) -> None:
        """Removes the present generation. Raises `NotFound`, `PreconditionFailed`."""
        blob_names.check_name(name)
        with self.workspace.intent(self._intent(bucket, name)):
            with self.index.write() as connection:
                present = _present(connection, bucket, name)
                if present is None:
                    raise _not_found()
                preconditions.check(present)
                connection.execute("DELETE FROM objects WHERE bucket = ? AND name = ?", (bucket, name))
            self._content(bucket, name, present.generation).unlink(missing_ok=True)

    # ------------------------------------------------------------------ notifications

    def deliver_notifications(self, publish: Callable[[OutgoingMessage], object]) -> int:
        """Publishes what is due and returns how many; each is forgotten only after `publish` has returned.

        A failing one is tried again later and does not hold up the others. A crash in between publishes it twice.
        """
        return blob_notifications.deliver(self.index, publish, time.time())

    def _announce(self, connection: sqlite3.Connection, stored: StoredObject, replaced: StoredObject | None) -> None:
        overwrote = replaced.generation if replaced else None
        blob_notifications.note(connection, blob_notifications.messages(stored, self._rules, overwrote))

    # ------------------------------------------------------------------ files

    def _shelf(self, bucket: str, name: str) -> Path:
        """The directory that holds an object's content; made when it is missing."""
        if not _BUCKET.fullmatch(bucket):
            raise InvalidKey("invalid_bucket_name", "There is no bucket of such a name.")
        shelf = self._root / "objects" / bucket / _hash(name)[:2]
        if not shelf.is_dir():
            shelf.mkdir(parents=True, exist_ok=True)
            fsync_folder(shelf.parent)
        return shelf

    def _content(self, bucket: str, name: str, generation: int) -> Path:
        return self._root / "objects" / bucket / _hash(name)[:2] / f"{_hash(name)}~{generation}"

    @staticmethod
    def _intent(bucket: str, name: str) -> str:
        return f"{bucket},{_hash(name)}"

    def _sweep(self, where: str) -> None:
        """Removes content that a killed process left without an index row, or could no longer remove."""
        bucket, _comma, digest = where.partition(",")
        shelf = self._root / "objects" / bucket / digest[:2]
        with self.index.write() as connection:  # a writer renames inside its transaction: none is in the middle now
            rows = connection.execute("SELECT name, generation FROM objects WHERE bucket = ?", (bucket,))
            live = {f"{digest}~{row['generation']}" for row in rows if _hash(row["name"]) == digest}
            for content in shelf.glob(f"{digest}~*"):
                if content.name not in live:
                    content.unlink(missing_ok=True)


def _hash(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()


def _not_found() -> NotFound:
    return NotFound("blob_not_found", "There is no such object.")


def _next_generation(connection: sqlite3.Connection) -> int:
    now = (datetime.now(UTC) - EPOCH) // MICROSECOND
    row = connection.execute(
        "INSERT INTO last_generation VALUES (1, ?)"
        " ON CONFLICT DO UPDATE SET generation = max(generation + 1, excluded.generation) RETURNING generation",
        (now,),
    ).fetchone()
    return int(row["generation"])


def _present(connection: sqlite3.Connection, bucket: str, name: str) -> StoredObject | None:
    query = f"SELECT {_COLUMNS} FROM objects WHERE bucket = ? AND name = ?"  # noqa: S608
    row = connection.execute(query, (bucket, name)).fetchone()
    return _stored(row) if row else None


def _described(received: ReceivedFile, new: NewObject, generation: int) -> StoredObject:
    now = datetime.now(UTC)
    return StoredObject(
        bucket=new.bucket,
        name=new.name,
        generation=generation,
        metageneration=1,
        size=received.size,
        content_type=new.content_type,
        metadata=dict(new.metadata),
        md5=received.md5,
        crc32c=received.crc32c,
        created=now,
        updated=now,
    )


def _stored(row: sqlite3.Row) -> StoredObject:
    values = dict(row)
    values["metadata"] = json.loads(values["metadata"])
    values["created"] = EPOCH + values["created"] * MICROSECOND
    values["updated"] = EPOCH + values["updated"] * MICROSECOND
    return StoredObject(**values)


def _insert(connection: sqlite3.Connection, stored: StoredObject) -> None:
    connection.execute(
        f"INSERT OR REPLACE INTO objects ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",  # noqa: S608
        (
            stored.bucket,
            stored.name,
            stored.generation,
            stored.metageneration,
            stored.size,
            stored.content_type,
            json.dumps(dict(stored.metadata)),
            stored.md5,
            stored.crc32c,
            (stored.created - EPOCH) // MICROSECOND,
            (stored.updated - EPOCH) // MICROSECOND,
        ),
    )
