"""What every home must do, asked over HTTP by a client that knows nothing of what is behind the origin."""

from __future__ import annotations

import io
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image, ImageDraw, ImageFont
from rich.console import Console

from bench.photos import draw_photo
from bench.twins import Encoding, encode_anew
from local import demo
from local.client import SightlineClient
from local.drawing import draw_calm_clip, draw_fight_clip
from tests.unit.detection import videos

TIMEOUT_SECONDS = 90.0


def main_job(client: SightlineClient, fight: Path) -> demo.DemoResult:
    """The demo's own scenario: upload, stages, incident, a device's signal that joins it."""
    output = io.StringIO()
    result = demo.play(client, fight, Console(file=output), expect_incident=True)
    assert result.signal_status == "signal_added_to_existing"
    assert "violence" in output.getvalue()
    return result


def check_main_job(result: demo.DemoResult, context: str = "skipped") -> None:
    """The result is the same on every home, apart from how the context stage ended."""
    analysis = result.analysis
    assert analysis["state"] == "done"
    assert analysis["overallRisk"] == "high"
    assert {name: stage["state"] for name, stage in analysis["stages"].items()} == {
        "ingest": "done",
        "detect": "done",
        "context": context,
        "correlate": "done",
        "moderate": "done",
        "annotate": "skipped",
        "escalate": "done",
    }
    check_verdict(analysis)
    assert analysis["pending"] == []
    assert len(analysis["violenceDetections"]) == 1
    incident = result.incident
    assert incident is not None
    assert incident["signal_count"] == 2
    assert (incident["status"], incident["priority"]) == ("CREATED", "Critical")
    assert {signal["asset_id"] for signal in incident["signals"]} == {None, analysis["asset_id"]}


def check_verdict(analysis: dict[str, Any]) -> None:
    """A fight fails moderation, by a clear finding of our own detector, and the receipt explains that."""
    moderation = analysis["moderation"]
    receipt = moderation["receipt"]
    assert (moderation["status"], moderation["state"], receipt["rule"]) == ("FAIL", "final", "clear_finding")
    (counted,) = [finding for finding in receipt["findings"] if finding["counted"]]
    assert (counted["category"], counted["witness"]) == ("violence", analysis["stages"]["detect"]["version"])
    assert counted["threshold"] == 0.75
    assert receipt["flip"]["to"] in {"PASS", "ERROR"}
    assert receipt["not_evaluated"]  # no home looks at everything: what was not seen is said


def check_still_picture(client: SightlineClient, folder: Path) -> None:
    """A picture passes the pipeline; the text in it is read and judged."""
    threat, calm = folder / "threat.png", folder / "calm.png"
    draw_text(threat, "I will kill you tonight")
    draw_text(calm, "Bakery open until five")
    sent = {path: send(client, path, content_type="image/png", source_id="stills") for path in (threat, calm)}
    found = {}
    for path, asset_id in sent.items():
        assert client.wait_until_ended(asset_id, timeout=TIMEOUT_SECONDS)["state"] == "done"
        found[path] = client.analysis(asset_id)
    for analysis in found.values():
        states = {name: stage["error_code"] for name, stage in analysis["stages"].items() if stage["error_code"]}
        assert states == {"detect": "still_image", "context": "still_image", "annotate": "still_image"}
        assert (analysis["overallRisk"], analysis["missing"]) == ("unknown", [])
    assert found[threat]["moderation"]["status"] == "FAIL"
    assert found[threat]["summary"] == "A still picture: moderation says FAIL."
    assert len(found[threat]["incidents"]) == 1
    assert found[calm]["moderation"]["status"] == "PASS"


def draw_text(path: Path, text: str) -> None:
    """A white page with large black letters."""
    page = Image.new("RGB", (900, 200), "white")
    ImageDraw.Draw(page).text((40, 60), text, fill="black", font=ImageFont.load_default(size=64))
    page.save(path)


def check_timeline(client: SightlineClient, asset_id: str) -> None:
    """The curve is high where the segments are, and there is a picture to each."""
    found = client.timeline(asset_id)
    assert (found["asset_id"], found["hz"], found["class_name"]) == (asset_id, 2, "violence")
    assert len(found["probabilities"]) == round(found["duration"] * 2)
    for segment in found["segments"]:
        inside = found["probabilities"][round(segment["start"] * 2) : round(segment["end"] * 2)]
        assert max(inside) == segment["confidence"]
    assert found["contact_sheet"] == f"/analysis/{asset_id}/contact-sheet"
    assert client.contact_sheet(asset_id).startswith(b"\xff\xd8\xff")


