"""What 1,000 two-minute videos cost by list price: `python -m bench pipeline_cost [--runs 3]`.

The real handlers run a drawn clip through all stages, each with the machine that `infra/pipeline.yaml` gives its
function, and the ledger says what each has cost. Gemini is not asked: what it would cost is estimated as before a
question, for every depth. (`python -m bench detection cost` is about the detecting function alone.) The exit status is
1 if the default model costs more than SPEC §9 allows at any depth.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median

from bench.detection.clips import Clips
from bench.tables import show
from infra import topology
from shared.adapters.embedded.blob_folder import BlobFolder
from shared.adapters.embedded.blobs import FolderBlobs
from shared.adapters.embedded.documents import SqliteDocuments
from shared.adapters.system_clock import SystemClock
from shared.delivery import StageRunner, receive
from shared.detection.contact_sheet import TileSheets
from shared.detection.detector import load_detector
from shared.detection.pictures import SafePictures
from shared.detection.probe import StreamProbe
from shared.domain.assets import Asset, object_name_of
from shared.domain.context import PROMPT
from shared.domain.costs import Machine, compute_cost, estimated_tokens, question_cost
from shared.domain.incidents import IncidentPolicy
from shared.domain.prices import VIDEO_INTELLIGENCE, Unit, price, table_date
from shared.domain.reuse import ReusePolicy
from shared.domain.stages import Stage, StageState
from shared.handlers import context, correlate, detect, ingest, observe, reuse, scoring
from shared.handlers.spending import Spending
from shared.ids import TimeOrderedIds, new_uuid
from shared.ports import Bus, ContextAnswer, ContextRequest, Delivery, Depth, Documents, OutgoingMessage
from shared.repositories import assets
from shared.settings import BUNDLED_MODEL, DEFAULT_GEMINI_MODEL

VIDEOS = 1000
SECONDS = 120.0
SIZE = "720p"
WAITING_SECONDS = 20.0
"""How long the context function waits for Gemini: an assumption, since nobody is asked here."""

MODELS = (DEFAULT_GEMINI_MODEL, "gemini-2.5-flash-lite", "gemini-2.5-pro")
REACH = 0.10
MEASURED = (Stage.INGEST, Stage.DETECT, Stage.CONTEXT, Stage.CORRELATE)
"""What moderation costs is the matter of another benchmark."""

LEASE = timedelta(seconds=30)
ANSWER = '{"objects": ["person"], "emotions": [], "scenes": ["indoor"], "description": "A fight.", "threat_level": 2}'


@dataclass
class Kept:
    """A `Bus` that keeps what it is given."""

    messages: list[OutgoingMessage] = field(default_factory=list)

    def publish(self, message: OutgoingMessage) -> str:
        """Keeps the message."""
        self.messages.append(message)
        return str(len(self.messages))

    def deliveries(self, topic: str) -> list[Delivery]:
        """What was published to a topic."""
        return [Delivery(m.attributes["ce-id"], m.data, m.attributes) for m in self.messages if m.topic == topic]


@dataclass(frozen=True)
class Silent:
    """A `ContextModel` that answers at once and counts nothing, so that its cost is the estimate."""

    depths: Sequence[Depth]
    name: str = DEFAULT_GEMINI_MODEL

    def describe(self, request: ContextRequest, report: Callable[[float], None]) -> ContextAnswer:  # noqa: ARG002
        """The same for every video."""
        return ContextAnswer(ANSWER, self.name)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m bench pipeline_cost", description="What the pipeline costs.")
    parser.add_argument("--runs", type=int, default=3, help="videos a depth; medians are taken")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="sightline-cost-") as name:
        folder = Path(name)
        clips = Clips(folder, None, SECONDS)
        clip = clips.video(SIZE, "x264 defaults")
        runs = {depth: [analysed(clip, folder, depth) for _ in range(options.runs)] for depth in Depth}
    now = datetime.now(UTC)
    compute = {depth: _stage_medians(runs, depth, now) for depth in Depth}
    _show_stages(compute, runs, clips.origin, options.runs)
    return _show_models(compute, now)


def analysed(clip: Path, folder: Path, depth: Depth) -> Asset:
    """The asset of the clip after it went through all stages in a home of its own."""
    with tempfile.TemporaryDirectory(dir=folder) as home:
        store = SqliteDocuments(Path(home) / "documents.sqlite3", topology.load().document_indexes())
        blobs = BlobFolder(Path(home) / "blobs")
        try:
            return _run(clip, store, FolderBlobs(blobs, "media"), depth)
        finally:
            store.close()
            blobs.close()


def _run(clip: Path, store: Documents, media: FolderBlobs, depth: Depth) -> Asset:
    clock, bus, asset_id = SystemClock(), Kept(), new_uuid()
    name = object_name_of(asset_id)
    store.commit([assets.creation(Asset(asset_id, name, clock.now(), "gate"))])
    with clip.open("rb") as stream:
        info = media.put(name, stream, content_type="video/mp4")
    resource = {"bucket": "media", "name": name, "generation": str(info.generation)}
    handlers = _handlers(store, media, bus, depth)
    handlers[Stage.INGEST](Delivery("upload", json.dumps(resource).encode(), {"eventType": "OBJECT_FINALIZE"}))
    for topic, stage in (
        ("media-uploaded", Stage.DETECT),
        ("media-detected", Stage.CONTEXT),
        ("media-detected", Stage.CORRELATE),
    ):
        for delivery in bus.deliveries(topic):
            handlers[stage](delivery)
    asset = assets.get(store, asset_id)
    ended = {stage: record.state for stage, record in asset.stages.items()}
    if ended != dict.fromkeys(MEASURED, StageState.DONE):
        raise RuntimeError(f"not every stage succeeded: {ended}")
    return asset


def _handlers(
    store: Documents, media: FolderBlobs, bus: Bus, depth: Depth
) -> Mapping[Stage, Callable[[Delivery], None]]:
    clock, sheets = SystemClock(), TileSheets()
    runners = {stage: StageRunner(store, bus, clock, LEASE, machine_of(stage)) for stage in MEASURED}
    ingesting = ingest.Deps(store, media, StreamProbe(), SafePictures(), clock, ReusePolicy())
    pixels = scoring.Deps(media, load_detector(BUNDLED_MODEL), sheets)
    detecting = detect.Deps(pixels, reuse.Deps(store, media, clock, ReusePolicy()))
    asking = context.Deps(store, media, Silent((depth,)), sheets, Spending(store, clock, "Gemini"))
    observing = correlate.Deps(observe.Deps(store, clock, TimeOrderedIds(clock), IncidentPolicy()))
    return {
        Stage.INGEST: lambda delivery: receive(ingest.consumer, ingesting, runners[Stage.INGEST], delivery),
        Stage.DETECT: lambda delivery: receive(detect.consumer, detecting, runners[Stage.DETECT], delivery),
        Stage.CONTEXT: lambda delivery: receive(context.consumer, asking, runners[Stage.CONTEXT], delivery),
        Stage.CORRELATE: lambda delivery: receive(correlate.consumer, observing, runners[Stage.CORRELATE], delivery),
    }


def machine_of(stage: Stage) -> Machine:
    """What `infra/pipeline.yaml` gives the function of a stage."""
    function = topology.load().functions[stage.value]
    return Machine(function.cpu, function.memory)


def gemini_usd(model: str, depth: Depth, at: datetime) -> float:
    """What asking about one video is estimated to cost."""
    return question_cost(model, estimated_tokens(depth, SECONDS, PROMPT), at).usd


def video_intelligence_usd(at: datetime) -> float:
    """Labels, shots, explicit content and text of one video; begun minutes count whole."""
    minutes = -(-SECONDS // 60)
    units = (Unit.LABEL_MINUTE, Unit.EXPLICIT_MINUTE, Unit.TEXT_MINUTE)
    return minutes * sum(price(VIDEO_INTELLIGENCE, unit, at) for unit in units)


def _stage_medians(runs: Mapping[Depth, Sequence[Asset]], depth: Depth, at: datetime) -> dict[Stage, float]:
    """USD of computing of one video: as the ledger says, and of the context function the wait for Gemini, too."""
    every = [asset for found in runs.values() for asset in found]
    usd = {stage: median(asset.stages[stage].cost_usd for asset in every) for stage in MEASURED}
    usd[Stage.CONTEXT] = median(asset.stages[Stage.CONTEXT].cost_usd for asset in runs[depth])
    usd[Stage.CONTEXT] -= gemini_usd(DEFAULT_GEMINI_MODEL, depth, at)
    usd[Stage.CONTEXT] += compute_cost(WAITING_SECONDS, machine_of(Stage.CONTEXT), at)
    return usd


def _seconds(asset: Asset, stage: Stage) -> float:
    record = asset.stages[stage]
    assert record.started is not None
    assert record.ended is not None
    return (record.ended - record.started).total_seconds()


def _show_stages(
    compute: Mapping[Depth, Mapping[Stage, float]], runs: Mapping[Depth, Sequence[Asset]], origin: str, count: int
) -> None:
    rows = []
    for stage in MEASURED:
        for depth in (Depth.VIDEO, Depth.STILLS) if stage is Stage.CONTEXT else (Depth.VIDEO,):
            machine = machine_of(stage)
            waited = WAITING_SECONDS if stage is Stage.CONTEXT else 0.0
            found = runs[depth] if stage is Stage.CONTEXT else [asset for each in runs.values() for asset in each]
            seconds = median(_seconds(asset, stage) for asset in found) + waited
            label = f"{stage} ({depth})" if stage is Stage.CONTEXT else stage.value
            usd = f"{VIDEOS * compute[depth][stage]:.2f}"
            rows.append([label, f"{machine.cpu:g}", f"{machine.memory:g}", f"{seconds:.2f}", usd])
    show(
        f"Computing for {VIDEOS:,} two-minute videos of {SIZE}",
        ["stage", "vCPU", "MiB", "seconds a video", "dollars"],
        rows,
        [
            f"Seconds: medians of {count} videos a depth on this machine's {os.cpu_count()} cores, taken for the "
            f"function's, with the embedded store; {origin}. For context, {WAITING_SECONDS:g} s of waiting for Gemini "
            "are assumed.",
        ],
    )


def _show_models(compute: Mapping[Depth, Mapping[Stage, float]], at: datetime) -> int:
    against = VIDEOS * video_intelligence_usd(at)
    rows, missed = [], False
    for model in MODELS:
        for depth in Depth:
            asked, computed = VIDEOS * gemini_usd(model, depth, at), VIDEOS * sum(compute[depth].values())
            share = (asked + computed) / against
            missed |= share > REACH and model == DEFAULT_GEMINI_MODEL
            figures = [f"{usd:.2f}" for usd in (asked, computed, asked + computed)]
            rows.append([f"{model}, {depth}", *figures, f"{share:.2%}", "yes" if share <= REACH else "NO"])
    show(
        f"All of it for {VIDEOS:,} two-minute videos, against Video Intelligence on every video",
        ["model and depth", "Gemini", "computing", "dollars", "share", f"<= {REACH:.0%}"],
        [*rows, ["Video Intelligence on every video", "", "", f"{against:.2f}", "100 %", ""]],
        [
            f"List prices: shared/domain/prices.py, version {table_date(at)}; no free tier, no start of instances, no "
            "storage, no traffic. Tokens are those estimated before a question. Video Intelligence: labels, shots, "
            "explicit content and text.",
        ],
    )
    return int(missed)
