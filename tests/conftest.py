"""What every suite needs: the official emulators, started at most once a test run, and whose branches are counted."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from coverage import Coverage
from hypothesis import settings

from local import emulators

TESTS = Path(__file__).resolve().parent
UNCOUNTED = tuple(
    TESTS / name for name in ("contract", "e2e", "functions", "infra", "unit/detection", "unit/test_video_results.py")
)
"""Tests of what lies around the domain and the handlers. Tracing doubles what Python costs, so they run without it."""

# How long an example takes says what else the machine does. What CI has of its own (the same examples each time) stays.
settings.register_profile("unhurried", settings(), deadline=None)
settings.load_profile("unhurried")


def require_emulators() -> None:
    """Leaves a test out where Java or the Google Cloud SDK is missing; in CI that is a failure, never a skip."""
    reason = emulators.missing_reason()
    if reason is None:
        return
    if os.environ.get("CI"):
        pytest.fail(f"CI must run the tests on the official emulators, but {reason}")
    pytest.skip(f"left out: {reason}")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Refuses a pytest whose node ids xdist can't change: then every worker starts every stack of emulators itself."""
    marked = [item for item in items if item.get_closest_marker("xdist_group")]
    if config.getoption("loadgroup", default=False) and not all("@" in item.nodeid for item in marked):
        raise pytest.UsageError("pytest-xdist can't group tests with this version of pytest")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Traces no test of `UNCOUNTED`: neither its call nor, unlike `no_cover`, its fixtures."""
    if not any(item.path.is_relative_to(path) for path in UNCOUNTED):
        return (yield)
    with untraced():
        return (yield)


@contextmanager
def untraced() -> Iterator[None]:
    """Counts no branches meanwhile, if any are counted at all."""
    tracing = Coverage.current()
    if tracing is None:
        yield
        return
    tracing.stop()
    try:
        yield
    finally:
        tracing.start()


@pytest.fixture(scope="session")
def firestore_host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """`host:port` of a running Firestore emulator, also set as FIRESTORE_EMULATOR_HOST."""
    require_emulators()
    log = tmp_path_factory.mktemp("emulators") / "firestore.log"
    with emulators.firestore_emulator(log) as host, pytest.MonkeyPatch.context() as patch:
        patch.setenv("FIRESTORE_EMULATOR_HOST", host)
        yield host


@pytest.fixture(scope="session")
def pubsub_host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """`host:port` of a running Pub/Sub emulator, also set as PUBSUB_EMULATOR_HOST."""
    require_emulators()
    log = tmp_path_factory.mktemp("emulators") / "pubsub.log"
    with emulators.pubsub_emulator(log) as host, pytest.MonkeyPatch.context() as patch:
        patch.setenv("PUBSUB_EMULATOR_HOST", host)
        yield host
