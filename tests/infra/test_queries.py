"""Every query that the code can ask is served by a declared index, and every declared index by some query.

Each function of the repositories is called with every combination of what it may be asked, on a store that is empty.
The queries are caught where they are made, and the places where they are made are counted in the source: one that no
call here reaches fails a test, so that nothing is declared, or left out, unseen.
"""

from __future__ import annotations

import ast
import dataclasses
import inspect
import itertools
import pkgutil
import sys
import types
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from enum import Enum
from functools import partial
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from infra import topology
from shared import repositories
from shared.adapters.document_queries import plan
from shared.domain.incidents import Incident, IncidentStatus, Outcome, Priority
from shared.errors import SightlineError, UndeclaredIndex
from shared.handlers import bundle_parts
from shared.ports import Document, Documents, Index, Page, Query, Unindexed
from shared.repositories import incident_search
from tests.fakes import NOON

STATED = topology.load().document_indexes()
DECLARED = [stated for stated in STATED if isinstance(stated, Index)]
EXEMPT = [stated for stated in STATED if isinstance(stated, Unindexed)]
"""Fields that have no index of their own, so that a query of one of them alone is refused as well."""

INCIDENT = Incident("i", "gate", "Gate", IncidentStatus.CREATED, Priority.HIGH, NOON, None)


class Empty:
    """A store with nothing in it. What is written to it is gone, which is all that these tests need."""

    def get(self, collection: str, id: str) -> Document | None:
        return None

    def get_many(self, keys: Sequence[tuple[str, str]]) -> list[Document | None]:
        return [None] * len(keys)

    def commit(self, writes: Sequence[object]) -> None:
        return

    def query(self, query: Query, *, limit: int = 100, cursor: str | None = None) -> Page:
        return Page((), None)

    def count(self, query: Query) -> int:
        return 0

    def watch(self, query: Query, on_change: Callable[[tuple[Document, ...]], None]) -> object:
        return self


def modules() -> list[ModuleType]:
    found = pkgutil.iter_modules(repositories.__path__)
    return [import_module(f"shared.repositories.{module.name}") for module in found]


SEARCHES = [
    incident_search.Search(*combination)
    for combination in itertools.product(
        ((), (IncidentStatus.CREATED,)),
        ((), (Priority.HIGH,)),
        ((), (Outcome.RESOLVED,)),
        (None, "gate"),
        (None, "guard-1"),
        (None, True),
        (None, NOON),
        (None, NOON),
        (None, ("gate", "hall")),
    )
]
"""Every combination of the filters of GET /incidents."""


def values_of(annotation: Any) -> Iterable[Any]:
    """Values of a parameter's type, each of which may make another query."""
    origin = typing.get_origin(annotation)
    if origin in {types.UnionType, typing.Union}:
        return [value for part in typing.get_args(annotation) for value in values_of(part)]
    if annotation is incident_search.Search:
        return SEARCHES
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return list(annotation)[:1]
    if origin in {tuple, Sequence, Iterable}:
        (inner, *_) = typing.get_args(annotation)
        return [tuple(itertools.islice(values_of(inner), 1))]
    if origin is Callable:
        return [lambda *_: None]
    known: dict[Any, list[Any]] = {
        Documents: [Empty()],
        Incident: [INCIDENT],
        NoneType: [None],
        bool: [True, False],
        datetime: [NOON],
        int: [1],
        str: ["x"],
    }
    return known.get(annotation, [])


NoneType = type(None)


def calls() -> Iterator[Callable[[], object]]:
    """Every public function of the repositories that is given the store, with everything it may be asked."""
    for module in modules():
        for name, function in inspect.getmembers(module, inspect.isfunction):
            if function.__module__ != module.__name__ or name.startswith("_"):
                continue
            hints = typing.get_type_hints(function)
            parameters = list(inspect.signature(function).parameters)
            if hints.get("documents") is not Documents:
                continue
            for values in itertools.product(*(list(values_of(hints[each])) for each in parameters)):
                yield partial(asked, function, dict(zip(parameters, values, strict=True)))
    deps = bundle_parts.Deps(typing.cast("Documents", Empty()), *[typing.cast("Any", None)] * 2)
    yield lambda: [exhausted(getattr(part, "blocks", ())) for part in bundle_parts.parts(INCIDENT, deps)]


