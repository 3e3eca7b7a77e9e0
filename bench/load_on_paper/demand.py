"""What each thing that happens asks of the system: measured once, kept in `demand.json`, read by the simulation.

`python -m bench load_on_paper --measure` writes the file anew: the whole system runs on this machine with counters in
its adapters (`counting.py`), one thing happens after the other, and everything that follows from it is counted, up to
the last stage and the last alert.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from infra import topology
from local.client import SightlineClient
from local.demo_incident import draw_snapshot
from local.drawing import draw_calm_clip, draw_fight_clip
from shared.ports import OutgoingMessage

FILE = Path(__file__).with_name("demand.json")
CLIP_SECONDS = 24.0


@dataclass(frozen=True)
class Demand:
    """What one happening asks for.

    `writes`: documents by collection, `created` of them new. `hottest`: by collection, the writes to one and the same
    document. `messages`: by topic. `requests`: HTTP requests by function. `seconds`: of a function's work as measured
    on one machine; of a stage from its claim to its result.
    """

    reads: int
    writes: Mapping[str, int]
    created: Mapping[str, int]
    deletes: int
    hottest: Mapping[str, int]
    messages: Mapping[str, int]
    message_bytes: int
    class_a: int
    class_b: int
    requests: Mapping[str, int] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)

    @property
    def written(self) -> int:
        """Documents written, of all collections."""
        return sum(self.writes.values())

    def calls(self, declared: topology.Topology) -> Counter[str]:
        """How often each function is called: by a request, or by a subscription of a topic."""
        calls = Counter(self.requests)
        for name, function in declared.event_functions().items():
            calls[name] += sum(self.messages.get(topic, 0) for topic in function.triggers)
        return +calls


def load(path: Path = FILE) -> dict[str, Demand]:
    """What was measured, by name: `calm upload`, `violent upload`, `first signal`, …"""
    told: dict[str, dict[str, Any]] = json.loads(path.read_text())
    return {name: Demand(**values) for name, values in told.items()}


def measure(path: Path = FILE) -> dict[str, Demand]:
    """Measures everything and writes the file."""
    from bench.load_on_paper import counting  # the simulation alone needs none of it

    with tempfile.TemporaryDirectory(prefix="sightline-demand-") as name, counting.counted_server(Path(name)) as url:
        client = SightlineClient(url)
        try:
            found = _Script(client, Path(name), counting.when_idle).run()
        finally:
            client.close()
    path.write_text(json.dumps({name: asdict(demand) for name, demand in found.items()}, indent=2) + "\n")
    return found


class _Script:
    """What happens, one thing after the other."""

    def __init__(self, client: SightlineClient, folder: Path, when_idle: Callable[[], Any]) -> None:
        self._client = client
        self._folder = folder
        self._when_idle = when_idle
        self._found: dict[str, Demand] = {}

    def run(self) -> dict[str, Demand]:
        """Everything, in an order in which each finds what it needs."""
        self._prepare()
        other, calm, fight = (self._folder / f"{name}.mp4" for name in ("other", "calm", "fight"))
        draw_fight_clip(other, 4.0, seed=11)
        draw_calm_clip(calm, CLIP_SECONDS)
        draw_fight_clip(fight, CLIP_SECONDS)
        self._upload("warming", other, "nowhere")  # what happens once: models are loaded
        self._upload("calm upload", calm, "gate")
        self._upload("violent upload", fight, "gate")
        del self._found["warming"]
        self._count("signal logged only", {"signals": 1}, lambda: self._report("door", 0.5))
        self._count("first signal", {"signals": 1}, lambda: self._report("door", 0.9))
        self._count("signal attached", {"signals": 1}, lambda: self._report("door", 0.9))
        self._count("signal attached, with picture", {"signals": 1}, lambda: self._report_with_picture("door"))
        incident = self._client.incidents(beacon_id="door")["incidents"][0]["incident_id"]
        self._count("incident handled", {"incidents": 7}, lambda: self._handle(incident))
        self._count("list looked at", {"incidents": 1}, lambda: self._client.incidents(limit=20))
        self._count("minute of the sweeper", {}, self._tick)
        return self._found

    def _prepare(self) -> None:
        for place in ("gate", "door"):
            self._client.put_beacon(place, place)
        self._client.put_guard("one", name="A guard (made up)", places=["gate", "door"], tokens=["made-up-phone"])
        self._when_idle()

    def _count(self, name: str, requests: Mapping[str, int], happen: Callable[[], Any]) -> None:
        self._when_idle()
        began = time.perf_counter()
        happen()
        took = time.perf_counter() - began
        counts = self._when_idle()
        seconds = {function: took / calls for function, calls in requests.items()}
        self._found[name] = Demand(
            reads=counts.reads,
            writes=dict(sorted(counts.writes.items())),
            created=dict(sorted(counts.created.items())),
            deletes=counts.deletes,
            hottest=dict(sorted(counts.hottest.items())),
            messages=dict(sorted(counts.messages.items())),
            message_bytes=counts.message_bytes,
            class_a=counts.class_a,
            class_b=counts.class_b,
            requests=dict(requests),
            seconds={function: round(each, 3) for function, each in seconds.items()},
        )

    def _upload(self, name: str, clip: Path, place: str) -> None:
        tickets: list[dict[str, Any]] = []

        def send() -> None:
            tickets.append(self._client.request_upload(source_id=place, filename=f"{place}.mp4"))
            self._client.upload(tickets[0], clip)

        self._count(name, {"uploads": 1}, send)
        analysis = self._client.analysis(tickets[0]["video_id"])
        if not analysis["complete"]:
            raise RuntimeError(f"{name}: it is idle, and yet not complete")
        seconds = {
            stage: round(_seconds_between(record["started"], record["ended"]), 3)
            for stage, record in analysis["stages"].items()
            if record["state"] == "done"
        }
        self._found[name] = replace(self._found[name], seconds=self._found[name].seconds | seconds)

    def _report(self, place: str, confidence: float) -> None:
        self._client.report("violence", **_signal(place, confidence))

    def _report_with_picture(self, place: str) -> None:
        fields = {name: str(value) for name, value in _signal(place, 0.9).items()}
        self._client.report_with_image("scream", draw_snapshot(), **fields)

    def _handle(self, incident: str) -> None:
        """Seven requests: the list of its alerts, one, accepted; the incident, started, resolved; its evidence."""
        alert = self._client.alerts(incident)[0]["alert_id"]
        self._client.alert(alert)
        self._client.accept(alert, "one")
        self._client.incident(incident)
        self._client.act(incident, "start")
        self._client.act(incident, "resolve", outcome="resolved", note="Counted")
        self._client.evidence(incident)

    def _tick(self) -> None:
        from bench.load_on_paper import counting

        for schedule in topology.load().schedules:
            message: OutgoingMessage = schedule.message()
            counting.CountingQueue.latest.publish(message)


def _signal(place: str, confidence: float) -> dict[str, Any]:
    return {"beacon_id": place, "confidence_score": confidence, "description": "Counted", "device_id": "CAM-1"}


def _seconds_between(began: str, ended: str) -> float:
    return (datetime.fromisoformat(ended) - datetime.fromisoformat(began)).total_seconds()
