"""The document of incident images, by its own commands: each reply field by field, asked with the real `curl`.

The commands are the document's, but for the origin. Where it has only the name of a test case (0.6d to 0.6i), the
command is its first one with what the case is about. Ids and times are compared by their form, all else exactly.
"""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image

from bench.photos import FORBIDDEN_IN_EVIDENCE, draw_photo
from local.client import SightlineClient
from local.emulators import free_port
from local.server import running_server
from shared.adapters.embedded.blob_server import signed_routes
from shared.domain.evidence_images import LinkMode
from shared.settings import EmbeddedSettings

DOCUMENTED_ORIGIN = "http://localhost:8000"
LIBRARY = "ab907856-3412-3412-3412-341278563412"
DORMITORY = "safe:uuid:402:402"
FILES = ("evidence.jpg", "screenshot.jpg", "photo1.jpg", "photo2.jpg", "photo3.jpg", "photo4.jpg")

SINGLE_IMAGE = """
curl -X POST http://localhost:8000/api/ai/violence-detected/ \\
  -F "beacon_id=ab907856-3412-3412-3412-341278563412" \\
  -F "confidence_score=0.95" \\
  -F "description=Fight detected with weapon" \\
  -F "device_id=AI-VISION-001" \\
  -F "images=@evidence.jpg"
"""
THREE_IMAGES = """
curl -X POST http://localhost:8000/api/ai/violence-detected/ \\
  -F "beacon_id=ab907856-3412-3412-3412-341278563412" \\
  -F "confidence_score=0.88" \\
  -F "description=Multiple suspects involved" \\
  -F "images=@photo1.jpg" \\
  -F "images=@photo2.jpg" \\
  -F "images=@photo3.jpg"
"""
SCREAM = """
curl -X POST http://localhost:8000/api/ai/scream-detected/ \\
  -F "beacon_id=safe:uuid:402:402" \\
  -F "confidence_score=0.92" \\
  -F "description=Screaming detected in dormitory" \\
  -F "device_id=AI-AUDIO-001" \\
  -F "images=@screenshot.jpg"
"""
JSON_REQUEST = """
curl -X POST http://localhost:8000/api/ai/violence-detected/ \\
  -H "Content-Type: application/json" \\
  -d '{
  "beacon_id": "ab907856-3412-3412-3412-341278563412",
  "confidence_score": 0.92,
  "description": "Fight detected",
  "device_id": "AI-VISION-001"
}'
"""
OVERVIEW_REQUEST = """
curl -X POST http://localhost:8000/api/ai/violence-detected/ \\
  -F "beacon_id=ab907856-3412-3412-3412-341278563412" \\
  -F "confidence_score=0.95" \\
  -F "description=Violent confrontation detected with weapon - immediate response needed" \\
  -F "device_id=AI-VISION-SURVEILLANCE-01" \\
  -F "images=@evidence.jpg;filename=violence1.jpg;type=image/jpeg"
"""

CREATED = """
{
  "status": "incident_created",
  "ai_event_id": 17,
  "incident_id": "72e204c7-3149-4085-bf5a-112fde0333c0",
  "signal_id": 75,
  "confidence_score": 0.95,
  "beacon_location": "Library Entrance",
  "incident_status": "CREATED",
  "incident_priority": "Critical",
  "device_id": "AI-VISION-SURVEILLANCE-01",
  "images": [
    {
      "id": 43,
      "image": "http://storage.googleapis.com/resq-campus-security/incidents/2026/01/16/sample1.jpg",
      "uploaded_at": "2026-01-16T10:01:24.405048Z",
      "description": "AI Detection Image 1 (VIOLENCE)"
    }
  ]
}
"""
ATTACHED = """
{
  "status": "signal_added_to_existing",
  "ai_event_id": 18,
  "incident_id": "72e204c7-3149-4085-bf5a-112fde0333c0",
  "signal_id": 76,
  "confidence_score": 0.92,
  "beacon_location": "Library Entrance",
  "incident_status": "CREATED",
  "incident_priority": "Critical",
  "images": [
    {
      "id": 44,
      "image": "http://storage.googleapis.com/resq-campus-security/incidents/2026/01/16/additional.jpg",
      "uploaded_at": "2026-01-16T10:02:15.123456Z",
      "description": "AI Detection Image 1 (VIOLENCE)"
    }
  ]
}
"""
LOGGED = """
{
  "status": "logged_only",
  "ai_event_id": 19,
  "message": "Confidence 0.65 below threshold 0.75",
  "images_received": 1
}
"""
TOO_MANY = """
{
  "error": "Maximum 3 images allowed"
}
"""

FORMS: Mapping[str, str] = {
    "ai_event_id": r"[1-9]\d{0,15}",
    "signal_id": r"[1-9]\d{0,15}",
    "id": r"[1-9]\d{0,15}",
    "incident_id": r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}",
    "uploaded_at": r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z",
}
OBJECT_PATH = r"/[a-z0-9.-]+/incidents/\d{4}/\d\d/\d\d/[\w.-]+\.jpg"
LINKS: Mapping[LinkMode, str] = {
    LinkMode.PUBLIC: OBJECT_PATH,
    LinkMode.SIGNED: OBJECT_PATH + r"\?[^ ]*X-Goog-Expires=900&[^ ]*X-Goog-Signature=[0-9a-f]+[^ ]*",
}


