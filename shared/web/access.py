"""Who may call at all: holders of tokens that the environment names, and whomever others know.

The tokens of the environment are compared here, in memory; the others are asked in a worker thread, for they read a
store or fetch keys, and the event loop waits for nobody.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from hashlib import sha256

from starlette.concurrency import run_in_threadpool

from shared.domain.actors import is_reserved
from shared.ports import Caller, Identities, Role

ANONYMOUS = Caller("anonymous", Role.ADMIN, speaks_for_others=True)
"""Everybody, where no token is asked for."""

LONGEST_TOKEN = 8192
"""In characters: an ID token has about a thousand. What is longer is looked at by nobody."""


class TokenHolders:
    """The `Identities` of tokens that are known beforehand."""

    def __init__(self, tokens: Mapping[str, Caller]) -> None:
        self._holders = [(_digest(token), holder) for token, holder in tokens.items()]

    def identify(self, token: str) -> Caller | None:
        """Who holds it. All are compared, each in constant time: how long it takes tells nothing."""
        sent = _digest(token)
        found = [holder for digest, holder in self._holders if hmac.compare_digest(digest, sent)]
        return found[0] if found else None


class Access:
    """Asks one after the other who holds a token. An absent one (None) is left out."""

    def __init__(self, tokens: Mapping[str, Caller], *others: Identities | None) -> None:
        self._holders = TokenHolders(tokens)
        self._others = [identities for identities in others if identities is not None]

    async def identify(self, token: str) -> Caller | None:
        """Who holds it; None: nobody known. Raises `Retryable` when one who might know can't tell."""
        if not token or len(token) > LONGEST_TOKEN:
            return None
        found = self._holders.identify(token)
        if found is not None or not self._others:
            return found
        return await run_in_threadpool(self._ask, token)

    def _ask(self, token: str) -> Caller | None:
        found = next((found for one in self._others if (found := one.identify(token)) is not None), None)
        # Who is called like the system itself would write its name into timelines.
        return None if found is None or is_reserved(found.name) else found


def _digest(token: str) -> bytes:
    return sha256(token.encode("utf-8", "surrogatepass")).digest()