def check_direct_analysis(client: SightlineClient, fight: Path, folder: Path) -> None:
    """A file sent to be analysed at once is answered as the pipeline would have, and opens no incident."""
    direct = client.analyse(fight, sensitivity="0.5")
    asset_id = send(client, fight, source_id="the-long-way")
    client.wait_until_ended(asset_id, timeout=TIMEOUT_SECONDS)
    piped = client.analysis(asset_id)
    assert {name: piped[name] for name in direct if name != "analysisId"} == {
        name: value for name, value in direct.items() if name != "analysisId"
    }
    stored = client.analysis(direct["analysisId"])
    assert (stored["state"], stored["incidents"], len(piped["incidents"])) == ("done", [], 1)
    for each in (asset_id, direct["analysisId"]):
        check_timeline(client, each)
    text = folder / "text.mp4"
    text.write_bytes(b"this is no video")
    with pytest.raises(httpx.HTTPStatusError) as refused:
        client.analyse(text)
    assert refused.value.response.json() == {"detail": "The file is text, not a video."}


def check_replay_and_feedback(client: SightlineClient, fight: Path) -> str:
    """The same model gives the same verdict, a replay opens no second incident, a person's word is kept; the asset."""
    asset_id = send(client, fight, source_id="replayed")
    client.wait_until_ended(asset_id, timeout=TIMEOUT_SECONDS)
    before = client.analysis(asset_id)
    for stage in ("ingest", "detect", "correlate"):
        replay = client.replay(asset_id, stage, actor="Ada")
        assert (replay["state"], replay["changed"], replay["differences"]) == ("done", False, []), replay
        assert replay["old"]["analysis"] == replay["new"]["analysis"]
    after = client.analysis(asset_id)
    assert (after["state"], after["complete"]) == ("done", True)
    assert after["incidents"] == before["incidents"]
    assert client.incident(after["incidents"][0]["incident_id"])["signal_count"] == 1
    assert [replay["stage"] for replay in client.replays(asset_id)] == ["correlate", "detect", "ingest"]
    check_timeline(client, asset_id)
    given = client.give_feedback(asset_id, rating=5, accuracy="accurate")
    assert (given["label"], given["model"]) == ("violence", before["stages"]["detect"]["version"])
    assert [label["feedback_id"] for label in client.feedback(asset_id)] == [given["feedback_id"]]
    return asset_id


