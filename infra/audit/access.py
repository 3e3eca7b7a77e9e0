"""Rules on who may do what: nobody anonymous, nothing wide, and of every account just what the topology grants it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator

from infra.audit.deployment import Deployment, Finding, Grant, account_of, is_agent
from infra.topology import Account, Function, Role

EVERYBODY = frozenset({"allUsers", "allAuthenticatedUsers"})

PROJECT_ROLES = {
    "roles/aiplatform.user": "Vertex AI's models are Google's own: there is no resource of ours to grant it on",
    "roles/datastore.user": "a Firestore database has no policy of its own",
    "roles/datastore.viewer": "as roles/datastore.user",
    "roles/firebasecloudmessaging.admin": "messages are sent in the project's name",
    "roles/logging.logWriter": "entries are written to the project's log",
    "roles/serviceusage.serviceUsageConsumer": "who asks Vision or Video Intelligence uses the project's quota",
}
"""Every role that may be granted on the whole project, each with why nothing narrower would do."""

CONDITIONAL_PROJECT_ROLES = {
    "roles/storage.objectViewer": "the builder reads copies of bundles in a bucket that Google makes later, and names",
}
"""Roles that may be granted on the project under a condition that narrows them down."""

PUSH_PREFIX = "push-"
"""What the names of the accounts begin with in whose names Pub/Sub calls functions."""

IMPERSONATION = frozenset(
    {
        "roles/iam.serviceAccountTokenCreator",
        "roles/iam.serviceAccountUser",
        "roles/iam.serviceAccountOpenIdTokenCreator",
        "roles/iam.workloadIdentityUser",
        "roles/iam.serviceAccountKeyAdmin",
    }
)

_KINDS = {
    "project": "project",
    "storage_bucket": "bucket",
    "pubsub_topic": "topic",
    "service_account": "account",
    "cloud_tasks_queue": "queue",
}
"""How the topology calls what a role is granted on."""

AGENT = re.compile(
    r"serviceAccount:service-[^@]+@(gcp-sa-[a-z-]+|gcf-admin-robot|gs-project-accounts|serverless-robot-prod)"
    r"[.]iam[.]gserviceaccount[.]com"
)
"""The accounts that Google's own services act under."""

INVOKERS = frozenset({"cloud_run_service", "cloud_run_v2_service", "cloudfunctions2_function"})


def nobody_anonymous(deployment: Deployment) -> Iterator[Finding]:
    """Everybody may call what the topology calls public, and read the objects of buckets that may be."""
    public = {name for name, function in deployment.topology.functions.items() if function.public}
    for grant in deployment.grants:
        if grant.member not in EVERYBODY:
            continue
        calls = grant.kind in INVOKERS and grant.role == "roles/run.invoker" and grant.target in public
        reads = _shows_evidence(grant, deployment)
        if grant.member == "allAuthenticatedUsers" or not (calls or reads):
            yield Finding("nobody anonymous", grant.address, f"{grant.member} has {grant.role} on {grant.target}")


def nobody_from_outside(deployment: Deployment) -> Iterator[Finding]:
    """What is granted is granted to accounts that the deployment makes, and to Google's own of its services.

    An account of another project may have the name of one of ours; people come and go, and are let in by hand.
    """
    own = {f"serviceAccount:{account.get('email')}" for account in deployment.of("service_account")}
    for grant in deployment.grants:
        if grant.member not in own | EVERYBODY and not AGENT.fullmatch(grant.member):
            yield Finding("nobody from outside", grant.address, f"{grant.member} has {grant.role} on {grant.target}")


def _shows_evidence(grant: Grant, deployment: Deployment) -> bool:
    """Objects whose names are known may be read where the topology lets a deployment show them; nobody lists them."""
    shown = {"dashboard"} | {key for key, bucket in deployment.topology.buckets.items() if bucket.public}
    return (
        grant.kind == "storage_bucket"
        and deployment.bucket_keys.get(grant.target) in shown
        and grant.role == "roles/storage.legacyObjectReader"
    )


def no_wide_roles(deployment: Deployment) -> Iterator[Finding]:
    """On the project only what can't be narrower; nowhere a basic role, an administrator, or a change of policies."""
    for grant in deployment.grants:
        name = grant.role.rpartition("/")[2]
        if grant.kind == "project" and grant.role in IMPERSONATION:
            yield Finding("no wide roles", grant.address, f"{grant.role} on the project stands for every account in it")
        elif grant.kind == "project" and not _has_to_be_on_the_project(grant):
            yield Finding("no wide roles", grant.address, f"{grant.role} is granted on the whole project")
        elif grant.kind in {"organization", "folder"}:
            yield Finding("no wide roles", grant.address, f"{grant.role} is granted above the project")
        elif grant.kind != "project" and (name in {"owner", "editor", "viewer"} or _administers(name)):
            yield Finding("no wide roles", grant.address, f"{grant.role} lets its holder change who has access")


def _has_to_be_on_the_project(grant: Grant) -> bool:
    narrowed = grant.role in CONDITIONAL_PROJECT_ROLES and grant.condition.startswith("resource.name.startsWith(")
    return grant.role in PROJECT_ROLES or narrowed


def _administers(name: str) -> bool:
    return name.lower().endswith((".admin", "legacybucketowner", "legacyobjectowner"))


