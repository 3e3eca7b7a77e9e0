"""Plans a release, applies exactly that plan, tries what runs, and goes back to the last good release if it fails.

`python -m infra.deploy plan | apply | roll-back | ask --environment NAME --store STORE` (see `--help`). The steps of
cloudbuild.yaml and cloudbuild.release.yaml, and the same on a developer's machine: `make plan`, `make deploy`,
`make roll-back`. Everything Terraform does happens in a folder of its own that holds a release and nothing else, so
what is applied, now or in a roll back, is what was kept. It needs the real provider, and never takes a stand-in for it.
"""

from __future__ import annotations

import argparse
import getpass
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import Any

from infra import bundle, release, topology
from infra.release import Deployment, Manifest, Record, ReleaseError, Store
from shared.errors import SightlineError

LOCK_TIMEOUT = "300s"
"""How long Terraform waits for somebody else's lock of the state."""

UNTOUCHED = ("plan is stale", "acquiring the state lock")
"""Terraform refuses these before it changes anything: something else was deployed since, or is being deployed."""

LEFT_OUT = frozenset({"__pycache__", ".terraform", "bootstrap", "builder", "tests", "backend_override.tf"})
"""Of infra/: what Terraform does not read, or is not part of a release."""

LEFT_OUT_SUFFIXES = frozenset({".py", ".tfstate", ".backup", ".tfplan"})
LIVE_IMAGE = re.compile(r"[a-z0-9][a-z0-9./:_-]*@sha256:[0-9a-f]{64}")
PAGE = "dashboard"
"""Below dist/: the built web page, where there is one (`dashboard_folder = "../dist/dashboard"`)."""

ASKED = "release.tfvars.json"
"""Variables that a release brings beside its environment's file, and that count where both say something."""


class Outcome(IntEnum):
    """How a deployment ended: the exit status. 2 is argparse's, for a wrong command line."""

    GOOD = 0
    BROKEN = 1
    REFUSED = 3
    ROLLED_BACK = 4


class TerraformFailed(Exception):
    """A command of Terraform ended badly; the message is the last of what it said."""


