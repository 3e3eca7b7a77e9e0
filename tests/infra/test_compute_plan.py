"""What Terraform would deploy is what the topology says: functions, who calls them, who they are, what they know."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from infra import terraform, topology
from shared import settings
from tests.infra.planned import resources

pytestmark = pytest.mark.xdist_group("terraform")

DECLARED = topology.load()
PROJECT = "sightline-example"
REGION = "europe-west1"
PUBSUB = "@gcp-sa-pubsub.iam.gserviceaccount.com"

Planned = Callable[[str], list[dict[str, Any]]]


@pytest.fixture(scope="session")
def planned(example_plan: dict[str, Any]) -> Planned:
    """Gives the arguments of all resources of a type."""
    return partial(resources, example_plan)


@pytest.fixture(scope="session")
def functions(planned: Planned) -> dict[str, dict[str, Any]]:
    """The planned functions by their names."""
    return {found["name"]: found for found in planned("google_cloudfunctions2_function")}


def account(name: str) -> str:
    """Whose account it is, as IAM policies name it."""
    return f"serviceAccount:sightline-{name}@{PROJECT}.iam.gserviceaccount.com"


GEN2 = sorted(name for name, function in DECLARED.functions.items() if function.platform == "function")


def test_every_function_is_deployed(functions: dict[str, dict[str, Any]]) -> None:
    assert sorted(functions) == GEN2


@pytest.mark.parametrize("name", GEN2)
def test_a_function_has_the_size_the_topology_gives_it(functions: dict[str, dict[str, Any]], name: str) -> None:
    declared, (service,) = DECLARED.functions[name], functions[name]["service_config"]
    (build,) = functions[name]["build_config"]
    assert (build["runtime"], build["entry_point"]) == (DECLARED.runtime, "main")
    assert service["available_memory"] == f"{declared.memory}Mi"
    assert float(service["available_cpu"]) == declared.cpu
    assert service["timeout_seconds"] == declared.timeout
    assert service["max_instance_request_concurrency"] == declared.concurrency
    assert (service["min_instance_count"], service["max_instance_count"]) == (
        declared.min_instances,
        declared.max_instances,
    )


@pytest.mark.parametrize("name", GEN2)
def test_a_function_runs_as_itself_and_is_built_by_the_builder(functions: dict[str, dict[str, Any]], name: str) -> None:
    (service,), (build,) = functions[name]["service_config"], functions[name]["build_config"]
    assert f"serviceAccount:{service['service_account_email']}" == account(name)
    assert build["service_account"].endswith(f"/sightline-build@{PROJECT}.iam.gserviceaccount.com")


@pytest.mark.parametrize("name", GEN2)
def test_a_function_is_built_anew_when_its_bundle_has_changed(functions: dict[str, dict[str, Any]], name: str) -> None:
    (source,) = functions[name]["build_config"][0]["source"][0]["storage_source"]
    content = (terraform.BUNDLES / f"{name}.zip").read_bytes()
    assert source["object"] == f"{name}/{hashlib.sha256(content).hexdigest()}.zip"


@pytest.mark.parametrize("name", GEN2)
def test_what_a_function_is_told_satisfies_its_settings(functions: dict[str, dict[str, Any]], name: str) -> None:
    (service,) = functions[name]["service_config"]
    secrets = {secret["key"]: "[]" for secret in service["secret_environment_variables"]}
    assert set(secrets) <= set(DECLARED.functions[name].secrets)
    told = {**service["environment_variables"], **secrets}
    loaded = settings.load(getattr(settings, DECLARED.functions[name].settings), told)
    assert loaded.project == PROJECT


@pytest.mark.parametrize("name", GEN2)
def test_a_function_is_told_only_what_the_topology_says(functions: dict[str, dict[str, Any]], name: str) -> None:
    declared = DECLARED.functions[name]
    told = functions[name]["service_config"][0]["environment_variables"]
    assert set(told) <= {*DECLARED.common_variables, *declared.variables, *declared.own_environment()}
    assert {key: told[key] for key in declared.own_environment()} == declared.own_environment()
    buckets = {bucket.variable: f"{PROJECT}-{key}" for key, bucket in DECLARED.buckets.items()}
    assert {key: value for key, value in told.items() if key in buckets}.items() <= buckets.items()


def test_messages_are_pushed_as_the_topology_says(planned: Planned) -> None:
    policy = DECLARED.delivery
    expected = {
        topology.subscription_name(name, topic): (f"projects/{PROJECT}/topics/{topic}", name)
        for name, function in DECLARED.event_functions().items()
        for topic in function.triggers
    }
    pushing = {found["name"]: found for found in planned("google_pubsub_subscription") if found["push_config"]}
    assert set(pushing) == set(expected)
    for name, found in pushing.items():
        topic, function = expected[name]
        assert found["topic"] == topic
        assert found["ack_deadline_seconds"] == policy.ack_deadline
        kept = policy.retention_of.get(topic.rpartition("/")[2], policy.retention)
        assert found["message_retention_duration"] == f"{kept}s"
        assert found["retry_policy"] == [
            {"minimum_backoff": f"{policy.minimum_backoff}s", "maximum_backoff": f"{policy.maximum_backoff}s"}
        ]
        assert found["dead_letter_policy"] == [
            {
                "dead_letter_topic": f"projects/{PROJECT}/topics/{policy.dead_letter_topic}",
                "max_delivery_attempts": policy.max_attempts,
            }
        ]
        (push,) = found["push_config"]
        assert push["no_wrapper"] == []  # the envelope tells the attempt
        assert f"serviceAccount:{push['oidc_token'][0]['service_account_email']}" == account(f"push-{function}")


def test_no_subscription_expires(planned: Planned) -> None:
    subscriptions = planned("google_pubsub_subscription")
    assert DECLARED.delivery.dead_letter_subscription in {found["name"] for found in subscriptions}
    assert all(found["expiration_policy"] == [{"ttl": ""}] for found in subscriptions)


def test_pubsub_may_move_to_the_dead_letters_what_fails(planned: Planned) -> None:
    taking = {
        found["subscription"]
        for found in planned("google_pubsub_subscription_iam_member")
        if found["role"] == "roles/pubsub.subscriber" and found["member"].endswith(PUBSUB)
    }
    assert taking == {found["name"] for found in planned("google_pubsub_subscription") if found["push_config"]}
    assert [
        found["topic"]
        for found in planned("google_pubsub_topic_iam_member")
        if found["role"] == "roles/pubsub.publisher" and found["member"].endswith(PUBSUB)
    ] == [DECLARED.delivery.dead_letter_topic]


def test_a_function_is_called_by_its_subscriptions_or_through_the_load_balancer(
    planned: Planned, functions: dict[str, dict[str, Any]]
) -> None:
    callers = {(found["name"], found["member"]) for found in planned("google_cloud_run_v2_service_iam_member")}
    assert callers == {
        (name, "allUsers" if DECLARED.functions[name].public else account(f"push-{name}")) for name in GEN2
    }
    for name in GEN2:
        ingress = functions[name]["service_config"][0]["ingress_settings"]
        assert ingress == ("ALLOW_INTERNAL_AND_GCLB" if DECLARED.functions[name].public else "ALLOW_INTERNAL_ONLY")


def test_pubsub_signs_for_the_accounts_it_pushes_as_and_for_no_other(planned: Planned) -> None:
    signed = {
        found["service_account_id"].rpartition("/")[2]
        for found in planned("google_service_account_iam_member")
        if found["member"].endswith(PUBSUB)
    }
    assert {f"serviceAccount:{email}" for email in signed} == {
        account(f"push-{name}") for name in DECLARED.event_functions()
    }


def test_roles_are_the_topologys_and_on_what_it_names(planned: Planned) -> None:
    granted = {
        *((found["member"], found["role"], "project") for found in planned("google_project_iam_member")),
        *((f["member"], f["role"], f"topic/{f['topic']}") for f in planned("google_pubsub_topic_iam_member")),
        *((f["member"], f["role"], f"queue/{f['name']}") for f in planned("google_cloud_tasks_queue_iam_member")),
        *(
            (f["member"], f["role"], "account/" + f["service_account_id"].rpartition("/")[2].partition("@")[0])
            for f in planned("google_service_account_iam_member")
        ),
    }
    bearers = {name: function.roles for name, function in DECLARED.functions.items()}
    bearers |= {name: acting.roles for name, acting in DECLARED.accounts.items()}
    wanted = {
        (account(name), role.role, role.resource.replace("account/", "account/sightline-"))
        for name, roles in bearers.items()
        for role in roles
        if not role.resource.startswith("bucket/")
    }
    ours = {account(name) for name in bearers}
    assert {grant for grant in granted if grant[0] in ours} == wanted


def test_who_builds_reads_bundles_and_nothing_else(planned: Planned) -> None:
    """Builds run what packages bring along."""
    own = account("build")
    on_project = [found for found in planned("google_project_iam_member") if found["member"] == own]
    assert {found["role"]: bool(found["condition"]) for found in on_project} == {
        "roles/logging.logWriter": False,
        "roles/storage.objectViewer": True,
    }
    (copies,) = [found["condition"][0]["expression"] for found in on_project if found["condition"]]
    assert copies.startswith('resource.name.startsWith("projects/_/buckets/gcf-v2-sources-')
    on_buckets = [f["bucket"] for f in planned("google_storage_bucket_iam_member") if f["member"] == own]
    assert on_buckets == [f"{PROJECT}-sources"]


def test_the_clock_publishes_what_the_topology_says(planned: Planned) -> None:
    jobs = planned("google_cloud_scheduler_job")
    told = {job["name"]: (job["schedule"], job["pubsub_target"][0]) for job in jobs}
    assert told == {
        schedule.topic: (
            schedule.cron(),
            {
                "topic_name": f"projects/{PROJECT}/topics/{schedule.topic}",
                "data": base64.b64encode(schedule.message().data).decode(),
                "attributes": None,
            },
        )
        for schedule in DECLARED.schedules
    }


def test_queues_repeat_as_the_topology_says(planned: Planned) -> None:
    for queue in planned("google_cloud_tasks_queue"):
        declared = DECLARED.queues[queue["name"]]
        (limits,), (again,) = queue["rate_limits"], queue["retry_config"]
        assert (limits["max_dispatches_per_second"], limits["max_concurrent_dispatches"]) == (
            declared.rate,
            declared.concurrency,
        )
        assert again["max_attempts"] == declared.max_attempts
        assert (again["min_backoff"], again["max_backoff"]) == (
            f"{declared.minimum_backoff}s",
            f"{declared.maximum_backoff}s",
        )


def test_who_sets_timers_is_told_the_queue_by_its_whole_name(functions: dict[str, dict[str, Any]]) -> None:
    told = functions["notify"]["service_config"][0]["environment_variables"]
    assert told["TIMER_QUEUE"] == f"projects/{PROJECT}/locations/{REGION}/queues/timers"
    assert f"serviceAccount:{told['TIMER_ACCOUNT']}" == account("timer")


def test_messages_stay_in_the_region(planned: Planned) -> None:
    topics = planned("google_pubsub_topic")
    assert {topic["name"] for topic in topics} == {*DECLARED.topics, DECLARED.delivery.dead_letter_topic}
    assert all(topic["message_storage_policy"][0]["allowed_persistence_regions"] == [REGION] for topic in topics)


def test_bundles_lie_where_nobody_else_reads_them(planned: Planned) -> None:
    (sources,) = [found for found in planned("google_storage_bucket") if found["name"] == f"{PROJECT}-sources"]
    assert sources["uniform_bucket_level_access"] is True
    assert sources["public_access_prevention"] == "enforced"
    assert sources["versioning"] == [{"enabled": True}]


def test_what_is_still_to_be_done_names_the_image_of_the_streams(example_plan: dict[str, Any]) -> None:
    (told,) = example_plan["planned_values"]["outputs"]["next"]["value"]
    assert f"--pack=image={REGION}-docker.pkg.dev/{PROJECT}/sightline/live" in told
