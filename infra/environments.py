"""Makes the environment a function is deployed into: a virtual one with its `requirements.txt`, and nothing else.

They are kept in `.cache/environments/`, named by the sum of the requirements and the interpreter: what is unchanged is
not made again, and functions with the same requirements share one.
"""

from __future__ import annotations

import contextlib
import hashlib
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from infra import topology

CACHE = topology.ROOT / ".cache" / "environments"


class CannotInstall(Exception):
    """The requirements can't be installed. What the installer said is the message."""


def python_of(function: str, cache: Path = CACHE) -> Path:
    """The Python of a function's environment; see `python_with`."""
    return python_with(topology.ROOT / "functions" / function / "requirements.txt", cache)


def python_with(requirements: Path, cache: Path = CACHE) -> Path:
    """The Python of an environment with these requirements, which is made if need be. Safe from several processes.

    Raises CannotInstall, also for a file whose hash is not the locked one.
    """
    place = cache / _name_of(requirements)
    if not place.exists():
        _make(place, requirements)
    return place / "bin" / "python"


def _name_of(requirements: Path) -> str:
    return hashlib.sha256(requirements.read_bytes() + f"{sys.executable} {sys.version}".encode()).hexdigest()[:20]


def _make(place: Path, requirements: Path) -> None:
    """Beside its place first, so that what lies there is always whole; of two makers the slower one's is dropped."""
    place.parent.mkdir(parents=True, exist_ok=True)
    beside = Path(tempfile.mkdtemp(dir=place.parent, prefix="making-"))
    try:
        _uv("venv", "--clear", "--python", sys.executable, str(beside))
        python = str(beside / "bin" / "python")
        _uv("pip", "install", "--python", python, "--require-hashes", "-r", str(requirements))
        with contextlib.suppress(OSError):
            beside.rename(place)
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def _uv(*arguments: str) -> None:
    command = [sys.executable, "-m", "uv", "--quiet", *arguments]
    done = subprocess.run(command, capture_output=True, check=False, text=True)  # noqa: S603
    if done.returncode:
        raise CannotInstall(done.stderr.strip())