@dataclass(frozen=True)
class Terraform:
    """The program, run in the `infra` folder of a release. `bucket`: where the state is; None: in a file at `root`."""

    program: str
    bucket: str | None
    root: Path

    def start(self, folder: Path, environment: str) -> None:
        """Says where the state is, and fetches the provider. Raises `TerraformFailed`."""
        (folder / "infra" / "backend_override.tf").write_text(self._backend(environment))
        self.run(folder, "init", "-input=false")

    def url(self, folder: Path) -> str:
        """The origin that the release's output `url` names. Raises `TerraformFailed`."""
        command = [self.program, f"-chdir={folder / 'infra'}", "output", "-no-color", "-raw", "url"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - as above
        if done.returncode or not done.stdout.startswith(("http://", "https://")):
            raise TerraformFailed(f"terraform tells no url to try: {_last(done.stderr.splitlines())}")
        return done.stdout.strip()

    def run(self, folder: Path, *arguments: str) -> None:
        """Runs one command, and shows what it prints while it does. Raises `TerraformFailed`."""
        plugins = self.root / ".cache" / "terraform" / "plugins"
        plugins.mkdir(parents=True, exist_ok=True)
        variables = {**os.environ, "TF_IN_AUTOMATION": "1", "TF_PLUGIN_CACHE_DIR": str(plugins)}
        command = [self.program, f"-chdir={folder / 'infra'}", arguments[0], "-no-color", *arguments[1:]]
        said: list[str] = []
        try:
            started = subprocess.Popen(  # noqa: S603 - what is run is written in this module
                command,
                env=variables,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
        except OSError as error:
            raise TerraformFailed(f"{self.program} can't be run: {error.strerror}") from error
        with started as process:
            for line in process.stdout or ():
                said.append(line)
                print(line, end="", flush=True)
        if process.returncode:
            raise TerraformFailed(f"terraform {arguments[0]} failed: {_last(said)}")

    def _backend(self, environment: str) -> str:
        if self.bucket:
            return _block("gcs", bucket=self.bucket, prefix=f"sightline/{environment}")
        return _block("local", path=str(self.root / "infra" / f"{environment}.tfstate"))


def _block(kind: str, **settings: str) -> str:
    lines = "".join(f"    {name} = {json.dumps(value)}\n" for name, value in settings.items())
    return f'terraform {{\n  backend "{kind}" {{\n{lines}  }}\n}}\n'


def _last(said: Sequence[str]) -> str:
    """The error, without the frame Terraform draws around it."""
    text = " ".join(line.strip(" │╷╵\n") for line in said[-40:])
    return " ".join(text.partition("Error: ")[2].split() or text.split())[:600]


@dataclass(frozen=True)
class Deps:
    """What a deployment works with. `smoke`: tries an origin, and returns whether it held. `by`: who deploys."""

    store: Store
    terraform: Terraform
    smoke: Callable[[str], bool]
    by: str
    say: Callable[[str], None]


# --------------------------------------------------------------------------- plan


def collect(root: Path, environment: str, folder: Path, *, live_image: str | None) -> None:
    """Copies what makes a release from a checkout at `root` into `folder`. Raises `ReleaseError`."""
    infra = root / "infra"
    variables = infra / "environments" / f"{environment}.tfvars"
    if not variables.is_file():
        raise ReleaseError(f"there is no {variables.relative_to(root)}")
    if live_image is not None and not LIVE_IMAGE.fullmatch(live_image):
        raise ReleaseError("a live image is named by its digest (NAME@sha256:…): a tag may mean another one tomorrow")
    for path in sorted(infra.rglob("*")):
        inner = path.relative_to(infra)
        if path.is_file() and not _is_left_out(inner, environment):
            _copy(path, folder / "infra" / inner)
    for path in sorted([*(root / "dist").glob("*.zip"), *(root / "dist" / PAGE).rglob("*")]):
        if path.is_file():
            _copy(path, folder / path.relative_to(root))
    if live_image is not None:
        (folder / "infra" / ASKED).write_text(json.dumps({"live_image": live_image}))


def _is_left_out(path: Path, environment: str) -> bool:
    others = path.parts[0] == "environments" and path.name != f"{environment}.tfvars"
    return others or bool(LEFT_OUT & set(path.parts)) or path.suffix in LEFT_OUT_SUFFIXES


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)


def plan(root: Path, environment: str, commit: str, deps: Deps, *, live_image: str | None = None) -> tuple[str, str]:
    """Keeps what is at `root` as a release, and what Terraform would change for it; returns both names.

    The state is read without its lock, so that who plans need not be allowed to write it: a plan that the state has
    moved away from is refused when it is applied. Raises `ReleaseError`, `TerraformFailed`.
    """
    with _folder() as folder:
        collect(root, environment, folder, live_image=live_image)
        deps.terraform.start(folder, environment)
        with tempfile.TemporaryDirectory(prefix="sightline-plan-") as beside:
            saved = Path(beside) / "plan"
            chosen = _variables(folder, environment)
            deps.terraform.run(folder, "plan", "-input=false", "-lock=false", *chosen, f"-out={saved}")
            planned = saved.read_bytes()
        _forget_working_files(folder)
        kept = deps.store.save(folder, environment=environment, commit=commit, now=release.now())
        digest = deps.store.save_plan(kept, planned)
    deps.say(f"Release {kept.name} is kept, with plan {digest}.")
    return kept.name, digest


def _variables(folder: Path, environment: str) -> list[str]:
    """The files of variables that Terraform is to read, in the order in which a later one counts."""
    asked = [f"-var-file={ASKED}"] if (folder / "infra" / ASKED).is_file() else []
    return [f"-var-file=environments/{environment}.tfvars", *asked]


def _forget_working_files(folder: Path) -> None:
    """What Terraform wrote; but the lock file stays: a roll back takes the same provider."""
    shutil.rmtree(folder / "infra" / ".terraform", ignore_errors=True)
    (folder / "infra" / "backend_override.tf").unlink()


# --------------------------------------------------------------------------- apply and roll back


def apply(environment: str, name: str, digest: str, deps: Deps) -> Outcome:
    """Deploys a release by its saved plan; rolls back if that, or the smoke test, fails.

    Raises `ReleaseError` and `TerraformFailed` before anything is changed.
    """
    manifest = deps.store.load(environment, name)
    planned = deps.store.plan(manifest, digest)
    with _deploying(manifest, deps):
        before = deps.store.record(environment)
        with _restored(manifest, deps) as folder:
            trouble = _tried(lambda: _apply_plan(manifest, planned, folder, deps))
        if trouble is None:
            deps.store.change(environment, lambda record: record.approved(name))
            deps.say(f"Release {name} is deployed, and good.")
            return Outcome.GOOD
        if any(sign in trouble for sign in UNTOUCHED):
            deps.store.change(environment, lambda record: record.applying(before.deployed))
            deps.say(f"Nothing was changed: {trouble}")
            return Outcome.REFUSED
        deps.say(f"Release {name} failed: {trouble}")
        return _go_back(environment, before.last_good(but=None), name, deps)


def roll_back(environment: str, name: str | None, deps: Deps) -> Outcome:
    """Deploys an earlier release again: `name`, or the last good one beside what is deployed.

    Raises `ReleaseError` and `TerraformFailed` before anything is changed.
    """
    deployed = deps.store.record(environment).deployed
    target = name or deps.store.record(environment).last_good(but=deployed)
    if target is None:
        raise ReleaseError(f"{environment} has no other good release to go back to")
    manifest = deps.store.load(environment, target)
    with _deploying(manifest, deps):
        trouble = _applied_again(manifest, deps)
        if trouble is not None:
            deps.say(f"Rolling back to {target} failed: {trouble}")
            return Outcome.BROKEN
        # What is left behind on purpose is not what to go back to next time.
        deps.store.change(environment, lambda record: _without(record, deployed).approved(target))
    deps.say(f"Release {target} is deployed again, and holds.")
    return Outcome.GOOD


def _go_back(environment: str, good: str | None, failed: str, deps: Deps) -> Outcome:
    if good is None:
        deps.say("There is no earlier good release to go back to: what was applied stays as it is, to be looked at.")
        return Outcome.BROKEN
    if good == failed:
        deps.say(f"{failed} was good before: the fault is outside of it, and going back further would not mend it.")
        return Outcome.BROKEN
    deps.say(f"Rolling back to {good}, the last good release.")
    trouble = _tried(lambda: _must_be_none(_applied_again(deps.store.load(environment, good), deps)))
    if trouble is not None:
        deps.say(f"Rolling back to {good} failed as well: {trouble}")
        return Outcome.BROKEN
    deps.say(f"Release {good} is deployed again, and holds. {failed} is not deployed.")
    return Outcome.ROLLED_BACK


def _apply_plan(manifest: Manifest, planned: bytes, folder: Path, deps: Deps) -> None:
    saved = folder / "plan"
    saved.write_bytes(planned)
    deps.store.change(manifest.environment, lambda record: record.applying(manifest.name))
    deps.terraform.run(folder, "apply", "-input=false", f"-lock-timeout={LOCK_TIMEOUT}", str(saved))
    _try_out(manifest, folder, deps)


def _applied_again(manifest: Manifest, deps: Deps) -> str | None:
    """Applies a release as it was kept, and tries it. Returns what went wrong."""

    def work(folder: Path) -> None:
        chosen = _variables(folder, manifest.environment)
        locking = f"-lock-timeout={LOCK_TIMEOUT}"
        deps.store.change(manifest.environment, lambda record: record.applying(manifest.name))
        deps.terraform.run(folder, "apply", "-input=false", "-auto-approve", locking, *chosen)
        _try_out(manifest, folder, deps)

    with _restored(manifest, deps) as folder:
        return _tried(lambda: work(folder))


def _try_out(manifest: Manifest, folder: Path, deps: Deps) -> None:
    url = deps.terraform.url(folder)
    if not deps.smoke(url):
        raise TerraformFailed(f"the smoke test of {url} did not hold")
    deps.say(f"The smoke test of {manifest.name} held at {url}.")


def _tried(work: Callable[[], None]) -> str | None:
    try:
        work()
    except (TerraformFailed, ReleaseError) as error:
        return str(error)
    return None


def _must_be_none(trouble: str | None) -> None:
    if trouble is not None:
        raise TerraformFailed(trouble)


def _without(record: Record, name: str | None) -> Record:
    return record.model_copy(update={"good": tuple(one for one in record.good if one != name)})


@contextmanager
def _deploying(manifest: Manifest, deps: Deps) -> Iterator[None]:
    """Keeps others from deploying to the environment while the block lasts. Raises `release.Busy`."""
    own = Deployment(release=manifest.name, by=deps.by, since=release.now())
    deps.store.change(manifest.environment, lambda record: record.begun(own))
    try:
        yield
    finally:
        deps.store.change(manifest.environment, lambda record: record.ended(own))


@contextmanager
def _restored(manifest: Manifest, deps: Deps) -> Iterator[Path]:
    """A folder with a release, ready for Terraform. Raises `ReleaseError`, `TerraformFailed`."""
    with _folder() as folder:
        deps.store.restore(manifest, folder)
        deps.terraform.start(folder, manifest.environment)
        yield folder


@contextmanager
def _folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="sightline-release-") as made:
        yield Path(made)


