"""`pipeline.yaml` says what the code does, and the code does what it says."""

from __future__ import annotations

import ast
import importlib
import re
from pathlib import Path

import pytest
import yaml
from pydantic import ValidationError

from infra import lock, topology
from local.gateway import function_for
from shared import messages, settings
from shared.domain.assets import DIRECT_PREFIX, MEDIA_PREFIX
from shared.domain.costs import Machine
from shared.domain.moderation.moderated import ANNOTATIONS_PREFIX, QUARANTINE_PREFIX, RELEASED_PREFIX
from shared.domain.stages import Stage
from shared.domain.sweeping import LONGEST_SILENCE
from shared.repositories import timelines

DECLARED = topology.load()
FUNCTIONS = sorted(DECLARED.functions)


def only(topics: list[str]) -> str:
    (topic,) = topics
    return topic


def main_of(function: str) -> str:
    return (topology.ROOT / "functions" / function / "main.py").read_text()


def test_every_folder_is_declared_and_every_declaration_has_a_folder() -> None:
    folders = sorted(path.parent.name for path in (topology.ROOT / "functions").glob("*/main.py"))
    assert folders == FUNCTIONS


@pytest.mark.parametrize("function", FUNCTIONS)
def test_an_entry_point_has_at_most_forty_lines(function: str) -> None:
    assert len(main_of(function).splitlines()) <= 40


@pytest.mark.parametrize("function", FUNCTIONS)
def test_the_settings_are_those_the_function_loads(function: str) -> None:
    assert f"settings.load(settings.{DECLARED.functions[function].settings})" in main_of(function)


@pytest.mark.parametrize("function", FUNCTIONS)
def test_required_variables_are_ones_the_deployment_knows(function: str) -> None:
    known = {"GOOGLE_CLOUD_PROJECT", "SIGHTLINE_API_TOKEN"} | {b.variable for b in DECLARED.buckets.values()}
    known |= {a.variable for a in DECLARED.accounts.values()} | {q.variable for q in DECLARED.queues.values()}
    needed = settings.variables(getattr(settings, DECLARED.functions[function].settings))
    assert {name for name, required in needed.items() if required} <= known


