"""What every home of the `Documents` port promises about single documents and commits."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta, timezone
from enum import StrEnum
from typing import Any

import pytest

from shared.errors import AlreadyExists, InvalidKey, Retryable, TooLarge, VersionConflict
from shared.ports import Create, Delete, Document, Documents, Increment, Set, Update, Write


def stored(documents: Documents, id: str = "a") -> Document:
    document = documents.get("things", id)
    assert document is not None
    return document


def data(documents: Documents, id: str = "a") -> Mapping[str, Any]:
    return stored(documents, id).data


def put(documents: Documents, fields: Mapping[str, Any], id: str = "a") -> Document:
    documents.commit([Set("things", id, fields)])
    return stored(documents, id)


def race(attempts: int, attempt: Callable[[int], None]) -> list[BaseException | None]:
    """Runs `attempt(0)`, `attempt(1)`, ... at once; gives what each raised. Those told to try again do."""

    def run(number: int) -> BaseException | None:
        while True:
            try:
                attempt(number)
            except Retryable:
                continue
            except Exception as error:
                return error
            return None

    with ThreadPoolExecutor(attempts) as threads:
        return list(threads.map(run, range(attempts)))


class TestCreateAndSet:
    def test_what_was_created_is_read_back(self, documents: Documents) -> None:
        documents.commit([Create("things", "a", {"name": "lamp", "count": 2})])
        document = stored(documents)
        assert (document.collection, document.id) == ("things", "a")
        assert document.data == {"name": "lamp", "count": 2}

    def test_absent_is_none(self, documents: Documents) -> None:
        assert documents.get("things", "nobody") is None

    def test_a_second_create_finds_the_first(self, documents: Documents) -> None:
        documents.commit([Create("things", "a", {"by": 1})])
        with pytest.raises(AlreadyExists):
            documents.commit([Create("things", "a", {"by": 2})])
        assert data(documents) == {"by": 1}

    def test_of_32_racing_creates_one_wins(self, documents: Documents) -> None:
        results = race(32, lambda number: documents.commit([Create("things", "a", {"by": number})]))
        winners = [number for number, error in enumerate(results) if error is None]
        assert len(winners) == 1
        assert data(documents) == {"by": winners[0]}
        assert sum(isinstance(error, AlreadyExists) for error in results) == 31

    def test_set_replaces_every_field(self, documents: Documents) -> None:
        put(documents, {"old": 1})
        assert put(documents, {"new": 2}).data == {"new": 2}

    def test_an_empty_document_is_there(self, documents: Documents) -> None:
        assert put(documents, {}).data == {}

    def test_nothing_to_commit_is_fine(self, documents: Documents) -> None:
        documents.commit([])


class TestUpdate:
    def test_only_the_named_fields_change(self, documents: Documents) -> None:
        put(documents, {"kept": {"x": 1, "y": 2}, "changed": {"x": 1, "y": 2}})
        documents.commit([Update("things", "a", {"changed": {"x": 3}, "added": 4})])
        assert data(documents) == {"kept": {"x": 1, "y": 2}, "changed": {"x": 3}, "added": 4}

    def test_names_with_dots_are_one_field(self, documents: Documents) -> None:
        put(documents, {"a.b": 1, "ü-x [*]": 1})
        documents.commit([Update("things", "a", {"a.b": {"c.d": 2}, "ü-x [*]": 2})])
        assert data(documents) == {"a.b": {"c.d": 2}, "ü-x [*]": 2}

    @pytest.mark.parametrize("version", [None, "stale"])
    def test_an_absent_document_is_a_conflict(self, documents: Documents, version: str | None) -> None:
        if version:
            version = put(documents, {}, "other").version
        with pytest.raises(VersionConflict):
            documents.commit([Update("things", "a", {"x": 1}, version=version)])
        assert documents.get("things", "a") is None

    def test_the_present_version_is_accepted_once(self, documents: Documents) -> None:
        version = put(documents, {"x": 1}).version
        documents.commit([Update("things", "a", {"x": 2}, version=version)])
        with pytest.raises(VersionConflict):
            documents.commit([Update("things", "a", {"x": 3}, version=version)])
        assert data(documents) == {"x": 2}

    def test_a_version_of_no_store_is_a_conflict(self, documents: Documents) -> None:
        put(documents, {"x": 1})
        with pytest.raises(VersionConflict):
            documents.commit([Update("things", "a", {"x": 2}, version="not a version")])

    def test_of_32_racing_updates_of_one_version_one_wins(self, documents: Documents) -> None:
        version = put(documents, {"by": None}).version
        results = race(32, lambda number: documents.commit([Update("things", "a", {"by": number}, version=version)]))
        winners = [number for number, error in enumerate(results) if error is None]
        assert len(winners) == 1
        assert data(documents) == {"by": winners[0]}
        assert sum(isinstance(error, VersionConflict) for error in results) == 31

    def test_a_document_made_again_has_a_new_version(self, documents: Documents) -> None:
        version = put(documents, {"x": 1}).version
        documents.commit([Delete("things", "a")])
        assert put(documents, {"x": 1}).version != version
        with pytest.raises(VersionConflict):
            documents.commit([Update("things", "a", {"x": 2}, version=version)])

    def test_a_write_that_changes_nothing_keeps_the_version(self, documents: Documents) -> None:
        """So a claim must write something of its own, such as a token, to be told from another's."""
        version = put(documents, {"x": 1}).version
        documents.commit([Update("things", "a", {"x": 1})])
        assert stored(documents).version == version
        documents.commit([Update("things", "a", {"x": 2})])
        assert stored(documents).version != version

    def test_an_update_of_nothing_is_refused(self, documents: Documents) -> None:
        put(documents, {"x": 1})
        with pytest.raises(ValueError, match="name a field"):
            documents.commit([Update("things", "a", {})])


