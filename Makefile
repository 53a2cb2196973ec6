# Every module of the repository, the root first. What only a proof needs is
# in a nested module, so that users of the library inherit none of it.
MODULES := . conformance/clients conformance/demo conformance/engines conformance/fidelity conformance/prometheus conformance/random conformance/upstream conformance/jaeger conformance/bench

GO ?= go
STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2

.DEFAULT_GOAL := help

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: demo
demo: ## run a small shop on "sqlitemw" and on the pool, and print spans, connections and stats
	@cd conformance/demo && $(GO) run .

.PHONY: test
test: ## run all tests but those that need a Jaeger
	@for m in $(MODULES); do (cd $$m && $(GO) test ./...) || exit 1; done

.PHONY: race
race: ## run the tests but the benchmarks' under the race detector (needs a C compiler)
	@for m in $(filter-out conformance/bench,$(MODULES)); do (cd $$m && CGO_ENABLED=1 $(GO) test -race -short ./...) || exit 1; done

.PHONY: lint
lint: ## check format, tidiness, vet, staticcheck and what may import what
	@unformatted=$$(gofmt -l .); test -z "$$unformatted" || { echo "not formatted: $$unformatted"; exit 1; }
	@for m in $(MODULES); do (cd $$m && $(GO) mod tidy -diff && $(GO) vet ./... && $(GO) run $(STATICCHECK) ./...) || exit 1; done
	@if $(GO) list -deps ./tracing ./driver/wrap | grep ncruces; then echo "tracing and driver/wrap must know no engine"; exit 1; fi

# Where it is said to run; see README.
PLATFORMS := windows/amd64 darwin/arm64 linux/386

.PHONY: cross
cross: ## build for other platforms (minutes, once)
	@for p in $(PLATFORMS); do GOOS=$${p%/*} GOARCH=$${p#*/} $(GO) build ./driver/... ./tracing/... ./pool/... || exit 1; done

.PHONY: soak
soak: ## load a pool with 200 goroutines for 20 seconds, and look whether anything is lost
	SQLITEMW_SOAK=1 $(GO) test -count 1 -run TestSoak -v ./pool

.PHONY: upstream
upstream: ## run the plain driver's own tests over "sqlitemw" (a minute)
	@cd conformance/upstream && $(GO) run .

.PHONY: fidelity
fidelity: ## play the conformance suite over "sqlitemw" and other wrappers, and write the table
	@cd conformance/fidelity && $(GO) test -run '^TestFidelity$$' -count 1 . -table && cat FIDELITY.md

.PHONY: fuzz
fuzz: ## fuzz DSNs, query texts and what is exported, a minute each
	$(GO) test -run '^$$' -fuzz FuzzDSN -fuzztime 1m ./driver
	$(GO) test -run '^$$' -fuzz FuzzSecrets -fuzztime 1m ./driver
	$(GO) test -run '^$$' -fuzz FuzzDescribe -fuzztime 1m ./tracing
	$(GO) test -run '^$$' -fuzz FuzzParseDSN -fuzztime 1m ./pool
	$(GO) test -run '^$$' -fuzz FuzzClassify -fuzztime 1m ./pool
	$(GO) test -run '^$$' -fuzz FuzzReaderUnchanged -fuzztime 1m ./pool

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
	cd conformance/jaeger && SQLITEMW_E2E=1 $(GO) test -count 1 -timeout 30m ./...
