"""Verifies V4-signed URLs (GOOG4-RSA-SHA256) as Cloud Storage does.

The canonical request is rebuilt from what arrived, never from what was meant. Pure: it must do no I/O and has no clock
of its own. Every refusal is a `ServiceError` with Cloud Storage's own code.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from urllib.parse import quote, unquote

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA256

from shared.adapters.embedded.blob_errors import ServiceError

ALGORITHM = "GOOG4-RSA-SHA256"
MAX_LIFE_SECONDS = 7 * 24 * 3600
CLOCK_SKEW = timedelta(minutes=15)

_REQUIRED = (
    "X-Goog-Algorithm",
    "X-Goog-Credential",
    "X-Goog-Date",
    "X-Goog-Expires",
    "X-Goog-SignedHeaders",
    "X-Goog-Signature",
)
_BLANKS = re.compile(r"[ \t]+")


@dataclass(frozen=True)
class ArrivedRequest:
    """What the signature speaks of, as it came over the wire; `path` and `query` still percent-encoded."""

    method: str
    path: str
    query: str
    headers: Sequence[tuple[str, str]]


def is_signed(query: str) -> bool:
    """Whether the request claims a V4 signature at all."""
    return "X-Goog-Signature=" in query


def verify(request: ArrivedRequest, keys: Mapping[str, RSAPublicKey], now: datetime) -> None:
    """Returns if one of `keys` (by signer name) signed exactly this request and it is valid at `now`."""
    parameters = _parameters(request.query)
    signer, scope = _credential(parameters)
    signed_at, expires = _life(parameters, scope)
    signed_headers = _signed_headers(request, parameters["X-Goog-SignedHeaders"])
    digest = hashlib.sha256(_canonical_request(request, parameters, signed_headers).encode()).hexdigest()
    string_to_sign = "\n".join((ALGORITHM, parameters["X-Goog-Date"], scope, digest))
    _check_signature(keys.get(signer), parameters["X-Goog-Signature"], string_to_sign)
    # Time last: who could not sign learns nothing about it.
    if now < signed_at - CLOCK_SKEW:
        raise ServiceError(403, "RequestTimeTooSkewed", "The request was signed in the future.")
    if now >= signed_at + expires:
        raise ServiceError(400, "ExpiredToken", "The provided token has expired.")


def decoded(text: str) -> str:
    """Percent-decoded, or a `ServiceError` if that is no UTF-8."""
    try:
        return unquote(text, errors="strict")
    except UnicodeDecodeError:
        raise ServiceError(400, "InvalidURI", "The URI is not valid UTF-8.") from None


def _parameters(query: str) -> dict[str, str]:
    pairs = [part.partition("=") for part in query.split("&") if part]
    parameters = {decoded(name): decoded(value) for name, _equals, value in pairs}
    if len(parameters) != len(pairs):
        raise _malformed("A query parameter is repeated.")
    missing = [name for name in _REQUIRED if not parameters.get(name)]
    if missing:
        raise _malformed(f"Missing query parameters: {', '.join(missing)}.")
    if parameters["X-Goog-Algorithm"] != ALGORITHM:
        raise _malformed(f"The algorithm must be {ALGORITHM}.")
    return parameters


def _credential(parameters: Mapping[str, str]) -> tuple[str, str]:
    signer, _slash, scope = parameters["X-Goog-Credential"].partition("/")
    if not re.fullmatch(r"\d{8}/[a-z0-9-]+/storage/goog4_request", scope):
        raise _malformed("The credential scope is malformed.")
    return signer, scope


def _life(parameters: Mapping[str, str], scope: str) -> tuple[datetime, timedelta]:
    try:
        signed_at = datetime.strptime(parameters["X-Goog-Date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    except ValueError:
        raise _malformed("The date is malformed.") from None
    if not scope.startswith(f"{signed_at:%Y%m%d}/"):
        raise _malformed("The date is not that of the credential scope.")
    expires = parameters["X-Goog-Expires"]
    if not re.fullmatch(r"[0-9]{1,7}", expires) or not 1 <= int(expires) <= MAX_LIFE_SECONDS:
        raise _malformed(f"A signed URL lives 1 to {MAX_LIFE_SECONDS} seconds.")
    return signed_at, timedelta(seconds=int(expires))


def _signed_headers(request: ArrivedRequest, listed: str) -> list[tuple[str, str]]:
    """The signed headers with the values that arrived. All `x-goog-` headers must be among them."""
    arrived: dict[str, list[str]] = {}
    for name, value in request.headers:
        # Only blanks and tabs fold: `str.split` would also swallow characters the object would then keep.
        arrived.setdefault(name.lower(), []).append(_BLANKS.sub(" ", value).strip(" "))
    names = listed.split(";")
    if names != sorted(set(names)) or listed != listed.lower() or "host" not in names:
        raise _malformed("The list of signed headers is malformed.")
    for name in names:
        if name not in arrived:
            raise ServiceError(400, "MalformedSecurityHeader", f"The signed header {name} is missing.")
    unsigned = [name for name in arrived if name.startswith("x-goog-") and name not in names]
    if unsigned:
        raise ServiceError(400, "MalformedSecurityHeader", f"The header {unsigned[0]} is not signed.")
    return [(name, ",".join(arrived[name])) for name in names]


def _canonical_request(
    request: ArrivedRequest, parameters: Mapping[str, str], signed_headers: Sequence[tuple[str, str]]
) -> str:
    query = sorted(
        f"{quote(name, safe='~')}={quote(value, safe='~')}"
        for name, value in parameters.items()
        if name != "X-Goog-Signature"
    )
    return "\n".join(
        (
            request.method,
            quote(decoded(request.path), safe="/~"),
            "&".join(query),
            *(f"{name}:{value}" for name, value in signed_headers),
            "",
            ";".join(name for name, _value in signed_headers),
            dict(signed_headers).get("x-goog-content-sha256", "UNSIGNED-PAYLOAD"),
        )
    )


def _check_signature(key: RSAPublicKey | None, signature: str, string_to_sign: str) -> None:
    try:
        if key is None:
            raise ValueError("unknown signer")
        key.verify(bytes.fromhex(signature), string_to_sign.encode(), PKCS1v15(), SHA256())
    except (InvalidSignature, ValueError):
        raise ServiceError(
            403, "SignatureDoesNotMatch", "The request signature we calculated does not match the one you provided."
        ) from None


def _malformed(message: str) -> ServiceError:
    return ServiceError(400, "AuthorizationQueryParametersError", message)
