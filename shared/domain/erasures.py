"""The erasure of one person's media: what is ordered, and how far it is. Pure.

Erased are files, pictures and free texts; documents stay, so that counts, incidents and timelines stay true.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from shared.domain.incidents import Incident

MAX_ITEMS = 200
"""Of each kind in one order."""

MAX_INCIDENTS = 200
"""Touched by one order: all their timelines are written in one commit."""


class ErasureState(StrEnum):
    """ORDERED: recorded, and being done by the sweeper, which goes on after any crash. DONE: nothing is left."""

    ORDERED = "ordered"
    DONE = "done"


@dataclass(frozen=True)
class Erasure:
    """One order. `subject_digest` is the SHA-256 (hex) of `salt` and what the order called the person.

    `incidents`: those whose timelines say that something of theirs was erased. `done`: the items that are finished, as
    `kind:id`; the others wait for an analysis that still runs, a replay, a move, or the end of a legal hold.
    """

    id: str
    salt: str
    subject_digest: str
    reason: str
    ordered_by: str
    ordered_at: datetime
    assets: tuple[str, ...]
    images: tuple[int, ...]
    ai_events: tuple[int, ...]
    incidents: tuple[str, ...]
    state: ErasureState = ErasureState.ORDERED
    done: tuple[str, ...] = ()
    done_at: datetime | None = None

    def items(self) -> tuple[str, ...]:
        """Everything ordered, as `kind:id`."""
        kinds = (("asset", self.assets), ("image", self.images), ("ai_event", self.ai_events))
        return tuple(f"{kind}:{id}" for kind, ids in kinds for id in ids)

    def waiting(self) -> tuple[str, ...]:
        """What is not done yet."""
        return tuple(item for item in self.items() if item not in self.done)


def digest_of(subject: str, salt: str) -> str:
    """What is kept of a person's name: enough to recognise it, not enough to read it."""
    return hashlib.sha256(f"{salt}\x1f{subject}".encode()).hexdigest()


def held(incidents: Iterable[Incident]) -> tuple[str, ...]:
    """The ids of those under legal hold."""
    return tuple(incident.id for incident in incidents if incident.legal_hold)
