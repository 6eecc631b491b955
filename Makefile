# Every target sets up what it needs. `make help` lists them.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
CORES ?= $(shell nproc)

.PHONY: help book test bench standard paper lab lint plan dft pins lock audit clean

help:  ## list the targets
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

$(STAMP): pyproject.toml constraints.txt requirements.lock
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --no-deps --require-hashes --requirement requirements.lock
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	@touch $@

book: $(STAMP)  ## run the quick profile and render _build/html/index.html (10 minutes on 2 cores)
	$(BIN)/glasslib run quick --cores $(CORES)
	@echo "open _build/html/index.html"

standard: $(STAMP)  ## the same with longer runs of larger melts: a night on a workstation
	$(BIN)/glasslib run standard --cores $(CORES)

paper: $(STAMP)  ## the same at the paper's size: 3,000 atoms, nanoseconds, a GPU or a cluster
	$(BIN)/glasslib run paper --cores $(CORES)

plan: $(STAMP)  ## print what a profile will do and what it costs: make plan PROFILE=standard
	$(BIN)/glasslib plan $(or $(PROFILE),quick)

test: $(STAMP)  ## run the tests, one process a core
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses $(CORES) --maxprocesses 8 --dist worksteal

lint: $(STAMP)  ## check the code's style
	$(BIN)/ruff check . && $(BIN)/ruff format --check .

bench: $(STAMP) .venv-peers/.installed  ## time glasslib and its peers side by side: a table, and data/benchmarks.json
	$(BIN)/python -m benchmarks

.venv-peers/.installed: benchmarks/peers.txt
	$(PYTHON) -m venv .venv-peers
	.venv-peers/bin/python -m pip install --quiet --requirement $<
	@touch $@

lab: $(STAMP)  ## open JupyterLab on the notebooks
	$(BIN)/jupyter lab notebooks

dft: $(STAMP)  ## install GPAW, to label frames (needs the system's libxc, OpenBLAS and FFTW with headers)
	PATH=$(CURDIR)/$(BIN):$$PATH GPAW_CONFIG=$(CURDIR)/.ci/gpaw_siteconfig.py \
	$(BIN)/python -m pip install --quiet --no-deps --require-hashes --requirement requirements-dft.lock

pins: $(STAMP)  ## write constraints.txt anew from this environment, then the locks
	$(BIN)/python -m pip freeze --exclude-editable --exclude glasslib | grep -v '@' | sed 's:+cpu$$::' > constraints.txt
	$(MAKE) lock

# PyTorch and what it brings (CUDA, Triton) differ from place to place, so they are pinned without hashes.
COMPILE = .venv-tools/bin/uv pip compile --quiet --generate-hashes --no-annotate --no-header --python-version 3.11.5 --constraint constraints.txt
lock: .venv-tools/.installed  ## write requirements.lock anew: the pins with the hashes of their files
	all=$$($(COMPILE) --extra dev --extra cluster pyproject.toml) && \
	echo "$$all" | sed -E '/^(torch==|triton|nvidia|cuda)/,/[^\\]$$/d' > requirements.lock
	gpaw=$$(printf 'gpaw\ngpaw-data\n' | $(COMPILE) --no-deps -) && echo "$$gpaw" > requirements-dft.lock

audit: .venv-tools/.installed  ## compare the pins with the known vulnerabilities (needs the network)
	.venv-tools/bin/pip-audit --strict --disable-pip --no-deps --requirement constraints.txt

.venv-tools/.installed: Makefile
	$(PYTHON) -m venv .venv-tools
	.venv-tools/bin/python -m pip install --quiet uv==0.13.9 pip-audit==2.10.1
	@touch $@

clean:  ## remove what was computed (runs/ and _build/); data/ stays
	rm -rf runs _build
