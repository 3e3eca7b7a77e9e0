"""One plan of the example environment for all tests that look at it."""

from __future__ import annotations

from typing import Any

import pytest

from infra import terraform


@pytest.fixture(scope="session")
def example_plan() -> dict[str, Any]:
    """What Terraform would make of an empty project. Tests that ask for it are of the group `terraform`."""
    terraform.build_bundles()
    return terraform.plan()
