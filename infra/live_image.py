"""Builds the image of `live` from its bundle with buildpacks and pushes it: `python -m infra.live_image IMAGE`.

Writes the image's name with its digest to dist/live-image.txt, from which `make plan` takes it. Needs `pack` and a
Docker daemon.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path

from infra import bundle, topology

FUNCTION = "live"
BUILDER = "gcr.io/buildpacks/builder:google-22"
ENTRYPOINT = "python main.py 0.0.0.0 $PORT"
NAME = re.compile(r"[a-z0-9.-]+(:[0-9]+)?(/[a-z0-9._-]+){2,}")
DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


class ImageError(Exception):
    """The image could not be made; the message says why."""


def build(image: str, dist: Path, *, pack: str = "pack") -> str:
    """Builds and pushes; returns the image by its digest. Raises `ImageError`."""
    if not NAME.fullmatch(image):
        raise ImageError(f"{image!r} is no name of an image without a tag, such as HOST/PROJECT/REPOSITORY/live")
    built = bundle.build(FUNCTION, dist)
    runtime = topology.load().runtime.removeprefix("python")
    with tempfile.TemporaryDirectory(prefix="sightline-live-") as folder:
        with zipfile.ZipFile(built) as archive:
            archive.extractall(folder)
        report = Path(folder) / "report"
        report.mkdir()
        command = [pack, "build", image, "--path", folder, "--builder", BUILDER, "--publish"]
        command += ["--env", f"GOOGLE_ENTRYPOINT={ENTRYPOINT}", "--report-output-dir", str(report)]
        command += ["--env", f"GOOGLE_PYTHON_VERSION={runtime[0]}.{runtime[1:]}.x"]
        try:
            done = subprocess.run(command, check=False)  # noqa: S603 - the name was checked
        except OSError as error:
            raise ImageError(f"{pack} can't be run: {error.strerror}") from error
        if done.returncode:
            raise ImageError(f"pack ended with {done.returncode}")
        found = DIGEST.search(_report(report))
    if found is None:
        raise ImageError("pack told no digest of what it pushed")
    return f"{image}@{found.group()}"


def _report(folder: Path) -> str:
    """What the lifecycle tells of the image: TOML, with the pushed image's `digest` in its first table."""
    path = folder / "report.toml"
    return path.read_text() if path.is_file() else ""


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m infra.live_image", description="Builds the image of the streams.")
    parser.add_argument("image", metavar="IMAGE", help="HOST/PROJECT/REPOSITORY/NAME, without a tag")
    parser.add_argument("--out", type=Path, default=topology.ROOT / "dist")
    parser.add_argument("--pack", default="pack", help="the program")
    chosen = parser.parse_args(arguments)
    try:
        image = build(chosen.image, chosen.out, pack=chosen.pack)
    except ImageError as error:
        print(f"live_image: {error}", file=sys.stderr)
        return 1
    (chosen.out / "live-image.txt").write_text(f"{image}\n")
    print(image)
    return 0


if __name__ == "__main__":
    sys.exit(main())
