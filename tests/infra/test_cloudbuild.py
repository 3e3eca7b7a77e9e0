"""The builds are well-formed and run only what a developer can run; the image of the streams is named by its digest."""

from __future__ import annotations

import re
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from infra import live_image, topology
from infra.release import LEASE
from infra.topology import ROOT

FILES = ["cloudbuild.yaml", "cloudbuild.release.yaml"]
BUILT_IN = {"PROJECT_ID", "COMMIT_SHA"}
"""What Cloud Build itself replaces."""

IMAGE = "europe-west1-docker.pkg.dev/project/sightline-releases/live"


def read(name: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((ROOT / name).read_text())
    return found


def makefile_targets() -> set[str]:
    return set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


def seconds(text: str) -> int:
    return int(text.removesuffix("s"))


@pytest.mark.parametrize("name", FILES)
def test_a_build_is_what_cloud_build_reads(name: str) -> None:
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.cloudbuild", str(ROOT / name)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", FILES)
def test_a_step_builds_its_image_or_calls_targets_that_exist(name: str) -> None:
    first, *others = read(name)["steps"]
    assert first["args"][-1] == "infra/builder"
    assert (ROOT / "infra" / "builder" / "Dockerfile").is_file()
    for step in others:
        assert step["name"] == "sightline-builder"
        assert step["entrypoint"] == "make"
        assert set(step["args"]) <= makefile_targets(), step["id"]


def test_modules_that_the_makefile_names_exist() -> None:
    named = set(re.findall(r"-m (infra(?:\.[a-z_]+)+)", (ROOT / "Makefile").read_text()))
    assert {"infra.deploy", "infra.smoke", "infra.live_image"} <= named
    for module in named:
        assert (ROOT / f"{module.replace('.', '/')}.py").is_file()


@pytest.mark.parametrize("name", FILES)
def test_every_substitution_is_declared_and_used(name: str) -> None:
    text, declared = (ROOT / name).read_text(), set(read(name)["substitutions"])
    used = set(re.findall(r"\$\{([A-Z_]+)\}", text))
    assert used - BUILT_IN == declared


@pytest.mark.parametrize("name", FILES)
def test_no_step_hands_a_substitution_to_a_shell_or_to_make(name: str) -> None:
    for step in read(name)["steps"]:
        assert not any("$" in argument for argument in step["args"]), step["id"]


def test_the_makefile_reads_what_it_is_told_as_the_shells_variables() -> None:
    text = (ROOT / "Makefile").read_text()
    (exported,) = re.findall(r"^export ((?:[A-Z_]+ ?){2,})$", text, re.MULTILINE)
    for variable in [*exported.split(), "ENVIRONMENT", "RELEASES"]:
        assert f"$({variable})" not in text


@pytest.mark.parametrize("name", FILES)
def test_images_are_pinned(name: str) -> None:
    images = [step["name"] for step in read(name)["steps"] if step["name"] != "sightline-builder"]
    images += re.findall(r"^FROM (\S+)", (ROOT / "infra/builder/Dockerfile").read_text(), re.MULTILINE)
    for image in images:
        assert re.search(r":[0-9]+\.[0-9]+\.[0-9]+", image), image


@pytest.mark.parametrize("name", FILES)
def test_steps_end_before_their_build_and_logs_need_no_bucket(name: str) -> None:
    build = read(name)
    assert sum(seconds(step["timeout"]) for step in build["steps"]) <= seconds(build["timeout"])
    assert build["options"]["logging"] == "CLOUD_LOGGING_ONLY"


def test_a_release_build_is_over_before_its_deployment_counts_as_dead() -> None:
    assert seconds(read("cloudbuild.release.yaml")["timeout"]) < LEASE.total_seconds()


def test_the_token_of_the_smoke_test_comes_from_secret_manager_and_to_one_step() -> None:
    build = read("cloudbuild.release.yaml")
    (secret,) = build["availableSecrets"]["secretManager"]
    assert f"/secrets/{topology.load().secrets[secret['env']]}/" in secret["versionName"]
    assert [step["id"] for step in build["steps"] if "secretEnv" in step] == ["release"]
    assert "availableSecrets" not in read("cloudbuild.yaml")


def test_the_tests_run_where_a_missing_emulator_is_a_failure() -> None:
    (step,) = (step for step in read("cloudbuild.yaml")["steps"] if step["id"] == "test")
    assert step["env"] == ["CI=true"]


# --------------------------------------------------------------------------- the image of the streams


def fake_pack(folder: Path, ending: str) -> str:
    """A `pack` that notes how it was called, and ends so."""
    script = folder / "pack"
    script.write_text(f'#!/bin/sh\necho "$@" > {folder}/called\nls "$4" > {folder}/files\n{ending}\n')
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    return str(script)


def test_the_image_is_built_from_the_bundle_and_named_by_its_digest(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pack = fake_pack(
        tmp_path,
        'while [ "$1" != --report-output-dir ]; do shift; done\n'
        'printf \'[image]\\n  digest = "sha256:%064d"\\n\' 7 > "$2/report.toml"',
    )
    assert live_image.main([IMAGE, "--out", str(tmp_path), "--pack", pack]) == 0
    named = f"{IMAGE}@sha256:{7:064}"
    assert capsys.readouterr().out.strip() == named
    assert (tmp_path / "live-image.txt").read_text() == f"{named}\n"
    assert {"main.py", "requirements.txt", "shared"} <= set((tmp_path / "files").read_text().split())
    assert "GOOGLE_ENTRYPOINT=python main.py 0.0.0.0 $PORT" in (tmp_path / "called").read_text()


@pytest.mark.parametrize(
    ("image", "ending", "sentence"),
    [
        (f"{IMAGE}:latest", "", "is no name of an image without a tag"),
        (IMAGE, "exit 3", "pack ended with 3"),
        (IMAGE, "exit 0", "pack told no digest"),
    ],
)
def test_an_image_that_was_not_pushed_is_not_named(
    image: str, ending: str, sentence: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [image, "--out", str(tmp_path), "--pack", fake_pack(tmp_path, ending)]
    assert live_image.main(arguments) == 1
    assert sentence in capsys.readouterr().err
    assert not (tmp_path / "live-image.txt").exists()


def test_without_pack_it_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert live_image.main([IMAGE, "--out", str(tmp_path), "--pack", str(tmp_path / "absent")]) == 1
    assert "can't be run: No such file or directory" in capsys.readouterr().err
