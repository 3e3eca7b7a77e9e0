"""Tries a running Sightline from outside, as its users do: `python -m infra.smoke URL [--token T]`.

One line a step: `ok    upload      1.2 s`, or what was expected and what came instead. Ends with 1 if a step failed. It
works at a beacon made for the run, so that it can be repeated and run beside others, and tidies up: its incidents are
resolved as false alarms and its beacon is switched off; the video and the records stay until retention takes them.
An incident is really opened, so who asked to hear of every incident (webhooks) hears of it.

It must never print a token or a signed URL, and sends the token nowhere but to URL.
"""

from __future__ import annotations

import argparse
import base64
import math
import re
import secrets
import struct
import sys
import tempfile
import time
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from shared import settings

LIMIT_SECONDS = 900.0
"""For everything: cold starts, and a load balancer that has not heard of a new function yet, take minutes."""

PATIENCE_SECONDS = 300.0
"""How long the origin may take until it answers at all."""

TIDY_SECONDS = 60.0
REQUEST_SECONDS = 60.0
MOST_BYTES = 16 << 20
"""Of one reply: no step asks for more."""

ATTEMPTS = 3
"""A request is repeated after a lost connection and after these: neither is the deployment's fault."""
PASSING = frozenset({429, 502, 503, 504})
PAUSE_SECONDS = 1.0
POLL_SECONDS = 0.5

BUNDLED_MODEL = "violence-motion"
"""It must find the drawn fight; of a model of the user's own nobody knows what it makes of a drawing."""

SIGNATURE = re.compile(r"(https?://[^\s\"'?]+)\?[^\s\"']*")


class Unexpected(Exception):
    """A step did not go as it must; the message says what was expected and what came."""


@dataclass
class Run:
    """One run against one origin: how it calls, and what its steps found for those after them."""

    base_url: str
    token: str | None
    clip: Path | None
    patience: float
    deadline: float
    http: httpx.Client
    id: str = field(default_factory=lambda: secrets.token_hex(4))
    incident_id: str = ""
    video_id: str = ""
    reported: list[str] = field(default_factory=list)

    @property
    def beacon_id(self) -> str:
        """The run's own place."""
        return f"smoke-{self.id}"

    def ask(
        self, method: str, path: str, *, expected: Sequence[int] = (200,), anonymous: bool = False, **sent: Any
    ) -> Any:
        """The reply to a request of the origin; repeated if need be. Raises `Unexpected` for another status."""
        _expect(path.startswith("/"), "a link of the origin's", "a path", path)  # or it could name another host
        headers = dict(sent.pop("headers", {}))
        if self.token and not anonymous:
            headers["Authorization"] = f"Bearer {self.token}"
        what, url = f"{method} {path.partition('?')[0]}", f"{self.base_url}{path}"
        reply = self._repeated(what, lambda: self._send(method, url, what, headers=headers, **sent))
        _expect_status(reply, what, expected)
        return reply

    def ask_json(self, method: str, path: str, **sent: Any) -> dict[str, Any]:
        """Like `ask`, for a reply that must be a JSON object."""
        return _object(self.ask(method, path, **sent), f"{method} {path.partition('?')[0]}")

    def fetch(self, method: str, url: str, what: str, **sent: Any) -> httpx.Response:
        """A request of a signed URL: its signature is the authorisation, the token stays at home."""
        return self._send(method, url, what, **sent)

    def wait_until(self, done: Callable[[], bool], what: str) -> None:
        """Returns when `done()`. Raises `Unexpected` when the run's time is over."""
        while not done():
            if time.monotonic() + POLL_SECONDS >= self.deadline:
                raise Unexpected(f"expected {what} before the run's time was over")
            time.sleep(POLL_SECONDS)

    def _repeated(self, what: str, send: Callable[[], httpx.Response]) -> httpx.Response:
        for attempt in range(1, ATTEMPTS + 1):
            try:
                reply = send()
            except Unexpected:
                if attempt == ATTEMPTS or time.monotonic() >= self.deadline:
                    raise
            else:
                if reply.status_code not in PASSING or attempt == ATTEMPTS:
                    return reply
            time.sleep(PAUSE_SECONDS * attempt)
        raise AssertionError(what)

    def _send(self, method: str, url: str, what: str, **sent: Any) -> httpx.Response:
        left = self.deadline - time.monotonic()
        too_late = Unexpected(f"expected an answer to {what} before the run's time was over")
        if left <= 0:
            raise too_late
        try:
            with self.http.stream(method, url, timeout=min(left, REQUEST_SECONDS), **sent) as reply:
                return httpx.Response(reply.status_code, headers=reply.headers, content=self._body(reply, what))
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            if time.monotonic() >= self.deadline:
                raise too_late from error
            raise Unexpected(f"expected an answer to {what}, got none ({type(error).__name__})") from error

    def _body(self, reply: httpx.Response, what: str) -> bytes:
        """As it was sent. A reply without an end must not keep a roll back from coming."""
        body = bytearray()
        ends = min(self.deadline, time.monotonic() + REQUEST_SECONDS)
        for part in reply.iter_raw():
            body += part
            if len(body) > MOST_BYTES or time.monotonic() > ends:
                raise Unexpected(f"expected an answer to {what} that ends, got more than {len(body):,} bytes")
        return bytes(body)


