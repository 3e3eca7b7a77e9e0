"""How sure the signals of an incident are together; reads a few of them, however many there are."""

from __future__ import annotations

from shared.domain.fusion import STRONGEST, Fused, fuse
from shared.domain.incidents import SignalKind
from shared.ports import Documents
from shared.repositories import incidents


def confidence_of(documents: Documents, incident_id: str) -> Fused:
    """The combined confidence with its parts; without a signal 0 and none. Raises as `Documents.query`."""
    strongest = {kind: incidents.strongest_signals(documents, incident_id, kind, STRONGEST) for kind in SignalKind}
    counts = {
        kind: len(found) if len(found) < STRONGEST else incidents.signal_count(documents, incident_id, kind)
        for kind, found in strongest.items()
    }
    return fuse(strongest, counts)
