# Topics, dead letters, timers and schedules, and who may publish to which. Subscriptions lie with their functions.
module "messaging" {
  source = "./modules/messaging"

  project_id   = var.project_id
  region       = var.region
  kms_key      = module.keys.name
  pubsub_agent = module.project.agents.pubsub
  topics       = local.topology.topics
  delivery     = local.topology.delivery
  queues       = local.topology.queues
  schedules    = { for schedule in local.topology.schedules : schedule.topic => schedule.every }
  grants       = local.grants
  members      = module.accounts.members

  depends_on = [module.project, module.keys]
}
