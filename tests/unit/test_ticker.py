"""What a thread does at regular times."""

from __future__ import annotations

import threading
import time

from local.ticker import Ticker
from shared.errors import Retryable


def test_it_ticks_at_once_and_again_whatever_fails_and_ends_with_its_block() -> None:
    ticks: list[int] = []
    enough = threading.Event()

    def act() -> None:
        ticks.append(len(ticks))
        if len(ticks) == 2:
            raise Retryable("away")
        if len(ticks) == 4:
            enough.set()

    with Ticker("test", 0.01, act):
        assert enough.wait(5)
    count = len(ticks)
    time.sleep(0.05)
    assert len(ticks) == count


def test_a_long_pause_does_not_hold_up_the_end() -> None:
    began = time.monotonic()
    with Ticker("test", 3600, lambda: None):
        pass
    assert time.monotonic() - began < 5
