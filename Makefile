# Every target that needs .venv builds it itself when it is missing or older than the lock. `make help` lists the targets.

SHELL := /bin/sh
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

VENV := .venv
PY := $(VENV)/bin/python
# Written last by the bootstrap: an interrupted installation leaves no stamp and is done again.
STAMP := $(VENV)/.complete
# The environments of the clients that `make test-clients` drives the connector with.
CLIENTS := .venv-clients
CLIENTS_STAMP := $(CLIENTS)/.complete

# The first interpreter on PATH that is new enough; looked for only by the recipes that need one.
find-python = for candidate in python3 python3.11 python3.12 python3.13 python; do \
    if $$candidate -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then python=$$candidate; break; fi; \
  done; \
  test -n "$$python" || { echo "Python 3.11 or newer is needed, and none is on PATH." >&2; exit 1; }

.PHONY: help demo test test-matrix test-cluster test-kills test-clients test-image check spec reference engine image bench lock

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s  %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

$(STAMP): requirements-dev.lock
	@python=; $(find-python); $$python tools/bootstrap.py $(VENV)

demo: $(STAMP) ## load real text into an embedded Qdrant and ask it two questions
	@$(PY) examples/demo.py

test: $(STAMP) ## run the unit and the integration tests (ARGS="-k name" passes options to pytest)
	@$(PY) -m pytest -n auto $(ARGS)

$(CLIENTS_STAMP): $(wildcard integration_tests/clients/*.lock) | $(STAMP)
	@$(PY) tools/client_venv.py $(CLIENTS)

test-clients: $(STAMP) $(CLIENTS_STAMP) ## drive the connector with PyAirbyte, which is installed first (800 MB)
	@$(PY) -m pytest -n auto $(ARGS) integration_tests/clients

test-kills: $(STAMP) ## kill the connector 2,000 times at random moments (KILLS=..., SEED=..., QDRANT_URL=... for a server)
	@KILLS=$${KILLS:-2000} $(PY) -m pytest -n auto --timeout 3600 $(ARGS) integration_tests/test_kills.py

test-matrix: $(STAMP) ## every scenario over REST and gRPC, strict mode off and on (QDRANT_URL=..., QDRANT_STRICT_URL=...)
	@MATRIX=all $(PY) -m pytest -n auto $(ARGS) integration_tests/test_promises.py integration_tests/test_scenarios.py

test-cluster: $(STAMP) ## what holds on three real nodes, some of which die (needs an executable called qdrant on the PATH)
	@$(PY) -m pytest $(ARGS) integration_tests/cluster

check: $(STAMP) ## style, types, import rules, and whether the locks fit pyproject.toml
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports
	$(PY) tools/check_lock.py

spec: $(STAMP) ## rewrite integration_tests/spec.json from the connector's own specification
	@$(PY) tools/write_spec.py integration_tests/spec.json

reference: $(STAMP) ## rewrite the configuration reference in docs/setup.md from the connector's own specification
	@$(PY) tools/write_reference.py

# The next two need no .venv.
engine: ## say which container engine there is; root of a Debian machine without one gets Docker
	@python=; $(find-python); $$python tools/engine.py

image: ## build the container image (TAG=..., BASE_IMAGE=...)
	@python=; $(find-python); $$python tools/image.py

test-image: $(STAMP) image ## run the scenarios and the commands of the README in the image
	@$(PY) -m pytest -m image_tests $(ARGS) integration_tests/test_image.py integration_tests/test_readme.py

bench: $(STAMP) ## measure throughput, memory, and how busy an embedding provider is kept
	@$(PY) benchmarks/bench.py $(ARGS)
	@$(PY) benchmarks/embedding.py

# Not behind .venv: a lock that cannot be installed any more must still be replaceable.
lock: ## rewrite both lock files from pyproject.toml (ARGS=--upgrade takes newer versions)
	@python=; $(find-python); $$python tools/write_lock.py $(ARGS)
