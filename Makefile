# The door to the project. `make demo` and `make test` need nothing but a Debian-family machine:
# system packages and the virtual environment are installed as needed.
SHELL := /bin/bash
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: demo test check bench smoke fuzz clean system

system:
	@scripts/system-packages

$(STAMP): pyproject.toml scripts/virtual-environment | system
	@scripts/virtual-environment $(VENV)
	@touch $@

check: $(STAMP)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

test: system $(STAMP) check
	$(BIN)/pytest -n 2 tests/unit tests/fuzz
	$(BIN)/pytest -m "not smoke and not bench" tests/integration tests/boot

demo: system $(STAMP)
	@$(BIN)/python -m tests.demo

bench: system $(STAMP)
	@$(BIN)/python -m tests.bench

smoke: system $(STAMP)
	$(BIN)/pytest -m smoke

# Coverage-guided fuzzing of every parser of foreign bytes, FUZZ_SECONDS each.
FUZZ_SECONDS ?= 30
fuzz: $(VENV)/.fuzz
	@nice $(BIN)/python -m tests.fuzz --seconds $(FUZZ_SECONDS)

$(VENV)/.fuzz: $(STAMP)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[fuzz]'
	@touch $@

clean:
	rm -rf build dist out .mypy_cache .pytest_cache .ruff_cache *.egg-info
	find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +
