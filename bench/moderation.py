"""A batch of pictures by URL, against the same pictures one by one: `python -m bench moderation [--items N]`.

The pictures are drawn, all different, and served on loopback by a server that takes its time, as servers do. Two kinds
of witnesses look: the embedded home's own, which compute here, and ones that answer after a while, as a service does.
The exit status is 1 unless every item got its verdict, and every failing URL, and nothing else, its error.
"""

from __future__ import annotations

import argparse
import io
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

from fastapi.testclient import TestClient
from PIL import Image, ImageDraw, ImageFont

from bench.tables import show
from local.home import Home
from shared import logs
from shared.adapters.fetching.addresses import Address, Refusal, refusal_of
from shared.adapters.fetching.url_fetcher import UrlFetcher
from shared.handlers import media_sources, moderation_batch, witnesses
from shared.ports import Feature, Frame, ImageAnnotation, Seen, TextAnnotation
from shared.settings import EmbeddedSettings
from shared.web import app as web
from shared.web import moderation

SERVER_SECONDS = 0.05
SERVICE_SECONDS = 0.3
FAILING_EVERY = 10
COLUMNS = ("witnesses, and how", "seconds", "items/s", "PASS", "FAIL", "ERROR", "cached", "times faster")
LINES = ("Mind the gap", "I will kill you tonight", "The train to the coast leaves at noon", "")


@dataclass(frozen=True)
class Run:
    """What one way of asking gave. `expected`: so many errors, and so many from the cache."""

    name: str
    seconds: float
    results: Sequence[Mapping[str, Any]]
    errors: int = 0
    cached: int = 0

    def count(self, status: str) -> int:
        """Of this status."""
        return sum(result["status"] == status for result in self.results)

    @property
    def from_cache(self) -> int:
        """How many cost no analysis."""
        return sum(result["cached"] for result in self.results)

    @property
    def is_right(self) -> bool:
        """Whether each item got what it should."""
        return (self.count("ERROR"), self.from_cache) == (self.errors, self.cached)


class SlowService:
    """Witnesses that see nothing bad, after a while."""

    name = "slow-service"
    unable: Mapping[Feature, str] = {}

    def annotate(self, frames: Sequence[Frame], features: Sequence[Feature]) -> list[ImageAnnotation]:  # noqa: ARG002
        """See `ImageAnnotator.annotate`."""
        time.sleep(SERVICE_SECONDS)
        words = dict.fromkeys(("adult", "violence", "racy", "spoof", "medical"), "VERY_UNLIKELY")
        clean = ImageAnnotation(safe_search=words, objects=(), labels=(Seen("Platform", 0.9),), faces=(), text="")
        return [clean for _ in frames]

    def analyze(self, text: str) -> TextAnnotation:  # noqa: ARG002
        """See `TextAnalyzer.analyze`."""
        return TextAnnotation(categories=(), sentiment=0.0)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m bench moderation", description="Batches, against one by one.")
    parser.add_argument("--items", type=int, default=50, help="pictures, at most 50")
    options = parser.parse_args(arguments)
    logs.configure("WARNING")
    pictures = [draw(number) for number in range(options.items)]
    runs: list[list[Run]] = []
    with serving(pictures) as origin, tempfile.TemporaryDirectory(prefix="sightline-moderation-") as folder:
        service = SlowService()
        for name, others in (("embedded", None), (f"{SERVICE_SECONDS * 1000:.0f} ms service", service)):
            with client(Path(folder) / name.replace(" ", "-"), origin, others) as asking:
                runs.append(measured(name, asking, origin, options.items))
    notes = [
        f"Each URL answers after {SERVER_SECONDS * 1000:.0f} ms; {moderation_batch.Deps.concurrency} items at a time.",
        "One by one: a request an item, each after the other, without the cache; the others are compared with it.",
    ]
    rows = [_row(run, group[0]) for group in runs for run in group]
    show(f"{options.items} pictures by URL", COLUMNS, rows, notes)
    return int(not all(run.is_right for group in runs for run in group))


