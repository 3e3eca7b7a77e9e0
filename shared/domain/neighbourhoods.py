"""What administrators say of beacons, one or ten thousand at once, and what follows from it.

Neighbourhood goes both ways: who names a neighbour becomes that one's neighbour too. Of two beacons that are spoken of
together, they are neighbours if one of them names the other. Pure: nothing is stored here.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from shared.domain.assets import is_shown_text
from shared.domain.incidents import Beacon

MAX_NEIGHBOURS = 10
MAX_ID_CHARACTERS = 256
"""As devices may report."""
MAX_LOCATION_CHARACTERS = 500


@dataclass(frozen=True)
class Stated:
    """What is said of one beacon. None: that stays as it is (a new one is active and has no neighbours).

    `line`: where it was said, in a file.
    """

    id: str
    location: str
    active: bool | None = None
    neighbours: tuple[str, ...] | None = None
    line: int = 0


@dataclass(frozen=True, order=True)
class Problem:
    """What is wrong with what was said, at its line, in a sentence."""

    line: int
    sentence: str


def problems_of(stated: Stated) -> list[Problem]:
    """What is wrong with a statement, whatever beacons there are."""
    sentences = []
    if not _is_id(stated.id):
        limit = f"1 to {MAX_ID_CHARACTERS} printable characters, with no space at its ends"
        sentences.append(f"id must be {limit}.")
    if not all(_is_id(neighbour) for neighbour in stated.neighbours or ()):
        sentences.append("neighbours must be ids of beacons.")
    if not is_shown_text(stated.location, MAX_LOCATION_CHARACTERS):
        sentences.append(f"location must be 1 to {MAX_LOCATION_CHARACTERS} printable characters.")
    if stated.id in (stated.neighbours or ()):
        sentences.append("A beacon is no neighbour of itself.")
    if len(set(stated.neighbours or ())) > MAX_NEIGHBOURS:
        sentences.append(f"A beacon has at most {MAX_NEIGHBOURS} neighbours.")
    return [Problem(stated.line, sentence) for sentence in sentences]


def _is_id(text: str) -> bool:
    return is_shown_text(text, MAX_ID_CHARACTERS) and text == text.strip()


def unknown_neighbours(stated: Sequence[Stated], known: Collection[str]) -> list[Problem]:
    """Neighbours that are neither among the `known` ids nor stated themselves."""
    there = {one.id for one in stated}
    return [
        Problem(one.line, f"There is no beacon {neighbour!r} to be a neighbour.")
        for one in stated
        for neighbour in dict.fromkeys(one.neighbours or ())
        if neighbour not in there and neighbour not in known
    ]


def applied(stated: Sequence[Stated], present: Mapping[str, Beacon]) -> dict[str, Beacon]:
    """All the beacons as they are afterwards, by id: those of `present` and the new ones.

    `present` must hold, as far as they exist, the stated beacons, the neighbours they name and those they had.
    """
    after = dict(present)
    for one in stated:
        old = present.get(one.id) or Beacon(one.id, one.location, active=True)
        after[one.id] = replace(old, location=one.location, active=old.active if one.active is None else one.active)
    near = {id: set(beacon.neighbours) for id, beacon in after.items()}
    spoken = [one for one in stated if one.neighbours is not None]
    for one in spoken:
        for former in near[one.id]:
            near.get(former, set()).discard(one.id)
        near[one.id] = set()
    for one in spoken:
        for neighbour in one.neighbours or ():
            near[one.id].add(neighbour)
            near[neighbour].add(one.id)
    return {id: replace(beacon, neighbours=tuple(sorted(near[id]))) for id, beacon in after.items()}


def crowded(stated: Sequence[Stated], after: Mapping[str, Beacon]) -> list[Problem]:
    """Beacons that would have too many neighbours, said of who names them."""
    full = {id for id, beacon in after.items() if len(beacon.neighbours) > MAX_NEIGHBOURS}
    return [
        Problem(one.line, f"The beacon {id!r} would have more than {MAX_NEIGHBOURS} neighbours.")
        for one in stated
        for id in dict.fromkeys((one.id, *(one.neighbours or ())))
        if id in full
    ]
