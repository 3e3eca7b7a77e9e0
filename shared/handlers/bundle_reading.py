"""Reads a zip that says it is an evidence bundle, and may be anything: its manifest, and the sums of its files.

Work and memory are bounded whatever the zip claims: its directory's size is looked at before it is read, sizes that are
declared are added up before anything is unpacked, and no file yields more than was declared for it. Nothing is written
anywhere, so a name can only be wrong, not harmful. A bundle is strict: files lie one behind the other, each once,
without encryption, links, or bytes that belong to none of them.
"""

from __future__ import annotations

import hashlib
import re
import stat
import struct
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import BinaryIO

from shared.domain.evidence_bundles import MANIFEST_NAME, MAX_FILES, MAX_MANIFEST_BYTES
from shared.errors import Malformed, TooLarge

MAX_UNPACKED_BYTES = 256 << 20
"""Of a bundle that is checked for somebody else; who checks his own file may allow any size."""

MAX_DIRECTORY_BYTES = 3 << 20
UNREADABLE = "unreadable"
"""In the place of a sum, where there is none: no SHA-256 is equal to it."""

_BLOCK_BYTES = 256 << 10
_END = struct.Struct("<4s4H2LH")
_LOCATOR = struct.Struct("<4sLQL")
_END64 = struct.Struct("<4sQ2H2L4Q")
_LOCAL_HEADER_BYTES = 30
_MOST_BETWEEN = 64
"""A file's extra field and data descriptor: at most 44 bytes in what is made here."""

_SAFE_PATH = re.compile(r"(?!.*(^|/)\.{1,2}(/|$))[A-Za-z0-9._-]+(/[A-Za-z0-9._-]+)*", re.ASCII)
_MAX_PATH_CHARACTERS = 512
_METHODS = frozenset({zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED})
_BROKEN = (
    zipfile.BadZipFile,
    zlib.error,
    NotImplementedError,
    ValueError,
    OverflowError,
    EOFError,
    OSError,
    struct.error,
)
_ENCRYPTED = 0x1


@dataclass(frozen=True)
class Sums:
    """What is in a bundle: its manifest as it is written (None: there is none that can be read), the SHA-256 (hex) of
    every other file by path, and what is wrong with the zip itself, in sentences."""

    manifest: bytes | None
    files: dict[str, str]
    problems: tuple[str, ...]


def sums_of(file: BinaryIO, *, most_bytes: int | None = MAX_UNPACKED_BYTES) -> Sums:
    """Reads a seekable zip. Raises `Malformed` for what is no zip, `TooLarge` for one over the limits."""
    _check_end(file)
    try:
        archive = zipfile.ZipFile(file)
    except _BROKEN:
        raise _no_zip() from None
    with archive:
        entries = archive.infolist()
        if len(entries) > MAX_FILES + 1:
            raise TooLarge("too_many_files", f"The bundle has more than {MAX_FILES} files.")
        if most_bytes is not None and sum(entry.file_size for entry in entries) > most_bytes:
            raise TooLarge("too_large_unpacked", f"The bundle's files have more than {most_bytes} bytes unpacked.")
        return _read(archive, entries)


def _read(archive: zipfile.ZipFile, entries: Sequence[zipfile.ZipInfo]) -> Sums:
    problems = _layout_problems(archive, entries)
    manifest: bytes | None = None
    files: dict[str, str] = {}
    for entry in entries:
        problem = _problem_of(entry, files)
        if problem is not None:
            problems.append(problem)
            continue
        if entry.filename == MANIFEST_NAME:
            manifest = _manifest(archive, entry, problems)
            continue
        files[entry.filename] = _sum(archive, entry, problems)
    if manifest is None:
        problems.append(f"The bundle has no {MANIFEST_NAME} that can be read.")
    return Sums(manifest, files, tuple(problems))