@dataclass
class ServerTime:
    """What time it is for who checks signed links: now, plus what a test adds."""

    ahead: timedelta = timedelta()

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self.ahead


@dataclass(frozen=True)
class Reply:
    """What `curl` was answered."""

    status: int
    body: Any


@dataclass
class Site:
    """A running server with the document's two beacons, the clock of its links, and a folder with the drawn images."""

    origin: str
    links: LinkMode
    time: ServerTime
    folder: Path
    client: SightlineClient

    def curl(self, command: str) -> Reply:
        """Runs one of the document's commands against this server."""
        on_one_line = command.replace("\\\n", " ").replace(DOCUMENTED_ORIGIN, self.origin)
        _, *arguments = shlex.split(on_one_line)
        quietly = ["curl", "-q", "--noproxy", "*", "--silent", "--show-error", "--max-time", "30"]
        told = ["--write-out", r"\n%{http_code}"]
        done = subprocess.run(
            [*quietly, *told, *arguments], cwd=self.folder, capture_output=True, text=True, check=True, timeout=60
        )
        body, _, status = done.stdout.rpartition("\n")
        return Reply(int(status), json.loads(body))

    def is_like(self, reply: Reply, status: int, document: str, **instead: Any) -> None:
        """The reply is the document's: names, order, types and values, but for `instead` and what varies by nature."""
        expected = {**json.loads(document), **instead}
        assert reply.status == status, reply
        self._compare(expected, reply.body, "reply")

    def _compare(self, expected: Any, got: Any, name: str) -> None:
        assert type(got) is type(expected), (name, got)
        if isinstance(expected, dict):
            assert list(got) == list(expected)
            for each, value in expected.items():
                self._compare(value, got[each], each)
        elif isinstance(expected, list):
            assert len(got) == len(expected)
            for one, other in zip(expected, got, strict=True):
                self._compare(one, other, name)
        elif name == "image":
            assert got.startswith(self.origin + "/")
            assert re.fullmatch(LINKS[self.links], got.removeprefix(self.origin)), got
        elif name in FORMS:
            assert re.fullmatch(FORMS[name], str(got)), (name, got)
        else:
            assert got == expected, name


