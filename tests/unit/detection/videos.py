"""Real video files for the tests, made in memory by PyAV."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]
Paint = Callable[[int, int, int], Picture]
MILLISECOND = Fraction(1, 1000)


def moving_square(number: int, width: int, height: int) -> Picture:
    """A bright square that goes round over a gradient; RGB (height, width, 3)."""
    picture = np.zeros((height, width, 3), np.uint8)
    picture[..., 0] = np.linspace(20, 160, width, dtype=np.uint8)
    picture[..., 1] = np.linspace(160, 20, height, dtype=np.uint8)[:, None]
    side = height // 4
    x = (number * 5) % (width - side)
    picture[side : 2 * side, x : x + side] = 250
    return picture


def blobs(seed: int) -> Paint:
    """A scene of its own for each seed, whatever the size: random patches with a square going through."""
    coarse = np.random.default_rng(seed).uniform(0, 255, (4, 4, 3))

    def paint(number: int, width: int, height: int) -> Picture:
        rows = np.linspace(0, 3.99, height).astype(int)
        columns = np.linspace(0, 3.99, width).astype(int)
        picture: Picture = coarse[rows][:, columns].astype(np.uint8)
        side = height // 6
        x = (number * width // 100) % (width - side)
        picture[side : 2 * side, x : x + side] = 255
        return picture

    return paint


def snow(number: int, width: int, height: int) -> Picture:
    """Nothing but noise, which no codec makes small."""
    return np.random.default_rng(number).integers(0, 256, (height, width, 3), np.uint8)


def encode(
    *,
    container: str = "mp4",
    codec: str = "libx264",
    seconds: float = 2.0,
    fps: int = 25,
    size: tuple[int, int] = (160, 120),
    times_ms: Sequence[int] | None = None,
    paint: Paint = moving_square,
    movflags: str = "",
    options: dict[str, str] | None = None,
) -> bytes:
    """A video file. `times_ms` gives each frame its own time stamp instead of a steady rate."""
    stamps = list(times_ms) if times_ms is not None else [round(1000 * n / fps) for n in range(round(seconds * fps))]
    with (
        tempfile.NamedTemporaryFile() as target,  # a real file: FFmpeg moves the index to the front by reading it again
        av.open(target.name, "w", format=container, options={"movflags": movflags} if movflags else {}) as output,
    ):
        stream: Any = output.add_stream(codec, rate=fps, options=options or {})
        stream.width, stream.height = size
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        if times_ms is not None:
            stream.codec_context.time_base = MILLISECOND
        for number, stamp in enumerate(stamps):
            frame = av.VideoFrame.from_ndarray(paint(number, *size), format="rgb24")
            if times_ms is not None:
                frame.pts, frame.time_base = stamp, MILLISECOND
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
        output.close()
        return Path(target.name).read_bytes()


def sound_only(container: str = "mp4") -> bytes:
    """An audio file in a video container."""
    target = io.BytesIO()
    with av.open(target, "w", format=container) as output:
        stream: Any = output.add_stream("aac", rate=44100)
        stream.layout = "mono"
        for number in range(20):
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
            frame.sample_rate, frame.pts = 44100, number * 1024
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return target.getvalue()


def turned(video: bytes) -> bytes:
    """An MP4 whose track header says: show it turned by a quarter (ISO/IEC 14496-12 §8.3.2, the matrix)."""
    upright = b"".join(value.to_bytes(4, "big") for value in (0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000))
    quarter = b"".join(value.to_bytes(4, "big") for value in (0, 0x10000, 0, 0xFFFF0000, 0, 0, 0, 0, 0x40000000))
    header = video.index(b"tkhd")
    at = video.index(upright, header)
    return video[:at] + quarter + video[at + len(quarter) :]


class Pipe(io.RawIOBase):
    """A stream that only goes forwards, in small pieces, as a network connection does."""

    def __init__(self, data: bytes) -> None:
        self._data = io.BytesIO(data)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return False

    def readinto(self, buffer: Any) -> int:
        return self._data.readinto(memoryview(buffer)[:5000])
