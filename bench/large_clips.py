"""Makes valid videos of any size cheaply: a short clip, and behind it an MP4 box that says to skip it."""

from __future__ import annotations

from pathlib import Path

_HEADER_BYTES = 16


def pad_clip(path: Path, size: int) -> None:
    """Lengthens an MP4 file to `size` bytes by a `free` box (ISO/IEC 14496-12 §8.1.2), as a hole in the file."""
    with path.open("r+b") as file:
        padding = size - file.seek(0, 2)
        if padding < _HEADER_BYTES:
            raise ValueError(f"{path} cannot be lengthened to {size} bytes")
        file.write((1).to_bytes(4) + b"free" + padding.to_bytes(8))
        file.truncate(size)
