"""Signals with pictures over HTTP: the source's replies field by field, and every way to be refused."""

from __future__ import annotations

import asyncio
import io
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from PIL import Image
from starlette.types import Message

from local.home import Home
from local.server import application
from shared import settings
from shared.detection.evidence_pictures import EvidencePictures
from shared.domain.evidence_images import LinkMode
from shared.errors import Retryable, SettingsError
from shared.handlers.evidence_links import EvidenceLinks
from shared.ports import CleanPicture, Query, Update
from shared.repositories import evidence_images, incidents
from shared.settings import EmbeddedSettings
from shared.web import signals as routes

VIOLENCE = "/api/ai/violence-detected/"
SCREAM = "/api/ai/scream-detected/"
FIELDS = {
    "beacon_id": "gate",
    "confidence_score": "0.95",
    "description": "Violent confrontation detected with weapon",
    "device_id": "AI-VISION-SURVEILLANCE-01",
}


def photo(colour: str = "red", kind: str = "JPEG") -> bytes:
    target = io.BytesIO()
    Image.new("RGB", (64, 48), colour).save(target, kind)
    return target.getvalue()


def send(client: TestClient, *images: bytes, path: str = VIOLENCE, key: str | None = None, **fields: str | None) -> Any:
    """As `curl -F` sends it; a field that is None is left out."""
    sent = {name: value for name, value in {**FIELDS, **fields}.items() if value is not None}
    parts: list[tuple[str, Any]] = [(name, (None, value)) for name, value in sent.items()]
    parts += [("images", (f"violence{number}.jpg", image, "image/jpeg")) for number, image in enumerate(images, 1)]
    return client.post(path, files=parts, headers={} if key is None else {"Idempotency-Key": key})


def stored(home: Home) -> tuple[int, int, int]:
    """How many AI events, records of pictures, and objects there are."""
    counts = [home.documents.count(Query(name)) for name in (incidents.AI_EVENTS, evidence_images.COLLECTION)]
    return counts[0], counts[1], len(list(home.evidence.list()))


