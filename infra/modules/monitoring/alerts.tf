# Alert policies as a table. Each names the section of the runbooks that says what to do.
locals {
  run    = "resource.type=\"cloud_run_revision\""
  pubsub = "resource.type=\"pubsub_subscription\""
  names  = { for name, function in var.functions : name => basename(function.service) }

  # Of a counter: how many in `period` seconds.
  counters = {
    given_up       = { title = "Work was given up", section = "stuck-stage", severity = "ERROR", above = 0, period = 600, text = "The sweeper gave up work whose stage never ended. The ledger of the asset says which stage." }
    swept          = { title = "Work stands still", section = "stuck-stage", severity = "WARNING", above = var.limits.swept, period = 1800, text = "The sweeper starts more work again than a lost message now and then explains: workers die, or a topic delivers nothing." }
    sweep_failed   = { title = "The sweeper fails", section = "stuck-stage", severity = "ERROR", above = 0, period = 600, text = "What stands still stays so until the sweeper can see to it." }
    run_failed     = { title = "A scheduled run failed", section = "stuck-stage", severity = "ERROR", above = 2, period = 600, text = "A function that is called at regular times fails each time." }
    rejected       = { metric = "message_rejected", title = "Messages are rejected", section = "dead-letters", severity = "ERROR", above = 0, period = 600, text = "A message could not be read. It lies in the collection of rejected messages, and comes from a sender of another version or of none of ours." }
    denied         = { title = "Many calls are refused", section = "rotated-key", severity = "WARNING", above = var.limits.denied, period = 300, text = "Somebody tries keys, or a device or an operator still uses one that was rotated." }
    budget_used_up = { title = "A day's budget is used up", section = "budget", severity = "WARNING", above = 0, period = 600, text = "An analyser looks less closely or not at all until midnight UTC." }
    nobody_came    = { title = "Nobody took an incident", section = "alerts", severity = "CRITICAL", above = 0, period = 300, text = "All guards of a place were asked in vain. Call somebody." }
    undeliverable  = { title = "Alerts do not arrive", section = "alerts", severity = "ERROR", above = 2, period = 600, text = "Guards or webhooks were not reached in any attempt." }
  }

  counter_policies = {
    for name, counter in local.counters : name => {
      title    = counter.title
      section  = counter.section
      severity = counter.severity
      text     = counter.text
      conditions = [{
        title     = counter.title
        filter    = local.series[try(counter.metric, name)]
        above     = counter.above
        duration  = 0
        period    = counter.period
        aligner   = "ALIGN_DELTA"
        reducer   = "REDUCE_SUM"
        group_by  = []
        of        = null
        is_absent = false
        below     = null
      }]
    }
  }

  latency_policies = {
    for name, function in var.functions : "latency_${name}" => {
      title    = "${name} answers slowly"
      section  = "latency"
      severity = "WARNING"
      text     = "Of its answers one in twenty takes longer than ${function.timeout * 100} ms, a tenth of its timeout."
      conditions = [{
        title     = "95th percentile"
        filter    = "metric.type=\"run.googleapis.com/request_latencies\" AND ${local.run} AND resource.labels.service_name=\"${local.names[name]}\""
        above     = function.timeout * 100
        duration  = 600
        period    = 300
        aligner   = "ALIGN_DELTA"
        reducer   = "REDUCE_PERCENTILE_95"
        group_by  = ["resource.labels.service_name"]
        of        = null
        is_absent = false
        below     = null
      }]
    } if function.answers
  }

  absence_policies = {
    for name, every in var.scheduled : "silent_${name}" => {
      title    = "${name} is not heard from"
      section  = "stuck-stage"
      severity = "ERROR"
      text     = "It is to run every ${every} s. See whether Cloud Scheduler is paused, and whether the function starts."
      conditions = [{
        title     = "no call that was answered well"
        filter    = "metric.type=\"run.googleapis.com/request_count\" AND ${local.run} AND resource.labels.service_name=\"${try(local.names[name], name)}\" AND metric.labels.response_code_class=\"2xx\""
        above     = null
        duration  = max(600, 5 * every)
        period    = 60
        aligner   = "ALIGN_DELTA"
        reducer   = "REDUCE_SUM"
        group_by  = ["resource.labels.service_name"]
        of        = null
        is_absent = true
        below     = null
      }]
    }
  }

  other_policies = {
    dead_letters = {
      title    = "Dead letters wait"
      section  = "dead-letters"
      severity = "ERROR"
      text     = "Messages failed in every attempt and wait in ${var.dead_letter_subscription}."
      conditions = [{
        title     = "messages in the dead-letter subscription"
        filter    = "metric.type=\"pubsub.googleapis.com/subscription/num_undelivered_messages\" AND ${local.pubsub} AND resource.labels.subscription_id=\"${var.dead_letter_subscription}\""
        above     = 0
        duration  = 0
        period    = 60
        aligner   = "ALIGN_MAX"
        reducer   = "REDUCE_SUM"
        group_by  = []
        of        = null
        is_absent = false
        below     = null
      }]
    }
    unacked = {
      title    = "A subscription is behind"
      section  = "stuck-stage"
      severity = "ERROR"
      text     = "The oldest message waits longer than ${var.limits.unacked_seconds} s: the function fails, or has too few instances."
      conditions = [{
        title     = "age of the oldest message"
        filter    = "metric.type=\"pubsub.googleapis.com/subscription/oldest_unacked_message_age\" AND ${local.pubsub} AND resource.labels.subscription_id!=\"${var.dead_letter_subscription}\""
        above     = var.limits.unacked_seconds
        duration  = 300
        period    = 60
        aligner   = "ALIGN_MAX"
        reducer   = "REDUCE_MAX"
        group_by  = ["resource.labels.subscription_id"]
        of        = null
        is_absent = false
        below     = null
      }]
    }
    errors = {
      title    = "A function fails"
      section  = "high-error-rate"
      severity = "ERROR"
      text     = "More than ${var.limits.error_share * 100} % of its requests end in a server error."
      conditions = [{
        title     = "share of server errors"
        filter    = "metric.type=\"run.googleapis.com/request_count\" AND ${local.run} AND metric.labels.response_code_class=\"5xx\""
        above     = var.limits.error_share
        duration  = 300
        period    = 600
        aligner   = "ALIGN_RATE"
        reducer   = "REDUCE_SUM"
        group_by  = ["resource.labels.service_name"]
        of        = "metric.type=\"run.googleapis.com/request_count\" AND ${local.run}"
        is_absent = false
        below     = null
      }]
    }
    store = {
      title    = "Firestore fails"
      section  = "high-error-rate"
      severity = "ERROR"
      text     = "Firestore answers with server errors: see its status page, and the quotas."
      conditions = [{
        title     = "server errors"
        filter    = "metric.type=\"serviceruntime.googleapis.com/api/request_count\" AND resource.type=\"consumed_api\" AND resource.labels.service=\"firestore.googleapis.com\" AND metric.labels.response_code_class=\"5xx\""
        above     = 20
        duration  = 0
        period    = 300
        aligner   = "ALIGN_DELTA"
        reducer   = "REDUCE_SUM"
        group_by  = []
        of        = null
        is_absent = false
        below     = null
      }]
    }
  }

  uptime_policies = var.domain == null ? {} : {
    uptime = {
      title    = "${var.domain} does not answer"
      section  = "high-error-rate"
      severity = "CRITICAL"
      text     = "Checkers in more than one part of the world get no good answer at /health. Its reply names the component."
      conditions = [{
        title     = "checkers that fail"
        filter    = "metric.type=\"monitoring.googleapis.com/uptime_check/check_passed\" AND resource.type=\"uptime_url\" AND metric.labels.check_id=\"${google_monitoring_uptime_check_config.health[var.domain].uptime_check_id}\""
        above     = 1
        duration  = 60
        period    = 300
        aligner   = "ALIGN_NEXT_OLDER"
        reducer   = "REDUCE_COUNT_FALSE"
        group_by  = ["resource.label.host"]
        of        = null
        is_absent = false
        below     = null
      }]
    }
    certificate = {
      title    = "The certificate of ${var.domain} ends soon"
      section  = "high-error-rate"
      severity = "WARNING"
      text     = "Google renews it a month before its end, unless the domain no longer points here."
      conditions = [{
        title     = "days left"
        filter    = "metric.type=\"monitoring.googleapis.com/uptime_check/time_until_ssl_cert_expires\" AND resource.type=\"uptime_url\" AND metric.labels.check_id=\"${google_monitoring_uptime_check_config.health[var.domain].uptime_check_id}\""
        above     = null
        duration  = 600
        period    = 1200
        aligner   = "ALIGN_NEXT_OLDER"
        reducer   = "REDUCE_MEAN"
        group_by  = ["resource.label.host"]
        of        = null
        is_absent = false
        below     = 15
      }]
    }
  }

  # A budget is lost in two days at 14.4 times the rate that would just spend it in 28, in five at 6 times.
  burns = [{ window = 3600, rate = 14.4 }, { window = 21600, rate = 6 }]
  burn_policies = {
    for name, objective in google_monitoring_slo.this : "burn_${name}" => {
      title    = "The objective of ${name} is at risk"
      section  = name == "availability" ? "high-error-rate" : "latency"
      severity = "ERROR"
      text     = "At this rate what the objective allows in 28 days is spent within days."
      conditions = [
        for burn in local.burns : {
          title     = "burn rate over ${burn.window / 3600} h"
          filter    = "select_slo_burn_rate(\"${objective.name}\", \"${burn.window}s\")"
          above     = burn.rate
          duration  = 0
          period    = null
          aligner   = null
          reducer   = null
          group_by  = null
          of        = null
          is_absent = false
          below     = null
        }
      ]
    }
  }

  policies = merge(
    local.counter_policies,
    local.latency_policies,
    local.absence_policies,
    local.other_policies,
    local.uptime_policies,
    local.burn_policies,
  )
}

