"""What a file is, from its first bytes, and whether it is as long as it says."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.detection.container import DEMUXERS, HEAD_BYTES, identify, measure
from shared.errors import MediaUnusable
from tests.unit.detection.videos import encode


@pytest.mark.parametrize(
    ("head", "container"),
    [
        (b"\x00\x00\x00\x20ftypisom", "mp4"),
        (b"\x00\x00\x00\x20ftypmp42", "mp4"),
        (b"\x00\x00\x00\x20ftyp3gp4", "mp4"),
        (b"\x00\x00\x00\x14ftypqt  ", "mov"),
        (b"\x00\x00\x00\x08wide\x00\x00", "mov"),
        (b"RIFF\x00\x10\x00\x00AVI LIST", "avi"),
        (b"\x1a\x45\xdf\xa3\x9f\x42\x82\x88matroska", "matroska"),
        (b"\x1a\x45\xdf\xa3\x9f\x42\x82\x84webm", "webm"),
    ],
)
def test_the_families_that_are_accepted(head: bytes, container: str) -> None:
    assert identify(head) == container


@pytest.mark.parametrize(
    ("head", "says"),
    [
        (b"\xff\xd8\xff\xe0", "JPEG"),
        (b"\x89PNG\r\n\x1a\n", "PNG"),
        (b"\x00\x00\x00\x20ftypheic", "HEIF"),
        (b"RIFF\x00\x00\x00\x00WEBPVP8 ", "WebP"),
        (b"RIFF\x00\x00\x00\x00WAVEfmt ", "WAV"),
        (b"%PDF-1.7", "PDF"),
        (b"#EXTM3U\n", "playlist"),
        (b"ffconcat version 1.0", "list of other files"),
        (b"G" + bytes(187) + b"G", "transport stream"),
        (b"hello", "text"),
        ("Größe".encode(), "text"),
        (bytes(64), "zero bytes"),
    ],
)
def test_others_are_called_by_their_name(head: bytes, says: str) -> None:
    with pytest.raises(MediaUnusable) as caught:
        identify(head)
    assert says in caught.value.sentence


@given(st.binary(max_size=200))
def test_any_bytes_are_either_a_container_or_refused(head: bytes) -> None:
    try:
        answer = identify(head)
    except MediaUnusable as refused:
        answer = refused.code
    assert answer in {*DEMUXERS, "empty_file", "not_a_video", "unsupported_container"}


@given(st.binary(max_size=200), st.sampled_from(sorted(DEMUXERS)))
def test_any_bytes_can_be_measured(data: bytes, container: str) -> None:
    stream = io.BytesIO(data)
    assert measure(stream, container).size == len(data)
    assert stream.tell() == 0


@pytest.mark.parametrize(
    ("container", "codec", "movflags"),
    [
        ("mp4", "libx264", ""),
        ("mp4", "libx264", "+faststart"),
        ("avi", "mpeg4", ""),
        ("matroska", "libx264", ""),
        ("webm", "libvpx", ""),
    ],
)
def test_a_whole_file_is_not_truncated_and_any_part_of_it_is(container: str, codec: str, movflags: str) -> None:
    whole = encode(container=container, codec=codec, movflags=movflags, seconds=1)
    assert identify(whole[:HEAD_BYTES]) == container
    assert not measure(io.BytesIO(whole), container).truncated
    for share in (0.3, 0.6, 0.99):
        assert measure(io.BytesIO(whole[: int(len(whole) * share)]), container).truncated


def test_fragments_are_recognised() -> None:
    assert measure(io.BytesIO(encode(movflags="+frag_keyframe+empty_moov")), "mp4").fragmented
