"""Has checkov read the Terraform, in an environment of its own that is made once for each `infra/checkov.txt`.

It reads the plan, in which every module and `for_each` is resolved; `#checkov:skip=ID:reason` beside a resource in the
HCL holds for all that come of it. In a clone without the stand-in it reads the HCL itself.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

from infra import terraform, topology

LOCK = topology.ROOT / "infra" / "checkov.txt"
CONFIG = topology.ROOT / "infra" / "checkov.yaml"
CACHE = topology.ROOT / ".cache" / "checkov"

_SKIP = re.compile(r"checkov:skip=(?P<check>[A-Z0-9_]+)(?::(?P<reason>.*))?")
SHORTEST_REASON = 20
"""Characters of the sentence that justifies leaving a rule out."""


def environment() -> Path:
    """The program `checkov`, installed from its lock with hashes unless it is there already.

    Raises `TerraformError` where a package can't be had. An environment that was not finished is made again.
    """
    folder = CACHE / hashlib.sha256(LOCK.read_bytes()).hexdigest()[:16]
    program, finished = folder / "bin" / "checkov", folder / "finished"
    if finished.is_file() and program.is_file():
        return program
    shutil.rmtree(folder, ignore_errors=True)
    CACHE.mkdir(parents=True, exist_ok=True)
    uv, python = [sys.executable, "-m", "uv"], str(folder / "bin" / "python")
    terraform.run([*uv, "venv", "--quiet", "--python", sys.executable, str(folder)])
    terraform.run([*uv, "pip", "install", "--quiet", "--require-hashes", "--python", python, "-r", str(LOCK)])
    finished.touch()
    return program


def scan(plans: Mapping[str, object]) -> str:
    """What checkov says of each plan, or of the HCL where there are none. Raises `TerraformError` with what failed."""
    program = [str(environment()), "--config-file", str(CONFIG)]
    if not plans:
        return terraform.run([*program, "--framework", "terraform", "--directory", str(terraform.FOLDER)])
    return "\n".join(_of_plan(program, name, plan) for name, plan in plans.items())


def _of_plan(program: list[str], name: str, plan: object) -> str:
    with TemporaryDirectory(dir=CACHE) as place:
        saved, sources = Path(place) / f"{name}.json", Path(place) / "sources"
        saved.write_text(json.dumps(plan))
        # Where something is justified is looked up by its name alone, and bootstrapping uses the same ones.
        shutil.copytree(terraform.FOLDER, sources, ignore=shutil.ignore_patterns("bootstrap", ".terraform", "*.py"))
        enriched = ["--repo-root-for-plan-enrichment", str(sources)]
        return terraform.run([*program, "--framework", "terraform_plan", "--file", str(saved), *enriched])


def unjustified(text: str) -> Iterator[str]:
    """The rules that a text leaves out without a sentence that says why."""
    for line in text.splitlines():
        for found in _SKIP.finditer(line):
            if len((found["reason"] or "").strip()) < SHORTEST_REASON:
                yield found["check"]
