"""Rules on topics, subscriptions, queues and schedules: nothing is lost, and every push is signed."""

from __future__ import annotations

from collections.abc import Iterator

from infra.audit.deployment import Deployment, Finding, Resource, account_of, is_agent, last_part
from infra.topology import Topology, subscription_name


def seconds(duration: str | None) -> float | None:
    """`600s` as a number; None where nothing is said or it is not known."""
    return float(duration.removesuffix("s")) if duration else None


def topics_are_the_topologys(deployment: Deployment) -> Iterator[Finding]:
    """Those of the topology and the one of dead letters, each once."""
    found = [str(topic.get("name")) for topic in deployment.of("pubsub_topic")]
    wanted = {*deployment.topology.topics, deployment.topology.delivery.dead_letter_topic}
    for name in sorted(wanted - {*found}):
        yield Finding("topics", name, "there is no such topic")
    for name in sorted({*found} - wanted):
        yield Finding("topics", name, "pipeline.yaml knows no such topic")


def every_trigger_has_a_subscription(deployment: Deployment) -> Iterator[Finding]:
    """One push subscription for each function and topic, and one that holds the dead letters."""
    wanted = {
        subscription_name(name, topic): topic
        for name, function in deployment.topology.event_functions().items()
        for topic in function.triggers
    }
    wanted[deployment.topology.delivery.dead_letter_subscription] = deployment.topology.delivery.dead_letter_topic
    found = {str(each.get("name")): last_part(each.get("topic")) for each in deployment.of("pubsub_subscription")}
    for name in sorted(wanted.keys() - found.keys()):
        yield Finding("subscriptions", name, "there is no such subscription")
    for name, topic in sorted(found.items()):
        if wanted.get(name) != topic:
            yield Finding("subscriptions", name, f"pipeline.yaml knows no such subscription to {topic}")


def nothing_expires(deployment: Deployment) -> Iterator[Finding]:
    """A subscription that nobody reads for a month is deleted, unless its time to live is said to be empty."""
    for subscription in deployment.of("pubsub_subscription"):
        policies = subscription.get("expiration_policy") or []
        if [policy.get("ttl") for policy in policies] != [""]:
            yield Finding("nothing expires", subscription.address, "Pub/Sub deletes it when it is not used")


def pushes_are_delivered_as_declared(deployment: Deployment) -> Iterator[Finding]:
    """Signed by an account of the subscription's own, with the deadline, the backoff and the end of the topology."""
    for subscription in _pushing(deployment):
        for text in _objections(subscription, deployment.topology):
            yield Finding("delivery", subscription.address, text)


def _pushing(deployment: Deployment) -> list[Resource]:
    held = deployment.topology.delivery.dead_letter_subscription
    return [each for each in deployment.of("pubsub_subscription") if each.get("name") != held]


def _objections(subscription: Resource, topology: Topology) -> Iterator[str]:
    policy = topology.delivery
    push, retry = subscription.block("push_config"), subscription.block("retry_policy")
    dead = subscription.block("dead_letter_policy")
    if not (push.get("oidc_token") or [{}])[0].get("service_account_email"):
        yield "its requests carry no OIDC token"
    if not str(push.get("push_endpoint") or "").startswith(("https://", "stub-")):
        yield "it pushes to no https address"
    if subscription.get("ack_deadline_seconds") != policy.ack_deadline:
        yield f"its acknowledgement deadline is not {policy.ack_deadline} s"
    backoff = (seconds(retry.get("minimum_backoff")), seconds(retry.get("maximum_backoff")))
    if backoff != (policy.minimum_backoff, policy.maximum_backoff):
        yield f"its backoff is not {policy.minimum_backoff} to {policy.maximum_backoff} s"
    if last_part(dead.get("dead_letter_topic")) != policy.dead_letter_topic:
        yield "it has no dead-letter topic"
    if dead.get("max_delivery_attempts") != policy.max_attempts:
        yield f"it does not give up after {policy.max_attempts} attempts"
    kept = policy.retention_of.get(last_part(subscription.get("topic")), policy.retention)
    if seconds(subscription.get("message_retention_duration")) != kept:
        yield f"it does not keep messages for {kept} s"


