"""What is installed, told without importing it: the analysers are large, and a start must stay fast."""

from __future__ import annotations

from functools import cache
from importlib.machinery import PathFinder
from importlib.metadata import PackageNotFoundError, version
from typing import Literal

Condition = Literal["ok", "degraded", "off"]
"""As the health page has it; `off`: not installed."""


@cache
def installed(*modules: str) -> bool:
    """Whether all of these top-level modules can be imported, as far as can be told from their being there.

    What another thread is importing right now may look strange (OpenCV's package has no spec for a moment), so that
    only the path is asked, and not what is loaded.
    """
    return all(PathFinder.find_spec(module) is not None for module in modules)


@cache
def version_of(distribution: str) -> str:
    """The version of an installed distribution, `none` if it is not there."""
    try:
        return version(distribution)
    except PackageNotFoundError:
        return "none"
