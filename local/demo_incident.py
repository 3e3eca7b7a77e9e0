"""The demo's second half: a guard is called, takes the incident over and resolves it, and its evidence is checked."""

from __future__ import annotations

import io
import time
from typing import Any

from PIL import Image, ImageDraw
from rich.console import Console

from local.client import SightlineClient

GUARD = "demo-guard"
ALERT_SECONDS = 30.0
POLL_SECONDS = 0.1


class IncidentBroke(RuntimeError):
    """The incident did not go its way; the message says where."""


def draw_snapshot() -> bytes:
    """What the demo's device saw: a drawing, as a PNG."""
    picture = Image.new("RGB", (640, 360), (40, 44, 52))
    pen = ImageDraw.Draw(picture)
    pen.rectangle((0, 250, 640, 360), fill=(70, 72, 76))
    pen.ellipse((285, 110, 335, 160), fill=(200, 170, 150))
    pen.rectangle((280, 165, 340, 290), fill=(150, 60, 60))
    stored = io.BytesIO()
    picture.save(stored, "PNG")
    return stored.getvalue()


def respond(client: SightlineClient, incident: dict[str, Any], console: Console) -> None:
    """From the alert to the verified bundle. Raises `IncidentBroke`."""
    parts = ", ".join(f"{part['signal_type']} {part['confidence_score']:.2f}" for part in incident["confidence_parts"])
    console.print(f"Together   {incident['confidence']:.2f} ({parts})")
    alert = _wait_for_alert(client, incident["incident_id"])
    asked = ", ".join(ask["guard_name"] for ask in alert["asks"])
    console.print(f"Alert      {alert['priority']}: asked {asked}, who must answer within 45 s")
    client.accept(alert["alert_id"], GUARD)
    taken = client.incident(incident["incident_id"])
    console.print(f"Accepted   the incident is {taken['status']} to {taken['assignee']}")
    for step, fields in (("start", {}), ("resolve", {"outcome": "resolved", "note": "Made up by this demo"})):
        client.act(incident["incident_id"], step, **fields)
    changes = [item["change"] for item in client.incident_timeline(incident["incident_id"]) if item["kind"] == "change"]
    console.print("Timeline   " + ", ".join(f"{change['number']} {change['action']}" for change in changes))
    checked = client.verify_evidence(client.evidence(incident["incident_id"]))
    if not checked["valid"]:
        raise IncidentBroke(f"the evidence does not hold: {checked['problems']}")
    console.print(f"Evidence   a bundle of {len(checked['files']['ok'])} files, whose sums are those it was made with")


def _wait_for_alert(client: SightlineClient, incident_id: str) -> dict[str, Any]:
    end = time.monotonic() + ALERT_SECONDS
    while time.monotonic() < end:
        for summary in client.alerts(incident_id):
            alert = client.alert(summary["alert_id"])
            if any(ask["guard_id"] == GUARD for ask in alert["asks"]):
                return alert
        time.sleep(POLL_SECONDS)
    raise IncidentBroke(f"nobody was alerted within {ALERT_SECONDS:.0f} s")
