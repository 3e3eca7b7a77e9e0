"""A zip that is made while it is sent: nothing of it is kept, so its size and its files' sizes may be anything.

Sizes and sums stand behind each file (data descriptors), because nothing that was sent can be changed; ZIP64 where a
file or the whole needs it. Files are stored as they are: most is compressed already, and each byte of the zip is one
of a file's, whose change shows (deflated data has bits that may change and unpack to the same).
"""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime

_MAY_NEED_ZIP64 = 1 << 30
_REGULAR_FILE = 0o100644 << 16


@dataclass(frozen=True)
class Written:
    """What went into the zip: `size` in bytes, `sha256` in hex."""

    size: int
    sha256: str


class _Sink:
    """What `zipfile` writes to; it can't seek, and so nothing is changed afterwards."""

    def __init__(self) -> None:
        self._blocks: list[bytes] = []

    def write(self, data: bytes) -> int:
        self._blocks.append(bytes(data))
        return len(data)

    def flush(self) -> None:
        """Nothing is held back."""

    def close(self) -> None:
        """`zipfile` closes only files it opened itself."""

    def take(self) -> bytes:
        taken = b"".join(self._blocks)
        self._blocks.clear()
        return taken


class ZipStream:
    """One zip. Its methods give the zip's next bytes; send them in order."""

    def __init__(self, at: datetime) -> None:
        """`at`: the time all its files carry, at the precision of a zip (2 s)."""
        self._sink = _Sink()
        self._zip = zipfile.ZipFile(self._sink, "w", zipfile.ZIP_STORED, allowZip64=True)
        self._time = (at.year, at.month, at.day, at.hour, at.minute, at.second)

    def file(self, path: str, blocks: Iterable[bytes], *, expected: int = 0) -> Generator[bytes, None, Written]:
        """Adds a file of these blocks; what they raise goes through. `expected`: its size in bytes, as far as known."""
        info = zipfile.ZipInfo(path, self._time)
        info.external_attr = _REGULAR_FILE
        digest, size = hashlib.sha256(), 0
        with self._zip.open(info, "w", force_zip64=expected >= _MAY_NEED_ZIP64) as entry:
            for block in blocks:
                entry.write(block)
                digest.update(block)
                size += len(block)
                yield self._sink.take()
        yield self._sink.take()
        return Written(size, digest.hexdigest())

    def end(self) -> Iterator[bytes]:
        """The zip's directory."""
        self._zip.close()
        yield self._sink.take()
