# make demo       simulate a small mountain range in three seasons and make its lake history
# make test       run the whole test suite, with a real PostGIS
# make test-fast  run the tests that need no service; takes about a minute
# make setup      install the environment only: system packages and .venv
# make lint       run ruff and mypy
# make prove      run the long proofs
# make bench      run the benchmarks

PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready

.PHONY: demo test test-fast setup lint prove bench clean-demo

demo: $(READY)
	$(BIN)/monitor demo

# each worker has its own PostGIS; the tests of a file run in one worker, because they share fixtures
PARALLEL := -n auto --maxprocesses 8 --dist loadfile --no-loadscope-reorder

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
	for name in accuracy archives history readers seasons segmenter surveys; do $(BIN)/python -m benchmarks.$$name || exit 1; done

clean-demo:
	rm -rf workspace/demo

$(READY): pyproject.toml constraints.txt setup.sh
	PYTHON="$(PYTHON)" ./setup.sh
	touch $@
