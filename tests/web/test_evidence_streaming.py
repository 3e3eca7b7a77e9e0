"""A bundle while things happen to what is in it: memory, disappearing and moving objects, a client that goes away."""

from __future__ import annotations

import io
import json
import threading
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, BinaryIO

import httpx
import pytest
from fastapi.testclient import TestClient

from local import verify_bundle
from local.__main__ import main
from local.home import Home
from shared.adapters.system_clock import SystemClock
from shared.domain.incident_changes import Action
from shared.errors import Conflict, NotFound, Retryable
from shared.handlers import bundle_reading, bundling, erasures, evidence, incident_records, legal_hold, verifying
from shared.handlers.bundle_parts import BLOCK_BYTES
from shared.handlers.evidence_links import EvidenceLinks
from shared.ports import Caller, Role
from shared.repositories import incident_timelines
from tests.web.evidence_cases import reported, set_fields, with_clip, with_image

ADMIN = Caller("ada", Role.ADMIN)
CLOCK = SystemClock()


def made(home: Home, incident_id: str, **changed: Any) -> tuple[bytes, dict[str, Any]]:
    """A bundle, and its manifest."""
    deps = bundling.Deps(
        evidence.over(home.documents, CLOCK, changed.get("links", home.links), changed.get("media", home.media)),
        home.queue,
    )
    data = b"".join(bundling.stream(bundling.begin(incident_id, ADMIN, "Sightline", deps), deps))
    verdict = verifying.verify(bundle_reading.sums_of(io.BytesIO(data)), home.documents)
    assert verdict.valid, verdict
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return data, json.loads(archive.read("manifest.json"))


class Wrapped:
    """A bucket whose objects are opened by another function."""

    def __init__(self, blobs: Any, opening: Any) -> None:
        self._blobs, self._opening = blobs, opening

    def open(self, name: str, *, generation: int | None = None) -> BinaryIO:
        stream: BinaryIO = self._opening(self._blobs, name, generation)
        return stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._blobs, name)


class Breaking(io.BytesIO):
    """Gives one block, and then nothing any more."""

    def read(self, size: int | None = -1) -> bytes:
        if self.tell():
            raise Retryable("the bucket is away")
        return super().read(size)


def test_an_object_that_breaks_off_leaves_a_valid_zip_that_says_so(client: TestClient, home: Home) -> None:
    incident_id = reported(client)["incident_id"]
    asset = with_clip(home, incident_id, bytes(3 << 20))
    media = Wrapped(
        home.media, lambda blobs, name, generation: Breaking(blobs.open(name, generation=generation).read())
    )
    _, manifest = made(home, incident_id, media=media)
    (file,) = [each for each in manifest["files"] if each["path"] == f"media/{asset.id}"]
    assert (file["partial"], file["size"]) == (True, BLOCK_BYTES)
    assert {"path": f"media/{asset.id}", "reason": "unreadable"} in manifest["absent"]


def test_a_clip_that_moves_into_quarantine_meanwhile_is_found_there(client: TestClient, home: Home) -> None:
    incident_id = reported(client)["incident_id"]
    asset = with_clip(home, incident_id)

    def moving(blobs: Any, name: str, generation: int | None) -> BinaryIO:
        if name.startswith("media/"):
            moved = blobs.copy(name, f"quarantine/{asset.id}")
            set_fields(home, "assets", asset.id, object_name=moved.name, generation=moved.generation)
            blobs.delete(name)
        stream: BinaryIO = blobs.open(name, generation=generation)
        return stream

    _, manifest = made(home, incident_id, media=Wrapped(home.media, moving))
    (file,) = [each for each in manifest["files"] if each["path"] == f"media/{asset.id}"]
    assert file["source"]["name"] == f"quarantine/{asset.id}"
    assert manifest["absent"] == []


def test_a_picture_that_is_deleted_meanwhile_is_absent(client: TestClient, home: Home) -> None:
    signal = reported(client)
    image = with_image(home, signal)

    def gone(_: Any, name: str, __: int | None) -> BinaryIO:
        raise NotFound("gone", name)

    links = EvidenceLinks(Wrapped(home.evidence, gone), home.links.mode, home.links.public_base)
    _, manifest = made(home, signal["incident_id"], links=links)
    assert manifest["absent"] == [{"path": f"images/{image.id}.jpg", "reason": "changed_meanwhile"}]


