"""The one way in which Sightline posts to a URL that an administrator named.

Like `url_fetcher.py` it goes through `PinnedNetwork`: names are resolved once and checked, one deadline stands over
all. Unlike there, the body goes out, and of the answer only the head is read: whatever a receiver says in its body, or
how slowly, is nobody's business here. Redirects are not followed.
"""

from __future__ import annotations

import ssl
from collections.abc import Collection, Iterator, Mapping
from contextlib import closing, contextmanager

import httpcore

from shared.adapters.fetching.addresses import Address, Refusal, refusal_of
from shared.adapters.fetching.network import AddressRule, Deadline, PinnedNetwork, Resolver, resolve
from shared.adapters.fetching.url_fetcher import default_trust
from shared.adapters.fetching.webhook_urls import Receiver, read_receiver, webhook_failure
from shared.errors import FetchFailed
from shared.ports import WebhookReply

POST_SECONDS = 10.0
WIRE_BYTES = 64 << 10
"""Of the answer's head; the HTTP library itself wants less."""
# The metadata server hands out the function's own credentials: it is nobody's receiver, whoever names it.
_NEVER = frozenset({Refusal.LINK_LOCAL, Refusal.PLATFORM, Refusal.MULTICAST, Refusal.UNSPECIFIED})


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
        self._private = frozenset(private_hosts)
        self._seconds = seconds
        self._trust = trust or default_trust()
        self._resolver = resolver
        self._rule = rule

    def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> WebhookReply:
        """See `WebhookSender.post`."""
        receiver = read_receiver(url, self._private)
        with _own_words():
            return self._post(receiver, body, headers)

    def _post(self, receiver: Receiver, body: bytes, headers: Mapping[str, str]) -> WebhookReply:
        place = receiver.place
        network = PinnedNetwork(
            self._resolver,
            _private_rule if receiver.private else self._rule,
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
        raise webhook_failure(error.code) from None
    except httpcore.TimeoutException:
        raise webhook_failure("timeout") from None
    except httpcore.RemoteProtocolError:
        raise webhook_failure("broken_answer") from None
    except (httpcore.NetworkError, httpcore.LocalProtocolError):
        raise webhook_failure("unreachable") from None


def _private_rule(address: Address) -> Refusal | None:
    refusal = refusal_of(address)
    return refusal if refusal in _NEVER else None


def _retry_after(response: httpcore.Response) -> float | None:
    values = [value for name, value in response.headers if name.lower() == b"retry-after"]
    text = values[0].strip() if values else b""
    return float(text) if text.isdigit() and len(text) <= 9 else None
