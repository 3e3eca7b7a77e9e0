"""How the deployment is checked: what runs where the stand-in for the provider is, and where only the real one is."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import pytest

from infra import checkov, checks, terraform, topology

RECORDING = """#!{python}
import json, os, sys
with open({log!r}, "a") as log:
    log.write(json.dumps([sys.argv[1:], os.getcwd(), "TF_REATTACH_PROVIDERS" in os.environ]) + "\\n")
print("{{}}")
sys.exit({status})
"""


@pytest.fixture
def clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """As after `git clone`: no stand-in beside the checkout. `terraform` writes down how it was called."""
    monkeypatch.setattr(terraform, "TOOLS", tmp_path / "nothing")
    monkeypatch.setattr(terraform, "CACHE", terraform.CACHE / "clone")
    return programs(tmp_path, monkeypatch, terraform=0)


def programs(folder: Path, monkeypatch: pytest.MonkeyPatch, **statuses: int) -> Path:
    """A folder at the head of the PATH with programs that end with these statuses; the log of their calls."""
    log = folder / "calls.jsonl"
    log.touch()
    (folder / "bin").mkdir()
    for name, status in statuses.items():
        (folder / "bin" / name).write_text(RECORDING.format(python=sys.executable, log=str(log), status=status))
        (folder / "bin" / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(folder / "bin"), prepend=":")
    return log


def calls(log: Path) -> list[tuple[str, str]]:
    """What was called in which folder; none of it may have been given a stand-in."""
    told = [json.loads(line) for line in log.read_text().splitlines()]
    assert not any(stood_in for _, _, stood_in in told)
    return [(" ".join(arguments), Path(folder).name) for arguments, folder, _ in told]


def test_in_a_clone_the_real_provider_is_fetched_and_validates(clone: Path) -> None:
    terraform.check("validate")
    assert calls(clone)[:2] == [("init -input=false -no-color", "infra"), ("validate -no-color", "infra")]


def test_in_a_clone_the_form_is_checked_as_well(clone: Path) -> None:
    terraform.check("fmt")
    assert [call.split()[:2] for call, _ in calls(clone)] == [["fmt", "-check"]]


def test_in_a_clone_the_schema_has_nothing_to_add(clone: Path) -> None:
    assert "the real provider validates the arguments itself" in terraform.check("arguments")
    assert calls(clone) == []


def test_in_a_clone_nothing_is_ever_applied(clone: Path) -> None:
    with pytest.raises(terraform.TerraformError, match="would deploy"):
        terraform.made({})
    assert "would deploy" in checks.audit_all()
    assert calls(clone) == []


def test_in_a_clone_checkov_reads_the_sources(clone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkov, "environment", lambda: clone.parent / "bin" / "terraform")
    checks.checkov_all()
    ((call, _),) = calls(clone)
    assert "--framework terraform --directory" in call


def test_a_plan_is_made_with_the_variables_of_the_example_and_those_named(clone: Path) -> None:
    assert terraform.plan(set_to={"labels": '{team = "a b"}'}) == {}
    planned = calls(clone)[1][0]
    assert f"-var-file={terraform.EXAMPLE}" in planned
    assert '-var labels={team = "a b"}' in planned


def test_what_a_check_finds_is_told_and_the_others_run_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(terraform, "TOOLS", tmp_path / "nothing")
    monkeypatch.setattr(terraform, "build_bundles", lambda: None)
    programs(tmp_path, monkeypatch, terraform=3)
    assert checks.main(["fmt", "arguments"]) == 1
    told = capsys.readouterr()
    assert "ended with 3" in told.err
    assert "== arguments" in told.out


def test_without_terraform_the_reason_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert checks.main(["fmt"]) == 1
    assert "must be on the PATH" in capsys.readouterr().err


def test_a_check_that_does_not_exist_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        checks.main(["fmt", "audti"])
    assert "no such check: audti" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("line", "bare"),
    [
        ("  #checkov:skip=CKV_GCP_62:who reads it is in the audit log", []),
        ("  #checkov:skip=CKV_GCP_62", ["CKV_GCP_62"]),
        ("  # checkov:skip=CKV_GCP_62: ", ["CKV_GCP_62"]),
        ("  #checkov:skip=CKV2_GCP_5:not needed", ["CKV2_GCP_5"]),
    ],
)
def test_a_rule_is_left_out_only_with_a_sentence_that_says_why(line: str, bare: list[str]) -> None:
    assert list(checkov.unjustified(line)) == bare


def test_every_rule_that_is_left_out_everywhere_has_its_reason_beside_it() -> None:
    """A comment of its own above each."""
    lines = checkov.CONFIG.read_text().splitlines()
    left_out = [number for number, line in enumerate(lines) if line.strip().startswith("- CK")]
    for number in left_out:
        assert lines[number - 1].strip().startswith("# "), lines[number]


def test_planned_resources_that_checkov_takes_for_one_another_leave_out_the_same_rules(tmp_path: Path) -> None:
    """It looks them up by their type and last name alone."""
    left_out: dict[str, set[tuple[str, ...]]] = {}
    for path in checkov.sources(tmp_path / "infra").rglob("*.tf"):
        for name, body in re.findall(r'^resource ("\w+" "\w+") \{$(.*?)^\}$', path.read_text(), re.M | re.S):
            left_out.setdefault(name, set()).add(tuple(re.findall(r"checkov:skip=(\w+)", body)))
    assert left_out['"google_storage_bucket" "this"'] != {()}
    assert {name: rules for name, rules in left_out.items() if len(rules) > 1} == {}


def test_an_environment_that_was_not_finished_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[list[str]] = []

    def run(command: list[str], *_: object) -> str:
        made.append(command[1:4])
        program = next(tmp_path.glob("cache"), tmp_path / "cache")
        for folder in [path for path in command if str(program) in path and "bin" not in path]:
            (Path(folder) / "bin").mkdir(parents=True)
            (Path(folder) / "bin" / "checkov").touch()
        return ""

    monkeypatch.setattr(checkov, "CACHE", tmp_path / "cache")
    monkeypatch.setattr(terraform, "run", run)
    program = checkov.environment()
    assert [command[2] for command in made] == ["venv", "pip"]
    assert checkov.environment() == program
    assert len(made) == 2
    (program.parent.parent / "finished").unlink()
    checkov.environment()
    assert len(made) == 4


def test_the_environment_of_checkov_is_that_of_its_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another lock, another environment: what was installed for an earlier one is not asked."""
    monkeypatch.setattr(checkov, "CACHE", tmp_path)
    monkeypatch.setattr(terraform, "run", lambda *_: (_ for _ in ()).throw(terraform.TerraformError("asked")))
    monkeypatch.setattr(checkov, "LOCK", topology.ROOT / "local" / "requirements.txt")
    with pytest.raises(terraform.TerraformError, match="asked"):
        checkov.environment()


def test_cloud_builds_are_validated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(topology, "ROOT", tmp_path)
    assert checks.cloudbuild() == "there is none"
    (tmp_path / "cloudbuild.yaml").write_text("steps: [{name: bash, script: echo}]")
    assert "ok" in checks.cloudbuild()
    (tmp_path / "cloudbuild-spoiled.yaml").write_text("stepps: []")
    with pytest.raises(terraform.TerraformError, match="cloudbuild-spoiled"):
        checks.cloudbuild()


@pytest.mark.parametrize("path", sorted((terraform.FOLDER / "tests").glob("*.tftest.hcl")), ids=lambda path: path.name)
def test_tests_of_the_terraform_ask_nobody(path: Path) -> None:
    """The real provider wants credentials as soon as it plans, which a clone and a build need not have."""
    assert 'mock_provider "google" {}' in path.read_text()
