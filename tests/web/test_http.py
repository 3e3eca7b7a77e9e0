"""The HTTP interface over real stores: replies field by field, and every kind of bad input."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from local.home import Home
from local.server import application
from shared.adapters.embedded.image_annotator import RapidAnnotator
from shared.adapters.embedded.text_analyzer import LexiconAnalyzer
from shared.adapters.google import gemini_files
from shared.domain.assets import Asset, Detection, SeenBefore
from shared.domain.detections import Segment
from shared.domain.stages import Stage, StageRecord, StageState
from shared.ids import new_uuid
from shared.repositories import assets, components
from shared.settings import EmbeddedSettings
from tests.fakes import NOON

VIOLENCE = "/api/ai/violence-detected/"
SCREAM = "/api/ai/scream-detected/"
SIGNAL = {"beacon_id": "gate", "confidence_score": 0.95, "description": "Fight", "device_id": "CAM-1"}


class TestSignals:
    def test_a_new_incident_is_answered_as_the_source_has_it(self, client: TestClient) -> None:
        reply = client.post(VIOLENCE, json=SIGNAL)
        assert reply.status_code == 201
        body = reply.json()
        assert list(body) == [
            "status",
            "ai_event_id",
            "incident_id",
            "signal_id",
            "confidence_score",
            "beacon_location",
            "incident_status",
            "incident_priority",
            "device_id",
            "images",
        ]
        assert body["status"] == "incident_created"
        assert body["beacon_location"] == "Library Entrance"
        assert (body["incident_status"], body["incident_priority"]) == ("CREATED", "Critical")
        assert (body["confidence_score"], body["device_id"], body["images"]) == (0.95, "CAM-1", [])

    def test_an_attached_signal_is_answered_as_the_source_has_it(self, client: TestClient) -> None:
        opened = client.post(VIOLENCE, json=SIGNAL).json()
        reply = client.post(SCREAM, json={**SIGNAL, "confidence_score": 0.92})
        assert reply.status_code == 200
        body = reply.json()
        assert body["status"] == "signal_added_to_existing"
        assert body["incident_id"] == opened["incident_id"]
        assert body["signal_id"] != opened["signal_id"]
        assert "device_id" not in body
        assert list(body) == [field for field in opened if field != "device_id"]

    @pytest.mark.parametrize(
        ("path", "confidence", "message"),
        [
            (VIOLENCE, 0.65, "Confidence 0.65 below threshold 0.75"),
            (SCREAM, 0.79, "Confidence 0.79 below threshold 0.80"),
        ],
    )
    def test_below_the_threshold_it_is_only_logged(
        self, client: TestClient, path: str, confidence: float, message: str
    ) -> None:
        reply = client.post(path, json={**SIGNAL, "confidence_score": confidence})
        assert reply.status_code == 200
        body = reply.json()
        assert list(body) == ["status", "ai_event_id", "message", "images_received"]
        assert (body["status"], body["message"], body["images_received"]) == ("logged_only", message, 0)

    @pytest.mark.parametrize(
        ("change", "error"),
        [
            ({"confidence_score": 1.5}, "Confidence score not between 0.0-1.0"),
            ({"confidence_score": -0.1}, "Confidence score not between 0.0-1.0"),
            ({"confidence_score": "high"}, "Confidence score not between 0.0-1.0"),
            ({"confidence_score": True}, "Confidence score not between 0.0-1.0"),
            ({"confidence_score": [0.9]}, "Confidence score not between 0.0-1.0"),
            ({"beacon_id": "nowhere"}, "Beacon not found or inactive"),
            ({"beacon_id": None}, "Missing required fields (beacon_id)"),
            ({"description": ""}, "Missing required fields (description)"),
            ({"confidence_score": None, "beacon_id": ""}, "Missing required fields (beacon_id, confidence_score)"),
            ({"beacon_id": 7}, "beacon_id must be text"),
            ({"description": "x" * 4001}, "description must be at most 4000 characters"),
            ({"description": "half a pair \ud800"}, "Invalid JSON"),
        ],
    )
    def test_bad_input_is_answered_in_the_sources_words(
        self, client: TestClient, change: dict[str, Any], error: str
    ) -> None:
        reply = client.post(VIOLENCE, content=json.dumps({**SIGNAL, **change}), headers=JSON)
        assert (reply.status_code, reply.json()) == (400, {"error": error})

    def test_an_empty_device_is_none_as_in_a_form(self, client: TestClient) -> None:
        reply = client.post(VIOLENCE, json={**SIGNAL, "device_id": ""})
        assert (reply.status_code, reply.json()["device_id"]) == (201, None)

    def test_not_a_number_is_refused(self, client: TestClient) -> None:
        text = json.dumps(SIGNAL).replace("0.95", "NaN")
        reply = client.post(VIOLENCE, content=text, headers=JSON)
        assert (reply.status_code, reply.json()["error"]) == (400, "Confidence score not between 0.0-1.0")

    def test_nothing_sent_names_all_fields(self, client: TestClient) -> None:
        reply = client.post(VIOLENCE, json={})
        assert reply.json() == {"error": "Missing required fields (beacon_id, confidence_score, description)"}

    @pytest.mark.parametrize("text", [b"", b"{", b"[]", b"\xff", b"[" * 100_000])
    def test_what_is_no_json_object_is_refused(self, client: TestClient, text: bytes) -> None:
        reply = client.post(VIOLENCE, content=text, headers=JSON)
        assert (reply.status_code, reply.json()) == (400, {"error": "Invalid JSON"})

    def test_an_inactive_beacon_is_refused(self, client: TestClient) -> None:
        client.put("/beacons/gate", json={"location": "Library Entrance", "active": False})
        reply = client.post(VIOLENCE, json=SIGNAL)
        assert (reply.status_code, reply.json()) == (400, {"error": "Beacon not found or inactive"})

    @pytest.mark.parametrize(("sent", "status"), [("Application/JSON; charset=utf-8", 201), ("application/jsonx", 415)])
    def test_the_media_type_is_compared_as_such(self, client: TestClient, sent: str, status: int) -> None:
        reply = client.post(VIOLENCE, content=json.dumps(SIGNAL), headers={"Content-Type": sent})
        assert reply.status_code == status

    def test_errors_of_the_framework_have_the_same_form(self, client: TestClient) -> None:
        reply = client.get(VIOLENCE)
        assert (reply.status_code, reply.json()) == (405, {"error": "Method Not Allowed"})


JSON = {"Content-Type": "application/json"}


class TestBeacons:
    @pytest.mark.parametrize("beacon_id", ["gate", "safe:uuid:402:402", "floor 1/room 2", "türe", "a%2Fb"])
    def test_a_beacon_is_stored_and_read(self, client: TestClient, beacon_id: str) -> None:
        url = f"/beacons/{beacon_id}"
        stored = client.put(url, json={"location": "Somewhere", "active": False})
        assert stored.status_code == 200
        read = client.get(url).json()
        assert read == stored.json()
        assert (read["location"], read["active"]) == ("Somewhere", False)

    def test_an_unknown_one_is_404(self, client: TestClient) -> None:
        reply = client.get("/beacons/nowhere")
        assert (reply.status_code, reply.json()) == (404, {"detail": "No such beacon."})

    @pytest.mark.parametrize("body", [{}, {"location": ""}, {"location": 5}, {"location": "x", "active": "maybe"}])
    def test_a_bad_body_is_400_with_a_sentence(self, client: TestClient, body: dict[str, Any]) -> None:
        reply = client.put("/beacons/new", json=body)
        assert reply.status_code == 400
        assert isinstance(reply.json()["detail"], str)

    def test_an_id_too_long_for_the_store_is_400(self, client: TestClient) -> None:
        assert client.put("/beacons/" + "x" * 1501, json={"location": "x"}).status_code == 400


class TestUploads:
    def test_the_reply_has_the_sources_fields_and_the_headers_to_send(self, client: TestClient) -> None:
        body = client.post("/video/upload-url").json()
        assert (body["expires_in_hours"], body["max_file_size_gb"], body["method"]) == (2, 5, "PUT")
        assert f"/media/{body['video_id']}" in body["upload_url"]
        headers = {name.lower(): value for name, value in body["headers"].items()}
        assert headers["content-type"] == "video/mp4"
        assert headers["x-goog-content-length-range"] == "1,5368709120"
        assert headers["x-goog-if-generation-match"] == "0"
        assert all(isinstance(line, str) for line in body["instructions"])

    def test_nothing_of_the_clients_names_reaches_the_url(self, client: TestClient) -> None:
        asked = {"filename": "../../etc/passwd", "source_id": "gate*?"}
        body = client.post("/video/upload-url", json=asked).json()
        assert "passwd" not in body["upload_url"]
        assert "gate" not in body["upload_url"]
        assert client.get(f"/analysis/{body['video_id']}").json()["filename"] == "../../etc/passwd"

    @pytest.mark.parametrize(
        ("asked", "status"),
        [
            ({"content_type": "text/html"}, 400),
            ({"content_type": "video/mp4\r\nX: y"}, 400),
            ({"size": 0}, 400),
            ({"size": 5 * 2**30 + 1}, 413),
            ({"size": "big"}, 400),
            ({"filename": "a\nb"}, 400),
            ({"filename": "x" * 256}, 400),
            ({"source_id": ""}, 400),
            ({"source_id": "\u0000"}, 400),
        ],
    )
    def test_what_cannot_be_granted_is_refused(self, client: TestClient, asked: dict[str, Any], status: int) -> None:
        reply = client.post("/video/upload-url", json=asked)
        assert reply.status_code == status
        assert isinstance(reply.json()["detail"], str)

    def test_an_upload_url_works_once_and_for_its_type_only(self, client: TestClient) -> None:
        ticket = client.post("/video/upload-url").json()
        wrong = client.put(ticket["upload_url"], content=b"x", headers={**ticket["headers"], "Content-Type": "a/b"})
        assert wrong.status_code == 403
        assert client.put(ticket["upload_url"], content=b"x", headers=ticket["headers"]).status_code == 200
        assert client.put(ticket["upload_url"], content=b"y", headers=ticket["headers"]).status_code == 412


def stored(home: Home, **stages: StageRecord) -> str:
    asset = Asset(new_uuid(), "media/x", NOON, source_id="gate")
    writes = [assets.stage_update(asset.id, Stage(name), record) for name, record in stages.items()]
    home.documents.commit([assets.creation(asset)])
    for write in writes:
        home.documents.commit([write])
    return asset.id


DONE = StageRecord(StageState.DONE, 1, NOON, NOON)
SKIPPED = StageRecord(StageState.SKIPPED, 1, NOON, NOON, "not_configured", "No key.")
FAILED = StageRecord(StageState.FAILED, 1, NOON, NOON, "not_a_video", "The file is text, not a video.")


class TestAnalysis:
    def test_before_the_upload_nothing_is_called_clean(self, client: TestClient, home: Home) -> None:
        asset_id = stored(home)
        body = client.get(f"/analysis/{asset_id}").json()
        assert (body["state"], body["overallRisk"], body["pending"]) == (
            "awaiting_upload",
            "unknown",
            ["ingest", "detect", "context", "correlate", "moderate", "annotate", "escalate"],
        )
        assert body["summary"] == "The analysis has not ended yet."
        status = client.get(f"/video/status/{asset_id}").json()
        assert (status["state"], status["progress"], status["result"]) == ("awaiting_upload", 0, None)

    def test_its_place_is_the_beacon_of_its_source(self, client: TestClient, home: Home) -> None:
        asset_id = stored(home)
        known = {"beacon_id": "gate", "location": "Library Entrance", "known": True}
        assert client.get(f"/analysis/{asset_id}").json()["place"] == {**known, "active": True}
        client.put("/beacons/gate", json={"location": "Library Entrance", "active": False})
        assert client.get(f"/analysis/{asset_id}").json()["place"] == {**known, "active": False}
        unnamed = client.post("/video/upload-url").json()["video_id"]
        place = client.get(f"/analysis/{unnamed}").json()["place"]
        own = {"beacon_id": f"asset:{unnamed}", "location": "Unknown place", "known": False, "active": False}
        assert place == own

    def test_a_failed_asset_says_why(self, client: TestClient, home: Home) -> None:
        asset_id = stored(home, ingest=FAILED)
        body = client.get(f"/analysis/{asset_id}").json()
        assert (body["state"], body["overallRisk"]) == ("failed", "unknown")
        assert body["summary"] == "The analysis failed. The file is text, not a video."
        assert body["stages"]["ingest"]["error_code"] == "not_a_video"
        status = client.get(f"/video/status/{asset_id}").json()
        assert (status["state"], status["error"]) == ("failed", "The file is text, not a video.")

    def test_a_done_asset_has_its_result(self, client: TestClient, home: Home) -> None:
        asset_id = stored(home, **{**dict.fromkeys([stage.value for stage in Stage], DONE), "context": SKIPPED})
        found = Detection((Segment(1.0, 3.0, 0.9, "violence"),), 0.95, 12.0, truncated=True, model="m")
        home.documents.commit([assets.detection_update(asset_id, found)])
        incident = client.post(VIOLENCE, json=SIGNAL).json()["incident_id"]
        asset, version = assets.get_with_version(home.documents, asset_id)
        home.documents.commit([assets.joining(asset, incident, Stage.CORRELATE, version)])
        body = client.get(f"/analysis/{asset_id}").json()
        assert (body["state"], body["overallRisk"], body["peakProbability"]) == ("done", "high", 0.95)
        assert body["violenceDetections"][0]["startTime"] == 1.0
        assert "ends early" in body["summary"]
        assert body["incidents"][0]["incident_id"] == incident
        status = client.get(f"/video/status/{asset_id}").json()
        assert (status["progress"], status["result"]["confidence"]) == (100, 0.9)
        assert status["stages"]["detect"]["progress"] == 100

    def test_an_asset_seen_before_says_with_which_and_what_was_reused(self, client: TestClient, home: Home) -> None:
        asset_id = stored(home, ingest=DONE, detect=replace(DONE, reused_from="earlier"))
        home.documents.commit([assets.seen_update(asset_id, SeenBefore("earlier", exact=False, distance=2))])
        body = client.get(f"/analysis/{asset_id}").json()
        assert body["seen_before"] == {"asset_id": "earlier", "exact": False, "distance": 2, "reused": ["detect"]}
        assert body["note"].startswith("Seen before: asset earlier ")
        reused = {name: stage["reused_from"] for name, stage in body["stages"].items() if stage["reused_from"]}
        assert reused == {"detect": "earlier"}

    @pytest.mark.parametrize("path", ["/analysis/", "/video/status/", "/incidents/", "/beacons/"])
    @pytest.mark.parametrize("id", ["unknown", "x" * 2000, "%2e%2e", "%00", "*"])
    def test_unknown_ids_are_not_found(self, client: TestClient, path: str, id: str) -> None:
        reply = client.get(path + id)
        assert reply.status_code == 404
        assert isinstance(reply.json()["detail"], str)


class TestIncidents:
    def test_they_are_listed_newest_first_page_by_page(self, client: TestClient) -> None:
        for place in ("a", "b", "c"):
            client.put(f"/beacons/{place}", json={"location": place})
            client.post(VIOLENCE, json={**SIGNAL, "beacon_id": place})
        first = client.get("/incidents", params={"limit": 2}).json()
        assert [incident["beacon_id"] for incident in first["incidents"]] == ["c", "b"]
        second = client.get("/incidents", params={"limit": 2, "cursor": first["next_cursor"]}).json()
        assert [incident["beacon_id"] for incident in second["incidents"]] == ["a"]
        assert second["next_cursor"] is None
        assert len(client.get("/incidents", params={"beacon_id": "b"}).json()["incidents"]) == 1

    @pytest.mark.parametrize("query", [{"limit": 0}, {"limit": 1001}, {"limit": "x"}, {"cursor": "nonsense"}])
    def test_bad_queries_are_400(self, client: TestClient, query: dict[str, Any]) -> None:
        reply = client.get("/incidents", params=query)
        assert reply.status_code == 400
        assert isinstance(reply.json()["detail"], str)

    def test_one_is_shown_with_its_signals(self, client: TestClient) -> None:
        opened = client.post(VIOLENCE, json=SIGNAL).json()
        client.post(SCREAM, json=SIGNAL)
        body = client.get(f"/incidents/{opened['incident_id']}").json()
        assert body["signal_count"] == 2
        assert [signal["signal_type"] for signal in body["signals"]] == ["SCREAM_DETECTED", "VIOLENCE_DETECTED"]
        assert body["signals"][1]["ai_event_id"] == opened["ai_event_id"]
        assert body["confidence"] == pytest.approx(1 - 0.05 * 0.05)
        assert [(part["signal_type"], part["counted"]) for part in body["confidence_parts"]] == [
            ("SCREAM_DETECTED", True),
            ("VIOLENCE_DETECTED", True),
        ]


class TestService:
    def test_the_root_speaks_to_programs_and_leads_people_to_the_documentation(self, client: TestClient) -> None:
        assert client.get("/").json() == {
            "service": "Sightline",
            "version": "0.1.0",
            "ws_enabled": True,
            "auth_enabled": False,
        }
        reply = client.get("/", headers={"Accept": "text/html,*/*"}, follow_redirects=False)
        assert reply.headers["location"] == "docs"
        assert "swagger" in client.get("/docs").text.lower()
        assert "/video/upload-url" in client.get("/openapi.json").json()["paths"]

    def test_health_has_the_sources_fields(self, client: TestClient) -> None:
        client.post(VIOLENCE, json=SIGNAL)
        body = client.get("/health").json()
        assert body["ok"] is True
        assert body["recent_events"] == {"total": 1, "face_matches": 0, "plate_reads": 0}
        assert body["event_rate"] == {"events_per_second": 0.003, "sample_duration_seconds": 300.0}
        assert body["components"]["store"] == "ok"
        services = ("gemini", "vision", "language", "video_intelligence")
        assert {body["components"][name] for name in services} == {"off"}
        assert {body["components"][name] for name in ("ocr", "faces", "sentiment")} == {"ok"}
        assert {"timestamp", "service", "version", "ws_clients"} <= set(body)

    def test_the_sweeper_is_off_before_its_first_run_and_missed_after_five_minutes(
        self, client: TestClient, home: Home
    ) -> None:
        assert client.get("/health").json()["components"]["maintain"] == "off"
        now = datetime.now(UTC)
        components.report_maintenance(home.documents, components.MaintenanceRun(now - timedelta(minutes=4)))
        assert client.get("/health").json()["components"]["maintain"] == "ok"
        components.report_maintenance(home.documents, components.MaintenanceRun(now - timedelta(minutes=6)))
        reply = client.get("/health")
        assert (reply.status_code, reply.json()["components"]["maintain"]) == (503, "degraded")

    def test_a_broken_component_is_said_with_503(self, client: TestClient, home: Home) -> None:
        home.media.stat = _broken  # type: ignore[method-assign, assignment]
        reply = client.get("/health")
        assert reply.status_code == 503
        assert (reply.json()["ok"], reply.json()["components"]["blobs"]) == (False, "degraded")

    def test_gemini_is_off_without_a_key_whatever_was_said_before(self, client: TestClient, home: Home) -> None:
        components.report(home.documents, "gemini", "unavailable", datetime.now(UTC), "degraded")
        assert client.get("/health").json()["components"]["gemini"] == "off"

    def test_a_degraded_extra_is_said_and_takes_nothing_out_of_service(self, client: TestClient, home: Home) -> None:
        home.gemini = gemini_files.connect("key", "model", home.media)
        assert client.get("/health").json()["components"]["gemini"] == "ok"
        components.report(home.documents, "gemini", "unavailable", datetime.now(UTC), "degraded")
        reply = client.get("/health")
        assert reply.status_code == 200
        assert (reply.json()["ok"], reply.json()["components"]["gemini"]) == (True, "degraded")

    def test_a_witness_that_cannot_be_loaded_is_said_and_takes_nothing_out_of_service(
        self, client: TestClient, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(RapidAnnotator, "condition", lambda _, feature: "degraded")
        monkeypatch.setattr(LexiconAnalyzer, "condition", "off")
        reply = client.get("/health")
        found = reply.json()["components"]
        assert (reply.status_code, reply.json()["ok"]) == (200, True)
        assert [found[name] for name in ("ocr", "faces", "sentiment")] == ["degraded", "degraded", "off"]

    def test_unknown_paths_are_404(self, client: TestClient) -> None:
        assert client.get("/nothing").json() == {"detail": "Not Found"}


def _broken(_: str) -> None:
    raise OSError("a path of this machine")


class TestAccess:
    @pytest.fixture
    def guarded(self, tmp_path: Path) -> Iterator[TestClient]:
        settings = EmbeddedSettings(api_token="secret", allowed_origins=("https://ops.example",))
        home = Home(tmp_path / "guarded", settings, "http://testserver")
        yield TestClient(application(home), raise_server_exceptions=False)
        home.close()

    @pytest.mark.parametrize("path", ["/incidents", "/docs", "/openapi.json", "/beacons/x", "/nothing"])
    def test_everything_asks_for_the_token(self, guarded: TestClient, path: str) -> None:
        reply = guarded.get(path)
        assert (reply.status_code, reply.json()) == (401, {"detail": "Authentication required"})
        wrong = guarded.get(path, headers={"Authorization": "Bearer wrong"})
        assert wrong.status_code == 401

    @pytest.mark.parametrize(("method", "path"), [("PUT", "/beacons/x"), ("POST", "/video/upload-url")])
    def test_whatever_the_method(self, guarded: TestClient, method: str, path: str) -> None:
        assert guarded.request(method, path, json={"location": "x"}).status_code == 401

    def test_devices_are_refused_in_their_form(self, guarded: TestClient) -> None:
        reply = guarded.post(VIOLENCE, json=SIGNAL)
        assert (reply.status_code, reply.json()) == (401, {"error": "Authentication required"})

    def test_root_and_health_stay_open(self, guarded: TestClient) -> None:
        assert guarded.get("/", headers={"Accept": "text/html"}).json()["auth_enabled"] is True
        assert guarded.head("/").status_code == guarded.head("/health").status_code == 200
        assert guarded.get("/health").status_code == 200

    def test_with_the_token_it_works(self, guarded: TestClient) -> None:
        for scheme in ("Bearer", "bearer"):
            assert guarded.get("/incidents", headers={"Authorization": f"{scheme} secret"}).status_code == 200

    def test_a_signed_upload_needs_no_token(self, guarded: TestClient) -> None:
        ticket = guarded.post("/video/upload-url", headers={"Authorization": "Bearer secret"}).json()
        assert guarded.put(ticket["upload_url"], content=b"x", headers=ticket["headers"]).status_code == 200

    def test_browsers_of_the_allowed_origins_may_ask(self, guarded: TestClient) -> None:
        asked = {"Origin": "https://ops.example", "Access-Control-Request-Method": "POST"}
        reply = guarded.options("/video/upload-url", headers=asked)
        assert reply.headers["access-control-allow-origin"] == "https://ops.example"
        other = guarded.options("/video/upload-url", headers={**asked, "Origin": "https://evil.example"})
        assert "access-control-allow-origin" not in other.headers


class TestLimits:
    def test_a_huge_body_is_refused(self, client: TestClient) -> None:
        reply = client.post(VIOLENCE, content=b"x" * (2 << 20), headers=JSON)
        assert reply.status_code == 413
        assert "error" in reply.json()

    def test_a_huge_body_without_a_length_is_not_swallowed(self, client: TestClient) -> None:
        reply = client.post(VIOLENCE, content=(b"x" * (1 << 20) for _ in range(3)), headers=JSON)
        assert (reply.status_code, list(reply.json())) == (413, ["error"])

    def test_an_unexpected_error_tells_nothing(self, home: Home) -> None:
        client = TestClient(application(home), raise_server_exceptions=False)
        home.documents.query = _broken_query  # type: ignore[method-assign, assignment]
        reply = client.get("/incidents")
        assert (reply.status_code, reply.json()) == (500, {"detail": "Internal server error"})


def _broken_query(*_: object, **__: object) -> None:
    raise RuntimeError("secret detail")


@pytest.mark.parametrize(
    ("content", "content_type"),
    [(b"", "application/json"), (b"not json", "application/json"), (b'{"stage": "detect"}', "text/plain")],
)
def test_what_is_no_json_object_is_called_that(content: bytes, content_type: str, client: TestClient) -> None:
    reply = client.post("/feedback", content=content, headers={"Content-Type": content_type})
    assert reply.status_code == 400
    assert reply.json() == {"detail": "Send a JSON object, with Content-Type: application/json."}
