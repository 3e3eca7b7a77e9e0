"""Peak memory of detection by length of the video. The long videos are one clip, its packets repeated."""

from __future__ import annotations

from bench.detection.clips import Clips, repeat_clip
from bench.detection.work import measured
from bench.tables import show

LENGTHS = {"10 s": 10.0, "10 min": 600.0, "2 h": 7200.0}
REACH_MB = 300
_SIZE = "360p"
_LARGE = "1080p"
_CLIP_SECONDS = 10.0


def show_table(clips: Clips, runs: int) -> int:  # noqa: ARG001 - memory needs no medians
    """Prints the table; 1 if any length takes more than it may."""
    clip = clips.video(_SIZE, "x264 defaults", _CLIP_SECONDS)
    videos = {
        f"{name} of {_SIZE}": repeat_clip(clip, clips.folder / f"{name}.mp4", round(seconds / _CLIP_SECONDS))
        for name, seconds in LENGTHS.items()
    }
    videos[f"10 s of {_LARGE}"] = clips.video(_LARGE, "x264 defaults", _CLIP_SECONDS)
    found = {name: measured("detect", path) for name, path in videos.items()}
    rows = [
        [
            name,
            f"{figures['peak_mb']:.0f}",
            f"{figures['seconds']:.1f}",
            "yes" if figures["peak_mb"] <= REACH_MB else "NO",
        ]
        for name, figures in found.items()
    ]
    show(
        "Peak memory of a process that detects in one video",
        ["video", "peak MB", "seconds", f"<= {REACH_MB} MB"],
        rows,
        [f"One run each; {clips.origin}."],
    )
    return int(any(figures["peak_mb"] > REACH_MB for figures in found.values()))