# --------------------------------------------------------------------------- the steps


def health(run: Run) -> None:
    """All components that are needed are well, within the patience a new load balancer asks for."""
    end = min(run.deadline, time.monotonic() + run.patience)
    while True:
        try:
            told = run.ask_json("GET", "/health", anonymous=True)
            break
        except Unexpected:
            if time.monotonic() + POLL_SECONDS >= end:
                raise
            time.sleep(POLL_SECONDS)
    _expect(told.get("ok") is True, "GET /health", '"ok": true', told.get("components"))


def access(run: Run) -> None:
    """Who brings no token is refused, where tokens are asked for; and the run's own token is good."""
    told = run.ask_json("GET", "/", anonymous=True)
    guarded = told.get("auth_enabled")
    _expect(isinstance(guarded, bool), "GET /", '"auth_enabled"', sorted(told))
    if run.token is None:
        _expect(guarded is False, "GET /", "no token to be asked for, since none was given with --token", told)
        return
    _expect(guarded is True, "GET /", "a token to be asked for, since one was given", told)
    refused = run.ask("GET", "/incidents", anonymous=True, expected=(401,))
    _expect("detail" in _object(refused, "GET /incidents"), "GET /incidents", 'a "detail"', refused.text)
    run.ask("GET", "/incidents?limit=1")


def methods(run: Run) -> None:
    """A method that a path does not have is refused, by the load balancer (404) or by the function (405)."""
    run.ask("DELETE", "/video/upload-url", expected=(404, 405))


def beacon(run: Run) -> None:
    """An administrator makes a place, and reads it back."""
    place = {"location": f"Smoke test {run.id}", "active": True}
    run.ask("PUT", f"/beacons/{run.beacon_id}", json=place)
    stored = run.ask_json("GET", f"/beacons/{run.beacon_id}")
    _expect(stored.get("active") is True, "GET /beacons/{id}", "the beacon as it was made", stored)


def signal(run: Run) -> None:
    """A device's signal with a picture opens an incident."""
    reply = _report(run, "violence", files={"images": ("smoke.png", picture(run.id), "image/png")})
    _expect(reply.status_code == 201, "the first signal", "201", f"{reply.status_code} {reply.text}")
    answer = _object(reply, "the first signal")
    run.incident_id = str(answer.get("incident_id") or "")
    _expect(bool(run.incident_id), "the first signal", "an incident_id", sorted(answer))
    _expect(len(answer.get("images") or []) == 1, "the first signal", "its one picture", answer.get("images"))


def deduplication(run: Run) -> None:
    """A second signal at the same place joins the incident of the first."""
    reply = _report(run, "scream")
    answer = _object(reply, "the second signal")
    told = (reply.status_code, answer.get("status"), answer.get("incident_id"))
    wanted = (200, "signal_added_to_existing", run.incident_id)
    _expect(told == wanted, "the second signal", str(wanted), told)


def incident(run: Run) -> None:
    """The incident is read back with both signals and what happened to it."""
    path = f"/incidents/{run.incident_id}"
    stored = run.ask_json("GET", path)
    ids = {str(one.get("signal_id")) for one in _objects(stored.get("signals"))}
    _expect(ids.issuperset(run.reported), "GET /incidents/{id}", f"the signals {run.reported}", sorted(ids))
    _expect(stored.get("beacon_id") == run.beacon_id, "GET /incidents/{id}", run.beacon_id, stored.get("beacon_id"))
    items = _objects(run.ask_json("GET", f"{path}/timeline").get("items"))
    actions = [(item.get("change") or {}).get("action") for item in items]
    _expect("opened" in actions, "GET /incidents/{id}/timeline", "opened", actions)


