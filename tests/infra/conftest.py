"""What Terraform would make, once for all tests that look at it. They are of the group `terraform`."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from typing import Any

import pytest

from infra import checks, terraform


@pytest.fixture(scope="session")
def stand_in() -> None:
    """Leaves a test out where nothing can be planned, and builds what a plan needs.

    The real provider asks Google about the project even to plan, with credentials that a clone and a build of ours do
    not have. A Terraform that is missing is a failure in CI, never a skip.
    """
    if shutil.which("terraform") is None:
        if os.environ.get("CI"):
            pytest.fail("CI must run these, but terraform is not on the PATH")
        pytest.skip("left out: terraform is not on the PATH")
    if not terraform.has_stand_in():
        pytest.skip("left out: without the stand-in for the provider a plan asks Google, and an apply would deploy")
    terraform.build_bundles()


@pytest.fixture(scope="session")
def example_plan(stand_in: None) -> dict[str, Any]:
    """What Terraform would make of an empty project under the variables of the example."""
    return terraform.plan()


@pytest.fixture(scope="session")
def made(stand_in: None) -> Mapping[str, terraform.Made]:
    """What it would make, and what would be there, under every set of variables that is checked."""
    return checks.made()


@pytest.fixture(scope="session")
def full_plan(made: Mapping[str, terraform.Made]) -> dict[str, Any]:
    """The plan of everything there can be: a domain, a page, a key, streams, public evidence, tokens of users."""
    return made["full"].planned
