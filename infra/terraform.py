"""Checks the Terraform: form, arguments, validity, its own tests (`make infra-test`), and plans it for other tests.

`python -m infra.terraform [fmt] [arguments] [validate] [test] [plan --out plan.json]`, all but `plan` if none is named.

Offline, `../shared/tools` beside a checkout gives Terraform a stand-in for the google provider, made from the schema
that a package of the CDK for Terraform carries. In a clone without it Terraform fetches the real provider, and
`arguments`, which only compares with that schema, has nothing to add to `validate` and is left out.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from infra import bundle, topology

FOLDER = topology.ROOT / "infra"
TOOLS = topology.ROOT.parent / "shared" / "tools"
CACHE = topology.ROOT / ".cache" / "terraform"
BUNDLES = topology.ROOT / "dist"
EXAMPLE = "environments/example.tfvars"
SCHEMA_PACKAGE = "cdktf-cdktf-provider-google==16.12.1"
SCHEMA_SHA256 = "88d021c89e1cf2abf2c935716d6548d26fe3da4bed30713d4fa36df1ef137436"
CHECKS = ("fmt", "arguments", "validate", "test")


class TerraformError(Exception):
    """A check found something, or could not run; the message says which and why."""


def has_stand_in() -> bool:
    """Whether the stand-in for the provider is at hand."""
    return (TOOLS / "tfstub.py").is_file()


def provider_schema() -> Path:
    """The google provider's schema, made once, also by several processes at once.

    Raises `TerraformError` where its package can't be fetched.
    """
    target = CACHE / "google.schema.json"
    if target.is_file():
        return target
    CACHE.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=CACHE) as place:
        folder, made = Path(place), Path(place) / target.name
        (folder / "schema.txt").write_text(f"{SCHEMA_PACKAGE} --hash=sha256:{SCHEMA_SHA256}\n")
        fetch = ["download", "--quiet", "--no-deps", "--require-hashes", "-d", place, "-r", str(folder / "schema.txt")]
        run([sys.executable, "-m", "pip", *fetch])
        (wheel,) = folder.glob("cdktf*.whl")
        run([sys.executable, str(TOOLS / "tfcheck.py"), "schema", "--wheel", str(wheel), "--out", str(made)])
        made.replace(target)
    return target


def build_bundles() -> None:
    """What the functions are deployed from; their sums are part of a plan."""
    for function in topology.load().functions:
        bundle.build(function, BUNDLES)


def terraform(*commands: str, folder: Path = FOLDER) -> str:
    """Runs `terraform` commands one after the other in `folder` and returns what they print.

    Raises `TerraformError` with the output of the one that failed.
    """
    line = " && ".join(f"terraform {command}" for command in commands)
    environment = {"TF_DATA_DIR": str(CACHE / "data" / folder.relative_to(topology.ROOT)), "TF_IN_AUTOMATION": "1"}
    if not has_stand_in():
        return run(["bash", "-c", line], folder, environment)
    stub = [sys.executable, str(TOOLS / "tfstub.py"), "--schema", str(provider_schema()), "-C", str(folder), "--", line]
    return run(stub, folder, environment)


def plan(folder: Path = FOLDER, *, variables: str = EXAMPLE, set_to: Mapping[str, str] | None = None) -> dict[str, Any]:
    """The plan for an empty project as `terraform show -json` tells it: `planned_values`, `resource_changes`, …"""
    CACHE.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=CACHE) as place:
        saved, shown = Path(place) / "tfplan", Path(place) / "plan.json"
        chosen = chosen_variables(set_to or {}, variables)
        terraform(_INIT, _planning(chosen, saved), f"show -json {saved} > {shown}", folder=folder)
        told: dict[str, Any] = json.loads(shown.read_text())
    return told


@dataclass(frozen=True)
class Made:
    """One set of variables: the plan, and what would be there after it, both as `terraform show -json` tells them."""

    planned: dict[str, Any]
    applied: dict[str, Any]


def chosen_variables(set_to: Mapping[str, str], file: str | None = EXAMPLE) -> str:
    """Arguments of Terraform: single variables, and a file of them if there is one."""
    single = "".join(f" -var {shlex.quote(f'{name}={value}')}" for name, value in set_to.items())
    return single if file is None else f"-var-file={file}{single}"


def made(sets: Mapping[str, str]) -> dict[str, Made]:
    """What would be made of an empty project under each set of `chosen_variables`, by its name.

    The stand-in makes up what Google would answer, so that every value is known after the apply. Raises
    `TerraformError` where only the real provider is at hand, which would deploy.
    """
    if not has_stand_in():
        raise TerraformError("Without the stand-in for the provider an apply would deploy.")
    CACHE.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=CACHE) as folder:
        place = Path(folder)
        commands = [_making(place / name, chosen) for name, chosen in sets.items()]
        terraform(_INIT, *[command for group in commands for command in group])
        return {name: Made(*(_read(place / f"{name}.{kind}.json") for kind in ("plan", "state"))) for name in sets}


_INIT = "init -input=false -no-color"


def _planning(chosen: str, saved: Path) -> str:
    """What is wrong it says on the other stream."""
    return f"plan -input=false -no-color -lock=false {chosen} -out={saved} > /dev/null"


def _making(place: Path, chosen: str) -> list[str]:
    state = f"-state={place}.tfstate"
    return [
        f"{_planning(chosen, place)} {state}",
        f"show -json {place} > {place}.plan.json",
        f"apply -input=false -no-color -lock=false -backup=- {state} {place} > /dev/null",
        f"show -json {place}.tfstate > {place}.state.json",
    ]


def _read(path: Path) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(path.read_text())
    return told


def check(name: str) -> str:
    """Runs one of `CHECKS` over every root and returns what it printed. Raises `TerraformError`."""
    if name == "fmt":
        return run(["terraform", "fmt", "-check", "-diff", "-recursive", str(FOLDER)])
    if name == "arguments":
        if not has_stand_in():
            return "left out: the real provider validates the arguments itself"
        folders = sorted({str(path.parent) for path in FOLDER.rglob("*.tf")})
        return run([sys.executable, str(TOOLS / "tfcheck.py"), "check", "--schema", str(provider_schema()), *folders])
    return "\n".join(terraform(_INIT, f"{name} -no-color", folder=root) for root in roots(name))


def roots(check_name: str) -> list[Path]:
    """The folders Terraform is started in: that of the deployment, and what must be there before it."""
    found = [FOLDER, *(path for path in [FOLDER / "bootstrap"] if path.is_dir())]
    return [folder for folder in found if check_name != "test" or any(folder.glob("tests/*.tftest.hcl"))]


def run(command: Sequence[str], folder: Path = topology.ROOT, environment: Mapping[str, str] | None = None) -> str:
    """Runs a program to its end and returns what it printed. Raises `TerraformError` with that where it failed."""
    done = subprocess.run(  # noqa: S603 - what is run is written in this module
        command,
        cwd=folder,
        env={**os.environ, **(environment or {})},
        check=False,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    if done.returncode:
        raise TerraformError(f"{' '.join(command[:4])} … ended with {done.returncode}:\n{done.stdout}")
    return done.stdout


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line. Returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m infra.terraform", description=__doc__)
    parser.add_argument("checks", nargs="*", metavar="|".join([*CHECKS, "plan"]), help="all but plan, if none is named")
    parser.add_argument("--out", type=Path, default=Path("plan.json"), help="where `plan` writes what it planned")
    chosen = parser.parse_args(arguments)
    if unknown := set(chosen.checks) - {*CHECKS, "plan"}:
        parser.error(f"no such check: {', '.join(sorted(unknown))}")
    build_bundles()
    try:
        for name in chosen.checks or CHECKS:
            print(f"== {name}", flush=True)
            if name == "plan":
                chosen.out.write_text(json.dumps(plan(), indent=1))
            else:
                print(check(name).strip(), flush=True)
    except TerraformError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
