# Metrics made from what the functions log. `logger` is the Python module, `text` begins or ends what it says;
# tests/infra/test_monitoring.py holds both against the code.
locals {
  stage_label = { stage = "EXTRACT(jsonPayload.stage)" }

  counted = {
    stage_ended      = { logger = "shared.delivery", text = "^stage [a-z]+ after ", labels = local.stage_label, about = "Stages that ended as done or skipped." }
    stage_failed     = { logger = "shared.delivery", text = "^stage failed for good: ", labels = local.stage_label, about = "Stages that ended as failed." }
    message_rejected = { logger = "shared.delivery", text = "^message rejected: ", labels = local.stage_label, about = "Messages that no retry can mend." }
    run_failed       = { logger = "shared.delivery", text = " failed, until the next time$", labels = local.stage_label, about = "Scheduled runs that failed." }
    delivery_failed  = { logger = "shared.entry", text = "^the delivery failed and will be repeated$", labels = local.stage_label, about = "Deliveries that ended in an unexpected error." }
    swept            = { logger = "shared.handlers.maintain", text = "^(worker_silent|delivery_lost|message_lost|notification_lost|published|announced|delivery_overdue|alerts_reminded): ", labels = { what = "REGEXP_EXTRACT(jsonPayload.message, \"^([a-z_]+): \")" }, about = "Work that stood still and was started again." }
    given_up         = { logger = "shared.handlers.maintain", text = "^(worker_lost|retries_exhausted|never_delivered): ", labels = { what = "REGEXP_EXTRACT(jsonPayload.message, \"^([a-z_]+): \")" }, about = "Work that stood still and was given up." }
    sweep_failed     = { logger = "shared.handlers.maintain", text = "( could not be swept| stopped early)$", labels = {}, about = "What the sweeper could not see to." }
    request_failed   = { logger = "shared.web.app", text = "^request failed$", labels = {}, about = "Requests that ended in an unexpected error." }
    unavailable      = { logger = "shared.web.app", text = "^unavailable: ", labels = {}, about = "Requests that were asked to come again." }
    denied           = { logger = "shared.web.middleware", text = " 40[13] [0-9.]+ ms$", labels = { status = "REGEXP_EXTRACT(jsonPayload.message, \" (40[13]) [0-9.]+ ms$\")" }, about = "Calls of who is not known (401) or may not (403)." }
    verdict_error    = { logger = "shared.handlers.moderation_batch", text = "^no verdict on ", labels = { code = "REGEXP_EXTRACT(jsonPayload.message, \": ([a-z_]+)$\")" }, about = "Media that could not be judged." }
    budget_used_up   = { logger = "shared.handlers.spending", text = "^the day's budget for .+ is used up$", labels = { analyser = "REGEXP_EXTRACT(jsonPayload.message, \"budget for (.+) is used up$\")" }, about = "Analyses that were not paid for." }
    undeliverable    = { logger = "shared.handlers.delivering", text = " given up after [0-9]+ attempt", labels = {}, about = "Alerts that reached a guard or webhook in no attempt." }
    nobody_came      = { logger = "shared.handlers.notify", text = "; nobody has taken the incident$", labels = {}, about = "Incidents for which all guards were asked in vain." }
  }

  measured = {
    stage_seconds    = { logger = "shared.delivery", text = "^stage [a-z]+ after ", value = "REGEXP_EXTRACT(jsonPayload.message, \" ([0-9.]+) s$\")", unit = "s", labels = local.stage_label, about = "How long a stage took." }
    analysed_seconds = { logger = "shared.completion", text = "^analysed in ", value = "REGEXP_EXTRACT(jsonPayload.message, \"^analysed in ([0-9.]+) s\")", unit = "s", labels = {}, about = "From an upload's arrival to the end of its last stage." }
    analysed_usd     = { logger = "shared.completion", text = "^analysed in ", value = "REGEXP_EXTRACT(jsonPayload.message, \" for ([0-9.]+) USD$\")", unit = "{USD}", labels = {}, about = "What an upload cost, as the ledger estimates it." }
  }

  log_filters = {
    for name, metric in merge(local.counted, local.measured) :
    name => join(" AND ", [
      "resource.type=\"cloud_run_revision\"",
      "jsonPayload.logger=\"${metric.logger}\"",
      "jsonPayload.message=~\"${metric.text}\"",
    ])
  }

  # The type of each metric, and the filter that finds its series.
  series = {
    for name, filter in local.log_filters :
    name => "metric.type=\"logging.googleapis.com/user/${google_logging_metric.this[name].name}\" AND resource.type=\"cloud_run_revision\""
  }
}

resource "google_logging_metric" "this" {
  for_each = merge(local.counted, local.measured)

  name             = "sightline/${each.key}"
  description      = each.value.about
  filter           = local.log_filters[each.key]
  value_extractor  = try(each.value.value, null)
  label_extractors = length(each.value.labels) == 0 ? null : each.value.labels

  metric_descriptor {
    metric_kind = "DELTA"
    value_type  = can(each.value.value) ? "DISTRIBUTION" : "INT64"
    unit        = try(each.value.unit, "1")

    dynamic "labels" {
      for_each = each.value.labels

      content {
        key        = labels.key
        value_type = "STRING"
      }
    }
  }

  # From a millisecond, or a millionth of a dollar, up.
  dynamic "bucket_options" {
    for_each = can(each.value.value) ? [each.value.unit == "s" ? 0.1 : 0.00001] : []

    content {
      exponential_buckets {
        scale              = bucket_options.value
        growth_factor      = 1.4
        num_finite_buckets = 40
      }
    }
  }
}
