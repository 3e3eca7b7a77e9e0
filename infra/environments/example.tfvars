# The least that a deployment is told, and what most will want to say. Copy it, one file an environment.
project_id = "sightline-example"
region     = "europe-west1"
domain     = "sightline.example.org"

alert_emails = ["watch@example.org"]

# How the functions decide, and how large some of them are; by default as README and pipeline.yaml say.
settings = {
  INCIDENT_WINDOW_SECONDS = "300"
}
function_overrides = {
  signals = { min_instances = 0 }
}

# Once the image of the streams is built (`terraform output next`): its address with its digest.
live_image = null

# The account that Cloud Build deploys as (output `deploy_account` of infra/bootstrap); null while only people do.
deployer = null
