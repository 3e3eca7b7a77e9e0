"""Headers of a connection, before any framework has read it."""

from __future__ import annotations

from collections.abc import MutableMapping

from starlette.types import Scope


def bearer_token(scope: Scope) -> str:
    """What follows `Authorization: Bearer`; empty where there is none."""
    scheme, _, sent = headers_of(scope).get("authorization", "").partition(" ")
    return sent.strip() if scheme.lower() == "bearer" else ""


def headers_of(scope: Scope) -> MutableMapping[str, str]:
    """By their names in lower case; of several with one name, the last."""
    return {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
