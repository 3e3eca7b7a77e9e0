"""An administrator says what beacons there are: one, or a whole file of them; all of it or nothing is stored."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from shared.domain.incidents import Beacon
from shared.domain.neighbourhoods import Problem, Stated, applied, crowded, problems_of, unknown_neighbours
from shared.errors import AlreadyExists, Permanent, Retryable, VersionConflict
from shared.ports import Documents
from shared.repositories import beacons

MAX_CONFLICTS = 10


@dataclass(frozen=True)
class Registered:
    """How many of the stated beacons are new, changed, or as they were; `neighbours_updated`: others that changed."""

    created: int
    updated: int
    unchanged: int
    neighbours_updated: int


@dataclass(frozen=True)
class _Changes:
    """The beacons as they were, with their versions, and as they shall be."""

    before: dict[str, tuple[Beacon, str]]
    after: dict[str, Beacon]

    def changed(self) -> list[str]:
        return [id for id, beacon in self.after.items() if id not in self.before or self.before[id][0] != beacon]


def put(documents: Documents, stated: Stated) -> Beacon:
    """Creates or changes one beacon, and with it its neighbours. Raises `Permanent` for what can't be, `Retryable`."""
    problems = problems_of(stated) or register(documents, [stated])
    if isinstance(problems, list):
        raise Permanent("invalid_beacon", " ".join(problem.sentence for problem in problems))
    return beacons.get(documents, stated.id)


def register(documents: Documents, stated: Sequence[Stated], *, dry_run: bool = False) -> Registered | list[Problem]:
    """Stores what well-formed statements, each of another beacon, say in one commit; with `dry_run` only tells.

    Gives the problems, in order of their lines, and stores nothing, where one of them can't be. Raises `Retryable`.
    """
    for _ in range(MAX_CONFLICTS):
        before = _concerned(documents, stated)
        problems = unknown_neighbours(stated, before)
        if problems:
            return sorted(problems)
        changes = _Changes(before, applied(stated, {id: beacon for id, (beacon, _) in before.items()}))
        problems = crowded(stated, changes.after)
        if problems:
            return sorted(problems)
        try:
            if not dry_run:
                _store(documents, changes)
        except (AlreadyExists, VersionConflict):
            continue  # somebody else changed one of them in the meantime
        return _counted(stated, changes)
    raise Retryable("the beacons are changed by others all the time")


def _concerned(documents: Documents, stated: Sequence[Stated]) -> dict[str, tuple[Beacon, str]]:
    """The beacons that are named, and those that are neighbours of the stated ones now."""
    named = [id for one in stated for id in (one.id, *(one.neighbours or ()))]
    found = beacons.find_many(documents, named)
    former = [id for one in stated if one.id in found for id in found[one.id][0].neighbours if id not in found]
    return {**found, **beacons.find_many(documents, former)}


def _store(documents: Documents, changes: _Changes) -> None:
    writes = [
        beacons.change(changes.after[id], changes.before[id][1] if id in changes.before else None)
        for id in changes.changed()
    ]
    documents.commit(writes)


def _counted(stated: Sequence[Stated], changes: _Changes) -> Registered:
    ids = {one.id for one in stated}
    changed = set(changes.changed())
    created = len(ids - changes.before.keys())
    return Registered(
        created=created,
        updated=len(ids & changed) - created,
        unchanged=len(ids - changed),
        neighbours_updated=len(changed - ids),
    )
