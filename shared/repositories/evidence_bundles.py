"""What is remembered of evidence bundles: who made which, and the digest of its manifest."""

from __future__ import annotations

from shared.domain.evidence_bundles import BundleRecord
from shared.ports import Create, Documents, Update
from shared.records import from_data, to_data

COLLECTION = "evidence_bundles"


def creation(record: BundleRecord) -> Create:
    """The write that says that a bundle is begun."""
    return Create(COLLECTION, record.id, to_data(record))


def completion(bundle_id: str, manifest_sha256: str) -> Update:
    """The write that keeps the digest of the manifest, before anybody gets the manifest."""
    return Update(COLLECTION, bundle_id, {"manifest_sha256": manifest_sha256})


def find(documents: Documents, bundle_id: str) -> BundleRecord | None:
    """The bundle, or None."""
    document = documents.get(COLLECTION, bundle_id)
    return None if document is None else from_data(BundleRecord, document.data)
