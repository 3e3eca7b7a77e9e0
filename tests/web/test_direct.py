"""POST /analysis and /analyze-video over real stores, the real probe and the real detector."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Awaitable
from typing import Any

import pytest
from fastapi.testclient import TestClient
from starlette.types import Message

from local.home import Home
from local.server import application
from shared.errors import Retryable
from shared.ports import Query
from shared.settings import EmbeddedSettings
from shared.web import direct as routes
from shared.web import receiving
from tests.unit.detection.videos import encode, sound_only
from tests.web.test_forms import END, part

ROUTES = ["/analysis", "/analyze-video"]
FORM = {"Content-Type": "multipart/form-data; boundary=edge"}


@pytest.fixture(scope="module")
def clip() -> bytes:
    """Two drawn seconds."""
    return encode()


def kept(home: Home) -> list[str]:
    """Every object and asset there is."""
    assets = [document.id for document in home.documents.query(Query("assets")).documents]
    return [info.name for info in home.media.list()] + assets


def refused(reply: Any, status: int) -> str:
    assert reply.status_code == status, reply.text
    body = reply.json()
    assert list(body) == ["detail"]
    assert isinstance(body["detail"], str)
    return str(body["detail"])


class TestReply:
    @pytest.mark.parametrize("path", ROUTES)
    @pytest.mark.parametrize("field", ["video", "file"])
    def test_it_has_the_sources_fields_and_the_asset(
        self, client: TestClient, home: Home, clip: bytes, path: str, field: str
    ) -> None:
        reply = client.post(path, files={field: ("clip.mp4", clip)})
        assert reply.status_code == 200
        body = reply.json()
        assert list(body) == [
            "summary",
            "violenceDetections",
            "totalDuration",
            "overallRisk",
            "confidence",
            "objects",
            "emotions",
            "scenes",
            "analysisId",
            "verdict",
        ]
        assert body["totalDuration"] == pytest.approx(2.0)
        shown = client.get(f"/analysis/{body['analysisId']}").json()
        assert {name: shown[name] for name in body if name != "analysisId"} == {
            name: value for name, value in body.items() if name != "analysisId"
        }
        assert (shown["state"], shown["filename"]) == ("done", "clip.mp4")
        assert shown["stages"]["correlate"]["state"] == "skipped"

    def test_every_window_counts_at_full_sensitivity_and_has_its_picture(self, client: TestClient, clip: bytes) -> None:
        body = client.post("/analysis", files={"video": clip}, data={"sensitivity": "1"}).json()
        (found,) = body["violenceDetections"]
        assert (found["startTime"], found["endTime"]) == (0.0, pytest.approx(2.0))
        line = client.get(f"/analysis/{body['analysisId']}/timeline").json()
        assert line["segments"][0]["confidence"] == found["confidence"]
        sheet = client.get(line["contact_sheet"])
        assert (sheet.headers["content-type"], sheet.content[:3]) == ("image/jpeg", b"\xff\xd8\xff")

    def test_no_window_below_one_counts_at_none(self, client: TestClient, clip: bytes) -> None:
        body = client.post("/analysis", files={"video": clip}, data={"sensitivity": "0"}).json()
        assert body["violenceDetections"] == []

    def test_the_sensitivity_may_come_after_the_file(self, client: TestClient, clip: bytes) -> None:
        body = part("video", clip) + part("sensitivity", b"1") + END
        reply = client.post("/analysis", content=body, headers=FORM)
        assert len(reply.json()["violenceDetections"]) == 1

    def test_every_step_th_frame_is_looked_at(
        self, client: TestClient, home: Home, clip: bytes, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        steps: list[int] = []
        detect = type(home.detector).detect

        def noted(self: Any, stream: Any, *, step: int = 1, **options: Any) -> Any:
            steps.append(step)
            return detect(self, stream, step=step, **options)

        monkeypatch.setattr(type(home.detector), "detect", noted)
        for path in ROUTES:
            assert client.post(path, files={"file": clip}, data={"step": "5"}).status_code == 200
        assert steps == [1, 5]

    @pytest.mark.parametrize("name", ["../../etc/passwd", "a\\b", 'q"uote', "x" * 300, "ünï*?.mp4"])
    def test_no_filename_reaches_a_path(self, client: TestClient, home: Home, clip: bytes, name: str) -> None:
        asset_id = client.post("/analysis", files={"video": (name, clip)}).json()["analysisId"]
        names = {info.name for info in home.media.list()}
        assert names <= {
            f"direct/{asset_id}",
            f"analysis/{asset_id}/timeline.json",
            f"analysis/{asset_id}/contact-sheet.jpg",
        }


class TestRefusals:
    @pytest.mark.parametrize("path", ROUTES)
    @pytest.mark.parametrize("value", ["x", "", "NaN", "inf", "-0.1", "1.01", "1_0", "0,5", "٠", "1e999", "0x1"])
    def test_a_sensitivity_that_is_none(
        self, client: TestClient, home: Home, clip: bytes, path: str, value: str
    ) -> None:
        for fields in (
            [part("sensitivity", value.encode()), part("file", clip)],
            [part("file", clip), part("sensitivity", value.encode())],
        ):
            reply = client.post(path, content=b"".join(fields) + END, headers=FORM)
            assert refused(reply, 400) == "sensitivity must be a number between 0 and 1."
        assert kept(home) == []

    @pytest.mark.parametrize("value", ["0", "-1", "1.5", "x", "31", "", "1" * 400, "٣"])
    def test_a_step_that_is_none(self, client: TestClient, home: Home, clip: bytes, value: str) -> None:
        reply = client.post("/analyze-video", files={"file": clip}, data={"step": value})
        assert refused(reply, 400) == "step must be a whole number between 1 and 30."
        assert kept(home) == []

    @pytest.mark.parametrize(
        ("content", "sentence"),
        [
            (b"this is no video\n" * 9, "The file is text, not a video."),
            (b"\xff\xd8\xff" + bytes(99), "The file is a JPEG image, not a video."),
            (sound_only(), "The file has no video track, only sound or other data."),
            (encode()[:600], "The file ends before any picture: the upload or the recording broke off too early."),
        ],
        ids=["text", "image", "sound", "broken off"],  # an encoder's bytes differ from process to process
    )
    def test_what_is_no_video_says_what_it_is_and_is_not_kept(
        self, client: TestClient, home: Home, content: bytes, sentence: str
    ) -> None:
        assert refused(client.post("/analysis", files={"video": content}), 400) == sentence
        assert kept(home) == []

    @pytest.mark.parametrize(
        ("body", "word"),
        [
            (END, "no file"),
            (part("other", b"x") + END, "no file"),
            (part("video", b"x") + part("file", b"y") + END, "more than one file"),
            (part("video", b"") + END, "empty"),
            (part("video", b"x"), "ends before"),
            (b"nonsense", "malformed"),
        ],
    )
    def test_a_form_that_is_wrong(self, client: TestClient, home: Home, body: bytes, word: str) -> None:
        for path in ROUTES:
            assert word in refused(client.post(path, content=body, headers=FORM), 400)
        assert kept(home) == []

    @pytest.mark.parametrize("content_type", ["application/json", "video/mp4", "multipart/form-data"])
    def test_what_is_no_form(self, client: TestClient, clip: bytes, content_type: str) -> None:
        reply = client.post("/analysis", content=clip, headers={"Content-Type": content_type})
        assert "multipart/form-data" in refused(reply, 400)

    def test_the_token_is_asked_for(self, home: Home, clip: bytes) -> None:
        home.config = EmbeddedSettings(api_token="secret")
        guarded = TestClient(application(home))
        for path in ROUTES:
            assert guarded.post(path, files={"file": clip}).status_code == 401
        allowed = guarded.post("/analysis", files={"file": clip}, headers={"Authorization": "Bearer secret"})
        assert allowed.status_code == 200


class TestSize:
    def test_a_declared_length_over_the_limit_is_refused_before_anything_is_read(self, home: Home) -> None:
        for path in ROUTES:
            status, body, asked = asyncio.run(_asked(home, path, [], {"content-length": "33619969"}))
            assert (status, asked) == (413, 0)
            assert b"POST /video/upload-url" in body

    def test_a_length_that_is_not_declared_is_counted(self, home: Home) -> None:
        block = b"x" * (1 << 20)
        head = part("video", b"")[:-2]
        chunks = [head, *[block] * 40, b"\r\n" + END]
        status, body, asked = asyncio.run(_asked(home, "/analysis", chunks, {}))
        assert status == 413
        assert b"32 MiB; ask POST /video/upload-url" in body
        assert asked < 36
        assert kept(home) == []

    def test_a_body_in_one_piece_is_counted_too(self, home: Home) -> None:
        chunks = [part("video", b"x" * (33 << 20)) + END]
        status, body, _ = asyncio.run(_asked(home, "/analysis", chunks, {}))
        assert (status, b"POST /video/upload-url" in body) == (413, True)

    def test_other_routes_keep_their_limit(self, client: TestClient) -> None:
        reply = client.post("/video/upload-url", content=b"x" * (2 << 20))
        assert refused(reply, 413) == "The request body is larger than 1048576 bytes."


async def _asked(
    home: Home, path: str, chunks: list[bytes], headers: dict[str, str], *, ends: Awaitable[None] | None = None
) -> tuple[int, bytes, int]:
    """Status and body of the reply to a body that arrives in `chunks`, and how often more was asked for.

    After the chunks, and after `ends`, the connection is lost.
    """
    asked = 0
    sent: list[Message] = []

    async def receive() -> Message:
        nonlocal asked
        asked += 1
        if asked > len(chunks):
            if ends is not None:
                await ends
            return {"type": "http.disconnect"}
        return {"type": "http.request", "body": chunks[asked - 1], "more_body": True}

    async def send(message: Message) -> None:
        sent.append(message)

    fields = {"content-type": FORM["Content-Type"], **headers}
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "POST",
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": [(name.encode(), value.encode()) for name, value in fields.items()],
        "client": ("127.0.0.1", 1),
        "server": ("testserver", 80),
    }
    await application(home)(scope, receive, send)
    body = b"".join(message.get("body", b"") for message in sent)
    return sent[0]["status"], body, asked


class TestTrouble:
    def test_a_client_that_leaves_half_way_leaves_nothing(self, home: Home, clip: bytes) -> None:
        half = part("video", clip)[: len(clip) // 2]
        asyncio.run(_asked(home, "/analysis", [half[:1000], half[1000:]], {}))
        assert kept(home) == []

    def test_a_client_that_stands_still_is_let_go(self, home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(receiving, "IDLE_SECONDS", 0.05)
        status, body, _ = asyncio.run(_asked(home, "/analysis", [part("video", b"x" * 100)], {}, ends=asyncio.sleep(9)))
        assert (status, json.loads(body)) == (408, {"detail": "Nothing arrived for 0 seconds."})
        assert kept(home) == []

    def test_a_bucket_that_is_away_is_not_the_clients_fault(
        self, home: Home, clip: bytes, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def put(_: str, data: Any, **__: object) -> None:
            data.read(10)
            raise Retryable("the bucket is away")

        monkeypatch.setattr(home.media, "put", put)
        chunks = [part("video", b"x" * 5000)[:-2], *[b"x" * 5000] * 50]
        status, _, asked = asyncio.run(_asked(home, "/analysis", chunks, {}))
        assert status == 503
        assert asked <= len(chunks)

    def test_more_than_a_process_can_take_are_told_to_come_again(
        self, home: Home, clip: bytes, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(routes, "MAX_REQUESTS", 1)
        entered, leave = threading.Event(), threading.Event()
        detect = type(home.detector).detect

        def slow(self: Any, stream: Any, **options: Any) -> Any:
            entered.set()
            leave.wait(10)
            return detect(self, stream, **options)

        monkeypatch.setattr(type(home.detector), "detect", slow)
        client = TestClient(application(home))
        replies: list[Any] = []
        first = threading.Thread(target=lambda: replies.append(client.post("/analysis", files={"video": clip})))
        first.start()
        assert entered.wait(10)
        second = client.post("/analysis", files={"video": clip})
        leave.set()
        first.join()
        assert second.status_code == 503
        assert "Retry-After" in second.headers
        assert replies[0].status_code == 200
        assert client.post("/analysis", files={"video": clip}).status_code == 200


@pytest.mark.parametrize(
    ("path", "fields"), [("/analysis", {"sensitivity"}), ("/analyze-video", {"sensitivity", "step"})]
)
def test_openapi_shows_the_form(client: TestClient, path: str, fields: set[str]) -> None:
    described = client.get("/openapi.json").json()["paths"][path]["post"]
    form = described["requestBody"]["content"]["multipart/form-data"]["schema"]
    assert set(form["properties"]) == fields | {"video", "file"}
    assert form["properties"]["video"]["format"] == "binary"
    assert "200" in described["responses"]
