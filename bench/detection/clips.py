"""The videos that are measured on: clips from a folder, or drawn ones, cut together and encoded once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain, cycle, islice
from pathlib import Path
from typing import Any

import av
from av.error import FFmpegError
from av.video.frame import PictureType

from local.drawing import draw_calm_clip, draw_fight_clip

FPS = 25
SIZES: Mapping[str, tuple[int, int]] = {"360p": (640, 360), "720p": (1280, 720), "1080p": (1920, 1080)}
ENCODINGS: Mapping[str, Mapping[str, str]] = {
    "x264 defaults": {"crf": "23", "preset": "medium"},
    "without B-frames": {"crf": "23", "preset": "medium", "profile": "baseline"},
}
"""As published clips have it, and as cameras send it (where no frame can be left out)."""

_ENDINGS = {".mp4", ".mkv", ".avi", ".mov", ".webm"}
_PARTS = 40
_DRAWN_SEEDS = range(3)
_DRAWN_SECONDS = 12.0


@dataclass(frozen=True)
class Clips:
    """Makes videos in `folder`, each once, from the clips under `data`, `seconds` long."""

    folder: Path
    data: Path | None
    seconds: float

    @property
    def origin(self) -> str:
        """Where the pictures come from, for the notes under the tables."""
        return f"clips from {self.data.name}" if self.data else "drawn clips (local/drawing.py), not footage"

    def video(self, size: str, encoding: str, seconds: float | None = None) -> Path:
        """An MP4 of a size of `SIZES` in one of `ENCODINGS`."""
        length = seconds or self.seconds
        target = self.folder / f"{size}-{encoding.replace(' ', '-')}-{length:g}.mp4"
        if not target.exists():
            encode(pictures(self._sources(size), length), target, SIZES[size], ENCODINGS[encoding])
        return target

    def _sources(self, size: str) -> Iterable[Path]:
        """Clips that need no enlarging, if there are any, spread over the folder."""
        if self.data is None:
            return (self._drawn(size, seed) for seed in _DRAWN_SEEDS)
        found = sorted(path for path in self.data.rglob("*") if path.suffix.lower() in _ENDINGS)
        if not found:
            raise FileNotFoundError(f"there are no clips in {self.data}")
        large = [path for path in found if _height(path) >= SIZES[size][1]] or found
        return large[:: max(1, len(large) // _PARTS)]

    def _drawn(self, size: str, seed: int) -> Path:
        path = self.folder / f"drawn-{size}-{seed}.mp4"
        if not path.exists():
            draw_fight_clip(path, _DRAWN_SECONDS, *SIZES[size], FPS, seed)
        return path


def violent_beginning(folder: Path, size: tuple[int, int], seconds: float) -> Path:
    """A video whose first 4 s are the middle of a drawn fight; the rest is calm."""
    fight, calm, target = folder / "fight.mp4", folder / "calm.mp4", folder / "violent-beginning.mp4"
    draw_fight_clip(fight, 12, *size, FPS)
    draw_calm_clip(calm, 12, *size, FPS)
    frames = chain(islice(pictures([fight], 12), 4 * FPS, 8 * FPS), pictures([calm], seconds - 4))
    encode(frames, target, size, ENCODINGS["x264 defaults"])
    return target


def pictures(clips: Iterable[Path], seconds: float) -> Iterator[av.VideoFrame]:
    """The frames of the clips, one clip after the other and again from the first, as many as `seconds` have."""
    return islice((frame for clip in cycle(clips) for frame in _frames(clip)), round(seconds * FPS))


def encode(frames: Iterable[av.VideoFrame], target: Path, size: tuple[int, int], options: Mapping[str, str]) -> None:
    """Writes the frames as an H.264 MP4 of `size` at `FPS`."""
    with av.open(str(target), "w", format="mp4", options={"movflags": "+faststart"}) as output:
        stream: Any = output.add_stream("libx264", rate=FPS, options=dict(options))
        stream.width, stream.height = size
        stream.pix_fmt = "yuv420p"
        for number, frame in enumerate(frames):
            picture = frame.reformat(*size, "yuv420p")
            picture.pts, picture.time_base = number, Fraction(1, FPS)
            picture.pict_type = PictureType.NONE  # the encoder must not repeat what the source's did
            output.mux(stream.encode(picture))
        output.mux(stream.encode(None))


def repeat_clip(clip: Path, target: Path, times: int) -> Path:
    """Writes the video in `clip` `times` over, one after another, without encoding anything."""
    with av.open(str(target), "w", format="mp4") as output, av.open(str(clip)) as first:
        stream = output.add_stream_from_template(first.streams.video[0])
        length = first.streams.video[0].duration or 0
        for turn in range(times):
            with av.open(str(clip)) as source:
                for packet in source.demux(source.streams.video[0]):
                    if packet.dts is None or packet.pts is None:
                        continue
                    packet.dts, packet.pts = packet.dts + turn * length, packet.pts + turn * length
                    packet.stream = stream
                    output.mux(packet)
    return target


def _frames(clip: Path) -> Iterator[av.VideoFrame]:
    with av.open(str(clip)) as source:
        yield from source.decode(video=0)


def _height(path: Path) -> int:
    try:
        with av.open(str(path)) as source:
            return source.streams.video[0].height
    except (FFmpegError, IndexError):
        return 0
