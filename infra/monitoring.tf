# What is watched, and who is told.
module "monitoring" {
  source = "./modules/monitoring"

  project_id               = var.project_id
  emails                   = var.alert_emails
  runbooks                 = var.runbooks
  objectives               = var.objectives
  domain                   = var.domain
  url_map                  = module.edge.url_map
  dead_letter_subscription = module.messaging.dead_letter_subscription
  labels                   = var.labels

  functions = {
    for name, service in local.deployed : name => {
      service = service
      timeout = local.functions[name].timeout
      # A stream lasts for as long as its client likes.
      answers = can(local.functions[name].routes) && !contains(keys(local.services), name)
    }
  }

  scheduled = merge([
    for schedule in local.topology.schedules : {
      for name, function in local.event_functions : name => schedule.every if contains(function.triggers, schedule.topic)
    }
  ]...)

  depends_on = [module.project]
}

resource "google_logging_project_bucket_config" "default" {
  project        = module.project.id
  location       = "global"
  bucket_id      = "_Default"
  retention_days = var.log_retention_days
  description    = "What functions and load balancer log."
}

# Two million lines a month that say nothing. Metrics count them all the same.
resource "google_logging_project_exclusion" "uptime_checks" {
  name        = "sightline-uptime-checks"
  project     = module.project.id
  description = "Uptime checks that were answered well."
  filter      = "httpRequest.userAgent:\"GoogleStackdriverMonitoring-UptimeChecks\" AND httpRequest.status<400"
}
