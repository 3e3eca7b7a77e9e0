# Tokens. Functions refer to the latest version and read it when an instance starts: a token is replaced by writing a new
# version (`secret_version` raised by one, or `gcloud secrets versions add`) and starting new instances (a release, or
# `gcloud run services update NAME --update-labels=token=N`). Until the old instances are gone both are answered.
locals {
  secret_values = {
    SIGHTLINE_API_TOKEN   = var.api_token
    SIGHTLINE_USER_TOKENS = var.user_tokens
  }

  # The API's token is required; that of users has a value only where somebody gave it one.
  secrets_present = {
    SIGHTLINE_API_TOKEN   = true
    SIGHTLINE_USER_TOKENS = var.user_tokens_exist || nonsensitive(var.user_tokens != null)
  }
}

module "secrets" {
  source = "./modules/secrets"

  project_id     = module.project.id
  region         = var.region
  values         = local.secret_values
  values_version = var.secret_version
  members        = module.accounts.members
  kms_key        = module.keys.name
  labels         = var.labels

  secrets = {
    for variable, name in local.topology.secrets : variable => {
      name    = name
      present = local.secrets_present[variable]
      readers = [for function, declared in local.functions : function if contains(try(declared.secrets, []), variable)]
    }
  }
}
