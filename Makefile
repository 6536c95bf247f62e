# The short names of everything that is run here. `make` lists them. None of it needs an AWS account.

CARGO_TARGET_DIR ?= target
# SAM must not call home, and must not need a cross-compiler here: it builds for this machine. No path of this machine goes into the
# function, and so it does not differ by them. (By this variable, since RUSTFLAGS would take the place of cargo-lambda's own flags.)
sam = SAM_CLI_TELEMETRY=0 CARGO_BUILD_RUSTFLAGS="$$(tools/release-bootstrap --flags "$(CURDIR)" "$(CURDIR)/target")" PATH="$(CURDIR)/.local/sam/bin:$$PATH" AWS_DEFAULT_REGION=eu-west-1 sam
# The programs of tools/: python3 tools NAME.
tool = python3 -B tools
architecture = $(if $(filter aarch64 arm64,$(shell uname -m)),arm64,x86_64)

.PHONY: help setup demo test core lint sam lint-stack

help: ## list these targets
	@sed -n 's/^\([a-z0-9-]*\):.* ## /\1\t/p' $(MAKEFILE_LIST) | expand -t 13

setup: ## install the pinned local parts into .local/
	@tools/setup

# With the test beside it cargo settles on the same features of every dependency as for `make test`, and so builds each once.
demo: setup ## seal one stream from end to end on this machine
	cargo build --locked --bin bootstrap --test system
	@$(tool) demo $(CARGO_TARGET_DIR)/debug/bootstrap

test: setup ## run every test
	cargo test --locked

core: ## run the core's tests, without AWS and Lambda crates
	cargo test --locked --no-default-features --lib --test core

lint: lint-tools ## check formatting and lints: Rust (all of it and the core alone), Python, shell, GitHub's workflows
	cargo fmt --check
	cargo clippy --locked --all-targets -- -D warnings
	cargo clippy --locked --no-default-features --lib --test core -- -D warnings

# Everything in the repository that is not Rust and is run. Mypy's cache is kept between runs.
python = tools tests
shell = $(shell git grep -lE '^\#!/usr/bin/env bash' -- .ci tools)
linter = .local/lint/bin

.PHONY: lint-tools lock

lint-tools:
	@tools/setup --lint
	$(linter)/ruff check --config tools/pyproject.toml $(python)
	$(linter)/ruff format --config tools/pyproject.toml --check $(python)
	cd tools && ../$(linter)/mypy --cache-dir ../.local/mypy .
	$(linter)/mypy --config-file tools/pyproject.toml --cache-dir .local/mypy $(shell git ls-files 'tests/*.py')
	$(linter)/shellcheck $(shell)
	@if [ -x $(linter)/zizmor ]; then echo "$(linter)/zizmor --offline --pedantic --strict-collection .github"; $(linter)/zizmor --quiet --offline --pedantic --strict-collection .github; \
	  else echo "lint: left out: GitHub's workflows are not checked, since zizmor needs Python 3.11" >&2; fi

# uv resolves for every Python and platform; `make` has no need of it otherwise.
lock: ## resolve the tools' Python packages anew: requirements/*.in to *.txt (needs uv)
	@uv --version || { echo "uv is missing: pip install uv" >&2; exit 1; }
	@cd tools/requirements && for purpose in test sam lint templates bench; do \
	  uv pip compile --quiet --universal --python-version $$(test $$purpose = bench && echo 3.11 || echo 3.10) --generate-hashes \
	    --custom-compile-command 'make lock' $$purpose.in --output-file $$purpose.txt || exit 1; done

.PHONY: size tools-test

size: ## count the code: lines by area, large files and functions, public types, circles of modules
	@$(tool) size

tools-test: ## test what the tools compute by themselves
	cd tools && python3 -B -m unittest discover --start-directory tests --top-level-directory .

sam: ## build the deployment package, for this machine's processor
	@tools/setup --sam
	$(sam) build --template template.yaml --parameter-overrides Architecture=$(architecture)

# Every CloudFormation template of the repository. A finding that stays is named with its reason where it is found. (checkov
# passes what it cannot read, and says so.)
templates = $(shell git grep -lz '^AWSTemplateFormatVersion' -- '*.yaml' '*.yml' | tr '\0' ' ')

lint-stack: ## check every template with cfn-lint, `sam validate --lint` and checkov
	@tools/setup --sam
	@tools/setup --templates
	.local/sam/bin/cfn-lint -- $(templates)
	$(sam) validate --lint --template template.yaml
	@mkdir -p $(CARGO_TARGET_DIR)
	sed 's|CodeUri: \.$$|CodeUri: s3://packages/of-it|' template.yaml >$(CARGO_TARGET_DIR)/packaged.yaml
	.local/sam/bin/python -B tools expand $(CARGO_TARGET_DIR)/packaged.yaml $(CARGO_TARGET_DIR)/expanded.json
	.local/sam/bin/cfn-lint -- $(CARGO_TARGET_DIR)/expanded.json
	@found=$$(.local/templates/bin/checkov --framework cloudformation --skip-download --quiet --compact $(addprefix --file ,$(templates))); \
	  status=$$?; echo "$$found"; case $$found in *"Parsing errors"*|"") exit 1 ;; esac; exit $$status

.PHONY: expanded

