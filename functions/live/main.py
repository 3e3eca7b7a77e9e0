"""Service `live`: what changes is told as it happens. `python main.py HOST PORT` serves it."""

import sys
from functools import cache

from shared import logs, settings
from shared.adapters.google import documents, firebase_identities
from shared.adapters.system_clock import SystemClock
from shared.handlers.newsroom import Newsroom
from shared.web import app as web
from shared.web import live_sockets, readiness, serving, stream
from shared.web.access import Access
from shared.web.meter import Meter

config = settings.load(settings.LiveSettings)
logs.configure(config.log_level, project=config.project)
store, clock = cache(lambda: documents.connect(config.project, config.database)), SystemClock()
newsroom = cache(lambda: Newsroom(store(), clock, max_listeners=stream.MAX_LISTENERS))
sockets = live_sockets.Sockets()

listening = live_sockets.router(newsroom, sockets, enabled=config.ws_enabled)
routers = [stream.router(newsroom), listening, readiness.router(sockets)]
access = Access(config.callers(), firebase_identities.connect(config.project, config.firebase_keys()))
meter = Meter(store, clock)
application = web.create_app(routers, access=access, allowed_origins=config.allowed_origins, meter=meter)

if __name__ == "__main__":
    host, port = sys.argv[1:]
    options = serving.options(application, host=host, port=int(port), forwarded_allow_ips="*")
    serving.StreamServer(options, lambda: newsroom().close()).run()