class TestIncrement:
    def test_absent_counts_as_zero(self, documents: Documents) -> None:
        documents.commit([Increment("things", "a", "n", 2)])
        documents.commit([Increment("things", "a", "n"), Increment("things", "a", "m.x", -1)])
        assert data(documents) == {"n": 3, "m.x": -1}

    def test_the_other_fields_stay(self, documents: Documents) -> None:
        put(documents, {"n": 1, "x": {"y": 1}})
        documents.commit([Increment("things", "a", "n", 0.5)])
        assert data(documents) == {"n": 1.5, "x": {"y": 1}}

    def test_none_is_lost_between_many_threads(self, documents: Documents) -> None:
        results = race(100, lambda number: documents.commit([Increment("things", "a", "n", number)]))
        assert results == [None] * 100
        assert data(documents) == {"n": sum(range(100))}

    def test_integers_stop_at_64_bits(self, documents: Documents) -> None:
        put(documents, {"n": 2**63 - 1})
        documents.commit([Increment("things", "a", "n", 5)])
        assert data(documents) == {"n": 2**63 - 1}

    def test_what_is_no_number_gives_way(self, documents: Documents) -> None:
        put(documents, {"n": "text", "m": True})
        documents.commit([Increment("things", "a", "n", 5), Increment("things", "a", "m", 5)])
        assert data(documents) == {"n": 5, "m": 5}


class TestDelete:
    def test_a_deleted_document_is_gone_and_may_be_deleted_again(self, documents: Documents) -> None:
        put(documents, {"x": 1})
        documents.commit([Delete("things", "a")])
        documents.commit([Delete("things", "a")])
        assert documents.get("things", "a") is None

    def test_only_the_present_version_is_deleted(self, documents: Documents) -> None:
        old = put(documents, {"x": 1}).version
        new = put(documents, {"x": 2}).version
        with pytest.raises(VersionConflict):
            documents.commit([Delete("things", "a", version=old)])
        documents.commit([Delete("things", "a", version=new)])
        with pytest.raises(VersionConflict):
            documents.commit([Delete("things", "a", version=new)])


