"""Which addresses may never be reached, whatever spelling or tunnel they hide in."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from shared.adapters.fetching.addresses import Refusal, parse_address, refusal_of

REFUSED = {
    "0.0.0.0": Refusal.UNSPECIFIED,
    "0.1.2.3": Refusal.UNSPECIFIED,
    "10.255.255.255": Refusal.PRIVATE,
    "100.64.0.1": Refusal.SHARED,
    "100.100.100.200": Refusal.SHARED,
    "127.0.0.1": Refusal.LOOPBACK,
    "127.255.255.254": Refusal.LOOPBACK,
    "168.63.129.16": Refusal.PLATFORM,
    "169.254.169.254": Refusal.LINK_LOCAL,
    "172.16.0.1": Refusal.PRIVATE,
    "172.31.255.255": Refusal.PRIVATE,
    "192.0.0.192": Refusal.RESERVED,
    "192.0.2.1": Refusal.DOCUMENTATION,
    "192.88.99.1": Refusal.SIX_TO_FOUR,
    "192.168.1.1": Refusal.PRIVATE,
    "198.19.0.1": Refusal.BENCHMARK,
    "198.51.100.1": Refusal.DOCUMENTATION,
    "203.0.113.1": Refusal.DOCUMENTATION,
    "224.0.0.1": Refusal.MULTICAST,
    "239.255.255.255": Refusal.MULTICAST,
    "240.0.0.1": Refusal.RESERVED,
    "255.255.255.255": Refusal.RESERVED,
    "::": Refusal.UNSPECIFIED,
    "::1": Refusal.LOOPBACK,
    "::a9fe:a9fe": Refusal.COMPATIBLE,
    "::8.8.8.8": Refusal.COMPATIBLE,
    "::ffff:169.254.169.254": Refusal.MAPPED,
    "::ffff:8.8.8.8": Refusal.MAPPED,
    "::ffff:0:169.254.169.254": Refusal.MAPPED,
    "64:ff9b::a9fe:a9fe": Refusal.NAT64,
    "64:ff9b::8.8.8.8": Refusal.NAT64,
    "64:ff9b:1::a9fe:a9fe": Refusal.NAT64,
    "64:ff9b:1:ffff::1": Refusal.NAT64,
    "100::1": Refusal.RESERVED,
    "2001:0:a9fe:a9fe::1": Refusal.TEREDO,
    "2001:10::1": Refusal.RESERVED,
    "2001:db8::1": Refusal.DOCUMENTATION,
    "2002:a9fe:a9fe::1": Refusal.SIX_TO_FOUR,
    "2002:808:808::1": Refusal.SIX_TO_FOUR,
    "2606:4700::5efe:169.254.169.254": Refusal.ISATAP,
    "2606:4700::200:5efe:10.0.0.1": Refusal.ISATAP,
    "3fff::1": Refusal.DOCUMENTATION,
    "4000::1": Refusal.RESERVED,
    "5f00::1": Refusal.RESERVED,
    "fc00::1": Refusal.PRIVATE,
    "fd00:ec2::254": Refusal.PRIVATE,
    "fd20:ce::254": Refusal.PRIVATE,
    "fe80::1": Refusal.LINK_LOCAL,
    "fe80::1%eth0": Refusal.ZONED,
    "2606:4700::1%1": Refusal.ZONED,
    "fec0::1": Refusal.PRIVATE,
    "ff02::1": Refusal.MULTICAST,
}
PUBLIC = [
    "1.1.1.1",
    "8.8.8.8",
    "93.184.216.34",
    "100.63.255.255",
    "100.128.0.0",
    "126.255.255.255",
    "128.0.0.0",
    "168.63.129.15",
    "169.253.255.255",
    "172.15.255.255",
    "172.32.0.0",
    "223.255.255.255",
    "2001:200::1",
    "2001:4860:4860::8888",
    "2606:4700::1111",
    "2a00:1450:4001:81b::200e",
]


@pytest.mark.parametrize(("text", "refusal"), REFUSED.items())
def test_an_address_that_is_not_public_is_refused_for_its_reason(text: str, refusal: Refusal) -> None:
    assert refusal_of(ip_address(text)) is refusal


@pytest.mark.parametrize("text", PUBLIC)
def test_public_addresses_and_the_neighbours_of_refused_ones_pass(text: str) -> None:
    assert refusal_of(ip_address(text)) is None


@pytest.mark.parametrize(
    "text",
    [
        *("2130706433", "0x7f000001", "0x7f.1", "127.1", "0177.0.0.1", "127.0.0.01", "127.0.0.1.", " 127.0.0.1"),
        *("", "a", "[::1]", "::1/128", "1:2", "127.0.0.1/8", "１.1.1.1", "256.1.1.1"),
    ],
)
def test_other_spellings_are_no_addresses(text: str) -> None:
    assert parse_address(text) is None


@given(st.ip_addresses(v=4))
def test_python_never_calls_private_what_passes(address: IPv4Address) -> None:
    assume(refusal_of(address) is None)
    assert address.is_global
    assert not any((address.is_private, address.is_multicast, address.is_reserved, address.is_link_local))


@given(st.integers(0x2000 << 112, (0x4000 << 112) - 1).map(IPv6Address))
def test_only_plain_global_unicast_passes(address: IPv6Address) -> None:
    assume(refusal_of(address) is None)
    assert address.is_global
    assert (address.ipv4_mapped, address.sixtofour, address.teredo) == (None, None, None)


@given(st.one_of(st.integers(0, (0x2000 << 112) - 1), st.integers(0x4000 << 112, (1 << 128) - 1)).map(IPv6Address))
def test_nothing_but_global_unicast_passes(address: IPv6Address) -> None:
    assert refusal_of(address) is not None


@given(
    st.ip_addresses(v=4),
    st.sampled_from(
        [
            (0, 0),  # compatible
            (0xFFFF << 32, 0),  # mapped
            (0x64FF9B << 96, 0),  # NAT64
            (0x64FF9B0001 << 80, 0),  # NAT64 of a site
            (0x2002 << 112, 80),  # 6to4
            (0x20010000 << 96, 64),  # Teredo's server
            (0x26064700 << 96 | 0x5EFE << 32, 0),  # ISATAP
        ]
    ),
)
def test_an_address_that_carries_another_is_refused_whatever_it_carries(
    carried: IPv4Address, carrier: tuple[int, int]
) -> None:
    prefix, shift = carrier
    assert refusal_of(IPv6Address(prefix | int(carried) << shift)) is not None


@given(st.ip_addresses())
def test_every_address_is_understood_as_it_is_written(address: IPv4Address | IPv6Address) -> None:
    assert parse_address(str(address)) == address