resource "google_monitoring_notification_channel" "email" {
  for_each = toset(var.emails)

  display_name = "Sightline: ${each.value}"
  type         = "email"
  labels       = { email_address = each.value }
  user_labels  = var.labels
}

resource "google_monitoring_alert_policy" "this" {
  for_each = local.policies

  display_name          = "Sightline: ${each.value.title}"
  combiner              = "OR"
  severity              = each.value.severity
  notification_channels = local.channels
  user_labels           = var.labels

  documentation {
    mime_type = "text/markdown"
    content   = "${each.value.text}\n\nWhat to do: ${var.runbooks}#${each.value.section}"
  }

  alert_strategy {
    auto_close = "86400s"
  }

  dynamic "conditions" {
    for_each = each.value.conditions

    content {
      display_name = conditions.value.title

      dynamic "condition_threshold" {
        for_each = conditions.value.is_absent ? [] : [conditions.value]

        content {
          filter             = condition_threshold.value.filter
          comparison         = condition_threshold.value.below == null ? "COMPARISON_GT" : "COMPARISON_LT"
          threshold_value    = condition_threshold.value.below == null ? condition_threshold.value.above : condition_threshold.value.below
          duration           = "${condition_threshold.value.duration}s"
          denominator_filter = condition_threshold.value.of

          dynamic "aggregations" {
            for_each = condition_threshold.value.aligner == null ? [] : [condition_threshold.value]

            content {
              alignment_period     = "${aggregations.value.period}s"
              per_series_aligner   = aggregations.value.aligner
              cross_series_reducer = aggregations.value.reducer
              group_by_fields      = aggregations.value.group_by
            }
          }

          dynamic "denominator_aggregations" {
            for_each = condition_threshold.value.of == null ? [] : [condition_threshold.value]

            content {
              alignment_period     = "${denominator_aggregations.value.period}s"
              per_series_aligner   = denominator_aggregations.value.aligner
              cross_series_reducer = denominator_aggregations.value.reducer
              group_by_fields      = denominator_aggregations.value.group_by
            }
          }
        }
      }

      dynamic "condition_absent" {
        for_each = conditions.value.is_absent ? [conditions.value] : []

        content {
          filter   = condition_absent.value.filter
          duration = "${condition_absent.value.duration}s"

          aggregations {
            alignment_period     = "${condition_absent.value.period}s"
            per_series_aligner   = condition_absent.value.aligner
            cross_series_reducer = condition_absent.value.reducer
            group_by_fields      = condition_absent.value.group_by
          }
        }
      }
    }
  }
}

