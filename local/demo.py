"""`python -m local demo [FILE]`: the main job over HTTP, as a client would do it, shown on a terminal.

It starts the embedded server on a free port with a folder that is removed afterwards. Without a file it draws a clip.
It succeeds only when the whole chain worked.
"""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn

from local import demo_incident
from local.client import SightlineClient
from local.drawing import draw_fight_clip
from local.emulators import free_port
from local.server import running_server
from shared.domain.incidents import PROFILES, SignalKind
from shared.settings import EmbeddedSettings

BEACON = "front-gate"
LOCATION = "Front gate"
TIMELINE_COLUMNS = 60
ANALYSIS_TIMEOUT_SECONDS = 600.0


class DemoFailed(RuntimeError):
    """A link of the chain did not hold; the message says which."""


@dataclass(frozen=True)
class DemoResult:
    """What came out of the chain. `signal_status` is the word the device was answered."""

    analysis: dict[str, Any]
    incident: dict[str, Any] | None
    signal_status: str


def run(video: Path | None, console: Console | None = None) -> int:
    """Runs the demo; returns the exit status."""
    console = console or Console(highlight=False, soft_wrap=True)
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="sightline-demo-") as folder:
        chosen = video or _drawn(Path(folder), console)
        with running_server(Path(folder) / "data", port=free_port(), config=EmbeddedSettings()) as base_url:
            console.print(f"Embedded server at {base_url}")
            client = SightlineClient(base_url)
            try:
                play(client, chosen, console, expect_incident=video is None)
            except (DemoFailed, demo_incident.IncidentBroke) as failure:
                console.print(f"[bold red]The chain broke:[/] {failure}")
                return 1
            finally:
                client.close()
    console.print(f"[bold green]The whole chain worked[/], in {time.monotonic() - started:.1f} s.")
    return 0


def play(client: SightlineClient, video: Path, console: Console, *, expect_incident: bool) -> DemoResult:
    """The scenario against any origin. Raises `DemoFailed`, `demo_incident.IncidentBroke`."""
    client.put_beacon(BEACON, LOCATION)
    client.put_guard(demo_incident.GUARD, name="Ana (made up)", places=[BEACON], tokens=["demo-phone"])
    ticket = client.request_upload(filename=video.name, size=video.stat().st_size, source_id=BEACON)
    console.print(f"Upload URL for video {ticket['video_id']}, valid {ticket['expires_in_hours']} h")
    _upload(client, ticket, video, console)
    progress = StageProgress(console)
    status = client.wait_until_ended(ticket["video_id"], timeout=ANALYSIS_TIMEOUT_SECONDS, on_status=progress.show)
    if status["state"] != "done":
        raise DemoFailed(status["error"] or "the analysis failed")
    analysis = client.analysis(ticket["video_id"])
    _show_analysis(analysis, console)
    incident_id = _opened_incident(analysis, console, expected=expect_incident)
    reply = _report_scream(client, incident_id, console)
    incident = client.incident(reply["incident_id"])
    _check_signals(incident, reply, 2 if incident_id else 1)
    console.print(f"Incident {incident['incident_id']} now has {incident['signal_count']} signal(s):")
    for signal in reversed(incident["signals"]):
        console.print(f"  {signal['signal_type']:<18} {signal['confidence_score']:.2f}  {signal['description']}")
    demo_incident.respond(client, incident, console)
    return DemoResult(analysis, incident, reply["status"])


def _drawn(folder: Path, console: Console) -> Path:
    path = folder / "drawn-fight.mp4"
    draw_fight_clip(path)
    console.print("No clip given: drew one (12 s, two figures walk up, fight and part). It is a drawing, not footage.")
    return path


def _upload(client: SightlineClient, ticket: dict[str, Any], video: Path, console: Console) -> None:
    columns = (TextColumn("Uploading"), BarColumn(), DownloadColumn())
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("upload", total=video.stat().st_size)
        client.upload(ticket, video, lambda sent: progress.update(task, completed=sent))


