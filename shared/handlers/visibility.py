"""What belongs to places that are not the caller's is not there for them: refused like what nobody has."""

from __future__ import annotations

from shared.domain.assets import Asset
from shared.domain.incidents import Incident
from shared.errors import InvalidKey
from shared.handlers import places
from shared.ports import Caller, Documents
from shared.repositories import assets, incidents


def visible_incident(incident_id: str, caller: Caller, documents: Documents) -> tuple[Incident, str]:
    """The incident with its version. Raises `NotFound`, also where it is not the caller's to see."""
    try:
        found = incidents.find(documents, incident_id)
    except InvalidKey:
        found = None  # no store could hold it, so nothing can be there
    if found is None or not caller.may_see(found[0].beacon_id):
        raise incidents.unknown()
    return found


def visible_asset(asset_id: str, caller: Caller, documents: Documents) -> Asset:
    """The upload. Raises `NotFound`, also where its place is not the caller's: one without a place is nobody's."""
    asset = assets.get(documents, asset_id)
    if not caller.may_see(places.id_of(asset)):
        raise assets.unknown()
    return asset


def visible_ones(found: list[Incident], caller: Caller) -> list[Incident]:
    """Those of the incidents that are the caller's to see."""
    return [incident for incident in found if caller.may_see(incident.beacon_id)]
