# Every target sets up what it needs: a private virtual environment in $(VENV) with the locked development dependencies.
#
#   make PYTHON=python3.13 VENV=.venv-3.13 test     another interpreter, beside the first environment
#   make demo ARGS=--kill                           arguments for the program behind the target

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV   ?= .venv
ARGS   ?=

BIN   := $(VENV)/bin
READY := $(VENV)/.ready
LOCK  := requirements/dev.txt
# Simulated rooms by the thousand; measuring coverage would triple what they cost.
SIMULATED := tests/simulation/test_rooms.py
ROOMS := S1-figure1-v10 S1-figure1-v12 S2-partition-v10 S3-duel-v10

.DEFAULT_GOAL := help
.PHONY: help demo serve test check ledger mutants proto bench bench-quick bench-rooms soak fuzz peers lock venv clean \
        check-lint check-format check-types check-layers check-proto check-tree

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

demo: $(READY) ## play recorded rooms of two homeservers through two services (ARGS=--kill: while killing them; ARGS="--scenario duel")
ifneq ($(filter --scenario% --log% --help,$(ARGS)),)
	@$(BIN)/dmls demo $(ARGS)
else
	@set -e; for room in $(ROOMS); do $(BIN)/dmls demo --log examples/room-logs/$$room $(ARGS); done
endif

serve: $(READY) ## run one service on loopback (ARGS="--data DIR ...")
	@$(BIN)/dmls serve $(ARGS)

test: $(READY) ## run the tests on two cores; the whole suite also holds dmls/mls to 95 % of its branches (ARGS: a subset)
ifeq ($(strip $(ARGS)),)
	@$(BIN)/python -m pytest -n 2 --cov --cov-report= --ignore $(SIMULATED)
	@$(BIN)/python -m scripts.coverage_gate
	@$(BIN)/python -m pytest -n 2 $(SIMULATED)
else
	@$(BIN)/python -m pytest -n 2 $(ARGS)
endif

check: check-lint check-format check-types check-layers check-proto check-tree ## everything that needs no test run: lint, types, layers, protos, generated code, lock, wheel

# $(call step,name,command,what to do about it)
define step
@printf '%-10s' '$(1)'; \
if out=$$($(2) 2>&1); then echo 'ok'; else echo 'FAILED'; printf '%s\n' "$$out"; echo 'hint: $(3)'; exit 1; fi
endef

check-lint: $(READY)
	$(call step,lint,$(BIN)/ruff check .,$(BIN)/ruff check --fix mends most of these)

check-format: $(READY)
	$(call step,format,$(BIN)/ruff format --check .,$(BIN)/ruff format . mends this)

check-types: $(READY)
	$(call step,types,$(BIN)/mypy,the configuration is [tool.mypy] in pyproject.toml)

check-layers: $(READY)
	$(call step,layers,$(BIN)/lint-imports,arrows point down only: [tool.importlinter] in pyproject.toml draws them)

check-proto: $(READY)
	$(call step,proto,$(BIN)/buf lint proto,the rules are in proto/buf.yaml)

check-tree: $(READY)
	@$(BIN)/python -m scripts.checks

ledger: $(READY) ## write docs/rfc9420-ledger.md anew from the marks in code and tests (ARGS="--open ENC": what an area lacks)
	@$(BIN)/python -m scripts.ledger $(ARGS)

mutants: $(READY) ## disable 60 marked checks one by one: the tests must notice each (ARGS=--all: all of them)
	@$(BIN)/python -m scripts.mutation $(ARGS)

proto: $(READY) ## make the code that is generated from protocol buffers anew
	@$(BIN)/python -m scripts.proto

bench: peers ## measure group operations here, in other implementations and against the floor (ARGS="--sizes 10,1000 --json OUT --plot DIR")
	@$(BIN)/python -m benchmarks $(ARGS)

bench-quick: peers ## the same in two minutes, with groups of 2 to 100
	@$(BIN)/python -m benchmarks --sizes 2,10,100 --rounds 5 --seconds 0.25 $(ARGS)

