"""Is this bundle one that was made here, and is it unchanged? Nothing is stored, and nobody is believed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from shared.domain.assets import is_asset_id
from shared.domain.evidence_bundles import (
    MAX_MANIFEST_BYTES,
    BundleRecord,
    Comparison,
    canonical,
    compare,
    digest,
    expected_files,
)
from shared.errors import Malformed
from shared.handlers.bundle_reading import Sums
from shared.json_objects import read_object
from shared.ports import Documents
from shared.repositories import evidence_bundles

MAX_PROBLEMS = 100
UNKNOWN = "The manifest is not one that was made here, or it was changed."


@dataclass(frozen=True)
class Verdict:
    """What checking found. `valid`: the manifest is known here, every file is there and unchanged, and no other is.

    `bundle_id` and `incident_id` are the manifest's own words unless `manifest_known`. `absent`: how much of the
    incident the manifest itself says is not in the bundle.
    """

    bundle_id: str | None
    incident_id: str | None
    manifest_known: bool
    files: Comparison
    absent: int
    problems: tuple[str, ...]

    @property
    def valid(self) -> bool:
        """Whether the bundle is proof."""
        return self.manifest_known and self.files.is_whole and not self.problems


def verify(sums: Sums, documents: Documents) -> Verdict:
    """Checks what was read of a bundle. Raises `Retryable`."""
    if sums.manifest is None:
        return Verdict(None, None, False, compare({}, sums.files), 0, _shown(sums.problems))
    try:
        manifest = read_object(sums.manifest)
        expected = expected_files(manifest)
    except Malformed as error:
        return Verdict(None, None, False, compare({}, sums.files), 0, _shown([*sums.problems, error.sentence]))
    record = _record(manifest, documents)
    known = record is not None and record.manifest_sha256 == digest(sums.manifest)
    problems = [*sums.problems, *([] if known else [UNKNOWN])]
    absent = manifest.get("absent")
    return Verdict(
        bundle_id=_text(manifest, "bundle_id"),
        incident_id=_text(manifest, "incident_id"),
        manifest_known=known,
        files=compare(expected, sums.files),
        absent=len(absent) if isinstance(absent, list) else 0,
        problems=_shown(problems),
    )


def claimed(manifest: str | Mapping[str, Any], files: Mapping[str, str]) -> Sums:
    """What a client says of a bundle that is too large to send: its manifest, as text or as JSON, and its own sums.

    Raises `Malformed` for a manifest that is too large.
    """
    written = manifest.encode() if isinstance(manifest, str) else canonical(manifest)
    if len(written) > MAX_MANIFEST_BYTES:
        raise Malformed("manifest_too_large", f"The manifest is larger than {MAX_MANIFEST_BYTES} bytes.")
    return Sums(written, {path: sum.lower() for path, sum in files.items()}, ())


def _record(manifest: Mapping[str, Any], documents: Documents) -> BundleRecord | None:
    bundle_id = _text(manifest, "bundle_id")
    if bundle_id is None or not is_asset_id(bundle_id):
        return None
    return evidence_bundles.find(documents, bundle_id)


def _text(manifest: Mapping[str, Any], name: str) -> str | None:
    value = manifest.get(name)
    return value if isinstance(value, str) and len(value) <= 100 else None


def _shown(problems: Sequence[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(problems))[:MAX_PROBLEMS]
