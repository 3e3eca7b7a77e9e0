"""A server that is told to end stores what it counted: under functions-framework's gunicorn, and under uvicorn alone.

Both end their process by the very signal, so that neither `atexit` nor what follows the server would be reached.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest

from infra import topology
from local.emulators import end_group, free_port, wait_for_port
from shared.adapters.embedded.documents import SqliteDocuments
from shared.domain.metrics import KEPT
from shared.repositories import metrics

APPLICATION = """
import sys
from functools import cache
from pathlib import Path

import uvicorn
from functions_framework import aio

from shared.adapters.embedded.documents import SqliteDocuments
from shared.adapters.system_clock import SystemClock
from shared.web.app import create_app
from shared.web.meter import Meter

store = cache(lambda: SqliteDocuments(Path("documents.sqlite3"), []))
application = create_app([], access=None, meter=Meter(store, SystemClock()))

@aio.http
async def main(request):
    return application

if __name__ == "__main__":
    uvicorn.run(application, host="127.0.0.1", port=int(sys.argv[1]))
"""

FRAMEWORK = ("-m", "functions_framework", "--target=main", "--host=127.0.0.1", "--port={port}")
UVICORN = ("main.py", "{port}")
REQUESTS = 5


@pytest.mark.parametrize("command", [FRAMEWORK, UVICORN], ids=["functions-framework", "uvicorn"])
def test_what_was_counted_is_stored_at_the_end(tmp_path: Path, command: tuple[str, ...]) -> None:
    (tmp_path / "main.py").write_text(APPLICATION)
    port = free_port()
    whole = [sys.executable, *(part.format(port=port) for part in command)]
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(topology.ROOT)}
    process = subprocess.Popen(whole, cwd=tmp_path, env=environment, start_new_session=True)
    try:
        wait_for_port(port, process, "the server")
        for _ in range(REQUESTS):
            assert httpx.get(f"http://127.0.0.1:{port}/nothing", timeout=30).status_code == 404
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=30)
    finally:
        end_group(process)
    assert _counted(tmp_path) == REQUESTS


def _counted(folder: Path) -> int:
    store = SqliteDocuments(folder / "documents.sqlite3", [])
    try:
        now = datetime.now(UTC)
        windows = metrics.windows_since(store, now - KEPT, now)
        return sum(counts.count for window in windows for counts in window.routes.values())
    finally:
        store.close()
