"""Reads the data files of moderation under `policies/`. What is in them is judged by `shared/domain/moderation`."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from shared.domain.moderation.in_force import InForce
from shared.domain.moderation.pattern_files import pattern_set
from shared.domain.moderation.patterns import PatternSet
from shared.domain.moderation.profile_files import merged, profile_of
from shared.domain.moderation.profiles import Profile
from shared.errors import PolicyError, ProfileError
from shared.settings import ROOT

PROFILES = ROOT / "policies" / "profiles"
PATTERNS = ROOT / "policies" / "patterns"

MAX_BYTES = 1_000_000
DEEPEST = 8
"""As many files may extend each other."""

_BUNDLED_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,49}")


def load_profile(name_or_path: str | Path, folder: Path = PROFILES) -> Profile:
    """A bundled profile by its name (`balanced`), or a user's own by the path of its file (`/etc/night.toml`).

    A relative path begins at the root of the repository or bundle, in `extends` at the file's own folder.
    Raises `ProfileError` that says everything that is wrong.
    """
    path = _path_of(str(name_or_path), folder, ROOT)
    content, base = _read(path), None
    if "extends" in content:
        base = _extended(content["extends"], path, folder, (path,))
    return profile_of(path.stem, content, base)


def load_in_force(standard: str, strict: str, shadow: str | None) -> InForce:
    """The profiles of these names or paths. Raises `ProfileError`."""
    return InForce(
        standard=load_profile(standard),
        strict=load_profile(strict),
        shadow=None if shadow is None else load_profile(shadow),
    )


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


def _extended(name: object, by: Path, folder: Path, seen: tuple[Path, ...]) -> dict[str, Any]:
    """The whole content that a file extends: bundled ones by name, others by a path from the file's own folder."""
    if not isinstance(name, str):
        raise ProfileError(f"profile {by.stem}: extends: {name!r} is no profile's name or path")
    path = _path_of(name, folder, by.parent)
    if path in seen:
        circle = " extends ".join(each.stem for each in (*seen, path))
        raise ProfileError(f"profile {seen[0].stem}: extends: {circle}, in a circle")
    if len(seen) >= DEEPEST:
        raise ProfileError(f"profile {seen[0].stem}: extends: more than {DEEPEST} files extend each other")
    content = _read(path)
    base = _extended(content["extends"], path, folder, (*seen, path)) if "extends" in content else {}
    return merged(content, base)


def _path_of(name: str, folder: Path, beside: Path) -> Path:
    if "\0" in name:
        raise ProfileError(f"profile {name!r}: this can't be the name of a file")
    return (folder / f"{name}.toml" if _BUNDLED_NAME.fullmatch(name) else beside / name).resolve()


def _read(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > MAX_BYTES:
            raise ProfileError(f"profile {path.stem}: {path} has more than {MAX_BYTES} bytes")
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        bundled = ", ".join(sorted(each.stem for each in PROFILES.glob("*.toml")))
        raise ProfileError(
            f"profile {path.stem}: there is no file {path}; those that come along are {bundled}"
        ) from error
    except (OSError, ValueError, RecursionError) as error:
        # Bytes that are no UTF-8 and malformed TOML are both ValueErrors.
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise ProfileError(f"profile {path.stem}: {path} can't be read: {reason}") from error
