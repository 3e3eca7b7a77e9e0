"""Turns queries and indexes into SQLite's SQL; everything is filtered, sorted and cut there, not in Python.

Beside its data, a document has `keys`: a JSON object with the order key of each field (and, for lists, those of their
elements), so that comparing texts compares values as Firestore does. It must not run anything.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from shared.adapters.document_order import order_key, type_bounds
from shared.adapters.document_queries import Plan
from shared.ports import Filter, Index, Order

# `keys` stands before `data` so that reading a key never touches the pages of a long document.
SCHEMA = """
CREATE TABLE IF NOT EXISTS documents (
    collection TEXT NOT NULL,
    id TEXT NOT NULL,
    version INTEGER NOT NULL,
    keys TEXT NOT NULL,
    data TEXT NOT NULL,
    PRIMARY KEY (collection, id)
);
CREATE TABLE IF NOT EXISTS collections (
    name TEXT PRIMARY KEY,
    changes INTEGER NOT NULL
) WITHOUT ROWID;
"""

_SIMPLE_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True)
class Condition:
    """Some SQL with its parameters."""

    sql: str
    parameters: tuple[Any, ...] = ()


def keys_of(data: Mapping[str, Any]) -> str:
    """The `keys` of a document's plain data."""
    keys: dict[str, Any] = {}
    for name, value in data.items():
        keys[_key_name(name)] = order_key(value)
        if isinstance(value, list):
            keys[f"[{_key_name(name)}"] = [order_key(item) for item in value if not isinstance(item, dict)]
    return json.dumps(keys, ensure_ascii=False, separators=(",", ":"))


def where_clause(made: Plan, after: tuple[Sequence[Any], str] | None = None) -> Condition:
    """What a document must fulfil; `after` are the values and the stored id of the one before the page."""
    filtered = {entry.field for entry in made.where if entry.operator != "array_contains"}
    parts = [Condition(f"collection = {_literal(made.collection)}"), *map(_filter, made.where)]
    parts += [Condition(f"{_key(entry.field)} IS NOT NULL") for entry in made.orders if entry.field not in filtered]
    if after is not None:
        parts.append(_after(made, *after))
    return _joined(" AND ", parts)


def order_clause(made: Plan) -> str:
    """The full order, ids last."""
    return ", ".join(f"{column} {'DESC' if descending else 'ASC'}" for column, descending in _columns(made))


def composite_index(index: Index) -> str:
    """The statement that makes a declared index, if it is not there."""
    return _index(index.collection, index.fields)


def single_field_indexes(made: Plan) -> list[str]:
    """Statements for the indexes of single fields that a query without a composite index can use."""
    ordered = {entry.field for entry in made.orders}
    filtered = {entry.field for entry in made.where if entry.operator != "array_contains"}
    return [_index(made.collection, (Order(field),)) for field in sorted(ordered | filtered)]


def _index(collection: str, fields: Sequence[Order]) -> str:
    """Holds one collection only, so that other collections' writes do not pay for it.

    `collection` comes first all the same: SQLite's planner prefers the primary key to an index without it.
    """
    columns = [("collection", False), *((_key(entry.field), entry.descending) for entry in fields)]
    columns.append(("id", fields[-1].descending))
    listed = ", ".join(f"{column} {'DESC' if descending else 'ASC'}" for column, descending in columns)
    name = hashlib.sha256(f"{collection}: {listed}".encode()).hexdigest()[:24]
    only = f"WHERE collection = {_literal(collection)}"
    return f"CREATE INDEX IF NOT EXISTS documents_{name} ON documents ({listed}) {only}"


def _columns(made: Plan) -> list[tuple[str, bool]]:
    columns = [(_key(entry.field), entry.descending) for entry in made.orders]
    return [*columns, ("id", made.ids_descending)]


def _filter(entry: Filter) -> Condition:
    column = _key(entry.field)
    if entry.operator == "==":
        return Condition(f"{column} = ?", (order_key(entry.value),))
    if entry.operator == "in":
        return Condition(f"{column} IN ({_marks(len(entry.value))})", tuple(map(order_key, entry.value)))
    if entry.operator == "array_contains":
        elements = f"json_each(keys, '$.\"[{_key_name(entry.field)}\"')"
        exists = f"EXISTS (SELECT 1 FROM {elements} WHERE value = ?)"  # noqa: S608 - the name holds no quotes
        return Condition(exists, (order_key(entry.value),))
    return _range(column, entry)


def _range(column: str, entry: Filter) -> Condition:
    lowest, beyond = type_bounds(entry.value)
    bound = order_key(entry.value)
    if entry.operator in ("<", "<="):
        return Condition(f"{column} >= ? AND {column} {entry.operator} ?", (lowest, bound))
    return Condition(f"{column} {entry.operator} ? AND {column} < ?", (bound, beyond))


def _after(made: Plan, values: Sequence[Any], stored: str) -> Condition:
    """Behind the cursor: a later first column, or the same one and behind in what follows.

    The first part repeats what the second implies, in a form for which SQLite starts its index in the right place.
    """
    columns = _columns(made)
    bounds = [*map(order_key, values), stored]
    behind = Condition("FALSE")
    for (column, descending), bound in reversed(list(zip(columns, bounds, strict=True))):
        sign = "<" if descending else ">"
        parameters = (bound, bound, *behind.parameters)
        behind = Condition(f"({column} {sign} ? OR ({column} = ? AND {behind.sql}))", parameters)
    first, descending = columns[0]
    start = Condition(f"{first} {'<=' if descending else '>='} ?", (bounds[0],))
    return _joined(" AND ", [start, behind])


def _joined(word: str, parts: Sequence[Condition]) -> Condition:
    return Condition(word.join(part.sql for part in parts), tuple(value for part in parts for value in part.parameters))


def _key(field: str) -> str:
    return f"json_extract(keys, '$.\"{_key_name(field)}\"')"


def _key_name(field: str) -> str:
    """Unusual names in hexadecimal, so that no name needs quoting inside a path inside SQL."""
    return field if _SIMPLE_NAME.fullmatch(field) else f"%{field.encode().hex()}"


def _literal(collection: str) -> str:
    """SQLite uses a partial index only for a literal, not for a parameter; a checked name needs no escaping."""
    return f"'{collection}'"


def _marks(count: int) -> str:
    return ", ".join("?" * count)
