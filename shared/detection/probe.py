"""What a file is: the facts that ingest stores, from its bytes alone, in bounded memory.

One pass over all bytes for size and SHA-256, then a look at the headers and at a few pictures. It must not judge what
the pictures show.
"""

from __future__ import annotations

import hashlib
from typing import BinaryIO

from av.error import FFmpegError

from shared.detection.decode import Decoding
from shared.detection.phash import perceptual_hash, spread_pictures
from shared.detection.video import Video, check_duration, open_video
from shared.errors import MediaUnusable
from shared.ports import MediaFacts

_CHUNK_BYTES = 1 << 20


class StreamProbe:
    """Implements `shared.ports.MediaProbe`. Holds nothing, so one may serve all threads."""

    def probe(self, stream: BinaryIO) -> MediaFacts:
        """The facts of the file in `stream`, which must be seekable and stays open.

        `duration` is what the file states, or the end of its last packet if it states none (fragments, streams).
        `frame_rate` is 0 where it can't be told. Raises `MediaUnusable` as `open_video` and `Decoding.pictures` do, and
        `needs_seeking` for a stream that can't seek; and whatever the stream raises.
        """
        if not stream.seekable():
            raise MediaUnusable("needs_seeking", "The file can only be examined from a source that can be read twice.")
        with open_video(stream) as video:
            codec, frame_rate = video.codec, video.frame_rate
            width, height = _displayed_size(video)
        duration, damaged = _duration(stream)
        check_duration(duration)
        fingerprint = perceptual_hash(spread_pictures(stream, duration))
        sha256, size = _digest(stream)
        return MediaFacts(
            container=video.kind,
            codec=codec,
            duration=duration,
            width=width,
            height=height,
            frame_rate=frame_rate,
            sha256=sha256,
            perceptual_hash=fingerprint,
            size=size,
            truncated=damaged or (video.layout is not None and video.layout.truncated),
        )


def _displayed_size(video: Video) -> tuple[int, int]:
    """(width, height) of the first picture, turned as displayed."""
    frame = next(frame for _, frame in Decoding(video).pictures())
    lying = round(frame.rotation / 90) % 2 == 1
    return (frame.height, frame.width) if lying else (frame.width, frame.height)


def _duration(stream: BinaryIO) -> tuple[float, bool]:
    """(seconds, whether the end is damaged). Goes through all packets, undecoded, only if the file states nothing."""
    first, last, damaged = None, 0, False
    with open_video(stream) as video:
        if video.declared_seconds is not None:
            return video.declared_seconds, False
        unit = float(video.stream.time_base or 0)
        try:
            for packet in video.container.demux(video.stream):
                if packet.pts is not None and packet.size:
                    first = packet.pts if first is None else min(first, packet.pts)
                    last = max(last, packet.pts + (packet.duration or 0))
        except FFmpegError:
            video.source.raise_failure()
            damaged = True
    # A single picture without a duration of its own still lasts a moment.
    return max((last - (first or 0)) * unit, 1 / 25), damaged


def _digest(stream: BinaryIO) -> tuple[str, int]:
    """(SHA-256 in hex, size in bytes) of the whole stream."""
    sha256, size = hashlib.sha256(), 0
    stream.seek(0)
    while chunk := stream.read(_CHUNK_BYTES):
        sha256.update(chunk)
        size += len(chunk)
    return sha256.hexdigest(), size
