"""Service `live`: what changes is told as it happens. `python main.py HOST PORT` serves it."""

import sys
from functools import cache

from shared import logs, settings
from shared.adapters.google import documents, firebase_identities
from shared.adapters.system_clock import SystemClock
from shared.handlers.newsroom import Newsroom
from shared.web import app as web
from shared.web import readiness, serving, stream
from shared.web.access import Access

config = settings.load(settings.LiveSettings)
logs.configure(config.log_level, project=config.project)
store = cache(lambda: documents.connect(config.project, config.database))
newsroom = cache(lambda: Newsroom(store(), SystemClock(), max_listeners=stream.MAX_LISTENERS))

routers = [stream.router(newsroom), readiness.router()]
access = Access(config.callers(), firebase_identities.connect(config.project, config.firebase_keys()))
application = web.create_app(routers, access=access, allowed_origins=config.allowed_origins)

if __name__ == "__main__":
    host, port = sys.argv[1:]
    options = serving.options(application, host=host, port=int(port), forwarded_allow_ips="*")
    serving.StreamServer(options, lambda: newsroom().close()).run()
