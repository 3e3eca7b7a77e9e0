"""What a file is, told from its bytes: which container, how long it ought to be, and what else it might be.

This comes before FFmpeg: only the three families below ever reach a demuxer, and each is handed to exactly that
demuxer, so a playlist or a concat script called `.mp4` is refused here and never followed. It must not decode
anything, trust a file's name, or read more than the headers.

Sources: ISO/IEC 14496-12 §4.2 and §8.1 (boxes), Apple's QuickTime File Format (files without `ftyp`), RFC 8794 and
RFC 9559 (EBML, Matroska), Microsoft's AVI RIFF reference.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import BinaryIO

from shared.errors import MediaUnusable

HEAD_BYTES = 4096
"""As much of the beginning as `identify` wants to see; less is fine when the file is shorter."""

DEMUXERS = {"mp4": "mov", "mov": "mov", "avi": "avi", "matroska": "matroska", "webm": "matroska"}
"""The containers that are accepted, and the FFmpeg demuxer each is given to."""

_MAX_BOXES = 64
# Track headers stand before the tables that make an index long.
_TRACKS_BYTES = 64 << 10
_EBML = b"\x1a\x45\xdf\xa3"
_SEGMENT = b"\x18\x53\x80\x67"
# What may open a QuickTime file from before `ftyp` existed.
_QUICKTIME_FIRST_BOXES = frozenset({b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot"})
# Brands that use the box structure of MP4 for something that is no video.
_STILL_BRANDS = frozenset({b"heic", b"heix", b"heim", b"heis", b"avif", b"mif1", b"crx "})

_NOT_VIDEOS: tuple[tuple[bytes, str], ...] = (
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"\x89PNG\r\n\x1a\n", "a PNG image"),
    (b"GIF8", "a GIF image"),
    (b"II*\x00", "a TIFF image"),
    (b"MM\x00*", "a TIFF image"),
    (b"PK\x03\x04", "a zip archive or an office document"),
    (b"PK\x05\x06", "an empty zip archive"),
    (b"%PDF-", "a PDF document"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"ID3", "an MP3 audio file"),
    (b"fLaC", "a FLAC audio file"),
    (b"#EXTM3U", "a playlist"),
    (b"ffconcat", "a list of other files"),
)
_OTHER_VIDEOS: tuple[tuple[bytes, str], ...] = (
    (b"FLV\x01", "Flash video"),
    (b"OggS", "Ogg"),
    (b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", "Windows Media"),
    (b"\x00\x00\x01\xba", "MPEG program stream"),
)


@dataclass(frozen=True)
class Layout:
    """How the file is laid out: `size` in bytes, `truncated` if its headers promise more bytes than that.

    `fragmented`: an MP4 of fragments (`moof`), whose header does not know the duration. `displayed`: (width, height)
    in pixels as an MP4's or AVI's header claims; (0, 0) if it wasn't found. Matroska's is left to the demuxer.
    """

    size: int
    truncated: bool
    fragmented: bool = False
    displayed: tuple[int, int] = (0, 0)


def identify(head: bytes) -> str:
    """The container (a key of `DEMUXERS`) of the file that begins with `head` (up to `HEAD_BYTES` bytes).

    Raises `MediaUnusable`: `empty_file`, `not_a_video`, `unsupported_container`.
    """
    if not head:
        raise MediaUnusable("empty_file", "The file is empty.")
    if head[4:8] == b"ftyp":
        return _from_brand(head[8:12])
    if head[4:8] in _QUICKTIME_FIRST_BOXES:
        return "mov"
    if head[:4] == b"RIFF":
        return _from_riff(head[8:12])
    if head[:4] == _EBML:
        return "webm" if b"webm" in head[:64] else "matroska"
    raise _refusal(head)


def _from_brand(brand: bytes) -> str:
    if brand in _STILL_BRANDS:
        raise MediaUnusable("not_a_video", "The file is a still image (HEIF or AVIF), not a video.")
    return "mov" if brand == b"qt  " else "mp4"


def _from_riff(form: bytes) -> str:
    if form == b"AVI ":
        return "avi"
    what = {b"WEBP": "a WebP image", b"WAVE": "a WAV audio file"}.get(form, "a RIFF file of another kind")
    raise MediaUnusable("not_a_video", f"The file is {what}, not a video.")


def _refusal(head: bytes) -> MediaUnusable:
    """Why these bytes are no video that can be read."""
    for magic, name in _NOT_VIDEOS:
        if head.startswith(magic):
            return MediaUnusable("not_a_video", f"The file is {name}, not a video.")
    transport_stream = head[:1] == head[188:189] == b"\x47"
    other = next((name for magic, name in _OTHER_VIDEOS if head.startswith(magic)), None)
    if transport_stream or other:
        name = other or "MPEG transport stream"
        return MediaUnusable(
            "unsupported_container", f"{name} files are not supported; use MP4, MOV, AVI, MKV or WebM."
        )
    if not head.strip(b"\x00"):
        return MediaUnusable("not_a_video", "The file begins with zero bytes only, not with a video.")
    if _is_text(head):
        return MediaUnusable("not_a_video", "The file is text, not a video.")
    return MediaUnusable("not_a_video", "The file is not a video that can be recognised (MP4, MOV, AVI, MKV or WebM).")


def _is_text(head: bytes) -> bool:
    return all(byte >= 0x20 or byte in b"\t\n\r\f\x1b" for byte in head)


def measure(stream: BinaryIO, container: str) -> Layout:
    """Reads the outermost headers of a seekable `stream` and leaves its position at 0.

    Costs a few short reads, however long the file. Raises whatever the stream raises.
    """
    size = stream.seek(0, 2)
    walkers: dict[str, Callable[[BinaryIO, int], Layout]] = {"mov": _walk_boxes, "avi": _read_riff}
    layout = walkers.get(DEMUXERS[container], _read_segment)(stream, size)
    stream.seek(0)
    return layout


def _walk_boxes(stream: BinaryIO, size: int) -> Layout:
    """Follows MP4's top-level boxes up to the first fragment; what lies behind that is left to the demuxer."""
    position, has_index, displayed = 0, False, (0, 0)
    for _ in range(_MAX_BOXES):
        if position >= size:
            break
        stream.seek(position)
        header = stream.read(16)
        length, kind = int.from_bytes(header[:4], "big"), header[4:8]
        if kind == b"moov":
            has_index, displayed = True, _track_size(stream.read(_TRACKS_BYTES))
        if kind == b"moof":
            return Layout(size, truncated=False, fragmented=True, displayed=displayed)
        if length == 0:  # "to the end of the file"
            break
        if length == 1:
            length = int.from_bytes(header[8:16], "big")
        if length < 8 or position + length > size:
            return Layout(size, truncated=position + length > size or not has_index, displayed=displayed)
        position += length
    return Layout(size, truncated=not has_index, displayed=displayed)