class TestReplies:
    def test_a_new_incident(self, client: TestClient) -> None:
        reply = send(client, photo())
        body = reply.json()
        assert reply.status_code == 201
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
        assert (body["status"], body["incident_status"]) == ("incident_created", "CREATED")
        assert (body["incident_priority"], body["confidence_score"]) == ("Critical", 0.95)
        assert (body["beacon_location"], body["device_id"]) == ("Library Entrance", "AI-VISION-SURVEILLANCE-01")
        (image,) = body["images"]
        assert list(image) == ["id", "image", "uploaded_at", "description"]
        assert isinstance(image["id"], int)
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", image["uploaded_at"])
        assert image["description"] == "AI Detection Image 1 (VIOLENCE)"
        day = image["uploaded_at"][:10].replace("-", "/")
        assert f"/incidents/{day}/{image['id']}.jpg?" in image["image"]

    def test_who_gets_a_link_is_in_the_view_log(self, client: TestClient) -> None:
        opened = send(client, photo(), photo("blue"), key="k").json()
        send(client, photo(), photo("blue"), key="k")
        views = client.get(f"/incidents/{opened['incident_id']}/views").json()["views"]
        first, second = sorted(str(image["id"]) for image in opened["images"])
        assert (
            sorted((view["purpose"], view["item_id"]) for view in views)
            == [("reply", first)] * 2 + [("reply", second)] * 2
        )
        assert {view["by"] for view in views} == {"anonymous"}

    def test_a_repetition_has_no_link_to_what_was_deleted_since(self, client: TestClient, home: Home) -> None:
        (image,) = send(client, photo(), key="k").json()["images"]
        found = evidence_images.find(home.documents, image["id"])
        assert found is not None
        gone = {"deleted_at": found[0].uploaded_at, "deleted_because": "erasure"}
        home.documents.commit([Update(evidence_images.COLLECTION, str(image["id"]), gone)])
        (again,) = send(client, photo(), key="k").json()["images"]
        assert (again["id"], again["image"]) == (image["id"], None)

    def test_a_signal_of_a_known_incident(self, client: TestClient) -> None:
        opened = send(client, photo()).json()
        reply = send(client, photo("blue"), photo("green"), path=SCREAM, confidence_score="0.92")
        body = reply.json()
        assert (reply.status_code, body["status"]) == (200, "signal_added_to_existing")
        assert list(body) == [field for field in opened if field != "device_id"]
        assert body["incident_id"] == opened["incident_id"]
        assert [image["description"] for image in body["images"]] == [
            "AI Detection Image 1 (SCREAM)",
            "AI Detection Image 2 (SCREAM)",
        ]

    def test_a_signal_below_the_threshold(self, client: TestClient, home: Home) -> None:
        reply = send(client, photo(), confidence_score="0.65")
        body = reply.json()
        assert (reply.status_code, list(body)) == (200, ["status", "ai_event_id", "message", "images_received"])
        assert (body["status"], body["images_received"]) == ("logged_only", 1)
        assert body["message"] == "Confidence 0.65 below threshold 0.75"
        assert stored(home) == (1, 1, 1)

    def test_a_form_without_pictures_or_device(self, client: TestClient) -> None:
        body = send(client, device_id=None).json()
        assert (body["images"], body["device_id"]) == ([], None)

    def test_a_link_gives_the_picture_and_nothing_gives_it_without_the_signature(self, client: TestClient) -> None:
        url = send(client, photo("red", "PNG")).json()["images"][0]["image"]
        reply = client.get(url)
        assert (reply.status_code, reply.headers["content-type"]) == (200, "image/png")
        assert Image.open(io.BytesIO(reply.content)).size == (64, 48)
        assert client.get(url.split("?")[0]).status_code == 403

    def test_pictures_are_known_by_their_bytes(self, client: TestClient) -> None:
        parts = [(name, (None, value)) for name, value in FIELDS.items()]
        parts += [("images", ("report.pdf", photo("red", "WEBP"), "application/pdf"))]  # type: ignore[list-item]
        assert ".webp?" in client.post(VIOLENCE, files=parts).json()["images"][0]["image"]

    @pytest.mark.parametrize("trouble", [Retryable("away"), SettingsError("IAM refuses to sign")])
    def test_an_answer_does_not_wait_for_links_that_cannot_be_made(
        self, client: TestClient, monkeypatch: pytest.MonkeyPatch, trouble: Exception
    ) -> None:
        def away(*_: object) -> str:
            raise trouble

        monkeypatch.setattr(EvidenceLinks, "link", away)
        reply = send(client, photo())
        assert (reply.status_code, reply.json()["images"][0]["image"]) == (201, None)


@pytest.mark.parametrize(("seconds", "said"), [(0.0, "1"), (15.0, "15"), (1.2, "2")])
def test_who_is_sent_away_is_told_for_how_long(
    client: TestClient, monkeypatch: pytest.MonkeyPatch, seconds: float, said: str
) -> None:
    def busy(*_: object) -> CleanPicture:
        raise Retryable("too many pictures are being drawn", retry_after=seconds)

    monkeypatch.setattr(EvidencePictures, "clean", busy)
    reply = send(client, photo())
    assert (reply.status_code, reply.headers["retry-after"]) == (503, said)