def evidence(run: Run) -> None:
    """The picture of the first signal can be looked at, by a link made for it."""
    images = _objects(run.ask_json("GET", f"/incidents/{run.incident_id}/images").get("images"))
    _expect(len(images) == 1, "GET /incidents/{id}/images", "one picture", len(images))
    led = run.ask("GET", str(images[0].get("url")), expected=(302, 307))
    shown = run.fetch("GET", str(led.headers.get("location", "")), "the link to the picture")
    _expect_status(shown, "the link to the picture", (200,))
    _expect(_is_picture(shown.content), "the link to the picture", "a picture", f"{len(shown.content)} bytes")


def upload(run: Run) -> None:
    """A clip goes up by a signed URL, as from a camera at the run's place."""
    with _clip(run) as clip:
        asked = {"filename": clip.name, "size": clip.stat().st_size, "source_id": run.beacon_id}
        ticket = run.ask_json("POST", "/video/upload-url", json=asked)
        url, method, headers = ticket.get("upload_url"), ticket.get("method", "PUT"), ticket.get("headers")
        _expect(isinstance(url, str) and isinstance(headers, dict), "POST /video/upload-url", "a URL", sorted(ticket))
        sent = run.fetch(str(method), str(url), "the upload", content=clip.read_bytes(), headers=headers)
    _expect_status(sent, "the upload", (200, 201))
    run.video_id = str(ticket.get("video_id"))


def analysis(run: Run) -> None:
    """The upload goes through every stage; its ledger is readable, and what was found is in an incident."""

    def ended() -> bool:
        return run.ask_json("GET", f"/video/status/{run.video_id}").get("state") in {"done", "failed"}

    run.wait_until(ended, f"the analysis of {run.video_id} to end")
    told = run.ask_json("GET", f"/analysis/{run.video_id}")
    stages = told.get("stages") or {}
    _expect("detect" in stages, "GET /analysis/{id}", "the ledger of its stages", stages)
    failed = {
        name: one.get("error_code") for name, one in stages.items() if one.get("state") not in {"done", "skipped"}
    }
    _expect(not failed, "GET /analysis/{id}", "every stage to be done or skipped", failed)
    if run.clip is None and str(stages["detect"].get("version")).startswith(BUNDLED_MODEL):
        found = (bool(told.get("violenceDetections")), bool(told.get("incidents")))
        _expect(all(found), "GET /analysis/{id}", "the drawn fight to be found, and an incident", told.get("summary"))


def moderation(run: Run) -> None:
    """A harmless picture is looked at, and passes."""
    url = "data:image/png;base64," + base64.b64encode(picture(run.id)).decode()
    asked = {"media_list": [{"id": "smoke", "type": "image", "url": url}], "cache_results": False}
    results = _objects(run.ask_json("POST", "/moderate", json=asked).get("results"))
    told = [one.get("status") for one in results]
    _expect(told == ["PASS"], "POST /moderate", "['PASS']", told)


def metrics(run: Run) -> None:
    """Latencies are kept, now and over the last day."""
    now = run.ask_json("GET", "/metrics")
    totals = now.get("totals")
    _expect(isinstance(totals, dict), "GET /metrics", '"totals"', sorted(now))
    wanted = {"count", "p50_ms", "p95_ms", "p99_ms", "statusCounts"}
    _expect(wanted <= set(totals or {}), "GET /metrics", f"totals with {sorted(wanted)}", totals)
    _expect(isinstance(now.get("routes"), dict), "GET /metrics", '"routes"', sorted(now))
    before = run.ask_json("GET", "/metrics/history?hours=24")
    history = before.get("history")
    agreeing = isinstance(history, list) and before.get("count") == len(history)
    _expect(agreeing, "GET /metrics/history", '"history" and its "count"', sorted(before))


