# The streams, once there is an image of them: `live_image` says which.
module "live" {
  source   = "./modules/service"
  for_each = var.live_image == null ? {} : local.services

  name          = each.key
  project_id    = var.project_id
  region        = var.region
  kms_key       = module.keys.name
  image         = var.live_image
  size          = local.sizes[each.key]
  account       = module.accounts.emails[each.key]
  environment   = local.environments[each.key]
  secrets       = { for variable in try(each.value.secrets, []) : variable => module.secrets.ids[variable] if contains(keys(module.secrets.ids), variable) }
  public        = try(each.value.public, false)
  vpc_connector = var.vpc_connector

  depends_on = [module.accounts, module.secrets, google_service_account_iam_member.deployer_runs]
}
