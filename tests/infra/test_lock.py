"""The lock says the same to every pip, whatever has been published since it was made."""

from __future__ import annotations

import re

import pytest

from infra import lock, topology

PINNED = re.compile(r"^([a-z0-9.-]+)(\[[a-z0-9,-]+\])?==(\S+)", re.MULTILINE)


def test_a_name_with_an_extra_is_pinned_without_it_too() -> None:
    compiled = (
        "anyio==4.1 \\\n    --hash=sha256:aa\n"
        "google-auth[requests]==2.6 \\\n    --hash=sha256:bb \\\n    --hash=sha256:cc\n"
        "zipp==1\n"
    )

    pinned = lock.pin_bases(compiled)

    assert pinned == (
        "anyio==4.1 \\\n    --hash=sha256:aa\n"
        "google-auth==2.6 \\\n    --hash=sha256:bb \\\n    --hash=sha256:cc\n"
        "google-auth[requests]==2.6 \\\n    --hash=sha256:bb \\\n    --hash=sha256:cc\n"
        "zipp==1\n"
    )


@pytest.mark.parametrize("name", lock.targets())
def test_no_requirement_of_a_compiled_file_is_left_to_the_day_it_is_installed(name: str) -> None:
    found = PINNED.findall((topology.ROOT / name).read_text())

    bare = {(package, version) for package, extra, version in found if not extra}
    assert bare
    assert {(package, version) for package, extra, version in found if extra} <= bare
