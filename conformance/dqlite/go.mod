module github.com/sqlitemw/sqlitemw/conformance/dqlite

go 1.26.0

replace github.com/sqlitemw/sqlitemw => ../..

replace github.com/sqlitemw/sqlitemw/pool/dqlite => ../../pool/dqlite

replace github.com/sqlitemw/sqlitemw/conformance/engines => ../engines

// Debian's package golang-github-canonical-go-dqlite-dev, whose version fits its libdqlite-dev.
replace github.com/canonical/go-dqlite => /usr/share/gocode/src/github.com/canonical/go-dqlite

require (
	github.com/canonical/go-dqlite v0.0.0-00010101000000-000000000000
	github.com/sqlitemw/sqlitemw v0.0.0-00010101000000-000000000000
	github.com/sqlitemw/sqlitemw/conformance/engines v0.0.0-00010101000000-000000000000
	github.com/sqlitemw/sqlitemw/pool/dqlite v0.0.0-00010101000000-000000000000
)

require (
	github.com/Rican7/retry v0.3.0 // indirect
	github.com/cespare/xxhash/v2 v2.3.0 // indirect
	github.com/ghodss/yaml v1.0.0 // indirect
	github.com/go-logr/logr v1.4.4 // indirect
	github.com/go-logr/stdr v1.2.2 // indirect
	github.com/google/renameio v1.0.1 // indirect
	github.com/mattn/go-sqlite3 v1.14.7 // indirect
	github.com/ngrok/sqlmw v0.0.0-20220520173518-97c9c04efc79 // indirect
	github.com/pkg/errors v0.9.1 // indirect
	go.opentelemetry.io/auto/sdk v1.2.1 // indirect
	go.opentelemetry.io/otel v1.47.0 // indirect
	go.opentelemetry.io/otel/log v1.47.0 // indirect
	go.opentelemetry.io/otel/metric v1.47.0 // indirect
	go.opentelemetry.io/otel/trace v1.47.0 // indirect
	gopkg.in/yaml.v2 v2.4.0 // indirect
)
