"""`local/upload.py` waits for the end of the analysis, and knows which end is none."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from local import upload
from local.upload import Stopped, Uploader
from local.upload_memory import UploadMemory


def told(state: str, code: str | None = None) -> dict[str, Any]:
    """What GET /analysis/{id} says, as far as it is read."""
    return {"complete": state != "processing", "state": state, "stages": {"ingest": {"error_code": code}}}


@pytest.fixture
def uploader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Uploader]:
    monkeypatch.setattr(upload, "POLL_SECONDS", 0.0)
    made = Uploader("http://sightline.test", token=None, memory=UploadMemory(tmp_path))
    yield made
    made.close()


def answering(uploader: Uploader, *replies: dict[str, Any]) -> list[dict[str, Any]]:
    """Makes the server say these, one after the other; gives what it has not said yet."""
    left = list(replies)
    transport = httpx.MockTransport(lambda _: httpx.Response(200, json=left.pop(0)))
    uploader._api = httpx.Client(transport=transport, base_url="http://sightline.test")
    return left


def test_a_file_that_was_given_up_before_it_came_is_waited_for(uploader: Uploader) -> None:
    missed = told("failed", "upload_never_came")
    left = answering(uploader, missed, missed, told("processing"), told("done"))
    assert uploader.follow("v") == told("done")
    assert left == []


def test_another_failure_is_the_end(uploader: Uploader) -> None:
    answering(uploader, told("processing"), told("failed", "not_a_video"))
    assert uploader.follow("v") == told("failed", "not_a_video")


def test_it_stops_when_told_to(uploader: Uploader) -> None:
    answering(uploader, told("processing"))
    uploader.stopping.set()
    with pytest.raises(Stopped):
        uploader.follow("v")
