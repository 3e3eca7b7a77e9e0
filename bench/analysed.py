"""From the end of an upload to `complete: true`, for one and for many clips at once: `python -m bench analysed`.

The clips are drawn, ten seconds long, and sent to the embedded server by as many threads. The time of a clip runs from
the reply to its last byte until GET /analysis/{id} says that it is complete.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from bench.embedded import embedded_server
from bench.tables import show
from local.client import SightlineClient
from local.drawing import draw_fight_clip

CLIP_SECONDS = 10.0
REACH_SECONDS = 3.0
PATIENCE_SECONDS = 600.0
COLUMNS = ("clips at once", "median s", "max s", "last s", "median to one", "last to one each", "lost")


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; 1 if a clip was lost, or a single one took longer than it may."""
    parser = argparse.ArgumentParser(prog="python -m bench analysed", description="Upload finished to complete.")
    parser.add_argument("--clips", type=int, nargs="+", default=[1, 10, 50], help="how many at once")
    parser.add_argument("--runs", type=int, default=5, help="single clips one after the other; their median counts")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="sightline-analysed-") as folder:
        clip = Path(folder) / "clip.mp4"
        draw_fight_clip(clip, CLIP_SECONDS)
        with embedded_server(Path(folder)) as server:
            client = SightlineClient(server.origin)
            analysed(client, clip, 1)  # warm
            singles = [time for _ in range(options.runs) for time in analysed(client, clip, 1).waits]
            bursts = {count: analysed(client, clip, count) for count in options.clips if count > 1}
            client.close()
    single = statistics.median(singles)
    rows = [_row(1, Burst(singles, single), single, options.runs)]
    rows += [_row(count, burst, single, count) for count, burst in bursts.items()]
    notes = [
        f"last s: from the first upload's end until all were complete (for 1: the median of {options.runs} runs); "
        "last to one each: as a share of the single clip's time, so many times over (below 1: they overlap).",
        f"A single clip may take {REACH_SECONDS:.0f} s.",
    ]
    show(f"From the end of the upload of a {CLIP_SECONDS:.0f} s clip to its complete analysis", COLUMNS, rows, notes)
    lost = len(singles) < options.runs or any(len(burst.waits) < count for count, burst in bursts.items())
    return int(lost or single > REACH_SECONDS)


class Burst:
    """The seconds each clip took, and all together."""

    def __init__(self, waits: Sequence[float], together: float) -> None:
        self.waits = waits
        self.together = together


def analysed(client: SightlineClient, clip: Path, count: int) -> Burst:
    """Sends the clip `count` times at once and waits for all."""
    tickets = [client.request_upload(source_id="gate") for _ in range(count)]
    uploaded: dict[str, float] = {}

    def send(ticket: dict[str, str]) -> None:
        client.upload(ticket, clip)
        uploaded[ticket["video_id"]] = time.perf_counter()

    complete: dict[str, float] = {}
    with ThreadPoolExecutor(count) as pool:
        sending = [pool.submit(send, ticket) for ticket in tickets]
        deadline = time.perf_counter() + PATIENCE_SECONDS
        while len(complete) < count and time.perf_counter() < deadline:
            for video_id in [each for each in list(uploaded) if each not in complete]:
                if client.analysis(video_id)["complete"]:
                    complete[video_id] = time.perf_counter()
            # Seldom enough that asking costs the server nothing: some hundredths of what a clip takes.
            time.sleep(0.02 * min(count, 10))
        for each in sending:
            each.result()
    waits = [moment - uploaded[video_id] for video_id, moment in complete.items()]
    return Burst(waits, max(complete.values()) - min(uploaded.values()))


def _row(count: int, burst: Burst, single: float, sent: int) -> list[str]:
    median = statistics.median(burst.waits)
    return [
        str(count),
        f"{median:.2f}",
        f"{max(burst.waits):.2f}",
        f"{burst.together:.2f}",
        f"{median / single:.1f}x",
        f"{burst.together / (count * single):.2f}",
        str(sent - len(burst.waits)),
    ]


if __name__ == "__main__":
    sys.exit(main())
