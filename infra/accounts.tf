# Who everybody runs as, and whom they may act as. What else they may do is granted beside what they may do it to.
module "accounts" {
  source = "./modules/accounts"

  project_id = var.project_id
  grants     = local.grants
  accounts = merge(
    { for name in keys(local.topology.accounts) : name => "acts for others" },
    { for name in keys(local.functions) : name => "runs ${name}" },
  )

  depends_on = [module.project]
}
