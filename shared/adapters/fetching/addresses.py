"""Which addresses may never be reached for a stranger, and why: pure, one table for each family.

What is not known to be public is refused. An IPv6 address that carries an IPv4 address for some translator or tunnel
is refused whatever it carries: who translates it, and to what, is not ours to know. Python's `ipaddress.is_global`
alone is not enough: it is True for 64:ff9b::a9fe:a9fe (NAT64), 2002:a9fe:a9fe::1 (6to4) and 224.0.0.1.

Sources: the IANA special-purpose address registries (RFC 6890), RFC 6052 and RFC 8215 (NAT64), RFC 3056 (6to4),
RFC 4380 (Teredo), RFC 4291 (mapped, compatible), RFC 5214 (ISATAP).
"""

from __future__ import annotations

from enum import StrEnum
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

Address = IPv4Address | IPv6Address


class Refusal(StrEnum):
    """Why an address may not be reached. For logs and tests: clients are told nothing about addresses."""

    UNREADABLE = "unreadable"
    UNSPECIFIED = "unspecified"
    LOOPBACK = "loopback"
    PRIVATE = "private"
    SHARED = "shared"
    LINK_LOCAL = "link_local"
    PLATFORM = "platform"
    MULTICAST = "multicast"
    DOCUMENTATION = "documentation"
    BENCHMARK = "benchmark"
    RESERVED = "reserved"
    ZONED = "zoned"
    MAPPED = "mapped"
    COMPATIBLE = "compatible"
    NAT64 = "nat64"
    SIX_TO_FOUR = "6to4"
    TEREDO = "teredo"
    ISATAP = "isatap"


_IPV4: tuple[tuple[str, Refusal], ...] = (
    ("0.0.0.0/8", Refusal.UNSPECIFIED),
    ("10.0.0.0/8", Refusal.PRIVATE),
    ("100.64.0.0/10", Refusal.SHARED),
    ("127.0.0.0/8", Refusal.LOOPBACK),
    ("168.63.129.16/32", Refusal.PLATFORM),  # Azure's host answers every virtual machine here
    ("169.254.0.0/16", Refusal.LINK_LOCAL),  # the metadata server of every large cloud
    ("172.16.0.0/12", Refusal.PRIVATE),
    ("192.0.0.0/24", Refusal.RESERVED),
    ("192.0.2.0/24", Refusal.DOCUMENTATION),
    ("192.88.99.0/24", Refusal.SIX_TO_FOUR),
    ("192.168.0.0/16", Refusal.PRIVATE),
    ("198.18.0.0/15", Refusal.BENCHMARK),
    ("198.51.100.0/24", Refusal.DOCUMENTATION),
    ("203.0.113.0/24", Refusal.DOCUMENTATION),
    ("224.0.0.0/4", Refusal.MULTICAST),
    ("240.0.0.0/4", Refusal.RESERVED),
)
_IPV6: tuple[tuple[str, Refusal], ...] = (
    ("::/128", Refusal.UNSPECIFIED),
    ("::1/128", Refusal.LOOPBACK),
    ("::/96", Refusal.COMPATIBLE),
    ("::ffff:0:0/96", Refusal.MAPPED),
    ("::ffff:0:0:0/96", Refusal.MAPPED),  # RFC 2765's older spelling
    ("64:ff9b::/96", Refusal.NAT64),
    ("64:ff9b:1::/48", Refusal.NAT64),
    ("2001::/32", Refusal.TEREDO),
    ("2001::/23", Refusal.RESERVED),
    ("2001:db8::/32", Refusal.DOCUMENTATION),
    ("2002::/16", Refusal.SIX_TO_FOUR),
    ("3fff::/20", Refusal.DOCUMENTATION),
    ("fc00::/7", Refusal.PRIVATE),
    ("fe80::/10", Refusal.LINK_LOCAL),
    ("fec0::/10", Refusal.PRIVATE),
    ("ff00::/8", Refusal.MULTICAST),
)
_REFUSED_IPV4 = tuple((IPv4Network(network), refusal) for network, refusal in _IPV4)
_REFUSED_IPV6 = tuple((IPv6Network(network), refusal) for network, refusal in _IPV6)
_GLOBAL_UNICAST = IPv6Network("2000::/3")
# The upper half of an ISATAP interface identifier, universal bit clear and set.
_ISATAP = frozenset({0x00005EFE, 0x02005EFE})


def refusal_of(address: Address) -> Refusal | None:
    """Why `address` may not be reached, or None for a public one."""
    if isinstance(address, IPv4Address):
        return _refusal_of_ipv4(address)
    if address.scope_id is not None:
        return Refusal.ZONED
    listed = next((refusal for network, refusal in _REFUSED_IPV6 if address in network), None)
    if listed is not None:
        return listed
    if int(address) >> 32 & 0xFFFFFFFF in _ISATAP:
        return Refusal.ISATAP
    return None if address in _GLOBAL_UNICAST and address.is_global else Refusal.RESERVED


def _refusal_of_ipv4(address: IPv4Address) -> Refusal | None:
    listed = next((refusal for network, refusal in _REFUSED_IPV4 if address in network), None)
    # What the registry may gain before this table does.
    return listed or (None if address.is_global else Refusal.RESERVED)


def parse_address(text: str) -> Address | None:
    """The address that `text` spells in its usual form, or None.

    Dotted decimal without leading zeros only: 2130706433, 0x7f.1 and 0177.0.0.1 are no addresses here.
    """
    try:
        return ip_address(text)
    except ValueError:
        return None
