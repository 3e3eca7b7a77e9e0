"""The embedded `PushSender`: phones are out of reach from here, so what would be pushed stands in the log."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from shared.ports import Push, PushOutcome, PushReceipt

log = logging.getLogger(__name__)


class PushLog:
    """Implements `PushSender`. Tokens are secrets of the phones: the log says how many there are, not which."""

    name = "log"

    def send(self, push: Push, tokens: Sequence[str]) -> list[PushReceipt]:
        """One line, and every token counts as reached."""
        log.warning("ALERT %s: %s (%d device(s))", push.title, push.body, len(tokens))
        return [PushReceipt(PushOutcome.SENT, reference="log") for _ in tokens]
