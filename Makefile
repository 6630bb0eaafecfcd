# Everything works in .venv inside the clone, which is made on first use. PYTHON=/path/to/python3 chooses the interpreter.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
export PYTHON
export PATH := $(CURDIR)/.venv/bin:$(PATH)

.PHONY: help demo test check bench clean runtime dev

help: ## What there is to make
	@grep -E '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):[^#]*## (.*)/  make \1\t\2/' | expand -t 16

demo: runtime ## Start Madang, train on three sandboxes at once, watch one exceed its memory, stop everything
	@python -m scripts.demo

test: dev ## make check, then all tests; PYTEST="-k name" runs some
	@scripts/test_packages.sh
	@$(MAKE) --no-print-directory check
	@scripts/tests.sh $(PYTEST)

check: dev ## Formatting, lint, types, the dependency rule, generated files, secrets
	@scripts/check.sh

bench: dev ## The performance budgets beside what this machine does; ONLY=name,name runs some
	@python -m benchmarks $(if $(ONLY),--only $(ONLY))

clean: ## Remove .venv and everything that was built
	@chmod -R u+rwX build 2>/dev/null || true
	@rm -rf .venv build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

runtime:
	@scripts/bootstrap.sh runtime

dev:
	@scripts/bootstrap.sh dev
