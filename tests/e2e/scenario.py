"""What every home must do, asked over HTTP by a client that knows nothing of what is behind the origin."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import httpx
import pytest
from rich.console import Console

from local import demo
from local.client import SightlineClient
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
    }
    assert analysis["pending"] == []
    assert len(analysis["violenceDetections"]) == 1
    incident = result.incident
    assert incident is not None
    assert incident["signal_count"] == 2
    assert (incident["status"], incident["priority"]) == ("CREATED", "Critical")
    assert {signal["asset_id"] for signal in incident["signals"]} == {None, analysis["asset_id"]}


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


def bad_files(folder: Path) -> dict[str, tuple[Path, str]]:
    """Files that are no usable video, each with the code its asset must fail with."""
    plain = videos.encode()
    track_header = plain.index(b"tkhd") + 4 + 76
    wide = (30_000 << 16).to_bytes(4, "big") * 2
    contents = {
        "text.mp4": (b"this is no video\n" * 100, "not_a_video"),
        "image.mp4": (b"\x89PNG\r\n\x1a\n" + bytes(100), "not_a_video"),
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
