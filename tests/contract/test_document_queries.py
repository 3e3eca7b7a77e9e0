"""What every home of the `Documents` port promises about queries, pages and counts."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from shared.errors import InvalidKey, Malformed, UndeclaredIndex
from shared.ports import Create, Delete, Documents, Filter, Operator, Order, Query, Set, Update, Write

NOON = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)

IN_ORDER: list[Any] = [
    None, False, True, math.nan, -math.inf, -(2**63), -5, -0.5, 0, 0.5, 1, 2.0**53, 2**53 + 1, 2**63 - 1, math.inf,
    NOON, NOON + timedelta(microseconds=1), "", "A", "a", "a\x00", "a\x00b", "a\x01", "a\x02", "aa", "é", "\uffee",
    "😀", b"", b"\x00", b"a", b"a\x00", b"\xff", ["a"], {"a": 1},
]  # fmt: skip


def fill(documents: Documents, rows: Mapping[str, Mapping[str, Any]], collection: str = "things") -> None:
    documents.commit([Create(collection, id, fields) for id, fields in rows.items()])


def ids(
    documents: Documents, *where: Filter, order: tuple[Order, ...] = (), limit: int = 100, collection: str = "things"
) -> list[str]:
    page = documents.query(Query(collection, where, order), limit=limit)
    return [document.id for document in page.documents]


class TestOrder:
    @pytest.mark.parametrize("descending", [False, True])
    def test_values_of_all_types_sort_as_in_firestore(self, documents: Documents, descending: bool) -> None:
        rows = [(f"{number:02}", {"v": value}) for number, value in enumerate(IN_ORDER)]
        fill(documents, dict(random.Random(1).sample(rows, len(rows))))
        expected = sorted((id for id, _ in rows), reverse=descending)
        assert ids(documents, order=(Order("v", descending),)) == expected

    def test_documents_without_the_field_are_left_out(self, documents: Documents) -> None:
        fill(documents, {"a": {"v": 1}, "b": {"w": 1}, "c": {"v": None}})
        assert ids(documents, order=(Order("v"),)) == ["c", "a"]
        assert documents.count(Query("things", order_by=(Order("v"),))) == 2

    @pytest.mark.parametrize(("descending", "expected"), [(False, ["/", "A", "a", "é", "😀"]), (True, None)])
    def test_ties_are_broken_by_id(self, documents: Documents, descending: bool, expected: list[str] | None) -> None:
        """By the bytes of the stored id, in the direction of the last order; `/` is stored as `%2F`."""
        fill(documents, {id: {"v": 1} for id in ("é", "a", "😀", "/", "A")})
        found = ids(documents, order=(Order("v", descending),))
        assert found == (expected or ["😀", "é", "a", "A", "/"])

    def test_without_an_order_ids_sort(self, documents: Documents) -> None:
        fill(documents, {id: {} for id in ("c", "a", "b")})
        assert ids(documents) == ["a", "b", "c"]

    def test_other_collections_are_not_seen(self, documents: Documents) -> None:
        fill(documents, {"a": {"v": 1}})
        fill(documents, {"b": {"v": 1}}, "others")
        assert ids(documents, Filter("v", "==", 1)) == ["a"]

    def test_two_orders_one_descending(self, documents: Documents) -> None:
        rows = {f"{rank}{minute}": {"rank": rank, "at": minute} for rank in range(3) for minute in range(3)}
        fill(documents, rows)
        found = ids(documents, order=(Order("rank", descending=True), Order("at")))
        assert found == ["20", "21", "22", "10", "11", "12", "00", "01", "02"]


class TestFilters:
    @pytest.mark.parametrize(
        ("operator", "value", "expected"),
        [
            ("==", 1, ["int", "float"]),
            ("==", 0, ["minus", "zero"]),
            ("==", 2**53 + 1, []),
            ("==", True, ["true"]),
            ("==", None, ["null"]),
            ("==", math.nan, ["nan"]),
            ("==", "1", ["text"]),
            ("<", 1, ["minus", "zero"]),
            ("<=", 1.0, ["minus", "zero", "int", "float"]),
            (">", 0, ["int", "float", "big"]),
            (">=", "", ["text"]),
            ("<", True, []),
            (">=", NOON - timedelta(hours=1), ["noon"]),
            ("<", NOON, []),
            (">", b"", ["bytes"]),
            ("in", [1, "1", 7], ["int", "float", "text"]),
            ("array_contains", 1, ["list"]),
            ("array_contains", "x", ["list"]),
            ("array_contains", 2, []),
        ],
    )
    def test_compare_values_of_their_own_type(
        self, documents: Documents, operator: Operator, value: Any, expected: list[str]
    ) -> None:
        rows: dict[str, Any] = {
            "null": None, "true": True, "nan": math.nan, "minus": -0.0, "zero": 0, "int": 1, "float": 1.0,
            "big": 2.0**53, "noon": NOON, "text": "1", "bytes": b"1", "list": [1.0, "x", {"y": 2}], "map": {"y": 1},
        }  # fmt: skip
        fill(documents, {id: {"v": content} for id, content in rows.items()} | {"absent": {"w": value}})
        assert set(ids(documents, Filter("v", operator, value))) == set(expected)
        assert documents.count(Query("things", (Filter("v", operator, value),))) == len(expected)

    def test_a_range_sorts_by_its_field(self, documents: Documents) -> None:
        fill(documents, {"a": {"v": 3}, "b": {"v": 1}, "c": {"v": 2}, "d": {"v": 9}})
        assert ids(documents, Filter("v", ">=", 1), Filter("v", "<", 9)) == ["b", "c", "a"]

    def test_several_equalities_need_no_index(self, documents: Documents) -> None:
        fill(documents, {"a": {"x": 1, "y": 1, "z": ["t"]}, "b": {"x": 1, "y": 2, "z": ["t"]}, "c": {"x": 1, "y": 1}})
        found = ids(documents, Filter("x", "==", 1), Filter("y", "in", [1, 3]), Filter("z", "array_contains", "t"))
        assert found == ["a"]

    def test_unusual_field_names(self, documents: Documents) -> None:
        fill(documents, {"a": {"x.y": 1, "é 'q\"": [1]}, "b": {"x.y": 2, "é 'q\"": [2]}, "c": {"x": {"y": 2}}})
        assert ids(documents, Filter("x.y", "==", 2)) == ["b"]
        assert ids(documents, Filter("é 'q\"", "array_contains", 1)) == ["a"]
        assert ids(documents, order=(Order("x.y", descending=True),)) == ["b", "a"]

    def test_long_texts_that_begin_alike_differ(self, documents: Documents) -> None:
        fill(documents, {"a": {"v": "x" * 3000 + "a"}, "b": {"v": "x" * 3000 + "b"}})
        assert documents.count(Query("things", (Filter("v", ">=", "x"),))) == 2

    @pytest.mark.parametrize(
        "refused",
        [
            Filter("v", "<", None),
            Filter("v", ">=", math.nan),
            Filter("v", "in", []),
            Filter("v", "in", list(range(31))),
            Filter("v", "in", [None]),
            Filter("v", "array_contains", None),
            Filter("v", "==", [1]),
            Filter("v", "==", {"a": 1}),
            Filter("v", "==", datetime(2026, 1, 1)),  # noqa: DTZ001
            Filter("v", "like", "x"),  # type: ignore[arg-type]
        ],
    )
    def test_what_firestore_refuses_is_refused(self, documents: Documents, refused: Filter) -> None:
        with pytest.raises(ValueError):  # noqa: PT011 - each has its own message
            documents.query(Query("things", (refused,)))

    def test_odd_names_are_refused(self, documents: Documents) -> None:
        with pytest.raises(InvalidKey):
            documents.query(Query("things", (Filter("__name__", "==", "a"),)))
        with pytest.raises(InvalidKey):
            documents.query(Query("a/b"))


class TestIndexes:
    KIND = Filter("kind", "==", "k")

    @pytest.mark.parametrize(
        "query",
        [
            Query("things", (KIND,), (Order("at"),)),
            Query("things", (KIND,), (Order("at", descending=True),)),
            Query("things", (KIND, Filter("at", ">", NOON)), (Order("at", descending=True),)),
            Query("things", (KIND, Filter("at", ">", NOON))),
            Query("things", (Filter("kind", "in", ["k", "l"]),), (Order("at"),)),
            Query("things", (KIND, Filter("place", "==", "p")), (Order("at"),)),  # two indexes merged
            Query("things", (KIND,), (Order("kind"),)),
            Query("things", (Filter("at", ">", NOON),), (Order("at", descending=True),)),
        ],
    )
    def test_declared_or_needless(self, documents: Documents, query: Query) -> None:
        fill(documents, {"a": {"kind": "k", "place": "p", "at": NOON + timedelta(hours=1)}})
        assert [document.id for document in documents.query(query).documents] == ["a"]
        assert documents.count(query) == 1

    @pytest.mark.parametrize(
        "query",
        [
            Query("others", (KIND,), (Order("at"),)),
            Query("things", (KIND,), (Order("since"),)),
            Query("things", (Filter("place", "==", "p"),), (Order("at", descending=True),)),
            Query("things", (), (Order("at"), Order("kind"))),
            Query("things", (), (Order("rank"), Order("at"))),
            Query("things", (KIND, Filter("other", "==", 1)), (Order("at"),)),
            Query("things", (Filter("kind", ">", "a"), Filter("at", ">", NOON))),
            Query("things", (Filter("tags", "array_contains", "t"),), (Order("at"),)),
        ],
    )
    def test_undeclared(self, documents: Documents, query: Query) -> None:
        with pytest.raises(UndeclaredIndex):
            documents.query(query)
        with pytest.raises(UndeclaredIndex):
            documents.count(query)
        with pytest.raises(UndeclaredIndex):
            documents.watch(query, lambda _: None)

    def test_an_exempt_field_is_served_by_a_composite_index_alone(self, documents: Documents) -> None:
        fill(documents, {"a": {"kind": "k", "at": NOON, "text": "t"}}, collection="memos")
        assert ids(documents, self.KIND, order=(Order("at"),), collection="memos") == ["a"]
        assert ids(documents, self.KIND, collection="memos") == ["a"]

    @pytest.mark.parametrize(
        "query",
        [
            Query("memos", (), (Order("at"),)),
            Query("memos", (Filter("at", ">", NOON),)),
            Query("memos", (KIND, Filter("text", "==", "t"))),
        ],
    )
    def test_nothing_else_serves_an_exempt_field(self, documents: Documents, query: Query) -> None:
        with pytest.raises(UndeclaredIndex):
            documents.query(query)
        with pytest.raises(UndeclaredIndex):
            documents.count(query)


class TestPages:
    QUERY = Query("things", (Filter("kind", "==", "k"),), (Order("at", descending=True),))

    def whole(self, documents: Documents, query: Query, limit: int) -> list[str]:
        return [id for page in self.pages(documents, query, limit) for id in page]

    def pages(self, documents: Documents, query: Query, limit: int) -> list[list[str]]:
        found, cursor = [], None
        while True:
            page = documents.query(query, limit=limit, cursor=cursor)
            found.append([document.id for document in page.documents])
            cursor = page.next_cursor
            if cursor is None:
                return found

    def test_all_pages_together_are_the_whole(self, documents: Documents) -> None:
        fill(
            documents,
            {f"{number:02}": {"kind": "k", "at": NOON + timedelta(hours=number // 3)} for number in range(20)},
        )
        found = self.pages(documents, self.QUERY, 4)
        assert [len(page) for page in found] == [4, 4, 4, 4, 4]
        assert [id for page in found for id in page] == [f"{number:02}" for number in reversed(range(20))]

    @pytest.mark.parametrize("descending", [False, True])
    def test_pages_over_values_of_all_types(self, documents: Documents, descending: bool) -> None:
        fill(documents, {f"{number:02}/": {"v": value} for number, value in enumerate(IN_ORDER[:-2])})
        found = self.whole(documents, Query("things", (), (Order("v", descending),)), 3)
        assert found == sorted((f"{number:02}/" for number in range(len(IN_ORDER) - 2)), reverse=descending)

    def test_pages_of_mixed_directions(self, documents: Documents) -> None:
        rows = {
            f"{rank}{minute}{tie}": {"rank": rank, "at": minute} for rank in (1, 2) for minute in (1, 2) for tie in "ab"
        }
        fill(documents, rows)
        query = Query("things", (), (Order("rank", descending=True), Order("at")))
        assert self.whole(documents, query, 3) == ["21a", "21b", "22a", "22b", "11a", "11b", "12a", "12b"]

    def test_pages_without_an_order_and_of_a_range(self, documents: Documents) -> None:
        fill(documents, {id: {"v": number} for number, id in enumerate("edcba")})
        assert self.pages(documents, Query("things"), 2) == [["a", "b"], ["c", "d"], ["e"]]
        assert self.pages(documents, Query("things", (Filter("v", ">", 0),)), 2) == [["d", "c"], ["b", "a"]]

    def test_a_cursor_holds_while_documents_come_and_go(self, documents: Documents) -> None:
        fill(documents, {id: {"kind": "k", "at": at} for at, id in enumerate("abcdef")})
        first = documents.query(self.QUERY, limit=2)
        assert [document.id for document in first.documents] == ["f", "e"]
        changes: list[Write] = [Delete("things", "e"), Delete("things", "c"), Update("things", "f", {"kind": "l"})]
        documents.commit(
            [*changes, Create("things", "new", {"kind": "k", "at": 9}), Set("things", "b2", {"kind": "k", "at": 1})]
        )
        second = documents.query(self.QUERY, limit=9, cursor=first.next_cursor)
        assert [document.id for document in second.documents] == ["d", "b2", "b", "a"]

    def test_a_cursor_outlives_a_moving_filter(self, documents: Documents) -> None:
        fill(documents, {str(number): {"at": NOON + timedelta(hours=number)} for number in range(4)})
        first = documents.query(Query("things", (Filter("at", ">", NOON),)), limit=1)
        later = Query("things", (Filter("at", ">", NOON + timedelta(minutes=1)),))
        second = documents.query(later, cursor=first.next_cursor)
        assert [document.id for document in second.documents] == ["2", "3"]

    def test_a_foreign_cursor_is_refused(self, documents: Documents) -> None:
        fill(documents, {id: {"kind": "k", "at": at} for at, id in enumerate("abc")})
        cursor = documents.query(self.QUERY, limit=1).next_cursor
        assert cursor is not None
        other_queries = [Query("things"), Query("others"), Query("things", self.QUERY.where, (Order("at"),))]
        for query in other_queries:
            with pytest.raises(Malformed):
                documents.query(query, cursor=cursor)
        for nonsense in ("", "x", "é", cursor[:-4], cursor + "AAAA", "bnVsbA", "W10", "WzEsMiwzXQ"):
            with pytest.raises(Malformed):
                documents.query(self.QUERY, cursor=nonsense)

    def test_a_page_holds_at_least_one(self, documents: Documents) -> None:
        with pytest.raises(ValueError, match="at least one"):
            documents.query(Query("things"), limit=0)

    def test_a_full_last_page_has_no_cursor(self, documents: Documents) -> None:
        fill(documents, {"a": {}, "b": {}})
        assert documents.query(Query("things"), limit=2).next_cursor is None
        assert documents.query(Query("empty"), limit=2).documents == ()
