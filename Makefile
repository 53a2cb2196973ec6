# All modules of the repository, the root first. Dependencies of tests and tools are in
# nested modules, so that users of the library do not inherit them.
MODULES := . pool/dqlite pool/postgres conformance/clients conformance/compat conformance/demo conformance/encryption conformance/engines conformance/fidelity conformance/prometheus conformance/random conformance/upstream conformance/jaeger conformance/faults conformance/bench conformance/browser conformance/apps conformance/api conformance/litestream

GO ?= go
GOLANGCI := github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0

.DEFAULT_GOAL := help

# The timeout of a module's tests: twenty times what the slowest of them take on two
# cores, so that a slow machine does not look like a test that hangs.
TIMEOUT := 30m

# each runs a command in modules, one after the other. For each it prints a line with the
# result and the time, after the command's output if it failed. After a failure it continues
# with the next module, and fails at the end.
# $(call each,modules,command)
define each
@out=$$(mktemp) || exit 1; trap 'rm -f "$$out"' EXIT; trap 'exit 130' INT; trap 'exit 143' TERM; \
passed=0; failed=0; \
for m in $(1); do \
	began=$$(date +%s); \
	if (cd $$m && $(2)) >"$$out" 2>&1; then result=ok; passed=$$((passed + 1)); \
	else result=FAIL; failed=$$((failed + 1)); cat "$$out"; fi; \
	printf '%-4s %-24s %4d s\n' $$result $$m $$(($$(date +%s) - began)); \
done; \
echo "$$passed passed, $$failed failed"; test $$failed -eq 0
endef

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: demo
demo: ## run a small shop on "sqlitemw" and on the pool, and print spans, connections and stats
	@cd conformance/demo && $(GO) run .

.PHONY: demo-page
demo-page: ## run the shop for a minute, and serve the live page of its pool on this machine
	@cd conformance/demo && $(GO) run . -page 127.0.0.1:0

.PHONY: test
test: ## run all tests except those that need a Jaeger
	$(call each,$(MODULES),$(GO) test -timeout $(TIMEOUT) ./...)

.PHONY: check
check: lint test ## run what every change must pass: lint and test

.PHONY: race
race: ## run the tests of the library and its users with the race detector (needs a C compiler)
	$(call each,$(filter-out conformance/bench conformance/browser conformance/apps conformance/api conformance/litestream,$(MODULES)),CGO_ENABLED=1 $(GO) test -race -short -timeout $(TIMEOUT) ./...)

.PHONY: lint
lint: ## check format, tidiness, faults that golangci-lint finds, the exported API, imports and the order of files
	@unformatted=$$(gofmt -l .); test -z "$$unformatted" || { echo "not formatted: $$unformatted"; exit 1; }
	@for m in $(MODULES); do (cd $$m && $(GO) mod tidy -diff && $(GO) run $(GOLANGCI) run --config $(CURDIR)/.golangci.yml ./...) || exit 1; done
	@if $(GO) list -deps ./tracing ./driver/wrap | grep ncruces; then echo "tracing and driver/wrap must not import an engine"; exit 1; fi
	@if $(GO) list -deps ./pool/core | grep -E 'ncruces|sqlitemw/(driver|pool)$$'; then echo "pool/core must import neither an engine nor package driver"; exit 1; fi
	@if $(GO) list -deps ./pool/internal/cluster | grep -E 'ncruces|sqlitemw/(driver|pool)$$'; then echo "pool/internal/cluster must import neither an engine nor package driver"; exit 1; fi
	@if $(GO) list -deps ./pool/page | grep -E 'ncruces|html/template|sqlitemw/(driver|pool)$$'; then echo "pool/page must import neither an engine nor package driver, package pool or html/template"; exit 1; fi
	@cd conformance/api && $(GO) run ./order ./pool/core ./pool/page ./pool/internal/walkeeper ./pool/internal/walsync && $(GO) run ./order -most 10 ./pool && $(GO) run ./order -most 15 ./pool/internal/cluster
	@cd conformance/api && $(GO) run . -check
	@test "$$($(GO) list -f '{{join .Imports " "}}' ./tracing/sqltext)" = strings || { echo "tracing/sqltext must import only strings"; exit 1; }

.PHONY: api
api: ## write the exported API into .api, with which lint compares it
	@cd conformance/api && $(GO) run .

# The supported platforms; see README.
PLATFORMS := linux/amd64 linux/arm64 linux/386 linux/arm darwin/amd64 darwin/arm64 windows/amd64 windows/386 \
	freebsd/amd64 freebsd/386 netbsd/amd64 openbsd/amd64 dragonfly/amd64 illumos/amd64 js/wasm wasip1/wasm

.PHONY: cross
cross: ## build for other platforms (takes minutes the first time)
	@for p in $(PLATFORMS); do echo $$p; GOOS=$${p%/*} GOARCH=$${p#*/} $(GO) build ./driver/... ./tracing/... ./pool/... || exit 1; done

