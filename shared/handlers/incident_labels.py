"""An incident that was a false alarm teaches the detector: a label for each upload taken for violence (SPEC §7)."""

from __future__ import annotations

from shared import ids
from shared.domain.assets import Asset
from shared.domain.incident_changes import Change
from shared.domain.incidents import SignalKind
from shared.domain.labels import Accuracy, Word, label_from
from shared.ports import Documents, Write
from shared.repositories import assets, incidents, labels

MOST_SIGNALS = 100
MOST_UPLOADS = 10
"""Of one incident; where it has more, those the detector was surest of. All labels must fit into one commit."""


def of_false_alarm(change: Change, documents: Documents) -> list[Write]:
    """The writes that store the labels, to be committed with the resolution.

    Only what the detector itself reported counts: a wrong verdict of moderation says nothing of violence. An upload in
    which, by now, nothing is found any more gets none.
    """
    strongest = incidents.strongest_signals(documents, change.incident.id, SignalKind.VIOLENCE, MOST_SIGNALS)
    named = dict.fromkeys(signal.observation.asset_id or "" for signal in strongest)
    uploads = assets.documents_of(documents, [asset_id for asset_id in named if asset_id][:MOST_UPLOADS])
    return [write for upload in uploads for write in _label(change, assets.asset_of(upload))]


def _label(change: Change, asset: Asset) -> list[Write]:
    if asset.detection is None or not asset.detection.segments:
        return []
    word = Word(
        label_id=ids.derived_uuid("incident-outcome", change.incident.id, asset.id),
        accuracy=Accuracy.FALSE_POSITIVE,
        comments=change.entry.note or "",
        said_by=change.entry.actor,
        said_at=change.entry.at,
        incident_id=change.incident.id,
    )
    return [labels.creation(label_from(word, asset, asset.detection))]
