"""Many devices report at once: one incident a place opens, and nothing is lost. On both homes, over HTTP."""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path
from typing import Any

import httpx
import pytest

from bench.photos import draw_photo
from bench.signals import client, report_many
from local import stack
from local.client import SightlineClient
from local.emulators import free_port
from local.server import running_server
from tests.conftest import require_emulators

SIGNALS = 1000
THREADS = 64
WITH_IMAGES = 200
PLACES = 20
PATIENCE_SECONDS = 300.0
PLACE = "the gate"


def check_many_signals(reporting: str, reading: str, token: str | None) -> None:
    """Reports at one origin, reads at another (or the same)."""
    reader = SightlineClient(reading, token)
    reader.put_beacon(PLACE, "Gate")
    with client(reporting, token, connections=THREADS) as sender:
        burst = report_many(sender, PLACE, signals=SIGNALS, threads=THREADS, seconds=PATIENCE_SECONDS)
    assert Counter((reply.status, reply.outcome) for reply in burst.replies) == {
        (201, "incident_created"): 1,
        (200, "signal_added_to_existing"): SIGNALS - 1,
    }
    (incident,) = reader.incidents(beacon_id=PLACE)["incidents"]
    assert reader.incident(incident["incident_id"])["signal_count"] == SIGNALS
    reader.close()


def check_many_images(reporting: str, reading: str, token: str | None) -> None:
    """As many requests at once as there are signals, each with a picture, at twenty places."""
    places = [f"place {number}" for number in range(PLACES)]
    drawn = [draw_photo(320, 240, seed) for seed in range(PLACES // 2)]  # each place is sent the same one each time
    with client(reading, token, connections=1) as reader:
        for place in places:
            reader.put(f"/beacons/{place}", json={"location": place}).raise_for_status()
        with client(reporting, token, connections=WITH_IMAGES) as sender:
            burst = report_many(
                sender, places, signals=WITH_IMAGES, threads=WITH_IMAGES, seconds=PATIENCE_SECONDS, photos=drawn
            )
        assert Counter((reply.status, reply.outcome) for reply in burst.replies) == {
            (201, "incident_created"): PLACES,
            (200, "signal_added_to_existing"): WITH_IMAGES - PLACES,
        }
        sent = [image for reply in burst.replies for image in reply.body["images"]]
        assert len({image["id"] for image in sent}) == WITH_IMAGES
        assert all(httpx.get(image["image"]).status_code == 200 for image in sent)
        opened = [_shown(reader, place) for place in places]
        assert [incident["signal_count"] for incident in opened] == [WITH_IMAGES // PLACES] * PLACES
        linked = [image["image_id"] for incident in opened for image in incident["images"]]
        assert sorted(linked) == sorted(image["id"] for image in sent)
        found = _alerts(reader, places, at_least=PLACES)
        assert Counter(alert["incident_id"] for alert in found) == {each["incident_id"]: 1 for each in opened}


def _shown(reader: httpx.Client, place: str) -> dict[str, Any]:
    """The only incident of a place."""
    (incident,) = reader.get("/incidents", params={"beacon_id": place}).raise_for_status().json()["incidents"]
    shown: dict[str, Any] = reader.get(f"/incidents/{incident['incident_id']}").raise_for_status().json()
    return shown


def _alerts(reader: httpx.Client, places: list[str], *, at_least: int) -> list[dict[str, Any]]:
    """The alerts of these places, once there are so many."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        listed = reader.get("/alerts", params={"limit": 1000}).raise_for_status().json()["alerts"]
        found = [alert for alert in listed if alert["beacon_id"] in places]
        if len(found) >= at_least:
            return found
        assert time.monotonic() < deadline, found
        time.sleep(0.2)


def test_many_signals_at_once_open_one_incident_embedded(tmp_path: Path) -> None:
    with running_server(tmp_path / "data", port=free_port()) as base_url:
        check_many_signals(base_url, base_url, None)


def test_many_signals_with_images_at_many_places_embedded(tmp_path: Path) -> None:
    with running_server(tmp_path / "data", port=free_port()) as base_url:
        check_many_images(base_url, base_url, None)


@pytest.mark.xdist_group("emulator-stack")
def test_many_signals_at_once_on_the_emulators(tmp_path: Path) -> None:
    require_emulators()
    with stack.running_stack(tmp_path, free_port()) as started:
        check_many_signals(started.functions["signals"], started.base_url, stack.TOKEN)
        check_many_images(started.functions["signals"], started.base_url, stack.TOKEN)
