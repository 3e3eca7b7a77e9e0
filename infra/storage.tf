# Everything that is kept as objects. Nothing here deletes what a legal hold may concern: see `lifecycle` in the topology.
locals {
  # What functions must know of who may reach objects from outside.
  access_settings = {
    ALLOWED_ORIGINS = join(",", var.allowed_origins)
    EVIDENCE_URLS   = var.evidence_public ? "public" : "signed"
  }
}

module "storage" {
  source = "./modules/storage"

  project_id       = module.project.id
  location         = var.region
  allowed_origins  = var.allowed_origins
  soft_delete_days = var.soft_delete_days
  grants           = local.grants
  members          = module.accounts.members
  topics           = module.messaging.topics
  storage_agent    = module.project.agents.storage
  kms_key          = module.keys.name
  labels           = var.labels

  buckets = {
    for key, bucket in local.topology.buckets : key => {
      name            = local.bucket_names[key]
      public          = try(bucket.public, false) && var.evidence_public
      versioned       = try(bucket.versioned, false)
      browser_methods = try(bucket.browser_methods, [])
      lifecycle       = try(bucket.lifecycle, [])
      notifications   = try(bucket.notifications, [])
    }
  }
}