class TestRefusals:
    @pytest.mark.parametrize(
        ("fields", "error"),
        [
            ({"beacon_id": None}, "Missing required fields (beacon_id)"),
            ({"beacon_id": " ", "description": ""}, "Missing required fields (beacon_id, description)"),
            ({"confidence_score": None}, "Missing required fields (confidence_score)"),
            ({"confidence_score": "1.1"}, "Confidence score not between 0.0-1.0"),
            ({"confidence_score": "-0.1"}, "Confidence score not between 0.0-1.0"),
            ({"confidence_score": "nan"}, "Confidence score not between 0.0-1.0"),
            ({"confidence_score": "high"}, "Confidence score not between 0.0-1.0"),
            ({"beacon_id": "nowhere"}, "Beacon not found or inactive"),
            ({"description": "x" * 4001}, "description must be at most 4000 characters"),
        ],
    )
    def test_bad_fields_are_answered_in_the_sources_words(
        self, client: TestClient, home: Home, fields: dict[str, Any], error: str
    ) -> None:
        reply = send(client, photo(), **fields)
        assert (reply.status_code, reply.json()) == (400, {"error": error})
        assert stored(home) == (0, 0, 0)

    def test_four_pictures_are_too_many(self, client: TestClient, home: Home) -> None:
        reply = send(client, *[photo()] * 4)
        assert (reply.status_code, reply.json()) == (400, {"error": "Maximum 3 images allowed"})
        assert stored(home) == (0, 0, 0)

    @pytest.mark.parametrize(
        ("data", "error"),
        [
            (b"", "Image 2 is empty"),
            (b"foo", "Image 2: "),
            (photo("red", "BMP"), "Image 2: The picture must be a JPEG, PNG, WebP or GIF."),
            (photo()[:200], "Image 2: The picture is damaged: it ends too early."),
        ],
    )
    def test_a_bad_picture_is_named(self, client: TestClient, home: Home, data: bytes, error: str) -> None:
        reply = send(client, photo(), data)
        assert reply.status_code == 400
        assert reply.json()["error"].startswith(error)
        assert stored(home) == (0, 0, 0)

    def test_text_in_the_place_of_a_picture_is_refused(self, client: TestClient) -> None:
        parts = [(name, (None, value)) for name, value in {**FIELDS, "images": "photo.jpg"}.items()]
        reply = client.post(VIOLENCE, files=parts)
        assert (reply.status_code, reply.json()["error"][:8]) == (400, "Image 1:")

    @pytest.mark.parametrize(
        ("content_type", "status"),
        [
            ("multipart/form-data", 400),
            ("multipart/form-data; boundary=" + "x" * 300, 400),
            ("application/x-www-form-urlencoded", 415),
            ("text/plain", 415),
            ("", 415),
        ],
    )
    def test_other_bodies_are_refused(self, client: TestClient, content_type: str, status: int) -> None:
        reply = client.post(VIOLENCE, content=b"beacon_id=gate", headers={"Content-Type": content_type})
        assert (reply.status_code, list(reply.json())) == (status, ["error"])

    @pytest.mark.parametrize("content_type", ["multipart/form-data; boundary=x", "application/json"])
    def test_more_than_fits_is_refused_whatever_is_declared(self, client: TestClient, content_type: str) -> None:
        headers = {"Content-Type": content_type}

        def endless() -> Iterator[bytes]:
            yield b'--x\r\nContent-Disposition: form-data; name="images"\r\n\r\n' if "form" in content_type else b'"'
            for _ in range(12):
                yield bytes(1 << 20)

        reply = client.post(VIOLENCE, content=endless(), headers=headers)
        assert (reply.status_code, list(reply.json())) == (413, ["error"])
        declared = {**headers, "Content-Length": str(routes.MAX_REQUEST_BYTES + 1)}
        reply = client.post(VIOLENCE, content=b"", headers=declared)
        limit = f"The request body is larger than {routes.MAX_REQUEST_BYTES} bytes."
        assert (reply.status_code, reply.json()) == (413, {"error": limit})

    def test_a_form_that_drips_is_given_up(self, home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(routes, "RECEIVE_SECONDS", 0.2)
        dripping = [b"--x\r\n", *[b"X-Slow: y\r\n"] * 7]
        body = iter([{"type": "http.request", "body": drop, "more_body": True} for drop in dripping])
        sent: list[Message] = []

        async def receive() -> Message:
            await asyncio.sleep(0.05)
            return next(body)

        async def send(message: Message) -> None:
            sent.append(message)

        scope = {
            "type": "http",
            "method": "POST",
            "path": VIOLENCE,
            "raw_path": VIOLENCE.encode(),
            "query_string": b"",
            "headers": [(b"content-type", b"multipart/form-data; boundary=x")],
        }
        asyncio.run(application(home)(scope, receive, send))
        assert sent[0]["status"] == 408
        assert json.loads(sent[1]["body"]) == {"error": "The request did not arrive within 0 seconds"}


class TestRepetitions:
    def test_a_repetition_is_answered_the_same_with_the_same_status(self, client: TestClient, home: Home) -> None:
        replies = [send(client, photo(), key="a-1") for _ in range(3)]
        assert {reply.status_code for reply in replies} == {201}
        bodies = [reply.json() for reply in replies]
        for body in bodies:
            assert client.get(body["images"][0].pop("image")).status_code == 200
        assert bodies[0] == bodies[1] == bodies[2]
        assert stored(home) == (1, 1, 1)

    def test_json_has_it_too(self, client: TestClient, home: Home) -> None:
        body = {**FIELDS, "confidence_score": 0.5}
        replies = [client.post(VIOLENCE, json=body, headers={"Idempotency-Key": "a-1"}) for _ in range(2)]
        assert replies[0].json() == replies[1].json()
        assert stored(home)[0] == 1

    def test_another_content_is_409(self, client: TestClient) -> None:
        send(client, photo(), key="a-1")
        reply = send(client, photo("blue"), key="a-1")
        error = {"error": "This Idempotency-Key was used for another request"}
        assert (reply.status_code, reply.json()) == (409, error)

    @pytest.mark.parametrize("key", ["", "x" * 101, "a\tb"])
    def test_a_key_that_is_none_is_400(self, client: TestClient, key: str) -> None:
        reply = send(client, photo(), key=key)
        assert (reply.status_code, list(reply.json())) == (400, ["error"])


class TestPublicLinks:
    @pytest.fixture
    def public(self, tmp_path: Path) -> Iterator[TestClient]:
        home = Home(tmp_path / "public", EmbeddedSettings(evidence_urls=LinkMode.PUBLIC), "http://testserver")
        client = TestClient(application(home))
        client.put("/beacons/gate", json={"location": "Library Entrance", "active": True})
        yield client
        home.close()

    def test_pictures_are_read_by_anybody_and_nothing_else_is_done(self, public: TestClient) -> None:
        image = send(public, photo()).json()["images"][0]
        day = image["uploaded_at"][:10].replace("-", "/")
        assert image["image"] == f"http://testserver/sightline-evidence/incidents/{day}/{image['id']}.jpg"
        assert public.get(image["image"]).headers["content-type"] == "image/jpeg"
        assert public.head(image["image"]).status_code == 200
        assert public.delete(image["image"]).status_code == 403
        assert public.put(image["image"], content=b"x").status_code == 403
        assert public.post(image["image"], headers={"x-goog-resumable": "start"}).status_code == 403
        assert public.get("http://testserver/sightline-media/media/x").status_code == 403


class TestReview:
    def test_what_lies_below_the_threshold_is_found_with_its_pictures(self, client: TestClient) -> None:
        send(client, photo())
        logged = send(client, photo(), photo("blue"), confidence_score="0.5").json()["ai_event_id"]
        (event,) = client.get("/ai-events?below_threshold=true").json()["ai_events"]
        assert (event["ai_event_id"], event["incident_id"], event["below_threshold"]) == (logged, None, True)
        assert (event["signal_type"], event["confidence_score"]) == ("VIOLENCE_DETECTED", 0.5)
        assert [image["description"] for image in event["images"]] == [
            "AI Detection Image 1 (VIOLENCE)",
            "AI Detection Image 2 (VIOLENCE)",
        ]
        assert client.get(f"/ai-events/{logged}").json() == event
        reply = client.get(event["images"][0]["url"], follow_redirects=False)
        assert (reply.status_code, reply.headers["cache-control"]) == (307, "no-store")
        assert client.get(reply.headers["location"]).headers["content-type"] == "image/jpeg"

    def test_the_latest_come_first_page_by_page(self, client: TestClient) -> None:
        sent = [send(client, confidence_score=f"0.{number}").json()["ai_event_id"] for number in range(10, 15)]
        seen, cursor = list[int](), ""
        for _ in range(3):
            page = client.get(f"/ai-events?limit=2{cursor}").json()
            seen += [event["ai_event_id"] for event in page["ai_events"]]
            cursor = f"&cursor={page['next_cursor']}"
        assert (seen, page["next_cursor"]) == (sent[::-1], None)

    def test_they_are_asked_for_by_place_and_by_threshold(self, client: TestClient) -> None:
        client.put("/beacons/yard", json={"location": "Yard"})
        send(client)
        low = send(client, confidence_score="0.1").json()["ai_event_id"]
        yard = send(client, beacon_id="yard").json()["ai_event_id"]

        def asked(**query: str) -> list[int]:
            return [event["ai_event_id"] for event in client.get("/ai-events", params=query).json()["ai_events"]]

        assert asked(beacon_id="yard") == [yard]
        assert asked(beacon_id="gate", below_threshold="true") == [low]
        assert asked(beacon_id="gate", below_threshold="false") != [low]
        assert asked(beacon_id="nowhere") == []

    @pytest.mark.parametrize("path", ["/ai-events/7", "/ai-events/7/images/8"])
    def test_unknown_ones_are_404(self, client: TestClient, path: str) -> None:
        assert (client.get(path).status_code, client.get(path).json()) == (404, {"detail": "No such AI event."})

    def test_a_picture_of_another_event_is_404(self, client: TestClient) -> None:
        one = send(client, photo()).json()
        other = send(client, photo()).json()
        reply = client.get(f"/ai-events/{one['ai_event_id']}/images/{other['images'][0]['id']}")
        assert (reply.status_code, reply.json()) == (404, {"detail": "This AI event has no such image."})

    @pytest.mark.parametrize("query", ["limit=0", "limit=1001", "cursor=x", "below_threshold=maybe"])
    def test_a_bad_question_is_400(self, client: TestClient, query: str) -> None:
        reply = client.get(f"/ai-events?{query}")
        assert (reply.status_code, list(reply.json())) == (400, ["detail"])


class TestPlaces:
    @pytest.fixture
    def closed(self, tmp_path: Path) -> Iterator[TestClient]:
        """Ana may see the gate alone, Bo thirty-one places; the yard is neither's."""
        many = ["gate", *(f"room {number}" for number in range(30))]
        people = [
            {"name": "Ana", "role": "viewer", "token": "the-token-of-ana", "places": ["gate"]},
            {"name": "Bo", "role": "viewer", "token": "the-token-of-bob", "places": many},
            {"name": "Di", "role": "viewer", "token": "the-token-of-dia", "places": []},
        ]
        environment = {"SIGHTLINE_API_TOKEN": "the-shared-token", "SIGHTLINE_USER_TOKENS": json.dumps(people)}
        home = Home(tmp_path / "closed", settings.load(EmbeddedSettings, environment), "http://testserver")
        client = TestClient(application(home), headers={"Authorization": "Bearer the-shared-token"})
        for place in ("gate", "yard"):
            client.put(f"/beacons/{place}", json={"location": place})
        yield client
        home.close()

    def test_reports_of_other_places_are_not_there(self, closed: TestClient) -> None:
        gate = send(closed, photo()).json()
        yard = send(closed, photo(), beacon_id="yard").json()
        ana = {"Authorization": "Bearer the-token-of-ana"}

        def seen(path: str, headers: dict[str, str]) -> list[int]:
            return [event["ai_event_id"] for event in closed.get(path, headers=headers).json()["ai_events"]]

        assert seen("/ai-events", ana) == [gate["ai_event_id"]]
        assert seen("/ai-events?beacon_id=yard", ana) == []
        assert seen("/ai-events", {"Authorization": "Bearer the-token-of-dia"}) == []
        for path in ("", f"/images/{yard['images'][0]['id']}"):
            assert closed.get(f"/ai-events/{yard['ai_event_id']}{path}", headers=ana).status_code == 404
        reply = closed.get("/ai-events", headers={"Authorization": "Bearer the-token-of-bob"})
        assert (reply.status_code, reply.json()["detail"]) == (
            400,
            "You see more than 30 places: name one as beacon_id.",
        )
        assert seen("/ai-events?beacon_id=gate", {"Authorization": "Bearer the-token-of-bob"}) == [gate["ai_event_id"]]
