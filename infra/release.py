"""Releases: all that a deployment is made of, kept so that the same can be deployed again.

`python -m infra.release list | good | restore | unlock --environment NAME --store STORE` (see `--help`).

STORE is a folder, or `gs://BUCKET`. In it:

    objects/SHA256                          each file once, whatever releases hold it
    releases/ENVIRONMENT/NAME.json          a release's manifest: its files with their sums, its commit
    plans/ENVIRONMENT/NAME/SHA256.tfplan    what Terraform planned to change for it
    environments/ENVIRONMENT.json           what is deployed, what was good, who is deploying

A release is named by its commit and by its content: what has the same name is the same. Whoever writes to the store
decides what is deployed, so sums and paths are checked when a release is restored.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path, PurePosixPath
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from shared.errors import NotFound, PreconditionFailed
from shared.ports import Blobs

LEASE = timedelta(hours=2)
"""A deployment that began longer ago has died: longer than its build may take."""

MOST_GOOD = 20
"""So many good releases are remembered."""

ATTEMPTS = 10
FOLDER_BUCKET = "releases"
ENVIRONMENT = re.compile(r"[a-z][a-z0-9-]{0,30}")
RELEASE = re.compile(r"[0-9a-z]{1,12}-[0-9a-f]{12}")
SHA256 = re.compile(r"[0-9a-f]{64}")

M = TypeVar("M", bound=BaseModel)


class ReleaseError(Exception):
    """A release can't be had or kept; the message says which and why."""


class Busy(ReleaseError):
    """Another deployment of the environment is under way."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Manifest(_Strict):
    """What a release holds. `files`: paths below the repository's root, each with its SHA-256."""

    name: str
    environment: str
    commit: str
    made_at: datetime
    files: Mapping[str, str]


class Deployment(_Strict):
    """One under way."""

    release: str
    by: str
    since: datetime


class Record(_Strict):
    """What is known of an environment.

    `deployed`: what was applied last, well or not. `good`: what held, the latest comes last.
    """

    deploying: Deployment | None = None
    deployed: str | None = None
    good: tuple[str, ...] = Field(default=())

    def begun(self, deployment: Deployment) -> Record:
        """With this deployment under way. Raises `Busy` while another one is."""
        other = self.deploying
        if other is not None and deployment.since - other.since < LEASE:
            raise Busy(
                f"{other.by} has been deploying {other.release} since {other.since:%Y-%m-%d %H:%M} UTC. If that died, "
                "`python -m infra.release unlock` forgets it; it is forgotten by itself after "
                f"{LEASE.total_seconds() / 3600:.0f} h."
            )
        return self.model_copy(update={"deploying": deployment})

    def ended(self, deployment: Deployment | None) -> Record:
        """Without this deployment, or whichever is under way (None). One that took over meanwhile goes on."""
        if deployment not in {None, self.deploying}:
            return self
        return self.model_copy(update={"deploying": None})

    def applying(self, release: str | None) -> Record:
        """From now on this is what is there, whole or in part."""
        return self.model_copy(update={"deployed": release})

    def approved(self, release: str) -> Record:
        """With this as the last good one."""
        kept = tuple(name for name in self.good if name != release)
        return self.model_copy(update={"good": (*kept, release)[-MOST_GOOD:]})

    def last_good(self, but: str | None) -> str | None:
        """The last good release other than `but`."""
        return next((name for name in reversed(self.good) if name != but), None)


# --------------------------------------------------------------------------- the store


