"""What is installed, told without importing it, whatever another thread is doing."""

from __future__ import annotations

import sys
from types import ModuleType

import pytest

from shared.adapters.embedded.packages import installed, version_of


def test_what_is_there_and_what_is_not() -> None:
    assert installed("pytest")
    assert not installed("pytest", "no_such_module")
    assert version_of("no-such-distribution") == "none"


def test_a_module_that_is_half_imported_elsewhere_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    half = ModuleType("cv2")  # as OpenCV's own loader leaves it for a moment: without a spec
    assert half.__spec__ is None
    monkeypatch.setitem(sys.modules, "cv2", half)
    installed.cache_clear()
    assert installed("cv2")
