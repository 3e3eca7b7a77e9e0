"""The whole product in one process, as `python -m local` runs it."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from local import __main__ as command_line
from local.client import SightlineClient
from local.drawing import draw_calm_clip
from local.emulators import end_group, free_port, wait_for_port
from local.server import origin_of, running_server
from tests.e2e import scenario

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def client(tmp_path: Path) -> Iterator[SightlineClient]:
    with running_server(tmp_path / "data", port=free_port()) as base_url:
        made = SightlineClient(base_url)
        yield made
        made.close()


def test_the_main_job(client: SightlineClient, fight: Path) -> None:
    scenario.check_main_job(scenario.main_job(client, fight))


def test_bad_files_fail_clearly_and_harm_nothing(client: SightlineClient, fight: Path, tmp_path: Path) -> None:
    scenario.check_bad_files(client, tmp_path, fight)


def test_a_file_may_be_analysed_at_once(client: SightlineClient, fight: Path, tmp_path: Path) -> None:
    scenario.check_direct_analysis(client, fight, tmp_path)


def test_a_still_picture_is_moderated(client: SightlineClient, tmp_path: Path) -> None:
    scenario.check_still_picture(client, tmp_path)


def test_what_was_seen_before_is_known_again(client: SightlineClient, fight: Path, tmp_path: Path) -> None:
    scenario.check_seen_before(client, fight, tmp_path)


def test_a_fight_where_it_was_calm_before_is_found(client: SightlineClient, tmp_path: Path) -> None:
    scenario.check_same_camera(client, tmp_path)


def test_an_upload_url_is_good_for_one_thing_once(client: SightlineClient, fight: Path) -> None:
    scenario.check_upload_urls(client, fight)


def test_an_incident_with_a_picture_from_signal_to_resolution(tmp_path: Path) -> None:
    with (
        running_server(tmp_path / "data", port=free_port()) as base_url,
        httpx.Client(base_url=base_url, timeout=30) as http,
    ):
        scenario.check_incident(http, "back door")


SERVE = ("-m", "local")
STUCK = (
    "-c",
    "import sys, time; from shared.detection.detector import WindowDetector; from local.__main__ import main\n"
    "WindowDetector.detect = lambda *_, **__: time.sleep(600)\n"
    "sys.exit(main(sys.argv[1:]))",
)
"""A server whose detector never comes to an end."""


@contextmanager
def serving(
    data: Path, port: int, log: Path, program: tuple[str, str] = SERVE, **variables: str
) -> Iterator[subprocess.Popen[bytes]]:
    """`python -m local serve` in a process of its own."""
    command = [sys.executable, *program, "serve", "--port", str(port), "--data", str(data)]
    with log.open("ab") as output:
        environment = {**os.environ, "STAGE_LEASE_SECONDS": "2", **variables}
        process = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdout=output, stderr=output, start_new_session=True
        )
    try:
        wait_for_port(port, process, f"the server (log: {log})")
        yield process
    finally:
        end_group(process)


@pytest.mark.parametrize("kills", [1, 3])
def test_kill_minus_nine_in_the_middle_loses_no_upload(kills: int, fight: Path, tmp_path: Path) -> None:
    port = free_port()
    data, log = tmp_path / "data", tmp_path / "serve.log"
    accepted: list[str] = []
    for _ in range(kills):
        with serving(data, port, log) as process:
            client = SightlineClient(f"http://127.0.0.1:{port}")
            accepted += [scenario.send(client, fight, source_id="gate") for _ in range(3)]
            _wait_until_a_stage_runs(client, accepted[-3:])
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
            client.close()
    with serving(data, port, log):
        client = SightlineClient(f"http://127.0.0.1:{port}")
        ended = [client.wait_until_ended(asset_id, timeout=scenario.TIMEOUT_SECONDS) for asset_id in accepted]
        assert [status["state"] for status in ended] == ["done"] * len(accepted), log.read_text()
        incidents = client.incidents(beacon_id="gate")["incidents"]
        assert len(incidents) == 1
        assert client.incident(incidents[0]["incident_id"])["signal_count"] == len(accepted)
        client.close()


def test_a_stage_whose_server_was_killed_five_times_ends_and_its_dead_letter_mends_it(
    fight: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    port = free_port()
    data, log = tmp_path / "data", tmp_path / "serve.log"
    client = SightlineClient(f"http://127.0.0.1:{port}")
    asset_id = ""
    for attempt in range(1, 6):
        with serving(data, port, log, STUCK) as process:
            asset_id = asset_id or scenario.send(client, fight)
            _wait_for_attempt(client, asset_id, attempt)
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
    with serving(data, port, log, SWEEP_SECONDS="1", SWEEP_GRACE_SECONDS="1"):
        status = client.wait_until_ended(asset_id, timeout=scenario.TIMEOUT_SECONDS)
        assert (status["state"], status["stages"]["detect"]["error_code"]) == ("failed", "worker_lost")
        assert status["error"] == "The worker was lost 5 times while it was at this stage."
        assert client.analysis(asset_id)["complete"] is True
        assert httpx.get(f"http://127.0.0.1:{port}/health").json()["components"]["maintain"] == "ok"
    command_line.main(["dead-letters", "--data", str(data)])
    handle = capsys.readouterr().out.split()[0]
    assert command_line.main(["dead-letters", "--data", str(data), "--replay", handle]) == 0
    with serving(data, port, log):
        _wait_until_done(client, asset_id)
    client.close()


def _wait_for_attempt(client: SightlineClient, asset_id: str, number: int) -> None:
    deadline = time.monotonic() + scenario.TIMEOUT_SECONDS
    while (found := client.analysis(asset_id)["stages"]["detect"])["attempts"] != number or found["state"] != "running":
        assert time.monotonic() < deadline, found
        time.sleep(0.02)


def _wait_until_a_stage_runs(client: SightlineClient, asset_ids: list[str]) -> None:
    for _ in range(2000):
        for asset_id in asset_ids:
            stages = client.analysis(asset_id)["stages"].values()
            if any(stage["state"] == "running" for stage in stages):
                return
        time.sleep(0.002)
    pytest.fail("no stage was seen running")


def test_state_survives_an_orderly_restart(fight: Path, tmp_path: Path) -> None:
    port = free_port()
    with serving(tmp_path / "data", port, tmp_path / "log") as process:
        client = SightlineClient(f"http://127.0.0.1:{port}")
        asset_id = scenario.send(client, fight)
        client.wait_until_ended(asset_id, timeout=scenario.TIMEOUT_SECONDS)
        before = _without_quarantine(client.analysis(asset_id))
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=20) in {0, -signal.SIGTERM}
    with serving(tmp_path / "data", port, tmp_path / "log"):
        assert _without_quarantine(client.analysis(asset_id)) == before
        client.close()


def _without_quarantine(analysis: dict[str, Any]) -> dict[str, Any]:
    """What a running sweeper does not change."""
    return {name: value for name, value in analysis.items() if name != "quarantine"}


def test_a_folder_has_one_server(tmp_path: Path) -> None:
    with running_server(tmp_path / "data", port=free_port()):
        command = [sys.executable, "-m", "local", "serve", "--port", str(free_port()), "--data", str(tmp_path / "data")]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert "another process serves" in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("host", "origin"),
    [("127.0.0.1", "http://127.0.0.1:80"), ("::1", "http://[::1]:80"), ("here.example", "http://here.example:80")],
)
def test_upload_urls_begin_with_what_clients_reach(host: str, origin: str) -> None:
    assert origin_of(host, 80) == origin


def test_a_server_on_every_address_asks_how_it_is_reached(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command_line.main(["serve", "--host", "0.0.0.0", "--data", str(tmp_path)]) == 2
    assert "--public-url" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["serve", "emulators"])
def test_a_port_that_is_taken_is_refused(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        assert command_line.main([command, "--port", port]) == 2
    assert f"port {port} cannot be used" in capsys.readouterr().err


def test_analyze_prints_one_line_a_file_in_order(
    fight: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    calm, text = tmp_path / "calm.mp4", tmp_path / "text.mp4"
    draw_calm_clip(calm)
    text.write_text("no video")
    absent = tmp_path / "absent.mp4"
    status = command_line.main(["analyze", str(fight), str(text), str(calm), str(absent)])
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert status == 1
    assert [line["file"] for line in lines] == [str(fight), str(text), str(calm), str(absent)]
    assert set(lines[0]) == {
        "file",
        "summary",
        "violenceDetections",
        "totalDuration",
        "overallRisk",
        "confidence",
        "objects",
        "emotions",
        "scenes",
        "peakProbability",
    }
    assert lines[0]["peakProbability"] == lines[0]["confidence"] >= 0.75
    assert lines[1]["error"]["code"] == "not_a_video"
    assert lines[2]["violenceDetections"] == []
    assert 0 < lines[2]["peakProbability"] < 0.5
    assert lines[3]["error"]["code"] == "unreadable_file"


def test_analyze_heeds_the_sensitivity(fight: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command_line.main(["analyze", "--sensitivity", "0", str(fight)]) == 0
    line = json.loads(capsys.readouterr().out)
    assert line["violenceDetections"] == []
    assert line["peakProbability"] > 0.75
    with pytest.raises(SystemExit):
        command_line.main(["analyze", "--sensitivity", "nan", str(fight)])


@pytest.mark.parametrize("command", ["analyze", "serve"])
def test_a_model_without_its_sidecar_stops_the_start_and_the_variable_is_named(
    command: str, fight: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "best.tflite").write_bytes(b"weights")
    monkeypatch.setenv("MODEL_PATH", str(tmp_path / "best.tflite"))
    data = tmp_path / "data"
    arguments = {"analyze": [str(fight)], "serve": ["--port", str(free_port()), "--data", str(data)]}[command]
    assert command_line.main([command, *arguments]) == 2
    assert capsys.readouterr().err == (
        "sightline: MODEL_PATH: The model best.tflite can't be used: it is no TensorFlow Lite file; "
        'best.tflite.json: it is missing; "Your own model" in README.md shows one.\n'
    )
    assert not data.exists()


def test_the_demo_succeeds_with_a_drawing_and_with_a_calm_clip_and_fails_without_a_video(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command_line.main(["demo"]) == 0
    shown = capsys.readouterr().out
    assert "drawing, not footage" in " ".join(shown.split())
    assert "signal_added_to_existing" in shown
    assert "The whole chain worked" in shown
    calm = tmp_path / "calm.mp4"
    draw_calm_clip(calm)
    assert command_line.main(["demo", str(calm)]) == 0
    assert "is below the 0.75 that opens one" in capsys.readouterr().out
    text = tmp_path / "text.mp4"
    text.write_text("no video")
    assert command_line.main(["demo", str(text)]) == 1
    assert "The chain broke: The file is text, not a video." in capsys.readouterr().out
    assert command_line.main(["demo", str(tmp_path / "absent.mp4")]) == 2


def test_dead_letters_are_listed_and_replayed(
    fight: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from local import home

    monkeypatch.setattr(home, "MINIMUM_BACKOFF", timedelta(seconds=0.01))
    data = tmp_path / "data"
    with running_server(data, port=free_port()) as base_url, monkeypatch.context() as broken:
        broken.setattr("shared.detection.detector.WindowDetector.detect", _broken_detector)
        client = SightlineClient(base_url)
        asset_id = scenario.send(client, fight)
        status = client.wait_until_ended(asset_id, timeout=scenario.TIMEOUT_SECONDS)
        assert status["stages"]["detect"]["error_code"] == "retries_exhausted"
        client.close()
    assert command_line.main(["dead-letters", "--data", str(data)]) == 0
    listed = capsys.readouterr().out.splitlines()
    assert len(listed) == 1
    assert "detect-on-media-uploaded" in listed[0]
    assert command_line.main(["dead-letters", "--data", str(data), "--replay", listed[0].split()[0]]) == 0
    with running_server(data, port=free_port()) as base_url:
        client = SightlineClient(base_url)
        _wait_until_done(client, asset_id)
        client.close()
    capsys.readouterr()
    assert command_line.main(["dead-letters", "--data", str(data)]) == 0
    assert capsys.readouterr().out == "No dead letters.\n"


def _broken_detector(*_: object) -> None:
    raise OSError("the disk is gone")


def _wait_until_done(client: SightlineClient, asset_id: str) -> None:
    deadline = time.monotonic() + scenario.TIMEOUT_SECONDS
    while client.analysis(asset_id)["state"] != "done":
        assert time.monotonic() < deadline
        time.sleep(0.05)
