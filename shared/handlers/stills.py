"""Still pictures in the pipeline: read whole, which they may be up to 10 MB, and drawn anew before anybody looks."""

from __future__ import annotations

from typing import BinaryIO

from shared.domain.assets import MAX_PICTURE_BYTES
from shared.errors import MediaUnusable
from shared.ports import Frame, MediaFacts, PictureFacts, PictureReader

FLAT_HASH = "0" * 16
"""The perceptual hash that resembles nothing: a still picture is known again by its bytes alone."""


def read_still(stream: BinaryIO, pictures: PictureReader, *, at_most: int) -> PictureFacts:
    """What the picture is, and up to `at_most` frames of it. Raises `MediaUnusable`."""
    data = stream.read(MAX_PICTURE_BYTES + 1)
    if len(data) > MAX_PICTURE_BYTES:
        raise MediaUnusable("image_too_large", "The image is larger than 10 MB.")
    return pictures.read(data, at_most=at_most)


def still_facts(picture: PictureFacts) -> MediaFacts:
    """As the asset keeps it: without a duration or a frame rate."""
    return MediaFacts(
        container=picture.format,
        codec=picture.format,
        duration=0.0,
        width=picture.width,
        height=picture.height,
        frame_rate=0.0,
        sha256=picture.sha256,
        perceptual_hash=FLAT_HASH,
        size=picture.size,
        truncated=False,
    )


def left_out(picture: PictureFacts) -> int:
    """How many frames of an animation, or pages, are not among its pictures: nothing is known of them."""
    return picture.frames - len(picture.pictures)


def still_frames(picture: PictureFacts) -> list[Frame]:
    """Its frames as the witnesses want them."""
    return [Frame(each.data, each.width, each.height) for each in picture.pictures]
