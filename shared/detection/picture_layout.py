"""What an image file is, told from its bytes: its format, its size, its frames, and its pixels without anything else.

This comes before any decoder. Each format is walked part by part; what is not needed to draw the picture (comments,
Exif, colour profiles, text, whatever follows the end) is left out of what a decoder gets to see, so compressed text,
Exif tables that unfold a thousandfold and appended archives never reach one. It must not decode pixels.

Sources: ITU-T T.81 annex B (JPEG), the PNG specification's third edition (with APNG), the GIF89a specification,
RFC 9649 (WebP), TIFF 6.0, Microsoft's BITMAPINFOHEADER.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from shared.errors import MediaUnusable

MAX_SIDE = 16_384
MAX_PIXELS = 50_000_000
MAX_ANIMATED_PIXELS = 16_777_216
"""Of one frame of an animation: its decoder holds several canvases of four bytes a pixel."""
MAX_WEBP_PIXELS = 25_000_000
"""Its decoder takes sixteen bytes a pixel, where the others take four to eight."""
MAX_ALL_PIXELS = 250_000_000
"""Of all frames together: seconds of work, not minutes."""
MAX_FRAMES = 3_000
MAX_PAGES = 200

_MAX_PARTS = 20_000
# A progressive JPEG is drawn over once a scan; encoders make a dozen at most, with a few tables each.
# A progressive JPEG is drawn once for each scan. Encoders make about ten; a hundred of an almost empty picture cost
# a few bytes and ten seconds.
MAX_SCANNED_PIXELS = 600_000_000
_MAX_MARKERS = 128
_MAX_TAGS = 512
_MAX_STRIPS = 65_536
# What browsers do with a frame that is to be shown for no time.
_LEAST_SECONDS = 0.011
_USUAL_SECONDS = 0.1

_NOT_PICTURES: tuple[tuple[bytes, str], ...] = (
    (b"%PDF-", "a PDF document"),
    (b"PK\x03\x04", "a zip archive or an office document"),
    (b"PK\x05\x06", "an empty zip archive"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (b"Rar!", "a RAR archive"),
    (b"\x7fELF", "a program"),
    (b"MZ", "a program"),
    (b"\x1a\x45\xdf\xa3", "a Matroska or WebM video"),
    (b"\x00\x00\x01\x00", "an icon"),
    (b"8BPS", "a Photoshop document"),
    (b"II+\x00", "a BigTIFF image"),
    (b"MM\x00+", "a BigTIFF image"),
    (b"{\\rtf", "an RTF document"),
    (b"%!PS", "a PostScript document"),
)
_BOXES = {b"heic": "a HEIF image", b"heix": "a HEIF image", b"mif1": "a HEIF image", b"avif": "an AVIF image"}


@dataclass(frozen=True)
class PictureLayout:
    """How an image file is laid out.

    `width`/`height` in pixels as stored, of the first frame, before the `orientation` (1-8, as Exif has it) is
    applied. `seconds`: how long each frame is shown, one entry a frame. `essence`: a file of the same format that
    holds the pixels and what is needed to draw them, and nothing else.
    """

    format: str
    width: int
    height: int
    seconds: tuple[float, ...]
    orientation: int
    essence: bytes


def lay_out(data: bytes) -> PictureLayout:
    """Walks a file of any of the six formats.

    Raises `MediaUnusable`: `empty_file`, `not_a_picture`, `damaged_picture` (broken, or cut short),
    `too_large_picture` (one picture's size, or that of all frames together).
    """
    if not data:
        raise MediaUnusable("empty_file", "The file is empty.")
    walk = _walker_of(data)
    try:
        return walk(data)
    except (struct.error, IndexError):
        raise damaged("it ends too early") from None


def _walker_of(data: bytes) -> Callable[[bytes], PictureLayout]:
    """By the leading bytes alone: whatever else the file could be read as, this is what it will be drawn as."""
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return _walk_webp
    found = next((walk for magic, walk in _WALKERS if data.startswith(magic)), None)
    if found is None:
        raise _refusal(data[:512])
    return found


def damaged(reason: str) -> MediaUnusable:
    """The refusal of a file that is broken in some way."""
    return MediaUnusable("damaged_picture", f"The picture is damaged: {reason}.")


def _too_large(reason: str) -> MediaUnusable:
    return MediaUnusable("too_large_picture", f"The picture is too large: {reason}.")


def _refusal(head: bytes) -> MediaUnusable:
    """Why these bytes are no picture that is accepted."""
    name = next((name for magic, name in _NOT_PICTURES if head.startswith(magic)), None)
    if name is None and head[4:8] == b"ftyp":
        name = _BOXES.get(head[8:12], "an MP4 or MOV video")
    if name is None and all(byte >= 0x20 or byte in b"\t\n\r\f\x1b" for byte in head):
        name = "text (HTML and SVG are text too)"
    if name is None:
        return MediaUnusable("not_a_picture", "The file is not a picture (JPEG, PNG, GIF, WebP, BMP or TIFF).")
    return MediaUnusable("not_a_picture", f"The file is {name}, not a JPEG, PNG, GIF, WebP, BMP or TIFF picture.")


def _require_size(width: int, height: int, frames: int = 1, most: int = MAX_PIXELS) -> None:
    """Refuses a bomb by what its header says. `most` is how many pixels a still picture may have."""
    if width < 1 or height < 1:
        raise damaged("it has no size")
    if width > MAX_SIDE or height > MAX_SIDE:
        raise _too_large(f"no side may have more than {MAX_SIDE} pixels")
    most = most if frames == 1 else MAX_ANIMATED_PIXELS
    if width * height > most:
        raise _too_large(f"it may have at most {most // 1_000_000} megapixels" + (" a frame" if frames > 1 else ""))
    if frames > MAX_FRAMES:
        raise _too_large(f"it may have at most {MAX_FRAMES} frames")
    if width * height * frames > MAX_ALL_PIXELS:
        raise _too_large(f"all frames together may have at most {MAX_ALL_PIXELS // 1_000_000} megapixels")


def _shown(seconds: float) -> float:
    return seconds if seconds >= _LEAST_SECONDS else _USUAL_SECONDS


def _parts() -> Iterator[int]:
    """Counts parts, and ends a file that has too many: each costs time and says little."""
    yield from range(_MAX_PARTS)
    raise damaged("it consists of too many parts")


# --------------------------------------------------------------------------- JPEG

_SOS, _EOI, _APP1 = 0xDA, 0xD9, 0xE1
_FRAME_HEADERS = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_ALONE = frozenset({0x01, *range(0xD0, 0xD8)})
# JFIF's and Adobe's say how the colours are meant. The other 14, and comments, say nothing about pixels.
_JPEG_METADATA = (frozenset(range(0xE0, 0xF0)) | {0xFE}) - {0xE0, 0xEE}
_MARKER = re.compile(rb"\xff([^\x00\xff\xd0-\xd7])")


def _walk_jpeg(data: bytes) -> PictureLayout:
    kept, at, orientation = [data[:2]], 2, 1
    size: tuple[int, int] | None = None
    for _ in _parts():
        marker, start, at = _jpeg_segment(data, at)
        if marker == _SOS:
            break
        if marker in _FRAME_HEADERS:
            if size is not None:
                raise damaged("it has two headers")
            height, width = struct.unpack_from(">HH", data, start + 5)
            size = width, height
        if marker == _APP1 and data[start + 4 : start + 10] == b"Exif\0\0":
            orientation = _orientation(data[start + 10 : at])
        if marker not in _JPEG_METADATA:
            kept.append(data[start:at])
    if size is None:
        raise damaged("it has no header")
    _require_size(*size)
    end, scans = _end_of_scans(data, at)
    if scans * size[0] * size[1] > MAX_SCANNED_PIXELS:
        raise _too_large(f"all its scans together may have at most {MAX_SCANNED_PIXELS // 1_000_000} megapixels")
    kept.append(data[start:end])
    return PictureLayout("jpeg", *size, (_USUAL_SECONDS,), orientation, b"".join(kept))


def _jpeg_segment(data: bytes, at: int) -> tuple[int, int, int]:
    """The next segment before the first scan: its marker, where it starts, and where it ends."""
    if data[at] != 0xFF:
        raise damaged("it has bytes between its parts")
    while data[at + 1] == 0xFF:
        at += 1
    marker = data[at + 1]
    if marker in _ALONE:
        return marker, at, at + 2
    length = struct.unpack_from(">H", data, at + 2)[0]
    if marker == _EOI or length < 2 or at + 2 + length > len(data):
        raise damaged("it ends too early")
    return marker, at, at + 2 + length


def _end_of_scans(data: bytes, at: int) -> tuple[int, int]:
    """Where the image ends, given where its first scan's entropy-coded data begins, and how many scans it has."""
    scans = 1
    for _ in range(_MAX_MARKERS):
        match = _MARKER.search(data, at)
        if match is None:
            raise damaged("it ends too early")
        marker, at = match[1][0], match.end()
        if marker == _EOI:
            return at, scans
        scans += marker == _SOS
        at += 0 if marker in _ALONE else struct.unpack_from(">H", data, at)[0]
    raise damaged("it is drawn in too many scans")


def _orientation(exif: bytes) -> int:
    """Exif's orientation (1-8) out of a TIFF structure; 1 if it says nothing that can be understood."""
    order = {b"II": "<", b"MM": ">"}.get(exif[:2])
    if order is None or len(exif) < 10:
        return 1
    first = struct.unpack_from(f"{order}I", exif, 4)[0]
    for at in range(first + 2, min(first + 2 + 12 * _MAX_TAGS, len(exif) - 11), 12):
        tag, kind, _, value = struct.unpack_from(f"{order}HHIH", exif, at)
        if tag == 0x0112:
            return int(value) if kind == 3 and 1 <= value <= 8 else 1
    return 1


# --------------------------------------------------------------------------- PNG

_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_PNG_KEPT = frozenset({b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND", b"acTL", b"fcTL", b"fdAT"})


def _walk_png(data: bytes) -> PictureLayout:
    kept, seconds, orientation, promised, size = [_PNG_SIGNATURE], list[float](), 1, 0, (0, 0)
    has_pixels = False
    at = len(_PNG_SIGNATURE)
    for number in _parts():
        length, kind = struct.unpack_from(">I4s", data, at)
        body, end = at + 8, at + 12 + length
        if end > len(data) or (number == 0) != (kind == b"IHDR"):
            raise damaged("it ends too early")
        if kind == b"IHDR":
            size = struct.unpack_from(">II", data, body)
            _require_size(*size)
        elif kind == b"acTL" and not has_pixels:
            promised = struct.unpack_from(">I", data, body)[0]
        elif kind == b"fcTL":
            # A picture before the first frame is for readers that know no animation: it counts as one more.
            seconds += [_USUAL_SECONDS] if has_pixels and not seconds else []
            seconds.append(_png_delay(data, body))
        elif kind == b"eXIf":
            orientation = _orientation(data[body : end - 4])
        has_pixels = has_pixels or kind == b"IDAT"
        if kind in _PNG_KEPT:
            kept.append(data[at:end])
        at = end
        if kind == b"IEND":
            break
    return _png_layout(size, seconds, promised, orientation, kept)


def _png_layout(
    size: tuple[int, int], seconds: list[float], promised: int, orientation: int, kept: list[bytes]
) -> PictureLayout:
    if promised == 0:
        # Without a header before the pixels that announces it, no reader shows an animation.
        still = [part for part in kept if part[4:8] not in (b"acTL", b"fcTL", b"fdAT")]
        return PictureLayout("png", *size, (_USUAL_SECONDS,), orientation, b"".join(still))
    if len(seconds) - promised not in (0, 1):
        raise damaged("it does not have the frames it promises")
    _require_size(*size, len(seconds))
    return PictureLayout("png", *size, tuple(seconds), orientation, b"".join(kept))


def _png_delay(data: bytes, body: int) -> float:
    numerator, denominator = struct.unpack_from(">HH", data, body + 20)
    return _shown(numerator / (denominator or 100))


# --------------------------------------------------------------------------- GIF

# Of 255 bytes each, but for the last one.
_MAX_BLOCKS = 65_536
_GIF_EXTENSION, _GIF_IMAGE, _GIF_TRAILER, _GIF_CONTROL = 0x21, 0x2C, 0x3B, 0xF9


def _walk_gif(data: bytes) -> PictureLayout:
    width, height, flags = struct.unpack_from("<HHB", data, 6)
    at = 13 + _colour_bytes(flags)
    kept, seconds, pause = [data[:at]], list[float](), _USUAL_SECONDS
    for _ in _parts():
        if at >= len(data) or data[at] == _GIF_TRAILER:
            break
        start, kind = at, data[at]
        if kind == _GIF_IMAGE:
            left, top, across, down, flags = struct.unpack_from("<4HB", data, at + 1)
            width, height = max(width, left + across), max(height, top + down)
            at = _end_of_blocks(data, at + 11 + _colour_bytes(flags))
            seconds.append(pause)
            pause = _USUAL_SECONDS
            _require_size(width, height, len(seconds))
        elif kind == _GIF_EXTENSION:
            at = _end_of_blocks(data, at + 2)
        else:
            raise damaged("it has bytes between its parts")
        if kind == _GIF_EXTENSION and data[start + 1] == _GIF_CONTROL:
            pause = _shown(struct.unpack_from("<H", data, start + 4)[0] / 100)
        if kind == _GIF_IMAGE or data[start + 1] == _GIF_CONTROL:
            kept.append(data[start:at])
    if not seconds:
        raise damaged("it has no frame")
    return PictureLayout("gif", width, height, tuple(seconds), 1, b"".join([*kept, b"\x3b"]))


def _colour_bytes(flags: int) -> int:
    return 3 << ((flags & 7) + 1) if flags & 0x80 else 0


def _end_of_blocks(data: bytes, at: int) -> int:
    for _ in range(_MAX_BLOCKS):
        length = data[at]
        at += length + 1
        if length == 0:
            return at
    raise damaged("it consists of too many parts")


# --------------------------------------------------------------------------- WebP

_WEBP_KEPT = frozenset({b"VP8 ", b"VP8L", b"VP8X", b"ALPH", b"ANIM", b"ANMF"})
_WEBP_METADATA_FLAGS = 0x20 | 0x08 | 0x04


def _walk_webp(data: bytes) -> PictureLayout:
    end = 8 + struct.unpack_from("<I", data, 4)[0]
    if end > len(data):
        raise damaged("it ends too early")
    kept, seconds, orientation, at = list[bytes](), list[float](), 1, 12
    size: tuple[int, int] | None = None
    for _ in _parts():
        if at + 8 > end:
            break
        kind, length = struct.unpack_from("<4sI", data, at)
        body, after = at + 8, at + 8 + length + length % 2
        if body + length > end:
            raise damaged("it ends too early")
        chunk = data[at:after]
        if kind == b"VP8X":
            chunk = chunk[:8] + bytes([chunk[8] & ~_WEBP_METADATA_FLAGS]) + chunk[9:]
        elif kind == b"ANMF":
            seconds.append(_shown(_three_bytes(data, body + 12) / 1000))
        elif kind == b"EXIF":
            orientation = _orientation(data[body : body + length].removeprefix(b"Exif\0\0"))
        size = size or _webp_size(kind, data, body)
        kept += [chunk] if kind in _WEBP_KEPT else []
        at = after
    if size is None:
        raise damaged("it has no header")
    _require_size(*size, max(len(seconds), 1), MAX_WEBP_PIXELS)
    essence = b"WEBP" + b"".join(kept)
    essence = b"RIFF" + struct.pack("<I", len(essence)) + essence
    return PictureLayout("webp", *size, tuple(seconds) or (_USUAL_SECONDS,), orientation, essence)


def _webp_size(kind: bytes, data: bytes, body: int) -> tuple[int, int] | None:
    """What the first chunk that has a size says; every other chunk must fit into it, which the decoder sees to."""
    if kind == b"VP8X":
        return _three_bytes(data, body + 4) + 1, _three_bytes(data, body + 7) + 1
    if kind == b"VP8 ":
        width, height = struct.unpack_from("<HH", data, body + 6)
        return width & 0x3FFF, height & 0x3FFF
    if kind == b"VP8L":
        bits = struct.unpack_from("<I", data, body + 1)[0]
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    return None


def _three_bytes(data: bytes, at: int) -> int:
    return int.from_bytes(data[at : at + 3], "little")


# --------------------------------------------------------------------------- BMP


def _walk_bmp(data: bytes) -> PictureLayout:
    old = struct.unpack_from("<I", data, 14)[0] == 12
    width, height = struct.unpack_from("<HH" if old else "<ii", data, 18)
    # A negative height says that the rows run from the top down.
    _require_size(width, abs(height))
    return PictureLayout("bmp", width, abs(height), (_USUAL_SECONDS,), 1, data)


# --------------------------------------------------------------------------- TIFF

_TIFF_UNITS = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4}
_WIDTH, _LENGTH, _COMPRESSION, _ORIENTATION = 256, 257, 259, 274
_STRIP_TAGS = frozenset({273, 279, 324, 325})
# What it takes to draw the page: sizes, samples, compression, strips and tiles, colours, and which way is up.
_TIFF_KEPT = (
    _STRIP_TAGS
    | {_WIDTH, _LENGTH, _COMPRESSION, _ORIENTATION}
    | {258, 262, 266, 277, 278, 284, 292, 293, 317, 320, 322, 323, 332, 338, 339, 347, 529, 530, 531, 532}
)
# The most that these tags may say. A tile is held as a whole, however little of it lies in the picture.
_TIFF_LIMITS = {_WIDTH: MAX_SIDE, _LENGTH: MAX_SIDE, 322: 4096, 323: 4096, 277: 5}
# None, CCITT, LZW, JPEG, Deflate, PackBits. Of the others some are whole formats of their own.
_TIFF_COMPRESSIONS = frozenset({1, 2, 3, 4, 5, 7, 8, 32773, 32946})


def _walk_tiff(data: bytes) -> PictureLayout:
    order = "<" if data[:2] == b"II" else ">"
    essence, taken, pages = bytearray(data), list[tuple[int, int]](), list[dict[int, int]]()
    at = struct.unpack_from(f"{order}I", data, 4)[0]
    while at:
        end = at + 6 + 12 * struct.unpack_from(f"{order}H", data, at)[0]
        if any(at < other_end and other < end for other, other_end in taken):
            raise damaged("its pages lie in each other")
        taken.append((at, end))
        pages.append(_tiff_page(data, order, at, essence))
        if len(pages) > MAX_PAGES:
            raise _too_large(f"it may have at most {MAX_PAGES} pages")
        at = struct.unpack_from(f"{order}I", data, end - 4)[0]
    if not pages:
        raise damaged("it has no page")
    if sum(page[_WIDTH] * page[_LENGTH] for page in pages) > MAX_ALL_PIXELS:
        raise _too_large(f"all pages together may have at most {MAX_ALL_PIXELS // 1_000_000} megapixels")
    first, seconds = pages[0], (_USUAL_SECONDS,) * len(pages)
    turned = first.get(_ORIENTATION, 1)
    orientation = turned if 1 <= turned <= 8 else 1
    return PictureLayout("tiff", first[_WIDTH], first[_LENGTH], seconds, orientation, bytes(essence))


def _tiff_page(data: bytes, order: str, at: int, essence: bytearray) -> dict[int, int]:
    """The first number of each tag of the page whose table stands at `at`.

    In `essence`, that table is left with what it takes to draw the page.
    """
    count = struct.unpack_from(f"{order}H", data, at)[0]
    if count > _MAX_TAGS:
        raise damaged("it consists of too many parts")
    kept, found, held = list[bytes](), dict[int, int](), 0
    for entry in range(at + 2, at + 2 + 12 * count, 12):
        tag, kind, values = struct.unpack_from(f"{order}HHI", data, entry)
        if tag not in _TIFF_KEPT or tag in found:
            continue
        held += values * _TIFF_UNITS.get(kind, 0)
        if held > len(data) or (tag in _STRIP_TAGS and values > _MAX_STRIPS):
            raise damaged("its tables are larger than it is")
        found[tag] = struct.unpack_from(f"{order}H" if kind == 3 else f"{order}I", data, entry + 8)[0]
        if tag in _TIFF_LIMITS:
            _require_number(tag, kind, values, found[tag])
        kept.append(data[entry : entry + 12])
    if found.get(_COMPRESSION, 1) not in _TIFF_COMPRESSIONS:
        raise MediaUnusable("not_a_picture", "The TIFF picture is compressed in a way that is not supported.")
    _require_size(found.get(_WIDTH, 0), found.get(_LENGTH, 0))
    following = data[at + 2 + 12 * count : at + 6 + 12 * count]
    table = struct.pack(f"{order}H", len(kept)) + b"".join(kept) + following
    essence[at : at + 6 + 12 * count] = table.ljust(6 + 12 * count, b"\0")
    return found


def _require_number(tag: int, kind: int, values: int, value: int) -> None:
    """One short or long, as every reader reads it."""
    if kind not in (3, 4) or values != 1:
        raise damaged("its sizes are not numbers")
    if value > _TIFF_LIMITS[tag]:
        raise _too_large(f"no side may have more than {MAX_SIDE} pixels, and no tile more than 4096")


_WALKERS: tuple[tuple[bytes, Callable[[bytes], PictureLayout]], ...] = (
    (b"\xff\xd8\xff", _walk_jpeg),
    (_PNG_SIGNATURE, _walk_png),
    (b"GIF87a", _walk_gif),
    (b"GIF89a", _walk_gif),
    (b"BM", _walk_bmp),
    (b"II*\x00", _walk_tiff),
    (b"MM\x00*", _walk_tiff),
)
