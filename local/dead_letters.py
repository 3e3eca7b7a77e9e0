"""`python -m local dead-letters`: what was given up, and a way to deliver it again, in either home."""

from __future__ import annotations

import sys
from pathlib import Path

from infra import topology
from local.home import queue_subscriptions
from shared.adapters.embedded.queue import SqliteQueue
from shared.adapters.system_clock import SystemClock
from shared.errors import NotFound
from shared.ports import DeadLetters


def run_on_folder(data: Path, replay: str | None) -> int:
    """Lists the dead letters of a folder, or replays one; a running server picks a replayed message up."""
    path = data / "queue.sqlite3"
    if not path.exists():
        print(f"sightline: there is no queue in {data}", file=sys.stderr)
        return 2
    queue = _open(path)
    try:
        return _run(queue, replay)
    finally:
        queue.close()


def run_on_pubsub(project: str, replay: str | None) -> int:
    """Lists the dead letters of a project, or replays one, with the caller's own credentials."""
    try:
        from google.pubsub_v1 import PublisherClient, SubscriberClient

        from shared.adapters.google.dead_letters import PubSubDeadLetters
    except ImportError:
        print("sightline: this needs google-cloud-pubsub, which `make test` installs", file=sys.stderr)
        return 2
    with PublisherClient() as publisher, SubscriberClient() as subscriber:
        return _run(PubSubDeadLetters(subscriber, publisher, project), replay)


def _open(path: Path) -> SqliteQueue:
    declared = topology.load()
    return SqliteQueue(path, declared.topics, queue_subscriptions(declared), SystemClock())


def _run(letters: DeadLetters, replay: str | None) -> int:
    return _replay(letters, replay) if replay else _list(letters)


def _list(letters: DeadLetters) -> int:
    held = letters.list()
    for letter in held:
        when = letter.published.isoformat(timespec="seconds")
        print(f"{letter.handle}  {letter.subscription}  {letter.attempts} attempts  published {when}")
    if not held:
        print("No dead letters.")
    return 0


def _replay(letters: DeadLetters, handle: str) -> int:
    try:
        print(f"Published again as {letters.replay(handle)}.")
    except NotFound:
        print(f"sightline: no dead letter {handle}", file=sys.stderr)
        return 1
    return 0
