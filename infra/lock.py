"""Compiles the one lock, and each function's requirements under it (`make lock`, or `--upgrade` for newer versions).

`requirements.lock` holds every group for Python 3.11 to 3.13 with hashes. A function's `requirements.txt` is its group,
constrained by the lock, so that no two functions ever run different versions of one library.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from collections.abc import Sequence

from infra import topology

LOCK = "requirements.lock"
CHECKOV = "infra/checkov.txt"
"""What checkov's own environment holds; the one file that is not constrained by the lock."""
OPTIONS = [
    "--universal",
    "--fork-strategy",
    "fewest",
    "--python-version",
    "3.11",
    "--generate-hashes",
    "--no-annotate",
    "--no-strip-extras",
    "--quiet",
]


EXTRAS = re.compile(r"^(?P<name>[a-z0-9.-]+)\[[a-z0-9,-]+\](?P<pin>==.*(?:\n    .*)*)$", re.MULTILINE)


def targets() -> dict[str, str]:
    """Each file to compile and the dependency group it comes from; the lock first, as the others depend on it."""
    functions = {f"functions/{name}/requirements.txt": name for name in sorted(topology.load().functions)}
    return {LOCK: "dev", "local/requirements.txt": "local", CHECKOV: "checkov", **functions}


def compile_group(name: str, group: str, *, upgrade: bool) -> None:
    """Writes one file; without `upgrade`, versions it already names stay while they fit."""
    command = [sys.executable, "-m", "uv", "pip", "compile", "pyproject.toml", "--group", group, *OPTIONS]
    command += ["--custom-compile-command", "make lock", "--output-file", name]
    if name not in {LOCK, CHECKOV}:
        command += ["--constraint", LOCK]
    if upgrade:
        command += ["--upgrade"]
    subprocess.run(command, cwd=topology.ROOT, check=True)  # noqa: S603 - arguments are constants of this module
    compiled = topology.ROOT / name
    compiled.write_text(pin_bases(compiled.read_text()))


def pin_bases(requirements: str) -> str:
    """The same requirements, with each `name[extra]==1 --hash…` preceded by `name==1 --hash…`.

    To pip a name with an extra and the bare name are two packages. Where a distribution asks for the bare one, pip
    (23.2 does) looks for its newest version, for which the lock has no hash, and refuses the file.
    """
    return EXTRAS.sub(r"\g<name>\g<pin>\n\g<0>", requirements)


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m infra.lock", description=__doc__)
    parser.add_argument("--upgrade", action="store_true", help="take the newest versions")
    chosen = parser.parse_args(arguments)
    for name, group in targets().items():
        compile_group(name, group, upgrade=chosen.upgrade)
        print(name)


if __name__ == "__main__":
    main()