@pytest.mark.parametrize("function", FUNCTIONS)
def test_functions_publish_what_they_may_and_may_publish_what_they_do(function: str) -> None:
    """The classes of messages a function's handlers mention are the topics it declares."""
    declared = DECLARED.functions[function]
    publishing = {
        "ingest": ["handlers.ingest", "completion"],
        "detect": ["handlers.detect", "completion"],
        "context": ["handlers.context", "completion"],
        "correlate": ["handlers.correlate", "handlers.observe", "handlers.incident_news", "completion"],
        "moderate": ["completion"],
        "annotate": ["completion"],
        "escalate": ["handlers.escalate", "handlers.observe", "handlers.incident_news", "completion"],
        "analysis": ["handlers.triggers"],
        "signals": ["handlers.signals", "handlers.observe", "handlers.incident_news"],
        "incidents": ["handlers.incident_news", "handlers.answering"],
        "registry": ["handlers.webhook_registry"],
        "uploads": ["handlers.uploads", "handlers.analyze"],
    }
    if function == "maintain":  # what it finds in an outbox, or builds again, may be of any topic
        granted = {role.resource for role in declared.roles if role.role == "roles/pubsub.publisher"}
        assert granted == {f"topic/{topic}" for topic in declared.publishes}
        assert set(declared.publishes) == set(DECLARED.topics) - {schedule.topic for schedule in DECLARED.schedules}
        return
    modules = [importlib.import_module(f"shared.{name}") for name in publishing.get(function, [])]
    built = {
        node.func.id
        for module in modules
        for node in ast.walk(ast.parse(Path(str(module.__file__)).read_text()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    }
    topics = {getattr(messages, name).TOPIC for name in built if hasattr(getattr(messages, name, None), "TOPIC")}
    # What is built by `handlers.triggers`, of whatever topic, for these.
    topics |= {"moderate": {"media-moderated"}, "annotate": {"media-moderated"}, "uploads": {"media-detected"}}.get(
        function, set()
    )
    assert topics == set(declared.publishes)
    granted = {role.resource for role in declared.roles if role.role == "roles/pubsub.publisher"}
    assert granted == {f"topic/{topic}" for topic in declared.publishes}


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_function_that_estimates_its_cost_is_told_its_size(function: str) -> None:
    declared = DECLARED.functions[function]
    own = {
        **declared.own_environment(),
        "GOOGLE_CLOUD_PROJECT": "p",
        "SIGHTLINE_API_TOKEN": "t",
        "MEDIA_BUCKET": "b",
        "TIMER_QUEUE": "q",
        "TIMER_ACCOUNT": "a",
        "EVIDENCE_BUCKET": "b",
    }
    loaded = settings.load(getattr(settings, declared.settings), own)
    if isinstance(loaded, settings.MachineSettings):
        assert loaded.machine() == Machine(declared.cpu, declared.memory)
    assert isinstance(loaded, settings.MachineSettings) is ("config.machine()" in main_of(function))


def test_triggers_and_notifications_name_declared_topics() -> None:
    used = {topic for function in DECLARED.functions.values() for topic in function.triggers}
    used |= {topic for function in DECLARED.functions.values() for topic in function.publishes}
    used |= {rule.topic for bucket in DECLARED.buckets.values() for rule in bucket.notifications}
    used |= {schedule.topic for schedule in DECLARED.schedules}
    assert used == set(DECLARED.topics)


def test_every_stage_waits_for_the_topic_it_is_asked_for_again_on() -> None:
    triggers = {Stage(name): only(f.triggers) for name, f in DECLARED.event_functions().items() if name in list(Stage)}
    assert triggers == messages.TRIGGERS


def test_the_sweeper_is_missed_after_five_intervals() -> None:
    (schedule,) = [schedule for schedule in DECLARED.schedules if schedule.topic == "maintenance-due"]
    assert LONGEST_SILENCE.total_seconds() == 5 * schedule.every
    assert DECLARED.functions["maintain"].triggers == [schedule.topic]


@pytest.mark.parametrize(("every", "cron"), [(60, "*/1 * * * *"), (300, "*/5 * * * *"), (3600, "0 * * * *")])
def test_a_schedule_is_said_as_cloud_scheduler_takes_it(every: int, cron: str) -> None:
    assert topology.Schedule(topic="t", every=every).cron() == cron


@pytest.mark.parametrize("every", [0, 30, 90, 420, 7200])
def test_a_schedule_that_cron_cannot_say_is_refused(every: int) -> None:
    with pytest.raises(ValidationError, match="every"):
        topology.Schedule(topic="t", every=every)


def test_event_functions_are_stages_or_scheduled() -> None:
    scheduled = {schedule.topic for schedule in DECLARED.schedules}
    stageless = {name for name, f in DECLARED.event_functions().items() if name not in list(Stage)}
    assert stageless - {"notify"} == {
        name for name, f in DECLARED.event_functions().items() if scheduled & {*f.triggers}
    }


def test_objects_are_written_only_where_their_arrival_is_not_announced() -> None:
    """A function that started the pipeline by what it writes might start itself."""
    announced = [rule.prefix for bucket in DECLARED.buckets.values() for rule in bucket.notifications]
    writing = [
        role
        for function in DECLARED.functions.values()
        for role in function.roles
        if role.resource == "bucket/media" and not role.role.endswith("Viewer")
    ]
    assert [name for name, bucket in DECLARED.buckets.items() if bucket.notifications] == ["media"]
    own = {DIRECT_PREFIX, timelines.PREFIX, QUARANTINE_PREFIX, RELEASED_PREFIX}
    # The sweeper deletes what has moved into quarantine; what Video Intelligence writes for moderate starts annotate.
    assert {role.prefix for role in writing} == {*own, MEDIA_PREFIX, ANNOTATIONS_PREFIX}
    writers = {name for name, f in DECLARED.functions.items() for role in f.roles if is_announced(role, announced)}
    assert writers == {"maintain", "moderate"}
    assert not {
        topic for name, f in DECLARED.functions.items() if name in writers for topic in f.triggers
    }.intersection(rule.topic for bucket in DECLARED.buckets.values() for rule in bucket.notifications)


def is_announced(role: topology.Role, announced: list[str]) -> bool:
    """Whether who has the role may write objects whose arrival is told of."""
    writes = role.resource == "bucket/media" and not role.role.endswith("Viewer")
    return writes and any((role.prefix or "").startswith(prefix) for prefix in announced)


def test_who_signs_upload_urls_may_create_what_they_allow_and_nothing_else() -> None:
    impersonated = {
        role.resource
        for function in DECLARED.functions.values()
        for role in function.roles
        if role.role in {"roles/iam.serviceAccountTokenCreator", "roles/iam.serviceAccountUser"}
    }
    assert impersonated == {f"account/{name}" for name in DECLARED.accounts}
    signer = DECLARED.accounts["signer"]
    assert [(role.role, role.resource, role.prefix) for role in signer.roles] == [
        ("roles/storage.objectCreator", "bucket/media", MEDIA_PREFIX)
    ]
    assert signer.variable in settings.variables(settings.UploadSettings)


def test_who_looks_for_objects_that_may_be_absent_may_list_the_bucket() -> None:
    """Cloud Storage answers 403 instead of 404 to those who may not, and a role with a prefix never lets them."""
    listing = {"roles/storage.objectViewer", "roles/storage.objectUser"}
    looking = {
        (name, f"bucket/{bucket}")
        for name in FUNCTIONS
        for bucket in DECLARED.buckets
        if f"blobs.connect(config.{bucket}_bucket" in main_of(name)
    }
    whole = {
        (name, role.resource)
        for name, function in DECLARED.functions.items()
        for role in function.roles
        if role.role in listing and role.prefix is None
    }
    assert ("signals", "bucket/evidence") in looking
    assert looking <= whole


def test_every_route_of_the_code_is_declared_for_the_function_that_has_it() -> None:
    for function in DECLARED.http_functions():
        for prefix, path, method in _routes(function):
            sample = re.sub(r"\{[^}]*\}", "x", prefix + path)
            assert function_for(DECLARED, method, sample) == function, (method, sample)


def _routes(function: str) -> list[tuple[str, str, str]]:
    """Prefix, path and method of every route in the web modules a function composes."""
    names = _web_modules(main_of(function)) - {"app", "readiness"}  # which the one origin leads nobody to
    if "operators" in names:  # it composes others
        names |= _web_modules((topology.ROOT / "shared" / "web" / "operators.py").read_text())
    found = []
    for name in names:
        source = (topology.ROOT / "shared" / "web" / f"{name}.py").read_text()
        prefix = re.search(r'APIRouter\(prefix="([^"]+)"', source)
        for method, path in re.findall(r'@routes\.(get|post|put|delete)\("([^"]*)"', source):
            found.append((prefix.group(1) if prefix else "", path, method.upper()))
    assert found, function
    return found


def _web_modules(source: str) -> set[str]:
    imports = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.ImportFrom)]
    return {alias.name for node in imports if node.module == "shared.web" for alias in node.names}


