"""Bundles: the same bytes twice, nothing missing, nothing that is not imported."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Mapping
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement

from infra import bundle, topology

FUNCTIONS = sorted(topology.load().functions)

ENVIRONMENT = {
    "GOOGLE_CLOUD_PROJECT": "demo-bundle",
    "MEDIA_BUCKET": "media",
    "QUARANTINE_BUCKET": "quarantine",
    "RESULTS_BUCKET": "results",
    "TIMER_QUEUE": "projects/p/locations/l/queues/timers",
    "TIMER_ACCOUNT": "timer",
    "EVIDENCE_BUCKET": "evidence",
    "SIGHTLINE_API_TOKEN": "token",
}

LOADED = """
import json, sys
sys.path.insert(0, ".")
import main
print(json.dumps(sorted(name for name in sys.modules if name == "shared" or name.startswith("shared."))))
"""


NOT_IMPORTED = {
    "backports-strenum": "ai-edge-litert's metadata asks for it",
    "python-multipart": "Starlette reads forms by it",
    "tzdata": "zoneinfo's data",
    "websockets": "uvicorn's WebSockets",
}
GROUPS: Mapping[str, list[Any]] = tomllib.loads((topology.ROOT / "pyproject.toml").read_text())["dependency-groups"]


def requirements_of(group: str) -> set[str]:
    """Names of the distributions that a dependency group asks for, of those it includes, too."""
    found: set[str] = set()
    for entry in GROUPS[group]:
        found |= {Requirement(entry).name} if isinstance(entry, str) else requirements_of(entry["include-group"])
    return found


def imports_of(function: str) -> set[str]:
    """What the files of its bundle import anywhere, in a function's body too, as dotted names."""
    main = topology.ROOT / "functions" / function / "main.py"
    return {name for path in (main, *bundle.import_closure(main)) for name in bundle.imported_names(path)}


@cache
def modules_of(distribution: str) -> set[str]:
    """Dotted names of what a distribution brings: `google` is the package of many."""
    files = metadata.files(distribution) or []
    return {".".join(file.with_suffix("").parts).removesuffix(".__init__") for file in files if file.suffix == ".py"}


def built(function: str, folder: Path) -> Path:
    return bundle.build(function, folder)


@pytest.mark.parametrize("function", FUNCTIONS)
def test_two_builds_are_byte_identical(function: str, tmp_path: Path) -> None:
    first = built(function, tmp_path / "a")
    main = topology.ROOT / "functions" / function / "main.py"
    os.utime(main)  # what a fresh checkout does
    assert built(function, tmp_path / "b").read_bytes() == first.read_bytes()


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_bundle_holds_just_what_it_imports(function: str, tmp_path: Path) -> None:
    with zipfile.ZipFile(built(function, tmp_path)) as archive:
        names = set(archive.namelist())
        archive.extractall(tmp_path / "unzipped")
    held = {name for name in names if name.startswith("shared/")}
    loaded = {_file_of(module, tmp_path / "unzipped") for module in _loaded_modules(tmp_path / "unzipped")}
    assert held == loaded
    declared = topology.load().functions[function]
    files = {path.relative_to(topology.ROOT).as_posix() for path in bundle.data_files(declared)}
    assert names - held == {*bundle.own_files(declared)} | files


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_function_imports_every_requirement_of_its_group(function: str) -> None:
    """What its group asks for is installed with it: nothing that only another function needs."""
    imported = imports_of(function)
    unused = {name for name in requirements_of(function) if not imported & modules_of(name)}
    assert not unused - NOT_IMPORTED.keys()


@pytest.mark.parametrize("function", FUNCTIONS)
def test_tensorflow_is_for_training_alone(function: str) -> None:
    locked = (topology.ROOT / "functions" / function / "requirements.txt").read_text()
    assert not re.search(r"^(tensorflow|keras)", locked, re.MULTILINE)


def test_a_service_brings_what_starts_it_and_a_function_does_not() -> None:
    platforms = {name: function.platform for name, function in topology.load().functions.items()}
    folders = topology.ROOT / "functions"
    assert {name for name in FUNCTIONS if (folders / name / "Procfile").exists()} == {"live"}
    assert {name for name, platform in platforms.items() if platform == "service"} == {"live"}
    assert "Procfile" in bundle.own_files(topology.load().functions["live"])
    assert "Procfile" not in bundle.own_files(topology.load().functions["query"])


def _loaded_modules(folder: Path) -> list[str]:
    """What really is imported when the function is loaded from its bundle, in a process that sees nothing else."""
    done = subprocess.run(
        [sys.executable, "-I", "-c", LOADED],
        cwd=folder,
        env={**ENVIRONMENT, "PATH": os.environ["PATH"]},
        check=True,
        capture_output=True,
        text=True,
    )
    modules: list[str] = json.loads(done.stdout)
    return modules


def _file_of(module: str, folder: Path) -> str:
    base = module.replace(".", "/")
    return f"{base}/__init__.py" if (folder / base).is_dir() else f"{base}.py"


def test_a_folder_of_data_stands_for_all_files_below_it() -> None:
    names = {
        path.relative_to(topology.ROOT).as_posix()
        for path in bundle.data_files(topology.load().functions["moderation"])
    }
    assert {"policies/profiles/balanced.toml", "policies/patterns/en.toml", "models/violence-motion-1.json"} <= names
    assert "policies" not in names


def test_no_bundle_holds_tests_training_or_the_other_home() -> None:
    for function in FUNCTIONS:
        closure = bundle.import_closure(topology.ROOT / "functions" / function / "main.py")
        names = {path.relative_to(topology.ROOT).as_posix() for path in closure}
        assert not {name for name in names if "embedded" in name or "train" in name or name.startswith("tests")}


def test_a_missing_setting_stops_the_function_and_names_everything_that_is_missing(tmp_path: Path) -> None:
    with zipfile.ZipFile(built("uploads", tmp_path)) as archive:
        archive.extractall(tmp_path / "unzipped")
    done = subprocess.run(
        [sys.executable, "-I", "-c", LOADED],
        cwd=tmp_path / "unzipped",
        env={"PATH": os.environ["PATH"]},
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode != 0
    _, _, missing = done.stderr.strip().rpartition("environment variables missing: ")
    assert sorted(missing.split(", ")) == ["GOOGLE_CLOUD_PROJECT", "MEDIA_BUCKET", "SIGHTLINE_API_TOKEN"]


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("absent.tflite", None, "malformed: MODEL_PATH (is no file: "),
        ("best.h5", "", "MODEL_PATH: The model best.h5 can't be used: it must be a .tflite or a .keras file."),
        ("best.json", "{}", "MODEL_PATH: The model best.json can't be used: "),
        ("best.tflite", "", 'best.tflite.json: it is missing; "Your own model" in README.md shows one.'),
    ],
)
def test_a_model_that_cannot_be_used_stops_the_function_and_the_variable_is_named(
    name: str, content: str | None, says: str, tmp_path: Path
) -> None:
    with zipfile.ZipFile(built("detect", tmp_path)) as archive:
        archive.extractall(tmp_path / "unzipped")
    if content is not None:
        (tmp_path / "unzipped" / name).write_text(content)
    done = subprocess.run(
        [sys.executable, "-I", "-c", LOADED],
        cwd=tmp_path / "unzipped",
        env={**ENVIRONMENT, "MODEL_PATH": name, "PATH": os.environ["PATH"]},
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode != 0
    assert says in done.stderr
