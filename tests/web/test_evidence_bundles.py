"""Bundles: made while they are sent, known by their manifest's digest, and any change in them is found."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from typing import Any

import pytest
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from local.home import Home
from shared.handlers import bundle_reading, verifying
from tests.fakes import NOON
from tests.web.evidence_cases import reported, set_fields, with_clip, with_image

ZIP = {"Content-Type": "application/zip"}


def bundle_of(client: TestClient, incident_id: str) -> bytes:
    reply = client.get(f"/incidents/{incident_id}/evidence")
    assert (reply.status_code, reply.headers["content-type"]) == (200, "application/zip"), reply.text
    return reply.content


def verify(client: TestClient, data: bytes) -> dict[str, Any]:
    reply = client.post("/evidence/verify", content=data, headers=ZIP)
    assert reply.status_code == 200, reply.text
    verdict: dict[str, Any] = reply.json()
    return verdict


def files_of(data: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert archive.testzip() is None
        return {name: archive.read(name) for name in archive.namelist()}


def zipped(files: dict[str, bytes]) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return target.getvalue()


def test_a_bundle_holds_everything_and_is_valid(client: TestClient, home: Home) -> None:
    signal = reported(client)
    incident_id = signal["incident_id"]
    image, asset = with_image(home, signal), with_clip(home, incident_id, folder="quarantine")
    home.media.put(f"analysis/{asset.id}/timeline.json", b"{}", content_type="application/json")
    data = bundle_of(client, incident_id)
    files = files_of(data)
    manifest = json.loads(files["manifest.json"])
    assert list(files) == [
        "incident.json",
        "timeline.json",
        "signals.json",
        "alerts.json",
        "deliveries.json",
        "views.json",
        "images.json",
        f"images/{image.id}.jpg",
        f"analysis/{asset.id}/analysis.json",
        f"analysis/{asset.id}/timeline.json",
        f"media/{asset.id}",
        "manifest.json",
    ]
    assert (files[f"images/{image.id}.jpg"], files[f"media/{asset.id}"]) == (b"a picture", b"a clip")
    assert {file["path"]: file["sha256"] for file in manifest["files"]} == {
        path: hashlib.sha256(content).hexdigest() for path, content in files.items() if path != "manifest.json"
    }
    assert manifest["absent"] == []
    assert [entry["action"] for entry in json.loads(files["timeline.json"])] == ["opened", "evidence_exported"]
    assert manifest["incident_revision"] == json.loads(files["incident.json"])["revision"] == 2
    verdict = verify(client, data)
    assert (verdict["valid"], verdict["problems"], verdict["incident_id"]) == (True, [], incident_id)
    assert len(verdict["files"]["ok"]) == len(files) - 1


def test_an_export_is_in_the_view_log_and_in_the_timeline(client: TestClient, home: Home) -> None:
    incident_id = reported(client)["incident_id"]
    manifest = json.loads(files_of(bundle_of(client, incident_id))["manifest.json"])
    (view,) = client.get(f"/incidents/{incident_id}/views").json()["views"]
    assert (view["purpose"], view["item_id"], view["expires_at"]) == ("bundle", manifest["bundle_id"], None)


def test_what_is_not_there_is_listed_with_its_reason(client: TestClient, home: Home) -> None:
    signal = reported(client)
    incident_id = signal["incident_id"]
    kept_away, erased, lost = (with_image(home, signal) for _ in range(3))
    clip, overwritten = with_clip(home, incident_id), with_clip(home, incident_id)
    set_fields(home, "evidence_images", str(kept_away.id), deleted_at=NOON, deleted_because="retention")
    set_fields(home, "evidence_images", str(erased.id), deleted_at=NOON, deleted_because="erasure")
    home.evidence.delete(lost.object_name)
    set_fields(home, "assets", clip.id, quarantine="deleted")
    home.media.put(overwritten.object_name, b"another", content_type="video/mp4")
    data = bundle_of(client, incident_id)
    manifest = json.loads(files_of(data)["manifest.json"])
    assert {absent["path"]: absent["reason"] for absent in manifest["absent"]} == {
        f"images/{kept_away.id}.jpg": "deleted_by_retention",
        f"images/{erased.id}.jpg": "erased",
        f"images/{lost.id}.jpg": "not_stored",
        f"media/{clip.id}": "deleted_by_retention",
        f"media/{overwritten.id}": "changed_meanwhile",
    }
    verdict = verify(client, data)
    assert (verdict["valid"], verdict["absent"]) == (True, 5)


def test_a_large_bundle_is_checked_by_its_manifest_and_sums(client: TestClient, home: Home) -> None:
    signal = reported(client)
    with_image(home, signal)
    files = files_of(bundle_of(client, signal["incident_id"]))
    text = files.pop("manifest.json").decode()
    sums = {path: hashlib.sha256(content).hexdigest().upper() for path, content in files.items()}
    for manifest in (text, json.loads(text)):
        assert client.post("/evidence/verify", json={"manifest": manifest, "files": sums}).json()["valid"] is True
    sums["incident.json"] = "0" * 64
    verdict = client.post("/evidence/verify", json={"manifest": text, "files": sums}).json()
    assert (verdict["valid"], verdict["manifest_known"]) == (False, True)
    assert verdict["files"]["changed"] == ["incident.json"]


def test_a_form_may_bring_the_bundle_too(client: TestClient) -> None:
    data = bundle_of(client, reported(client)["incident_id"])
    assert client.post("/evidence/verify", files={"file": ("bundle.zip", data)}).json()["valid"] is True


def test_a_manifest_that_was_fitted_to_changed_files_is_unknown(client: TestClient) -> None:
    files = files_of(bundle_of(client, reported(client)["incident_id"]))
    files["incident.json"] += b" "
    manifest = json.loads(files["manifest.json"])
    for entry in manifest["files"]:
        entry["sha256"] = hashlib.sha256(files[entry["path"]]).hexdigest()
    files["manifest.json"] = json.dumps(manifest, sort_keys=True, separators=(",", ":")).encode()
    verdict = verify(client, zipped(files))
    assert (verdict["valid"], verdict["manifest_known"], verdict["files"]["changed"]) == (False, False, [])
    assert verdict["problems"] == [verifying.UNKNOWN]


def test_files_that_are_missing_or_too_many_are_named(client: TestClient) -> None:
    files = files_of(bundle_of(client, reported(client)["incident_id"]))
    del files["signals.json"]
    verdict = verify(client, zipped({**files, "extra.txt": b"x"}))
    assert verdict["valid"] is False
    assert (verdict["files"]["missing"], verdict["files"]["unexpected"]) == (["signals.json"], ["extra.txt"])


@pytest.fixture
def whole(client: TestClient, home: Home) -> bytes:
    """A bundle with a picture and a clip."""
    signal = reported(client)
    with_image(home, signal)
    with_clip(home, signal["incident_id"])
    return bundle_of(client, signal["incident_id"])


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(drawn=st.data())
def test_the_flip_of_any_bit_of_any_file_is_found(whole: bytes, home: Home, drawn: st.DataObject) -> None:
    """The bytes of the files as they lie in the zip; what lies between them is the zip's own."""
    with zipfile.ZipFile(io.BytesIO(whole)) as archive:
        entry = drawn.draw(st.sampled_from(archive.infolist()))
    begin = entry.header_offset + 30 + len(entry.filename) + _extra(whole, entry.header_offset)
    place = begin + drawn.draw(st.integers(0, entry.compress_size - 1))
    changed = bytearray(whole)
    changed[place] ^= 1 << drawn.draw(st.integers(0, 7))
    verdict = verifying.verify(bundle_reading.sums_of(io.BytesIO(bytes(changed))), home.documents)
    assert not verdict.valid
    assert entry.filename == "manifest.json" or verdict.files.changed == (entry.filename,)


def _extra(data: bytes, header: int) -> int:
    return int.from_bytes(data[header + 28 : header + 30], "little")


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(changes=st.lists(st.tuples(st.integers(0, 10**9), st.binary(min_size=1, max_size=6)), min_size=1, max_size=5))
def test_a_mangled_zip_is_answered_and_never_valid_with_other_files(
    whole: bytes, home: Home, client: TestClient, changes: list[tuple[int, bytes]]
) -> None:
    mangled = bytearray(whole)
    for place, data in changes:
        begin = place % len(mangled)
        mangled[begin : begin + len(data)] = data
    reply = client.post("/evidence/verify", content=bytes(mangled), headers=ZIP)
    assert reply.status_code in {200, 400, 413}
    if reply.status_code == 200 and reply.json()["valid"]:
        assert files_of(bytes(mangled)) == files_of(whole)
