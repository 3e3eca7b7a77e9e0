"""What the embedded home says of pictures, with receipts: `python -m bench verdicts [--data FOLDER] [--profile NAME]`.

FOLDER holds pictures (also in folders of their own). Without `--data` some are drawn. `--receipts` prints each whole
receipt as JSON below the table.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from bench.tables import show
from shared.adapters.embedded.image_annotator import RapidAnnotator
from shared.adapters.embedded.text_analyzer import LexiconAnalyzer
from shared.detection.pictures import SafePictures
from shared.domain.moderation.findings import Evidence, MediaKind
from shared.domain.moderation.profiles import Profile
from shared.domain.moderation.verdicts import Verdict, judge
from shared.handlers import witnesses
from shared.handlers.stills import still_frames
from shared.policies import load_patterns, load_profile
from shared.records import to_data

ENDINGS = {".jpg", ".jpeg", ".png", ".gif", ".webp", ".bmp", ".tif", ".tiff"}
DRAWN = {
    "notice.png": "Mind the gap between the train and the platform",
    "threat.png": "I will kill you tonight",
    "insult.png": "This is awful, you are a horrible and disgusting person",
    "empty.png": "",
}


@dataclass(frozen=True)
class Judged:
    """One picture and what was said of it; `seconds` for reading, looking and judging."""

    name: str
    evidence: Evidence
    verdict: Verdict
    seconds: float


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m bench verdicts", description="Verdicts on pictures.")
    parser.add_argument("--data", type=Path, default=os.environ.get("SIGHTLINE_BENCH_IMAGES"), help="their folder")
    parser.add_argument("--profile", default="balanced", help="a profile's name, or a file")
    parser.add_argument("--receipts", action="store_true", help="print each receipt as JSON, too")
    options = parser.parse_args(arguments)
    profile = load_profile(options.profile)
    with tempfile.TemporaryDirectory(prefix="sightline-verdicts-") as folder:
        pictures = sorted(_pictures(Path(options.data))) if options.data else _drawn(Path(folder))
        judged = list(_judge_all(pictures, profile))
    _show(judged, profile)
    if options.receipts:
        for each in judged:
            print(json.dumps({"picture": each.name, **to_data(each.verdict)}, indent=2, ensure_ascii=False))


def _pictures(folder: Path) -> Iterator[Path]:
    return (path for path in folder.rglob("*") if path.suffix.lower() in ENDINGS)


def _drawn(folder: Path) -> list[Path]:
    for name, text in DRAWN.items():
        page = Image.new("RGB", (900, 200), "white")
        ImageDraw.Draw(page).text((30, 80), text, fill="black", font=ImageFont.load_default(32))
        page.save(folder / name)
    return sorted(folder / name for name in DRAWN)


def _judge_all(pictures: Sequence[Path], profile: Profile) -> Iterator[Judged]:
    deps = witnesses.Deps(RapidAnnotator(), LexiconAnalyzer(), load_patterns())
    reader = SafePictures()
    for path in pictures:
        began = time.perf_counter()
        frames = still_frames(reader.read(path.read_bytes()))
        evidence = witnesses.look(
            frames, MediaKind.IMAGE, profile.image_features, profile, deps, lambda _usd, _note: None, path.name
        )
        verdict = judge(evidence, profile)
        yield Judged(path.name, evidence, verdict, time.perf_counter() - began)


def _show(judged: Sequence[Judged], profile: Profile) -> None:
    rows = [
        [
            each.name,
            each.verdict.status.value,
            each.verdict.rule.value,
            f"{each.verdict.score:.2f}",
            f"{each.verdict.confidence:.2f}",
            str(len(each.evidence.text)),
            str(each.evidence.faces.number if each.evidence.faces else 0),
            f"{1000 * each.seconds:.0f}",
        ]
        for each in judged
    ]
    headings = ["picture", "verdict", "rule", "score", "confidence", "characters", "faces", "ms"]
    missing = sorted({gap.part.value for each in judged for gap in each.verdict.not_evaluated})
    notes = [f"Not evaluated here: {', '.join(missing)}."] if missing else []
    notes += [f"{each.name}: {each.verdict.flip.sentence}" for each in judged if each.verdict.flip]
    show(f"Verdicts of the embedded home, profile {profile.name} {profile.version}", headings, rows, notes)
