"""Rules on functions, services and the way to them: each as the topology says, reached only as it should be."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from infra.audit.deployment import Deployment, Finding, Resource, account_of, last_part
from infra.topology import Function, Topology

_SENSITIVE = re.compile(r"TOKEN|SECRET|PASSWORD|PRIVATE|CREDENTIAL|API_KEY")
GIB = 1024


def functions_are_the_topologys(deployment: Deployment) -> Iterator[Finding]:
    """Each is deployed, with the runtime, the size, the times and the bounds it is declared with."""
    topology = deployment.topology
    declared = {name: each for name, each in topology.functions.items() if each.platform == "function"}
    found = {str(each.get("name")): each for each in deployment.of("cloudfunctions2_function")}
    for name in sorted(declared.keys() ^ found.keys()):
        yield Finding("functions", name, "is missing" if name in declared else "is not pipeline.yaml's")
    for name in sorted(declared.keys() & found.keys()):
        for text in _differences(found[name], declared[name], topology):
            yield Finding("functions", found[name].address, text)


def services_are_the_topologys(deployment: Deployment) -> Iterator[Finding]:
    """Plain services are deployed with the size they are declared with, or, without an image of theirs, not at all."""
    for service in deployment.of("cloud_run_v2_service"):
        declared = deployment.topology.functions.get(str(service.get("name")))
        if declared is None or declared.platform != "service":
            yield Finding("services", service.address, "is not pipeline.yaml's")
            continue
        template = service.block("template")
        container = (template.get("containers") or [{}])[0]
        limits = (container.get("resources") or [{}])[0].get("limits")
        if limits != {"cpu": f"{declared.cpu:g}", "memory": f"{declared.memory}Mi"}:
            yield Finding("services", service.address, f"its limits are {limits}")
        if _bounds(template) != (
            f"{declared.timeout}s",
            declared.concurrency,
            declared.min_instances,
            declared.max_instances,
        ):
            yield Finding("services", service.address, "its times and bounds are not pipeline.yaml's")
        for text in _wrong_names(container, declared, deployment.topology):
            yield Finding("services", service.address, text)


def _bounds(template: Mapping[str, Any]) -> tuple[object, ...]:
    scaling = (template.get("scaling") or [{}])[0]
    return (
        template.get("timeout"),
        template.get("max_instance_request_concurrency"),
        scaling.get("min_instance_count"),
        scaling.get("max_instance_count"),
    )


def _wrong_names(container: Mapping[str, Any], declared: Function, topology: Topology) -> Iterator[str]:
    plain = {each["name"]: each.get("value") for each in container.get("env") or [] if not each.get("value_source")}
    secret = {
        each["name"]: each["value_source"][0]["secret_key_ref"][0]["secret"]
        for each in container.get("env") or []
        if each.get("value_source")
    }
    yield from _wrong_variables(plain, secret, declared, topology)


def _differences(function: Resource, declared: Function, topology: Topology) -> Iterator[str]:
    service = function.block("service_config")
    wanted = {
        "available_cpu": f"{declared.cpu:g}",
        "timeout_seconds": declared.timeout,
        "max_instance_request_concurrency": declared.concurrency,
        "max_instance_count": declared.max_instances,
        "min_instance_count": declared.min_instances,
        "all_traffic_on_latest_revision": True,
        "ingress_settings": "ALLOW_INTERNAL_AND_GCLB" if declared.public else "ALLOW_INTERNAL_ONLY",
    }
    for argument, value in wanted.items():
        if service.get(argument) != value:
            yield f"{argument} is {service.get(argument)!r}, not {value!r}"
    if mebibytes(str(service.get("available_memory"))) != declared.memory:
        yield f"available_memory is {service.get('available_memory')}, not {declared.memory} MiB"
    build = function.block("build_config")
    if build.get("runtime") != topology.runtime or build.get("entry_point") != "main":
        yield f"it is built for {build.get('runtime')} and entered at {build.get('entry_point')}"
    if function.get("event_trigger"):
        yield "Eventarc triggers it: its subscriptions have no deadline, backoff or dead letters of ours"


def mebibytes(amount: str) -> float | None:
    """`512Mi`, `512M` or `1Gi` as a number of MiB; None for anything else."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)(Mi?|Gi?)", amount)
    return None if not found else float(found[1]) * (GIB if found[2].startswith("G") else 1)


def everything_has_its_own_account(deployment: Deployment) -> Iterator[Finding]:
    """A function runs as the account of its name; nothing runs or is built as the default compute account."""
    for function in deployment.of("cloudfunctions2_function"):
        runs_as = function.block("service_config").get("service_account_email")
        if account_of(runs_as) != function.get("name"):
            yield Finding("own account", function.address, f"it runs as {runs_as}")
        if not account_of(last_of(function.block("build_config").get("service_account"))):
            yield Finding("own account", function.address, "it is built in the name of the default account")
    for service in deployment.of("cloud_run_v2_service"):
        runs_as = service.block("template").get("service_account")
        if account_of(runs_as) != service.get("name"):
            yield Finding("own account", service.address, f"it runs as {runs_as}")


def last_of(name: str | None) -> str:
    """The e-mail address at the end of an account's full name."""
    return (name or "").rpartition("/")[2]


