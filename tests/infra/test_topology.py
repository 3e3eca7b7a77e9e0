"""`pipeline.yaml` says what the code does, and the code does what it says."""

from __future__ import annotations

import ast
import importlib
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from infra import lock, topology
from local.gateway import function_for
from shared import messages, settings
from shared.domain.assets import MEDIA_PREFIX
from shared.domain.costs import Machine
from shared.domain.stages import Stage
from shared.domain.sweeping import LONGEST_SILENCE

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
def test_a_function_is_told_what_its_settings_read_and_nothing_else(function: str) -> None:
    declared = DECLARED.functions[function]
    read = set(settings.variables(getattr(settings, declared.settings)))
    own = {"FUNCTION_CPU", "FUNCTION_MEMORY_MIB"}
    chosen = {*declared.variables, *declared.secrets}
    assert read - {*DECLARED.common_variables, *DECLARED.emulator_variables, *own} == chosen
    assert {*DECLARED.common_variables} <= read


def test_secrets_are_no_variables_and_what_is_for_emulators_is_neither() -> None:
    variables = {name for function in DECLARED.functions.values() for name in function.variables}
    secrets = {name for function in DECLARED.functions.values() for name in function.secrets}
    assert secrets == set(DECLARED.secrets)
    assert not variables & {*DECLARED.secrets, *DECLARED.common_variables, *DECLARED.emulator_variables}


def test_roles_are_granted_on_what_there_is() -> None:
    there = {
        "project",
        *(f"bucket/{name}" for name in DECLARED.buckets),
        *(f"topic/{name}" for name in DECLARED.topics),
        *(f"queue/{name}" for name in DECLARED.queues),
        *(f"account/{name}" for name in DECLARED.accounts),
    }
    granted = [role for function in DECLARED.functions.values() for role in function.roles]
    granted += [role for account in DECLARED.accounts.values() for role in account.roles]
    assert {role.resource for role in granted} <= there
    assert set(DECLARED.delivery.retention_of) <= set(DECLARED.topics)


@pytest.mark.parametrize("prefix", ["sightline-", "sightline-push-"])
def test_names_are_short_enough_for_the_ids_of_accounts(prefix: str) -> None:
    names = {*DECLARED.functions, *DECLARED.accounts} if prefix == "sightline-" else {*DECLARED.event_functions()}
    assert all(6 <= len(prefix + name) <= 30 for name in names)


@pytest.mark.parametrize(
    ("cpu", "memory"), [(0.08, 128), (0.4, 512), (0.5, 1024), (1, 128), (1, 4096), (2, 8192), (4, 2048), (8, 32768)]
)
def test_sizes_that_cloud_run_has(cpu: float, memory: int) -> None:
    least, most = topology.memory_range(cpu)
    assert least <= memory <= most


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"cpu": 1, "memory": 4097}, "memory"),
        ({"cpu": 0.4, "memory": 513, "concurrency": 1}, "memory"),
        ({"cpu": 4, "memory": 1024}, "memory"),
        ({"cpu": 3}, "cpu"),
        ({"cpu": 0.05}, "cpu"),
        ({"cpu": 0.5, "memory": 256, "concurrency": 2}, "concurrency"),
        ({"timeout": 541}, "timeout"),
        ({"timeout": 3601, "triggers": []}, "timeout"),
        ({"timeout": 0}, "timeout"),
        ({"min_instances": 21, "max_instances": 20}, "min_instances"),
    ],
)
def test_a_function_that_cloud_run_refuses_is_refused_here(changed: dict[str, Any], named: str) -> None:
    declared = DECLARED.functions["notify"].model_dump()
    with pytest.raises(ValidationError, match=named):
        topology.Function.model_validate({**declared, **changed})