class Store:
    """Releases in a bucket or a folder, through the port that uploads are stored through."""

    def __init__(self, blobs: Blobs) -> None:
        self._blobs = blobs

    def save(self, folder: Path, *, environment: str, commit: str, now: datetime) -> Manifest:
        """Keeps all files below `folder` as a release; saved again, it is the one that is there."""
        sums = {path: _sum((folder / path).read_bytes()) for path in sorted(_files(folder))}
        told = json.dumps([environment, commit, sums]).encode()
        name = f"{commit[:12]}-{_sum(told)[:12]}"
        manifest = Manifest(name=name, environment=environment, commit=commit, made_at=now, files=sums)
        for path, digest in sums.items():
            self._put_once(f"objects/{digest}", (folder / path).read_bytes())
        self._put_once(_manifest_name(environment, name), manifest.model_dump_json(indent=1).encode())
        return self.load(environment, name)

    def load(self, environment: str, name: str) -> Manifest:
        """A release's manifest. Raises `ReleaseError`."""
        if not RELEASE.fullmatch(name):
            raise ReleaseError(f"{name!r} is no name of a release")
        manifest, _ = self._model(_manifest_name(environment, name), Manifest)
        if manifest is None:
            raise ReleaseError(f"there is no release {name} of {environment}")
        return manifest

    def list(self, environment: str) -> list[Manifest]:
        """All releases, the latest first."""
        names = [Path(found.name).stem for found in self._blobs.list(f"releases/{environment}/")]
        return sorted((self.load(environment, name) for name in names), key=lambda one: one.made_at, reverse=True)

    def restore(self, manifest: Manifest, folder: Path) -> None:
        """Writes a release's files below `folder`, which must be empty or absent. Raises `ReleaseError`."""
        if folder.exists() and any(folder.iterdir()):
            raise ReleaseError(f"{folder} is not empty")
        for path, digest in manifest.files.items():
            if not _is_below(path) or not SHA256.fullmatch(digest):
                raise ReleaseError(f"release {manifest.name} holds {path!r}, which is no path below its folder")
            content = self._read(f"objects/{digest}")
            if content is None or _sum(content) != digest:
                raise ReleaseError(f"{path} of release {manifest.name} is {'gone' if content is None else 'damaged'}")
            target = folder / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)

    def save_plan(self, manifest: Manifest, plan: bytes) -> str:
        """Keeps a plan for a release; returns its sum, by which it is fetched."""
        digest = _sum(plan)
        self._put_once(_plan_name(manifest, digest), plan)
        return digest

    def plan(self, manifest: Manifest, digest: str) -> bytes:
        """The plan with this sum. Raises `ReleaseError`."""
        content = self._read(_plan_name(manifest, digest)) if SHA256.fullmatch(digest) else None
        if content is None or _sum(content) != digest:
            raise ReleaseError(f"there is no plan {digest[:64]!r} for release {manifest.name}, or it is damaged")
        return content

    def record(self, environment: str) -> Record:
        """What is known of an environment; of a new one, nothing."""
        found, _ = self._model(_record_name(environment), Record)
        return found or Record()

    def change(self, environment: str, change: Callable[[Record], Record]) -> Record:
        """Changes what is known, as if nobody else did at the time. Raises what `change` raises, `ReleaseError`."""
        name = _record_name(environment)
        for _ in range(ATTEMPTS):
            found, generation = self._model(name, Record)
            changed = change(found or Record())
            try:
                self._put(name, changed.model_dump_json(indent=1).encode(), generation)
            except PreconditionFailed:
                continue
            return changed
        raise ReleaseError(f"{name} changes all the time")

    def _model(self, name: str, model: type[M]) -> tuple[M | None, int]:
        """What is stored there with its generation, or None and 0. Raises `ReleaseError` for what can't be read."""
        info = self._blobs.stat(name)
        content = None if info is None else self._read(name, info.generation)
        if info is None or content is None:
            return None, 0
        try:
            return model.model_validate_json(content), info.generation
        except ValidationError as error:
            raise ReleaseError(f"{name} of the store is damaged: {error.error_count()} fault(s)") from error

    def _read(self, name: str, generation: int | None = None) -> bytes | None:
        try:
            with self._blobs.open(name, generation=generation) as source:
                return source.read()
        except NotFound:
            return None

    def _put_once(self, name: str, content: bytes) -> None:
        try:
            self._put(name, content, 0)
        except PreconditionFailed:
            return  # what is there has the same sum, or tells of the same release

    def _put(self, name: str, content: bytes, generation: int) -> None:
        self._blobs.put(name, io.BytesIO(content), content_type="application/octet-stream", if_generation=generation)


