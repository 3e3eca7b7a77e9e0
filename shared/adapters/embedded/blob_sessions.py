"""Resumable uploads of the embedded blob store: what was promised in SQLite, what has arrived in a file.

A session survives a restart and a lost connection; it is forgotten a week after it began. Only one request at a time
may append to it. It must not know about HTTP.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import secrets
import sqlite3
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from shared.adapters.embedded.blob_object import NewObject, Preconditions, StoredObject
from shared.adapters.embedded.blob_workspace import ReceivedFile, clone, digest_file
from shared.errors import InProgress, NotFound, Retryable

if TYPE_CHECKING:
    from shared.adapters.embedded.blob_folder import BlobFolder

LIFE_SECONDS = 7 * 24 * 3600.0
_ID = re.compile(r"[A-Za-z0-9_-]{20,100}")


@dataclass(frozen=True)
class UploadSession:
    """What was agreed when the session began. `finished_generation`: the object it became."""

    id: str
    new: NewObject
    preconditions: Preconditions
    min_bytes: int
    max_bytes: int | None
    finished_generation: int | None


class PartFile:
    """What has arrived so far, held by the one request that may append."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.size = file.seek(0, os.SEEK_END)

    def append(self, block: bytes) -> None:
        """Adds the next bytes. A full or failing disk is `Retryable`."""
        try:
            self._file.write(block)
        except OSError as error:
            raise Retryable(f"cannot store: {error.strerror}") from error
        self.size += len(block)

    def shorten(self, size: int) -> None:
        """Forgets everything behind `size`."""
        self._file.truncate(size)
        self.size = self._file.seek(0, os.SEEK_END)

    def sync(self) -> None:
        """Makes durable what the client is about to be told."""
        os.fsync(self._file.fileno())


class UploadSessions:
    """The resumable uploads of one folder."""

    def __init__(self, folder: BlobFolder, parts: Path) -> None:
        self._folder = folder
        self._parts = parts
        parts.mkdir(exist_ok=True)
        self._forget_old()

    def start(
        self, new: NewObject, preconditions: Preconditions, *, min_bytes: int = 0, max_bytes: int | None = None
    ) -> UploadSession:
        """A new session with an id that nobody can guess: whoever knows it may upload."""
        self._folder.check(new.bucket, new.name, preconditions)
        self._forget_old()
        session = UploadSession(secrets.token_urlsafe(48), new, preconditions, min_bytes, max_bytes, None)
        self._part(session.id).touch()
        with self._folder.index.write() as connection:
            connection.execute(
                "INSERT INTO upload_sessions VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, NULL)",
                (
                    session.id,
                    new.bucket,
                    new.name,
                    new.content_type,
                    json.dumps(dict(new.metadata)),
                    json.dumps(asdict(preconditions)),
                    min_bytes,
                    max_bytes,
                    time.time(),
                ),
            )
        return session

    def get(self, session_id: str) -> UploadSession:
        """Raises `NotFound` for an id that is unknown, cancelled or over a week old."""
        if _ID.fullmatch(session_id):
            with self._folder.index.read() as connection:
                row = connection.execute(
                    "SELECT * FROM upload_sessions WHERE id = ? AND created > ?",
                    (session_id, time.time() - LIFE_SECONDS),
                ).fetchone()
            if row:
                return _session(row)
        raise NotFound("upload_session_not_found", "There is no such upload session.")

    @contextmanager
    def appending(self, session: UploadSession) -> Iterator[PartFile]:
        """The part file, for this caller alone. Raises `InProgress` while another one has it."""
        try:
            file = self._part(session.id).open("r+b", buffering=0)
        except FileNotFoundError:
            raise NotFound("upload_session_not_found", "There is no such upload session.") from None
        with file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise InProgress("another request appends to this upload", retry_after=1.0) from None
            yield PartFile(file)

    def finish(self, session: UploadSession, part: PartFile, hashes: Mapping[str, str]) -> StoredObject:
        """Makes what has arrived an object; `part` must still be held. Raises as `BlobFolder.store` does.

        The part file stays until the object is live, so that a killed process loses nothing.
        """
        part.sync()
        source = self._part(session.id)
        digests = digest_file(source)
        verify_hashes(hashes, md5=digests.md5, crc32c=digests.crc32c)
        path = self._folder.workspace.new_path()
        clone(source, path)
        try:
            stored = self._folder.store(
                ReceivedFile(path, part.size, digests.md5, digests.crc32c),
                session.new,
                session.preconditions,
                also=lambda connection, live: _mark_finished(connection, session.id, live.generation),
            )
        finally:
            path.unlink(missing_ok=True)
        source.unlink(missing_ok=True)
        return stored

    def cancel(self, session: UploadSession) -> None:
        """Forgets the session and what it sent."""
        with self._folder.index.write() as connection:
            connection.execute("DELETE FROM upload_sessions WHERE id = ?", (session.id,))
        self._part(session.id).unlink(missing_ok=True)

    def _part(self, session_id: str) -> Path:
        return self._parts / session_id

    def _forget_old(self) -> None:
        """Removes sessions that ended, with their files; an object's bytes may still hang on a finished one."""
        with self._folder.index.write() as connection:
            connection.execute("DELETE FROM upload_sessions WHERE created <= ?", (time.time() - LIFE_SECONDS,))
            rows = connection.execute("SELECT id FROM upload_sessions WHERE finished_generation IS NULL")
            open_ones = {row["id"] for row in rows}
        for part in self._parts.iterdir():
            if part.name not in open_ones and _is_old(part):
                part.unlink(missing_ok=True)


class HashMismatch(Exception):
    """The bytes that arrived are not those the client meant to send."""


def verify_hashes(expected: Mapping[str, str], *, md5: str, crc32c: str) -> None:
    """Compares base64 checksums under the names `md5` and `crc32c`; raises `HashMismatch`."""
    for kind, actual in (("md5", md5), ("crc32c", crc32c)):
        if expected.get(kind, actual) != actual:
            raise HashMismatch(kind)


def _is_old(part: Path) -> bool:
    # A young one may belong to a session that is just being written down.
    try:
        return time.time() - part.stat().st_mtime > 60.0
    except FileNotFoundError:
        return False


def _mark_finished(connection: sqlite3.Connection, session_id: str, generation: int) -> None:
    connection.execute("UPDATE upload_sessions SET finished_generation = ? WHERE id = ?", (generation, session_id))


def _session(row: sqlite3.Row) -> UploadSession:
    return UploadSession(
        id=row["id"],
        new=NewObject(row["bucket"], row["name"], row["content_type"], json.loads(row["metadata"])),
        preconditions=Preconditions(**json.loads(row["preconditions"])),
        min_bytes=row["min_bytes"],
        max_bytes=row["max_bytes"],
        finished_generation=row["finished_generation"],
    )
