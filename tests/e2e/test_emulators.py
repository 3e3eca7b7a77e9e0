"""The functions as they are deployed, on Google's official emulators: the same scenario, the same result."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
import httpx
import psutil
import pytest
from google.auth.credentials import AnonymousCredentials
from google.cloud import firestore, storage
from websockets.sync.client import connect

from infra import environments, topology
from local import __main__ as command_line
from local import stack
from local.client import SightlineClient
from local.drawing import draw_calm_clip
from local.emulators import PROJECT, free_port
from shared.adapters.google.documents import FirestoreDocuments
from shared.adapters.system_clock import SystemClock
from shared.domain.assets import Asset, object_name_of
from shared.domain.stages import Stage, WorkRecord, WorkState
from shared.ids import new_uuid
from shared.repositories import assets, components, work
from tests.conftest import require_emulators
from tests.e2e import scenario
from tests.gemini_server import FATAL, MODEL, OUTCOMES, GeminiServer, running_gemini
from tests.google_ai_server import GoogleAi, Method, Plan, Spelling, picture, running_google_ai, video
from tests.unit.detection import videos

ROOT = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.xdist_group("emulator-stack")


@pytest.fixture(scope="module")
def gemini() -> Iterator[GeminiServer]:
    """Vertex AI, which has no emulator. It refuses to look at anything unless a test wants more."""
    with running_gemini() as server:
        server.fail("generate", "blocked_prompt")
        yield server


@pytest.fixture(scope="module")
def google_ai() -> Iterator[GoogleAi]:
    """Vision, Natural Language and Video Intelligence, which have no emulators; all is calm unless a test says more."""
    with running_google_ai() as server:
        yield server


@pytest.fixture(scope="module")
def running(
    tmp_path_factory: pytest.TempPathFactory, gemini: GeminiServer, google_ai: GoogleAi
) -> Iterator[stack.Stack]:
    require_emulators()
    # One clip is sent again and again here, and each time every stage shall do its work.
    extra = {"GEMINI_ENDPOINT": gemini.url, "GEMINI_MODEL": MODEL, "REUSE_ANALYSES": "never"}
    extra["GEMINI_TIMEOUT_SECONDS"] = "5"  # one of its ways to fail is to say nothing
    extra |= dict.fromkeys(("VISION_ENDPOINT", "LANGUAGE_ENDPOINT", "VIDEO_INTELLIGENCE_ENDPOINT"), google_ai.address)
    extra |= dict.fromkeys(("BUDGET_USD_VISION", "BUDGET_USD_LANGUAGE", "BUDGET_USD_VIDEO_INTELLIGENCE"), "1000")
    folder = tmp_path_factory.mktemp("stack")
    # As deployed: each function from its bundle, in an environment of just its requirements.
    with stack.running_stack(folder, free_port(), extra, python_of=environments.python_of) as started:
        yield started


@pytest.fixture
def client(running: stack.Stack) -> Iterator[SightlineClient]:
    made = SightlineClient(running.base_url, stack.TOKEN)
    yield made
    made.close()


def test_the_main_job(client: SightlineClient, fight: Path) -> None:
    scenario.check_main_job(scenario.main_job(client, fight), context="failed")


def test_gemini_answers_refuses_and_answers_later(
    running: stack.Stack, client: SightlineClient, gemini: GeminiServer, fight: Path
) -> None:
    gemini.behave()
    good = _described(client, fight)
    assert (good["missing"], good["objects"]) == ([], ["bench", "bicycle"])
    asked = gemini.generated[-1]["contents"][0]["parts"][0]["fileData"]
    assert asked["fileUri"].startswith("gs://sightline-media/media/")
    assert asked["mimeType"] == "video/mp4"
    gemini.fail("generate", "unavailable", times=1)
    later = _described(client, fight)
    assert (later["missing"], later["stages"]["context"]["attempts"]) == ([], 2)
    gemini.fail("generate", "blocked_prompt")
    blocked = _described(client, fight)
    assert (blocked["state"], blocked["context"], blocked["objects"]) == ("done", None, [])
    assert [(part["stage"], part["code"]) for part in blocked["missing"]] == [("context", "blocked")]
    assert good["overallRisk"] == later["overallRisk"] == blocked["overallRisk"] == "high"
    health = httpx.get(f"{running.base_url}/health").json()
    assert (health["ok"], health["components"]["gemini"]) == (True, "ok")  # it answered, if only to refuse


def test_gemini_may_fail_in_every_way_once_and_every_analysis_completes(
    client: SightlineClient, gemini: GeminiServer, tmp_path: Path
) -> None:
    clip = tmp_path / "short.mp4"
    clip.write_bytes(videos.encode(seconds=1.0))
    ways = [how for kind, how in FATAL if kind == "generate"]
    gemini.behave()
    gemini.fail_in_turn("generate", ways)
    sent = [scenario.send(client, clip) for _ in ways]
    for asset_id in sent:
        client.wait_until_ended(asset_id, timeout=2 * scenario.TIMEOUT_SECONDS)
    assert gemini.left_to_fail("generate") == 0
    gemini.fail("generate", "blocked_prompt")
    found = [client.analysis(asset_id) for asset_id in sent]
    assert {(each["state"], each["complete"], each["overallRisk"]) for each in found} == {("done", True, "high")}
    missing = [(part["stage"], part["code"]) for each in found for part in each["missing"]]
    hopeless = [OUTCOMES[how][0] for how in ways if OUTCOMES[how][1] == 1]
    assert {code for _, code in missing} >= set(hopeless)
    assert {stage for stage, _ in missing} == {"context"}
    # A second nonsense in a row may be given up, too; everything else was asked again.
    assert len(hopeless) <= len(missing) < len(ways)
    described = [each for each in found if not each["missing"]]
    assert all(each["objects"] == ["bench", "bicycle"] for each in described)


def _described(client: SightlineClient, clip: Path) -> dict[str, Any]:
    asset_id = scenario.send(client, clip)
    client.wait_until_ended(asset_id, timeout=scenario.TIMEOUT_SECONDS)
    return client.analysis(asset_id)


# --------------------------------------------------------------------------- moderation


@pytest.fixture
def calm_world(google_ai: GoogleAi) -> Iterator[GoogleAi]:
    google_ai.behave()
    yield google_ai
    google_ai.behave()


@pytest.fixture(scope="module")
def calm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    clip = tmp_path_factory.mktemp("calm") / "calm.mp4"
    draw_calm_clip(clip)
    return clip


def bucket_of(running: stack.Stack, uri: str) -> tuple[Any, str]:
    """The bucket and the object's name of a `gs://` address, on the stack's own storage."""
    bucket, _, name = uri.removeprefix("gs://").partition("/")
    origin = {"api_endpoint": running.environment["STORAGE_EMULATOR_HOST"]}
    make_client: Any = storage.Client
    make_credentials: Any = AnonymousCredentials
    client = make_client(project=PROJECT, credentials=make_credentials(), client_options=origin)
    return client.bucket(bucket), name


def until(client: SightlineClient, asset_id: str, ready: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    deadline = time.monotonic() + scenario.TIMEOUT_SECONDS
    while not ready(found := client.analysis(asset_id)):
        assert time.monotonic() < deadline, found
        time.sleep(0.3)
    return found


@pytest.mark.parametrize("spelling", list(Spelling))
def test_in_doubt_the_whole_video_is_looked_at_and_its_result_object_continues_the_chain(
    running: stack.Stack, client: SightlineClient, calm_world: GoogleAi, calm: Path, spelling: Spelling
) -> None:
    def write(uri: str, data: bytes) -> None:
        bucket, name = bucket_of(running, uri)
        bucket.blob(name).upload_from_string(data, content_type="application/json")

    calm_world.write = write
    calm_world.see = lambda _: picture(racy="LIKELY", labels=[("Dance", 0.7)])
    seen_whole = video(labels=[("Handgun", 0.91, 3.0, 4.0)], shots=3)
    calm_world.watch = lambda _: Plan(result=seen_whole, spelling=spelling)
    asset_id = scenario.send(client, calm, source_id=f"in-doubt-{spelling.name}")

    waiting = until(client, asset_id, lambda found: found["moderation"] is not None)
    assert (waiting["moderation"]["state"], waiting["moderation"]["status"]) == ("provisional", "PASS")
    assert "annotate" in waiting["pending"]
    assert waiting["complete"] is False
    (asked,) = calm_world.called(Method.VIDEO)
    assert asked.input_uri == f"gs://sightline-media/media/{asset_id}"
    (operation,) = calm_world.running()
    calm_world.finish(operation)

    done = until(client, asset_id, lambda found: found["complete"])
    assert (done["moderation"]["state"], done["moderation"]["status"]) == ("final", "FAIL")
    assert done["stages"]["annotate"]["state"] == "done"
    receipt = done["moderation"]["receipt"]
    gun = next(finding for finding in receipt["findings"] if finding["name"] == "Handgun")
    assert (gun["counted"], gun["tier"], gun["place"]["start"]) == (True, "clear", 3.0)
    assert receipt["cost_usd"] > 0.35  # a minute of Video Intelligence
    assert len(done["incidents"]) == 1
    assert client.incident(done["incidents"][0]["incident_id"])["signals"][0]["signal_type"] == "MODERATION_FLAGGED"


def test_a_picture_with_a_gun_fails_opens_an_incident_and_goes_into_quarantine(
    running: stack.Stack, client: SightlineClient, calm_world: GoogleAi, tmp_path: Path
) -> None:
    calm_world.see = lambda _: picture(objects=[("Gun", 0.88)], text="Happy birthday to you all")
    path = tmp_path / "gun.png"
    scenario.draw_text(path, "a drawing of it")
    asset_id = scenario.send(client, path, content_type="image/png", source_id="stills")

    found = until(client, asset_id, lambda each: each["complete"])
    assert (found["moderation"]["status"], found["moderation"]["state"]) == ("FAIL", "final")
    assert len(found["incidents"]) == 1
    (look,) = calm_world.called(Method.IMAGES)
    assert len(look.requests) == 1
    assert len(look.requests[0].features) == 6
    assert found["moderation"]["receipt"]["not_evaluated"] == []
    # The sweeper, which comes once a minute, moves it.
    moved = until(client, asset_id, lambda each: each["quarantine"] and each["quarantine"]["state"] == "held")
    assert moved["moderation"]["status"] == "FAIL"
    bucket, _ = bucket_of(running, "gs://sightline-media/x")
    flagged, _ = bucket_of(running, "gs://sightline-quarantine/x")
    assert [bucket.blob(f"{prefix}/{asset_id}").exists() for prefix in ("media", "quarantine")] == [False, False]
    assert flagged.blob(f"quarantine/{asset_id}").exists() is True


def test_what_happens_is_told_by_events_and_by_websocket_through_the_one_origin(running: stack.Stack) -> None:
    headers = {"Authorization": f"Bearer {stack.TOKEN}"}
    place = f"gate-{new_uuid()}"
    assert httpx.get(running.base_url).json()["ws_enabled"] is True
    socket = connect(f"ws{running.base_url.removeprefix('http')}/stream", additional_headers=headers, proxy=None)
    with socket, httpx.stream("GET", f"{running.base_url}/stream", headers=headers, timeout=30) as events:
        told = events.iter_lines()
        assert (next(told), json.loads(socket.recv(timeout=30))["type"]) == (": Sightline", "ready")
        signal = {"beacon_id": place, "confidence_score": 0.95, "description": "Fight"}
        with httpx.Client(base_url=running.base_url, headers=headers, timeout=30) as device:
            device.put(f"/beacons/{place}", json={"location": "Gate"}).raise_for_status()
            opened = device.post("/api/ai/violence-detected/", json=signal).json()
        assert opened["incident_id"] in next(line for line in told if place in line)
        heard = next(message for _ in range(1000) if place in (message := str(socket.recv(timeout=30))))
        assert json.loads(heard)["payload"]["incident_id"] == opened["incident_id"]
    assert httpx.get(f"{running.functions['live']}/health").json()["ok"] is True


def test_with_vision_away_the_verdict_says_what_nobody_looked_at(
    client: SightlineClient, calm_world: GoogleAi, tmp_path: Path
) -> None:
    calm_world.fail(Method.IMAGES, grpc.StatusCode.PERMISSION_DENIED)
    path = tmp_path / "unseen.png"
    scenario.draw_text(path, "nobody looks at this")
    asset_id = scenario.send(client, path, content_type="image/png")

    found = until(client, asset_id, lambda each: each["complete"])
    assert (found["state"], found["moderation"]["status"]) == ("done", "ERROR")
    codes = {gap["code"] for gap in found["moderation"]["receipt"]["not_evaluated"]}
    assert codes == {"not_permitted"}


def test_a_batch_is_moderated_while_the_client_waits_and_kept(
    running: stack.Stack, calm_world: GoogleAi, tmp_path: Path
) -> None:
    calm_world.see = lambda _: picture(adult="VERY_LIKELY")
    path = tmp_path / "sent.png"
    scenario.draw_text(path, "sent along")
    url = f"data:image/png;base64,{base64.b64encode(path.read_bytes()).decode()}"
    items = [
        {"id": "good", "type": "image", "url": url},
        {"id": "bad", "type": "image", "url": "http://10.0.0.1/a.jpg"},
    ]
    sender = httpx.Client(base_url=running.base_url, headers={"Authorization": f"Bearer {stack.TOKEN}"}, timeout=60)

    first, second = (sender.post("/moderate", json={"media_list": items}).json() for _ in range(2))

    assert [each["status"] for each in first["results"]] == ["FAIL", "ERROR"]
    assert first["results"][1]["error"]["status"] == 400
    assert [each["cached"] for each in first["results"]] == [False, False]
    assert second["results"][0]["cached"] is True
    assert len(calm_world.called(Method.IMAGES)) == 1
    assert sender.get("/cache/stats").json()["hits"] == 1
    assert sender.delete("/cache/good").json() == {"deleted": 1}
    assert sender.get("/moderation-config").status_code == sender.get("/confidence-levels").status_code == 200
    sender.close()


def test_bad_files_fail_clearly_and_harm_nothing(client: SightlineClient, fight: Path, tmp_path: Path) -> None:
    scenario.check_bad_files(client, tmp_path, fight)


def test_a_file_may_be_analysed_at_once(client: SightlineClient, fight: Path, tmp_path: Path) -> None:
    scenario.check_direct_analysis(client, fight, tmp_path)


def test_a_stage_is_replayed_and_a_verdict_judged(client: SightlineClient, fight: Path) -> None:
    scenario.check_replay_and_feedback(client, fight)


def test_an_upload_url_is_good_for_one_thing_once(client: SightlineClient, fight: Path) -> None:
    scenario.check_upload_urls(client, fight)


def test_an_incident_with_a_picture_from_signal_to_resolution(running: stack.Stack) -> None:
    headers = {"Authorization": f"Bearer {stack.TOKEN}"}
    with httpx.Client(base_url=running.base_url, headers=headers, timeout=60) as http:
        scenario.check_incident(http, "back door")


def test_the_sweeper_runs_on_its_schedule_and_mends(client: SightlineClient, running: stack.Stack) -> None:
    documents = FirestoreDocuments(firestore.Client(project=PROJECT))
    long_ago = SystemClock().now() - timedelta(days=1)
    given_up = Asset(new_uuid(), "", long_ago)
    documents.commit([assets.creation(replace(given_up, object_name=object_name_of(given_up.id)))])
    silent = WorkRecord(WorkState.RUNNING, "nobody", 5, long_ago)
    request = work.Request(given_up.id, Stage.DETECT).with_message(b"{}", {})
    documents.commit([work.claim(new_uuid(), silent, None, request)])
    deadline = time.monotonic() + 100
    while (run := components.last_maintenance(documents)) is None or "worker_lost" not in run.counts:
        assert time.monotonic() < deadline, run
        time.sleep(0.5)
    assert (run.counts["upload_never_came"], run.counts["worker_lost"]) == (1, 1)
    stages = client.analysis(given_up.id)["stages"]
    assert (stages["ingest"]["error_code"], stages["detect"]["error_code"]) == ("upload_never_came", "worker_lost")
    assert httpx.get(f"{running.base_url}/health").json()["components"]["maintain"] == "ok"


def test_the_functions_insist_on_the_token(running: stack.Stack) -> None:
    for path in ("/incidents", "/analysis/x", "/beacons/x"):
        assert httpx.get(running.base_url + path).status_code == 401
    health = httpx.get(f"{running.base_url}/health").json()
    assert (health["ok"], health["components"]["store"], health["components"]["bus"]) == (True, "ok", "ok")


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        ({}, b"not json"),
        ({}, b"{}"),
        ({"ce-id": "1", "ce-type": "x", "ce-source": "y", "ce-specversion": "1.0"}, b"{broken"),
    ],
)
def test_malformed_pushes_are_acknowledged(running: stack.Stack, headers: dict[str, str], body: bytes) -> None:
    for function in topology.load().event_functions():
        reply = httpx.post(running.functions[function], content=body, headers=headers, timeout=30)
        assert reply.status_code == 204, function


def test_dead_letters_of_a_project_are_asked_for(running: stack.Stack, capsys: pytest.CaptureFixture[str]) -> None:
    assert running.environment["PUBSUB_EMULATOR_HOST"]
    assert command_line.main(["dead-letters", "--project", PROJECT]) == 0
    assert capsys.readouterr().out == "No dead letters.\n"
    assert command_line.main(["dead-letters", "--project", PROJECT, "--replay", "1"]) == 1


def test_logs_are_json_with_stage_asset_and_trace(running: stack.Stack, client: SightlineClient, fight: Path) -> None:
    asset_id = scenario.send(client, fight)
    client.wait_until_ended(asset_id, timeout=scenario.TIMEOUT_SECONDS)
    traces = set()
    for function in ("ingest", "detect", "correlate"):
        lines = [json.loads(line) for line in (running.logs / f"{function}.log").read_text().splitlines()]
        ours = [line for line in lines if line.get("asset") == asset_id]
        assert ours, function
        assert {line["stage"] for line in ours} == {function}
        assert {line["severity"] for line in ours} == {"INFO"}
        traces |= {line["logging.googleapis.com/trace"] for line in ours}
    assert len(traces) == 1


def test_the_developers_stack_ends_everything_it_started() -> None:
    require_emulators()
    command = [sys.executable, "-m", "local", "emulators", "--port", str(free_port())]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert "Sightline's functions" in process.stdout.readline()
        started = psutil.Process(process.pid).children(recursive=True)
        process.terminate()
        assert process.wait(timeout=60) == 0
    assert len(started) >= len(topology.load().functions)
    assert not [child for child in started if child.is_running() and child.status() != psutil.STATUS_ZOMBIE]


def test_an_alert_calls_a_guard_by_firebase_and_ends_when_the_timer_says_so(running: stack.Stack) -> None:
    """Cloud Tasks and Firebase are stand-ins that speak their protocols; a task publishes by Pub/Sub's REST."""
    place = f"alerting-{new_uuid()}"
    headers = {"Authorization": f"Bearer {stack.TOKEN}"}
    with httpx.Client(base_url=running.base_url, headers=headers, timeout=30) as client:
        client.put(f"/beacons/{place}", json={"location": "Gate", "active": True}).raise_for_status()
        guard = {"name": "Ann", "places": [place], "tokens": ["token-of-ann-123"]}
        client.put(f"/guards/{place}", json=guard).raise_for_status()
        report = {"beacon_id": place, "confidence_score": 0.9, "description": "x", "device_id": "d"}
        opened = client.post("/api/ai/violence-detected/", json=report).raise_for_status().json()
        alert = f"/alerts/{opened['incident_id']}:Critical"

        began = time.monotonic()
        while not _is_reached(client, alert, place):
            assert time.monotonic() - began < 40
            time.sleep(0.5)
        assert client.get(alert).json()["state"] == "active"
        while client.get(alert).json()["state"] != "exhausted":
            assert time.monotonic() - began < 90
            time.sleep(1)
        assert time.monotonic() - began > 30  # the guard had their 45 seconds


