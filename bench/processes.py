"""Runs what is measured in a process of its own, so that it shares no interpreter lock with what measures it."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from local.emulators import end_group


@contextmanager
def running(
    command: Sequence[str], folder: Path, environment: Mapping[str, str], log: Path | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """Runs the command in `folder` while the block lasts, then ends it and its children."""
    with (log or Path("/dev/null")).open("wb") as output:
        process = subprocess.Popen(
            command, cwd=folder, env=environment, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
        )
    try:
        yield process
    finally:
        end_group(process)
