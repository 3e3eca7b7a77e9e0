"""Zips that say they are bundles and are something else: bounded work, and a clear sentence."""

from __future__ import annotations

import io
import json
import struct
import zipfile

import pytest

from shared.domain.evidence_bundles import MAX_FILES
from shared.errors import Malformed, Permanent, TooLarge
from shared.handlers.bundle_reading import UNREADABLE, sums_of

MANIFEST = ("manifest.json", b"{}")


def zipped(*files: tuple[str, bytes], method: int = zipfile.ZIP_STORED) -> bytearray:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", method) as archive:
        for name, data in files:
            archive.writestr(name, data)
    return bytearray(target.getvalue())


def problems_of(data: bytes | bytearray) -> str:
    return " ".join(sums_of(io.BytesIO(bytes(data))).problems)


@pytest.mark.parametrize("data", [b"", b"PK", b"not a zip" * 10, b"PK\x05\x06" + b"\x00" * 17, b"\x00" * 100_000])
def test_what_is_no_zip_is_refused(data: bytes) -> None:
    with pytest.raises(Malformed, match="no zip"):
        sums_of(io.BytesIO(data))


def test_what_is_cut_off_or_appended_to_is_refused() -> None:
    whole = zipped(MANIFEST, ("a", b"a"))
    for data in (whole[:-1], whole + b"x", whole + b"PK\x05\x06" + b"\x00" * 19):
        with pytest.raises(Malformed):
            sums_of(io.BytesIO(bytes(data)))


@pytest.mark.parametrize(
    "path", ["../up", "a/../../up", "/etc/passwd", "a//b", "C:\\x", "a\\b", "folder/", "é", "a b", "./a", "x" * 600]
)
def test_a_path_that_leads_elsewhere_is_named_a_problem(path: str) -> None:
    assert "a path that no bundle has" in problems_of(zipped(MANIFEST, (path, b"x")))


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("name", ["a", "manifest.json"])
def test_a_name_that_is_there_twice_is_a_problem(name: str) -> None:
    assert f"{name} is there twice" in problems_of(zipped(MANIFEST, (name, b"1"), (name, b"2")))


def test_a_bomb_is_refused_before_it_is_unpacked() -> None:
    bomb = zipped(MANIFEST, ("bomb", bytes(300 << 20)), method=zipfile.ZIP_DEFLATED)
    assert len(bomb) < 400_000
    with pytest.raises(TooLarge, match="unpacked"):
        sums_of(io.BytesIO(bytes(bomb)))


def test_a_size_that_lies_yields_no_more_than_was_declared() -> None:
    data = zipped(MANIFEST, ("bomb", bytes(50 << 20)), method=zipfile.ZIP_DEFLATED)
    entry = data.rfind(b"PK\x01\x02")
    struct.pack_into("<L", data, entry + 24, 100)  # of 50 MiB, the directory says
    sums = sums_of(io.BytesIO(bytes(data)), most_bytes=1000)
    assert sums.files == {"bomb": UNREADABLE}
    assert "bomb is damaged." in sums.problems


def test_files_that_overlap_are_a_problem() -> None:
    data = zipped(MANIFEST, ("a", b"a" * 100), ("b", b"b" * 100))
    first, second = (data.find(b"PK\x01\x02", data.find(b"PK\x01\x02") + skip) for skip in (1, 60))
    second = data.rfind(b"PK\x01\x02")
    struct.pack_into("<L", data, second + 42, struct.unpack_from("<L", data, first + 42)[0])
    assert "overlap" in problems_of(data)


def test_bytes_of_no_file_are_a_problem() -> None:
    assert "belong to none" in problems_of(b"#!/bin/sh\n" * 10 + zipped(MANIFEST, ("a", b"a")))


def test_encrypted_files_links_and_strange_methods_are_problems() -> None:
    flags, attributes, method = (zipped(MANIFEST, ("a", b"a")) for _ in range(3))
    struct.pack_into("<H", flags, flags.rfind(b"PK\x01\x02") + 8, 0x1)
    struct.pack_into("<L", attributes, attributes.rfind(b"PK\x01\x02") + 38, 0o120777 << 16)
    struct.pack_into("<H", method, method.rfind(b"PK\x01\x02") + 10, zipfile.ZIP_LZMA)
    assert "encrypted" in problems_of(flags)
    assert "a link" in problems_of(attributes)
    assert "compressed in a way" in problems_of(method)


def test_a_directory_that_is_too_large_is_refused_before_it_is_read() -> None:
    many = b"PK\x01\x02" + b"\x00" * 42
    data = many * 70_000
    end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 1, 1, len(data), 0, 0)  # and it lies about how many there are
    with pytest.raises(TooLarge, match="more than"):
        sums_of(io.BytesIO(data + end))


def test_a_large_record_behind_a_small_one_that_looks_harmless_counts() -> None:
    directory = (b"PK\x01\x02" + b"\x00" * 42) * 70_000
    record = struct.pack("<4sQ2H2L4Q", b"PK\x06\x06", 44, 45, 45, 0, 0, 70_000, 70_000, len(directory), 0)
    locator = struct.pack("<4sLQL", b"PK\x06\x07", 0, len(directory), 1)
    end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 1, 1, 46, 0, 0)
    with pytest.raises(TooLarge):
        sums_of(io.BytesIO(directory + record + locator + end))


def test_more_files_than_a_bundle_may_have_are_refused() -> None:
    with pytest.raises(TooLarge):
        sums_of(io.BytesIO(bytes(zipped(*((str(number), b"") for number in range(MAX_FILES + 2))))))


def test_a_bundle_without_a_manifest_says_so() -> None:
    assert "no manifest.json" in problems_of(zipped(("a", b"a")))


@pytest.mark.parametrize(
    "manifest", [b"[" * 100_000, b"\xff", b"null", b"{}", json.dumps({"format": "sightline-evidence-1"}).encode()]
)
def test_a_manifest_that_is_none_does_no_harm(manifest: bytes) -> None:
    sums = sums_of(io.BytesIO(bytes(zipped(("manifest.json", manifest)))))
    assert (sums.manifest, sums.problems) == (manifest, ())


def test_every_refusal_has_a_sentence() -> None:
    with pytest.raises(Permanent) as refused:
        sums_of(io.BytesIO(b"x"))
    assert refused.value.sentence.endswith(".")
