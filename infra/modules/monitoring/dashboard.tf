# One page that shows how the pipeline does.
locals {
  latency = "metric.type=\"run.googleapis.com/request_latencies\" AND ${local.run}"
  by_name = ["resource.labels.service_name"]

  # Charts as lines: [filter, aligner, reducer, grouped by].
  charts = [
    { title = "Stages ended a minute", unit = "1/min", lines = [[local.series.stage_ended, "ALIGN_DELTA", "REDUCE_SUM", ["metric.labels.stage"]]] },
    { title = "Seconds a stage takes: 95th percentile", unit = "s", lines = [[local.series.stage_seconds, "ALIGN_DELTA", "REDUCE_PERCENTILE_95", ["metric.labels.stage"]]] },
    { title = "Seconds from upload to the end: 50th, 95th and 99th percentile", unit = "s", lines = [for percentile in [50, 95, 99] : [local.series.analysed_seconds, "ALIGN_DELTA", "REDUCE_PERCENTILE_${percentile}", []]] },
    { title = "Requests by status", unit = "1/s", lines = [["metric.type=\"run.googleapis.com/request_count\" AND ${local.run}", "ALIGN_RATE", "REDUCE_SUM", ["metric.labels.response_code_class"]]] },
    { title = "Latency of requests: 50th, 95th and 99th percentile", unit = "ms", lines = [for percentile in [50, 95, 99] : [local.latency, "ALIGN_DELTA", "REDUCE_PERCENTILE_${percentile}", []]] },
    { title = "Latency by function: 95th percentile", unit = "ms", lines = [[local.latency, "ALIGN_DELTA", "REDUCE_PERCENTILE_95", local.by_name]] },
    { title = "Server errors by function", unit = "1/s", lines = [["metric.type=\"run.googleapis.com/request_count\" AND ${local.run} AND metric.labels.response_code_class=\"5xx\"", "ALIGN_RATE", "REDUCE_SUM", local.by_name]] },
    { title = "Stages failed, messages rejected, work started again", unit = "1", lines = [for name in ["stage_failed", "message_rejected", "swept", "given_up"] : [local.series[name], "ALIGN_DELTA", "REDUCE_SUM", []]] },
    { title = "Messages that wait", unit = "1", lines = [["metric.type=\"pubsub.googleapis.com/subscription/num_undelivered_messages\" AND ${local.pubsub}", "ALIGN_MAX", "REDUCE_SUM", ["resource.labels.subscription_id"]]] },
    { title = "Age of the oldest message", unit = "s", lines = [["metric.type=\"pubsub.googleapis.com/subscription/oldest_unacked_message_age\" AND ${local.pubsub}", "ALIGN_MAX", "REDUCE_MAX", ["resource.labels.subscription_id"]]] },
    { title = "Dead letters", unit = "1", lines = [["metric.type=\"pubsub.googleapis.com/subscription/dead_letter_message_count\" AND ${local.pubsub}", "ALIGN_DELTA", "REDUCE_SUM", ["resource.labels.subscription_id"]]] },
    { title = "Instances by function", unit = "1", lines = [["metric.type=\"run.googleapis.com/container/instance_count\" AND ${local.run}", "ALIGN_MAX", "REDUCE_SUM", local.by_name]] },
    { title = "Firestore: reads and writes", unit = "1/s", lines = [for kind in ["read", "write", "delete"] : ["metric.type=\"firestore.googleapis.com/document/${kind}_count\" AND resource.type=\"firestore_instance\"", "ALIGN_RATE", "REDUCE_SUM", []]] },
    { title = "US dollars an upload costs, estimated: 50th and 95th percentile", unit = "USD", lines = [for percentile in [50, 95] : [local.series.analysed_usd, "ALIGN_DELTA", "REDUCE_PERCENTILE_${percentile}", []]] },
    { title = "Calls refused by status", unit = "1", lines = [[local.series.denied, "ALIGN_DELTA", "REDUCE_SUM", ["metric.labels.status"]]] },
    { title = "Errors of verdicts, budgets used up", unit = "1", lines = [for name in ["verdict_error", "budget_used_up"] : [local.series[name], "ALIGN_DELTA", "REDUCE_SUM", []]] },
  ]
}

resource "google_monitoring_dashboard" "this" {
  dashboard_json = jsonencode({
    displayName = "Sightline"
    gridLayout = {
      columns = 2
      widgets = [
        for chart in local.charts : {
          title = chart.title
          xyChart = {
            yAxis = { label = chart.unit, scale = "LINEAR" }
            dataSets = [
              for line in chart.lines : {
                plotType = "LINE"
                timeSeriesQuery = {
                  timeSeriesFilter = {
                    filter = line[0]
                    aggregation = {
                      alignmentPeriod    = "60s"
                      perSeriesAligner   = line[1]
                      crossSeriesReducer = line[2]
                      groupByFields      = line[3]
                    }
                  }
                }
              }
            ]
          }
        }
      ]
    }
  })
}
