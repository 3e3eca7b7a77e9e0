"""What moderating videos by the cascade costs: `python -m bench cascade [--data FOLDER] [--profile balanced]`.

FOLDER holds clips in folders (fight, nofight, calm, …); without it, clips are drawn. Each goes through the detector,
the frame sampler and text recognition, and is judged twice: by what the embedded home sees, and as if Vision and
Language had answered as well and found nothing. The second is the share that would be sent on to Video Intelligence if
nothing but violence and text were to be found in the clips: neither service is asked here. The status is 1 if 1,000
two-minute videos cost more than SPEC §9 allows.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from statistics import mean

from bench.tables import show
from infra import topology
from local.drawing import draw_calm_clip, draw_fight_clip
from shared.adapters.embedded.image_annotator import RapidAnnotator
from shared.adapters.embedded.text_analyzer import LexiconAnalyzer
from shared.detection.detector import load_detector
from shared.detection.frames import VideoFrames
from shared.domain import detections, timeline
from shared.domain.assets import Detection
from shared.domain.costs import Machine, compute_cost
from shared.domain.moderation.findings import PARTS, Count, Evidence, MediaKind, Part
from shared.domain.moderation.moments import SHOT_WITNESS, frame_moments, scene_starts
from shared.domain.moderation.prices_of_looks import image_cost, text_cost, video_cost
from shared.domain.moderation.profiles import Profile
from shared.domain.moderation.verdicts import Status, in_doubt, judge
from shared.errors import MediaUnusable
from shared.handlers import witnesses
from shared.policies import load_patterns, load_profile
from shared.ports import Detector
from shared.settings import BUNDLED_MODEL

ENDINGS = {".mp4", ".mkv", ".avi", ".mov", ".webm"}
VIDEOS, SECONDS, REACH = 1000, 120.0, 0.10
TEXT_CHARACTERS = 500
"""What a video with text in its pictures is taken to show: an assumption, on the dear side of what was read here."""


@dataclass(frozen=True)
class Seen:
    """What was said of one clip; `seconds` for frames, looks and verdict, without the detector."""

    group: str
    status: Status
    doubt: bool
    cloud_status: Status
    cloud_doubt: bool
    characters: int
    seconds: float


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m bench cascade", description="The cost of moderating videos.")
    parser.add_argument("--data", type=Path, default=os.environ.get("SIGHTLINE_BENCH_DATA"), help="folder of clips")
    parser.add_argument("--profile", default="balanced", help="a profile's name, or a file")
    options = parser.parse_args(arguments)
    profile = load_profile(options.profile)
    with tempfile.TemporaryDirectory(prefix="sightline-cascade-") as folder:
        clips = _clips(Path(options.data)) if options.data else _drawn(Path(folder))
        seen = list(_look_at_all(clips, profile))
    _show_verdicts(seen, profile)
    return _show_costs(seen, profile)


def _clips(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.suffix.lower() in ENDINGS)


def _drawn(folder: Path) -> list[Path]:
    for name, draw in (("fight", draw_fight_clip), ("calm", draw_calm_clip)):
        (folder / name).mkdir()
        draw(folder / name / "drawn.mp4")
    return _clips(folder)


def _look_at_all(clips: Sequence[Path], profile: Profile) -> Iterator[Seen]:
    detector = load_detector(BUNDLED_MODEL)
    deps = witnesses.Deps(RapidAnnotator(), LexiconAnalyzer(), load_patterns())
    for clip in clips:
        try:
            yield _look(clip, profile, detector, deps)
        except MediaUnusable as error:
            print(f"left out: {clip.name} ({error.code})")


def _look(clip: Path, profile: Profile, detector: Detector, deps: witnesses.Deps) -> Seen:
    with clip.open("rb") as stream:
        run = detector.detect(stream)
        segments = detections.find_segments(run.windows, detector.class_name, detections.DEFAULT_SENSITIVITY)
        peak = detections.peak_probability(run.windows)
        found = Detection(segments, peak, run.duration, truncated=run.truncated, model=detector.version)
        began = time.perf_counter()
        curve = timeline.probabilities_over_time(run.windows, run.duration)
        scenes = scene_starts(run.fingerprint)
        moments = frame_moments(run.duration, curve, segments, profile.video.frames, scenes)
        frames = VideoFrames().sample(stream, moments)
    evidence = witnesses.look(
        frames,
        MediaKind.VIDEO,
        profile.video.features,
        profile,
        deps,
        lambda _usd, _note: None,
        clip.name,
        detection=found,
        shots=Count(len(scenes), SHOT_WITNESS) if run.fingerprint else None,
    )
    here, there = judge(evidence, profile), judge(_as_if_all_had_answered(evidence), profile)
    took = time.perf_counter() - began
    doubts = in_doubt(here, profile), in_doubt(there, profile)
    return Seen(clip.parent.name, here.status, doubts[0], there.status, doubts[1], len(evidence.text), took)


def _as_if_all_had_answered(evidence: Evidence) -> Evidence:
    """The same sightings, every part of a video's frames covered: Vision and Language saw nothing more."""
    covered: dict[Part, float] = {
        part: 1.0 for part in PARTS[MediaKind.VIDEO] if part not in {Part.OBJECTS, Part.CROWD, Part.SHOTS}
    }
    return replace(evidence, coverage={**covered, **evidence.coverage, Part.ADULT: 1.0, Part.RACY: 1.0}, gaps=())