def nothing_is_granted_to_default_accounts(deployment: Deployment) -> Iterator[Finding]:
    """What runs without an account of its own would have what these have."""
    for grant in deployment.grants:
        if grant.member.endswith(("-compute@developer.gserviceaccount.com", "@appspot.gserviceaccount.com")):
            yield Finding("no default accounts", grant.address, f"{grant.member} has {grant.role}")


def no_policy_is_replaced(deployment: Deployment) -> Iterator[Finding]:
    """Policies and bindings take away what others granted, and what they say is not seen grant by grant."""
    for resource in deployment.resources:
        if resource.type.endswith(("_iam_policy", "_iam_binding")):
            yield Finding("no policy is replaced", resource.address, "grants are added one by one, by *_iam_member")


def no_keys(deployment: Deployment) -> Iterator[Finding]:
    """No service account has a key: what is not there is not stolen."""
    for key in deployment.of("service_account_key", "storage_hmac_key", "apikeys_key"):
        yield Finding("no keys", key.address, "a long-lived key is made")


def accounts_have_what_the_topology_grants(deployment: Deployment) -> Iterator[Finding]:
    """No role more and none fewer, on the named resource, under the named condition.

    Beside them a function may read the secrets that it names, and its subscriptions' own accounts may call it.
    """
    declared: dict[str, Function | Account] = {**deployment.topology.functions, **deployment.topology.accounts}
    for name, account in declared.items():
        wanted = Counter(_as_declared(role) for role in account.roles)
        found = Counter(
            _as_found(grant, deployment)
            for grant in deployment.grants
            if grant.account == name and grant.kind != "secret_manager_secret"
        )
        for missing in (wanted - found).elements():
            yield Finding("granted as declared", name, f"lacks {_told(missing)}")
        for superfluous in (found - wanted).elements():
            yield Finding("granted as declared", name, f"has {_told(superfluous)}, which pipeline.yaml does not say")


_Plain = tuple[str, str, str]


def _as_declared(role: Role) -> _Plain:
    return role.role, role.resource, role.prefix or ""


def _as_found(grant: Grant, deployment: Deployment) -> _Plain:
    kind = _KINDS.get(grant.kind, grant.kind)
    target = {
        "project": "",
        "bucket": deployment.bucket_keys.get(grant.target, grant.target),
        "account": account_of(grant.target) or grant.target,
    }.get(kind, grant.target)
    condition = grant.prefix or grant.condition
    if grant.role.startswith("roles/datastore.") and _names_one_database(condition):
        condition = ""
    return grant.role, f"{kind}/{target}".rstrip("/"), condition


def _names_one_database(condition: str) -> bool:
    """Whether a condition narrows a project's role down to one Firestore database."""
    return condition.startswith('resource.name == "projects/') and "/databases/" in condition and "||" not in condition


def _told(grant: _Plain) -> str:
    role, resource, condition = grant
    return f"{role} on {resource}" + (f" where {condition}" if condition else "")


def nobody_else_acts_as_an_account(deployment: Deployment) -> Iterator[Finding]:
    """Who acts as another account is named by the topology; Pub/Sub itself signs as those that only call functions."""
    declared = {*deployment.topology.functions, *deployment.topology.accounts}
    for grant in deployment.grants:
        if grant.kind != "service_account" or grant.account in declared:
            continue
        pushes = (account_of(grant.target) or "").startswith(PUSH_PREFIX) and is_agent(grant.member, "pubsub")
        if not pushes:
            yield Finding("acting as others", grant.address, f"{grant.member} has {grant.role} on {grant.target}")


def secrets_are_read_by_who_names_them(deployment: Deployment) -> Iterator[Finding]:
    """A function's account reads the secrets of its environment, and nobody else reads any."""
    wanted = {
        (name, deployment.topology.secrets[variable])
        for name, function in deployment.topology.functions.items()
        for variable in function.secrets
    }
    readable = "roles/secretmanager.secretAccessor"
    grants = [grant for grant in deployment.grants if grant.kind == "secret_manager_secret"]
    for grant in grants:
        if grant.role != readable or (grant.account, grant.target) not in wanted:
            yield Finding("secrets", grant.address, f"{grant.member} has {grant.role} on {grant.target}")
    found = {(grant.account, grant.target) for grant in grants if grant.role == readable}
    for name, secret in sorted(wanted - {(account or "", target) for account, target in found}):
        yield Finding("secrets", name, f"can't read {secret}")


def others_are_granted_little(deployment: Deployment) -> Iterator[Finding]:
    """Accounts that the topology does not name call functions and build them; each of those may do one thing.

    The account of a subscription calls the service of its function and no other.
    """
    declared = {*deployment.topology.functions, *deployment.topology.accounts}
    for grant in deployment.grants:
        if grant.account is None or grant.account in declared:
            continue
        if grant.role not in OTHERS_ROLES:
            yield Finding("others are granted little", grant.address, f"{grant.account} has {grant.role}")


OTHERS_ROLES = {
    "roles/artifactregistry.writer": "the builder stores the images of functions",
    "roles/logging.logWriter": "the builder writes the build's log",
    "roles/run.invoker": "a subscription's own account calls its function",
    "roles/storage.objectViewer": "the builder reads the bundles",
}
"""What accounts may do that are neither a function's nor named by the topology, each with why."""
