"""Evidence bundles: what a manifest says, and what checking a bundle against it finds. Pure.

A bundle is a zip whose last file is `manifest.json`: every other file with its size and SHA-256. The manifest's own
SHA-256 is kept by the server that made it, so whoever changes a file must change the manifest, and that is noticed.
The stored digest is the proof; the manifest carries no signature, for a key that leaks would vouch for any forgery.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from shared.errors import Malformed

FORMAT = "sightline-evidence-1"
MANIFEST_NAME = "manifest.json"
MAX_MANIFEST_BYTES = 8 << 20
MAX_FILES = 20_000


@dataclass(frozen=True)
class SourceObject:
    """The stored object a file was copied from; `bucket` is `evidence` or `media`."""

    bucket: str
    name: str
    generation: int


@dataclass(frozen=True)
class BundledFile:
    """One file of a bundle: `size` in bytes, `sha256` in hex. `partial`: the object could not be read to its end."""

    path: str
    size: int
    sha256: str
    source: SourceObject | None = None
    partial: bool = False


class AbsenceReason(StrEnum):
    """Why something that belongs to the incident is not in its bundle."""

    DELETED_BY_RETENTION = "deleted_by_retention"
    ERASED = "erased"
    NOT_STORED = "not_stored"
    CHANGED_MEANWHILE = "changed_meanwhile"
    UNREADABLE = "unreadable"


@dataclass(frozen=True)
class Absence:
    """A file that is not there, or not whole, and why."""

    path: str
    reason: AbsenceReason


@dataclass(frozen=True)
class Manifest:
    """What a bundle holds. `incident_revision`: the incident as it was after this many changes (its timeline's end)."""

    format: str
    bundle_id: str
    incident_id: str
    incident_revision: int
    made_at: datetime
    made_by: str
    software: str
    files: tuple[BundledFile, ...]
    absent: tuple[Absence, ...] = ()


@dataclass(frozen=True)
class BundleRecord:
    """What the server remembers of a bundle. `manifest_sha256` None: it was begun, and never ended."""

    id: str
    incident_id: str
    incident_revision: int
    made_at: datetime
    made_by: str
    manifest_sha256: str | None = None


@dataclass(frozen=True)
class Comparison:
    """The files of a bundle against its manifest, by path, each sorted."""

    ok: tuple[str, ...]
    changed: tuple[str, ...]
    missing: tuple[str, ...]
    unexpected: tuple[str, ...]

    @property
    def is_whole(self) -> bool:
        """Whether everything is there, unchanged, and nothing else."""
        return not (self.changed or self.missing or self.unexpected)


def canonical(manifest: Mapping[str, Any]) -> bytes:
    """The one way to write a manifest, of which the digest is made: sorted, without spaces, ASCII."""
    return json.dumps(manifest, sort_keys=True, separators=(",", ":"), default=_plain).encode()


def digest(manifest: bytes) -> str:
    """The SHA-256 of a manifest as it is written, in hex."""
    return hashlib.sha256(manifest).hexdigest()


def expected_files(manifest: Mapping[str, Any]) -> dict[str, str]:
    """The SHA-256 of each path in a manifest that anybody may have written. Raises `Malformed`."""
    if manifest.get("format") != FORMAT:
        raise Malformed("not_a_manifest", f"The manifest's format is not {FORMAT}.")
    files = manifest.get("files")
    if not isinstance(files, list) or len(files) > MAX_FILES:
        raise Malformed("not_a_manifest", f"The manifest has no list of at most {MAX_FILES} files.")
    expected: dict[str, str] = {}
    for entry in files:
        path, sha256 = _named(entry)
        if path in expected:
            raise Malformed("not_a_manifest", "The manifest names a file twice.")
        expected[path] = sha256
    return expected


def compare(expected: Mapping[str, str], found: Mapping[str, str]) -> Comparison:
    """`expected` and `found` are SHA-256 sums in hex, by path; the manifest is in neither."""
    both = sorted(expected.keys() & found.keys())
    return Comparison(
        ok=tuple(path for path in both if expected[path] == found[path]),
        changed=tuple(path for path in both if expected[path] != found[path]),
        missing=tuple(sorted(expected.keys() - found.keys())),
        unexpected=tuple(sorted(found.keys() - expected.keys())),
    )


def _named(entry: object) -> tuple[str, str]:
    path = entry.get("path") if isinstance(entry, dict) else None
    sha256 = entry.get("sha256") if isinstance(entry, dict) else None
    if not isinstance(path, str) or not isinstance(sha256, str):
        raise Malformed("not_a_manifest", "A file of the manifest has no path or no sha256.")
    return path, sha256


def _plain(value: object) -> str:
    if isinstance(value, datetime):
        return value.isoformat()
    raise TypeError(f"a manifest can't hold a {type(value).__name__}")