# --------------------------------------------------------------------------- ask for the release build


def ask(topic: str, name: str, digest: str, publish: Callable[[str, dict[str, str]], None]) -> None:
    """Asks for the build that applies this plan once a person has approved it. `topic`: projects/P/topics/T."""
    publish(topic, {"release": name, "plan": digest})


def publish_to_pubsub(topic: str, attributes: dict[str, str]) -> None:
    """Publishes a message without content, and waits until it is kept."""
    from google.cloud import pubsub_v1

    client: Any = pubsub_v1.PublisherClient()
    client.publish(topic, b"", **attributes).result(timeout=60)


# --------------------------------------------------------------------------- the command line


def main(arguments: Sequence[str] | None = None, *, root: Path = topology.ROOT) -> int:
    """Returns the exit status: 0 it holds, 1 it is broken, 3 refused and nothing changed, 4 rolled back."""
    chosen = _parser().parse_args(arguments)
    run: Callable[[argparse.Namespace, Deps, Path], int] = chosen.run
    try:
        with release.opened(chosen.store) as store:
            return run(chosen, _deps(chosen, store, root), root)
    except (ReleaseError, TerraformFailed) as error:
        print(f"deploy: nothing was changed: {error}", file=sys.stderr)
        return Outcome.REFUSED
    except SightlineError as error:
        print(f"deploy: the store failed, look with `release list` at what is deployed: {error}", file=sys.stderr)
        return Outcome.BROKEN


