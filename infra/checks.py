"""Everything that is checked of the deployment before it happens (`make infra-test`), without the network.

`python -m infra.checks [fmt arguments validate test audit checkov cloudbuild]`, all if none is named. Without the
stand-in for the provider (see `infra/terraform.py`) `audit` is left out, since it looks at what an apply would make.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial

from infra import audit, checkov, terraform, topology
from infra.terraform import TerraformError

LIVE_IMAGE = "europe-docker.pkg.dev/sightline-example/services/live@sha256:" + "0" * 64

ENVIRONMENTS: Mapping[str, Mapping[str, str]] = {
    "least": {},
}
"""Sets of variables under which everything must hold, by their names: what they add to the example's."""


def audit_all() -> str:
    """Raises `TerraformError` with everything that an auditor objects to under any set of variables."""
    if not terraform.has_stand_in():
        return "left out: without the stand-in for the provider an apply would deploy"
    declared, told = topology.load(), []
    for name, set_to in ENVIRONMENTS.items():
        shown = terraform.applied(set_to=set_to)
        told += [f"{name}: {finding}" for finding in audit.findings(shown, declared)]
    if told:
        raise TerraformError("\n".join(["An auditor would object:", *told]))
    return f"nothing to object to: {len(audit.RULES)} rules under {len(ENVIRONMENTS)} sets of variables"


def checkov_all() -> str:
    """Raises `TerraformError` with what checkov finds, and with every rule that is left out without a reason."""
    bare = [
        f"{path.relative_to(topology.ROOT)}: {rule}"
        for path in sorted(terraform.FOLDER.rglob("*.tf"))
        for rule in checkov.unjustified(path.read_text())
    ]
    if bare:
        raise TerraformError("\n".join(["Rules of checkov are left out without a reason:", *bare]))
    plans = (
        {name: terraform.plan(set_to=each) for name, each in ENVIRONMENTS.items()} if terraform.has_stand_in() else {}
    )
    return checkov.scan(plans) or "nothing found"


def cloudbuild() -> str:
    """Raises `TerraformError` where a build is not as Cloud Build wants it."""
    builds = [str(path) for path in sorted(topology.ROOT.glob("cloudbuild*.yaml"))]
    if not builds:
        return "there is none"
    return terraform.run([sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.cloudbuild", *builds])


CHECKS: Mapping[str, Callable[[], str]] = {
    **{name: partial(terraform.check, name) for name in terraform.CHECKS},
    "audit": audit_all,
    "checkov": checkov_all,
    "cloudbuild": cloudbuild,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line: every check that is named runs, whatever those before it found. Returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m infra.checks", description=__doc__)
    parser.add_argument("checks", nargs="*", metavar="|".join(CHECKS), help="all, if none is named")
    chosen = parser.parse_args(arguments).checks or list(CHECKS)
    if unknown := sorted({*chosen} - CHECKS.keys()):
        parser.error(f"no such check: {', '.join(unknown)}")
    if shutil.which("terraform") is None:
        print("The deployment is checked by Terraform, which must be on the PATH (1.9 or later).", file=sys.stderr)
        return 1
    terraform.build_bundles()
    passed = [_passes(name) for name in chosen]
    return 0 if all(passed) else 1


def _passes(name: str) -> bool:
    print(f"== {name}", flush=True)
    try:
        print(CHECKS[name]().strip(), flush=True)
    except TerraformError as error:
        print(error, file=sys.stderr, flush=True)
        return False
    return True


if __name__ == "__main__":
    raise SystemExit(main())
