"""The `Documents` port on Firestore.

Maps the port's writes, queries and errors to the client library's. It must not know what the documents mean, nor
import more than it needs: the start-up time of every function is measured.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, TypeVar

from google.api_core import exceptions
from google.api_core.datetime_helpers import DatetimeWithNanoseconds
from google.api_core.retry import Retry, if_exception_type
from google.cloud import firestore

from shared.adapters.document_queries import Plan, cursor_after, plan, read_cursor
from shared.adapters.document_values import (
    check_collection,
    check_field,
    check_order,
    original_id,
    plain_document,
    plain_fields,
    plain_value,
    stored_id,
)
from shared.adapters.google.document_watch import FirestoreWatch, arranged
from shared.errors import AlreadyExists, Retryable, TooLarge, UndeclaredIndex, VersionConflict
from shared.ports import (
    Create,
    Delete,
    Document,
    Increment,
    Index,
    Page,
    Query,
    Set,
    Subscription,
    Unindexed,
    Update,
    Write,
)

T = TypeVar("T")

COMMIT_SECONDS = 30.0
READ_SECONDS = 20.0
ALL_READS_SECONDS = 60.0

_TRANSIENT = (
    exceptions.Aborted,
    exceptions.Cancelled,
    exceptions.DeadlineExceeded,
    exceptions.InternalServerError,
    exceptions.ResourceExhausted,
    exceptions.RetryError,
    exceptions.ServiceUnavailable,
    exceptions.Unknown,
)
_READ_AGAIN = Retry(
    predicate=if_exception_type(
        exceptions.Aborted,
        exceptions.DeadlineExceeded,
        exceptions.InternalServerError,
        exceptions.ServiceUnavailable,
    ),
    initial=0.1,
    maximum=5.0,
    timeout=ALL_READS_SECONDS,
)
_OVER_SIZE = re.compile(r"maximum .*size|size exceeds")
# Left to itself, the library resumes a broken stream of results from the last document it saw, and fails if it saw
# none. Here a read is repeated as a whole.
_NO_RESUMING = Retry(predicate=if_exception_type())


class FirestoreDocuments:
    """Documents in the database of `client`, whose life is the caller's.

    With `indexes` (the declared ones), a query that none of them serves is refused before it is sent, which matters on
    the emulator: it serves any query. Without, Firestore itself refuses it. `version` is the update time.
    """

    def __init__(self, client: firestore.Client, *, indexes: Sequence[Index | Unindexed] | None = None) -> None:
        self._client = client
        self._indexes = None if indexes is None else tuple(indexes)

    def get(self, collection: str, id: str) -> Document | None:
        """The document, or None."""
        return self.get_many([(collection, id)])[0]

    def get_many(self, keys: Sequence[tuple[str, str]]) -> list[Document | None]:
        """Documents in the order asked, in one round trip; a commit in the meantime may show in some of them only."""
        targets = [(collection, stored_id(id)) for collection, id in keys]
        references = [self._reference(collection, id) for collection, id in targets]
        if not references:
            return []
        snapshots = _read(lambda: list(self._client.get_all(references, retry=_NO_RESUMING, timeout=READ_SECONDS)))
        found = {(item.reference.parent.id, item.id): _document(item) for item in snapshots if item.exists}
        return [found.get(target) for target in targets]

    def commit(self, writes: Sequence[Write]) -> None:
        """All writes or none, in their order, in one request that is never repeated by itself.

        For a repeated create could find its own document, and a repeated update its own new version.
        """
        check_order(writes)
        batch = self._client.batch()
        for write in writes:
            self._add(batch, write)
        if not writes:
            return
        try:
            batch.commit(retry=None, timeout=COMMIT_SECONDS)
        except exceptions.GoogleAPICallError as error:
            raise _commit_error(error, writes) from error

    def query(self, query: Query, *, limit: int = 100, cursor: str | None = None) -> Page:
        """One page, filtered, sorted and cut by Firestore."""
        if limit < 1:
            raise ValueError("a page holds at least one document")
        made = plan(query, self._indexes)
        ordered = self._ordered(made)
        if cursor is not None:
            values, id = read_cursor(made, cursor)
            ordered = ordered.start_after([*values, id])
        wanted = ordered.limit(limit + 1)
        snapshots = _read(lambda: list(wanted.stream(retry=_NO_RESUMING, timeout=READ_SECONDS)))
        found = tuple(_document(snapshot) for snapshot in snapshots)
        if len(found) <= limit:
            return Page(found, None)
        last = found[limit - 1]
        return Page(found[:limit], cursor_after(made, last.data, stored_id(last.id)))

    def count(self, query: Query) -> int:
        """How many documents match, counted by Firestore."""
        counted: Any = self._ordered(plan(query, self._indexes)).count()  # the library's own types are wrong here
        results = _read(lambda: counted.get(retry=_NO_RESUMING, timeout=READ_SECONDS))
        return int(results[0][0].value)

    def watch(self, query: Query, on_change: Callable[[tuple[Document, ...]], None]) -> Subscription:
        """Listens for changes; a lost or refused connection is opened again until the watch is closed."""
        made = plan(query, self._indexes)
        # Sent without an order: the library's own sorting of what arrives is wrong for descending orders.
        filtered = self._filtered(made)
        watch = FirestoreWatch(
            filtered.on_snapshot,
            lambda snapshots: arranged(made, [_document(snapshot) for snapshot in snapshots]),
            on_change,
        )
        watch.start()
        return watch

    def _reference(self, collection: str, stored: str) -> firestore.DocumentReference:
        check_collection(collection)
        return self._client.document(collection, stored)

    def _add(self, batch: firestore.WriteBatch, write: Write) -> None:
        id = stored_id(write.id)
        reference = self._reference(write.collection, id)
        if isinstance(write, Create):
            batch.create(reference, plain_document(write.collection, id, write.data))
        elif isinstance(write, Set):
            batch.set(reference, plain_document(write.collection, id, write.data))
        elif isinstance(write, Update):
            if not write.data:
                raise ValueError("an update must name a field")
            fields = {self._client.field_path(name): value for name, value in plain_fields(write.data).items()}
            batch.update(reference, fields, option=self._condition(write.version))
        elif isinstance(write, Increment):
            check_field(write.field)
            amount = firestore.Increment(plain_value(write.amount))
            batch.set(reference, {write.field: amount}, merge=True)
        else:
            batch.delete(reference, option=self._condition(write.version))

    def _condition(self, version: str | None) -> firestore.WriteOption | None:
        if version is None:
            return None
        try:
            moment = DatetimeWithNanoseconds.from_rfc3339(version)  # type: ignore[no-untyped-call]
        except ValueError as error:
            raise VersionConflict("the version is none that Firestore gave out") from error
        return self._client.write_option(last_update_time=moment.timestamp_pb())

    def _filtered(self, made: Plan) -> firestore.Query:
        query = firestore.Query(self._client.collection(made.collection))
        for entry in made.where:
            field = self._client.field_path(entry.field)
            query = query.where(filter=firestore.FieldFilter(field, entry.operator, entry.value))
        return query

    def _ordered(self, made: Plan) -> firestore.Query:
        query = self._filtered(made)
        for entry in made.orders:
            query = query.order_by(self._client.field_path(entry.field), direction=_direction(entry.descending))
        return query.order_by("__name__", direction=_direction(made.ids_descending))


def _direction(descending: bool) -> str:
    return firestore.Query.DESCENDING if descending else firestore.Query.ASCENDING


def _document(snapshot: firestore.DocumentSnapshot) -> Document:
    data = {name: _python_value(value) for name, value in (snapshot.to_dict() or {}).items()}
    version = snapshot.update_time.rfc3339()
    return Document(snapshot.reference.parent.id, original_id(snapshot.id), data, version)


def _python_value(value: Any) -> Any:
    """The library's datetimes carry nanoseconds and compare oddly: plain ones leave here."""
    if isinstance(value, datetime):
        return datetime.combine(value.date(), value.time(), value.tzinfo)
    if isinstance(value, dict):
        return {key: _python_value(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_python_value(item) for item in value]
    return value


def connect(project: str, database: str) -> FirestoreDocuments:
    """The store of a deployed function, with the function's own credentials (or FIRESTORE_EMULATOR_HOST)."""
    return FirestoreDocuments(firestore.Client(project=project, database=database))


def _read(request: Callable[[], T]) -> T:
    """Runs a read, again if it fails for a moment; raises `Retryable` and `UndeclaredIndex`."""
    repeated: Callable[[], T] = _READ_AGAIN(request)
    try:
        return repeated()
    except exceptions.FailedPrecondition as error:
        raise UndeclaredIndex("Firestore has no index for this query") from error
    except _TRANSIENT as error:
        raise Retryable("Firestore did not answer the read") from error


def _commit_error(error: exceptions.GoogleAPICallError, writes: Sequence[Write]) -> Exception:
    """What a failed commit means to the caller; errors of no meaning to the port stay what they are."""
    if isinstance(error, exceptions.AlreadyExists):
        return AlreadyExists("a document to create is there already")
    if isinstance(error, exceptions.FailedPrecondition):
        return VersionConflict("a document is gone or no longer at the version that was read")
    if isinstance(error, exceptions.NotFound) and any(isinstance(write, Update | Delete) for write in writes):
        return VersionConflict("a document to update is gone")
    if isinstance(error, exceptions.InvalidArgument) and _OVER_SIZE.search(error.message):
        # Only the server knows the size of a document that was updated in part.
        return TooLarge("document_too_large", "A document must not be larger than 1 MiB.")
    if isinstance(error, _TRANSIENT):
        return Retryable("Firestore did not confirm the commit")
    return error
