// Package prometheus has a dashboard for Grafana, dashboard.json, alerts for Prometheus, alerts.yml,
// and tests.
//
// Some tests run a small program over "sqlitemw", and scrape it as Prometheus does, through
// OpenTelemetry's exporter and an HTTP server. They compare the metrics with what the program did.
// The others run a program over a pool with simulated time, and have Prometheus' own engine
// evaluate the expressions of both files over its scrapes. Each panel must show something, and each
// alert must fire when its condition is true, and only then.
package prometheus