def _track_size(index: bytes) -> tuple[int, int]:
    """The largest width and height in the track headers (16.16 fixed point at the end of each `tkhd`, §8.3.2)."""
    width = height = 0
    at = index.find(b"tkhd")
    while 0 <= at < len(index) - 4:
        end = at + 4 + (96 if index[at + 4] else 84)
        width = max(width, int.from_bytes(index[end - 8 : end - 6], "big"))
        height = max(height, int.from_bytes(index[end - 4 : end - 2], "big"))
        at = index.find(b"tkhd", at + 4)
    return width, height


def _read_riff(stream: BinaryIO, size: int) -> Layout:
    stream.seek(0)
    head = stream.read(72).ljust(72, b"\0")
    declared = int.from_bytes(head[4:8], "little")
    # Writers that were interrupted, or that stream, leave 0 or all ones here: that says nothing.
    known = 0 < declared < 0xFFFFFFFF
    main_header = head[24:28] == b"avih"
    width, height = (int.from_bytes(head[at : at + 4], "little") if main_header else 0 for at in (64, 68))
    return Layout(size, truncated=known and declared + 8 > size, displayed=(width, height))


def _read_segment(stream: BinaryIO, size: int) -> Layout:
    """Matroska's one Segment element follows the EBML header and states its own length, or "unknown" (all ones)."""
    stream.seek(0)
    head = stream.read(HEAD_BYTES)
    at = head.find(_SEGMENT)
    if at < 0 or at + 5 > len(head) or head[at + 4] == 0:
        return Layout(size, truncated=at < 0)
    width = 9 - head[at + 4].bit_length()
    raw = int.from_bytes(head[at + 4 : at + 4 + width], "big")
    length = raw & ((1 << (7 * width)) - 1)
    unknown = length == (1 << (7 * width)) - 1
    return Layout(size, truncated=not unknown and at + 4 + width + length > size)