def tidy(run: Run) -> None:
    """Resolves what the run opened at its place, and switches the place off."""
    found = run.ask_json("GET", f"/incidents?beacon_id={run.beacon_id}")
    for one in _objects(found.get("incidents")):
        # A deployment that lists the wrong ones must not have somebody's real incident called a false alarm.
        _expect(one.get("beacon_id") == run.beacon_id, "GET /incidents", f"those of {run.beacon_id} alone", one)
        if one.get("status") == "RESOLVED":
            continue
        verdict = {"outcome": "false_alarm", "note": "Opened by a smoke test; nothing happened."}
        run.ask("POST", f"/incidents/{one.get('incident_id')}/resolve", json=verdict)
    place = {"location": f"Smoke test {run.id}, over", "active": False}
    run.ask("PUT", f"/beacons/{run.beacon_id}", json=place)


@dataclass(frozen=True)
class Step:
    """What is tried, and which steps must have succeeded before."""

    act: Callable[[Run], None]
    needs: tuple[str, ...] = ()


STEPS: Mapping[str, Step] = {
    "health": Step(health),
    "access": Step(access, ("health",)),
    "methods": Step(methods, ("access",)),
    "beacon": Step(beacon, ("access",)),
    "signal": Step(signal, ("beacon",)),
    "deduplication": Step(deduplication, ("signal",)),
    "incident": Step(incident, ("deduplication",)),
    "evidence": Step(evidence, ("signal",)),
    "upload": Step(upload, ("beacon",)),
    "analysis": Step(analysis, ("upload",)),
    "moderation": Step(moderation, ("access",)),
    "metrics": Step(metrics, ("access",)),
}
"""In the order they are tried. `tidy` follows them whenever there may be a beacon."""


def needed(names: Sequence[str]) -> list[str]:
    """These steps and those they need, in order."""
    wanted, waiting = set(), list(names)
    while waiting:
        name = waiting.pop()
        wanted.add(name)
        waiting += STEPS[name].needs
    return [name for name in STEPS if name in wanted]


def try_all(run: Run, names: Sequence[str], say: Callable[[str], None]) -> bool:
    """Tries these steps, says what came of each, and tidies up. Returns whether all succeeded."""
    held: dict[str, bool] = {}
    for name in names:
        lacking = [need for need in STEPS[name].needs if not held.get(need)]
        if lacking:
            say(f"left  {name:<14} needs {', '.join(lacking)}")
            held[name] = False
        else:
            held[name] = _try(name, STEPS[name].act, run, say)
    if "beacon" in held and held["access"]:
        run.deadline = max(run.deadline, time.monotonic() + TIDY_SECONDS)
        held["tidy"] = _try("tidy", tidy, run, say)
    return all(held.values())


def _try(name: str, act: Callable[[Run], None], run: Run, say: Callable[[str], None]) -> bool:
    started = time.monotonic()
    try:
        act(run)
    except Unexpected as error:
        say(f"FAIL  {name:<14} {time.monotonic() - started:.1f} s  {_told(str(error), run.token)}")
        return False
    except Exception as error:  # a reply of no form a step knows; the steps after it must still tidy up
        say(
            f"FAIL  {name:<14} {time.monotonic() - started:.1f} s  got a reply of another form ({type(error).__name__})"
        )
        return False
    say(f"ok    {name:<14} {time.monotonic() - started:.1f} s")
    return True


# --------------------------------------------------------------------------- what the steps are made of


