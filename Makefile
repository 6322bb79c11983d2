# The menu. `make` lists it.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
STAMP := .venv/.stamp
FRAMEWORKS := .venv-frameworks
RUNNERS := .venv-runners
AIRFLOW := .venv-airflow

.DEFAULT_GOAL := help
.PHONY: help setup demo demo-batch demo-digits demo-rollout demo-stream serve packages test test-frameworks test-runners test-slow lint types bench docs

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## */  make \1\t/' | expand -t 20

$(STAMP): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade 'pip>=25.1'
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[onnx,image,otel,postgres,redis,tweet-sentiment]' --group dev
	touch $@

setup: $(STAMP)  ## make .venv with Penstock, its extras and the tools of its developers

demo: $(STAMP)  ## run the tweet sentiment service on its archive: inferences, a trend, top authors
	$(BIN)/python -m apps.tweet_sentiment.demo

demo-digits: $(STAMP)  ## serve two models of digits and ask them over REST and gRPC
	$(BIN)/python examples/digits/demo.py

demo-batch: $(STAMP)  ## score the archive's tweets in a batch job that is stopped and goes on
	$(BIN)/python -m examples.batch.demo

demo-stream: $(STAMP)  ## a producer, a model and a consumer on a Redis, a runner killed on the way
	$(BIN)/python -m examples.streams.demo

demo-rollout: $(STAMP)  ## promote a better model and roll a broken one back, under load
	$(BIN)/python -m examples.rollouts.demo

serve: $(STAMP)  ## serve the models of this repository on 8080 (REST) and 8081 (gRPC)
	$(BIN)/penstock serve models

packages:
	tools/debian_packages.sh redis-server postgresql mariadb-server nats-server rabbitmq-server chromium libnghttp2-14

test: $(STAMP) packages  ## all tests but the slow ones; installs the servers they need, and chromium, where missing
	$(BIN)/python -m pytest -rfER -m "not slow" -n 3 --dist loadfile --ignore tests/runners

$(FRAMEWORKS)/.stamp: pyproject.toml constraints.txt constraints-frameworks.txt
	test -x $(FRAMEWORKS)/bin/python || $(PYTHON) -m venv $(FRAMEWORKS)
	$(FRAMEWORKS)/bin/python -m pip install --quiet --disable-pip-version-check --upgrade 'pip>=25.1'
	$(FRAMEWORKS)/bin/python -m pip install --quiet --disable-pip-version-check 'torch==2.13.0'
	$(FRAMEWORKS)/bin/python -m pip install --quiet --disable-pip-version-check \
		-c constraints.txt -c constraints-frameworks.txt --group frameworks \
		-e '.[onnx,torch,openvino,sklearn,xgboost,lightgbm,catboost,tensorflow,huggingface,mlflow]'
	touch $@

test-frameworks: $(FRAMEWORKS)/.stamp  ## the tests of the runtimes of other frameworks, in an environment of their own
	$(FRAMEWORKS)/bin/python -m pytest -n 2 --dist loadfile tests/frameworks

$(RUNNERS)/.stamp: pyproject.toml
	test -x $(RUNNERS)/bin/python || $(PYTHON) -m venv $(RUNNERS)
	$(RUNNERS)/bin/python -m pip install --quiet --disable-pip-version-check --upgrade 'pip>=25.1'
	$(RUNNERS)/bin/python -m pip install --quiet --disable-pip-version-check --group runners \
		'ray[data,client]==2.60.0' apache-beam==2.77.0 pyspark==4.3.0 dagster==1.13.29 croniter -e '.[onnx,batch]'
	touch $@

$(AIRFLOW)/.stamp: pyproject.toml
	test -x $(AIRFLOW)/bin/python || $(PYTHON) -m venv $(AIRFLOW)
	$(AIRFLOW)/bin/python -m pip install --quiet --disable-pip-version-check --upgrade 'pip>=25.1'
	$(AIRFLOW)/bin/python -m pip install --quiet --disable-pip-version-check --group runners apache-airflow==3.3.2 -e '.[batch]'
	touch $@

test-runners: $(RUNNERS)/.stamp $(AIRFLOW)/.stamp  ## batch jobs on Ray, and the model in Beam, Spark, Ray Data, Dagster and Airflow
	$(RUNNERS)/bin/python -m pytest tests/runners
	$(AIRFLOW)/bin/python -m pytest tests/runners/test_airflow.py

test-slow: $(STAMP) packages  ## the tests that take minutes; installs npm, too, for a stand-in of Azure
	tools/debian_packages.sh npm
	$(BIN)/python -m pytest -m slow --ignore tests/runners

lint: $(STAMP)  ## style, import contracts, spelling, sizes, documentation, generated code
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/lint-imports --no-logo
	$(BIN)/codespell
	$(BIN)/python tools/check_size.py
	$(BIN)/python tools/check_docs.py
	$(BIN)/python tools/generate_proto.py --check
	$(BIN)/python tools/generate_nghttp2.py --check

types: $(STAMP)  ## mypy, strict
	$(BIN)/mypy

bench: $(STAMP)  ## all arms side by side: needs the peers' environments, takes long
	$(BIN)/python -m benchmarks.venvs
	test -f .bench-models/minilm/1/model.onnx || { $(BIN)/python -m benchmarks.venvs export && .bench-venvs/export/bin/python -m benchmarks.models.export_minilm; }
	$(BIN)/python -m benchmarks.run
	$(BIN)/python -m benchmarks.growth
	$(BIN)/python -m benchmarks.startup
	$(BIN)/python -m benchmarks.swaps
	$(BIN)/python -m benchmarks.micro_path
	$(BIN)/python -m benchmarks.routing
	$(BIN)/python -m benchmarks.shadow
	$(BIN)/python -m benchmarks.rollouts
	$(BIN)/python -m benchmarks.control_store
	$(BIN)/python -m benchmarks.decisions
	$(BIN)/python -m benchmarks.store
	$(BIN)/python -m benchmarks.packages
	$(BIN)/python -m benchmarks.process_instances
	$(BIN)/python -m benchmarks.stages
	$(BIN)/python -m benchmarks.many_models
	$(BIN)/python -m benchmarks.grpc_engines
	$(MAKE) $(FRAMEWORKS)/.stamp
	$(FRAMEWORKS)/bin/python -m benchmarks.runtimes
	$(BIN)/python -m benchmarks.venvs export tutorial
	$(BIN)/python -m benchmarks.tweet
	$(BIN)/python -m benchmarks.tweet_sweep
	$(BIN)/python -m benchmarks.venvs batch_peers faststream
	$(BIN)/python -m benchmarks.batch --rounds 2 --texts 40000 --rows 10000000
	$(BIN)/python -m benchmarks.batch --memory 20
	$(BIN)/python -m benchmarks.streams
	$(BIN)/python -m benchmarks.jobs_beside
	$(BIN)/python -m benchmarks.memory

docs: $(STAMP)  ## renew the generated tables, then check every page
	$(BIN)/python tools/check_docs.py --write
