"""Deployments by the real Terraform, of small releases that need no provider: what fails is rolled back, and says so.

A release's `terraform_data.version` stands for all that is deployed; `fails` makes its second half fail. The smoke test
is a program that fails at the versions it is told.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest

from infra import deploy, release
from infra.deploy import Outcome, publish_to_pubsub
from infra.release import Deployment, Record

ROOT_MODULE = """
variable "version_of" { type = string }
variable "live_image" {
  type    = string
  default = null
}
resource "terraform_data" "first" { input = var.version_of }
resource "terraform_data" "second" {
  input            = "VERSION"
  triggers_replace = var.version_of
  depends_on       = [terraform_data.first]
  provisioner "local-exec" { command = "COMMAND" }
}
output "url" { value = "http://${terraform_data.first.output}.example" }
output "live_image" { value = var.live_image }
"""
IMAGE = "europe-west1-docker.pkg.dev/project/sightline/live@sha256:" + "a" * 64


@dataclass
class World:
    """A checkout, a store, and which versions don't hold."""

    root: Path
    capsys: pytest.CaptureFixture[str]

    def write(self, version: str, command: str = "true") -> None:
        """Makes this version what the checkout holds."""
        text = ROOT_MODULE.replace("VERSION", version).replace("COMMAND", command)
        (self.root / "infra" / "main.tf").write_text(text)
        (self.root / "infra" / "environments" / "test.tfvars").write_text(f'version_of = "{version}"\n')

    def run(self, command: str, *options: str) -> tuple[int, str]:
        """One command of the module; its status, and what it said itself."""
        place = ["--environment", "test", "--store", str(self.root / "store")]
        smoke = ["--smoke", f"{sys.executable} {self.root / 'smoke.py'}"]
        status = deploy.main([command, *place, *smoke, *options], root=self.root)
        told = self.capsys.readouterr()
        return status, told.out + told.err

    def plan(self, version: str, command: str = "true", *options: str) -> str:
        """Plans a version; returns the release's name."""
        self.write(version, command)
        status, told = self.run("plan", "--bundled", "--commit", version, *options)
        assert status == 0, told
        return self.planned()["release"]

    def deploy(self, version: str, command: str = "true") -> tuple[int, str]:
        """Plans a version and applies that."""
        self.plan(version, command)
        return self.run("apply")

    def planned(self) -> dict[str, str]:
        found: dict[str, str] = json.loads((self.root / ".cache" / "deploy" / "test.json").read_text())
        return found

    def breaks(self, *versions: str) -> None:
        """The smoke test fails at these from now on."""
        (self.root / "broken.txt").write_text(" ".join(versions))

    def deployed(self) -> str:
        """The version that Terraform's state tells of."""
        state = json.loads((self.root / "infra" / "test.tfstate").read_text())
        found: str = state["outputs"]["url"]["value"]
        return found.removeprefix("http://").removesuffix(".example")

    def record(self) -> Record:
        with release.opened(str(self.root / "store")) as store:
            return store.record("test")


SMOKE = """
import pathlib, sys
version = sys.argv[1].removeprefix("http://").removesuffix(".example")
sys.exit(version in pathlib.Path(__file__).with_name("broken.txt").read_text().split())
"""


