"""The `Identities` of people who signed in with Firebase: ID tokens, verified with Google's public keys.

Nothing is asked of Google but those keys, about once an hour: a token of a user who was disabled works until it
expires (an hour at most). The role and the places are custom claims that an administrator sets: `role` (`viewer`,
`operator` or `admin`) and `beacons`, a list of ids, or `["*"]` for all. Without a role nobody is known; without beacons
only an administrator sees anything. `infra/firestore.rules` reads the same claims in the same way.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import jwt
from jwt import PyJWKClient
from jwt.exceptions import PyJWKClientConnectionError, PyJWKClientError, PyJWTError

from shared.errors import Retryable
from shared.ports import Caller, Role

ISSUER = "https://securetoken.google.com/"
ALGORITHM = "RS256"
"""The only one that is accepted, whatever a token says of itself."""

REQUIRED = ["exp", "iat", "aud", "iss", "sub", "auth_time"]
LONGEST_SUBJECT = 128
EVERYWHERE = "*"

KEYS_KEPT_SECONDS = 3600.0
UNKNOWN_KEY_SECONDS = 30.0
"""How often at most a token's unknown key makes us fetch the keys anew: anybody can make up names of keys."""

FETCH_SECONDS = 5.0
AFTER_FAILURE_SECONDS = 2.0
CLOCKS_DIFFER_SECONDS = 5.0

ROLES = {"viewer": Role.VIEWER, "operator": Role.OPERATOR, "admin": Role.ADMIN}


class FirebaseIdentities:
    """People of one Firebase project. The keys are fetched with the first token."""

    def __init__(self, project: str, keys_url: str, *, unknown_key_seconds: float = UNKNOWN_KEY_SECONDS) -> None:
        self._project = project
        self._keys = _Keys(
            keys_url, lifespan=KEYS_KEPT_SECONDS, timeout=FETCH_SECONDS, cooldown_duration=unknown_key_seconds
        )

    def identify(self, token: str) -> Caller | None:
        """Whose token it is; None for any that does not hold. Raises `Retryable` while the keys can't be fetched."""
        try:
            name = _key_name(token)
            claims = None if name is None else self._verified(token, name)
        except PyJWKClientConnectionError as error:
            raise Retryable("the keys of ID tokens can't be fetched") from error
        except (PyJWTError, ValueError, TypeError, RecursionError):
            return None
        return None if claims is None else _caller(claims)

    def _verified(self, token: str, key_name: str) -> dict[str, Any]:
        claims: dict[str, Any] = jwt.decode(
            token,
            self._keys.get_signing_key(key_name).key,
            algorithms=[ALGORITHM],
            audience=self._project,
            issuer=f"{ISSUER}{self._project}",
            leeway=CLOCKS_DIFFER_SECONDS,
            options={"require": REQUIRED, "strict_aud": True},
        )
        return claims


class _Keys(PyJWKClient):
    """Says of every failed fetch that it failed, and does not let a queue of callers wait for one after the other."""

    _rests_until = 0.0

    def fetch_data(self) -> Any:
        """The key set; called with the client's lock held. Raises `PyJWKClientConnectionError`."""
        if time.monotonic() < self._rests_until:
            raise PyJWKClientConnectionError("fetching the keys failed a moment ago")
        try:
            return super().fetch_data()
        except (PyJWKClientError, PyJWTError, ValueError, OSError) as error:  # no answer, or no key set
            self._rests_until = time.monotonic() + AFTER_FAILURE_SECONDS
            raise PyJWKClientConnectionError("the keys can't be fetched") from error


def connect(project: str, keys_url: str | None) -> FirebaseIdentities | None:
    """The identities of a deployed function; None: ID tokens are turned off there."""
    return None if keys_url is None else FirebaseIdentities(project, keys_url)


def _key_name(token: str) -> str | None:
    """Which key signed it, by its own word; None where it can't be one of ours, so that no key is fetched for it."""
    header = jwt.get_unverified_header(token)
    name = header.get("kid")
    return name if header.get("alg") == ALGORITHM and isinstance(name, str) and name else None


def _caller(claims: Mapping[str, Any]) -> Caller | None:
    """Who a verified token speaks of, if they have a role."""
    subject, since, role = claims["sub"], claims["auth_time"], claims.get("role")
    if not isinstance(subject, str) or not 0 < len(subject) <= LONGEST_SUBJECT:
        return None
    if not isinstance(since, int | float) or since > time.time() + CLOCKS_DIFFER_SECONDS:
        return None
    known = ROLES.get(role) if isinstance(role, str) else None
    return None if known is None else Caller(_name(claims), known, _places(claims.get("beacons"), known))


def _name(claims: Mapping[str, Any]) -> str:
    """What the timelines call them: their address if it is proven to be theirs, else their Firebase id."""
    email = claims.get("email")
    return email if claims.get("email_verified") is True and isinstance(email, str) and email else str(claims["sub"])


def _places(beacons: object, role: Role) -> tuple[str, ...] | None:
    if role is Role.ADMIN:
        return None
    if not isinstance(beacons, list):
        return ()
    return None if EVERYWHERE in beacons else tuple(one for one in beacons if isinstance(one, str))
