"""Every test that SECURITY.md names is there."""

from __future__ import annotations

import re

import pytest

from infra.topology import ROOT

DOCUMENT = (ROOT / "SECURITY.md").read_text()
NAMED = sorted(set(re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", DOCUMENT)))
RUNS = sorted(set(re.findall(r"`(infra/[\w/]*tests/\w+\.tftest\.hcl)::(\w+)`", DOCUMENT)))


def test_the_document_names_many_tests() -> None:
    assert len(NAMED) > 30


@pytest.mark.parametrize(("path", "name"), NAMED)
def test_a_named_test_exists(path: str, name: str) -> None:
    source = (ROOT / path).read_text()
    assert not name or re.search(rf"^ *(async )?def {name}\(", source, re.MULTILINE)


@pytest.mark.parametrize(("path", "name"), RUNS)
def test_a_named_run_of_terraform_s_tests_exists(path: str, name: str) -> None:
    assert f'run "{name}" {{' in (ROOT / path).read_text()


def test_nothing_of_a_test_is_named_in_another_form() -> None:
    quoted = re.findall(r"`((?:tests|infra)/[^`]*(?:::|\.py|\.hcl)[^`]*)`", DOCUMENT)
    assert {text.partition("::")[::2] for text in quoted} == {*NAMED, *RUNS}
