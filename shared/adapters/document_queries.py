"""Queries and page cursors, the same for every home of the `Documents` port.

Decides what a query means (its full order), whether a declared index serves it, and what a cursor says.
It must not know any store.
"""

from __future__ import annotations

import base64
import hashlib
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from shared.adapters.document_values import check_collection, check_field, dump, load, plain_value
from shared.errors import Malformed, UndeclaredIndex
from shared.ports import Filter, Index, Order, Query, Unindexed

MAX_ALTERNATIVES = 30
"""How many values the `in` filters of one query may ask for, multiplied (Firestore's limit)."""

_RANGES = ("<", "<=", ">", ">=")


@dataclass(frozen=True)
class Plan:
    """A checked query. `orders` is the full order: fields with one value left out, filtered ranges put in.

    Last come the ids, in the direction `ids_descending`.
    """

    collection: str
    where: tuple[Filter, ...]
    orders: tuple[Order, ...]
    ids_descending: bool

    @property
    def needs_composite_index(self) -> bool:
        """Whether the stores' own index of every single field is not enough."""
        fields = {entry.field for entry in self.where} | {entry.field for entry in self.orders}
        contains_and_orders = any(entry.operator == "array_contains" for entry in self.where) and bool(self.orders)
        return bool(self.orders) and (len(fields) > 1 or contains_and_orders)


def plan(query: Query, indexes: Sequence[Index | Unindexed] | None) -> Plan:
    """Checks a query; `indexes` are the declared ones and exemptions, None leaves the judgement to the server.

    Raises `ValueError` for a query that Firestore would refuse, `InvalidKey` and `UndeclaredIndex`.
    """
    check_collection(query.collection)
    where = tuple(_checked(entry) for entry in query.where)
    _check_together(where)
    for entry in query.order_by:
        check_field(entry.field)
    descending = query.order_by[-1].descending if query.order_by else False
    made = Plan(query.collection, where, _full_order(where, query.order_by), descending)
    if indexes is not None:
        _check_served(made, indexes)
    return made


def _check_served(made: Plan, indexes: Sequence[Index | Unindexed]) -> None:
    if made.needs_composite_index:
        if not _served(made, [index for index in indexes if isinstance(index, Index)]):
            raise UndeclaredIndex(_wanted(made))
        return
    exempt = {entry.field for entry in indexes if isinstance(entry, Unindexed) and entry.collection == made.collection}
    asked = {entry.field for entry in made.where} | {entry.field for entry in made.orders}
    if named := exempt & asked:
        raise UndeclaredIndex(f"{made.collection} keeps no index of {', '.join(sorted(named))}")


def _checked(entry: Filter) -> Filter:
    check_field(entry.field)
    if entry.operator == "in":
        if not isinstance(entry.value, list | tuple) or not 1 <= len(entry.value) <= MAX_ALTERNATIVES:
            raise ValueError(f"an `in` filter takes a list of 1 to {MAX_ALTERNATIVES} values")
        return Filter(entry.field, "in", [_operand(value) for value in entry.value])
    if entry.operator == "==":
        return Filter(entry.field, "==", _operand(entry.value, any_scalar=True))
    if entry.operator in _RANGES or entry.operator == "array_contains":
        return Filter(entry.field, entry.operator, _operand(entry.value))
    raise ValueError(f"there is no operator {entry.operator!r}")


def _operand(value: Any, *, any_scalar: bool = False) -> Any:
    plain = plain_value(value)
    if isinstance(plain, list | dict):
        raise ValueError("a filter compares single values, not lists or maps")
    if not any_scalar and (plain is None or (isinstance(plain, float) and math.isnan(plain))):
        raise ValueError("None and NaN can only be compared by ==")
    return plain


def _check_together(where: tuple[Filter, ...]) -> None:
    if sum(entry.operator == "array_contains" for entry in where) > 1:
        raise ValueError("a query takes one `array_contains` filter")
    if math.prod(len(entry.value) for entry in where if entry.operator == "in") > MAX_ALTERNATIVES:
        raise ValueError(f"the `in` filters of a query must not ask for over {MAX_ALTERNATIVES} combinations")


def _full_order(where: tuple[Filter, ...], asked: tuple[Order, ...]) -> tuple[Order, ...]:
    """As Firestore completes it: an order on a field with one value says nothing; ranges sort by their field."""
    constant = {entry.field for entry in where if entry.operator == "=="}
    orders = [entry for entry in asked if entry.field not in constant]
    named = constant | {entry.field for entry in orders}
    descending = asked[-1].descending if asked else False
    ranged = sorted({entry.field for entry in where if entry.operator in _RANGES} - named)
    return (*orders, *(Order(field, descending) for field in ranged))


def _served(made: Plan, indexes: Iterable[Index]) -> bool:
    """Whether declared indexes, merged where there are several, cover the filters and end in exactly the order.

    An index of `Order` fields cannot say that one of them is a list, so none serves `array_contains` with an order.
    """
    if any(entry.operator == "array_contains" for entry in made.where):
        return False
    ordered = {entry.field for entry in made.orders}
    wanted = {entry.field for entry in made.where} - ordered
    covered: set[str] = set()
    found = False
    for index in indexes:
        cut = len(index.fields) - len(made.orders)
        prefix = {entry.field for entry in index.fields[:cut]}
        if index.collection == made.collection and index.fields[cut:] == made.orders and cut >= 0 and prefix <= wanted:
            covered |= prefix
            found = True
    return found and covered == wanted


def _wanted(made: Plan) -> str:
    ordered = [entry.field for entry in made.orders]
    equal = sorted({entry.field for entry in made.where} - set(ordered))
    last = [f"{entry.field} {'descending' if entry.descending else 'ascending'}" for entry in made.orders]
    return f"no declared index of {made.collection} serves ({', '.join([*equal, *last])})"


# --------------------------------------------------------------------------- cursors


def cursor_after(made: Plan, data: Mapping[str, Any], stored: str) -> str:
    """The cursor that continues after a document: its values in the order, and its stored id."""
    text = dump([_shape(made), [data[entry.field] for entry in made.orders], stored])
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def read_cursor(made: Plan, cursor: str) -> tuple[list[Any], str]:
    """The values and the stored id of a cursor; raises `Malformed` for one that another query gave out."""
    try:
        text = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        shape, values, stored = load(text.decode())
        if shape == _shape(made) and len(values) == len(made.orders) and isinstance(stored, str):
            return [plain_value(value) for value in values], stored
    except (ValueError, TypeError, RecursionError) as error:
        raise _foreign() from error
    raise _foreign()


def _foreign() -> Malformed:
    return Malformed("malformed_cursor", "The cursor is not one that this list gave out.")


def _shape(made: Plan) -> str:
    """What the query asks, without the values: a filter that moves with the time keeps its cursors."""
    filters = sorted((entry.field, entry.operator) for entry in made.where)
    orders = [(entry.field, entry.descending) for entry in made.orders]
    described = repr((made.collection, filters, orders, made.ids_descending))
    return hashlib.sha256(described.encode()).hexdigest()[:16]
