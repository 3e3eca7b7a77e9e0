"""A direct analysis over a real connection: chunks without a declared length, and no memory for the file."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from local.emulators import end_group, free_port, wait_for_port

ROOT = Path(__file__).resolve().parents[2]
BLOCK = 64 << 10
PADDING = 30 << 20
HEAD = b'--edge\r\nContent-Disposition: form-data; name="video"; filename="long.mp4"\r\n\r\n'
TAIL = b'\r\n--edge\r\nContent-Disposition: form-data; name="sensitivity"\r\n\r\n0.5\r\n--edge--\r\n'
FORM = {"Content-Type": "multipart/form-data; boundary=edge"}


@contextmanager
def serving(folder: Path) -> Iterator[tuple[str, int]]:
    """The embedded server in a process of its own: its origin and process id."""
    port = free_port()
    command = [sys.executable, "-m", "local", "serve", "--port", str(port), "--data", str(folder / "data")]
    with (folder / "serve.log").open("wb") as log:
        process = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log, start_new_session=True)
    try:
        wait_for_port(port, process, "the server")
        yield f"http://127.0.0.1:{port}", process.pid
    finally:
        end_group(process)


def padded(clip: bytes, padding: int) -> Iterator[bytes]:
    """The form with the clip, followed by an MP4 box that says to skip it (ISO/IEC 14496-12 §8.1.2)."""
    yield HEAD
    yield clip
    if padding:
        yield padding.to_bytes(4, "big") + b"free"
        for _ in range((padding - 8) // BLOCK):
            yield bytes(BLOCK)
        yield bytes((padding - 8) % BLOCK)
    yield TAIL


def peak_bytes(pid: int) -> int:
    """The most memory a process ever had resident."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert found
    return int(found[1]) << 10


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="left out: only Linux tells the peak of a process")
def test_a_large_file_in_chunks_takes_no_memory_of_its_size(fight: Path, tmp_path: Path) -> None:
    clip = fight.read_bytes()
    with serving(tmp_path) as (origin, pid), httpx.Client(base_url=origin, headers=FORM, timeout=60) as client:
        for _ in range(3):  # until everything is loaded that a small file needs
            small = client.post("/analysis", content=padded(clip, 0))
        before = peak_bytes(pid)
        large = client.post("/analysis", content=padded(clip, PADDING))
        grown = peak_bytes(pid) - before
        assert large.status_code == small.status_code == 200, large.text
        assert large.json()["violenceDetections"] == small.json()["violenceDetections"]
        assert grown < PADDING / 2


def test_a_file_that_is_too_large_is_refused_while_it_is_sent(fight: Path, tmp_path: Path) -> None:
    with serving(tmp_path) as (origin, _):
        form = padded(fight.read_bytes(), 2 * PADDING)
        refused = httpx.post(f"{origin}/analysis", content=form, headers=FORM, timeout=60)
        assert refused.status_code == 413
        assert "POST /video/upload-url" in refused.json()["detail"]
        assert httpx.get(f"{origin}/health").json()["ok"] is True
    assert list((tmp_path / "data" / "blobs").glob("objects/*/*/*")) == []
