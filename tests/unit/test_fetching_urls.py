"""URLs are read in one way or not at all."""

from __future__ import annotations

import base64
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.adapters.fetching.addresses import parse_address
from shared.adapters.fetching.data_urls import read_data_url
from shared.adapters.fetching.urls import MediaUrl, read_redirect, read_url
from shared.errors import FetchFailed

PORTS = frozenset({80, 443})


def read(text: str) -> MediaUrl:
    return read_url(text, PORTS)


def outcome(attempt: Callable[[], MediaUrl]) -> MediaUrl | int:
    """The URL, or the status it is refused with."""
    try:
        return attempt()
    except FetchFailed as refused:
        return refused.status


@pytest.mark.parametrize(
    ("text", "host", "authority", "target"),
    [
        ("http://example.com", "example.com", "example.com", "/"),
        ("HTTPS://Example.COM./a?b=c#d", "example.com", "example.com", "/a?b=c"),
        ("https://example.com:443/", "example.com", "example.com", "/"),
        ("https://example.com:80/", "example.com", "example.com:80", "/"),
        ("http://example.com:/a", "example.com", "example.com", "/a"),
        ("http://example.com?a=b", "example.com", "example.com", "/?a=b"),
        ("http://my_bucket.s3.example.com/a", "my_bucket.s3.example.com", "my_bucket.s3.example.com", "/a"),
        ("http://bücher.example.com/ü?ü", "xn--bcher-kva.example.com", "xn--bcher-kva.example.com", "/%C3%BC?%C3%BC"),
        ("http://example.com/%C3%BC%2e%2e/..", "example.com", "example.com", "/%C3%BC%2e%2e/.."),
        ('http://example.com/"<{}>|^`', "example.com", "example.com", "/%22%3C%7B%7D%3E%7C%5E%60"),
        ("http://93.184.216.34/a", "93.184.216.34", "93.184.216.34", "/a"),
        ("http://[2606:4700:0::1111]/a", "2606:4700::1111", "[2606:4700::1111]", "/a"),
        ("https://[2606:4700::1111]:80/", "2606:4700::1111", "[2606:4700::1111]:80", "/"),
    ],
)
def test_what_is_asked_of_whom(text: str, host: str, authority: str, target: str) -> None:
    url = read(text)
    assert (url.host, url.authority, url.target) == (host, authority, target)
    assert url.address == parse_address(host)


@pytest.mark.parametrize(
    ("location", "leads_to"),
    [
        (b"/b", "https://example.com/b"),
        (b"b", "https://example.com/a/b"),
        (b"?b", "https://example.com/a/"),
        (b"//other.example.com", "https://other.example.com/"),
        (b"https://other.example.com/b#c", "https://other.example.com/b"),
        ("/ü".encode(), "https://example.com/%C3%BC"),
    ],
)
def test_where_a_redirect_leads(location: bytes, leads_to: str) -> None:
    assert read_redirect(location, read("https://example.com/a/"), PORTS).shown == leads_to


@given(st.text(max_size=60), st.sampled_from(["", "http://", "https://[", "http://example.com", "data:"]))
def test_any_text_is_either_read_or_refused(text: str, start: str) -> None:
    url = outcome(lambda: read(start + text))
    if url == 400:
        return
    assert isinstance(url, MediaUrl)
    assert url.host.isascii()
    assert url.target.isascii()
    assert url.target.startswith("/")
    assert read(url.shown) == MediaUrl(url.scheme, url.host, url.port, url.target.partition("?")[0], url.address)


@given(st.binary(max_size=80))
def test_any_location_is_either_read_or_refused(location: bytes) -> None:
    url = outcome(lambda: read_redirect(location, read("https://example.com/a"), PORTS))
    assert url == 400 or (isinstance(url, MediaUrl) and url.scheme == "https")


@given(st.binary(max_size=60), st.integers(0, 60))
def test_data_comes_back_or_is_too_large(data: bytes, max_bytes: int) -> None:
    url = "data:;base64," + base64.b64encode(data).decode()
    if len(data) <= max_bytes:
        assert read_data_url(url, max_bytes) == (data, "text/plain")
        return
    with pytest.raises(FetchFailed, match="too_large"):
        read_data_url(url, max_bytes)
