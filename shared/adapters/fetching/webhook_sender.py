"""The one way in which Sightline posts to a URL that an administrator named.

Like `url_fetcher.py` it goes through `PinnedNetwork`: names are resolved once and checked, one deadline stands over
all. Unlike there, the body goes out, and of the answer only the head is read: whatever a receiver says in its body, or
how slowly, is nobody's business here. Redirects are not followed.
"""

from __future__ import annotations

import ssl
from collections.abc import Collection, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

import httpcore

from shared.adapters.fetching.addresses import Address, Refusal, parse_address, refusal_of
from shared.adapters.fetching.network import AddressRule, Deadline, PinnedNetwork, Resolver, resolve
from shared.adapters.fetching.url_fetcher import default_trust
from shared.adapters.fetching.urls import MediaUrl, read_target, read_url
from shared.errors import FetchFailed
from shared.ports import WebhookReply

POST_SECONDS = 10.0
WIRE_BYTES = 64 << 10
"""Of the answer's head; the HTTP library itself wants less."""
PORTS = frozenset({443, *range(1024, 65536)})
"""Below 1024 speaks, but for HTTPS, what no receiver speaks."""

_SENTENCES: dict[str, str] = {
    "url_invalid": "The webhook's URL cannot be read.",
    "url_too_long": "The webhook's URL is longer than 2048 characters.",
    "scheme_refused": "A webhook's URL begins with https, unless its host is one of WEBHOOK_PRIVATE_HOSTS.",
    "credentials_refused": "A webhook's URL may hold no user name or password.",
    "host_refused": "The webhook's host is not a name or address on the public internet.",
    "port_refused": "The webhook's port is neither 443 nor above 1023.",
    "timeout": f"The receiver did not answer within {POST_SECONDS:.0f} seconds.",
    "unresolvable": "The receiver's host name could not be resolved.",
    "unreachable": "The receiver could not be reached, or broke the connection off.",
    "tls_failed": "The receiver could not prove that it is the one named, or speaks no usable TLS.",
    "broken_answer": "The receiver gave an answer that breaks the rules of HTTP.",
    "too_large": "The head of the receiver's answer is far too long.",
}
_STATUSES = {"timeout": 408, "unresolvable": 503, "unreachable": 503, "tls_failed": 503, "broken_answer": 503}
# The metadata server hands out the function's own credentials: it is nobody's receiver, whoever names it.
_NEVER = frozenset({Refusal.LINK_LOCAL, Refusal.PLATFORM, Refusal.MULTICAST, Refusal.UNSPECIFIED})


@dataclass(frozen=True)
class _Target:
    place: MediaUrl
    private: bool


class HttpWebhookSender:
    """Implements `shared.ports.WebhookSender`. One may serve all threads.

    `private_hosts`: `host` or `host:port` of receivers within the own network, which may be spoken to by http and at
    private addresses. `resolver` and `rule` are arguments for tests alone.
    """

    def __init__(
        self,
        private_hosts: Collection[str] = (),
        *,
        seconds: float = POST_SECONDS,
        trust: ssl.SSLContext | None = None,
        resolver: Resolver = resolve,
        rule: AddressRule = refusal_of,
    ) -> None:
        self._private = frozenset(host.lower() for host in private_hosts)
        self._seconds = seconds
        self._trust = trust or default_trust()
        self._resolver = resolver
        self._rule = rule

    def check(self, url: str) -> None:
        """Raises `FetchFailed` (400) for a URL that `post` would never ask, as far as can be told without asking."""
        with _own_words():
            self._read(url)

    def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> WebhookReply:
        """See `WebhookSender.post`."""
        with _own_words():
            return self._post(self._read(url), body, headers)

    def _read(self, url: str) -> _Target:
        private = _read_private(url, self._private)
        if private is not None:
            return _Target(private, private=True)
        place = read_url(url, PORTS | {80})
        if place.scheme != "https":
            raise _failed("scheme_refused")
        if place.port not in PORTS:
            raise _failed("port_refused")
        return _Target(place, private=False)

    def _post(self, target: _Target, body: bytes, headers: Mapping[str, str]) -> WebhookReply:
        place = target.place
        network = PinnedNetwork(
            self._resolver,
            _private_rule if target.private else self._rule,
            Deadline(self._seconds),
            address=place.address,
            wire_bytes=WIRE_BYTES,
        )
        url = httpcore.URL(scheme=place.scheme, host=place.host, port=place.port, target=place.target)
        sent = {**headers, "Host": place.authority, "User-Agent": "Sightline", "Content-Length": str(len(body))}
        connection = httpcore.HTTPConnection(origin=url.origin, ssl_context=self._trust, network_backend=network)
        with (
            closing(connection),
            connection.stream("POST", url, headers=[*sent.items(), ("Connection", "close")], content=body) as response,
        ):
            return WebhookReply(response.status, _retry_after(response))


@contextmanager
def _own_words() -> Iterator[None]:
    """Turns every failure of the network into `FetchFailed` with a sentence about webhooks."""
    try:
        yield
    except FetchFailed as error:
        raise _failed(error.code) from None
    except httpcore.TimeoutException:
        raise _failed("timeout") from None
    except httpcore.RemoteProtocolError:
        raise _failed("broken_answer") from None
    except (httpcore.NetworkError, httpcore.LocalProtocolError):
        raise _failed("unreachable") from None


def _failed(code: str) -> FetchFailed:
    return FetchFailed(code, _SENTENCES.get(code, "The webhook's URL cannot be used."), status=_STATUSES.get(code, 400))


def _read_private(url: str, private: Collection[str]) -> MediaUrl | None:
    """The URL if its host is one of `private`: such a name may have one label, and its port may be any."""
    try:
        split = urlsplit(url)
        port = split.port
    except ValueError:
        return None
    named = (split.hostname or "").lower()
    default = {"http": 80, "https": 443}.get(split.scheme)
    if default is None or "@" in split.netloc or not url.isascii() or not url.isprintable() or " " in url:
        return None
    port = port or default
    if named not in private and f"{named}:{port}" not in private:
        return None
    return MediaUrl(split.scheme, named, port, read_target(split.path, split.query), parse_address(named))


def _private_rule(address: Address) -> Refusal | None:
    refusal = refusal_of(address)
    return refusal if refusal in _NEVER else None


def _retry_after(response: httpcore.Response) -> float | None:
    values = [value for name, value in response.headers if name.lower() == b"retry-after"]
    text = values[0].strip() if values else b""
    return float(text) if text.isdigit() and len(text) <= 9 else None
