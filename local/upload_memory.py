"""What an interrupted `upload` command needs to go on: one small file an upload, removed when it is done.

The session's address lets whoever knows it upload, so the files are for their owner alone. A file that cannot be read
or is too old counts as none: the worst is that an upload begins anew.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
import uuid
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

LIFE_SECONDS = 6 * 24 * 3600.0
"""A day less than Cloud Storage keeps a session."""


@dataclass(frozen=True)
class Sending:
    """An upload that has begun: the asset it is for, and the address of its session."""

    video_id: str
    session: str


@dataclass(frozen=True)
class Identity:
    """Which upload it is: another size, time of change (ns), origin or source makes it another."""

    path: str
    size: int
    changed: int
    origin: str
    source_id: str | None

    def key(self) -> str:
        """A name for a file."""
        return hashlib.sha256(json.dumps(asdict(self)).encode()).hexdigest()


class UploadMemory:
    """A folder of begun uploads. Thread-safe, and several commands may share it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def recall(self, identity: Identity) -> Sending | None:
        """The upload that was begun, if any."""
        self._forget_old()
        try:
            return Sending(**json.loads(self._path(identity).read_bytes()))
        except (OSError, ValueError, TypeError):
            return None

    def remember(self, identity: Identity, sending: Sending) -> None:
        """Keeps it, all or nothing. A folder that can't be written costs only the continuation."""
        path = self._path(identity)
        draft = path.with_suffix(f".{uuid.uuid4().hex}")
        with suppress(OSError):
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w") as file:
                json.dump(asdict(sending), file)
            draft.replace(path)

    def forget(self, identity: Identity) -> None:
        """Removes it; absent is fine."""
        with suppress(OSError):
            self._path(identity).unlink(missing_ok=True)

    def _forget_old(self) -> None:
        """Also of files that were never sent again."""
        for path in self._folder.glob("*"):
            with suppress(OSError):
                if time.time() - path.stat().st_mtime > LIFE_SECONDS:
                    path.unlink(missing_ok=True)

    def _path(self, identity: Identity) -> Path:
        return self._folder / f"{identity.key()}.json"
