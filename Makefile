# The one runner: `make help` lists what it does.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
# Cargo, npm and pip use all cores by themselves, and the suites share one server.
.NOTPARALLEL:

# Settings of the caller's own MLflow or OpenTelemetry must not reach the tests or the demo.
unexport MLFLOW_TRACKING_URI MLFLOW_TRACKING_TOKEN MLFLOW_TRACKING_USERNAME MLFLOW_TRACKING_PASSWORD
unexport MLFLOW_EXPERIMENT_ID MLFLOW_EXPERIMENT_NAME MLFLOW_TRACING_DESTINATION MLFLOW_WORKSPACE
unexport OTEL_SERVICE_NAME OTEL_RESOURCE_ATTRIBUTES OTEL_EXPORTER_OTLP_ENDPOINT OTEL_EXPORTER_OTLP_TRACES_ENDPOINT

PYTHON3 ?= $(firstword $(shell command -v python3.11 python3))
VENV := $(CURDIR)/.venv
PYTHON := $(VENV)/bin/python
NODE := bindings/node
STAMPS := .build
LOGS := .build/logs

# Node's build tool always names the target. Cargo keeps such builds apart from those for the host, so everything names
# it here; otherwise every dependency would be built twice.
export CARGO_BUILD_TARGET := $(shell rustc -vV 2> /dev/null | sed -n 's/^host: //p')
export CARGO_TARGET_DIR := $(CURDIR)/target
RELEASE := $(CARGO_TARGET_DIR)/$(CARGO_BUILD_TARGET)/release

# A suite called on its own starts the server; `make test` starts one for all of them.
SERVER := $(PYTHON) $(CURDIR)/tests/server/mlflow_server.py run --
WITH_SERVER := $(if $(MLFLOW_TRACE_TEST_SERVER),,$(SERVER))

sources = $(shell find $(1) \( -name node_modules -o -name dist -o -name __pycache__ \) -prune -o -type f \( $(2) \) -print 2> /dev/null)
RUST := -name '*.rs' -o -name Cargo.toml
CORE_SOURCES := Cargo.toml Cargo.lock $(call sources,core/Cargo.toml core/src,$(RUST))
CLI_SOURCES := $(call sources,bindings/cli,$(RUST) -o -name '*.js' -o -name '*.css' -o -name '*.html')
FFI_SOURCES := $(call sources,ffi,$(RUST) -o -name '*.h')
PYTHON_SOURCES := $(CLI_SOURCES) $(call sources,bindings/python/src bindings/python/Cargo.toml bindings/python/pyproject.toml,$(RUST) -o -name pyproject.toml)
NODE_SOURCES := $(CLI_SOURCES) $(call sources,$(NODE)/src $(NODE)/lib $(NODE)/Cargo.toml $(NODE)/build.rs,$(RUST) -o -name '*.ts') $(NODE)/tsconfig.json

.PHONY: help setup build wheel demo demo-server test suites test-rust test-c abi test-python test-node test-e2e test-view parity test-otlp collectors w3c model spool-model fuzz lint lint-rust lint-c lint-python lint-node bench bench-record bench-python check-deep loom asan valgrind sanitize clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## /{printf "  %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# Installs the Debian packages that the variable `missing` of the recipe names.
define install_packages
	if [ -n "$$missing" ]; then \
	    root=; [ "$$(id -u)" = 0 ] || root=sudo; \
	    for tool in apt-get $$root; do \
	        command -v $$tool > /dev/null || { echo "install these first:$$missing" >&2; exit 1; }; \
	    done; \
	    $$root apt-get update -qq; \
	    $$root env DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends $$missing; \
	fi; \
	mkdir -p $(@D); touch $@
endef

setup: $(STAMPS)/system $(VENV)/.complete $(NODE)/node_modules/.complete ## Install what is missing: Debian packages, Python environment, Node packages

$(STAMPS)/system:
	@for tool in cargo node npm $(or $(PYTHON3),python3.11); do \
	    command -v $$tool > /dev/null || { echo "$$tool is missing: Rust, Python 3.11 and Node 20 have to be there" >&2; exit 1; }; \
	done
	@missing=; \
	command -v g++ > /dev/null || missing+=" g++"; \
	$(PYTHON3) -c 'import ensurepip' 2> /dev/null || missing+=" $(notdir $(PYTHON3))-venv"; \
	$(install_packages)

$(STAMPS)/clang-format:
	@missing=; command -v clang-format > /dev/null || missing=" clang-format"; \
	$(install_packages)

# The stamps of the two environments lie inside them, so that removing one is enough to get it anew.
$(VENV)/.complete: tests/server/requirements.txt tests/server/requirements-dev.txt | $(STAMPS)/system
	$(PYTHON3) -m venv $(VENV)
	$(PYTHON) -m pip install --quiet --disable-pip-version-check -r tests/server/requirements.txt -r tests/server/requirements-dev.txt
	@touch $@