def environments_are_the_topologys(deployment: Deployment) -> Iterator[Finding]:
    """Variables that the function reads and no others; none of emulators; none that Cloud Functions keeps to itself."""
    for function in deployment.of("cloudfunctions2_function"):
        declared = deployment.topology.functions.get(str(function.get("name")))
        if declared is not None:
            service = function.block("service_config")
            plain = service.get("environment_variables") or {}
            secret = {each["key"]: each["secret"] for each in service.get("secret_environment_variables") or []}
            for text in _wrong_variables(plain, secret, declared, deployment.topology):
                yield Finding("environment", function.address, text)


def _wrong_variables(
    plain: Mapping[str, Any], secret: Mapping[str, str], declared: Function, topology: Topology
) -> Iterator[str]:
    known = {*topology.common_variables, *declared.variables, *declared.own_environment()}
    for name in sorted(plain.keys() - known - _OF_THE_PLATFORM):
        yield f"{name} is set, which the function does not read"
    for name in sorted(plain.keys() & {*topology.emulator_variables}):
        yield f"{name} leads to an emulator"
    for name in sorted(name for name in plain if _SENSITIVE.search(name)):
        yield f"{name} looks like a secret and is a plain variable"
    for name, value in declared.own_environment().items():
        if plain.get(name) != value:
            yield f"{name} is {plain.get(name)!r}, not {value!r}"
    for name, value in secret.items():
        if name not in declared.secrets or last_part(value) != topology.secrets[name]:
            yield f"{name} is the secret {value}"


_OF_THE_PLATFORM = frozenset({"LOG_EXECUTION_ID"})
"""What Cloud Functions sets itself; said in the configuration, so that a plan does not take it away."""


def required_settings_are_there(deployment: Deployment) -> Iterator[Finding]:
    """A bucket, a queue or an account that a function reads the name of is told to it."""
    named = {
        each.variable
        for part in (deployment.topology.buckets, deployment.topology.accounts, deployment.topology.queues)
        for each in part.values()
    }
    for function in deployment.of("cloudfunctions2_function"):
        declared = deployment.topology.functions.get(str(function.get("name")))
        plain = function.block("service_config").get("environment_variables") or {}
        for name in sorted(named & {*(declared.variables if declared else [])}):
            if not plain.get(name):
                yield Finding("environment", function.address, f"{name} is not set")


def services_are_reached_through_the_balancer(deployment: Deployment) -> Iterator[Finding]:
    """The service of live streams has no address of its own on the Internet."""
    for service in deployment.of("cloud_run_v2_service"):
        if service.get("ingress") != "INGRESS_TRAFFIC_INTERNAL_LOAD_BALANCER":
            yield Finding("ingress", service.address, f"ingress is {service.get('ingress')}")


def what_is_public_is_called_by_everybody(deployment: Deployment) -> Iterator[Finding]:
    """A public function asks for a token itself, so that IAM must let everybody come as far as that."""
    open_to_all = {
        grant.target for grant in deployment.grants if grant.member == "allUsers" and grant.role == "roles/run.invoker"
    }
    deployed = {each.get("name") for each in deployment.of("cloudfunctions2_function", "cloud_run_v2_service")}
    for name, function in deployment.topology.functions.items():
        if function.public and name not in open_to_all and name in deployed:
            yield Finding("invokers", name, "IAM lets nobody call it, though it is public")


def the_edge_speaks_tls(deployment: Deployment) -> Iterator[Finding]:
    """TLS 1.2 or later by a policy; what comes without is sent there and served nothing."""
    for policy in deployment.of("compute_ssl_policy"):
        if policy.get("min_tls_version") not in {"TLS_1_2", "TLS_1_3"} or policy.get("profile") == "COMPATIBLE":
            yield Finding("tls", policy.address, "old versions or weak ciphers are taken")
    for proxy in deployment.of("compute_target_https_proxy"):
        if not proxy.get("ssl_policy"):
            yield Finding("tls", proxy.address, "no policy says which TLS is spoken")
    for proxy in deployment.of("compute_target_http_proxy"):
        if not _only_redirects(deployment, last_part(proxy.get("url_map"))):
            yield Finding("tls", proxy.address, "something is served without TLS")


def _only_redirects(deployment: Deployment, name: str) -> bool:
    """Whether a URL map does nothing but send everybody to https."""
    return all(
        url_map.block("default_url_redirect").get("https_redirect") and not url_map.get("path_matcher")
        for url_map in deployment.of("compute_url_map")
        if url_map.get("name") == name
    )


def the_edge_is_guarded(deployment: Deployment) -> Iterator[Finding]:
    """Every backend stands behind Cloud Armor, which limits rates."""
    for backend in deployment.of("compute_backend_service"):
        if not backend.get("security_policy"):
            yield Finding("guard", backend.address, "no security policy stands before it")
    policies = deployment.of("compute_security_policy")
    limited = [
        policy for policy in policies if any(rule.get("rate_limit_options") for rule in policy.get("rule") or [])
    ]
    if deployment.of("compute_backend_service") and not limited:
        yield Finding("guard", "google_compute_security_policy", "no rule limits rates")
