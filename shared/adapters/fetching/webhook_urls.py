"""Reads the URLs of webhooks, as an administrator names them. Pure; it must not resolve names.

Receivers on the public internet are spoken to by https alone. Those within the own network have to be named by whoever
deploys Sightline; they may speak http and have any port.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from urllib.parse import urlsplit

from shared.adapters.fetching.addresses import parse_address, refusal_of
from shared.adapters.fetching.urls import MAX_URL_LENGTH, MediaUrl, read_target, read_url
from shared.errors import FetchFailed

PORTS = frozenset({443, *range(1024, 65536)})
"""Below 1024 speaks, but for HTTPS, what no receiver speaks."""

_SENTENCES: dict[str, str] = {
    "url_invalid": "The webhook's URL cannot be read.",
    "url_too_long": f"The webhook's URL is longer than {MAX_URL_LENGTH} characters.",
    "scheme_refused": "A webhook's URL begins with https, unless its host is one of WEBHOOK_PRIVATE_HOSTS.",
    "credentials_refused": "A webhook's URL may hold no user name or password.",
    "host_refused": "The webhook's host is not a name or address on the public internet.",
    "port_refused": "The webhook's port is neither 443 nor above 1023.",
    "timeout": "The receiver did not answer in time.",
    "unresolvable": "The receiver's host name could not be resolved.",
    "unreachable": "The receiver could not be reached, or broke the connection off.",
    "tls_failed": "The receiver could not prove that it is the one named, or speaks no usable TLS.",
    "broken_answer": "The receiver gave an answer that breaks the rules of HTTP.",
    "too_large": "The head of the receiver's answer is far too long.",
}
_STATUSES = {"timeout": 408} | dict.fromkeys(
    ("unresolvable", "unreachable", "tls_failed", "broken_answer", "too_large"), 503
)


@dataclass(frozen=True)
class Receiver:
    """Where to post. `private`: it is one that was named, and may have a private address."""

    place: MediaUrl
    private: bool


def read_receiver(url: str, private_hosts: Collection[str]) -> Receiver:
    """Reads a URL. `private_hosts`: `host` or `host:port`. Raises `FetchFailed` (400)."""
    private = _read_private(url, {host.lower() for host in private_hosts})
    if private is not None:
        return Receiver(private, private=True)
    try:
        place = read_url(url, PORTS | {80})
    except FetchFailed as error:
        raise webhook_failure(error.code) from None
    if place.scheme != "https":
        raise webhook_failure("scheme_refused")
    if place.port not in PORTS:
        raise webhook_failure("port_refused")
    if place.address is not None and refusal_of(place.address) is not None:
        raise webhook_failure("host_refused")
    return Receiver(place, private=False)


def webhook_failure(code: str) -> FetchFailed:
    """The failure of this code in words about webhooks; its status is 400 where the URL itself is to blame."""
    sentence = _SENTENCES.get(code, "The webhook's URL cannot be used.")
    return FetchFailed(code, sentence, status=_STATUSES.get(code, 400))


def _read_private(url: str, private: Collection[str]) -> MediaUrl | None:
    """The URL if its host is one of `private`: such a name may have one label, and its port may be any."""
    try:
        split = urlsplit(url)
        port = split.port
    except ValueError:
        return None
    named = (split.hostname or "").lower()
    default = {"http": 80, "https": 443}.get(split.scheme)
    if (
        default is None
        or "@" in split.netloc
        or not url.isascii()
        or not url.isprintable()
        or " " in url
        or len(url) > MAX_URL_LENGTH
    ):
        return None
    port = port or default
    if named not in private and f"{named}:{port}" not in private:
        return None
    return MediaUrl(split.scheme, named, port, read_target(split.path, split.query), parse_address(named))