$(NODE)/node_modules/.complete: $(NODE)/package.json $(NODE)/package-lock.json | $(STAMPS)/system
	npm ci --prefix $(NODE) --no-audit --no-fund
	@touch $@

build: $(STAMPS)/library $(STAMPS)/python $(STAMPS)/node $(STAMPS)/demo/retrieval ## Build the C library, the bindings and the demo

# Programs look for the library by its soname, which carries the version of the ABI.
$(STAMPS)/library: $(CORE_SOURCES) $(FFI_SOURCES)
	cargo build --locked --release -p mlflow-trace-ffi
	@soname=$$(readelf -d $(RELEASE)/libmlflow_trace.so | sed -n 's/.*(SONAME).*\[\(.*\)\]/\1/p'); \
	ln -sfn libmlflow_trace.so $(RELEASE)/$$soname
	@mkdir -p $(@D); touch $@

# What the wheel may weigh, in bytes: it is installed into every image of its users.
WHEEL_BUDGET := 4500000

wheel: setup ## Build Python's source distribution, and the wheel from it
	rm -rf $(STAMPS)/wheel; mkdir -p $(STAMPS)/wheel
	$(VENV)/bin/maturin sdist --manifest-path bindings/python/Cargo.toml -o $(STAMPS)/wheel
	PATH=$(VENV)/bin:$$PATH $(PYTHON) -m pip wheel --no-deps --no-build-isolation -w $(STAMPS)/wheel $(STAMPS)/wheel/*.tar.gz
	@size=$$(stat -c %s $(STAMPS)/wheel/*.whl); echo "the wheel has $$size bytes"; [ $$size -le $(WHEEL_BUDGET) ]

# Installed in place: changes of Python files need no build.
$(STAMPS)/python: $(CORE_SOURCES) $(PYTHON_SOURCES) $(VENV)/.complete
	VIRTUAL_ENV=$(VENV) $(VENV)/bin/maturin develop --quiet --locked --release --manifest-path bindings/python/Cargo.toml
	@touch $@

$(STAMPS)/node: $(CORE_SOURCES) $(NODE_SOURCES) $(NODE)/node_modules/.complete
	npm run build --prefix $(NODE)
	@mkdir -p examples/demo/frontend/node_modules
	@ln -sfn ../../../../$(NODE) examples/demo/frontend/node_modules/mlflow-trace
	@touch $@

# Links a C++ program with the library where cargo left it.
COMPILE_CXX = g++ -std=c++17 -g -O2 -Wall -Wextra -Wpedantic -Werror -Iinclude -o $@ $< -L$(RELEASE) -lmlflow_trace -pthread -Wl,-rpath,$(RELEASE)
RETRIEVAL := examples/demo/retrieval
RETRIEVAL_SOURCES := $(RETRIEVAL)/retrieval.cpp $(wildcard $(RETRIEVAL)/*.hpp include/*)

$(STAMPS)/demo/retrieval: $(RETRIEVAL_SOURCES) $(STAMPS)/library
	@mkdir -p $(@D)
	$(COMPILE_CXX)

$(STAMPS)/asan/retrieval: $(RETRIEVAL_SOURCES) $(STAMPS)/library
	@mkdir -p $(@D)
	$(COMPILE_CXX) -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer

$(STAMPS)/bench/spans: tests/e2e/bench/spans.cpp $(wildcard include/*) $(STAMPS)/library
	@mkdir -p $(@D)
	$(COMPILE_CXX)

$(STAMPS)/bench/record: tests/bench/record.c $(wildcard include/*) $(STAMPS)/library
	@mkdir -p $(@D)
	$(CC) -std=c11 -O2 -Wall -Wextra -Wpedantic -Werror -Iinclude -o $@ $< -L$(RELEASE) -lmlflow_trace -pthread -Wl,-rpath,$(RELEASE)

demo: setup build ## Run the demo without a server: three services, one trace joined from their files
	$(PYTHON) examples/demo/run.py

demo-server: setup build ## Run the demo against a real MLflow server; WAIT=1 leaves the server up for a look
	$(PYTHON) examples/demo/run.py --server $(if $(WAIT),--wait)

# The lines with which the lints, cargo test, the C suites, pytest and node --test close.
SUMMARY := '^(lint passed|test result: |[0-9]+ passed, [0-9]+ failed|=+ .*(passed|failed|error).* in .*=+$$|(\#|ℹ) (tests|pass|fail) )'

test: setup build ## Run the lints and every suite against one real MLflow server
	@rm -rf $(LOGS); mkdir -p $(LOGS)
	@code=0; $(SERVER) $(MAKE) --no-print-directory --keep-going suites || code=$$?; \
	echo; echo "The runners' summary lines"; \
	for suite in lint rust c abi python node view e2e parity otlp integrations integrations-node; do \
	    echo "$$suite:"; grep -aE $(SUMMARY) $(LOGS)/$$suite.log | sed 's/^/  /' || echo "  failed without a summary"; \
	done; \
	exit $$code

suites: lint test-rust test-c abi test-python test-node test-view test-e2e parity test-otlp test-integrations integrations-node

test-rust: setup ## Test the engine and the Rust side of the C ABI
	@mkdir -p $(LOGS)
	cargo test --locked --workspace --exclude mlflow-trace-python --exclude mlflow-trace-node 2>&1 | tee $(LOGS)/rust.log

model: setup ## Run a hundred thousand random programs against a model of what is specified
	MLFLOW_TRACE_MODEL_PROGRAMS=$(or $(MLFLOW_TRACE_MODEL_PROGRAMS),100000) cargo test --locked --release -p mlflow-trace-core --test model

spool-model: setup ## Run ten thousand programs against a model of the spool, damage a million segments, kill a thousand processes
	PROPTEST_CASES=$(or $(PROPTEST_CASES),10000) SPOOL_MUTATIONS=$(or $(SPOOL_MUTATIONS),1000000) \
	SPOOL_KILLS=$(or $(SPOOL_KILLS),1000) SPOOL_ROUNDS=$(or $(SPOOL_ROUNDS),200) cargo test --locked -p mlflow-trace-core --test spool

# Needs a nightly compiler and cargo-fuzz; what was found before is in fuzz/corpus.
FUZZ_SECONDS ?= 600
fuzz: export CARGO_TARGET_DIR := $(CARGO_TARGET_DIR)/fuzz
fuzz: ## Fuzz what reads the spool, replies, headers, traces and dialects, FUZZ_SECONDS each
	@cargo fuzz --version > /dev/null || { echo "cargo-fuzz is missing: cargo install cargo-fuzz" >&2; exit 1; }
	@for target in $(or $(FUZZ_TARGETS),spool_segment spool_adopt retry_after reply propagation traces dialects); do \
	    cargo +nightly fuzz run $$target -- -max_total_time=$(FUZZ_SECONDS) -max_len=65536 -print_final_stats=1 || exit 1; \
	done

NATIVE := $(MAKE) --no-print-directory -C tests/c LIBDIR=$(RELEASE) BUILD=$(CURDIR)/$(STAMPS)/c PYTHON=$(PYTHON)

test-c: setup $(STAMPS)/library ## Test the C ABI and the C++ header; run the C and C++ quick starts
	@mkdir -p $(LOGS)
	@$(WITH_SERVER) $(NATIVE) test 2>&1 | tee $(LOGS)/c.log

$(STAMPS)/abi-tools:
	@missing=; \
	command -v abidiff > /dev/null || missing+=" abigail-tools"; \
	command -v cmake > /dev/null || missing+=" cmake"; \
	command -v pkg-config > /dev/null || missing+=" pkg-config"; \
	$(install_packages)

# The sources' side of the promises first, then what is installed.
abi: setup $(STAMPS)/abi-tools $(STAMPS)/library ## Check what the C ABI promises, one line each: header, exports, layouts, abidiff, size, packages
	@mkdir -p $(LOGS)
	@code=0; cargo test --locked --no-fail-fast -p mlflow-trace-abi-tests > $(LOGS)/abi-sources.log 2>&1 || code=1; \
	if [ $$code = 0 ]; then sed -n 's/^test \(.*\) \.\.\. ok$$/ok \1/p' $(LOGS)/abi-sources.log | tr _ ' '; else cat $(LOGS)/abi-sources.log; fi; \
	rm -rf $(STAMPS)/stage; \
	$(MAKE) --no-print-directory install DESTDIR=$(CURDIR)/$(STAMPS)/stage > $(LOGS)/install.log; \
	$(MAKE) --no-print-directory tarball > $(LOGS)/tarball.log; \
	$(PYTHON3) tests/abi/check.py --prefix $(STAMPS)/stage$(PREFIX) --tarball $$(tail -n 1 $(LOGS)/tarball.log) 2>&1 | tee $(LOGS)/abi.log || code=1; \
	exit $$code

test-python: setup $(STAMPS)/python ## Test the Python binding
	@mkdir -p $(LOGS)
	cd bindings/python && $(WITH_SERVER) $(PYTHON) -m pytest 2>&1 | tee $(CURDIR)/$(LOGS)/python.log

# With other interpreters on the same build, where the suite's optional packages are what pip finds for them.
PYTHONS ?= python3.10 python3.12 python3.13
.PHONY: test-pythons
test-pythons: setup $(STAMPS)/python ## Run Python's suite with other interpreters, PYTHONS="python3.10 python3.13"
	@for python in $(PYTHONS); do \
	    environment=$(CURDIR)/$(STAMPS)/pythons/$$(basename $$python); \
	    $$python -m venv $$environment; \
	    $$environment/bin/python -m pip install --quiet --disable-pip-version-check -r tests/server/requirements-pythons.txt; \
	done
	cd bindings/python && $(WITH_SERVER) bash -c 'for python in $(PYTHONS); do \
	    echo "$$python"; PYTHONPATH=$(CURDIR)/bindings/python/python $(CURDIR)/$(STAMPS)/pythons/$$(basename $$python)/bin/python -m pytest -p no:cacheprovider || exit 1; \
	done'

test-node: setup $(STAMPS)/node ## Test the Node binding
	@mkdir -p $(LOGS)
	$(WITH_SERVER) npm test --prefix $(NODE) 2>&1 | tee $(LOGS)/node.log

$(STAMPS)/chromium:
	@missing=; command -v chromium > /dev/null || missing=" chromium"; \
	$(install_packages)

# What cargo made of the command. The page's tests and those with a real server run it.
test-view test-e2e screenshots: export MLFLOW_TRACE_COMMAND := $(CARGO_TARGET_DIR)/$(CARGO_BUILD_TARGET)/debug/mlflow-trace
test-view: export SCREENSHOTS ?= $(CURDIR)/$(STAMPS)/view
test-view: setup $(STAMPS)/chromium ## Test the page of `mlflow-trace view` in headless Chromium; SCREENSHOTS=docs/images renews those of the docs
	@mkdir -p $(LOGS)
	cargo build --locked -p mlflow-trace-cli
	node --test tests/view/view.test.mjs 2>&1 | tee $(LOGS)/view.log

test-e2e: export MLFLOW_TRACE_ORACLE_SINK := $(CARGO_TARGET_DIR)/$(CARGO_BUILD_TARGET)/debug/oracle-sink
test-e2e: setup build ## Test the demo, the server fixture and the oracle sink
	@mkdir -p $(LOGS)
	cargo build --locked -p mlflow-trace-faults --bin oracle-sink -p mlflow-trace-cli --bin mlflow-trace
	$(WITH_SERVER) $(PYTHON) -m pytest --timeout 300 tests/e2e tests/faults 2>&1 | tee $(LOGS)/e2e.log
	node --test tests/faults/oracle.test.mjs 2>&1 | tee -a $(LOGS)/e2e.log

parity: setup $(STAMPS)/python ## Run the same programs with MLflow's own SDK and with ours, and compare what the server has
	@mkdir -p $(LOGS)
	$(WITH_SERVER) $(PYTHON) -m pytest --timeout 300 tests/parity 2>&1 | tee $(LOGS)/parity.log

# The servers that `make parity-matrix` runs against, one after the other. Old ones do not start with SQLAlchemy 2.1.
VERSIONS ?= 3.6.0 3.10.1 3.14.0 3.17.2
SERVERS := $(STAMPS)/servers
$(SERVERS)/%/.complete: | $(STAMPS)/system
	$(PYTHON3) -m venv $(@D)
	$(@D)/bin/python -m pip install --quiet --disable-pip-version-check --no-cache-dir mlflow==$* 'SQLAlchemy<2.1'
	@touch $@

.PHONY: parity-matrix
parity-matrix: setup $(STAMPS)/python $(VERSIONS:%=$(SERVERS)/%/.complete) ## The same against servers of several versions, VERSIONS="3.6.0 3.10.1"; installs 750 MB of Python packages for each
	$(PYTHON) tests/parity/matrix.py --logs $(LOGS) $(SERVERS) $(VERSIONS)

test-otlp: setup $(STAMPS)/python ## Compare what a collector gets with what MLflow's own SDK sends it
	@mkdir -p $(LOGS)
	$(WITH_SERVER) $(PYTHON) -m pytest --timeout 120 --ignore tests/otlp/test_backends.py tests/otlp 2>&1 | tee $(LOGS)/otlp.log

COLLECTORS := $(STAMPS)/collectors
$(COLLECTORS)/.complete: tests/otlp/requirements.txt | $(STAMPS)/system
	$(PYTHON3) -m venv $(COLLECTORS)
	$(COLLECTORS)/bin/python -m pip install --quiet --disable-pip-version-check -r $<
	@touch $@

collectors: setup $(STAMPS)/python $(COLLECTORS)/.complete ## Send traces to a real collector and a real backend; installs 900 MB of Python packages
	COLLECTORS_PYTHON=$(COLLECTORS)/bin/python $(PYTHON) -m pytest --timeout 300 tests/otlp/test_backends.py

# The libraries in an environment of their own, which uses the package where `make build` left it.
INTEGRATIONS := $(STAMPS)/integrations
$(INTEGRATIONS)/.complete: tests/integrations/requirements.txt | $(STAMPS)/system
	$(PYTHON3) -m venv $(INTEGRATIONS)
	$(INTEGRATIONS)/bin/python -m pip install --quiet --disable-pip-version-check -r $<
	@echo $(CURDIR)/bindings/python/python > $(INTEGRATIONS)/lib/$$(ls $(INTEGRATIONS)/lib)/site-packages/mlflow_trace.pth
	@touch $@

# What cannot be installed beside the others.
$(INTEGRATIONS)-%/.complete: tests/integrations/requirements-%.txt | $(STAMPS)/system
	$(PYTHON3) -m venv $(@D)
	$(@D)/bin/python -m pip install --quiet --disable-pip-version-check -r $<
	@echo $(CURDIR)/bindings/python/python > $(@D)/lib/$$(ls $(@D)/lib)/site-packages/mlflow_trace.pth
	@touch $@

.PHONY: integrations integrations-python test-integrations bench-integrations
integrations: integrations-python integrations-node ## Run real client libraries against a fake provider, compare with MLflow's traces, print the table

integrations-python: $(patsubst tests/integrations/requirements-%.txt,$(INTEGRATIONS)-%/.complete,$(wildcard tests/integrations/requirements-*.txt)) ## The same with the libraries of Python, LIBRARIES=openai,gemini; installs 2 GB of Python packages
# The frameworks, and what has an environment of its own, are left to `make integrations`.
test-integrations: LIBRARIES := openai,anthropic,gemini
integrations-python test-integrations: setup $(STAMPS)/python $(INTEGRATIONS)/.complete
	@mkdir -p $(LOGS)
	$(WITH_SERVER) $(INTEGRATIONS)/bin/python -m pytest --timeout 300 $(LIBRARIES:%=--libraries %) tests/integrations 2>&1 | tee $(LOGS)/integrations.log

.PHONY: integrations-versions
integrations-versions: setup $(STAMPS)/python $(INTEGRATIONS)/.complete ## The cases with the oldest and the newest version of each library, LIBRARIES=openai; installs 3 GB of Python packages
	$(WITH_SERVER) $(INTEGRATIONS)/bin/python tests/integrations/versions.py $(STAMPS)/versions $(LIBRARIES)

.PHONY: screenshots
screenshots: setup $(STAMPS)/python $(STAMPS)/chromium $(INTEGRATIONS)/.complete ## Renew the pictures of a LangGraph trace in docs/integrations.md, in our page and in MLflow's
	cargo build --locked -p mlflow-trace-cli
	INTEGRATIONS_PYTHON=$(CURDIR)/$(INTEGRATIONS)/bin/python $(WITH_SERVER) node tests/view/screenshots.mjs docs/images

bench-integrations: setup $(STAMPS)/python $(INTEGRATIONS)/.complete ## Measure what tracing adds to calls of client libraries beside MLflow's integrations, for docs/bench; BENCH=--quick to try it
	$(INTEGRATIONS)/bin/python tests/bench/integrations/run.py $(BENCH)

NODE_INTEGRATIONS := tests/integrations/node
$(NODE_INTEGRATIONS)/node_modules/.complete: $(NODE_INTEGRATIONS)/package.json $(NODE_INTEGRATIONS)/package-lock.json | $(STAMPS)/system
	npm ci --prefix $(NODE_INTEGRATIONS) --no-audit --no-fund --ignore-scripts
	@ln -sfn ../../../../$(NODE) $(NODE_INTEGRATIONS)/node_modules/mlflow-trace
	@touch $@

.PHONY: integrations-node
integrations-node: setup $(STAMPS)/node $(NODE_INTEGRATIONS)/node_modules/.complete ## The same with client libraries of Node; installs 200 MB of Node packages
	@mkdir -p $(LOGS)
	$(WITH_SERVER) node --expose-gc --test $(NODE_INTEGRATIONS)/*.test.mjs 2>&1 | tee $(LOGS)/integrations-node.log

# What needs a newer Node than the rest: the Vercel AI SDK 7 and Mastra. NODE22 is its binary.
NODE22 ?= node
$(NODE_INTEGRATIONS)22/node_modules/.complete: $(NODE_INTEGRATIONS)22/package.json $(NODE_INTEGRATIONS)22/package-lock.json | $(STAMPS)/system
	npm ci --prefix $(NODE_INTEGRATIONS)22 --no-audit --no-fund --ignore-scripts
	@touch $@

.PHONY: integrations-node22
integrations-node22: setup $(STAMPS)/node $(NODE_INTEGRATIONS)/node_modules/.complete $(NODE_INTEGRATIONS)22/node_modules/.complete ## The same with libraries that need Node 22, NODE22=/path/to/node; installs 150 MB of Node packages
	@$(NODE22) -e 'process.exit(parseInt(process.versions.node) < 22)' || { echo "$(NODE22) is older than Node 22" >&2; exit 1; }
	$(NODE22) --test --test-force-exit $(NODE_INTEGRATIONS)22/*.test.mjs

# SUITE is resolved first, so that a missing one is noticed before anything is built.
w3c: setup ## Run the public test suite of W3C Trace Context; SUITE is a checkout of github.com/w3c/trace-context
	@$(PYTHON) tests/w3c/run.py "$(SUITE)" --check
	@$(MAKE) --no-print-directory $(STAMPS)/python $(STAMPS)/node
	cargo build --locked -p mlflow-trace-core --example w3c
	$(PYTHON) tests/w3c/run.py "$(SUITE)" --rust $(CARGO_TARGET_DIR)/$(CARGO_BUILD_TARGET)/debug/examples/w3c

CLANG_FORMAT_FILES := $(wildcard tests/faults/*.c tests/sanitize/*.c include/*.hpp tests/c/*.[ch] tests/cpp/*.[ch]pp examples/c/*.c examples/cpp/*.cpp tests/abi/package/*.c tests/abi/package/*.cpp tests/e2e/bench/*.cpp tests/bench/*.c $(RETRIEVAL)/*.[ch]pp)
RUFF := --line-length 100 --target-version py311 tests examples
MYPY := $(VENV)/bin/mypy

lint: lint-rust lint-c lint-python lint-node ## Check formatting, lints and types in all languages
	@mkdir -p $(LOGS); echo "lint passed" | tee $(LOGS)/lint.log

# The last two compile what make loom and make fuzz alone run, without running it; nothing is linked, so no fuzzer is built.
lint-rust: setup
	@cargo fmt --version > /dev/null || { echo "rustfmt is missing: rustup component add rustfmt" >&2; exit 1; }
	@cargo clippy --version > /dev/null || { echo "clippy is missing: rustup component add clippy" >&2; exit 1; }
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets -- -D warnings
	RUSTFLAGS='--cfg mlflow_loom -D warnings' CARGO_TARGET_DIR=$(CARGO_TARGET_DIR)/cfg cargo check --locked -p mlflow-trace-core --lib --profile test
	RUSTFLAGS='--cfg fuzzing -D warnings' CARGO_TARGET_DIR=$(CARGO_TARGET_DIR)/cfg CUSTOM_LIBFUZZER_PATH=/dev/null cargo check --locked --manifest-path fuzz/Cargo.toml

lint-c: $(STAMPS)/clang-format
	clang-format --dry-run --Werror $(CLANG_FORMAT_FILES)

lint-python: setup $(STAMPS)/python
	$(VENV)/bin/ruff check $(RUFF)
	$(VENV)/bin/ruff format --check $(RUFF)
	$(MYPY) --strict tests/faults/*.py
	cd examples/demo && MYPYPATH=../../tests/server $(MYPY) --strict run.py server_store.py
	cd examples/demo/agent && $(MYPY) --strict agent.py
	$(MYPY) --strict tests/e2e/bench
	MYPYPATH=examples/demo:examples/demo/agent:tests/server:tests/faults $(MYPY) --strict tests/e2e/*.py
	$(MYPY) --strict tests/e2e/ends
	$(MYPY) --strict tests/parity/*.py
	MYPYPATH=tests/server $(MYPY) --strict tests/otlp/*.py
	$(MYPY) --strict tests/vectors/*.py tests/c/*.py
	MYPYPATH=tests/c $(MYPY) --strict tests/abi/*.py
	$(MYPY) --strict tests/languages/*.py
	$(MYPY) --strict tests/w3c/*.py
	MYPYPATH=tests/faults $(MYPY) --strict tests/bench/python/*.py
	MYPYPATH=tests/integrations:tests/server $(MYPY) --strict --follow-imports=silent $(filter-out %/fake_providers.py,$(wildcard tests/integrations/*.py))
	MYPYPATH=tests/bench/integrations $(MYPY) --strict tests/bench/integrations/*.py
	cd bindings/python && $(VENV)/bin/ruff check . && $(VENV)/bin/ruff format --check . && $(MYPY)

lint-node: $(NODE)/node_modules/.complete
	npm run lint --prefix $(NODE)
	$(NODE)/node_modules/.bin/prettier --config $(NODE)/.prettierrc.json --check 'examples/**/*.mjs' 'tests/e2e/bench/*.mjs' 'tests/e2e/ends/*.mjs' 'tests/w3c/*.mjs' 'tests/faults/*.mjs' 'tests/view/*.mjs' 'tests/bench/node/*.mjs' '$(NODE_INTEGRATIONS)/{*,support/*}.mjs' '$(NODE_INTEGRATIONS)22/*.mjs'

bench: setup build bench-record $(STAMPS)/bench/spans ## Measure what a span costs the thread that records it, in every language
	$(STAMPS)/bench/spans
	$(PYTHON) tests/e2e/bench/spans.py
	node tests/e2e/bench/spans.mjs

bench-record: setup $(STAMPS)/bench/record ## Measure it in Rust and C beside other libraries, for docs/bench; BENCH=--quick to try it
	cargo run --locked --release -p mlflow-trace-bench -- --c $(STAMPS)/bench/record $(BENCH)

.PHONY: bench-export bench-node stress-node valgrind-node faults load soak crash
bench-export: setup ## Measure what exporting costs beside OpenTelemetry's exporter, for docs/bench; BENCH=--quick to try it
	cargo build --locked --release -p mlflow-trace-faults --bin oracle-sink
	cargo run --locked --release -p mlflow-trace-bench -- export --sink $(RELEASE)/oracle-sink $(BENCH)

FAULTS := cargo build --locked --release -p mlflow-trace-faults --bins && $(RELEASE)

faults: setup ## Inject faults and print what they did; FAULTS_ARGS="--only F3,F8", "--full" for the specified lengths
	$(FAULTS)/faults $(FAULTS_ARGS)

load: setup ## Put load on the engine and print what it took and what it cost; FAULTS_ARGS=--full for the specified lengths
	$(FAULTS)/faults --only L1,L2,L5,L7,L8,L9 $(FAULTS_ARGS)

soak: setup ## Record through one fault after the other, SCALE=1 for 8 hours; 10 minutes without
	$(FAULTS)/faults --only L6 --scale $(or $(SCALE),0.021)

crash: setup ## Kill processes with a spool at any moment, and see what the next one delivers; RUNS=1000
	$(FAULTS)/crash --runs $(or $(RUNS),1000)

bench-node: setup $(STAMPS)/node ## Measure the Node package beside OpenTelemetry's SDK, for docs/bench; BENCH=--quick to try it
	cargo build --locked --release -p mlflow-trace-faults --bin oracle-sink
	MLFLOW_TRACE_ORACLE_SINK=$(RELEASE)/oracle-sink node tests/bench/node/run.mjs $(BENCH)

# WORKERS: at a time, and how often.
WORKERS ?= 20 50
WORKER_STRESS := $(NODE)/test/support/terminate-workers.mjs
stress-node: setup $(STAMPS)/node ## Terminate workers that record, 20 at a time, 50 times
	node $(WORKER_STRESS) $(WORKERS)

# V8 writes code while it runs, leaves values undefined on purpose and keeps what it has until the end: it interprets here,
# and only accesses are checked.
valgrind-node: setup $(STAMPS)/valgrind $(STAMPS)/node ## The same under memcheck, which takes hours; WORKERS="2 1" takes a minute
	valgrind -q --error-exitcode=99 --num-callers=30 --fair-sched=try --smc-check=all-non-file --undef-value-errors=no \
	    node --jitless $(WORKER_STRESS) $(WORKERS)

bench-python: setup $(STAMPS)/python ## Measure the Python package beside MLflow's and OpenTelemetry's SDKs, for docs/bench; BENCH=--quick to try it
	cargo build --locked --release -p mlflow-trace-faults --bin oracle-sink
	MLFLOW_TRACE_ORACLE_SINK=$(RELEASE)/oracle-sink $(PYTHON) tests/bench/python/run.py $(BENCH)

# Each of these looks for one kind of fault: docs/testing.md says which, and what is left out.
check-deep: loom asan valgrind ## Run the next three: models, AddressSanitizer, valgrind

loom: setup ## Model-check the structures that threads share: every order of their steps
	@mkdir -p $(LOGS)
	RUSTFLAGS='--cfg mlflow_loom' CARGO_TARGET_DIR=$(CARGO_TARGET_DIR)/loom cargo test --locked -p mlflow-trace-core --lib -- models:: 2>&1 | tee $(LOGS)/loom.log
	@grep -q 'test result: ok. [1-9]' $(LOGS)/loom.log

$(STAMPS)/valgrind:
	@missing=; command -v valgrind > /dev/null || missing=" valgrind"; \
	$(install_packages)

# Leaves out what cannot hold where everything is many times slower or memory is held back: tests that measure memory,
# and one that records as fast as it can in several threads and waits until all of it is delivered.
UNMEASURED := --skip long_texts_are_not_copied --skip children_record_and_flush_under_load

ASAN := $(CARGO_TARGET_DIR)/asan
WITH_ASAN := RUSTC_BOOTSTRAP=1 RUSTFLAGS=-Zsanitizer=address CARGO_TARGET_DIR=$(ASAN)
# Runs each fault of tests/sanitize/fault.rs, which has to be reported, and as what: where one is not, a suite that
# passes proves nothing. $(1) sets the environment, $(2) are options of cargo.
define prove
	@for fault in $(3); do \
	    $(1) tests/sanitize/reported.sh "$${fault#*:}" cargo run --locked --quiet $(2) -p mlflow-trace-ffi --example fault "$${fault%%:*}" || exit 1; \
	done
endef

asan: export LSAN_OPTIONS := suppressions=$(CURDIR)/tests/sanitize/lsan.supp:print_suppressions=0
asan: setup build $(STAMPS)/asan/retrieval ## Run the Rust, C and C++ suites and the demo under AddressSanitizer; C and C++ also under UBSan
	$(call prove,$(WITH_ASAN),,read-behind:heap-buffer-overflow read-freed:heap-use-after-free leak:LeakSanitizer)
	$(WITH_ASAN) ASAN_OPTIONS=detect_stack_use_after_return=1 cargo test --locked -p mlflow-trace-core -p mlflow-trace-ffi --lib --tests -- $(UNMEASURED)
	$(WITH_ASAN) cargo build --locked -p mlflow-trace-ffi
	$(WITH_SERVER) $(NATIVE) LIBDIR=$(ASAN)/$(CARGO_BUILD_TARGET)/debug BUILD=$(CURDIR)/$(STAMPS)/asan/c asan
	$(PYTHON) examples/demo/run.py --retrieval $(STAMPS)/asan/retrieval

# Those that share memory between threads or processes, or keep buffers for the next span; the rest is slow parsing.
VALGRIND_TESTS := attachments export file ingest limits options otel parts plugins process processors sampling sink span
# And what ends by itself after some seconds: a shutdown or a flush of OpenTelemetry's, a wait for requests of 60 MB.
UNTIMED := $(UNMEASURED) --skip a_shutdown_that_delivers_nothing_fails --skip parallel_traces_to_two_tracers \
    --skip a_span_stays_below_what_a_request_may_hold
# A forked child has no use for what its parent's threads held and leaves it behind, which is a leak to valgrind.
UNTIMED += --skip the_child_of_a_fork
MEMCHECK := valgrind -q --error-exitcode=99 --num-callers=30 --fair-sched=try --suppressions=$(CURDIR)/tests/sanitize/memcheck.supp \
    --leak-check=full --show-leak-kinds=definite --errors-for-leak-kinds=definite
UNDER_MEMCHECK := --config "target.'cfg(unix)'.runner='$(MEMCHECK)'"

# One test after the other: valgrind runs one thread at a time, and a test that waits would wait for all of them.
valgrind: setup $(STAMPS)/valgrind ## Run Rust tests that share memory, and the C and C++ suites, under memcheck
	$(call prove,,$(UNDER_MEMCHECK),read-behind:Invalid.read read-freed:Invalid.read leak:definitely.lost)
	cargo test --locked --no-fail-fast $(UNDER_MEMCHECK) -p mlflow-trace-core --lib $(VALGRIND_TESTS:%=--test %) -- --test-threads=1 $(UNTIMED)
	cargo build --locked -p mlflow-trace-ffi
	$(NATIVE) LIBDIR=$(CARGO_TARGET_DIR)/$(CARGO_BUILD_TARGET)/debug BUILD=$(CURDIR)/$(STAMPS)/c-debug valgrind

# Only what a program in C or C++ meets. Rust's standard library is not instrumented, and does not match what is: the
# flag says that this is known.
TSAN := $(CARGO_TARGET_DIR)/tsan
WITH_TSAN := RUSTC_BOOTSTRAP=1 RUSTFLAGS='-Zsanitizer=thread -Cunsafe-allow-abi-mismatch=sanitizer' CARGO_TARGET_DIR=$(TSAN)
.PHONY: sanitize
sanitize: export LSAN_OPTIONS := suppressions=$(CURDIR)/tests/sanitize/lsan.supp:print_suppressions=0
sanitize: setup $(STAMPS)/valgrind ## Run the C and C++ suites under AddressSanitizer with UBSan, ThreadSanitizer, memcheck and DRD
	$(WITH_ASAN) cargo build --locked -p mlflow-trace-ffi
	$(NATIVE) LIBDIR=$(ASAN)/$(CARGO_BUILD_TARGET)/debug BUILD=$(CURDIR)/$(STAMPS)/asan/c asan
	$(WITH_TSAN) cargo build --locked -p mlflow-trace-ffi
	$(NATIVE) LIBDIR=$(TSAN)/$(CARGO_BUILD_TARGET)/debug BUILD=$(CURDIR)/$(STAMPS)/tsan/c tsan
	cargo build --locked -p mlflow-trace-ffi
	$(NATIVE) LIBDIR=$(CARGO_TARGET_DIR)/$(CARGO_BUILD_TARGET)/debug BUILD=$(CURDIR)/$(STAMPS)/c-debug valgrind
	$(NATIVE) LIBDIR=$(CARGO_TARGET_DIR)/$(CARGO_BUILD_TARGET)/debug BUILD=$(CURDIR)/$(STAMPS)/c-debug drd

include packaging/package.mk

clean: ## Remove everything that make made
	rm -rf .build target .venv $(NODE_INTEGRATIONS)/node_modules $(NODE_INTEGRATIONS)22/node_modules $(NODE)/node_modules $(NODE)/dist $(NODE)/*.node examples/demo/frontend/node_modules
	rm -rf .pytest_cache .ruff_cache .mypy_cache bindings/python/.*_cache examples/demo/.*_cache examples/demo/agent/.*_cache
	find bindings examples tests -name __pycache__ -type d -prune -exec rm -rf {} +
	rm -f bindings/python/python/mlflow_trace/*.so
