"""Whether copies are told from other scenes of one camera: `python -m bench twins [--data FOLDER] [--sample 60]`.

FOLDER holds clips; a CSV file in it with the columns `clip` (a path in FOLDER) and `group` says which of them are of
one camera (else those of one folder are). Without `--data` (or SIGHTLINE_BENCH_DATA) the clips are drawn, all on one
street. The status is 1 if anything but a copy was taken for one.
"""

from __future__ import annotations

import argparse
import csv
import os
import random
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import combinations, pairwise
from pathlib import Path
from typing import Any

import av
from av.video.frame import PictureType

from bench.tables import show
from local.drawing import draw_calm_clip, draw_fight_clip
from shared.detection.decode import Decoding
from shared.detection.fingerprint import Fingerprinting
from shared.detection.motion import SAMPLE_HZ, SIDE
from shared.detection.probe import StreamProbe
from shared.detection.scoring import PictureFormat
from shared.detection.video import open_video
from shared.domain.likeness import LEAST_AGREEMENT, LEAST_MOVEMENT, MOST_DIFFERENCE, Verdict, judge, likeness
from shared.domain.reuse import ReusePolicy, hash_distance
from shared.ports import FINGERPRINT_HZ, FINGERPRINT_SIDE

_ENDINGS = {".mp4", ".mkv", ".avi", ".mov", ".webm"}
_DRAWN = 8
_PIECE_SLOTS = 4 * FINGERPRINT_HZ
_SLOT_BYTES = FINGERPRINT_SIDE**2
_PICTURES = PictureFormat(SIDE, SIDE, channels=1, hz=SAMPLE_HZ, even=True)


@dataclass(frozen=True)
class Encoding:
    """How a copy is made. `scale` of the sides, every `step`-th frame."""

    container: str = "mp4"
    codec: str = "libx264"
    scale: float = 1.0
    step: int = 1
    options: tuple[tuple[str, str], ...] = (("crf", "28"), ("preset", "veryfast"))


_BAD = (("crf", "38"), ("preset", "veryfast"))
ENCODINGS: Mapping[str, Encoding] = {
    "H.264, crf 28, MP4": Encoding(),
    "H.264, crf 38, MP4": Encoding(options=_BAD),
    "half the size, Matroska": Encoding(container="matroska", scale=0.5),
    "half the frames": Encoding(step=2),
    "a third of the size, half the frames, crf 38": Encoding(container="matroska", scale=1 / 3, step=2, options=_BAD),
    "MPEG-4 Part 2, AVI": Encoding(container="avi", codec="mpeg4", options=(("qscale", "8"),)),
}


@dataclass(frozen=True)
class Print:
    """What is known of one video for finding it again. `group`: its camera."""

    group: str
    seconds: float
    looks: str
    moves: bytes


@dataclass
class Tally:
    """Pairs of one kind: how many, how many of these are found by their hashes, and proved to be the same."""

    pairs: int = 0
    found: int = 0
    same: int = 0
    least: float = 255.0
    most: float = 0.0

    def add(self, one: Print, other: Print) -> None:
        """Compares two videos, whether or not their hashes are near."""
        policy = ReusePolicy()
        near = hash_distance(one.looks, other.looks) <= policy.most_bits
        near = near and abs(one.seconds - other.seconds) <= policy.duration_tolerance
        self.pairs += 1
        self.found += near
        verdict = judge(one.moves, other.moves)
        self.same += verdict is Verdict.SAME
        if verdict not in {Verdict.TOO_SHORT, Verdict.OTHER_LENGTH, Verdict.TOO_STILL}:
            difference = likeness(one.moves, other.moves).difference
            self.least, self.most = min(self.least, difference), max(self.most, difference)

    def row(self, name: str) -> list[str]:
        """As the table shows it."""
        extremes = ["-", "-"] if self.least > self.most else [f"{self.least:.1f}", f"{self.most:.1f}"]
        return [name, str(self.pairs), str(self.found), str(self.same), *extremes]


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m bench twins", description="Copies against scenes of one camera.")
    parser.add_argument("--data", type=Path, default=os.environ.get("SIGHTLINE_BENCH_DATA"), help="a folder of clips")
    parser.add_argument("--sample", type=int, default=60, help="how many clips are encoded anew")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="sightline-twins-") as name:
        folder = Path(name)
        data = Path(options.data) if options.data else _draw(folder)
        clips = {path: read(path, group) for path, group in sorted(grouped(data).items())}
        copies = _copies(clips, options.sample, folder)
        others = _others(list(clips.values()))
    _show(copies, others, f"clips from {data.name}" if options.data else "drawn clips, not footage")
    return int(any(tally.same for tally in others.values()))


def _show(copies: Mapping[str, Tally], others: Mapping[str, Tally], origin: str) -> None:
    headings = ["pairs", "number", "near hash", "taken for the same", "least diff.", "most diff."]
    rows = [tally.row(name) for name, tally in (*copies.items(), *others.items())]
    notes = [
        f"The same differ by {MOST_DIFFERENCE:g} gray levels at most, move by {LEAST_MOVEMENT:g} at least and agree in "
        f"their changes by {LEAST_AGREEMENT:g}. Differences are of pairs that are long enough and not too still.",
        f"Near hashes are {ReusePolicy().most_bits} bits apart at most, the durations half a second. Other scenes are "
        f"compared whether or not their hashes are near. Of {origin}.",
    ]
    show("Copies of a clip, and other clips", headings, rows, notes)


