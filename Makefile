# The one door: every step that a change needs stands here, and none of them lives only in CI.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help demo test crash check fuzz helm monitoring image parts sbom bench soak doc kafka
TARGET := $(or $(CARGO_TARGET_DIR),target)

help: ## what there is
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' Makefile

# The dev profile: on a fresh machine nearly all of the time goes into compiling, and without optimisation that takes
# less than half as long. The sample shop sends a few events a second, which any profile carries.
demo: ## the whole thing in one process: broker, sample shop, mappings, a receiver that verifies. Ctrl-C stops it
	@cargo build --locked --bin hookline
	@exec "$(TARGET)/debug/hookline" demo

kafka: ## fetches Apache Kafka for tests and benchmarks (JDK, Maven, jars), when it is not there
	@tests/kafka/fetch

# One build for all of it: library, binary and tests share the dev profile and the same features.
test: kafka ## all tests, with a real Apache Kafka; says how many ran
	@mkdir -p "$(TARGET)"
	@cargo test --locked --workspace --no-fail-fast 2>&1 | tee "$(TARGET)/test.log" || { tests/count "$(TARGET)/test.log"; exit 1; }
	@tests/count "$(TARGET)/test.log"

# A build of its own: the binary can be told to die at named points, which no other build can.
crash: kafka ## the delivery protocol under N kills (200), at fail points and at random; 50 clean stops; a 60 s outage
	@HOOKLINE_KILLS=$(or $(N),200) HOOKLINE_STOPS=$(or $(STOPS),50) HOOKLINE_OUTAGE=60 \
	cargo test --locked --features failpoints --test crash -- --nocapture --test-threads 1

check: ## format, lints, docs, licences and advisories, the Helm chart, alerts and dashboard
	@cargo fmt --all --check
	@tests/image/context
	@cargo clippy --locked --workspace --all-targets -- -D warnings
	@RUSTDOCFLAGS="-D warnings" cargo doc --locked --workspace --no-deps --quiet
	@if command -v cargo-deny >/dev/null; then cargo deny --locked check; \
	else echo "check: licences and advisories not looked at (cargo install cargo-deny --locked)"; fi
	@if command -v go >/dev/null && command -v python3 >/dev/null; then $(MAKE) --no-print-directory helm; \
	else echo "check: the Helm chart not looked at (it takes Go and Python)"; fi
	@if command -v go >/dev/null; then $(MAKE) --no-print-directory monitoring; \
	else echo "check: alerts and dashboard not asked of a Prometheus (it takes Go)"; fi

# Builds its tools at the first time (Go, Python): some minutes, which is why `make test` leaves it out. Then ten seconds.
helm: ## the Helm chart: lint, unit tests, what it renders judged by Kubernetes' schemas and by `hookline check`
	@cargo build --locked --bin hookline
	@tests/helm/run

# Builds its tools at the first time (Go), as `helm` does. Then a minute.
monitoring: kafka ## alerts and dashboard: a real Prometheus scrapes a daemon in trouble and answers each query; unit tests of the alerts
	@tests/monitoring/run

# By podman where there is no docker: make image ENGINE=podman
image: ## the container image `hookline`
	@$(or $(ENGINE),docker) build --tag hookline .

parts: ## what the image is built from and what it holds, in a chroot: as root, without a container engine
	@cargo build --locked --bin hookline
	@tests/image/run "$(TARGET)/debug/hookline"

sbom: ## what the binary is made of, as CycloneDX
	@mkdir -p "$(TARGET)"
	@deploy/sbom >"$(TARGET)/sbom.cdx.json"
	@echo "$(TARGET)/sbom.cdx.json"

bench: kafka ## each station alone, then end to end against a real Kafka: events/s, CPU per event, memory, beside a bare loop
	@cargo bench --locked --bench stations
	@cargo bench --locked --bench end_to_end

# Stable Rust does: a sanitizer of memory takes nightly and would have nothing to look at, for hookline is safe code. What is
# looked for is a panic, a hang, a stack that overflows (it has the 2 MiB of the daemon's threads) and a memory that fills up.
fuzz: ## each fuzz target, or PART=expression, for SECONDS (60): what others write never makes it panic, hang or grow
	@export PATH="$(abspath $(TARGET))/tools/bin:$$PATH"; \
	command -v cargo-fuzz >/dev/null || cargo install --locked --root "$(TARGET)/tools" cargo-fuzz; \
	ulimit -s 2048; \
	for part in $(or $(PART),$(notdir $(wildcard fuzz/seeds/*))); do \
		mkdir -p "fuzz/corpus/$$part"; \
		cargo fuzz run -s none "$$part" "fuzz/corpus/$$part" "fuzz/seeds/$$part" -- \
			-max_total_time=$(or $(SECONDS),60) -timeout=10 -rss_limit_mb=1024 -print_final_stats=1; \
	done

# MINUTES, RECORDS, ROUNDS, SUBSCRIBERS, OUTAGE and KILLS scale it; benches/soak/main.rs has the full sizes.
soak: kafka ## isolation, backlog, outage and kills with their limits, PASS or FAIL; one PART of hundred, million, hundred-down, outage, kill
	@$(foreach size,MINUTES RECORDS ROUNDS SUBSCRIBERS OUTAGE KILLS,$(if $($(size)),HOOKLINE_$(size)=$($(size)))) \
	cargo bench --locked --bench soak -- $(PART)

# mdBook without its server and watcher, in the dev profile: half of the time to build, and a book of this size needs no more.
MDBOOK := 0.5.4
doc: ## the documentation as a book (builds mdBook at the first time: some minutes), and that of the crate
	@"$(TARGET)/tools/bin/mdbook" --version 2>/dev/null | grep -qx "mdbook v$(MDBOOK)" || \
	cargo install mdbook --locked --version $(MDBOOK) --no-default-features --features search --debug --root "$(TARGET)/tools"
	@cargo test --locked --test docs links
	@"$(TARGET)/tools/bin/mdbook" build --dest-dir "$(abspath $(TARGET))/book"
	@cargo doc --locked --no-deps
	@echo "$(TARGET)/book/index.html"
	@echo "$(TARGET)/doc/hookline/index.html"
