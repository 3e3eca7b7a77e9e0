"""What Sightline's signals are compared with: the same service, except that every signal rewrites its incident.

Same framework, routes, validation and stored signals; but instead of a slot that is written only when an incident
opens, the incident is read, counted up and written by every signal: on Firestore in a transaction, in the embedded home
by compare-and-set on its version, tried again until it succeeds. It publishes nothing. This is a yardstick, not a part
of Sightline.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Protocol

import uvicorn
from fastapi import APIRouter, FastAPI
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse
from functions_framework import aio
from google.api_core.exceptions import GoogleAPICallError
from google.cloud import firestore
from starlette.requests import Request

from shared import logs, settings
from shared.adapters.embedded.documents import SqliteDocuments
from shared.adapters.google.documents import FirestoreDocuments
from shared.adapters.system_clock import SystemClock
from shared.domain.incidents import AiEvent, Observation, Signal, SignalKind
from shared.errors import AlreadyExists, Permanent, Retryable, VersionConflict
from shared.ids import TimeOrderedIds
from shared.ports import Create, Documents, Update
from shared.records import to_data
from shared.repositories import beacons, incidents
from shared.web import app as web
from shared.web import beacons as beacon_routes
from shared.web.access import Access
from shared.web.signals import read_observation

MAX_CONFLICTS = 1000

clock = SystemClock()
ids = TimeOrderedIds(clock)


class Incidents(Protocol):
    """Where the signals go."""

    @property
    def documents(self) -> Documents:
        """The same store by its port, for what is not compared."""
        ...

    def add(self, event: AiEvent, signal: Signal) -> bool:
        """Stores all and counts the signal in its incident; whether that opened it. Raises `Retryable`."""
        ...


class FirestoreIncidents:
    """By a transaction of the client library's, with its five attempts."""

    def __init__(self, client: firestore.Client) -> None:
        self._client = client
        self.documents = FirestoreDocuments(client)

    def add(self, event: AiEvent, signal: Signal) -> bool:
        """Implements `Incidents.add`."""
        in_transaction: Any = firestore.transactional(self._read_modify_write)
        try:
            return bool(in_transaction(self._client.transaction(), event, signal))
        except (GoogleAPICallError, ValueError) as error:  # ValueError: the attempts are used up
            raise Retryable("the incident is contended") from error

    def _read_modify_write(self, transaction: firestore.Transaction, event: AiEvent, signal: Signal) -> bool:
        incident = self._client.document(incidents.INCIDENTS, signal.incident_id)
        present: Any = incident.get(transaction=transaction)
        counted = counted_incident(signal, present.to_dict())
        transaction.set(incident, counted)
        transaction.create(self._client.document(incidents.AI_EVENTS, str(event.id)), to_data(event))
        transaction.create(self._client.document(incidents.SIGNALS, str(signal.id)), to_data(signal))
        return bool(counted["signals"] == 1)


class EmbeddedIncidents:
    """By compare-and-set, again and again."""

    def __init__(self, documents: Documents) -> None:
        self.documents = documents

    def add(self, event: AiEvent, signal: Signal) -> bool:
        """Implements `Incidents.add`."""
        for _ in range(MAX_CONFLICTS):
            present = self.documents.get(incidents.INCIDENTS, signal.incident_id)
            counted = counted_incident(signal, present.data if present else None)
            write = (
                Update(incidents.INCIDENTS, signal.incident_id, counted, present.version)
                if present
                else Create(incidents.INCIDENTS, signal.incident_id, counted)
            )
            try:
                self.documents.commit([write, incidents.ai_event_creation(event), incidents.signal_creation(signal)])
            except (AlreadyExists, VersionConflict):
                continue
            return bool(counted["signals"] == 1)
        raise Retryable("the incident is contended")


def counted_incident(signal: Signal, present: Any) -> dict[str, Any]:
    """The incident with one more signal."""
    opened = present or {"beacon_id": signal.observation.beacon_id, "opened_at": signal.created_at, "signals": 0}
    return {**opened, "signals": opened["signals"] + 1, "latest_at": signal.created_at}


def application(found: Callable[[], Incidents], access: Access | None) -> FastAPI:
    """The routes of the `signals` function, as far as the benchmark uses them."""
    routes = APIRouter(prefix="/api/ai")

    @routes.post("/violence-detected/")
    async def violence_detected(request: Request) -> JSONResponse:
        observation = read_observation(SignalKind.VIOLENCE, await request.body())
        status, body = await run_in_threadpool(lambda: _report(observation, found()))
        return JSONResponse(body, status)

    return web.create_app([routes, beacon_routes.router(lambda: found().documents)], access=access)


def _report(observation: Observation, found: Incidents) -> tuple[int, dict[str, Any]]:
    beacon = beacons.find(found.documents, observation.beacon_id)
    if beacon is None or not beacon.active:
        raise Permanent("beacon_unavailable", "Beacon not found or inactive")
    now = clock.now()
    event = AiEvent(ids.next(), observation, now, f"hot:{beacon.id}")
    signal = Signal(ids.next(), event.id, f"hot:{beacon.id}", observation, now)
    if found.add(event, signal):
        return 201, {"status": "incident_created"}
    return 200, {"status": "signal_added_to_existing"}


@cache
def on_firestore() -> FastAPI:
    """The application on Firestore, made at the first request."""
    config = settings.load(settings.SignalSettings)
    logs.configure(config.log_level, project=config.project)
    store = FirestoreIncidents(firestore.Client(project=config.project, database=config.database))
    return application(lambda: store, Access(config.callers()))


@aio.http
async def hot_document(request: Request) -> Any:  # noqa: ARG001 - handed on to the application by the framework
    """The target for functions-framework."""
    return on_firestore()


def serve_embedded(arguments: Sequence[str] | None = None) -> None:
    """Serves on SQLite: `python -m bench.hot_document --data FOLDER --port PORT`."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--port", type=int, required=True)
    options = parser.parse_args(arguments)
    logs.configure("INFO")
    documents = SqliteDocuments(options.data / "documents.sqlite3", [])
    app = application(lambda: EmbeddedIncidents(documents), None)
    uvicorn.run(app, host="127.0.0.1", port=options.port, log_config=None, access_log=False)


if __name__ == "__main__":
    serve_embedded()
