"""What Google's analysers have in common: how they are reached, how long they are asked, and what a refusal means.

Every way to fail becomes an `AnalyserFailed` with a stable code and a sentence of ours; no text of the service gets
into it. `gemini_replies` says the same of Gemini, which answers in HTTP statuses.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import grpc
from google.api_core.exceptions import DeadlineExceeded, GoogleAPICallError, RetryError, ServiceUnavailable
from google.api_core.retry import Retry, if_exception_type

from shared.errors import AnalyserFailed

ONCE, TWICE, PATIENT = 1, 2, AnalyserFailed.PATIENT

LIKELIHOODS = ("UNKNOWN", "VERY_UNLIKELY", "UNLIKELY", "POSSIBLE", "LIKELY", "VERY_LIKELY")
"""By the numbers that Vision and Video Intelligence give them; the latter's 0 is called unspecified."""

UNAVAILABLE = 14
"""Of google.rpc.Code, whose numbers are gRPC's."""

_REFUSED = ("refused", "{} refused the request.", ONCE)
_NOT_PERMITTED = ("not_permitted", "{} does not accept the credentials of this installation.", ONCE)
_UNAVAILABLE = ("unavailable", "{} is not available.", PATIENT)
_OF_CODE: Mapping[int, tuple[str, str, int]] = {
    1: ("cancelled", "{} was told to stop.", ONCE),
    2: _UNAVAILABLE,
    3: _REFUSED,
    4: ("too_slow", "{} took too long to answer.", PATIENT),
    7: _NOT_PERMITTED,
    8: ("quota_exceeded", "The quota of {} is used up for now.", PATIENT),
    10: _UNAVAILABLE,
    13: _UNAVAILABLE,
    UNAVAILABLE: _UNAVAILABLE,
    15: _UNAVAILABLE,
    16: _NOT_PERMITTED,
}


def failure_of_code(code: int, service: str) -> AnalyserFailed:
    """What a google.rpc.Code other than OK means, in words that name the `service`."""
    word, sentence, tries = _OF_CODE.get(code, _REFUSED)
    return AnalyserFailed(word, sentence.format(service), tries=tries)


def incomplete(service: str) -> AnalyserFailed:
    """An answer that leaves out what was asked: never read as "nothing found"."""
    return AnalyserFailed("incomplete_answer", f"{service} left out what it was asked.", tries=TWICE)


def malformed(service: str) -> AnalyserFailed:
    """An answer to something else than what was asked."""
    return AnalyserFailed("malformed_answer", f"{service}'s answer could not be read.", tries=TWICE)


@contextmanager
def translated(service: str) -> Iterator[None]:
    """Every error of the library as `AnalyserFailed`; gRPC tells it of lost connections and credentials, too."""
    try:
        yield
    except (RetryError, GoogleAPICallError) as error:
        raise failure_of_code(code_of(error), service) from error


def code_of(error: Exception | None) -> int:
    """The google.rpc.Code of a library's error; of one that gave up repeating, the last try's."""
    if isinstance(error, RetryError):
        return code_of(error.cause)
    status = error.grpc_status_code if isinstance(error, GoogleAPICallError) else None
    return int(status.value[0]) if status is not None else UNAVAILABLE


def repeating(total: float, *, initial: float = 0.1, maximum: float = 60.0, multiplier: float = 1.3) -> Retry:
    """The library's own policy in all but its end: `total` seconds, where it would go on for ten minutes."""
    repeated = if_exception_type(DeadlineExceeded, ServiceUnavailable)
    return Retry(repeated, initial=initial, maximum=maximum, multiplier=multiplier, timeout=total)


def plain_channel(endpoint: str) -> grpc.Channel:
    """A connection to `endpoint` (host:port) without TLS or credentials: an emulator's. Messages may have any size."""
    unlimited = [("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1)]
    connect: Callable[..., grpc.Channel] = grpc.insecure_channel  # the library's function carries no types
    return connect(endpoint, options=unlimited)


def share(value: float) -> float:
    """A number of the service's as one from 0 to 1; what is none is 0."""
    return within(value, 0.0, 1.0) if math.isfinite(value) else 0.0


def within(value: float, least: float, most: float) -> float:
    """A number of single precision as the decimal that was meant: 0.65 arrives as 0.64999998, below a threshold."""
    return round(min(max(value, least), most), 6)
