"""How the embedded blob server says no: one exception, and its two spellings (JSON API, XML API).

It must not let another exception's text reach a client.
"""

from __future__ import annotations

from collections.abc import Mapping
from xml.sax.saxutils import escape

from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse, Response

from shared.adapters.embedded.blob_sessions import HashMismatch
from shared.errors import InvalidKey, NotFound, PreconditionFailed, Retryable

# The JSON API's word for a status; the XML API has finer codes.
_REASONS = {
    400: "invalid",
    403: "forbidden",
    404: "notFound",
    405: "methodNotAllowed",
    412: "conditionNotMet",
    416: "requestedRangeNotSatisfiable",
    503: "backendError",
}


class ServiceError(Exception):
    """An answer other than success. `code` is the XML API's, which is the finer one."""

    def __init__(self, status: int, code: str, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(f"{status} {code}: {message}")
        self.status = status
        self.code = code
        self.message = message
        self.headers = dict(headers or {})


_MEANINGS: Mapping[type[Exception], tuple[int, str, str]] = {
    NotFound: (404, "NoSuchKey", "The specified key does not exist."),
    PreconditionFailed: (412, "PreconditionFailed", "At least one of the preconditions did not hold."),
    InvalidKey: (400, "InvalidObjectName", "The specified object name is not valid."),
    HashMismatch: (400, "BadDigest", "The checksum does not match the bytes that arrived."),
    ClientDisconnect: (400, "IncompleteBody", "The request ended before its body did."),
}


def as_service_error(error: Exception) -> ServiceError | None:
    """What an exception of the store means to a client, or None if it means nothing but a mistake of ours."""
    if isinstance(error, ServiceError):
        return error
    if isinstance(error, Retryable):
        retry_after = str(max(1, round(error.retry_after)))
        return ServiceError(503, "ServiceUnavailable", "Try again later.", {"Retry-After": retry_after})
    for kind, (status, code, message) in _MEANINGS.items():
        if isinstance(error, kind):
            return ServiceError(status, code, message)
    return None


def json_error(error: ServiceError) -> Response:
    """In the JSON API's form."""
    if error.status == 304:
        return Response(status_code=304, headers=error.headers)
    reason = _REASONS.get(error.status, error.code)
    entry = {"message": error.message, "domain": "global", "reason": reason}
    body = {"error": {"code": error.status, "message": error.message, "errors": [entry]}}
    return JSONResponse(body, error.status, error.headers)


def xml_error(error: ServiceError) -> Response:
    """In the XML API's form."""
    if error.status == 304:
        return Response(status_code=304, headers=error.headers)
    body = (
        "<?xml version='1.0' encoding='UTF-8'?>"
        f"<Error><Code>{escape(error.code)}</Code><Message>{escape(error.message)}</Message></Error>"
    )
    return Response(body, error.status, error.headers, media_type="application/xml; charset=UTF-8")
