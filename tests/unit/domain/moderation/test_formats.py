"""What a file is by its first bytes: the formats that are taken, what only looks like them, and anything at all."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from shared.domain.moderation.findings import MediaKind
from shared.domain.moderation.formats import HEAD_BYTES, kind_of
from tests.unit.detection.videos import encode


@pytest.mark.parametrize("name", ["JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF"])
def test_pictures(name: str) -> None:
    page = io.BytesIO()
    Image.new("RGB", (8, 8)).save(page, name)
    assert kind_of(page.getvalue()[:HEAD_BYTES]) is MediaKind.IMAGE


@pytest.mark.parametrize(
    ("container", "codec"), [("mp4", "libx264"), ("mov", "libx264"), ("avi", "mpeg4"), ("matroska", "libx264")]
)
def test_videos(container: str, codec: str) -> None:
    video = encode(container=container, codec=codec, seconds=0.2)
    assert kind_of(video[:HEAD_BYTES]) is MediaKind.VIDEO


@pytest.mark.parametrize(
    "head",
    [
        b"",
        b"G",
        b"<!DOCTYPE html>",
        b"%PDF-1.7",
        b"PK\x03\x04",
        b"RIFF\x24\x00\x00\x00WAVEfmt ",
        b"RIFF",
        b"\x00\x00\x00\x18ftypheic\x00\x00\x00\x00",
        b"\x00\x00\x00\x18ftypavif\x00\x00\x00\x00",
        b"ftypisom",
        b"\x89PNG\n",
        b"ID3\x04",
        b"\x7fELF",
        b"#!/bin/sh",
    ],
)
def test_other_files_are_neither(head: bytes) -> None:
    assert kind_of(head) is None


@given(st.binary(max_size=2 * HEAD_BYTES))
def test_the_first_bytes_decide_and_anything_may_come(head: bytes) -> None:
    assert kind_of(head) is kind_of(head[:HEAD_BYTES])