def _is_reached(client: httpx.Client, alert: str, guard: str) -> bool:
    reply = client.get(f"{alert}/deliveries")
    found = reply.json()["deliveries"] if reply.status_code == 200 else []
    return any(one["target"] == guard and one["state"] == "sent" for one in found)


WORK_OF: Mapping[str, Callable[..., None]] = {
    "analysis": test_a_file_may_be_analysed_at_once,
    "annotate": test_in_doubt_the_whole_video_is_looked_at_and_its_result_object_continues_the_chain,
    "context": test_gemini_answers_refuses_and_answers_later,
    "correlate": test_the_main_job,
    "detect": test_the_main_job,
    "escalate": test_a_picture_with_a_gun_fails_opens_an_incident_and_goes_into_quarantine,
    "incidents": test_an_incident_with_a_picture_from_signal_to_resolution,
    "ingest": test_the_main_job,
    "live": test_what_happens_is_told_by_events_and_by_websocket_through_the_one_origin,
    "maintain": test_the_sweeper_runs_on_its_schedule_and_mends,
    "moderate": test_a_picture_with_a_gun_fails_opens_an_incident_and_goes_into_quarantine,
    "moderation": test_a_batch_is_moderated_while_the_client_waits_and_kept,
    "notify": test_an_alert_calls_a_guard_by_firebase_and_ends_when_the_timer_says_so,
    "query": test_a_stage_is_replayed_and_a_verdict_judged,
    "registry": test_an_alert_calls_a_guard_by_firebase_and_ends_when_the_timer_says_so,
    "signals": test_an_incident_with_a_picture_from_signal_to_resolution,
    "uploads": test_an_upload_url_is_good_for_one_thing_once,
}
"""Of each function the test here that needs it to do its own work, from its bundle in its own environment."""


def test_no_function_is_left_out() -> None:
    assert WORK_OF.keys() == topology.load().functions.keys()
