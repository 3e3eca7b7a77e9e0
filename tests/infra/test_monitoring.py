"""What is watched is what the code says: the filters of the planned metrics are held against real lines of the log."""

from __future__ import annotations

import ast
import importlib
import json
import logging
import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from infra import topology
from shared import logs
from shared.domain.sweeping import UploadReason, WorkReason
from tests.infra.planned import resources

DECLARED = topology.load()
LEVELS = {"exception": "error"}
CLAUSE = re.compile(r'^([\w.]+)(=~|=)"(.*)"$')
EXTRACT = re.compile(r'^REGEXP_EXTRACT\(jsonPayload\.(\w+), "(.*)"\)$|^EXTRACT\(jsonPayload\.(\w+)\)$')

# What is filled in where a line says one thing and its filter asks for another of several.
SAMPLES: dict[str, list[Any]] = {
    "swept": ["worker_silent", "work/1"],
    "given_up": ["worker_lost", "work/1"],
    "denied": ["GET", "/incidents", 401, 1.5],
    "stage_ended": ["done", 1, 2, 12.5],
    "stage_seconds": ["done", 1, 2, 12.5],
    "verdict_error": ["https://example.org/a.jpg", "fetch_failed"],
}

pytestmark = pytest.mark.xdist_group("terraform")


