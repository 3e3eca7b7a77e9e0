"""What Terraform would make, read from the JSON of a plan."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any


def resources(planned: Mapping[str, Any], kind: str) -> list[dict[str, Any]]:
    """The arguments of every resource of this type, in whatever module."""
    return [found["values"] for found in _all(planned["planned_values"]["root_module"]) if found["type"] == kind]


def _all(module: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    yield from module.get("resources", [])
    for child in module.get("child_modules", []):
        yield from _all(child)
