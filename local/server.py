"""The embedded server: the whole HTTP interface and the signed blob URLs on one port, the stages in its threads."""

from __future__ import annotations

import ipaddress
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from starlette.applications import Starlette
from starlette.routing import Mount

from local.emulators import require_free_port, wait_until_listening
from local.home import FolderInUse, Home, bucket_name
from shared import logs, settings
from shared.adapters.embedded.blob_server import signed_routes
from shared.domain.evidence_images import LinkMode
from shared.errors import SettingsError
from shared.settings import EmbeddedSettings
from shared.web import serving
from shared.web.app import create_app
from shared.web.serving import StreamServer


def application(home: Home) -> Starlette:
    """The routes of all functions, and beside them signed URLs (whose signature is their authorisation)."""
    config = home.config
    api = create_app(
        home.routers(),
        access=home.access(),
        allowed_origins=config.allowed_origins,
        meter=home.meter,
        whole_process=False,  # the home stores what is left when it is closed
    )
    signed = signed_routes(
        home.folder,
        buckets=[bucket_name("media"), bucket_name("evidence")],
        public_buckets=[bucket_name("evidence")] if config.evidence_urls is LinkMode.PUBLIC else [],
        keys=home.signing_key.trusted,
        origin=home.base_url,
        allowed_origins=config.allowed_origins,
    )
    return Starlette(routes=[*signed, Mount("/", app=api)])


def serve(data: Path, *, host: str, port: int, public_url: str | None = None) -> int:
    """Serves until it is interrupted; returns the exit status."""
    config = settings.load(EmbeddedSettings)
    logs.configure(config.log_level)
    require_free_port(host, port)
    try:
        home = Home(data, config, public_url or origin_of(host, port))
    except FolderInUse as error:
        print(f"sightline: {error}")
        return 1
    try:
        home.start()
        print(f"Sightline on {home.base_url} (API at /docs), data in {data.resolve()}", flush=True)
        _server(home, host, port).run()
    finally:
        home.close()
    return 0


def origin_of(host: str, port: int) -> str:
    """The origin clients reach, if nothing stands in between. SettingsError where the host does not tell."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return f"http://{host}:{port}"  # a name
    if address.is_unspecified:
        raise SettingsError(f"--host {host} is every address: say with --public-url which origin clients use")
    return f"http://[{address}]:{port}" if isinstance(address, ipaddress.IPv6Address) else f"http://{address}:{port}"


@contextmanager
def running_server(data: Path, *, port: int, config: EmbeddedSettings | None = None) -> Iterator[str]:
    """Serves on loopback from a thread while the block lasts; gives the base URL."""
    config = config or settings.load(EmbeddedSettings)
    logs.configure("WARNING")
    base_url = f"http://127.0.0.1:{port}"
    home = Home(data, config, base_url)
    server = _server(home, "127.0.0.1", port)
    thread = threading.Thread(target=server.run, name="http", daemon=True)
    try:
        home.start()
        thread.start()
        wait_until_listening(port, is_alive=thread.is_alive)
        yield base_url
    finally:
        server.should_exit = True
        if thread.ident is not None:
            thread.join()
        home.close()


def _server(home: Home, host: str, port: int) -> StreamServer:
    return StreamServer(serving.options(application(home), host=host, port=port), home.end_streams)
