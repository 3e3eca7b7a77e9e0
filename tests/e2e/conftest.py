"""The clips of the end-to-end tests: drawn, as users have none of the real footage."""

from __future__ import annotations

from pathlib import Path

import pytest

from local.drawing import draw_fight_clip


@pytest.fixture(scope="session")
def fight(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A drawn fight of twelve seconds."""
    path = tmp_path_factory.mktemp("clips") / "fight.mp4"
    draw_fight_clip(path)
    return path