def test_unknown_keys_are_refused(tmp_path: Path) -> None:
    content = yaml.safe_load(topology.PIPELINE.read_text())
    content["functions"]["ingest"]["memmory"] = 1
    (tmp_path / "pipeline.yaml").write_text(yaml.safe_dump(content))
    with pytest.raises(ValidationError, match="memmory"):
        topology.load(tmp_path / "pipeline.yaml")


def test_a_key_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    line = "    triggers: [media-finalised]\n"
    twice = topology.PIPELINE.read_text().replace(line, line + line, 1)
    (tmp_path / "pipeline.yaml").write_text(twice)
    with pytest.raises(yaml.YAMLError, match="'triggers' is there twice"):
        topology.load(tmp_path / "pipeline.yaml")


def _pins(name: str) -> dict[str, str]:
    """Each requirement of a lock file with its hashes."""
    text = (topology.ROOT / name).read_text()
    blocks = re.split(r"\n(?=\S)", re.sub(r"^#.*\n", "", text, flags=re.MULTILINE).strip())
    return {_bare(block.split(" ")[0]) + _marker(block): block for block in blocks}


def _bare(requirement: str) -> str:
    """Without extras: one file may need more of them than another."""
    return re.sub(r"\[[^\]]*\]", "", requirement)


def _marker(block: str) -> str:
    found = re.search(r"python_full_version [<>=]+ '3\.12'", block)
    return found.group(0) if found else ""


@pytest.mark.parametrize("name", [name for name in lock.targets() if name != lock.LOCK])
def test_every_requirement_is_the_locks_with_its_hashes(name: str) -> None:
    whole = _pins(lock.LOCK)
    for requirement, block in _pins(name).items():
        pinned = requirement if requirement in whole else requirement.split("python_full")[0]
        assert _hashes(block) == _hashes(whole[pinned]), requirement
        assert _hashes(block), requirement


def _hashes(block: str) -> set[str]:
    return set(re.findall(r"sha256:[0-9a-f]{64}", block))


@pytest.mark.parametrize("name", list(lock.targets()))
def test_no_lock_names_a_registry(name: str) -> None:
    assert "://" not in (topology.ROOT / name).read_text()