bench-rooms: $(READY) ## measure what is above the groups: the head rule, the steps of an engine
	@$(BIN)/python -m pytest benchmarks --benchmark-enable --timeout=0 $(ARGS)

# On two cores: 100,000 symbolic rooms take forty minutes, 3,000 real ones a quarter of an hour, 100,000 games of the head rule
# twenty; mutants, fuzzing and the rest come on top.
soak: $(READY) ## explore for three hours and more: generated tests, games, simulated rooms, mutants, fuzzing, the demo under kills
	@HYPOTHESIS_PROFILE=soak $(BIN)/python -m pytest -n 2 -m hypothesis --timeout=0 $(ARGS)
	@DMLS_SOAK=1 $(BIN)/python -m pytest -n 2 --timeout=0 \
	    tests/robustness tests/interop/wg/test_working_group.py tests/interop/peers/test_walks.py tests/tools/test_demo.py \
	    tests/forks/test_head_games.py tests/rooms/test_stolen_stores.py tests/rooms/test_forward_secrecy.py \
	    tests/simulation/test_games.py tests/simulation/test_rooms.py
	@$(BIN)/python -m scripts.mutation --all
	@$(MAKE) --no-print-directory fuzz ARGS='--seconds 10'
	@$(MAKE) --no-print-directory demo ARGS=--kill ROOMS='S1-figure1-v10 S1-figure1-v12'

fuzz: $(READY) ## fuzz every decoder for 10 seconds with atheris, which is installed if it can be (ARGS="TARGET ... --seconds N --keep")
	@$(BIN)/python -m pip install --quiet --quiet --disable-pip-version-check --only-binary :all: --require-hashes -r requirements/fuzz.txt || \
	    echo 'atheris cannot be installed here'
	@$(BIN)/python -m tests.robustness.fuzz.run $(ARGS)

peers: $(READY) ## install the MLS implementations of others that dmls is tested against and measured beside (asks for Node.js 20 and npm)
	@$(BIN)/python -m pip install --quiet --quiet --disable-pip-version-check --require-hashes -r requirements/peers.txt
	@$(BIN)/python -m pip install --quiet --quiet --disable-pip-version-check --require-hashes --no-deps --ignore-requires-python \
	    -r requirements/peers-pure-mls.txt
	@npm ci --prefix tests/interop/peers --ignore-scripts --no-audit --no-fund --loglevel=error
	@$(BIN)/python -m tests.interop.peers.installed

# $(call pip-compile,options,lock,source)
define pip-compile
@CUSTOM_COMPILE_COMMAND='make lock' $(BIN)/pip-compile --quiet --generate-hashes --no-emit-index-url --no-emit-find-links \
    --no-emit-trusted-host --allow-unsafe --strip-extras $(1) $(ARGS) --output-file $(2) $(3)
endef

lock: $(READY) ## lock the development dependencies anew from pyproject.toml (ARGS=--upgrade: newest versions), and the peers and the fuzzer
	$(call pip-compile,--all-extras,$(LOCK),pyproject.toml)
	$(call pip-compile,,requirements/peers.txt,requirements/peers.in)
	$(call pip-compile,,requirements/fuzz.txt,requirements/fuzz.in)
	@npm install --prefix tests/interop/peers --package-lock-only --omit-lockfile-registry-resolved --no-audit --no-fund --loglevel=error

venv: $(READY) ## set up the environment and nothing else

$(READY): $(LOCK) pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	    { echo 'dmls needs Python 3.11 or later: make PYTHON=/path/to/python3.11'; exit 1; }
	@test -x $(BIN)/python || { echo 'setting up $(VENV)'; $(PYTHON) -m venv $(VENV); }
	@$(BIN)/python -m pip install --quiet --quiet --disable-pip-version-check --require-hashes -r $(LOCK)
	@$(BIN)/python -m pip install --quiet --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

clean: ## remove everything that can be made again
	rm -rf $(VENV) tests/interop/peers/node_modules build dist .coverage .coverage.* .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .benchmarks
	find . -name __pycache__ -type d -not -path './.git/*' -prune -exec rm -rf {} +
