"""Everything that is checked of the deployment before it happens (`make infra-test`), without the network.

`python -m infra.checks [fmt arguments validate test audit checkov cloudbuild]`, all if none is named. Without the
stand-in for the provider (see `infra/terraform.py`) `audit` is left out, since it looks at what an apply would make.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial

from infra import audit, checkov, terraform, topology
from infra.terraform import TerraformError

IMAGE = "europe-west1-docker.pkg.dev/sightline-example/sightline/live@sha256:" + "0" * 64
KEY = "projects/keys/locations/europe-west1/keyRings/sightline/cryptoKeys/data"
PAGE = topology.ROOT / "tests" / "infra" / "dashboard"
ORIGIN = "https://watch.example.org"


@dataclass(frozen=True)
class Environment:
    """A set of variables under which everything must hold: a file, and what is set beside it.

    `accepted`: the rules of the audit that it is known to break, because whoever sets it so asked for it.
    """

    set_to: Mapping[str, str]
    file: str | None = terraform.EXAMPLE
    accepted: frozenset[str] = frozenset()


ENVIRONMENTS: Mapping[str, Environment] = {
    "trial": Environment({"project_id": "sightline-example"}, file=None, accepted=frozenset({"tls"})),
    "full": Environment(
        {
            "allowed_origins": f'["{ORIGIN}"]',
            "dashboard_folder": str(PAGE),
            "domain": "sightline.example.org",
            "evidence_public": "true",
            "kms_key": KEY,
            "live_image": IMAGE,
            "user_tokens_exist": "true",
        }
    ),
}
"""By their names: the least there can be, without a domain of its own, and everything there can be."""


@cache
def made() -> Mapping[str, terraform.Made]:
    """What Terraform would make under each; once, since it takes a while. Raises `TerraformError`."""
    sets = {name: terraform.chosen_variables(each.set_to, each.file) for name, each in ENVIRONMENTS.items()}
    return terraform.made(sets)


def audit_all() -> str:
    """Raises `TerraformError` with everything that an auditor objects to under any set of variables."""
    if not terraform.has_stand_in():
        return "left out: without the stand-in for the provider an apply would deploy"
    declared = topology.load()
    told = [
        f"{name}: {finding}"
        for name, environment in ENVIRONMENTS.items()
        for finding in audit.findings(made()[name].applied, declared)
        if finding.rule not in environment.accepted
    ]
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
    plans = {"full": made()["full"].planned} if terraform.has_stand_in() else {}
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
        print("The deployment is checked by Terraform, which must be on the PATH (1.11 or later).", file=sys.stderr)
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