@contextmanager
def opened(place: str) -> Iterator[Store]:
    """The store at `gs://BUCKET`, or in a folder, which is made."""
    if place.startswith("gs://"):
        from shared.adapters.google import blobs as google

        yield Store(google.connect(place.removeprefix("gs://").strip("/")))
        return
    from shared.adapters.embedded.blob_folder import BlobFolder
    from shared.adapters.embedded.blobs import FolderBlobs

    folder = BlobFolder(Path(place))
    try:
        yield Store(FolderBlobs(folder, FOLDER_BUCKET))
    finally:
        folder.close()


def _sum(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _files(folder: Path) -> list[str]:
    return [path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()]


def _is_below(path: str) -> bool:
    pure = PurePosixPath(path)
    return bool(pure.parts) and not pure.is_absolute() and ".." not in pure.parts and "\0" not in path


def _manifest_name(environment: str, name: str) -> str:
    return f"releases/{environment}/{name}.json"


def _plan_name(manifest: Manifest, digest: str) -> str:
    return f"plans/{manifest.environment}/{manifest.name}/{digest}.tfplan"


def _record_name(environment: str) -> str:
    return f"environments/{environment}.json"


# --------------------------------------------------------------------------- the command line


def environment(text: str) -> str:
    """An environment's name, for a command line."""
    if not ENVIRONMENT.fullmatch(text):
        raise argparse.ArgumentTypeError("must be lower-case letters, digits and hyphens, and begin with a letter")
    return text


def add_place(parser: argparse.ArgumentParser) -> None:
    """The options that say which environment, and where releases are kept."""
    parser.add_argument("--environment", type=environment, required=True, help="infra/environments/NAME.tfvars")
    parser.add_argument("--store", required=True, help="where releases are kept: a folder, or gs://BUCKET")


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m infra.release", description="The releases of an environment.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for name, run, about in (
        ("list", _list, "all releases, the latest first"),
        ("good", _good, "mark a release as good: roll backs go to it"),
        ("restore", _restore, "write a release's files into a folder, from which terraform runs"),
        ("unlock", _unlock, "forget a deployment that died"),
    ):
        command = commands.add_parser(name, help=about)
        add_place(command)
        command.set_defaults(run=run)
        if name in {"good", "restore"}:
            command.add_argument("release")
        if name == "restore":
            command.add_argument("--into", type=Path, required=True, metavar="FOLDER")
    chosen = parser.parse_args(arguments)
    try:
        with opened(chosen.store) as store:
            print(chosen.run(store, chosen))
    except ReleaseError as error:
        print(f"release: {error}", file=sys.stderr)
        return 1
    return 0


def _list(store: Store, chosen: argparse.Namespace) -> str:
    record = store.record(chosen.environment)
    lines = [_line(manifest, record) for manifest in store.list(chosen.environment)]
    if record.deploying is not None:
        lines.append(f"{record.deploying.by} is deploying {record.deploying.release}")
    return "\n".join(lines) or f"No releases of {chosen.environment}."


def _line(manifest: Manifest, record: Record) -> str:
    marks = [
        "deployed" if manifest.name == record.deployed else "",
        "good" if manifest.name in record.good else "",
    ]
    made = f"{manifest.made_at:%Y-%m-%d %H:%M}"
    return f"{manifest.name}  {made}  {len(manifest.files)} files  {' '.join(filter(None, marks))}".rstrip()


def _good(store: Store, chosen: argparse.Namespace) -> str:
    manifest = store.load(chosen.environment, chosen.release)
    store.change(chosen.environment, lambda record: record.approved(manifest.name))
    return f"{manifest.name} is the last good release of {chosen.environment}."


def _restore(store: Store, chosen: argparse.Namespace) -> str:
    manifest = store.load(chosen.environment, chosen.release)
    store.restore(manifest, chosen.into)
    return f"{len(manifest.files)} files of {manifest.name} are in {chosen.into}."


def _unlock(store: Store, chosen: argparse.Namespace) -> str:
    store.change(chosen.environment, lambda record: record.ended(None))
    return f"Nobody is deploying to {chosen.environment}. A lock of Terraform's own goes by `terraform force-unlock`."


def now() -> datetime:
    """In UTC."""
    return datetime.now(UTC)


if __name__ == "__main__":
    sys.exit(main())
