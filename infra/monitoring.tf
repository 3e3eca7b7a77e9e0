# What is watched, and who is told.
module "monitoring" {
  source = "./modules/monitoring"

  project_id               = var.project_id
  emails                   = var.alert_emails
  runbooks                 = var.runbooks
  objectives               = var.objectives
  domain                   = var.domain
  url_map                  = module.edge.url_map
  dead_letter_subscription = local.topology.delivery.dead_letter_subscription
  labels                   = var.labels

  functions = {
    for name, function in local.functions : name => {
      service = name
      timeout = function.timeout
      # A stream of the service lasts for as long as its client likes.
      answers = can(function.routes) && !can(function.platform)
    }
  }

  scheduled = merge([
    for schedule in local.topology.schedules : {
      for name, function in local.event_functions : name => schedule.every if contains(function.triggers, schedule.topic)
    }
  ]...)
}

resource "google_logging_project_bucket_config" "default" {
  project        = var.project_id
  location       = "global"
  bucket_id      = "_Default"
  retention_days = var.log_retention_days
  description    = "What functions and load balancer log."
}

# Two million lines a month that say nothing. Metrics count them all the same.
resource "google_logging_project_exclusion" "uptime_checks" {
  name        = "sightline-uptime-checks"
  description = "Uptime checks that were answered well."
  filter      = "httpRequest.userAgent:\"GoogleStackdriverMonitoring-UptimeChecks\" AND httpRequest.status<400"
}
