"""Many devices report at one place at once: one incident opens, and nothing is lost. On both homes, over HTTP."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from bench.signals import client, report_many
from local import stack
from local.client import SightlineClient
from local.emulators import free_port
from local.server import running_server
from tests.conftest import require_emulators

SIGNALS = 1000
THREADS = 64
PATIENCE_SECONDS = 300.0
PLACE = "the gate"


def check_many_signals(reporting: str, reading: str, token: str | None) -> None:
    """Reports at one origin, reads at another (or the same)."""
    reader = SightlineClient(reading, token)
    reader.put_beacon(PLACE, "Gate")
    with client(reporting, token, connections=THREADS) as sender:
        burst = report_many(sender, PLACE, signals=SIGNALS, threads=THREADS, seconds=PATIENCE_SECONDS)
    assert Counter((reply.status, reply.outcome) for reply in burst.replies) == {
        (201, "incident_created"): 1,
        (200, "signal_added_to_existing"): SIGNALS - 1,
    }
    (incident,) = reader.incidents(beacon_id=PLACE)["incidents"]
    assert reader.incident(incident["incident_id"])["signal_count"] == SIGNALS
    reader.close()


def test_many_signals_at_once_open_one_incident_embedded(tmp_path: Path) -> None:
    with running_server(tmp_path / "data", port=free_port()) as base_url:
        check_many_signals(base_url, base_url, None)


@pytest.mark.xdist_group("emulator-stack")
def test_many_signals_at_once_open_one_incident_on_the_emulators(tmp_path: Path) -> None:
    require_emulators()
    with stack.running_stack(tmp_path, free_port()) as started:
        check_many_signals(started.functions["signals"], started.base_url, stack.TOKEN)