def test_an_incident_that_changes_meanwhile_is_bundled_as_it_was(client: TestClient, home: Home) -> None:
    incident_id = reported(client)["incident_id"]
    deps = bundling.Deps(home.evidence_deps(), home.queue)
    begun = bundling.begin(incident_id, ADMIN, "Sightline", deps)
    legal_hold.set_hold(incident_id, True, "later", ADMIN, incident_records.Deps(home.documents, home.queue, CLOCK))
    with zipfile.ZipFile(io.BytesIO(b"".join(bundling.stream(begun, deps)))) as archive:
        actions = [entry["action"] for entry in json.loads(archive.read("timeline.json"))]
        assert json.loads(archive.read("incident.json"))["legal_hold"] is False
    assert actions == [Action.OPENED, Action.EXPORTED]


def test_a_client_that_goes_away_leaves_a_bundle_without_a_manifest(client: TestClient, home: Home) -> None:
    incident_id = reported(client)["incident_id"]
    with_clip(home, incident_id, bytes(3 << 20))
    deps = bundling.Deps(home.evidence_deps(), home.queue)
    begun = bundling.begin(incident_id, ADMIN, "Sightline", deps)
    blocks: Iterator[bytes] = bundling.stream(begun, deps)
    next(blocks)
    del blocks
    record = home.documents.get("evidence_bundles", begun.id)
    assert record is not None
    assert record.data["manifest_sha256"] is None


def test_of_a_hold_and_an_erasure_at_once_one_comes_first_and_the_timeline_has_no_gap(
    client: TestClient, home: Home
) -> None:
    deps = incident_records.Deps(home.documents, home.queue, CLOCK)
    for _ in range(10):
        signal = reported(client)
        incident_id = signal["incident_id"]
        accepted = raced(incident_id, signal["ai_event_id"], deps)
        entries, _ = incident_timelines.of_incident(home.documents, incident_id, limit=1000)
        assert [entry.number for entry in entries] == list(range(1, len(entries) + 1))
        last = [entry.action for entry in entries][-2:]
        assert last == [Action.ERASED, Action.HELD] if accepted else last[-1] is Action.HELD
        legal_hold.set_hold(incident_id, False, "over", ADMIN, deps)


def raced(incident_id: str, event_id: int, deps: incident_records.Deps) -> bool:
    """Holds and erases at the same moment; whether the erasure was accepted."""
    barrier = threading.Barrier(2)

    def ordered() -> bool:
        barrier.wait()
        try:
            erasures.order(erasures.Order("x", "r", (), (), (event_id,)), ADMIN, deps)
        except Conflict:
            return False
        return True

    def held() -> None:
        barrier.wait()
        legal_hold.set_hold(incident_id, True, "court", ADMIN, deps)

    with ThreadPoolExecutor(2) as pool:
        erasing, holding = pool.submit(ordered), pool.submit(held)
        holding.result()
        return erasing.result()


def test_the_command_checks_a_file_alone(client: TestClient, home: Home, tmp_path: Path, capsys: Any) -> None:
    signal = reported(client)
    with_image(home, signal)
    data, _ = made(home, signal["incident_id"])
    file = tmp_path / "bundle.zip"
    file.write_bytes(data)
    assert main(["verify-bundle", str(file)]) == 0
    changed = bytearray(data)
    changed[data.index(b"a picture")] ^= 1
    file.write_bytes(changed)
    assert main(["verify-bundle", str(file)]) == 1
    assert "changed: images/" in capsys.readouterr().out
    file.write_bytes(data[:-5])
    assert main(["verify-bundle", str(file)]) == 1
    assert main(["verify-bundle", str(tmp_path / "nothing.zip")]) == 2


def test_the_command_asks_the_server(
    client: TestClient, home: Home, tmp_path: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, manifest = made(home, reported(client)["incident_id"])
    file = tmp_path / "bundle.zip"
    file.write_bytes(data)
    monkeypatch.setattr(httpx, "post", lambda url, json, headers, timeout: client.post(url, json=json))
    assert verify_bundle.run(file, "http://testserver", None) == 0
    assert f"bundle {manifest['bundle_id']}" in capsys.readouterr().out
    set_fields(home, "evidence_bundles", manifest["bundle_id"], manifest_sha256="0" * 64)
    assert verify_bundle.run(file, "http://testserver", None) == 1
    assert verifying.UNKNOWN in capsys.readouterr().out
