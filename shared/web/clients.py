"""What a client says of itself in headers: who acts, and which request this is a repetition of.

There is one bearer token for all clients, so nobody's identity is known yet: a client may say who acts on its behalf,
and is believed. Users with roles, and keys for devices, come with a later issue; then this is where their name is read.
"""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Header, Request

from shared.domain.assets import is_shown_text
from shared.errors import Malformed

MAX_HEADER_CHARACTERS = 100


def actor(request: Request, x_actor: Annotated[str | None, Header()] = None) -> str:
    """Who acts: `X-Actor`, else what is known of the token. Raises `Malformed`."""
    if x_actor is not None:
        return _shown("X-Actor", x_actor)
    return "token holder" if getattr(request.state, "token_checked", False) else "anonymous"


def idempotency_key(idempotency_key: Annotated[str | None, Header()] = None) -> str | None:
    """The client's own name of this request, or None. Raises `Malformed`."""
    return None if idempotency_key is None else _shown("Idempotency-Key", idempotency_key)


Actor = Annotated[str, Depends(actor)]
IdempotencyKey = Annotated[str | None, Depends(idempotency_key)]


def _shown(header: str, sent: str) -> str:
    try:
        text = sent.encode("latin-1").decode()  # a header arrives as Latin-1, and most clients mean UTF-8
    except UnicodeDecodeError:
        text = sent
    if not is_shown_text(text, MAX_HEADER_CHARACTERS):
        raise Malformed("invalid_header", f"{header} must be 1 to {MAX_HEADER_CHARACTERS} printable characters.")
    return text