def bad_files(folder: Path) -> dict[str, tuple[Path, str]]:
    """Files that are no usable video, each with the code its asset must fail with."""
    plain = videos.encode()
    track_header = plain.index(b"tkhd") + 4 + 76
    wide = (30_000 << 16).to_bytes(4, "big") * 2
    contents = {
        "text.mp4": (b"this is no video\n" * 100, "not_a_video"),
        "image.mp4": (b"\x89PNG\r\n\x1a\n" + bytes(100), "damaged_picture"),
        "zeros.mp4": (bytes(5000), "not_a_video"),
        "cut.mp4": (plain[: len(plain) // 2], "truncated_beyond_use"),
        "wide.mp4": (plain[:track_header] + wide + plain[track_header + 8 :], "too_large_picture"),
        "codec.mp4": (plain.replace(b"avc1", b"zzz9"), "unsupported_codec"),
        "sound.mp4": (videos.sound_only(), "no_picture"),
        "playlist.mp4": (b"ffconcat version 1.0\nfile /etc/passwd\n", "not_a_video"),
    }
    made = {}
    for name, (data, code) in contents.items():
        path = folder / name
        path.write_bytes(data)
        made[name] = (path, code)
    return made


def send(client: SightlineClient, path: Path, **fields: Any) -> str:
    """Uploads a file; gives the asset's id."""
    ticket = client.request_upload(filename=path.name, **fields)
    client.upload(ticket, path)
    video_id: str = ticket["video_id"]
    return video_id


def check_bad_files(client: SightlineClient, folder: Path, fight: Path) -> None:
    """Each fails with its code and a sentence; the upload after it is unharmed."""
    sent = {name: (send(client, path), code) for name, (path, code) in bad_files(folder).items()}
    healthy = send(client, fight, source_id="after-the-bad-ones")
    for name, (asset_id, code) in sent.items():
        status = client.wait_until_ended(asset_id, timeout=TIMEOUT_SECONDS)
        assert status["state"] == "failed", name
        assert status["stages"]["ingest"]["error_code"] == code, (name, status["stages"]["ingest"])
        assert status["error"].endswith("."), name
    assert client.wait_until_ended(healthy, timeout=TIMEOUT_SECONDS)["state"] == "done"


def check_upload_urls(client: SightlineClient, fight: Path) -> None:
    """A URL creates one object, once, of its type, of at least one byte."""
    ticket = client.request_upload()
    headers = ticket["headers"]
    other_type = {**headers, "Content-Type": "text/plain"}
    assert httpx.put(ticket["upload_url"], content=b"x", headers=other_type).status_code == 403
    assert httpx.put(ticket["upload_url"], content=b"", headers=headers).status_code == 400
    client.upload(ticket, fight)
    again = httpx.put(ticket["upload_url"], content=fight.read_bytes(), headers=headers)
    assert again.status_code == 412
    assert client.wait_until_ended(ticket["video_id"], timeout=TIMEOUT_SECONDS)["state"] == "done"


def check_seen_before(client: SightlineClient, fight: Path, folder: Path) -> None:
    """A file sent again, under another name or encoded anew, is known; what was found in it is reused."""
    renamed, smaller = folder / "renamed.mp4", folder / "smaller.mkv"
    renamed.write_bytes(fight.read_bytes())
    encode_anew(fight, smaller, Encoding(container="matroska", scale=0.5, options=(("crf", "33"),)))
    first, same, copy = (_seen(client, path) for path in (fight, renamed, smaller))
    assert (first["seen_before"], first["note"]) == (None, None)
    said = {"asset_id": first["asset_id"], "reused": ["detect", "moderate"]}
    assert same["seen_before"] == {**said, "exact": True, "distance": 0}
    assert same["note"] == f"Seen before: asset {first['asset_id']} is the same file. Reused from it: detect, moderate."
    encoded = {**said, "reused": ["detect"]}  # other bytes are moderated themselves
    assert copy["seen_before"] == {**encoded, "exact": False, "distance": copy["seen_before"]["distance"]}
    assert copy["note"].startswith(f"Seen before: asset {first['asset_id']} shows the same recording")
    for each in (same, copy):
        assert each["violenceDetections"] == first["violenceDetections"]
        assert [incident["incident_id"] for incident in each["incidents"]] == [
            incident["incident_id"] for incident in first["incidents"]
        ]
        check_timeline(client, each["asset_id"])


def check_same_camera(client: SightlineClient, folder: Path) -> None:
    """A fight on a street that was calm before is found: the street alone does not make them the same."""
    calm, fight, other = folder / "calm.mp4", folder / "fight.mp4", folder / "other.mp4"
    draw_calm_clip(calm)
    draw_fight_clip(fight, 24, seed=1)
    draw_fight_clip(other, 24, seed=2)
    analyses = [_seen(client, path) for path in (calm, fight, other)]
    assert [analysis["seen_before"] for analysis in analyses] == [None, None, None]
    assert [bool(analysis["violenceDetections"]) for analysis in analyses] == [False, True, True]


def _seen(client: SightlineClient, path: Path) -> dict[str, Any]:
    asset_id = send(client, path, source_id="seen-before")
    assert client.wait_until_ended(asset_id, timeout=TIMEOUT_SECONDS)["state"] == "done"
    return client.analysis(asset_id)


def check_incident(http: httpx.Client, place: str) -> None:
    """A signal with a picture opens an incident; an alert exhausts the one guard; an operator sees all, and ends it."""
    http.put(f"/beacons/{place}", json={"location": "Back door"}).raise_for_status()
    http.put(f"/guards/guard of {place}", json={"name": "Grace", "places": [place]}).raise_for_status()
    fields = {"beacon_id": place, "confidence_score": "0.95", "description": "Fight"}
    files = {"images": ("evidence.jpg", draw_photo(320, 240, 1), "image/jpeg")}
    sent = http.post("/api/ai/violence-detected/", data=fields, files=files)
    assert (sent.status_code, sent.json()["status"]) == (201, "incident_created")
    incident_id = sent.json()["incident_id"]
    path = f"/incidents/{incident_id}"

    shown = http.get(path).raise_for_status().json()
    (image,) = shown["images"]
    assert (image["image_id"], shown["signal_count"]) == (sent.json()["images"][0]["id"], 1)
    _check_link(sent.json()["images"][0]["image"])
    link = http.get(f"{path}/images/{image['image_id']}", follow_redirects=False)
    assert (link.status_code, link.headers["cache-control"]) == (307, "no-store")
    _check_link(link.headers["location"])
    views = http.get(f"{path}/views").raise_for_status().json()["views"]
    assert sorted(view["purpose"] for view in views) == ["link", "reply"]

    (alert,) = _until(lambda: http.get("/alerts", params={"incident_id": incident_id}).json()["alerts"])
    declined = http.post(f"/alerts/{alert['alert_id']}/decline", json={"guard_id": f"guard of {place}"})
    assert declined.raise_for_status().json()["asks"][0]["answer"] == "declined"
    _until(lambda: http.get(f"/alerts/{alert['alert_id']}").json()["state"] == "exhausted")

    end = {"outcome": "escalated", "note": "The police came."}
    ended = http.post(f"{path}/resolve", json=end, headers={"If-Match": f'"{shown["revision"]}"'})
    assert ended.raise_for_status().json()["status"] == "RESOLVED"
    again = http.post(f"{path}/resolve", json=end)
    assert (again.status_code, again.json()["incident"]["status"]) == (409, "RESOLVED")
    kinds = [item["kind"] for item in http.get(f"{path}/timeline").raise_for_status().json()["items"]]
    assert {kinds.count("change"), kinds.count("signal"), kinds.count("image")} == {2, 1}


def _check_link(url: str) -> None:
    seen = httpx.get(url)
    assert (seen.status_code, seen.headers["content-type"]) == (200, "image/jpeg")


def _until(found: Callable[[], Any]) -> Any:
    """What is looked for, once it is there."""
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while not (got := found()):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    return got