@pytest.fixture
def world(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> World:
    if shutil.which("terraform") is None:
        if os.environ.get("CI"):
            pytest.fail("CI must run these, but terraform is not on the PATH")
        pytest.skip("left out: terraform is not on the PATH")
    (tmp_path / "infra" / "environments").mkdir(parents=True)
    (tmp_path / "dist").mkdir()
    (tmp_path / "dist" / "notify.zip").write_bytes(b"a bundle")
    (tmp_path / "smoke.py").write_text(SMOKE)
    made = World(tmp_path, capsys)
    made.breaks()
    return made


def test_what_holds_is_good_and_the_next_one_follows(world: World) -> None:
    assert world.deploy("v1")[0] == Outcome.GOOD
    status, told = world.deploy("v2")
    assert (status, world.deployed()) == (Outcome.GOOD, "v2")
    assert "is deployed, and good" in told
    record = world.record()
    assert [name[:2] for name in record.good] == ["v1", "v2"]
    assert (record.deployed, record.deploying) == (record.good[-1], None)


def test_a_failed_smoke_test_brings_the_last_good_release_back(world: World) -> None:
    world.deploy("v1")
    world.breaks("v2")
    status, told = world.deploy("v2")
    assert (status, world.deployed()) == (Outcome.ROLLED_BACK, "v1")
    assert "the smoke test of http://v2.example did not hold" in told
    assert f"Release {world.record().good[-1]} is deployed again, and holds." in told
    assert [name[:2] for name in world.record().good] == ["v1"]
    assert (world.record().deployed or "").startswith("v1")


def test_an_apply_that_fails_half_way_is_rolled_back(world: World) -> None:
    world.deploy("v1")
    status, told = world.deploy("v2", "exit 7")
    assert (status, world.deployed()) == (Outcome.ROLLED_BACK, "v1")
    assert "terraform apply failed" in told
    assert "exit status 7" in told


def test_a_first_deployment_that_fails_has_nothing_to_go_back_to(world: World) -> None:
    world.breaks("v1")
    status, told = world.deploy("v1")
    assert (status, world.deployed()) == (Outcome.BROKEN, "v1")
    assert "There is no earlier good release to go back to" in told
    assert world.record().good == ()
    world.breaks()
    assert world.deploy("v2")[0] == Outcome.GOOD


def test_a_roll_back_whose_own_smoke_test_fails_says_so(world: World) -> None:
    world.deploy("v1")
    world.breaks("v1", "v2")
    status, told = world.deploy("v2")
    assert status == Outcome.BROKEN
    assert "failed as well: the smoke test of http://v1.example did not hold" in told
    assert world.record().deploying is None


def test_a_good_release_that_fails_when_deployed_again_is_not_exchanged_for_an_older_one(world: World) -> None:
    world.deploy("v1")
    world.deploy("v2")
    world.breaks("v2")
    status, told = world.deploy("v2")
    assert (status, world.deployed()) == (Outcome.BROKEN, "v2")
    assert "was good before: the fault is outside of it" in told


def test_a_plan_that_the_state_has_moved_away_from_is_refused(world: World) -> None:
    world.deploy("v1")
    world.plan("v2")
    old = world.planned()
    world.deploy("v3")
    status, told = world.run("apply", "--release", old["release"], "--plan", old["plan"])
    assert (status, world.deployed()) == (Outcome.REFUSED, "v3")
    assert "Nothing was changed" in told
    assert (world.record().deployed or "").startswith("v3")


def test_a_second_deployment_is_refused_while_one_is_under_way(world: World) -> None:
    name = world.plan("v1")
    other = Deployment(release=name, by="ana", since=release.now())
    with release.opened(str(world.root / "store")) as store:
        store.change("test", lambda record: record.begun(other))
    status, told = world.run("apply")
    assert status == Outcome.REFUSED
    assert f"nothing was changed: ana has been deploying {name}" in told
    assert world.record().deploying == other
    assert not (world.root / "infra" / "test.tfstate").exists()


def test_a_deployment_that_died_stops_nobody_for_ever(world: World) -> None:
    name = world.plan("v1")
    dead = Deployment(release=name, by="ana", since=release.now() - release.LEASE - timedelta(minutes=1))
    with release.opened(str(world.root / "store")) as store:
        store.change("test", lambda record: record.begun(dead))
    assert world.run("apply")[0] == Outcome.GOOD


def test_a_state_that_somebody_holds_locked_is_left_alone(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deploy, "LOCK_TIMEOUT", "0s")
    world.deploy("v1")
    world.plan("v2")
    holder = (
        "import fcntl, sys, time\nheld = open(sys.argv[1], 'r+')\nfcntl.lockf(held, fcntl.LOCK_EX)\n"
        "print('held', flush=True)\ntime.sleep(60)"
    )
    command = [sys.executable, "-c", holder, str(world.root / "infra" / "test.tfstate")]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        status, told = world.run("apply")
        process.kill()
    assert (status, world.deployed()) == (Outcome.REFUSED, "v1")
    assert "Error acquiring the state lock" in told


def test_rolling_back_by_hand_goes_to_the_good_release_before(world: World) -> None:
    world.deploy("v1")
    world.deploy("v2")
    status, _ = world.run("roll-back")
    assert (status, world.deployed()) == (Outcome.GOOD, "v1")
    assert [name[:2] for name in world.record().good] == ["v1"]
    status, told = world.run("roll-back")
    assert status == Outcome.REFUSED
    assert "test has no other good release to go back to" in told


def test_rolling_back_by_hand_to_a_release_that_is_named(world: World) -> None:
    world.deploy("v1")
    first = world.planned()["release"]
    world.deploy("v2")
    world.deploy("v3")
    assert world.run("roll-back", "--release", first)[0] == Outcome.GOOD
    assert world.deployed() == "v1"
    world.breaks("v2")
    status, told = world.run("roll-back")
    assert status == Outcome.BROKEN
    assert "failed: the smoke test of http://v2.example did not hold" in told


def test_what_cannot_be_prepared_changes_nothing(world: World) -> None:
    world.deploy("v1")
    world.plan("v2")
    shutil.rmtree(world.root / ".cache" / "terraform")
    status, told = world.run("apply", "--terraform", "/bin/false")
    assert (status, world.deployed()) == (Outcome.REFUSED, "v1")
    assert "nothing was changed: terraform init failed" in told
    assert world.record().deploying is None


def test_a_program_that_is_not_there_changes_nothing(world: World) -> None:
    world.deploy("v1")
    world.plan("v2")
    status, told = world.run("apply", "--terraform", str(world.root / "nowhere"))
    assert (status, world.deployed(), world.record().deploying) == (Outcome.REFUSED, "v1", None)
    assert "nowhere can't be run: No such file or directory" in told


def test_a_release_that_tells_no_url_cannot_be_tried_and_is_rolled_back(world: World) -> None:
    world.deploy("v1")
    world.write("v2")
    text = (world.root / "infra" / "main.tf").read_text()
    (world.root / "infra" / "main.tf").write_text(text.replace('output "url"', 'output "address"'))
    assert world.run("plan", "--bundled", "--commit", "v2")[0] == 0
    status, told = world.run("apply")
    assert (status, world.deployed()) == (Outcome.ROLLED_BACK, "v1")
    assert "terraform tells no url to try" in told


def test_a_plan_that_fails_keeps_nothing(world: World) -> None:
    world.write("v1")
    (world.root / "infra" / "broken.tf").write_text("resource {")
    status, told = world.run("plan", "--bundled", "--commit", "v1")
    assert status == Outcome.REFUSED
    assert "nothing was changed: terraform init failed" in told
    with release.opened(str(world.root / "store")) as store:
        assert store.list("test") == []


def test_a_release_holds_what_terraform_reads_and_no_state(world: World) -> None:
    for name in ("tests/a.tftest.hcl", "bootstrap/main.tf", "smoke.py", "old.tfstate", "environments/other.tfvars"):
        path = world.root / "infra" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("")
    (world.root / "dist" / "dashboard").mkdir()
    (world.root / "dist" / "dashboard" / "index.html").write_text("a page")
    (world.root / "dist" / "live-image.txt").write_text(IMAGE)
    name = world.plan("v1", "true", "--live-image", IMAGE)
    with release.opened(str(world.root / "store")) as store:
        kept = store.load("test", name)
        store.restore(kept, world.root / "restored")
    assert set(kept.files) == {
        "dist/dashboard/index.html",
        "dist/notify.zip",
        "infra/environments/test.tfvars",
        "infra/main.tf",
        "infra/release.tfvars.json",
    }
    assert json.loads((world.root / "restored/infra/release.tfvars.json").read_text()) == {"live_image": IMAGE}


def test_the_image_that_was_built_counts_whatever_the_environments_file_says(world: World) -> None:
    for version in ("v1", "v2"):
        world.write(version)
        with (world.root / "infra" / "environments" / "test.tfvars").open("a") as variables:
            variables.write("live_image = null\n")
        assert world.run("plan", "--bundled", "--commit", version, "--live-image", IMAGE)[0] == 0
        world.breaks("v2")
        world.run("apply")
        state = json.loads((world.root / "infra" / "test.tfstate").read_text())
        assert world.deployed() == "v1"  # the second one is rolled back
        assert state["outputs"]["live_image"]["value"] == IMAGE


def test_a_live_image_is_named_by_its_digest(world: World) -> None:
    world.write("v1")
    (world.root / "image.txt").write_text(IMAGE + "\n")
    status, told = world.run("plan", "--bundled", "--commit", "v1", "--live-image", "host/live:latest")
    assert status == Outcome.REFUSED
    assert "a tag may mean another one tomorrow" in told
    assert world.run("plan", "--bundled", "--commit", "v1", "--live-image", f"@{world.root / 'image.txt'}")[0] == 0
    assert world.run("plan", "--bundled", "--commit", "v1", "--live-image", "@absent.txt")[0] == 0


def test_nothing_is_applied_that_nobody_planned(world: World) -> None:
    status, told = world.run("apply")
    assert (status, "plan here first" in told) == (Outcome.REFUSED, True)
    world.plan("v1")
    status, told = world.run("apply", "--release", world.planned()["release"], "--plan", "0" * 64)
    assert (status, "there is no plan" in told) == (Outcome.REFUSED, True)
    status, told = world.run("apply", "--release", world.planned()["release"])
    assert (status, "name both" in told) == (Outcome.REFUSED, True)


def test_the_state_is_in_the_bucket_that_is_named() -> None:
    written = deploy.Terraform("terraform", "state-bucket", Path("/root"))._backend("prod")
    assert (
        written
        == 'terraform {\n  backend "gcs" {\n    bucket = "state-bucket"\n    prefix = "sightline/prod"\n  }\n}\n'
    )


def test_an_approval_is_asked_for_by_a_message_that_names_the_plan(pubsub_host: str) -> None:
    from google.cloud import pubsub_v1

    project, topic, held = "demo-sightline", "releases-asked", "releases-asked-hold"
    publisher, subscriber = pubsub_v1.PublisherClient(), pubsub_v1.SubscriberClient()
    topic_path = publisher.topic_path(project, topic)
    publisher.create_topic(name=topic_path)
    path = subscriber.subscription_path(project, held)
    subscriber.create_subscription(name=path, topic=topic_path)
    deploy.ask(topic_path, "abc-0123456789ab", "f" * 64, publish_to_pubsub)
    (received,) = subscriber.pull(subscription=path, max_messages=5).received_messages
    assert dict(received.message.attributes) == {"release": "abc-0123456789ab", "plan": "f" * 64}
