"""Turns an untrusted image file into a few JPEGs that are safe to hand on and large enough to judge.

Exactly one decoder may touch a file: that of the format its leading bytes say, and it sees only what
`picture_layout` left of the file. Every picture is drawn anew. It must not judge what the pictures show.
"""

from __future__ import annotations

import hashlib
import io
import logging
from collections.abc import Callable, Sequence

from PIL import (
    BmpImagePlugin,
    GifImagePlugin,
    Image,
    ImageFile,
    JpegImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)

from shared.detection.picture_layout import PictureLayout, damaged, lay_out
from shared.errors import MediaUnusable
from shared.ports import Picture, PictureFacts

log = logging.getLogger(__name__)

LONG_SIDE = 1600
"""Pixels. Vision recommends 640 x 480 for safe search and labels, 1024 x 768 for text and 1600 x 1200 for faces, and
says that more costs time and gains little (cloud.google.com/vision/docs/supported-files)."""

_QUALITY = 90
_BAND_ROWS = 256
# Neither white nor black: what is drawn in either on a transparent ground stays visible.
_GROUND = (128, 128, 128)

DECODERS: dict[str, Callable[[io.BytesIO], ImageFile.ImageFile]] = {
    "jpeg": JpegImagePlugin.JpegImageFile,
    "png": PngImagePlugin.PngImageFile,
    "gif": GifImagePlugin.GifImageFile,
    "webp": WebPImagePlugin.WebPImageFile,
    "bmp": BmpImagePlugin.BmpImageFile,
    "tiff": TiffImagePlugin.TiffImageFile,
}
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


class SafePictures:
    """Implements `shared.ports.PictureReader`. Holds nothing, so one may serve all threads.

    Files are held in memory: the caller has capped their size. Beside the file, a picture of `MAX_PIXELS` takes about
    four bytes a pixel while it is decoded.
    """

    def read(self, data: bytes, *, at_most: int = 10) -> PictureFacts:
        """See `PictureReader.read`. Pictures have at most `LONG_SIDE` pixels on the long side, and are never enlarged.

        Transparency is drawn on a mid-gray ground. Frames are chosen by the time they are shown, so that what is seen
        longest is never left out.
        """
        layout = lay_out(data)
        try:
            pictures, (width, height) = _draw(layout, spread(layout.seconds, at_most))
        except (MediaUnusable, MemoryError):
            raise
        except Exception as error:  # a decoder on hostile bytes may raise anything
            log.info("a %s picture could not be decoded: %s", layout.format, type(error).__name__)
            raise damaged("it cannot be decoded") from None
        digest = hashlib.sha256(data).hexdigest()
        return PictureFacts(layout.format, width, height, len(layout.seconds), len(data), digest, pictures)


def spread(seconds: Sequence[float], at_most: int) -> list[int]:
    """Which frames stand for an animation whose frames are shown for `seconds` each: `at_most` (1 or more), rising.

    First those that are seen in the middle of each of `at_most` equal stretches of time, then, where one frame fills
    several stretches, others evenly by number.
    """
    count = len(seconds)
    if count <= at_most:
        return list(range(count))
    moments = iter([(number + 0.5) * sum(seconds) / at_most for number in range(at_most)])
    chosen, moment, end = set[int](), next(moments), 0.0
    for frame, shown in enumerate(seconds):
        end += shown
        while moment is not None and moment < end:
            chosen.add(frame)
            moment = next(moments, float("inf"))
    missing = at_most - len(chosen)
    others = [frame for frame in range(count) if frame not in chosen]
    chosen |= {others[(2 * number + 1) * len(others) // (2 * missing)] for number in range(missing)}
    return sorted(chosen)


def _draw(layout: PictureLayout, frames: Sequence[int]) -> tuple[tuple[Picture, ...], tuple[int, int]]:
    """The pictures of `frames`, and the size of the first one in the file as displayed."""
    pictures = []
    # Pillow turns TIFF pages itself, each by its own tag.
    turn = 1 if layout.format == "tiff" else layout.orientation
    with DECODERS[layout.format](io.BytesIO(layout.essence)) as image:
        # A GIF has the frames that were counted; to have them counted again would take as long as to draw them.
        if layout.format != "gif" and getattr(image, "n_frames", 1) != len(layout.seconds):
            raise damaged("it does not have the frames it promises")
        for frame in frames:
            if len(layout.seconds) > 1:
                image.seek(frame)
            image.draft(None, (LONG_SIDE, LONG_SIDE))
            image.load()
            pictures.append(_picture(image, turn, frame))
    size = (layout.width, layout.height)
    return tuple(pictures), size[::-1] if layout.orientation >= 5 else size


def _picture(image: Image.Image, orientation: int, frame: int) -> Picture:
    small = _flat(image)
    small.thumbnail((LONG_SIDE, LONG_SIDE), Image.Resampling.LANCZOS)
    if orientation in TURNS:
        small = small.transpose(TURNS[orientation])
    target = io.BytesIO()
    small.save(target, "JPEG", quality=_QUALITY)
    return Picture(target.getvalue(), small.width, small.height, frame)


def _flat(image: Image.Image) -> Image.Image:
    """The image in RGB and opaque, made smaller by a whole number if it is far too large.

    Band by band: to convert a large image at once would take several times its memory.
    """
    factor = max(max(image.size) // LONG_SIDE, 1)
    rows = factor * max(_BAND_ROWS // factor, 1)
    flat = Image.new("RGB", (-(-image.width // factor), -(-image.height // factor)))
    brighten = _levels(image)
    for top in range(0, image.height, rows):
        band = brighten(image.crop((0, top, image.width, min(top + rows, image.height))))
        flat.paste(_opaque(band).reduce(factor), (0, top // factor))
    return flat


def _opaque(band: Image.Image) -> Image.Image:
    if not band.has_transparency_data:
        return band.convert("RGB")
    band = band.convert("RGBA")
    ground = Image.new("RGBA", band.size, (*_GROUND, 255))
    return Image.alpha_composite(ground, band).convert("RGB")


def _levels(image: Image.Image) -> Callable[[Image.Image], Image.Image]:
    """How to bring samples of more than 8 bits to 8: Pillow's own conversion would cut off instead of scaling."""
    if image.mode.startswith("I;16"):
        return lambda band: band.convert("I").point(lambda value: value * (1 / 257) + 0).convert("L")
    if image.mode not in ("I", "F"):
        return lambda band: band
    low, high = (float(str(bound)) for bound in image.getextrema())
    scale = 255 / (high - low) if high > low else 0.0
    return lambda band: band.convert("F").point(lambda value: value * scale + -low * scale).convert("L")
