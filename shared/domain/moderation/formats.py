"""What kind of media a file is, from its first bytes. Pure.

Only whether to look at it as a picture or as a video is decided here; whether it really is one, the reader and the
probe find out. What a client or another server calls it decides nothing.
"""

from __future__ import annotations

from shared.domain.moderation.findings import MediaKind

HEAD_BYTES = 64
"""So many of a file's first bytes are enough, where it has as many."""

_PICTURES: tuple[bytes, ...] = (
    b"\xff\xd8\xff",  # JPEG
    b"\x89PNG\r\n\x1a\n",
    b"GIF87a",
    b"GIF89a",
    b"BM",
    b"II*\x00",  # TIFF, little endian
    b"MM\x00*",  # and big endian
)
_MATROSKA = b"\x1a\x45\xdf\xa3"
_RIFF = {b"WEBP": MediaKind.IMAGE, b"AVI ": MediaKind.VIDEO}
_MP4_BOXES = frozenset({b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"pnot"})
# Still pictures in the MP4 family's clothes: none of the formats that are taken.
_STILL_BRANDS = frozenset({b"heic", b"heix", b"heim", b"heis", b"mif1", b"avif", b"avis", b"hevc", b"hevx", b"msf1"})


def kind_of(head: bytes) -> MediaKind | None:
    """Picture or video, or None for what is neither JPEG, PNG, GIF, WebP, BMP, TIFF nor MP4, MOV, AVI, MKV, WebM."""
    if head.startswith(_PICTURES):
        return MediaKind.IMAGE
    if head.startswith(_MATROSKA):
        return MediaKind.VIDEO
    if head.startswith(b"RIFF"):
        return _RIFF.get(head[8:12])
    if head[4:8] in _MP4_BOXES and head[8:12] not in _STILL_BRANDS:
        return MediaKind.VIDEO
    return None
