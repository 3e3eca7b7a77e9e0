"""Who may open a WebSocket: asked before any application sees it, since a browser opens them across origins.

A program sends its token as `Authorization: Bearer`. A browser can't; it offers two subprotocols, `sightline` and
`sightline.bearer.` with the token as unpadded base64url behind it, and is answered the first. So no token is in a URL,
which proxies log, and none waits for a first message. A page's `Origin` must be an allowed one, or that of this host:
where no token is asked for, any page in the operator's browser could listen else.

Who is refused is let in and closed at once: a browser tells its page no other reason than a close code.
"""

from __future__ import annotations

import base64
import binascii
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from starlette.types import ASGIApp, Receive, Scope, Send

from shared.errors import Retryable
from shared.ports import Caller, Role
from shared.web.access import ANONYMOUS, Access
from shared.web.callers import needs
from shared.web.headers import bearer_token, headers_of

log = logging.getLogger(__name__)

PROTOCOL = "sightline"
TOKEN_PROTOCOL = "sightline.bearer."  # noqa: S105 - the beginning of a name


@dataclass(frozen=True)
class Ending:
    """Why a WebSocket is closed: a code of RFC 6455, and a sentence of at most 123 bytes."""

    code: int
    reason: str


REFUSED = 1008
TOO_LARGE = 1009
GOING_AWAY = 1001
TRY_AGAIN = 1013

AUTHENTICATION_REQUIRED = Ending(REFUSED, "Authentication required")
FOREIGN_ORIGIN = Ending(REFUSED, "Pages of this origin may not listen; see ALLOWED_ORIGINS.")
UNAVAILABLE = Ending(TRY_AGAIN, "Temporarily unavailable, please try again.")


class SocketAccess:
    """Passes WebSockets on with who opened them, at least a viewer. Without `access`, everybody is an administrator."""

    def __init__(self, app: ASGIApp, access: Access | None, allowed_origins: Sequence[str]) -> None:
        self._app = app
        self._access = access
        self._origins = frozenset(allowed_origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Everything else than a WebSocket is passed on as it is."""
        if scope["type"] != "websocket":
            await self._app(scope, receive, send)
            return
        found = await self._admit(scope)
        if isinstance(found, Caller):
            scope.setdefault("state", {})["caller"] = found
            await self._app(scope, receive, send)
            return
        await receive()
        await send({"type": "websocket.accept", "subprotocol": answered_protocol(scope)})
        await send({"type": "websocket.close", "code": found.code, "reason": found.reason})

    async def _admit(self, scope: Scope) -> Caller | Ending:
        if not self._is_known_origin(scope):
            return FOREIGN_ORIGIN
        if self._access is None:
            return ANONYMOUS
        try:
            found = await self._access.identify(_token(scope))
        except Retryable as error:
            log.warning("nobody can tell who calls: %s", error)
            return UNAVAILABLE
        if found is None:
            return AUTHENTICATION_REQUIRED
        return found if found.role.includes(Role.VIEWER) else Ending(REFUSED, needs(Role.VIEWER))

    def _is_known_origin(self, scope: Scope) -> bool:
        headers = headers_of(scope)
        origin = headers.get("origin")
        if origin is None or origin in self._origins or "*" in self._origins:
            return True  # without one: no browser
        try:
            return urlsplit(origin).netloc == headers.get("host", "")
        except ValueError:
            return False


def answered_protocol(scope: Scope) -> str | None:
    """The subprotocol of ours that the client offers. The one that holds the token is never answered."""
    return PROTOCOL if PROTOCOL in scope.get("subprotocols", ()) else None


def _token(scope: Scope) -> str:
    """Empty where there is none that could be read."""
    offered = (name for name in scope.get("subprotocols", ()) if name.startswith(TOKEN_PROTOCOL))
    encoded = next(offered, "").removeprefix(TOKEN_PROTOCOL)
    try:
        offered_token = base64.b64decode(encoded + "=" * (-len(encoded) % 4), b"-_", validate=True).decode()
    except (binascii.Error, ValueError):
        offered_token = ""
    return bearer_token(scope) or offered_token
