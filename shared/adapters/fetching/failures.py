"""Every way in which a fetch can fail, as one table: its code, its HTTP status and the sentence a client may read.

No sentence has a place for anything the other side said, nor for an address.
"""

from __future__ import annotations

from shared.errors import FetchFailed

_FAILURES: dict[str, tuple[int, str]] = {
    "url_invalid": (400, "The URL cannot be read as an http, https or data URL."),
    "url_too_long": (400, "The URL is longer than 2048 characters."),
    "scheme_refused": (400, "Only http, https and data URLs can be fetched."),
    "credentials_refused": (400, "A URL with a user name or password is not fetched."),
    "host_refused": (400, "The URL's host is not a name or address on the public internet."),
    "port_refused": (400, "The URL's port is not one that media is fetched from."),
    "data_url_invalid": (400, "The data URL is not well-formed."),
    "redirect_refused": (400, "The media URL redirects to a place that is not fetched."),
    "too_many_redirects": (400, "The media URL redirects more than 3 times."),
    "encoding_refused": (400, "The media URL answered with compressed content, which is not accepted."),
    "unexpected_answer": (400, "The media URL did not answer with media."),
    "access_denied": (403, "Access denied to media URL."),
    "not_found": (404, "Media not found at its URL."),
    "timeout": (408, "Download failed: Timeout."),
    "too_large": (413, "The media at this URL is larger than allowed."),
    "rate_limited": (429, "The media URL's server asks to be asked less often."),
    "server_failed": (503, "The media URL's server failed."),
    "unresolvable": (503, "The media URL's host name could not be resolved."),
    "unreachable": (503, "The media URL's server could not be reached."),
    "tls_failed": (503, "The media URL's server could not prove that it is the one named, or speaks no usable TLS."),
    "broken_answer": (503, "The media URL's server gave an answer that breaks the rules of HTTP."),
    "incomplete": (503, "The media URL's server ended before all of the media had come."),
}

_BY_STATUS: dict[int, str] = {
    401: "access_denied",
    403: "access_denied",
    404: "not_found",
    408: "timeout",
    410: "not_found",
    429: "rate_limited",
    451: "access_denied",
}


def failure(code: str) -> FetchFailed:
    """The error of this code; an unknown one is a mistake in the code (`KeyError`)."""
    status, sentence = _FAILURES[code]
    return FetchFailed(code, sentence, status=status)


def failure_of_status(status: int) -> FetchFailed:
    """What an answer of this HTTP status, which is not 200, means for the client."""
    return failure(_BY_STATUS.get(status, "server_failed" if status >= 500 else "unexpected_answer"))
