"""What the documents tell people to type and to set is there."""

from __future__ import annotations

import dataclasses
import re

import pytest

from infra import topology
from shared import settings

DOCUMENTS = ("README.md", "SECURITY.md", "docs/incidents.md", "docs/operations.md")
TERRAFORM = [*(topology.ROOT / "infra").glob("*.tf"), *(topology.ROOT / "infra" / "bootstrap").glob("*.tf")]
MAKEFILE = (topology.ROOT / "Makefile").read_text()
TARGETS = set(re.findall(r"^([a-z][a-z-]*):", MAKEFILE, re.MULTILINE))
CODE = re.compile(r"```.*?```|`[^`]+`", re.DOTALL)


def code_of(document: str) -> str:
    """What stands between backticks."""
    return "\n".join(CODE.findall((topology.ROOT / document).read_text()))


@pytest.mark.parametrize("document", DOCUMENTS)
def test_targets_of_make_exist(document: str) -> None:
    named = set(re.findall(r"\bmake\s+([a-z-]+)", code_of(document)))
    assert named <= TARGETS


@pytest.mark.parametrize("document", DOCUMENTS)
def test_what_make_is_told_is_read_by_it(document: str) -> None:
    lines = re.findall(r"\bmake [a-z-]+[^`\n]*", code_of(document))
    told = {name for line in lines for name in re.findall(r"\b([A-Z_]{2,})=", line)}
    assert all(re.search(rf"\b{name}\b", MAKEFILE) for name in told), told


def test_modules_that_people_call_exist() -> None:
    named = {name for document in DOCUMENTS for name in re.findall(r"python -m ([\w.]+)", code_of(document))}
    assert {"local", "bench", "infra.release"} <= named
    for name in named:
        path = topology.ROOT / name.replace(".", "/")
        assert path.with_suffix(".py").is_file() or (path / "__main__.py").is_file(), name


def test_settings_of_the_readme_are_read_and_all_that_are_read_are_told() -> None:
    text = (topology.ROOT / "README.md").read_text()
    begin = text.index("Settings are environment variables")
    listed = set(re.findall(r"`([A-Z][A-Z_]+)`", text[begin : text.index("## Your own model")]))
    read = {
        name
        for found in vars(settings).values()
        if isinstance(found, type) and dataclasses.is_dataclass(found) and found.__module__ == settings.__name__
        for name in settings.variables(found)
    }
    assert listed <= read
    assert set(settings.variables(settings.EmbeddedSettings)) <= listed


def test_variables_and_outputs_of_terraform_that_the_handbook_names_exist() -> None:
    text = "".join(path.read_text() for path in TERRAFORM)
    declared = set(re.findall(r'^(?:variable|output) "(\w+)"', text, re.MULTILINE))
    handbook = (topology.ROOT / "docs" / "operations.md").read_text()
    words = set(re.findall(r"`([a-z]+(?:_[a-z]+)+)(?:\.[a-z_]+)?(?: = [^`]+)?`", handbook))
    others = {
        *("max_instances", "min_instances", "denied_ranges"),  # of function_overrides and firewall
        *("quota_exceeded", "budget_exhausted", "not_permitted"),  # what an analysis lacks
        *("rejected_messages", "off_shift", "quiet_hours", "no_token", "last_status", "last_error"),
    }
    assert words - others <= declared
    assert len(words & declared) > 8