def every_pusher_is_its_own(deployment: Deployment) -> Iterator[Finding]:
    """No two functions are called in one name, and none in the name of an account that does anything else."""
    callers: dict[str, set[str]] = {}
    for subscription in _pushing(deployment):
        token = (subscription.block("push_config").get("oidc_token") or [{}])[0]
        name = account_of(token.get("service_account_email")) or str(token.get("service_account_email"))
        callers.setdefault(name, set()).add(str(subscription.get("name")).partition("-on-")[0])
    for name, functions in sorted(callers.items()):
        if len(functions) > 1 or name in {*deployment.topology.functions, *deployment.topology.accounts}:
            yield Finding("callers", name, f"calls {', '.join(sorted(functions))} beside its own work")
        invoked = {
            grant.target for grant in deployment.grants if grant.account == name and grant.role == "roles/run.invoker"
        }
        if invoked != functions:
            yield Finding("callers", name, f"may call {sorted(invoked)} where it pushes to {sorted(functions)}")


def dead_letters_are_kept(deployment: Deployment) -> Iterator[Finding]:
    """For as long as the topology says, and Pub/Sub itself may move messages there."""
    policy = deployment.topology.delivery
    held = policy.dead_letter_subscription
    for subscription in deployment.of("pubsub_subscription"):
        if (
            subscription.get("name") == held
            and seconds(subscription.get("message_retention_duration")) != policy.dead_letter_retention
        ):
            yield Finding(
                "dead letters", subscription.address, f"it does not keep them {policy.dead_letter_retention} s"
            )
    agent = {"roles/pubsub.publisher": "pubsub_topic", "roles/pubsub.subscriber": "pubsub_subscription"}
    granted = {(grant.role, grant.target) for grant in deployment.grants if is_agent(grant.member, "pubsub")}
    wanted = {("roles/pubsub.publisher", deployment.topology.delivery.dead_letter_topic)} | {
        ("roles/pubsub.subscriber", str(each.get("name"))) for each in _pushing(deployment)
    }
    for role, target in sorted(wanted - granted):
        yield Finding("dead letters", target, f"Pub/Sub's own account lacks {role} on this {agent[role]}")


def notifications_are_the_topologys(deployment: Deployment) -> Iterator[Finding]:
    """Finished objects alone are announced, of the named beginnings, on the named topics."""
    wanted = {
        (key, rule.prefix, rule.topic)
        for key, bucket in deployment.topology.buckets.items()
        for rule in bucket.notifications
    }
    found = set()
    for each in deployment.of("storage_notification"):
        key = deployment.bucket_keys.get(str(each.get("bucket")), str(each.get("bucket")))
        found.add((key, str(each.get("object_name_prefix")), last_part(each.get("topic"))))
        if each.get("event_types") != ["OBJECT_FINALIZE"] or each.get("payload_format") != "JSON_API_V1":
            yield Finding("notifications", each.address, "announces something else than finished objects as JSON")
    for key, prefix, topic in sorted(wanted ^ found):
        where = "is missing" if (key, prefix, topic) in wanted else "is not pipeline.yaml's"
        yield Finding("notifications", f"{key}/{prefix}", f"the notification to {topic} {where}")


def schedules_are_the_topologys(deployment: Deployment) -> Iterator[Finding]:
    """Each topic at its own time."""
    wanted = {(schedule.topic, schedule.cron()) for schedule in deployment.topology.schedules}
    found = {
        (last_part(job.block("pubsub_target").get("topic_name")), str(job.get("schedule")))
        for job in deployment.of("cloud_scheduler_job")
    }
    for topic, cron in sorted(wanted ^ found):
        yield Finding("schedules", topic, f"{cron} {'is missing' if (topic, cron) in wanted else 'is not declared'}")


def queues_are_the_topologys(deployment: Deployment) -> Iterator[Finding]:
    """Those that the topology names."""
    found = {str(queue.get("name")) for queue in deployment.of("cloud_tasks_queue")}
    for name in sorted(deployment.topology.queues.keys() ^ found):
        yield Finding("queues", name, "is missing" if name in deployment.topology.queues else "is not pipeline.yaml's")
