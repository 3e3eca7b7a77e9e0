"""Uploads by `python -m local upload` to the embedded server: `python -m bench upload [--gigabytes 2] [--clips 50]`.

A large one, which is a valid video (a drawn clip and a box to skip), with the peak memory of every process; and many
small ones at once, of which none may be lost. The exit status is 1 unless all are analysed, each small one is a signal
of the one incident of its place, and no process has more resident than it may.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.embedded import PeakMemory, embedded_server, open_environment
from bench.large_clips import pad_clip
from bench.tables import show
from infra.topology import ROOT
from local.client import SightlineClient
from local.drawing import draw_fight_clip

REACH_MB = 300
PLACE = "gate"
COLUMNS = ("upload", "sent", "done", "incidents", "signals", "seconds", "MB/s", "server MB", "client MB", "reached")


@dataclass(frozen=True)
class Result:
    """What became of one run of the command. Peaks in 10^6 bytes; `seconds` until all analyses were complete."""

    files: int
    size: int
    done: int
    incidents: int
    signals: int
    seconds: float
    server_mb: float
    client_mb: float

    @property
    def reached(self) -> bool:
        """Whether nothing was lost, in the memory allowed."""
        exact = (self.done, self.incidents, self.signals) == (self.files, 1, self.files)
        return exact and max(self.server_mb, self.client_mb) <= REACH_MB


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m bench upload", description="Uploads: memory, and none lost.")
    parser.add_argument("--gigabytes", type=float, default=2.0, help="size of the large file, in 10^9 bytes")
    parser.add_argument("--clips", type=int, default=50, help="small files at once")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="sightline-upload-") as folder:
        clip = Path(folder) / "clip.mp4"
        draw_fight_clip(clip)
        large = Path(folder) / "large.mp4"
        large.write_bytes(clip.read_bytes())
        pad_clip(large, round(options.gigabytes * 1e9))
        copies = [Path(folder) / f"clip-{number}.mp4" for number in range(options.clips)]
        for copy in copies:
            os.link(clip, copy)
        results = {
            f"one of {options.gigabytes:g} GB": uploaded([large], Path(folder) / "large"),
            f"{options.clips} at once": uploaded(copies, Path(folder) / "many"),
        }
    notes = [f"Peaks are resident memory, the most of any process on that side; reached: all done, <= {REACH_MB} MB."]
    show("Uploads to the embedded server", COLUMNS, [_row(name, each) for name, each in results.items()], notes)
    return int(not all(result.reached for result in results.values()))


def uploaded(files: Sequence[Path], folder: Path) -> Result:
    """Sends the files at once to a fresh server, waits for their analyses, and looks what came of them."""
    folder.mkdir()
    environment = {**open_environment(), "XDG_CACHE_HOME": str(folder / "cache")}
    with ExitStack() as closing:
        server = closing.enter_context(embedded_server(folder))
        client = SightlineClient(server.origin)
        closing.callback(client.close)
        server_peak = closing.enter_context(PeakMemory(server.pid))
        begun = time.perf_counter()
        options = ["--to", server.origin, "--parallel", str(len(files)), "--source-id", PLACE, "--wait"]
        command = [sys.executable, "-m", "local", "upload", *map(str, files), *options]
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True)
        client_peak = closing.enter_context(PeakMemory(process.pid))
        output, _ = process.communicate()
        seconds = time.perf_counter() - begun
        analyses = [client.analysis(video_id) for video_id in _ids(output, files)]
        found = _incidents(client)
    return Result(
        files=len(files),
        size=sum(path.stat().st_size for path in files),
        done=sum(analysis["state"] == "done" for analysis in analyses),
        incidents=len(found),
        signals=sum(incident["signal_count"] for incident in found),
        seconds=seconds,
        server_mb=server_peak.megabytes,
        client_mb=client_peak.megabytes,
    )


def _ids(output: str, files: Sequence[Path]) -> list[str]:
    """The first line the command prints of each file tells its id, the second its summary."""
    told: dict[str, str] = {}
    for line in output.splitlines():
        path, _, text = line.partition(": ")
        told.setdefault(path, text)
    return [told[str(path)] for path in files if str(path) in told]


def _incidents(client: SightlineClient) -> list[dict[str, Any]]:
    return [client.incident(each["incident_id"]) for each in client.incidents(beacon_id=PLACE)["incidents"]]


def _row(name: str, result: Result) -> list[str]:
    return [
        name,
        str(result.files),
        str(result.done),
        str(result.incidents),
        str(result.signals),
        f"{result.seconds:.1f}",
        f"{result.size / 1e6 / result.seconds:.0f}",
        f"{result.server_mb:.0f}",
        f"{result.client_mb:.0f}",
        "yes" if result.reached else "NO",
    ]


if __name__ == "__main__":
    sys.exit(main())
