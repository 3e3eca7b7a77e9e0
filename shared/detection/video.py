"""Opens a video within the limits of SPEC §3, before a single picture is decoded.

FFmpeg gets one demuxer, chosen from the bytes, and a short list of decoders; it can open nothing but the stream it was
given. The one place that turns FFmpeg's errors into `MediaUnusable`. It must not decode.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, BinaryIO, NoReturn

import av
import av.logging
from av.container import InputContainer
from av.error import FFmpegError
from av.stream import Discard, Disposition
from av.video.stream import VideoStream

from shared.detection.container import DEMUXERS, Layout, identify, measure
from shared.detection.source import Source
from shared.errors import MediaUnusable

MAX_SECONDS = 3 * 3600.0
MAX_SIDE = 8192

_DECODERS = {
    "av1": ("libdav1d", "av1"),
    "dvvideo": ("dvvideo",),
    "ffv1": ("ffv1",),
    "h263": ("h263",),
    "h264": ("h264",),
    "hevc": ("hevc",),
    "mjpeg": ("mjpeg",),
    "mpeg1video": ("mpeg1video",),
    "mpeg2video": ("mpeg2video",),
    "mpeg4": ("mpeg4",),
    "msmpeg4v2": ("msmpeg4v2",),
    "msmpeg4v3": ("msmpeg4",),
    "prores": ("prores",),
    "vp8": ("vp8", "libvpx"),
    "vp9": ("vp9", "libvpx-vp9"),
    "wmv2": ("wmv2",),
}
# Frames in flight, over all decoding threads, may take this much: a large picture gets fewer threads.
_FRAME_BUDGET_BYTES = 64 << 20
# Threads are frames decoded ahead while the calling thread scales and scores: FFmpeg's own count keeps it waiting.
_THREADS_PER_CORE = 3
_OPTIONS = {
    "codec_whitelist": ",".join(name for names in _DECODERS.values() for name in names),
    # Checked by FFmpeg before it allocates a picture, also while it looks for the streams' parameters.
    "max_pixels": str(MAX_SIDE * MAX_SIDE),
}
# PyAV before 19 refuses a file over one broken byte in a title unless told otherwise; 19 has no such argument.
_LENIENT: dict[str, Any] = {"metadata_errors": "replace"} if int(av.__version__.partition(".")[0]) < 19 else {}

# Files damaged on purpose would fill the log; what matters reaches the caller as an error.
av.logging.set_libav_level(-8)  # AV_LOG_QUIET
av.logging.set_level(None)


@dataclass(frozen=True)
class Video:
    """An open video. `layout` is None for a stream that cannot seek."""

    source: Source
    container: InputContainer
    stream: VideoStream
    kind: str
    layout: Layout | None

    @property
    def codec(self) -> str:
        """FFmpeg's name of the format, such as `h264`."""
        return str(self.stream.codec_context.codec.canonical_name)

    @property
    def frame_rate(self) -> float:
        """Frames per second on average, 0 if the file doesn't say."""
        rate = self.stream.average_rate or self.stream.guessed_rate
        return float(rate) if rate else 0.0

    @property
    def declared_seconds(self) -> float | None:
        """The duration the file states, or None. A fragmented file states at most its first fragment's."""
        if self.layout is not None and self.layout.fragmented:
            return None
        if self.stream.duration:
            seconds = self.stream.duration * float(self.stream.time_base or 0)
        else:
            seconds = (self.container.duration or 0) / av.time_base
        return seconds if seconds > 0 else None

    @property
    def origin(self) -> float | None:
        """The time stamp (seconds) at which the picture begins, or None if the file doesn't say."""
        start = self.stream.start_time
        return None if start is None else start * float(self.stream.time_base or 0)

    @property
    def can_leave_out(self) -> bool:
        """Whether `leave_out_unreferenced` is safe: a packet is one picture and says when it is shown; none is missed.

        AVI counts pictures in the order of decoding. In HEVC with temporal sub-layers FFmpeg takes pictures for
        unreferenced that higher sub-layers may refer to.
        """
        if self.kind == "avi":
            return False
        if self.codec == "hevc":
            return _has_single_layer(self.stream.codec_context.extradata or b"")
        return self.codec == "h264"

    def leave_out_unreferenced(self, wanted: bool) -> None:
        """Whether the next packets are left undecoded if no other picture refers to theirs."""
        self.stream.codec_context.skip_frame = "NONREF" if wanted else "DEFAULT"

    def seek(self, seconds: float) -> None:
        """Goes on from the last keyframe at or before `seconds`. Raises `FFmpegError` where that can't be found."""
        unit = float(self.stream.time_base or 1)
        self.container.seek(int((seconds + (self.origin or 0.0)) / unit), stream=self.stream)

    def unusable(self) -> MediaUnusable:
        """Why nothing could be decoded, told from what is known about the file."""
        return _why_unreadable(self.kind, self.layout)


