"""The smoke test holds against the embedded server, and each of its steps fails when its part is broken."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import pytest

from infra import smoke
from infra.topology import ROOT
from local.drawing import draw_calm_clip
from local.emulators import free_port
from local.server import running_server
from shared import settings
from tests.infra.spoiling_proxy import Spoiler, Spoilt, changed, instead, spoiling, times

TOKEN = "a-token-for-the-smoke-test"
OTHER_TOKEN = "another-token-that-nobody-holds"


@pytest.fixture(scope="module")
def origin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The embedded server, which asks for a token."""
    config = replace(settings.load(settings.EmbeddedSettings, {}), api_token=TOKEN)
    with running_server(tmp_path_factory.mktemp("data"), port=free_port(), config=config) as url:
        yield url


@pytest.fixture(scope="module")
def open_origin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The embedded server, open to everybody."""
    config = settings.load(settings.EmbeddedSettings, {})
    with running_server(tmp_path_factory.mktemp("data"), port=free_port(), config=config) as url:
        yield url


@pytest.fixture
def spoilt(origin: str) -> Iterator[Spoilt]:
    with spoiling(origin) as made:
        yield made


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(smoke, "PAUSE_SECONDS", 0.01)
    monkeypatch.setattr(smoke, "POLL_SECONDS", 0.1)


def outcome(lines: str, step: str) -> str:
    """The line of one step, without its time."""
    (line,) = re.findall(rf"^(?:ok|FAIL|left) +{step}\b.*$", lines, re.MULTILINE)
    return re.sub(r" +[0-9.]+ s", "", re.sub(r" +", " ", str(line)))


def tried(url: str, *options: str, token: str | None = TOKEN) -> int:
    given = ["--token", token] if token else []
    return smoke.main([url, *given, "--patience", "0.3", "--limit", "120", *options])


def as_a_process(url: str, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "SIGHTLINE_API_TOKEN": "", **variables}
    command = [sys.executable, "-m", "infra.smoke", url]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300, check=False)


def test_everything_holds_with_a_token_and_little_stays_behind(origin: str) -> None:
    done = as_a_process(origin, SIGHTLINE_API_TOKEN=TOKEN)
    assert done.returncode == 0, done.stdout + done.stderr
    assert [line.split()[:2] for line in done.stdout.splitlines()[1:-1]] == [
        ["ok", step] for step in [*smoke.STEPS, "tidy"]
    ]
    assert TOKEN not in done.stdout + done.stderr
    beacon = f"smoke-{done.stdout.split()[2]}"
    headers = {"Authorization": f"Bearer {TOKEN}"}
    assert httpx.get(f"{origin}/beacons/{beacon}", headers=headers).json()["active"] is False
    (incident,) = httpx.get(f"{origin}/incidents?beacon_id={beacon}", headers=headers).json()["incidents"]
    assert (incident["status"], incident["outcome"]) == ("RESOLVED", "false_alarm")


def test_everything_holds_without_a_token_twice_and_with_a_clip_of_ones_own(
    open_origin: str, calm: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for _ in range(2):
        assert tried(open_origin, "--clip", calm, token=None) == 0, capsys.readouterr().out


def test_who_gives_no_token_where_one_is_asked_for_hears_it_first(
    origin: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SIGHTLINE_API_TOKEN", raising=False)
    assert tried(origin, token=None) == 1
    told = capsys.readouterr().out
    assert "no token to be asked for, since none was given with --token" in outcome(told, "access")
    assert outcome(told, "beacon") == "left beacon needs access"


def test_a_token_that_nobody_holds_fails_and_is_not_printed(origin: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert tried(origin, token=OTHER_TOKEN) == 1
    told = capsys.readouterr().out
    assert "GET /incidents: expected 200, got 401" in outcome(told, "access")
    assert OTHER_TOKEN not in told


def test_an_open_server_is_a_fault_where_a_token_was_meant_to_guard_it(
    open_origin: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert tried(open_origin, "--step", "access") == 1
    assert "a token to be asked for, since one was given" in outcome(capsys.readouterr().out, "access")


BROKEN: dict[str, tuple[str, Spoiler, str]] = {
    "health": ("GET /health", changed(ok=False, components={"store": "degraded"}), "{'store': 'degraded'}"),
    "access": ("GET /incidents", instead(200, {"incidents": []}), "GET /incidents: expected 401, got 200"),
    "methods": ("DELETE /video/upload-url", instead(200, {}), "expected 404 or 405, got 200"),
    "beacon": ("GET /beacons/*", changed(active=False), "expected the beacon as it was made"),
    "signal": ("POST /api/ai/violence-detected/", instead(200, {"status": "logged_only"}), "expected 201, got 200"),
    "deduplication": ("POST /api/ai/scream-detected/", changed(incident_id="another"), "signal_added_to_existing"),
    "incident": ("GET /incidents/*", changed(signals=[]), "expected the signals"),
    "evidence": ("GET /incidents/*/images", changed(images=[]), "expected one picture, got 0"),
    "upload": (
        "POST /video/upload-url",
        changed(upload_url="http://127.0.0.1:9/x?X-Goog-Signature=5ecret"),
        "got none",
    ),
    "analysis": ("GET /analysis/*", changed(violenceDetections=[]), "expected the drawn fight to be found"),
    "moderation": ("POST /moderate", changed(results=[{"status": "ERROR"}]), "expected ['PASS'], got ['ERROR']"),
    "metrics": ("GET /metrics", instead(200, {"totals": {}, "routes": {}}), "expected totals with"),
}


def test_every_step_is_broken_once() -> None:
    assert list(BROKEN) == list(smoke.STEPS)


@pytest.mark.parametrize("step", BROKEN)
def test_a_step_fails_when_its_part_is_broken(step: str, spoilt: Spoilt, capsys: pytest.CaptureFixture[str]) -> None:
    route, spoiler, sentence = BROKEN[step]
    spoilt.spoilers[route] = spoiler
    assert tried(spoilt.url, "--step", step) == 1
    told = capsys.readouterr().out
    assert outcome(told, step).startswith(f"FAIL {step}")
    assert sentence in outcome(told, step)
    assert "It does not hold" in told
    assert TOKEN not in told
    assert "5ecret" not in told


@pytest.mark.parametrize(
    ("step", "route", "spoiler", "sentence"),
    [
        ("incident", "GET /incidents/*/timeline", changed(items=[]), "expected opened, got []"),
        ("evidence", "GET /incidents/*/images/*", instead(200, {}), "expected 302 or 307, got 200"),
        ("metrics", "GET /metrics/history", instead(200, {"history": [], "count": 3}), '"history" and its "count"'),
        ("health", "GET /health", instead(200, "fine"), "expected a JSON object"),
        ("signal", "POST /api/ai/violence-detected/", instead(500, {"error": TOKEN}), "expected 200 or 201, got 500"),
    ],
)
def test_so_does_it_when_a_smaller_part_is_broken(
    step: str, route: str, spoiler: Spoiler, sentence: str, spoilt: Spoilt, capsys: pytest.CaptureFixture[str]
) -> None:
    if step == "metrics":
        totals = {"count": 1, "p50_ms": 1.0, "p95_ms": 1.0, "p99_ms": 1.0, "statusCounts": {}}
        spoilt.spoilers["GET /metrics"] = instead(200, {"totals": totals, "routes": {}})
    spoilt.spoilers[route] = spoiler
    assert tried(spoilt.url, "--step", step) == 1
    told = capsys.readouterr().out
    assert sentence in outcome(told, step)
    assert TOKEN not in told


@pytest.mark.parametrize(
    ("route", "spoiler"),
    [
        ("GET /incidents/*/timeline", changed(items=[{"change": "opened"}])),
        ("GET /incidents/*", instead(200, [])),
    ],
)
def test_a_reply_of_another_form_fails_its_step_and_leaves_nothing_open(
    route: str, spoiler: Spoiler, spoilt: Spoilt, capsys: pytest.CaptureFixture[str]
) -> None:
    spoilt.spoilers[route] = spoiler
    assert tried(spoilt.url, "--step", "incident") == 1
    told = capsys.readouterr().out
    assert outcome(told, "incident").startswith("FAIL")
    assert outcome(told, "tidy") == "ok tidy"


@pytest.mark.parametrize("url", ["@127.0.0.1:9/x", ".example/x", "//127.0.0.1:9/\0", ""])
def test_no_link_takes_the_token_elsewhere(url: str, spoilt: Spoilt, capsys: pytest.CaptureFixture[str]) -> None:
    spoilt.spoilers["GET /incidents/*/images"] = changed(images=[{"url": url}])
    assert tried(spoilt.url, "--step", "evidence") == 1
    told = capsys.readouterr().out
    assert outcome(told, "evidence").startswith("FAIL evidence")
    assert outcome(told, "tidy") == "ok tidy"


def test_a_reply_without_an_end_ends_the_run_in_time(capsys: pytest.CaptureFixture[str]) -> None:
    with dripping() as url:
        assert tried(url, "--step", "access", "--limit", "2") == 1
    assert "expected an answer to GET /health that ends" in outcome(capsys.readouterr().out, "health")


@contextmanager
def dripping() -> Iterator[str]:
    """A server whose replies go on byte by byte, each in time."""

    class Drip(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            with suppress(OSError):
                while True:
                    self.wfile.write(b" ")
                    time.sleep(0.05)

        def log_message(self, *_: object) -> None:
            """Says nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Drip) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture(scope="module")