class TestAtomicity:
    @pytest.mark.parametrize(
        ("failing", "error"),
        [
            (Create("things", "there", {}), AlreadyExists),
            (Update("things", "absent", {"x": 1}), VersionConflict),
            (Delete("things", "absent", version="1"), VersionConflict),
            (Set("things", "large", {"x": "x" * (1 << 20)}), TooLarge),
            (Set("things", "x" * 1501, {}), InvalidKey),
        ],
    )
    @pytest.mark.parametrize("position", ["first", "last"])
    def test_one_failing_write_undoes_all(
        self, documents: Documents, failing: Write, error: type[Exception], position: str
    ) -> None:
        put(documents, {"x": 1}, "there")
        put(documents, {"x": 1}, "counted")
        others: list[Write] = [Create("things", "new", {}), Set("others", "b", {}), Increment("things", "counted", "x")]
        with pytest.raises(error):
            documents.commit([failing, *others] if position == "first" else [*others, failing])
        assert documents.get_many([("things", "new"), ("others", "b")]) == [None, None]
        assert data(documents, "there") == data(documents, "counted") == {"x": 1}

    def test_a_create_must_be_the_first_write_to_its_document(self, documents: Documents) -> None:
        with pytest.raises(ValueError, match="first write"):
            documents.commit([Increment("things", "a", "n"), Create("things", "a", {})])
        assert documents.get("things", "a") is None

    def test_an_update_of_one_version_may_be_followed_by_others_of_the_same_document(
        self, documents: Documents
    ) -> None:
        seen = put(documents, {"name": "lamp", "count": 2}).version
        writes = [Update("things", "a", {"count": 3}, version=seen), Update("things", "a", {"name": "torch"})]
        documents.commit(writes)
        assert data(documents) == {"name": "torch", "count": 3}
        with pytest.raises(VersionConflict):
            documents.commit(writes)
        assert data(documents) == {"name": "torch", "count": 3}

    def test_writes_to_one_document_happen_in_their_order(self, documents: Documents) -> None:
        writes: list[Write] = [Create("things", "a", {"n": 1}), Increment("things", "a", "n", 4)]
        documents.commit([*writes, Update("things", "a", {"m": 2})])
        assert data(documents) == {"n": 5, "m": 2}


class TestGetMany:
    def test_keeps_the_order_asked(self, documents: Documents) -> None:
        put(documents, {"n": 1}, "a")
        put(documents, {"n": 2}, "b/c")
        keys = [("things", "b/c"), ("things", "none"), ("things", "a"), ("others", "a"), ("things", "b/c")]
        found = documents.get_many(keys)
        assert [document and (document.id, document.data["n"]) for document in found] == [
            ("b/c", 2),
            None,
            ("a", 1),
            None,
            ("b/c", 2),
        ]

    def test_of_nothing_is_nothing(self, documents: Documents) -> None:
        assert documents.get_many([]) == []


class TestIds:
    @pytest.mark.parametrize(
        "id",
        [
            "a/b",
            "/",
            "a//b/",
            ".",
            "..",
            "...",
            "__id__",
            "____",
            "__",
            "%2F",
            "%",
            "é😀",
            "a b",
            "\n",
            "\x00",
            "x" * 1500,
        ],
    )
    def test_any_text_is_an_id(self, documents: Documents, id: str) -> None:
        put(documents, {"x": 1}, id)
        assert stored(documents, id).id == id

    def test_ids_that_look_alike_differ(self, documents: Documents) -> None:
        ids = ["a/b", "a%2Fb", "a%252Fb", "a%2fb", "é", "e\u0301", "A", "a"]
        documents.commit([Create("things", id, {"id": id}) for id in ids])
        assert [data(documents, id)["id"] for id in ids] == ids

    @pytest.mark.parametrize("id", ["", "x" * 1501, "é" * 751, "/" * 501, "\ud800"])
    def test_others_are_refused(self, documents: Documents, id: str) -> None:
        with pytest.raises(InvalidKey):
            documents.get("things", id)
        with pytest.raises(InvalidKey):
            documents.commit([Set("things", id, {})])

    @pytest.mark.parametrize("name", ["", "__x__", "x" * 1501, "a`b", "a\\b"])
    def test_reserved_field_names_are_refused(self, documents: Documents, name: str) -> None:
        with pytest.raises(InvalidKey):
            put(documents, {name: 1})

    @pytest.mark.parametrize("collection", ["", "a/b", "__x__", "a'b"])
    def test_odd_collections_are_refused(self, documents: Documents, collection: str) -> None:
        with pytest.raises(InvalidKey):
            documents.get(collection, "a")


