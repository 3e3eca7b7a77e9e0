"""Every function as it is deployed: its bundle, in an environment of just its requirements, by functions-framework.

What a bundle imports but does not declare, or declares but cannot install, shows here and nowhere else.
"""

from __future__ import annotations

import base64
import json
import os
import subprocess
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import parse_qs, urlsplit
from uuid import uuid4

import httpx
import pytest
from google.cloud import firestore
from google.cloud.pubsub_v1 import PublisherClient, SubscriberClient

from infra import bundle, environments, topology
from local import emulators
from local.pubsub_topology import create_topology
from shared.adapters.embedded.blob_keys import FILE_NAME, SIGNER, local_signing_key
from shared.adapters.google.documents import FirestoreDocuments
from shared.adapters.system_clock import SystemClock
from shared.delivery import REJECTED
from shared.domain.assets import Asset, Detection, object_name_of
from shared.domain.detections import Segment
from shared.domain.stages import Stage, StageRecord, StageState
from shared.ids import new_uuid
from shared.messages import MediaDetected, encode
from shared.ports import Document, Filter, MediaFacts, Query
from shared.repositories import assets, incidents

pytestmark = pytest.mark.xdist_group("functions-framework")

DECLARED = topology.load()
EVENT_FUNCTIONS = sorted(DECLARED.event_functions())
HTTP_FUNCTIONS = sorted(DECLARED.http_functions())

TOKEN = "a-token"
BUCKET = "media-bucket"
REPOSITORY = ("infra", "local", "tests", "bench")
UNWANTED = ("tensorflow", "keras", "sklearn", "rich", "pytest")

SEEN = f"""
import importlib.util, json, sys
sys.path.insert(0, ".")
print(json.dumps([name for name in {REPOSITORY + UNWANTED!r} if importlib.util.find_spec(name)]))
"""


@dataclass(frozen=True)
class Installed:
    """An unzipped bundle and the Python of the environment made for it."""

    name: str
    source: Path
    python: Path


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Installed]:
    """Each function's bundle, with all its requirements and nothing else, their hashes checked."""
    folder = tmp_path_factory.mktemp("functions")
    return {name: unpack(name, folder) for name in DECLARED.functions}


def unpack(name: str, folder: Path) -> Installed:
    with zipfile.ZipFile(bundle.build(name, folder)) as archive:
        archive.extractall(folder / name)
    return Installed(name, folder / name, environments.python_of(name))


@dataclass(frozen=True)
class Cloud:
    """A project of its own on the emulators, with its topics, and what a function there has in its environment."""

    documents: FirestoreDocuments
    environment: Mapping[str, str]


