"""Something done at regular times by a thread: what Cloud Scheduler does on Google Cloud."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

log = logging.getLogger(__name__)


class Ticker:
    """Calls `action` at once and then every `seconds`, until the block it is entered for ends.

    Whatever goes wrong is logged, and tried again at the next time.
    """

    def __init__(self, name: str, seconds: float, action: Callable[[], object]) -> None:
        self._seconds = seconds
        self._action = action
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def __enter__(self) -> Ticker:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        while True:
            try:
                self._action()
            except Exception:
                log.warning("%s failed, until the next time", self._thread.name, exc_info=True)
            if self._stopping.wait(self._seconds):
                return
