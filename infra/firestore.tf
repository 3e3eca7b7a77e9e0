# All state. Functions find it by FIRESTORE_DATABASE.
module "firestore" {
  source = "./modules/firestore"

  project_id          = module.project.id
  name                = var.firestore_database
  location            = coalesce(var.firestore_location, var.region)
  deletion_protection = var.deletion_protection
  backup_days         = var.backup_days
  indexes             = local.topology.indexes
  expiry              = local.topology.expiry
  unindexed           = local.topology.unindexed
  rules               = file("${path.module}/firestore.rules")
  kms_key             = module.keys.name
}
