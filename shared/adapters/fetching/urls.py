"""Reads a URL strictly: what two readers could understand differently is refused. Pure; it must not resolve names.

Accepted: `http` and `https`, a host name of at least two labels or an address in its usual form, the ports it is
given. A fragment is dropped, one trailing dot of the host too, non-ASCII names become their IDNA form, and other
non-ASCII text is percent-encoded as UTF-8.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from urllib.parse import quote, urljoin, urlsplit

from shared.adapters.fetching.addresses import Address, parse_address
from shared.adapters.fetching.failures import failure

MAX_URL_LENGTH = 2048

_DEFAULT_PORTS = {"http": 80, "https": 443}
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")
# Controls, blanks of every script and backslashes: what parsers strip, split at, or turn round, each in its own way.
_AMBIGUOUS = re.compile(r"[\x00-\x20\x7f-\xa0\\\s\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]")
_AUTHORITY = re.compile(r"(?:\[(?P<ipv6>[0-9A-Fa-f:.]+)\]|(?P<name>[^\[\]:]+))(?::(?P<port>[0-9]{0,5}))?")
_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")
# A last label like this is a number to some reader: 127.1, 0x7f000001, 017700000001 (WHATWG URL, "ends in a number").
_NUMERIC = re.compile(r"[0-9]+|0x[0-9a-f]*")
# Never public, so never even asked for: the answer would tell which internal names exist.
_RESERVED_NAMES = frozenset(
    {"alt", "arpa", "corp", "home", "internal", "intranet", "invalid", "lan", "local", "localdomain", "localhost"}
    | {"onion", "private", "test"}
)
# What RFC 3986 lets stand in a path or query; `%` too, for what is encoded already.
_KEPT = "/%:=&?~+!$,;'@()*[]"


@dataclass(frozen=True)
class MediaUrl:
    """A URL that may be asked for once its host's addresses were checked.

    `host` is an ASCII name in lower case without a trailing dot, or an address, in which case `address` is it.
    `target` is the path with the query.
    """

    scheme: str
    host: str
    port: int
    target: str
    address: Address | None

    @property
    def authority(self) -> str:
        """What the `Host` header says."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _DEFAULT_PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def shown(self) -> str:
        """The URL without its query, which may hold a secret."""
        return f"{self.scheme}://{self.authority}{self.target.partition('?')[0]}"


def read_url(text: str, ports: Collection[int]) -> MediaUrl:
    """Reads an `http` or `https` URL. Raises `FetchFailed` (400) for whatever is not accepted."""
    if len(text) > MAX_URL_LENGTH:
        raise failure("url_too_long")
    if _AMBIGUOUS.search(text) or not _SCHEME.match(text):
        raise failure("url_invalid")
    try:
        split = urlsplit(text)
    except ValueError:  # brackets that make no address, a host that is another one when normalised
        raise failure("host_refused") from None
    if split.scheme not in _DEFAULT_PORTS:
        raise failure("scheme_refused")
    host, address, port = _read_authority(split.netloc)
    port = port or _DEFAULT_PORTS[split.scheme]
    if port not in ports:
        raise failure("port_refused")
    return MediaUrl(split.scheme, host, port, read_target(split.path, split.query), address)


def read_redirect(location: bytes, origin: MediaUrl, ports: Collection[int]) -> MediaUrl:
    """Where a redirect leads. Raises `FetchFailed` (400); `https` never leads back to `http`."""
    try:
        text = location.decode()
    except UnicodeDecodeError:
        raise failure("redirect_refused") from None
    # Before it is joined: joining strips some of these.
    if not text or len(text) > MAX_URL_LENGTH or _AMBIGUOUS.search(text):
        raise failure("redirect_refused")
    try:
        joined = urljoin(f"{origin.scheme}://{origin.authority}{origin.target}", text)
    except ValueError:
        raise failure("redirect_refused") from None
    target = read_url(joined, ports)
    if origin.scheme == "https" and target.scheme == "http":
        raise failure("redirect_refused")
    return target


def read_target(path: str, query: str) -> str:
    """Path and query as they are asked for, percent-encoded. Raises `FetchFailed` (400)."""
    try:
        return quote(path or "/", safe=_KEPT) + (f"?{quote(query, safe=_KEPT)}" if query else "")
    except UnicodeEncodeError:  # lone surrogates
        raise failure("url_invalid") from None


def _read_authority(netloc: str) -> tuple[str, Address | None, int | None]:
    """Host, its address if it is one, and the port if one is named."""
    if "@" in netloc:
        raise failure("credentials_refused")
    match = _AUTHORITY.fullmatch(netloc)
    if match is None:
        raise failure("host_refused")
    port = int(match["port"]) if match["port"] else None
    if port == 0:
        raise failure("port_refused")
    literal = match["ipv6"] or match["name"]
    address = parse_address(literal)
    if address is not None and (address.version == 6) == (match["ipv6"] is not None):
        return str(address), address, port
    if match["ipv6"] is not None:
        raise failure("host_refused")
    return _read_name(literal), None, port


def _read_name(name: str) -> str:
    name = _to_ascii(name).lower().removesuffix(".")
    labels = name.split(".")
    readable = len(labels) > 1 and len(name) <= 253 and all(_LABEL.fullmatch(label) for label in labels)
    if not readable or _NUMERIC.fullmatch(labels[-1]) or labels[-1] in _RESERVED_NAMES:
        raise failure("host_refused")
    return name


def _to_ascii(name: str) -> str:
    if name.isascii():
        return name
    # Its tables are large, and few names need them.
    import idna

    try:
        return idna.encode(name, uts46=True, std3_rules=True).decode("ascii")
    except UnicodeError:  # among them `idna.IDNAError`, and lone surrogates
        raise failure("host_refused") from None
