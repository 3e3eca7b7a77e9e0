"""Time and memory of the embedded witnesses: `python -m bench witnesses [--data FOLDER] [--runs 3]`.

FOLDER/images holds pictures, FOLDER/calm and FOLDER/scfd videos, of which one picture each is looked at. Without
`--data` (or SIGHTLINE_BENCH_DATA) the pictures are drawn. Each witness runs in a process of its own, for its memory.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import psutil
from PIL import Image, ImageDraw, ImageFont

from bench.tables import show
from shared.adapters.embedded.image_annotator import LONGEST_SIDE, RapidAnnotator
from shared.adapters.embedded.text_analyzer import LexiconAnalyzer
from shared.detection.frames import VideoFrames
from shared.errors import SightlineError
from shared.ports import Feature, Frame

_VIDEOS = {".mp4", ".mkv", ".avi", ".mov", ".webm"}
_PICTURES = {".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tiff"}
_MOST_VIDEOS = 40
_VIDEO_MOMENT = 0.6
_LINES = ("STOP IT OR I SHOOT", "Palais du Louvre, élève français", "Straße Größe Mädchen", "the quick brown fox")
_SENTENCES = ("this is the worst place I have ever been to", "what a lovely day, thank you so much")
_MIB = 1 << 20


@dataclass(frozen=True)
class Run:
    """Of one witness: the first question (with loading) and the later ones, in seconds; memory in bytes."""

    questions: int
    first: float
    median: float
    slowest: float
    processor: float
    found: int
    resident: int
    peak: int


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description="Time and memory of the embedded witnesses.")
    parser.add_argument("--data", type=Path, default=os.environ.get("SIGHTLINE_BENCH_DATA"), help="pictures and videos")
    parser.add_argument("--runs", type=int, default=3, help="rounds over everything, after one to warm up")
    parser.add_argument("--only", choices=sorted(_WITNESSES), help="this one, in this process, as JSON")
    options = parser.parse_args(arguments)
    if options.only:
        print(json.dumps(asdict(_measure(options.only, options.data, options.runs))))
        return
    runs = {name: _in_a_process(name, options.data, options.runs) for name in _WITNESSES}
    show(
        "The embedded witnesses",
        [
            "witness",
            "questions",
            "found",
            "first ms",
            "median ms",
            "slowest ms",
            "processor ms",
            "resident",
            "peak MiB",
        ],
        [_row(name, run) for name, run in runs.items()],
        [
            "`found`: characters, faces, or texts with a mood, in one round. `resident`: MiB after the last question; "
            "the process alone, with this program and FFmpeg, is the row `nothing`.",
        ],
    )


def _row(name: str, run: Run) -> list[str]:
    times = [f"{1000 * seconds:.1f}" for seconds in (run.first, run.median, run.slowest, run.processor)]
    sizes = [f"{size / _MIB:.0f}" for size in (run.resident, run.peak)]
    return [name, str(run.questions), str(run.found), *times, *sizes]


def _in_a_process(name: str, data: Path | None, runs: int) -> Run:
    command = [sys.executable, "-m", "bench.witnesses", "--only", name, "--runs", str(runs)]
    done = subprocess.run([*command, *(["--data", str(data)] if data else [])], capture_output=True, check=True)
    return Run(**json.loads(done.stdout.splitlines()[-1]))


def _measure(name: str, data: Path | None, runs: int) -> Run:
    ask, questions = _WITNESSES[name](data)
    first = _timed(partial(ask, questions[0]))
    found = sum(ask(question) for question in questions)
    begun = time.process_time()
    seconds = [_timed(partial(ask, question)) for _ in range(runs) for question in questions]
    processor = (time.process_time() - begun) / len(seconds)
    memory = psutil.Process().memory_info().rss
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return Run(len(questions), first, statistics.median(seconds), max(seconds), processor, found, memory, peak)


def _timed(work: Callable[[], object]) -> float:
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


Asked = tuple[Callable[[Any], int], Sequence[Any]]


def _pictures(*features: Feature, threads: int = 1) -> Callable[[Path | None], Asked]:
    """One question is a picture; with threads, one for each of them at once."""

    def witness(data: Path | None) -> Asked:
        annotator = RapidAnnotator()

        def seen(frame: Frame) -> int:
            (found,) = annotator.annotate([frame], features)
            return len(found.faces or ()) if Feature.FACES in features else len(found.text or "")

        if threads == 1:
            return seen, list(_frames(data))
        pool = ThreadPoolExecutor(threads)
        return lambda frame: sum(pool.map(seen, [frame] * threads)), list(_frames(data))

    return witness


def _texts(_: Path | None) -> Asked:
    analyzer = LexiconAnalyzer()
    return lambda text: analyzer.analyze(text).sentiment is not None, [*_SENTENCES, *_LINES, _SENTENCES[0] * 250]


def _nothing(data: Path | None) -> Asked:
    return lambda _: 0, list(_frames(data))


_WITNESSES: Mapping[str, Callable[[Path | None], Asked]] = {
    "nothing": _nothing,
    "text in pictures": _pictures(Feature.TEXT),
    "text in pictures, 2 threads at once": _pictures(Feature.TEXT, threads=2),
    "faces": _pictures(Feature.FACES),
    "mood of texts": _texts,
}


def _frames(data: Path | None) -> Iterator[Frame]:
    if data is None:
        yield from map(_drawn, _LINES)
        return
    for path in sorted(path for path in (data / "images").rglob("*") if path.suffix.lower() in _PICTURES):
        with Image.open(path) as picture:
            yield _encoded(picture.convert("RGB"))
    videos = sorted(
        path for folder in ("calm", "scfd") for path in (data / folder).rglob("*") if path.suffix in _VIDEOS
    )
    for path in videos[:: -(-len(videos) // _MOST_VIDEOS)]:
        yield from _of_video(path)


def _of_video(path: Path) -> list[Frame]:
    try:
        with path.open("rb") as stream:
            return VideoFrames().sample(stream, [_VIDEO_MOMENT])
    except SightlineError:
        return []


def _encoded(picture: Image.Image) -> Frame:
    picture.thumbnail((LONGEST_SIDE, LONGEST_SIDE))
    target = io.BytesIO()
    picture.save(target, "JPEG", quality=85)
    return Frame(target.getvalue(), *picture.size)


def _drawn(line: str) -> Frame:
    picture = Image.new("RGB", (1280, 720), "white")
    pen = ImageDraw.Draw(picture)
    for top in range(40, 680, 80):
        pen.text((40, top), line, "black", ImageFont.load_default(40))
    return _encoded(picture)


if __name__ == "__main__":
    main()