@contextmanager
def open_video(stream: BinaryIO) -> Iterator[Video]:
    """Opens `stream` (binary, seekable or not, read from its beginning; it stays open).

    Raises `MediaUnusable`: `empty_file`, `not_a_video`, `unsupported_container`, `unsupported_codec`, `no_picture`,
    `too_long`, `too_large_picture`, `truncated_beyond_use`, `unreadable`, `needs_seeking`; and what the stream raises.
    """
    source = Source(stream)
    kind = identify(source.head)
    layout = measure(stream, kind) if source.seekable() else None
    if layout is not None:
        check_picture(*layout.displayed)
    container = _open_container(source, kind, layout)
    try:
        video = Video(source, container, _picture_stream(container), kind, layout)
        _configure(video)
        yield video
    finally:
        container.close()


def check_picture(width: int, height: int) -> None:
    """Raises `MediaUnusable` (`too_large_picture`) for a side of more than `MAX_SIDE` pixels."""
    if max(width, height) > MAX_SIDE:
        raise MediaUnusable(
            "too_large_picture", f"The picture is {width} x {height} pixels; at most {MAX_SIDE} a side can be analysed."
        )


def check_duration(seconds: float) -> None:
    """Raises `MediaUnusable` (`too_long`) for more than `MAX_SECONDS`."""
    if seconds > MAX_SECONDS:
        raise MediaUnusable("too_long", "The video is longer than 3 hours.")


def _refuse_to_open(*_: object) -> NoReturn:
    raise MediaUnusable("unreadable", "The file refers to other files, which are never opened.")


def _open_container(source: Source, kind: str, layout: Layout | None) -> InputContainer:
    try:
        container: InputContainer = av.open(
            source, "r", format=DEMUXERS[kind], options=dict(_OPTIONS), io_open=_refuse_to_open, **_LENIENT
        )
    except FFmpegError as error:
        source.raise_failure()
        raise _why_unreadable(kind, layout) from error
    return container


def _why_unreadable(kind: str, layout: Layout | None) -> MediaUnusable:
    if layout is None and DEMUXERS[kind] == "mov":
        return MediaUnusable(
            "needs_seeking", "The index lies behind the pictures, so the file can't be read as a stream."
        )
    if layout is not None and layout.truncated:
        return MediaUnusable(
            "truncated_beyond_use", "The file ends before any picture: the upload or the recording broke off too early."
        )
    return MediaUnusable("unreadable", "The file is damaged: no picture of it can be read.")


def _picture_stream(container: InputContainer) -> VideoStream:
    """The first stream with moving pictures; cover art doesn't count."""
    streams = [s for s in container.streams.video if not s.disposition & Disposition.attached_pic]
    if not streams:
        raise MediaUnusable("no_picture", "The file has no video track, only sound or other data.")
    stream = streams[0]
    # PyAV's stubs don't say so, but a stream of an unknown format has no codec context.
    context: Any = stream.codec_context
    if context is None or context.codec.canonical_name not in _DECODERS:
        raise MediaUnusable("unsupported_codec", "The video's compression format is not supported.")
    return stream


def _has_single_layer(extradata: bytes) -> bool:
    """As an HEVC configuration record says (ISO/IEC 14496-15 §8.3.3.1.2); a bare stream's headers say nothing here."""
    return len(extradata) > 22 and extradata[0] == 1 and extradata[21] >> 3 & 7 == 1


def _configure(video: Video) -> None:
    """Checks the limits that the headers give away, then sets up the decoder (it opens with its first packet)."""
    context = video.stream.codec_context
    check_picture(context.width, context.height)
    check_duration(video.declared_seconds or 0.0)
    for other in video.container.streams:
        if other.index != video.stream.index:
            other.discard = Discard.all
    frame_bytes = max(context.width * context.height * 3 // 2, 1)
    context.thread_type = "AUTO"
    threads = _THREADS_PER_CORE * (os.cpu_count() or 1)
    context.thread_count = max(1, min(threads, 16, _FRAME_BUDGET_BYTES // frame_bytes))
    context.options = {"max_pixels": _OPTIONS["max_pixels"]}
