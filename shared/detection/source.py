"""The stream that FFmpeg reads from: any binary stream, made safe to hand to PyAV.

Its own errors (a bucket that is away for a moment) must reach the caller as they are, and never look like the end of
the video; FFmpeg forgets them, so they are kept here. It must not buffer more than the first few kilobytes.
"""

from __future__ import annotations

from typing import BinaryIO

from shared.detection.container import HEAD_BYTES


class Source:
    """A reader over `stream` from its beginning. `head` holds the first bytes; `failure` what the stream raised."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._seekable = stream.seekable()
        self.failure: Exception | None = None
        if self._seekable:
            stream.seek(0)
        self.head = _read_up_to(stream, HEAD_BYTES)
        # A stream that cannot go back gets its first bytes served from here, once.
        self._pending = b"" if self._seekable else self.head
        if self._seekable:
            stream.seek(0)

    def readable(self) -> bool:
        """PyAV asks."""
        return True

    def seekable(self) -> bool:
        """PyAV asks, and reads strictly forwards if not."""
        return self._seekable

    def read(self, count: int) -> bytes:
        """Up to `count` bytes, none at the end."""
        if self._pending:
            chunk, self._pending = self._pending[:count], self._pending[count:]
            return chunk
        try:
            # Cut to size because PyAV copies what it gets into a buffer of `count` bytes without asking.
            return (self._stream.read(count) or b"")[:count]
        except Exception as failure:
            self.failure = failure
            raise

    def seek(self, offset: int, whence: int = 0) -> int:
        """As of a file; only called when seekable."""
        try:
            return self._stream.seek(offset, whence)
        except Exception as failure:
            # A damaged index points before the beginning: that is the file's fault, not the stream's.
            if not isinstance(failure, ValueError | OSError):
                self.failure = failure
            raise

    def tell(self) -> int:
        """As of a file; only called when seekable."""
        return self._stream.tell()

    def raise_failure(self) -> None:
        """Raises what the stream raised, if it did."""
        if self.failure is not None:
            raise self.failure


def _read_up_to(stream: BinaryIO, count: int) -> bytes:
    """`count` bytes or all there are; raw streams may give fewer at a time."""
    parts = bytearray()
    while len(parts) < count and (part := stream.read(count - len(parts))):
        parts += part
    return bytes(parts)
