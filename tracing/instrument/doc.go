// Package instrument makes the spans, measurements and log lines of connections. It is the
// machinery behind package tracing, for authors of wrappers, as package driver/wrap is one.
// Programs configure package tracing and do not need this package.
//
// A wrapper makes one [Database] for each database, with [NewDatabase]. For each connection
// that it opens, [Database.Dial] makes a [Dial], and [Dial.Done] the [Conn] that is the
// connection's interceptor for github.com/ngrok/sqlmw. A query's [Call] ends with its rows,
// which implement [CallHolder]. A pool that knows how long an acquire takes measures it with
// [Database.Acquiring].
//
// This package makes no promise of compatibility yet.
package instrument
