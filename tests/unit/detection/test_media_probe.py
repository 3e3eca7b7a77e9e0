"""The probe: facts as they are, a hash that survives re-encoding, refusals as in decoding."""

from __future__ import annotations

import hashlib
import io
from itertools import combinations
from typing import BinaryIO, cast

import numpy as np
import pytest
from hypothesis import given
from hypothesis.extra.numpy import arrays

from shared.detection.phash import perceptual_hash
from shared.detection.probe import StreamProbe
from shared.domain.reuse import hash_distance
from shared.errors import MediaUnusable
from shared.ports import MediaFacts
from tests.unit.detection.videos import Pipe, blobs, encode, sound_only, turned


def probed(data: bytes) -> MediaFacts:
    return StreamProbe().probe(io.BytesIO(data))


def test_the_facts_of_a_plain_video() -> None:
    data = encode(size=(320, 180), fps=30, seconds=3)
    facts = probed(data)
    assert (facts.container, facts.codec, facts.width, facts.height) == ("mp4", "h264", 320, 180)
    assert facts.duration == pytest.approx(3.0)
    assert facts.frame_rate == pytest.approx(30)
    assert (facts.size, facts.truncated) == (len(data), False)
    assert facts.sha256 == hashlib.sha256(data).hexdigest()
    assert len(bytes.fromhex(facts.perceptual_hash)) == 8


@pytest.mark.parametrize(
    ("container", "codec", "names"),
    [
        ("mov", "libx264", ("mov", "h264")),
        ("avi", "mpeg4", ("avi", "mpeg4")),
        ("matroska", "libx264", ("matroska", "h264")),
        ("webm", "libvpx", ("webm", "vp8")),
        ("webm", "libvpx-vp9", ("webm", "vp9")),
    ],
)
def test_the_other_containers(container: str, codec: str, names: tuple[str, str]) -> None:
    facts = probed(encode(container=container, codec=codec, seconds=1))
    assert (facts.container, facts.codec) == names
    assert facts.duration == pytest.approx(1.0, abs=0.05)
    assert facts.frame_rate == pytest.approx(25, rel=0.05)


def test_size_is_as_displayed() -> None:
    facts = probed(turned(encode()))
    assert (facts.width, facts.height) == (120, 160)


@pytest.mark.parametrize("movflags", ["+frag_keyframe+empty_moov", "+frag_keyframe+empty_moov+default_base_moof"])
def test_the_duration_of_fragments_is_found_at_their_end(movflags: str) -> None:
    facts = probed(encode(seconds=5, movflags=movflags, options={"g": "25"}))
    assert facts.duration == pytest.approx(5.0, abs=0.1)


def test_the_duration_of_a_live_recording_is_found_at_its_end() -> None:
    whole = encode(container="webm", codec="libvpx", seconds=3)
    # A Void element in the place of Duration, as a browser's recorder leaves it out.
    live = whole.replace(b"\x44\x89\x88", b"\xec\x89\x00", 1)
    live = live[: live.index(b"\xec\x89\x00")] + b"\xec\x89" + bytes(9) + live[live.index(b"\xec\x89\x00") + 11 :]
    assert probed(live).duration == pytest.approx(3.0, abs=0.1)


def test_a_truncated_file_says_so_and_keeps_the_declared_duration() -> None:
    whole = encode(seconds=6, movflags="+faststart")
    facts = probed(whole[: len(whole) * 6 // 10])
    assert facts.truncated
    assert facts.duration == pytest.approx(6.0)


@pytest.mark.parametrize("container", ["mp4", "avi", "matroska"])
def test_any_damage_ends_in_facts_or_a_refusal(container: str) -> None:
    whole = encode(seconds=2, container=container, codec="mpeg4" if container == "avi" else "libx264")
    for seed in range(40):
        rng = np.random.default_rng(seed)
        damaged = np.frombuffer(whole, np.uint8).copy()
        damaged[rng.integers(0, len(damaged), 30)] = rng.integers(0, 256, 30)
        damaged[rng.integers(12, 700, 15)] = rng.integers(0, 256, 15)
        try:
            assert probed(damaged.tobytes()).duration > 0
        except MediaUnusable:
            continue


def test_a_single_picture_lasts_a_moment() -> None:
    assert 0 < probed(encode(seconds=0.04)).duration < 0.1


def test_the_stream_stays_open_and_may_stand_anywhere() -> None:
    stream = io.BytesIO(encode())
    stream.seek(777)
    first = StreamProbe().probe(stream)
    assert StreamProbe().probe(stream) == first


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "empty_file"),
        (b"no video\n", "not_a_video"),
        (sound_only(), "no_picture"),
        (encode()[:3000], "truncated_beyond_use"),
    ],
    ids=["empty", "text", "sound", "broken off"],  # an encoder's bytes differ from process to process
)
def test_refusals(data: bytes, code: str) -> None:
    with pytest.raises(MediaUnusable) as caught:
        probed(data)
    assert caught.value.code == code


def test_a_stream_that_only_goes_forwards_is_refused() -> None:
    with pytest.raises(MediaUnusable) as caught:
        StreamProbe().probe(cast("BinaryIO", Pipe(encode())))
    assert caught.value.code == "needs_seeking"


# --------------------------------------------------------------------------- the perceptual hash


@pytest.mark.parametrize("seconds", [3, 16])
def test_the_hash_survives_another_encoding(seconds: int) -> None:
    original = probed(encode(paint=blobs(1), seconds=seconds, size=(320, 240)))
    for other in (
        encode(paint=blobs(1), seconds=seconds, size=(320, 240), options={"crf": "38", "g": "10"}),
        encode(paint=blobs(1), seconds=seconds, size=(160, 120), container="matroska"),
        encode(paint=blobs(1), seconds=seconds, size=(320, 240), container="avi", codec="mpeg4"),
    ):
        facts = probed(other)
        assert facts.sha256 != original.sha256
        assert hash_distance(facts.perceptual_hash, original.perceptual_hash) <= 6


def test_different_videos_have_hashes_far_apart() -> None:
    hashes = [probed(encode(paint=blobs(seed), seconds=1)).perceptual_hash for seed in range(6)]
    assert min(hash_distance(one, other) for one, other in combinations(hashes, 2)) >= 12


def test_pictures_without_detail_have_the_zero_hash() -> None:
    assert perceptual_hash([np.full((32, 32), level, np.uint8) for level in (0, 90, 255)]) == "0" * 16


@given(arrays(np.uint8, (32, 32)))
def test_the_hash_is_64_bits_of_any_picture(picture: np.ndarray) -> None:
    assert 0 <= int(perceptual_hash([picture]), 16) < 1 << 64
    assert len(perceptual_hash([picture])) == 16
