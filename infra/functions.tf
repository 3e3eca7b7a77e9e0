# The functions, each as the topology has it, with what `function_overrides` and `settings` say otherwise.
locals {
  gen2_functions = { for name, function in local.functions : name => function if try(function.platform, "function") == "function" }
  services       = { for name, function in local.functions : name => function if try(function.platform, "function") == "service" }

  sizes = {
    for name, function in local.functions : name => {
      memory        = try(coalesce(var.function_overrides[name].memory), function.memory)
      cpu           = try(coalesce(var.function_overrides[name].cpu), function.cpu)
      timeout       = function.timeout
      concurrency   = function.concurrency
      min_instances = try(coalesce(var.function_overrides[name].min_instances), function.min_instances, 0)
      max_instances = try(coalesce(var.function_overrides[name].max_instances), function.max_instances)
    }
  }

  # What follows from what is deployed, unless `settings` says otherwise.
  implied_settings = var.live_image == null ? { WS_ENABLED = "false" } : {}

  # What the deployment itself knows, and nobody else says.
  derived_settings = merge(
    { GOOGLE_CLOUD_PROJECT = var.project_id, FIRESTORE_DATABASE = module.firestore.name },
    local.access_settings,
    { for key, bucket in local.topology.buckets : bucket.variable => module.storage.names[key] },
    { for name, account in local.topology.accounts : account.variable => module.accounts.emails[name] },
    { for name, queue in local.topology.queues : queue.variable => module.messaging.queues[name] },
  )

  # Names only: known before anything is made.
  derived_names = concat(
    ["GOOGLE_CLOUD_PROJECT", "FIRESTORE_DATABASE"],
    keys(local.access_settings),
    [for named in concat(values(local.topology.buckets), values(local.topology.accounts), values(local.topology.queues)) : named.variable],
  )
  read_names = distinct(concat(local.topology.common_variables, flatten([for function in local.functions : try(function.variables, [])])))

  environments = {
    for name, function in local.functions : name => merge(
      try(function.environment, {}),
      { FUNCTION_CPU = tostring(local.sizes[name].cpu), FUNCTION_MEMORY_MIB = tostring(local.sizes[name].memory) },
      {
        for variable in concat(local.topology.common_variables, try(function.variables, [])) : variable => merge(local.implied_settings, var.settings, local.derived_settings)[variable]
        if contains(concat(keys(local.implied_settings), keys(var.settings), local.derived_names), variable)
      },
    )
  }
}

module "functions" {
  source   = "./modules/function"
  for_each = local.gen2_functions

  name          = each.key
  project_id    = var.project_id
  region        = var.region
  kms_key       = module.keys.name
  runtime       = local.topology.runtime
  bundle        = "${var.bundles}/${each.key}.zip"
  size          = local.sizes[each.key]
  account       = module.accounts.emails[each.key]
  environment   = local.environments[each.key]
  secrets       = { for variable in try(each.value.secrets, []) : variable => module.secrets.ids[variable] if contains(keys(module.secrets.ids), variable) }
  public        = try(each.value.public, false)
  triggers      = { for topic in try(each.value.triggers, []) : topic => module.messaging.topics[topic] }
  delivery      = local.topology.delivery
  pubsub_agent  = module.project.agents.pubsub
  deployer      = var.deployer
  vpc_connector = var.vpc_connector

  dead_letter_topic = module.messaging.dead_letter_topic

  build = {
    bucket     = google_storage_bucket.sources.name
    repository = "projects/${var.project_id}/locations/${var.region}/repositories/${google_artifact_registry_repository.images.repository_id}"
    account    = "projects/${var.project_id}/serviceAccounts/${local.build_email}"
  }

  # A build or a first instance that comes before its rights fails the whole deployment.
  depends_on = [
    module.accounts,
    module.secrets,
    google_artifact_registry_repository_iam_member.build,
    google_project_iam_member.build_copies,
    google_project_iam_member.build_logs,
    google_service_account_iam_member.deployer_builds,
    google_service_account_iam_member.deployer_runs,
    google_storage_bucket_iam_member.build,
  ]
}
