"""What is installed, told without importing it: the analysers are large, and a start must stay fast."""

from __future__ import annotations

from functools import cache
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from typing import Literal

Condition = Literal["ok", "degraded", "off"]
"""As the health page has it; `off`: not installed."""


@cache
def installed(*modules: str) -> bool:
    """Whether all of these top-level modules can be imported, as far as can be told from their being there."""
    return all(find_spec(module) is not None for module in modules)


@cache
def version_of(distribution: str) -> str:
    """The version of an installed distribution, `none` if it is not there."""
    try:
        return version(distribution)
    except PackageNotFoundError:
        return "none"