@pytest.fixture(scope="module")
def cloud(firestore_host: str, pubsub_host: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    project = f"demo-{uuid4().hex[:20]}"
    with PublisherClient() as publisher, SubscriberClient() as subscriber:
        create_topology(publisher, subscriber, project, DECLARED.topics, [], DECLARED.delivery)
    folder = tmp_path_factory.mktemp("credentials")
    local_signing_key(folder)
    environment = {
        "PATH": os.environ["PATH"],
        "FIRESTORE_EMULATOR_HOST": firestore_host,
        "PUBSUB_EMULATOR_HOST": pubsub_host,
        "STORAGE_EMULATOR_HOST": f"http://127.0.0.1:{emulators.free_port()}",
        "GOOGLE_APPLICATION_CREDENTIALS": str(folder / FILE_NAME),
        "GOOGLE_CLOUD_PROJECT": project,
        "MEDIA_BUCKET": BUCKET,
        "QUARANTINE_BUCKET": BUCKET,
        "RESULTS_BUCKET": BUCKET,
        "EVIDENCE_BUCKET": BUCKET,
        "TIMER_QUEUE": f"projects/{project}/locations/local/queues/timers",
        "TIMER_ACCOUNT": "timer",
        "CLOUD_TASKS_ENDPOINT": f"127.0.0.1:{emulators.free_port()}",  # of which nothing here is asked
        "SIGHTLINE_API_TOKEN": TOKEN,
    }
    client = firestore.Client(project=project)
    yield Cloud(FirestoreDocuments(client), environment)
    client.close()  # type: ignore[no-untyped-call]


@pytest.fixture(scope="module")
def clients(
    installed: Mapping[str, Installed], cloud: Cloud, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Mapping[str, httpx.Client]]:
    """All functions running at once, and a client of each that sends the token."""
    logs = tmp_path_factory.mktemp("logs")
    with ExitStack() as closing:
        starting = [closing.enter_context(started(function, cloud, logs)) for function in installed.values()]
        for function in starting:
            emulators.wait_for_port(function.port, function.process, f"{function.name} (logs: {logs})")
        yield {function.name: closing.enter_context(client_of(function)) for function in starting}


@dataclass(frozen=True)
class Started:
    """A process that will answer on `port`."""

    name: str
    port: int
    process: subprocess.Popen[bytes]


@contextmanager
def started(function: Installed, cloud: Cloud, logs: Path) -> Iterator[Started]:
    """The function in a process of its own, from its bundle."""
    port = emulators.free_port()
    with (logs / f"{function.name}.log").open("wb") as output:
        process = subprocess.Popen(
            bundle.start_command(DECLARED.functions[function.name].platform, str(function.python), port),
            cwd=function.source,
            env=cloud.environment,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield Started(function.name, port, process)
    finally:
        emulators.end_group(process)


def client_of(function: Started) -> httpx.Client:
    headers = {"Authorization": f"Bearer {TOKEN}"}
    return httpx.Client(base_url=f"http://127.0.0.1:{function.port}", headers=headers, timeout=30)


def pushed(data: bytes, attributes: Mapping[str, str]) -> dict[str, object]:
    """The envelope of a Pub/Sub push."""
    message = {"messageId": new_uuid(), "data": base64.b64encode(data).decode(), "attributes": dict(attributes)}
    return {"subscription": "s", "message": message, "deliveryAttempt": 1}


@pytest.mark.parametrize("name", sorted(DECLARED.functions))
def test_a_function_sees_neither_the_repository_nor_a_package_for_training_or_developers(
    name: str, installed: Mapping[str, Installed]
) -> None:
    function = installed[name]
    done = subprocess.run(
        [function.python, "-I", "-c", SEEN], cwd=function.source, check=True, capture_output=True, text=True
    )
    assert json.loads(done.stdout) == []


@pytest.mark.parametrize("name", EVENT_FUNCTIONS)
def test_an_event_function_records_and_acknowledges_a_malformed_push(
    name: str, clients: Mapping[str, httpx.Client], cloud: Cloud
) -> None:
    reply = clients[name].post("/", content=b"no envelope")
    assert (reply.status_code, reply.content) == (204, b"")
    (rejected,) = cloud.documents.query(Query(REJECTED, (Filter("stage", "==", name),))).documents
    assert (rejected.data["code"], rejected.data["data"]) == ("not_json", b"no envelope")


def test_ingest_ignores_deletions_and_fails_what_cannot_be_analysed(
    clients: Mapping[str, httpx.Client], cloud: Cloud
) -> None:
    finalised = json.dumps({"bucket": BUCKET, "name": "media/*.mp4", "generation": "1"}).encode()
    for event in ("OBJECT_DELETE", "OBJECT_FINALIZE"):
        assert stored_assets(cloud) == []
        assert clients["ingest"].post("/", json=pushed(finalised, {"eventType": event})).status_code == 204
    (asset,) = stored_assets(cloud)
    assert asset.data["object_name"] == "media/*.mp4"
    assert asset.data["stage_ingest"]["error_code"] == "unsafe_object_name"


def stored_assets(cloud: Cloud) -> list[Document]:
    """Those that were dropped into the bucket."""
    return list(cloud.documents.query(Query(assets.COLLECTION, (Filter("source_id", "==", None),))).documents)


def test_correlate_opens_one_incident_for_an_event_that_comes_twice(
    clients: Mapping[str, httpx.Client], cloud: Cloud
) -> None:
    asset_id = new_uuid()
    asset = Asset(asset_id, object_name_of(asset_id), SystemClock().now(), source_id="hall")
    cloud.documents.commit([assets.creation(asset)])
    detected = MediaDetected(
        asset_id=asset_id,
        bucket=BUCKET,
        object_name=asset.object_name,
        generation=1,
        segments=(Segment(0.0, 2.0, 0.9, "violence"),),
        confidence=0.9,
        model="a-model",
    )
    message = encode(detected, message_id=new_uuid(), now=asset.created_at)
    for _ in range(2):
        reply = clients["correlate"].post("/", json=pushed(message.data, message.attributes))
        assert reply.status_code == 204
    found = assets.get(cloud.documents, asset_id)
    assert {stage.value: record.state.value for stage, record in found.stages.items()} == {"correlate": "done"}
    assert list(found.incident_ids) == incidents_at("hall", cloud)


def incidents_at(beacon_id: str, cloud: Cloud) -> list[str]:
    found = cloud.documents.query(Query(incidents.INCIDENTS, (Filter("beacon_id", "==", beacon_id),)))
    return [document.id for document in found.documents]


@pytest.mark.parametrize("name", HTTP_FUNCTIONS)
def test_an_http_function_insists_on_the_token(name: str, clients: Mapping[str, httpx.Client]) -> None:
    reply = clients[name].get("/incidents", headers={"Authorization": "Bearer another"})
    assert (reply.status_code, reply.json()) == (401, {"detail": "Authentication required"})


def test_uploads_signs_a_url(clients: Mapping[str, httpx.Client], cloud: Cloud) -> None:
    reply = clients["uploads"].post("/video/upload-url", json={"content_type": "video/webm", "source_id": "door"})
    assert reply.status_code == 200
    ticket = reply.json()
    address = urlsplit(ticket["upload_url"])
    assert address.path == f"/{BUCKET}/{object_name_of(ticket['video_id'])}"
    assert parse_qs(address.query)["X-Goog-Credential"][0].startswith(SIGNER)
    assert assets.get(cloud.documents, ticket["video_id"]).source_id == "door"


def test_signals_opens_an_incident_that_operators_act_on(clients: Mapping[str, httpx.Client], cloud: Cloud) -> None:
    place = {"id": "x", "location": "Gate", "active": True, "neighbours": []}
    assert clients["registry"].put("/beacons/x", json={"location": "Gate"}).json() == place
    assert clients["registry"].get("/beacons/x").json() == place
    signal = {"beacon_id": "x", "confidence_score": 0.9, "description": "A fight"}
    opened = clients["signals"].post("/api/ai/violence-detected/", json=signal)
    assert (opened.status_code, opened.json()["status"]) == (201, "incident_created")
    joined = clients["signals"].post("/api/ai/scream-detected/", json=signal)
    assert (joined.status_code, joined.json()["status"]) == (200, "signal_added_to_existing")
    assert incidents_at("x", cloud) == [opened.json()["incident_id"]]
    listed = clients["incidents"].get("/incidents", params={"beacon_id": "x", "status": "CREATED"}).json()
    assert [incident["incident_id"] for incident in listed["incidents"]] == incidents_at("x", cloud)
    assert listed["counts"] == {"CREATED": 1}
    path = f"/incidents/{opened.json()['incident_id']}"
    assert clients["incidents"].post(f"{path}/assign", json={"assignee": "Ana"}).json()["status"] == "ASSIGNED"
    refused = clients["incidents"].post(f"{path}/assign", json={"assignee": "Ben"}, headers={"If-Match": '"1"'})
    assert (refused.status_code, refused.json()["incident"]["assignee"]) == (409, "Ana")
    told = clients["incidents"].get(f"{path}/timeline").json()["items"]
    assert [item["kind"] for item in told] == ["signal", "change", "signal", "change"]


def test_analysis_refuses_what_is_no_form_and_what_is_too_large(clients: Mapping[str, httpx.Client]) -> None:
    for path in ("/analysis", "/analyze-video"):
        refused = clients["analysis"].post(path, content=b"no form", headers={"Content-Type": "video/mp4"})
        assert (refused.status_code, list(refused.json())) == (400, ["detail"])
        large = clients["analysis"].post(path, content=bytes(33 << 20))
        assert large.status_code == 413
        assert "POST /video/upload-url" in large.json()["detail"]


def test_analysis_takes_an_order_to_replay_and_a_word_on_a_verdict_and_query_shows_both(
    clients: Mapping[str, httpx.Client], cloud: Cloud
) -> None:
    now = SystemClock().now()
    found = Detection((Segment(0.0, 2.0, 0.9, "violence"),), 0.9, 2.0, truncated=False, model="a-model")
    facts = MediaFacts("mp4", "h264", 2.0, 640, 360, 25.0, "0" * 64, "0" * 16, 10, truncated=False)
    asset_id = new_uuid()
    asset = Asset(asset_id, object_name_of(asset_id), now, "hall", generation=1, facts=facts, detection=found)
    done = dict.fromkeys(Stage, StageRecord(StageState.DONE, 1, now, now))
    cloud.documents.commit([assets.finished_creation(replace(asset, stages=done))])
    path = f"/analysis/{asset_id}/replay?wait=0"
    accepted = [clients["analysis"].post(path, json={"stage": stage}).status_code for stage in ("correlate", "detect")]
    assert accepted == [202, 409]
    (replay,) = clients["query"].get(f"/analysis/{asset_id}/replays").json()["replays"]
    assert (replay["stage"], replay["state"], replay["requested_by"]) == ("correlate", "pending", "token holder")
    assert cloud.documents.count(Query("work", (Filter("published", "==", False),))) == 0
    word = {"analysisId": asset_id, "rating": 1, "accuracy": "false_positive"}
    given = clients["analysis"].post("/feedback", json=word)
    assert (given.status_code, given.json()["label"]) == (201, "calm")
    (listed,) = clients["query"].get("/feedback", params={"analysisId": asset_id}).json()["feedback"]
    assert listed["feedback_id"] == given.json()["feedback_id"]


def test_query_shows_no_timeline_of_what_was_not_looked_at(clients: Mapping[str, httpx.Client], cloud: Cloud) -> None:
    asset_id = new_uuid()
    assert clients["query"].get(f"/analysis/{asset_id}/timeline").status_code == 404
    waiting = Asset(asset_id, object_name_of(asset_id), SystemClock().now(), source_id="hall")
    cloud.documents.commit([assets.creation(waiting)])
    assert clients["query"].get(f"/analysis/{asset_id}/timeline").status_code == 409
    assert clients["query"].get(f"/analysis/{asset_id}/contact-sheet").status_code == 409


def test_query_says_what_it_is(clients: Mapping[str, httpx.Client]) -> None:
    assert clients["query"].get("/").json()["auth_enabled"] is True