@pytest.mark.parametrize("function", list(DECLARED.event_functions()))
def test_a_function_has_a_thread_for_each_message_it_is_sent_at_a_time(function: str) -> None:
    """functions-framework has four a CPU where nobody says otherwise; what is sent beyond them waits and grows old."""
    declared = DECLARED.functions[function]
    assert int(declared.environment.get("THREADS", 4 * declared.cpu)) >= declared.concurrency


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
        "QUARANTINE_BUCKET": "b",
        "RESULTS_BUCKET": "b",
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
    writers = {
        (name, rule.topic)
        for name, function in DECLARED.functions.items()
        for role in function.roles
        for bucket, declared in DECLARED.buckets.items()
        for rule in declared.notifications
        if may_write(role, bucket, rule.prefix)
    }
    # The sweeper deletes what has moved into quarantine; what Video Intelligence writes for moderate starts annotate;
    # the others write beside it, below another prefix.
    assert writers == {
        ("maintain", "media-finalised"),
        ("maintain", "annotations-finalised"),
        ("moderate", "annotations-finalised"),
        ("detect", "annotations-finalised"),
        ("analysis", "annotations-finalised"),
    }
    assert not {(name, topic) for name, f in DECLARED.functions.items() for topic in f.triggers} & writers


def may_write(role: topology.Role, bucket: str, prefix: str) -> bool:
    """Whether who has the role may write objects whose names begin so."""
    writes = role.resource == f"bucket/{bucket}" and not role.role.endswith("Viewer")
    return writes and (role.prefix is None or role.prefix.startswith(prefix) or prefix.startswith(role.prefix))


def test_only_those_who_replay_show_or_move_see_flagged_files_and_only_the_sweeper_writes_there() -> None:
    seeing = {(name, role.role) for name, role in roles_on("bucket/quarantine")}
    viewers = {"ingest", "detect", "context", "moderate", "incidents", "evidence-signer"}
    assert seeing == {(name, "roles/storage.objectViewer") for name in viewers} | {
        ("maintain", "roles/storage.objectUser")
    }
    places = settings.ModerationSettings(project="p", api_token="t", media_bucket="m").places("m")
    assert places == (("m", MEDIA_PREFIX),)  # what clients may name by gs:// is never a flagged file


def roles_on(resource: str) -> list[tuple[str, topology.Role]]:
    declared: dict[str, topology.Function | topology.Account] = {**DECLARED.functions, **DECLARED.accounts}
    return [(name, role) for name, each in declared.items() for role in each.roles if role.resource == resource]


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
    looking = {(name, f"bucket/{bucket}") for name in FUNCTIONS for bucket in buckets_opened_by(name)}
    whole = {
        (name, role.resource)
        for name, function in DECLARED.functions.items()
        for role in function.roles
        if role.role in listing and role.prefix is None
    }
    assert {("signals", "bucket/evidence"), ("query", "bucket/results"), ("detect", "bucket/quarantine")} <= looking
    assert looking == whole


def buckets_opened_by(function: str) -> set[str]:
    main = main_of(function)
    known = settings.variables(getattr(settings, DECLARED.functions[function].settings))
    if "routed_blobs.connect(config.buckets()" in main:
        opened = {key for key in ("media", "quarantine", "results") if DECLARED.buckets[key].variable in known}
    else:
        opened = {key for key in DECLARED.buckets if re.search(rf"\bblobs.connect\(config\.{key}_bucket", main)}
    if "media_sources.sources(" in main:  # it opens buckets by their names
        opened.add("media")
    return opened | ({"evidence"} if re.search(r"\bblobs.connect\(config\.evidence_bucket", main) else set())


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


@pytest.mark.parametrize("name", [name for name in lock.targets() if name not in {lock.LOCK, lock.CHECKOV}])
def test_every_requirement_is_the_locks_with_its_hashes(name: str) -> None:
    whole = _pins(lock.LOCK)
    for requirement, block in _pins(name).items():
        pinned = requirement if requirement in whole else requirement.split("python_full")[0]
        assert _hashes(block) == _hashes(whole[pinned]), requirement
        assert _hashes(block), requirement


def test_what_checkov_needs_is_pinned_with_hashes_in_an_environment_of_its_own() -> None:
    pinned = _pins(lock.CHECKOV)
    assert any(requirement.startswith("checkov==") for requirement in pinned)
    assert not [requirement for requirement, block in pinned.items() if not _hashes(block)]


def _hashes(block: str) -> set[str]:
    return set(re.findall(r"sha256:[0-9a-f]{64}", block))


@pytest.mark.parametrize("name", list(lock.targets()))
def test_no_lock_names_a_registry(name: str) -> None:
    assert "://" not in (topology.ROOT / name).read_text()
