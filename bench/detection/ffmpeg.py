"""FFmpeg's command line, the yardstick of decoding."""

from __future__ import annotations

import shutil
import subprocess
import time
from pathlib import Path

import av

from bench.detection.work import Figures

MISSING = "ffmpeg is missing: install it (Debian: apt-get install ffmpeg) to have this table."


def installed() -> bool:
    """Whether there is one on the PATH; says so on the terminal if not."""
    if shutil.which("ffmpeg"):
        return True
    print(f"\n{MISSING}\n")
    return False


def decode(path: Path) -> Figures:
    """Decodes everything and keeps nothing, with FFmpeg's own choice of threads."""
    begun = time.perf_counter()
    subprocess.run(["ffmpeg", "-v", "error", "-nostdin", "-i", str(path), "-f", "null", "-"], check=True)
    return {"seconds": time.perf_counter() - begun}


def versions() -> str:
    """What is compared with what."""
    first = subprocess.run(["ffmpeg", "-version"], check=True, capture_output=True, text=True).stdout.split()
    libavcodec = ".".join(str(part) for part in av.library_versions["libavcodec"])
    return f"ffmpeg {first[2]}; PyAV {av.__version__} with libavcodec {libavcodec}"