def _problem_of(entry: zipfile.ZipInfo, seen: dict[str, str]) -> str | None:
    """Why a file is not even looked at."""
    path = entry.orig_filename
    if len(path) > _MAX_PATH_CHARACTERS or not _SAFE_PATH.fullmatch(path):
        return "A file has a path that no bundle has (folders, '..', or other characters)."
    if path in seen:
        return f"{path} is there twice."
    if entry.flag_bits & _ENCRYPTED:
        return f"{path} is encrypted."
    if entry.compress_type not in _METHODS:
        return f"{path} is compressed in a way that no bundle is."
    if stat.S_IFMT(entry.external_attr >> 16) not in {0, stat.S_IFREG}:
        return f"{path} is a link or something else that is no file."
    return None


def _layout_problems(archive: zipfile.ZipFile, entries: Sequence[zipfile.ZipInfo]) -> list[str]:
    """Files that overlap, of which a small zip makes a huge one, and bytes that belong to no file."""
    found = []
    starts = sorted((entry.header_offset, _end_of(entry)) for entry in entries)
    edges = [(0, 0), *starts, (archive.start_dir, archive.start_dir)]
    gaps = [following[0] - present[1] for present, following in pairwise(edges)]
    if any(gap < 0 for gap in gaps):
        found.append("Files overlap in the zip.")
    if gaps[0] > 0 or any(gap > _MOST_BETWEEN for gap in gaps):
        found.append("The zip has bytes that belong to none of its files.")
    if sum(entry.orig_filename == MANIFEST_NAME for entry in entries) > 1:
        found.append(f"{MANIFEST_NAME} is there twice.")
    return found


def _end_of(entry: zipfile.ZipInfo) -> int:
    """Where a file ends at the earliest."""
    return entry.header_offset + _LOCAL_HEADER_BYTES + len(entry.orig_filename) + entry.compress_size


def _manifest(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, problems: list[str]) -> bytes | None:
    if entry.file_size > MAX_MANIFEST_BYTES:
        problems.append(f"{MANIFEST_NAME} is larger than {MAX_MANIFEST_BYTES} bytes.")
        return None
    try:
        return archive.read(entry)
    except _BROKEN:
        problems.append(f"{MANIFEST_NAME} is damaged.")
        return None


def _sum(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, problems: list[str]) -> str:
    digest = hashlib.sha256()
    try:
        with archive.open(entry) as content:
            while block := content.read(_BLOCK_BYTES):
                digest.update(block)
    except _BROKEN:
        problems.append(f"{entry.filename} is damaged.")
        return UNREADABLE
    return digest.hexdigest()


def _check_end(file: BinaryIO) -> None:
    """Looks at the zip's last bytes before its directory is read: that is read whole, and made into objects."""
    size = file.seek(0, 2)
    if size < _END.size:
        raise _no_zip()
    file.seek(size - _END.size)
    signature, disk, disk_of_directory, _, entries, length, _, comment = _END.unpack(file.read(_END.size))
    if signature != b"PK\x05\x06" or comment or disk or disk_of_directory:
        raise _no_zip()
    more_entries, more_length = _large_end(file, size - _END.size)
    entries, length = max(entries % 0xFFFF, more_entries), max(length % 0xFFFFFFFF, more_length)
    if length > MAX_DIRECTORY_BYTES or entries > MAX_FILES + 1:
        raise TooLarge("too_many_files", f"The bundle has more than {MAX_FILES} files.")


def _large_end(file: BinaryIO, end: int) -> tuple[int, int]:
    """Entries and bytes of the directory as a ZIP64 says them; zeros where there is no such record.

    It counts whatever the small record says, because `zipfile` reads it so.
    """
    if end < _LOCATOR.size + _END64.size:
        return 0, 0
    file.seek(end - _LOCATOR.size - _END64.size)
    record, locator = file.read(_END64.size), file.read(_LOCATOR.size)
    if not locator.startswith(b"PK\x06\x07"):
        return 0, 0
    if not record.startswith(b"PK\x06\x06"):
        raise _no_zip()
    found = _END64.unpack(record)
    return found[7], found[8]


def _no_zip() -> Malformed:
    return Malformed("not_a_zip", "The file is no zip, or it was cut off, or something was appended to it.")
