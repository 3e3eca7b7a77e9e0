"""`python -m local upload` against a real server: over cut connections, a killed server, killed commands, refusals."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from bench.detection.clips import repeat_clip
from bench.large_clips import pad_clip
from local import __main__ as command_line
from local.client import SightlineClient
from local.emulators import end_group, free_port, wait_for_port
from local.server import running_server
from local.upload import Patience, Progress, Stopped, Uploader, UploadFailed
from local.upload_memory import LIFE_SECONDS, Identity, Sending, UploadMemory
from shared import lease
from shared.settings import EmbeddedSettings
from tests.e2e import scenario
from tests.e2e.cutting_proxy import Way, proxy

ROOT = Path(__file__).resolve().parents[2]
MEGABYTE = 1 << 20
PART = 256 << 10
QUICK = Patience(tries=8, first=0.02, longest=0.2)
PATIENT = Patience(tries=200, first=0.1, longest=0.1)


@pytest.fixture
def large(fight: Path, tmp_path: Path) -> Path:
    """The drawn fight in a file of 12 MB."""
    path = tmp_path / "large.mp4"
    shutil.copyfile(fight, path)
    pad_clip(path, 12 * MEGABYTE + 12_345)
    return path


@pytest.fixture
def memory(tmp_path: Path) -> UploadMemory:
    return UploadMemory(tmp_path / "memory")


def remembered(tmp_path: Path) -> list[Path]:
    return list((tmp_path / "memory").glob("*"))


@contextmanager
def serving(data: Path, port: int, public_port: int, token: str = "") -> Iterator[subprocess.Popen[bytes]]:
    """The embedded server in a process of its own, which clients reach at `public_port`."""
    origin = f"http://127.0.0.1:{public_port}"
    options = ["--port", str(port), "--data", str(data), "--public-url", origin]
    environment = {**os.environ, "STAGE_LEASE_SECONDS": "2", "SIGHTLINE_API_TOKEN": token}
    with (data.parent / "serve.log").open("ab") as log:
        command = [sys.executable, "-m", "local", "serve", *options]
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=log, start_new_session=True)
    try:
        wait_for_port(port, process, "the server")
        yield process
    finally:
        end_group(process)


@contextmanager
def way_to_server(tmp_path: Path, way: Way | None = None) -> Iterator[tuple[str, Way]]:
    """A server behind a proxy: the origin clients use, and what happens on the way."""
    public, port = free_port(), free_port()
    with serving(tmp_path / "data", port, public), proxy(public, port, way or Way()) as made:
        yield f"http://127.0.0.1:{public}", made


@contextmanager
def uploader_to(origin: str, memory: UploadMemory, **options: object) -> Iterator[Uploader]:
    chosen = {"token": None, "patience": QUICK, "part_bytes": PART, **options}
    made = Uploader(origin, memory=memory, **chosen)  # type: ignore[arg-type]
    yield made
    made.close()


def stored_sums(tmp_path: Path) -> list[str]:
    """The SHA-256 of every upload the server holds."""
    found = (tmp_path / "data" / "blobs" / "objects" / "sightline-media").rglob("*")
    files = [path for path in found if path.is_file() and path.stat().st_size > PART]
    return [hashlib.sha256(path.read_bytes()).hexdigest() for path in files]


def sum_of(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def check_analysed(origin: str, video_id: str) -> None:
    client = SightlineClient(origin)
    assert client.wait_until_ended(video_id, timeout=scenario.TIMEOUT_SECONDS)["state"] == "done"
    assert client.analysis(video_id)["overallRisk"] == "high"
    client.close()


def test_cut_connections_cost_time_and_nothing_else(large: Path, memory: UploadMemory, tmp_path: Path) -> None:
    cuts = [100, 1500, 300_000, 2_000_000, 2_000_100, 5_000_000, 9_999_999]
    with way_to_server(tmp_path, Way(cuts=cuts)) as (origin, way), uploader_to(origin, memory) as uploader:
        waits: list[str] = []
        arrived: list[int] = []
        video_id = uploader.send(large, Progress(arrived.append, waits.append))
        assert way.cuts == []
        assert any("lost" in reason for reason in waits)
        assert arrived == sorted(arrived)
        assert arrived[-1] == large.stat().st_size
        assert stored_sums(tmp_path) == [sum_of(large)]
        assert way.sent < 1.5 * large.stat().st_size  # it went on, and did not begin anew
        assert remembered(tmp_path) == []
        check_analysed(origin, video_id)


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_what_passes_is_waited_for(status: int, fight: Path, memory: UploadMemory, tmp_path: Path) -> None:
    way = Way(refusals=[status] * (QUICK.tries - 1))
    with way_to_server(tmp_path, way) as (origin, _), uploader_to(origin, memory) as uploader:
        waits: list[str] = []
        uploader.send(fight, Progress(waiting=waits.append))
        assert way.refusals == []
        assert f"the server answers {status}" in waits
        way.refusals = [status] * QUICK.tries
        fight_again = tmp_path / "again.mp4"
        shutil.copyfile(fight, fight_again)
        with pytest.raises(UploadFailed, match=f"answers {status}; given up after {QUICK.tries} tries"):
            uploader.send(fight_again)


@pytest.mark.parametrize("reply", [b'"upload_url"', b"x-guploader-uploadid", b" 308 ", b"x-goog-generation"])
def test_a_lost_reply_makes_no_second_upload(reply: bytes, large: Path, memory: UploadMemory, tmp_path: Path) -> None:
    with (
        way_to_server(tmp_path, Way(lost_replies=[reply])) as (origin, way),
        uploader_to(origin, memory, part_bytes=MEGABYTE) as uploader,
    ):
        uploader.send(large)
        assert way.lost_replies == []
        assert stored_sums(tmp_path) == [sum_of(large)]


def test_a_server_killed_in_the_middle_goes_on_after_its_restart(
    large: Path, memory: UploadMemory, tmp_path: Path
) -> None:
    port = free_port()
    origin = f"http://127.0.0.1:{port}"
    with ThreadPoolExecutor(1) as pool, uploader_to(origin, memory, patience=PATIENT) as uploader:
        arrived: list[int] = []
        upload = pool.submit(uploader.send, large, Progress(arrived.append))  # it waits for the server
        for share in (0.2, 0.5, 0.8):
            with serving(tmp_path / "data", port, port) as process:
                wait_for(lambda: arrived and arrived[-1] >= share * large.stat().st_size)  # noqa: B023
                os.kill(process.pid, signal.SIGKILL)
                process.wait()
        assert not upload.done()
        with serving(tmp_path / "data", port, port):
            video_id = upload.result(timeout=60)
            assert stored_sums(tmp_path) == [sum_of(large)]
            assert arrived == sorted(arrived)  # nothing that had arrived was lost with the process
            check_analysed(origin, video_id)


def wait_for(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.002)


def command(origin: str, tmp_path: Path, *files: Path, **environment: str) -> subprocess.Popen[str]:
    """The command line in a process of its own."""
    arguments = [sys.executable, "-m", "local", "upload", *map(str, files), "--to", origin]
    variables = {**os.environ, "XDG_CACHE_HOME": str(tmp_path / "cache"), **environment}
    pipe = subprocess.PIPE
    return subprocess.Popen(arguments, cwd=ROOT, env=variables, stdout=pipe, stderr=pipe, text=True)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_an_interrupted_command_goes_on_where_it_was(how: signal.Signals, large: Path, tmp_path: Path) -> None:
    size = large.stat().st_size
    halt = int(0.8 * size)  # a whole part of 8 MiB, and some of the next
    with way_to_server(tmp_path, Way(halt_at=halt)) as (origin, way):
        first = command(origin, tmp_path, large)
        wait_for(lambda: way.sent >= halt)
        first.send_signal(how)
        output, errors = first.communicate(timeout=30)
        way.halt_at = None
        assert output == ""
        assert first.returncode == (130 if how is signal.SIGINT else -how)
        assert ("The same command goes on" in errors) is (how is signal.SIGINT)
        (kept,) = (tmp_path / "cache" / "sightline" / "uploads").glob("*.json")
        assert kept.stat().st_mode & 0o777 == 0o600
        begun = json.loads(kept.read_bytes())["video_id"]
        second = command(origin, tmp_path, large)
        output, errors = second.communicate(timeout=60)
        assert second.returncode == 0, errors
        assert output == f"{large}: {begun}\n"
        assert not kept.exists()
        assert way.sent < 1.3 * size
        assert stored_sums(tmp_path) == [sum_of(large)]
        check_analysed(origin, begun)


def test_many_small_files_at_once_and_none_is_lost(
    fight: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    files = [tmp_path / f"clip-{number}.mp4" for number in range(24)]
    for path in files:
        os.link(fight, path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with running_server(tmp_path / "data", port=free_port(), config=EmbeddedSettings()) as origin:
        options = ["--to", origin, "--parallel", "24", "--source-id", "gate ü", "--wait"]
        assert command_line.main(["upload", *map(str, files), *options]) == 0
        lines = capsys.readouterr().out.splitlines()
        ids = dict(line.split(": ", 1) for line in lines if "Overall risk" not in line)
        assert sorted(ids) == sorted(map(str, files))
        assert len(set(ids.values())) == len(files)
        assert sum("Overall risk high" in line for line in lines) == len(files)
        client = SightlineClient(origin)
        (incident,) = client.incidents(beacon_id="gate ü")["incidents"]
        signals = client.incident(incident["incident_id"])["signals"]
        assert {found["asset_id"] for found in signals} == set(ids.values())
        client.close()


def test_each_file_that_cannot_be_sent_says_why_and_the_others_are_sent(
    fight: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    empty, huge = tmp_path / "empty.mp4", tmp_path / "huge.mp4"
    empty.touch()
    with huge.open("wb") as file:
        file.truncate(5 * 2**30 + 1)
    odd = tmp_path / ("x" * 240 + "[red].mp4")
    odd.write_bytes(fight.read_bytes())
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with running_server(tmp_path / "data", port=free_port(), config=EmbeddedSettings()) as origin:
        files = [tmp_path / "absent.mp4", tmp_path, empty, huge, odd]
        assert command_line.main(["upload", *map(str, files), "--to", origin, "--parallel", "2"]) == 1
    told = capsys.readouterr()
    assert told.out.startswith(f"{odd}: ")
    assert len(told.out.splitlines()) == 1
    for path, reason in [
        (files[0], "there is no such file"),
        (tmp_path, "Is a directory"),
        (empty, "it is empty"),
        (huge, "the server refuses it (413): The file is larger than 5 GB."),
    ]:
        assert f"sightline: {path} was not sent: " in told.err
        assert reason in told.err


def test_a_wrong_token_and_a_bad_source_are_refused(
    fight: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with running_server(tmp_path / "data", port=free_port(), config=EmbeddedSettings(api_token="right")) as origin:
        sending = ["upload", str(fight), "--to", origin]
        monkeypatch.setenv("SIGHTLINE_API_TOKEN", "wrong")
        assert command_line.main(sending) == 1
        assert "wants a token, or another one" in capsys.readouterr().err
        assert command_line.main([*sending, "--token", "right", "--source-id", "a\nb"]) == 1
        assert "(400): source_id must be" in capsys.readouterr().err
        assert command_line.main([*sending, "--token", "right"]) == 0
        monkeypatch.setenv("SIGHTLINE_API_TOKEN", "right")
        assert command_line.main(sending) == 0


def test_a_video_that_cannot_be_analysed_is_told_with_wait(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    text = tmp_path / "text.mp4"
    text.write_text("this is no video\n" * 100)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with running_server(tmp_path / "data", port=free_port(), config=EmbeddedSettings()) as origin:
        assert command_line.main(["upload", str(text), "--to", origin, "--wait"]) == 1
    assert "The analysis failed. The file is text, not a video." in capsys.readouterr().out


def test_patience_ends_with_a_sentence(fight: Path, memory: UploadMemory) -> None:
    origin = f"http://127.0.0.1:{free_port()}"
    with (
        uploader_to(origin, memory) as uploader,
        pytest.raises(UploadFailed, match=r"cannot be reached.* after 8 tries"),
    ):
        uploader.send(fight)


def test_another_server_is_recognised_as_such(
    fight: Path, memory: UploadMemory, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with (
        running_server(tmp_path / "data", port=free_port(), config=EmbeddedSettings()) as origin,
        uploader_to(f"{origin}/elsewhere", memory) as uploader,
        pytest.raises(UploadFailed, match="404"),
    ):
        uploader.send(fight)
    with pytest.raises(SystemExit):
        command_line.main(["upload", str(fight), "--to", "sightline.example"])
    assert "must be an origin" in capsys.readouterr().err


def test_a_session_the_server_has_forgotten_begins_anew(fight: Path, memory: UploadMemory, tmp_path: Path) -> None:
    with running_server(tmp_path / "data", port=free_port(), config=EmbeddedSettings()) as origin:
        status = fight.stat()
        identity = Identity(str(fight), status.st_size, status.st_mtime_ns, origin, None)
        memory.remember(identity, Sending("old", f"{origin}/sightline-media/media/old?upload_id={'x' * 40}"))
        with uploader_to(origin, memory) as uploader:
            assert uploader.send(fight) != "old"
    assert remembered(tmp_path) == []


def test_a_refused_session_is_told_and_not_remembered(fight: Path, memory: UploadMemory, tmp_path: Path) -> None:
    with (
        running_server(tmp_path / "data", port=free_port(), config=EmbeddedSettings()) as origin,
        uploader_to(origin, memory) as uploader,
    ):
        status = fight.stat()
        identity = Identity(str(fight), status.st_size, status.st_mtime_ns, origin, None)
        memory.remember(identity, Sending("old", f"{origin}/sightline-media/media/old"))
        with pytest.raises(UploadFailed, match=r"refuses it \(403\): Access denied\."):
            uploader.send(fight)
        assert remembered(tmp_path) == []
        uploader.send(fight)


def test_a_stopped_upload_is_remembered(large: Path, memory: UploadMemory, tmp_path: Path) -> None:
    with running_server(tmp_path / "data", port=free_port(), config=EmbeddedSettings()) as origin:
        with uploader_to(origin, memory) as uploader, pytest.raises(Stopped):
            uploader.send(large, Progress(sent=lambda arrived: uploader.stopping.set() if arrived else None))
        assert len(remembered(tmp_path)) == 1
        again: list[int] = []
        with uploader_to(origin, memory) as uploader:
            uploader.send(large, Progress(again.append))
        assert again[0] >= PART


def test_a_file_that_shrinks_is_given_up(large: Path, memory: UploadMemory, tmp_path: Path) -> None:
    with (
        running_server(tmp_path / "data", port=free_port(), config=EmbeddedSettings()) as origin,
        uploader_to(origin, memory) as uploader,
        pytest.raises(UploadFailed, match="shorter"),
    ):
        uploader.send(large, Progress(sent=lambda arrived: os.truncate(large, MEGABYTE) if arrived else None))


def test_a_long_clip_tells_how_far_its_detection_is(
    fight: Path, memory: UploadMemory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "PROGRESS_SECONDS", 0.1)  # so that a clip of some minutes is long
    long = tmp_path / "long.mp4"
    repeat_clip(fight, long, 20)
    with running_server(tmp_path / "data", port=free_port(), config=EmbeddedSettings()) as origin:
        client = SightlineClient(origin)
        with uploader_to(origin, memory) as uploader:
            video_id = uploader.send(long)
        seen: list[dict[str, Any]] = []
        ended = client.wait_until_ended(video_id, timeout=scenario.TIMEOUT_SECONDS, on_status=seen.append)
        client.close()
    running = [each for each in seen if each["stages"]["detect"]["state"] == "running"]
    shares = [each["stages"]["detect"]["progress"] for each in running]
    assert shares == sorted(shares)
    assert len(set(shares)) >= 4
    assert 0 <= min(shares) < 40 < max(shares) < 100
    overall = [each["progress"] for each in seen]
    assert overall == sorted(overall)
    assert all(0 < each["progress"] < 100 for each in running)
    assert (ended["progress"], ended["stages"]["detect"]["progress"]) == (100, 100)


class TestMemory:
    IDENTITY = Identity("/a", 1, 2, "http://x", None)
    SENDING = Sending("id", "http://x/session")

    def test_what_is_remembered_is_recalled_until_it_is_forgotten(self, memory: UploadMemory) -> None:
        memory.remember(self.IDENTITY, self.SENDING)
        assert memory.recall(self.IDENTITY) == self.SENDING
        for other in (Identity("/a", 1, 3, "http://x", None), Identity("/a", 1, 2, "http://x", "gate")):
            assert memory.recall(other) is None
        memory.forget(self.IDENTITY)
        memory.forget(self.IDENTITY)
        assert memory.recall(self.IDENTITY) is None

    @pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"video_id": "x"}', b"\xff"])
    def test_a_damaged_one_counts_as_none(self, memory: UploadMemory, tmp_path: Path, content: bytes) -> None:
        memory.remember(self.IDENTITY, self.SENDING)
        (path,) = remembered(tmp_path)
        path.write_bytes(content)
        assert memory.recall(self.IDENTITY) is None

    def test_an_old_one_is_removed_whatever_is_asked_for(self, memory: UploadMemory, tmp_path: Path) -> None:
        memory.remember(self.IDENTITY, self.SENDING)
        (path,) = remembered(tmp_path)
        old = time.time() - LIFE_SECONDS - 1
        os.utime(path, (old, old))
        assert memory.recall(Identity("/other", 1, 2, "http://x", None)) is None
        assert remembered(tmp_path) == []

    def test_a_folder_that_cannot_be_written_costs_only_the_continuation(self, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        memory = UploadMemory(tmp_path / "file" / "below")
        memory.remember(self.IDENTITY, self.SENDING)
        assert memory.recall(self.IDENTITY) is None
