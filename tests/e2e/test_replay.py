"""A stage is replayed on the embedded home, with the model that looked first and with another one after a restart."""

from __future__ import annotations

from pathlib import Path

import pytest

from local.client import SightlineClient
from local.emulators import free_port
from local.server import running_server
from shared.settings import EmbeddedSettings
from tests.e2e import scenario
from tests.unit.detection.own_models import FRAME, beside, frame_model, to_tflite

pytestmark = pytest.mark.xdist_group("tensorflow")


@pytest.fixture(scope="module")
def unmoved_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A user's own model that finds every picture one fifth alarming, whatever it shows."""
    path = tmp_path_factory.mktemp("model") / "unmoved.tflite"
    path.write_bytes(to_tflite(frame_model(gain=0.0, bias=0.2)))
    return beside(path, {**FRAME, "name": "unmoved", "version": "1"})


def test_a_replay_after_a_model_change_shows_old_against_new(fight: Path, unmoved_model: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    with running_server(data, port=free_port()) as base_url:
        client = SightlineClient(base_url)
        asset_id = scenario.check_replay_and_feedback(client, fight)
        before = client.analysis(asset_id)
        client.close()
    with running_server(data, port=free_port(), config=EmbeddedSettings(model_path=unmoved_model)) as base_url:
        client = SightlineClient(base_url)
        replay = client.replay(asset_id, "detect", actor="Ada")
        after = client.analysis(asset_id)
        timeline = client.timeline(asset_id)
        kept = client.feedback(asset_id)
        client.close()
    old, new = replay["old"], replay["new"]
    assert (replay["state"], replay["changed"]) == ("done", True)
    assert (old["version"], new["version"]) == (before["stages"]["detect"]["version"], "unmoved-1")
    assert (old["analysis"]["overallRisk"], new["analysis"]["overallRisk"]) == ("high", "low")
    assert (len(old["analysis"]["violenceDetections"]), new["analysis"]["violenceDetections"]) == (1, [])
    assert new["peakProbability"] == pytest.approx(0.2, abs=0.01)
    assert (after["state"], after["stages"]["detect"]["version"]) == ("done", "unmoved-1")
    assert after["summary"] == new["analysis"]["summary"]
    assert timeline["model"] == "unmoved-1"
    # What was found then keeps its incident, and what a person said of it still speaks of the model they judged.
    assert after["incidents"] == before["incidents"]
    assert [label["model"] for label in kept] == [old["version"]]
