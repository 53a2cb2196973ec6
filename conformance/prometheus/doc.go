// Package prometheus has no code but tests: they run a small program over
// "sqlitemw", scrape it as Prometheus does, through OpenTelemetry's exporter and
// an HTTP server, and compare what stands in the answer with what the program
// did.
package prometheus
