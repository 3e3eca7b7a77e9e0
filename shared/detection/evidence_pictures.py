"""Turns a stranger's image file into evidence: the same picture in the same format, drawn anew, and nothing else.

As in `pictures.py`, one decoder touches a file, and it sees only what `picture_layout` left of it. What is written has
no Exif, XMP, IPTC, comments, thumbnails or colour profile, and nothing that was appended. It must not judge pictures.
"""

from __future__ import annotations

import hashlib
import io
import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from PIL import Image

from shared.detection.picture_layout import PictureLayout, damaged, lay_out
from shared.detection.pictures import DECODERS, TURNS
from shared.errors import MediaUnusable, Retryable
from shared.ports import CleanPicture

log = logging.getLogger(__name__)

MAX_FRAMES = 100
MAX_ALL_PIXELS = 32_000_000
"""Of an animation, all frames together: they are held at once, four bytes a pixel, and some formats twice."""

MAX_WEBP_PIXELS = 16_777_216
"""Its decoder and its encoder take more than twice the memory of the others."""

AT_ONCE = 1
"""Pictures drawn at a time: one of 50 megapixels takes half a gigabyte."""
PATIENCE_SECONDS = 15.0


@dataclass(frozen=True)
class _Format:
    """How a format is written. `modes`: Pillow's names of the pixels it is written in; others become RGB or RGBA."""

    name: str
    content_type: str
    extension: str
    modes: frozenset[str]
    still: dict[str, Any] = field(default_factory=dict)
    moving: dict[str, Any] = field(default_factory=dict)


_FORMATS = {
    "jpeg": _Format("JPEG", "image/jpeg", "jpg", frozenset({"L", "RGB"}), {"quality": 92}),
    "png": _Format("PNG", "image/png", "png", frozenset({"1", "L", "LA", "P", "RGB", "RGBA", "I;16"})),
    "gif": _Format("GIF", "image/gif", "gif", frozenset({"1", "L", "P", "RGB", "RGBA"}), {}, {"disposal": 2}),
    "webp": _Format("WEBP", "image/webp", "webp", frozenset({"RGB", "RGBA"}), {"quality": 92}, {"quality": 92}),
}


class EvidencePictures:
    """Implements `shared.ports.PictureCleaner`. Draws `at_once` pictures at a time, whoever asks; others wait."""

    def __init__(self, at_once: int = AT_ONCE, patience: float = PATIENCE_SECONDS) -> None:
        """`patience`: how many seconds one waits for its turn; who waited in vain is told to stay away as long."""
        self._turns = threading.BoundedSemaphore(at_once)
        self._patience = patience

    def clean(self, data: bytes) -> CleanPicture:
        """See `PictureCleaner.clean`. JPEG and WebP are written at quality 92; an animation keeps all its frames."""
        layout = _layout(data)
        kind = _FORMATS.get(layout.format)
        if kind is None:
            raise MediaUnusable("not_an_evidence_format", "The picture must be a JPEG, PNG, WebP or GIF.")
        _require_drawable(layout)
        with self._turn():
            try:
                written, (width, height) = _redraw(layout, kind)
            except (MediaUnusable, MemoryError):
                raise
            except Exception as error:  # a decoder on hostile bytes may raise anything
                log.info("a %s picture could not be redrawn: %s", layout.format, type(error).__name__)
                raise damaged("it cannot be decoded") from None
        digest = hashlib.sha256(data).hexdigest()
        return CleanPicture(written, kind.content_type, kind.extension, width, height, digest)

    @contextmanager
    def _turn(self) -> Iterator[None]:
        if not self._turns.acquire(timeout=self._patience):
            raise Retryable("too many pictures are being drawn", retry_after=self._patience)
        try:
            yield
        finally:
            self._turns.release()


def _layout(data: bytes) -> PictureLayout:
    """Raises `MediaUnusable` with the formats of evidence, which are fewer than those of moderation."""
    try:
        return lay_out(data)
    except MediaUnusable as error:
        if error.code != "not_a_picture":
            raise
        raise MediaUnusable("not_a_picture", "The file is not a JPEG, PNG, WebP or GIF picture.") from None


def _require_drawable(layout: PictureLayout) -> None:
    frames = len(layout.seconds)
    if frames > MAX_FRAMES:
        raise MediaUnusable("too_large_picture", f"The picture is too large: it may have at most {MAX_FRAMES} frames.")
    pixels = layout.width * layout.height
    if layout.format == "webp" and pixels > MAX_WEBP_PIXELS:
        limit = f"a WebP may have at most {MAX_WEBP_PIXELS // 1_000_000} megapixels"
        raise MediaUnusable("too_large_picture", f"The picture is too large: {limit}.")
    if frames > 1 and pixels * frames > MAX_ALL_PIXELS:
        limit = f"all frames together may have at most {MAX_ALL_PIXELS // 1_000_000} megapixels"
        raise MediaUnusable("too_large_picture", f"The picture is too large: {limit}.")


def _redraw(layout: PictureLayout, kind: _Format) -> tuple[bytes, tuple[int, int]]:
    """The file, and the size of its picture as displayed."""
    frames = len(layout.seconds)
    with DECODERS[layout.format](io.BytesIO(layout.essence)) as image:
        # A GIF has the frames that were counted; to have them counted again would take as long as to draw them.
        if layout.format != "gif" and getattr(image, "n_frames", 1) != frames:
            raise damaged("it does not have the frames it promises")
        target = io.BytesIO()
        if frames == 1:
            image.load()
            drawn = _bare(image, layout.orientation, kind)
            drawn.save(target, kind.name, **kind.still)
        else:
            drawn, *others = [_frame(image, number, layout.orientation) for number in range(frames)]
            milliseconds = [round(seconds * 1000) for seconds in layout.seconds]
            shown = {"save_all": True, "append_images": others, "duration": milliseconds, "loop": 0}
            drawn.save(target, kind.name, **shown, **kind.moving)
    return target.getvalue(), drawn.size


def _frame(image: Image.Image, number: int, orientation: int) -> Image.Image:
    image.seek(number)
    image.load()
    return _turned(image.convert("RGBA"), orientation)


def _bare(image: Image.Image, orientation: int, kind: _Format) -> Image.Image:
    """The pixels alone, in a mode that the format is written in; of what else was known, the transparent colour."""
    if image.mode not in kind.modes:
        image = image.convert("RGBA" if image.has_transparency_data and "RGBA" in kind.modes else "RGB")
    transparency = image.info.get("transparency")
    turned = _turned(image, orientation)
    turned.info = {} if transparency is None else {"transparency": transparency}
    return turned


def _turned(image: Image.Image, orientation: int) -> Image.Image:
    return image.transpose(TURNS[orientation]) if orientation in TURNS else image
