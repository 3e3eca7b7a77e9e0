"""Pictures for tests, drawn: as large as real ones, and with what a phone hides in its files."""

from __future__ import annotations

from io import BytesIO

import numpy as np
from PIL import Image

MAKER = "Hidden Maker"
AUTHOR = "Hidden Author"
TRAILER = b"PK\x03\x04 hidden trailer"
FORBIDDEN_IN_EVIDENCE = (MAKER.encode(), AUTHOR.encode(), TRAILER, b"Exif")
"""What `draw_photo` hides, and no stored picture may still hold."""

_GPS, _MAKE, _ARTIST = 0x8825, 0x010F, 0x013B


def draw_photo(width: int, height: int, seed: int, *, quality: int = 90) -> bytes:
    """A JPEG of a coloured field with grain, another one for each seed; it bears a place, a maker and a trailer."""
    generator = np.random.default_rng(seed)
    coarse = generator.integers(0, 256, (height // 40 + 1, width // 40 + 1, 3), dtype=np.uint8)
    field = np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC), dtype=np.int16)
    grain = generator.integers(-6, 7, (height, width, 1), dtype=np.int16)
    picture = Image.fromarray(np.clip(field + grain, 0, 255).astype(np.uint8))
    output = BytesIO()
    picture.save(output, "JPEG", quality=quality, exif=_hidden())
    return output.getvalue() + TRAILER


def _hidden() -> Image.Exif:
    exif = Image.Exif()
    exif[_MAKE], exif[_ARTIST] = MAKER, AUTHOR
    exif[_GPS] = {1: "N", 2: (52.0, 31.0, 12.0), 3: "E", 4: (13.0, 24.0, 18.0)}
    return exif
