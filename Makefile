# make demo    three simulated seasons of a small mountain range, from nothing to a lake history
# make test    the whole test suite, against a real PostGIS       make test-fast   what needs no service, a minute
# make setup   only the environment: system packages, .venv
# make lint    ruff and mypy          make prove   long proofs          make bench   measurements

PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready

.PHONY: demo test test-fast setup lint prove bench clean-demo

demo: $(READY)
	$(BIN)/monitor demo

# every worker has a PostGIS of its own; tests of a file share what they make
PARALLEL := -n auto --maxprocesses 8 --dist loadfile

test: $(READY)
	$(BIN)/python -m pytest -m "not prove" $(PARALLEL)

test-fast: $(READY)
	$(BIN)/python -m pytest -m "fast and not prove" $(PARALLEL)

setup: $(READY)

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

prove: $(READY)
	$(BIN)/python -m pytest -m prove -s

bench: $(READY)
	for name in accuracy archives history seasons segmenter; do $(BIN)/python -m benchmarks.$$name || exit 1; done

clean-demo:
	rm -rf workspace/demo

$(READY): pyproject.toml constraints.txt setup.sh
	PYTHON="$(PYTHON)" ./setup.sh
	touch $@
