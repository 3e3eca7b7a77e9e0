"""What `pipeline.yaml` says of the document store is true of the documents that the code writes."""

from __future__ import annotations

from collections import Counter
from dataclasses import fields
from datetime import UTC, datetime

import pytest

from infra import topology
from shared.domain.alerts import Alert, AlertDelivery
from shared.domain.assets import Asset
from shared.domain.erasures import Erasure
from shared.domain.evidence_images import EvidenceImage
from shared.domain.evidence_views import EvidenceView
from shared.domain.guards import Guard
from shared.domain.incident_changes import TimelineEntry
from shared.domain.incident_steps import TakenStep
from shared.domain.incidents import AiEvent, Incident, Signal
from shared.domain.labels import FeedbackLabel
from shared.domain.metrics import Snapshot, Window
from shared.domain.moderation.moderated import Look
from shared.domain.replays import Replay
from shared.domain.reuse import Known
from shared.domain.stages import Stage, WorkRecord
from shared.domain.submissions import Answered
from shared.domain.webhooks import Webhook
from shared.ports import Create, Document, Set
from shared.repositories import (
    alerts,
    assets,
    components,
    deliveries,
    erasures,
    evidence,
    evidence_images,
    evidence_views,
    fingerprints,
    guards,
    idempotency,
    incident_timelines,
    incidents,
    labels,
    metrics,
    replays,
    shadows,
    verdict_cache,
    webhooks,
    work,
)

DECLARED = topology.load()
NOON = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)

RECORDS: dict[str, tuple[type, ...]] = {
    incidents.AI_EVENTS: (AiEvent,),
    alerts.COLLECTION: (Alert,),
    assets.COLLECTION: (Asset,),
    components.COLLECTION: (components.MaintenanceRun,),
    deliveries.COLLECTION: (AlertDelivery,),
    erasures.COLLECTION: (Erasure,),
    evidence.COLLECTION: (Look,),
    evidence_images.COLLECTION: (EvidenceImage,),
    evidence_views.COLLECTION: (EvidenceView,),
    fingerprints.COLLECTION: (Known,),
    guards.COLLECTION: (Guard,),
    idempotency.COLLECTION: (Answered, TakenStep),
    incident_timelines.COLLECTION: (TimelineEntry,),
    incidents.INCIDENTS: (Incident,),
    incidents.SIGNALS: (Signal,),
    labels.COLLECTION: (FeedbackLabel,),
    metrics.LISTENERS: (metrics.Listeners,),
    metrics.SNAPSHOTS: (Snapshot,),
    metrics.WINDOWS: (Window,),
    replays.COLLECTION: (Replay,),
    shadows.COLLECTION: (shadows.Comparison,),
    verdict_cache.VERDICTS: (verdict_cache.Entry,),
    webhooks.COLLECTION: (Webhook,),
    work.COLLECTION: (WorkRecord,),
}
"""What is stored in each collection with exempt fields."""

BESIDE = {
    assets.COLLECTION: {f"stage_{stage.value}" for stage in Stage},
    metrics.LISTENERS: {"active", "total"},
    metrics.SNAPSHOTS: {"told"},
    metrics.WINDOWS: {"instance"},
    work.COLLECTION: {"outbox", "request"},
}
"""Fields that are stored beside the record's own."""


@pytest.mark.parametrize("exemption", DECLARED.unindexed, ids=lambda each: each.collection)
def test_what_is_exempt_from_indexing_is_a_field_of_the_stored_record(exemption: topology.Exemption) -> None:
    stored = {field.name for record in RECORDS[exemption.collection] for field in fields(record)}
    assert set(exemption.fields) <= stored | BESIDE.get(exemption.collection, set())


def test_what_every_stage_writes_into_the_ledger_is_exempt() -> None:
    (exempt,) = [set(each.fields) for each in DECLARED.unindexed if each.collection == assets.COLLECTION]
    assert exempt >= BESIDE[assets.COLLECTION]


def test_expired_documents_are_those_whose_end_the_code_writes() -> None:
    """The store removes a document only where the field holds a time."""
    held = Document(verdict_cache.CLAIMS, "k", {}, "1")
    claim = verdict_cache.Claim("k", "o", (), NOON)
    entry = verdict_cache.Entry("k", {}, (), NOON, NOON)
    step = TakenStep("s", "c", "i", NOON, NOON)
    written = [
        verdict_cache.claiming(claim, None),
        *verdict_cache.publication(entry, held),
        idempotency.writing(step, None),
    ]
    ends = {
        (write.collection, name)
        for write in written
        if isinstance(write, Create | Set)
        for name, value in write.data.items()
        if isinstance(value, datetime) and name != "created_at"
    }
    assert {(each.collection, each.field) for each in DECLARED.expiry} >= ends


def test_a_collection_expires_by_one_field() -> None:
    assert max(Counter(each.collection for each in DECLARED.expiry).values()) == 1


def test_records_that_prove_what_was_done_never_expire() -> None:
    kept = {assets.COLLECTION, erasures.COLLECTION, evidence_views.COLLECTION, incidents.INCIDENTS, work.COLLECTION}
    kept |= {incident_timelines.COLLECTION, incidents.SIGNALS, incidents.AI_EVENTS, evidence_images.COLLECTION}
    assert not kept & {each.collection for each in DECLARED.expiry}


def test_each_index_is_declared_once_and_has_several_fields() -> None:
    """Firestore refuses a composite index of one field, and a second one that is the same."""
    declared = [(each.collection, tuple(each.fields)) for each in DECLARED.indexes]
    assert len(set(declared)) == len(declared)
    assert all(len({name.removeprefix("-") for name in names}) == len(names) >= 2 for _, names in declared)


def test_field_settings_are_fewer_than_firestore_takes() -> None:
    exempt = [(each.collection, name) for each in DECLARED.unindexed for name in each.fields]
    settled = {*exempt, *((each.collection, each.field) for each in DECLARED.expiry)}
    assert len(exempt) == len(set(exempt))
    assert len(settled) <= 500
