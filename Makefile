# ai_audio: `make` lists what there is to make.
#
# PG_CONFIG chooses the Postgres (13 to 18). What is fetched, built or run lies under target/.

PG_CONFIG ?= pg_config
export PG_CONFIG
export PATH := $(PATH):$(HOME)/.cargo/bin
SHELL := /bin/bash -o pipefail

T := target
CARGO_OUT := $(or $(CARGO_TARGET_DIR),$T)
VERSION := $(shell sed -n "s/^default_version *= *'\(.*\)'/\1/p" ai_audio.control)
SQL := $T/sql/ai_audio--$(VERSION).sql
SQL_PARTS := $(sort $(wildcard sql/[0-9]*.sql))
# Not `:=`: the first run on a machine installs Postgres before it comes to these.
PG_MAJOR = $(shell $(PG_CONFIG) --version | sed -E 's/^[^0-9]*([0-9]+).*/\1/')
CARGO = PGRX_PG_CONFIG_PATH="$$(command -v $(PG_CONFIG))" cargo
CARGO_ARGS = --release --workspace --features pg$(PG_MAJOR)
PGVECTOR = $T/pgvector-$(PG_MAJOR)
CLUSTER = scripts/cluster

# Where tests and benchmarks find things; `cargo test` by hand needs the same (see CONTRIBUTING.md).
export AI_AUDIO_MODELS := $(CURDIR)/$T/models
export AI_AUDIO_ORT := $(CURDIR)/$T/onnxruntime/libonnxruntime.so
# A build that runs on any Linux with glibc 2.28: its own folder, since Cargo builds all anew for another linker.
ifdef PORTABLE
export CARGO_TARGET_DIR := $(CURDIR)/$T/portable
export CARGO_TARGET_$(shell uname -m | tr a-z A-Z)_UNKNOWN_LINUX_GNU_LINKER := $(CURDIR)/scripts/linker
packages: $T/zig
endif
TEST_ENV = AI_AUDIO_TEST_URL="$$($(CLUSTER) url)" AI_AUDIO_PG_BIN="$$(dirname "$$($(CLUSTER) pg_config)")" \
	AI_AUDIO_SPEECH_CLIPS="$$($(CLUSTER) lend $T/speech)" AI_AUDIO_TEST_STORES="$(CURDIR)/$T/test-stores" \
	$${AI_AUDIO_SPEECH:+AI_AUDIO_SPEECH="$$($(CLUSTER) lend "$$AI_AUDIO_SPEECH")"}

.DEFAULT_GOAL := help
.PHONY: help demo test test-rest test-majors test-aarch64 test-postgres test-sqlsmith test-env psql url stop serve install install-pgvector deb test-deb uninstall bench lint clean packages models library cluster server

help: ## List the targets
	@sed -nE 's/^([a-z0-9-]+):.*## (.*)/  make \1|\2/p' Makefile | column -t -s '|'

demo: server ## Set everything up and play the stories of voiceprints and of a ride on real recordings
	@scripts/demo tests/sql/voiceprint.sql docs/examples/driver.sql

test: server $T/test-stores ## Set everything up and run every test
	@env $(TEST_ENV) scripts/test $(CARGO_ARGS)

test-rest: server ## Drive the console in Chromium, and ask the REST service for everything (SHOTS=folder: screenshots)
	@scripts/test-rest $(CARGO_OUT)/release/ai_audio_server "$$($(CLUSTER) url)" $T/speech $(SHOTS)

test-majors: ## Build for other Postgres versions, from PyPI, and run the SQL tests there (MAJORS="18 16", LEAVE_OUT="memory clients")
	@LEAVE_OUT="$(LEAVE_OUT)" scripts/test-majors $(or $(MAJORS),18 16)

test-aarch64: packages ## Build what needs neither Postgres nor a model for 64-bit ARM, and run its unit tests in qemu (g++-aarch64-linux-gnu, qemu-user)
	@scripts/test-aarch64

test-postgres: cluster ## Run Postgres' own regression tests with the library preloaded (VARIANTS="plain preload parallel jit")
	@scripts/test-postgres $(VARIANTS)

test-sqlsmith: server ## Let SQLsmith ask random queries (MINUTES=10; the package sqlsmith)
	@scripts/test-sqlsmith $T/speech $(MINUTES)

test-env: server $T/test-stores ## Print the environment that tests need, for `eval "$(make -s test-env)"`
	@for setting in $(TEST_ENV) AI_AUDIO_MODELS="$$AI_AUDIO_MODELS" AI_AUDIO_ORT="$$AI_AUDIO_ORT"; do echo "export $$setting"; done

