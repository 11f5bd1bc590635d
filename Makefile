# The only entry point. Everything runs from .venv, which is made from plain python3 when missing.
SHELL := /bin/sh
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed
PACKAGES := runtime authz accounts payments gateway notify stats loadtest tests tools

# An environment made in another folder (a moved or copied checkout) is made anew.
ifneq ($(shell head -n 1 $(STAMP) 2>/dev/null),$(shell pwd -P))
$(STAMP): FORCE
endif

.PHONY: help
help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-11s %s\n", $$1, $$2}' Makefile

.PHONY: setup
setup: $(STAMP) ## Make .venv and install everything pinned; instantaneous when nothing changed
	@echo ".venv is ready"

$(STAMP): requirements/bootstrap.txt requirements/dev.txt pyproject.toml tools/bootstrap.py
	@command -v $(PYTHON) >/dev/null || { echo "make: $(PYTHON) is not installed;\
	 install Python 3.11 or newer, or name one: make PYTHON=/path/to/python3" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "make: Python 3.11 or\
	 newer is needed, $(PYTHON) is `$(PYTHON) --version`; name another: make PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) tools/bootstrap.py $(if $(filter file,$(origin PYTHON)),--fastest)

.PHONY: demo
demo: $(STAMP) ## Show a mesh at work, from an application to books that balance; under a minute
	@$(BIN)/holdfast demo

.PHONY: up
up: $(STAMP) ## Start the mesh in this terminal; Ctrl-C stops it
	@$(BIN)/holdfast up

.PHONY: down
down: $(STAMP) ## Stop the mesh
	@$(BIN)/holdfast down

.PHONY: test
test: $(STAMP) ## Run all tests against real servers (PYTEST="-k name" selects)
	@echo "tests: unit, rpc, integration, e2e, simulation, crash, soak, tidy; each server is a real one"
	@$(BIN)/python -m pytest -q --durations=15 --durations-min=1 $(PYTEST)

.PHONY: soak
soak: $(STAMP) ## Kill, cut and starve everything under load for SECONDS (default 60); report at the end
	@SOAK_SECONDS=$(or $(SECONDS),60) $(BIN)/python -m pytest -q -s tests/soak

.PHONY: mutants
mutants: $(STAMP) ## Change the modules that decide, and list each change that no unit test notices
	@rm -rf mutants
	@$(BIN)/mutmut run && $(BIN)/mutmut results

.PHONY: lint
lint: $(STAMP) ## Check style: ruff, format, buf lint, buf breaking against the last tag
	@echo "lint: ruff check, ruff format --check, buf lint, buf breaking"
	@$(BIN)/ruff check -q .
	@$(BIN)/ruff format -q --check .
	@$(BIN)/buf lint
	@tag=`git describe --tags --abbrev=0 2>/dev/null`; if [ -n "$$tag" ]; \
	then $(BIN)/buf breaking --against ".git#tag=$$tag"; \
	else echo "lint: no release tag yet, so nothing to compare the contract with"; fi

.PHONY: types
types: $(STAMP) ## Check types: mypy --strict, tests included
	@echo "types: mypy"
	@$(BIN)/mypy $(PACKAGES)

.PHONY: gen
gen: $(STAMP) ## Generate gen/ and docs/{access,decline-reasons,settings}.md, docs/api
	@$(BIN)/python tools/gen.py
	@$(BIN)/python tools/docs.py

.PHONY: gen-check
gen-check: $(STAMP) ## Check that what `make gen` writes is what is committed
	@echo "gen-check: generating into a temporary folder and comparing"
	@folder=`mktemp -d` && trap 'rm -rf "$$folder"' EXIT \
	&& $(BIN)/python tools/gen.py "$$folder/gen" && $(BIN)/python tools/docs.py "$$folder/docs" \
	&& diff -r -x __pycache__ gen "$$folder/gen" \
	&& for page in access decline-reasons settings; \
	do diff "docs/$$page.md" "$$folder/docs/$$page.md" || exit 1; done \
	&& diff -r docs/api "$$folder/docs/api" \
	|| { echo "gen-check: run make gen and commit what it writes" >&2; exit 1; }

.PHONY: docs
docs: $(STAMP) ## Generate the documentation that comes from contract and code
	@$(BIN)/python tools/docs.py

.PHONY: security
security: $(STAMP) ## Look for weaknesses in our code, in what we install, and in TLS as it is served
	@$(BIN)/python tools/security.py
	@echo "security: sslyze against the listeners of a running Envoy"
	@$(BIN)/python -m pytest -q -rs tests/e2e/security/test_tls.py

.PHONY: load
load: $(STAMP) ## Let users loose on a mesh and check every promise (SECONDS, USERS, HTML=file)
	@$(BIN)/holdfast load $(if $(SECONDS),--seconds $(SECONDS)) $(if $(USERS),--users $(USERS)) \
	$(if $(HTML),--html $(HTML))

.PHONY: bench
bench: $(STAMP) ## Measure authorizations per second, latency and CPU, with baselines; 15 minutes
	@$(BIN)/holdfast bench $(BENCH)

.PHONY: bench-quick
bench-quick: $(STAMP) ## The same in 90 seconds, compared with loadtest/baseline.json
	@$(BIN)/holdfast bench --quick $(BENCH)

.PHONY: lock
lock: $(STAMP) ## Pin requirements/*.in with hashes (UPGRADE=--upgrade takes newer versions)
	@for name in bootstrap runtime dev security; do \
	constraint=""; [ $$name = dev ] && constraint="-c requirements/runtime.txt"; \
	$(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-annotate $(UPGRADE) $$constraint \
	requirements/$$name.in -o requirements/$$name.txt || exit 1; done

.PHONY: clean
clean: ## Remove caches; keeps .venv and the installation in .holdfast
	@rm -rf .mypy_cache .ruff_cache .pytest_cache .hypothesis build dist mutants
	@find . -name __pycache__ -type d -not -path './.venv/*' -prune -exec rm -rf {} +

.PHONY: FORCE
FORCE:
