# Two accounts build. `plan` runs whatever is in a commit, so it reads only, and none of it is people's data. `deploy`
# runs what a person has approved, and can change what the deployment consists of.
resource "google_service_account" "this" {
  for_each = {
    plan   = "checks commits and plans releases"
    deploy = "applies approved releases"
  }

  account_id   = "sightline-${each.key}"
  display_name = "Sightline: ${each.value}"

  depends_on = [google_project_service.this]
}

locals {
  topology = yamldecode(file("${path.module}/../pipeline.yaml"))

  # The roles that the deployment grants on the project. It may grant no others, to nobody: not even to itself.
  granted_roles = setunion(
    toset(flatten([
      for declared in values(merge(local.topology.functions, local.topology.accounts)) : [
        for grant in declared.roles : grant.role if grant.resource == "project"
      ]
    ])),
    ["roles/logging.logWriter", "roles/storage.objectViewer"], # the account that builds functions
  )

  token_secret = local.topology.secrets["SIGHTLINE_API_TOKEN"]

  # Each with its reason. What is not here is in the custom role below, because the predefined role holds far more.
  deploy_roles = {
    "roles/artifactregistry.admin"         = "makes the repository that functions are built into, and says who may push"
    "roles/cloudbuild.builds.viewer"       = "functions are built by Cloud Build: a failed one's reason is in its build"
    "roles/cloudfunctions.developer"       = "makes and changes functions, without saying who may call them"
    "roles/cloudscheduler.admin"           = "makes the jobs of the schedules"
    "roles/cloudtasks.queueAdmin"          = "makes the queues, and says who may enqueue"
    "roles/compute.loadBalancerAdmin"      = "makes the load balancer, its address, certificate and URL map"
    "roles/firebaserules.admin"            = "writes the rules of the database"
    "roles/logging.logWriter"              = "writes its builds' logs"
    "roles/monitoring.editor"              = "makes dashboards, alert policies, objectives and uptime checks"
    "roles/pubsub.admin"                   = "makes topics and subscriptions, and says who may publish"
    "roles/run.admin"                      = "makes the live service, and says who may call the functions' services"
    "roles/serviceusage.serviceUsageAdmin" = "enables APIs"
  }

  # In place of storage.admin and datastore.owner (which read everything), secretmanager.admin (which reads secrets),
  # iam.serviceAccountAdmin, compute.securityAdmin (networks) and logging.configWriter (exports of logs). The load
  # balancer's role lacks the operations that say whether what was asked for is done.
  deploy_permissions = [
    "compute.backendBuckets.setSecurityPolicy", "compute.globalOperations.get",
    "compute.regionNetworkEndpointGroups.create", "compute.regionNetworkEndpointGroups.delete",
    "compute.regionNetworkEndpointGroups.get", "compute.regionNetworkEndpointGroups.list",
    "compute.regionNetworkEndpointGroups.use", "compute.regionOperations.get",
    "compute.securityPolicies.create", "compute.securityPolicies.delete", "compute.securityPolicies.get",
    "compute.securityPolicies.list", "compute.securityPolicies.update", "compute.securityPolicies.use",
    "datastore.backupSchedules.create", "datastore.backupSchedules.delete", "datastore.backupSchedules.get",
    "datastore.backupSchedules.list", "datastore.backupSchedules.update",
    "datastore.databases.create", "datastore.databases.get", "datastore.databases.getMetadata",
    "datastore.databases.list", "datastore.databases.update",
    "datastore.indexes.create", "datastore.indexes.delete", "datastore.indexes.get", "datastore.indexes.list",
    "datastore.indexes.update", "datastore.operations.get", "datastore.operations.list",
    "iam.serviceAccounts.create", "iam.serviceAccounts.delete", "iam.serviceAccounts.get",
    "iam.serviceAccounts.getIamPolicy", "iam.serviceAccounts.list", "iam.serviceAccounts.setIamPolicy",
    "iam.serviceAccounts.update",
    "logging.buckets.get", "logging.buckets.list", "logging.buckets.update",
    "logging.exclusions.create", "logging.exclusions.delete", "logging.exclusions.get", "logging.exclusions.list",
    "logging.exclusions.update",
    "logging.logMetrics.create", "logging.logMetrics.delete", "logging.logMetrics.get", "logging.logMetrics.list",
    "logging.logMetrics.update",
    "logging.notificationRules.create", "logging.notificationRules.delete", "logging.notificationRules.get",
    "logging.notificationRules.list", "logging.notificationRules.update",
    "resourcemanager.projects.get",
    "secretmanager.secrets.create", "secretmanager.secrets.delete", "secretmanager.secrets.get",
    "secretmanager.secrets.getIamPolicy", "secretmanager.secrets.list", "secretmanager.secrets.setIamPolicy",
    "secretmanager.secrets.update", "secretmanager.versions.add", "secretmanager.versions.get",
    "secretmanager.versions.list",
    "storage.buckets.create", "storage.buckets.delete", "storage.buckets.get", "storage.buckets.getIamPolicy",
    "storage.buckets.list", "storage.buckets.setIamPolicy", "storage.buckets.update",
  ]

  plan_roles = {
    "roles/artifactregistry.reader"           = "reads the repositories"
    "roles/cloudfunctions.viewer"             = "reads the functions"
    "roles/cloudscheduler.viewer"             = "reads the schedules"
    "roles/cloudtasks.viewer"                 = "reads the queues"
    "roles/compute.viewer"                    = "reads the load balancer"
    "roles/firebaserules.viewer"              = "reads the rules of the database"
    "roles/iam.securityReviewer"              = "reads who may do what"
    "roles/logging.logWriter"                 = "writes its builds' logs"
    "roles/monitoring.viewer"                 = "reads dashboards and alert policies"
    "roles/pubsub.viewer"                     = "reads topics and subscriptions, not their messages"
    "roles/run.viewer"                        = "reads the live service"
    "roles/serviceusage.serviceUsageConsumer" = "asks the APIs in the name of the project"
  }

  # `get` and `list` of what the deploy account's own role makes; no object, document, secret or log entry.
  plan_permissions = [
    for permission in local.deploy_permissions : permission
    if can(regex("[.](get|getIamPolicy|getMetadata|list)$", permission))
  ]

  project_roles = merge(
    { for role, reason in local.deploy_roles : "deploy:${role}" => { account = "deploy", role = role } },
    { for role, reason in local.plan_roles : "plan:${role}" => { account = "plan", role = role } },
  )
}

resource "google_project_iam_member" "this" {
  for_each = local.project_roles

  project = var.project_id
  role    = each.value.role
  member  = google_service_account.this[each.value.account].member
}

resource "google_project_iam_custom_role" "this" {
  for_each = {
    deploy = { title = "Sightline: deploy", permissions = local.deploy_permissions }
    plan   = { title = "Sightline: plan", permissions = local.plan_permissions }
  }

  role_id     = "sightline_${each.key}"
  title       = each.value.title
  description = "What no predefined role grants without far more."
  permissions = each.value.permissions

  depends_on = [google_project_service.this]
}

resource "google_project_iam_member" "custom" {
  for_each = google_project_iam_custom_role.this

  project = var.project_id
  role    = each.value.name
  member  = google_service_account.this[each.key].member
}

# It says who may do what in the project, but only among the roles that the topology names.
resource "google_project_iam_member" "grants" {
  project = var.project_id
  role    = "roles/resourcemanager.projectIamAdmin"
  member  = google_service_account.this["deploy"].member

  condition {
    title       = "roles-of-the-topology"
    description = "Grants and withdraws nothing but what functions need."
    expression  = "api.getAttribute('iam.googleapis.com/modifiedGrantsByRole', []).hasOnly([${join(", ", [for role in sort(local.granted_roles) : "'${role}'"])}])"
  }

  lifecycle {
    precondition {
      condition     = length(local.granted_roles) <= 10
      error_message = "A condition can name ten roles at most; the topology grants more of them on the project: ${join(", ", local.granted_roles)}."
    }
  }
}

# The smoke test shows the token it is tried with.
resource "google_project_iam_member" "token" {
  project = var.project_id
  role    = "roles/secretmanager.secretAccessor"
  member  = google_service_account.this["deploy"].member

  condition {
    title       = "token-of-the-smoke-test"
    description = "This secret alone."
    expression  = "resource.name.startsWith(\"projects/${data.google_project.this.number}/secrets/${local.token_secret}/versions/\")"
  }
}

# The bundles, and the web page if there is one: the deploy account uploads them, and a plan looks whether they are there.
# Of every other bucket of the deployment neither may read an object.
locals {
  deployed_files = [for key in ["sources", "dashboard"] : "projects/_/buckets/${coalesce(var.bucket_prefix, var.project_id)}-${key}"]
}

resource "google_project_iam_member" "files" {
  for_each = { deploy = "roles/storage.objectUser", plan = "roles/storage.objectViewer" }

  project = var.project_id
  role    = each.value
  member  = google_service_account.this[each.key].member

  condition {
    title       = "what-is-deployed"
    description = "Bundles and the web page, not what people uploaded."
    expression  = join(" || ", [for bucket in local.deployed_files : "resource.name == \"${bucket}\" || resource.name.startsWith(\"${bucket}/objects/\")"])
  }
}

# A budget belongs to the billing account, not to the project. Who plans sees it, too, and what else the account pays.
resource "google_billing_account_iam_member" "this" {
  for_each = var.billing_account == null ? {} : { deploy = "roles/billing.costsManager", plan = "roles/billing.viewer" }

  billing_account_id = var.billing_account
  role               = each.value
  member             = google_service_account.this[each.key].member
}