psql: server ## Open psql on the throw-away database; the sample recordings are at /recordings and :speech
	@scripts/psql

url: server ## Start the throw-away server if needed and print its connection URI (make -s url)
	@$(CLUSTER) url

serve: server ## Serve HTTP and the console on the throw-away database, port 8100
	@scripts/serve $(CARGO_OUT)/release/ai_audio_server "$$($(CLUSTER) url)"

stop: ## Stop the throw-away server
	@$(CLUSTER) stop

install: library ## Install into the Postgres of PG_CONFIG (sudo where needed)
	@scripts/install $(PG_CONFIG) $(CARGO_OUT)/release/libai_audio.so
	@[ -e "$$($(PG_CONFIG) --sharedir)/extension/vector.control" ] || $(MAKE) --no-print-directory install-pgvector
	@echo 'Installed. In the database: CREATE EXTENSION ai_audio CASCADE;'

install-pgvector: packages ## Install pgvector 0.8 into the Postgres of PG_CONFIG
	@scripts/pgvector $(PGVECTOR) $(PG_CONFIG)

deb: cluster ## Make Debian packages and a tarball in target/packages (dpkg-dev; PORTABLE=1: for any Linux with glibc 2.28)
	@scripts/deb $(PG_CONFIG) $(CARGO_OUT)/release/libai_audio.so $(CARGO_OUT)/release/ai_audio_server

test-deb: deb server ## Check the packages, and install them into a clean Debian (root; lintian, mmdebstrap)
	@scripts/test-deb $T/speech

uninstall: ## Take the extension (not pgvector) out of the Postgres of PG_CONFIG
	@scripts/install --remove $(PG_CONFIG)

bench: server ## Measure (minutes)
	@env $(TEST_ENV) bench/run

lint: packages ## rustfmt, clippy, rustdoc and, where present, shellcheck and ruff; a warning is an error
	cargo fmt --all --check
	$(CARGO) clippy $(CARGO_ARGS) --all-targets -- -D warnings
	RUSTDOCFLAGS='-D warnings' $(CARGO) doc $(CARGO_ARGS) --no-deps --document-private-items
	if command -v shellcheck; then shellcheck -x -P scripts $$(grep -lE "^#!.*bash" scripts/* bench/run .ci/run) scripts/common.sh; fi
	if command -v ruff; then ruff check models bench scripts/demo scripts/pictures; fi

clean: ## Stop the throw-away server and remove everything under target/, and the link /recordings to it (installed packages stay)
	@$(CLUSTER) clean
	rm -rf $T

# --- the steps ---

packages: $T/packages-$(subst /,-,$(PG_CONFIG))

$T/packages-$(subst /,-,$(PG_CONFIG)): scripts/packages
	@scripts/packages && mkdir -p $T && touch $@

models: $T/models/.fetched

$T/models/.fetched: models/manifest.toml $(wildcard models/*.py) models/fetch | packages
	@models/fetch >&2 && touch $@

# The install script is its parts in order; a released one is kept whole; an upgrade script takes in parts by `-- include`.
$(SQL): $(SQL_PARTS) $(wildcard sql/ai_audio--*.sql) ai_audio.control
	@mkdir -p $(@D) && rm -f $(@D)/*.sql && cat $(SQL_PARTS) > $@
	@for script in sql/ai_audio--*.sql; do \
	  awk '/^-- include /{ while ((getline line < ("sql/" $$3)) > 0) print line; next } 1' "$$script" > $(@D)/$${script##*/}; done

$T/zig: scripts/zig.txt | $T/packages-$(subst /,-,$(PG_CONFIG))
	@. scripts/common.sh && python_with $@ scripts/zig.txt "zig's linker" && touch $@

# Object stores for tests. Without them their tests say that they are skipped.
$T/test-stores: tests/stores/requirements.txt scripts/test-stores | packages
	@scripts/test-stores $@ && touch $@

library: packages models $(SQL)
	@$(CARGO) build $(CARGO_ARGS) >&2

# A private copy of Postgres with the extension and pgvector in it.
cluster: library
	@$(CLUSTER) prepare
	@scripts/pgvector $(PGVECTOR) "$$($(CLUSTER) pg_config)"
	@scripts/install "$$($(CLUSTER) pg_config)" $(CARGO_OUT)/release/libai_audio.so

server: cluster
	@$(CLUSTER) start