def measured(name: str, asking: TestClient, origin: str, items: int) -> list[Run]:
    """All ways of asking. A picture of its own loads what is loaded with the first one."""
    ask(asking, [f"{origin}/warm-up"], cache_results=False)
    urls = [f"{origin}/{number}" for number in range(items)]
    failing = [f"{origin}/absent/{n}" if n % FAILING_EVERY == 0 else url for n, url in enumerate(urls)]
    absent = len(set(failing) - set(urls))
    single: Callable[[], list[Any]] = lambda: [ask(asking, [url], cache_results=False)[0] for url in urls]  # noqa: E731
    return [
        _timed(f"{name}, one by one", single),
        _timed(f"{name}, 10 % failing", lambda: ask(asking, failing, cache_results=False), errors=absent),
        _timed(f"{name}, batch", lambda: ask(asking, urls)),
        _timed(f"{name}, batch again", lambda: ask(asking, urls), cached=items),
    ]


def ask(asking: TestClient, urls: Sequence[str], **options: Any) -> list[Any]:
    """The results of one batch."""
    reply = asking.post("/moderate", json={"media_list": [{"url": url} for url in urls], **options})
    reply.raise_for_status()
    results: list[Any] = reply.json()["results"]
    return results


def _timed(name: str, asking: Callable[[], list[Any]], **expected: int) -> Run:
    began = time.perf_counter()
    results = asking()
    return Run(name, time.perf_counter() - began, results, **expected)


def _row(run: Run, yardstick: Run) -> list[str]:
    statuses = [str(run.count(status)) for status in ("PASS", "FAIL", "ERROR")]
    speed = [f"{run.seconds:.2f}", f"{len(run.results) / run.seconds:.1f}"]
    return [run.name, *speed, *statuses, str(run.from_cache), f"{yardstick.seconds / run.seconds:.1f}"]


@contextmanager
def client(data: Path, origin: str, service: SlowService | None) -> Iterator[TestClient]:
    """A client of the embedded home's route, which may fetch from loopback here."""
    home = Home(data, EmbeddedSettings(), "http://testserver")
    own = home.moderation_deps()
    port = int(origin.rpartition(":")[2])
    fetcher = UrlFetcher(ports={port}, resolver=lambda _: ["127.0.0.1"], rule=_loopback_too)
    seeing = witnesses.Deps(service, service, own.witnesses.patterns) if service else own.witnesses
    deps = replace(own, sources=media_sources.Deps(fetcher, own.sources.media), witnesses=seeing)
    with TestClient(web.create_app([moderation.router(lambda: deps)], access=None)) as asking:
        yield asking
    home.close()


def _loopback_too(address: Address) -> Refusal | None:
    return None if address == IPv4Address("127.0.0.1") else refusal_of(address)


@contextmanager
def serving(pictures: Sequence[bytes]) -> Iterator[str]:
    """Serves `/0`, `/1`, … while the block lasts, each after `SERVER_SECONDS`; gives their origin."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            time.sleep(SERVER_SECONDS)
            if self.path.startswith("/absent"):
                self.send_error(404)
                return
            number = self.path.strip("/")
            body = pictures[int(number)] if number.isdigit() else draw(1000)
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://pictures.example.com:{server.server_address[1]}"
    server.shutdown()
    server.server_close()
    thread.join()


def draw(number: int) -> bytes:
    """A picture of its own for each number, some with words."""
    picture = Image.new("RGB", (640, 360), (40 + number % 200, 90, 200 - number % 200))
    pen = ImageDraw.Draw(picture)
    pen.rectangle((20 + number % 300, 40, 120 + number % 300, 140), fill=(250, 250, 250))
    words = LINES[number % len(LINES)]
    if words:
        pen.text((40, 220), f"{words} {number}", "white", ImageFont.load_default(30))
    page = io.BytesIO()
    picture.save(page, "JPEG", quality=90)
    return page.getvalue()
