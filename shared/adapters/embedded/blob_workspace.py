"""Where a process keeps unfinished files, and how the next one cleans up after a killed process.

Each process has a folder of its own under `incoming/`, with a lock that the kernel releases when the process ends, in
whatever way. A folder whose lock can be taken was left behind. It must never touch a folder of a living process.

Besides half-received files it holds *intents*: a file named after a content folder and a name's hash, made before
content is swapped and removed after. A left-over intent says where to look for content that no index row names.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import uuid
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import google_crc32c

from shared.errors import Retryable

BLOCK = 1 << 20


@dataclass(frozen=True)
class ReceivedFile:
    """A complete file on disk that is not yet an object."""

    path: Path
    size: int
    md5: str
    crc32c: str


class Digests:
    """The two checksums Cloud Storage keeps."""

    def __init__(self) -> None:
        self._md5 = hashlib.md5(usedforsecurity=False)
        checksum: Any = google_crc32c.Checksum  # carries no types
        self._crc32c = checksum()

    def update(self, block: bytes) -> None:
        """Adds the next bytes."""
        self._md5.update(block)
        self._crc32c.update(block)

    @property
    def md5(self) -> str:
        """In base64."""
        return b64encode(self._md5.digest()).decode()

    @property
    def crc32c(self) -> str:
        """In base64, big-endian."""
        return b64encode(self._crc32c.digest()).decode()


class IncomingFile:
    """A file that is being received: it disappears unless `finish`ed and moved away before `discard`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = path.open("xb")
        self._digests = Digests()
        self.size = 0

    def write(self, block: bytes) -> None:
        """Appends. A full or failing disk is `Retryable`."""
        try:
            self._file.write(block)
        except OSError as error:
            raise Retryable(f"cannot store: {error.strerror}") from error
        self._digests.update(block)
        self.size += len(block)

    def finish(self) -> ReceivedFile:
        """Makes it durable and tells what it is."""
        try:
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()
        except OSError as error:
            raise Retryable(f"cannot store: {error.strerror}") from error
        return ReceivedFile(self._path, self.size, self._digests.md5, self._digests.crc32c)

    def discard(self) -> None:
        """Removes what is still here. Harmless when it was moved away."""
        with suppress(OSError):  # closing flushes, and the disk may be full
            self._file.close()
        self._path.unlink(missing_ok=True)


class Workspace:
    """The unfinished files of this process. `sweep` is called at the start for each intent of a dead process."""

    def __init__(self, folder: Path, sweep: Callable[[str], None]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._own = folder / f"{os.getpid()}-{uuid.uuid4().hex}"
        # One at a time, or a neighbour that is just starting would look like a dead process.
        with (folder / "start.lock").open("ab") as gate:
            fcntl.flock(gate, fcntl.LOCK_EX)
            for left_behind in [path for path in folder.iterdir() if path.is_dir()]:
                _clean(left_behind, sweep)
            self._own.mkdir()
            self._lock = _open_lock(self._own)
            fcntl.flock(self._lock, fcntl.LOCK_EX)

    def receive(self) -> IncomingFile:
        """An empty file to write into."""
        return IncomingFile(self.new_path())

    def new_path(self) -> Path:
        """A name that nothing has yet, for a file that is cleaned up if this process dies."""
        return self._own / uuid.uuid4().hex

    @contextmanager
    def intent(self, where: str) -> Iterator[None]:
        """Notes that content at `where` is about to change, until the block has ended."""
        note = self._own / f"{where}~{uuid.uuid4().hex}"
        note.touch()
        try:
            yield
        finally:
            note.unlink(missing_ok=True)

    def close(self) -> None:
        """Removes this process's folder."""
        shutil.rmtree(self._own, ignore_errors=True)
        self._lock.close()


def clone(source: Path, target: Path) -> None:
    """A second name for the same bytes, which never change; a copy where the file system has no hard links."""
    try:
        os.link(source, target)
    except FileNotFoundError:
        raise
    except OSError:
        shutil.copyfile(source, target)


def digest_file(path: Path) -> Digests:
    """Reads a whole file once, block by block."""
    digests = Digests()
    with path.open("rb") as content:
        while block := content.read(BLOCK):
            digests.update(block)
    return digests


def fsync_folder(folder: Path) -> None:
    """Makes a rename in `folder` survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _open_lock(folder: Path) -> BinaryIO:
    return (folder / "alive.lock").open("ab")


def _clean(left_behind: Path, sweep: Callable[[str], None]) -> None:
    with _open_lock(left_behind) as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return  # its process lives
        for note in left_behind.iterdir():
            where, mark, _unique = note.name.partition("~")
            if mark:
                sweep(where)
        shutil.rmtree(left_behind, ignore_errors=True)
