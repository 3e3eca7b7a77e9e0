"""What a fleet's day adds up to, by what each happening asks for. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

from bench.load_on_paper.demand import Demand
from bench.load_on_paper.fleet import Fleet
from infra import topology

MESSAGE_BYTES = 1_000
"""Pub/Sub bills at least so many for each message: once published, and once for each subscription."""

WAITING = {"context": 20.0, "moderate": 4.0}
"""Seconds that the embedded home does not spend: the answer of Gemini; and instead of reading text by itself (most of
its time), the answer of Vision. Assumptions."""

MINUTES = 24 * 60


@dataclass(frozen=True)
class Totals:
    """A day's sums. `calls`, and `seconds` of one call, by function; `tasks`: timers set."""

    fleet: Fleet
    happenings: Mapping[str, float]
    calls: Mapping[str, float]
    seconds: Mapping[str, float]
    reads: float
    writes: float
    created: float
    deletes: float
    messages: float
    message_bytes: float
    tasks: float
    class_a: float
    class_b: float
    requests: float


def happenings(fleet: Fleet) -> dict[str, float]:
    """How often each thing happens on a day; the names are those of `demand.json`.

    Every violent clip opens an incident or joins one: all are taken to open one, and so is one signal in ten.
    """
    violent = fleet.clips * fleet.violent
    opening = fleet.signals * 0.1
    rest = fleet.signals - opening
    return {
        "calm upload": fleet.clips - violent,
        "violent upload": violent,
        "signal logged only": rest * 0.5,
        "first signal": opening,
        "signal attached": rest * 0.5 * (1 - fleet.pictured),
        "signal attached, with picture": rest * 0.5 * fleet.pictured,
        "incident handled": violent + opening,
        "list looked at": fleet.screens * 86_400 / fleet.refresh,
        "minute of the sweeper": float(MINUTES),
    }


def seconds_of(demands: Mapping[str, Demand], declared: topology.Topology) -> dict[str, float]:
    """How long one call of each function takes: as measured, or as assumed; what was never measured, 0.1 s."""
    measured: dict[str, float] = {}
    for demand in demands.values():
        for name, each in demand.seconds.items():
            measured[name] = max(measured.get(name, 0.0), each)
    return {name: WAITING.get(name, measured.get(name, 0.1)) for name in declared.functions}


def totals(fleet: Fleet, demands: Mapping[str, Demand], declared: topology.Topology) -> Totals:
    """The sums. Raises KeyError where a happening was not measured."""
    times = happenings(fleet)
    calls: defaultdict[str, float] = defaultdict(float)
    sums: defaultdict[str, float] = defaultdict(float)
    for name, count in times.items():
        demand = demands[name]
        for function, each in demand.calls(declared).items():
            calls[function] += count * each
        for what, asked in _sums_of(demand, declared).items():
            sums[what] += count * asked
    return Totals(fleet, times, calls, seconds_of(demands, declared), **sums)


def _sums_of(demand: Demand, declared: topology.Topology) -> dict[str, float]:
    """What one happening asks for, by the names of `Totals`."""
    return {
        "reads": demand.reads,
        "writes": demand.written,
        "created": sum(demand.created.values()),
        "deletes": demand.deletes,
        "messages": sum(demand.messages.values()),
        "message_bytes": _billed_bytes(demand, declared),
        "tasks": demand.messages.get("alert-due", 0),
        "class_a": demand.class_a,
        "class_b": demand.class_b,
        "requests": sum(demand.requests.values()),
    }


def _billed_bytes(demand: Demand, declared: topology.Topology) -> float:
    """Of one happening: published once, delivered to each subscription of its topic."""
    copies = {
        topic: 1 + sum(topic in function.triggers for function in declared.event_functions().values())
        for topic in demand.messages
    }
    mean = max(MESSAGE_BYTES, demand.message_bytes / max(1, sum(demand.messages.values())))
    return mean * sum(copies[topic] * count for topic, count in demand.messages.items())