def _deps(chosen: argparse.Namespace, store: Store, root: Path) -> Deps:
    def smoke(url: str) -> bool:
        return subprocess.run([*chosen.smoke.split(), url], cwd=root, check=False).returncode == 0  # noqa: S603

    by = f"{getpass.getuser()} at {socket.gethostname()}"
    terraform = Terraform(chosen.terraform, chosen.state_bucket or None, root)
    return Deps(store, terraform, smoke, by, lambda line: print(line, flush=True))


def _plan(chosen: argparse.Namespace, deps: Deps, root: Path) -> int:
    if not chosen.bundled:
        for function in topology.load().functions:
            bundle.build(function, root / "dist")
    commit = chosen.commit or _commit(root)
    name, digest = plan(root, chosen.environment, commit, deps, live_image=_live_image(chosen.live_image))
    _noted(root, chosen.environment).write_text(json.dumps({"release": name, "plan": digest}))
    return Outcome.GOOD


def _apply(chosen: argparse.Namespace, deps: Deps, root: Path) -> int:
    name, digest = _chosen_plan(chosen, root)
    return apply(chosen.environment, name, digest, deps)


def _roll_back(chosen: argparse.Namespace, deps: Deps, root: Path) -> int:  # noqa: ARG001 - as the others
    return roll_back(chosen.environment, chosen.release or None, deps)


