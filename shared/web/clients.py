"""What a client says of itself in headers: who acts, and which request this is a repetition of.

A person acts in their own name. Only a program that many use (the holder of the shared token, or anybody where no token
is asked for) is believed when it says on whose behalf it acts.
"""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Header, Request

from shared.domain.actors import RESERVED, is_reserved
from shared.domain.assets import is_shown_text
from shared.errors import Malformed
from shared.web.callers import caller

MAX_HEADER_CHARACTERS = 100


def actor(request: Request, x_actor: Annotated[str | None, Header()] = None) -> str:
    """Who acts: the caller, or for one who speaks for others what `X-Actor` says. Raises `Malformed`."""
    found = caller(request)
    if x_actor is not None and found.speaks_for_others:
        named = _shown("X-Actor", x_actor)
        if is_reserved(named):
            raise Malformed("reserved_name", RESERVED)
        return named
    return found.name


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