def picture(seed: str, size: int = 96) -> bytes:
    """A PNG of a grey gradient, another one for each seed."""
    shift = sum(seed.encode()) % 64
    row = bytes(min(255, 80 + shift + column) for column in range(size))
    rows = b"".join(b"\0" + row for _ in range(size))
    header = struct.pack(">IIBBBBB", size, size, 8, 0, 0, 0, 0)
    parts = (_chunk(b"IHDR", header), _chunk(b"IDAT", zlib.compress(rows)), _chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


@contextmanager
def _clip(run: Run) -> Iterator[Path]:
    """The clip to upload. A drawn one differs from run to run, or its analysis would be that of the run before."""
    if run.clip is not None:
        yield run.clip
        return
    from local.drawing import draw_fight_clip  # needs the packages that decode video; a clip of one's own does not

    with tempfile.TemporaryDirectory(prefix="sightline-smoke-") as folder:
        drawn = Path(folder) / "smoke.mp4"
        draw_fight_clip(drawn, seed=int(run.id, 16))
        yield drawn


def _report(run: Run, kind: str, **files: Any) -> httpx.Response:
    fields = {
        "beacon_id": run.beacon_id,
        "confidence_score": "0.95",
        "description": "Smoke test of a deployment; nothing happened",
        "device_id": "SMOKE-TEST",
    }
    body: dict[str, Any] = {"data": fields, **files} if files else {"json": {**fields, "confidence_score": 0.95}}
    headers = {"Idempotency-Key": f"{run.beacon_id}-{kind}"}
    reply: httpx.Response = run.ask("POST", f"/api/ai/{kind}-detected/", expected=(200, 201), headers=headers, **body)
    run.reported.append(str(_object(reply, f"the {kind} signal").get("signal_id")))
    return reply


def _expect(holds: bool, what: str, wanted: str, came: object) -> None:
    if not holds:
        raise Unexpected(f"{what}: expected {wanted}, got {_short(str(came))}")


def _expect_status(reply: httpx.Response, what: str, expected: Sequence[int]) -> None:
    wanted = " or ".join(map(str, expected))
    came = f"{reply.status_code} {_short(reply.text)}" if reply.status_code not in expected else ""
    _expect(not came, what, wanted, came)


def _object(reply: httpx.Response, what: str) -> dict[str, Any]:
    try:
        body = reply.json()
    except ValueError:
        body = None
    _expect(isinstance(body, dict), what, "a JSON object", reply.text)
    found: dict[str, Any] = body
    return found


def _objects(value: object) -> list[dict[str, Any]]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def _is_picture(content: bytes) -> bool:
    return content.startswith((b"\x89PNG", b"\xff\xd8\xff")) or content[8:12] == b"WEBP"


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 200 else f"{line[:200]}…"


def _told(sentence: str, token: str | None) -> str:
    """Without what opens anything: the token, and the signatures of URLs."""
    unsigned = SIGNATURE.sub(r"\1?…", sentence)
    return unsigned.replace(token, "…") if token else unsigned


# --------------------------------------------------------------------------- the command line


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit status."""
    chosen = _parser().parse_args(arguments)
    token = chosen.token or settings.load(settings.UploaderSettings).api_token
    names = needed(chosen.step or list(STEPS))
    started = time.monotonic()
    with httpx.Client(follow_redirects=False) as http:
        run = Run(chosen.url, token, chosen.clip, chosen.patience, started + chosen.limit, http)
        print(f"Smoke test {run.id} of {chosen.url}", flush=True)
        good = try_all(run, names, lambda line: print(line, flush=True))
    print(f"{'Everything held' if good else 'It does not hold'}, after {time.monotonic() - started:.1f} s.", flush=True)
    return 0 if good else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m infra.smoke", description="Tries a running Sightline.")
    parser.add_argument("url", type=_origin, metavar="URL", help="its origin, such as https://sightline.example")
    parser.add_argument("--token", help="instead of SIGHTLINE_API_TOKEN; an administrator's")
    parser.add_argument("--clip", type=_file, help="a video of your own instead of a drawn fight")
    parser.add_argument("--limit", type=_seconds, default=LIMIT_SECONDS, help="for everything (default %(default)s)")
    parser.add_argument(
        "--patience", type=_seconds, default=PATIENCE_SECONDS, help="until /health is well (default %(default)s)"
    )
    parser.add_argument("--step", action="append", choices=list(STEPS), help="only this, and what it needs; repeatable")
    return parser


def _origin(text: str) -> str:
    try:
        url = httpx.URL(text)
    except httpx.InvalidURL as error:
        raise argparse.ArgumentTypeError("is no URL") from error
    if url.scheme not in {"http", "https"} or not url.host or url.userinfo or url.query or url.path not in {"", "/"}:
        raise argparse.ArgumentTypeError("must be an origin such as https://sightline.example")
    return text.rstrip("/")


def _file(text: str) -> Path:
    path = Path(text)
    if not path.is_file():
        raise argparse.ArgumentTypeError(f"{text} is not a file")
    return path


def _seconds(text: str) -> float:
    value = float(text)
    if not math.isfinite(value) or value <= 0:
        raise argparse.ArgumentTypeError("must be a number of seconds above 0")
    return value


if __name__ == "__main__":
    sys.exit(main())
