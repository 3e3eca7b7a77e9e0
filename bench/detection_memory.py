"""Peak memory of detection by length of the video, as a table: `python -m bench.detection_memory`.

Each length is measured in a process of its own. The long videos are one drawn clip, its packets repeated.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import av

ROOT = Path(__file__).resolve().parent.parent
MODEL = ROOT / "models" / "violence-floor-1.json"
CLIP_SECONDS = 10.0


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description="Peak memory of detection by length of the video.")
    parser.add_argument("--seconds", type=float, nargs="+", default=[10, 600, 7200])
    parser.add_argument("--size", type=int, nargs=2, default=[640, 360], metavar=("WIDTH", "HEIGHT"))
    parser.add_argument("--measure", type=Path, help="print this process's peak after detecting in one file")
    options = parser.parse_args(arguments)
    if options.measure:
        print(_detect(options.measure))
        return
    print("| video | peak MB | seconds to detect |\n|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        clip = draw_clip(Path(folder) / "clip.mp4", *options.size)
        for seconds in options.seconds:
            long = repeat_clip(clip, Path(folder) / "long.mp4", round(seconds / CLIP_SECONDS))
            start = time.monotonic()
            peak = peak_megabytes(long)
            print(f"| {seconds:g} s | {peak:.0f} | {time.monotonic() - start:.1f} |", flush=True)


def draw_clip(path: Path, width: int, height: int) -> Path:
    """Ten seconds of the drawn fight."""
    from local.drawing import draw_fight_clip  # so that the measured process does not load it

    draw_fight_clip(path, CLIP_SECONDS, width, height)
    return path


def repeat_clip(clip: Path, target: Path, times: int) -> Path:
    """Writes the video in `clip` `times` over, one after another, without encoding anything."""
    with av.open(str(target), "w", format="mp4") as output, av.open(str(clip)) as first:
        stream = output.add_stream_from_template(first.streams.video[0])
        length = first.streams.video[0].duration or 0
        for turn in range(times):
            with av.open(str(clip)) as source:
                for packet in source.demux(source.streams.video[0]):
                    if packet.dts is None or packet.pts is None:
                        continue
                    packet.dts, packet.pts = packet.dts + turn * length, packet.pts + turn * length
                    packet.stream = stream
                    output.mux(packet)
    return target


def peak_megabytes(path: Path) -> float:
    """The peak resident size of a fresh process that detects in `path`."""
    command = [sys.executable, "-m", "bench.detection_memory", "--measure", str(path)]
    return float(subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout)


def _detect(path: Path) -> float:
    from shared.detection.detector import load_detector  # only here: the parent must stay as it is

    with path.open("rb") as stream:
        load_detector(MODEL).detect(stream)
    return _own_peak_megabytes()


def _own_peak_megabytes() -> float:
    """On Linux from /proc: getrusage's figure begins with what the parent held when it forked (proc(5), VmHWM)."""
    status = Path("/proc/self/status")
    if status.exists():
        return next(int(line.split()[1]) for line in status.read_text().splitlines() if line.startswith("VmHWM")) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1 << 20)  # bytes on macOS


if __name__ == "__main__":
    main()