expanded: ## write what the SAM transform makes of a packaged template, for a StackSet (FROM=packaged.yaml TO=expanded.json)
	@tools/setup --sam
	@.local/sam/bin/python -B tools expand "$(FROM)" "$(TO)"

.PHONY: sam-test sam-arm64 stack-test

# What takes part: the function in Lambda's emulator, with every shape of event.
sam-test: setup sam ## run the runtime tests with the release build that `make sam` made
	STREAMSEAL_BOOTSTRAP=.aws-sam/build/Function/bootstrap cargo test --locked --test system runtime::

sam-arm64: setup ## build the deployment package for arm64 and run it under qemu, as far as this machine can
	@tools/setup --sam
	@tools/arm64

stack-test: setup sam ## deploy what `make sam` builds into emulators, and see it work there
	@.local/sam/bin/python -B tools stack-test

.PHONY: accept accept-clean accept-here

# PROFILE, REGION, YES=1 and LONG=1 are what it asks for, or leaves out.
in_account = .local/sam/bin/python -B tools accept $(if $(PROFILE),--profile $(PROFILE)) $(if $(REGION),--region $(REGION))

accept: sam ## try the stack in an AWS account, and remove it again (says what it makes and costs, and asks before)
	@$(in_account) $(if $(YES),--yes) $(if $(LONG),--long)

accept-clean: ## remove what an acceptance left that was killed (PREFIX=..)
	@tools/setup --sam
	@$(in_account) --clean "$(PREFIX)"

accept-here: setup sam ## the same against the emulators, failing on purpose after each step
	@.local/sam/bin/python -B tools accept --here

.PHONY: soak soak-short sweep

soak: setup ## let every call fail now and then for some minutes, and see that nothing is lost (SEED=N repeats one)
	cargo build --locked --bin bootstrap --test system
	@$(tool) soak $(if $(SEED),--seed $(SEED)) $(CARGO_TARGET_DIR)/debug/bootstrap

soak-short: setup
	cargo build --locked --bin bootstrap --test system
	@$(tool) soak --short --seed $(or $(SEED),1) $(CARGO_TARGET_DIR)/debug/bootstrap

sweep: setup ## sweep 2,000 streams at 5 observations a second under a limit of 20, twice, and kill it half way (some 25 minutes)
	STREAMSEAL_SWEEP=2000 STREAMSEAL_SWEEP_RATE=5 cargo test --locked --test system scans::a_large_sweep -- --nocapture

.PHONY: deny deny-offline sbom reproduce

deny: deny-offline ## check the crates' licences, sources, duplicates and known faults (needs cargo-deny and its database)
	cargo deny --locked check advisories

deny-offline:
	@cargo deny --version || { echo "cargo-deny is missing: cargo install --locked cargo-deny@0.20.2" >&2; exit 1; }
	cargo deny --locked check -D unmatched-skip licenses bans sources

sbom: ## list what the binaries are made of, as CycloneDX, in target/sbom/ (needs cargo-cyclonedx)
	@$(tool) sbom

reproduce: ## build the function's binary twice in different folders, compare the bytes and print their checksum (some 10 minutes)
	@tools/reproduce

.PHONY: release-files

# Where it runs is what it is for: `.github/workflows/release.yml` has a machine for each processor.
release-files: ## build the function's package and the command line as they are released, for this machine's processor
	bootstrap=$$(tools/release-bootstrap . $(CARGO_TARGET_DIR)/release-build --locked) && \
	CARGO_BUILD_RUSTFLAGS="$$(tools/release-bootstrap --flags "$(CURDIR)" "$(abspath $(CARGO_TARGET_DIR))/release-build")" \
	  cargo build --locked --release --no-default-features --features cli --bin streamseal --target-dir $(CARGO_TARGET_DIR)/release-build && \
	$(tool) package "$$bootstrap" $(CARGO_TARGET_DIR)/release-build/release/streamseal $(CARGO_TARGET_DIR)/release-files

.PHONY: bench bench-function bench-build

bench: bench-$(if $(BEFORE),function,build) ## measure start, memory, waits and audits against boto3, Cloud Custodian and an empty function (QUICK=1: briefly; BEFORE=FILE: size and start against another build)
	@$(tool) bench $(if $(QUICK),--quick) $(foreach part,$(ONLY),--only $(part)) --json $(CARGO_TARGET_DIR)/bench.json \
	  --bootstrap $(CARGO_TARGET_DIR)/bench/release/bootstrap $(if $(BEFORE),--before $(BEFORE),\
	  --cli $(CARGO_TARGET_DIR)/bench/release/streamseal --floor $(CARGO_TARGET_DIR)/bench/floor/release/floor)

# The function as `sam build` makes it, in a folder of its own: the command line's features would otherwise turn it into another build.
bench-function: setup
	cargo build --locked --release --no-default-features --features lambda --bin bootstrap --target-dir $(CARGO_TARGET_DIR)/bench

bench-build: bench-function
	@tools/setup --bench
	cargo build --locked --release --no-default-features --features cli --bin streamseal --target-dir $(CARGO_TARGET_DIR)/bench
	cargo build --locked --release --manifest-path tools/bench/peers/floor/Cargo.toml --target-dir $(CARGO_TARGET_DIR)/bench/floor
	cargo bench --locked --no-run --manifest-path tools/bench/peers/policy/Cargo.toml --target-dir $(CARGO_TARGET_DIR)/bench/policy
