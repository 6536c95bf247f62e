# The short names of everything that is run here. `make` lists them. None of it needs an AWS account.

CARGO_TARGET_DIR ?= target
# SAM must not call home, and must not need a cross-compiler here: it builds for this machine.
sam = SAM_CLI_TELEMETRY=0 PATH="$(CURDIR)/.local/sam/bin:$$PATH" AWS_DEFAULT_REGION=eu-west-1 sam
architecture = $(if $(filter aarch64 arm64,$(shell uname -m)),arm64,x86_64)

.PHONY: help setup demo test core lint sam

help: ## list these targets
	@sed -n 's/^\([a-z]*\):.* ## /\1\t/p' $(MAKEFILE_LIST) | expand -t 10

setup: ## install the pinned local parts into .local/
	@tools/setup

# With the test beside it cargo settles on the same features of every dependency as for `make test`, and so builds each once.
demo: setup ## seal one stream from end to end on this machine
	cargo build --locked --bin bootstrap --test system
	@tools/demo $(CARGO_TARGET_DIR)/debug/bootstrap

test: setup ## run every test
	cargo test --locked

core: ## run the core's tests, without AWS and Lambda crates
	cargo test --locked --no-default-features --lib --test core

lint: ## check formatting and lints, all of it and the core alone
	cargo fmt --check
	cargo clippy --locked --all-targets -- -D warnings
	cargo clippy --locked --no-default-features --lib --test core -- -D warnings

sam: ## validate the template and build the deployment package, for this machine's processor
	@tools/setup --sam
	$(sam) validate --lint --template template.yaml
	$(sam) build --template template.yaml --parameter-overrides Architecture=$(architecture)

.PHONY: soak soak-short sweep

soak: setup ## let every call fail now and then for some minutes, and see that nothing is lost (SEED=N repeats one)
	cargo build --locked --bin bootstrap --test system
	@tools/soak $(if $(SEED),--seed $(SEED)) $(CARGO_TARGET_DIR)/debug/bootstrap

soak-short: setup
	cargo build --locked --bin bootstrap --test system
	@tools/soak --short --seed $(or $(SEED),1) $(CARGO_TARGET_DIR)/debug/bootstrap

sweep: setup ## sweep 2,000 streams at 5 looks a second under a limit of 20, twice, and kill it half way (some 25 minutes)
	STREAMSEAL_SWEEP=2000 STREAMSEAL_SWEEP_RATE=5 cargo test --locked --test system scans::a_large_sweep -- --nocapture

.PHONY: bench bench-build

bench: bench-build ## measure start, memory, waits and audits against boto3, Cloud Custodian and an empty function (QUICK=1: briefly)
	@tools/bench $(if $(QUICK),--quick) $(foreach part,$(ONLY),--only $(part)) --json $(CARGO_TARGET_DIR)/bench.json \
	  --bootstrap $(CARGO_TARGET_DIR)/bench/release/bootstrap --cli $(CARGO_TARGET_DIR)/bench/release/streamseal \
	  --floor $(CARGO_TARGET_DIR)/bench/floor/release/floor

# The function as `sam build` makes it, in a folder of its own: the command line's features would otherwise turn it into another build.
bench-build:
	@tools/setup --bench
	cargo build --locked --release --no-default-features --features lambda --bin bootstrap --target-dir $(CARGO_TARGET_DIR)/bench
	cargo build --locked --release --no-default-features --features cli --bin streamseal --target-dir $(CARGO_TARGET_DIR)/bench
	cargo build --locked --release --manifest-path tools/peers/floor/Cargo.toml --target-dir $(CARGO_TARGET_DIR)/bench/floor