def asked(function: Callable[..., object], arguments: Mapping[str, object]) -> object:
    return exhausted(function(**arguments))


def exhausted(result: object) -> object:
    """Generators ask when they are read."""
    return list(result) if isinstance(result, Iterator) else result


@pytest.fixture(scope="module")
def made() -> list[tuple[str, Query]]:
    """Every query that was made, one of each shape, with the function that made it as `module:function`."""
    found: list[tuple[str, Query]] = []
    original = Query.__init__

    def recording(self: Query, *arguments: Any, **named: Any) -> None:
        original(self, *arguments, **named)
        frame = sys._getframe(1)
        while frame.f_globals["__name__"] == dataclasses.__name__ and frame.f_back:
            frame = frame.f_back
        found.append((f"{frame.f_globals['__name__']}:{frame.f_code.co_qualname.partition('.')[0]}", self))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Query, "__init__", recording)
        for call in calls():
            try:
                call()
            except SightlineError:
                continue  # what is asked for is not there; the question was asked
    for module in modules():
        found += [(f"{module.__name__}:<module>", each) for each in vars(module).values() if isinstance(each, Query)]
    return list({(site, shape(query)): (site, query) for site, query in found}.values())


def shape(query: Query) -> object:
    """What an index is chosen by: all but the values."""
    return query.collection, tuple((each.field, each.operator) for each in query.where), query.order_by


def sites() -> set[str]:
    """Where queries are made, as the source says: `module:function`, or `module:<module>` for constants."""
    return {
        f"{module}:{top.name if isinstance(top, ast.FunctionDef) else '<module>'}"
        for module, tree in sources()
        for top in tree.body
        for node in ast.walk(top)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Query"
    }


def sources() -> Iterator[tuple[str, ast.Module]]:
    """The modules that know the port's `Query`; FastAPI's is another."""
    for path in sorted((topology.ROOT / "shared").rglob("*.py")):
        tree = ast.parse(path.read_text())
        imported = {
            alias.name
            for node in ast.walk(tree)
            if isinstance(node, ast.ImportFrom) and node.module == "shared.ports"
            for alias in node.names
        }
        if "Query" in imported and "adapters" not in path.parts:
            yield ".".join(Path(path).relative_to(topology.ROOT).with_suffix("").parts), tree


def test_every_place_that_makes_a_query_is_reached(made: list[tuple[str, Query]]) -> None:
    assert sites() - {site for site, _ in made} == set()
    assert len(sites()) > 40


def test_every_query_is_served_by_what_is_declared(made: list[tuple[str, Query]]) -> None:
    assert unserved(made, DECLARED) == {}


JOINED = {"incidents"}
"""Collections whose indexes Firestore joins for a query of several filters; every other query has one of its own."""


def unserved(made: Iterable[tuple[str, Query]], indexes: Sequence[Index]) -> dict[str, str]:
    """What the store would say of the queries that no index serves, by the place that makes them."""
    found = {}
    for site, query in made:
        together = query.collection in JOINED
        said = [refusal(query, chosen) for chosen in ([indexes] if together else [[each] for each in indexes])]
        if all(said):
            found[site] = str(said[0])
    return found


def refusal(query: Query, indexes: Sequence[Index]) -> str | None:
    try:
        plan(query, [*indexes, *EXEMPT])
    except UndeclaredIndex as error:
        return str(error)
    return None


@pytest.mark.parametrize("number", range(len(DECLARED)), ids=lambda number: topology.load().indexes[number].collection)
def test_no_declared_index_could_be_spared(made: list[tuple[str, Query]], number: int) -> None:
    assert unserved(made, DECLARED[:number] + DECLARED[number + 1 :]), DECLARED[number]


def test_a_query_that_none_serves_is_told_with_the_place_that_makes_it(made: list[tuple[str, Query]]) -> None:
    without = [index for index in DECLARED if index.collection != "replays"]
    assert unserved(made, without) == {
        "shared.repositories.replays:newest": "no declared index of replays serves (asset_id, requested_at descending)"
    }