.PHONY: soak
soak: ## load a pool with 200 goroutines for 20 seconds, and check that nothing is lost
	SQLITEMW_SOAK=1 $(GO) test -count 1 -timeout $(TIMEOUT) -run TestSoak -v ./pool

# FAULTS is the duration of each campaign.
FAULTS ?= 3m

.PHONY: faults
faults: ## run the fault campaigns for longer (FAULTS=3m each), and print their figures
	@cd conformance/faults && SQLITEMW_FAULTS=$(FAULTS) $(GO) test -count 1 -timeout 0 -v .

.PHONY: upstream
upstream: ## run the plain driver's own tests on "sqlitemw" (a minute)
	@cd conformance/upstream && $(GO) run .

# APPS are the names of applications; empty for all.
APPS ?=

.PHONY: apps
apps: ## run applications' own SQLite tests on their driver and on ours (20 minutes; needs a C compiler)
	@cd conformance/apps && $(GO) run . $(APPS)

.PHONY: fidelity
fidelity: ## run the conformance suite on "sqlitemw" and other wrappers, and write the table
	@cd conformance/fidelity && $(GO) test -timeout $(TIMEOUT) -run '^TestFidelity$$' -count 1 . -table && cat FIDELITY.md

# FUZZ is the duration of each target.
FUZZ ?= 1m

# Minimizing is off, because minimizing one input of a pool's target takes the whole minute.
.PHONY: fuzz
fuzz: ## fuzz DSNs, queries and what is exported (FUZZ=1m each)
	@for target in driver:FuzzDSN driver:FuzzSecrets driver:FuzzTexts driver:FuzzTranslate \
		tracing/sqltext:FuzzStatements tracing/sqltext:FuzzRewrite tracing/sqltext:FuzzServers tracing/sqltext:FuzzOnlyReads tracing/internal/summary:FuzzDescribe tracing/internal/summary:FuzzServer \
		pool:FuzzParseDSN pool:FuzzClassify pool:FuzzReader pool:FuzzReaderUnchanged \
		pool/page:FuzzSecrets; do \
		echo "$$target"; \
		$(GO) test -run '^$$' -fuzz "^$${target#*:}\$$" -fuzztime $(FUZZ) -fuzzminimizetime 1x "./$${target%:*}" || exit 1; \
	done

# With a C compiler, mattn/go-sqlite3 takes part. It registers the same name as ncruces'
# driver, which is therefore linked under another name.
BENCH := cd conformance/bench && CGO_ENABLED=1 $(GO) run -tags mattn -ldflags="-X github.com/ncruces/go-sqlite3/driver.driverName=ncruces" .

# BENCH_DIR is a directory on a disk for the databases of bench. If it is empty, the user's cache
# directory has them.
BENCH_DIR ?=
BENCH_FLAGS = $(if $(BENCH_DIR),-dir '$(abspath $(BENCH_DIR))')

.PHONY: bench
bench: ## compare the speed with the plain driver and others (7 minutes; needs a C compiler; databases in BENCH_DIR)
	@$(BENCH) -tour $(BENCH_FLAGS)

.PHONY: bench-long
bench-long: ## the same with every workload at full size, and how cost grows (takes long)
	@$(BENCH) -long $(BENCH_FLAGS)

.PHONY: bench-check
bench-check: ## check the budgets of speed on this machine
	@$(BENCH) -check $(BENCH_FLAGS)

.PHONY: jaeger
jaeger: ## build a Jaeger (takes minutes the first time), start it and print its address
	@cd conformance/jaeger && $(GO) run .

.PHONY: engines
engines: ## run the tests on real servers: PostgreSQL, MariaDB and dqlite (needs Debian's packages of them)
	cd conformance/engines && SQLITEMW_ENGINES=$${SQLITEMW_ENGINES:-try} $(GO) test -count 1 -p 1 -timeout $(TIMEOUT) ./...
	@if test -d /usr/share/gocode/src/github.com/canonical/go-dqlite; then \
		echo "cd conformance/dqlite && go test -tags libsqlite3 ./..."; \
		cd conformance/dqlite && SQLITEMW_ENGINES=$${SQLITEMW_ENGINES:-try} CGO_ENABLED=1 $(GO) test -count 1 -p 1 -tags libsqlite3 -timeout $(TIMEOUT) ./...; \
	elif test "$$SQLITEMW_ENGINES" = must; then echo "dqlite needs: apt-get install libdqlite-dev golang-github-canonical-go-dqlite-dev"; exit 1; \
	else echo "dqlite skipped; it needs: apt-get install libdqlite-dev golang-github-canonical-go-dqlite-dev"; fi

.PHONY: e2e
e2e: ## run the demo with a Jaeger, and check which traces Jaeger has
	cd conformance/jaeger && SQLITEMW_E2E=1 $(GO) test -count 1 -timeout $(TIMEOUT) ./...