class StageProgress:
    """Shows each stage when it ends, or is tried again, as the status is polled."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._shown: dict[str, tuple[str, str | None]] = {}

    def show(self, status: dict[str, Any]) -> None:
        """Prints the stages that are news."""
        for name, stage in status["stages"].items():
            news = (stage["state"], stage["error_message"])
            if news == self._shown.get(name) or news in {("pending", None), ("running", None)}:
                continue
            self._shown[name] = news
            colour = {"done": "green", "failed": "red"}.get(stage["state"], "yellow")
            note = stage["error_message"] or stage["version"] or ""
            self._console.print(f"  {name:<10} [{colour}]{stage['state']:<8}[/] {_took(stage):>6}  {note}".rstrip())


def _took(stage: dict[str, Any]) -> str:
    if not stage["started"] or not stage["ended"]:
        return ""
    started, ended = (datetime.fromisoformat(stage[moment]) for moment in ("started", "ended"))
    return f"{(ended - started).total_seconds():.2f} s"


def _show_analysis(analysis: dict[str, Any], console: Console) -> None:
    duration = analysis["totalDuration"]
    console.print(f"Timeline   0 s [bold]{timeline(analysis)}[/] {duration:.1f} s")
    for found in analysis["violenceDetections"]:
        span = f"{found['startTime']:.1f}-{found['endTime']:.1f} s"
        console.print(f"  {span:<14} {found['type']} {found['confidence']:.2f}")
    console.print(f"Summary    {analysis['summary']}")
    console.print(f"Risk       {analysis['overallRisk']}, confidence {analysis['confidence']:.2f}")
    if analysis["moderation"]:
        receipt = analysis["moderation"]["receipt"]
        console.print(f"Moderation {receipt['status']}: {receipt['reasons'][0]}", markup=False)
        console.print(f"           {receipt['flip']['sentence'] if receipt['flip'] else ''}".rstrip(), markup=False)


def timeline(analysis: dict[str, Any], columns: int = TIMELINE_COLUMNS) -> str:
    """The segments as a strip of text: `█` where violence was detected, `·` elsewhere."""
    duration = analysis["totalDuration"] or 1.0
    middles = [(column + 0.5) * duration / columns for column in range(columns)]
    found = [(segment["startTime"], segment["endTime"]) for segment in analysis["violenceDetections"]]
    return "".join("█" if any(start <= t < end for start, end in found) else "·" for t in middles)


def _opened_incident(analysis: dict[str, Any], console: Console, *, expected: bool) -> str | None:
    if not analysis["incidents"]:
        if expected:
            raise DemoFailed("the drawn fight opened no incident")
        least = PROFILES[SignalKind.VIOLENCE].threshold
        console.print(f"Incident   none: {analysis['confidence']:.2f} is below the {least} that opens one")
        return None
    incident = analysis["incidents"][0]
    console.print(
        f"Incident   {incident['incident_id']} {incident['status']}, {incident['priority']}, "
        f"{incident['beacon_location']}"
    )
    incident_id: str = incident["incident_id"]
    return incident_id


def _report_scream(client: SightlineClient, incident_id: str | None, console: Console) -> dict[str, Any]:
    console.print("Now a device at the same place reports a scream, with a picture (made up by this demo)")
    status, reply = client.report_with_image(
        "scream",
        demo_incident.draw_snapshot(),
        beacon_id=BEACON,
        confidence_score=0.92,
        description="A scream, reported by a device at the same place",
        device_id="DEMO-MICROPHONE",
    )
    console.print(f"Device signal answered {status} {reply.get('status', reply)}")
    if incident_id and reply.get("incident_id") != incident_id:
        raise DemoFailed("the device's signal did not join the incident of its place")
    if status not in {200, 201} or "incident_id" not in reply:
        raise DemoFailed(f"the device's signal was answered {status}")
    return reply


def _check_signals(incident: dict[str, Any], reply: dict[str, Any], expected: int) -> None:
    numbers = [signal["signal_id"] for signal in incident["signals"]]
    if incident["signal_count"] != expected or reply["signal_id"] not in numbers:
        raise DemoFailed(f"expected {expected} signal(s) in the incident, found {incident['signal_count']}")