def _copies(clips: Mapping[Path, Print], sample: int, folder: Path) -> dict[str, Tally]:
    chosen = random.Random(1).sample(sorted(clips), min(sample, len(clips)))  # a sample, not a secret
    tallies = {f"copy: {name}": Tally() for name in ENCODINGS}
    for path in chosen:
        for (name, encoding), tally in zip(ENCODINGS.items(), tallies.values(), strict=True):
            target = folder / f"copy.{encoding.container}"
            encode_anew(path, target, encoding)
            tally.add(clips[path], read(target, name))
    return tallies


def _others(clips: Sequence[Print]) -> dict[str, Tally]:
    tallies = {
        name: Tally() for name in ("other cameras", "one camera", "one camera, 4 s pieces", "half a second cut in")
    }
    for one, other in combinations(clips, 2):
        if abs(one.seconds - other.seconds) <= ReusePolicy().duration_tolerance:
            tallies["one camera" if one.group == other.group else "other cameras"].add(one, other)
    for clip in clips:
        pieces = list(_pieces(clip))
        for one, other in combinations(pieces, 2):
            tallies["one camera, 4 s pieces"].add(one, other)
        for one, other in pairwise(pieces):
            tallies["half a second cut in"].add(one, _with_a_cut(one, other))
    return tallies


def _pieces(clip: Print) -> Iterator[Print]:
    """Stretches of 4 s of a long recording, as a camera sends them: the hash is that of all of it."""
    size = _PIECE_SLOTS * _SLOT_BYTES
    for start in range(0, len(clip.moves) - size + 1, size) if len(clip.moves) >= 2 * size else ():
        yield Print(clip.group, _PIECE_SLOTS / FINGERPRINT_HZ, clip.looks, clip.moves[start : start + size])


def _with_a_cut(one: Print, other: Print) -> Print:
    """The first, but for half a second in its middle."""
    at = _PIECE_SLOTS // 2 * _SLOT_BYTES
    moves = one.moves[:at] + other.moves[at : at + _SLOT_BYTES] + one.moves[at + _SLOT_BYTES :]
    return Print(one.group, one.seconds, one.looks, moves)


def grouped(data: Path) -> dict[Path, str]:
    """The clips of a folder with their cameras. Raises `FileNotFoundError` if there are none."""
    groups = {data / row["clip"]: row["group"] for table in data.glob("*.csv") for row in _rows(table)}
    found = [path for path in data.rglob("*") if path.suffix.lower() in _ENDINGS]
    if not found:
        raise FileNotFoundError(f"there are no clips in {data}")
    return {path: groups.get(path, path.parent.name) for path in found}


def _rows(table: Path) -> list[dict[str, str]]:
    with table.open(newline="", encoding="utf-8") as file:
        return [row for row in csv.DictReader(file) if {"clip", "group"} <= row.keys()]


def read(path: Path, group: str) -> Print:
    """Probes a video as ingest does, and takes its fingerprint as detect does."""
    with path.open("rb") as file:
        facts = StreamProbe().probe(file)
        fingerprinting = Fingerprinting(_PICTURES)
        with open_video(file) as video:
            decoding = Decoding(video)
            for seconds, picture in decoding.samples(_PICTURES):
                fingerprinting.push(seconds, picture)
            return Print(group, facts.duration, facts.perceptual_hash, fingerprinting.finish(decoding.end))


def encode_anew(source: Path, target: Path, encoding: Encoding) -> None:
    """Writes a copy of the pictures, without sound and metadata."""
    with av.open(str(source)) as read, av.open(str(target), "w", format=encoding.container) as written:
        video = read.streams.video[0]
        rate = ((video.average_rate or Fraction(25)) / encoding.step).limit_denominator(60_000)
        width, height = (max(32, int(side * encoding.scale) // 2 * 2) for side in (video.width, video.height))
        stream: Any = written.add_stream(encoding.codec, rate=rate, options=dict(encoding.options))
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for number, frame in enumerate(_every(read.decode(video), encoding.step)):
            picture = frame.reformat(width, height, "yuv420p")
            picture.pts, picture.time_base, picture.pict_type = number, 1 / rate, PictureType.NONE
            written.mux(stream.encode(picture))
        written.mux(stream.encode(None))


def _every(frames: Iterable[av.VideoFrame], step: int) -> Iterator[av.VideoFrame]:
    return (frame for number, frame in enumerate(frames) if number % step == 0)


def _draw(folder: Path) -> Path:
    drawn = folder / "street"
    drawn.mkdir()
    draw_calm_clip(drawn / "calm.mp4", 12, 320, 180)
    for seed in range(_DRAWN):
        draw_fight_clip(drawn / f"fight-{seed}.mp4", 12, 320, 180, 25, seed)
    return drawn
