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

# Releases bring the image of the streams along: `make live-image` before `make plan`. Only who applies by hand names it.
# live_image = "europe-west1-docker.pkg.dev/PROJECT/sightline-releases/live@sha256:…"

# The account that Cloud Build deploys as (output `deploy_account` of infra/bootstrap); null while only people do.
deployer = null