# Whoever changes who may do what, or a secret, is seen by the others. Deployments raise this, too.
resource "google_monitoring_alert_policy" "access_changed" {
  display_name          = "Sightline: access or a secret was changed"
  combiner              = "OR"
  severity              = "WARNING"
  notification_channels = local.channels
  user_labels           = var.labels

  documentation {
    mime_type = "text/markdown"
    content   = "A policy, a key of a service account or a secret was changed. A deployment does so; anybody else should have told.\n\nWhat to do: ${var.runbooks}#rotated-key"
  }

  alert_strategy {
    auto_close = "86400s"

    notification_rate_limit {
      period = "3600s"
    }
  }

  conditions {
    display_name = "audit log"

    condition_matched_log {
      filter = join(" AND ", [
        "log_id(\"cloudaudit.googleapis.com/activity\")",
        "(protoPayload.methodName=~\"(SetIamPolicy|setIamPolicy|setIamPermissions|CreateServiceAccountKey|UploadServiceAccountKey)$\" OR protoPayload.methodName=~\"SecretManagerService[.](AddSecretVersion|DestroySecretVersion|DisableSecretVersion|DeleteSecret)$\")",
      ])
      label_extractors = {
        who    = "EXTRACT(protoPayload.authenticationInfo.principalEmail)"
        method = "EXTRACT(protoPayload.methodName)"
      }
    }
  }
}

locals {
  channels = [for channel in google_monitoring_notification_channel.email : channel.name]
}
