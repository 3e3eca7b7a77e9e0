"""A client of Sightline's HTTP interface, as a user would write one: used by the demo and the end-to-end tests."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx

CHUNK_BYTES = 256 << 10
POLL_SECONDS = 0.05


class AnalysisTimeout(RuntimeError):
    """The asset did not end in the time allowed."""


class SightlineClient:
    """Talks to one origin. Every method raises `httpx.HTTPStatusError` for an answer that is no success."""

    def __init__(self, base_url: str, token: str | None = None) -> None:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._http = httpx.Client(base_url=base_url, headers=headers, timeout=30.0)

    def close(self) -> None:
        """Ends the connections."""
        self._http.close()

    def put_beacon(self, beacon_id: str, location: str) -> dict[str, Any]:
        """Creates or replaces a place."""
        return self._json(self._http.put(f"/beacons/{beacon_id}", json={"location": location, "active": True}))

    def request_upload(self, **fields: Any) -> dict[str, Any]:
        """Asks for an upload URL; `fields` are those of POST /video/upload-url."""
        return self._json(self._http.post("/video/upload-url", json=fields))

    def upload(self, ticket: dict[str, Any], path: Path, on_progress: Callable[[int], None] | None = None) -> None:
        """Sends the file as the ticket says, calling `on_progress` with the bytes sent so far."""
        headers = {**ticket["headers"], "Content-Length": str(path.stat().st_size)}
        # The signature is the authorisation: the bearer token stays at home.
        sent = httpx.request(
            ticket["method"],
            ticket["upload_url"],
            content=_chunks(path, on_progress or (lambda _: None)),
            headers=headers,
            timeout=60.0,
        )
        sent.raise_for_status()

    def wait_until_ended(
        self, asset_id: str, *, timeout: float, on_status: Callable[[dict[str, Any]], None] | None = None
    ) -> dict[str, Any]:
        """Polls the status until the asset is done or failed and returns it; raises `AnalysisTimeout`."""
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            status = self._json(self._http.get(f"/video/status/{asset_id}"))
            if on_status is not None:
                on_status(status)
            if status["state"] in {"done", "failed"}:
                return status
            time.sleep(POLL_SECONDS)
        raise AnalysisTimeout(f"{asset_id} did not end within {timeout:.0f} s")

    def analysis(self, asset_id: str) -> dict[str, Any]:
        """Everything known of an upload."""
        return self._json(self._http.get(f"/analysis/{asset_id}"))

    def analyse(self, path: Path, **fields: str) -> dict[str, Any]:
        """Sends a file to be analysed at once; `fields` are those of POST /analysis."""
        with path.open("rb") as file:
            sent = self._http.post("/analysis", files={"video": (path.name, file)}, data=fields, timeout=300.0)
        return self._json(sent)

    def replay(self, asset_id: str, stage: str, *, actor: str, wait: float = 25) -> dict[str, Any]:
        """Lets one stage run again on what is stored, and waits up to `wait` seconds (25 at most) for its end."""
        path, params, headers = f"/analysis/{asset_id}/replay", {"wait": wait}, {"X-Actor": actor}
        return self._json(self._http.post(path, json={"stage": stage}, params=params, headers=headers))

    def replays(self, asset_id: str) -> list[dict[str, Any]]:
        """What was replayed of an upload, the latest first."""
        listed: list[dict[str, Any]] = self._json(self._http.get(f"/analysis/{asset_id}/replays"))["replays"]
        return listed

    def give_feedback(self, asset_id: str, **fields: Any) -> dict[str, Any]:
        """Says whether a verdict was right; `fields` are those of POST /feedback."""
        return self._json(self._http.post("/feedback", json={"analysisId": asset_id, **fields}))

    def feedback(self, asset_id: str) -> list[dict[str, Any]]:
        """What people said of an analysis, the latest first."""
        listed = self._json(self._http.get("/feedback", params={"analysisId": asset_id}))
        found: list[dict[str, Any]] = listed["feedback"]
        return found

    def timeline(self, asset_id: str) -> dict[str, Any]:
        """The probabilities over time."""
        return self._json(self._http.get(f"/analysis/{asset_id}/timeline"))

    def contact_sheet(self, asset_id: str) -> bytes:
        """The page of pictures, a JPEG."""
        sheet = self._http.get(f"/analysis/{asset_id}/contact-sheet")
        sheet.raise_for_status()
        return sheet.content

    def incident(self, incident_id: str) -> dict[str, Any]:
        """One incident with its signals."""
        return self._json(self._http.get(f"/incidents/{incident_id}"))

    def incidents(self, **query: Any) -> dict[str, Any]:
        """A page of incidents."""
        return self._json(self._http.get("/incidents", params=query))

    def report(self, kind: str, **fields: Any) -> tuple[int, dict[str, Any]]:
        """Posts a device signal of kind `violence` or `scream`; returns the status with the body."""
        reply = self._http.post(f"/api/ai/{kind}-detected/", json=fields)
        body: dict[str, Any] = reply.json()
        return reply.status_code, body

    def report_with_image(self, kind: str, image: bytes, **fields: Any) -> tuple[int, dict[str, Any]]:
        """Like `report`, with a picture beside it."""
        form = {name: str(value) for name, value in fields.items()}
        reply = self._http.post(f"/api/ai/{kind}-detected/", data=form, files={"images": ("image", image)})
        body: dict[str, Any] = reply.json()
        return reply.status_code, body

    def put_guard(self, guard_id: str, **fields: Any) -> dict[str, Any]:
        """Creates or replaces somebody who is called; `fields` are those of PUT /guards/{id}."""
        return self._json(self._http.put(f"/guards/{guard_id}", json=fields))

    def alerts(self, incident_id: str) -> list[dict[str, Any]]:
        """The alerts of an incident."""
        listed = self._json(self._http.get("/alerts", params={"incident_id": incident_id}))
        found: list[dict[str, Any]] = listed["alerts"]
        return found

    def alert(self, alert_id: str) -> dict[str, Any]:
        """One alert with everybody who was asked."""
        return self._json(self._http.get(f"/alerts/{alert_id}"))

    def accept(self, alert_id: str, guard_id: str) -> dict[str, Any]:
        """A guard takes the incident over."""
        return self._json(self._http.post(f"/alerts/{alert_id}/accept", json={"guard_id": guard_id}))

    def act(self, incident_id: str, action: str, **fields: Any) -> dict[str, Any]:
        """An operator's action: `acknowledge`, `assign`, `start`, `resolve` or `note`."""
        return self._json(self._http.post(f"/incidents/{incident_id}/{action}", json=fields))

    def incident_timeline(self, incident_id: str) -> list[dict[str, Any]]:
        """What happened to an incident, the oldest first (the first hundred)."""
        items: list[dict[str, Any]] = self._json(self._http.get(f"/incidents/{incident_id}/timeline"))["items"]
        return items

    def evidence(self, incident_id: str) -> bytes:
        """The bundle of everything that is known of an incident, a zip."""
        bundle = self._http.get(f"/incidents/{incident_id}/evidence")
        bundle.raise_for_status()
        return bundle.content

    def verify_evidence(self, bundle: bytes) -> dict[str, Any]:
        """Whether a bundle was made here and is unchanged."""
        headers = {"Content-Type": "application/zip"}
        return self._json(self._http.post("/evidence/verify", content=bundle, headers=headers))

    @staticmethod
    def _json(reply: httpx.Response) -> dict[str, Any]:
        reply.raise_for_status()
        body: dict[str, Any] = reply.json()
        return body


def _chunks(path: Path, on_progress: Callable[[int], None]) -> Iterator[bytes]:
    sent = 0
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            yield chunk
            sent += len(chunk)
            on_progress(sent)
