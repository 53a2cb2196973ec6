module github.com/sqlitemw/sqlitemw/conformance/dqlite

go 1.26.0

replace github.com/sqlitemw/sqlitemw => ../..

replace github.com/sqlitemw/sqlitemw/conformance/engines => ../engines

// Debian's package golang-github-canonical-go-dqlite-dev, whose version fits its libdqlite-dev.
replace github.com/canonical/go-dqlite => /usr/share/gocode/src/github.com/canonical/go-dqlite

require (
	github.com/canonical/go-dqlite v0.0.0-00010101000000-000000000000
	github.com/sqlitemw/sqlitemw/conformance/engines v0.0.0-00010101000000-000000000000
)

require (
	github.com/Rican7/retry v0.3.0 // indirect
	github.com/ghodss/yaml v1.0.0 // indirect
	github.com/google/renameio v1.0.1 // indirect
	github.com/mattn/go-sqlite3 v1.14.7 // indirect
	github.com/pkg/errors v0.9.1 // indirect
	gopkg.in/yaml.v2 v2.4.0 // indirect
)