def images(count: int, kind: str = "VIOLENCE") -> list[dict[str, Any]]:
    """The document's image entry, numbered."""
    (entry,) = json.loads(CREATED)["images"]
    return [{**entry, "description": f"AI Detection Image {number} ({kind})"} for number in range(1, count + 1)]


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files that the commands name."""
    assert shutil.which("curl"), "these tests run the document's commands, so they need curl"
    folder = tmp_path_factory.mktemp("drawn")
    for seed, name in enumerate(FILES):
        (folder / name).write_bytes(draw_photo(640, 480, seed))
    return folder


@pytest.fixture(params=list(LinkMode))
def site(request: pytest.FixtureRequest, tmp_path: Path, drawn: Path) -> Iterator[Site]:
    """A server without incidents, once with signed links and once with public ones."""
    with pytest.MonkeyPatch.context() as patch:
        time = ServerTime()
        patch.setattr("local.server.signed_routes", partial(signed_routes, now=time))
        config = EmbeddedSettings(evidence_urls=request.param)
        with running_server(tmp_path / "data", port=free_port(), config=config) as origin:
            client = SightlineClient(origin)
            client.put_beacon(LIBRARY, "Library Entrance")
            client.put_beacon(DORMITORY, "Dormitory")
            yield Site(origin, request.param, time, drawn, client)
            client.close()


def test_the_overview_s_request_and_its_two_replies(site: Site) -> None:
    opened = site.curl(OVERVIEW_REQUEST)
    site.is_like(opened, 201, CREATED)
    attached = site.curl(OVERVIEW_REQUEST.replace("0.95", "0.92"))
    site.is_like(attached, 200, ATTACHED)
    assert attached.body["incident_id"] == opened.body["incident_id"]
    assert attached.body["signal_id"] != opened.body["signal_id"]


def test_06a_a_single_image(site: Site) -> None:
    reply = site.curl(SINGLE_IMAGE)
    site.is_like(reply, 201, CREATED, device_id="AI-VISION-001")
    check_links(site, reply)


def test_06b_three_images(site: Site) -> None:
    reply = site.curl(THREE_IMAGES)
    expected = {**json.loads(CREATED), "confidence_score": 0.88, "images": images(3)}
    assert reply.body.pop("device_id") is None
    del expected["device_id"]
    site.is_like(reply, 201, json.dumps(expected))
    assert len({image["id"] for image in reply.body["images"]}) == 3
    assert len({image["image"] for image in reply.body["images"]}) == 3


def test_06c_a_scream(site: Site) -> None:
    reply = site.curl(SCREAM)
    site.is_like(
        reply,
        201,
        CREATED,
        confidence_score=0.92,
        beacon_location="Dormitory",
        incident_priority="High",
        device_id="AI-AUDIO-001",
        images=images(1, "SCREAM"),
    )
    shown = site.client.incident(reply.body["incident_id"])
    assert [signal["signal_type"] for signal in shown["signals"]] == ["SCREAM_DETECTED"]


def test_06d_below_the_threshold_the_images_are_kept_for_review(site: Site) -> None:
    reply = site.curl(SINGLE_IMAGE.replace("0.95", "0.65"))
    site.is_like(reply, 200, LOGGED)
    assert site.client.incidents()["incidents"] == []
    loud = site.curl(SCREAM.replace("0.92", "0.79"))
    site.is_like(loud, 200, LOGGED, message="Confidence 0.79 below threshold 0.80")
    (event,) = kept_for_review(site, DORMITORY)
    assert event["ai_event_id"] == loud.body["ai_event_id"]
    assert len(event["images"]) == 1


def kept_for_review(site: Site, beacon_id: str) -> list[dict[str, Any]]:
    """What was reported of a place without reaching its threshold."""
    asked = {"below_threshold": "true", "beacon_id": beacon_id}
    listed = httpx.get(f"{site.origin}/ai-events", params=asked).raise_for_status()
    found: list[dict[str, Any]] = listed.json()["ai_events"]
    return found


def test_06e_a_missing_field(site: Site) -> None:
    for field in ("beacon_id", "confidence_score", "description"):
        command = re.sub(rf'  -F "{field}=[^"]*" \\\n', "", SINGLE_IMAGE)
        assert command != SINGLE_IMAGE
        reply = site.curl(command)
        assert (reply.status, reply.body) == (400, {"error": f"Missing required fields ({field})"})
    assert site.client.incidents()["incidents"] == []


def test_06f_four_images(site: Site) -> None:
    reply = site.curl(THREE_IMAGES.rstrip() + ' \\\n  -F "images=@photo4.jpg"\n')
    site.is_like(reply, 400, TOO_MANY)
    assert site.client.incidents()["incidents"] == []


def test_06g_and_06h_images_join_the_incident_that_is_open(site: Site) -> None:
    opened = site.curl(SINGLE_IMAGE)
    attached = site.curl(THREE_IMAGES)
    site.is_like(attached, 200, ATTACHED, confidence_score=0.88, images=images(3))
    shown = site.client.incident(opened.body["incident_id"])
    assert shown["signal_count"] == 2
    sent = [image["id"] for reply in (opened, attached) for image in reply.body["images"]]
    assert [image["image_id"] for image in shown["images"]] == sent


def test_06i_json_and_multipart_are_answered_alike(site: Site) -> None:
    plain = site.curl(JSON_REQUEST)
    site.is_like(plain, 201, CREATED, confidence_score=0.92, device_id="AI-VISION-001", images=[])
    form = site.curl(SINGLE_IMAGE.replace("0.95", "0.92"))
    site.is_like(form, 200, ATTACHED)
    assert form.body["incident_id"] == plain.body["incident_id"]
    again = site.curl(JSON_REQUEST)
    site.is_like(again, 200, ATTACHED, images=[])


def test_a_confidence_that_is_none(site: Site) -> None:
    for confidence in ("1.01", "-0.1", "nan", "high"):
        reply = site.curl(SINGLE_IMAGE.replace("0.95", confidence))
        assert (reply.status, reply.body) == (400, {"error": "Confidence score not between 0.0-1.0"})


def test_a_beacon_that_is_unknown_or_inactive(site: Site) -> None:
    refused = {"error": "Beacon not found or inactive"}
    unknown = site.curl(SINGLE_IMAGE.replace(LIBRARY, "nowhere"))
    assert (unknown.status, unknown.body) == (400, refused)
    httpx.put(f"{site.origin}/beacons/{LIBRARY}", json={"location": "Library Entrance", "active": False})
    inactive = site.curl(SINGLE_IMAGE)
    assert (inactive.status, inactive.body) == (400, refused)


def check_links(site: Site, reply: Reply) -> None:
    """Who has the link sees the picture without a token, while the link is good; and nothing that hid in the file."""
    (image,) = reply.body["images"]
    link = image["image"]
    seen = httpx.get(link)
    assert (seen.status_code, seen.headers["content-type"]) == (200, "image/jpeg")
    shown = Image.open(BytesIO(seen.content))
    assert (shown.format, shown.size) == ("JPEG", (640, 480))
    assert not any(hidden in seen.content for hidden in FORBIDDEN_IN_EVIDENCE)
    day = datetime.fromisoformat(image["uploaded_at"])
    assert f"/incidents/{day:%Y/%m/%d}/" in link
    if site.links is LinkMode.SIGNED:
        changed = link[:-1] + ("0" if link[-1] != "0" else "1")
        assert httpx.get(changed).status_code == 403
        assert httpx.get(link.partition("?")[0]).status_code == 403
    site.time.ahead = timedelta(minutes=15)
    assert httpx.get(link).status_code == (200 if site.links is LinkMode.PUBLIC else 400)