@pytest.fixture(scope="module")
def metrics(example_plan: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The planned metrics by their names without `sightline/`."""
    found = resources(example_plan, "google_logging_metric")
    return {metric["name"].removeprefix("sightline/"): metric for metric in found}


NAMES = sorted(
    re.findall(
        r"^    (\w+) += \{ logger = ", (topology.ROOT / "infra/modules/monitoring/log_metrics.tf").read_text(), re.M
    )
)


@cache
def said(module: str) -> tuple[tuple[str, str], ...]:
    """The level and the text, before anything is filled in, of every line that a module logs."""
    tree = ast.parse(Path(str(importlib.import_module(module).__file__)).read_text())
    return tuple(_lines(tree))


def _lines(tree: ast.AST) -> Iterator[tuple[str, str]]:
    for node in ast.walk(tree):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
            continue
        if not (isinstance(node.func.value, ast.Name) and node.func.value.id == "log"):
            continue
        texts = [each.value for each in node.args if isinstance(each, ast.Constant) and isinstance(each.value, str)]
        yield LEVELS.get(node.func.attr, node.func.attr), texts[0]


def written(module: str, text: str, arguments: list[Any]) -> dict[str, str]:
    """The line as Cloud Logging reads it."""
    record = logging.LogRecord(module, logging.INFO, "", 0, text, tuple(arguments), None)
    with logs.context(stage="detect"):
        line: dict[str, str] = json.loads(logs.JsonFormatter("project").format(record))
    return line


def arguments(text: str) -> list[Any]:
    """Something for each place that is filled in."""
    samples: dict[str, Any] = {"s": "x", "d": 3, "f": 1.5}
    return [samples[kind] for kind in re.findall(r"%[\d.]*([sdf])", text)]


def holds(condition: str, line: Mapping[str, str]) -> bool:
    """A filter whose clauses are all joined by AND; `=~` finds its expression anywhere."""
    for clause in condition.split(" AND "):
        found = CLAUSE.match(clause)
        assert found is not None, clause
        field, operator, wanted = found.groups()
        if field == "resource.type":
            assert wanted == "cloud_run_revision"
            continue
        value = line[field.removeprefix("jsonPayload.")]
        if not (re.search(wanted, value) if operator == "=~" else value == wanted):
            return False
    return True


def extracted(extractor: str, line: Mapping[str, str]) -> str | None:
    found = EXTRACT.match(extractor)
    assert found is not None, extractor
    if found[3]:
        return line.get(found[3])
    value = re.search(found[2], line[found[1]])
    return value[1] if value else None


def logger_of(metric: Mapping[str, Any]) -> str:
    return str(re.findall(r'jsonPayload\.logger="([^"]*)"', metric["filter"])[0])


def matching(name: str, metric: Mapping[str, Any]) -> list[dict[str, str]]:
    """The lines of the metric's module that it counts."""
    module = logger_of(metric)
    lines = []
    for _, text in said(module):
        wanted = arguments(text)
        sample = SAMPLES.get(name, wanted)
        line = written(module, text, sample if len(sample) == len(wanted) else wanted)
        if holds(metric["filter"], line):
            lines.append(line)
    return lines


def test_all_metrics_are_looked_at(metrics: dict[str, Any]) -> None:
    assert sorted(metrics) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_a_metric_counts_what_the_code_says(metrics: dict[str, Any], name: str) -> None:
    lines = matching(name, metrics[name])
    assert len({line["message"] for line in lines}) == (2 if name == "sweep_failed" else 1)


@pytest.mark.parametrize("name", NAMES)
def test_labels_and_values_are_read_from_the_lines(metrics: dict[str, Any], name: str) -> None:
    metric = metrics[name]
    for line in matching(name, metric):
        for extractor in (metric["label_extractors"] or {}).values():
            assert extracted(extractor, line), (extractor, line)
        if metric["value_extractor"]:
            value = extracted(metric["value_extractor"], line)
            assert value is not None
            assert float(value) > 0


def test_labels_are_declared(metrics: dict[str, Any]) -> None:
    for name, metric in metrics.items():
        (descriptor,) = metric["metric_descriptor"]
        assert {label["key"] for label in descriptor["labels"]} == set(metric["label_extractors"] or {}), name


def test_everything_the_sweeper_starts_again_is_counted(metrics: dict[str, Any]) -> None:
    again = {str(reason) for reason in WorkReason if reason.asks_again} | {str(UploadReason.NOTIFICATION_LOST)}
    ended = {
        str(reason) for reason in (WorkReason.WORKER_LOST, WorkReason.RETRIES_EXHAUSTED, WorkReason.NEVER_DELIVERED)
    }
    assert again <= _alternatives(metrics["swept"])
    assert ended == _alternatives(metrics["given_up"])


def _alternatives(metric: Mapping[str, Any]) -> set[str]:
    return set(re.findall(r"\^\(([a-z_|]+)\)", metric["filter"])[0].split("|"))


@pytest.fixture(scope="module")
def policies(example_plan: dict[str, Any]) -> list[dict[str, Any]]:
    return resources(example_plan, "google_monitoring_alert_policy")


def test_every_alert_names_a_runbook(policies: list[dict[str, Any]]) -> None:
    for policy in policies:
        content = policy["documentation"][0]["content"]
        assert re.search(r"What to do: docs/operations\.md#[a-z-]+$", content), policy["display_name"]


def test_the_section_that_an_alert_names_is_there(policies: list[dict[str, Any]]) -> None:
    handbook = (topology.ROOT / "docs" / "operations.md").read_text()
    sections = {heading.lower().replace(" ", "-") for heading in re.findall(r"^#+ ([\w ]+)$", handbook, re.MULTILINE)}
    named = {policy["documentation"][0]["content"].rpartition("#")[2] for policy in policies}
    assert {"alerts", "dead-letters"} <= named <= sections


def test_every_function_that_somebody_waits_for_is_watched_for_slowness(policies: list[dict[str, Any]]) -> None:
    slow = {policy["display_name"].removeprefix("Sightline: ").removesuffix(" answers slowly") for policy in policies}
    waited_for = {name for name, f in DECLARED.http_functions().items() if f.platform == "function"}
    assert waited_for <= slow
    assert "live" not in slow


def test_what_runs_by_schedule_is_missed(policies: list[dict[str, Any]]) -> None:
    (absent,) = [
        condition for policy in policies for outer in policy["conditions"] for condition in outer["condition_absent"]
    ]
    assert 'service_name="maintain"' in absent["filter"]
    assert absent["duration"] == "600s"


def test_filters_name_one_metric_and_one_resource(policies: list[dict[str, Any]]) -> None:
    """Cloud Monitoring refuses others."""
    thresholds = [each for p in policies for c in p["conditions"] for each in c["condition_threshold"]]
    told = [each["filter"] for each in thresholds if each.get("filter")]  # some are not known before an apply
    assert told
    for condition in told:
        assert condition.count("metric.type=") == condition.count("resource.type=") == 1, condition


def test_an_aligned_denominator_goes_with_its_numerator(policies: list[dict[str, Any]]) -> None:
    ratios = [
        each
        for p in policies
        for c in p["conditions"]
        for each in c["condition_threshold"]
        if each["denominator_filter"]
    ]
    assert ratios
    for ratio in ratios:
        assert ratio["aggregations"] == ratio["denominator_aggregations"]


def test_the_page_shows_what_is_measured(example_plan: dict[str, Any], metrics: dict[str, Any]) -> None:
    (page,) = resources(example_plan, "google_monitoring_dashboard")
    shown = json.loads(page["dashboard_json"])
    lines = [line for widget in shown["gridLayout"]["widgets"] for line in widget["xyChart"]["dataSets"]]
    filters = [line["timeSeriesQuery"]["timeSeriesFilter"]["filter"] for line in lines]
    own = {name for each in filters for name in re.findall(r"logging\.googleapis\.com/user/sightline/(\w+)", each)}
    assert own <= set(metrics)
    assert {"stage_seconds", "analysed_seconds", "analysed_usd"} <= own
    for topic in ("run.googleapis.com", "pubsub.googleapis.com", "firestore.googleapis.com"):
        assert any(topic in each for each in filters), topic
