# Every module of the repository, the root first. What only a proof needs is
# in a nested module, so that users of the library inherit none of it.
MODULES := . conformance/clients conformance/compat conformance/demo conformance/encryption conformance/engines conformance/fidelity conformance/prometheus conformance/random conformance/upstream conformance/jaeger conformance/faults conformance/bench conformance/apps conformance/api

GO ?= go
STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2

.DEFAULT_GOAL := help

# How long a module's tests may take: twenty times what the slowest of them take on
# two cores, so that a slow machine is not taken for a test that hangs.
TIMEOUT := 30m

# each runs a command in modules, one after the other, and prints a line for each
# with its result and time, and what it printed where it failed. It goes on to the
# next module then, and fails in the end.
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

.PHONY: test
test: ## run all tests but those that need a Jaeger
	$(call each,$(MODULES),$(GO) test -timeout $(TIMEOUT) ./...)

.PHONY: check
check: lint test ## what a change must pass: lint and test

.PHONY: race
race: ## run the tests but the benchmarks' under the race detector (needs a C compiler)
	$(call each,$(filter-out conformance/bench,$(MODULES)),CGO_ENABLED=1 $(GO) test -race -short -timeout $(TIMEOUT) ./...)

.PHONY: lint
lint: ## check format, tidiness, vet, staticcheck, the exported API and what may import what
	@unformatted=$$(gofmt -l .); test -z "$$unformatted" || { echo "not formatted: $$unformatted"; exit 1; }
	@for m in $(MODULES); do (cd $$m && $(GO) mod tidy -diff && $(GO) vet ./... && $(GO) run $(STATICCHECK) ./...) || exit 1; done
	@if $(GO) list -deps ./tracing ./driver/wrap | grep ncruces; then echo "tracing and driver/wrap must know no engine"; exit 1; fi
	@cd conformance/api && $(GO) run . -check
	@test "$$($(GO) list -f '{{join .Imports " "}}' ./tracing/sqltext)" = strings || { echo "tracing/sqltext must import nothing but strings"; exit 1; }

.PHONY: api
api: ## write what the packages export into .api, which lint holds them against
	@cd conformance/api && $(GO) run .

# Where it is said to run; see README.
PLATFORMS := linux/amd64 linux/arm64 linux/386 linux/arm darwin/amd64 darwin/arm64 windows/amd64 windows/386 \
	freebsd/amd64 freebsd/386 netbsd/amd64 openbsd/amd64 dragonfly/amd64 illumos/amd64 js/wasm wasip1/wasm

.PHONY: cross
cross: ## build for other platforms (minutes, once)
	@for p in $(PLATFORMS); do echo $$p; GOOS=$${p%/*} GOARCH=$${p#*/} $(GO) build ./driver/... ./tracing/... ./pool/... || exit 1; done

.PHONY: soak
soak: ## load a pool with 200 goroutines for 20 seconds, and look whether anything is lost
	SQLITEMW_SOAK=1 $(GO) test -count 1 -timeout $(TIMEOUT) -run TestSoak -v ./pool

# Each campaign takes this long.
FAULTS ?= 3m

.PHONY: faults
faults: ## run the fault campaigns for longer (FAULTS=3m each), and print their figures
	@cd conformance/faults && SQLITEMW_FAULTS=$(FAULTS) $(GO) test -count 1 -timeout 0 -v .

.PHONY: upstream
upstream: ## run the plain driver's own tests over "sqlitemw" (a minute)
	@cd conformance/upstream && $(GO) run .

# Some of these applications; all if there is none.
APPS ?=

.PHONY: apps
apps: ## run applications' own SQLite tests on their driver and on ours (20 minutes; needs a C compiler)
	@cd conformance/apps && $(GO) run . $(APPS)

.PHONY: fidelity
fidelity: ## play the conformance suite over "sqlitemw" and other wrappers, and write the table
	@cd conformance/fidelity && $(GO) test -timeout $(TIMEOUT) -run '^TestFidelity$$' -count 1 . -table && cat FIDELITY.md

# Each target takes this long.
FUZZ ?= 1m

# To make one input of a pool's target small would take the whole minute.
.PHONY: fuzz
fuzz: ## fuzz DSNs, query texts and what is exported (FUZZ=1m each)
	@for target in driver:FuzzDSN driver:FuzzSecrets driver:FuzzTexts driver:FuzzTranslate \
		tracing/sqltext:FuzzStatements tracing/sqltext:FuzzRewrite tracing/sqltext:FuzzBinds tracing/internal/summary:FuzzDescribe \
		pool:FuzzParseDSN pool:FuzzClassify pool:FuzzReader pool:FuzzReaderUnchanged; do \
		echo "$$target"; \
		$(GO) test -run '^$$' -fuzz "^$${target#*:}\$$" -fuzztime $(FUZZ) -fuzzminimizetime 1x "./$${target%:*}" || exit 1; \
	done

# With mattn/go-sqlite3 beside ncruces', which would take the same name, where
# there is a C compiler.
BENCH := cd conformance/bench && CGO_ENABLED=1 $(GO) run -tags mattn -ldflags="-X github.com/ncruces/go-sqlite3/driver.driverName=ncruces" .

.PHONY: bench
bench: ## compare with the plain driver and others side by side (5 minutes; needs a C compiler)
	@$(BENCH) -tour

.PHONY: bench-long
bench-long: ## the same with every workload at full size, and how cost grows (takes long)
	@$(BENCH) -long

.PHONY: bench-check
bench-check: ## hold what is promised of speed against this machine
	@$(BENCH) -check

.PHONY: jaeger
jaeger: ## build a Jaeger (minutes, once), start it and print its address
	@cd conformance/jaeger && $(GO) run .

.PHONY: e2e
e2e: ## run the demo against a Jaeger, and check what Jaeger then knows
	cd conformance/jaeger && SQLITEMW_E2E=1 $(GO) test -count 1 -timeout $(TIMEOUT) ./...
