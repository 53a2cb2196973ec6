// Package prometheus has only tests. They run a small program over "sqlitemw", and scrape it as
// Prometheus does, through OpenTelemetry's exporter and an HTTP server. They compare the
// metrics with what the program did.
package prometheus