def _show_verdicts(seen: Sequence[Seen], profile: Profile) -> None:
    groups: dict[str, list[Seen]] = defaultdict(list)
    for each in seen:
        groups[each.group].append(each)
    rows = [_row(name, group) for name, group in sorted(groups.items())] + [_row("all", seen)]
    headings = ["clips", "count", "FAIL here", "sent on here", "FAIL with Vision", "sent on with Vision", "with text"]
    note = "With Vision: as if Vision and Language had answered and found nothing; they were not asked."
    show(f"Verdicts on frames, profile {profile.name} {profile.version}", headings, rows, [note])


def _row(name: str, group: Sequence[Seen]) -> list[str]:
    shares = (
        mean(each.status is Status.FAIL for each in group),
        mean(each.doubt for each in group),
        mean(each.cloud_status is Status.FAIL for each in group),
        mean(each.cloud_doubt for each in group),
        mean(each.characters > 0 for each in group),
    )
    return [name, str(len(group)), *(f"{100 * share:.1f} %" for share in shares)]


def _show_costs(seen: Sequence[Seen], profile: Profile) -> int:
    now = datetime.now(UTC)
    escalated = max(mean(each.cloud_doubt for each in seen), mean(each.doubt for each in seen))
    everything = VIDEOS * video_cost(SECONDS, now)
    parts = _costs(seen, profile, escalated, now)
    total = sum(parts.values())
    rows = [[name, f"{usd:.2f}", f"{100 * usd / everything:.2f} %"] for name, usd in parts.items()]
    rows += [["together", f"{total:.2f}", f"{100 * total / everything:.2f} %"]]
    rows += [["Video Intelligence on every video", f"{everything:.2f}", "100 %"]]
    headroom = (REACH * everything - total) / everything + escalated
    note = f"Up to {100 * headroom:.1f} % of the videos could be sent on before it would cost more than {REACH:.0%}."
    show(f"{VIDEOS} two-minute videos, USD by list price", ["what", "USD", "of the last line"], rows, [note])
    return 0 if total <= REACH * everything else 1


def _costs(seen: Sequence[Seen], profile: Profile, escalated: float, now: datetime) -> Mapping[str, float]:
    with_text = mean(each.characters > 0 for each in seen)
    function = topology.load().functions["moderate"]
    machine = Machine(function.cpu, function.memory)
    seconds = mean(each.seconds for each in seen)
    plan = profile.video
    return {
        f"Vision, {plan.frames} frames each": VIDEOS * image_cost(plan.frames, plan.features, now),
        f"Language, {100 * with_text:.0f} % with text": VIDEOS * with_text * text_cost(TEXT_CHARACTERS, now),
        "the function (time as measured here)": VIDEOS * compute_cost(seconds, machine, now),
        f"Video Intelligence, {100 * escalated:.1f} % sent on": VIDEOS * escalated * video_cost(SECONDS, now),
    }