def _ask(chosen: argparse.Namespace, deps: Deps, root: Path) -> int:
    name, digest = _chosen_plan(chosen, root)
    ask(chosen.topic, name, digest, publish_to_pubsub)
    deps.say(f"Asked for {name}: the release build waits for a person's approval.")
    return Outcome.GOOD


def _chosen_plan(chosen: argparse.Namespace, root: Path) -> tuple[str, str]:
    """What the command names, or what was planned here last. Raises `ReleaseError`."""
    if chosen.release and chosen.plan:
        return chosen.release, chosen.plan
    noted = _noted(root, chosen.environment)
    if chosen.release or chosen.plan or not noted.is_file():
        raise ReleaseError("name both --release and --plan, or plan here first")
    last = json.loads(noted.read_text())
    return last["release"], last["plan"]


def _noted(root: Path, environment: str) -> Path:
    folder = root / ".cache" / "deploy"
    folder.mkdir(parents=True, exist_ok=True)
    return folder / f"{environment}.json"


def _live_image(text: str) -> str | None:
    """The image, or what the file holds that was written when it was built; None for neither."""
    if text.startswith("@"):
        path = Path(text[1:])
        return path.read_text().strip() if path.is_file() else None
    return text or None


def _commit(root: Path) -> str:
    """The commit at `root`; `local` where there is none, or where files differ from it."""
    git = ["git", "-C", str(root)]
    head = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=False)  # noqa: S603
    changed = subprocess.run([*git, "status", "--porcelain"], capture_output=True, text=True, check=False)  # noqa: S603
    return "local" if head.returncode or changed.stdout.strip() else head.stdout.strip()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m infra.deploy", description="Deploys releases.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for name, run, about in (
        ("plan", _plan, "keep the checkout as a release, and what it would change"),
        ("apply", _apply, "apply a saved plan, try it, and roll back if it fails"),
        ("roll-back", _roll_back, "deploy an earlier release again"),
        ("ask", _ask, "ask for the build that applies a plan once a person approves it"),
    ):
        command = commands.add_parser(name, help=about)
        release.add_place(command)
        command.add_argument("--state-bucket", default="", help="where Terraform's state is (default: a file here)")
        command.add_argument("--terraform", default="terraform", help="the program")
        command.add_argument("--smoke", default=f"{sys.executable} -m infra.smoke", help="is called with the URL")
        command.set_defaults(run=run)
        if name in {"apply", "roll-back", "ask"}:
            command.add_argument("--release", default="", help="its name")
        if name in {"apply", "ask"}:
            command.add_argument("--plan", default="", help="its sum (default: what was planned here last)")
        if name == "plan":
            command.add_argument("--commit", default="", help="what the release is named by (default: git's)")
            command.add_argument("--live-image", default="", help="NAME@sha256:…, or @FILE that holds it")
            command.add_argument("--bundled", action="store_true", help="take dist/ as it is")
        if name == "ask":
            command.add_argument("--topic", required=True, help="projects/PROJECT/topics/TOPIC")
    return parser


if __name__ == "__main__":
    sys.exit(main())
