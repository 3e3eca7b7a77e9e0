# What pipeline.yaml says, in the shapes that the modules take. Nothing of the topology is written down a second time.
locals {
  topology  = yamldecode(file("${path.module}/pipeline.yaml"))
  functions = local.topology.functions

  event_functions = { for name, function in local.functions : name => function if can(function.triggers) }
  http_functions  = { for name, function in local.functions : name => function if can(function.routes) }

  # Bucket names are unique in the world, project ids as well.
  bucket_names = { for key, bucket in local.topology.buckets : key => "${coalesce(var.bucket_prefix, var.project_id)}-${key}" }

  # Every role of every account as one list; `kind` and `target` are the two halves of the topology's `resource`.
  grants = flatten([
    for account, declared in merge(local.functions, local.topology.accounts) : [
      for grant in declared.roles : {
        account = account
        role    = grant.role
        kind    = split("/", grant.resource)[0]
        target  = try(split("/", grant.resource)[1], "")
        prefix  = try(grant.prefix, "")
      }
    ]
  ])
}
