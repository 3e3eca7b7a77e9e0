"""Reads the data files under `policies/`, which lie beside the code in a function's bundle, too."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from shared.domain.moderation.pattern_files import pattern_set
from shared.domain.moderation.patterns import PatternSet
from shared.errors import PolicyError
from shared.settings import ROOT

PATTERNS = ROOT / "policies" / "patterns"


def load_patterns(folder: Path = PATTERNS) -> PatternSet:
    """The text patterns of all languages, compiled: once a process. Raises `PolicyError`."""
    files: dict[str, Mapping[str, Any]] = {}
    unreadable = []
    for path in sorted(folder.glob("*.toml")):
        try:
            files[path.name] = tomllib.loads(path.read_text(encoding="utf-8"))
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            unreadable.append(f"{path.name}: is no TOML file: {error}")
    if unreadable:
        raise PolicyError("; ".join(unreadable))
    return pattern_set(files)
