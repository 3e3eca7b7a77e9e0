"""Cached verdicts, the claims of those who are making one, and how often the cache helped. All instances share them.

A verdict lies under a key made of the content and of everything that judged it; a claim lies under the same key in a
collection of its own, so that what is cached can be counted and listed without it. Which verdict may still be served is
the caller's to ask (`Entry.is_fresh`): an expired one stays until it is removed.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from shared.errors import VersionConflict
from shared.ports import Create, Delete, Document, Documents, Filter, Increment, Order, Query, Set, Update, Write

VERDICTS = "verdicts"
CLAIMS = "verdict_claims"
COUNTERS = "verdict_counters"
SHARDS = 10
PAGE = 300
"""Removed in one commit."""

MAX_MEDIA_IDS = 50
"""Kept of an entry, the latest: an id that is older than so many others no longer finds it."""


@dataclass(frozen=True)
class Entry:
    """One cached result as plain data. `media_ids`: what clients called the content."""

    key: str
    result: Mapping[str, Any]
    media_ids: tuple[str, ...]
    created_at: datetime
    expires_at: datetime

    def is_fresh(self, now: datetime) -> bool:
        """Whether it may still be served."""
        return now < self.expires_at


@dataclass(frozen=True)
class Claim:
    """Somebody makes the verdict; whoever has said nothing until `lease_until` is taken for dead."""

    key: str
    owner: str
    media_ids: tuple[str, ...]
    lease_until: datetime


@dataclass(frozen=True)
class Seen:
    """How things stand under one key, with the documents, whose versions a write can name."""

    entry: Entry | None
    entry_document: Document | None
    claim: Claim | None
    claim_document: Document | None


@dataclass(frozen=True)
class Counts:
    """How often a verdict was served from the cache, and how often it had to be made."""

    hits: int
    misses: int


def look(documents: Documents, key: str) -> Seen:
    """The entry and the claim of one key, in one round trip. Raises `Retryable`."""
    entry, claim = documents.get_many([(VERDICTS, key), (CLAIMS, key)])
    return Seen(_entry_of(entry) if entry else None, entry, _claim_of(claim) if claim else None, claim)


def claiming(claim: Claim, held: Document | None) -> Write:
    """The conditional write: no claim is there, or it is still the one that was seen to be over."""
    data = {"owner": claim.owner, "media_ids": list(claim.media_ids), "lease_until": claim.lease_until}
    if held is None:
        return Create(CLAIMS, claim.key, data)
    return Update(CLAIMS, claim.key, data, version=held.version)


def renewal(held: Document, until: datetime) -> Update:
    """Moves the end of a claim on, if nobody took it over or cleared it."""
    return Update(CLAIMS, held.id, {"lease_until": until}, version=held.version)


def release(held: Document) -> Delete:
    """Gives a claim up that is still ours."""
    return Delete(CLAIMS, held.id, version=held.version)


def publication(entry: Entry, held: Document) -> Sequence[Write]:
    """Stores the verdict and ends the claim, both or neither: whoever cleared the cache meanwhile is obeyed."""
    data = {
        "result": dict(entry.result),
        "media_ids": list(entry.media_ids),
        "created_at": entry.created_at,
        "expires_at": entry.expires_at,
    }
    return (release(held), Set(VERDICTS, entry.key, data))


def naming(entry: Entry, held: Document, media_ids: Sequence[str]) -> Update:
    """Adds other clients' ids, if the entry is still as it was read."""
    names = [*(known for known in entry.media_ids if known not in media_ids), *media_ids][-MAX_MEDIA_IDS:]
    return Update(VERDICTS, entry.key, {"media_ids": names}, version=held.version)


def count_up(counts: Counts, spread_by: str) -> Sequence[Write]:
    """The writes that add to the counters; `spread_by` chooses the shard, so that no document becomes hot."""
    shard = str(zlib.crc32(spread_by.encode()) % SHARDS)
    fields = {"hits": counts.hits, "misses": counts.misses}
    return [Increment(COUNTERS, shard, field, amount) for field, amount in fields.items() if amount]


def counts(documents: Documents) -> Counts:
    """The sums over all instances since the first. Raises `Retryable`."""
    found = documents.get_many([(COUNTERS, str(shard)) for shard in range(SHARDS)])
    data = [document.data for document in found if document is not None]
    return Counts(sum(each.get("hits", 0) for each in data), sum(each.get("misses", 0) for each in data))


def number_of_fresh(documents: Documents, now: datetime) -> int:
    """How many entries may be served."""
    return documents.count(Query(VERDICTS, (Filter("expires_at", ">", now),)))


def first_fresh(documents: Documents, now: datetime, *, newest: bool) -> Entry | None:
    """The oldest or newest entry that may be served; expired ones before it are few, because they are removed."""
    by_age = Query(VERDICTS, order_by=(Order("created_at", descending=newest),))
    entries = (_entry_of(document) for document in _all(documents, by_age))
    return next((entry for entry in entries if entry.is_fresh(now)), None)


def clear(documents: Documents) -> int:
    """Removes every entry, and the claims, so that what is being made now is not cached either; the entries' number."""
    _remove(documents, Query(CLAIMS))
    return _remove(documents, Query(VERDICTS))


def forget(documents: Documents, media_id: str) -> int:
    """Removes what was cached, or is being made, under a client's id; how many entries and claims that were."""
    named = (Filter("media_ids", "array_contains", media_id),)
    made = _remove(documents, Query(CLAIMS, named))
    return made + _remove(documents, Query(VERDICTS, named))


def content_name(sha256: str) -> str:
    """What an entry is called by its content, beside what clients call it: so that erasing finds it."""
    return f"sha256:{sha256}"


def remove_expired(documents: Documents, before: datetime) -> int:
    """Removes entries that expired, and claims whose owner died, before a moment; how many.

    What was written again since it was read stays.
    """
    dead = Query(CLAIMS, (Filter("lease_until", "<", before),))
    expired = Query(VERDICTS, (Filter("expires_at", "<", before),))
    return sum(_remove_as_seen(documents, found) for query in (dead, expired) for found in _all(documents, query))


def _remove(documents: Documents, query: Query) -> int:
    """Page by page, however often somebody writes to it meanwhile."""
    removed = 0
    cursor: str | None = None
    while True:
        page = documents.query(query, limit=PAGE, cursor=cursor)
        if page.documents:
            documents.commit([Delete(each.collection, each.id) for each in page.documents])
        removed += len(page.documents)
        cursor = page.next_cursor
        if cursor is None:
            return removed


def _remove_as_seen(documents: Documents, found: Document) -> bool:
    try:
        documents.commit([Delete(found.collection, found.id, version=found.version)])
    except VersionConflict:
        return False
    return True


def _all(documents: Documents, query: Query) -> Iterator[Document]:
    cursor: str | None = None
    while True:
        page = documents.query(query, cursor=cursor)
        yield from page.documents
        cursor = page.next_cursor
        if cursor is None:
            return


def _entry_of(document: Document) -> Entry:
    data = document.data
    return Entry(document.id, data["result"], tuple(data["media_ids"]), data["created_at"], data["expires_at"])


def _claim_of(document: Document) -> Claim:
    data = document.data
    return Claim(document.id, data["owner"], tuple(data["media_ids"]), data["lease_until"])
