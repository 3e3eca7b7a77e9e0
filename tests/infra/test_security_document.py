"""Every test that SECURITY.md names is there."""

from __future__ import annotations

import re

import pytest

from infra.topology import ROOT

NAMED = sorted(set(re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", (ROOT / "SECURITY.md").read_text())))


def test_the_document_names_many_tests() -> None:
    assert len(NAMED) > 30


@pytest.mark.parametrize(("path", "name"), NAMED)
def test_a_named_test_exists(path: str, name: str) -> None:
    source = (ROOT / path).read_text()
    assert not name or re.search(rf"^ *(async )?def {name}\(", source, re.MULTILINE)
