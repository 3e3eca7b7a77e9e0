"""Guards are set up, changed and removed, and their phones registered."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from shared.delivery import MAX_CONFLICTS
from shared.domain.guards import Guard
from shared.errors import AlreadyExists, Conflict, NotFound, NotPermitted, Retryable, VersionConflict
from shared.ports import Caller, Documents, Write
from shared.repositories import guards

MOST_GUARDS = 1000
"""All of a place are looked at for every alert, and named in it: more would not fit into one document."""

MOST_PHONES = 20
"""Of one guard; the one registered longest ago gives way."""


def put(guard: Guard, tokens: tuple[str, ...] | None, documents: Documents) -> Guard:
    """Stores the guard as they shall be, whether new or known. `tokens` None: their phones stay as they are.

    Raises `Conflict` for one too many.
    """

    def writes() -> tuple[Guard, tuple[Write, ...]]:
        found = guards.find(documents, guard.id)
        known, version = found or (None, None)
        if known is None and guards.how_many(documents) >= MOST_GUARDS:
            raise Conflict("too_many_guards", f"There are {MOST_GUARDS} guards already, and there can't be more.")
        kept = known.tokens if known else ()
        stored = replace(guard, tokens=kept if tokens is None else tokens)
        return stored, (guards.write(stored, version),)

    return _commit(writes, documents)


def seen_by(caller: Caller, guard_id: str, documents: Documents) -> tuple[Guard, str]:
    """The guard with their version. Raises `NotFound`, also for one who is called for no place the caller sees."""
    guard, version = guards.get(documents, guard_id)
    if not may_know(caller, guard):
        raise NotFound("unknown_guard", "No such guard.")
    return guard, version


def may_know(caller: Caller, guard: Guard) -> bool:
    """Whether the guard is called for a place that is the caller's to see: others' names and hours are not for them."""
    if guard.places is None or caller.places is None:
        return True
    return any(caller.may_see(place) for place in guard.places)


def add_token(guard_id: str, token: str, caller: Caller, documents: Documents) -> Guard:
    """Registers a phone, which is nobody else's from then on.

    Raises `NotFound`, and `NotPermitted` for a guard who is also called for places that are not the caller's to see:
    the phone would hear of them.
    """

    def writes() -> tuple[Guard, tuple[Write, ...]]:
        guard, version = seen_by(caller, guard_id, documents)
        if not _may_hear(caller, guard):
            raise NotPermitted("other_places", "This guard is called for places that are not yours to see.")
        others = (*(known for known in guard.tokens if known != token), token)
        stored = replace(guard, tokens=others[-MOST_PHONES:])
        before = [(owner, at) for owner, at in guards.with_token(documents, token) if owner.id != guard_id]
        given_up = [guards.write(guards.without_token(owner, token), at) for owner, at in before]
        return stored, (guards.write(stored, version), *given_up)

    return _commit(writes, documents)


def _may_hear(caller: Caller, guard: Guard) -> bool:
    """Whether all that the guard is called for is the caller's to see."""
    if guard.places is None:
        return caller.places is None
    return all(caller.may_see(place) for place in guard.places)


def remove(guard_id: str, documents: Documents) -> None:
    """Removes the guard. Raises `NotFound`."""
    if guards.find(documents, guard_id) is None:
        raise NotFound("unknown_guard", "No such guard.")
    documents.commit(guards.removal(guard_id))


def _commit(writes: Callable[[], tuple[Guard, tuple[Write, ...]]], documents: Documents) -> Guard:
    for _ in range(MAX_CONFLICTS):
        guard, planned = writes()
        try:
            documents.commit(planned)
        except (AlreadyExists, VersionConflict):
            continue  # somebody else changed one of them in the meantime
        return guard
    raise Retryable("the guard is contended")
