# Everything a user or a developer runs. `make demo` and `make test` set up what they need themselves.
.DEFAULT_GOAL := help

# The first Python on the PATH that really runs and is one of ours; override with `make PYTHON=…`.
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null && echo $$p && break; done)
VENV := .venv
BIN := $(VENV)/bin
PORT ?= 8080
DATA ?= data
# As many as the cores it is made for; a third one made the whole slower, since emulators and functions need them, too.
WORKERS ?= 2

.PHONY: help demo serve test check format bench emulators infra-test bundle lock clean
.PHONY: plan deploy roll-back ask-for-release smoke live-image

# Of a deployment. The recipes read them as the shell's, so that no value can be a command.
export ENVIRONMENT ?= example
export RELEASES ?= data/releases
export STATE_BUCKET LIVE_IMAGE COMMIT RELEASE PLAN TOPIC URL IMAGE
DEPLOY = $(BIN)/python -m infra.deploy
PLACE = --environment "$$ENVIRONMENT" --store "$$RELEASES" --state-bucket "$$STATE_BUCKET"


help:  ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 17

demo: $(VENV)/.local  ## run the main job on a clip and show its result (VIDEO=path for your own)
	@$(BIN)/python -m local demo $(if $(VIDEO),"$(VIDEO)")

serve: $(VENV)/.local  ## the embedded server on :8080 (PORT=, DATA=)
	@$(BIN)/python -m local serve --port $(PORT) --data $(DATA)

test: $(VENV)/.dev  ## all tests; domain and handlers covered by at least 95 % of their branches
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadgroup --cov --cov-report=
	$(BIN)/python -m tests.branch_coverage 95 shared/domain shared/handlers

check: $(VENV)/.dev  ## format, lint, types, import rules
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

format: $(VENV)/.dev  ## put the sources into their form
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(VENV)/.dev  ## what SPEC §9 asks for, as tables
	$(BIN)/python -m bench

emulators: $(VENV)/.dev  ## the functions as deployed, on the official emulators, behind one origin (PORT=)
	$(BIN)/python -m local emulators --port $(PORT)

infra-test: $(VENV)/.dev  ## the deployment: form, validity, its tests, an audit, checkov (offline, or with the real provider)
	$(BIN)/python -m infra.checks

bundle: $(VENV)/.dev  ## a zip a function, in dist/
	$(BIN)/python -m infra.bundle

live-image: $(VENV)/.dev  ## build and push the image of the streams (IMAGE=HOST/PROJECT/REPOSITORY/live)
	$(BIN)/python -m infra.live_image "$$IMAGE"

plan: $(VENV)/.dev  ## keep this checkout as a release, and what it would change (ENVIRONMENT= STATE_BUCKET= RELEASES=)
	$(DEPLOY) plan $(PLACE) --commit "$$COMMIT" --live-image "$${LIVE_IMAGE:-@dist/live-image.txt}"

deploy: $(VENV)/.dev  ## apply what was planned, try it, roll back if it fails (RELEASE= PLAN=)
	$(DEPLOY) apply $(PLACE) --release "$$RELEASE" --plan "$$PLAN"

roll-back: $(VENV)/.dev  ## deploy the last good release before this one again (RELEASE=)
	$(DEPLOY) roll-back $(PLACE) --release "$$RELEASE"

ask-for-release: $(VENV)/.dev  ## ask for the build that applies what was planned, once a person approves (TOPIC=)
	$(DEPLOY) ask $(PLACE) --topic "$$TOPIC"

smoke: $(VENV)/.dev  ## try a running Sightline from outside (URL=, and SIGHTLINE_API_TOKEN in the environment)
	$(BIN)/python -m infra.smoke "$$URL"

lock: $(VENV)/.dev  ## compile requirements.lock and every function's requirements.txt from pyproject.toml
	$(BIN)/python -m infra.lock

clean:  ## remove what was built (not data/)
	rm -rf $(VENV) dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage

# The embedded home needs no compiler, no emulator and no machine-learning framework.
$(VENV)/.local: local/requirements.txt | $(VENV)
	@echo "Installing what Sightline needs (once) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r local/requirements.txt
	@touch $@

$(VENV)/.dev: requirements.lock | $(VENV)
	@echo "Installing what the tests need (once) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@touch $@ $(VENV)/.local

$(VENV):
	@test -n "$(PYTHON)" || { echo "Sightline needs Python 3.11, 3.12 or 3.13 on the PATH." >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); exit 1; }
