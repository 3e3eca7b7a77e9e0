"""Deployed function `incidents`: operators see incidents and act on them."""

from functools import cache

from fastapi import FastAPI
from functions_framework import aio
from starlette.requests import Request

from shared import logs, settings
from shared.adapters.google import blobs, bus, documents, firebase_identities, routed_blobs, signing
from shared.adapters.system_clock import SystemClock
from shared.handlers import evidence, incident_records
from shared.handlers.evidence_links import EvidenceLinks
from shared.web import access, app, operators
from shared.web.meter import Meter

config, clock = settings.load(settings.IncidentsSettings), SystemClock()
logs.configure(config.log_level, project=config.project)
store = cache(lambda: documents.connect(config.project, config.database))
deciding = cache(lambda: incident_records.Deps(store(), bus.connect(config.project), clock))


@cache
def giving() -> evidence.Deps:
    """What gives evidence to people."""
    signer = signing.for_evidence(config.evidence_signer)
    pictures = blobs.connect(config.evidence_bucket, signer=signer)
    links = EvidenceLinks(pictures, config.evidence_urls, config.public_base())
    return evidence.over(store(), clock, links, routed_blobs.connect(config.buckets(), signer=signer))


known = access.Access(config.callers(), firebase_identities.connect(config.project, config.firebase_keys()))
routers, meter = operators.routers(deciding, giving), Meter(store, clock)
application = app.create_app(routers, access=known, allowed_origins=config.allowed_origins, meter=meter)


@aio.http  # type: ignore[arg-type] # its types do not say so, but an application may be returned
async def main(request: Request) -> FastAPI:  # noqa: ARG001 - the framework hands the request on to the application
    """Everything is the application's."""
    return application
