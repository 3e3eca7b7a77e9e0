"""Deployed function `signals`: devices report what they perceive, with pictures."""

from functools import cache

from fastapi import FastAPI
from functions_framework import aio
from starlette.requests import Request

from shared import logs, settings
from shared.adapters.google import blobs, bus, documents, firebase_identities, signing
from shared.adapters.system_clock import SystemClock
from shared.detection.evidence_pictures import EvidencePictures
from shared.handlers import devices, evidence_links, observe, signals, submissions
from shared.ids import TimeOrderedIds
from shared.web import access, app, meter
from shared.web import signals as routes

config = settings.load(settings.SignalSettings)
logs.configure(config.log_level, project=config.project)
store, clock = cache(lambda: documents.connect(config.project, config.database)), SystemClock()
observing = cache(lambda: observe.Deps(store(), clock, TimeOrderedIds(clock), config.policy()))


@cache
def deps() -> routes.Deps:
    """The use case on Google Cloud, made at the first request."""
    evidence = blobs.connect(config.evidence_bucket, signer=signing.for_evidence(config.evidence_signer))
    kept = submissions.Deps(signals.Deps(observing(), bus.connect(config.project)), evidence, EvidencePictures())
    return routes.Deps(kept, evidence_links.EvidenceLinks(evidence, config.evidence_urls, config.public_base()))


users, metered = firebase_identities.connect(config.project, config.firebase_keys()), meter.Meter(store, clock)
known = access.Access(config.callers(), devices.DeviceKeys(lambda: devices.Deps(store(), clock)), users)
application = app.create_app([routes.router(deps)], access=known, allowed_origins=config.allowed_origins, meter=metered)


@aio.http  # type: ignore[arg-type] # its types do not say so, but an application may be returned
async def main(request: Request) -> FastAPI:  # noqa: ARG001 - the framework hands the request on to the application
    """Everything is the application's."""
    return application