class TestValues:
    @pytest.mark.parametrize(
        "value",
        [
            None, True, False, 0, 1, -1, 2**63 - 1, -(2**63), 0.0, 1.0, 0.1, math.inf, -math.inf, 5e-324,
            "", "é😀", "a\x00b", b"", b"\x00\xff", [], [1, "a", None, 1.0, True, b"x"], {}, {"a": {"b": [{"c": {}}]}},
            {"$time": "x"}, {"$$bytes": 1}, {"$float": "nan"}, {"a.b": {"c/d": 1, " ": 2}}, [{"$time": 1}],
        ],
    )  # fmt: skip
    def test_comes_back_as_it_was(self, documents: Documents, value: Any) -> None:
        put(documents, {"value": value, "in": {"list": [{"deep": value}]}})
        back = data(documents)
        assert (back["value"], back["in"]) == (value, {"list": [{"deep": value}]})
        assert type(back["value"]) is type(value)

    def test_minus_zero_and_nan_come_back(self, documents: Documents) -> None:
        back = put(documents, {"zero": -0.0, "nan": math.nan}).data
        assert math.copysign(1, back["zero"]) == -1
        assert math.isnan(back["nan"])

    def test_subclasses_come_back_as_what_they_extend(self, documents: Documents) -> None:
        class Colour(StrEnum):
            RED = "red"

        back = put(documents, {"colour": Colour.RED, "pair": (1, 2)}).data
        assert back == {"colour": "red", "pair": [1, 2]}
        assert type(back["colour"]) is str

    @pytest.mark.parametrize(
        "moment",
        [
            datetime(2026, 11, 20, 12, 0, 0, 123456, tzinfo=UTC),
            datetime(2026, 11, 20, 23, 30, tzinfo=timezone(timedelta(hours=-9, minutes=-30))),
            datetime(1969, 12, 31, 23, 59, 59, 999999, tzinfo=UTC),
            datetime(1, 1, 1, tzinfo=UTC),
            datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=UTC),
        ],
    )
    def test_moments_come_back_in_utc_to_the_microsecond(self, documents: Documents, moment: datetime) -> None:
        back = put(documents, {"at": moment, "list": [moment]}).data
        assert back == {"at": moment, "list": [moment]}
        assert back["at"].utcoffset() == timedelta(0)
        assert type(back["at"]) is datetime

    @pytest.mark.parametrize(
        "value",
        [
            datetime(2026, 1, 1), [[1]], [{"a": [[1]]}], 2**63, -(2**63) - 1, {1: 2}, {"a"}, object(), "\ud800",  # noqa: DTZ001
            datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=5))), [datetime(2026, 1, 1)],  # noqa: DTZ001
        ],
    )  # fmt: skip
    def test_what_no_home_can_store_is_refused(self, documents: Documents, value: Any) -> None:
        put(documents, {"x": 1})
        for write in (Set("things", "a", {"x": value}), Update("things", "a", {"x": value})):
            with pytest.raises(ValueError):  # noqa: PT011 - each value has its own message
                documents.commit([write])
        assert data(documents) == {"x": 1}

    @pytest.mark.parametrize(("levels", "accepted"), [(20, True), (21, False)])
    def test_maps_lie_at_most_20_deep(self, documents: Documents, levels: int, accepted: bool) -> None:
        value: Any = 1
        for _ in range(levels):
            value = {"a": value}
        if accepted:
            assert put(documents, {"x": value}).data == {"x": value}
        else:
            with pytest.raises(ValueError, match="20 levels"):
                put(documents, {"x": value})


class TestSizes:
    """1 MiB: `things` 7 bytes and `a` 2, 16 for the name, 32 for the document, then its fields."""

    def test_just_1_mib_is_stored(self, documents: Documents) -> None:
        fields = {"x": "x" * 500_000, "y": "y" * ((1 << 20) - 57 - 500_003 - 3)}
        assert put(documents, fields).data == fields
        with pytest.raises(TooLarge):
            put(documents, {**fields, "y": fields["y"] + "y"})

    def test_one_value_has_at_most_1_048_487_bytes(self, documents: Documents) -> None:
        put(documents, {"x": "x" * 1_048_487})
        with pytest.raises(TooLarge):
            put(documents, {"x": "x" * 1_048_488})

    def test_a_document_does_not_outgrow_it_by_updates(self, documents: Documents) -> None:
        put(documents, {"x": b"x" * 600_000})
        with pytest.raises(TooLarge):
            documents.commit([Update("things", "a", {"y": b"y" * 600_000})])
        assert set(data(documents)) == {"x"}
