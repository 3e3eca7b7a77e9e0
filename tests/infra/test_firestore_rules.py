"""`infra/firestore.rules`, asked of the official emulator as a browser asks: over REST, with an ID token.

The emulator believes tokens that nobody signed, so these tests are of the rules, not of signatures.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import httpx
import pytest
from google.cloud import firestore

from infra import topology
from local import emulators
from shared.adapters.google.documents import FirestoreDocuments
from shared.domain.incidents import Incident, IncidentStatus, Priority
from shared.ports import Set
from shared.repositories import incidents
from tests.conftest import require_emulators
from tests.fakes import NOON

pytestmark = pytest.mark.xdist_group("firestore-rules")

GATE, HALL, ODD = "gate", "hall", "floor 2/door: café"
"""Places; the last is one whose id is stored under another name than its own."""

PLACES = (GATE, HALL, ODD)

DENIED = 403
ALLOWED = 200
ABSENT = 404

OF_THE_GATE = {"role": "operator", "beacons": [GATE]}


@dataclass(frozen=True)
class Firestore:
    """The database as a browser reaches it."""

    base: str

    def ask(self, claims: Mapping[str, Any] | None, method: str, path: str, body: Any = None) -> httpx.Response:
        headers = {} if claims is None else {"Authorization": f"Bearer {id_token(claims)}"}
        return httpx.request(method, f"{self.base}{path}", json=body, headers=headers, timeout=30)

    def get(self, claims: Mapping[str, Any] | None, path: str) -> int:
        return self.ask(claims, "GET", path).status_code

    def query(self, claims: Mapping[str, Any] | None, places: list[str] | None) -> tuple[int, list[str]]:
        """Lists incidents of these places, or all without; the status, and the places that were seen."""
        query: dict[str, Any] = {"from": [{"collectionId": "incidents"}]}
        if places is not None:
            values = [{"stringValue": place} for place in places]
            field = {"field": {"fieldPath": "beacon_id"}, "op": "IN", "value": {"arrayValue": {"values": values}}}
            query["where"] = {"fieldFilter": field}
        reply = self.ask(claims, "POST", ":runQuery", {"structuredQuery": query})
        if reply.status_code != ALLOWED:
            return reply.status_code, []
        found = [row["document"]["fields"]["beacon_id"]["stringValue"] for row in reply.json() if "document" in row]
        return ALLOWED, found


def id_token(claims: Mapping[str, Any]) -> str:
    """As Firebase makes them, but for the signature."""
    standard = {"sub": "user-1", "user_id": "user-1", "iat": 0, "aud": emulators.PROJECT}
    parts = ({"alg": "none", "typ": "JWT"}, {**standard, **claims})
    return ".".join([base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts] + [""])


def incident(place: str) -> Incident:
    return Incident(
        id=f"incident-{PLACES.index(place)}",
        beacon_id=place,
        beacon_location="Somewhere",
        status=IncidentStatus.CREATED,
        priority=Priority.HIGH,
        opened_at=NOON,
        previous_incident_id=None,
    )


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    require_emulators()
    log = tmp_path_factory.mktemp("emulators") / "firestore.log"
    rules = topology.ROOT / "infra" / "firestore.rules"
    with emulators.firestore_emulator(log, rules) as started:
        yield started


@pytest.fixture(scope="module")
def database(host: str) -> Firestore:
    """One incident a place, stored by the code that stores them, and a document in every other collection."""
    project = f"demo-{uuid4().hex[:20]}"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FIRESTORE_EMULATOR_HOST", host)
        client = firestore.Client(project=project)
    documents = FirestoreDocuments(client)
    documents.commit([incidents.creation(incident(place)) for place in PLACES])
    documents.commit([Set(name, "x", {"beacon_id": GATE, "incident_id": "incident-0"}) for name in OTHERS])
    client.close()  # type: ignore[no-untyped-call]
    return Firestore(f"http://{host}/v1/projects/{project}/databases/(default)/documents")


OTHERS = (
    "signals",
    "ai_events",
    "slots",
    "beacons",
    "devices",
    "incident_timeline",
    "evidence_images",
    "assets",
    "work",
    "anything-that-comes-later",
)


@pytest.mark.parametrize("role", ["viewer", "operator"])
def test_who_has_a_role_reads_the_incidents_of_their_places(database: Firestore, role: str) -> None:
    claims = {"role": role, "beacons": [GATE, ODD]}
    assert [database.get(claims, f"/incidents/incident-{number}") for number in range(3)] == [ALLOWED, DENIED, ALLOWED]
    assert database.query(claims, [GATE]) == (ALLOWED, [GATE])
    assert database.query(claims, [ODD]) == (ALLOWED, [ODD])
    status, seen = database.query(claims, [GATE, ODD])
    assert (status, sorted(seen)) == (ALLOWED, sorted([GATE, ODD]))


@pytest.mark.parametrize(
    "claims", [{"role": "admin"}, {"role": "operator", "beacons": ["*"]}, {"role": "viewer", "beacons": ["*"]}]
)
def test_administrators_and_those_of_all_places_read_all_incidents(database: Firestore, claims: dict[str, Any]) -> None:
    assert {database.get(claims, f"/incidents/incident-{number}") for number in range(3)} == {ALLOWED}
    status, seen = database.query(claims, None)
    assert (status, sorted(seen)) == (ALLOWED, sorted(PLACES))


def test_a_query_must_ask_for_ones_own_places(database: Firestore) -> None:
    """Rules are no filter: a query that would find more is refused as a whole."""
    for places in (None, [HALL], [GATE, HALL], ["a place without an incident"]):
        assert database.query(OF_THE_GATE, places) == (DENIED, [])


NOBODYS_CLAIMS: list[dict[str, Any] | None] = [
    None,
    {},
    {"beacons": [GATE]},
    {"beacons": ["*"]},
    {"role": "operator"},
    {"role": "viewer", "beacons": []},
    {"role": "viewer", "beacons": None},
    {"role": "viewer", "beacons": GATE},
    {"role": "viewer", "beacons": {GATE: True, "*": True}},
    {"role": "viewer", "beacons": [[GATE]]},
    {"role": "device", "beacons": [GATE]},
    {"role": "Admin"},
    {"role": "owner", "beacons": ["*"]},
    {"role": ["admin"]},
    {"role": {"admin": True}},
    {"role": True},
    {"role": None},
    {"roles": "admin"},
    {"admin": True},
]


@pytest.mark.parametrize("claims", NOBODYS_CLAIMS, ids=str)
def test_everybody_else_reads_nothing(database: Firestore, claims: dict[str, Any] | None) -> None:
    assert database.get(claims, "/incidents/incident-0") == DENIED
    assert database.query(claims, [GATE]) == (DENIED, [])
    assert database.query(claims, None) == (DENIED, [])


@pytest.mark.parametrize("claims", [{"role": "admin"}, OF_THE_GATE], ids=str)
@pytest.mark.parametrize("collection", OTHERS)
def test_no_other_collection_is_read(database: Firestore, collection: str, claims: dict[str, Any]) -> None:
    assert database.get(claims, f"/{collection}/x") == DENIED
    query = {"structuredQuery": {"from": [{"collectionId": collection}]}}
    assert database.ask(claims, "POST", ":runQuery", query).status_code == DENIED


@pytest.mark.parametrize("claims", [{"role": "admin"}, OF_THE_GATE], ids=str)
def test_nothing_below_an_incident_and_no_group_of_collections_is_read(
    database: Firestore, claims: dict[str, Any]
) -> None:
    assert database.get(claims, "/incidents/incident-0/notes/x") == DENIED
    group = {"structuredQuery": {"from": [{"collectionId": "incidents", "allDescendants": True}]}}
    assert database.ask(claims, "POST", ":runQuery", group).status_code == DENIED


@pytest.mark.parametrize("claims", [{"role": "admin"}, OF_THE_GATE, None], ids=str)
def test_nothing_is_written(database: Firestore, claims: dict[str, Any] | None) -> None:
    fields = {"fields": {"beacon_id": {"stringValue": GATE}, "status": {"stringValue": "RESOLVED"}}}
    mask = "updateMask.fieldPaths=status"
    assert database.ask(claims, "PATCH", f"/incidents/incident-0?{mask}", fields).status_code == DENIED
    assert database.ask(claims, "PATCH", "/incidents/incident-9", fields).status_code == DENIED
    assert database.ask(claims, "POST", "/incidents", fields).status_code == DENIED
    assert database.ask(claims, "DELETE", "/incidents/incident-0").status_code == DENIED
    assert database.ask(claims, "POST", "/signals", fields).status_code == DENIED
    assert database.get({"role": "admin"}, "/incidents/incident-0") == ALLOWED


def test_who_may_not_read_all_is_not_told_what_there_is(database: Firestore) -> None:
    """An id that nothing has looks like one of another place."""
    assert database.get(OF_THE_GATE, "/incidents/unknown") == DENIED
    assert database.get({"role": "admin"}, "/incidents/unknown") == ABSENT
