# What is stored is always encrypted; with `kms_key` it is so by a key that the customer can take back.
# Some of these agents exist only once they are asked for: `gcloud beta services identity create --service=API` makes
# those of firestore, pubsub, secretmanager and artifactregistry, and is harmless where they are there.
module "keys" {
  source = "./modules/keys"

  key    = var.kms_key
  agents = { for name in ["artifacts", "firestore", "functions", "pubsub", "run", "secrets", "storage"] : name => module.project.agents[name] }
}