def calm(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A clip of one's own, short: of it nothing is demanded but an analysis."""
    path = tmp_path_factory.mktemp("clip") / "calm.mp4"
    draw_calm_clip(path, seconds=2, width=160, height=96)
    return str(path)


def test_a_failed_stage_is_named(spoilt: Spoilt, calm: str, capsys: pytest.CaptureFixture[str]) -> None:
    failed = {"detect": {"state": "failed", "error_code": "retries_exhausted"}}
    spoilt.spoilers["GET /video/status/*"] = changed(state="failed")
    spoilt.spoilers["GET /analysis/*"] = changed(stages=failed)
    assert tried(spoilt.url, "--step", "analysis", "--clip", calm) == 1
    assert "{'detect': 'retries_exhausted'}" in outcome(capsys.readouterr().out, "analysis")


def test_an_analysis_that_never_ends_ends_the_run_in_time_and_it_still_tidies_up(
    spoilt: Spoilt, calm: str, capsys: pytest.CaptureFixture[str]
) -> None:
    spoilt.spoilers["GET /video/status/*"] = changed(state="running")
    assert tried(spoilt.url, "--step", "analysis", "--clip", calm, "--limit", "15") == 1
    told = capsys.readouterr().out
    assert "before the run's time was over" in outcome(told, "analysis")
    assert outcome(told, "tidy") == "ok tidy"


def test_a_load_balancer_that_is_not_ready_yet_and_a_busy_moment_are_waited_out(
    spoilt: Spoilt, capsys: pytest.CaptureFixture[str]
) -> None:
    spoilt.spoilers["GET /health"] = times(4, instead(502, {"detail": "not yet"}))
    spoilt.spoilers["PUT /beacons/*"] = times(2, instead(503, {"detail": "busy"}))
    assert tried(spoilt.url, "--step", "beacon", "--patience", "20") == 0, capsys.readouterr().out


def test_nothing_is_left_open_when_tidying_up_fails_unsaid(spoilt: Spoilt, capsys: pytest.CaptureFixture[str]) -> None:
    spoilt.spoilers["POST /incidents/*/resolve"] = instead(409, {"detail": "no"})
    assert tried(spoilt.url, "--step", "signal") == 1
    assert "expected 200, got 409" in outcome(capsys.readouterr().out, "tidy")


def test_no_incident_but_its_own_is_resolved(spoilt: Spoilt, capsys: pytest.CaptureFixture[str]) -> None:
    real = {"incident_id": "real", "beacon_id": "gate", "status": "CREATED"}
    spoilt.spoilers["GET /incidents"] = changed(incidents=[real])
    assert tried(spoilt.url, "--step", "beacon") == 1
    assert "alone, got" in outcome(capsys.readouterr().out, "tidy")
    assert "POST /incidents/real/resolve" not in spoilt.asked


def test_a_server_that_is_not_there_is_said_to_be_silent(capsys: pytest.CaptureFixture[str]) -> None:
    assert tried(f"http://127.0.0.1:{free_port()}") == 1
    told = capsys.readouterr().out
    assert "expected an answer to GET /health, got none (ConnectError)" in outcome(told, "health")


@pytest.mark.parametrize(
    "url", ["sightline.example", "ftp://a", "https://a/b", "https://user:pw@a", "https://a?x=1", ""]
)
def test_only_origins_are_tried(url: str) -> None:
    with pytest.raises(SystemExit):
        smoke.main([url])


def test_pictures_are_png_and_differ() -> None:
    assert smoke.picture("a").startswith(b"\x89PNG")
    assert smoke.picture("a") != smoke.picture("b")
